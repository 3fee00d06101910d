/* grid.c - the ops over pictures and sequences: patches, pool, attention. */
#include "common/base/check.h"
#include "common/base/mem.h"
#include "worker/nn/reference/reference.h"

#include <math.h>

void reference_patches(struct backend *backend, const struct op_patches *op)
{
    const int64_t side = op->pixels.shape[1], p = op->patch, g = side / p;
    const int64_t columns = op->out.shape[op->out.rank - 1];
    const int64_t rows = op->pixels.shape[0] * g * g;
    const uint8_t *pixels = op->pixels.data;
    (void)backend;
    for (int64_t row = 0; row < rows; row++) {
        const int64_t b = row / (g * g), i = row / g % g, j = row % g;
        for (int64_t column = 0; column < columns; column++) {
            const int64_t c = column / (p * p), y = column / p % p, x = column % p;
            double level = 0;
            if (c < 3) {
                const int64_t at = (b * side + i * p + y) * side + j * p + x;
                level = reference_get(DTYPE_F32, op->table.data, c * 256 + pixels[at * 3 + c]);
            }
            reference_put(op->out.dtype, op->out.data, row * columns + column, level);
        }
    }
}

void reference_pool(struct backend *backend, const struct op_pool *op)
{
    const int64_t tokens = op->x.shape[1], columns = op->x.shape[2], window = op->window;
    const int64_t first = tokens - op->grid * op->grid, side = op->grid / window;
    const int64_t rows = op->x.shape[0] * side * side;
    (void)backend;
    for (int64_t row = 0; row < rows; row++) {
        const int64_t b = row / (side * side), i = row / side % side, j = row % side;
        for (int64_t n = 0; n < columns; n++) {
            double sum = 0;
            for (int64_t y = i * window; y < (i + 1) * window; y++)
                for (int64_t x = j * window; x < (j + 1) * window; x++) {
                    const int64_t token = b * tokens + first + y * op->grid + x;
                    sum += reference_get(op->x.dtype, op->x.data, token * columns + n);
                }
            sum /= (double)(window * window);
            reference_put(op->out.dtype, op->out.data, row * columns + n, sum);
        }
    }
}

/* One query of one head: key_count keys, whose vectors begin at k and v. score has room for them.
 * Offsets are in elements. */
static void attend(const struct op_attention *op, int64_t q, int64_t k, int64_t v, int64_t out,
                   int64_t keys_count, double *score)
{
    double max = -INFINITY, total = 0;
    for (int64_t t = 0; t < keys_count; t++) {
        double sum = 0;
        for (int64_t i = 0; i < op->head_dim; i++)
            sum += reference_get(op->dtype, op->q, q + i) *
                   reference_get(op->dtype, op->k, k + t * op->k_stride + i);
        score[t] = sum * op->scale;
        max = fmax(max, score[t]);
    }
    for (int64_t t = 0; t < keys_count; t++) {
        score[t] = exp(score[t] - max);
        total += score[t];
    }
    for (int64_t i = 0; i < op->head_dim; i++) {
        double sum = 0;
        for (int64_t t = 0; t < keys_count; t++)
            sum += score[t] * reference_get(op->dtype, op->v, v + t * op->v_stride + i);
        reference_put(op->dtype, op->out, out + i, keys_count ? sum / total : 0);
    }
}

void reference_attention(struct backend *backend, const struct op_attention *op)
{
    const int64_t group = op->heads / op->kv_heads, dim = op->head_dim;
    double *score = mem_try(op->k_tokens * sizeof *score);
    if (!score) {
        backend_fail(backend, ERR_LIMIT, "the scores of %u keys do not fit in memory",
                     op->k_tokens);
        return;
    }
    for (int64_t s = 0; op->lengths && s < op->sequences; s++)
        CHECK(op->lengths[s] <= op->k_tokens);
    for (int64_t s = 0; s < op->sequences; s++)
        for (int64_t t = 0; t < op->q_tokens; t++)
            for (int64_t head = 0; head < op->heads; head++) {
                const int64_t query = s * op->q_tokens + t, key = s * op->k_tokens;
                int64_t keys_count = op->lengths ? op->lengths[s] : op->k_tokens;
                if (op->lengths && t >= op->lengths[s]) keys_count = 0;
                if (op->causal && keys_count > t + op->k_tokens - op->q_tokens + 1)
                    keys_count = t + op->k_tokens - op->q_tokens + 1;
                attend(op, query * op->q_stride + head * dim,
                       key * op->k_stride + head / group * dim,
                       key * op->v_stride + head / group * dim, query * op->out_stride + head * dim,
                       keys_count, score);
            }
    mem_free(score);
}
