/* parquet.h - reads the flat columns of an Apache Parquet file, row by row, in order.
 *
 * What is read: top-level columns, required or optional, of BOOLEAN, INT32, INT64, FLOAT, DOUBLE,
 * BYTE_ARRAY and FIXED_LEN_BYTE_ARRAY without a meaning of their own; pages of version 1 and 2;
 * PLAIN, dictionary, RLE, the three DELTA encodings and BYTE_STREAM_SPLIT; uncompressed, Snappy,
 * gzip and Zstandard. That is what pyarrow, DuckDB and Spark write by default. Other columns
 * (nested, INT96, decimals, float16, UUIDs, intervals) are listed with the reason why they cannot
 * be read, and do not keep the others from being read. Encrypted files are refused.
 *
 * Dates and times come as the numbers that are stored. Texts come as their bytes; nobody has
 * checked that they are UTF-8.
 *
 * Nothing in the file is trusted. The memory is bounded: the footer (PARQUET_FOOTER_BYTES_MAX), and
 * for all wanted columns together one page and one dictionary each (PARQUET_BYTES_MAX). Errors
 * name the file and, where there is one, the column; ERR_INVALID: broken or not supported,
 * ERR_LIMIT: too large or no memory. One thread.
 *
 * After https://github.com/apache/parquet-format (README.md, Encodings.md, Compression.md,
 * parquet.thrift). */
#ifndef PARQUET_PARQUET_H
#define PARQUET_PARQUET_H

#include "common/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Statistics of 10,000 row groups of 100 columns fit. */
#define PARQUET_FOOTER_BYTES_MAX ((int64_t)256 * 1024 * 1024)
#define PARQUET_COLUMNS_MAX      16384
/* Writers make pages of a megabyte; DuckDB's may have a hundred. */
#define PARQUET_PAGE_BYTES_MAX ((int64_t)128 * 1024 * 1024)
#define PARQUET_BYTES_MAX      ((int64_t)512 * 1024 * 1024)

enum parquet_type {
    PARQUET_NULL, /* only of values */
    PARQUET_BOOL,
    PARQUET_INT,      /* fits int64_t */
    PARQUET_UNSIGNED, /* of 64 bits */
    PARQUET_FLOAT,    /* a double that was stored in 32 bits */
    PARQUET_DOUBLE,
    PARQUET_TEXT,
};

struct parquet_column {
    const char *name;       /* the parquet's; no zero bytes */
    enum parquet_type type; /* PARQUET_NULL: fault says why it cannot be read */
    bool optional;
    const char *fault; /* "is nested", or NULL */
};

struct parquet_value {
    enum parquet_type type;
    union {
        bool truth;
        int64_t integer;
        uint64_t natural;
        double number; /* may be no finite one */
        struct {
            const char *data; /* until the next row */
            size_t bytes;
        } text;
    };
};

struct parquet;

/* Whether a file begins with these bytes (at least four are there) as parquet files do. */
bool parquet_magic(const void *data, size_t bytes);
/* Reads and checks the footer. ERR_NOT_FOUND and the like name the path. */
CHECKED int parquet_open(struct parquet **parquet, const char *path, struct err *err);
void parquet_close(struct parquet *parquet); /* accepts NULL */
/* Top-level columns, in the file's order. */
uint32_t parquet_columns(const struct parquet *parquet);
const struct parquet_column *parquet_column(const struct parquet *parquet, uint32_t index);
int64_t parquet_rows(const struct parquet *parquet);
/* Chooses the columns of the rows and goes to the first row. ERR_INVALID: one cannot be read. */
CHECKED int parquet_want(struct parquet *parquet, const uint32_t *columns, uint32_t count,
                         struct err *err);
/* Fills one value for each wanted column. *found false: all rows were given. After an error no
 * further row can be had. */
CHECKED int parquet_next(struct parquet *parquet, struct parquet_value *values, bool *found,
                         struct err *err);

#endif
