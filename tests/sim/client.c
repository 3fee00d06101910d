/* client.c - simulated clients: they submit jobs through the real client/vlmq.c, interfere, wait
 * for the end, and know how it has to be. */
#include "client/vlmq.h"
#include "common/base/check.h"
#include "common/base/str.h"
#include "proto/schema/jobs/probe.pb-c.h"
#include "proto/wire/spec.h"
#include "tests/sim/oracle.h"
#include "tests/sim/world.h"

#include <stdio.h>
#include <string.h>

#define CALL_MS        15000
#define CALL_SLACK_MS  3000 /* an answer may be on its way when the time is over */
#define WATCH_AGAIN_MS (POLL_TTL_MS / 2)
#define TRIES_MAX      2000

struct client {
    uint32_t number;
    struct vlmq *vlmq;
    struct arena arena;
};

/* ---- one call ---- */

struct timing {
    int64_t began_us;
    uint32_t pauses;
};

static struct timing begin(struct client *c)
{
    arena_reset(&c->arena);
    return (struct timing){sim.now_us, proc_self()->pauses};
}

/* Every call answers in its time, whatever goes wrong. */
static void timed(const struct timing *timing, const char *what)
{
    const int64_t ms = (sim.now_us - timing->began_us) / 1000;
    if (ms > CALL_MS + CALL_SLACK_MS && timing->pauses == proc_self()->pauses)
        sim_fail("%s took %lld ms", what, (long long)ms);
}

static bool try_again(int rc)
{
    return rc == ERR_TIMEOUT || rc == ERR_UNAVAILABLE || rc == ERR_LIMIT;
}

static void pause_a_while(void)
{
    fiber_sleep(sim_between(200 * MS, 2 * S));
}

/* ---- submitting ---- */

static int submit_once(struct client *c, const struct work *work, struct err *err)
{
    Vlmq__Job job, *stored = NULL;
    Vlmq__Jobs__Probe spec;
    char text[6][128], kind[] = "probe", owner[16];
    const char *const from[] = {work->id, work->output, work->after, work->from};
    bool created = false;
    const struct timing timing = begin(c);
    vlmq__job__init(&job);
    vlmq__jobs__probe__init(&spec);
    spec.tasks = work->shards + 1;
    for (int i = 0; i < 4; i++) (void)str_copy(text[i], sizeof text[i], from[i]);
    (void)snprintf(owner, sizeof owner, "owner-%u", work->owner);
    job.id = text[0];
    job.output = text[1];
    job.after = text[2];
    job.from = text[3];
    job.kind = kind;
    job.owner = owner;
    job.priority = work->priority;
    job.interactive = work->interactive;
    int rc = spec_pack(&job.spec, &spec.base, &c->arena, err);
    if (!rc) rc = vlmq_submit(c->vlmq, &stored, &created, &job, false, &c->arena, err);
    timed(&timing, "a submit");
    if (!rc && !str_eq(stored->id, work->id)) sim_fail("the answer to a submit is another job");
    return rc;
}

static bool is_mine(const struct client *c, uint32_t i)
{
    return i % world.clients_count == c->number;
}

/* Whether a job may be unknown although it was submitted. */
static bool may_be_gone(const char *id)
{
    return oracle_counts.rollbacks || world_work(id)->purged;
}

static bool source_may_be_gone(const struct work *work)
{
    return (work->after[0] && may_be_gone(work->after)) ||
           (work->from[0] && may_be_gone(work->from));
}

/* All jobs of this client up to and with `last`; what is there already stays as it is. */
static void submit_up_to(struct client *c, uint32_t last)
{
    struct err err;
    for (uint32_t i = 0; i <= last; i++) {
        if (!is_mine(c, i)) continue;
        uint32_t tries = 0;
        for (;;) {
            const int rc = submit_once(c, &world.work[i], &err);
            if (!rc) break;
            /* What it waits for may have been forgotten just now. */
            const bool forgotten = rc == ERR_NOT_FOUND && source_may_be_gone(&world.work[i]);
            if (!try_again(rc) && !forgotten) sim_fail("submit %s: %s", world.work[i].id, err.msg);
            if (forgotten) submit_up_to(c, i - 1);
            if (++tries > TRIES_MAX) sim_fail("submit %s never ends", world.work[i].id);
            pause_a_while();
        }
        history("submitted %s", world.work[i].id);
    }
}

/* ---- interfering ---- */

static int control(struct client *c, const char *id, Vlmq__Verb verb, struct err *err)
{
    Vlmq__Control request;
    Vlmq__ControlAnswer *answer = NULL;
    char job[JOB_ID_BYTES], reason[] = "the client wants it";
    const struct timing timing = begin(c);
    vlmq__control__init(&request);
    (void)str_copy(job, sizeof job, id);
    request.job = job;
    request.verb = verb;
    request.reason = reason;
    request.priority = (int32_t)sim_between(-5, 5);
    const int rc = vlmq_control(c->vlmq, &answer, &request, &c->arena, err);
    timed(&timing, "a control");
    history("control %s verb %d: %s", id, (int)verb, rc ? err->msg : "ok");
    return rc;
}

/* Until it is answered; the job may be in a state that refuses it: false. */
static bool insist(struct client *c, const char *id, Vlmq__Verb verb)
{
    struct err err;
    for (uint32_t i = 0; i < TRIES_MAX; i++) {
        const int rc = control(c, id, verb, &err);
        if (!rc || rc == ERR_INVALID) return !rc;
        if (rc == ERR_NOT_FOUND) {
            if (!may_be_gone(id)) sim_fail("job %s has vanished: %s", id, err.msg);
            return false;
        }
        if (!try_again(rc)) sim_fail("control %s: %s", id, err.msg);
        pause_a_while();
    }
    sim_fail("control %s never ends", id);
}

static int count_task(void *ctx, const Vlmq__Task *task, struct err *err)
{
    uint32_t *count = ctx;
    (void)err;
    if (task->index < *count) sim_fail("a listing goes back to task %u", task->index);
    *count = task->index + 1;
    return 0;
}

static int count_job(void *ctx, const Vlmq__Job *job, struct err *err)
{
    (void)ctx;
    (void)job;
    (void)err;
    return 0;
}

static void look_around(struct client *c, const char *id)
{
    struct err err;
    Vlmq__Tasks tasks;
    Vlmq__List list;
    char job[JOB_ID_BYTES];
    uint32_t count = 0;
    (void)str_copy(job, sizeof job, id);
    vlmq__tasks__init(&tasks);
    tasks.job = job;
    tasks.rows = (uint32_t)sim_between(1, 20);
    int rc = vlmq_each_task(c->vlmq, &tasks, count_task, &count, &err);
    if (rc && !try_again(rc) && rc != ERR_NOT_FOUND) sim_fail("tasks of %s: %s", id, err.msg);
    vlmq__list__init(&list);
    list.active = sim_chance(0.5);
    list.rows = (uint32_t)sim_between(1, 10);
    rc = vlmq_each_job(c->vlmq, &list, count_job, NULL, &err);
    if (rc && !try_again(rc)) sim_fail("list of jobs: %s", err.msg);
}

/* Tells so many workers of those that are known to leave. */
static void drain_workers(struct client *c, size_t max)
{
    struct err err;
    Vlmq__WorkersAnswer *answer = NULL;
    char id[64][WORKER_ID_BYTES];
    (void)begin(c);
    int rc = vlmq_workers(c->vlmq, &answer, &c->arena, &err);
    if (rc && !try_again(rc)) sim_fail("workers: %s", err.msg);
    if (rc) return;
    const size_t count = answer->n_workers < 64 ? answer->n_workers : 64;
    for (size_t i = 0; i < count; i++) (void)str_copy(id[i], sizeof id[i], answer->workers[i]->id);
    for (size_t i = 0; i < count && i < max; i++) {
        (void)begin(c);
        rc = vlmq_drain(c->vlmq, id[i], &c->arena, &err);
        if (rc && !try_again(rc) && rc != ERR_NOT_FOUND) sim_fail("drain: %s", err.msg);
    }
}

static void interfere(struct client *c, const char *id)
{
    switch (sim_below(8)) {
    case 0:
        (void)insist(c, id, VLMQ__VERB__VERB_PAUSE);
        fiber_sleep(sim_exponential(4 * S));
        (void)insist(c, id, VLMQ__VERB__VERB_RESUME);
        break;
    case 1:
        (void)insist(c, id, VLMQ__VERB__VERB_PRIORITY);
        break;
    case 2:
        look_around(c, id);
        break;
    case 3:
        (void)insist(c, id, VLMQ__VERB__VERB_RETRY); /* before it has ended */
        break;
    case 4:
        if (world.faults.drain) drain_workers(c, 1);
        break;
    default:
        break;
    }
}

/* ---- waiting ---- */

static int ask(struct client *c, uint64_t *request, const char *id, struct err *err)
{
    Vlmq__Watch watch;
    char job[JOB_ID_BYTES];
    vlmq__watch__init(&watch);
    (void)str_copy(job, sizeof job, id);
    watch.job = job;
    if (*request) link_forget(vlmq_link(c->vlmq), *request);
    *request = 0;
    return link_send(vlmq_link(c->vlmq), request, VLMQ__TYPE__WATCH, &watch.base, CALL_MS, 0, err);
}

static bool says_end(const struct link_event *event, const char *id)
{
    const Vlmq__Job *job = NULL;
    if (event->kind == LINK_PUSH && event->envelope.type == VLMQ__TYPE__WATCH_UPDATE)
        job = ((const Vlmq__WatchUpdate *)(const void *)event->envelope.body)->job;
    if (event->kind == LINK_ANSWER && event->envelope.type == VLMQ__TYPE__WATCH_ANSWER)
        job = ((const Vlmq__WatchAnswer *)(const void *)event->envelope.body)->job;
    return job && str_eq(job->id, id) && vlmq_job_ended(job->state);
}

/* The end that came long after the watch began, and after everything was well again, should be
 * known by now. */
static bool told_late(int64_t ended_us, int64_t began_us)
{
    const int64_t from_us = world.calm_at_us + 30 * S;
    return ended_us > from_us && ended_us > began_us + 2 * S && sim.now_us > ended_us + 3 * S;
}

/* As a following client does, for a while. */
static void watch(struct client *c, const char *id)
{
    struct err err;
    const int64_t began_us = sim.now_us;
    uint64_t request = 0;
    const int64_t end_us = sim.now_us + sim_between(5, 40) * S;
    int64_t again_us = sim.now_us + WATCH_AGAIN_MS * MS;
    int rc = ask(c, &request, id, &err);
    while (!rc && sim.now_us < end_us) {
        struct link_event event;
        link_next(vlmq_link(c->vlmq), &event, NULL, 0, 1000);
        if (says_end(&event, id)) break;
        const int64_t ended_us = oracle_ended_at_us(id);
        if (event.kind == LINK_NOTHING && told_late(ended_us, began_us))
            sim_fail("nobody told %s in %lld ms that job %s has ended", proc_self()->name,
                     (long long)(sim.now_us - ended_us) / 1000, id);
        if (event.kind == LINK_FAILED && event.request_id == request) break;
        if (event.kind == LINK_MOVED || sim.now_us >= again_us) {
            again_us = sim.now_us + WATCH_AGAIN_MS * MS;
            rc = ask(c, &request, id, &err);
        }
    }
    link_forget(vlmq_link(c->vlmq), request);
}

/* The job as it stands, or NULL when it could not be asked. */
static const Vlmq__Job *get(struct client *c, uint32_t i)
{
    struct err err;
    Vlmq__Job *job = NULL;
    const struct timing timing = begin(c);
    const int rc = vlmq_get(c->vlmq, &job, world.work[i].id, &c->arena, &err);
    timed(&timing, "a get");
    if (!rc) return job;
    if (rc == ERR_NOT_FOUND) {
        if (!may_be_gone(world.work[i].id)) sim_fail("job %s has vanished", world.work[i].id);
        submit_up_to(c, i);
    } else if (!try_again(rc)) {
        sim_fail("get %s: %s", world.work[i].id, err.msg);
    }
    return NULL;
}

static const Vlmq__Job *wait_for_end(struct client *c, uint32_t i)
{
    for (;;) {
        const Vlmq__Job *job = get(c, i);
        if (job && vlmq_job_ended(job->state)) return job;
        /* The resume was forgotten, or a pause that was given up on was carried out after it. */
        if (job && job->paused) (void)insist(c, world.work[i].id, VLMQ__VERB__VERB_RESUME);
        if (sim_fault(0.3)) interfere(c, world.work[i].id);
        if (sim_chance(0.5))
            watch(c, world.work[i].id);
        else
            fiber_sleep(sim_between(500 * MS, 4 * S));
    }
}

/* ---- judging ---- */

static int64_t counter(const Vlmq__Job *job, const char *name)
{
    for (size_t i = 0; i < job->n_counters; i++)
        if (str_eq(job->counters[i]->name, name)) return job->counters[i]->value;
    return 0;
}

static void check_done(const struct work *work, const Vlmq__Job *job)
{
    const struct work *source = work;
    while (source->from[0]) source = world_work(source->from);
    const uint32_t shards = work_shards(source);
    const int64_t items = (int64_t)shards * work->steps;
    const uint32_t tasks = work->from[0] ? shards : work_tasks(work);
    if (job->tasks_done != job->tasks_total || job->tasks_total <= tasks)
        sim_fail("job %s is done with %u of %u tasks, and needs %u", work->id, job->tasks_done,
                 job->tasks_total, tasks + 1);
    if (counter(job, "sim.items") != items || job->progress->items != items)
        sim_fail("job %s counts %lld and %lld items instead of %lld", work->id,
                 (long long)counter(job, "sim.items"), (long long)job->progress->items,
                 (long long)items);
}

/* Whether it fails whatever is tried: its own input is bad, or that of the job it waits for. */
static bool must_fail(const struct work *work)
{
    if (work->poisoned) return true;
    if (work->after[0] && must_fail(world_work(work->after))) return true;
    return work->from[0] && must_fail(world_work(work->from));
}

static bool may_be_cancelled(const struct work *work)
{
    return work->cancel || (work->after[0] && may_be_cancelled(world_work(work->after))) ||
           (work->from[0] && may_be_cancelled(world_work(work->from)));
}

/* True: the job is as it has to be. */
static bool judge(const struct work *work, const Vlmq__Job *job)
{
    if (job->state == VLMQ__JOB_STATE__JOB_DONE) {
        if (must_fail(work)) sim_fail("job %s is done with a bad input", work->id);
        check_done(work, job);
        return true;
    }
    if (job->state == VLMQ__JOB_STATE__JOB_CANCELLED) {
        if (!work->cancel) sim_fail("job %s was cancelled by nobody", work->id);
        return true;
    }
    if (may_be_cancelled(work)) return true;
    return must_fail(work) && job->tasks_dead <= work->poisoned && sim.calm;
}

static void see_through(struct client *c, uint32_t i)
{
    struct work *work = &world.work[i];
    if (work->cancel) {
        fiber_sleep(sim_exponential(8 * S));
        (void)insist(c, work->id, VLMQ__VERB__VERB_CANCEL);
    }
    for (uint32_t tries = 0;; tries++) {
        const Vlmq__Job *job = wait_for_end(c, i);
        history("job %s ended in state %d, %u tasks dead: %s", work->id, (int)job->state,
                job->tasks_dead, job->reason);
        if (judge(work, job)) {
            if (!sim_fault(0.15)) return;
            work->purged = true; /* and from the beginning, over the same output */
            if (!insist(c, work->id, VLMQ__VERB__VERB_PURGE)) continue;
            submit_up_to(c, i);
            continue;
        }
        if (tries > TRIES_MAX) sim_fail("job %s fails again and again: %s", work->id, job->reason);
        pause_a_while();
        (void)insist(c, work->id, VLMQ__VERB__VERB_RETRY);
    }
}

/* ---- the end of the fleet ---- */

static void purge_some(struct client *c)
{
    struct err err;
    for (uint32_t i = 0; i < world.works_count; i++) {
        if (!is_mine(c, i) || sim_chance(0.5)) continue;
        if (!insist(c, world.work[i].id, VLMQ__VERB__VERB_PURGE)) {
            if (!may_be_gone(world.work[i].id))
                sim_fail("job %s cannot be purged", world.work[i].id);
            continue;
        }
        Vlmq__Job *job = NULL;
        (void)begin(c);
        const int rc = vlmq_get(c->vlmq, &job, world.work[i].id, &c->arena, &err);
        if (rc != ERR_NOT_FOUND && !try_again(rc))
            sim_fail("job %s is there after it was purged", world.work[i].id);
    }
}

void client_program(void)
{
    struct client c = {.number = 0};
    struct err err;
    while (world.client[c.number] != proc_self()) c.number++;
    const struct link_options options = {.brokers = world.brokers};
    arena_init(&c.arena, 0);
    if (vlmq_open(&c.vlmq, &options, CALL_MS, &err)) sim_fail("open: %s", err.msg);
    for (uint32_t i = 0; i < world.works_count; i++) {
        if (!is_mine(&c, i)) continue;
        fiber_sleep(sim_exponential(2 * S));
        submit_up_to(&c, i);
    }
    uint64_t rollbacks;
    do { /* what Redis has forgotten is to be looked at again */
        rollbacks = oracle_counts.rollbacks;
        for (uint32_t i = 0; i < world.works_count; i++)
            if (is_mine(&c, i)) see_through(&c, i);
        while (!sim.calm) fiber_sleep(1 * S);
    } while (rollbacks != oracle_counts.rollbacks);
    world_client_done();
    if (c.number == 0) {
        while (!world_workers_drained()) {
            if (world.draining) drain_workers(&c, SIZE_MAX);
            fiber_sleep(1 * S);
        }
    }
    purge_some(&c);
    vlmq_close(c.vlmq);
    arena_deinit(&c.arena);
}
