/* work.c - sets up one shard's pipe, runs it, takes it down. */
#include "worker/jobs/encode/work.h"

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#include <string.h>

/* Items for each decoder, so that it need not wait for one; besides those of three batches. */
#define ITEMS_PER_DECODER 2
#define BATCHES_IN_PIPE   3

static int make_items(struct work *work, struct err *err)
{
    const uint32_t cpus = work->env->cpus ? work->env->cpus : 1;
    const uint32_t asked = work->options.decode_threads ? work->options.decode_threads : cpus;
    const size_t side = work->model->shape.image_side;
    work->threads_count = asked < ENCODE_THREADS_MAX ? asked : ENCODE_THREADS_MAX;
    const uint32_t count =
        work->piece_max * BATCHES_IN_PIPE + work->threads_count * ITEMS_PER_DECODER;
    work->item = mem_try(count * sizeof *work->item);
    work->order = mem_try(count * sizeof(struct work_item *));
    if (!work->item || !work->order)
        return err_set(err, ERR_LIMIT, "no memory for %u pictures", count);
    work->items_count = count;
    work->pool = chan_new(count);
    work->decode = chan_new(count);
    work->done = chan_new(count);
    for (uint32_t i = 0; i < count; i++) {
        struct work_item *item = &work->item[i];
        buf_init(&item->sample.key, 0);
        buf_init(&item->sample.picture, work->options.body_bytes);
        buf_init(&item->sample.caption, 0);
        buf_init(&item->sample.json, 0);
        item->pixels = mem_try(side * side * 3);
        if (!item->pixels) return err_set(err, ERR_LIMIT, "no memory for %u pictures", count);
        CHECK(chan_send(work->pool, item));
    }
    return 0;
}

static int start_threads(struct work *work, struct err *err)
{
    uint32_t started = 0;
    int rc = 0;
    atomic_store(&work->decoders, work->threads_count);
    while (started < work->threads_count && !rc) {
        rc =
            thread_start(&work->decode_thread[started], "en-decode", encode_work_decode, work, err);
        if (!rc) started++;
    }
    if (!rc) rc = thread_start(&work->read_thread, "en-read", encode_work_read, work, err);
    if (!rc) return 0;
    /* Those that run end at the closed channel. */
    chan_close(work->decode);
    atomic_fetch_sub(&work->decoders, work->threads_count - started);
    return rc;
}

static void join_threads(struct work *work)
{
    thread_join(&work->read_thread);
    for (uint32_t i = 0; i < work->threads_count; i++) thread_join(&work->decode_thread[i]);
}

static int run_pipe(struct work *work, struct err *err)
{
    int rc = start_threads(work, err);
    if (!rc) rc = encode_work_encode(work, err);
    join_threads(work);
    /* What made the reader end before the source's end is the reason of all. */
    if (!rc && work->read_err.code)
        rc = err_set(err, work->read_err.code, "%s", work->read_err.msg);
    return rc;
}

static void chan_end(struct chan *chan)
{
    if (!chan) return;
    chan_close(chan);
    while (chan_try_recv(chan)) {
    } /* the items are freed through their array */
    chan_free(chan);
}

/* All that pictures are encoded with. */
static void free_pipe(struct work *work)
{
    near_free(work->near);
    encode_model_give(work->model, work->env, &work->options);
    work->near = NULL;
    work->model = NULL;
    chan_end(work->pool);
    chan_end(work->decode);
    chan_end(work->done);
    work->pool = work->decode = work->done = NULL;
    for (uint32_t i = 0; i < work->items_count; i++) {
        buf_deinit(&work->item[i].sample.key);
        buf_deinit(&work->item[i].sample.picture);
        buf_deinit(&work->item[i].sample.caption);
        buf_deinit(&work->item[i].sample.json);
        mem_free(work->item[i].pixels);
    }
    work->items_count = 0;
    mem_free(work->item);
    mem_free(work->order);
    work->item = NULL;
    work->order = NULL;
    encode_work_vectors_deinit(work);
}

/* To publish takes as long as to encode where tokens are written: the device need not wait. */
static int leave_device(struct work *work, struct err *err)
{
    const int rc = encode_tally_end(&work->tally, err);
    free_pipe(work);
    job_device_done(work->env);
    return rc;
}

static void work_free(struct work *work)
{
    source_close(atomic_load(&work->source));
    encode_tally_deinit(&work->tally);
    features_free(work->features);
    attempt_close(work->attempt); /* and the files that are open */
    free_pipe(work);
    buf_deinit(&work->line);
    store_close(work->store);
    mem_free(work);
}

static int open_model(struct work *work, struct err *err)
{
    const struct encode_options *options = &work->options;
    int rc = encode_model_get(&work->model, &work->result->device, work->env, options, &work->files,
                              err);
    if (!rc && options->near_duplicates > 0)
        rc = near_new(&work->near, work->env->cpus, work->model->shape.projection,
                      options->near_duplicates, err);
    if (rc && work->model) work->result->device = encode_model_device(work->model);
    return rc ? rc : encode_work_vectors_init(work, err);
}

/* What the job names besides its input, and the output, which is this job's. Whoever claimed it had
 * the model: that it is not here is this worker's matter, and another one may have it. */
static int open_files(struct work *work, struct err *err)
{
    const struct encode_options *options = &work->options;
    struct encode_files *claimed = arena_try(work->env->arena, sizeof *claimed);
    if (!claimed) return err_set(err, ERR_LIMIT, "no memory for the claim");
    int rc = store_open(&work->store, options->output, true, err);
    if (!rc) rc = encode_claim_recall(claimed, work->store, options, work->fingerprint, err);
    if (rc) return rc;
    rc = encode_files_init(&work->files, options, err);
    if (rc == ERR_NOT_FOUND && claimed->model_hash[0]) rc = err->code = ERR_UNAVAILABLE;
    if (!rc && claimed->model_hash[0] && !str_eq(claimed->model_hash, work->files.model_hash))
        rc = err_set(err, ERR_UNAVAILABLE,
                     "--model %.80s is another one here than the output was begun with: pull the "
                     "same revision on every worker, or choose another --output",
                     options->model);
    return rc ? rc : encode_claim(work->store, options, &work->files, work->fingerprint, err);
}

/* *adopted: the shard was there already, and the result is filled. */
static int open_all(struct work *work, bool *adopted, struct err *err)
{
    const struct job_env *env = work->env;
    struct attempt_manifest *manifest = mem_new(sizeof *manifest);
    int rc = encode_options_init(&work->options, env->arena, env->spec.data, env->spec.bytes, err);
    if (!rc) rc = encode_work_shard(work, err);
    if (!rc) rc = open_files(work, err);
    if (!rc)
        rc = attempt_open(&work->attempt, work->store, work->name, env->lease, adopted, manifest,
                          err);
    if (!rc && *adopted) encode_work_adopt(work, manifest);
    mem_free(manifest);
    if (rc || *adopted) return rc;
    rc = open_model(work, err);
    if (!rc) rc = attempt_scratch(work->attempt, work->scratch, sizeof work->scratch, err);
    if (!rc) rc = encode_work_files_open(work, err);
    if (!rc) rc = make_items(work, err);
    return rc;
}

int encode_work(struct job_env *env, struct job_result *result, struct err *err)
{
    bool adopted = false;
    struct work *work = mem_new(sizeof *work);
    work->env = env;
    work->result = result;
    work->start_at_ms = env->clock->wall_ms(env->clock);
    buf_init(&work->line, 0);
    int rc = open_all(work, &adopted, err);
    if (!rc && !adopted) rc = run_pipe(work, err);
    if (!rc && !adopted) rc = leave_device(work, err);
    if (!rc && !adopted) rc = encode_work_commit(work, err);
    if (work->attempt && !adopted) rc = attempt_explain(work->attempt, rc, err);
    work_free(work);
    return rc;
}
