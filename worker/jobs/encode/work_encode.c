/* work_encode.c - the task thread's loop: items in order, pieces of them through the model, and all
 * that is told of each row. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "worker/jobs/encode/work.h"

#include <math.h>
#include <string.h>

#define WAIT_MS     50  /* for an item; a stop is noticed in between */
#define TELL_MS     200 /* between two reports of the progress */
#define PIECE_FIRST 4   /* pictures, until it is known how long they take */

/* One piece: items in order, some of which have pixels. Its pass is begun, its numbers come, its
 * rows are written. The pass of the one after it begins as soon as there are pictures for it, so
 * that the device need not wait for what is done here; its numbers come when these rows are
 * written. */
struct piece {
    struct work_item **item; /* [items] */
    uint32_t items, pictures;
    float *caption; /* embeddings of its captions, one after another */
    bool has_numbers;
};

/* What the loop holds. */
struct pieces {
    struct piece piece[2];
    struct piece *next;   /* is gathered */
    struct piece *before; /* was begun; NULL: none */
};

/* ---- memory ---- */

static void *array(size_t count, size_t each)
{
    size_t bytes;
    return __builtin_mul_overflow(count, each, &bytes) ? NULL : mem_try(bytes ? bytes : 1);
}

static size_t tokens_each(const struct work *work)
{
    const struct clip_shape *shape = &work->model->shape;
    return (size_t)shape->tokens * shape->hidden;
}

static void choose_piece(struct work *work)
{
    const struct clip_shape *shape = &work->model->shape;
    size_t each = shape->hidden + (size_t)shape->projection * 3;
    if (encode_wants_tokens(&work->options)) each += tokens_each(work);
    each += work->model->labels_count;
    const size_t fits = VECTORS_BYTES_MAX / (each * sizeof(float));
    uint32_t batch = work->options.batch ? work->options.batch : BATCH_DEFAULT;
    /* A pass of its own for each piece, unless those are small. */
    if (shape->images_batch < batch || !work->options.batch)
        batch = shape->images_batch >= BATCH_DEFAULT / 2 ? shape->images_batch : batch;
    work->piece_max = fits < 1 ? 1 : fits < batch ? (uint32_t)fits : batch;
    work->overlaps = work->piece_max <= shape->images_batch;
    const uint32_t known = work->model->piece ? work->model->piece : PIECE_FIRST;
    work->piece = known < work->piece_max ? known : work->piece_max;
}

int encode_work_vectors_init(struct work *work, struct err *err)
{
    const struct clip_shape *shape = &work->model->shape;
    const struct encode_options *options = &work->options;
    struct work_vectors *vectors = &work->vectors;
    choose_piece(work);
    work->device_ns = backend_busy_ns(work->model->backend);
    const size_t count = work->piece_max, side = shape->image_side, f32 = sizeof(float);
    const size_t embedding = shape->projection * f32;
    bool ok = (vectors->pixels = array(count, side * side * 3)) != NULL;
    if (ok && encode_wants_tokens(options))
        ok = (vectors->tokens = array(count, tokens_each(work) * f32)) != NULL;
    if (ok && encode_wants_cls(options))
        ok = (vectors->cls = array(count, shape->hidden * f32)) != NULL;
    if (ok && encode_wants_embedding(options))
        ok = (vectors->embedding = array(count, embedding)) != NULL;
    if (ok && options->captions)
        ok = (vectors->caption[0] = array(count, embedding)) != NULL &&
             (vectors->caption[1] = array(count, embedding)) != NULL &&
             (vectors->caption_ids = array(count, shape->text_tokens * sizeof(uint32_t))) != NULL;
    if (ok && work->near)
        ok = (vectors->kept = array(count, embedding)) != NULL &&
             (vectors->kept_number = array(count, sizeof(int64_t))) != NULL &&
             (vectors->match = array(count, sizeof *vectors->match)) != NULL;
    if (ok && work->model->labels_count)
        ok = (vectors->cosine = array(count, work->model->labels_count * f32)) != NULL &&
             (vectors->label = array(count, work->model->top_k * sizeof *vectors->label)) != NULL;
    if (ok) ok = (vectors->fate = array(count, sizeof *vectors->fate)) != NULL;
    if (ok) ok = (work->zeros = array(shape->projection, f32)) != NULL;
    return ok ? 0
              : err_set(err, ERR_LIMIT, "no memory for the vectors of %u pictures",
                        work->piece_max);
}

void encode_work_vectors_deinit(struct work *work)
{
    struct work_vectors *vectors = &work->vectors;
    mem_free(vectors->pixels);
    mem_free(vectors->tokens);
    mem_free(vectors->cls);
    mem_free(vectors->embedding);
    mem_free(vectors->cosine);
    mem_free(vectors->caption[0]);
    mem_free(vectors->caption[1]);
    mem_free(vectors->caption_ids);
    mem_free(vectors->kept);
    mem_free(vectors->kept_number);
    mem_free(vectors->match);
    mem_free(vectors->label);
    mem_free(vectors->fate);
    *vectors = (struct work_vectors){0};
    mem_free(work->zeros);
    work->zeros = NULL;
}

/* ---- progress ---- */

static void tell_stages(struct work *work, struct job_stage stage[WORK_STAGES])
{
    const uint32_t to_decode = chan_depth(work->decode);
    const uint32_t to_encode = chan_depth(work->done) + work->arrived;
    const bool held = chan_depth(work->pool) == 0;
    struct source *source = atomic_load(&work->source);
    stage[WORK_READ] = (struct job_stage){.name = "read", .running = !held};
    if (source) source_tell(source, &stage[WORK_READ]);
    stage[WORK_READ].finished = atomic_load(&work->read);
    stage[WORK_DECODE] = (struct job_stage){.name = "decode",
                                            .queued = to_decode,
                                            .finished = atomic_load(&work->decoded),
                                            .running = atomic_load(&work->decoding),
                                            .full = held && to_decode >= to_encode};
    stage[WORK_ENCODE] = (struct job_stage){.name = "encode",
                                            .queued = to_encode,
                                            .finished = work->next,
                                            .full = held && to_decode < to_encode};
    stage[WORK_WRITE] = (struct job_stage){.name = "write", .finished = work->next};
}

static void tell(struct work *work, bool always)
{
    const struct clock *clock = work->env->clock;
    const int64_t now_ms = clock->mono_ms(clock);
    if (!always && now_ms - work->told_at_ms < TELL_MS) return;
    work->told_at_ms = now_ms;
    struct job_progress progress = {.items = work->tally.rows,
                                    .items_ok = work->tally.success,
                                    .bytes = work->bytes,
                                    .stages_count = WORK_STAGES};
    tell_stages(work, progress.stage);
    job_progress_set(work->env, &progress);
}

/* ---- a piece through the model ---- */

static int64_t now_ns(void)
{
    return clock_mono_us() * 1000;
}

static void put_pictures(struct work *work, const struct piece *piece)
{
    const size_t side = work->model->shape.image_side, bytes = side * side * 3;
    uint8_t *to = work->vectors.pixels;
    for (uint32_t i = 0; i < piece->items; i++) {
        if (piece->item[i]->status) continue;
        memcpy(to, piece->item[i]->pixels, bytes);
        to += bytes;
    }
    if (work->overlaps) clip_images_put(work->model->clip, work->vectors.pixels, piece->pictures);
}

/* Behind put_pictures. */
static int start_pictures(struct work *work, const struct piece *piece, struct err *err)
{
    const struct work_vectors *vectors = &work->vectors;
    const struct clip_features features = {.tokens = vectors->tokens,
                                           .cls = vectors->cls,
                                           .embedding = vectors->embedding,
                                           .cosine = vectors->cosine};
    struct clip *clip = work->model->clip;
    return work->overlaps
               ? clip_images_start(clip, &features, err)
               : clip_encode_images(clip, vectors->pixels, piece->pictures, &features, err);
}

/* The device's time since this was called before, for so many pictures. */
static void tell_device(struct work *work, uint32_t pictures)
{
    const int64_t busy_ns = backend_busy_ns(work->model->backend) - work->device_ns;
    work->device_ns += busy_ns;
    atomic_fetch_add(&work->busy_ns[WORK_ENCODE], busy_ns);
    job_device_used(work->env, busy_ns, pictures);
    const int64_t each_ns = busy_ns / pictures;
    const int64_t piece_wanted = each_ns > 0 ? PIECE_NS / each_ns : work->piece_max;
    work->piece = piece_wanted < 1                 ? 1
                  : piece_wanted < work->piece_max ? (uint32_t)piece_wanted
                                                   : work->piece_max;
    work->model->piece = work->piece;
}

/* ---- numbers ---- */

/* Below it a number is none that becomes infinite in the files. */
static float limit_of(enum dtype dtype)
{
    if (dtype == DTYPE_F16) return 65520.0F;
    return dtype == DTYPE_BF16 ? 0x1.ffp127F : INFINITY;
}

/* The first number that is not below the limit; count: there is none. */
static size_t find_large(const float *vector, size_t count, float limit)
{
    size_t i = 0;
    while (i < count && fabsf(vector[i]) < limit) i++; /* not for NaN */
    return i;
}

/* vector: NULL, or count numbers that the model gave, for files in dtype. */
static int check_numbers(const char *name, const float *vector, size_t count, enum dtype dtype,
                         struct err *err)
{
    const size_t at = vector ? find_large(vector, count, limit_of(dtype)) : count;
    if (at == count) return 0;
    if (!isfinite(vector[at]))
        return err_set(err, ERR_INVALID,
                       "the model gives no numbers for the %s of a picture: are its weights whole?",
                       name);
    return err_set(err, ERR_INVALID,
                   "the model gives %g for the %s of a picture, which %s cannot hold: use "
                   "--feature-dtype f32%s",
                   (double)vector[at], name, dtype_name(dtype),
                   dtype == DTYPE_F16 ? " or bf16" : "");
}

static int check_pictures(const struct work *work, uint32_t pictures, struct err *err)
{
    const struct work_vectors *vectors = &work->vectors;
    const struct clip_shape *shape = &work->model->shape;
    const enum dtype dtype = work->options.feature_dtype;
    const enum dtype cls = work->options.cls ? dtype : DTYPE_F32; /* it may only be compared */
    int rc = check_numbers("tokens", vectors->tokens, pictures * tokens_each(work), dtype, err);
    if (!rc) rc = check_numbers("cls", vectors->cls, (size_t)pictures * shape->hidden, cls, err);
    if (!rc)
        rc = check_numbers("embedding", vectors->embedding, (size_t)pictures * shape->projection,
                           dtype, err);
    return rc;
}

static bool is_placeholder(const struct work *work, uint32_t picture, float *cosine)
{
    const struct work_vectors *vectors = &work->vectors;
    const struct clip_shape *shape = &work->model->shape;
    const bool cls = work->options.placeholder_space == VLMQ__JOBS__ENCODE_SPACE__ENCODE_SPACE_CLS;
    const float *vector = cls ? vectors->cls + (size_t)picture * shape->hidden
                              : vectors->embedding + (size_t)picture * shape->projection;
    return placeholder_cosine(&work->model->placeholder, cosine, vector) &&
           placeholder_drops(&work->model->placeholder, *cosine);
}

static void judge(struct work *work, const struct piece *piece, struct work_fate *fate)
{
    for (uint32_t i = 0, picture = 0; i < piece->items; i++) {
        if (piece->item[i]->status) continue;
        fate[picture] = (struct work_fate){0};
        if (work->options.placeholder)
            fate[picture].dropped = is_placeholder(work, picture, &fate[picture].cosine);
        picture++;
    }
}

static int rank_labels(struct work *work, uint32_t pictures, struct err *err)
{
    const struct encode_model *model = work->model;
    const uint32_t labels = model->labels_count, top_k = model->top_k;
    for (uint32_t i = 0; labels && i < pictures; i++)
        if (!scores_best(work->vectors.label + (size_t)i * top_k, top_k,
                         work->vectors.cosine + (size_t)i * labels, labels,
                         model->shape.logit_scale))
            return err_set(err, ERR_CORRUPT,
                           "the model gives no numbers for a picture: are its weights whole?");
    return 0;
}

/* Before the pass over the pictures, so that the device does both in one go while the host waits
 * for the pass before. */
static int encode_captions(struct work *work, const struct piece *piece, struct err *err)
{
    const struct encode_model *model = work->model;
    const struct tokenizer_options options = {.style = TOKENIZER_HF,
                                              .context = model->shape.text_tokens,
                                              .truncate = true,
                                              .pad_id = TOKENIZER_PAD_DEFAULT};
    uint32_t captions = 0, ids;
    int rc = 0;
    if (!work->options.captions) return 0;
    for (uint32_t i = 0; i < piece->items && !rc; i++) {
        const struct encode_sample *sample = &piece->item[i]->sample;
        if (piece->item[i]->status || !sample->has_caption) continue;
        rc = tokenizer_encode(model->tokenizer,
                              work->vectors.caption_ids +
                                  (size_t)captions++ * model->shape.text_tokens,
                              &ids, buf_str(&sample->caption), sample->caption.len, &options, err);
    }
    if (rc || !captions) return rc;
    rc = clip_encode_texts(model->clip, work->vectors.caption_ids, captions, piece->caption, err);
    return rc ? rc
              : check_numbers("caption", piece->caption, (size_t)captions * model->shape.projection,
                              work->options.feature_dtype, err);
}

/* Embeddings of the pictures that are kept, to those kept before. */
static int find_near(struct work *work, const struct piece *piece, const struct work_fate *fate,
                     struct err *err)
{
    struct work_vectors *vectors = &work->vectors;
    const size_t columns = work->model->shape.projection;
    uint32_t kept = 0;
    if (!work->near) return 0;
    for (uint32_t i = 0, picture = 0; i < piece->items; i++) {
        if (piece->item[i]->status) continue;
        if (!fate[picture].dropped) {
            memcpy(vectors->kept + kept * columns, vectors->embedding + picture * columns,
                   columns * sizeof *vectors->kept);
            vectors->kept_number[kept++] = piece->item[i]->sample.index;
        }
        picture++;
    }
    if (!kept) return 0;
    return near_add(work->near, vectors->match, vectors->kept, vectors->kept_number, kept, err);
}

/* ---- rows ---- */

/* What is known of the item itself. */
static void begin_row(struct work *work, const struct work_item *item)
{
    const struct encode_sample *sample = &item->sample;
    struct encode_row *row = &work->row;
    row->index = sample->index;
    row->key = buf_str(&sample->key);
    row->status = item->status ? item->status : ROW_SUCCESS;
    row->message = item->message;
    row->caption = sample->has_caption ? buf_str(&sample->caption) : NULL;
    row->json = sample->json.len ? buf_str(&sample->json) : NULL;
    row->width = item->width;
    row->height = item->height;
    row->tokens = row->cls = row->embedding = row->caption_embedding = NULL;
    row->row = row->duplicate_of = -1;
    row->labels_count = 0;
    row->has_placeholder = false;
}

/* Of which picture of the piece, caption and kept picture the turn is. */
struct turn {
    uint32_t picture, caption, kept;
};

static void add_labels(struct work *work, uint32_t picture)
{
    struct encode_row *row = &work->row;
    row->labels_count = work->model->top_k;
    memcpy(row->label, work->vectors.label + (size_t)picture * row->labels_count,
           row->labels_count * sizeof *row->label);
}

/* What the model says of it. */
static void fill_row(struct work *work, const struct piece *piece, const struct work_item *item,
                     struct turn *turn)
{
    const struct work_vectors *vectors = &work->vectors;
    const struct clip_shape *shape = &work->model->shape;
    struct encode_row *row = &work->row;
    const size_t picture = turn->picture++, caption = turn->caption;
    const struct work_fate *fate = &vectors->fate[picture];
    if (item->sample.has_caption) turn->caption++;
    if (vectors->tokens) row->tokens = vectors->tokens + picture * tokens_each(work);
    if (vectors->cls) row->cls = vectors->cls + picture * shape->hidden;
    if (vectors->embedding) row->embedding = vectors->embedding + picture * shape->projection;
    row->has_placeholder = work->options.placeholder != NULL;
    row->placeholder = fate->cosine;
    if (fate->dropped) {
        row->status = ROW_PLACEHOLDER;
        row->message = "it resembles the reference picture";
        return;
    }
    row->row = work->tally.success;
    if (work->model->labels_count) add_labels(work, (uint32_t)picture);
    if (work->options.captions && item->sample.has_caption)
        row->caption_embedding = piece->caption + caption * shape->projection;
    if (work->near) {
        const struct near_match *match = &vectors->match[turn->kept++];
        row->duplicate_of = match->duplicate_of;
        row->duplicate_similarity = match->similarity;
    }
}

static int write_rows(struct work *work, const struct piece *piece, struct err *err)
{
    struct turn turn = {0};
    int rc = 0;
    for (uint32_t i = 0; i < piece->items && !rc; i++) {
        struct work_item *item = piece->item[i];
        begin_row(work, item);
        const bool encoded = !item->status;
        if (encoded) fill_row(work, piece, item, &turn);
        if (encoded) work->bytes += (int64_t)item->sample.picture.len;
        rc = encode_work_row(work, err);
        if (encoded && work->row.row < 0 && encode_tally_has_room(&work->tally))
            encode_tally_picture(&work->tally, &work->row, item->pixels,
                                 work->model->shape.image_side);
    }
    return rc;
}

/* All that the model gives of a piece. */
static int get_numbers(struct work *work, struct piece *piece, struct err *err)
{
    struct work_fate *fate = work->vectors.fate;
    int rc = 0;
    piece->has_numbers = true;
    if (!piece->pictures) return 0;
    if (work->overlaps) rc = clip_images_finish(work->model->clip, err);
    if (!rc) rc = check_pictures(work, piece->pictures, err);
    if (!rc) judge(work, piece, fate);
    if (!rc) rc = rank_labels(work, piece->pictures, err);
    if (!rc) rc = find_near(work, piece, fate, err);
    tell_device(work, piece->pictures);
    return rc;
}

static int write_piece(struct work *work, const struct piece *piece, struct err *err)
{
    const int64_t from_ns = now_ns();
    const int rc = write_rows(work, piece, err);
    atomic_fetch_add(&work->busy_ns[WORK_WRITE], now_ns() - from_ns);
    return rc;
}

/* ---- the loop ---- */

static void give_back(struct work *work, struct work_item *item)
{
    struct buf *bufs[] = {&item->sample.picture, &item->sample.caption, &item->sample.json};
    for (size_t i = 0; i < sizeof bufs / sizeof bufs[0]; i++) {
        const size_t max = bufs[i]->max;
        if (bufs[i]->cap <= BUFFER_KEPT_MAX) continue;
        buf_deinit(bufs[i]);
        buf_init(bufs[i], max);
    }
    CHECK(chan_send(work->pool, item));
}

/* What stands in order from the next index on, up to a piece. */
static void gather(const struct work *work, struct piece *piece)
{
    piece->items = piece->pictures = 0;
    piece->has_numbers = false;
    while (piece->items < work->items_count) {
        struct work_item *item = work->order[(work->next + piece->items) % work->items_count];
        if (!item || (!item->status && piece->pictures == work->piece)) return;
        piece->item[piece->items++] = item;
        piece->pictures += !item->status;
    }
}

/* A whole piece, or rows that cost nothing and wait for none, or there is nothing to wait for.
 * quiet: nothing came for a while. */
static bool is_due(const struct work *work, const struct pieces *pieces, bool quiet)
{
    const struct piece *next = pieces->next, *before = pieces->before;
    const uint32_t held = before ? before->items : 0;
    if (next->items == 0) return false;
    return quiet || next->pictures == work->piece ||
           (next->pictures == 0 && (!before || before->has_numbers)) ||
           next->items + held == work->items_count;
}

static int look(const struct work *work, struct err *err)
{
    if (job_stopping(work->env) <= JOB_STOP_DRAIN) return 0;
    return err_set(err, ERR_CANCELLED, "shard %s was stopped", work->name);
}

/* Its items leave the order; others may come in their places only when they were given back. */
static void claim(struct work *work, const struct piece *piece)
{
    for (uint32_t i = 0; i < piece->items; i++)
        work->order[(work->next + i) % work->items_count] = NULL;
    work->next += piece->items;
    work->arrived -= piece->items;
}

static void end_before(struct work *work, struct pieces *pieces)
{
    const struct piece *before = pieces->before;
    for (uint32_t i = 0; before && i < before->items; i++) give_back(work, before->item[i]);
    pieces->before = NULL;
}

/* The piece before gets its numbers and its rows, if there is one. */
static int do_before(struct work *work, struct pieces *pieces, struct err *err)
{
    struct piece *before = pieces->before;
    int rc = 0;
    if (!before) return 0;
    if (!before->has_numbers) rc = get_numbers(work, before, err);
    if (!rc) rc = write_piece(work, before, err);
    end_before(work, pieces);
    return rc;
}

/* The next piece is begun, and the one before ended while the model has work. */
static int do_next(struct work *work, struct pieces *pieces, struct err *err)
{
    struct piece *next = pieces->next;
    int rc = 0;
    claim(work, next);
    if (next->pictures) {
        put_pictures(work, next);
        rc = encode_captions(work, next, err);
        if (!rc) rc = start_pictures(work, next, err);
    }
    if (rc)
        end_before(work, pieces);
    else
        rc = do_before(work, pieces, err);
    pieces->before = next;
    pieces->next = next == pieces->piece ? pieces->piece + 1 : pieces->piece;
    return rc;
}

/* After an error items only go round, until the threads before have noticed. */
static void take_item(struct work *work, struct work_item *item)
{
    const uint32_t place = item->sample.index % work->items_count;
    if (atomic_load(&work->abort)) {
        give_back(work, item);
        return;
    }
    CHECK(!work->order[place] && item->sample.index - work->next < work->items_count);
    work->order[place] = item;
    work->arrived++;
}

static bool has_ended(const struct work *work, const struct piece *piece)
{
    return !piece->pictures || !work->overlaps || clip_images_ready(work->model->clip);
}

/* What has come back. */
static void take_items(struct work *work)
{
    struct work_item *item;
    while ((item = chan_try_recv(work->done))) take_item(work, item);
}

/* Pieces as long as one is due. The last one's numbers come when its pass has ended, and its rows
 * are left for when the model has work, or until it is quiet. */
static int take_pieces(struct work *work, struct pieces *pieces, bool quiet, struct err *err)
{
    int rc = 0;
    for (gather(work, pieces->next); !rc && is_due(work, pieces, quiet);
         gather(work, pieces->next)) {
        rc = do_next(work, pieces, err);
        if (!rc && !work->overlaps) rc = do_before(work, pieces, err);
        tell(work, false);
        if (!rc) rc = look(work, err);
        take_items(work);
    }
    struct piece *last = pieces->before;
    if (!rc && last && !last->has_numbers && (quiet || has_ended(work, last)))
        rc = get_numbers(work, last, err);
    if (!rc && quiet) rc = do_before(work, pieces, err);
    return rc;
}

/* The reader may wait for an item, and look at abort only when it has one. Passes under way are
 * waited for, since the model may serve another task. */
static void give_up(struct work *work, struct pieces *pieces)
{
    struct clip *clip = work->model->clip;
    struct err ignored;
    atomic_store(&work->abort, true);
    while (work->overlaps && clip_images_under_way(clip)) (void)!clip_images_finish(clip, &ignored);
    end_before(work, pieces);
    for (uint32_t i = 0; i < work->items_count; i++) {
        if (work->order[i]) give_back(work, work->order[i]);
        work->order[i] = NULL;
    }
    work->arrived = 0;
}

static int pieces_init(struct pieces *pieces, struct work *work, struct err *err)
{
    const size_t count = work->items_count;
    struct work_item **item = arena_try(work->env->arena, 2 * count * sizeof(struct work_item *));
    *pieces = (struct pieces){.next = pieces->piece};
    for (int i = 0; i < 2; i++) {
        pieces->piece[i].item = item ? item + (size_t)i * count : NULL;
        pieces->piece[i].caption = work->vectors.caption[i];
    }
    if (item) return 0;
    (void)!err_set(err, ERR_LIMIT, "no memory for the pieces of the shard");
    return ERR_LIMIT;
}

int encode_work_encode(struct work *work, struct err *err)
{
    struct pieces pieces;
    int rc = pieces_init(&pieces, work, err);
    bool ended = false;
    while (!ended) {
        if (rc) give_up(work, &pieces);
        struct work_item *item = chan_recv_for(work->done, WAIT_MS);
        const bool quiet = !item;
        /* Decoders that have ended have sent all that they had. */
        if (!item && atomic_load(&work->decoders) == 0) {
            item = chan_try_recv(work->done);
            ended = !item;
        }
        if (item) take_item(work, item);
        take_items(work);
        if (!rc) rc = look(work, err);
        if (!rc) rc = take_pieces(work, &pieces, quiet, err);
        if (!rc) tell(work, ended);
        if (rc && !work->result->device) work->result->device = encode_model_device(work->model);
    }
    if (rc) give_up(work, &pieces);
    return rc;
}
