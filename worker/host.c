/* host.c - job.h's functions for kinds, over struct job_host. */
#include "worker/host.h"

#include "common/base/check.h"
#include "common/base/str.h"
#include "worker/limits.h"

#include <string.h>

_Static_assert((int)JOB_WORK == (int)VLMQ__PHASE__PHASE_WORK, "proto and job.h agree");
_Static_assert((int)JOB_PLAN == (int)VLMQ__PHASE__PHASE_PLAN, "proto and job.h agree");
_Static_assert((int)JOB_CLOSE == (int)VLMQ__PHASE__PHASE_CLOSE, "proto and job.h agree");

/* What protobuf adds around one task's name and payload, rounded up. */
#define NEW_TASK_FRAME_BYTES 40

void host_init(struct job_host *host, struct chan *said, struct wake *wake, void *owner)
{
    CHECK(pthread_mutex_init(&host->lock, NULL) == 0);
    host->said = said;
    host->wake = wake;
    host->owner = owner;
    atomic_store(&host->has_device, true);
    host->answer = chan_new(1);
}

void host_deinit(struct job_host *host)
{
    if (!host->answer) return;
    chan_close(host->answer);
    chan_free(host->answer);
    host->answer = NULL;
    mem_free(host->cursor);
    CHECK(pthread_mutex_destroy(&host->lock) == 0);
}

void host_stop(struct job_host *host, enum job_stop stop)
{
    int now = atomic_load(&host->stop);
    while (now < (int)stop && !atomic_compare_exchange_weak(&host->stop, &now, (int)stop)) continue;
}

uint32_t host_progress(struct job_host *host, struct job_progress *progress)
{
    CHECK(pthread_mutex_lock(&host->lock) == 0);
    *progress = host->progress;
    const uint32_t version = host->progress_version;
    CHECK(pthread_mutex_unlock(&host->lock) == 0);
    return version;
}

uint32_t host_progress_version(struct job_host *host)
{
    CHECK(pthread_mutex_lock(&host->lock) == 0);
    const uint32_t version = host->progress_version;
    CHECK(pthread_mutex_unlock(&host->lock) == 0);
    return version;
}

uint32_t host_cursor(struct job_host *host, uint8_t *cursor, size_t *bytes)
{
    CHECK(pthread_mutex_lock(&host->lock) == 0);
    if (host->cursor_bytes) memcpy(cursor, host->cursor, host->cursor_bytes);
    *bytes = host->cursor_bytes;
    const uint32_t version = host->cursor_version;
    CHECK(pthread_mutex_unlock(&host->lock) == 0);
    return version;
}

uint32_t host_cursor_version(struct job_host *host, size_t *bytes)
{
    CHECK(pthread_mutex_lock(&host->lock) == 0);
    const uint32_t version = host->cursor_version;
    *bytes = host->cursor_bytes;
    CHECK(pthread_mutex_unlock(&host->lock) == 0);
    return version;
}

void host_answer(struct job_host *host, int rc, uint32_t added, const struct err *err)
{
    host->reply.rc = rc;
    host->reply.added = added;
    if (rc) host->reply.err = *err;
    CHECK(chan_try_send(host->answer, &host->reply));
}

static void say(struct job_host *host, enum host_says says)
{
    struct wake *wake = host->wake; /* the main thread may free the host once it has heard */
    host->says = says;
    CHECK(chan_send(host->said, host->owner)); /* has room for every attempt */
    wake_raise(wake);
}

void host_say_ended(struct job_host *host)
{
    say(host, HOST_SAYS_ENDED);
}

uint32_t host_batch(const struct job_new_task *tasks, uint32_t count)
{
    size_t bytes = 0;
    uint32_t i = 0;
    for (; i < count && i < TASKS_PER_ADD_MAX; i++) {
        bytes += strlen(tasks[i].name) + tasks[i].payload.bytes + NEW_TASK_FRAME_BYTES;
        if (bytes > ADD_BYTES_MAX && i > 0) break;
    }
    return i;
}

Vlmq__NewTask **host_new_tasks(struct arena *arena, const struct job_new_task *tasks,
                               uint32_t count)
{
    Vlmq__NewTask **list = arena_try(arena, (count + 1) * sizeof(void *));
    Vlmq__NewTask *packed = arena_try(arena, (count + 1) * sizeof *packed);
    if (!list || !packed) return NULL;
    for (uint32_t i = 0; i < count; i++) {
        vlmq__new_task__init(&packed[i]);
        /* protobuf-c has no const; packing reads only. */
        memcpy(&packed[i].name, &tasks[i].name, sizeof packed[i].name);
        packed[i].payload.len = tasks[i].payload.bytes;
        memcpy(&packed[i].payload.data, &tasks[i].payload.data, sizeof packed[i].payload.data);
        packed[i].items = tasks[i].items;
        packed[i].phase = (Vlmq__Phase)tasks[i].phase;
        list[i] = &packed[i];
    }
    return list;
}

/* Functions for kinds. */

enum job_stop job_stopping(const struct job_env *env)
{
    return (enum job_stop)atomic_load_explicit(&env->host->stop, memory_order_relaxed);
}

void job_progress_set(const struct job_env *env, const struct job_progress *progress)
{
    struct job_host *host = env->host;
    CHECK(progress->stages_count <= JOB_STAGES_MAX);
    CHECK(pthread_mutex_lock(&host->lock) == 0);
    host->progress = *progress;
    host->progress_version++;
    CHECK(pthread_mutex_unlock(&host->lock) == 0);
}

void job_device_done(const struct job_env *env)
{
    atomic_store(&env->host->has_device, false);
    wake_raise(env->host->wake);
}

void job_device_used(const struct job_env *env, int64_t busy_ns, int64_t items)
{
    struct device_use *use = env->host->use;
    if (!use) return;
    atomic_fetch_add(&use->busy_ns, busy_ns);
    atomic_fetch_add(&use->items, items);
}

void job_checkpoint(const struct job_env *env, const void *cursor, size_t bytes)
{
    struct job_host *host = env->host;
    CHECK(bytes <= CURSOR_BYTES_MAX);
    CHECK(pthread_mutex_lock(&host->lock) == 0);
    if (bytes > host->cursor_room) {
        mem_free(host->cursor);
        host->cursor = mem_new(bytes);
        host->cursor_room = bytes;
    }
    if (bytes) memcpy(host->cursor, cursor, bytes);
    host->cursor_bytes = bytes;
    host->cursor_version++;
    CHECK(pthread_mutex_unlock(&host->lock) == 0);
}

/* One message: sent by the main thread, waited for here. */
static int add_batch(struct job_host *host, const struct job_new_task *tasks, uint32_t count,
                     struct err *err)
{
    struct arena arena;
    Vlmq__Add add = VLMQ__ADD__INIT;
    Vlmq__Attempt attempt = *host->attempt;
    arena_init(&arena, 0); /* bounded by count */
    add.attempt = &attempt;
    add.offset = host->added;
    add.n_tasks = count;
    add.tasks = host_new_tasks(&arena, tasks, count);
    int rc;
    if (!add.tasks) {
        rc = err_set(err, ERR_LIMIT, "add %u tasks: out of memory", count);
    } else {
        host->add = &add;
        say(host, HOST_SAYS_ADD);
        CHECK(chan_recv(host->answer) == &host->reply);
        host->add = NULL;
        rc = host->reply.rc;
        if (rc) *err = host->reply.err;
        if (!rc) host->added = host->reply.added;
    }
    arena_deinit(&arena);
    return rc;
}

int job_add(struct job_env *env, uint32_t *added, const struct job_new_task *tasks, uint32_t count,
            struct err *err)
{
    struct job_host *host = env->host;
    CHECK(*added == host->added);
    while (count) {
        const uint32_t part = host_batch(tasks, count);
        const uint32_t before = host->added;
        const int rc = add_batch(host, tasks, part, err);
        *added = host->added;
        if (rc) return rc;
        if (host->added != before + part)
            return err_set(err, ERR_INTERNAL, "the broker counts %u added tasks instead of %u",
                           host->added, before + part);
        tasks += part;
        count -= part;
    }
    return 0;
}

void job_count(struct job_result *result, const char *name, int64_t value)
{
    for (uint32_t i = 0; i < result->counters_count; i++) {
        if (!str_eq(result->counter[i].name, name)) continue;
        result->counter[i].value += value;
        return;
    }
    CHECK(result->counters_count < COUNTERS_MAX);
    struct job_counter *counter = &result->counter[result->counters_count++];
    CHECK(str_copy(counter->name, sizeof counter->name, name));
    counter->value = value;
}
