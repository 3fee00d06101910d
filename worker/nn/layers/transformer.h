/* transformer.h - a stack of transformer layers with the norm before each part, written once for
 * every model that has such: x += out(attention(norm1(x))), then x += fc2(act(fc1(norm2(x)))).
 *
 * As "Attention Is All You Need" (Vaswani et al., 2017, arXiv 1706.03762) with the norms of
 * "On Layer Normalization in the Transformer Architecture" (Xiong et al., 2020, arXiv 2002.04745).
 * The residual stream x is f32 throughout; what goes into linear layers and attention has the type
 * of transformer_dtype. A row's bits depend on its own sequence alone, as those of the ops do. */
#ifndef NN_LAYERS_TRANSFORMER_H
#define NN_LAYERS_TRANSFORMER_H

#include "worker/nn/backend.h"
#include "worker/nn/plan.h"
#include "worker/nn/tensor.h"

#include <stdbool.h>
#include <stdint.h>

struct transformer_shape {
    int64_t hidden, mlp; /* numbers of a token, and inside of the MLP */
    int64_t layers, heads;
    enum activation activation;
    float eps;
    bool causal; /* a token sees those before it and itself */
};

/* The weights of a layer: what becomes of a tensor on the device, its field, shape, and names below
 * the layer's own in the file; several are stacked. s is a transformer_shape. */
#define TRANSFORMER_LAYER_WEIGHTS(F32, MATRIX)                                                \
    F32(norm1_weight, (s->hidden), "layer_norm1.weight")                                      \
    F32(norm1_bias, (s->hidden), "layer_norm1.bias")                                          \
    MATRIX(qkv, (s->hidden, s->hidden), "self_attn.q_proj.weight", "self_attn.k_proj.weight", \
           "self_attn.v_proj.weight")                                                         \
    F32(qkv_bias, (s->hidden), "self_attn.q_proj.bias", "self_attn.k_proj.bias",              \
        "self_attn.v_proj.bias")                                                              \
    MATRIX(out, (s->hidden, s->hidden), "self_attn.out_proj.weight")                          \
    F32(out_bias, (s->hidden), "self_attn.out_proj.bias")                                     \
    F32(norm2_weight, (s->hidden), "layer_norm2.weight")                                      \
    F32(norm2_bias, (s->hidden), "layer_norm2.bias")                                          \
    MATRIX(fc1, (s->mlp, s->hidden), "mlp.fc1.weight")                                        \
    F32(fc1_bias, (s->mlp), "mlp.fc1.bias")                                                   \
    MATRIX(fc2, (s->hidden, s->mlp), "mlp.fc2.weight")                                        \
    F32(fc2_bias, (s->hidden), "mlp.fc2.bias")

struct transformer_layer {
#define F32(field, shape, ...)    struct tensor field;
#define MATRIX(field, shape, ...) struct backend_weight *field;
    TRANSFORMER_LAYER_WEIGHTS(F32, MATRIX)
#undef F32
#undef MATRIX
};

struct transformer {
    struct transformer_shape shape;
    enum dtype dtype; /* of the weights of linear layers; i8 computes with f32 beside them */
    struct transformer_layer *layer;
};

/* Numbers of its buffers in a plan. */
struct transformer_buffers {
    uint32_t normed1, qkv, attended, normed2, mlp;
};

#define TRANSFORMER_STEPS 5 /* of a plan */

/* The type of what goes into linear layers of that type. */
enum dtype transformer_dtype(enum dtype weights);
/* Plans its buffers for at most so many rows (tokens of all sequences together), from step on. What
 * the caller hands it must live through TRANSFORMER_STEPS steps. ERR_LIMIT: more than any memory.
 */
CHECKED int transformer_plan(struct transformer_buffers *buffers, struct plan *plan,
                             const struct transformer *transformer, int64_t rows, uint32_t step,
                             struct err *err);
/* Where a pass keeps its intermediate results. */
struct transformer_memory {
    const struct plan *plan;
    const struct transformer_buffers *buffers;
    void *memory; /* on the device */
};

/* Layers from first to before last over x [sequences, tokens, hidden] f32, in place. */
void transformer_run(struct backend *backend, const struct transformer *transformer,
                     const struct transformer_memory *memory, const struct tensor *x, int64_t first,
                     int64_t last);
/* One layer of which only some rows of x are wanted: out [R, hidden] f32 has those of index [R]
 * (device memory), with the bits that transformer_run gives them. x stays. */
void transformer_run_rows(struct backend *backend, const struct transformer *transformer,
                          const struct transformer_memory *memory, const struct tensor *x,
                          int64_t layer, const uint32_t *index, const struct tensor *out);

#endif
