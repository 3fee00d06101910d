/* rows.c - the ops that take a row, or a number, at a time: norm, unit, map, and what gathers. */
#include "common/base/check.h"
#include "worker/nn/reference/reference.h"

#include <math.h>

double reference_get(enum dtype dtype, const void *data, int64_t i)
{
    if (dtype == DTYPE_F32) return ((const float *)data)[i];
    if (dtype == DTYPE_BF16) return bf16_to_f32(((const uint16_t *)data)[i]);
    CHECK(dtype == DTYPE_F16);
    return f16_to_f32(((const uint16_t *)data)[i]);
}

void reference_put(enum dtype dtype, void *data, int64_t i, double value)
{
    if (dtype == DTYPE_F32) {
        ((float *)data)[i] = (float)value;
    } else if (dtype == DTYPE_BF16) {
        ((uint16_t *)data)[i] = bf16_of_f32((float)value);
    } else {
        CHECK(dtype == DTYPE_F16);
        ((uint16_t *)data)[i] = f16_of_f32((float)value);
    }
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

double reference_activation(enum activation activation, double x)
{
    const double root_half = 0.70710678118654752440, root_2_over_pi = 0.79788456080286535588;
    switch (activation) {
    case ACTIVATION_NONE:
        return x;
    case ACTIVATION_QUICK_GELU:
        return x * sigmoid(1.702 * x);
    case ACTIVATION_GELU: /* 1 + erf(z) = erfc(-z), which keeps its digits where it is small */
        return x * erfc(-x * root_half) / 2;
    case ACTIVATION_GELU_TANH: /* (1 + tanh(z)) / 2 = sigmoid(2 z) */
        return x * sigmoid(2 * root_2_over_pi * (x + 0.044715 * x * x * x));
    case ACTIVATION_SILU:
        return x * sigmoid(x);
    case ACTIVATIONS_COUNT:
        break;
    }
    CHECK(false);
    return 0;
}

void reference_map(struct backend *backend, const struct op_map *op)
{
    const int64_t count = tensor_count(&op->x);
    (void)backend;
    for (int64_t i = 0; i < count; i++) {
        const double x = reference_get(op->x.dtype, op->x.data, i);
        reference_put(op->out.dtype, op->out.data, i, reference_activation(op->activation, x));
    }
}

static int64_t columns_of(const struct tensor *tensor)
{
    return tensor->shape[tensor->rank - 1];
}

/* Element i of x + residual, where there is one. */
static double norm_input(const struct op_norm *op, int64_t i)
{
    const double x = reference_get(op->x.dtype, op->x.data, i);
    if (!op->residual.data) return x;
    return x + reference_get(op->residual.dtype, op->residual.data, i);
}

void reference_norm(struct backend *backend, const struct op_norm *op)
{
    const int64_t columns = columns_of(&op->x), rows = tensor_count(&op->x) / columns;
    const double count = (double)columns;
    (void)backend;
    for (int64_t m = 0; m < rows; m++) {
        const int64_t at = m * columns;
        double mean = 0, square = 0;
        if (op->kind == NORM_LAYER)
            for (int64_t n = 0; n < columns; n++) mean += norm_input(op, at + n) / count;
        for (int64_t n = 0; n < columns; n++) {
            const double centred = norm_input(op, at + n) - mean;
            square += centred * centred / count;
        }
        for (int64_t n = 0; n < columns; n++) {
            const double x = norm_input(op, at + n);
            double y = (x - mean) / sqrt(square + op->eps);
            y *= reference_get(DTYPE_F32, op->weight.data, n);
            if (op->bias.data) y += reference_get(DTYPE_F32, op->bias.data, n);
            if (op->sum.data) reference_put(op->sum.dtype, op->sum.data, at + n, x);
            reference_put(op->out.dtype, op->out.data, at + n, y);
        }
    }
}

void reference_unit(struct backend *backend, const struct op_unit *op)
{
    const int64_t columns = columns_of(&op->x), rows = tensor_count(&op->x) / columns;
    (void)backend;
    for (int64_t m = 0; m < rows; m++) {
        const int64_t at = m * columns;
        double square = 0;
        for (int64_t n = 0; n < columns; n++) {
            const double x = reference_get(op->x.dtype, op->x.data, at + n);
            square += x * x;
        }
        for (int64_t n = 0; n < columns; n++) {
            const double x = reference_get(op->x.dtype, op->x.data, at + n);
            reference_put(op->out.dtype, op->out.data, at + n, square == 0 ? x : x / sqrt(square));
        }
    }
}

void reference_vision_tokens(struct backend *backend, const struct op_vision_tokens *op)
{
    const int64_t count = op->out.shape[0], tokens = op->out.shape[1];
    const int64_t columns = columns_of(&op->out);
    (void)backend;
    for (int64_t b = 0; b < count; b++)
        for (int64_t t = 0; t < tokens; t++)
            for (int64_t n = 0; n < columns; n++) {
                const int64_t patch = (b * (tokens - 1) + t - 1) * columns + n;
                double y = t == 0 ? reference_get(DTYPE_F32, op->class_token.data, n)
                                  : reference_get(op->patches.dtype, op->patches.data, patch);
                y += reference_get(DTYPE_F32, op->position.data, t * columns + n);
                reference_put(op->out.dtype, op->out.data, (b * tokens + t) * columns + n, y);
            }
}

void reference_embed(struct backend *backend, const struct op_embed *op)
{
    const int64_t columns = columns_of(&op->table), tokens = op->ids.shape[1];
    const int64_t rows = op->ids.shape[0] * tokens;
    const uint32_t *ids = op->ids.data;
    (void)backend;
    for (int64_t m = 0; m < rows; m++)
        for (int64_t n = 0; n < columns; n++) {
            double y = reference_get(op->table.dtype, op->table.data, ids[m] * columns + n);
            if (op->position.data)
                y += reference_get(DTYPE_F32, op->position.data, m % tokens * columns + n);
            reference_put(op->out.dtype, op->out.data, m * columns + n, y);
        }
}

void reference_rows(struct backend *backend, const struct op_rows *op)
{
    const int64_t columns = columns_of(&op->x), rows = tensor_count(&op->out) / columns;
    (void)backend;
    for (int64_t m = 0; m < rows; m++) {
        CHECK(op->index[m] < tensor_count(&op->x) / columns);
        for (int64_t n = 0; n < columns; n++) {
            const double x = reference_get(op->x.dtype, op->x.data, op->index[m] * columns + n);
            reference_put(op->out.dtype, op->out.data, m * columns + n, x);
        }
    }
}
