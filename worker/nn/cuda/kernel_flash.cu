/* kernel_flash.cu - attention with tensor cores: bf16 and f16, heads of 64 and 128 numbers.
 *
 * A block takes 64 or 128 queries of a head, a warp 16 or 32 of them, and walks over the keys 64 at
 * a time; scores never leave registers (FlashAttention-2: Dao, 2023). Keys and values of the next
 * step are copied while this one is computed. In shared memory, the 16-byte chunk c of row r stands
 * at place c ^ (r % 8) of its row, so that eight rows of one column lie in different banks. Sums
 * over keys are in order of the steps, whatever else is in the batch.
 *
 * Blocks of 128 threads that fit on a multiprocessor, computed (not measured) from the registers
 * that ptxas 13.0 reports and from shared memory, of which a block costs one KiB more:
 *   head, queries   registers (sm_80 to 89, sm_90)   shared   sm_80   sm_86, sm_89   sm_90
 *   64, 128         244, 252                         48 KiB   2       2              2
 *   64, 64          127, 128                         40 KiB   4       2              4
 *   128, 64         177, 173                         80 KiB   2       1              2 */
#include "worker/nn/cuda/kernels.h"
#include "worker/nn/cuda/rows.h"

#define THREADS 128
#define WARPS   (THREADS / WARP_LANES)
#define KEYS    64 /* of a step */
#define LOG2_E  1.44269504088896340736f

struct flash_args {
    const void *q, *k, *v;
    void *out;
    int64_t q_stride, k_stride, v_stride, out_stride;
    uint32_t q_tokens, k_tokens, group;
    const uint32_t *lengths;
    bool is_causal;
    float scale; /* times log2 e */
};

/* A tile in shared memory: rows of DIM numbers. */
template <int DIM>
static __device__ __forceinline__ unsigned char *chunk_of(unsigned char *tile, uint32_t row,
                                                          uint32_t chunk)
{
    return tile + (row * (DIM / 8) + (chunk ^ (row & 7))) * 16;
}

/* Begins to copy rows [first, first + ROWS) of a head; those from `end` on become zeros. */
template <int DIM, int ROWS>
static __device__ __forceinline__ void copy_rows(unsigned char *tile, const bf16 *from,
                                                 int64_t stride, uint32_t first, uint32_t end)
{
#pragma unroll
    for (uint32_t i = threadIdx.x; i < ROWS * (DIM / 8); i += THREADS) {
        const uint32_t row = i / (DIM / 8), chunk = i % (DIM / 8);
        const bool is_there = first + row < end;
        const bf16 *const at = is_there ? from + (first + row) * stride + chunk * 8 : from;
        cp_async_16(chunk_of<DIM>(tile, row, chunk), at, is_there ? 16 : 0);
    }
}

/* How many keys a query sees, from the first on; 0 for one behind its sequence's end. */
static __device__ __forceinline__ uint32_t keys_seen(const flash_args &a, uint32_t query,
                                                     uint32_t keys)
{
    if (query >= a.q_tokens || (a.lengths && query >= keys)) return 0;
    if (!a.is_causal) return keys;
    return min(keys, query + a.k_tokens - a.q_tokens + 1);
}

/* What a warp keeps of its M x 16 queries: this lane's part of the results, and of its 2 M rows
 * the largest score and the sum of exponentials (this lane's columns alone). */
template <int DIM, int M> struct state {
    uint32_t q[M][DIM / 16][4];
    float out[M][DIM / 8][4];
    float max[M][2], total[M][2];
    uint32_t seen[M][2];
};

template <class T, int DIM, int M>
static __device__ __forceinline__ void read_queries(state<DIM, M> &s, unsigned char *tile)
{
    const uint32_t lane = threadIdx.x % WARP_LANES, warp = threadIdx.x / WARP_LANES;
#pragma unroll
    for (uint32_t m = 0; m < M; m++)
#pragma unroll
        for (uint32_t k = 0; k < DIM / 16; k++)
            ldmatrix_x4(s.q[m][k],
                        chunk_of<DIM>(tile, (warp * M + m) * 16 + lane % 16, 2 * k + lane / 16));
}

/* Scores of a step: score[m][n] are of keys 8 n to 8 n + 7. */
template <class T, int DIM, int M>
static __device__ __forceinline__ void multiply_keys(float (&score)[M][KEYS / 8][4],
                                                     const state<DIM, M> &s, unsigned char *keys)
{
    const uint32_t lane = threadIdx.x % WARP_LANES;
#pragma unroll
    for (uint32_t m = 0; m < M; m++)
#pragma unroll
        for (uint32_t n = 0; n < KEYS / 8; n++)
#pragma unroll
            for (uint32_t i = 0; i < 4; i++) score[m][n][i] = 0;
#pragma unroll
    for (uint32_t k = 0; k < DIM / 16; k++)
#pragma unroll
        for (uint32_t n = 0; n < KEYS / 16; n++) {
            uint32_t r[4];
            ldmatrix_x4(
                r, chunk_of<DIM>(keys, n * 16 + lane / 16 * 8 + lane % 8, 2 * k + lane / 8 % 2));
            const uint32_t first[2] = {r[0], r[1]}, second[2] = {r[2], r[3]};
#pragma unroll
            for (uint32_t m = 0; m < M; m++) {
                mma_16x8x16<T>(score[m][2 * n], s.q[m][k], first);
                mma_16x8x16<T>(score[m][2 * n + 1], s.q[m][k], second);
            }
        }
}

/* Scores become shares of the new largest, and what was summed so far shrinks to it. */
template <int DIM, int M>
static __device__ __forceinline__ void rescale(float (&score)[M][KEYS / 8][4], state<DIM, M> &s,
                                               uint32_t first, float scale, bool is_masked)
{
    const uint32_t column = first + threadIdx.x % 4 * 2;
#pragma unroll
    for (uint32_t m = 0; m < M; m++)
#pragma unroll
        for (uint32_t half = 0; half < 2; half++) {
            float max = s.max[m][half], total = 0;
#pragma unroll
            for (uint32_t n = 0; n < KEYS / 8; n++)
#pragma unroll
                for (uint32_t i = 0; i < 2; i++) {
                    float &x = score[m][n][2 * half + i];
                    x *= scale;
                    if (is_masked && column + 8 * n + i >= s.seen[m][half]) x = -INFINITY;
                    max = fmaxf(max, x);
                }
            max = fmaxf(max, __shfl_xor_sync(WARP_ALL, max, 1));
            max = fmaxf(max, __shfl_xor_sync(WARP_ALL, max, 2));
            const float zero = max == -INFINITY ? 0 : max; /* nothing seen yet */
            const float shrink = exp2_fast(s.max[m][half] - zero);
            s.max[m][half] = max;
#pragma unroll
            for (uint32_t n = 0; n < KEYS / 8; n++)
#pragma unroll
                for (uint32_t i = 0; i < 2; i++) {
                    float &x = score[m][n][2 * half + i];
                    x = exp2_fast(x - zero);
                    total += x;
                }
            s.total[m][half] = fmaf(s.total[m][half], shrink, total);
#pragma unroll
            for (uint32_t n = 0; n < DIM / 8; n++) {
                s.out[m][n][2 * half] *= shrink;
                s.out[m][n][2 * half + 1] *= shrink;
            }
        }
}

template <class T, int DIM, int M>
static __device__ __forceinline__ void
add_values(state<DIM, M> &s, const float (&score)[M][KEYS / 8][4], unsigned char *values)
{
    const uint32_t lane = threadIdx.x % WARP_LANES;
#pragma unroll
    for (uint32_t k = 0; k < KEYS / 16; k++) {
        uint32_t share[M][4];
#pragma unroll
        for (uint32_t m = 0; m < M; m++)
#pragma unroll
            for (uint32_t i = 0; i < 4; i++)
                share[m][i] = pair_of<T>(score[m][2 * k + i / 2][i % 2 * 2],
                                         score[m][2 * k + i / 2][i % 2 * 2 + 1]);
#pragma unroll
        for (uint32_t n = 0; n < DIM / 16; n++) {
            uint32_t r[4];
            ldmatrix_x4_trans(r, chunk_of<DIM>(values, k * 16 + lane % 16, 2 * n + lane / 16));
            const uint32_t first[2] = {r[0], r[1]}, second[2] = {r[2], r[3]};
#pragma unroll
            for (uint32_t m = 0; m < M; m++) {
                mma_16x8x16<T>(s.out[m][2 * n], share[m], first);
                mma_16x8x16<T>(s.out[m][2 * n + 1], share[m], second);
            }
        }
    }
}

template <class T, int DIM, int M>
static __device__ __forceinline__ void write_results(const state<DIM, M> &s, T *out, int64_t stride,
                                                     uint32_t first, uint32_t end)
{
    const uint32_t lane = threadIdx.x % WARP_LANES, warp = threadIdx.x / WARP_LANES;
#pragma unroll
    for (uint32_t m = 0; m < M; m++)
#pragma unroll
        for (uint32_t half = 0; half < 2; half++) {
            const uint32_t query = first + (warp * M + m) * 16 + lane / 4 + 8 * half;
            float total = s.total[m][half];
            total += __shfl_xor_sync(WARP_ALL, total, 1);
            total += __shfl_xor_sync(WARP_ALL, total, 2);
            const float factor = total > 0 ? 1 / total : 0;
            if (query >= end) continue;
            T *const to = out + query * stride + lane % 4 * 2;
#pragma unroll
            for (uint32_t n = 0; n < DIM / 8; n++)
                *reinterpret_cast<uint32_t *>(to + 8 * n) =
                    pair_of<T>(s.out[m][n][2 * half] * factor, s.out[m][n][2 * half + 1] * factor);
        }
}

template <int DIM, int M>
static __device__ __forceinline__ void begin(state<DIM, M> &s, const flash_args &a, uint32_t first,
                                             uint32_t keys)
{
    const uint32_t lane = threadIdx.x % WARP_LANES, warp = threadIdx.x / WARP_LANES;
#pragma unroll
    for (uint32_t m = 0; m < M; m++) {
#pragma unroll
        for (uint32_t half = 0; half < 2; half++) {
            const uint32_t query = first + (warp * M + m) * 16 + lane / 4 + 8 * half;
            s.max[m][half] = -INFINITY;
            s.total[m][half] = 0;
            s.seen[m][half] = keys_seen(a, query, keys);
        }
#pragma unroll
        for (uint32_t n = 0; n < DIM / 8; n++)
#pragma unroll
            for (uint32_t i = 0; i < 4; i++) s.out[m][n][i] = 0;
    }
}

template <class T, int DIM, int M>
static __global__ void __launch_bounds__(THREADS) flash_kernel(flash_args a)
{
    SHARED_ALL(shared);
    const uint32_t rows = WARPS * 16 * M, tiles = (a.q_tokens + rows - 1) / rows;
    const uint32_t sequence = blockIdx.x / tiles, first = blockIdx.x % tiles * rows;
    const uint32_t head = blockIdx.y, tile_bytes = KEYS * DIM * 2;
    const uint32_t keys = a.lengths ? a.lengths[sequence] : a.k_tokens;
    const uint32_t last = min(first + rows, a.q_tokens) - 1; /* its query sees the most keys */
    const uint32_t end = a.is_causal ? min(keys, last + a.k_tokens - a.q_tokens + 1) : keys;
    const uint32_t steps = a.lengths && first >= keys ? 0 : (end + KEYS - 1) / KEYS;
    const int64_t q_first = static_cast<int64_t>(sequence) * a.q_tokens;
    const int64_t k_first = static_cast<int64_t>(sequence) * a.k_tokens;
    const bf16 *const q = static_cast<const bf16 *>(a.q) + q_first * a.q_stride + head * DIM;
    const bf16 *const k =
        static_cast<const bf16 *>(a.k) + k_first * a.k_stride + head / a.group * DIM;
    const bf16 *const v =
        static_cast<const bf16 *>(a.v) + k_first * a.v_stride + head / a.group * DIM;
    unsigned char *const k_tile = shared + rows * DIM * 2, *const v_tile = k_tile + 2 * tile_bytes;
    state<DIM, M> s;
    begin(s, a, first, keys);
    if (steps) {
        copy_rows<DIM, WARPS * 16 * M>(shared, q, a.q_stride, first, a.q_tokens);
        copy_rows<DIM, KEYS>(k_tile, k, a.k_stride, 0, end);
        copy_rows<DIM, KEYS>(v_tile, v, a.v_stride, 0, end);
    }
    cp_async_commit();
    for (uint32_t step = 0; step < steps; step++) {
        const uint32_t at = step * KEYS, here = step % 2 * tile_bytes;
        const uint32_t next = tile_bytes - here;
        float score[M][KEYS / 8][4];
        if (step + 1 < steps) {
            copy_rows<DIM, KEYS>(k_tile + next, k, a.k_stride, at + KEYS, end);
            copy_rows<DIM, KEYS>(v_tile + next, v, a.v_stride, at + KEYS, end);
        }
        cp_async_commit(); /* maybe of nothing, so that one group is always behind */
        cp_async_wait<1>();
        __syncthreads();
        if (step == 0) read_queries<T>(s, shared);
        multiply_keys<T>(score, s, k_tile + here);
        const bool is_masked = at + KEYS > end || a.is_causal || a.lengths;
        rescale(score, s, at, a.scale, is_masked);
        add_values<T>(s, score, v_tile + here);
        __syncthreads(); /* before the next copies land here */
    }
    write_results(s, static_cast<T *>(a.out) + q_first * a.out_stride + head * DIM, a.out_stride,
                  first, a.q_tokens);
}

template <class T, int DIM, int M>
static void launch(const struct op_attention *op, const flash_args &a, cudaStream_t stream)
{
    const uint32_t rows = WARPS * 16 * M, tiles = (op->q_tokens + rows - 1) / rows;
    const size_t bytes = static_cast<size_t>(rows + 4 * KEYS) * DIM * 2;
    launch_shared_bytes(flash_kernel<T, DIM, M>, bytes);
    LAUNCH((flash_kernel<T, DIM, M>), dim3(tiles * op->sequences, op->heads), THREADS, bytes,
           stream, a);
}

template <class T>
static void launch_type(const struct op_attention *op, const flash_args &a, cudaStream_t stream)
{
    if (op->head_dim == 128)
        launch<T, 128, 1>(op, a, stream);
    else if (op->q_tokens > WARPS * 16)
        launch<T, 64, 2>(op, a, stream);
    else
        launch<T, 64, 1>(op, a, stream);
}

static bool is_aligned(const void *data, int64_t stride, int64_t numbers)
{
    return reinterpret_cast<uintptr_t>(data) % (static_cast<uintptr_t>(numbers) * 2) == 0 &&
           stride % numbers == 0;
}

bool cuda_flash(const struct op_attention *op, cudaStream_t stream)
{
    if (op->dtype == DTYPE_F32 || (op->head_dim != 64 && op->head_dim != 128)) return false;
    if (!is_aligned(op->q, op->q_stride, 8) || !is_aligned(op->k, op->k_stride, 8) ||
        !is_aligned(op->v, op->v_stride, 8) || !is_aligned(op->out, op->out_stride, 2))
        return false;
    const flash_args a = {op->q,
                          op->k,
                          op->v,
                          op->out,
                          op->q_stride,
                          op->k_stride,
                          op->v_stride,
                          op->out_stride,
                          op->q_tokens,
                          op->k_tokens,
                          op->heads / op->kv_heads,
                          op->lengths,
                          op->causal,
                          op->scale * LOG2_E};
    if (op->dtype == DTYPE_BF16)
        launch_type<bf16>(op, a, stream);
    else
        launch_type<f16>(op, a, stream);
    return true;
}
