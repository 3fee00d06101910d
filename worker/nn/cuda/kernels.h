/* kernels.h - what starts the kernels: one function for each op, as backend.h describes it.
 *
 * Each checks nothing (ops.h has), puts its kernels into the stream and returns; whether they could
 * be started is told by cudaGetLastError. */
#ifndef NN_CUDA_KERNELS_H
#define NN_CUDA_KERNELS_H

#include "worker/nn/backend.h"
#include "worker/nn/cuda/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

void cuda_norm(const struct op_norm *op, cudaStream_t stream);
void cuda_patches(const struct op_patches *op, cudaStream_t stream);
void cuda_vision_tokens(const struct op_vision_tokens *op, cudaStream_t stream);
void cuda_embed(const struct op_embed *op, cudaStream_t stream);
void cuda_rows(const struct op_rows *op, cudaStream_t stream);
void cuda_pool(const struct op_pool *op, cudaStream_t stream);
void cuda_unit(const struct op_unit *op, cudaStream_t stream);
void cuda_map(const struct op_map *op, cudaStream_t stream);
void cuda_attention(const struct op_attention *op, cudaStream_t stream);
/* The same with tensor cores; false: not for such types, heads or alignments. */
bool cuda_flash(const struct op_attention *op, cudaStream_t stream);

/* What is left of op_linear behind a product: out = activation(product + bias) + residual. product,
 * out [M, N] real, the same memory if of one type; bias, residual as in op_linear. */
struct epilogue {
    struct tensor product, out, bias, residual;
    enum activation activation;
};
void cuda_epilogue(const struct epilogue *op, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
#endif
