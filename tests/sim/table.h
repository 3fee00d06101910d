/* table.h - values by text, walked in the order in which they were put in: the same in every run.
 */
#ifndef TESTS_SIM_TABLE_H
#define TESTS_SIM_TABLE_H

#include <stdint.h>

struct table_row {
    struct table_row *chain, *before, *after;
    const char *key; /* lives in the value */
    void *value;
};

/* Zeroed: empty. */
struct table {
    struct table_row **bucket;
    uint32_t buckets, count;
    struct table_row *first, *last;
};

void *table_find(const struct table *table, const char *key);
/* The key is not there yet. */
void table_put(struct table *table, const char *key, void *value);
/* The key is there; the value stays the caller's. */
void table_drop(struct table *table, const char *key);

#endif
