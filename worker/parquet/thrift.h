/* thrift.h - reads the compact protocol of Apache Thrift, in which parquet's metadata is written.
 *
 * Errors stick: after the first one everything reads as zero, nothing or the end, and failed tells.
 * Structures may be nested THRIFT_DEPTH_MAX deep; a list never claims more elements than bytes are
 * left. After thrift/doc/specs/thrift-compact-protocol.md of https://github.com/apache/thrift. */
#ifndef PARQUET_THRIFT_H
#define PARQUET_THRIFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define THRIFT_DEPTH_MAX 24

enum thrift_type {
    THRIFT_STOP = 0,
    THRIFT_TRUE = 1,
    THRIFT_FALSE = 2,
    THRIFT_BYTE = 3,
    THRIFT_I16 = 4,
    THRIFT_I32 = 5,
    THRIFT_I64 = 6,
    THRIFT_DOUBLE = 7,
    THRIFT_BINARY = 8,
    THRIFT_LIST = 9,
    THRIFT_SET = 10,
    THRIFT_MAP = 11,
    THRIFT_STRUCT = 12,
};

struct thrift {
    const uint8_t *data; /* not owned */
    size_t bytes, pos;
    bool failed;
};

struct thrift_field {
    int32_t id; /* 0 before the first */
    enum thrift_type type;
};

uint64_t thrift_varint(struct thrift *thrift);
/* A signed integer of any width. */
int64_t thrift_int(struct thrift *thrift);
/* Goes to the next field of a structure; false: its end, or a failure. The caller reads or skips
 * what follows, except for the two booleans, whose value is their type. */
bool thrift_next(struct thrift *thrift, struct thrift_field *field);
void thrift_skip(struct thrift *thrift, enum thrift_type type);
/* As above, and 0 (false, nothing) when the field has another type than asked. */
int64_t thrift_field_int(struct thrift *thrift, const struct thrift_field *field);
/* Bytes that stay in data; *bytes 0 after a failure. */
const uint8_t *thrift_field_binary(struct thrift *thrift, const struct thrift_field *field,
                                   size_t *bytes);
/* The number of elements of a list of this type, which follow; 0 for another field. */
uint32_t thrift_field_list(struct thrift *thrift, const struct thrift_field *field,
                           enum thrift_type type);
/* Whether a structure follows; else the field is skipped. */
bool thrift_field_struct(struct thrift *thrift, const struct thrift_field *field);

#endif
