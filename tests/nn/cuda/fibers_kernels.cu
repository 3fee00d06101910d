/* fibers_kernels.cu - see fibers_kernels.h. They are written as kernels of the backend are, and
 * compile with nvcc too. */
#include "tests/nn/cuda/fibers_kernels.h"
#include "worker/nn/cuda/device.h"

#define SUM_THREADS 256

template <bool HAS_BARRIER>
static __global__ void __launch_bounds__(SUM_THREADS)
    sum_kernel(const float *x, float *out, uint32_t count)
{
    SHARED(float, part, SUM_THREADS);
    float sum = 0;
    for (uint32_t i = threadIdx.x; i < count; i += SUM_THREADS) sum += x[blockIdx.x * count + i];
    part[threadIdx.x] = sum;
    if (HAS_BARRIER) __syncthreads();
    for (unsigned step = SUM_THREADS / 2; step >= WARP_LANES; step /= 2) {
        if (threadIdx.x < step) part[threadIdx.x] += part[threadIdx.x + step];
        __syncthreads();
    }
    if (threadIdx.x >= WARP_LANES) return;
    sum = part[threadIdx.x];
    for (int bits = WARP_LANES / 2; bits; bits /= 2) sum += __shfl_xor_sync(WARP_ALL, sum, bits);
    if (threadIdx.x == 0) out[blockIdx.x] = sum;
}

void test_sum(const float *x, float *out, uint32_t count, uint32_t blocks, bool has_barrier)
{
    const cudaStream_t stream = nullptr;
    if (has_barrier)
        LAUNCH(sum_kernel<true>, blocks, SUM_THREADS, 0, stream, x, out, count);
    else
        LAUNCH(sum_kernel<false>, blocks, SUM_THREADS, 0, stream, x, out, count);
}

#define SOFTMAX_THREADS 96

/* A tree over all threads, which works with any number of them. */
static __device__ float reduced(float *part, float own, bool is_max)
{
    __syncthreads();
    part[threadIdx.x] = own;
    __syncthreads();
    for (unsigned count = blockDim.x; count > 1;) {
        const unsigned half = (count + 1) / 2;
        if (threadIdx.x + half < count) {
            const float other = part[threadIdx.x + half];
            part[threadIdx.x] =
                is_max ? fmaxf(part[threadIdx.x], other) : part[threadIdx.x] + other;
        }
        count = half;
        __syncthreads();
    }
    return part[0];
}

static __global__ void softmax_kernel(const float *x, float *out, uint32_t columns)
{
    SHARED(float, part, SOFTMAX_THREADS);
    const float *row = x + static_cast<size_t>(blockIdx.x) * columns;
    float max = -INFINITY, sum = 0;
    for (uint32_t i = threadIdx.x; i < columns; i += blockDim.x) max = fmaxf(max, row[i]);
    max = reduced(part, max, true);
    for (uint32_t i = threadIdx.x; i < columns; i += blockDim.x) sum += expf(row[i] - max);
    sum = reduced(part, sum, false);
    for (uint32_t i = threadIdx.x; i < columns; i += blockDim.x)
        out[static_cast<size_t>(blockIdx.x) * columns + i] = expf(row[i] - max) / sum;
}

void test_softmax(const float *x, float *out, uint32_t rows, uint32_t columns)
{
    const cudaStream_t stream = nullptr;
    LAUNCH(softmax_kernel, rows, SOFTMAX_THREADS, 0, stream, x, out, columns);
}

#define TILE_ROWS    64 /* of a and c, 16 for each of four warps */
#define TILE_COLUMNS 16
#define TILE_DEPTH   16
#define TILE_THREADS 128

/* 16 bytes for each thread of the tile of a, then for each of the first 32 that of b. */
static __device__ void copy_tiles(unsigned char *tile, const bf16 *a, const bf16 *b, uint32_t k)
{
    const uint32_t row = threadIdx.x / 2, half = threadIdx.x % 2;
    const size_t at = static_cast<size_t>(row) * k + half * 8;
    cp_async_16(tile + threadIdx.x * 16, a + at, 16);
    if (threadIdx.x < 2 * TILE_COLUMNS)
        cp_async_16(tile + (TILE_THREADS + threadIdx.x) * 16, b + at, 16);
    cp_async_commit();
}

template <class T, bool WAITS, bool IS_TIGHT>
static __global__ void __launch_bounds__(TILE_THREADS)
    product_kernel(const bf16 *a, const bf16 *b, float *c, uint32_t n, uint32_t k)
{
    SHARED_ALL(tile);
    const unsigned warp = threadIdx.x / WARP_LANES, lane = threadIdx.x % WARP_LANES;
    const size_t row = static_cast<size_t>(blockIdx.y) * TILE_ROWS, column = blockIdx.x * 16;
    float sum[2][4] = {{0}};
    for (uint32_t at = 0; at < k; at += TILE_DEPTH) {
        uint32_t x[4], w[4];
        copy_tiles(tile, a + row * k + at, b + column * k + at, k);
        if (WAITS) cp_async_wait<0>();
        __syncthreads();
        /* Matrices: rows 0-7 and 8-15 of columns 0-7, then of 8-15. */
        ldmatrix_x4(x, tile + ((warp * 16 + lane % 16) * 2 + lane / 16) * 16);
        ldmatrix_x4(w, tile + (TILE_THREADS + lane % 16 * 2 + lane / 16) * 16);
        const uint32_t left[2] = {w[0], w[2]}, right[2] = {w[1], w[3]};
        mma_16x8x16<T>(sum[0], x, left);
        mma_16x8x16<T>(sum[1], x, right);
        if (IS_TIGHT) __syncthreads();
    }
    for (unsigned i = 0; i < 8; i++) {
        const size_t m = row + warp * 16 + lane / 4 + i / 2 % 2 * 8;
        c[m * n + column + i / 4 * 8 + lane % 4 * 2 + i % 2] = sum[i / 4][i % 4];
    }
}

template <class T>
static void product(const void *a, const void *b, float *c, uint32_t m, uint32_t n, uint32_t k,
                    bool waits, bool is_tight)
{
    const dim3 grid(n / TILE_COLUMNS, m / TILE_ROWS);
    const size_t bytes = (TILE_ROWS + TILE_COLUMNS) * TILE_DEPTH * 2;
    const bf16 *x = static_cast<const bf16 *>(a), *w = static_cast<const bf16 *>(b);
    const cudaStream_t stream = nullptr;
    if (!waits)
        LAUNCH((product_kernel<T, false, true>), grid, TILE_THREADS, bytes, stream, x, w, c, n, k);
    else if (!is_tight)
        LAUNCH((product_kernel<T, true, false>), grid, TILE_THREADS, bytes, stream, x, w, c, n, k);
    else
        LAUNCH((product_kernel<T, true, true>), grid, TILE_THREADS, bytes, stream, x, w, c, n, k);
}

void test_product(enum dtype dtype, const void *a, const void *b, float *c, uint32_t m, uint32_t n,
                  uint32_t k, bool waits, bool is_tight)
{
    if (dtype == DTYPE_BF16)
        product<bf16>(a, b, c, m, n, k, waits, is_tight);
    else
        product<f16>(a, b, c, m, n, k, waits, is_tight);
}

static __global__ void votes_kernel(uint32_t *out, uint32_t *counter)
{
    const uint32_t lane = threadIdx.x;
    uint32_t *own = out + static_cast<size_t>(lane) * TEST_VOTES;
    own[0] = __shfl_sync(WARP_ALL, lane * 10, 7);
    own[1] = __shfl_sync(WARP_ALL, lane * 10, 3, 8);
    own[2] = __shfl_xor_sync(WARP_ALL, lane * 10, 5);
    own[3] = __shfl_down_sync(WARP_ALL, lane * 10, 4);
    own[4] = __shfl_up_sync(WARP_ALL, lane * 10, 4);
    own[5] = __shfl_down_sync(WARP_ALL, lane * 10, 1, 16);
    own[6] = __ballot_sync(WARP_ALL, lane % 3 == 0);
    own[7] = static_cast<uint32_t>(__any_sync(WARP_ALL, lane == 9)) * 2 +
             static_cast<uint32_t>(__all_sync(WARP_ALL, lane != 9));
    /* Either half of the warp by itself. */
    own[8] = lane < 16 ? __ballot_sync(0x0000ffffu, lane % 2) : __ballot_sync(0xffff0000u, 1);
    __syncwarp();
    own[9] = atomicAdd(counter, 2u) % 2;
    own[10] = atomicMax(counter + 1, lane) <= 31;
    own[11] = static_cast<uint32_t>(__shfl_xor_sync(WARP_ALL, static_cast<double>(lane), 16));
}

void test_votes(uint32_t *out)
{
    const cudaStream_t stream = nullptr;
    uint32_t counter[2] = {0, 0};
    LAUNCH(votes_kernel, 1, WARP_LANES, 0, stream, out, counter);
}

template <class T>
static __global__ void numbers_kernel(const float *x, float *alone, float *first, float *second,
                                      uint32_t count)
{
    const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    const uint32_t pair = pair_of<T>(x[i], -x[count - 1 - i]);
    alone[i] = f32_of(real_of<T>(x[i]));
    first[i] = f32_of_first<T>(pair);
    second[i] = f32_of_second<T>(pair);
}

void test_numbers(enum dtype dtype, const float *x, float *alone, float *first, float *second,
                  uint32_t count)
{
    const cudaStream_t stream = nullptr;
    const uint32_t grid = (count + 63) / 64;
    if (dtype == DTYPE_BF16)
        LAUNCH(numbers_kernel<bf16>, grid, 64, 0, stream, x, alone, first, second, count);
    else
        LAUNCH(numbers_kernel<f16>, grid, 64, 0, stream, x, alone, first, second, count);
}

/* In two groups, of which the first is waited for before the second. */
static __global__ void copies_kernel(const uint8_t *from, const uint32_t *bytes, uint8_t *out)
{
    SHARED(uint4, room, 128);
    const unsigned i = threadIdx.x;
    const uint4 *const own = room + i;
    cp_async_16(room + i, from + static_cast<size_t>(i) * 16, bytes[i]);
    cp_async_commit();
    cp_async_16(room + 64 + i, from + static_cast<size_t>(i) * 16, 16 - bytes[i]);
    cp_async_commit();
    cp_async_wait<1>();
    reinterpret_cast<uint4 *>(out)[i] = *own;
    cp_async_wait<0>();
    reinterpret_cast<uint4 *>(out)[64 + i] = own[64];
}

void test_copies(const uint8_t *from, const uint32_t *bytes, uint8_t *out)
{
    const cudaStream_t stream = nullptr;
    LAUNCH(copies_kernel, 1, 64, 0, stream, from, bytes, out);
}

static __global__ void fault_kernel(enum test_fault fault, float *x)
{
    SHARED(float, room, 64);
    SHARED_ALL(bytes);
    float *const floats = reinterpret_cast<float *>(bytes);
    const unsigned i = threadIdx.x;
    uint32_t r[4] = {0, 0, 0, 0};
    room[i] = floats[i] = static_cast<float>(i);
    __syncthreads();
    if (fault == TEST_READS_OUTSIDE) x[i] = x[i + 1];
    if (fault == TEST_WRITES_OUTSIDE) x[i + 1] = 1;
    if (fault == TEST_LEAVES_SHARED) x[i] = room[i + 1];
    if (fault == TEST_LEAVES_SHARED_ALL) x[i] = floats[i + 1];
    if (fault == TEST_COPIES_OUTSIDE && i < 16) cp_async_16(bytes + 16 * i, x + 4 * i + 4, 16);
    if (fault == TEST_BARRIER_IN_BRANCH && i < 16) __syncthreads();
    if (fault == TEST_BARRIER_IN_BRANCH && i >= 16) x[i] = __shfl_xor_sync(WARP_ALL, x[i], 1);
    if (fault == TEST_SHUFFLE_WITHOUT_LANE)
        x[i] = i == 5 ? static_cast<float>(__any_sync(WARP_ALL, 1))
                      : __shfl_xor_sync(WARP_ALL, x[i], 1);
    if (fault == TEST_IS_UNALIGNED) ldmatrix_x4(r, bytes + 4);
    x[i] += static_cast<float>(r[0]);
}

void test_fault(enum test_fault fault, float *x)
{
    const cudaStream_t stream = nullptr;
    LAUNCH(fault_kernel, 1, 64, 256, stream, fault, x);
}
