/* matmul.h - products of matrices: cuBLASLt on a device, the cpu backend in tests.
 *
 * out [M, N] = x [M, K] weight [N, K]^T + bias + residual; all row by row, dense, in memory of the
 * device. Sums are f32 at least, and in fixed order: how they are cut depends on N, K and the
 * types, not on M, so that a row's bits do not depend on the others. */
#ifndef NN_CUDA_MATMUL_H
#define NN_CUDA_MATMUL_H

#include "common/base/err.h"
#include "worker/nn/cuda/runtime.h"
#include "worker/nn/dtype.h"

#include <stdint.h>

struct matmul_job {
    enum dtype dtype;           /* of x and weight: f32, bf16, f16 */
    enum dtype out_dtype;       /* of out, bias and residual: dtype, or f32 */
    int64_t rows, width, depth; /* M, N, K */
    const void *x, *weight;
    const void *bias, *residual; /* or NULL; residual may be out */
    void *out;
};

struct matmul;

/* Products go into the stream of the current device. */
CHECKED int matmul_open(struct matmul **matmul, cudaStream_t stream, struct err *err);
void matmul_close(struct matmul *matmul); /* accepts NULL */
/* What the bits depend on besides the device: "cublaslt 13.0.2"; lives as long as the matmul. */
const char *matmul_name(const struct matmul *matmul);
/* What pointers to a matrix with rows of so many bytes must be aligned to. */
static inline size_t matmul_alignment(size_t row_bytes)
{
    return row_bytes % 16 == 0 ? 16 : row_bytes % 4 == 0 ? 4 : 2;
}
/* Pointers are aligned as matmul_alignment says, bias to 16 bytes. ERR_NOT_FOUND: there is no
 * product of this kind (types, N, K, with or without a bias), whatever its rows. */
CHECKED int matmul_run(struct matmul *matmul, const struct matmul_job *job, struct err *err);

#endif
