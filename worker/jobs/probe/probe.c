/* probe.c - the probe kind: tasks that wait, count and write a small file, or fail on request.
 *
 * It uses every part of job.h (cursor, progress, counters, output, a plan that goes on where it
 * was), so it is also the example for docs/adding-a-kind.md. */
#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/str.h"
#include "common/base/sum.h"
#include "common/store/attempt.h"
#include "proto/schema/jobs/probe.pb-c.h"
#include "worker/job.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TASKS_DEFAULT 10
/* Names are five digits or more, and the plan and the closing task are tasks too. */
#define PROBE_TASKS_MAX (TASKS_PER_JOB_MAX - 2)
#define ITEMS_MAX       1000000
#define TASK_MS_MAX     (24 * 3600 * 1000)
#define PLAN_BATCH      1000
/* How long it takes at most to notice a reason to stop. */
#define STEP_MS 20
/* A crash comes after the first renewal, so that it counts as the loss of a running attempt. */
#define CRASH_AFTER_MS 500

static Vlmq__Jobs__Probe *unpack(const uint8_t *spec, size_t bytes, struct err *err)
{
    Vlmq__Jobs__Probe *probe = vlmq__jobs__probe__unpack(NULL, bytes, spec);
    if (!probe) {
        err_set(err, ERR_INVALID, "the spec is not one of the probe kind");
        return NULL;
    }
    if (!probe->tasks) probe->tasks = TASKS_DEFAULT;
    if (!probe->items) probe->items = 1;
    return probe;
}

static void release(Vlmq__Jobs__Probe *probe)
{
    vlmq__jobs__probe__free_unpacked(probe, NULL);
}

static int check_values(const Vlmq__Jobs__Probe *probe, struct err *err)
{
    if (probe->tasks > PROBE_TASKS_MAX)
        return err_set(err, ERR_INVALID, "--tasks: at most %d", PROBE_TASKS_MAX);
    if (probe->items > ITEMS_MAX)
        return err_set(err, ERR_INVALID, "--items: at most %d", ITEMS_MAX);
    if (probe->task_ms > TASK_MS_MAX) return err_set(err, ERR_INVALID, "--task-ms: at most a day");
    if (probe->fault > VLMQ__JOBS__PROBE_FAULT__PROBE_FAULT_FULL)
        return err_set(err, ERR_INVALID, "--fault: this worker does not know fault %d",
                       (int)probe->fault);
    return 0;
}

static int probe_check(const uint8_t *spec, size_t bytes, struct err *err)
{
    Vlmq__Jobs__Probe *probe = unpack(spec, bytes, err);
    if (!probe) return ERR_INVALID;
    const int rc = check_values(probe, err);
    release(probe);
    return rc;
}

/* Planning. */

/* A probe into a folder belongs to it: another one must not mix its files in. */
static int claim(const struct job_env *env, const Vlmq__Jobs__Probe *probe, struct err *err)
{
    struct store *store = NULL;
    char spec[64];
    if (!*probe->output) return 0;
    int rc = store_open(&store, probe->output, true, err);
    if (rc) return rc;
    (void)snprintf(spec, sizeof spec, "{\"tasks\":%" PRIu32 ",\"items\":%" PRIu32 "}", probe->tasks,
                   probe->items);
    rc = attempt_claim_output(store, env->kind, "none", spec, err);
    store_close(store);
    return rc;
}

/* Tasks from the first that is not there yet; the last ones are added with the plan's end. */
static int add_tasks(struct job_env *env, const Vlmq__Jobs__Probe *probe, struct job_result *result,
                     struct err *err)
{
    struct job_new_task *batch = arena_new(env->arena, PLAN_BATCH * sizeof *batch);
    char(*names)[12] = arena_new(env->arena, PLAN_BATCH * sizeof *names);
    uint32_t added = env->added;
    while (added < probe->tasks) {
        uint32_t count = 0;
        for (; count < PLAN_BATCH && added + count < probe->tasks; count++) {
            (void)snprintf(names[count], sizeof names[count], "%05" PRIu32, added + count);
            batch[count] = (struct job_new_task){
                .name = names[count], .items = (int64_t)probe->items, .phase = JOB_WORK};
        }
        if (job_stopping(env)) return err_set(err, ERR_CANCELLED, "stopped while planning");
        if (added + count == probe->tasks) {
            result->tasks = batch;
            result->tasks_count = count;
            return 0;
        }
        const int rc = job_add(env, &added, batch, count, err);
        if (rc) return rc;
    }
    return 0;
}

static int probe_plan(struct job_env *env, struct job_result *result, struct err *err)
{
    Vlmq__Jobs__Probe *probe = unpack(env->spec.data, env->spec.bytes, err);
    if (!probe) return ERR_INVALID;
    int rc = claim(env, probe, err);
    if (!rc) rc = add_tasks(env, probe, result, err);
    hash_sha256(result->digest, env->spec.data, env->spec.bytes);
    release(probe);
    return rc;
}

/* Work. */

static bool has_fault(const struct job_env *env, const Vlmq__Jobs__Probe *probe)
{
    return probe->fault_every && strtoul(env->name, NULL, 10) % probe->fault_every == 0;
}

/* Faults that show at the start of an attempt. */
static int show_fault(const struct job_env *env, const Vlmq__Jobs__Probe *probe,
                      struct job_result *result, struct err *err)
{
    switch (probe->fault) {
    case VLMQ__JOBS__PROBE_FAULT__PROBE_FAULT_RETRY:
        if (env->attempt > 1) return 0;
        return err_set(err, ERR_UNAVAILABLE, "a probe's fault: the first attempt fails");
    case VLMQ__JOBS__PROBE_FAULT__PROBE_FAULT_ALWAYS:
        return err_set(err, ERR_UNAVAILABLE, "a probe's fault: every attempt fails");
    case VLMQ__JOBS__PROBE_FAULT__PROBE_FAULT_INPUT:
        return err_set(err, ERR_INVALID, "a probe's fault: the input is bad");
    case VLMQ__JOBS__PROBE_FAULT__PROBE_FAULT_DEVICE:
        if (env->attempt > 1) return 0;
        result->device = JOB_DEVICE_FAILED;
        return err_set(err, ERR_UNAVAILABLE, "a probe's fault: the device failed");
    case VLMQ__JOBS__PROBE_FAULT__PROBE_FAULT_POISON:
        if (env->attempt > 1) return 0;
        result->device = JOB_DEVICE_POISONED;
        return err_set(err, ERR_UNAVAILABLE, "a probe's fault: the device is poisoned");
    case VLMQ__JOBS__PROBE_FAULT__PROBE_FAULT_NONE:
    case VLMQ__JOBS__PROBE_FAULT__PROBE_FAULT_CRASH:
    case VLMQ__JOBS__PROBE_FAULT__PROBE_FAULT_FULL:
    case _VLMQ__JOBS__PROBE_FAULT_IS_INT_SIZE:
        break;
    }
    return 0;
}

/* Waits in small steps; false: there is a reason to stop. */
static bool wait_ms(const struct job_env *env, int64_t ms)
{
    const int64_t end_ms = env->clock->mono_ms(env->clock) + ms;
    for (;;) {
        const int64_t left_ms = end_ms - env->clock->mono_ms(env->clock);
        if (job_stopping(env)) return false;
        if (left_ms <= 0) return true;
        clock_sleep_ms(left_ms < STEP_MS ? left_ms : STEP_MS);
    }
}

/* The items that earlier attempts have counted. */
static uint32_t items_done(const struct job_env *env, const Vlmq__Jobs__Probe *probe)
{
    char text[16] = "";
    int64_t done = 0;
    struct err ignored;
    if (!env->cursor.bytes || env->cursor.bytes >= sizeof text) return 0;
    memcpy(text, env->cursor.data, env->cursor.bytes);
    if (str_to_int(&done, text, 0, (int64_t)probe->items, "cursor", &ignored)) return 0;
    return (uint32_t)done;
}

static int count_items(const struct job_env *env, const Vlmq__Jobs__Probe *probe,
                       struct job_result *result, struct err *err)
{
    const int64_t each_ms = (int64_t)probe->task_ms / (int64_t)probe->items;
    struct job_progress *progress = &result->progress;
    progress->stages_count = 1;
    progress->stage[0].name = "wait";
    for (uint32_t i = items_done(env, probe); i < probe->items; i++) {
        char cursor[16];
        if (!wait_ms(env, each_ms)) return err_set(err, ERR_CANCELLED, "stopped at item %u", i);
        (void)snprintf(cursor, sizeof cursor, "%" PRIu32, i + 1);
        job_checkpoint(env, cursor, strlen(cursor));
        progress->items = progress->items_ok = (int64_t)i + 1;
        progress->stage[0].finished++;
        job_progress_set(env, progress);
    }
    progress->items = progress->items_ok = (int64_t)probe->items;
    const bool is_full = probe->fault == VLMQ__JOBS__PROBE_FAULT__PROBE_FAULT_FULL;
    if (is_full && has_fault(env, probe) && env->attempt == 1)
        return err_set(err, ERR_FULL, "a probe's fault: the disk is full");
    return 0;
}

/* The file's text depends on the task alone, so that every attempt makes the same. */
static int write_file(struct attempt *attempt, const struct job_env *env,
                      const Vlmq__Jobs__Probe *probe, struct err *err)
{
    char name[TASK_NAME_BYTES + 8], text[TASK_NAME_BYTES + 64];
    struct store_file *file;
    (void)snprintf(name, sizeof name, "%s.txt", env->name);
    (void)snprintf(text, sizeof text, "probe %s counted %" PRIu32 " items\n", env->name,
                   probe->items);
    int rc = attempt_file_open(attempt, &file, name, err);
    if (!rc) rc = store_file_write(file, text, strlen(text), err);
    return rc ? rc : attempt_file_close(attempt, file, err);
}

static void take_manifest(struct job_result *result, const struct attempt_manifest *manifest)
{
    memcpy(result->digest, manifest->digest, sizeof result->digest);
    result->progress.items = manifest->items;
    result->progress.items_ok = manifest->items_ok;
    result->progress.bytes = manifest->bytes;
    for (uint32_t i = 0; i < manifest->counters_count; i++)
        job_count(result, manifest->counter[i].name, manifest->counter[i].value);
}

static void fill_manifest(struct attempt_manifest *manifest, const Vlmq__Jobs__Probe *probe)
{
    memset(manifest, 0, sizeof *manifest);
    manifest->items = manifest->items_ok = (int64_t)probe->items;
    manifest->counters_count = 1;
    (void)str_copy(manifest->counter[0].name, sizeof manifest->counter[0].name, "probe.items");
    manifest->counter[0].value = (int64_t)probe->items;
}

/* Work with an output: the commit decides which attempt counts. */
static int work_into(struct job_env *env, const Vlmq__Jobs__Probe *probe, struct job_result *result,
                     struct err *err)
{
    struct store *store = NULL;
    struct attempt *attempt = NULL;
    struct attempt_manifest *manifest = arena_new(env->arena, sizeof *manifest);
    bool adopted = false;
    int rc = store_open(&store, probe->output, true, err);
    if (!rc) rc = attempt_open(&attempt, store, env->name, env->lease, &adopted, manifest, err);
    if (rc) goto out;
    if (!adopted) {
        rc = count_items(env, probe, result, err);
        if (!rc) rc = write_file(attempt, env, probe, err);
        fill_manifest(manifest, probe);
        if (!rc) rc = attempt_commit(attempt, manifest, &adopted, err);
    }
    if (!rc) take_manifest(result, manifest);
    if (!rc) (void)snprintf(result->made, sizeof result->made, "%s", env->name);
out:
    attempt_close(attempt);
    store_close(store);
    return rc;
}

static int work_without(struct job_env *env, const Vlmq__Jobs__Probe *probe,
                        struct job_result *result, struct err *err)
{
    const int rc = count_items(env, probe, result, err);
    if (rc) return rc;
    hash_sha256(result->digest, env->name, strlen(env->name));
    job_count(result, "probe.items", (int64_t)probe->items);
    return 0;
}

/* Nothing is loaded; that it is there is all that a later task wants to know. */
static void use_model(struct job_env *env, const Vlmq__Jobs__Probe *probe,
                      struct job_result *result)
{
    if (!*probe->model) return;
    const char *key = arena_printf(env->arena, "probe/%s", probe->model);
    if (!key) return;
    void *model = job_warm_take(env, key);
    job_count(result, model ? "probe.warm" : "probe.cold", 1);
    job_warm_keep(env, key, probe->model, model ? model : mem_new(1), 1, mem_free);
}

static int probe_work(struct job_env *env, struct job_result *result, struct err *err)
{
    Vlmq__Jobs__Probe *probe = unpack(env->spec.data, env->spec.bytes, err);
    if (!probe) return ERR_INVALID;
    int rc = 0;
    if (has_fault(env, probe)) {
        rc = show_fault(env, probe, result, err);
        if (probe->fault == VLMQ__JOBS__PROBE_FAULT__PROBE_FAULT_CRASH &&
            wait_ms(env, CRASH_AFTER_MS))
            (void)raise(SIGKILL);
    }
    if (!rc)
        rc = *probe->output ? work_into(env, probe, result, err)
                            : work_without(env, probe, result, err);
    if (!rc) use_model(env, probe, result);
    release(probe);
    return rc;
}

/* Closing: one file that tells what was made. */

struct summary {
    int64_t tasks, items;
};

static int sum_up(void *ctx, const struct attempt_manifest *manifest, struct err *err)
{
    struct summary *summary = ctx;
    (void)err;
    summary->tasks++;
    summary->items = sum_of(summary->items, manifest->items);
    return 0;
}

static int write_summary(struct store *store, const struct job_env *env, struct job_result *result,
                         struct err *err)
{
    struct summary summary = {0};
    char text[160];
    int rc = attempt_sweep(store, err);
    if (!rc) rc = attempt_each(store, sum_up, &summary, err);
    if (rc) return rc;
    (void)snprintf(text, sizeof text,
                   "{\"kind\":\"probe\",\"tasks\":%" PRId64 ",\"items\":%" PRId64
                   ",\"tasks_dead\":%" PRIu32 "}\n",
                   summary.tasks, summary.items, env->tasks_dead);
    hash_sha256(result->digest, text, strlen(text));
    return store_put(store, "manifest.json", text, strlen(text), err);
}

static int probe_close(struct job_env *env, struct job_result *result, struct err *err)
{
    struct store *store = NULL;
    Vlmq__Jobs__Probe *probe = unpack(env->spec.data, env->spec.bytes, err);
    if (!probe) return ERR_INVALID;
    int rc = 0;
    if (*probe->output) {
        rc = store_open(&store, probe->output, true, err);
        if (!rc) rc = write_summary(store, env, result, err);
        store_close(store);
    }
    release(probe);
    return rc;
}

const struct job_kind job_probe = {
    .name = "probe",
    .takes_shards = true,
    .check = probe_check,
    .plan = probe_plan,
    .work = probe_work,
    .close = probe_close,
};
