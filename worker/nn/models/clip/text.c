/* text.c - texts through the text tower.
 *
 * A text's embedding is that of its end, and a token sees none behind it: so what stands behind the
 * ends of all texts of a pass is left out, and the last layer works on the rows of the ends alone
 * behind its attention. Bits do not depend on either. */
#include "common/base/check.h"
#include "worker/nn/models/clip/inside.h"
#include "worker/nn/ops.h"

#include <inttypes.h>

#define BATCH_GOOD 32

/* Steps of the plan. */
enum {
    STEP_IDS,
    STEP_EMBED,
    STEP_LAYERS,
    STEP_NORM = STEP_LAYERS + TRANSFORMER_STEPS,
    STEP_PROJECT,
    STEP_END
};

int clip_text_plan(struct clip *clip, size_t *bytes, struct err *err)
{
    struct clip_text *t = &clip->text;
    const __typeof__(clip->config.text) *c = &clip->config.text;
    const int64_t hidden = c->tower.hidden_size, tokens = c->positions_max;
    const int64_t rows_good = clip->backend->rows_good;
    t->batch_max = clip->options.batch_max;
    if (!t->batch_max)
        t->batch_max = rows_good ? (uint32_t)((rows_good + tokens - 1) / tokens) : BATCH_GOOD;
    t->batch_max = (t->batch_max + clip->divisor - 1) / clip->divisor;
    t->plan = (struct plan){0};
    const int64_t batch = t->batch_max;
    if (batch * tokens > INT32_MAX)
        return err_set(err, ERR_LIMIT,
                       "%" PRId64 " texts of %" PRId64 " tokens are too many for one pass", batch,
                       tokens);
    size_t ids, end, x, ends, embedding;
    int rc = plan_bytes(&ids, DTYPE_U32, batch, tokens, err);
    if (!rc) rc = plan_bytes(&end, DTYPE_U32, batch, 1, err);
    if (!rc) rc = plan_bytes(&x, DTYPE_F32, batch * tokens, hidden, err);
    if (!rc) rc = plan_bytes(&ends, DTYPE_F32, batch, hidden, err);
    if (!rc) rc = plan_bytes(&embedding, DTYPE_F32, batch, c->tower.projection_dim, err);
    if (!rc)
        rc = transformer_plan(&t->transformer, &t->plan, &t->layers, batch * tokens, STEP_LAYERS,
                              err);
    if (rc) return rc;
    t->buffer.ids = plan_add(&t->plan, ids, STEP_IDS, STEP_EMBED);
    t->buffer.end = plan_add(&t->plan, end, STEP_IDS, STEP_NORM);
    t->buffer.x = plan_add(&t->plan, x, STEP_EMBED, STEP_NORM);
    t->buffer.ends = plan_add(&t->plan, ends, STEP_LAYERS, STEP_NORM);
    t->buffer.normed = plan_add(&t->plan, ends, STEP_NORM, STEP_PROJECT);
    t->buffer.embedding = plan_add(&t->plan, embedding, STEP_PROJECT, STEP_END);
    *bytes = plan_place(&t->plan);
    t->end = arena_try(&clip->arena, t->batch_max * sizeof *t->end);
    t->host = arena_try(&clip->arena, ids);
    return t->end && t->host ? 0 : err_set(err, ERR_LIMIT, "out of memory");
}

/* Where a text ends: at the first of its largest ids, or at the first that is the end's. */
static int find_end(uint32_t *end, const struct clip *clip, const uint32_t *ids, uint32_t number,
                    struct err *err)
{
    const __typeof__(clip->config.text) *c = &clip->config.text;
    bool found = c->pools_at_largest_id;
    *end = 0;
    for (uint32_t i = 0; i < c->positions_max; i++) {
        if (ids[i] >= c->vocab_size)
            return err_set(err, ERR_INVALID,
                           "text %" PRIu32 " has the id %" PRIu32
                           "; the model's vocabulary has %" PRId64
                           ": it may be another model's tokenizer",
                           number, ids[i], c->vocab_size);
        if (c->pools_at_largest_id) {
            if (ids[i] > ids[*end]) *end = i;
        } else if (!found && ids[i] == c->eos_token_id) {
            *end = i;
            found = true;
        }
    }
    if (found) return 0;
    return err_set(err, ERR_INVALID,
                   "text %" PRIu32 " does not have the id of its end, %" PRId64
                   ": it may be another model's tokenizer",
                   number, c->eos_token_id);
}

static struct tensor planned(const struct clip *clip, uint32_t buffer, enum dtype dtype,
                             const int64_t *shape, uint32_t rank)
{
    return tensor_over(plan_at(&clip->text.plan, buffer, clip_planned(clip)), dtype, shape, rank);
}

/* A pass: count texts of `tokens` ids each, and where on the device it finds them and leaves what
 * they become. */
struct pass {
    struct clip *clip;
    struct tensor ids, end, embedding;
};

static void run(void *context)
{
    const struct pass *pass = context;
    struct clip *clip = pass->clip;
    const struct clip_text *t = &clip->text;
    const int64_t count = pass->ids.shape[0], tokens = pass->ids.shape[1];
    const int64_t hidden = t->layers.shape.hidden, layers = t->layers.shape.layers;
    const struct transformer_memory memory = {&t->plan, &t->transformer, clip_planned(clip)};
    const struct tensor x =
        planned(clip, t->buffer.x, DTYPE_F32, (int64_t[]){count, tokens, hidden}, 3);
    const struct tensor ends =
        planned(clip, t->buffer.ends, DTYPE_F32, (int64_t[]){count, hidden}, 2);
    const struct tensor normed =
        planned(clip, t->buffer.normed, DTYPE_F32, (int64_t[]){count, hidden}, 2);
    op_embed(
        clip->backend,
        &(struct op_embed){.ids = pass->ids, .table = t->token, .position = t->position, .out = x});
    transformer_run(clip->backend, &t->layers, &memory, &x, 0, layers - 1);
    transformer_run_rows(clip->backend, &t->layers, &memory, &x, layers - 1, pass->end.data, &ends);
    op_norm(clip->backend, &(struct op_norm){.kind = NORM_LAYER,
                                             .x = ends,
                                             .out = normed,
                                             .weight = t->final_weight,
                                             .bias = t->final_bias,
                                             .eps = t->layers.shape.eps});
    clip_project(clip, t->projection, &normed, &pass->embedding);
}

/* count texts of `tokens` ids in t->host, whose ends are rows t->end. */
static void encode(struct clip *clip, uint32_t count, uint32_t tokens, float *embedding)
{
    const struct clip_text *t = &clip->text;
    const int64_t projection = clip->config.text.tower.projection_dim;
    struct pass pass = {
        .clip = clip,
        .ids = planned(clip, t->buffer.ids, DTYPE_U32, (int64_t[]){count, tokens}, 2),
        .end = planned(clip, t->buffer.end, DTYPE_U32, (int64_t[]){count}, 1),
        .embedding =
            planned(clip, t->buffer.embedding, DTYPE_F32, (int64_t[]){count, projection}, 2)};
    backend_write(clip->backend, pass.ids.data, t->host, tensor_bytes(&pass.ids));
    backend_write(clip->backend, pass.end.data, t->end, tensor_bytes(&pass.end));
    backend_pass(clip->backend, clip, (uint32_t[]){CLIP_PASS_TEXT, count, tokens, 0}, run, &pass);
    backend_read(clip->backend, embedding, pass.embedding.data, tensor_bytes(&pass.embedding));
}

/* Cuts the texts behind the last of their ends, and makes the ends rows. Returns how long they are.
 */
static uint32_t pack(struct clip_text *t, const uint32_t *ids, uint32_t count, uint32_t positions)
{
    uint32_t tokens = 0;
    for (uint32_t i = 0; i < count; i++)
        if (t->end[i] >= tokens) tokens = t->end[i] + 1;
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < tokens; k++)
            t->host[(size_t)i * tokens + k] = ids[(size_t)i * positions + k];
        t->end[i] += i * tokens;
    }
    return tokens;
}

int clip_encode_texts(struct clip *clip, const uint32_t *ids, uint32_t count, float *embedding,
                      struct err *err)
{
    CHECK(clip->options.text);
    struct clip_text *t = &clip->text;
    const uint32_t positions = (uint32_t)clip->config.text.positions_max;
    uint32_t some;
    if (!t->projection)
        return err_set(err, ERR_INVALID,
                       "the model has no text_projection.weight, so it gives no embeddings of "
                       "texts");
    for (uint32_t done = 0; done < count; done += some) {
        some = count - done < t->batch_max ? count - done : t->batch_max;
        int rc = 0;
        for (uint32_t i = 0; !rc && i < some; i++)
            rc = find_end(&t->end[i], clip, ids + (size_t)i * positions, done + i, err);
        if (rc) return rc;
        encode(clip, some, pack(t, ids, some, positions), embedding);
        rc = backend_sync(clip->backend, err); /* before t->host is another's */
        if (rc) return rc;
        ids += (size_t)some * positions;
        embedding += (size_t)some * (size_t)clip->config.text.tower.projection_dim;
    }
    return 0;
}
