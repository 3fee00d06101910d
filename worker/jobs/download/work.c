/* work.c - sets up one shard's pipe, runs it, takes it down. */
#include "worker/jobs/download/work.h"

#include "common/base/check.h"
#include "common/base/clock.h"
#include "worker/jobs/download/late.h"
#include "worker/pipe/fetch_spec.h"

#include <stdio.h>
#include <string.h>

/* Items in the pipe, besides those of the fetch. */
#define ITEMS_PER_DECODER 4

static int read_task(struct work *work, struct err *err)
{
    struct job_env *env = work->env;
    struct arena_lender lender = {.arena = env->arena};
    ProtobufCAllocator allocator = {arena_lend, arena_take_back, &lender};
    int rc =
        download_options_init(&work->options, env->arena, env->spec.data, env->spec.bytes, err);
    if (rc) return rc;
    work->shard =
        vlmq__jobs__download_shard__unpack(&allocator, env->payload.bytes, env->payload.data);
    if (lender.failed) return err_set(err, ERR_LIMIT, "no memory for the payload");
    if (work->shard && work->shard->rows == 0) work->shard->rows = work->shard->late;
    if (!work->shard || work->shard->rows == 0 || work->shard->rows > DOWNLOAD_SHARD_ROWS_MAX ||
        (work->shard->late && work->shard->late != work->shard->rows))
        return err_set(err, ERR_INVALID, "the task's payload cannot be read");
    work->rows_count = work->shard->rows;
    (void)snprintf(work->name, sizeof work->name, "%05u%s", work->shard->shard,
                   work->shard->late ? LATE_SUFFIX : "");
    work->key_digits = list_key_digits(work->options.shard_rows);
    fetch_options_fit(&work->options.fetch);
    return 0;
}

static void item_init(struct work_item *item, const struct download_options *options)
{
    list_body_init(&item->body, options->fetch.body_bytes);
    buf_init(&item->samples, 0);
    buf_init(&item->line, 0);
}

static int make_items(struct work *work, struct err *err)
{
    const uint32_t cpus = work->env->cpus ? work->env->cpus : 1;
    const uint32_t asked = work->options.decode_threads ? work->options.decode_threads : cpus;
    work->threads_count = asked < DOWNLOAD_THREADS_MAX ? asked : DOWNLOAD_THREADS_MAX;
    const uint32_t count =
        work->options.fetch.transfers * LIST_FETCH_ITEMS + work->threads_count * ITEMS_PER_DECODER;
    work->item = mem_try(count * sizeof *work->item);
    if (!work->item) return err_set(err, ERR_LIMIT, "no memory for %u rows", count);
    work->items_count = count;
    work->pool = chan_new(count);
    work->decode = chan_new(count);
    work->write = chan_new(count);
    for (uint32_t i = 0; i < count; i++) {
        item_init(&work->item[i], &work->options);
        CHECK(chan_send(work->pool, &work->item[i]));
    }
    return 0;
}

static int start_threads(struct work *work, struct err *err)
{
    uint32_t started = 0;
    int rc = 0;
    atomic_store(&work->decoders, work->threads_count);
    while (started < work->threads_count && !rc) {
        rc = thread_start(&work->decode_thread[started], "dl-decode", work_decode, work, err);
        if (!rc) started++;
    }
    if (!rc) rc = thread_start(&work->fetch_thread, "dl-fetch", work_fetch, work, err);
    if (!rc) return 0;
    /* Those that run end at the closed channel; the last of all closes the next one. */
    chan_close(work->decode);
    if (atomic_fetch_sub(&work->decoders, work->threads_count - started) ==
        work->threads_count - started)
        chan_close(work->write);
    return rc;
}

static void join_threads(struct work *work)
{
    thread_join(&work->fetch_thread);
    for (uint32_t i = 0; i < work->threads_count; i++) thread_join(&work->decode_thread[i]);
}

static int run_pipe(struct work *work, struct err *err)
{
    int rc = start_threads(work, err);
    if (!rc) rc = work_write(work, err);
    join_threads(work);
    if (rc || !work->fetch_err.code) return rc;
    return err_set(err, work->fetch_err.code, "%s", work->fetch_err.msg);
}

static void chan_end(struct chan *chan)
{
    if (!chan) return;
    chan_close(chan);
    while (chan_try_recv(chan)) {
    } /* the items are freed through their array */
    chan_free(chan);
}

/* A next attempt goes on from the files of one that was stopped. One that failed, for want of disk
 * or network perhaps, leaves nothing to go on from. */
static void end_attempt(struct work *work, int rc)
{
    const bool stopped = rc == ERR_CANCELLED && job_stopping(work->env) != JOB_STOP_CANCELLED;
    if (rc && !stopped) work_forget(work, work->lease_before);
    if (stopped && work->checkpoint_rows) {
        store_file_leave(work->journal);
        attempt_leave(work->attempt);
    } else {
        store_file_drop(work->journal);
        attempt_close(work->attempt);
    }
}

static void work_free(struct work *work, int rc)
{
    reorder_free(work->reorder);
    tar_index_deinit(&work->index);
    hosts_free(work->hosts);
    end_attempt(work, rc); /* and the files that are open */
    list_fetch_free(work->fetch);
    blocked_free(work->blocked);
    chan_end(work->pool);
    chan_end(work->decode);
    chan_end(work->write);
    for (uint32_t i = 0; i < work->items_count; i++) {
        list_body_deinit(&work->item[i].body);
        buf_deinit(&work->item[i].samples);
        buf_deinit(&work->item[i].line);
    }
    mem_free(work->item);
    mem_free(work->carried);
    store_close(work->store);
    mem_free(work);
}

/* Which rows a late shard has. */
static int find_rows(struct work *work, struct err *err)
{
    char shard[SHARD_BYTES];
    if (!work->shard->late) return 0;
    work->carried = mem_try(work->shard->rows * sizeof *work->carried);
    if (!work->carried) return err_set(err, ERR_LIMIT, "no memory for the late rows");
    (void)snprintf(shard, sizeof shard, "%05u", work->shard->shard);
    return late_rows(work->carried, &work->rows_count, work->store, shard, work->shard->rows, err);
}

/* *adopted: the shard was there already, and the result is filled. */
static int open_all(struct work *work, bool *adopted, struct job_result *result, struct err *err)
{
    const struct job_env *env = work->env;
    struct attempt_manifest *manifest = mem_new(sizeof *manifest);
    int rc = store_open(&work->store, work->options.output, true, err);
    if (!rc)
        rc = attempt_open(&work->attempt, work->store, work->name, env->lease, adopted, manifest,
                          err);
    if (!rc && *adopted) rc = work_adopt(work, result, manifest, err);
    mem_free(manifest);
    if (rc || *adopted) return rc;
    if (!work->shard->late) rc = late_check(work->attempt, work->store, work->name, err);
    if (!rc) rc = blocked_open(&work->blocked, work->store, &work->options, err);
    if (!rc) rc = find_rows(work, err);
    if (!rc) rc = work_fetch_new(work, err);
    if (!rc) rc = work_files_open(work, err);
    if (!rc) rc = work_resume(work, err);
    if (!rc) rc = make_items(work, err);
    return rc;
}

int download_work(struct job_env *env, struct job_result *result, struct err *err)
{
    bool adopted = false;
    struct work *work = mem_new(sizeof *work);
    work->env = env;
    work->start_at_ms = env->clock->wall_ms(env->clock);
    work->start_cpu_ns = clock_thread_ns();
    work->hosts = hosts_new();
    int rc = read_task(work, err);
    if (!rc) rc = open_all(work, &adopted, result, err);
    if (!rc && !adopted) rc = run_pipe(work, err);
    if (!rc && !adopted) rc = work_commit(work, result, err);
    if (work->attempt && !adopted) rc = attempt_explain(work->attempt, rc, err);
    work_free(work, rc);
    return rc;
}
