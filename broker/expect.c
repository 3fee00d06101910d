/* expect.c - what is expected stands with its job, and in a list of the turn. */
#include "broker/expect.h"

static bool full(const struct broker *b)
{
    return b->turn.expect_count == EXPECT_MAX;
}

static void expect(struct broker *b, struct job *job, uint32_t tasks)
{
    struct turn *t = &b->turn;
    t->expect[t->expect_count++] = (uint32_t)(job - b->jobs.job);
    if (!job_gives(job)) job->ready_since_ms = t->now_ms;
    job->tasks_expected += tasks;
    b->match_due = true;
    b->match_offset = 0;
}

void expect_job(struct broker *b, const Vlmq__Job *job, uint32_t call)
{
    if (job->after[0] || job->from[0] || full(b) || b->jobs.count == JOBS_MAX) return;
    if (jobs_find(&b->jobs, job->id)) return; /* a repeat */
    Vlmq__Job hoped = *job;
    hoped.state = VLMQ__JOB_STATE__JOB_PLANNING;
    hoped.paused = false;
    hoped.version = 0;
    hoped.tasks_total = hoped.tasks_ready = hoped.tasks_leased = 0;
    hoped.due_at_ms = 0;
    hoped.submitted_at_ms = broker_redis_now(b);
    struct job *place = jobs_learn(&b->jobs, &hoped, b->turn.now_ms).job;
    if (!place) return;
    place->expected = true;
    place->expected_by = call;
    expect(b, place, 1);
}

void expect_tasks(struct broker *b, const char *job_id, size_t count)
{
    struct job *job = jobs_find(&b->jobs, job_id);
    if (!job || !count || full(b)) return;
    expect(b, job, (uint32_t)(count < TASKS_EXPECTED_MAX ? count : TASKS_EXPECTED_MAX));
}

void expect_close(struct broker *b, const char *job_id)
{
    struct job *job = jobs_find(&b->jobs, job_id);
    if (!job || full(b) || job->tasks_ready || job->tasks_leased != 1) return;
    if (job->state == VLMQ__JOB_STATE__JOB_CLOSING) return; /* it ends */
    expect(b, job, 1);
}

void expect_end(struct broker *b)
{
    struct turn *t = &b->turn;
    for (uint32_t i = 0; i < t->expect_count; i++) {
        struct job *job = &b->jobs.job[t->expect[i]];
        if (!job->used) continue;
        job->tasks_expected = 0;
        if (job->expected) jobs_drop(&b->jobs, job);
    }
    t->expect_count = 0;
}
