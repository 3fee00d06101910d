/* plan.c - the planning task: one task for each shard of the list.
 *
 * Until the list was read to its end (list_plan.h), it is not known for which list the output must
 * be claimed, and no task may be added before that. After the claim the tasks are added in batches.
 * A planner that is run again cuts the same shards and passes over those that were added before:
 * the claim has made sure that it is the same list. */
#include "worker/jobs/download/plan.h"

#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/store/attempt.h"
#include "proto/schema/jobs/download.pb-c.h"
#include "worker/jobs/download/blocked.h"
#include "worker/jobs/download/options.h"
#include "worker/list/list_plan.h"

#include <string.h>

#define BATCH_TASKS 256

_Static_assert((size_t)LIST_PLAN_SHARD_BYTES *DOWNLOAD_SHARDS_MAX <= (size_t)32 * 1024 * 1024,
               "the shards of any list fit the memory that limits.h says");

struct plan {
    struct job_env *env;
    struct download_options options;
    struct store *store;
    struct list_plan *list; /* NULL: not begun */
    struct buf blocked;
    /* Tasks that wait to be added. */
    struct arena texts;
    struct job_new_task batch[BATCH_TASKS];
    uint32_t batched, added;
};

/* The stage's queue are rows that no task has yet. */
static void report(const struct plan *plan)
{
    struct job_progress progress = {.stages_count = 1};
    const uint64_t rows = list_plan_rows(plan->list);
    const uint64_t left = rows - list_plan_row(plan->list, plan->added);
    progress.stage[0] =
        (struct job_stage){.name = "plan",
                           .queued = left < UINT32_MAX ? (uint32_t)left : UINT32_MAX,
                           .finished = (int64_t)rows};
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

static int open_list(struct plan *plan, uint32_t shards_max, struct err *err)
{
    const struct list_plan_options options = {.path = plan->options.input,
                                              .columns = download_columns(&plan->options),
                                              .shard_rows = plan->options.shard_rows,
                                              .shards_max = shards_max,
                                              .published = plan->env->added,
                                              .job = plan->env->job,
                                              .lease = plan->env->lease,
                                              .look = look,
                                              .look_ctx = plan};
    plan->list = list_plan_new(&options);
    const int rc = list_plan_open(plan->list, err);
    if (!rc) plan->options.format = list_plan_format(plan->list);
    return rc;
}

/* ---- the claim, and the tasks ---- */

static int claim(struct plan *plan, const uint8_t digest[HASH_SHA256_BYTES], struct err *err)
{
    struct buf spec;
    char fingerprint[HASH_SHA256_TEXT];
    str_hex(fingerprint, digest, HASH_SHA256_BYTES);
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
    struct list_cut cut;
    const int rc = list_plan_publish(plan->list, &cut, number, err);
    if (rc) return rc;
    Vlmq__Jobs__DownloadShard shard = VLMQ__JOBS__DOWNLOAD_SHARD__INIT;
    shard.shard = number;
    shard.row = list_plan_row(plan->list, number);
    shard.rows = cut.rows;
    shard.offset = cut.offset;
    shard.bytes = cut.bytes;
    shard.hash = cut.hash;
    shard.sliced = cut.sliced;
    shard.jsonl = cut.jsonl;
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
    for (uint32_t i = plan->env->added; i < list_plan_shards(plan->list) && !rc; i++) {
        rc = add_task(plan, i, err);
        if (!rc) rc = look(plan, err);
    }
    if (!rc) leave_last(plan, result);
    return rc ? rc : flush(plan, err);
}

static int plan_run(struct plan *plan, uint32_t shards_max, struct job_result *result,
                    struct err *err)
{
    const struct job_env *env = plan->env;
    uint8_t digest[HASH_SHA256_BYTES];
    int rc =
        download_options_init(&plan->options, env->arena, env->spec.data, env->spec.bytes, err);
    if (!rc) rc = blocked_load(&plan->options, &plan->blocked, err);
    if (!rc) rc = open_list(plan, shards_max, err);
    if (!rc) rc = store_open(&plan->store, plan->options.output, true, err);
    if (!rc) rc = list_plan_cut(plan->list, plan->store, digest, err);
    if (!rc) rc = claim(plan, digest, err);
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
    buf_init(&plan->blocked, 0);
    arena_init(&plan->texts, 0);
    const int rc = plan_run(plan, shards_max, result, err);
    if (!rc) report(plan);
    list_plan_free(plan->list);
    store_close(plan->store);
    arena_deinit(&plan->texts);
    buf_deinit(&plan->blocked);
    mem_free(plan);
    return rc;
}

int download_plan(struct job_env *env, struct job_result *result, struct err *err)
{
    return download_plan_within(env, DOWNLOAD_SHARDS_MAX, result, err);
}

struct list_cut download_cut(const Vlmq__Jobs__DownloadShard *shard)
{
    return (struct list_cut){.shard = shard->shard,
                             .rows = shard->rows,
                             .offset = shard->offset,
                             .bytes = shard->bytes,
                             .hash = shard->hash,
                             .sliced = shard->sliced,
                             .jsonl = shard->jsonl};
}
