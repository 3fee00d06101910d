/* queue_model_reap.c - what falls due: leases of workers that vanished, and backoffs. */
#include "common/base/check.h"
#include "tests/state/queue_model_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TEXT_BYTES 256

/* Only an attempt that had begun, or one of many that never did, is charged for its worker. */
static void reap_lost(struct model_turn *turn, struct model_task *task)
{
    struct model_job *job = turn->job;
    const bool charged = task->renewed || task->unstarted >= STATE_UNSTARTED_MAX;
    model_lease_lost(job, task);
    if (job->n.state == VLMQ__JOB_STATE__JOB_CANCELLING) {
        model_task_cancelled(job, task);
        return;
    }
    char why[TEXT_BYTES];
    const char *worker = model_text_str(&task->worker);
    if (charged) {
        task->losses++;
        (void)snprintf(why, sizeof why, "its worker vanished %u %s, last on %s", task->losses,
                       task->losses == 1 ? "time" : "times", worker);
    } else {
        task->unstarted++;
        (void)snprintf(why, sizeof why, "its worker vanished before it began: %s", worker);
    }
    task->code = ERR_UNAVAILABLE;
    model_text_set(&task->why, why, strlen(why));
    model_task_event(turn, "task.lost", task, why);
    if (task->losses >= STATE_LOSSES_DEAD) {
        model_task_dead(turn, task);
    } else {
        model_task_ready(job, task);
    }
}

/* A waiting task of a cancelled job has been cancelled with it. */
static void reap_waited(struct model_job *job, struct model_task *task)
{
    model_due_unset(job, task);
    if (task->state != VLMQ__TASK_STATE__TASK_WAITING) return;
    job->n.waiting--;
    model_task_ready(job, task);
}

/* Deadlines further ahead than any can be come from before the clock jumped back. */
static void reap_pull_in(struct model_turn *turn)
{
    struct model_job *job = turn->job;
    const int64_t longest =
        LEASE_TTL_MS > STATE_BACKOFF_MAX_MS ? LEASE_TTL_MS : STATE_BACKOFF_MAX_MS;
    const int64_t last_ms = turn->now_ms + longest + STATE_CLOCK_SLACK_MS;
    uint32_t at = 0;
    while (at < job->due_count && job->due[at].at_ms <= last_ms) at++;
    uint32_t count = job->due_count - at;
    if (count > turn->model->limits.reap) count = turn->model->limits.reap;
    uint32_t *far = mem_new((count + 1) * sizeof *far);
    for (uint32_t i = 0; i < count; i++) far[i] = job->due[at + i].index;
    for (uint32_t i = 0; i < count; i++) {
        model_due_set(job, job->task[far[i]], turn->now_ms + LEASE_TTL_MS);
    }
    mem_free(far);
}

void model_reap(struct model_turn *turn)
{
    struct model_job *job = turn->job;
    const int64_t until_ms = turn->call->in.reap.until_ms;
    int64_t last_ms = turn->now_ms;
    if (until_ms > 0 && until_ms < last_ms) last_ms = until_ms;
    if (model_job_ended(job)) return;
    reap_pull_in(turn);
    uint32_t count = 0;
    while (count < turn->model->limits.reap && job->due_count && job->due[0].at_ms <= last_ms) {
        struct model_task *task = job->task[job->due[0].index];
        if (task->state == VLMQ__TASK_STATE__TASK_LEASED) {
            reap_lost(turn, task);
        } else {
            reap_waited(job, task);
        }
        count++;
    }
    if (count) model_job_settle(turn);
    turn->call->count = count;
}

void model_grace(struct model_turn *turn)
{
    struct model_job *job = turn->job;
    if (model_job_ended(job)) return;
    for (int64_t i = 0; i < job->n.next; i++) {
        struct model_task *task = job->task[i];
        if (task->state != VLMQ__TASK_STATE__TASK_LEASED) continue;
        model_due_set(job, task, turn->now_ms + LEASE_TTL_MS);
        task->renewed = false;
        turn->call->count++;
    }
}
