/* spec.h - job specs as options and as JSON, from the schemas alone.
 *
 * Every kind's spec is a flat protobuf message named as the kind (Download, Probe) in
 * proto/schema/jobs/KIND.proto. Its fields become command-line options (image_size:
 * --image-size), its comments their help, its enums words (DOWNLOAD_RESIZE_CENTER_CROP:
 * center_crop). So a new kind needs no code in the client. The fields `input` and `output` have a
 * meaning of their own: the positional argument and the place that results and reports are read
 * from; both are made absolute when they are paths. `model` becomes the job's needs.model. */
#ifndef WIRE_SPEC_H
#define WIRE_SPEC_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/mem.h"

#include <protobuf-c/protobuf-c.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* NULL: no such kind. */
const ProtobufCMessageDescriptor *spec_descriptor(const char *kind);
/* The i-th kind's name; NULL past the last. */
const char *spec_kind(uint32_t i);
/* The comment of the kind (field NULL) or of a field, lines joined by spaces, without the
 * "example:" line; "" if there is none. */
const char *spec_help(const char *kind, const char *field, struct arena *arena);
const char *spec_example(const char *kind, struct arena *arena);
/* The words of an enum option, separated by spaces; "" for other options. */
const char *spec_values(const char *kind, const char *option, struct arena *arena);

/* A fresh, empty message of the kind, in the arena. */
ProtobufCMessage *spec_new(const char *kind, struct arena *arena);
/* Sets one field from text: option is the field's name with - or _; repeated fields append each
 * comma-separated part; bools take "true"/"false" or NULL for true; integers take suffixes where
 * the field's name ends in bytes (k, M, G as powers of 1024) or pixels (of 1000), and times ("10s")
 * where it ends in ms; a number without a suffix is meant in the field's own unit.
 * ERR_NOT_FOUND: no such option (the sentence suggests the nearest name); ERR_INVALID: bad value.
 */
CHECKED int spec_set(ProtobufCMessage *spec, const char *option, const char *value,
                     struct arena *arena, struct err *err);
/* A string field by name, or NULL if the kind has none ("input", "output"). */
const char *spec_text(const ProtobufCMessage *spec, const char *field);
bool spec_has_field(const ProtobufCMessage *spec, const char *field);
/* Whether an option takes no value (a bool field). */
bool spec_is_flag(const ProtobufCMessage *spec, const char *option);

CHECKED int spec_pack(ProtobufCBinaryData *packed, const ProtobufCMessage *spec,
                      struct arena *arena, struct err *err);
CHECKED int spec_unpack(ProtobufCMessage **spec, const char *kind, const void *data, size_t bytes,
                        struct arena *arena, struct err *err);
/* {"input":"…","image_size":448,…}: set fields in the order of their numbers; the canonical text.
 */
void spec_json(struct buf *out, const ProtobufCMessage *spec);
/* Any protobuf message of ours as JSON: int64 as numbers, enums as lower-case words without their
 * common prefix, bytes as hexadecimal, empty texts kept, nested messages nested, absent ones
 * null; for --json. */
void spec_message_json(struct buf *out, const ProtobufCMessage *message);

#endif
