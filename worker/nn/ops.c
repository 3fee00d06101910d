/* ops.c - each op's shapes, types and overlaps are checked here, once for every backend.
 *
 * A driver may rely on it: sizes agree, no dimension is 0 (an op without rows or elements is not
 * passed on), and what is written overlaps what is read only where backend.h allows it. A matrix
 * may have more than two dimensions: all but the last are its rows. */
#include "worker/nn/ops.h"

#include "common/base/check.h"

static int64_t columns_of(const struct tensor *tensor)
{
    CHECK(tensor->rank >= 1);
    CHECK(tensor->shape[tensor->rank - 1] >= 1);
    return tensor->shape[tensor->rank - 1];
}

static int64_t rows_of(const struct tensor *tensor)
{
    return tensor_count(tensor) / columns_of(tensor);
}

static bool is_matrix(const struct tensor *tensor, int64_t rows, int64_t columns)
{
    return tensor->data && dtype_is_real(tensor->dtype) && columns_of(tensor) == columns &&
           rows_of(tensor) == rows;
}

static bool is_vector(const struct tensor *tensor, int64_t count)
{
    return tensor->data && tensor->dtype == DTYPE_F32 && tensor->rank == 1 &&
           tensor->shape[0] == count;
}

static bool is_apart_bytes(const void *a, size_t a_bytes, const void *b, size_t b_bytes)
{
    const uintptr_t a_at = (uintptr_t)a, b_at = (uintptr_t)b;
    return a_at + a_bytes <= b_at || b_at + b_bytes <= a_at;
}

static bool is_apart(const struct tensor *a, const struct tensor *b)
{
    return !a->data || !b->data ||
           is_apart_bytes(a->data, tensor_bytes(a), b->data, tensor_bytes(b));
}

/* Each element that is written stands where the one that it is made of was read. */
static bool is_apart_or_same(const struct tensor *a, const struct tensor *b)
{
    return is_apart(a, b) || (a->data == b->data && a->dtype == b->dtype);
}

static bool is_idle(const struct backend *backend, int64_t rows)
{
    return backend->err.code != ERR_OK || rows == 0;
}

void op_linear(struct backend *backend, const struct op_linear *op)
{
    CHECK(op->weight);
    const int64_t rows = rows_of(&op->x), columns = op->weight->rows;
    CHECK(op->activation < ACTIVATIONS_COUNT);
    if (is_idle(backend, rows)) return;
    CHECK(is_matrix(&op->x, rows, op->weight->columns));
    CHECK(is_matrix(&op->out, rows, columns));
    CHECK(!op->bias.data || is_vector(&op->bias, columns));
    CHECK(!op->residual.data || is_matrix(&op->residual, rows, columns));
    CHECK(is_apart(&op->out, &op->x));
    CHECK(is_apart(&op->out, &op->bias));
    CHECK(is_apart_or_same(&op->out, &op->residual));
    backend->driver->linear(backend, op);
}

void op_norm(struct backend *backend, const struct op_norm *op)
{
    const int64_t rows = rows_of(&op->x), columns = columns_of(&op->x);
    CHECK(op->kind == NORM_LAYER || op->kind == NORM_RMS);
    CHECK(op->eps >= 0);
    if (is_idle(backend, rows)) return;
    CHECK(is_matrix(&op->x, rows, columns));
    CHECK(is_matrix(&op->out, rows, columns));
    CHECK(is_vector(&op->weight, columns));
    CHECK(!op->bias.data || is_vector(&op->bias, columns));
    CHECK(!op->residual.data == !op->sum.data);
    CHECK(!op->residual.data || is_matrix(&op->residual, rows, columns));
    CHECK(!op->sum.data || is_matrix(&op->sum, rows, columns));
    CHECK(is_apart_or_same(&op->out, &op->x));
    CHECK(is_apart(&op->out, &op->residual));
    CHECK(is_apart(&op->out, &op->sum));
    CHECK(is_apart_or_same(&op->sum, &op->x));
    CHECK(is_apart_or_same(&op->sum, &op->residual));
    backend->driver->norm(backend, op);
}

/* From the first element of the first token to the last of the last. */
static size_t attention_bytes(const struct op_attention *op, uint32_t tokens, int64_t stride,
                              uint32_t heads)
{
    const int64_t vectors = (int64_t)op->sequences * tokens;
    const int64_t elements = (vectors - 1) * stride + (int64_t)heads * op->head_dim;
    return (size_t)elements * dtype_bytes(op->dtype);
}

void op_attention(struct backend *backend, const struct op_attention *op)
{
    CHECK(dtype_is_real(op->dtype));
    CHECK(op->heads >= 1);
    CHECK(op->kv_heads >= 1);
    CHECK(op->heads % op->kv_heads == 0);
    CHECK(op->head_dim % 8 == 0);
    CHECK(op->head_dim >= 8);
    CHECK(op->head_dim <= 256);
    if (is_idle(backend, (int64_t)op->sequences * op->q_tokens)) return;
    const int64_t width = (int64_t)op->heads * op->head_dim;
    const int64_t kv_width = (int64_t)op->kv_heads * op->head_dim;
    CHECK(op->k_tokens >= 1);
    CHECK(!op->causal || op->q_tokens <= op->k_tokens);
    CHECK(!op->lengths || op->q_tokens == op->k_tokens);
    CHECK(op->q_stride >= width);
    CHECK(op->k_stride >= kv_width);
    CHECK(op->v_stride >= kv_width);
    CHECK(op->out_stride >= width);
    CHECK(op->q && op->k && op->v && op->out);
    const size_t q_bytes = attention_bytes(op, op->q_tokens, op->q_stride, op->heads);
    const size_t k_bytes = attention_bytes(op, op->k_tokens, op->k_stride, op->kv_heads);
    const size_t v_bytes = attention_bytes(op, op->k_tokens, op->v_stride, op->kv_heads);
    const size_t out_bytes = attention_bytes(op, op->q_tokens, op->out_stride, op->heads);
    CHECK(is_apart_bytes(op->out, out_bytes, op->q, q_bytes));
    CHECK(is_apart_bytes(op->out, out_bytes, op->k, k_bytes));
    CHECK(is_apart_bytes(op->out, out_bytes, op->v, v_bytes));
    backend->driver->attention(backend, op);
}

void op_patches(struct backend *backend, const struct op_patches *op)
{
    const struct tensor *pixels = &op->pixels;
    CHECK(pixels->rank == 4);
    CHECK(pixels->dtype == DTYPE_U8);
    CHECK(pixels->shape[1] == pixels->shape[2]);
    CHECK(pixels->shape[3] == 3);
    CHECK(op->patch >= 1);
    CHECK(op->patch <= pixels->shape[1]);
    const int64_t grid = pixels->shape[1] / op->patch;
    if (is_idle(backend, pixels->shape[0])) return;
    CHECK(pixels->data);
    CHECK(op->table.data);
    CHECK(op->table.dtype == DTYPE_F32);
    CHECK(tensor_has_shape(&op->table, (int64_t[]){3, 256}, 2));
    CHECK(is_matrix(&op->out, pixels->shape[0] * grid * grid, columns_of(&op->out)));
    CHECK(columns_of(&op->out) >= 3 * op->patch * op->patch);
    CHECK(is_apart(&op->out, pixels));
    CHECK(is_apart(&op->out, &op->table));
    backend->driver->patches(backend, op);
}

void op_vision_tokens(struct backend *backend, const struct op_vision_tokens *op)
{
    CHECK(op->out.rank == 3);
    const int64_t count = op->out.shape[0], tokens = op->out.shape[1];
    const int64_t columns = columns_of(&op->out);
    CHECK(tokens >= 2);
    if (is_idle(backend, count)) return;
    CHECK(is_matrix(&op->out, count * tokens, columns));
    CHECK(is_matrix(&op->patches, count * (tokens - 1), columns));
    CHECK(is_vector(&op->class_token, columns));
    CHECK(op->position.dtype == DTYPE_F32);
    CHECK(is_matrix(&op->position, tokens, columns));
    CHECK(is_apart(&op->out, &op->patches));
    CHECK(is_apart(&op->out, &op->class_token));
    CHECK(is_apart(&op->out, &op->position));
    backend->driver->vision_tokens(backend, op);
}

void op_embed(struct backend *backend, const struct op_embed *op)
{
    const int64_t columns = columns_of(&op->table), tokens = columns_of(&op->ids);
    CHECK(op->ids.rank == 2);
    CHECK(op->ids.dtype == DTYPE_U32);
    if (is_idle(backend, op->ids.shape[0])) return;
    CHECK(op->ids.data);
    CHECK(is_matrix(&op->table, rows_of(&op->table), columns));
    CHECK(is_matrix(&op->out, op->ids.shape[0] * tokens, columns));
    if (op->position.data) {
        CHECK(op->position.dtype == DTYPE_F32);
        CHECK(columns_of(&op->position) == columns);
        CHECK(rows_of(&op->position) >= tokens);
    }
    CHECK(is_apart(&op->out, &op->ids));
    CHECK(is_apart(&op->out, &op->table));
    CHECK(is_apart(&op->out, &op->position));
    backend->driver->embed(backend, op);
}

void op_rows(struct backend *backend, const struct op_rows *op)
{
    const int64_t rows = rows_of(&op->out), columns = columns_of(&op->x);
    if (is_idle(backend, rows)) return;
    CHECK(op->index);
    CHECK(is_matrix(&op->x, rows_of(&op->x), columns));
    CHECK(is_matrix(&op->out, rows, columns));
    CHECK(is_apart(&op->out, &op->x));
    backend->driver->rows(backend, op);
}

void op_pool(struct backend *backend, const struct op_pool *op)
{
    CHECK(op->x.rank == 3);
    CHECK(op->window >= 1);
    CHECK(op->window <= op->grid);
    CHECK(op->grid * op->grid <= op->x.shape[1]);
    const int64_t count = op->x.shape[0], columns = columns_of(&op->x);
    const int64_t side = op->grid / op->window;
    if (is_idle(backend, count)) return;
    CHECK(is_matrix(&op->x, count * op->x.shape[1], columns));
    CHECK(is_matrix(&op->out, count * side * side, columns));
    CHECK(is_apart(&op->out, &op->x));
    backend->driver->pool(backend, op);
}

void op_unit(struct backend *backend, const struct op_unit *op)
{
    const int64_t rows = rows_of(&op->x), columns = columns_of(&op->x);
    if (is_idle(backend, rows)) return;
    CHECK(is_matrix(&op->x, rows, columns));
    CHECK(is_matrix(&op->out, rows, columns));
    CHECK(is_apart_or_same(&op->out, &op->x));
    backend->driver->unit(backend, op);
}

void op_map(struct backend *backend, const struct op_map *op)
{
    const int64_t count = tensor_count(&op->x);
    CHECK(op->activation < ACTIVATIONS_COUNT);
    CHECK(tensor_count(&op->out) == count);
    if (is_idle(backend, count)) return;
    CHECK(op->x.data && op->out.data);
    CHECK(dtype_is_real(op->x.dtype));
    CHECK(dtype_is_real(op->out.dtype));
    CHECK(is_apart_or_same(&op->out, &op->x));
    backend->driver->map(backend, op);
}
