/* queue_model_check.c - the invariants of docs/state.md over the model, counted from nothing but
 * the tasks. */
#include "common/base/check.h"
#include "tests/state/queue_model_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sums {
    int64_t in[VLMQ__TASK_STATE__TASK_CANCELLED + 1];
    int64_t plans, plans_dead, tails, timed, items, items_ok, bytes, closes;
};

struct check {
    const struct model_job *job;
    bool stopped; /* cancelled, or about to be */
    char *why;
    size_t why_bytes;
};

/* True when it holds; else says so. */
static bool holds(struct check *check, bool truth, const char *what, int64_t number)
{
    if (!truth) (void)snprintf(check->why, check->why_bytes, "%s: %" PRId64, what, number);
    return truth;
}

/* --- queues ----------------------------------------------------------------------------------- */

/* Marks the tasks of a queue; each must be ready, taken before and nowhere else. */
static bool check_queue(struct check *check, const struct model_queue *queue, bool alone,
                        bool *queued)
{
    for (uint32_t i = 0; i < queue->count; i++) {
        const struct model_task *task = check->job->task[queue->index[i]];
        if (!holds(check, !queued[task->index], "queued twice", task->index)) return false;
        if (!holds(check, task->state == VLMQ__TASK_STATE__TASK_READY && task->taken,
                   "queued, and not ready again", task->index)) {
            return false;
        }
        if (!holds(check, alone == (task->losses >= STATE_LOSSES_ALONE), "in the wrong queue",
                   task->index)) {
            return false;
        }
        queued[task->index] = true;
    }
    return true;
}

static bool check_queues(struct check *check)
{
    const struct model_job *job = check->job;
    bool *queued = mem_new((size_t)job->n.total + 1);
    bool good = check_queue(check, &job->again, false, queued) &&
                check_queue(check, &job->alone, true, queued);
    for (int64_t i = 0; i < job->n.total && good; i++) {
        const struct model_task *task = job->task[i];
        if (task->state != VLMQ__TASK_STATE__TASK_READY) continue;
        good = holds(check, queued[i] == task->taken, "ready again, and in no queue", i);
    }
    mem_free(queued);
    return good;
}

/* --- tasks ------------------------------------------------------------------------------------ */

static bool check_due(struct check *check, const struct model_task *task)
{
    const bool timed = task->state == VLMQ__TASK_STATE__TASK_LEASED ||
                       task->state == VLMQ__TASK_STATE__TASK_WAITING;
    const bool cancelled = task->state == VLMQ__TASK_STATE__TASK_CANCELLED;
    return holds(check, timed == task->is_due || (cancelled && check->stopped),
                 "due, and neither leased nor waiting, or the reverse", task->index);
}

static bool check_task(struct check *check, struct sums *sums, const struct model_task *task)
{
    const bool leased = task->state == VLMQ__TASK_STATE__TASK_LEASED;
    const bool open = task->state == VLMQ__TASK_STATE__TASK_READY ||
                      task->state == VLMQ__TASK_STATE__TASK_WAITING;
    sums->in[task->state]++;
    sums->tails += task->has_tail;
    sums->timed += task->is_due;
    sums->items += task->items;
    sums->items_ok += task->items_ok;
    sums->bytes += task->bytes;
    if (task->phase == VLMQ__PHASE__PHASE_PLAN && task->state != VLMQ__TASK_STATE__TASK_DONE) {
        sums->plans++;
        sums->plans_dead += task->state == VLMQ__TASK_STATE__TASK_DEAD;
    }
    return holds(check, leased == (task->lease[0] != 0), "leased without a lease", task->index) &&
           holds(check, task->taken == (task->index < check->job->n.next), "taken, beyond next",
                 task->index) &&
           holds(check, !(check->stopped && open), "open in a cancelled job", task->index) &&
           check_due(check, task);
}

static int lease_compare(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static bool check_leases(struct check *check, int64_t count)
{
    const struct model_job *job = check->job;
    const char **lease = mem_new(((size_t)count + 1) * sizeof *lease);
    int64_t found = 0;
    for (int64_t i = 0; i < job->n.next; i++) {
        if (job->task[i]->state != VLMQ__TASK_STATE__TASK_LEASED) continue;
        CHECK(found < count);
        lease[found++] = job->task[i]->lease;
    }
    qsort(lease, (size_t)found, sizeof *lease, lease_compare);
    bool good = true;
    for (int64_t i = 1; i < found && good; i++) {
        good = holds(check, strcmp(lease[i - 1], lease[i]) != 0, "two tasks have one lease", i);
    }
    mem_free(lease);
    return good;
}

/* --- the job ---------------------------------------------------------------------------------- */

static bool check_sums(struct check *check, const struct sums *sums)
{
    const struct model_numbers *n = &check->job->n;
    const struct {
        const char *name;
        int64_t counted, kept;
    } pairs[] = {
        {"ready tasks", sums->in[VLMQ__TASK_STATE__TASK_READY], model_job_ready(check->job)},
        {"leased tasks", sums->in[VLMQ__TASK_STATE__TASK_LEASED], n->leased},
        {"waiting tasks", sums->in[VLMQ__TASK_STATE__TASK_WAITING], n->waiting},
        {"done tasks", sums->in[VLMQ__TASK_STATE__TASK_DONE], n->done},
        {"dead tasks", sums->in[VLMQ__TASK_STATE__TASK_DEAD], n->dead},
        {"cancelled tasks", sums->in[VLMQ__TASK_STATE__TASK_CANCELLED], n->cancelled},
        {"planning tasks", sums->plans, n->plans},
        {"dead planning tasks", sums->plans_dead, n->plans_dead},
        {"log tails", sums->tails, check->job->tail_count},
        {"tasks with a time", sums->timed, check->job->due_count},
        {"items", sums->items, n->items},
        {"good items", sums->items_ok, n->items_ok},
        {"bytes", sums->bytes, n->bytes},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        if (pairs[i].counted == pairs[i].kept) continue;
        (void)snprintf(check->why, check->why_bytes, "%" PRId64 " %s are counted as %" PRId64,
                       pairs[i].counted, pairs[i].name, pairs[i].kept);
        return false;
    }
    return true;
}

static bool check_end(struct check *check)
{
    const struct model_numbers *n = &check->job->n;
    const bool ended = model_job_ended(check->job);
    const bool all = n->state != VLMQ__JOB_STATE__JOB_DONE || n->done == n->total;
    return holds(check, !ended || n->leased == 0, "ended, and leased tasks", n->leased) &&
           holds(check, ended == (n->ended > 0), "ended at", n->ended) &&
           holds(check, !ended || !check->job->took_count, "ended, and takes are kept",
                 check->job->took_count) &&
           holds(check, all, "done, with open tasks", n->total - n->done) &&
           holds(check, n->state != VLMQ__JOB_STATE__JOB_CLOSING || n->close >= 0,
                 "closing without a task", n->close);
}

bool queue_model_check(const struct queue_model *model, const char *job_id, char *why,
                       size_t why_bytes)
{
    struct check check = {.job = model_job_find(model, job_id), .why = why, .why_bytes = why_bytes};
    if (!check.job) return true;
    const int64_t state = check.job->n.state;
    check.stopped =
        state == VLMQ__JOB_STATE__JOB_CANCELLING || state == VLMQ__JOB_STATE__JOB_CANCELLED;
    struct sums sums = {0};
    for (int64_t i = 0; i < check.job->n.total; i++) {
        if (!check_task(&check, &sums, check.job->task[i])) return false;
    }
    return check_sums(&check, &sums) && check_leases(&check, check.job->n.leased) &&
           check_queues(&check) && check_end(&check);
}
