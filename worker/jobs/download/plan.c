/* plan.c - the planning task: cuts a list into shards, one task each.
 *
 * The list is read twice, both times as a stream with bounded memory. The first pass only hashes
 * the file, because the output must be claimed for this list before the first shard can start; the
 * second cuts it, and hashes it again, so that a list that changed in between fails the job. Tasks
 * are added in batches, so that workers start while the second pass goes on. A planner that is
 * run again cuts the same shards and passes over those that were added before. */
#include "worker/jobs/download/plan.h"

#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/store/attempt.h"
#include "proto/schema/jobs/download.pb-c.h"
#include "worker/jobs/download/list_slice.h"
#include "worker/jobs/download/options.h"

#include <stdio.h>
#include <string.h>

#define CHUNK_BYTES    (1024 * 1024)
#define BATCH_TASKS    256
#define BATCH_MS       500  /* a batch that is not full leaves after so long */
#define LOOK_ROWS_MASK 1023 /* how often the planner looks up from its rows */

struct plan {
    struct job_env *env;
    struct download_options options;
    struct store *store;
    struct list_source *source;
    struct list_records *records;
    struct list_columns columns;
    struct buf header;
    struct hash *file_hash, *shard_hash;
    char fingerprint[HASH_SHA256_TEXT];
    /* The shard that is being cut. */
    struct store_file *copy; /* NULL: no copy is needed */
    uint32_t shard, rows;
    uint64_t rows_before, start;
    bool open;
    /* Tasks that wait to be added. */
    struct arena texts;
    struct job_new_task batch[BATCH_TASKS];
    uint32_t batched, added;
    int64_t batch_at_ms;
};

static int stopped(const struct plan *plan, struct err *err)
{
    if (!job_stopping(plan->env)) return 0;
    return err_set(err, ERR_CANCELLED, "planning was stopped");
}

static int64_t now_ms(const struct plan *plan)
{
    return plan->env->clock->mono_ms(plan->env->clock);
}

/* ---- the first pass ---- */

static void digest_text(struct hash *hash, char dst[HASH_SHA256_TEXT])
{
    uint8_t digest[HASH_SHA256_BYTES];
    hash_end(hash, digest);
    str_hex(dst, digest, sizeof digest);
}

/* The rest of the source, for its hash; decompressing on the way finds broken lists before any
 * shard has started. */
static int read_all(struct plan *plan, struct list_source *source, struct err *err)
{
    uint8_t *chunk = mem_try(CHUNK_BYTES);
    if (!chunk) return err_set(err, ERR_LIMIT, "no memory to read the list");
    size_t got = 1;
    int rc = 0;
    while (!rc && got) {
        rc = list_source_read(source, chunk, CHUNK_BYTES, &got, err);
        if (!rc) rc = stopped(plan, err);
    }
    mem_free(chunk);
    return rc;
}

static int fingerprint(struct plan *plan, struct err *err)
{
    struct list_source *source = NULL;
    int rc = list_source_open(&source, plan->options.input, err);
    if (rc) return rc;
    list_source_hash(source, plan->file_hash);
    rc = read_all(plan, source, err);
    list_source_close(source);
    if (!rc) digest_text(plan->file_hash, plan->fingerprint);
    return rc;
}

/* What can be wrong with the list as a whole, before the output is claimed for it: a wrong
 * --url-column must not bar the way for the right one. */
static int check_list(struct plan *plan, struct err *err)
{
    struct list_source *source = NULL;
    struct list_records *records = NULL;
    struct list_record record;
    struct list_columns columns = download_columns(&plan->options);
    bool found = false;
    int rc = list_source_open(&source, plan->options.input, err);
    if (!rc) rc = list_records_new(&records, source, columns.format, 0, UINT64_MAX, err);
    if (!rc) rc = list_records_next(records, &record, &found, err);
    if (!rc && !found) rc = err_set(err, ERR_INVALID, "the list %s is empty", plan->options.input);
    if (!rc) rc = list_columns_init(&columns, &record, err);
    if (!rc && list_has_header(columns.format))
        rc = list_records_next(records, &record, &found, err);
    if (!rc && !found)
        rc = err_set(err, ERR_INVALID, "the list %s has a header and no rows", plan->options.input);
    list_records_free(records);
    list_source_close(source);
    list_columns_deinit(&columns);
    return rc;
}

static int claim(struct plan *plan, struct err *err)
{
    struct buf spec;
    buf_init(&spec, 0);
    download_options_json(&plan->options, &spec);
    int rc = buf_failed(&spec) ? err_set(err, ERR_LIMIT, "no memory for the spec")
                               : attempt_claim_output(plan->store, "download", plan->fingerprint,
                                                      buf_str(&spec), err);
    buf_deinit(&spec);
    return rc;
}

/* ---- tasks ---- */

static int flush(struct plan *plan, struct err *err)
{
    if (!plan->batched) return 0;
    const int rc = job_add(plan->env, &plan->added, plan->batch, plan->batched, err);
    plan->batched = 0;
    plan->batch_at_ms = now_ms(plan);
    arena_reset(&plan->texts);
    return rc;
}

static int add_task(struct plan *plan, const Vlmq__Jobs__DownloadShard *shard, struct err *err)
{
    if (plan->shard >= TASKS_PER_JOB_MAX)
        return err_set(err, ERR_LIMIT, "the list has too many shards: raise --shard-rows");
    const size_t bytes = vlmq__jobs__download_shard__get_packed_size(shard);
    uint8_t *payload = arena_new(&plan->texts, bytes);
    (void)vlmq__jobs__download_shard__pack(shard, payload);
    plan->batch[plan->batched++] =
        (struct job_new_task){.name = arena_printf(&plan->texts, "%05u", shard->shard),
                              .payload = {payload, bytes},
                              .items = shard->rows,
                              .phase = JOB_WORK};
    /* The first shard leaves at once, so that somebody starts. */
    if (plan->batched == BATCH_TASKS || plan->shard == plan->env->added ||
        now_ms(plan) - plan->batch_at_ms > BATCH_MS)
        return flush(plan, err);
    return 0;
}

/* ---- shards ---- */

static bool added_before(const struct plan *plan)
{
    return plan->shard < plan->env->added;
}

static int shard_begin(struct plan *plan, struct err *err)
{
    int rc = 0;
    char name[LIST_SLICE_NAME_BYTES];
    plan->open = true;
    hash_add(plan->shard_hash, buf_str(&plan->header), plan->header.len);
    if (list_source_is_compressed(plan->source) && !added_before(plan)) {
        list_slice_name(name, plan->shard);
        rc = store_file_open(plan->store, &plan->copy, name, err);
        if (!rc && plan->header.len)
            rc = store_file_write(plan->copy, plan->header.data, plan->header.len, err);
    }
    list_records_tap(plan->records, plan->shard_hash, plan->copy);
    return rc;
}

static int copy_end(struct plan *plan, struct err *err)
{
    struct store_file *copy = plan->copy;
    int64_t bytes;
    uint8_t digest[HASH_SHA256_BYTES];
    plan->copy = NULL;
    list_records_tap(plan->records, NULL, NULL);
    return copy ? store_file_close(copy, &bytes, digest, err) : 0;
}

static int shard_end(struct plan *plan, uint64_t end, struct err *err)
{
    uint8_t digest[HASH_SHA256_BYTES];
    int rc = copy_end(plan, err);
    if (rc) return rc;
    hash_end(plan->shard_hash, digest);
    Vlmq__Jobs__DownloadShard shard = VLMQ__JOBS__DOWNLOAD_SHARD__INIT;
    shard.shard = plan->shard;
    shard.row = plan->rows_before;
    shard.rows = plan->rows;
    shard.offset = plan->start;
    shard.bytes = end - plan->start;
    shard.hash = list_slice_hash(digest);
    shard.sliced = list_source_is_compressed(plan->source);
    rc = added_before(plan) ? 0 : add_task(plan, &shard, err);
    plan->shard++;
    plan->rows_before += plan->rows;
    plan->rows = 0;
    plan->start = end;
    plan->open = false;
    return rc;
}

static void report_rows(const struct plan *plan)
{
    struct job_progress progress = {.stages_count = 1};
    progress.stage[0] =
        (struct job_stage){.name = "plan", .finished = (int64_t)(plan->rows_before + plan->rows)};
    job_progress_set(plan->env, &progress);
}

static int changed(const struct plan *plan, struct err *err)
{
    return err_set(err, ERR_INVALID, "the list %s changed while it was being read",
                   plan->options.input);
}

static int take_header(struct plan *plan, struct err *err)
{
    struct list_record first;
    bool found = false;
    if (!list_has_header(plan->options.format)) return 0;
    int rc = list_records_next(plan->records, &first, &found, err);
    if (!rc && !found) rc = changed(plan, err);
    if (rc) return rc;
    plan->start = first.end;
    return list_header(&plan->columns, &plan->header, &first, err);
}

static int take_row(struct plan *plan, const struct list_record *record, struct err *err)
{
    int rc = 0;
    plan->rows++;
    if (!rc && plan->rows == plan->options.shard_rows) rc = shard_end(plan, record->end, err);
    if (!rc && (plan->rows & LOOK_ROWS_MASK) == 0) {
        report_rows(plan);
        rc = stopped(plan, err);
    }
    return rc;
}

static int cut_rows(struct plan *plan, struct err *err)
{
    struct list_record record;
    bool found = true;
    int rc = take_header(plan, err);
    while (!rc && found) {
        if (!plan->open) rc = shard_begin(plan, err);
        if (!rc) rc = list_records_next(plan->records, &record, &found, err);
        if (!rc && found) rc = take_row(plan, &record, err);
    }
    if (rc) return rc;
    if (plan->rows) return shard_end(plan, record.end, err);
    store_file_drop(plan->copy); /* begun for rows that did not come */
    plan->copy = NULL;
    return 0;
}

/* ---- the second pass ---- */

static int second_pass(struct plan *plan, struct err *err)
{
    char now[HASH_SHA256_TEXT];
    int rc = list_source_open(&plan->source, plan->options.input, err);
    if (rc) return rc;
    list_source_hash(plan->source, plan->file_hash);
    plan->columns = download_columns(&plan->options);
    rc = list_records_new(&plan->records, plan->source, plan->options.format, 0, UINT64_MAX, err);
    if (!rc) rc = cut_rows(plan, err);
    if (!rc) rc = flush(plan, err);
    if (rc) return rc;
    digest_text(plan->file_hash, now);
    return strcmp(now, plan->fingerprint) ? changed(plan, err) : 0;
}

static int plan_run(struct plan *plan, struct err *err)
{
    const struct job_env *env = plan->env;
    int rc =
        download_options_init(&plan->options, env->arena, env->spec.data, env->spec.bytes, err);
    if (!rc) rc = check_list(plan, err);
    if (!rc) rc = fingerprint(plan, err);
    if (!rc) rc = store_open(&plan->store, plan->options.output, true, err);
    if (!rc) rc = claim(plan, err);
    if (!rc) rc = second_pass(plan, err);
    return rc;
}

int download_plan(struct job_env *env, struct job_result *result, struct err *err)
{
    struct plan *plan = mem_new(sizeof *plan);
    plan->env = env;
    plan->added = env->added;
    plan->batch_at_ms = now_ms(plan);
    plan->file_hash = hash_new();
    plan->shard_hash = hash_new();
    buf_init(&plan->header, 0);
    arena_init(&plan->texts, 0);
    const int rc = plan_run(plan, err);
    if (!rc) report_rows(plan);
    (void)result; /* planning makes no output and counts nothing */
    store_file_drop(plan->copy);
    list_records_free(plan->records);
    list_source_close(plan->source);
    list_columns_deinit(&plan->columns);
    store_close(plan->store);
    arena_deinit(&plan->texts);
    buf_deinit(&plan->header);
    hash_free(plan->shard_hash);
    hash_free(plan->file_hash);
    mem_free(plan);
    return rc;
}
