/* inside.h - what the files of CLIP share: the weights of both towers, and where a pass keeps its
 * intermediate results. */
#ifndef NN_MODELS_CLIP_INSIDE_H
#define NN_MODELS_CLIP_INSIDE_H

#include "common/base/err.h"
#include "common/base/mem.h"
#include "worker/nn/layers/transformer.h"
#include "worker/nn/load/weights.h"
#include "worker/nn/models/clip/clip.h"
#include "worker/nn/plan.h"

#include <stdbool.h>
#include <stdint.h>

/* The weights of the towers beside their layers, as TRANSFORMER_LAYER_WEIGHTS has those. v and t
 * are the parts of a clip_config; names below the tower's own. */
#define CLIP_VISION_WEIGHTS(F32, STORED, MATRIX)                                          \
    F32(class_token, (v->tower.hidden_size), "embeddings.class_embedding")                \
    MATRIX(patch, (v->tower.hidden_size, 3, v->patch_size, v->patch_size),                \
           "embeddings.patch_embedding.weight")                                           \
    F32(position, (tokens, v->tower.hidden_size), "embeddings.position_embedding.weight") \
    F32(pre_weight, (v->tower.hidden_size), "pre_layrnorm.weight") /* so it is called */  \
    F32(pre_bias, (v->tower.hidden_size), "pre_layrnorm.bias")                            \
    F32(post_weight, (v->tower.hidden_size), "post_layernorm.weight")                     \
    F32(post_bias, (v->tower.hidden_size), "post_layernorm.bias")
#define CLIP_TEXT_WEIGHTS(F32, STORED, MATRIX)                                                \
    STORED(token, (t->vocab_size, t->tower.hidden_size), "embeddings.token_embedding.weight") \
    F32(position, (t->positions_max, t->tower.hidden_size),                                   \
        "embeddings.position_embedding.weight")                                               \
    F32(final_weight, (t->tower.hidden_size), "final_layer_norm.weight")                      \
    F32(final_bias, (t->tower.hidden_size), "final_layer_norm.bias")

#define CLIP_TENSOR(field, shape, ...) struct tensor field;
#define CLIP_MATRIX(field, shape, ...) struct backend_weight *field;

struct clip_vision {
    struct transformer layers;
    CLIP_VISION_WEIGHTS(CLIP_TENSOR, CLIP_TENSOR, CLIP_MATRIX)
    struct backend_weight *projection; /* NULL: the file has none */
    uint32_t batch_max, grid, window;  /* window: cells of a side that become one token */
    int64_t hidden_layer;              /* whose state patch tokens are of: 0 to layers */
    uint32_t *first_token;             /* [batch_max], on the device: rows of the CLS tokens */
    size_t first_token_bytes;
    size_t pixels_bytes; /* of one of two buffers */
    struct {
        size_t cls, embedding, bytes; /* where they begin, behind the tokens; of one of two */
    } kept;
    struct backend_weight *labels; /* NULL: none */
    float *cosine[2];              /* [batch_max, labels], on the device */
    uint32_t put, put_count;       /* the buffer that was filled last, and with how many pictures */
    struct clip_pass {
        uint64_t number;     /* the backend's */
        uint32_t put, count; /* over which pictures */
        struct clip_features features;
    } pass[2];                /* begun in turns; each leaves in a buffer of its own what it gives */
    uint32_t turn, under_way; /* the one begun last; how many are not finished */
    struct plan plan;
    struct transformer_buffers transformer;
    struct {
        uint32_t patches, embedded, x, normed;
    } buffer;
};

struct clip_text {
    struct transformer layers;
    CLIP_TEXT_WEIGHTS(CLIP_TENSOR, CLIP_TENSOR, CLIP_MATRIX)
    struct backend_weight *projection;
    uint32_t batch_max;
    uint32_t *end;  /* [batch_max]: rows of the ends of a pass's texts */
    uint32_t *host; /* [batch_max, positions]: ids without the padding behind them */
    struct plan plan;
    struct transformer_buffers transformer;
    struct {
        uint32_t ids, end, x, ends, normed, embedding;
    } buffer;
};

#undef CLIP_TENSOR
#undef CLIP_MATRIX

/* What the shape of a backend_pass begins with. */
enum { CLIP_PASS_VISION, CLIP_PASS_TEXT };

struct clip {
    struct backend *backend;
    struct arena arena;
    struct clip_config config;
    struct preprocessor_config preprocessor;
    struct clip_options options;
    float logit_scale;
    struct weight_table table;
    struct weights weights;
    struct clip_vision vision;
    struct clip_text text;
    uint32_t divisor; /* of the sizes of batches: 1, 2, 4, … until they fit the device */
    void *scratch;    /* on the device, see below */
    size_t scratch_bytes;
};

/* Adds the rows of a tower to the table. ERR_INVALID: the configuration asks for what we lack. */
CHECKED int clip_vision_weights(struct clip *clip, const struct safetensors *file, struct err *err);
CHECKED int clip_text_weights(struct clip *clip, const struct safetensors *file, struct err *err);
/* Chooses the size of a batch, over clip->divisor, and plans its memory; of vision, without the
 * pixels. Anew when called again. */
CHECKED int clip_vision_plan(struct clip *clip, size_t *bytes, struct err *err);
CHECKED int clip_text_plan(struct clip *clip, size_t *bytes, struct err *err);
/* Scratch begins with level to number, [3, 256] f32; behind it lie the first tokens, two buffers of
 * pixels, two of what passes of vision leave for the host, and what is planned, of both towers in
 * the same place. */
#define CLIP_LEVELS_BYTES (3 * 256 * sizeof(float))
/* Fills the first two of these, when scratch is there. */
CHECKED int clip_vision_tables(struct clip *clip, struct err *err);
void *clip_pixels(const struct clip *clip, uint32_t buffer);
void *clip_kept(const struct clip *clip, uint32_t buffer);
void *clip_planned(const struct clip *clip);
void clip_labels_free(struct clip *clip);
/* x W^T with each row at length 1: the end of both towers. x [M, hidden], out [M, projection]. */
void clip_project(const struct clip *clip, const struct backend_weight *projection,
                  const struct tensor *x, const struct tensor *out);

#endif
