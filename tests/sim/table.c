/* table.c - see table.h. */
#include "tests/sim/table.h"

#include "common/base/check.h"
#include "common/base/mem.h"

#include <string.h>

#define BUCKETS_MIN 256

static uint32_t hash(const char *key)
{
    uint32_t value = 2166136261u;
    for (; *key; key++) value = (value ^ (uint8_t)*key) * 16777619u;
    return value;
}

static struct table_row **place(const struct table *table, const char *key)
{
    struct table_row **at = &table->bucket[hash(key) % table->buckets];
    while (*at && strcmp((*at)->key, key) != 0) at = &(*at)->chain;
    return at;
}

void *table_find(const struct table *table, const char *key)
{
    if (!table->count) return NULL;
    const struct table_row *row = *place(table, key);
    return row ? row->value : NULL;
}

static void grow(struct table *table)
{
    mem_free(table->bucket);
    table->buckets = table->buckets ? table->buckets * 4 : BUCKETS_MIN;
    table->bucket = mem_new(table->buckets * sizeof(void *));
    for (struct table_row *row = table->first; row; row = row->after) {
        struct table_row **at = &table->bucket[hash(row->key) % table->buckets];
        row->chain = *at;
        *at = row;
    }
}

void table_put(struct table *table, const char *key, void *value)
{
    if (table->count >= table->buckets) grow(table);
    struct table_row **at = place(table, key);
    CHECK(*at == NULL);
    struct table_row *row = mem_new(sizeof *row);
    *row = (struct table_row){.before = table->last, .key = key, .value = value};
    *at = row;
    if (table->last)
        table->last->after = row;
    else
        table->first = row;
    table->last = row;
    table->count++;
}

void table_drop(struct table *table, const char *key)
{
    struct table_row **at = place(table, key), *row = *at;
    CHECK(row != NULL);
    *at = row->chain;
    if (row->before)
        row->before->after = row->after;
    else
        table->first = row->after;
    if (row->after)
        row->after->before = row->before;
    else
        table->last = row->before;
    table->count--;
    mem_free(row);
}
