/* weights.c - the tables of both towers become rows that load/weights.h fills. */
#include "common/base/check.h"
#include "worker/nn/models/clip/inside.h"

#include <inttypes.h>

#define HEAD_STEP 8 /* op_attention's */
#define HEAD_MAX  256

#define UNPACK(...) __VA_ARGS__
#define ROW(kind_, object, field_, shape_, ...)                              \
    weight_table_add(table, &(struct weight_row){.kind = (kind_),            \
                                                 .field = &(object)->field_, \
                                                 .name = {__VA_ARGS__},      \
                                                 .shape = {UNPACK shape_}});

static int check_tower(const struct clip_tower *tower, const char *name, struct err *err)
{
    const int64_t head_dim = tower->hidden_size / tower->heads_count;
    if (head_dim % HEAD_STEP == 0 && head_dim <= HEAD_MAX) return 0;
    return err_set(err, ERR_INVALID,
                   "config.json: %s: hidden_size / num_attention_heads is %" PRId64
                   "; supported are multiples of %d up to %d",
                   name, head_dim, HEAD_STEP, HEAD_MAX);
}

/* transformers writes a tower with its name in front, but since version 5 without it when the model
 * is that tower alone. */
static const char *find_prefix(const struct safetensors *file, const char *prefix,
                               const char *without)
{
    return safetensors_find(file, without) ? "" : prefix;
}

static void add_layers(struct clip *clip, struct transformer *transformer,
                       const struct clip_tower *tower, const char *prefix, bool causal)
{
    static const enum activation activations[] = {
        [CLIP_QUICK_GELU] = ACTIVATION_QUICK_GELU, [CLIP_GELU] = ACTIVATION_GELU};
    struct weight_table *table = &clip->table;
    const size_t layers = (size_t)tower->layers_count;
    transformer->shape = (struct transformer_shape){.hidden = tower->hidden_size,
                                                    .mlp = tower->intermediate_size,
                                                    .layers = tower->layers_count,
                                                    .heads = tower->heads_count,
                                                    .activation = activations[tower->activation],
                                                    .eps = (float)tower->layer_norm_eps,
                                                    .causal = causal};
    transformer->dtype = clip->options.dtype;
    transformer->layer = arena_new(&clip->arena, layers * sizeof *transformer->layer);
    for (size_t i = 0; i < layers; i++) {
        const struct transformer_shape *s = &transformer->shape;
        struct transformer_layer *layer = &transformer->layer[i];
        table->prefix = arena_printf(&clip->arena, "%sencoder.layers.%zu.", prefix, i);
#define F32(field, shape, ...)    ROW(WEIGHT_F32, layer, field, shape, __VA_ARGS__)
#define MATRIX(field, shape, ...) ROW(WEIGHT_MATRIX, layer, field, shape, __VA_ARGS__)
        TRANSFORMER_LAYER_WEIGHTS(F32, MATRIX)
#undef F32
#undef MATRIX
    }
}

/* A model of one tower may end without it, and gives no embeddings then. */
static void add_projection(struct clip *clip, struct backend_weight **field,
                           const struct clip_tower *tower, const struct safetensors *file,
                           const char *name)
{
    const bool required = clip->config.has_vision && clip->config.has_text;
    if (!required && !safetensors_find(file, name)) return;
    clip->table.prefix = "";
    weight_table_add(&clip->table,
                     &(struct weight_row){.kind = WEIGHT_MATRIX,
                                          .field = field,
                                          .name = {name},
                                          .shape = {tower->projection_dim, tower->hidden_size}});
}

#define F32(field, shape, ...)    ROW(WEIGHT_F32, tower, field, shape, __VA_ARGS__)
#define STORED(field, shape, ...) ROW(WEIGHT_STORED, tower, field, shape, __VA_ARGS__)
#define MATRIX(field, shape, ...) ROW(WEIGHT_MATRIX, tower, field, shape, __VA_ARGS__)

int clip_vision_weights(struct clip *clip, const struct safetensors *file, struct err *err)
{
    struct weight_table *table = &clip->table;
    struct clip_vision *tower = &clip->vision;
    const __typeof__(clip->config.vision) *v = &clip->config.vision;
    const int64_t grid = v->image_size / v->patch_size, tokens = grid * grid + 1;
    const int rc = check_tower(&v->tower, "vision_config", err);
    if (rc) return rc;
    if (v->channels_count != 3)
        return err_set(err, ERR_INVALID,
                       "config.json: num_channels is %" PRId64 "; pictures have 3",
                       v->channels_count);
    const char *prefix = find_prefix(file, "vision_model.", "embeddings.class_embedding");
    table->prefix = prefix;
    CLIP_VISION_WEIGHTS(F32, STORED, MATRIX)
    add_layers(clip, &tower->layers, &v->tower, prefix, false);
    add_projection(clip, &tower->projection, &v->tower, file, "visual_projection.weight");
    return 0;
}

int clip_text_weights(struct clip *clip, const struct safetensors *file, struct err *err)
{
    struct weight_table *table = &clip->table;
    struct clip_text *tower = &clip->text;
    const __typeof__(clip->config.text) *t = &clip->config.text;
    const int rc = check_tower(&t->tower, "text_config", err);
    if (rc) return rc;
    const char *prefix = find_prefix(file, "text_model.", "embeddings.token_embedding.weight");
    table->prefix = prefix;
    CLIP_TEXT_WEIGHTS(F32, STORED, MATRIX)
    add_layers(clip, &tower->layers, &t->tower, prefix, true);
    add_projection(clip, &tower->projection, &t->tower, file, "text_projection.weight");
    return 0;
}
