/* work_write.c - the task thread's end of the pipe: samples in row order, and the commit. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/fs.h"
#include "common/base/str.h"
#include "worker/jobs/download/late.h"
#include "worker/jobs/download/unpack.h"
#include "worker/jobs/download/work.h"
#include "worker/pipe/tar.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define WAIT_MS       50   /* how soon the task thread sees that it must stop */
#define CHECKPOINT_MS 5000 /* how often a next attempt gets a later place to begin */
#define TELL_MS       100  /* how often it tells its progress */
#define TIMES_BYTES   128  /* a line of times.jsonl */
/* Fewer rows than this without a single answer may be chance. */
#define DNS_ROWS_MIN 32
/* Later attempts take it as it is: the names may really be gone. */
#define DNS_ATTEMPTS 3

static int write_file(void *ctx, const void *data, size_t bytes, struct err *err)
{
    return store_file_write(ctx, data, bytes, err);
}

static int add_sample(struct work *work, const struct reorder_part *members, struct err *err)
{
    const int rc = store_file_write(work->tar, members->data, members->bytes, err);
    if (rc || work->options.files) return rc;
    return tar_index_add(&work->index, members->data, members->bytes, err);
}

/* Behind its bytes in the other files. */
static int add_record(struct work *work, const struct outcome *outcome,
                      const struct reorder_part *part, struct err *err)
{
    uint8_t record[JOURNAL_BYTES];
    const struct journal_row row = {*outcome, part[PART_SAMPLES].bytes, part[PART_LINE].bytes,
                                    part[PART_TIMES].bytes};
    journal_pack(record, &row);
    return store_file_write(work->journal, record, sizeof record, err);
}

static int emit(void *ctx, uint32_t index, const struct reorder_part part[REORDER_PARTS_MAX],
                struct err *err)
{
    struct work *work = ctx;
    struct outcome outcome;
    (void)index;
    int rc = 0;
    CHECK(part[PART_OUTCOME].bytes == sizeof outcome);
    memcpy(&outcome, part[PART_OUTCOME].data, sizeof outcome);
    tally_add(&work->tally, &outcome);
    if (part[PART_SAMPLES].bytes) rc = add_sample(work, &part[PART_SAMPLES], err);
    if (!rc && part[PART_LINE].bytes)
        rc = store_file_write(work->rows, part[PART_LINE].data, part[PART_LINE].bytes, err);
    if (!rc) rc = store_file_write(work->times, part[PART_TIMES].data, part[PART_TIMES].bytes, err);
    return rc ? rc : add_record(work, &outcome, part, err);
}

int work_put(struct work *work, uint32_t place, const struct reorder_part part[PARTS_COUNT],
             struct err *err)
{
    _Static_assert(PARTS_COUNT <= REORDER_PARTS_MAX, "all parts of a row find their place");
    return reorder_put(work->reorder, place, part, PARTS_COUNT, err);
}

static int open_file(struct work *work, struct store_file **file, const char *suffix,
                     struct err *err)
{
    char name[ATTEMPT_NAME_BYTES];
    (void)snprintf(name, sizeof name, "%s%s", work->name, suffix);
    return attempt_file_open(work->attempt, file, name, err);
}

static int grow_file(struct work *work, struct store_file **file, const char *suffix,
                     struct err *err)
{
    char name[ATTEMPT_NAME_BYTES];
    (void)snprintf(name, sizeof name, "%s%s", work->name, suffix);
    return attempt_file_grow(work->attempt, file, name, err);
}

int work_files_open(struct work *work, struct err *err)
{
    char folder[1024], path[sizeof folder + 16];
    int rc = 0;
    if (work->options.files) rc = attempt_folder_check(work->attempt, work->name, err);
    if (!rc) rc = attempt_scratch(work->attempt, folder, sizeof folder, err);
    if (rc) return rc;
    CHECK(fs_join(path, sizeof path, folder, "reorder"));
    tar_index_init(&work->index);
    const struct reorder_options options = {.rows = work->rows_count,
                                            .memory_bytes_max = SAMPLES_WAITING_MAX,
                                            .scratch_path = path,
                                            .emit = emit,
                                            .ctx = work};
    rc = reorder_new(&work->reorder, &options, err);
    if (!rc) rc = grow_file(work, &work->tar, ".tar", err);
    if (!rc) rc = grow_file(work, &work->rows, ".rows.jsonl", err);
    if (!rc) rc = grow_file(work, &work->times, ".times.jsonl", err);
    attempt_private(path, work->attempt, NULL, JOURNAL_NAME, true);
    return rc ? rc : store_file_grow(work->store, &work->journal, path, err);
}

void work_files_drop(struct work *work)
{
    attempt_file_drop(work->attempt, work->tar);
    attempt_file_drop(work->attempt, work->rows);
    attempt_file_drop(work->attempt, work->times);
    store_file_drop(work->journal);
    work->tar = work->rows = work->times = work->journal = NULL;
    reorder_free(work->reorder);
    work->reorder = NULL;
    tar_index_deinit(&work->index);
    work->tally = (struct tally){0};
    hosts_free(work->hosts);
    work->hosts = hosts_new();
}

/* The fetch waits for a later stage when bodies fill their memory, or when there is no item left
 * to start a row with and it is not the fetch that has most of them. */
static void tell_stages(struct work *work, struct job_stage stage[3])
{
    const uint32_t to_decode = chan_depth(work->decode), to_write = chan_depth(work->write);
    const bool held =
        atomic_load(&work->bodies_waiting) >= BODIES_WAITING_MAX ||
        (chan_depth(work->pool) == 0 && to_decode + to_write >= work->items_count / 2);
    const uint32_t running = list_fetch_running(work->fetch);
    stage[0] = (struct job_stage){.name = "fetch",
                                  .queued = list_fetch_waiting(work->fetch),
                                  .finished = work->fetched,
                                  .running = running,
                                  .full = !held && running >= work->options.fetch.transfers};
    stage[1] = (struct job_stage){.name = "decode",
                                  .queued = to_decode,
                                  .finished = work->decoded,
                                  .running = atomic_load(&work->decoding),
                                  .full = held && to_decode >= to_write};
    stage[2] = (struct job_stage){.name = "write",
                                  .queued = to_write + reorder_waiting(work->reorder),
                                  .finished = reorder_next(work->reorder),
                                  .full = held && to_decode < to_write};
}

static void tell(struct work *work, bool always)
{
    const struct clock *clock = work->env->clock;
    const int64_t now_ms = clock->mono_ms(clock);
    const struct tally *tally = &work->arrived;
    if (!always && now_ms - work->told_at_ms < TELL_MS) return;
    work->told_at_ms = now_ms;
    struct job_progress progress = {.items = tally->rows,
                                    .items_ok = tally->in_class[CLASS_SUCCESS],
                                    .bytes = tally->sample_bytes,
                                    .stages_count = 3};
    tell_stages(work, progress.stage);
    job_progress_set(work->env, &progress);
}

void work_note_host(struct work *work, const char *url, const struct outcome *outcome)
{
    if (url && outcome->status != STATUS_CARRIED) /* that row is a late shard's */
        hosts_add(work->hosts, url, outcome->status, outcome->tries, outcome->fetch_ms);
}

/* What a row cost: it differs from run to run, and so it has a file of its own. */
static size_t times_line(char dst[TIMES_BYTES], const struct work *work,
                         const struct work_item *item)
{
    char key[LIST_KEY_BYTES];
    list_key(key, work->shard->shard, item->body.index, work->key_digits);
    const int bytes =
        snprintf(dst, TIMES_BYTES, "{\"key\":\"%s\",\"ms\":%" PRId64 ",\"tries\":%" PRId64 "}\n",
                 key, item->outcome.fetch_ms, item->outcome.tries);
    CHECK(bytes > 0 && bytes < TIMES_BYTES);
    return (size_t)bytes;
}

static int take_item(struct work *work, struct work_item *item, struct err *err)
{
    char times[TIMES_BYTES];
    if (buf_failed(&item->line) || buf_failed(&item->samples))
        return err_set(err, ERR_LIMIT, "no memory for row %u of the shard", item->body.index);
    const struct reorder_part parts[] = {
        [PART_SAMPLES] = {item->samples.data, item->samples.len},
        [PART_LINE] = {item->line.data, item->line.len},
        [PART_TIMES] = {times, times_line(times, work, item)},
        [PART_OUTCOME] = {&item->outcome, sizeof item->outcome},
    };
    tally_add(&work->arrived, &item->outcome);
    if (!item->body.row.problem)
        work_note_host(work, list_row_field(&item->body.row, LIST_URL_COLUMN), &item->outcome);
    return work_put(work, item->body.place, parts, err);
}

static void shrink(struct buf *buf)
{
    const size_t max = buf->max;
    if (buf->cap <= BUFFER_KEPT_MAX) return;
    buf_deinit(buf);
    buf_init(buf, max);
}

static void give_back(struct work *work, struct work_item *item)
{
    shrink(&item->samples);
    shrink(&item->line);
    shrink(&item->body.row.text);
    CHECK(chan_send(work->pool, item));
    list_fetch_wake(work->fetch);
}

/* The next finished item; *ended when there will be none. */
static struct work_item *next_item(struct work *work, bool *ended)
{
    struct work_item *item = chan_recv_for(work->write, WAIT_MS);
    if (item || atomic_load(&work->decoders) > 0) return item;
    item = chan_try_recv(work->write); /* the last one may have come in between */
    *ended = item == NULL;
    return item;
}

/* Now and then a checkpoint; and whether to stop at once, or to come to an end. */
static int look(struct work *work, struct err *err)
{
    const struct clock *clock = work->env->clock;
    const enum job_stop stop = job_stopping(work->env);
    if (stop > JOB_STOP_DRAIN)
        return err_set(err, ERR_CANCELLED, "shard %s was stopped", work->name);
    const bool leaves = stop == JOB_STOP_DRAIN && !atomic_exchange(&work->drain, true);
    if (leaves) list_fetch_wake(work->fetch);
    const int64_t now_ms = clock->mono_ms(clock);
    if (!work->checkpoint_at_ms) work->checkpoint_at_ms = now_ms + CHECKPOINT_MS;
    if (!leaves && now_ms < work->checkpoint_at_ms) return 0;
    work->checkpoint_at_ms = now_ms + CHECKPOINT_MS;
    return work_checkpoint(work, err);
}

int work_write(struct work *work, struct err *err)
{
    int rc = 0;
    bool ended = false;
    while (!ended) {
        struct work_item *item = next_item(work, &ended);
        if (!rc) rc = look(work, err);
        if (item && !rc && !atomic_load(&work->abort)) rc = take_item(work, item, err);
        if (rc) atomic_store(&work->abort, true);
        if (item) give_back(work, item);
        if (!rc) tell(work, ended);
    }
    return rc;
}

/* No name server had an answer to any row: more likely this machine's network than the list. */
static int check_network(const struct work *work, struct err *err)
{
    const struct tally *tally = &work->tally;
    if (work->env->attempt >= DNS_ATTEMPTS || tally->named < DNS_ROWS_MIN ||
        tally->unanswered < tally->named)
        return 0;
    return err_set(err, ERR_UNAVAILABLE,
                   "no name server answered for any of %u rows: is this worker's network up?",
                   (uint32_t)tally->named);
}

static int write_stats(struct work *work, struct err *err)
{
    struct store_file *file = NULL;
    struct buf text;
    const struct clock *clock = work->env->clock;
    struct shard_times times = {work->start_at_ms, clock->wall_ms(clock), {0}, work->hosts};
    atomic_store(&work->cpu_ns[CPU_WRITE], clock_thread_ns() - work->start_cpu_ns);
    for (uint32_t i = 0; i < CPU_PARTS_COUNT; i++) times.cpu_ns[i] = atomic_load(&work->cpu_ns[i]);
    buf_init(&text, 0);
    tally_stats_json(&work->tally, &times, &text);
    int rc = buf_failed(&text) ? err_set(err, ERR_LIMIT, "no memory for the statistics") : 0;
    if (!rc) rc = open_file(work, &file, "_stats.json", err);
    if (!rc) rc = store_file_write(file, text.data, text.len, err);
    if (!rc) rc = attempt_file_close(work->attempt, file, err);
    buf_deinit(&text);
    return rc;
}

static int write_index(struct work *work, struct err *err)
{
    struct store_file *file = NULL;
    int rc = open_file(work, &file, ".idx", err);
    if (!rc) rc = tar_index_write(&work->index, write_file, file, err);
    return rc ? rc : attempt_file_close(work->attempt, file, err);
}

/* The tar has its index beside it, or becomes a folder. */
static int finish_tar(struct work *work, struct err *err)
{
    char tar[ATTEMPT_NAME_BYTES];
    if (!work->options.files) return write_index(work, err);
    (void)snprintf(tar, sizeof tar, "%s.tar", work->name);
    return attempt_unpack(work->attempt, tar, work->name, unpack_tar, work->env, err);
}

static void add_counter(void *ctx, const char *name, int64_t value)
{
    struct attempt_manifest *manifest = ctx;
    CHECK(manifest->counters_count < COUNTERS_MAX);
    struct attempt_counter *counter = &manifest->counter[manifest->counters_count++];
    (void)str_copy(counter->name, sizeof counter->name, name);
    counter->value = value;
}

static int close_files(struct work *work, struct err *err)
{
    struct tar_writer writer;
    tar_writer_init(&writer, write_file, work->tar);
    int rc = tar_writer_end(&writer, err);
    if (rc) return rc;
    store_file_leave(
        work->journal); /* closed, but there for a next attempt, should this one fail */
    work->journal = NULL;
    rc = attempt_file_close(work->attempt, work->tar, err);
    if (!rc) rc = attempt_file_close(work->attempt, work->rows, err);
    if (!rc) rc = attempt_file_close(work->attempt, work->times, err);
    if (!rc) rc = finish_tar(work, err);
    if (!rc) rc = write_stats(work, err);
    return rc;
}

/* All items are back, but not all rows: the next attempt has the others. */
static int put_off(struct work *work, struct err *err)
{
    if (!atomic_load(&work->drain))
        return err_set(err, ERR_INTERNAL, "rows of shard %s are missing", work->name);
    const int rc = work_checkpoint(work, err);
    return rc ? rc : err_set(err, ERR_CANCELLED, "shard %s is put off", work->name);
}

int work_commit(struct work *work, struct job_result *result, struct err *err)
{
    const struct tally *tally = &work->tally;
    bool adopted = false;
    if (reorder_next(work->reorder) != work->rows_count) return put_off(work, err);
    int rc = check_network(work, err);
    if (!rc) rc = work_checkpoint(work, err); /* what follows may take long */
    if (!rc) rc = close_files(work, err);
    if (rc) return rc;
    struct attempt_manifest *manifest = mem_new(sizeof *manifest);
    manifest->items = tally->rows;
    manifest->items_ok = tally->in_class[CLASS_SUCCESS];
    manifest->bytes = tally->sample_bytes;
    tally_each(tally, add_counter, manifest);
    rc = attempt_commit(work->attempt, manifest, &adopted, err);
    if (!rc) rc = work_adopt(work, result, manifest, err);
    mem_free(manifest);
    return rc;
}

int work_adopt(const struct work *work, struct job_result *result,
               const struct attempt_manifest *manifest, struct err *err)
{
    memcpy(result->digest, manifest->digest, sizeof result->digest);
    for (uint32_t i = 0; i < manifest->counters_count; i++)
        job_count(result, manifest->counter[i].name, manifest->counter[i].value);
    result->progress.items = manifest->items;
    result->progress.items_ok = manifest->items_ok;
    result->progress.bytes = manifest->bytes;
    (void)snprintf(result->made, sizeof result->made, "%s%s", work->name,
                   work->options.files ? "" : ".tar");
    return late_add(work->env, result, manifest, work->shard, err);
}
