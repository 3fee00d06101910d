/* kernel_norm.cu - norm and unit: a warp for each row.
 *
 * Group g of a row belongs to lane g % 32. Rows of up to 1280 numbers stay in registers between the
 * passes over them; longer ones are read again. */
#include "worker/nn/cuda/kernels.h"
#include "worker/nn/cuda/rows.h"

#define THREADS 128
#define WARPS   (THREADS / WARP_LANES)
#define STEP    (WARP_LANES * GROUP) /* numbers from a lane's group to its next */

struct norm_args {
    reals x, out, residual, sum, weight, bias;
    int64_t rows, columns;
    float eps;
    bool is_rms;
};

/* Which row this warp takes; its lane's first column. */
static __device__ __forceinline__ int64_t own_row()
{
    return static_cast<int64_t>(blockIdx.x) * WARPS + threadIdx.x / WARP_LANES;
}

static __device__ __forceinline__ int64_t own_column()
{
    return static_cast<int64_t>(threadIdx.x % WARP_LANES) * GROUP;
}

static __device__ __forceinline__ void read_input(float (&v)[GROUP], const norm_args &a, int64_t at,
                                                  int64_t count)
{
    read_group(v, a.x, at, count);
    if (a.residual.data) add_group(v, a.residual, at, count);
}

static __device__ __forceinline__ float group_sum(const float (&v)[GROUP])
{
    float sum = 0;
#pragma unroll
    for (int i = 0; i < GROUP; i++) sum += v[i];
    return sum;
}

static __device__ __forceinline__ float group_square(const float (&v)[GROUP], float mean,
                                                     int64_t count)
{
    float sum = 0;
#pragma unroll
    for (int i = 0; i < GROUP; i++) {
        const float x = v[i] - mean;
        if (i < count) sum = fmaf(x, x, sum);
    }
    return sum;
}

static __device__ __forceinline__ void write_normed(const norm_args &a, int64_t at, int64_t column,
                                                    float (&v)[GROUP], float mean, float scale)
{
    const int64_t count = a.columns - column;
    float weight[GROUP], bias[GROUP] = {0};
    if (a.sum.data) write_group(a.sum, at + column, v, count);
    read_group(weight, a.weight, column, count);
    if (a.bias.data) read_group(bias, a.bias, column, count);
#pragma unroll
    for (int i = 0; i < GROUP; i++) v[i] = fmaf((v[i] - mean) * scale, weight[i], bias[i]);
    write_group(a.out, at + column, v, count);
}

/* GROUPS: of a lane at most. */
template <int GROUPS> static __global__ void __launch_bounds__(THREADS) norm_kernel(norm_args a)
{
    const int64_t row = own_row(), at = row * a.columns, first = own_column();
    const float count = static_cast<float>(a.columns);
    float v[GROUPS][GROUP], mean = 0, square = 0;
    if (row >= a.rows) return;
#pragma unroll
    for (int g = 0; g < GROUPS; g++) {
        const int64_t column = first + g * STEP;
        if (column < a.columns) read_input(v[g], a, at + column, a.columns - column);
    }
    if (!a.is_rms) {
#pragma unroll
        for (int g = 0; g < GROUPS; g++)
            if (first + g * STEP < a.columns) mean += group_sum(v[g]);
        mean = warp_sum(mean) / count;
    }
#pragma unroll
    for (int g = 0; g < GROUPS; g++) {
        const int64_t column = first + g * STEP;
        if (column < a.columns) square += group_square(v[g], mean, a.columns - column);
    }
    const float scale = 1 / sqrtf(warp_sum(square) / count + a.eps);
#pragma unroll
    for (int g = 0; g < GROUPS; g++) {
        const int64_t column = first + g * STEP;
        if (column < a.columns) write_normed(a, at, column, v[g], mean, scale);
    }
}

static __global__ void __launch_bounds__(THREADS) norm_long_kernel(norm_args a)
{
    const int64_t row = own_row(), at = row * a.columns, first = own_column();
    const float count = static_cast<float>(a.columns);
    float v[GROUP], mean = 0, square = 0;
    if (row >= a.rows) return;
    if (!a.is_rms) {
        for (int64_t column = first; column < a.columns; column += STEP) {
            read_input(v, a, at + column, a.columns - column);
            mean += group_sum(v);
        }
        mean = warp_sum(mean) / count;
    }
    for (int64_t column = first; column < a.columns; column += STEP) {
        read_input(v, a, at + column, a.columns - column);
        square += group_square(v, mean, a.columns - column);
    }
    const float scale = 1 / sqrtf(warp_sum(square) / count + a.eps);
    for (int64_t column = first; column < a.columns; column += STEP) {
        read_input(v, a, at + column, a.columns - column);
        write_normed(a, at, column, v, mean, scale);
    }
}

void cuda_norm(const struct op_norm *op, cudaStream_t stream)
{
    const int64_t columns = columns_of(&op->x), rows = tensor_count(&op->x) / columns;
    norm_args a = {reals_of(&op->x, columns),
                   reals_of(&op->out, columns),
                   reals_of(&op->residual, columns),
                   reals_of(&op->sum, columns),
                   reals_of(&op->weight, columns),
                   reals_of(&op->bias, columns),
                   rows,
                   columns,
                   op->eps,
                   op->kind == NORM_RMS};
    const dim3 grid = blocks_of(rows, WARPS);
    const int64_t groups = (columns + STEP - 1) / STEP;
    if (groups <= 3) /* 768 columns */
        LAUNCH(norm_kernel<3>, grid, THREADS, 0, stream, a);
    else if (groups <= 4) /* 1024 */
        LAUNCH(norm_kernel<4>, grid, THREADS, 0, stream, a);
    else if (groups <= 5) /* 1280 */
        LAUNCH(norm_kernel<5>, grid, THREADS, 0, stream, a);
    else
        LAUNCH(norm_long_kernel, grid, THREADS, 0, stream, a);
}

/* The power of two that brings a size to [1, 2), so that its square is neither 0 nor infinite. A
 * subnormal number comes near it. */
static __device__ __forceinline__ float unit_scale(float size)
{
    const uint32_t exponent = __float_as_uint(size) >> 23;
    return __uint_as_float(exponent < 253 ? (254 - exponent) << 23 : 1u << 23);
}

static __global__ void __launch_bounds__(THREADS)
    unit_kernel(reals x, reals out, int64_t rows, int64_t columns)
{
    const int64_t row = own_row(), at = row * columns, first = own_column();
    float v[GROUP], max = 0, square = 0;
    if (row >= rows) return;
    for (int64_t column = first; column < columns; column += STEP) {
        read_group(v, x, at + column, columns - column);
        for (int i = 0; i < GROUP; i++) max = fmaxf(max, fabsf(v[i]));
    }
    const float scale = unit_scale(warp_max(max));
    for (int64_t column = first; column < columns; column += STEP) {
        read_group(v, x, at + column, columns - column);
        for (int i = 0; i < GROUP; i++) square = fmaf(v[i] * scale, v[i] * scale, square);
    }
    square = warp_sum(square);
    const float length = square == 0 ? 1 : sqrtf(square);
    for (int64_t column = first; column < columns; column += STEP) {
        read_group(v, x, at + column, columns - column);
        for (int i = 0; i < GROUP; i++) v[i] = v[i] * scale / length;
        write_group(out, at + column, v, columns - column);
    }
}

void cuda_unit(const struct op_unit *op, cudaStream_t stream)
{
    const int64_t columns = columns_of(&op->x), rows = tensor_count(&op->x) / columns;
    LAUNCH(unit_kernel, blocks_of(rows, WARPS), THREADS, 0, stream, reals_of(&op->x, columns),
           reals_of(&op->out, columns), rows, columns);
}
