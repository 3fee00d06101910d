/* task_test.c - what an attempt may do with its task, and what becomes of the task. */
#include "tests/state/fixture.h"

TEST(task, is_taken_once_with_what_the_planner_wrote)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    planned(&f, "j", 300);
    for (uint32_t i = 0; i < 300; i++) {
        const struct held held = take(&f, "j");
        const struct state_grant *grant = &f.call.out.take.grant[0];
        char name[8], payload[16];
        (void)snprintf(name, sizeof name, "%05u", i);
        (void)snprintf(payload, sizeof payload, "rows %u", i);
        EXPECT_EQ(held.index, i + 1);
        EXPECT_EQ(held.attempt, 1);
        EXPECT_TEXT(grant->name, name);
        EXPECT_EQ(grant->payload.len, strlen(payload));
        EXPECT_MEM(grant->payload.data, payload, strlen(payload));
        EXPECT_EQ(grant->cursor.len, 0);
    }
    EXPECT(nothing_to_take(&f, "j"));
    EXPECT_EQ(f.call.job->tasks_leased, 300);
    EXPECT(f.call.job->due_at_ms > f.call.job->now_ms);
    EXPECT(f.call.job->due_at_ms <= f.call.job->now_ms + LEASE_TTL_MS);
    walk(&f, "j");
    fixture_close(&f);
}

TEST(task, take_repeated_gives_the_same_grants)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    planned(&f, "j", 3);
    struct held held[2];
    EXPECT_EQ(take_as(&f, "j", held, 2, "w", false), 2);
    const char *lease[2] = {held[0].lease, held[1].lease};
    f.call.in.take.lease = lease;
    EXPECT_EQ(commit(&f), ERR_OK);
    EXPECT_EQ(f.call.out.take.count, 2);
    EXPECT_EQ(f.call.out.take.grant[1].index, held[1].index);
    EXPECT_TEXT(f.call.out.take.grant[1].lease, held[1].lease);
    EXPECT_EQ(f.call.job->tasks_leased, 2);
    fixture_close(&f);
}

TEST(task, adds_tasks_once_whatever_is_repeated)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    submit(&f, "j");
    const struct held plan = take(&f, "j");
    EXPECT_EQ(add(&f, "j", &plan, 1, 5), ERR_STALE); /* a gap: what was before it is forgotten */
    EXPECT_EQ(f.call.job->tasks_total, 1);
    EXPECT_EQ(add(&f, "j", &plan, 0, 300), ERR_OK);
    EXPECT_EQ(f.call.count, 300);
    EXPECT_EQ(add(&f, "j", &plan, 0, 300), ERR_OK);
    EXPECT_EQ(f.call.count, 300);
    EXPECT_EQ(add(&f, "j", &plan, 200, 200), ERR_OK); /* half of it is there */
    EXPECT_EQ(f.call.count, 400);
    EXPECT_EQ(f.call.job->tasks_total, 401);
    EXPECT_EQ(f.call.job->items_total, 4000);
    EXPECT_EQ(yield_as(&f, "j", &plan, NULL), ERR_OK);
    EXPECT_EQ(add(&f, "j", &plan, 400, 1), ERR_STALE);
    const struct held again = take(&f, "j");
    EXPECT_EQ(again.index, 0);
    EXPECT_EQ(again.added, 400);
    EXPECT_EQ(done_as(&f, "j", &again, &(struct ending){.offset = 399, .tasks = 3}), ERR_OK);
    EXPECT_EQ(f.call.job->tasks_total, 403);
    EXPECT_TEXT(task_of(&f, "j", 402)->name, "00401");
    walk(&f, "j");
    fixture_close(&f);
}

TEST(task, is_done_once_and_never_changes)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    planned(&f, "j", 2);
    const struct held a = take(&f, "j"), b = take(&f, "j");
    struct held stranger = a;
    id_lease(stranger.lease);
    EXPECT_EQ(done(&f, "j", &stranger), ERR_STALE);
    EXPECT_EQ(done(&f, "j", &a), ERR_OK);
    EXPECT_EQ(done(&f, "j", &a), ERR_OK);
    EXPECT_EQ(f.call.job->tasks_done, 2);
    EXPECT_EQ(done_as(&f, "j", &a, &(struct ending){.seed = 99}), ERR_STALE);
    EXPECT_EQ(done(&f, "j", &stranger), ERR_STALE);
    EXPECT_EQ(fails(&f, "j", &a, VLMQ__BLAME__BLAME_TASK), ERR_STALE);
    EXPECT_EQ(yield_as(&f, "j", &a, NULL), ERR_STALE);
    EXPECT_EQ(renew(&f, "j", &a), ERR_STALE);
    const Vlmq__Task *task = task_of(&f, "j", a.index);
    EXPECT_EQ(task->state, VLMQ__TASK_STATE__TASK_DONE);
    EXPECT_EQ(task->attempts, 1);
    EXPECT_EQ(task->digest.len, 16);
    EXPECT_EQ(task->digest.data[0], a.index + 1);
    EXPECT_EQ(task_of(&f, "j", b.index)->state, VLMQ__TASK_STATE__TASK_LEASED);
    walk(&f, "j");
    fixture_close(&f);
}

TEST(task, that_failed_waits_longer_each_time_and_is_dead_in_the_end)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    EXPECT_EQ(submit_as(&f, &(struct submission){.id = "j", .attempts_max = 3}), ERR_OK);
    const struct held plan = take(&f, "j");
    EXPECT_EQ(done_as(&f, "j", &plan, &(struct ending){.tasks = 1}), ERR_OK);
    int64_t span_max = STATE_BACKOFF_MS;
    for (uint32_t failures = 1; failures < 3; failures++, span_max *= 2) {
        const struct held held = take(&f, "j");
        EXPECT_EQ(fail_as(&f, "j", &held, VLMQ__BLAME__BLAME_TASK, 0.999999, "tail"), ERR_OK);
        EXPECT_EQ(f.call.job->tasks_waiting, 1);
        EXPECT_EQ(f.call.job->due_at_ms, f.call.job->now_ms + span_max - 1);
        const uint64_t version = f.call.job->version;
        EXPECT_EQ(fail_as(&f, "j", &held, VLMQ__BLAME__BLAME_TASK, 0.1, "tail"), ERR_OK);
        EXPECT_EQ(f.call.job->version, version);
        EXPECT_EQ(done(&f, "j", &held), ERR_STALE);
        struct held stranger = held;
        id_lease(stranger.lease);
        EXPECT_EQ(fails(&f, "j", &stranger, VLMQ__BLAME__BLAME_TASK), ERR_STALE);
        EXPECT(nothing_to_take(&f, "j"));
        const Vlmq__Task *task = task_of(&f, "j", 1);
        EXPECT_EQ(task->state, VLMQ__TASK_STATE__TASK_WAITING);
        EXPECT_EQ(task->failures, failures);
        EXPECT_EQ(task->code, VLMQ__CODE__CODE_CORRUPT);
        EXPECT_TEXT(task->reason, "it broke");
        EXPECT_TEXT(task->log_tail, "tail");
        EXPECT_TEXT(task->worker, "host/cpu/1/a");
        EXPECT_EQ(expire(&f, "j", 1), 1);
    }
    const struct held held = take(&f, "j");
    EXPECT_EQ(held.attempt, 3);
    EXPECT_EQ(fails(&f, "j", &held, VLMQ__BLAME__BLAME_TASK), ERR_OK);
    EXPECT_EQ(f.call.job->tasks_dead, 1);
    EXPECT_EQ(task_of(&f, "j", 1)->state, VLMQ__TASK_STATE__TASK_DEAD);
    walk(&f, "j");
    fixture_close(&f);
}

TEST(task, waits_at_least_a_little)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    planned(&f, "j", 1);
    const struct held held = take(&f, "j");
    EXPECT_EQ(fail_as(&f, "j", &held, VLMQ__BLAME__BLAME_TASK, 0, ""), ERR_OK);
    EXPECT_EQ(f.call.job->due_at_ms, f.call.job->now_ms + STATE_BACKOFF_MIN_MS);
    fixture_close(&f);
}

TEST(task, failed_by_a_device_is_ready_at_once_and_uncharged)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    planned(&f, "j", 1);
    for (int i = 0; i < 10; i++) {
        const struct held held = take(&f, "j");
        EXPECT_EQ(fails(&f, "j", &held, VLMQ__BLAME__BLAME_DEVICE), ERR_OK);
    }
    const Vlmq__Task *task = task_of(&f, "j", 1);
    EXPECT_EQ(task->state, VLMQ__TASK_STATE__TASK_READY);
    EXPECT_EQ(task->failures, 0);
    EXPECT_EQ(task->attempts, 10);
    walk(&f, "j");
    fixture_close(&f);
}

TEST(task, hands_its_cursor_to_the_next_attempt)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    planned(&f, "j", 1);
    struct held held = take(&f, "j");
    EXPECT_EQ(renew_as(&f, "j", &held, 4, "row 4"), ERR_OK);
    EXPECT_EQ(f.call.job->progress->items, 4);
    EXPECT_EQ(renew_as(&f, "j", &held, 6, NULL), ERR_OK);
    EXPECT_EQ(f.call.job->progress->items, 6);
    EXPECT_EQ(task_of(&f, "j", 1)->progress->items, 6);
    EXPECT_EQ(expire(&f, "j", 1), 1);
    EXPECT_EQ(f.call.job->progress->items, 0);
    EXPECT_EQ(renew_as(&f, "j", &held, 7, "row 7"), ERR_STALE);
    held = take(&f, "j");
    EXPECT_EQ(f.call.out.take.grant[0].cursor.len, 5);
    EXPECT_MEM(f.call.out.take.grant[0].cursor.data, "row 4", 5);
    EXPECT_EQ(yield_as(&f, "j", &held, "row 8"), ERR_OK);
    EXPECT_EQ(yield_as(&f, "j", &held, "row 9"), ERR_OK); /* a repeat changes nothing */
    held = take(&f, "j");
    EXPECT_MEM(f.call.out.take.grant[0].cursor.data, "row 8", 5);
    EXPECT_EQ(done_as(&f, "j", &held, &(struct ending){.items = 10}), ERR_OK);
    EXPECT_EQ(f.call.job->progress->items, 10);
    char *left = redis_server_cli(&f.server, "EXISTS 'vlmq:{j}:cursor' 'vlmq:{j}:live' "
                                             "'vlmq:{j}:order' 'vlmq:{j}:due' 'vlmq:{j}:left'");
    EXPECT_TEXT(left, "1"); /* left: the closing task */
    free(left);
    fixture_close(&f);
}

TEST(task, renewed_keeps_its_lease_and_its_deadline_moves)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    planned(&f, "j", 1);
    const struct held held = take(&f, "j");
    free(redis_server_cli(&f.server, "ZADD 'vlmq:{j}:due' XX 1 1"));
    EXPECT_EQ(renew(&f, "j", &held), ERR_OK);
    EXPECT_EQ(f.call.job->due_at_ms, f.call.job->now_ms + LEASE_TTL_MS);
    EXPECT_EQ(call_op(&f, STATE_REAP, "j"), ERR_OK);
    EXPECT_EQ(f.call.count, 0);
    EXPECT_EQ(done(&f, "j", &held), ERR_OK);
    fixture_close(&f);
}

TEST(task, that_kills_its_workers_runs_alone_and_then_is_dead)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    planned(&f, "j", 3);
    struct held held[2];
    for (int losses = 0; losses < STATE_LOSSES_ALONE; losses++) {
        held[0] = take(&f, "j");
        EXPECT_EQ(held[0].index, 1);
        EXPECT_EQ(renew(&f, "j", &held[0]), ERR_OK);
        EXPECT_EQ(expire(&f, "j", 1), 1);
        EXPECT_EQ(done(&f, "j", &held[0]), ERR_STALE);
    }
    walk(&f, "j");
    EXPECT_EQ(take_as(&f, "j", held, 1, "w", false), 1);
    EXPECT_EQ(held[0].index, 2); /* a busy worker does not get it */
    EXPECT_EQ(done(&f, "j", &held[0]), ERR_OK);
    EXPECT_EQ(f.call.job->state, VLMQ__JOB_STATE__JOB_RUNNING);
    EXPECT_EQ(take_as(&f, "j", held, 2, "w", true), 1);
    EXPECT_EQ(held[0].index, 1);
    EXPECT(held[0].alone);
    EXPECT_EQ(yield_as(&f, "j", &held[0], NULL), ERR_OK); /* and stays alone */
    EXPECT_EQ(take(&f, "j").index, 3);
    EXPECT(nothing_to_take(&f, "j"));
    EXPECT_EQ(take_as(&f, "j", held, 2, "w", true), 1);
    EXPECT_EQ(renew(&f, "j", &held[0]), ERR_OK);
    EXPECT_EQ(expire(&f, "j", 1), 1);
    EXPECT_EQ(f.call.job->tasks_dead, 1);
    EXPECT_TEXT(task_of(&f, "j", 1)->reason, "its worker vanished 3 times, last on w");
    EXPECT_EQ(retry(&f, "j"), ERR_OK); /* and is like new */
    EXPECT_EQ(task_of(&f, "j", 1)->losses, 0);
    EXPECT_EQ(take(&f, "j").index, 1);
    walk(&f, "j");
    fixture_close(&f);
}

TEST(task, that_was_never_begun_is_not_charged_at_first)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    planned(&f, "j", 1);
    for (int i = 0; i < STATE_UNSTARTED_MAX; i++) {
        (void)take(&f, "j");
        EXPECT_EQ(expire(&f, "j", 1), 1);
        EXPECT_EQ(task_of(&f, "j", 1)->losses, 0);
    }
    (void)take(&f, "j");
    EXPECT_EQ(expire(&f, "j", 1), 1);
    EXPECT_EQ(task_of(&f, "j", 1)->losses, 1);
    fixture_close(&f);
}

TEST(task, gets_its_lease_anew_by_grace)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    planned(&f, "j", 3);
    struct held held[3];
    EXPECT_EQ(take_as(&f, "j", held, 3, "w", false), 3);
    EXPECT_EQ(fails(&f, "j", &held[2], VLMQ__BLAME__BLAME_TASK), ERR_OK);
    free(redis_server_cli(&f.server, "ZADD 'vlmq:{j}:due' XX 1 1 2 2 3 3"));
    EXPECT_EQ(call_op(&f, STATE_GRACE, "j"), ERR_OK);
    EXPECT_EQ(f.call.count, 2);
    EXPECT_EQ(call_op(&f, STATE_REAP, "j"), ERR_OK);
    EXPECT_EQ(f.call.count, 1); /* the backoff */
    EXPECT_EQ(done(&f, "j", &held[0]), ERR_OK);
    EXPECT_EQ(done(&f, "j", &held[1]), ERR_OK);
    fixture_close(&f);
}

TEST(task, lost_while_redis_was_away_is_not_charged_for_it)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    planned(&f, "j", 2);
    struct held held[2];
    EXPECT_EQ(take_as(&f, "j", held, 2, "w", false), 2);
    EXPECT_EQ(renew(&f, "j", &held[0]), ERR_OK);
    EXPECT_EQ(renew(&f, "j", &held[1]), ERR_OK);
    EXPECT_EQ(call_op(&f, STATE_GRACE, "j"), ERR_OK);
    EXPECT_EQ(renew(&f, "j", &held[1]), ERR_OK); /* its worker is still there, and dies later */
    (void)expire(&f, "j", held[0].index);
    (void)expire(&f, "j", held[1].index);
    EXPECT_EQ(task_of(&f, "j", held[0].index)->losses, 0);
    EXPECT_EQ(task_of(&f, "j", held[1].index)->losses, 1);
    fixture_close(&f);
}

/* Redis' clock has jumped an hour ahead of what the broker knows. */
TEST(task, keeps_its_lease_when_redis_clock_jumps_ahead_of_the_brokers)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    planned(&f, "j", 2);
    struct held held[2];
    EXPECT_EQ(take_as(&f, "j", held, 2, "w", false), 2);
    free(redis_server_cli(&f.server, "ZADD 'vlmq:{j}:due' XX 1 2"));
    free(redis_server_cli(&f.server, "ZADD 'vlmq:{j}:due' XX 100000 1"));
    f.call = (struct state_call){.op = STATE_REAP, .job_id = "j", .in.reap.until_ms = 5000};
    EXPECT_EQ(commit(&f), ERR_OK);
    EXPECT_EQ(f.call.count, 1);
    EXPECT_EQ(renew(&f, "j", &held[0]), ERR_OK);
    EXPECT_EQ(renew(&f, "j", &held[1]), ERR_STALE);
    fixture_close(&f);
}

TEST(task, with_a_deadline_beyond_reason_is_pulled_in)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    planned(&f, "j", 1);
    (void)take(&f, "j");
    free(redis_server_cli(&f.server, "ZADD 'vlmq:{j}:due' XX 9000000000000 1"));
    EXPECT_EQ(call_op(&f, STATE_REAP, "j"), ERR_OK);
    EXPECT_EQ(f.call.count, 0);
    EXPECT_EQ(f.call.job->due_at_ms, f.call.job->now_ms + LEASE_TTL_MS);
    fixture_close(&f);
}

TEST(task, reap_ends_a_bounded_number)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    planned(&f, "j", STATE_REAP_MAX + 10);
    struct held held[64];
    while (take_as(&f, "j", held, 64, "w", false)) {
    }
    free(redis_server_cli(&f.server,
                          "EVAL \"for i=1,%d do redis.call('ZADD',KEYS[1],'XX',i,i) end\" "
                          "1 'vlmq:{j}:due'",
                          STATE_REAP_MAX + 10));
    EXPECT_EQ(call_op(&f, STATE_REAP, "j"), ERR_OK);
    EXPECT_EQ(f.call.count, STATE_REAP_MAX);
    EXPECT_EQ(call_op(&f, STATE_REAP, "j"), ERR_OK);
    EXPECT_EQ(f.call.count, 10);
    walk(&f, "j");
    fixture_close(&f);
}

TEST(task, with_bad_input_is_refused_before_it_is_sent)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    planned(&f, "j", 1);
    struct held held = take(&f, "j");
    EXPECT_EQ(done_as(&f, "j", &held, &(struct ending){.items = -1}), ERR_INVALID);
    EXPECT_EQ(done_as(&f, "j", &held, &(struct ending){.made = "a/b"}), ERR_INVALID);
    EXPECT_EQ(done_as(&f, "j", &held, &(struct ending){.counter = "Bad name"}), ERR_INVALID);
    EXPECT_EQ(fails(&f, "j", &held, (Vlmq__Blame)7), ERR_INVALID);
    held.lease[3] = 'X';
    EXPECT_EQ(renew(&f, "j", &held), ERR_INVALID);
    EXPECT_EQ(look(&f, "j")->tasks_leased, 1);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(task, is_taken_once_with_what_the_planner_wrote),
        RUN(task, take_repeated_gives_the_same_grants),
        RUN(task, adds_tasks_once_whatever_is_repeated),
        RUN(task, is_done_once_and_never_changes),
        RUN(task, that_failed_waits_longer_each_time_and_is_dead_in_the_end),
        RUN(task, waits_at_least_a_little),
        RUN(task, failed_by_a_device_is_ready_at_once_and_uncharged),
        RUN(task, hands_its_cursor_to_the_next_attempt),
        RUN(task, renewed_keeps_its_lease_and_its_deadline_moves),
        RUN(task, that_kills_its_workers_runs_alone_and_then_is_dead),
        RUN(task, that_was_never_begun_is_not_charged_at_first),
        RUN(task, gets_its_lease_anew_by_grace),
        RUN(task, lost_while_redis_was_away_is_not_charged_for_it),
        RUN(task, keeps_its_lease_when_redis_clock_jumps_ahead_of_the_brokers),
        RUN(task, with_a_deadline_beyond_reason_is_pulled_in),
        RUN(task, reap_ends_a_bounded_number),
        RUN(task, with_bad_input_is_refused_before_it_is_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
