/* tasks.c - the table of tasks: from a grant to a thread, and from its end to a report. */
#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "worker/inside.h"
#include "worker/registry.h"

#include <inttypes.h>

struct slots tasks_slots(const struct worker *w)
{
    struct slots slots = {0};
    for (uint32_t i = 0; i < w->tasks_count; i++) {
        const struct task *task = w->task[i];
        if (task->state == TASK_ENDED) continue;
        if (task->interactive)
            slots.interactive++;
        else
            slots.batch++;
        slots.alone = slots.alone || task->alone;
    }
    return slots;
}

struct task *tasks_find(struct worker *w, uint64_t key)
{
    for (uint32_t i = 0; i < w->tasks_count; i++)
        if (w->task[i]->key == key) return w->task[i];
    return NULL;
}

void tasks_forget(struct worker *w, struct task *task)
{
    uint32_t i = 0;
    while (w->task[i] != task) i++;
    CHECK(i < w->tasks_count);
    w->task[i] = w->task[--w->tasks_count];
    w->task[w->tasks_count] = NULL;
    lease_drop(&w->leases, task->key);
    task_free(task);
}

void tasks_stop_all(struct worker *w, enum job_stop stop)
{
    for (uint32_t i = 0; i < w->tasks_count; i++) host_stop(&w->task[i]->host, stop);
}

/* Planning and closing leave the device alone. */
static bool needs_device(const struct task *task)
{
    return task->kind->needs & JOB_NEEDS_DEVICE && task->env.phase == JOB_WORK;
}

static bool device_is_busy(const struct worker *w)
{
    for (uint32_t i = 0; i < w->tasks_count; i++)
        if (w->task[i]->state == TASK_RUNNING && needs_device(w->task[i]) &&
            atomic_load(&w->task[i]->host.has_device))
            return true;
    return false;
}

static void start(struct worker *w, struct task *task)
{
    if (needs_device(task) && device_is_busy(w)) return; /* when the other one is done with it */
    struct err err;
    const int rc = task_start(task, &err);
    if (!rc) return; /* the task, its rc too, belongs to its thread now */
    task->rc = rc;
    task->err = err;
    task->state = TASK_ENDED;
    report_task(w, task);
}

/* The slot for a grant; false: there is none. A task that runs alone has the worker for itself. */
static bool slot_for(const struct worker *w, const Vlmq__Grant *grant, bool *interactive)
{
    const struct slots busy = tasks_slots(w);
    if (w->draining || w->leaving || w->tasks_count == TASKS_MAX || busy.alone) return false;
    if (grant->alone && busy.batch + busy.interactive) return false;
    *interactive = grant->interactive && busy.interactive < w->options->interactive_slots;
    return *interactive || busy.batch < w->options->slots;
}

void tasks_grant(struct worker *w, const Vlmq__Grant *grant, int64_t counts_from_ms)
{
    struct task *task = NULL;
    struct err err;
    bool interactive = false;
    const struct job_kind *kind = registry_find(grant->kind);
    const struct task_options options = {
        .key = ++w->last_key,
        .kind = kind,
        .clock = w->clock,
        .device = w->options->device,
        /* Of those that need the device one runs at a time: slots do not share it out. */
        .cpus = kind && kind->needs & JOB_NEEDS_DEVICE ? w->cpus : w->cpus_each,
        .said = w->said,
        .wake = &w->wake,
        .crew = w->crew,
        .warm = w->warm,
        .use = &w->use,
    };
    if (disk_is_low(w->disk)) { /* it was asked for before */
        report_refuse(w, grant, "the worker's disk is full");
        return;
    }
    if (!slot_for(w, grant, &interactive)) {
        report_refuse(w, grant, w->draining ? "the worker leaves" : "no slot is free");
        return;
    }
    if (!options.kind) {
        (void)err_set(&err, ERR_VERSION, "the worker's version knows no kind %s", grant->kind);
        report_fail_grant(w, grant, &err);
        return;
    }
    if (task_new(&task, &options, grant, &err)) {
        report_fail_grant(w, grant, &err);
        return;
    }
    if (!lease_add(&w->leases, task->key, counts_from_ms, grant->lease_ttl_ms, worker_now(w))) {
        task_free(task);
        report_refuse(w, grant, "the grant came too late");
        return;
    }
    task->interactive = interactive;
    w->task[w->tasks_count++] = task;
    disk_watch(w->disk, grant->output);
    start(w, task);
}

/* Sends what a task thread adds; it waits meanwhile. */
static void add_send(struct worker *w, struct task *task)
{
    struct err err;
    const int64_t left_ms = lease_left(&w->leases, task->key, worker_now(w));
    int rc = left_ms ? 0 : err_set(&err, ERR_STALE, "the lease was lost while tasks were added");
    if (!rc)
        rc = worker_send(w, NULL, VLMQ__TYPE__ADD, &task->host.add->base, left_ms,
                         ABOUT(ABOUT_ADD, task->key), &err);
    if (rc) host_answer(&task->host, rc, 0, &err);
}

void tasks_add_answered(struct worker *w, uint64_t key, const Vlmq__AddAnswer *answer)
{
    struct task *task = tasks_find(w, key);
    CHECK(task != NULL); /* it waits for this */
    host_answer(&task->host, 0, answer->added, NULL);
}

void tasks_add_failed(struct worker *w, uint64_t key, const struct err *err)
{
    struct task *task = tasks_find(w, key);
    CHECK(task != NULL);
    if (err->code == ERR_STALE || err->code == ERR_NOT_FOUND) {
        lease_gone(&w->leases, key);
        host_stop(&task->host, JOB_STOP_LOST);
    }
    if (err->code == ERR_CANCELLED) host_stop(&task->host, JOB_STOP_CANCELLED);
    if (err->code == ERR_TIMEOUT || err->code == ERR_UNAVAILABLE)
        add_send(w, task); /* for as long as the lease is renewed */
    else
        host_answer(&task->host, (int)err->code, 0, err);
}

static void start_held(struct worker *w)
{
    for (uint32_t i = 0; i < w->tasks_count && !device_is_busy(w); i++)
        if (w->task[i]->state == TASK_HELD && !w->task[i]->handed_back) start(w, w->task[i]);
}

/* What this attempt tells of the device; true: the worker must go. Its failures are not charged to
 * tasks, which come back at once, so a device that fails each of them must not go on. */
static bool device_is_done(struct worker *w, const struct task *task)
{
    if (!task->rc && task->env.phase == JOB_WORK) w->device_failures = 0;
    if (!task->rc || task->result.device == JOB_DEVICE_FINE) return false;
    return task->result.device == JOB_DEVICE_POISONED ||
           ++w->device_failures >= DEVICE_FAILURES_MAX;
}

static void ended(struct worker *w, struct task *task)
{
    const bool poisoned = device_is_done(w, task);
    task_end(task);
    if (task->rc == ERR_FULL) disk_full(w->disk, task->env.output);
    if (!task->handed_back)
        report_task(w, task);
    else if (!task->reporting)
        tasks_forget(w, task);
    if (poisoned) warm_close(w->warm);
    if (poisoned) leave_hand_back(w, WORKER_POISONED, "the device works no more");
}

void tasks_said(struct worker *w)
{
    struct task *task;
    while ((task = chan_try_recv(w->said))) {
        if (task->host.says == HOST_SAYS_ADD)
            add_send(w, task);
        else
            ended(w, task);
    }
    start_held(w);
}
