/* rows.h - for kernels: rows of numbers of any real type, eight at a time, and sums over a warp.
 *
 * A row is cut into groups of eight; a group is read with accesses of 16 bytes where all rows are
 * aligned to them, else number by number. Which thread takes which group, and so the order of
 * sums, is the same either way, and so are the bits. */
#ifndef NN_CUDA_ROWS_H
#define NN_CUDA_ROWS_H

#include "worker/nn/cuda/device.h"
#include "worker/nn/tensor.h"

#define GROUP 8

/* A matrix; without data: none. */
struct reals {
    void *data;
    enum dtype dtype;
    bool is_wide; /* all its groups are aligned to 16 bytes */
};

/* With rows of so many columns. */
static inline struct reals reals_of(const struct tensor *tensor, int64_t columns)
{
    const bool aligned = reinterpret_cast<uintptr_t>(tensor->data) % 16 == 0;
    return reals{tensor->data, tensor->dtype, aligned && columns % GROUP == 0};
}

/* All of it as one row. */
static inline struct reals reals_of_row(const struct tensor *tensor)
{
    return reals_of(tensor, GROUP);
}

static inline int64_t columns_of(const struct tensor *tensor)
{
    return tensor->shape[tensor->rank - 1];
}

static __host__ __device__ __forceinline__ int64_t groups_of(int64_t columns)
{
    return (columns + GROUP - 1) / GROUP;
}

/* Blocks of so many threads, for one thread each. */
static inline dim3 blocks_of(int64_t count, unsigned threads)
{
    return dim3(static_cast<unsigned>((count + threads - 1) / threads));
}

/* Where the group of this thread is, where each thread takes one, row by row. */
struct place {
    int64_t row, column, at;
};

static __device__ __forceinline__ place own_place(int64_t columns, unsigned threads)
{
    const int64_t groups = groups_of(columns);
    const int64_t i = static_cast<int64_t>(blockIdx.x) * threads + threadIdx.x;
    int64_t row;
    if (i <= UINT32_MAX && groups <= UINT32_MAX) /* much quicker */
        row = static_cast<uint32_t>(i) / static_cast<uint32_t>(groups);
    else
        row = i / groups;
    const int64_t column = (i - row * groups) * GROUP;
    return place{row, column, row * columns + column};
}

template <class T>
static __device__ __forceinline__ void read_single(float (&v)[GROUP], const T *from, int64_t count)
{
#pragma unroll
    for (int i = 0; i < GROUP; i++) v[i] = i < count ? f32_of(from[i]) : 0;
}

template <class T>
static __device__ __forceinline__ void read_pairs(float (&v)[GROUP], const T *from)
{
    const uint4 all = *reinterpret_cast<const uint4 *>(from);
    const uint32_t pair[4] = {all.x, all.y, all.z, all.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        v[2 * i] = f32_of_first<T>(pair[i]);
        v[2 * i + 1] = f32_of_second<T>(pair[i]);
    }
}

/* The group that begins at element `at` and has `count` numbers, 1 to 8 or more; zeros behind. */
static __device__ __forceinline__ void read_group(float (&v)[GROUP], const reals &x, int64_t at,
                                                  int64_t count)
{
    const bool is_wide = x.is_wide && count >= GROUP;
    const float *const f32 = static_cast<const float *>(x.data) + at;
    const bf16 *const b16 = static_cast<const bf16 *>(x.data) + at;
    const f16 *const h16 = static_cast<const f16 *>(x.data) + at;
    if (x.dtype == DTYPE_F32 && is_wide) {
        const float4 a = reinterpret_cast<const float4 *>(f32)[0];
        const float4 b = reinterpret_cast<const float4 *>(f32)[1];
        const float all[GROUP] = {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
#pragma unroll
        for (int i = 0; i < GROUP; i++) v[i] = all[i];
    } else if (x.dtype == DTYPE_F32) {
        read_single(v, f32, count);
    } else if (x.dtype == DTYPE_BF16 && is_wide) {
        read_pairs(v, b16);
    } else if (x.dtype == DTYPE_BF16) {
        read_single(v, b16, count);
    } else if (is_wide) {
        read_pairs(v, h16);
    } else {
        read_single(v, h16, count);
    }
}

template <class T>
static __device__ __forceinline__ void write_single(T *to, const float (&v)[GROUP], int64_t count)
{
#pragma unroll
    for (int i = 0; i < GROUP; i++)
        if (i < count) to[i] = real_of<T>(v[i]);
}

template <class T>
static __device__ __forceinline__ void write_pairs(T *to, const float (&v)[GROUP])
{
    *reinterpret_cast<uint4 *>(to) = uint4{pair_of<T>(v[0], v[1]), pair_of<T>(v[2], v[3]),
                                           pair_of<T>(v[4], v[5]), pair_of<T>(v[6], v[7])};
}

static __device__ __forceinline__ void write_group(const reals &out, int64_t at,
                                                   const float (&v)[GROUP], int64_t count)
{
    const bool is_wide = out.is_wide && count >= GROUP;
    float *const f32 = static_cast<float *>(out.data) + at;
    bf16 *const b16 = static_cast<bf16 *>(out.data) + at;
    f16 *const h16 = static_cast<f16 *>(out.data) + at;
    if (out.dtype == DTYPE_F32 && is_wide) {
        reinterpret_cast<float4 *>(f32)[0] = float4{v[0], v[1], v[2], v[3]};
        reinterpret_cast<float4 *>(f32)[1] = float4{v[4], v[5], v[6], v[7]};
    } else if (out.dtype == DTYPE_F32) {
        write_single(f32, v, count);
    } else if (out.dtype == DTYPE_BF16 && is_wide) {
        write_pairs(b16, v);
    } else if (out.dtype == DTYPE_BF16) {
        write_single(b16, v, count);
    } else if (is_wide) {
        write_pairs(h16, v);
    } else {
        write_single(h16, v, count);
    }
}

/* v += the group of x. */
static __device__ __forceinline__ void add_group(float (&v)[GROUP], const reals &x, int64_t at,
                                                 int64_t count)
{
    float other[GROUP];
    read_group(other, x, at, count);
#pragma unroll
    for (int i = 0; i < GROUP; i++) v[i] += other[i];
}

/* Of all lanes, the same bits in each. */
static __device__ __forceinline__ float warp_sum(float x)
{
#pragma unroll
    for (int bits = WARP_LANES / 2; bits; bits /= 2) x += __shfl_xor_sync(WARP_ALL, x, bits);
    return x;
}

static __device__ __forceinline__ float warp_max(float x)
{
#pragma unroll
    for (int bits = WARP_LANES / 2; bits; bits /= 2)
        x = fmaxf(x, __shfl_xor_sync(WARP_ALL, x, bits));
    return x;
}

#endif
