/* queue_model_copy.c - a copy of the whole model. */
#include "tests/state/queue_model_parts.h"

#include <string.h>

/* An own array with the same bytes; texts in it are then copied one by one. */
static void *array_copy(const void *array, uint32_t count, uint32_t *room, size_t bytes)
{
    *room = count;
    if (!count) return NULL;
    void *copy = mem_new(count * bytes);
    memcpy(copy, array, count * bytes);
    return copy;
}

static void text_own(struct model_text *text)
{
    const struct model_text borrowed = *text;
    *text = (struct model_text){0};
    model_text_copy(text, &borrowed);
}

static void lists_copy(struct model_job *job)
{
    job->made = array_copy(job->made, job->made_count, &job->made_room, sizeof *job->made);
    for (uint32_t i = 0; i < job->made_count; i++) text_own(&job->made[i].name);
    job->counter =
        array_copy(job->counter, job->counter_count, &job->counter_room, sizeof *job->counter);
    for (uint32_t i = 0; i < job->counter_count; i++) text_own(&job->counter[i].name);
    job->event = array_copy(job->event, job->event_count, &job->event_room, sizeof *job->event);
    for (uint32_t i = 0; i < job->event_count; i++) {
        text_own(&job->event[i].name);
        text_own(&job->event[i].text);
        text_own(&job->event[i].worker);
    }
    job->took = array_copy(job->took, job->took_count, &job->took_room, sizeof *job->took);
    for (uint32_t i = 0; i < job->took_count; i++) {
        struct model_took *took = &job->took[i];
        uint32_t room = 0;
        text_own(&took->worker);
        took->index = array_copy(took->index, took->count, &room, sizeof *took->index);
        took->alone = array_copy(took->alone, took->count, &room, sizeof *took->alone);
    }
}

static struct model_job *job_copy(const struct model_job *from)
{
    struct model_job *job = mem_new(sizeof *job);
    *job = *from;
    text_own(&job->head);
    text_own(&job->same);
    text_own(&job->spec);
    text_own(&job->reason);
    text_own(&job->dead_why);
    text_own(&job->source_why);
    text_own(&job->kept.reason);
    text_own(&job->kept.dead_why);
    text_own(&job->kept.source_why);
    const uint32_t total = (uint32_t)job->n.total;
    job->task = array_copy(job->task, total, &job->task_room, sizeof *job->task);
    for (uint32_t i = 0; i < total; i++) job->task[i] = model_task_copy(job->task[i]);
    job->due = array_copy(job->due, job->due_count, &job->due_room, sizeof *job->due);
    job->again.index =
        array_copy(job->again.index, job->again.count, &job->again.room, sizeof *job->again.index);
    job->alone.index =
        array_copy(job->alone.index, job->alone.count, &job->alone.room, sizeof *job->alone.index);
    lists_copy(job);
    return job;
}

struct queue_model *queue_model_copy(const struct queue_model *from)
{
    struct queue_model *model = mem_new(sizeof *model);
    *model = *from;
    model->job = array_copy(model->job, model->job_count, &model->job_room, sizeof *model->job);
    for (uint32_t i = 0; i < model->job_count; i++) model->job[i] = job_copy(model->job[i]);
    model->jobs =
        array_copy(model->jobs, model->jobs_count, &model->jobs_room, sizeof *model->jobs);
    model->active =
        array_copy(model->active, model->active_count, &model->active_room, sizeof *model->active);
    model->feed =
        array_copy(model->feed, model->feed_count, &model->feed_room, sizeof *model->feed);
    model->worker =
        array_copy(model->worker, model->worker_count, &model->worker_room, sizeof *model->worker);
    for (uint32_t i = 0; i < model->worker_count; i++) {
        text_own(&model->worker[i].id);
        text_own(&model->worker[i].info);
    }
    return model;
}
