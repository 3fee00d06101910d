/* codec.h - what each message may contain: one table per message, one row per field.
 *
 * The rows stand in the order of the schema's field numbers and name every field (a test compares
 * them with the descriptors), so a new field cannot be forgotten. The sender checks what it packs
 * and the receiver what it unpacked, with the same tables. */
#ifndef WIRE_CODEC_H
#define WIRE_CODEC_H

#include "common/base/err.h"
#include "proto/schema/common.pb-c.h"

#include <stdint.h>

enum codec_form {
    CODEC_ANY,       /* any number */
    CODEC_NUMBER,    /* a number or enum value in [min, max] */
    CODEC_NAME,      /* text of min to max bytes without control characters */
    CODEC_TEXT,      /* text of min to max bytes */
    CODEC_BYTES,     /* min to max bytes */
    CODEC_JOB,       /* a job id; empty only where min is 0 */
    CODEC_LEASE,     /* a lease id */
    CODEC_KIND,      /* [a-z][a-z0-9_]*, min to max bytes */
    CODEC_TASK_NAME, /* [A-Za-z0-9._-]*, min to max bytes */
    CODEC_COUNTER,   /* [a-z0-9_.]+, min to max bytes */
    CODEC_DEVICE,    /* "", "cpu" or "cuda" */
    CODEC_MESSAGE,   /* a message of table; absent only where min is 0 */
};

struct codec_table;

struct codec_rule {
    const char *field;
    enum codec_form form;
    int64_t min, max;
    uint32_t count_max; /* of a repeated field; 0: it is not repeated */
    const struct codec_table *table;
};

struct codec_table {
    const ProtobufCMessageDescriptor *descriptor;
    const struct codec_rule *rule;
    uint32_t count;
};

struct codec_type {
    Vlmq__Type type, answer; /* answer: TYPE_UNSPECIFIED for what is no request */
    const char *name;
    const struct codec_table *table;
};

/* NULL: no such type. */
const struct codec_type *codec_type(Vlmq__Type type);
/* ERR_INVALID with a sentence that names the field. */
CHECKED int codec_check(const struct codec_type *type, const ProtobufCMessage *message,
                        struct err *err);

#endif
