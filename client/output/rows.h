/* rows.h - failed rows of shards, from the NNNNN.rows.jsonl files of an output. */
#ifndef CLIENT_OUTPUT_ROWS_H
#define CLIENT_OUTPUT_ROWS_H

#include "common/store/store.h"

#include <stdbool.h>
#include <stdint.h>

struct rows_query {
    int64_t limit;     /* rows wanted */
    const char *class; /* only of this error class; NULL: all */
    bool json;         /* the lines as they stand in the files */
    int64_t count;     /* out */
    bool more;         /* out: there are more than limit */
};
/* Prints failed rows in the order of the shards. */
CHECKED int rows_print(struct store *store, struct rows_query *query, struct err *err);

#endif
