/* queue_model_control.c - what people and other jobs do to a job. */
#include "common/base/check.h"
#include "tests/state/queue_model_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* --- submit ----------------------------------------------------------------------------------- */

static bool given(const char *text)
{
    return text && *text;
}

static void submit_head(struct model_job *job, const Vlmq__Job *asked)
{
    Vlmq__Job head = VLMQ__JOB__INIT;
    head.id = asked->id;
    head.kind = asked->kind;
    head.needs = asked->needs;
    head.after = asked->after;
    head.from = asked->from;
    head.output = asked->output;
    head.owner = asked->owner;
    head.interactive = asked->interactive;
    head.title = asked->title;
    head.attempts_max = asked->attempts_max ? asked->attempts_max : STATE_ATTEMPTS_MAX;
    job->n.attempts_max = head.attempts_max;
    model_text_message(&job->head, &head.base);
}

/* Everything but who asks, and how urgently. */
static void submit_same(struct model_text *same, const Vlmq__Job *asked)
{
    Vlmq__Job part = VLMQ__JOB__INIT;
    part.id = asked->id;
    part.kind = asked->kind;
    part.needs = asked->needs;
    part.after = asked->after;
    part.from = asked->from;
    part.output = asked->output;
    part.spec = asked->spec;
    model_text_message(same, &part.base);
}

static void submit_new(struct model_turn *turn, const struct model_text *same)
{
    const Vlmq__Job *asked = turn->call->in.submit.job;
    struct model_job *job = model_job_new(turn->model, asked->id);
    turn->job = job;
    submit_head(job, asked);
    model_text_copy(&job->same, same);
    model_text_set(&job->spec, asked->spec.data, asked->spec.len);
    job->n.priority = asked->priority;
    job->n.paused = turn->call->in.submit.paused;
    job->n.submitted = turn->now_ms;
    job->n.close = -1;
    job->n.version = 1;
    job->n.state = VLMQ__JOB_STATE__JOB_PLANNING;
    if (given(asked->from)) {
        job->n.state = VLMQ__JOB_STATE__JOB_RUNNING;
        job->n.source = SOURCE_OPEN;
    } else {
        (void)model_task_append(job, VLMQ__PHASE__PHASE_PLAN, "", NULL, 0);
    }
    if (given(asked->after)) {
        char reason[128];
        job->n.state = VLMQ__JOB_STATE__JOB_HELD;
        (void)snprintf(reason, sizeof reason, "waits for the end of job %s", asked->after);
        model_text_set(&job->reason, reason, strlen(reason));
    }
    model_job_event(turn, "job.submitted", "");
}

void model_submit(struct model_turn *turn)
{
    struct model_text same = {0};
    submit_same(&same, turn->call->in.submit.job);
    turn->job = model_job_find(turn->model, turn->call->job_id);
    if (!turn->job) {
        submit_new(turn, &same);
        turn->call->count = 1;
    } else if (!model_text_eq(&turn->job->same, &same)) {
        (void)err_set(&turn->call->err, ERR_INVALID, "job %s exists with another spec",
                      turn->job->id);
        turn->job = NULL;
    }
    mem_free(same.data);
}

/* --- verbs ------------------------------------------------------------------------------------ */

void model_pause(struct model_turn *turn)
{
    if (model_job_ended(turn->job) || turn->job->n.paused) return;
    turn->job->n.paused = 1;
    model_job_event(turn, "job.paused", "");
}

void model_resume(struct model_turn *turn)
{
    if (!turn->job->n.paused) return;
    turn->job->n.paused = 0;
    model_job_event(turn, "job.resumed", "");
}

void model_priority(struct model_turn *turn)
{
    const int32_t priority = turn->call->in.priority.priority;
    if (model_job_ended(turn->job) || turn->job->n.priority == priority) return;
    char text[64];
    turn->job->n.priority = priority;
    (void)snprintf(text, sizeof text, "priority %d", priority);
    model_job_event(turn, "job.priority", text);
}

/* A waiting task stays in what is due until its time comes. */
static void cancel_tasks(struct model_job *job)
{
    for (int64_t i = 0; i < job->n.total; i++) {
        struct model_task *task = job->task[i];
        if (task->state == VLMQ__TASK_STATE__TASK_READY ||
            task->state == VLMQ__TASK_STATE__TASK_WAITING) {
            task->state = VLMQ__TASK_STATE__TASK_CANCELLED;
            job->n.cancelled++;
        }
    }
    job->n.waiting = 0;
    job->again.count = job->alone.count = 0;
}

void model_cancel(struct model_turn *turn)
{
    struct model_job *job = turn->job;
    if (model_job_ended(job) || job->n.state == VLMQ__JOB_STATE__JOB_CANCELLING) return;
    cancel_tasks(job);
    job->n.state = VLMQ__JOB_STATE__JOB_CANCELLING;
    model_text_clean(&job->reason, turn->call->in.cancel.reason, REASON_BYTES_MAX);
    model_job_event(turn, "job.cancelling", model_text_str(&job->reason));
    model_job_settle(turn);
}

/* --- retry ------------------------------------------------------------------------------------ */

static bool retry_refused(struct model_turn *turn)
{
    const struct model_job *job = turn->job;
    struct state_call *call = turn->call;
    if (job->n.state == VLMQ__JOB_STATE__JOB_CANCELLING ||
        job->n.state == VLMQ__JOB_STATE__JOB_CANCELLED) {
        (void)err_set(&call->err, ERR_INVALID,
                      "the job was cancelled: submit it again, what it has committed is adopted");
    } else if (job->n.state == VLMQ__JOB_STATE__JOB_CLOSING) {
        (void)err_set(&call->err, ERR_LIMIT, "the job is closing: retry it when it has ended");
    } else if (call->in.retry.has_index && call->in.retry.index >= job->n.total) {
        (void)err_set(&call->err, ERR_NOT_FOUND, "the job has no task %u", call->in.retry.index);
    }
    return call->err.code != ERR_OK;
}

/* A closing task that died counts, but waits until the others have ended. */
static uint32_t retry_task(struct model_job *job, struct model_task *task)
{
    if (task->state != VLMQ__TASK_STATE__TASK_DEAD) return 0;
    if (task->index == job->n.close) return job->n.state == VLMQ__JOB_STATE__JOB_FAILED ? 1 : 0;
    model_task_revive(job, task);
    return 1;
}

static uint32_t retry_tasks(struct model_turn *turn)
{
    struct model_job *job = turn->job;
    if (turn->call->in.retry.has_index) {
        return retry_task(job, job->task[turn->call->in.retry.index]);
    }
    uint32_t revived = 0;
    for (int64_t i = 0; i < job->n.next && revived < turn->model->limits.retry; i++) {
        revived += retry_task(job, job->task[i]);
    }
    return revived;
}

/* A failed job is where it was before: held, planning or running. */
static void retry_reopen(struct model_turn *turn)
{
    struct model_job *job = turn->job;
    model_text_set(&job->reason, NULL, 0);
    job->n.ended = 0;
    if (job->n.held_failed) {
        job->n.state = VLMQ__JOB_STATE__JOB_HELD;
    } else {
        job->n.state =
            job->n.plans > 0 ? VLMQ__JOB_STATE__JOB_PLANNING : VLMQ__JOB_STATE__JOB_RUNNING;
    }
    job->n.held_failed = 0;
    model_job_event(turn, "job.retried", "");
    model_job_settle(turn);
}

void model_retry(struct model_turn *turn)
{
    struct model_job *job = turn->job;
    if (retry_refused(turn)) return;
    const bool failed = job->n.state == VLMQ__JOB_STATE__JOB_FAILED;
    const uint32_t revived = retry_tasks(turn);
    bool reopens = failed && revived > 0;
    if (failed && !turn->call->in.retry.has_index && job->n.held_failed) reopens = true;
    if (failed && !turn->call->in.retry.has_index && job->n.source == SOURCE_FAILED) {
        reopens = true;
        job->n.source = SOURCE_OPEN;
        model_text_set(&job->source_why, NULL, 0);
    }
    /* Nothing is dead any more, or only the closing task, which is to be tried again. */
    if (revived && job->n.dead == (job->n.close >= 0 ? 1 : 0)) {
        model_text_set(&job->dead_why, NULL, 0);
    }
    if (reopens) {
        retry_reopen(turn);
    } else if (revived) {
        model_job_event(turn, "job.retried", "");
    }
    turn->call->count = revived;
}

/* --- other jobs ------------------------------------------------------------------------------- */

static void release_failed(struct model_turn *turn)
{
    struct model_job *job = turn->job;
    model_text_clean(&job->reason, turn->call->in.release.reason, REASON_BYTES_MAX);
    job->n.held_failed = 1;
    job->n.state = VLMQ__JOB_STATE__JOB_FAILED;
    job->n.ended = turn->now_ms;
    model_job_event(turn, "job.failed", model_text_str(&job->reason));
}

void model_release(struct model_turn *turn)
{
    struct model_job *job = turn->job;
    if (job->n.state != VLMQ__JOB_STATE__JOB_HELD) return;
    if (!turn->call->in.release.ok) {
        release_failed(turn);
        return;
    }
    job->n.state = job->n.plans > 0 ? VLMQ__JOB_STATE__JOB_PLANNING : VLMQ__JOB_STATE__JOB_RUNNING;
    model_text_set(&job->reason, NULL, 0);
    model_job_event(turn, "job.released", "");
    model_job_settle(turn);
}

static void chain_apply(struct model_turn *turn, uint32_t count)
{
    const struct state_call *call = turn->call;
    struct model_job *job = turn->job;
    for (uint32_t i = 0; i < count; i++) {
        const struct state_made *made = &call->in.chain.made[i];
        (void)model_task_append(job, VLMQ__PHASE__PHASE_WORK, made->name ? made->name : "",
                                made->digest, sizeof made->digest);
    }
    job->n.position = call->in.chain.next;
    if (!call->in.chain.source_ended) return;
    job->n.source = call->in.chain.source_failed ? SOURCE_FAILED : SOURCE_ENDED;
    model_text_clean(&job->source_why, call->in.chain.reason, REASON_BYTES_MAX);
}

void model_chain(struct model_turn *turn)
{
    struct model_job *job = turn->job;
    struct state_call *call = turn->call;
    const uint32_t count = call->in.chain.next - call->in.chain.position;
    if (job->n.source == SOURCE_NONE) {
        (void)err_set(&call->err, ERR_INVALID, "the job has no source job");
        return;
    }
    if (model_job_ended(job) || job->n.state == VLMQ__JOB_STATE__JOB_CANCELLING ||
        job->n.source != SOURCE_OPEN || job->n.position != call->in.chain.position) {
        call->count = (uint32_t)job->n.position;
        return;
    }
    if (job->n.total + count > turn->model->limits.tasks) {
        (void)err_set(&call->err, ERR_LIMIT, "a job has at most %u tasks",
                      turn->model->limits.tasks);
        return;
    }
    chain_apply(turn, count);
    call->count = (uint32_t)job->n.position;
    model_job_settle(turn);
}
