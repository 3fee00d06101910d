/* rle.h - parquet's hybrid of runs and packed bits: levels, dictionary indices, booleans. */
#ifndef PARQUET_RLE_H
#define PARQUET_RLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rle {
    const uint8_t *data; /* not owned */
    size_t bytes, pos;
    unsigned width;    /* bits of a value, at most 32 */
    uint64_t run_left; /* values left in this run */
    uint64_t bit;      /* packed: where the next value begins, from data + pos on */
    bool packed;
    uint32_t value; /* else: the run's */
};

/* false: no value has so many bits. */
bool rle_init(struct rle *rle, const uint8_t *data, size_t bytes, unsigned width);
/* false: the bytes are at an end, or make no sense. */
bool rle_next(struct rle *rle, uint32_t *value);

#endif
