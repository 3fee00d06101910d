/* runtime.h - the CUDA runtime, or what stands for it in tests: for C and C++.
 *
 * VLMQ_CUDA_EMULATED names tests/support/cuda_emulated.h, so that what includes this compiles with
 * any C and C++ compiler. */
#ifndef NN_CUDA_RUNTIME_H
#define NN_CUDA_RUNTIME_H

#ifdef VLMQ_CUDA_EMULATED
#include VLMQ_CUDA_EMULATED
#else
#include <cuda_runtime_api.h>
#endif

#endif
