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
    STEP_PROJECT
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
    const int64_t kept_rows = clip->options.no_tokens ? 0 : batch * side * side;
    if (!rc) rc = plan_bytes(&kept, DTYPE_F32, kept_rows, hidden, err);
    if (!rc) rc = plan_bytes(&cls, DTYPE_F32, batch, hidden, err);
    if (!rc) rc = plan_bytes(&embedding, DTYPE_F32, batch, c->tower.projection_dim, err);
    if (!rc)
        rc = transformer_plan(&v->transformer, &v->plan, &v->layers, batch * tokens, STEP_LAYERS,
                              err);
    if (rc) return rc;
    v->first_token_bytes = aligned(v->batch_max * sizeof *v->first_token);
    v->pixels_bytes = aligned(pixels);
    v->kept.cls = aligned(kept);
    v->kept.embedding = v->kept.cls + aligned(cls);
    v->kept.bytes = v->kept.embedding + aligned(embedding);
    v->buffer.patches = plan_add(&v->plan, patches, STEP_PATCHES, STEP_EMBED);
    v->buffer.embedded = plan_add(&v->plan, embedded, STEP_EMBED, STEP_TOKENS);
    v->buffer.x = plan_add(&v->plan, x, STEP_TOKENS, STEP_CLS);
    v->buffer.normed = plan_add(&v->plan, cls, STEP_NORM, STEP_PROJECT);
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

static struct tensor pixels_of(const struct clip *clip, uint32_t buffer, uint32_t count)
{
    const int64_t side = clip->config.vision.image_size;
    return tensor_over(clip_pixels(clip, buffer), DTYPE_U8, (int64_t[]){count, side, side, 3}, 4);
}

/* Pixels to hidden state 0: x [count, tokens, hidden]. */
static struct tensor run_embedding(struct clip *clip, uint32_t count)
{
    const struct clip_vision *v = &clip->vision;
    const int64_t cells = (int64_t)v->grid * v->grid, hidden = v->layers.shape.hidden;
    const struct tensor image = pixels_of(clip, v->pass[v->turn].put, count);
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

/* What a pass leaves for the host, in its buffer. */
static struct tensor kept_tokens(const struct clip *clip, uint32_t buffer, uint32_t count)
{
    const int64_t side = clip->vision.grid / clip->vision.window;
    return tensor_over(clip_kept(clip, buffer), DTYPE_F32,
                       (int64_t[]){count, side * side, clip->vision.layers.shape.hidden}, 3);
}

static struct tensor kept_cls(const struct clip *clip, uint32_t buffer, uint32_t count)
{
    return tensor_over((char *)clip_kept(clip, buffer) + clip->vision.kept.cls, DTYPE_F32,
                       (int64_t[]){count, clip->vision.layers.shape.hidden}, 2);
}

static struct tensor kept_embedding(const struct clip *clip, uint32_t buffer, uint32_t count)
{
    return tensor_over((char *)clip_kept(clip, buffer) + clip->vision.kept.embedding, DTYPE_F32,
                       (int64_t[]){count, clip->config.vision.tower.projection_dim}, 2);
}

static struct tensor kept_cosine(const struct clip *clip, uint32_t buffer, uint32_t count)
{
    return tensor_over(clip->vision.cosine[buffer], DTYPE_F32,
                       (int64_t[]){count, clip->vision.labels->rows}, 2);
}

static void run_pool(struct clip *clip, const struct tensor *x)
{
    const struct clip_vision *v = &clip->vision;
    const uint32_t count = (uint32_t)x->shape[0];
    op_pool(clip->backend, &(struct op_pool){.x = *x,
                                             .out = kept_tokens(clip, v->turn, count),
                                             .grid = v->grid,
                                             .window = v->window});
}

static void run_projection(struct clip *clip, const struct tensor *cls)
{
    const struct clip_vision *v = &clip->vision;
    const struct tensor normed = planned(clip, v->buffer.normed, DTYPE_F32, cls->shape, 2);
    const uint32_t count = (uint32_t)cls->shape[0];
    const struct tensor embedding = kept_embedding(clip, v->turn, count);
    op_norm(clip->backend, &(struct op_norm){.kind = NORM_LAYER,
                                             .x = *cls,
                                             .out = normed,
                                             .weight = v->post_weight,
                                             .bias = v->post_bias,
                                             .eps = v->layers.shape.eps});
    clip_project(clip, v->projection, &normed, &embedding);
    if (!v->pass[v->turn].features.cosine) return;
    op_linear(clip->backend, &(struct op_linear){.x = embedding,
                                                 .out = kept_cosine(clip, v->turn, count),
                                                 .weight = v->labels,
                                                 .activation = ACTIVATION_NONE});
}

/* All ops of the pass that was begun last. */
static void run(void *context)
{
    struct clip *clip = context;
    const struct clip_vision *v = &clip->vision;
    const struct clip_features *features = &v->pass[v->turn].features;
    const uint32_t count = v->pass[v->turn].count;
    const int64_t layers = v->layers.shape.layers, hidden = v->layers.shape.hidden;
    const struct transformer_memory memory = {&v->plan, &v->transformer, clip_planned(clip)};
    const bool wants_embedding = features->embedding || features->cosine;
    const bool wants_cls = features->cls || wants_embedding;
    const bool wants_last = features->tokens && v->hidden_layer == layers;
    const struct tensor x = run_embedding(clip, count);
    int64_t done = 0;
    if (features->tokens) {
        transformer_run(clip->backend, &v->layers, &memory, &x, 0, v->hidden_layer);
        done = v->hidden_layer;
        run_pool(clip, &x);
    }
    if (!wants_cls) return;
    const struct tensor cls = kept_cls(clip, v->turn, count);
    if (wants_last) {
        const struct tensor rows =
            tensor_reshaped(&x, (int64_t[]){x.shape[0] * x.shape[1], hidden}, 2);
        op_rows(clip->backend, &(struct op_rows){.x = rows, .out = cls, .index = v->first_token});
    } else {
        transformer_run(clip->backend, &v->layers, &memory, &x, done, layers - 1);
        transformer_run_rows(clip->backend, &v->layers, &memory, &x, layers - 1, v->first_token,
                             &cls);
    }
    if (wants_embedding) run_projection(clip, &cls);
}

void clip_images_put(struct clip *clip, const uint8_t *pixels, uint32_t count)
{
    struct clip_vision *v = &clip->vision;
    CHECK(clip->options.vision);
    CHECK(count > 0 && count <= v->batch_max);
    v->put = !v->put;
    v->put_count = count;
    const struct tensor image = pixels_of(clip, v->put, count);
    backend_write_ahead(clip->backend, image.data, pixels, tensor_bytes(&image));
}

static int check_wanted(const struct clip *clip, const struct clip_features *features,
                        struct err *err)
{
    const struct clip_vision *v = &clip->vision;
    CHECK(!features->cosine || v->labels);
    CHECK(!features->tokens || !clip->options.no_tokens);
    if (!features->embedding || v->projection) return 0;
    return err_set(err, ERR_INVALID,
                   "the model has no visual_projection.weight, so it gives no embeddings of "
                   "pictures");
}

int clip_images_start(struct clip *clip, const struct clip_features *features, struct err *err)
{
    struct clip_vision *v = &clip->vision;
    CHECK(v->put_count && v->under_way < 2);
    const int rc = check_wanted(clip, features, err);
    if (rc) return rc;
    v->turn = !v->turn;
    v->under_way++;
    struct clip_pass *pass = &v->pass[v->turn];
    *pass = (struct clip_pass){.put = v->put, .count = v->put_count, .features = *features};
    const uint32_t wanted = (features->tokens ? 1u : 0) | (features->cls ? 2u : 0) |
                            (features->embedding ? 4u : 0) | (features->cosine ? 8u : 0);
    pass->number = backend_pass(
        clip->backend, clip,
        (uint32_t[]){CLIP_PASS_VISION, pass->count, v->put << 1 | v->turn, wanted}, run, clip);
    return 0;
}

/* The older of the passes under way. */
static uint32_t oldest(const struct clip_vision *v)
{
    CHECK(v->under_way);
    return v->under_way == 2 ? !v->turn : v->turn;
}

uint32_t clip_images_under_way(const struct clip *clip)
{
    return clip->vision.under_way;
}

bool clip_images_ready(const struct clip *clip)
{
    const struct clip_vision *v = &clip->vision;
    return backend_pass_ended(clip->backend, v->pass[oldest(v)].number);
}

static void take(const struct clip *clip, uint64_t pass, float *to, const struct tensor *kept)
{
    if (to) backend_pass_read(clip->backend, pass, to, kept->data, tensor_bytes(kept));
}

int clip_images_finish(struct clip *clip, struct err *err)
{
    struct clip_vision *v = &clip->vision;
    const uint32_t turn = oldest(v);
    const struct clip_pass *pass = &v->pass[turn];
    const struct clip_features *to = &pass->features;
    const struct tensor tokens = kept_tokens(clip, turn, pass->count);
    const struct tensor cls = kept_cls(clip, turn, pass->count);
    const struct tensor embedding = kept_embedding(clip, turn, pass->count);
    take(clip, pass->number, to->tokens, &tokens);
    take(clip, pass->number, to->cls, &cls);
    take(clip, pass->number, to->embedding, &embedding);
    if (to->cosine) {
        const struct tensor cosine = kept_cosine(clip, turn, pass->count);
        take(clip, pass->number, to->cosine, &cosine);
    }
    v->under_way--;
    return backend_error(clip->backend, err);
}

int clip_encode_images(struct clip *clip, const uint8_t *pixels, uint32_t count,
                       const struct clip_features *features, struct err *err)
{
    CHECK(clip->options.vision && !clip->vision.under_way);
    const struct clip_shape shape = clip_shape(clip);
    const uint32_t most = clip->vision.batch_max;
    struct clip_features part = *features;
    int rc = 0;
    for (uint32_t left = count; left && !rc;) {
        const uint32_t some = left < most ? left : most;
        clip_images_put(clip, pixels, some);
        rc = clip_images_start(clip, &part, err);
        if (rc) return rc;
        pixels += (size_t)some * shape.image_side * shape.image_side * 3;
        if (part.tokens) part.tokens += (size_t)some * shape.tokens * shape.hidden;
        if (part.cls) part.cls += (size_t)some * shape.hidden;
        if (part.embedding) part.embedding += (size_t)some * shape.projection;
        if (part.cosine) part.cosine += (size_t)some * (size_t)clip->vision.labels->rows;
        left -= some;
        if (clip->vision.under_way == 2) rc = clip_images_finish(clip, err);
    }
    while (clip->vision.under_way && !rc) rc = clip_images_finish(clip, err);
    return rc;
}

void clip_labels_free(struct clip *clip)
{
    struct clip_vision *v = &clip->vision;
    backend_weight_free(clip->backend, v->labels);
    for (int i = 0; i < 2; i++) backend_free(clip->backend, v->cosine[i]);
    v->labels = NULL;
    v->cosine[0] = v->cosine[1] = NULL;
}

int clip_labels(struct clip *clip, const float *vector, uint32_t labels, struct err *err)
{
    struct clip_vision *v = &clip->vision;
    CHECK(clip->options.vision && v->projection && !v->under_way);
    clip_labels_free(clip);
    if (!labels) return 0;
    /* Read only; a tensor's data has no const. */
    union {
        const float *read;
        void *data;
    } part = {.read = vector};
    const int64_t projection = clip->config.vision.tower.projection_dim;
    const struct tensor vectors =
        tensor_over(part.data, DTYPE_F32, (int64_t[]){labels, projection}, 2);
    int rc = backend_weight_new(clip->backend, &v->labels, &vectors, 1, projection, DTYPE_F32, err);
    for (int i = 0; i < 2 && !rc; i++) {
        v->cosine[i] = backend_alloc(clip->backend, (size_t)v->batch_max * labels * sizeof(float));
        if (!v->cosine[i])
            rc = err_set(err, ERR_LIMIT, "no memory for the scores of %" PRIu32 " labels", labels);
    }
    if (rc) clip_labels_free(clip);
    return rc;
}
