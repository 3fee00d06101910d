/* fixture.h - a real Redis, a state on it, and each call as one line, for the tests of the state.
 */
#ifndef TESTS_STATE_FIXTURE_H
#define TESTS_STATE_FIXTURE_H

#include "broker/state/state.h"
#include "common/base/check.h"
#include "common/base/id.h"
#include "tests/support/redis_server.h"
#include "tests/support/test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fixture {
    struct redis_server server;
    struct state *state;
    struct arena arena;
    struct state_call call; /* the last one, with what it gave */
};

/* What a test keeps of a grant. */
struct held {
    char lease[LEASE_ID_BYTES];
    uint32_t index, attempt, added, tasks_dead;
    Vlmq__Phase phase;
    bool alone, given;
};

#define UNUSED_OK __attribute__((unused))

UNUSED_OK static struct state_options fixture_options(const struct fixture *f)
{
    return (struct state_options){.address = f->server.address, .timeout_ms = 20000};
}

UNUSED_OK static void fixture_open(struct fixture *f, const char *redis_options)
{
    struct err err = {0};
    *f = (struct fixture){0};
    (void)signal(SIGPIPE, SIG_IGN);
    redis_server_start(&f->server, redis_options);
    arena_init(&f->arena, 0);
    struct state_options options = fixture_options(f);
    EXPECT_OK(state_open(&f->state, &options, &err), &err);
}

UNUSED_OK static void fixture_close(struct fixture *f)
{
    state_close(f->state);
    arena_deinit(&f->arena);
    redis_server_stop(&f->server);
}

/* Commits f->call alone and returns its own code. */
UNUSED_OK static int commit(struct fixture *f)
{
    struct err err = {0};
    EXPECT_OK(state_commit(f->state, &f->call, 1, &f->arena, &err), &err);
    if (f->call.err.code == ERR_INTERNAL || f->call.err.code == ERR_CORRUPT) {
        print_message("call %d: %s\n", (int)f->call.op, f->call.err.msg);
    }
    return (int)f->call.err.code;
}

UNUSED_OK static int call_op(struct fixture *f, enum state_op op, const char *job)
{
    f->call = (struct state_call){.op = op, .job_id = job};
    return commit(f);
}

UNUSED_OK static const Vlmq__Job *look(struct fixture *f, const char *job)
{
    EXPECT_EQ(call_op(f, STATE_LOOK, job), ERR_OK);
    return f->call.job;
}

struct submission {
    const char *id, *after, *from, *spec;
    uint32_t attempts_max;
    bool paused;
};

UNUSED_OK static int submit_as(struct fixture *f, const struct submission *as)
{
    static char kind[] = "probe", owner[] = "ada", output[] = "dir:/out", title[] = "a test";
    Vlmq__Job job = VLMQ__JOB__INIT;
    job.id = arena_text(&f->arena, as->id, strlen(as->id));
    job.kind = kind;
    job.owner = owner;
    job.output = output;
    job.title = title;
    job.attempts_max = as->attempts_max;
    if (as->after) job.after = arena_text(&f->arena, as->after, strlen(as->after));
    if (as->from) job.from = arena_text(&f->arena, as->from, strlen(as->from));
    const char *spec = as->spec ? as->spec : "spec";
    job.spec.data = arena_copy(&f->arena, spec, strlen(spec));
    job.spec.len = strlen(spec);
    f->call = (struct state_call){.op = STATE_SUBMIT, .job_id = job.id};
    f->call.in.submit.job = &job;
    f->call.in.submit.paused = as->paused;
    return commit(f);
}

UNUSED_OK static void submit(struct fixture *f, const char *id)
{
    EXPECT_EQ(submit_as(f, &(struct submission){.id = id}), ERR_OK);
}

UNUSED_OK static uint32_t take_as(struct fixture *f, const char *job, struct held *held,
                                  uint32_t count, const char *worker, bool idle)
{
    const char *lease[64];
    CHECK(count <= sizeof lease / sizeof *lease);
    for (uint32_t i = 0; i < count; i++) {
        held[i] = (struct held){0};
        id_lease(held[i].lease);
        lease[i] = held[i].lease;
    }
    f->call = (struct state_call){.op = STATE_TAKE, .job_id = job};
    f->call.in.take.count = count;
    f->call.in.take.worker = worker;
    f->call.in.take.lease = lease;
    f->call.in.take.alone = idle;
    EXPECT_EQ(commit(f), ERR_OK);
    for (uint32_t i = 0; i < f->call.out.take.count; i++) {
        const struct state_grant *grant = &f->call.out.take.grant[i];
        EXPECT_TEXT(grant->lease, held[i].lease);
        held[i].index = grant->index;
        held[i].attempt = grant->attempt;
        held[i].added = grant->added;
        held[i].tasks_dead = grant->tasks_dead;
        held[i].phase = grant->phase;
        held[i].alone = grant->alone;
        held[i].given = true;
    }
    return f->call.out.take.count;
}

/* One task, which there must be. */
UNUSED_OK static struct held take(struct fixture *f, const char *job)
{
    struct held held;
    EXPECT_EQ(take_as(f, job, &held, 1, "host/cpu/1/a", false), 1);
    return held;
}

UNUSED_OK static bool nothing_to_take(struct fixture *f, const char *job)
{
    struct held held;
    return take_as(f, job, &held, 1, "host/cpu/2/b", false) == 0;
}

UNUSED_OK static Vlmq__Attempt attempt_of(const char *job, const struct held *held)
{
    Vlmq__Attempt attempt = VLMQ__ATTEMPT__INIT;
    attempt.job = (char *)(uintptr_t)job;
    attempt.index = held->index;
    attempt.lease = (char *)(uintptr_t)held->lease;
    return attempt;
}

UNUSED_OK static Vlmq__NewTask **new_tasks(struct fixture *f, uint32_t first, uint32_t count)
{
    Vlmq__NewTask **list = arena_new(&f->arena, count * sizeof *list);
    for (uint32_t i = 0; i < count; i++) {
        list[i] = arena_new(&f->arena, sizeof **list);
        vlmq__new_task__init(list[i]);
        list[i]->name = arena_printf(&f->arena, "%05u", first + i);
        list[i]->payload.data = (uint8_t *)arena_printf(&f->arena, "rows %u", first + i);
        list[i]->payload.len = strlen((char *)list[i]->payload.data);
        list[i]->items = 10;
    }
    return list;
}

UNUSED_OK static int add(struct fixture *f, const char *job, const struct held *held,
                         uint32_t offset, uint32_t count)
{
    Vlmq__Attempt attempt = attempt_of(job, held);
    f->call = (struct state_call){.op = STATE_ADD, .job_id = job, .attempt = &attempt};
    f->call.in.add.offset = offset;
    f->call.in.add.tasks = new_tasks(f, offset, count);
    f->call.in.add.count = count;
    return commit(f);
}

struct ending {
    uint32_t tasks, offset, seed; /* seed: of the digest */
    int64_t items, items_ok, bytes;
    const char *counter, *made;
    int64_t value;
};

UNUSED_OK static int done_as(struct fixture *f, const char *job, const struct held *held,
                             const struct ending *as)
{
    uint8_t digest[32];
    memset(digest, (int)(as->seed ? as->seed : held->index + 1), sizeof digest);
    Vlmq__Attempt attempt = attempt_of(job, held);
    Vlmq__Done done = VLMQ__DONE__INIT;
    Vlmq__Progress progress = VLMQ__PROGRESS__INIT;
    Vlmq__Counter counter = VLMQ__COUNTER__INIT, *counters = &counter;
    progress.items = as->items;
    progress.items_ok = as->items_ok;
    progress.bytes = as->bytes;
    done.progress = &progress;
    done.digest.data = digest;
    done.digest.len = sizeof digest;
    done.tasks = new_tasks(f, as->offset, as->tasks);
    done.n_tasks = as->tasks;
    done.offset = as->offset;
    if (as->made) done.made = arena_text(&f->arena, as->made, strlen(as->made));
    if (as->counter) {
        counter.name = arena_text(&f->arena, as->counter, strlen(as->counter));
        counter.value = as->value;
        done.counters = &counters;
        done.n_counters = 1;
    }
    f->call = (struct state_call){.op = STATE_DONE, .job_id = job, .attempt = &attempt};
    f->call.in.done.done = &done;
    return commit(f);
}

UNUSED_OK static int done(struct fixture *f, const char *job, const struct held *held)
{
    return done_as(f, job, held, &(struct ending){0});
}

UNUSED_OK static int fail_as(struct fixture *f, const char *job, const struct held *held,
                             Vlmq__Blame blame, double jitter, const char *tail)
{
    static char reason[] = "it broke";
    Vlmq__Attempt attempt = attempt_of(job, held);
    Vlmq__Fail fail = VLMQ__FAIL__INIT;
    fail.blame = blame;
    fail.code = VLMQ__CODE__CODE_CORRUPT;
    fail.reason = reason;
    fail.log_tail = arena_text(&f->arena, tail, strlen(tail));
    f->call = (struct state_call){.op = STATE_FAIL, .job_id = job, .attempt = &attempt};
    f->call.in.fail.fail = &fail;
    f->call.in.fail.jitter = jitter;
    return commit(f);
}

UNUSED_OK static int fails(struct fixture *f, const char *job, const struct held *held,
                           Vlmq__Blame blame)
{
    return fail_as(f, job, held, blame, 0.5, "the last lines");
}

UNUSED_OK static int yield_as(struct fixture *f, const char *job, const struct held *held,
                              const char *cursor)
{
    static char reason[] = "drain";
    Vlmq__Attempt attempt = attempt_of(job, held);
    Vlmq__Yield yield = VLMQ__YIELD__INIT;
    yield.reason = reason;
    yield.has_cursor = cursor != NULL;
    if (cursor) yield.cursor.data = arena_copy(&f->arena, cursor, strlen(cursor));
    if (cursor) yield.cursor.len = strlen(cursor);
    f->call = (struct state_call){.op = STATE_YIELD, .job_id = job, .attempt = &attempt};
    f->call.in.yield.yield = &yield;
    return commit(f);
}

UNUSED_OK static int renew_as(struct fixture *f, const char *job, const struct held *held,
                              int64_t items, const char *cursor)
{
    Vlmq__Attempt attempt = attempt_of(job, held);
    Vlmq__Renewal renewal = VLMQ__RENEWAL__INIT;
    Vlmq__Progress progress = VLMQ__PROGRESS__INIT;
    progress.items = items;
    renewal.progress = &progress;
    renewal.has_cursor = cursor != NULL;
    if (cursor) renewal.cursor.data = arena_copy(&f->arena, cursor, strlen(cursor));
    if (cursor) renewal.cursor.len = strlen(cursor);
    f->call = (struct state_call){.op = STATE_RENEW, .job_id = job, .attempt = &attempt};
    f->call.in.renew.renewal = &renewal;
    return commit(f);
}

UNUSED_OK static int renew(struct fixture *f, const char *job, const struct held *held)
{
    return renew_as(f, job, held, 0, NULL);
}

UNUSED_OK static int cancel(struct fixture *f, const char *job, const char *reason)
{
    f->call = (struct state_call){.op = STATE_CANCEL, .job_id = job};
    f->call.in.cancel.reason = reason;
    return commit(f);
}

UNUSED_OK static int retry(struct fixture *f, const char *job)
{
    return call_op(f, STATE_RETRY, job);
}

UNUSED_OK static int retry_one(struct fixture *f, const char *job, uint32_t index)
{
    f->call = (struct state_call){.op = STATE_RETRY, .job_id = job};
    f->call.in.retry.index = index;
    f->call.in.retry.has_index = true;
    return commit(f);
}

/* The task's lease or backoff is due now; ends what is due and says how many. */
UNUSED_OK static uint32_t expire(struct fixture *f, const char *job, uint32_t index)
{
    free(redis_server_cli(&f->server, "ZADD 'vlmq:{%s}:due' XX 1 %u", job, index));
    EXPECT_EQ(call_op(f, STATE_REAP, job), ERR_OK);
    return f->call.count;
}

UNUSED_OK static const Vlmq__Task *task_of(struct fixture *f, const char *job, uint32_t index)
{
    f->call = (struct state_call){.op = STATE_TASKS, .job_id = job};
    f->call.in.tasks.rows = 1;
    f->call.in.tasks.has_index = true;
    f->call.in.tasks.index = index;
    f->call.in.tasks.log_tails = true;
    EXPECT_EQ(commit(f), ERR_OK);
    EXPECT_EQ(f->call.out.tasks.count, 1);
    return f->call.out.tasks.task[0];
}

/* A job whose planning task has added count tasks and is done. */
UNUSED_OK static void planned(struct fixture *f, const char *job, uint32_t count)
{
    submit(f, job);
    const struct held plan = take(f, job);
    EXPECT_EQ(done_as(f, job, &plan, &(struct ending){.tasks = count}), ERR_OK);
}

/* All invariants of a job, checked by walking it in Redis. */
UNUSED_OK static void walk(struct fixture *f, const char *job)
{
    char *said =
        redis_server_cli(&f->server, "--eval " TESTS_DIR "/state/walk.lua 'vlmq:{%s}:job'", job);
    if (strcmp(said, "ok") != 0) print_message("job %s: %s\n", job, said);
    EXPECT_TEXT(said, "ok");
    free(said);
}

#endif
