/* plan.c - the planning task: cuts a list into shards, one task each.
 *
 * The list is read once, as a stream: on the way it is hashed as a whole, cut into shards, and each
 * shard is hashed. (A parquet list is hashed in a second pass.) Only then is it known for which
 * list the output must be claimed, and no task may be added before that. So what is known of each
 * shard waits in memory, a few bytes each, and the rows of a list that is compressed, json,
 * parquet or many files wait in the output (plan_stage.h). After the claim the tasks are added in
 * batches.
 *
 * Nothing is written before the header, the columns and a first row have been seen. A planner that
 * is run again cuts the same shards and passes over those that were added before: the claim has
 * made sure that it is the same list. */
#include "worker/jobs/download/plan.h"

#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/store/attempt.h"
#include "proto/schema/jobs/download.pb-c.h"
#include "worker/jobs/download/blocked.h"
#include "worker/jobs/download/options.h"
#include "worker/jobs/download/plan_stage.h"
#include "worker/list/list_input.h"
#include "worker/list/list_slice.h"

#include <stdio.h>
#include <string.h>

#define BATCH_TASKS 256
#define CUTS_FIRST  1024 /* room for so many at first; then it doubles */

/* A shard begins where the one before it ends, and all but the last have equally many rows. */
struct cut {
    uint64_t end; /* offset behind its rows */
    uint64_t hash;
};
_Static_assert(sizeof(struct cut) * DOWNLOAD_SHARDS_MAX <= (size_t)32 * 1024 * 1024,
               "the shards of any list fit the memory that limits.h says");

struct plan {
    struct job_env *env;
    struct download_options options;
    struct store *store;
    struct list_source *source;
    struct list_records *records;
    struct list_columns columns;
    struct buf header, blocked;
    struct hash *file_hash, *shard_hash;
    struct list_shape shape;
    struct plan_stage stage; /* of a list that cannot be entered midway */
    struct cut *cut;
    uint32_t cuts_count, cuts_room, cuts_max;
    uint64_t start; /* of the first shard's rows */
    uint64_t rows;  /* found so far */
    bool open;      /* a shard has been begun */
    /* Tasks that wait to be added. */
    struct arena texts;
    struct job_new_task batch[BATCH_TASKS];
    uint32_t batched, added;
};

static uint64_t rows_before(const struct plan *plan, uint32_t shard)
{
    const uint64_t rows = (uint64_t)shard * plan->options.shard_rows;
    return rows < plan->rows ? rows : plan->rows;
}

/* The stage's queue are rows that no task has yet. */
static void report(const struct plan *plan)
{
    struct job_progress progress = {.stages_count = 1};
    const uint64_t left = plan->rows - rows_before(plan, plan->added);
    progress.stage[0] =
        (struct job_stage){.name = "plan",
                           .queued = left < UINT32_MAX ? (uint32_t)left : UINT32_MAX,
                           .finished = (int64_t)plan->rows};
    job_progress_set(plan->env, &progress);
}

/* Before every piece of the list, and after every shard and task. */
static int look(void *ctx, struct err *err)
{
    const struct plan *plan = ctx;
    report(plan);
    if (!job_stopping(plan->env)) return 0;
    return err_set(err, ERR_CANCELLED, "planning was stopped");
}

/* ---- before anything is written ---- */

static int open_list(struct plan *plan, struct err *err)
{
    plan->columns = download_columns(&plan->options);
    const struct list_input input = {.path = plan->options.input,
                                     .format = plan->options.format,
                                     .columns = plan->columns,
                                     .hash = plan->file_hash,
                                     .look = look,
                                     .look_ctx = plan};
    const int rc = list_input_open(&plan->source, &plan->shape, &input, err);
    if (rc) return rc;
    plan->options.format = plan->shape.format;
    plan->columns.format = plan->shape.rows;
    return list_records_new(&plan->records, plan->source, plan->shape.rows, 0, UINT64_MAX, err);
}

static int take_header(struct plan *plan, struct err *err)
{
    struct list_record header;
    bool found = false;
    int rc = list_records_next(plan->records, &header, &found, err);
    if (!rc && !found) rc = err_set(err, ERR_INVALID, "the list %s is empty", plan->options.input);
    if (!rc) rc = list_header(&plan->columns, &plan->header, &header, err);
    if (!rc) rc = list_records_peek(plan->records, &found, err);
    if (!rc && !found)
        rc = err_set(err, ERR_INVALID, "the list %s has a header and no rows", plan->options.input);
    return rc;
}

/* What can be wrong with the list as a whole: a wrong --url-column must not bar the way for the
 * right one. Stops before the first row; but a jsonl list has its columns there, so it is taken,
 * and first->whole_bytes tells. */
static int check_list(struct plan *plan, struct list_record *first, struct err *err)
{
    bool found = false;
    int rc;
    *first = (struct list_record){0};
    if (list_has_header(plan->shape.rows)) {
        rc = take_header(plan, err);
    } else {
        rc = list_records_peek(plan->records, &found, err);
        if (!rc && !found)
            rc = err_set(err, ERR_INVALID, "the list %s is empty", plan->options.input);
    }
    plan->start = list_records_offset(plan->records);
    if (rc || list_has_header(plan->shape.rows) || plan->shape.columns_known) return rc;
    if (plan->shape.rows == LIST_JSONL) rc = list_records_next(plan->records, first, &found, err);
    return rc ? rc : list_columns_init(&plan->columns, first, err);
}

static int open_output(struct plan *plan, struct err *err)
{
    const int rc = store_open(&plan->store, plan->options.output, true, err);
    if (rc || !list_source_is_stream(plan->source)) return rc;
    return plan_stage_init(&plan->stage, plan->env, plan->store, err);
}

/* ---- shards ---- */

static int shard_begin(struct plan *plan, struct err *err)
{
    int rc = 0;
    plan->open = true;
    hash_add(plan->shard_hash, buf_str(&plan->header), plan->header.len);
    /* The slices of tasks that were added before are there. */
    if (plan->stage.store && plan->cuts_count >= plan->env->added)
        rc = plan_stage_begin(&plan->stage, plan->cuts_count, &plan->header, err);
    list_records_tap(plan->records, plan->shard_hash, plan->stage.file);
    return rc;
}

static int cut_add(struct plan *plan, struct cut cut, struct err *err)
{
    if (plan->cuts_count == plan->cuts_max)
        return err_set(err, ERR_INVALID,
                       "the list makes more than %u shards of %u rows: raise --shard-rows",
                       plan->cuts_max, plan->options.shard_rows);
    if (plan->cuts_count == plan->cuts_room) {
        const uint32_t room = plan->cuts_room ? plan->cuts_room * 2 : CUTS_FIRST;
        struct cut *grown = mem_resize(plan->cut, room * sizeof cut);
        if (!grown) return err_set(err, ERR_LIMIT, "no memory for %u shards", room);
        plan->cut = grown;
        plan->cuts_room = room;
    }
    plan->cut[plan->cuts_count++] = cut;
    return 0;
}

static int shard_end(struct plan *plan, uint64_t end, struct err *err)
{
    uint8_t digest[HASH_SHA256_BYTES];
    plan->open = false;
    list_records_tap(plan->records, NULL, NULL);
    const int rc = plan->stage.file ? plan_stage_end(&plan->stage, err) : 0;
    if (rc) return rc;
    hash_end(plan->shard_hash, digest);
    const struct cut cut = {.end = end, .hash = list_slice_hash(digest)};
    return cut_add(plan, cut, err) ? (int)err->code : look(plan, err);
}

static int take_row(struct plan *plan, const struct list_record *row, struct err *err)
{
    plan->rows++;
    return plan->rows % plan->options.shard_rows ? 0 : shard_end(plan, row->end, err);
}

/* The row that check_list has taken, unseen by any tap. */
static int take_first(struct plan *plan, const struct list_record *first, struct err *err)
{
    int rc = shard_begin(plan, err);
    hash_add(plan->shard_hash, first->data, first->whole_bytes);
    if (!rc && plan->stage.file)
        rc = store_file_write(plan->stage.file, first->data, first->whole_bytes, err);
    return rc ? rc : take_row(plan, first, err);
}

static int cut_rows(struct plan *plan, const struct list_record *first, struct err *err)
{
    struct list_record row;
    bool found = true;
    int rc = first->whole_bytes ? take_first(plan, first, err) : 0;
    while (!rc && found) {
        if (!plan->open) rc = shard_begin(plan, err);
        if (!rc) rc = list_records_next(plan->records, &row, &found, err);
        if (!rc && found) rc = take_row(plan, &row, err);
    }
    if (rc) return rc;
    if (plan->rows % plan->options.shard_rows) return shard_end(plan, row.end, err);
    store_file_drop(plan->stage.file); /* begun for rows that did not come */
    plan->stage.file = NULL;
    return 0;
}

/* ---- the claim, and the tasks ---- */

static int claim(struct plan *plan, struct err *err)
{
    struct buf spec;
    uint8_t digest[HASH_SHA256_BYTES];
    char fingerprint[HASH_SHA256_TEXT];
    hash_end(plan->file_hash, digest);
    str_hex(fingerprint, digest, sizeof digest);
    buf_init(&spec, 0);
    download_options_json(&plan->options, &spec);
    int rc = buf_failed(&spec)
                 ? err_set(err, ERR_LIMIT, "no memory for the spec")
                 : attempt_claim_output(plan->store, "download", fingerprint, buf_str(&spec), err);
    buf_deinit(&spec);
    return rc;
}

static int flush(struct plan *plan, struct err *err)
{
    if (!plan->batched) return 0;
    const int rc = job_add(plan->env, &plan->added, plan->batch, plan->batched, err);
    plan->batched = 0;
    arena_reset(&plan->texts);
    return rc;
}

static int add_task(struct plan *plan, uint32_t number, struct err *err)
{
    const struct cut *cut = &plan->cut[number];
    const bool sliced = plan->stage.store != NULL;
    Vlmq__Jobs__DownloadShard shard = VLMQ__JOBS__DOWNLOAD_SHARD__INIT;
    shard.shard = number;
    shard.row = rows_before(plan, number);
    shard.rows = (uint32_t)(rows_before(plan, number + 1) - shard.row);
    shard.offset = number ? cut[-1].end : plan->start;
    shard.bytes = cut->end - shard.offset;
    shard.hash = cut->hash;
    shard.sliced = sliced;
    shard.jsonl = sliced && plan->shape.rows == LIST_JSONL;
    const int rc = sliced ? plan_stage_publish(&plan->stage, number, err) : 0;
    if (rc) return rc;
    const size_t bytes = vlmq__jobs__download_shard__get_packed_size(&shard);
    uint8_t *payload = arena_new(&plan->texts, bytes);
    (void)vlmq__jobs__download_shard__pack(&shard, payload);
    plan->batch[plan->batched++] =
        (struct job_new_task){.name = arena_printf(&plan->texts, "%05u", number),
                              .payload = {payload, bytes},
                              .items = shard.rows,
                              .phase = JOB_WORK};
    return plan->batched == BATCH_TASKS ? flush(plan, err) : 0;
}

/* The last tasks are added with the plan's end: that spares small jobs a commit. */
static void leave_last(struct plan *plan, struct job_result *result)
{
    struct arena *arena = plan->env->arena;
    struct job_new_task *last = arena_copy(arena, plan->batch, plan->batched * sizeof *last);
    if (!plan->batched || !last) return;
    for (uint32_t i = 0; i < plan->batched; i++) {
        const struct job_new_task *task = &plan->batch[i];
        last[i].name = arena_text(arena, task->name, strlen(task->name));
        last[i].payload.data = arena_copy(arena, task->payload.data, task->payload.bytes);
        if (!last[i].name || !last[i].payload.data) return;
    }
    result->tasks = last;
    result->tasks_count = plan->batched;
    plan->added += plan->batched;
    plan->batched = 0;
}

static int add_tasks(struct plan *plan, struct job_result *result, struct err *err)
{
    int rc = look(plan, err);
    for (uint32_t i = plan->env->added; i < plan->cuts_count && !rc; i++) {
        rc = add_task(plan, i, err);
        if (!rc) rc = look(plan, err);
    }
    if (!rc) leave_last(plan, result);
    return rc ? rc : flush(plan, err);
}

static int plan_run(struct plan *plan, struct job_result *result, struct err *err)
{
    const struct job_env *env = plan->env;
    struct list_record first;
    int rc =
        download_options_init(&plan->options, env->arena, env->spec.data, env->spec.bytes, err);
    if (!rc) rc = blocked_load(&plan->options, &plan->blocked, err);
    if (!rc) rc = open_list(plan, err);
    if (!rc) rc = check_list(plan, &first, err);
    if (!rc) rc = open_output(plan, err);
    if (!rc) rc = cut_rows(plan, &first, err);
    if (!rc) rc = claim(plan, err);
    if (!rc) rc = blocked_keep(plan->store, &plan->options, &plan->blocked, err);
    if (!rc) rc = add_tasks(plan, result, err);
    return rc;
}

int download_plan_within(struct job_env *env, uint32_t shards_max, struct job_result *result,
                         struct err *err)
{
    struct plan *plan = mem_new(sizeof *plan);
    plan->env = env;
    plan->added = env->added;
    plan->cuts_max = shards_max;
    plan->file_hash = hash_new();
    plan->shard_hash = hash_new();
    buf_init(&plan->header, 0);
    buf_init(&plan->blocked, 0);
    arena_init(&plan->texts, 0);
    const int rc = plan_run(plan, result, err);
    if (!rc) report(plan);
    plan_stage_deinit(&plan->stage);
    list_records_free(plan->records);
    list_source_close(plan->source);
    list_columns_deinit(&plan->columns);
    store_close(plan->store);
    arena_deinit(&plan->texts);
    buf_deinit(&plan->header);
    buf_deinit(&plan->blocked);
    mem_free(plan->cut);
    hash_free(plan->shard_hash);
    hash_free(plan->file_hash);
    mem_free(plan);
    return rc;
}

int download_plan(struct job_env *env, struct job_result *result, struct err *err)
{
    return download_plan_within(env, DOWNLOAD_SHARDS_MAX, result, err);
}

int download_slice(struct list_slice **slice, const struct download_options *options,
                   const Vlmq__Jobs__DownloadShard *shard, struct store *store, struct err *err)
{
    const struct list_columns columns = download_columns(options);
    const struct list_cut cut = {.shard = shard->shard,
                                 .rows = shard->rows,
                                 .offset = shard->offset,
                                 .bytes = shard->bytes,
                                 .hash = shard->hash,
                                 .sliced = shard->sliced,
                                 .jsonl = shard->jsonl};
    return list_slice_open(slice, options->input, &columns, &cut, store, err);
}
