/* server_test.c - which Redis is accepted, and what a crash, a full memory and a lost library do.
 */
#include "broker/state/server.h"

#include "tests/state/fixture.h"

static int open_with(struct fixture *f, const struct state_options *options, struct err *err)
{
    state_close(f->state);
    f->state = NULL;
    return state_open(&f->state, options, err);
}

TEST(server, without_an_append_only_file_is_refused_unless_allowed)
{
    UNUSED_STATE;
    struct fixture f = {0};
    struct err err = {0};
    redis_server_start(&f.server, "--appendonly no");
    arena_init(&f.arena, 0);
    struct state_options options = fixture_options(&f);
    EXPECT_EQ(open_with(&f, &options, &err), ERR_INVALID);
    EXPECT(strstr(err.msg, "set appendonly yes"));
    options.allow_volatile = true;
    EXPECT_OK(open_with(&f, &options, &err), &err);
    struct state_health health;
    EXPECT_OK(state_health(f.state, &health, &err), &err);
    EXPECT(strstr(health.note, "appendonly"));
    EXPECT(health.writable);
    EXPECT(health.bytes > 0);
    EXPECT(health.now_ms > 1600000000000);
    fixture_close(&f);
}

TEST(server, that_evicts_keys_is_refused)
{
    UNUSED_STATE;
    struct fixture f = {0};
    struct err err = {0};
    redis_server_start(&f.server, "--maxmemory-policy allkeys-lru");
    const struct state_options options = fixture_options(&f);
    EXPECT_EQ(open_with(&f, &options, &err), ERR_INVALID);
    EXPECT(strstr(err.msg, "set maxmemory-policy noeviction"));
    fixture_close(&f);
}

TEST(server, of_an_old_version_is_refused_with_its_version)
{
    UNUSED_STATE;
    struct err err = {0};
    struct server_info info;
    const char *text = "# Server\r\nredis_version:6.2.7\r\nloading:0\r\naof_enabled:1\r\n"
                       "maxmemory_policy:noeviction\r\n";
    server_info_read(&info, text, strlen(text));
    EXPECT_EQ(server_check(&info, "unix:/x", false, &err), ERR_INVALID);
    EXPECT_TEXT(err.msg, "Redis at unix:/x is version 6.2.7; vlmq needs 7 or later");
}

TEST(server, that_is_not_there_is_unavailable)
{
    UNUSED_STATE;
    struct fixture f = {0};
    struct err err = {0};
    struct state_options options = {.address = "unix:/nonexistent/redis.sock", .timeout_ms = 1000};
    EXPECT_EQ(open_with(&f, &options, &err), ERR_UNAVAILABLE);
    options.address = "nonsense";
    EXPECT_EQ(open_with(&f, &options, &err), ERR_INVALID);
    options.address = "unix:";
    EXPECT_EQ(open_with(&f, &options, &err), ERR_INVALID);
}

TEST(server, with_a_password_wants_the_right_one)
{
    UNUSED_STATE;
    struct fixture f = {0};
    struct err err = {0};
    redis_server_start(&f.server, "--requirepass secret");
    arena_init(&f.arena, 0);
    struct state_options options = fixture_options(&f);
    EXPECT_EQ(open_with(&f, &options, &err), ERR_DENIED);
    options.password = "wrong";
    EXPECT_EQ(open_with(&f, &options, &err), ERR_DENIED);
    EXPECT(!strstr(err.msg, "wrong"));
    options.password = "secret";
    EXPECT_OK(open_with(&f, &options, &err), &err);
    options.user = "default";
    EXPECT_OK(open_with(&f, &options, &err), &err);
    submit(&f, "j");
    fixture_close(&f);
}

TEST(server, user_with_the_rights_of_the_manual_is_enough)
{
    UNUSED_STATE;
    struct fixture f = {0};
    struct err err = {0};
    redis_server_start(&f.server, NULL);
    arena_init(&f.arena, 0);
    free(redis_server_cli(&f.server,
                          "ACL SETUSER vlmq on '>secret' '~vlmq:*' +select +info +time +function "
                          "+fcall +@hash +@list +@sortedset +@stream +@string +exists +unlink "
                          "+pexpire"));
    struct state_options options = fixture_options(&f);
    options.user = "vlmq";
    options.password = "secret";
    options.database = 1;
    EXPECT_OK(open_with(&f, &options, &err), &err);
    planned(&f, "j", 2);
    struct held held = take(&f, "j");
    EXPECT_EQ(renew_as(&f, "j", &held, 1, "cursor"), ERR_OK);
    EXPECT_EQ(fails(&f, "j", &held, VLMQ__BLAME__BLAME_TASK), ERR_OK);
    held = take(&f, "j");
    EXPECT_EQ(done_as(&f, "j", &held, &(struct ending){.made = "x"}), ERR_OK);
    EXPECT_EQ(call_op(&f, STATE_TOUCH, "j"), ERR_OK);
    EXPECT_EQ(call_op(&f, STATE_INDEX, "j"), ERR_OK);
    Vlmq__WorkerInfo info = VLMQ__WORKER_INFO__INIT;
    info.id = arena_text(&f.arena, "w", 1);
    f.call = (struct state_call){.op = STATE_HELLO};
    f.call.in.worker.info = &info;
    EXPECT_EQ(commit(&f), ERR_OK);
    EXPECT_EQ(cancel(&f, "j", ""), ERR_OK);
    EXPECT_EQ(call_op(&f, STATE_PURGE, "j"), ERR_OK);
    struct state_health health;
    EXPECT_OK(state_health(f.state, &health, &err), &err);
    fixture_close(&f);
}

TEST(server, keeps_the_databases_apart)
{
    UNUSED_STATE;
    struct fixture f;
    struct err err = {0};
    fixture_open(&f, NULL);
    submit(&f, "j");
    struct state_options options = fixture_options(&f);
    options.database = 3;
    EXPECT_OK(open_with(&f, &options, &err), &err);
    EXPECT_EQ(call_op(&f, STATE_LOOK, "j"), ERR_NOT_FOUND);
    options.database = 9999;
    EXPECT_EQ(open_with(&f, &options, &err), ERR_INVALID);
    EXPECT(strstr(err.msg, "no database 9999"));
    fixture_close(&f);
}

TEST(server, killed_and_started_again_has_forgotten_nothing)
{
    UNUSED_STATE;
    struct fixture f;
    struct err err = {0};
    fixture_open(&f, NULL);
    planned(&f, "j", 10);
    const struct held a = take(&f, "j"), b = take(&f, "j");
    EXPECT_EQ(done(&f, "j", &a), ERR_OK);
    redis_server_kill(&f.server);
    f.call = (struct state_call){.op = STATE_LOOK, .job_id = "j"};
    EXPECT_EQ(state_commit(f.state, &f.call, 1, &f.arena, &err), ERR_UNAVAILABLE);
    struct state_health health;
    EXPECT_EQ(state_health(f.state, &health, &err), ERR_UNAVAILABLE);
    redis_server_restart(&f.server, NULL);
    EXPECT_EQ(look(&f, "j")->tasks_done, 2);
    EXPECT_EQ(f.call.job->tasks_leased, 1);
    EXPECT_EQ(done(&f, "j", &a), ERR_OK);
    EXPECT_EQ(renew(&f, "j", &b), ERR_OK);
    EXPECT_EQ(done(&f, "j", &b), ERR_OK);
    EXPECT_EQ(f.call.job->tasks_done, 3);
    walk(&f, "j");
    fixture_close(&f);
}

TEST(server, that_lost_the_functions_gets_them_again)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    submit(&f, "j");
    free(redis_server_cli(&f.server, "FUNCTION FLUSH"));
    EXPECT_EQ(call_op(&f, STATE_LOOK, "j"), ERR_UNAVAILABLE);
    EXPECT_EQ(call_op(&f, STATE_LOOK, "j"), ERR_OK);
    fixture_close(&f);
}

TEST(server, with_other_functions_of_this_name_gets_ours)
{
    UNUSED_STATE;
    struct fixture f = {0};
    struct err err = {0};
    redis_server_start(&f.server, NULL);
    arena_init(&f.arena, 0);
    free(redis_server_cli(&f.server,
                          "FUNCTION LOAD \"$(printf '#!lua name=vlmq_1\\nredis.register_function("
                          "\"\\047\"vlmq_1_x\"\\047\", function() return 1 end)')\""));
    const struct state_options options = fixture_options(&f);
    EXPECT_OK(open_with(&f, &options, &err), &err);
    submit(&f, "j");
    fixture_close(&f);
}

TEST(server, that_is_full_refuses_jobs_and_finishes_what_runs)
{
    UNUSED_STATE;
    struct fixture f;
    fixture_open(&f, NULL);
    planned(&f, "j", 4);
    const struct held a = take(&f, "j"), b = take(&f, "j");
    free(redis_server_cli(&f.server, "CONFIG SET maxmemory 1000"));
    EXPECT_EQ(submit_as(&f, &(struct submission){.id = "k"}), ERR_LIMIT);
    EXPECT_TEXT(f.call.err.msg, "Redis is out of memory");
    const struct held c = take(&f, "j");
    EXPECT_EQ(renew_as(&f, "j", &a, 3, "cursor"), ERR_OK);
    EXPECT_EQ(done_as(&f, "j", &a, &(struct ending){.tasks = 1, .made = "x"}), ERR_OK);
    EXPECT_EQ(fails(&f, "j", &b, VLMQ__BLAME__BLAME_TASK), ERR_OK);
    EXPECT_EQ(yield_as(&f, "j", &c, NULL), ERR_OK);
    EXPECT_EQ(call_op(&f, STATE_GET, "j"), ERR_OK);
    EXPECT_EQ(cancel(&f, "j", ""), ERR_OK);
    EXPECT_EQ(f.call.job->state, VLMQ__JOB_STATE__JOB_CANCELLED);
    EXPECT_EQ(call_op(&f, STATE_PURGE, "j"), ERR_OK);
    free(redis_server_cli(&f.server, "CONFIG SET maxmemory 0"));
    submit(&f, "k");
    fixture_close(&f);
}

TEST(server, frozen_times_out_and_is_used_again)
{
    UNUSED_STATE;
    struct fixture f;
    struct err err = {0};
    fixture_open(&f, NULL);
    submit(&f, "j");
    struct state_options options = fixture_options(&f);
    options.timeout_ms = 1000;
    EXPECT_OK(open_with(&f, &options, &err), &err);
    EXPECT_EQ(kill(f.server.pid, SIGSTOP), 0);
    f.call = (struct state_call){.op = STATE_LOOK, .job_id = "j"};
    EXPECT_EQ(state_commit(f.state, &f.call, 1, &f.arena, &err), ERR_TIMEOUT);
    EXPECT_EQ(kill(f.server.pid, SIGCONT), 0);
    options.timeout_ms = 20000;
    EXPECT_OK(open_with(&f, &options, &err), &err);
    EXPECT_EQ(look(&f, "j")->tasks_total, 1);
    fixture_close(&f);
}

TEST(server, takes_a_whole_turn_in_one_commit)
{
    UNUSED_STATE;
    struct fixture f;
    struct err err = {0};
    fixture_open(&f, NULL);
    planned(&f, "j", 5);
    static struct state_call call[STATE_CALLS_MAX];
    for (uint32_t i = 0; i < STATE_CALLS_MAX; i++) {
        call[i] = (struct state_call){.op = STATE_LOOK, .job_id = i % 3 ? "j" : "no such"};
        if (i % 3 == 2) call[i].job_id = "missing";
    }
    EXPECT_OK(state_commit(f.state, call, STATE_CALLS_MAX, &f.arena, &err), &err);
    for (uint32_t i = 0; i < STATE_CALLS_MAX; i++) {
        const enum err_code expected[] = {ERR_INVALID, ERR_OK, ERR_NOT_FOUND};
        EXPECT_EQ(call[i].err.code, expected[i % 3]);
        EXPECT_EQ(call[i].job != NULL, i % 3 == 1);
    }
    fixture_close(&f);
}

TEST(server, reply_that_does_not_fit_is_a_limit_of_that_call)
{
    UNUSED_STATE;
    struct fixture f;
    struct err err = {0};
    fixture_open(&f, NULL);
    submit(&f, "j");
    struct arena small;
    arena_init(&small, 256);
    f.call = (struct state_call){.op = STATE_GET, .job_id = "j"};
    EXPECT_OK(state_commit(f.state, &f.call, 1, &small, &err), &err);
    EXPECT_EQ(f.call.err.code, ERR_LIMIT);
    arena_deinit(&small);
    EXPECT_EQ(call_op(&f, STATE_GET, "j"), ERR_OK);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(server, without_an_append_only_file_is_refused_unless_allowed),
        RUN(server, that_evicts_keys_is_refused),
        RUN(server, of_an_old_version_is_refused_with_its_version),
        RUN(server, that_is_not_there_is_unavailable),
        RUN(server, with_a_password_wants_the_right_one),
        RUN(server, user_with_the_rights_of_the_manual_is_enough),
        RUN(server, keeps_the_databases_apart),
        RUN(server, killed_and_started_again_has_forgotten_nothing),
        RUN(server, that_lost_the_functions_gets_them_again),
        RUN(server, with_other_functions_of_this_name_gets_ours),
        RUN(server, that_is_full_refuses_jobs_and_finishes_what_runs),
        RUN(server, frozen_times_out_and_is_used_again),
        RUN(server, takes_a_whole_turn_in_one_commit),
        RUN(server, reply_that_does_not_fit_is_a_limit_of_that_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
