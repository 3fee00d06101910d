/* delta.h - DELTA_BINARY_PACKED: integers as differences, in blocks of packed bits. */
#ifndef PARQUET_DELTA_H
#define PARQUET_DELTA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DELTA_BLOCK_VALUES_MAX 65536 /* writers use 128 */

struct delta {
    const uint8_t *data; /* not owned */
    size_t bytes, pos;
    uint64_t left;   /* values that were not given yet */
    uint64_t value;  /* the next one, modulo 2^64 */
    bool has_value;  /* it needs no difference: it is the first */
    uint32_t minis;  /* miniblocks in a block */
    uint32_t values; /* in a miniblock */
    uint64_t lowest; /* difference of the block */
    size_t widths;   /* where the bits of its miniblocks stand */
    uint32_t mini;   /* the miniblock that is being read */
    uint32_t given;  /* differences taken from it */
};

/* false, here and below: the bytes make no sense. */
bool delta_init(struct delta *delta, const uint8_t *data, size_t bytes);
/* false too when all values were given. */
bool delta_next(struct delta *delta, int64_t *value);
/* Passes over the values that are left; delta->pos is where they end. */
bool delta_end(struct delta *delta);

#endif
