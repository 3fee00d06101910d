/* oracle.c - see oracle.h. */
#include "tests/sim/oracle.h"

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/store/manifest.h"
#include "tests/sim/net.h"
#include "tests/sim/store.h"
#include "tests/sim/table.h"
#include "tests/sim/world.h"
#include "tests/state/queue_model_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ATTEMPTS_MAX 512
/* A lease that nobody renews may end this much before its time when Redis' clock jumps ahead by
 * less than a broker takes for a jump. */
#define JUMP_UNSEEN_MS 2500

struct lease {
    char id[LEASE_ID_BYTES];
    char job[JOB_ID_BYTES];
    uint32_t index;
    int64_t renewed_at_us;     /* or given */
    uint32_t rollbacks, jumps; /* of Redis until then */
};

struct attempt_seen {
    const struct job_env *env; /* NULL: free */
    const struct proc *proc;
    uint32_t pauses;
};

struct task_seen {
    bool done;
    uint8_t digest[16];
};

struct job_seen {
    char id[JOB_ID_BYTES];
    bool there;
    int64_t submitted_ms;
    Vlmq__JobState state;
    int64_t ended_at_us;
    uint32_t opened, closed; /* times */
    struct task_seen *task;
    uint32_t tasks_count, tasks_room;
};

struct oracle_counts oracle_counts;
static struct table leases, jobs; /* struct lease, struct job_seen by id */
static struct attempt_seen attempts[ATTEMPTS_MAX];
static uint32_t rollbacks, jumps;

/* ---- attempts ---- */

void oracle_attempt_begins(const struct job_env *env)
{
    uint32_t i = 0;
    while (i < ATTEMPTS_MAX && attempts[i].env) i++;
    CHECK(i < ATTEMPTS_MAX);
    attempts[i] = (struct attempt_seen){env, proc_self(), proc_self()->pauses};
    history("attempt %u of task %u of %s begins, lease %.6s", env->attempt, env->task, env->job,
            env->lease);
}

void oracle_attempt_ends(const struct job_env *env)
{
    for (uint32_t i = 0; i < ATTEMPTS_MAX; i++)
        if (attempts[i].env == env) attempts[i].env = NULL;
    history("attempt %u of task %u of %s ends", env->attempt, env->task, env->job);
}

void oracle_proc_gone(const struct proc *proc)
{
    for (uint32_t i = 0; i < ATTEMPTS_MAX; i++)
        if (attempts[i].proc == proc) attempts[i].env = NULL;
}

/* ---- leases ---- */

static struct lease *lease_find(const char *id)
{
    return table_find(&leases, id);
}

static void lease_renewed(struct lease *lease)
{
    lease->renewed_at_us = sim.now_us;
    lease->rollbacks = rollbacks;
    lease->jumps = jumps;
}

/* Whether an attempt may believe in its lease although Redis has given the task away. */
static bool excused(const struct attempt_seen *attempt, const struct lease *lease)
{
    if (attempt->proc->pauses != attempt->pauses) return true;
    if (!lease || lease->rollbacks != rollbacks) return true;
    const int64_t age_ms = (sim.now_us - lease->renewed_at_us) / 1000;
    return lease->jumps != jumps && age_ms >= LEASE_TTL_MS - JUMP_UNSEEN_MS;
}

/* R4: nobody else believes in a lease of this task. */
static void check_believers(const char *job, uint32_t index, const char *granted)
{
    for (uint32_t i = 0; i < ATTEMPTS_MAX; i++) {
        const struct attempt_seen *attempt = &attempts[i];
        const struct job_env *env = attempt->env;
        if (!env || env->task != index || !str_eq(env->job, job) || str_eq(env->lease, granted))
            continue;
        if (job_stopping(env) == JOB_STOP_LOST || excused(attempt, lease_find(env->lease)))
            continue;
        sim_fail("task %u of %s is given to lease %.6s while %s believes in lease %.6s", index, job,
                 granted, attempt->proc->name, env->lease);
    }
}

static void see_grant(const struct state_call *call, const struct state_grant *grant)
{
    struct lease *lease = lease_find(grant->lease);
    oracle_counts.grants++;
    if (lease && (lease->index != grant->index || !str_eq(lease->job, call->job_id)))
        sim_fail("lease %s of task %u of %s is given again, to task %u of %s", grant->lease,
                 lease->index, lease->job, grant->index, call->job_id);
    check_believers(call->job_id, grant->index, grant->lease);
    if (lease) return; /* the take was repeated */
    lease = mem_new(sizeof *lease);
    (void)str_copy(lease->id, sizeof lease->id, grant->lease);
    (void)str_copy(lease->job, sizeof lease->job, call->job_id);
    lease->index = grant->index;
    lease_renewed(lease);
    table_put(&leases, lease->id, lease);
}

/* An attempt's call that succeeded although its task has, or had last, another lease. */
static void see_attempt(const struct model_job *job, const struct state_call *call,
                        const struct task_seen *before)
{
    const Vlmq__Attempt *attempt = call->attempt;
    const struct model_task *task = job->task[attempt->index];
    struct lease *lease = lease_find(attempt->lease);
    if (!lease)
        sim_fail("%s of task %u of %s with lease %.6s, which was never given, is accepted",
                 "a call", attempt->index, job->id, attempt->lease);
    if (lease->index != attempt->index || !str_eq(lease->job, job->id))
        sim_fail("lease %.6s is accepted for task %u of %s, but was given for another",
                 attempt->lease, attempt->index, job->id);
    const bool renewed = call->op == STATE_RENEW;
    if (renewed) lease_renewed(lease);
    const bool live = str_eq(task->lease, attempt->lease);
    const bool last = str_eq(task->last_lease, attempt->lease);
    if (renewed || call->op == STATE_ADD ? !live : !live && !last && !(before && before->done))
        sim_fail("task %u of %s accepts lease %.6s, but has %.6s (last %.6s)", attempt->index,
                 job->id, attempt->lease, task->lease, task->last_lease);
}

/* ---- tasks and jobs ---- */

static struct job_seen *job_meet(const char *id)
{
    struct job_seen *job = table_find(&jobs, id);
    if (job) return job;
    job = mem_new(sizeof *job);
    CHECK(str_copy(job->id, sizeof job->id, id));
    table_put(&jobs, job->id, job);
    return job;
}

static struct task_seen *task_seen(const struct job_seen *job, uint32_t index)
{
    return index < job->tasks_count ? &job->task[index] : NULL;
}

/* What a shard's Done says is what the store has committed. */
static void check_committed(const struct model_job *job, const struct model_task *task)
{
    const struct work *work = world_work(job->id);
    struct attempt_manifest manifest;
    struct err err;
    if (task->phase != VLMQ__PHASE__PHASE_WORK) return;
    const char *name = task->name.data ? task->name.data : "";
    const char *text = store_manifest(work->output, name);
    if (!text) sim_fail("task %s of %s is done, but nothing is committed", name, job->id);
    if (manifest_decode(&manifest, name, text, strlen(text), &err))
        sim_fail("the manifest of %s of %s: %s", name, job->id, err.msg);
    if (memcmp(manifest.digest, task->digest, sizeof task->digest) != 0)
        sim_fail("task %s of %s is done with another digest than was committed", name, job->id);
}

static void see_task(struct task_seen *seen, const struct model_job *job,
                     const struct model_task *task)
{
    const bool done = task->state == VLMQ__TASK_STATE__TASK_DONE;
    if (seen->done && !done) sim_fail("task %u of %s was done and is not", task->index, job->id);
    if (!done) return;
    if (seen->done && memcmp(seen->digest, task->digest, sizeof seen->digest) != 0)
        sim_fail("task %u of %s was done with another digest", task->index, job->id);
    if (seen->done) return;
    seen->done = true;
    memcpy(seen->digest, task->digest, sizeof seen->digest);
    check_committed(job, task);
}

static void see_tasks(struct job_seen *seen, const struct model_job *job)
{
    const uint32_t count = (uint32_t)job->n.total;
    if (count < seen->tasks_count)
        sim_fail("job %s had %u tasks and has %u", job->id, seen->tasks_count, count);
    if (count > seen->tasks_room) {
        seen->tasks_room = 2 * count;
        seen->task = realloc(seen->task, seen->tasks_room * sizeof *seen->task);
        CHECK(seen->task != NULL);
    }
    for (uint32_t i = seen->tasks_count; i < count; i++) seen->task[i] = (struct task_seen){0};
    seen->tasks_count = count;
    for (uint32_t i = 0; i < count; i++) see_task(&seen->task[i], job, job->task[i]);
}

static bool ended(Vlmq__JobState state)
{
    return state == VLMQ__JOB_STATE__JOB_DONE || state == VLMQ__JOB_STATE__JOB_FAILED ||
           state == VLMQ__JOB_STATE__JOB_CANCELLED;
}

/* From which state to which a call may bring a job. */
static bool may_become(Vlmq__JobState from, Vlmq__JobState to, enum state_op op)
{
    if (from == to) return true;
    if (op == STATE_CANCEL)
        return !ended(from) &&
               (to == VLMQ__JOB_STATE__JOB_CANCELLING || to == VLMQ__JOB_STATE__JOB_CANCELLED);
    if (from == VLMQ__JOB_STATE__JOB_CANCELLING) return to == VLMQ__JOB_STATE__JOB_CANCELLED;
    if (ended(from)) return from == VLMQ__JOB_STATE__JOB_FAILED && op == STATE_RETRY;
    if (to == VLMQ__JOB_STATE__JOB_CANCELLING || to == VLMQ__JOB_STATE__JOB_CANCELLED) return false;
    if (from == VLMQ__JOB_STATE__JOB_HELD) return op == STATE_RELEASE;
    return to > from || (from == VLMQ__JOB_STATE__JOB_RUNNING &&
                         to == VLMQ__JOB_STATE__JOB_PLANNING); /* a planning task was added */
}

static void see_state(struct job_seen *seen, const struct model_job *job, enum state_op op)
{
    const Vlmq__JobState state = (Vlmq__JobState)job->n.state;
    if (!may_become(seen->state, state, op))
        sim_fail("job %s goes from state %d to %d by call %d", job->id, (int)seen->state,
                 (int)state, (int)op);
    if (ended(state) && !ended(seen->state)) {
        seen->closed++;
        seen->ended_at_us = sim.now_us;
        oracle_counts.ended++;
        history("job %s ends in state %d, %lld of %lld tasks done", job->id, (int)state,
                (long long)job->n.done, (long long)job->n.total);
    }
    if (!ended(state) && ended(seen->state)) seen->opened++;
    seen->state = state;
    if (seen->closed > seen->opened) sim_fail("job %s is closed twice", job->id);
    if (ended(state) && job->n.leased) sim_fail("job %s has ended with leases", job->id);
}

static void see_job(struct job_seen *seen, const struct queue_model *model,
                    const struct state_call *call)
{
    const struct model_job *job = model_job_find(model, call->job_id);
    char why[256];
    if (!job) {
        if (seen->there && call->op != STATE_PURGE)
            sim_fail("job %s is gone by call %d", call->job_id, (int)call->op);
        seen->there = false;
        return;
    }
    if (!seen->there) {
        if (seen->submitted_ms && call->op != STATE_SUBMIT)
            sim_fail("job %s has come back by call %d", job->id, (int)call->op);
        seen->there = true;
        seen->submitted_ms = job->n.submitted;
        seen->tasks_count = 0;
        seen->opened = 1;
        seen->closed = 0;
        seen->state = (Vlmq__JobState)job->n.state;
    }
    if (!queue_model_check(model, job->id, why, sizeof why))
        sim_fail("job %s after call %d: %s", job->id, (int)call->op, why);
    if (call->attempt && !call->err.code && call->attempt->index < job->n.total)
        see_attempt(job, call, task_seen(seen, call->attempt->index));
    see_state(seen, job, call->op);
    see_tasks(seen, job);
}

static bool changes_job(enum state_op op)
{
    return op <= STATE_CHAIN || op == STATE_PURGE;
}

static void count(const struct state_call *call)
{
    oracle_counts.calls++;
    if (call->err.code) return;
    oracle_counts.renewals += call->op == STATE_RENEW;
    oracle_counts.dones += call->op == STATE_DONE;
    oracle_counts.fails += call->op == STATE_FAIL;
    oracle_counts.yields += call->op == STATE_YIELD;
    if (call->op == STATE_REAP) oracle_counts.reaped += call->count;
}

static void note(const struct state_call *call)
{
    static const char *const names[] = {
        "submit", "add",   "take",   "renew",  "done",  "fail",     "yield",   "reap",
        "grace",  "pause", "resume", "cancel", "retry", "priority", "release", "chain"};
    if (call->op == STATE_RENEW && !call->err.code) return;
    if (call->op == STATE_REAP && !call->count) return;
    if (call->op == STATE_TAKE && !call->err.code && !call->out.take.count) return;
    const char *name = call->op <= STATE_CHAIN ? names[(int)call->op] : "purge";
    if (call->attempt)
        history("redis: %s %s task %u lease %.6s: %s", name, call->job_id, call->attempt->index,
                call->attempt->lease, call->err.code ? call->err.msg : "ok");
    else
        history("redis: %s %s: %s count %u", name, call->job_id,
                call->err.code ? call->err.msg : "ok", call->count);
}

void oracle_call(const struct queue_model *model, const struct state_call *call)
{
    count(call);
    if (!changes_job(call->op)) return;
    note(call);
    if (call->op == STATE_TAKE && !call->err.code)
        for (uint32_t i = 0; i < call->out.take.count; i++)
            see_grant(call, &call->out.take.grant[i]);
    see_job(job_meet(call->job_id), model, call);
}

/* ---- what excuses ---- */

void oracle_rollback(void)
{
    rollbacks++;
    oracle_counts.rollbacks++;
    for (const struct table_row *row = jobs.first; row; row = row->after) {
        struct job_seen *job = row->value;
        job->there = false;
        job->submitted_ms = 0;
    }
}

void oracle_clock_jump(int64_t ms)
{
    if (ms) jumps++;
}

/* ---- the end ---- */

int64_t oracle_ended_at_us(const char *id)
{
    const struct job_seen *job = job_meet(id);
    return job->there && ended(job->state) ? job->ended_at_us : -1;
}

/* An ended job has left the set of active ones. */
static void check_active(const struct queue_model *model)
{
    for (uint32_t i = 0; i < model->active_count; i++) {
        const struct model_job *job = model_job_find(model, model->active[i].id);
        if (!job || model_job_ended(job))
            sim_fail("job %s is still among the active ones", model->active[i].id);
    }
}

_Noreturn static void not_ended(const struct queue_model *model, const struct model_job *job)
{
    struct buf text;
    buf_init(&text, 0);
    queue_model_dump(model, job->id, &text);
    (void)printf("%s\n", buf_str(&text));
    sim_fail("job %s has not ended: state %lld, %lld tasks, %lld done, %lld leased", job->id,
             (long long)job->n.state, (long long)job->n.total, (long long)job->n.done,
             (long long)job->n.leased);
}

void oracle_end(const struct queue_model *model, bool settled)
{
    const char *ids[64];
    char why[256];
    const uint32_t found = queue_model_jobs(model, ids, 64);
    for (uint32_t i = 0; i < found && i < 64; i++) {
        const struct model_job *job = model_job_find(model, ids[i]);
        if (!queue_model_check(model, ids[i], why, sizeof why))
            sim_fail("job %s at the end: %s", ids[i], why);
        if (!model_job_ended(job)) not_ended(model, job);
    }
    if (settled) check_active(model);
}
