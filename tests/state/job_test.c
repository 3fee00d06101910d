/* job_test.c - how a job goes from its submission to its end, and back by a retry. */
#include "tests/state/fixture.h"

TEST(job, is_planned_worked_closed_and_done)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    submit(&f, "j");
    EXPECT_EQ(f.call.count, 1);
    EXPECT_EQ(f.call.job->state, VLMQ__JOB_STATE__JOB_PLANNING);
    EXPECT_EQ(f.call.job->tasks_ready, 1);
    const struct held plan = take(&f, "j");
    EXPECT_EQ(plan.phase, VLMQ__PHASE__PHASE_PLAN);
    EXPECT_EQ(done_as(&f, "j", &plan, &(struct ending){.tasks = 2}), ERR_OK);
    EXPECT_EQ(f.call.job->state, VLMQ__JOB_STATE__JOB_RUNNING);
    EXPECT_EQ(f.call.job->items_total, 20);
    const struct held a = take(&f, "j"), b = take(&f, "j");
    EXPECT_EQ(done_as(&f, "j", &a, &(struct ending){.items = 10, .items_ok = 9, .bytes = 7}),
              ERR_OK);
    EXPECT_EQ(f.call.job->state, VLMQ__JOB_STATE__JOB_RUNNING);
    EXPECT_EQ(done_as(&f, "j", &b, &(struct ending){.items = 10, .items_ok = 10}), ERR_OK);
    EXPECT_EQ(f.call.job->state, VLMQ__JOB_STATE__JOB_CLOSING);
    EXPECT_EQ(f.call.job->progress->items, 20);
    EXPECT_EQ(f.call.job->progress->items_ok, 19);
    EXPECT_EQ(f.call.job->progress->bytes, 7);
    const struct held close = take(&f, "j");
    EXPECT_EQ(close.phase, VLMQ__PHASE__PHASE_CLOSE);
    EXPECT_EQ(done(&f, "j", &close), ERR_OK);
    EXPECT_EQ(f.call.job->state, VLMQ__JOB_STATE__JOB_DONE);
    EXPECT_EQ(f.call.job->tasks_done, 4);
    EXPECT(f.call.job->ended_at_ms >= f.call.job->started_at_ms);
    EXPECT(f.call.job->started_at_ms >= f.call.job->submitted_at_ms);
    EXPECT(nothing_to_take(&f, "j"));
    walk(&f, "j");
    fixture_close(&f);
}

TEST(job, is_the_same_when_it_is_submitted_again)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    submit(&f, "j");
    const uint64_t version = f.call.job->version;
    submit(&f, "j");
    EXPECT_EQ(f.call.count, 0);
    EXPECT_EQ(f.call.job->version, version);
    EXPECT_EQ(submit_as(&f, &(struct submission){.id = "j", .spec = "other"}), ERR_INVALID);
    EXPECT_TEXT(f.call.err.msg, "job j exists with another spec");
    EXPECT_EQ(submit_as(&f, &(struct submission){.id = "Bad id"}), ERR_INVALID);
    EXPECT_EQ(look(&f, "j")->tasks_total, 1);
    EXPECT_TEXT(f.call.job->owner, "ada");
    EXPECT_TEXT(f.call.job->title, "a test");
    EXPECT_EQ(f.call.job->attempts_max, STATE_ATTEMPTS_MAX);
    EXPECT_EQ(call_op(&f, STATE_LOOK, "other"), ERR_NOT_FOUND);
    fixture_close(&f);
}

TEST(job, gives_its_spec_and_counters_to_get)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    planned(&f, "j", 2);
    const struct held a = take(&f, "j"), b = take(&f, "j");
    const struct ending as = {.counter = "status.success", .value = 7};
    EXPECT_EQ(done_as(&f, "j", &a, &as), ERR_OK);
    EXPECT_EQ(done_as(&f, "j", &a, &as), ERR_OK); /* counts once */
    EXPECT_EQ(done_as(&f, "j", &b, &as), ERR_OK);
    EXPECT_EQ(call_op(&f, STATE_GET, "j"), ERR_OK);
    EXPECT_EQ(f.call.job->n_counters, 1);
    EXPECT_TEXT(f.call.job->counters[0]->name, "status.success");
    EXPECT_EQ(f.call.job->counters[0]->value, 14);
    EXPECT_EQ(f.call.job->spec.len, 4);
    EXPECT_MEM(f.call.job->spec.data, "spec", 4);
    fixture_close(&f);
}

TEST(job, refuses_more_counters_than_the_limit_before_it_changes)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    planned(&f, "j", 2);
    for (int i = 0; i < COUNTERS_MAX; i++) {
        free(redis_server_cli(&f.server, "HSET 'vlmq:{j}:count' c%d 1", i));
    }
    const struct held a = take(&f, "j");
    EXPECT_EQ(done_as(&f, "j", &a, &(struct ending){.counter = "one_more", .value = 1}),
              ERR_INVALID);
    EXPECT_EQ(look(&f, "j")->tasks_leased, 1);
    EXPECT_EQ(done_as(&f, "j", &a, &(struct ending){.counter = "c5", .value = 1}), ERR_OK);
    walk(&f, "j");
    fixture_close(&f);
}

TEST(job, with_a_dead_task_closes_and_fails)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    planned(&f, "j", 1);
    const struct held work = take(&f, "j");
    EXPECT_EQ(fails(&f, "j", &work, VLMQ__BLAME__BLAME_INPUT), ERR_OK);
    EXPECT_EQ(f.call.job->state, VLMQ__JOB_STATE__JOB_CLOSING);
    const struct held close = take(&f, "j");
    EXPECT_EQ(close.tasks_dead, 1);
    EXPECT_EQ(done(&f, "j", &close), ERR_OK);
    EXPECT_EQ(f.call.job->state, VLMQ__JOB_STATE__JOB_FAILED);
    EXPECT_TEXT(f.call.job->reason, "1 task is dead: it broke");
    walk(&f, "j");
    fixture_close(&f);
}

TEST(job, is_opened_by_retry_and_closed_once_more)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    planned(&f, "j", 2);
    struct held work = take(&f, "j");
    EXPECT_EQ(fails(&f, "j", &work, VLMQ__BLAME__BLAME_INPUT), ERR_OK);
    work = take(&f, "j");
    EXPECT_EQ(done(&f, "j", &work), ERR_OK);
    const struct held first_close = take(&f, "j");
    EXPECT_EQ(retry(&f, "j"), ERR_LIMIT); /* it is closing */
    EXPECT_EQ(done(&f, "j", &first_close), ERR_OK);
    EXPECT_EQ(retry(&f, "j"), ERR_OK);
    EXPECT_EQ(f.call.count, 1);
    EXPECT_EQ(f.call.job->state, VLMQ__JOB_STATE__JOB_RUNNING);
    EXPECT_EQ(f.call.job->ended_at_ms, 0);
    EXPECT_EQ(retry(&f, "j"), ERR_OK);
    EXPECT_EQ(f.call.count, 0);
    work = take(&f, "j");
    EXPECT_EQ(work.attempt, 2);
    EXPECT_EQ(done(&f, "j", &work), ERR_OK);
    const struct held close = take(&f, "j");
    EXPECT_EQ(close.phase, VLMQ__PHASE__PHASE_CLOSE);
    EXPECT(close.index != first_close.index);
    EXPECT_EQ(done(&f, "j", &close), ERR_OK);
    EXPECT_EQ(f.call.job->state, VLMQ__JOB_STATE__JOB_DONE);
    EXPECT_TEXT(f.call.job->reason, "");
    walk(&f, "j");
    fixture_close(&f);
}

TEST(job, whose_closing_died_closes_again_after_retry)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    planned(&f, "j", 2);
    const struct held a = take(&f, "j"), b = take(&f, "j");
    EXPECT_EQ(done(&f, "j", &a), ERR_OK);
    EXPECT_EQ(fails(&f, "j", &b, VLMQ__BLAME__BLAME_INPUT), ERR_OK);
    struct held close = take(&f, "j");
    EXPECT_EQ(fails(&f, "j", &close, VLMQ__BLAME__BLAME_INPUT), ERR_OK);
    EXPECT_EQ(f.call.job->state, VLMQ__JOB_STATE__JOB_FAILED);
    EXPECT_TEXT(f.call.job->reason, "closing failed: it broke");
    EXPECT_EQ(retry(&f, "j"), ERR_OK);
    EXPECT_EQ(f.call.count, 2);
    EXPECT_EQ(f.call.job->state, VLMQ__JOB_STATE__JOB_RUNNING);
    walk(&f, "j");
    const struct held work = take(&f, "j");
    EXPECT_EQ(work.index, b.index);
    EXPECT(nothing_to_take(&f, "j")); /* the closing task waits for it */
    EXPECT_EQ(done(&f, "j", &work), ERR_OK);
    EXPECT_EQ(f.call.job->state, VLMQ__JOB_STATE__JOB_CLOSING);
    close = take(&f, "j");
    EXPECT_EQ(close.tasks_dead, 0);
    EXPECT_EQ(done(&f, "j", &close), ERR_OK);
    EXPECT_EQ(f.call.job->state, VLMQ__JOB_STATE__JOB_DONE);
    EXPECT_EQ(f.call.job->tasks_total, 4);
    walk(&f, "j");
    fixture_close(&f);
}

TEST(job, whose_planning_died_fails_and_is_planned_again_by_retry)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    submit(&f, "j");
    const struct held plan = take(&f, "j");
    EXPECT_EQ(add(&f, "j", &plan, 0, 3), ERR_OK);
    const struct held work = take(&f, "j");
    EXPECT_EQ(fails(&f, "j", &plan, VLMQ__BLAME__BLAME_INPUT), ERR_OK);
    EXPECT_EQ(f.call.job->state, VLMQ__JOB_STATE__JOB_PLANNING); /* an attempt is running */
    EXPECT(nothing_to_take(&f, "j"));
    EXPECT_EQ(done(&f, "j", &work), ERR_OK);
    EXPECT_EQ(f.call.job->state, VLMQ__JOB_STATE__JOB_FAILED);
    EXPECT_TEXT(f.call.job->reason, "planning failed: it broke");
    walk(&f, "j");
    EXPECT_EQ(retry(&f, "j"), ERR_OK);
    EXPECT_EQ(f.call.job->state, VLMQ__JOB_STATE__JOB_PLANNING);
    const struct held again = take(&f, "j");
    EXPECT_EQ(again.index, 0);
    EXPECT_EQ(again.added, 3);
    EXPECT_EQ(done_as(&f, "j", &again, &(struct ending){.offset = 3, .tasks = 1}), ERR_OK);
    EXPECT_EQ(f.call.job->state, VLMQ__JOB_STATE__JOB_RUNNING);
    EXPECT_EQ(f.call.job->tasks_total, 5);
    walk(&f, "j");
    fixture_close(&f);
}

TEST(job, is_cancelled_at_once_where_nothing_runs)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    planned(&f, "j", 1000);
    EXPECT_EQ(cancel(&f, "j", "not needed"), ERR_OK);
    EXPECT_EQ(f.call.job->state, VLMQ__JOB_STATE__JOB_CANCELLED);
    EXPECT_EQ(f.call.job->tasks_cancelled, 1000);
    EXPECT_TEXT(f.call.job->reason, "not needed");
    const uint64_t version = f.call.job->version;
    EXPECT_EQ(cancel(&f, "j", "again"), ERR_OK);
    EXPECT_EQ(f.call.job->version, version);
    EXPECT_EQ(retry(&f, "j"), ERR_INVALID);
    EXPECT(nothing_to_take(&f, "j"));
    EXPECT_EQ(task_of(&f, "j", 700)->state, VLMQ__TASK_STATE__TASK_CANCELLED);
    walk(&f, "j");
    fixture_close(&f);
}

TEST(job, is_cancelled_when_its_last_attempt_lets_go)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    planned(&f, "j", 6);
    struct held held[5];
    EXPECT_EQ(take_as(&f, "j", held, 5, "w", false), 5);
    EXPECT_EQ(fails(&f, "j", &held[0], VLMQ__BLAME__BLAME_TASK), ERR_OK);
    EXPECT_EQ(cancel(&f, "j", "stop"), ERR_OK);
    EXPECT_EQ(f.call.job->state, VLMQ__JOB_STATE__JOB_CANCELLING);
    EXPECT_EQ(f.call.job->tasks_waiting, 0);
    EXPECT_EQ(f.call.job->tasks_cancelled, 2);
    walk(&f, "j");
    EXPECT_EQ(renew(&f, "j", &held[1]), ERR_CANCELLED);
    EXPECT_EQ(add(&f, "j", &held[1], 0, 1), ERR_CANCELLED);
    EXPECT_EQ(yield_as(&f, "j", &held[1], NULL), ERR_OK);
    EXPECT_EQ(yield_as(&f, "j", &held[1], NULL), ERR_OK);
    EXPECT_EQ(done_as(&f, "j", &held[2], &(struct ending){.tasks = 3}), ERR_OK);
    EXPECT_EQ(f.call.job->tasks_total, 7);
    EXPECT_EQ(fails(&f, "j", &held[3], VLMQ__BLAME__BLAME_INPUT), ERR_OK);
    EXPECT_EQ(f.call.job->state, VLMQ__JOB_STATE__JOB_CANCELLING);
    EXPECT_EQ(expire(&f, "j", held[0].index), 1); /* the waiting one is counted already */
    EXPECT_EQ(f.call.job->tasks_cancelled, 4);
    EXPECT_EQ(expire(&f, "j", held[4].index), 1);
    EXPECT_EQ(f.call.job->state, VLMQ__JOB_STATE__JOB_CANCELLED);
    EXPECT_EQ(f.call.job->tasks_done, 2);
    EXPECT_EQ(f.call.job->tasks_cancelled, 5);
    EXPECT_EQ(f.call.job->tasks_dead, 0);
    walk(&f, "j");
    fixture_close(&f);
}

TEST(job, that_is_paused_gives_no_task)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    EXPECT_EQ(submit_as(&f, &(struct submission){.id = "j", .paused = true}), ERR_OK);
    EXPECT(f.call.job->paused);
    EXPECT(nothing_to_take(&f, "j"));
    EXPECT_EQ(call_op(&f, STATE_RESUME, "j"), ERR_OK);
    EXPECT(!f.call.job->paused);
    const struct held plan = take(&f, "j");
    EXPECT_EQ(call_op(&f, STATE_PAUSE, "j"), ERR_OK);
    const uint64_t version = f.call.job->version;
    EXPECT_EQ(call_op(&f, STATE_PAUSE, "j"), ERR_OK);
    EXPECT_EQ(f.call.job->version, version);
    EXPECT_EQ(done_as(&f, "j", &plan, &(struct ending){.tasks = 1}), ERR_OK);
    EXPECT(nothing_to_take(&f, "j"));
    f.call = (struct state_call){.op = STATE_PRIORITY, .job_id = "j"};
    f.call.in.priority.priority = -7;
    EXPECT_EQ(commit(&f), ERR_OK);
    EXPECT_EQ(f.call.job->priority, -7);
    f.call.in.priority.priority = 101;
    EXPECT_EQ(commit(&f), ERR_INVALID);
    fixture_close(&f);
}

TEST(job, that_ended_while_it_was_paused_is_resumed_before_its_retry)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    planned(&f, "j", 1);
    struct held work = take(&f, "j");
    EXPECT_EQ(fails(&f, "j", &work, VLMQ__BLAME__BLAME_INPUT), ERR_OK);
    const struct held close = take(&f, "j");
    EXPECT_EQ(call_op(&f, STATE_PAUSE, "j"), ERR_OK);
    EXPECT_EQ(done(&f, "j", &close), ERR_OK);
    EXPECT_EQ(f.call.job->state, VLMQ__JOB_STATE__JOB_FAILED);
    EXPECT_EQ(call_op(&f, STATE_RESUME, "j"), ERR_OK);
    EXPECT(!f.call.job->paused);
    EXPECT_EQ(retry(&f, "j"), ERR_OK);
    work = take(&f, "j");
    EXPECT_EQ(work.attempt, 2);
    fixture_close(&f);
}

static int release(struct fixture *f, const char *job, bool ok)
{
    f->call = (struct state_call){.op = STATE_RELEASE, .job_id = job};
    f->call.in.release.ok = ok;
    f->call.in.release.reason = "job a failed";
    return commit(f);
}

TEST(job, that_waits_for_another_is_held_until_release)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    EXPECT_EQ(submit_as(&f, &(struct submission){.id = "j", .after = "a"}), ERR_OK);
    EXPECT_EQ(f.call.job->state, VLMQ__JOB_STATE__JOB_HELD);
    EXPECT_TEXT(f.call.job->reason, "waits for the end of job a");
    EXPECT(nothing_to_take(&f, "j"));
    EXPECT_EQ(release(&f, "j", true), ERR_OK);
    EXPECT_EQ(f.call.job->state, VLMQ__JOB_STATE__JOB_PLANNING);
    EXPECT_EQ(release(&f, "j", false), ERR_OK); /* too late to matter */
    EXPECT_EQ(f.call.job->state, VLMQ__JOB_STATE__JOB_PLANNING);
    EXPECT_EQ(submit_as(&f, &(struct submission){.id = "k", .after = "a"}), ERR_OK);
    EXPECT_EQ(release(&f, "k", false), ERR_OK);
    EXPECT_EQ(f.call.job->state, VLMQ__JOB_STATE__JOB_FAILED);
    EXPECT_TEXT(f.call.job->reason, "job a failed");
    EXPECT_EQ(retry(&f, "k"), ERR_OK);
    EXPECT_EQ(f.call.job->state, VLMQ__JOB_STATE__JOB_HELD);
    EXPECT_EQ(cancel(&f, "k", ""), ERR_OK);
    EXPECT_EQ(f.call.job->state, VLMQ__JOB_STATE__JOB_CANCELLED);
    walk(&f, "k");
    fixture_close(&f);
}

static int chain(struct fixture *f, const char *job, uint32_t position, uint32_t count, int ended)
{
    struct state_made made[8];
    for (uint32_t i = 0; i < count; i++) {
        made[i] = (struct state_made){.index = i};
        made[i].name = arena_printf(&f->arena, "%05u", position + i);
        memset(made[i].digest, (int)(position + i), sizeof made[i].digest);
    }
    f->call = (struct state_call){.op = STATE_CHAIN, .job_id = job};
    f->call.in.chain.position = position;
    f->call.in.chain.next = position + count;
    f->call.in.chain.made = made;
    f->call.in.chain.source_ended = ended > 0;
    f->call.in.chain.source_failed = ended > 1;
    f->call.in.chain.reason = "job a failed";
    return commit(f);
}

TEST(job, that_takes_shards_of_another_grows_with_it_and_closes_after_it)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    EXPECT_EQ(submit_as(&f, &(struct submission){.id = "j", .from = "a"}), ERR_OK);
    EXPECT_EQ(f.call.job->state, VLMQ__JOB_STATE__JOB_RUNNING);
    EXPECT_EQ(f.call.job->tasks_total, 0);
    EXPECT_EQ(chain(&f, "j", 0, 2, 0), ERR_OK);
    EXPECT_EQ(f.call.count, 2);
    EXPECT_EQ(chain(&f, "j", 0, 2, 0), ERR_OK); /* two brokers saw the same shards */
    EXPECT_EQ(f.call.count, 2);
    EXPECT_EQ(f.call.job->tasks_total, 2);
    const struct held a = take(&f, "j");
    EXPECT_TEXT(f.call.out.take.grant[0].name, "00000");
    EXPECT_EQ(f.call.out.take.grant[0].payload.len, 16);
    const struct held b = take(&f, "j");
    EXPECT_EQ(done(&f, "j", &a), ERR_OK);
    EXPECT_EQ(done(&f, "j", &b), ERR_OK);
    EXPECT_EQ(f.call.job->state, VLMQ__JOB_STATE__JOB_RUNNING); /* more may come */
    EXPECT_EQ(chain(&f, "j", 2, 1, 1), ERR_OK);
    const struct held c = take(&f, "j");
    EXPECT_EQ(done(&f, "j", &c), ERR_OK);
    EXPECT_EQ(f.call.job->state, VLMQ__JOB_STATE__JOB_CLOSING);
    const struct held close = take(&f, "j");
    EXPECT_EQ(done(&f, "j", &close), ERR_OK);
    EXPECT_EQ(f.call.job->state, VLMQ__JOB_STATE__JOB_DONE);
    walk(&f, "j");
    submit(&f, "plain");
    EXPECT_EQ(chain(&f, "plain", 0, 1, 0), ERR_INVALID);
    fixture_close(&f);
}

TEST(job, fails_with_its_source_and_follows_it_again_after_retry)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    EXPECT_EQ(submit_as(&f, &(struct submission){.id = "j", .from = "a"}), ERR_OK);
    EXPECT_EQ(chain(&f, "j", 0, 0, 2), ERR_OK);
    EXPECT_EQ(f.call.job->state, VLMQ__JOB_STATE__JOB_CLOSING);
    struct held close = take(&f, "j");
    EXPECT_EQ(done(&f, "j", &close), ERR_OK);
    EXPECT_EQ(f.call.job->state, VLMQ__JOB_STATE__JOB_FAILED);
    EXPECT_TEXT(f.call.job->reason, "job a failed");
    EXPECT_EQ(retry(&f, "j"), ERR_OK);
    EXPECT_EQ(f.call.job->state, VLMQ__JOB_STATE__JOB_RUNNING);
    EXPECT_EQ(chain(&f, "j", 0, 1, 1), ERR_OK);
    const struct held work = take(&f, "j");
    EXPECT_EQ(done(&f, "j", &work), ERR_OK);
    close = take(&f, "j");
    EXPECT_EQ(done(&f, "j", &close), ERR_OK);
    EXPECT_EQ(f.call.job->state, VLMQ__JOB_STATE__JOB_DONE);
    walk(&f, "j");
    fixture_close(&f);
}

TEST(job, is_purged_when_it_has_ended)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    planned(&f, "j", 600);
    const struct held work = take(&f, "j");
    EXPECT_EQ(done_as(&f, "j", &work, &(struct ending){.made = "x", .counter = "c", .value = 1}),
              ERR_OK);
    EXPECT_EQ(call_op(&f, STATE_PURGE, "j"), ERR_INVALID);
    EXPECT_EQ(cancel(&f, "j", ""), ERR_OK);
    EXPECT_EQ(call_op(&f, STATE_PURGE, "j"), ERR_OK);
    EXPECT_EQ(f.call.job->state, VLMQ__JOB_STATE__JOB_CANCELLED);
    EXPECT_EQ(call_op(&f, STATE_PURGE, "j"), ERR_OK);
    EXPECT(!f.call.job);
    char *keys = redis_server_cli(&f.server, "DBSIZE");
    EXPECT_TEXT(keys, "0");
    free(keys);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(job, is_planned_worked_closed_and_done),
        RUN(job, is_the_same_when_it_is_submitted_again),
        RUN(job, gives_its_spec_and_counters_to_get),
        RUN(job, refuses_more_counters_than_the_limit_before_it_changes),
        RUN(job, with_a_dead_task_closes_and_fails),
        RUN(job, is_opened_by_retry_and_closed_once_more),
        RUN(job, whose_closing_died_closes_again_after_retry),
        RUN(job, whose_planning_died_fails_and_is_planned_again_by_retry),
        RUN(job, is_cancelled_at_once_where_nothing_runs),
        RUN(job, is_cancelled_when_its_last_attempt_lets_go),
        RUN(job, that_is_paused_gives_no_task),
        RUN(job, that_ended_while_it_was_paused_is_resumed_before_its_retry),
        RUN(job, that_waits_for_another_is_held_until_release),
        RUN(job, that_takes_shards_of_another_grows_with_it_and_closes_after_it),
        RUN(job, fails_with_its_source_and_follows_it_again_after_retry),
        RUN(job, is_purged_when_it_has_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
