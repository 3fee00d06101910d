/* kernel_rows.c - the ops that take their rows one by one: rows [first, first + count) of out.
 *
 * Sums along a row have 16 lanes, element i in lane i % 16, added as vec_sum does. Any op is passed
 * as const void *, so that one function spreads them all over the threads. */
#include "worker/nn/cpu/kernel_set.h"
#include "worker/nn/cpu/math.h"

SIMD_INLINE size_t columns_of(const struct tensor *tensor)
{
    return (size_t)tensor->shape[tensor->rank - 1];
}

/* Elements at and on of x, with those of the residual where there is one; zeros behind count. */
SIMD_INLINE vec norm_input(const struct op_norm *op, size_t at, size_t count)
{
    const vec x = vec_read(op->x.data, op->x.dtype, at, count);
    if (!op->residual.data) return x;
    return vec_add(x, vec_read(op->residual.data, op->residual.dtype, at, count));
}

/* Lanes below count; 0 elsewhere. */
SIMD_INLINE vec only_first(vec x, size_t count)
{
    static const float lane[VEC_LANES] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const float bound = count < VEC_LANES ? (float)count : VEC_LANES;
    return vec_select(vec_less(vec_load(lane), vec_all(bound)), x, vec_all(0));
}

/* A row's mean, and one over the root of its mean square distance from it, in all lanes. */
SIMD_INLINE void norm_statistics(vec *mean, vec *scale, const struct op_norm *op, size_t at,
                                 size_t columns)
{
    const vec count = vec_all((float)columns);
    vec sum = vec_all(0);
    *mean = vec_all(0);
    if (op->kind == NORM_LAYER) {
        for (size_t n = 0; n < columns; n += VEC_LANES)
            sum = vec_add(sum, norm_input(op, at + n, columns - n));
        *mean = vec_div(vec_all(vec_sum(sum)), count);
    }
    sum = vec_all(0);
    for (size_t n = 0; n < columns; n += VEC_LANES) {
        const vec x = vec_sub(norm_input(op, at + n, columns - n), *mean);
        const vec seen = only_first(x, columns - n);
        sum = vec_fma(seen, seen, sum);
    }
    const vec square = vec_div(vec_all(vec_sum(sum)), count);
    *scale = vec_div(vec_all(1), vec_sqrt(vec_add(square, vec_all(op->eps))));
}

void CPU_NAME(kernel_norm)(const void *any, size_t first, size_t count)
{
    const struct op_norm *op = any;
    const size_t columns = columns_of(&op->x);
    vec mean, scale;
    for (size_t at = first * columns; at < (first + count) * columns; at += columns) {
        norm_statistics(&mean, &scale, op, at, columns);
        for (size_t n = 0; n < columns; n += VEC_LANES) {
            const size_t some = columns - n;
            const vec x = norm_input(op, at + n, some);
            const vec weight = vec_read(op->weight.data, DTYPE_F32, n, some);
            vec bias = vec_all(0);
            if (op->bias.data) bias = vec_read(op->bias.data, DTYPE_F32, n, some);
            const vec y = vec_fma(vec_mul(vec_sub(x, mean), scale), weight, bias);
            if (op->sum.data) vec_write(op->sum.data, op->sum.dtype, at + n, x, some);
            vec_write(op->out.data, op->out.dtype, at + n, y, some);
        }
    }
}

/* The power of two that brings a size to [1, 2), so that its square is neither 0 nor infinite. A
 * subnormal number comes near it. */
SIMD_INLINE float unit_scale(float size)
{
    const uint32_t exponent = f32_bits(size) >> 23;
    return f32_of_bits(exponent < 253 ? (254 - exponent) << 23 : 1u << 23);
}

void CPU_NAME(kernel_unit)(const void *any, size_t first, size_t count)
{
    const struct op_unit *op = any;
    const size_t columns = columns_of(&op->x);
    for (size_t at = first * columns; at < (first + count) * columns; at += columns) {
        vec largest = vec_all(0), sum = vec_all(0);
        for (size_t n = 0; n < columns; n += VEC_LANES) {
            const vec x = vec_read(op->x.data, op->x.dtype, at + n, columns - n);
            largest = vec_max(vec_abs(x), largest);
        }
        const vec scale = vec_all(unit_scale(vec_largest(largest)));
        for (size_t n = 0; n < columns; n += VEC_LANES) {
            const vec x = vec_read(op->x.data, op->x.dtype, at + n, columns - n);
            const vec scaled = vec_mul(x, scale);
            sum = vec_fma(scaled, scaled, sum);
        }
        const float square = vec_sum(sum);
        /* A row of zeros is divided by 1. */
        const vec length = vec_sqrt(vec_all(square == 0 ? 1 : square));
        for (size_t n = 0; n < columns; n += VEC_LANES) {
            const vec x = vec_read(op->x.data, op->x.dtype, at + n, columns - n);
            const vec y = vec_div(vec_mul(x, scale), length);
            vec_write(op->out.data, op->out.dtype, at + n, y, columns - n);
        }
    }
}

/* The items are numbers. */
SIMD_INLINE void map_all(const struct op_map *op, enum activation activation, size_t first,
                         size_t count)
{
    const void *x = op->x.data;
    void *out = op->out.data;
    for (size_t n = 0; n < count; n += VEC_LANES) {
        const vec y = vec_activate(vec_read(x, op->x.dtype, first + n, count - n), activation);
        vec_write(out, op->out.dtype, first + n, y, count - n);
    }
}

void CPU_NAME(kernel_map)(const void *any, size_t first, size_t count)
{
    const struct op_map *op = any;
    switch (op->activation) {
    case ACTIVATION_QUICK_GELU:
        map_all(op, ACTIVATION_QUICK_GELU, first, count);
        return;
    case ACTIVATION_GELU:
        map_all(op, ACTIVATION_GELU, first, count);
        return;
    case ACTIVATION_GELU_TANH:
        map_all(op, ACTIVATION_GELU_TANH, first, count);
        return;
    case ACTIVATION_SILU:
        map_all(op, ACTIVATION_SILU, first, count);
        return;
    case ACTIVATION_NONE:
    case ACTIVATIONS_COUNT:
        map_all(op, ACTIVATION_NONE, first, count);
    }
}

void CPU_NAME(kernel_vision_tokens)(const void *any, size_t first, size_t count)
{
    const struct op_vision_tokens *op = any;
    const size_t tokens = (size_t)op->out.shape[1], columns = columns_of(&op->out);
    for (size_t row = first; row < first + count; row++) {
        const size_t picture = row / tokens, token = row % tokens;
        const size_t patch = (picture * (tokens - 1) + token - 1) * columns;
        for (size_t n = 0; n < columns; n += VEC_LANES) {
            const size_t some = columns - n;
            const vec x = token == 0
                              ? vec_read(op->class_token.data, DTYPE_F32, n, some)
                              : vec_read(op->patches.data, op->patches.dtype, patch + n, some);
            const vec place = vec_read(op->position.data, DTYPE_F32, token * columns + n, some);
            vec_write(op->out.data, op->out.dtype, row * columns + n, vec_add(x, place), some);
        }
    }
}

void CPU_NAME(kernel_embed)(const void *any, size_t first, size_t count)
{
    const struct op_embed *op = any;
    const size_t tokens = (size_t)op->ids.shape[1], columns = columns_of(&op->table);
    const uint32_t *ids = op->ids.data;
    for (size_t row = first; row < first + count; row++)
        for (size_t n = 0; n < columns; n += VEC_LANES) {
            const size_t some = columns - n, place = row % tokens * columns + n;
            vec x = vec_read(op->table.data, op->table.dtype, ids[row] * columns + n, some);
            if (op->position.data)
                x = vec_add(x, vec_read(op->position.data, DTYPE_F32, place, some));
            vec_write(op->out.data, op->out.dtype, row * columns + n, x, some);
        }
}

void CPU_NAME(kernel_rows)(const void *any, size_t first, size_t count)
{
    const struct op_rows *op = any;
    const size_t columns = columns_of(&op->x);
    for (size_t row = first; row < first + count; row++)
        for (size_t n = 0; n < columns; n += VEC_LANES) {
            const size_t at = op->index[row] * columns + n;
            const vec x = vec_read(op->x.data, op->x.dtype, at, columns - n);
            vec_write(op->out.data, op->out.dtype, row * columns + n, x, columns - n);
        }
}

void CPU_NAME(kernel_pool)(const void *any, size_t first, size_t count)
{
    const struct op_pool *op = any;
    const size_t tokens = (size_t)op->x.shape[1], columns = columns_of(&op->x);
    const size_t grid = (size_t)op->grid, window = (size_t)op->window, side = grid / window;
    const vec cells = vec_all((float)(window * window));
    for (size_t row = first; row < first + count; row++) {
        const size_t picture = row / (side * side), i = row / side % side, j = row % side;
        const size_t corner = (picture + 1) * tokens - grid * grid + i * window * grid + j * window;
        for (size_t n = 0; n < columns; n += VEC_LANES) {
            vec sum = vec_all(0);
            for (size_t y = 0; y < window; y++)
                for (size_t x = 0; x < window; x++) {
                    const size_t at = (corner + y * grid + x) * columns + n;
                    sum = vec_add(sum, vec_read(op->x.data, op->x.dtype, at, columns - n));
                }
            const vec mean = vec_div(sum, cells);
            vec_write(op->out.data, op->out.dtype, row * columns + n, mean, columns - n);
        }
    }
}

/* A patch's levels looked up in a table of elements of so many bytes, and zeros behind them. */
SIMD_INLINE void copy_levels(uint8_t *out, const uint8_t *table, const uint8_t *pixels,
                             size_t patch, size_t line, size_t columns, const size_t bytes)
{
    size_t column = 0;
    for (size_t c = 0; c < 3; c++)
        for (size_t y = 0; y < patch; y++)
            for (size_t x = 0; x < patch; x++) {
                const size_t level = c * 256 + pixels[(y * line + x) * 3 + c];
                memcpy(out + column++ * bytes, table + level * bytes, bytes);
            }
    memset(out + column * bytes, 0, (columns - column) * bytes);
}

void CPU_NAME(kernel_patches)(const void *any, size_t first, size_t count)
{
    const struct op_patches *op = any;
    const size_t side = (size_t)op->pixels.shape[1], patch = (size_t)op->patch;
    const size_t grid = side / patch, columns = columns_of(&op->out);
    const uint8_t *pixels = op->pixels.data;
    const float *table = op->table.data;
    uint8_t *out = op->out.data;
    uint16_t half[3 * 256];
    if (op->out.dtype != DTYPE_F32)
        for (size_t i = 0; i < 3 * 256; i += VEC_LANES)
            vec_write(half, op->out.dtype, i, vec_load(table + i), VEC_LANES);
    for (size_t row = first; row < first + count; row++) {
        const size_t picture = row / (grid * grid), i = row / grid % grid, j = row % grid;
        const uint8_t *corner = pixels + ((picture * side + i * patch) * side + j * patch) * 3;
        if (op->out.dtype == DTYPE_F32)
            copy_levels(out + row * columns * 4, (const uint8_t *)table, corner, patch, side,
                        columns, 4);
        else
            copy_levels(out + row * columns * 2, (const uint8_t *)half, corner, patch, side,
                        columns, 2);
    }
}
