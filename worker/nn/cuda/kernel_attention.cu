/* kernel_attention.cu - attention of any type and head size: a warp for each query of a head. What
 * kernel_flash.cu takes is its.
 *
 * Keys are taken 32 at a time, one for each lane; the sum of exponentials and the vector of the
 * result are kept beside the largest score so far and scaled down when a larger one comes (online
 * softmax: Milakov and Gimelshein, 2018). */
#include "worker/nn/cuda/kernels.h"
#include "worker/nn/cuda/rows.h"

#define THREADS 128
#define WARPS   (THREADS / WARP_LANES)
#define DIM_MAX 256
#define SHARES  (DIM_MAX / WARP_LANES) /* numbers of the result that a lane has at most */

struct attention_args {
    const void *q, *k, *v;
    void *out;
    int64_t q_stride, k_stride, v_stride, out_stride;
    uint32_t q_tokens, k_tokens, group, dim;
    const uint32_t *lengths;
    bool is_causal;
    float scale;
};

/* Query `token` of sequence s sees so many keys, from the first on. */
static __device__ uint32_t keys_of(const attention_args &a, uint32_t s, uint32_t token)
{
    uint32_t keys = a.k_tokens;
    if (a.lengths) {
        keys = a.lengths[s];
        if (token >= keys) return 0;
    }
    if (a.is_causal) keys = min(keys, token + a.k_tokens - a.q_tokens + 1);
    return keys;
}

template <class T> static __device__ float dot(const float *q, const T *k, uint32_t dim)
{
    float sum = 0;
#pragma unroll 8 /* dim is a multiple of it */
    for (uint32_t i = 0; i < dim; i++) sum = fmaf(q[i], f32_of(k[i]), sum);
    return sum;
}

template <class T>
static __global__ void __launch_bounds__(THREADS) attention_kernel(attention_args a)
{
    SHARED(float, queries, WARPS *DIM_MAX);
    const uint32_t warp = threadIdx.x / WARP_LANES, lane = threadIdx.x % WARP_LANES;
    const uint32_t tiles = (a.q_tokens + WARPS - 1) / WARPS; /* blocks of a sequence */
    const uint32_t s = blockIdx.x / tiles, head = blockIdx.y;
    const uint32_t token = blockIdx.x % tiles * WARPS + warp;
    const int64_t vector = static_cast<int64_t>(s) * a.q_tokens + token;
    float *const q = queries + warp * DIM_MAX;
    if (token >= a.q_tokens) return;
    const int64_t first = static_cast<int64_t>(s) * a.k_tokens, kv = head / a.group * a.dim;
    const T *const k = static_cast<const T *>(a.k) + first * a.k_stride + kv;
    const T *const v = static_cast<const T *>(a.v) + first * a.v_stride + kv;
    const T *const own = static_cast<const T *>(a.q) + vector * a.q_stride + head * a.dim;
    T *const out = static_cast<T *>(a.out) + vector * a.out_stride + head * a.dim;
    const uint32_t keys = keys_of(a, s, token);
    float max = -INFINITY, total = 0, sum[SHARES] = {0};
    for (uint32_t d = lane; d < a.dim; d += WARP_LANES) q[d] = f32_of(own[d]);
    __syncwarp();
    for (uint32_t at = 0; at < keys; at += WARP_LANES) {
        float score = -INFINITY;
        if (at + lane < keys) score = dot(q, k + (at + lane) * a.k_stride, a.dim) * a.scale;
        const float larger = fmaxf(max, warp_max(score)), shrink = expf(max - larger);
        const float share = expf(score - larger);
        max = larger;
        total = fmaf(total, shrink, warp_sum(share));
#pragma unroll
        for (int j = 0; j < SHARES; j++) sum[j] *= shrink;
        for (uint32_t key = 0; key < WARP_LANES && at + key < keys; key++) {
            const float p = __shfl_sync(WARP_ALL, share, static_cast<int>(key));
            const T *const from = v + (at + key) * a.v_stride;
#pragma unroll
            for (uint32_t j = 0; j < SHARES; j++)
                if (lane + j * WARP_LANES < a.dim)
                    sum[j] = fmaf(p, f32_of(from[lane + j * WARP_LANES]), sum[j]);
        }
    }
    const float scale = keys ? 1 / total : 0;
#pragma unroll
    for (uint32_t j = 0; j < SHARES; j++)
        if (lane + j * WARP_LANES < a.dim) out[lane + j * WARP_LANES] = real_of<T>(sum[j] * scale);
}

void cuda_attention(const struct op_attention *op, cudaStream_t stream)
{
    if (cuda_flash(op, stream)) return;
    const attention_args a = {op->q,
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
                              op->head_dim,
                              op->lengths,
                              op->causal,
                              op->scale};
    const dim3 grid((op->q_tokens + WARPS - 1) / WARPS * op->sequences, op->heads);
    if (op->dtype == DTYPE_F32)
        LAUNCH(attention_kernel<float>, grid, THREADS, 0, stream, a);
    else if (op->dtype == DTYPE_BF16)
        LAUNCH(attention_kernel<bf16>, grid, THREADS, 0, stream, a);
    else
        LAUNCH(attention_kernel<f16>, grid, THREADS, 0, stream, a);
}
