/* vision.c - pictures through the vision tower.
 *
 * The patch tokens are taken where they are wanted, and the pass ends behind the last layer that
 * something asks for. Where only the CLS token is wanted of the last one, that layer works on the
 * CLS rows alone behind its attention: seven tenths of a layer less. */
#include "common/base/check.h"
#include "worker/nn/models/clip/inside.h"
#include "worker/nn/ops.h"

#include <inttypes.h>
#include <math.h>

/* Enough rows for a matrix product to be near its best, few enough to stay in the caches. */
#define ROWS_GOOD 1024

/* Steps of the plan. */
enum {
    STEP_PATCHES,
    STEP_EMBED,
    STEP_TOKENS,
    STEP_LAYERS,
    STEP_CLS = STEP_LAYERS + TRANSFORMER_STEPS,
    STEP_NORM,
    STEP_PROJECT,
    STEP_END
};

static int choose_hidden(struct clip *clip, struct err *err)
{
    const int64_t layers = clip->config.vision.tower.layers_count;
    const int64_t asked = clip->options.hidden_state;
    const int64_t layer = asked < 0 ? layers + 1 + asked : asked;
    clip->vision.hidden_layer = layer;
    if (layer >= 0 && layer <= layers) return 0;
    return err_set(err, ERR_INVALID,
                   "there is no hidden state %" PRId64 ": the model has %" PRId64
                   " layers, so 0 to %" PRId64 ", or -1 to %" PRId64 " from the end",
                   asked, layers, layers, -layers - 1);
}

static int choose_window(struct clip *clip, struct err *err)
{
    struct clip_vision *vision = &clip->vision;
    const uint32_t grid =
        (uint32_t)(clip->config.vision.image_size / clip->config.vision.patch_size);
    const uint32_t tokens = clip->options.tokens;
    vision->grid = grid;
    vision->window = 1;
    if (tokens == 0) return 0;
    const uint32_t side = (uint32_t)floor(sqrt((double)tokens));
    if (side * side == tokens && side <= grid) {
        vision->window = grid / side;
        if (grid / vision->window == side) return 0;
    }
    return err_set(err, ERR_INVALID,
                   "%" PRIu32 " tokens cannot be made of a grid of %" PRIu32 " x %" PRIu32
                   " by windows: give a square number n * n where %" PRIu32 " / (%" PRIu32
                   " / n) is n, rounded down, or 0 for all",
                   tokens, grid, grid, grid, grid);
}

static size_t aligned(size_t bytes)
{
    return (bytes + BACKEND_ALIGNMENT - 1) / BACKEND_ALIGNMENT * BACKEND_ALIGNMENT;
}

int clip_vision_plan(struct clip *clip, size_t *bytes, struct err *err)
{
    struct clip_vision *v = &clip->vision;
    const __typeof__(clip->config.vision) *c = &clip->config.vision;
    const enum dtype dtype = transformer_dtype(clip->options.dtype);
    const int64_t hidden = c->tower.hidden_size;
    int rc = choose_hidden(clip, err);
    if (!rc) rc = choose_window(clip, err);
    if (rc) return rc;
    const int64_t cells = (int64_t)v->grid * v->grid, tokens = cells + 1;
    const int64_t side = v->grid / v->window;
    v->batch_max = clip->options.batch_max;
    const int64_t rows_good = clip->backend->rows_good ? clip->backend->rows_good : ROWS_GOOD;
    if (!v->batch_max) v->batch_max = (uint32_t)((rows_good + tokens - 1) / tokens);
    v->batch_max = (v->batch_max + clip->divisor - 1) / clip->divisor;
    v->plan = (struct plan){0};
    const int64_t batch = v->batch_max;
    if (batch * tokens > INT32_MAX)
        return err_set(err, ERR_LIMIT,
                       "%" PRId64 " pictures of %" PRId64 " tokens are too many for one pass",
                       batch, tokens);
    size_t pixels, patches, embedded, x, kept, cls, embedding;
    rc = plan_bytes(&pixels, DTYPE_U8, batch, c->image_size * c->image_size * 3, err);
    if (!rc) rc = plan_bytes(&patches, dtype, batch * cells, v->patch->columns, err);
    if (!rc) rc = plan_bytes(&embedded, DTYPE_F32, batch * cells, hidden, err);
    if (!rc) rc = plan_bytes(&x, DTYPE_F32, batch * tokens, hidden, err);
    if (!rc) rc = plan_bytes(&kept, DTYPE_F32, batch * side * side, hidden, err);
    if (!rc) rc = plan_bytes(&cls, DTYPE_F32, batch, hidden, err);
    if (!rc) rc = plan_bytes(&embedding, DTYPE_F32, batch, c->tower.projection_dim, err);
    if (!rc)
        rc = transformer_plan(&v->transformer, &v->plan, &v->layers, batch * tokens, STEP_LAYERS,
                              err);
    if (rc) return rc;
    v->first_token_bytes = aligned(v->batch_max * sizeof *v->first_token);
    v->pixels_bytes = aligned(pixels);
    v->buffer.patches = plan_add(&v->plan, patches, STEP_PATCHES, STEP_EMBED);
    v->buffer.embedded = plan_add(&v->plan, embedded, STEP_EMBED, STEP_TOKENS);
    v->buffer.x = plan_add(&v->plan, x, STEP_TOKENS, STEP_CLS);
    v->buffer.tokens = plan_add(&v->plan, kept, STEP_LAYERS, STEP_END);
    v->buffer.cls = plan_add(&v->plan, cls, STEP_LAYERS, STEP_END);
    v->buffer.normed = plan_add(&v->plan, cls, STEP_NORM, STEP_PROJECT);
    v->buffer.embedding = plan_add(&v->plan, embedding, STEP_PROJECT, STEP_END);
    *bytes = plan_place(&v->plan);
    return 0;
}

int clip_vision_tables(struct clip *clip, struct err *err)
{
    struct clip_vision *v = &clip->vision;
    float levels[3][256];
    uint32_t *first = mem_try(v->batch_max * sizeof *first);
    if (!first) return err_set(err, ERR_LIMIT, "out of memory");
    preprocessor_table(levels, &clip->preprocessor);
    for (uint32_t i = 0; i < v->batch_max; i++) first[i] = i * (v->grid * v->grid + 1);
    v->first_token = (uint32_t *)((char *)clip->scratch + CLIP_LEVELS_BYTES);
    backend_write(clip->backend, clip->scratch, levels, sizeof levels);
    backend_write(clip->backend, v->first_token, first, v->batch_max * sizeof *first);
    const int rc = backend_sync(clip->backend, err);
    mem_free(first);
    return rc;
}

static struct tensor planned(const struct clip *clip, uint32_t buffer, enum dtype dtype,
                             const int64_t *shape, uint32_t rank)
{
    return tensor_over(plan_at(&clip->vision.plan, buffer, clip_planned(clip)), dtype, shape, rank);
}

/* Of the buffer that was filled last. */
static struct tensor put_pixels(const struct clip *clip)
{
    const struct clip_vision *v = &clip->vision;
    const int64_t side = clip->config.vision.image_size;
    return tensor_over(clip_pixels(clip, v->put), DTYPE_U8,
                       (int64_t[]){v->put_count, side, side, 3}, 4);
}

/* Pixels to hidden state 0: x [count, tokens, hidden]. */
static struct tensor run_embedding(struct clip *clip, uint32_t count)
{
    const struct clip_vision *v = &clip->vision;
    const int64_t cells = (int64_t)v->grid * v->grid, hidden = v->layers.shape.hidden;
    const struct tensor image = put_pixels(clip);
    const struct tensor patches =
        planned(clip, v->buffer.patches, transformer_dtype(v->layers.dtype),
                (int64_t[]){count * cells, v->patch->columns}, 2);
    const struct tensor embedded =
        planned(clip, v->buffer.embedded, DTYPE_F32, (int64_t[]){count * cells, hidden}, 2);
    const struct tensor x =
        planned(clip, v->buffer.x, DTYPE_F32, (int64_t[]){count, cells + 1, hidden}, 3);
    op_patches(clip->backend, &(struct op_patches){.pixels = image,
                                                   .table = tensor_over(clip->scratch, DTYPE_F32,
                                                                        (int64_t[]){3, 256}, 2),
                                                   .out = patches,
                                                   .patch = clip->config.vision.patch_size});
    op_linear(clip->backend, &(struct op_linear){.x = patches,
                                                 .out = embedded,
                                                 .weight = v->patch,
                                                 .activation = ACTIVATION_NONE});
    op_vision_tokens(clip->backend, &(struct op_vision_tokens){.patches = embedded,
                                                               .class_token = v->class_token,
                                                               .position = v->position,
                                                               .out = x});
    op_norm(clip->backend, &(struct op_norm){.kind = NORM_LAYER,
                                             .x = x,
                                             .out = x,
                                             .weight = v->pre_weight,
                                             .bias = v->pre_bias,
                                             .eps = v->layers.shape.eps});
    return x;
}

/* What a pass leaves for the host. */
static struct tensor kept_tokens(const struct clip *clip, uint32_t count)
{
    const int64_t side = clip->vision.grid / clip->vision.window;
    return planned(clip, clip->vision.buffer.tokens, DTYPE_F32,
                   (int64_t[]){count, side * side, clip->vision.layers.shape.hidden}, 3);
}

static struct tensor kept_cls(const struct clip *clip, uint32_t count)
{
    return planned(clip, clip->vision.buffer.cls, DTYPE_F32,
                   (int64_t[]){count, clip->vision.layers.shape.hidden}, 2);
}

static struct tensor kept_embedding(const struct clip *clip, uint32_t count)
{
    return planned(clip, clip->vision.buffer.embedding, DTYPE_F32,
                   (int64_t[]){count, clip->config.vision.tower.projection_dim}, 2);
}

static void run_pool(struct clip *clip, const struct tensor *x)
{
    const struct clip_vision *v = &clip->vision;
    op_pool(clip->backend, &(struct op_pool){.x = *x,
                                             .out = kept_tokens(clip, (uint32_t)x->shape[0]),
                                             .grid = v->grid,
                                             .window = v->window});
}

static void run_projection(struct clip *clip, const struct tensor *cls)
{
    const struct clip_vision *v = &clip->vision;
    const struct tensor normed = planned(clip, v->buffer.normed, DTYPE_F32, cls->shape, 2);
    const struct tensor embedding = kept_embedding(clip, (uint32_t)cls->shape[0]);
    op_norm(clip->backend, &(struct op_norm){.kind = NORM_LAYER,
                                             .x = *cls,
                                             .out = normed,
                                             .weight = v->post_weight,
                                             .bias = v->post_bias,
                                             .eps = v->layers.shape.eps});
    clip_project(clip, v->projection, &normed, &embedding);
}

/* All ops over the pictures that were put last. */
static void run(void *context)
{
    struct clip *clip = context;
    const struct clip_vision *v = &clip->vision;
    const struct clip_features *features = &v->features;
    const uint32_t count = v->started;
    const int64_t layers = v->layers.shape.layers, hidden = v->layers.shape.hidden;
    const struct transformer_memory memory = {&v->plan, &v->transformer, clip_planned(clip)};
    const bool wants_cls = features->cls || features->embedding;
    const bool wants_last = features->tokens && v->hidden_layer == layers;
    const struct tensor x = run_embedding(clip, count);
    int64_t done = 0;
    if (features->tokens) {
        transformer_run(clip->backend, &v->layers, &memory, &x, 0, v->hidden_layer);
        done = v->hidden_layer;
        run_pool(clip, &x);
    }
    if (!wants_cls) return;
    const struct tensor cls = kept_cls(clip, count);
    if (wants_last) {
        const struct tensor rows =
            tensor_reshaped(&x, (int64_t[]){x.shape[0] * x.shape[1], hidden}, 2);
        op_rows(clip->backend, &(struct op_rows){.x = rows, .out = cls, .index = v->first_token});
    } else {
        transformer_run(clip->backend, &v->layers, &memory, &x, done, layers - 1);
        transformer_run_rows(clip->backend, &v->layers, &memory, &x, layers - 1, v->first_token,
                             &cls);
    }
    if (features->embedding) run_projection(clip, &cls);
}

void clip_images_put(struct clip *clip, const uint8_t *pixels, uint32_t count)
{
    struct clip_vision *v = &clip->vision;
    CHECK(clip->options.vision);
    CHECK(count > 0 && count <= v->batch_max);
    v->put = !v->put;
    v->put_count = count;
    const struct tensor image = put_pixels(clip);
    backend_write_ahead(clip->backend, image.data, pixels, tensor_bytes(&image));
}

int clip_images_start(struct clip *clip, const struct clip_features *features, struct err *err)
{
    struct clip_vision *v = &clip->vision;
    CHECK(v->put_count && !v->started);
    if (features->embedding && !v->projection)
        return err_set(err, ERR_INVALID,
                       "the model has no visual_projection.weight, so it gives no embeddings of "
                       "pictures");
    v->started = v->put_count;
    v->features = *features;
    const uint32_t wanted =
        (features->tokens ? 1u : 0) | (features->cls ? 2u : 0) | (features->embedding ? 4u : 0);
    backend_pass(clip->backend, clip, (uint32_t[]){CLIP_PASS_VISION, v->started, v->put, wanted},
                 run, clip);
    return 0;
}

/* Of the pass under way; what is read is there behind the next sync. */
static void take(struct clip *clip)
{
    struct clip_vision *v = &clip->vision;
    const struct clip_features *to = &v->features;
    const struct tensor tokens = kept_tokens(clip, v->started), cls = kept_cls(clip, v->started);
    CHECK(v->started);
    if (to->tokens) backend_read(clip->backend, to->tokens, tokens.data, tensor_bytes(&tokens));
    if (to->cls) backend_read(clip->backend, to->cls, cls.data, tensor_bytes(&cls));
    if (to->embedding) {
        const struct tensor embedding = kept_embedding(clip, v->started);
        backend_read(clip->backend, to->embedding, embedding.data, tensor_bytes(&embedding));
    }
    v->started = 0;
}

int clip_images_finish(struct clip *clip, struct err *err)
{
    take(clip);
    return backend_sync(clip->backend, err);
}

int clip_encode_images(struct clip *clip, const uint8_t *pixels, uint32_t count,
                       const struct clip_features *features, struct err *err)
{
    CHECK(clip->options.vision);
    const struct clip_shape shape = clip_shape(clip);
    const uint32_t most = clip->vision.batch_max;
    struct clip_features part = *features;
    uint32_t some = count < most ? count : most;
    if (some) clip_images_put(clip, pixels, some);
    for (uint32_t left = count; left;) {
        const int rc = clip_images_start(clip, &part, err);
        if (rc) return rc;
        pixels += (size_t)some * shape.image_side * shape.image_side * 3;
        if (part.tokens) part.tokens += (size_t)some * shape.tokens * shape.hidden;
        if (part.cls) part.cls += (size_t)some * shape.hidden;
        if (part.embedding) part.embedding += (size_t)some * shape.projection;
        left -= some;
        some = left < most ? left : most;
        if (some) clip_images_put(clip, pixels, some);
        take(clip);
    }
    return backend_sync(clip->backend, err);
}
