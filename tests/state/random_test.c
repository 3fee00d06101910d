/* random_test.c - random operations from a seed over a real Redis, with repeats, expiries and
 * crashes of the server between them; after every few of them all invariants are walked. What the
 * test itself remembers: which leases it holds, and what each done task was done with. */
#include "common/base/rng.h"
#include "tests/state/fixture.h"

#define OPERATIONS 4000
#define WALK_EVERY 50
#define JOBS       3
#define HELD_MAX   64
#define TASKS_MAX_ 4096

struct world {
    struct fixture f;
    struct rng rng;
    uint32_t reached[VLMQ__JOB_STATE__JOB_CANCELLED + 1]; /* how often a walk met each state */
    struct job_model {
        char id[JOB_ID_BYTES];
        struct held held[HELD_MAX]; /* leases that may or may not be good by now */
        uint32_t held_count;
        bool done[TASKS_MAX_];
        uint32_t closes; /* closing tasks done, and times that it may have been closed */
        uint32_t openings;
        uint32_t serial;
        uint64_t version;
    } job[JOBS];
};

static uint32_t below(struct world *w, uint32_t bound)
{
    return (uint32_t)rng_below(&w->rng, bound);
}

static void fresh_job(struct world *w, struct job_model *job)
{
    const uint32_t serial = job->serial;
    *job = (struct job_model){.serial = serial + 1, .openings = 1};
    (void)snprintf(job->id, sizeof job->id, "j%td-%u", job - w->job, job->serial);
    const struct submission as = {.id = job->id, .attempts_max = 2, .paused = below(w, 8) == 0};
    EXPECT_EQ(submit_as(&w->f, &as), ERR_OK);
}

static void do_take(struct world *w, struct job_model *job)
{
    struct held held[3];
    const uint32_t count =
        take_as(&w->f, job->id, held, 1 + below(w, 3), "worker", below(w, 2) == 0);
    for (uint32_t i = 0; i < count; i++) {
        EXPECT(!job->done[held[i].index]); /* a done task is never given again */
        EXPECT(!held[i].alone || count == 1);
        const uint32_t slot = job->held_count < HELD_MAX ? job->held_count++ : below(w, HELD_MAX);
        job->held[slot] = held[i];
    }
}

static void do_done(struct world *w, struct job_model *job, const struct held *held)
{
    struct ending as = {.items = below(w, 20), .bytes = below(w, 1000), .offset = held->added};
    if (held->phase == VLMQ__PHASE__PHASE_PLAN) as.tasks = below(w, below(w, 20) ? 6 : 600);
    if (held->phase == VLMQ__PHASE__PHASE_WORK && below(w, 20) == 0) as.tasks = 1 + below(w, 2);
    if (below(w, 2) == 0) as.made = "shard";
    const int rc = done_as(&w->f, job->id, held, &as);
    EXPECT(rc == ERR_OK || rc == ERR_STALE);
    if (rc) return;
    if (!job->done[held->index] && held->phase == VLMQ__PHASE__PHASE_CLOSE) job->closes++;
    job->done[held->index] = true;
    EXPECT(job->closes <= job->openings);
    EXPECT_EQ(done_as(&w->f, job->id, held, &as), ERR_OK);
    as.seed = held->index + 2;
    EXPECT_EQ(done_as(&w->f, job->id, held, &as), ERR_STALE);
}

static void do_add(struct world *w, struct job_model *job, struct held *held)
{
    const uint32_t count = below(w, 4);
    if (held->phase == VLMQ__PHASE__PHASE_CLOSE) return;
    const int rc = add(&w->f, job->id, held, held->added, count);
    EXPECT(rc == ERR_OK || rc == ERR_STALE || rc == ERR_CANCELLED);
    if (rc) return;
    held->added = w->f.call.count;
    EXPECT_EQ(add(&w->f, job->id, held, 0, held->added), ERR_OK);
    EXPECT_EQ(w->f.call.count, held->added);
}

/* What an attempt does with its task. */
static void do_attempt(struct world *w, struct job_model *job)
{
    if (!job->held_count) return;
    const uint32_t slot = below(w, job->held_count);
    struct held *held = &job->held[slot];
    int rc = 0;
    const uint32_t what = below(w, 7);
    switch (what) {
    case 0:
    case 1:
        do_done(w, job, held);
        break;
    case 2:
        rc = renew_as(&w->f, job->id, held, below(w, 50), below(w, 2) ? "cursor" : NULL);
        EXPECT(rc == ERR_OK || rc == ERR_STALE || rc == ERR_CANCELLED);
        break;
    case 3:
        rc = fails(&w->f, job->id, held, (Vlmq__Blame)below(w, 3));
        EXPECT(rc == ERR_OK || rc == ERR_STALE);
        EXPECT_EQ(fails(&w->f, job->id, held, VLMQ__BLAME__BLAME_TASK), rc);
        break;
    case 4:
        rc = yield_as(&w->f, job->id, held, below(w, 2) ? "cursor" : NULL);
        EXPECT(rc == ERR_OK || rc == ERR_STALE);
        EXPECT_EQ(yield_as(&w->f, job->id, held, NULL), rc);
        break;
    case 5:
        do_add(w, job, held);
        break;
    default: /* it vanishes, or its backoff ends */
        if (below(w, 2)) (void)renew(&w->f, job->id, held);
        (void)expire(&w->f, job->id, held->index);
    }
    /* Most attempts know that they are over; some come back as zombies. */
    const bool over = what != 2 && what != 5;
    if (over && below(w, 4)) job->held[slot] = job->held[--job->held_count];
}

static void do_retry(struct world *w, struct job_model *job)
{
    const bool failed = look(&w->f, job->id)->state == VLMQ__JOB_STATE__JOB_FAILED;
    const bool one = below(w, 3) == 0;
    const int rc = one ? retry_one(&w->f, job->id, below(w, 40)) : retry(&w->f, job->id);
    EXPECT(rc == ERR_OK || rc == ERR_INVALID || rc == ERR_LIMIT || rc == ERR_NOT_FOUND);
    if (!rc && failed && w->f.call.count) job->openings++;
}

static void do_crash(struct world *w)
{
    redis_server_kill(&w->f.server);
    redis_server_restart(&w->f.server, NULL);
    struct err err = {0};
    w->f.call = (struct state_call){.op = STATE_LOOK, .job_id = w->job[0].id};
    EXPECT_EQ(state_commit(w->f.state, &w->f.call, 1, &w->f.arena, &err), ERR_UNAVAILABLE);
}

static void do_control(struct world *w, struct job_model *job)
{
    const uint32_t dice = below(w, 100);
    if (dice < 30) {
        EXPECT_EQ(call_op(&w->f, STATE_RESUME, job->id), ERR_OK);
    } else if (dice < 40) {
        EXPECT_EQ(call_op(&w->f, STATE_PAUSE, job->id), ERR_OK);
    } else if (dice < 80) {
        do_retry(w, job);
    } else if (dice < 82) {
        EXPECT_EQ(cancel(&w->f, job->id, "chance"), ERR_OK);
    } else if (dice < 90) {
        EXPECT_EQ(call_op(&w->f, STATE_GRACE, job->id), ERR_OK);
    } else if (dice == 90) {
        do_crash(w);
    } else {
        const int rc = call_op(&w->f, STATE_PURGE, job->id);
        EXPECT(rc == ERR_OK || rc == ERR_INVALID);
        if (!rc) fresh_job(w, job);
    }
}

static void check_job(struct world *w, struct job_model *job)
{
    walk(&w->f, job->id);
    const Vlmq__Job *shown = look(&w->f, job->id);
    EXPECT(shown->version >= job->version);
    job->version = shown->version;
    w->reached[shown->state]++;
    for (uint32_t i = 0; i < shown->tasks_total && i < 40; i++) {
        if (job->done[i]) {
            EXPECT_EQ(task_of(&w->f, job->id, i)->state, VLMQ__TASK_STATE__TASK_DONE);
        }
    }
}

TEST(random, operations_keep_every_invariant)
{
    UNUSED_STATE;
    struct world *w = mem_new(sizeof *w);
    rng_seed(&w->rng, test_seed());
    fixture_open(&w->f, NULL);
    for (int i = 0; i < JOBS; i++) fresh_job(w, &w->job[i]);
    for (int step = 1; step <= OPERATIONS; step++) {
        struct job_model *job = &w->job[below(w, JOBS)];
        const uint32_t dice = below(w, 100);
        if (dice < 30) {
            do_take(w, job);
        } else if (dice < 92) {
            do_attempt(w, job);
        } else {
            do_control(w, job);
        }
        if (step % WALK_EVERY == 0) {
            for (int i = 0; i < JOBS; i++) check_job(w, &w->job[i]);
            arena_reset(&w->f.arena);
        }
    }
    for (int state = VLMQ__JOB_STATE__JOB_PLANNING; state <= VLMQ__JOB_STATE__JOB_CANCELLED;
         state++) {
        print_message("state %d met %u times\n", state, w->reached[state]);
    }
    EXPECT(w->reached[VLMQ__JOB_STATE__JOB_RUNNING] > 0); /* or the test tests nothing */
    fixture_close(&w->f);
    mem_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(random, operations_keep_every_invariant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
