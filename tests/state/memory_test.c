/* memory_test.c - what a task costs in Redis while it waits and after it is done. */
#include "tests/state/fixture.h"

#define TASKS        25600 /* 100 chunks */
#define ADD_TASKS    2560
#define TURN         64
#define LEASED       2000
#define LEASED_MAX   700
#define QUEUED_MAX   48 /* bytes of a task with a name of 5 and a payload of 10 bytes */
#define FINISHED_MAX 64

static int64_t used_bytes(struct fixture *f)
{
    struct err err = {0};
    struct state_health health;
    EXPECT_OK(state_health(f->state, &health, &err), &err);
    return health.bytes;
}

/* Takes and ends tasks, a turn at a time, until there are none. */
static void work_off(struct fixture *f, const char *job)
{
    static struct held held[TURN];
    static Vlmq__Attempt attempt[TURN];
    static Vlmq__Done message[TURN];
    static struct state_call call[TURN];
    uint8_t digest[32];
    memset(digest, 7, sizeof digest);
    uint32_t count;
    while ((count = take_as(f, job, held, TURN, "w", false)) > 0) {
        struct err err = {0};
        for (uint32_t i = 0; i < count; i++) {
            attempt[i] = attempt_of(job, &held[i]);
            vlmq__done__init(&message[i]);
            message[i].digest.data = digest;
            message[i].digest.len = sizeof digest;
            message[i].made = arena_printf(&f->arena, "%05u", held[i].index - 1);
            call[i] = (struct state_call){.op = STATE_DONE, .job_id = job, .attempt = &attempt[i]};
            call[i].in.done.done = &message[i];
        }
        EXPECT_OK(state_commit(f->state, call, count, &f->arena, &err), &err);
        for (uint32_t i = 0; i < count; i++) EXPECT_EQ(call[i].err.code, ERR_OK);
        arena_reset(&f->arena);
    }
}

TEST(memory, of_a_task_is_small_before_and_after_it_runs)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    submit(&f, "j");
    const struct held plan = take(&f, "j");
    const int64_t empty = used_bytes(&f);
    for (uint32_t added = 0; added < TASKS; added += ADD_TASKS) {
        EXPECT_EQ(add(&f, "j", &plan, added, ADD_TASKS), ERR_OK);
        arena_reset(&f.arena);
    }
    const int64_t queued = (used_bytes(&f) - empty) / TASKS;
    EXPECT_EQ(done_as(&f, "j", &plan, &(struct ending){.offset = TASKS}), ERR_OK);
    work_off(&f, "j");
    EXPECT_EQ(look(&f, "j")->state, VLMQ__JOB_STATE__JOB_DONE);
    EXPECT_EQ(f.call.job->tasks_done, TASKS + 2);
    const int64_t finished = (used_bytes(&f) - empty) / TASKS;
    print_message("bytes of a task: %jd queued, %jd finished\n", (intmax_t)queued,
                  (intmax_t)finished);
    EXPECT(queued > 0);
    EXPECT(queued <= QUEUED_MAX);
    EXPECT(finished > 0);
    EXPECT(finished <= FINISHED_MAX);
    walk(&f, "j");
    fixture_close(&f);
}

TEST(memory, of_a_leased_task_is_bounded)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    planned(&f, "j", LEASED);
    struct held held[TURN];
    (void)take_as(&f, "j", held, 1, "w", false);
    const int64_t before = used_bytes(&f);
    while (take_as(&f, "j", held, TURN, "w", false) > 0) {
    }
    const int64_t leased = (used_bytes(&f) - before) / LEASED;
    print_message("bytes of a leased task: %jd more\n", (intmax_t)leased);
    EXPECT(leased > 0);
    EXPECT(leased <= LEASED_MAX);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(memory, of_a_task_is_small_before_and_after_it_runs),
        RUN(memory, of_a_leased_task_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
