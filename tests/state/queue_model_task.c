/* queue_model_task.c - tasks of a job, the two queues of those that are ready again, and what falls
 * due. */
#include "common/base/check.h"
#include "tests/state/queue_model_parts.h"

#include <stdio.h>
#include <string.h>

/* --- tasks ------------------------------------------------------------------------------------ */

struct model_task *model_task_append(struct model_job *job, Vlmq__Phase phase, const char *name,
                                     const void *payload, size_t payload_bytes)
{
    const uint32_t index = (uint32_t)job->n.total;
    job->task = model_grow(job->task, index, &job->task_room, sizeof *job->task);
    struct model_task *task = mem_new(sizeof *task);
    task->index = index;
    task->phase = phase;
    task->state = VLMQ__TASK_STATE__TASK_READY;
    model_text_set(&task->name, name, strlen(name));
    model_text_set(&task->payload, payload, payload_bytes);
    job->task[index] = task;
    job->n.total++;
    if (phase == VLMQ__PHASE__PHASE_PLAN) job->n.plans++;
    return task;
}

/* The texts of a task, for freeing and copying. */
#define TASK_TEXTS(task)                                                                   \
    {                                                                                      \
        &(task)->name, &(task)->payload, &(task)->worker, &(task)->progress, &(task)->why, \
            &(task)->cursor, &(task)->tail                                                 \
    }

void model_task_free(struct model_task *task)
{
    if (!task) return;
    struct model_text *const text[] = TASK_TEXTS(task);
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) mem_free(text[i]->data);
    mem_free(task);
}

struct model_task *model_task_copy(const struct model_task *task)
{
    struct model_task *copy = mem_new(sizeof *copy);
    *copy = *task;
    struct model_text *const text[] = TASK_TEXTS(copy);
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
        const struct model_text borrowed = *text[i];
        *text[i] = (struct model_text){0};
        model_text_copy(text[i], &borrowed);
    }
    return copy;
}

struct model_task *model_task_held(const struct model_job *job, const Vlmq__Attempt *attempt)
{
    if (attempt->index >= job->n.total) return NULL;
    struct model_task *task = job->task[attempt->index];
    const bool held =
        task->state == VLMQ__TASK_STATE__TASK_LEASED && strcmp(task->lease, attempt->lease) == 0;
    return held ? task : NULL;
}

/* --- what falls due --------------------------------------------------------------------------- */

/* Redis orders equal times by the members' text. */
static int due_compare(int64_t at_ms, uint32_t index, const struct model_due *than)
{
    if (at_ms != than->at_ms) return at_ms < than->at_ms ? -1 : 1;
    if (index == than->index) return 0;
    char a[16], b[16];
    (void)snprintf(a, sizeof a, "%u", index);
    (void)snprintf(b, sizeof b, "%u", than->index);
    return strcmp(a, b);
}

/* Where an entry stands, or would. */
static uint32_t due_place(const struct model_job *job, int64_t at_ms, uint32_t index)
{
    uint32_t low = 0, high = job->due_count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (due_compare(at_ms, index, &job->due[middle]) <= 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

void model_due_unset(struct model_job *job, struct model_task *task)
{
    if (!task->is_due) return;
    const uint32_t at = due_place(job, task->due_ms, task->index);
    CHECK(at < job->due_count);
    CHECK(job->due[at].index == task->index);
    job->due_count--;
    memmove(&job->due[at], &job->due[at + 1], (job->due_count - at) * sizeof *job->due);
    task->is_due = false;
    task->due_ms = 0;
}

void model_due_set(struct model_job *job, struct model_task *task, int64_t at_ms)
{
    model_due_unset(job, task);
    job->due = model_grow(job->due, job->due_count, &job->due_room, sizeof *job->due);
    const uint32_t at = due_place(job, at_ms, task->index);
    memmove(&job->due[at + 1], &job->due[at], (job->due_count - at) * sizeof *job->due);
    job->due[at] = (struct model_due){at_ms, task->index};
    job->due_count++;
    task->is_due = true;
    task->due_ms = at_ms;
}

/* --- queues ----------------------------------------------------------------------------------- */

void model_queue_push(struct model_queue *queue, uint32_t index)
{
    queue->index = model_grow(queue->index, queue->count, &queue->room, sizeof *queue->index);
    queue->index[queue->count++] = index;
}

uint32_t model_queue_pop(struct model_queue *queue)
{
    CHECK(queue->count);
    const uint32_t index = queue->index[0];
    queue->count--;
    memmove(queue->index, queue->index + 1, queue->count * sizeof *queue->index);
    return index;
}

/* --- states ----------------------------------------------------------------------------------- */

/* A task that was taken before may be taken again: alone when it has cost workers their lives. */
void model_task_ready(struct model_job *job, struct model_task *task)
{
    task->state = VLMQ__TASK_STATE__TASK_READY;
    model_queue_push(task->losses >= STATE_LOSSES_ALONE ? &job->alone : &job->again, task->index);
}

void model_task_dead(struct model_turn *turn, struct model_task *task)
{
    struct model_job *job = turn->job;
    task->state = VLMQ__TASK_STATE__TASK_DEAD;
    job->n.dead++;
    if (!job->dead_why.len) model_text_copy(&job->dead_why, &task->why);
    if (task->phase == VLMQ__PHASE__PHASE_PLAN) job->n.plans_dead++;
    model_task_event(turn, "task.dead", task, model_text_str(&task->why));
}

/* Failures and losses count anew. */
void model_task_revive(struct model_job *job, struct model_task *task)
{
    CHECK(task->state == VLMQ__TASK_STATE__TASK_DEAD);
    task->failures = task->losses = task->unstarted = 0;
    job->n.dead--;
    if (task->phase == VLMQ__PHASE__PHASE_PLAN) job->n.plans_dead--;
    model_task_ready(job, task);
}

/* Replaces the attempt's part of the job's sums. */
void model_task_progress(struct model_job *job, struct model_task *task,
                         const Vlmq__Progress *progress)
{
    const int64_t items = progress ? progress->items : 0;
    const int64_t items_ok = progress ? progress->items_ok : 0;
    const int64_t bytes = progress ? progress->bytes : 0;
    job->n.items += items - task->items;
    job->n.items_ok += items_ok - task->items_ok;
    job->n.bytes += bytes - task->bytes;
    task->items = items;
    task->items_ok = items_ok;
    task->bytes = bytes;
    model_text_message(&task->progress, progress ? &progress->base : NULL);
}
