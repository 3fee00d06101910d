/* linear.c - weights, and what is multiplied with them. */
#include "common/base/check.h"
#include "common/base/mem.h"
#include "worker/nn/reference/reference.h"

#include <math.h>

float reference_round_i8(float *level, const float *x, int64_t count)
{
    float max = 0;
    for (int64_t i = 0; i < count; i++) max = fmaxf(max, fabsf(x[i]));
    const bool is_zero = max < 0x1p-100f;
    const float factor = is_zero ? 0 : 127 / max;
    for (int64_t i = 0; i < count; i++) level[i] = fmaxf(-127, fminf(127, rintf(x[i] * factor)));
    return is_zero ? 0 : max / 127;
}

static void round_row(float *row, float *scale, enum dtype dtype, int64_t columns)
{
    *scale = 1;
    if (dtype == DTYPE_I8) {
        *scale = reference_round_i8(row, row, columns);
        return;
    }
    for (int64_t k = 0; k < columns; k++) {
        uint32_t rounded;
        reference_put(dtype, &rounded, 0, row[k]);
        row[k] = (float)reference_get(dtype, &rounded, 0);
    }
}

int reference_weight_new(struct backend *backend, struct backend_weight **weight,
                         const struct tensor *parts, uint32_t parts_count, int64_t columns,
                         enum dtype dtype, struct err *err)
{
    int64_t rows = 0, row = 0;
    (void)backend;
    CHECK(dtype == DTYPE_I8 || dtype_is_real(dtype));
    for (uint32_t p = 0; p < parts_count; p++) {
        CHECK(dtype_is_real(parts[p].dtype));
        CHECK(parts[p].shape[0] >= 1);
        rows += parts[p].shape[0];
    }
    const size_t bytes = (size_t)(rows + rows * columns) * sizeof(float);
    struct reference_weight *new = mem_new(sizeof *new);
    new->scale = mem_try(bytes);
    if (!new->scale) {
        mem_free(new);
        return err_set(err, ERR_LIMIT, "a weight of %zu bytes does not fit in memory", bytes);
    }
    new->number = new->scale + rows;
    new->base = (struct backend_weight){rows, columns, dtype, bytes};
    for (uint32_t p = 0; p < parts_count; p++) {
        const int64_t own_columns = tensor_count(&parts[p]) / parts[p].shape[0];
        CHECK(own_columns <= columns);
        for (int64_t n = 0; n < parts[p].shape[0]; n++, row++) {
            float *to = new->number + row *columns;
            for (int64_t k = 0; k < own_columns; k++)
                to[k] = (float)reference_get(parts[p].dtype, parts[p].data, n * own_columns + k);
            round_row(to, &new->scale[row], dtype, columns);
        }
    }
    *weight = &new->base;
    return 0;
}

void reference_weight_free(struct backend *backend, struct backend_weight *weight)
{
    struct reference_weight *own = (struct reference_weight *)weight;
    (void)backend;
    if (!own) return;
    mem_free(own->scale);
    mem_free(own);
}

void reference_linear(struct backend *backend, const struct op_linear *op)
{
    const struct reference_weight *weight = (const struct reference_weight *)op->weight;
    const int64_t columns = weight->base.columns, width = weight->base.rows;
    const int64_t rows = tensor_count(&op->x) / columns;
    float *x = mem_try((size_t)columns * sizeof *x), scale;
    if (!x) {
        backend_fail(backend, ERR_LIMIT, "a row of %lld numbers does not fit in memory",
                     (long long)columns);
        return;
    }
    for (int64_t m = 0; m < rows; m++) {
        for (int64_t k = 0; k < columns; k++)
            x[k] = (float)reference_get(op->x.dtype, op->x.data, m * columns + k);
        round_row(x, &scale, weight->base.dtype, columns);
        for (int64_t n = 0; n < width; n++) {
            const float *w = weight->number + n * columns;
            double sum = 0;
            for (int64_t k = 0; k < columns; k++) sum += (double)x[k] * w[k];
            sum *= (double)scale * weight->scale[n];
            if (op->bias.data) sum += reference_get(DTYPE_F32, op->bias.data, n);
            sum = reference_activation(op->activation, sum);
            if (op->residual.data)
                sum += reference_get(op->residual.dtype, op->residual.data, m * width + n);
            reference_put(op->out.dtype, op->out.data, m * width + n, sum);
        }
    }
    mem_free(x);
}
