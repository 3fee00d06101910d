/* kind.c - the kind of job that simulated workers run, under the name "probe".
 *
 * Planning adds shards and further planning tasks, in part before its end. A shard takes some steps
 * of simulated time, keeps a cursor, reports progress, and commits its output through the real
 * common/store/attempt.c. On the way it fails, hangs until it is stopped, does not hear that it
 * shall stop, or kills its process, as chance wants it. Its content carries the lease, so that two
 * commits of one task could not be taken for one. */
#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/str.h"
#include "common/store/attempt.h"
#include "tests/sim/oracle.h"
#include "tests/sim/world.h"
#include "worker/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int sim_check(const uint8_t *spec, size_t bytes, struct err *err)
{
    (void)spec;
    (void)bytes;
    (void)err;
    return 0;
}

/* ---- planning ---- */

static const char *name_of(struct job_env *env, const char *prefix, uint32_t i)
{
    char *name = arena_new(env->arena, TASK_NAME_BYTES);
    (void)snprintf(name, TASK_NAME_BYTES, "%s%03u", prefix, i);
    return name;
}

/* The tasks that this planning task adds, always the same ones in the same order. */
static struct job_new_task *planned(struct job_env *env, uint32_t *count)
{
    const struct work *work = world_work(env->job);
    const bool root = env->name[0] == 0;
    const uint32_t shards = root ? work->shards : work->each, parts = root ? work->parts : 0;
    struct job_new_task *tasks = arena_new(env->arena, (shards + parts + 1) * sizeof *tasks);
    char prefix[TASK_NAME_BYTES];
    *count = 0;
    for (uint32_t i = 0; i < parts; i++)
        tasks[(*count)++] =
            (struct job_new_task){.name = name_of(env, "part", i), .phase = JOB_PLAN};
    (void)snprintf(prefix, sizeof prefix, "%s%s", root ? "s" : env->name, root ? "" : "-");
    for (uint32_t i = 0; i < shards; i++) {
        const bool poisoned = root && i < work->poisoned;
        tasks[(*count)++] = (struct job_new_task){
            .name = name_of(env, prefix, i),
            .payload = {(const uint8_t *)(poisoned ? "bad" : "fine"), poisoned ? 3 : 4},
            .items = work->steps,
            .phase = JOB_WORK,
        };
    }
    return tasks;
}

static int sim_plan(struct job_env *env, struct job_result *result, struct err *err)
{
    uint32_t count, added = env->added;
    const struct job_new_task *tasks = planned(env, &count);
    oracle_attempt_begins(env);
    if (added > count) sim_fail("job %s: %u tasks were added of %u", env->job, added, count);
    int rc = 0;
    while (!rc && added < count && sim_chance(0.7)) {
        fiber_sleep(sim_exponential(300 * MS));
        const uint32_t part = (uint32_t)sim_between(1, count - added);
        rc = job_stopping(env) ? err_set(err, ERR_CANCELLED, "stopped while planning")
                               : job_add(env, &added, tasks + added, part, err);
    }
    if (!rc && sim_fault(world.faults.fail)) rc = err_set(err, ERR_UNAVAILABLE, "a plan's fault");
    if (!rc && added < count) {
        result->tasks = tasks + added;
        result->tasks_count = count - added;
    }
    hash_sha256(result->digest, env->name, strlen(env->name));
    oracle_attempt_ends(env);
    return rc;
}

/* ---- work ---- */

struct step {
    uint32_t next;
    bool deaf; /* does not look whether it shall stop */
};

static uint32_t step_of_cursor(const struct job_env *env, const struct work *work)
{
    char text[96];
    if (!env->cursor.bytes) return 0;
    CHECK(env->cursor.bytes < sizeof text);
    memcpy(text, env->cursor.data, env->cursor.bytes);
    text[env->cursor.bytes] = 0;
    const char *colon = strrchr(text, ':');
    const size_t name = strlen(env->name);
    if (!colon || (size_t)(colon - text) != name || memcmp(text, env->name, name) != 0)
        sim_fail("job %s: the cursor of %s says %s", env->job, env->name, text);
    const uint32_t step = (uint32_t)strtoul(colon + 1, NULL, 10);
    if (step > work->steps) sim_fail("job %s: the cursor of %s says %s", env->job, env->name, text);
    return step;
}

static int stopped(const struct job_env *env, const struct step *step, struct err *err)
{
    const enum job_stop stop = job_stopping(env);
    if (step->deaf || stop == JOB_STOP_NONE) return 0;
    return err_set(err, stop == JOB_STOP_LOST ? ERR_STALE : ERR_CANCELLED, "stopped at step %u",
                   step->next);
}

static int hang(const struct job_env *env, struct err *err)
{
    history("task %s of %s hangs", env->name, env->job);
    while (!job_stopping(env) && !sim.calm) fiber_sleep(200 * MS);
    return err_set(err, ERR_UNAVAILABLE, "it hung");
}

static int show_fault(const struct job_env *env, struct job_result *result, struct err *err)
{
    const struct faults *faults = &world.faults;
    if (sim_fault(faults->crash)) proc_crash(proc_self());
    if (sim_fault(faults->hang)) return hang(env, err);
    if (sim_fault(faults->fail)) return err_set(err, ERR_UNAVAILABLE, "a step's fault");
    if (sim_fault(faults->device)) {
        result->device = sim_chance(0.2) ? JOB_DEVICE_POISONED : JOB_DEVICE_FAILED;
        return err_set(err, ERR_INTERNAL, "the device's fault");
    }
    return 0;
}

static int steps(struct job_env *env, const struct work *work, struct job_result *result,
                 struct err *err)
{
    struct step step = {.next = step_of_cursor(env, work), .deaf = sim_fault(world.faults.deaf)};
    struct job_progress *progress = &result->progress;
    progress->stages_count = 1;
    progress->stage[0].name = "step";
    for (; step.next < work->steps; step.next++) {
        char cursor[96];
        fiber_sleep(sim_exponential((int64_t)work->step_ms * MS));
        int rc = stopped(env, &step, err);
        if (!rc) rc = show_fault(env, result, err);
        if (rc) return rc;
        (void)snprintf(cursor, sizeof cursor, "%s:%u", env->name, step.next + 1);
        job_checkpoint(env, cursor, strlen(cursor));
        progress->items = progress->items_ok = (int64_t)step.next + 1;
        progress->stage[0].finished++;
        job_progress_set(env, progress);
    }
    return stopped(env, &step, err);
}

static int write_file(struct attempt *attempt, const struct job_env *env, struct err *err)
{
    char name[TASK_NAME_BYTES + 8], text[256];
    struct store_file *file;
    (void)snprintf(name, sizeof name, "%s.txt", env->name);
    (void)snprintf(text, sizeof text, "%s of %s by lease %s\n", env->name, env->job, env->lease);
    int rc = attempt_file_open(attempt, &file, name, err);
    if (!rc) rc = store_file_write(file, text, strlen(text), err);
    return rc ? rc : attempt_file_close(attempt, file, err);
}

static void fill_manifest(struct attempt_manifest *manifest, const struct work *work)
{
    memset(manifest, 0, sizeof *manifest);
    manifest->items = manifest->items_ok = work->steps;
    manifest->counters_count = 1;
    (void)str_copy(manifest->counter[0].name, sizeof manifest->counter[0].name, "sim.items");
    manifest->counter[0].value = work->steps;
}

static void take_manifest(struct job_result *result, const struct attempt_manifest *manifest,
                          const char *name)
{
    memcpy(result->digest, manifest->digest, sizeof result->digest);
    result->progress.items = manifest->items;
    result->progress.items_ok = manifest->items_ok;
    for (uint32_t i = 0; i < manifest->counters_count; i++)
        job_count(result, manifest->counter[i].name, manifest->counter[i].value);
    (void)str_copy(result->made, sizeof result->made, name);
}

static int work_into(struct job_env *env, const struct work *work, struct job_result *result,
                     struct err *err)
{
    struct store *store = NULL;
    struct attempt *attempt = NULL;
    struct attempt_manifest *manifest = arena_new(env->arena, sizeof *manifest);
    bool adopted = false;
    int rc = store_open(&store, env->output, true, err);
    if (!rc) rc = attempt_open(&attempt, store, env->name, env->lease, &adopted, manifest, err);
    if (rc) goto out;
    if (!adopted) {
        rc = steps(env, work, result, err);
        if (!rc && sim_canary("done-before-commit") && sim_chance(0.1)) goto out;
        if (!rc) rc = write_file(attempt, env, err);
        fill_manifest(manifest, work);
        if (!rc) rc = attempt_commit(attempt, manifest, &adopted, err);
    }
    if (!rc) take_manifest(result, manifest, env->name);
out:
    attempt_close(attempt);
    store_close(store);
    return rc;
}

static int sim_work(struct job_env *env, struct job_result *result, struct err *err)
{
    const struct work *work = world_work(env->job);
    oracle_attempt_begins(env);
    int rc;
    if (str_eq((const char *)env->payload.data, "bad"))
        rc = err_set(err, ERR_INVALID, "a poisoned input");
    else
        rc = work_into(env, work, result, err);
    oracle_attempt_ends(env);
    return rc;
}

/* ---- closing ---- */

/* All shards of a job without dead tasks are committed by now. */
static int count_one(void *ctx, const struct attempt_manifest *manifest, struct err *err)
{
    uint32_t *count = ctx;
    (void)manifest;
    (void)err;
    ++*count;
    return 0;
}

static int sim_close(struct job_env *env, struct job_result *result, struct err *err)
{
    struct store *store = NULL;
    const struct work *work = world_work(env->job);
    uint32_t count = 0;
    oracle_attempt_begins(env);
    int rc = store_open(&store, env->output, true, err);
    if (!rc) rc = attempt_sweep(store, err);
    if (!rc) rc = attempt_each(store, count_one, &count, err);
    if (!rc && !env->tasks_dead && !env->from[0] && count < work_shards(work))
        sim_fail("job %s closes with %u of %u shards committed", env->job, count,
                 work_shards(work));
    if (!rc && sim_fault(world.faults.fail)) rc = err_set(err, ERR_UNAVAILABLE, "a close's fault");
    hash_sha256(result->digest, "closed", 6);
    store_close(store);
    oracle_attempt_ends(env);
    return rc;
}

static const struct job_kind sim_kind = {
    .name = "probe",
    .takes_shards = true,
    .check = sim_check,
    .plan = sim_plan,
    .work = sim_work,
    .close = sim_close,
};

const struct job_kind *registry_at(uint32_t i)
{
    return i == 0 ? &sim_kind : NULL;
}

const struct job_kind *registry_find(const char *name)
{
    return str_eq(name, sim_kind.name) ? &sim_kind : NULL;
}
