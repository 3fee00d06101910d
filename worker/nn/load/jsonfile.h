/* jsonfile.h - JSON objects from files of others: bounded before they are parsed, and fields with
 * their types checked.
 *
 * jansson takes about a hundred bytes for each bracket, so that a small file of brackets would fill
 * the memory. The text is therefore looked over first: how deep it goes and how many values it
 * has. Refused besides: bytes that are not UTF-8, zero bytes, an object with one key twice, what
 * stands behind the object, and anything but an object.
 *
 * Errors: ERR_CORRUPT: no JSON object; ERR_LIMIT: too large, too deep, no memory; ERR_INVALID: a
 * field of the wrong type or range. No state, any thread. */
#ifndef NN_LOAD_JSONFILE_H
#define NN_LOAD_JSONFILE_H

#include "common/base/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct jsonfile_limits {
    size_t bytes;
    uint32_t depth;  /* brackets within brackets; 1: an object of plain values */
    uint32_t values; /* opening brackets and commas together */
};

/* The caller ends *object with json_decref. */
CHECKED int jsonfile_parse(json_t **object, const char *text, size_t bytes,
                           const struct jsonfile_limits *limits, struct err *err);
/* What makes a struct of the object; dst is the caller's. */
typedef int jsonfile_reader(void *dst, const json_t *object, struct err *err);
/* Parses, hands the object to the reader, and drops it. */
CHECKED int jsonfile_parse_with(jsonfile_reader *reader, void *dst, const char *text, size_t bytes,
                                const struct jsonfile_limits *limits, struct err *err);
/* Of a file; every sentence begins with its path. */
CHECKED int jsonfile_read_with(jsonfile_reader *reader, void *dst, const char *path,
                               const struct jsonfile_limits *limits, struct err *err);

/* A field that is missing or null leaves *dst as it is; one of another type or out of range gives
 * a sentence with its name and the value. object may be NULL: all are missing. Integers may be
 * written as 3.0, as Python's writers of configurations do. Texts are borrowed from object. */
CHECKED int jsonfile_int(int64_t *dst, const json_t *object, const char *name, int64_t min,
                         int64_t max, struct err *err);
CHECKED int jsonfile_real(double *dst, const json_t *object, const char *name, double min,
                          double max, struct err *err);
CHECKED int jsonfile_bool(bool *dst, const json_t *object, const char *name, struct err *err);
CHECKED int jsonfile_text(const char **dst, const json_t *object, const char *name,
                          struct err *err);
CHECKED int jsonfile_object(const json_t **dst, const json_t *object, const char *name,
                            struct err *err);
/* The field, or NULL when it is missing or null. */
const json_t *jsonfile_field(const json_t *object, const char *name);
/* ERR_INVALID: "NAME is VALUE; it must be WANTED", the value shortened. */
int jsonfile_refuse(const json_t *value, const char *name, struct err *err, const char *wanted, ...)
    __attribute__((format(printf, 4, 5)));

#endif
