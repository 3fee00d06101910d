/* fibers_kernels.h - kernels that test the emulation, and some with a fault planted in them.
 *
 * All memory is the device's, which is the host's. */
#ifndef TESTS_NN_CUDA_FIBERS_KERNELS_H
#define TESTS_NN_CUDA_FIBERS_KERNELS_H

#include "worker/nn/dtype.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* out[b] = sum of x[b][0 … count), for each of so many blocks. Without its barrier, it is wrong. */
void test_sum(const float *x, float *out, uint32_t count, uint32_t blocks, bool has_barrier);
/* Rows of x [rows, columns] to their softmax. */
void test_softmax(const float *x, float *out, uint32_t rows, uint32_t columns);
/* c [m, n] = a [m, k] b [n, k]^T with tensor cores, a and b bf16 or f16; m a multiple of 64, n and
 * k of 16. waits: for its copies to shared memory; is_tight: begins a copy only when all have read
 * what it overwrites. Without either, it is wrong. */
void test_product(enum dtype dtype, const void *a, const void *b, float *c, uint32_t m, uint32_t n,
                  uint32_t k, bool waits, bool is_tight);
/* out[thread][i], 32 threads: what the shuffles, votes and atomics of TEST_VOTES give. */
#define TEST_VOTES 12
void test_votes(uint32_t *out);
/* For i < count: f32 to the type and back, alone and as the two of a pair. */
void test_numbers(enum dtype dtype, const float *x, float *alone, float *first, float *second,
                  uint32_t count);
/* Each of 64 threads copies 16 bytes, of which bytes[i] are there, to out. */
void test_copies(const uint8_t *from, const uint32_t *bytes, uint8_t *out);

enum test_fault {
    TEST_READS_OUTSIDE,        /* of global memory, one element behind x [64] */
    TEST_WRITES_OUTSIDE,       /* the same */
    TEST_LEAVES_SHARED,        /* one element behind SHARED */
    TEST_LEAVES_SHARED_ALL,    /* and behind SHARED_ALL */
    TEST_COPIES_OUTSIDE,       /* the last 16 bytes of a copy */
    TEST_BARRIER_IN_BRANCH,    /* one half of a warp at a barrier, the other in a shuffle */
    TEST_SHUFFLE_WITHOUT_LANE, /* one lane of the mask waits elsewhere */
    TEST_IS_UNALIGNED,         /* a row for ldmatrix */
    TEST_FAULTS_COUNT
};
void test_fault(enum test_fault fault, float *x);

#ifdef __cplusplus
}
#endif
#endif
