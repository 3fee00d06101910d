/* job_harness.h - runs the functions of a job kind without a worker: the smallest host.
 *
 * Defines job.h's functions, so it is included by one file of a test program that is not linked
 * with the worker. Tasks that a plan adds are kept in `tasks`; job_run plays a whole job with them.
 */
#ifndef TESTS_UNIT_JOBS_JOB_HARNESS_H
#define TESTS_UNIT_JOBS_JOB_HARNESS_H

#include "common/base/check.h"
#include "common/base/id.h"
#include "common/base/str.h"
#include "tests/support/test.h"
#include "worker/job.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HARNESS_TASKS_MAX 4096

struct harness_task {
    char name[TASK_NAME_BYTES];
    uint8_t payload[PAYLOAD_BYTES_MAX];
    size_t bytes;
    int64_t items;
};

struct job_host {
    atomic_int stop;            /* enum job_stop */
    int64_t stop_at_items;      /* >= 0: stopped when that many are finished */
    enum job_stop stop_as;      /* how; NONE: cancelled */
    int64_t told;               /* calls of job_progress_set */
    int64_t dies_at;            /* > 0: the process is killed in that call */
    void (*on_told)(void *ctx); /* called in it; NULL: nothing is */
    void *on_told_ctx;
    void (*on_device_done)(void *ctx); /* called in job_device_done; NULL: nothing is */
    void *on_device_done_ctx;
    struct job_progress progress; /* the last one */
    bool keeps_warm;              /* one object; else each task loads for itself */
    char warm_key[512];
    void *warm; /* NULL: none */
    void (*warm_free)(void *object);
    uint8_t cursor[CURSOR_BYTES_MAX];
    size_t cursor_bytes; /* of the task that is interrupted, for its next attempt */
    struct harness_task *tasks;
    uint32_t tasks_count, tasks_max, adds;
};

enum job_stop job_stopping(const struct job_env *env)
{
    return (enum job_stop)atomic_load(&env->host->stop);
}

void job_device_used(const struct job_env *env, int64_t busy_ns, int64_t items)
{
    EXPECT(busy_ns >= 0 && items >= 0);
    (void)env;
}

void job_device_done(const struct job_env *env)
{
    if (env->host->on_device_done) env->host->on_device_done(env->host->on_device_done_ctx);
}

void job_progress_set(const struct job_env *env, const struct job_progress *progress)
{
    struct job_host *host = env->host;
    host->progress = *progress;
    host->told++;
    if (host->told == host->dies_at) (void)raise(SIGKILL);
    if (host->on_told) host->on_told(host->on_told_ctx);
    if (host->stop_at_items >= 0 && progress->items >= host->stop_at_items)
        atomic_store(&host->stop, (int)(host->stop_as ? host->stop_as : JOB_STOP_CANCELLED));
}

void job_checkpoint(const struct job_env *env, const void *cursor, size_t bytes)
{
    CHECK(bytes <= CURSOR_BYTES_MAX);
    memcpy(env->host->cursor, cursor, bytes);
    env->host->cursor_bytes = bytes;
}

int job_add(struct job_env *env, uint32_t *added, const struct job_new_task *tasks, uint32_t count,
            struct err *err)
{
    struct job_host *host = env->host;
    CHECK(count <= TASKS_PER_ADD_MAX);
    for (uint32_t i = 0; i < count; i++) {
        if (host->tasks_count == host->tasks_max)
            return err_set(err, ERR_UNAVAILABLE, "the broker is away");
        struct harness_task *task = &host->tasks[host->tasks_count++];
        CHECK(tasks[i].payload.bytes <= sizeof task->payload);
        CHECK(str_copy(task->name, sizeof task->name, tasks[i].name));
        memcpy(task->payload, tasks[i].payload.data, tasks[i].payload.bytes);
        task->bytes = tasks[i].payload.bytes;
        task->items = tasks[i].items;
        (*added)++;
    }
    host->adds++;
    return 0;
}

void *job_warm_take(const struct job_env *env, const char *key)
{
    struct job_host *host = env->host;
    if (strcmp(host->warm_key, key) != 0) return NULL;
    void *object = host->warm;
    host->warm = NULL;
    return object;
}

void job_warm_keep(const struct job_env *env, const char *key, const char *model, void *object,
                   size_t bytes, void (*free_object)(void *object))
{
    struct job_host *host = env->host;
    (void)model, (void)bytes;
    if (host->warm) host->warm_free(host->warm);
    host->warm = host->keeps_warm ? object : NULL;
    host->warm_free = free_object;
    CHECK(str_copy(host->warm_key, sizeof host->warm_key, key));
    if (!host->warm) free_object(object);
}

bool job_warm_drop(const struct job_env *env)
{
    struct job_host *host = env->host;
    if (!host->warm) return false;
    host->warm_free(host->warm);
    host->warm = NULL;
    return true;
}

void job_count(struct job_result *result, const char *name, int64_t value)
{
    uint32_t i = 0;
    while (i < result->counters_count && strcmp(result->counter[i].name, name) != 0) i++;
    CHECK(i < COUNTERS_MAX);
    if (i == result->counters_count) {
        result->counters_count++;
        CHECK(str_copy(result->counter[i].name, sizeof result->counter[i].name, name));
    }
    result->counter[i].value += value;
}

/* What all tasks of one job share. */
struct harness {
    const struct job_kind *kind;
    struct job_bytes spec;
    struct job_host host;
    struct job_result result; /* of the last task */
    struct err err;
    uint32_t cpus, attempt, added, dead;
    const char *device, *from; /* NULL: "cpu", and no other job */
};

static inline void harness_init(struct harness *harness, const struct job_kind *kind)
{
    *harness = (struct harness){.kind = kind, .cpus = 2, .attempt = 1};
    harness->host.stop_at_items = -1;
    harness->host.tasks_max = HARNESS_TASKS_MAX;
    harness->host.tasks = calloc(HARNESS_TASKS_MAX, sizeof *harness->host.tasks);
    EXPECT(harness->host.tasks != NULL);
}

static inline void harness_deinit(struct harness *harness)
{
    if (harness->host.warm) harness->host.warm_free(harness->host.warm);
    free(harness->host.tasks);
}

/* Runs one task; NULL is the plan or the closing task. */
static inline int harness_run(struct harness *harness, enum job_phase phase,
                              const struct harness_task *task)
{
    struct arena arena;
    char lease[LEASE_ID_BYTES];
    id_lease(lease);
    arena_init(&arena, 0);
    harness->result = (struct job_result){0};
    harness->err = (struct err){0};
    struct job_env env = {.job = "test",
                          .kind = harness->kind->name,
                          .lease = lease,
                          .output = "",
                          .from = harness->from ? harness->from : "",
                          .attempt = harness->attempt,
                          .added = harness->added,
                          .tasks_dead = harness->dead,
                          .name = task ? task->name : "",
                          .phase = phase,
                          .spec = harness->spec,
                          .arena = &arena,
                          .clock = &clock_real,
                          .cpus = harness->cpus,
                          .device = harness->device ? harness->device : "cpu",
                          .host = &harness->host};
    if (task) env.payload = (struct job_bytes){task->payload, task->bytes};
    env.cursor =
        (struct job_bytes){arena_copy(&arena, harness->host.cursor, sizeof harness->host.cursor),
                           harness->host.cursor_bytes};
    int rc;
    if (phase == JOB_PLAN)
        rc = harness->kind->plan(&env, &harness->result, &harness->err);
    else if (phase == JOB_WORK)
        rc = harness->kind->work(&env, &harness->result, &harness->err);
    else
        rc = harness->kind->close(&env, &harness->result, &harness->err);
    EXPECT_EQ(rc, rc ? harness->err.code : ERR_OK);
    if (!rc) harness->host.cursor_bytes = 0;
    uint32_t added = harness->host.tasks_count; /* what goes with the report */
    if (!rc && harness->result.tasks_count)
        rc = job_add(&env, &added, harness->result.tasks, harness->result.tasks_count,
                     &harness->err);
    arena_deinit(&arena);
    return rc;
}

/* Plan, all shards from the first or from the last, close. */
static inline void harness_job(struct harness *harness, bool backwards)
{
    EXPECT_OK(harness_run(harness, JOB_PLAN, NULL), &harness->err);
    const uint32_t count = harness->host.tasks_count;
    for (uint32_t i = 0; i < count; i++)
        EXPECT_OK(
            harness_run(harness, JOB_WORK, &harness->host.tasks[backwards ? count - 1 - i : i]),
            &harness->err);
    EXPECT_OK(harness_run(harness, JOB_CLOSE, NULL), &harness->err);
}

static inline int64_t harness_counter(const struct harness *harness, const char *name)
{
    for (uint32_t i = 0; i < harness->result.counters_count; i++)
        if (!strcmp(harness->result.counter[i].name, name)) return harness->result.counter[i].value;
    return 0;
}

#endif
