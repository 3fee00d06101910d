/* kernel_map.cu - numbers one by one: activations, conversions, what is left of linear. */
#include "worker/nn/cuda/kernels.h"
#include "worker/nn/cuda/rows.h"

#define THREADS 256

static __device__ __forceinline__ float sigmoid(float x)
{
    return 1 / (1 + expf(-x));
}

static __device__ __forceinline__ float activated(enum activation activation, float x)
{
    const float root_half = 0.70710678118654752440f, root_2_over_pi = 0.79788456080286535588f;
    switch (activation) {
    case ACTIVATION_QUICK_GELU:
        return x * sigmoid(1.702f * x);
    case ACTIVATION_GELU: /* 1 + erf(z) = erfc(-z), which keeps its digits where it is small */
        return x * (0.5f * erfcf(-x * root_half));
    case ACTIVATION_GELU_TANH: /* (1 + tanh(z)) / 2 = sigmoid(2 z) */
        return x * sigmoid(2 * root_2_over_pi * fmaf(0.044715f * x * x, x, x));
    case ACTIVATION_SILU:
        return x * sigmoid(x);
    case ACTIVATION_NONE:
    case ACTIVATIONS_COUNT:
        break;
    }
    return x;
}

struct map_args {
    reals product, out, bias, residual;
    int64_t rows, columns;
};

template <enum activation ACTIVATION>
static __global__ void __launch_bounds__(THREADS) map_kernel(map_args a)
{
    const place p = own_place(a.columns, THREADS);
    const int64_t count = a.columns - p.column;
    float v[GROUP];
    if (p.row >= a.rows) return;
    read_group(v, a.product, p.at, count);
    if (a.bias.data) add_group(v, a.bias, p.column, count);
#pragma unroll
    for (int i = 0; i < GROUP; i++) v[i] = activated(ACTIVATION, v[i]);
    if (a.residual.data) add_group(v, a.residual, p.at, count);
    write_group(a.out, p.at, v, count);
}

static void launch(enum activation activation, const map_args &a, cudaStream_t stream)
{
    const dim3 grid = blocks_of(a.rows * groups_of(a.columns), THREADS);
    switch (activation) {
    case ACTIVATION_NONE:
        LAUNCH(map_kernel<ACTIVATION_NONE>, grid, THREADS, 0, stream, a);
        return;
    case ACTIVATION_QUICK_GELU:
        LAUNCH(map_kernel<ACTIVATION_QUICK_GELU>, grid, THREADS, 0, stream, a);
        return;
    case ACTIVATION_GELU:
        LAUNCH(map_kernel<ACTIVATION_GELU>, grid, THREADS, 0, stream, a);
        return;
    case ACTIVATION_GELU_TANH:
        LAUNCH(map_kernel<ACTIVATION_GELU_TANH>, grid, THREADS, 0, stream, a);
        return;
    case ACTIVATION_SILU:
        LAUNCH(map_kernel<ACTIVATION_SILU>, grid, THREADS, 0, stream, a);
        return;
    case ACTIVATIONS_COUNT:
        break;
    }
}

/* All numbers as one row. */
void cuda_map(const struct op_map *op, cudaStream_t stream)
{
    const reals none = {NULL, DTYPE_F32, false};
    launch(
        op->activation,
        map_args{reals_of_row(&op->x), reals_of_row(&op->out), none, none, 1, tensor_count(&op->x)},
        stream);
}

void cuda_epilogue(const struct epilogue *op, cudaStream_t stream)
{
    const int64_t columns = columns_of(&op->out), rows = tensor_count(&op->out) / columns;
    const map_args a = {reals_of(&op->product, columns),
                        reals_of(&op->out, columns),
                        reals_of(&op->bias, columns),
                        reals_of(&op->residual, columns),
                        rows,
                        columns};
    launch(op->activation, a, stream);
}
