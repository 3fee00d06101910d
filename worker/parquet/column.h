/* column.h - the values of one column in one row group, in order. */
#ifndef PARQUET_COLUMN_H
#define PARQUET_COLUMN_H

#include "common/base/buf.h"
#include "worker/parquet/delta.h"
#include "worker/parquet/meta.h"
#include "worker/parquet/page.h"
#include "worker/parquet/rle.h"

struct column {
    const struct meta_column *meta;
    struct page_file *file;
    int64_t codec;
    int64_t at, end;   /* of the next page, of the chunk */
    int64_t left;      /* values of the chunk in pages to come */
    int64_t page_left; /* values of this page to come, nulls too */
    struct page_memory page, dictionary;
    struct page_memory offsets; /* of texts in the dictionary: uint32_t each */
    uint32_t words;             /* in the dictionary */
    bool has_dictionary;
    bool has_levels;
    struct rle levels;
    /* The page's values, as their encoding has them. */
    int64_t encoding;
    const uint8_t *data;
    size_t bytes, pos;
    uint64_t count; /* values given from this page */
    struct rle indices;
    struct delta numbers; /* or the lengths of texts */
    struct delta prefixes;
    struct buf text; /* DELTA_BYTE_ARRAY: the last one */
};

void column_init(struct column *column, const struct meta_column *meta, struct page_file *file);
void column_deinit(struct column *column);
/* Begins a chunk, which must have a value for each of the row group's rows. */
CHECKED int column_begin(struct column *column, const struct meta_chunk *chunk, int64_t rows,
                         struct err *err);
/* The caller knows that there is one. A text stays until the next call. */
CHECKED int column_next(struct column *column, struct parquet_value *value, struct err *err);

#endif
