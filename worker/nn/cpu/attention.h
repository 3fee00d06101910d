/* attention.h - what the attention kernel is given: a task, and the memory that it works in. */
#ifndef NN_CPU_ATTENTION_H
#define NN_CPU_ATTENTION_H

#include "worker/nn/backend.h"

/* Queries of a block are a multiple of it: whole tiles of every instruction set. Keys alike. */
#define ATTENTION_ROWS_UNIT 12
#define ATTENTION_KEYS_UNIT 32

/* Some queries of one head of one sequence, at least one; keys: those of the sequence. */
struct attention_task {
    const struct op_attention *op;
    size_t sequence, head, first, count, keys;
};

/* One thread's, in f32. */
struct attention_scratch {
    size_t rows;         /* queries at a time */
    size_t score_stride; /* k_tokens, rounded up to ATTENTION_KEYS_UNIT */
    float *key;          /* [score_stride, head_dim] */
    float *value;        /* [k_tokens, sum_stride] */
    float *query;        /* [rows, head_dim] */
    float *score;        /* [rows, score_stride] */
    size_t sum_stride;   /* head_dim, rounded up alike */
    float *sum;          /* [rows, sum_stride] */
    float *total;        /* [rows] */
};

#endif
