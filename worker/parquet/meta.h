/* meta.h - a parquet file's footer: its columns, and where a row group has their bytes.
 *
 * The schema is kept; row groups are read out of the footer's bytes one at a time, so that their
 * number costs nothing. */
#ifndef PARQUET_META_H
#define PARQUET_META_H

#include "common/base/err.h"
#include "common/base/mem.h"
#include "worker/parquet/parquet.h"
#include "worker/parquet/thrift.h"

#include <stdbool.h>
#include <stdint.h>

enum meta_physical { /* parquet.thrift, Type */
                     META_BOOLEAN,
                     META_INT32,
                     META_INT64,
                     META_INT96,
                     META_FLOAT,
                     META_DOUBLE,
                     META_BYTE_ARRAY,
                     META_FIXED,
                     META_PHYSICAL_COUNT,
};

struct meta_column {
    struct parquet_column shown;
    uint32_t leaf; /* its number among the columns with values, which a row group has in order */
    enum meta_physical physical;
    uint32_t width; /* bytes of a value in PLAIN; 0: they differ, or are bits */
    bool is_unsigned;
};

struct meta {
    struct arena texts; /* columns and their names */
    struct meta_column *column;
    uint32_t columns_count, leaves_count;
    int64_t rows;
    struct thrift groups; /* stands before the first row group */
    uint32_t groups_count;
};

/* A column's part of a row group. */
struct meta_chunk {
    bool found;
    int64_t offset, bytes; /* of its pages in the file; unchecked */
    int64_t values;
    int64_t physical, codec;
    const char *fault; /* "is encrypted", or NULL */
};

/* data outlives meta. */
CHECKED int meta_init(struct meta *meta, const uint8_t *data, size_t bytes, struct err *err);
void meta_deinit(struct meta *meta); /* accepts zeroes */
/* Reads the row group that at stands before, and goes behind it. slot[leaf] is the number, plus
 * one, of the chunk that is filled for it; 0: none. slot may be NULL. *rows is not negative. */
CHECKED int meta_group(const struct meta *meta, struct thrift *at, const uint32_t *slot,
                       struct meta_chunk *chunk, int64_t *rows, struct err *err);

#endif
