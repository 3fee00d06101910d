/* kernels.h - what starts the kernels: one function for each op, as backend.h describes it.
 *
 * Each checks nothing (ops.h has), puts its kernels into the stream and returns; whether they could
 * be started is told by cudaGetLastError. All pointers of an op are the device's, but those that
 * backend.h has in host memory, which are not looked at: their copies come beside the op. */
#ifndef NN_CUDA_KERNELS_H
#define NN_CUDA_KERNELS_H

#include "worker/nn/backend.h"
#include "worker/nn/cuda/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

/* device_lengths: a copy of op->lengths, or NULL if that is. */
void cuda_attention(const struct op_attention *op, const uint32_t *device_lengths,
                    cudaStream_t stream);

#ifdef __cplusplus
}
#endif
#endif
