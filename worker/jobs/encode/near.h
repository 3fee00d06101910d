/* near.h - near duplicates within a shard: pictures whose embeddings point the same way.
 *
 * Rows come in order. A row whose cosine with an earlier row that was kept is at least the
 * threshold is a duplicate of the first such row; any other is kept. So a duplicate always names a
 * row that is none itself, and who drops all duplicates keeps one of each group. Rows count as they
 * come, and what is told of one depends on those before it alone, not on how they are cut into
 * calls.
 *
 * Cosines are those of embeddings of length 1, in f32: one matrix product with the kept rows, in
 * blocks, by a cpu backend of its own, also where the model is on another device. That has the next
 * pictures to encode, and what is compared here waits for what was found before; the work is small
 * beside a model's: rows * kept / 2 * columns multiplications. Memory: the kept rows, once (30 MB
 * for 10,000 of 768 numbers), and two blocks. Called with one row at a time it is bound by memory,
 * so several are better.
 *
 * One thread at a time. */
#ifndef ENCODE_NEAR_H
#define ENCODE_NEAR_H

#include "common/base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct near;

struct near_match {
    int64_t duplicate_of; /* the number of an earlier row; -1: of none */
    float similarity;     /* their cosine; 0 without one */
};

/* threads: of the CPU, that share the work. threshold: above 0. */
CHECKED int near_new(struct near **near, uint32_t threads, uint32_t columns, float threshold,
                     struct err *err);
void near_free(struct near *near); /* accepts NULL */
/* The next rows; embedding: [rows, columns], host memory. number: what each is called in
 * duplicate_of, such as its index in the shard, not below 0; match: [rows]. ERR_LIMIT: memory;
 * after an error it can only be freed. */
CHECKED int near_add(struct near *near, struct near_match *match, const float *embedding,
                     const int64_t *number, uint32_t rows, struct err *err);

#endif
