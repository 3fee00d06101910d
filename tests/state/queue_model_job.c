/* queue_model_job.c - events of a job, and how it moves on when its tasks have. */
#include "common/base/check.h"
#include "tests/state/queue_model_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TEXT_BYTES 1024 /* a sentence around a reason */

/* --- questions -------------------------------------------------------------------------------- */

bool model_job_ended(const struct model_job *job)
{
    return job->n.state == VLMQ__JOB_STATE__JOB_DONE ||
           job->n.state == VLMQ__JOB_STATE__JOB_FAILED ||
           job->n.state == VLMQ__JOB_STATE__JOB_CANCELLED;
}

int64_t model_job_ready(const struct model_job *job)
{
    const struct model_numbers *n = &job->n;
    return n->total - n->leased - n->waiting - n->done - n->dead - n->cancelled;
}

/* --- events ----------------------------------------------------------------------------------- */

static void event_deinit(struct model_event *event)
{
    mem_free(event->name.data);
    mem_free(event->text.data);
    mem_free(event->worker.data);
}

static struct model_event *event_add(struct model_turn *turn, const char *name, const char *text)
{
    struct model_job *job = turn->job;
    if (job->event_count == turn->model->limits.events) {
        event_deinit(&job->event[0]);
        job->event_count--;
        memmove(job->event, job->event + 1, job->event_count * sizeof *job->event);
    }
    job->event = model_grow(job->event, job->event_count, &job->event_room, sizeof *job->event);
    model_stream_next(&job->event_ms, &job->event_seq, turn->now_ms);
    struct model_event *event = &job->event[job->event_count++];
    *event = (struct model_event){.ms = job->event_ms, .seq = job->event_seq};
    model_text_set(&event->name, name, strlen(name));
    model_text_set(&event->text, text, strlen(text));
    return event;
}

void model_job_event(struct model_turn *turn, const char *name, const char *text)
{
    (void)event_add(turn, name, text);
}

void model_task_event(struct model_turn *turn, const char *name, const struct model_task *task,
                      const char *text)
{
    struct model_event *event = event_add(turn, name, text);
    event->of_task = true;
    event->task = task->index;
    event->attempt = task->attempts;
    model_text_copy(&event->worker, &task->worker);
}

/* --- ends ------------------------------------------------------------------------------------- */

static void took_drop(struct model_job *job)
{
    for (uint32_t i = 0; i < job->took_count; i++) {
        mem_free(job->took[i].worker.data);
        mem_free(job->took[i].index);
        mem_free(job->took[i].alone);
    }
    job->took_count = 0;
}

/* reason may be a text of the job itself. */
static void job_end(struct model_turn *turn, Vlmq__JobState state, const char *event,
                    const char *reason)
{
    struct model_job *job = turn->job;
    job->n.state = state;
    job->n.ended = turn->now_ms;
    model_job_event(turn, event, reason);
    char kept[TEXT_BYTES];
    (void)snprintf(kept, sizeof kept, "%s", reason);
    model_text_set(&job->reason, kept, strlen(kept));
    took_drop(job);
}

static void job_fail(struct model_turn *turn, const char *reason)
{
    job_end(turn, VLMQ__JOB_STATE__JOB_FAILED, "job.failed", reason);
}

void model_job_closed(struct model_turn *turn)
{
    struct model_job *job = turn->job;
    job->n.close = -1;
    if (job->n.dead > 0) {
        char reason[TEXT_BYTES];
        (void)snprintf(reason, sizeof reason, "%" PRId64 " %s dead: %s", job->n.dead,
                       job->n.dead == 1 ? "task is" : "tasks are", model_text_str(&job->dead_why));
        job_fail(turn, reason);
    } else if (job->n.source == SOURCE_FAILED) {
        job_fail(turn, model_text_str(&job->source_why));
    } else {
        job_end(turn, VLMQ__JOB_STATE__JOB_DONE, "job.done", "");
    }
}

/* --- moving on -------------------------------------------------------------------------------- */

/* All tasks have ended: a closing task is appended, or the one that died is tried again. */
static void job_close(struct model_turn *turn)
{
    struct model_job *job = turn->job;
    job->n.state = VLMQ__JOB_STATE__JOB_CLOSING;
    if (job->n.close >= 0) {
        model_task_revive(job, job->task[job->n.close]);
    } else {
        job->n.close = model_task_append(job, VLMQ__PHASE__PHASE_CLOSE, "", NULL, 0)->index;
    }
    model_job_event(turn, "job.closing", "");
}

static void settle_open(struct model_turn *turn)
{
    struct model_job *job = turn->job;
    if (job->n.plans_dead > 0) {
        if (job->n.leased > 0) return;
        char reason[TEXT_BYTES];
        (void)snprintf(reason, sizeof reason, "planning failed: %s",
                       model_text_str(&job->dead_why));
        job_fail(turn, reason);
        return;
    }
    if (job->n.plans > 0) {
        job->n.state = VLMQ__JOB_STATE__JOB_PLANNING;
        return;
    }
    if (job->n.state == VLMQ__JOB_STATE__JOB_PLANNING) {
        job->n.state = VLMQ__JOB_STATE__JOB_RUNNING;
        model_job_event(turn, "job.planned", "");
    }
    const bool busy = job->n.leased + job->n.waiting + model_job_ready(job) > 0;
    if (!busy && job->n.source != SOURCE_OPEN) job_close(turn);
}

static void settle_closing(struct model_turn *turn)
{
    const struct model_task *task = turn->job->task[turn->job->n.close];
    if (task->state != VLMQ__TASK_STATE__TASK_DEAD) return;
    char reason[TEXT_BYTES];
    (void)snprintf(reason, sizeof reason, "closing failed: %s", model_text_str(&task->why));
    job_fail(turn, reason);
}

/* The last attempt has let go: nothing falls due any more. */
static void settle_cancelling(struct model_turn *turn)
{
    struct model_job *job = turn->job;
    if (job->n.leased > 0) return;
    while (job->due_count) model_due_unset(job, job->task[job->due[job->due_count - 1].index]);
    job_end(turn, VLMQ__JOB_STATE__JOB_CANCELLED, "job.cancelled", model_text_str(&job->reason));
}

void model_job_settle(struct model_turn *turn)
{
    switch ((int)turn->job->n.state) {
    case VLMQ__JOB_STATE__JOB_PLANNING:
    case VLMQ__JOB_STATE__JOB_RUNNING:
        settle_open(turn);
        break;
    case VLMQ__JOB_STATE__JOB_CLOSING:
        settle_closing(turn);
        break;
    case VLMQ__JOB_STATE__JOB_CANCELLING:
        settle_cancelling(turn);
        break;
    default: /* held, or ended */
        break;
    }
}

/* --- memory ----------------------------------------------------------------------------------- */

void model_job_deinit(struct model_job *job)
{
    struct model_text *const text[] = {
        &job->head,        &job->same,          &job->spec,
        &job->reason,      &job->dead_why,      &job->source_why,
        &job->kept.reason, &job->kept.dead_why, &job->kept.source_why};
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) mem_free(text[i]->data);
    for (int64_t i = 0; i < job->n.total; i++) model_task_free(job->task[i]);
    for (uint32_t i = 0; i < job->made_count; i++) mem_free(job->made[i].name.data);
    for (uint32_t i = 0; i < job->counter_count; i++) mem_free(job->counter[i].name.data);
    for (uint32_t i = 0; i < job->event_count; i++) event_deinit(&job->event[i]);
    took_drop(job);
    void *const array[] = {job->task, job->due,     job->again.index, job->alone.index,
                           job->made, job->counter, job->event,       job->took};
    for (size_t i = 0; i < sizeof array / sizeof *array; i++) mem_free(array[i]);
}
