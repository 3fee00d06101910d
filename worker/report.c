/* report.c - what the broker is told about an attempt: Done, Fail or Yield.
 *
 * A report is repeated by the link until it is answered. Its lease is renewed meanwhile; when the
 * lease is over the report is given up: the output is committed, and the next attempt adopts it. */
#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "worker/inside.h"

#include <inttypes.h>
#include <string.h>

static Vlmq__Blame blame_of(const struct task *task)
{
    if (task->result.device != JOB_DEVICE_FINE || task->rc == ERR_FULL)
        return VLMQ__BLAME__BLAME_DEVICE;
    const bool final =
        task->rc == ERR_INVALID || task->rc == ERR_NOT_FOUND || task->rc == ERR_DENIED;
    return final ? VLMQ__BLAME__BLAME_INPUT : VLMQ__BLAME__BLAME_TASK;
}

/* Sends the task's Done. */
static int send_done(struct worker *w, struct task *task, int64_t timeout_ms, struct err *err)
{
    struct job_result *result = &task->result;
    Vlmq__Done done = VLMQ__DONE__INIT;
    done.attempt = &task->attempt;
    done.digest.data = result->digest;
    done.digest.len = sizeof result->digest;
    done.progress = worker_progress(w, &result->progress);
    done.offset = task->host.added;
    done.made = result->made;
    done.counters = arena_new(&w->scratch, (result->counters_count + 1) * sizeof(void *));
    for (uint32_t i = 0; i < result->counters_count; i++) {
        Vlmq__Counter *counter = arena_new(&w->scratch, sizeof *counter);
        vlmq__counter__init(counter);
        counter->name = result->counter[i].name;
        counter->value = result->counter[i].value;
        done.counters[done.n_counters++] = counter;
    }
    done.tasks = host_new_tasks(&w->scratch, result->tasks, result->tasks_count);
    CHECK(done.tasks != NULL); /* TASKS_PER_ADD_MAX of them fit the scratch arena */
    done.n_tasks = result->tasks_count;
    return worker_send(w, NULL, VLMQ__TYPE__DONE, &done.base, timeout_ms,
                       ABOUT(ABOUT_REPORT, task->key), err);
}

static int send_fail(struct worker *w, struct task *task, int64_t timeout_ms, struct err *err)
{
    struct buf tail;
    Vlmq__Fail fail = VLMQ__FAIL__INIT;
    buf_init(&tail, 0);
    log_scope_tail(task->scope, &tail);
    fail.attempt = &task->attempt;
    fail.blame = blame_of(task);
    fail.code = (Vlmq__Code)task->rc;
    fail.reason = worker_text(w, task->err.msg, strlen(task->err.msg), REASON_BYTES_MAX, false);
    fail.log_tail = worker_text(w, buf_str(&tail), tail.len, LOG_TAIL_BYTES_MAX, true);
    const int rc = worker_send(w, NULL, VLMQ__TYPE__FAIL, &fail.base, timeout_ms,
                               ABOUT(ABOUT_REPORT, task->key), err);
    buf_deinit(&tail);
    return rc;
}

static int send_yield(struct worker *w, struct task *task, int64_t timeout_ms, struct err *err)
{
    Vlmq__Yield yield = VLMQ__YIELD__INIT;
    yield.attempt = &task->attempt;
    yield.cursor.data = arena_new(&w->scratch, CURSOR_BYTES_MAX);
    yield.has_cursor = host_cursor(&task->host, yield.cursor.data, &yield.cursor.len) > 0;
    yield.reason =
        worker_text(w, task->report_reason, strlen(task->report_reason), REASON_BYTES_MAX, false);
    return worker_send(w, NULL, VLMQ__TYPE__YIELD, &yield.base, timeout_ms,
                       ABOUT(ABOUT_REPORT, task->key), err);
}

/* The result belongs to the task's thread as long as that runs. */
static int64_t items_of(struct task *task)
{
    struct job_progress progress;
    if (task->state != TASK_RUNNING) return task->result.progress.items;
    (void)host_progress(&task->host, &progress);
    return progress.items;
}

static void log_of(struct worker *w, struct task *task, const char *event, const struct err *err)
{
    const int64_t dur_ms = worker_now(w) - task->started_at_ms;
    log_scope_join(task->scope);
    if (err)
        log_warn(event, "kind=%s phase=%s dur_ms=%" PRId64 " code=%s msg=%s", task->kind->name,
                 task_phase(task), dur_ms, err_name(err->code), log_quote(err->msg));
    else
        log_info(event, "kind=%s phase=%s dur_ms=%" PRId64 " items=%" PRId64, task->kind->name,
                 task_phase(task), dur_ms, items_of(task));
    log_scope_join(NULL);
}

/* The report is over, well or badly. */
static void over(struct worker *w, struct task *task)
{
    task->reporting = false;
    task->report = TASK_REPORT_NONE;
    if (task->state == TASK_RUNNING) return; /* handed back; tasks.c waits for its thread */
    tasks_forget(w, task);
}

static void report_send(struct worker *w, struct task *task);

/* The broker, or our own codec, does not take this Done: no repetition would change that. */
static void done_is_refused(struct worker *w, struct task *task, const struct err *err)
{
    task->rc = ERR_INVALID;
    (void)err_set(&task->err, ERR_INVALID, "the result was refused: %s", err->msg);
    task->result.device = JOB_DEVICE_FINE;
    task->report = TASK_REPORT_FAIL;
    log_of(w, task, "task.failed", &task->err);
    w->tasks_failed++;
    report_send(w, task);
}

static void report_send(struct worker *w, struct task *task)
{
    struct err err;
    int64_t timeout_ms = lease_left(&w->leases, task->key, worker_now(w));
    if (timeout_ms < REPORT_MIN_MS) timeout_ms = REPORT_MIN_MS;
    int rc = ERR_INTERNAL;
    switch (task->report) {
    case TASK_REPORT_NONE:
        CHECK(task->report != TASK_REPORT_NONE);
        break;
    case TASK_REPORT_DONE:
        rc = send_done(w, task, timeout_ms, &err);
        break;
    case TASK_REPORT_FAIL:
        rc = send_fail(w, task, timeout_ms, &err);
        break;
    case TASK_REPORT_YIELD:
        rc = send_yield(w, task, timeout_ms, &err);
        break;
    }
    task->reporting = !rc;
    if (!rc || rc == ERR_LIMIT) return; /* too many requests are open: report_step tries again */
    if (task->report == TASK_REPORT_DONE) {
        done_is_refused(w, task, &err);
        return;
    }
    log_of(w, task, "task.unreported", &err);
    over(w, task);
}

/* Told to stop, and its function said that it did. */
static bool stopped(const struct task *task, enum job_stop stop)
{
    if (stop == JOB_STOP_NONE) return false;
    /* A job that was cancelled under it may well make it fail in another way. */
    return stop == JOB_STOP_CANCELLED || task->rc == ERR_CANCELLED || task->rc == ERR_STALE;
}

void report_task(struct worker *w, struct task *task)
{
    const enum job_stop stop = job_stopping(&task->env);
    if (task->rc && stop == JOB_STOP_LOST) {
        log_of(w, task, "task.dropped", &task->err);
        tasks_forget(w, task);
        return;
    }
    if (!task->rc) {
        task->report = TASK_REPORT_DONE;
        log_of(w, task, "task.done", NULL);
        w->tasks_done++;
    } else if (stopped(task, stop)) {
        task->report = TASK_REPORT_YIELD;
        task->report_reason =
            stop == JOB_STOP_CANCELLED ? "the job was cancelled" : "the worker leaves";
        log_of(w, task, "task.yielded", NULL);
    } else {
        task->report = TASK_REPORT_FAIL;
        log_of(w, task, "task.failed", &task->err);
        w->tasks_failed++;
    }
    lease_calm(&w->leases, task->key);
    report_send(w, task);
}

void report_yield(struct worker *w, struct task *task, const char *reason)
{
    task->handed_back = true;
    task->report = TASK_REPORT_YIELD;
    task->report_reason = reason;
    lease_gone(&w->leases, task->key);
    log_of(w, task, "task.yielded", NULL);
    report_send(w, task);
}

void report_refuse(struct worker *w, const Vlmq__Grant *grant, const char *reason)
{
    struct err err;
    Vlmq__Attempt attempt = VLMQ__ATTEMPT__INIT;
    Vlmq__Yield yield = VLMQ__YIELD__INIT;
    attempt.job = grant->job;
    attempt.index = grant->index;
    attempt.lease = grant->lease;
    yield.attempt = &attempt;
    yield.reason = worker_text(w, reason, strlen(reason), REASON_BYTES_MAX, false);
    log_info("grant.refused", "job=%s task=%" PRIu32 " attempt=%" PRIu32 " msg=%s", grant->job,
             grant->index, grant->attempt, log_quote(reason));
    if (worker_send(w, NULL, VLMQ__TYPE__YIELD, &yield.base, grant->lease_ttl_ms,
                    ABOUT(ABOUT_NOTHING, 0), &err))
        log_warn("grant.unreported", "job=%s task=%" PRIu32 " msg=%s", grant->job, grant->index,
                 log_quote(err.msg));
}

void report_fail_grant(struct worker *w, const Vlmq__Grant *grant, const struct err *why)
{
    struct err err;
    Vlmq__Attempt attempt = VLMQ__ATTEMPT__INIT;
    Vlmq__Fail fail = VLMQ__FAIL__INIT;
    attempt.job = grant->job;
    attempt.index = grant->index;
    attempt.lease = grant->lease;
    fail.attempt = &attempt;
    fail.blame = VLMQ__BLAME__BLAME_TASK;
    fail.code = (Vlmq__Code)why->code;
    fail.reason = worker_text(w, why->msg, strlen(why->msg), REASON_BYTES_MAX, false);
    log_warn("task.failed", "job=%s task=%" PRIu32 " attempt=%" PRIu32 " code=%s msg=%s",
             grant->job, grant->index, grant->attempt, err_name(why->code), log_quote(why->msg));
    w->tasks_failed++;
    if (worker_send(w, NULL, VLMQ__TYPE__FAIL, &fail.base, grant->lease_ttl_ms,
                    ABOUT(ABOUT_NOTHING, 0), &err))
        log_warn("grant.unreported", "job=%s task=%" PRIu32 " msg=%s", grant->job, grant->index,
                 log_quote(err.msg));
}

void report_answered(struct worker *w, uint64_t key)
{
    struct task *task = tasks_find(w, key);
    if (task) over(w, task);
}

void report_failed(struct worker *w, uint64_t key, const struct err *err)
{
    struct task *task = tasks_find(w, key);
    if (!task) return;
    task->reporting = false;
    const bool unheard = err->code == ERR_TIMEOUT || err->code == ERR_UNAVAILABLE;
    const bool done = task->report == TASK_REPORT_DONE;
    if (unheard && lease_left(&w->leases, key, worker_now(w)) > 0) {
        report_send(w, task);
    } else if (done && err->code == ERR_CANCELLED) {
        task->report = TASK_REPORT_YIELD;
        task->report_reason = "the job was cancelled";
        report_send(w, task);
    } else if (done && !unheard && err->code != ERR_STALE && err->code != ERR_NOT_FOUND) {
        done_is_refused(w, task, err);
    } else {
        log_of(w, task, unheard ? "task.unreported" : "task.stale", err);
        over(w, task);
    }
}

void report_step(struct worker *w)
{
    for (uint32_t i = w->tasks_count; i > 0; i--) {
        struct task *task = w->task[i - 1];
        if (task->report != TASK_REPORT_NONE && !task->reporting) report_send(w, task);
    }
}
