/* cuda_fibers.h - CUDA C++ for a host compiler: what worker/nn/cuda/device.h is made of in tests.
 *
 * The threads of a block are fibers, which run one after the other from one barrier to the next, in
 * the order of their numbers or, with CUDA_EMULATED_ORDER=reverse, against it; so do the blocks. A
 * kernel that lacks a barrier gives wrong results in at least one of the orders: shared memory is
 * full of NaN when a block begins, and a copy of cp_async_16 lands as late as it may (forward) or
 * at once (reverse). Fragments and shuffles are exchanged between lanes as on a device. What no
 * device could do ends the program with a sentence: a barrier that some threads do not reach, a
 * shuffle without all lanes of its mask, addresses that are not aligned. Memory is the host's, and
 * each SHARED is a block of the heap of just its size, so AddressSanitizer finds what is outside.
 *
 * Not seen: races between blocks or within a warp other than by order, and time. */
#ifndef TESTS_SUPPORT_CUDA_FIBERS_H
#define TESTS_SUPPORT_CUDA_FIBERS_H

#include "tests/support/cuda_emulated.h"
#include "worker/nn/dtype.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

/* The names are given by what is emulated. NOLINTBEGIN(bugprone-reserved-identifier,cert-*) */
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__    __attribute__((noinline))
#define __launch_bounds__(...)

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    dim3(unsigned of_x = 1, unsigned of_y = 1, unsigned of_z = 1) : x(of_x), y(of_y), z(of_z) {}
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};

/* Where the running thread is. */
extern const uint3 *fibers_thread_index;
extern uint3 fibers_block_index;
extern dim3 fibers_block_size, fibers_grid_size;
#define threadIdx (*fibers_thread_index)
#define blockIdx  fibers_block_index
#define blockDim  fibers_block_size
#define gridDim   fibers_grid_size

/* Runs body once for each thread of each block. */
void fibers_run(const char *name, const dim3 &grid, const dim3 &block, size_t shared_bytes,
                void (*body)(const void *), const void *argument);
void fibers_barrier();
/* The lanes of a warp that mask names wait for each other; the last one to come calls act, with
 * what each lane brought: NULL for those that ended or are not named. */
void fibers_meet(const char *what, uint32_t mask, void (*act)(void *const *of_lane), void *own);
/* The running thread's number in its block, and in its warp; and which way they run. */
unsigned fibers_number();
unsigned fibers_lane();
bool fibers_are_reverse();
/* A block's memory for the declaration at `place`, the same for all its threads. */
void *fibers_shared(const void *place, size_t bytes);
void *fibers_shared_all();
[[noreturn]] void fibers_abort(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define SHARED(type, name, count)             \
    static const char name##_is_declared = 0; \
    type *const name =                        \
        static_cast<type *>(fibers_shared(&name##_is_declared, sizeof(type) * (count)))
#define SHARED_ALL(name) \
    unsigned char *const name = static_cast<unsigned char *>(fibers_shared_all())

#define LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
    fibers_launch(#kernel, kernel, grid, block, shared_bytes, stream, __VA_ARGS__)

template <class... P> inline void launch_shared_bytes(void (*kernel)(P...), size_t bytes)
{
    (void)cudaFuncSetAttribute(reinterpret_cast<const void *>(kernel),
                               cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(bytes));
}

template <class Body> void fibers_call(const void *body)
{
    (*static_cast<const Body *>(body))();
}

/* Launches that a stream or a graph keeps. */
template <class Run> void fibers_run_kept(void *run)
{
    (*static_cast<const Run *>(run))();
}
template <class Run> void fibers_drop(void *run)
{
    delete static_cast<const Run *>(run);
}

template <class... P, class... A>
void fibers_launch(const char *name, void (*kernel)(P...), const dim3 &grid, const dim3 &block,
                   size_t shared_bytes, cudaStream_t stream, A... arguments)
{
    const uint64_t blocks = static_cast<uint64_t>(grid.x) * grid.y * grid.z;
    const uint64_t threads = static_cast<uint64_t>(block.x) * block.y * block.z;
    if (cuda_emulated_launch(reinterpret_cast<const void *>(kernel), shared_bytes, blocks, threads,
                             stream))
        return; /* as on a device: told by cudaGetLastError */
    const auto body = [=]() { kernel(static_cast<P>(arguments)...); };
    const auto run = [=]() {
        fibers_run(name, grid, block, shared_bytes, fibers_call<decltype(body)>, &body);
    };
    cuda_emulated_put(stream, fibers_run_kept<decltype(run)>, fibers_drop<decltype(run)>,
                      new auto(run));
}

inline void __syncthreads()
{
    fibers_barrier();
}

inline void fibers_do_nothing(void *const *of_lane)
{
    (void)of_lane;
}

inline void __syncwarp(uint32_t mask = 0xffffffffu)
{
    fibers_meet("__syncwarp", mask, fibers_do_nothing, &mask);
}

/* A number of 4 or 8 bytes that goes from lane to lane. */
struct fibers_shuffle {
    uint64_t bits, result;
    int from; /* a lane of the warp */
};
void fibers_do_shuffle(void *const *of_lane);
/* The lane that __shfl_… reads: of the width lanes that this one is of. */
int fibers_source(char kind, int argument, int width);

template <class T>
T fibers_shuffle_of(const char *what, char kind, uint32_t mask, T value, int argument, int width)
{
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "what a register holds");
    struct fibers_shuffle own = {0, 0, fibers_source(kind, argument, width)};
    T result;
    memcpy(&own.bits, &value, sizeof value);
    fibers_meet(what, mask, fibers_do_shuffle, &own);
    memcpy(&result, &own.result, sizeof result);
    return result;
}
template <class T> T __shfl_sync(uint32_t mask, T value, int lane, int width = 32)
{
    return fibers_shuffle_of("__shfl_sync", 'i', mask, value, lane, width);
}
template <class T> T __shfl_xor_sync(uint32_t mask, T value, int bits, int width = 32)
{
    return fibers_shuffle_of("__shfl_xor_sync", 'x', mask, value, bits, width);
}
template <class T> T __shfl_down_sync(uint32_t mask, T value, unsigned lanes, int width = 32)
{
    return fibers_shuffle_of("__shfl_down_sync", 'd', mask, value, static_cast<int>(lanes), width);
}
template <class T> T __shfl_up_sync(uint32_t mask, T value, unsigned lanes, int width = 32)
{
    return fibers_shuffle_of("__shfl_up_sync", 'u', mask, value, static_cast<int>(lanes), width);
}

uint32_t __ballot_sync(uint32_t mask, int predicate);
int __any_sync(uint32_t mask, int predicate);
int __all_sync(uint32_t mask, int predicate);

/* No thread runs beside another: these are single steps by nature. */
template <class T> T atomicAdd(T *at, T value)
{
    return std::exchange(*at, static_cast<T>(*at + value));
}
template <class T> T atomicMax(T *at, T value)
{
    return std::exchange(*at, *at < value ? value : *at);
}
template <class T> T atomicExch(T *at, T value)
{
    return std::exchange(*at, value);
}
template <class T> T atomicCAS(T *at, T expected, T value)
{
    return std::exchange(*at, *at == expected ? value : *at);
}

inline int min(int a, int b)
{
    return b < a ? b : a;
}
inline int max(int a, int b)
{
    return a < b ? b : a;
}
inline unsigned min(unsigned a, unsigned b)
{
    return b < a ? b : a;
}
inline unsigned max(unsigned a, unsigned b)
{
    return a < b ? b : a;
}
inline float __uint_as_float(uint32_t bits)
{
    return f32_of_bits(bits);
}
inline uint32_t __float_as_uint(float x)
{
    return f32_bits(x);
}
inline float rsqrtf(float x)
{
    return 1 / sqrtf(x);
}
/* NOLINTEND(bugprone-reserved-identifier,cert-*) */

inline float f32_of(float x)
{
    return x;
}
inline float f32_of(bf16 x)
{
    return bf16_to_f32(x.bits);
}
inline float f32_of(f16 x)
{
    return f16_to_f32(x.bits);
}

template <class T> T real_of(float x);
template <> inline float real_of<float>(float x)
{
    return x;
}
template <> inline bf16 real_of<bf16>(float x)
{
    return bf16{bf16_of_f32(x)};
}
template <> inline f16 real_of<f16>(float x)
{
    return f16{f16_of_f32(x)};
}

template <class T> uint32_t pair_of(float first, float second)
{
    return static_cast<uint32_t>(real_of<T>(first).bits) |
           static_cast<uint32_t>(real_of<T>(second).bits) << 16;
}

inline float exp2_fast(float x)
{
    const float y = exp2f(x);
    return y < 0x1p-126f ? 0 : y;
}

/* What a lane brings to a product of matrices: its registers, as device.h lays them out. */
struct fibers_mma {
    float *c;
    const uint32_t *a, *b;
    float (*widen)(uint16_t bits);
};
void fibers_do_mma(void *const *of_lane);

template <class T> float fibers_widen(uint16_t bits)
{
    return f32_of(T{bits});
}

template <class T> void mma_16x8x16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2])
{
    struct fibers_mma own = {c, a, b, fibers_widen<T>};
    fibers_meet("mma_16x8x16", 0xffffffffu, fibers_do_mma, &own);
}

void ldmatrix_x4(uint32_t (&r)[4], const void *row);
void ldmatrix_x4_trans(uint32_t (&r)[4], const void *row);

void cp_async_16(void *shared, const void *from, uint32_t bytes);
void cp_async_commit();
void fibers_copies_wait(unsigned groups_left);
void fibers_copies_end(); /* of a thread that ends */
template <int N> void cp_async_wait()
{
    fibers_copies_wait(N);
}

#endif
