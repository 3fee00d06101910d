/* list_parquet.h - a parquet file as lines of jsonl: an object with the wanted columns for each
 * row.
 *
 * Nulls, and numbers that JSON does not have, are left out; numbers above 2^63 - 1, which JSON
 * parsers round, become texts. A row of more than LIST_RECORD_BYTES_MAX becomes "null", which is no
 * row. The file's bytes go into the hash behind the last row, in a pass of their own: rows come
 * from all over the file. */
#ifndef LIST_PARQUET_H
#define LIST_PARQUET_H

#include "worker/list/list_input.h"

/* ERR_INVALID: no such column, one that cannot be read, or a URL that is no text. */
CHECKED int list_parquet_open(struct list_source **source, const struct list_input *input,
                              struct err *err);

#endif
