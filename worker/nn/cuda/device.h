/* device.h - what all kernels are written with: the language, numbers of 16 bits, tensor cores.
 *
 * Every .cu file includes it and compiles in two worlds: with nvcc for a device, and with g++ or
 * clang++ where VLMQ_CUDA_FIBERS names tests/support/cuda_fibers.h, which runs a block's threads as
 * fibers. Kernels use of CUDA C++ what both have:
 *   - __global__, __device__, __forceinline__, __launch_bounds__, __restrict__; templates; C++17;
 *   - threadIdx, blockIdx, blockDim, gridDim; dim3, float2, float4, uint2, uint4;
 *   - __syncthreads, __syncwarp, __shfl_sync, __shfl_xor_sync, __shfl_down_sync, __shfl_up_sync,
 *     __ballot_sync, __any_sync, __all_sync;
 *   - SHARED and SHARED_ALL below, never bare __shared__; LAUNCH, never bare <<< >>>;
 *   - the math functions of C for float; exp2_fast below.
 * The layouts of fragments are those of the PTX manual (ISA 8.x, "Matrix multiply-accumulate
 * instructions", m16n8k16): with g = lane / 4 and t = lane % 4, a register holds two numbers, the
 * first in its lower half:
 *   a[0]: row g, columns 2t, 2t+1     a[1]: row g+8, the same columns
 *   a[2]: row g, columns 2t+8, 2t+9   a[3]: row g+8, the same columns
 *   b[0]: rows 2t, 2t+1, column g     b[1]: rows 2t+8, 2t+9, column g
 *   c[0], c[1]: row g, columns 2t, 2t+1   c[2], c[3]: row g+8, the same columns */
#ifndef NN_CUDA_DEVICE_H
#define NN_CUDA_DEVICE_H

#include "worker/nn/cuda/runtime.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#ifndef VLMQ_CUDA_FIBERS
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#endif

#define WARP_LANES 32
#define WARP_ALL   0xffffffffu

/* Numbers as they stand in memory. f32_of widens, real_of<T> rounds to nearest, ties to even. */
struct bf16 {
    uint16_t bits;
};
struct f16 {
    uint16_t bits;
};

#ifdef VLMQ_CUDA_FIBERS
#include VLMQ_CUDA_FIBERS
#else

/* Shared memory of a block. SHARED: count elements, a constant. SHARED_ALL: the bytes that LAUNCH
 * was given, aligned to 16; once in a kernel. Both are full of chance when a block begins. */
#define SHARED(type, name, count) __shared__ __align__(16) type name[count]
#define SHARED_ALL(name)          extern __shared__ __align__(16) unsigned char name[]

/* Starts a kernel, in parentheses if its name has a comma. */
#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
    kernel<<<(grid), (block), (shared_bytes), (stream)>>>(__VA_ARGS__)

/* As much dynamic shared memory as a kernel will ask for; above 48 KiB it must be said before. What
 * every device has that we build for, and the emulated one: 99 KiB. */
template <class... P> inline void launch_shared_bytes(void (*kernel)(P...), size_t bytes)
{
    (void)cudaFuncSetAttribute(reinterpret_cast<const void *>(kernel),
                               cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(bytes));
}

__device__ __forceinline__ float f32_of(float x)
{
    return x;
}
__device__ __forceinline__ float f32_of(bf16 x)
{
    return __uint_as_float(static_cast<uint32_t>(x.bits) << 16);
}
__device__ __forceinline__ float f32_of(f16 x)
{
    return __half2float(__ushort_as_half(x.bits));
}

template <class T> __device__ __forceinline__ T real_of(float x);
template <> __device__ __forceinline__ float real_of<float>(float x)
{
    return x;
}
template <> __device__ __forceinline__ bf16 real_of<bf16>(float x)
{
    return bf16{__bfloat16_as_ushort(__float2bfloat16_rn(x))};
}
template <> __device__ __forceinline__ f16 real_of<f16>(float x)
{
    return f16{__half_as_ushort(__float2half_rn(x))};
}

/* Two numbers in a register, the first in its lower half. */
template <class T> __device__ __forceinline__ uint32_t pair_of(float first, float second);
template <> __device__ __forceinline__ uint32_t pair_of<bf16>(float first, float second)
{
    uint32_t pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
    return pair;
}
template <> __device__ __forceinline__ uint32_t pair_of<f16>(float first, float second)
{
    uint32_t pair;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
    return pair;
}

/* 2^x within 2 units of the last place; results below 2^-126 are 0. */
__device__ __forceinline__ float exp2_fast(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* c += a b, a [16, 16] and b [16, 8] of T (bf16 or f16), c [16, 8]; by all lanes of a warp. */
template <class T>
__device__ __forceinline__ void mma_16x8x16(float (&c)[4], const uint32_t (&a)[4],
                                            const uint32_t (&b)[2]);
template <>
__device__ __forceinline__ void mma_16x8x16<bf16>(float (&c)[4], const uint32_t (&a)[4],
                                                  const uint32_t (&b)[2])
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
template <>
__device__ __forceinline__ void mma_16x8x16<f16>(float (&c)[4], const uint32_t (&a)[4],
                                                 const uint32_t (&b)[2])
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                 "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/* Loads four 8x8 matrices of 16-bit numbers from shared memory, by all lanes of a warp: lane l says
 * where row l % 8 of matrix l / 8 is, 16 bytes, aligned. r[j] gets of matrix j row lane / 4,
 * columns 2 (lane % 4) and the next; _trans: column lane / 4, those rows. */
__device__ __forceinline__ void ldmatrix_x4(uint32_t (&r)[4], const void *row)
{
    const uint32_t at = static_cast<uint32_t>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
}
__device__ __forceinline__ void ldmatrix_x4_trans(uint32_t (&r)[4], const void *row)
{
    const uint32_t at = static_cast<uint32_t>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
}

/* Begins to copy 16 bytes from global to shared memory, both aligned to 16; only the first `bytes`
 * (0 to 16) are read, zeros take the place of the others. With 0, `from` must still be a pointer
 * into memory, or NULL. What a thread began since its last commit is a group; wait<N> waits until
 * all but its latest N groups are there, for this thread: a barrier tells the others. */
__device__ __forceinline__ void cp_async_16(void *shared, const void *from, uint32_t bytes)
{
    const uint32_t at = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(from), "r"(bytes)
                 : "memory");
}
__device__ __forceinline__ void cp_async_commit()
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int N> __device__ __forceinline__ void cp_async_wait()
{
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

#endif /* VLMQ_CUDA_FIBERS */

/* The two numbers of a pair. */
template <class T> __device__ __forceinline__ float f32_of_first(uint32_t pair)
{
    return f32_of(T{static_cast<uint16_t>(pair & 0xffffu)});
}
template <class T> __device__ __forceinline__ float f32_of_second(uint32_t pair)
{
    return f32_of(T{static_cast<uint16_t>(pair >> 16)});
}

#endif
