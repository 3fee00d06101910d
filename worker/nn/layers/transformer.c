/* transformer.c - a layer is two halves: attention over all rows, and what each row does alone. */
#include "worker/nn/layers/transformer.h"

#include "common/base/check.h"
#include "worker/nn/ops.h"

#include <math.h>

/* Steps of a layer in the plan. */
enum { STEP_NORM, STEP_QKV, STEP_ATTENTION, STEP_OUT, STEP_MLP };
_Static_assert(STEP_MLP + 1 == TRANSFORMER_STEPS, "the header counts them");

enum dtype transformer_dtype(enum dtype weights)
{
    return weights == DTYPE_I8 ? DTYPE_F32 : weights;
}

int transformer_plan(struct transformer_buffers *buffers, struct plan *plan,
                     const struct transformer *transformer, int64_t rows, uint32_t step,
                     struct err *err)
{
    const struct transformer_shape *shape = &transformer->shape;
    const enum dtype dtype = transformer_dtype(transformer->dtype);
    size_t row, attention, mlp;
    int rc = plan_bytes(&row, dtype, rows, shape->hidden, err);
    if (!rc) rc = plan_bytes(&attention, dtype, rows, 3 * shape->hidden, err);
    if (!rc) rc = plan_bytes(&mlp, dtype, rows, shape->mlp, err);
    if (rc) return rc;
    /* normed1 also takes the rows that transformer_run_rows picks of attended. */
    buffers->normed1 = plan_add(plan, row, step + STEP_NORM, step + STEP_OUT);
    buffers->qkv = plan_add(plan, attention, step + STEP_QKV, step + STEP_ATTENTION);
    buffers->attended = plan_add(plan, row, step + STEP_ATTENTION, step + STEP_OUT);
    buffers->normed2 = plan_add(plan, row, step + STEP_MLP, step + STEP_MLP);
    buffers->mlp = plan_add(plan, mlp, step + STEP_MLP, step + STEP_MLP);
    return 0;
}

/* A matrix in a planned buffer, of the type that linear layers take. */
static struct tensor matrix(const struct transformer *transformer,
                            const struct transformer_memory *memory, uint32_t buffer, int64_t rows,
                            int64_t columns)
{
    return tensor_over(plan_at(memory->plan, buffer, memory->memory),
                       transformer_dtype(transformer->dtype), (int64_t[]){rows, columns}, 2);
}

static void run_norm(struct backend *backend, const struct transformer *transformer,
                     const struct tensor *x, const struct tensor *weight, const struct tensor *bias,
                     const struct tensor *out)
{
    op_norm(backend, &(struct op_norm){.kind = NORM_LAYER,
                                       .x = *x,
                                       .out = *out,
                                       .weight = *weight,
                                       .bias = *bias,
                                       .eps = transformer->shape.eps});
}

/* Attention of all rows, before its last linear layer. */
static struct tensor run_attention(struct backend *backend, const struct transformer *transformer,
                                   const struct transformer_memory *memory,
                                   const struct transformer_layer *layer, const struct tensor *x)
{
    const struct transformer_shape *shape = &transformer->shape;
    const struct transformer_buffers *buffers = memory->buffers;
    const int64_t rows = x->shape[0] * x->shape[1], hidden = shape->hidden;
    const int64_t head_dim = hidden / shape->heads;
    const struct tensor normed = matrix(transformer, memory, buffers->normed1, rows, hidden);
    const struct tensor qkv = matrix(transformer, memory, buffers->qkv, rows, 3 * hidden);
    const struct tensor attended = matrix(transformer, memory, buffers->attended, rows, hidden);
    const size_t part_bytes = (size_t)hidden * dtype_bytes(qkv.dtype);
    run_norm(backend, transformer, x, &layer->norm1_weight, &layer->norm1_bias, &normed);
    op_linear(backend, &(struct op_linear){.x = normed,
                                           .out = qkv,
                                           .bias = layer->qkv_bias,
                                           .weight = layer->qkv,
                                           .activation = ACTIVATION_NONE});
    op_attention(backend, &(struct op_attention){.dtype = qkv.dtype,
                                                 .q = qkv.data,
                                                 .k = (char *)qkv.data + part_bytes,
                                                 .v = (char *)qkv.data + 2 * part_bytes,
                                                 .out = attended.data,
                                                 .q_stride = 3 * hidden,
                                                 .k_stride = 3 * hidden,
                                                 .v_stride = 3 * hidden,
                                                 .out_stride = hidden,
                                                 .sequences = (uint32_t)x->shape[0],
                                                 .q_tokens = (uint32_t)x->shape[1],
                                                 .k_tokens = (uint32_t)x->shape[1],
                                                 .heads = (uint32_t)shape->heads,
                                                 .kv_heads = (uint32_t)shape->heads,
                                                 .head_dim = (uint32_t)head_dim,
                                                 .causal = shape->causal,
                                                 .scale = (float)(1 / sqrt((double)head_dim))});
    return attended;
}

/* The rest of a layer, in place on x, any rows. */
static void run_rest(struct backend *backend, const struct transformer *transformer,
                     const struct transformer_memory *memory, const struct transformer_layer *layer,
                     const struct tensor *attended, const struct tensor *x)
{
    const struct transformer_shape *shape = &transformer->shape;
    const int64_t rows = attended->shape[0];
    const struct tensor normed =
        matrix(transformer, memory, memory->buffers->normed2, rows, shape->hidden);
    const struct tensor mlp = matrix(transformer, memory, memory->buffers->mlp, rows, shape->mlp);
    op_linear(backend, &(struct op_linear){.x = *attended,
                                           .out = *x,
                                           .bias = layer->out_bias,
                                           .residual = *x,
                                           .weight = layer->out,
                                           .activation = ACTIVATION_NONE});
    run_norm(backend, transformer, x, &layer->norm2_weight, &layer->norm2_bias, &normed);
    op_linear(backend, &(struct op_linear){.x = normed,
                                           .out = mlp,
                                           .bias = layer->fc1_bias,
                                           .weight = layer->fc1,
                                           .activation = shape->activation});
    op_linear(backend, &(struct op_linear){.x = mlp,
                                           .out = *x,
                                           .bias = layer->fc2_bias,
                                           .residual = *x,
                                           .weight = layer->fc2,
                                           .activation = ACTIVATION_NONE});
}

void transformer_run(struct backend *backend, const struct transformer *transformer,
                     const struct transformer_memory *memory, const struct tensor *x, int64_t first,
                     int64_t last)
{
    CHECK(first >= 0 && last <= transformer->shape.layers);
    const struct tensor rows =
        tensor_reshaped(x, (int64_t[]){x->shape[0] * x->shape[1], transformer->shape.hidden}, 2);
    for (int64_t i = first; i < last; i++) {
        const struct transformer_layer *layer = &transformer->layer[i];
        const struct tensor attended = run_attention(backend, transformer, memory, layer, x);
        run_rest(backend, transformer, memory, layer, &attended, &rows);
    }
}

void transformer_run_rows(struct backend *backend, const struct transformer *transformer,
                          const struct transformer_memory *memory, const struct tensor *x,
                          int64_t layer, const uint32_t *index, const struct tensor *out)
{
    CHECK(layer >= 0 && layer < transformer->shape.layers);
    const int64_t hidden = transformer->shape.hidden;
    const struct transformer_layer *weights = &transformer->layer[layer];
    const struct tensor attended = run_attention(backend, transformer, memory, weights, x);
    const struct tensor picked =
        matrix(transformer, memory, memory->buffers->normed1, out->shape[0], hidden);
    const struct tensor rows =
        tensor_reshaped(x, (int64_t[]){x->shape[0] * x->shape[1], hidden}, 2);
    op_rows(backend, &(struct op_rows){.x = attended, .out = picked, .index = index});
    op_rows(backend, &(struct op_rows){.x = rows, .out = *out, .index = index});
    run_rest(backend, transformer, memory, weights, &picked, out);
}
