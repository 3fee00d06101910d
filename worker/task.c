/* task.c - the life of one attempt's thread. */
#include "worker/task.h"

#include "common/base/check.h"
#include "common/base/str.h"
#include "worker/limits.h"
#include "worker/warm.h"

#include <string.h>

/* Copies of the grant's texts; the sizes were checked when the message came in. */
static const char *text_of(struct task *task, const char *text)
{
    return arena_text(&task->arena, text, strlen(text));
}

static struct job_bytes bytes_of(struct task *task, const ProtobufCBinaryData *data)
{
    const char *copy = arena_text(&task->arena, (const char *)data->data, data->len);
    return (struct job_bytes){(const uint8_t *)copy, data->len};
}

static bool env_fill(struct task *task, const struct task_options *options,
                     const Vlmq__Grant *grant)
{
    struct job_env *env = &task->env;
    *env = (struct job_env){
        .job = text_of(task, grant->job),
        .kind = text_of(task, grant->kind),
        .lease = text_of(task, grant->lease),
        .output = text_of(task, grant->output),
        .from = text_of(task, grant->from),
        .name = text_of(task, grant->name),
        .device = text_of(task, options->device),
        .task = grant->index,
        .attempt = grant->attempt,
        .added = grant->added,
        .tasks_dead = grant->tasks_dead,
        .phase = (enum job_phase)grant->phase,
        .spec = bytes_of(task, &grant->spec),
        .payload = bytes_of(task, &grant->payload),
        .cursor = bytes_of(task, &grant->cursor),
        .arena = &task->arena,
        .clock = options->clock,
        .scope = task->scope,
        .cpus = options->cpus,
        .host = &task->host,
    };
    return env->job && env->kind && env->lease && env->output && env->from && env->name &&
           env->device && env->spec.data && env->payload.data && env->cursor.data;
}

static bool attempt_fill(struct task *task, const Vlmq__Grant *grant)
{
    vlmq__attempt__init(&task->attempt);
    task->attempt.job = arena_text(&task->arena, grant->job, strlen(grant->job));
    task->attempt.lease = arena_text(&task->arena, grant->lease, strlen(grant->lease));
    task->attempt.index = grant->index;
    return task->attempt.job && task->attempt.lease;
}

int task_new(struct task **out, const struct task_options *options, const Vlmq__Grant *grant,
             struct err *err)
{
    struct task *task = mem_try(sizeof *task);
    if (!task) return err_set(err, ERR_LIMIT, "no memory for another task");
    task->key = options->key;
    task->kind = options->kind;
    task->crew = options->crew;
    task->alone = grant->alone;
    task->started_at_ms = options->clock->mono_ms(options->clock);
    arena_init(&task->arena, TASK_ARENA_BYTES);
    task->scope = log_scope_new(grant->job, grant->index, grant->attempt);
    host_init(&task->host, options->said, options->wake, task);
    task->host.added = grant->added;
    task->host.attempt = &task->attempt;
    task->host.warm = options->warm;
    task->host.use = options->use;
    if (!env_fill(task, options, grant) || !attempt_fill(task, grant)) {
        task_free(task);
        return err_set(err, ERR_LIMIT, "no memory for another task");
    }
    *out = task;
    return 0;
}

const char *task_phase(const struct task *task)
{
    switch (task->env.phase) {
    case JOB_WORK:
        return "work";
    case JOB_PLAN:
        return "plan";
    case JOB_CLOSE:
        return "close";
    }
    return "unknown";
}

/* The lease is ours, but another attempt, whose lease is over or forgotten, has committed the
 * output and removed our files. That is nobody's failure: a second call adopts the output. */
static int work(struct task *task)
{
    struct job_env *env = &task->env;
    const int rc = task->kind->work(env, &task->result, &task->err);
    if (rc != ERR_STALE || job_stopping(env)) return rc;
    task->result = (struct job_result){0};
    return task->kind->work(env, &task->result, &task->err);
}

static int call_kind(struct task *task)
{
    const struct job_kind *kind = task->kind;
    struct job_env *env = &task->env;
    if (env->from[0] && !kind->takes_shards)
        return err_set(
            &task->err, ERR_INVALID,
            "a %s job does not take its input from another job: submit it without --from",
            kind->name);
    int rc = kind->check(env->spec.data, env->spec.bytes, &task->err);
    if (rc) return rc;
    switch (env->phase) {
    case JOB_WORK:
        return work(task);
    case JOB_PLAN:
        return kind->plan(env, &task->result, &task->err);
    case JOB_CLOSE:
        return kind->close ? kind->close(env, &task->result, &task->err) : 0;
    }
    return err_set(&task->err, ERR_VERSION, "phase %d is unknown to this worker", (int)env->phase);
}

/* The report carries one message's worth of new tasks; the others are added before it. */
static int add_surplus(struct task *task)
{
    struct job_result *result = &task->result;
    uint32_t added = task->host.added;
    for (;;) {
        const uint32_t part = host_batch(result->tasks, result->tasks_count);
        if (part == result->tasks_count) return 0;
        const int rc = job_add(&task->env, &added, result->tasks, part, &task->err);
        if (rc) return rc;
        result->tasks += part;
        result->tasks_count -= part;
    }
}

static void run(void *arg)
{
    struct task *task = arg;
    log_scope_join(task->scope);
    log_debug("task.start", "kind=%s phase=%s name=%s", task->kind->name, task_phase(task),
              log_quote(task->env.name));
    task->rc = call_kind(task);
    if (!task->rc) task->rc = add_surplus(task);
    if (task->rc) task->err.code = (enum err_code)task->rc;
    warm_ended(task->host.warm, &task->host);
    log_scope_join(NULL);
    host_say_ended(&task->host);
}

int task_start(struct task *task, struct err *err)
{
    CHECK(task->state == TASK_HELD);
    task->work = (struct crew_work){run, task};
    const int rc = crew_run(task->crew, &task->work, err);
    if (!rc) task->state = TASK_RUNNING;
    return rc;
}

void task_end(struct task *task)
{
    CHECK(task->state == TASK_RUNNING);
    crew_ended(task->crew);
    task->state = TASK_ENDED;
}

void task_free(struct task *task)
{
    if (!task) return;
    CHECK(task->state != TASK_RUNNING);
    host_deinit(&task->host);
    log_scope_free(task->scope);
    arena_deinit(&task->arena);
    mem_free(task);
}
