/* fleet_test.c - brokers, Redis and workers that come and go, and jobs that wait for jobs. */
#include "tests/unit/broker/fleet.c"

#include "proto/schema/jobs/download.pb-c.h"

#include <signal.h>

static const char worker[] = "host/cpu/1/a";

/* Ends whatever the job still has. */
static void finish_job(struct link *link, const char *id)
{
    const int64_t end = clock_real.mono_ms(&clock_real) + CALL_MS;
    while (!job_state_ended(fleet_get(link, id)->state)) {
        EXPECT(clock_real.mono_ms(&clock_real) < end);
        const Vlmq__TakeAnswer *taken = fleet_take(link, worker, 8, 400);
        for (size_t i = 0; i < taken->n_grants; i++) {
            const Vlmq__Grant *grant = taken->grants[i];
            const bool plan = grant->phase == VLMQ__PHASE__PHASE_PLAN;
            const bool work = grant->phase == VLMQ__PHASE__PHASE_WORK;
            fleet_done(link, grant, plan ? 2 : 0, work ? grant->name : NULL);
        }
    }
}

TEST(fleet, a_job_submitted_to_one_broker_is_taken_from_another)
{
    UNUSED_STATE;
    fleet_start(1, NULL);
    struct link *client = fleet_link(0), *link = fleet_link(1);
    fleet_hello(link, worker);
    fleet_submit(client, &(struct submit){.id = "shared"});
    const Vlmq__Grant *grant = fleet_take_one(link, worker);
    EXPECT_TEXT(grant->job, "shared");
    fleet_done(link, grant, 1, NULL);
    EXPECT_EQ(fleet_get(client, "shared")->tasks_total, 2);
    link_close(link);
    link_close(client);
}

/* The task of a new job is offered in the commit of its submit, before it is known that the id is
 * taken, by a job that this worker cannot serve. */
TEST(fleet, a_refused_submit_gives_nobody_tasks_of_the_other_job)
{
    UNUSED_STATE;
    fleet_start(1, NULL);
    struct link *client = fleet_link(0), *other = fleet_link(1), *link = fleet_link(1);
    struct link_event event;
    struct err err;
    Vlmq__Job job;
    Vlmq__Submit submit;
    Vlmq__Take take;
    Vlmq__Ping ping;
    fleet_hello(link, worker);
    take_body(&take, worker, 4);
    EXPECT_OK(link_send(link, NULL, VLMQ__TYPE__TAKE, &take.base, 1000, 0, &err), &err);
    vlmq__ping__init(&ping);
    fleet_call(link, VLMQ__TYPE__PING, &ping); /* so the take is parked */
    fleet_submit(client, &(struct submit){.id = "taken", .device = "cuda"});
    fleet_job(&job, &(struct submit){.id = "taken"});
    vlmq__submit__init(&submit);
    submit.job = &job;
    EXPECT_EQ(fleet_fail(other, VLMQ__TYPE__SUBMIT, &submit), ERR_INVALID);
    do link_next(link, &event, NULL, 0, CALL_MS);
    while (event.kind != LINK_ANSWER);
    EXPECT_EQ(((const Vlmq__TakeAnswer *)(const void *)event.envelope.body)->n_grants, 0);
    EXPECT_EQ(fleet_get(client, "taken")->tasks_ready, 1);
    link_close(link);
    link_close(other);
    link_close(client);
}

/* Every grant carries its job's spec: what an answer has no room for is left for others. */
TEST(fleet, a_take_leases_no_more_than_its_answer_holds)
{
    UNUSED_STATE;
    struct link *link = fleet_link(0);
    Vlmq__Job job;
    Vlmq__Submit submit;
    Vlmq__WorkerInfo info;
    Vlmq__Hello hello;
    Vlmq__Jobs__Download spec;
    static char long_text[60000];
    memset(long_text, 'a', sizeof long_text - 1);
    worker_info(&info, worker);
    info.kinds[0] = text("download");
    vlmq__hello__init(&hello);
    hello.worker = &info;
    fleet_call(link, VLMQ__TYPE__HELLO, &hello);
    vlmq__jobs__download__init(&spec);
    spec.user_agent = long_text;
    fleet_job(&job, &(struct submit){.id = "long"});
    job.kind = text("download");
    job.spec.len = vlmq__jobs__download__get_packed_size(&spec);
    job.spec.data = arena_new(&fleet.arena, job.spec.len);
    (void)vlmq__jobs__download__pack(&spec, job.spec.data);
    vlmq__submit__init(&submit);
    submit.job = &job;
    fleet_call(link, VLMQ__TYPE__SUBMIT, &submit);
    fleet_done(link, fleet_take_one(link, worker), 60, NULL);
    const Vlmq__TakeAnswer *taken = fleet_take(link, worker, 60, CALL_MS);
    EXPECT(taken->n_grants > 8 && taken->n_grants < 20);
    EXPECT_EQ(fleet_get(link, "long")->tasks_leased, taken->n_grants);
    Vlmq__Events events;
    vlmq__events__init(&events);
    events.job = text("long");
    events.rows = 100;
    const Vlmq__EventsAnswer *feed = fleet_call(link, VLMQ__TYPE__EVENTS, &events);
    EXPECT(feed->n_events >= 2);
    for (size_t i = 0; i < feed->n_events; i++)
        EXPECT(strcmp(feed->events[i]->name, "task.yielded") != 0);
    link_close(link);
}

TEST(fleet, a_cancel_at_one_broker_is_heard_by_a_worker_at_another)
{
    UNUSED_STATE;
    fleet_start(1, NULL);
    struct link *client = fleet_link(0), *link = fleet_link(1);
    struct link_event event;
    fleet_hello(link, worker);
    fleet_submit(client, &(struct submit){.id = "doomed"});
    const Vlmq__Grant *grant = fleet_take_one(link, worker);
    fleet_control(client, "doomed", VLMQ__VERB__VERB_CANCEL);
    link_next(link, &event, NULL, 0, CALL_MS);
    EXPECT_EQ(event.kind, LINK_PUSH);
    EXPECT_EQ(event.envelope.type, VLMQ__TYPE__NOTICE);
    EXPECT_EQ(fleet_renew(link, worker, grant, 0), ERR_CANCELLED);
    link_close(link);
    link_close(client);
}

TEST(fleet, tasks_added_at_one_broker_are_found_by_a_take_at_another)
{
    UNUSED_STATE;
    fleet_start(1, NULL);
    struct link *first = fleet_link(0), *second = fleet_link(1);
    fleet_hello(first, worker);
    fleet_hello(second, "host/cpu/2/b");
    fleet_submit(first, &(struct submit){.id = "spread"});
    const Vlmq__Grant *plan = fleet_take_one(first, worker);
    EXPECT_EQ(fleet_take(second, "host/cpu/2/b", 4, 400)->n_grants, 0);
    fleet_done(first, plan, 3, NULL);
    EXPECT(fleet_take(second, "host/cpu/2/b", 4, CALL_MS)->n_grants > 0);
    link_close(second);
    link_close(first);
}

TEST(fleet, a_restarted_broker_knows_everything_again)
{
    UNUSED_STATE;
    struct link *link = fleet_link(0);
    fleet_hello(link, worker);
    fleet_planned(link, worker, &(struct submit){.id = "kept"}, 2);
    const Vlmq__Grant *held = fleet_take_one(link, worker);
    link_close(link);
    fleet_stop(0);
    fleet_start(0, NULL);
    link = fleet_link(0);
    fleet_hello(link, worker);
    EXPECT_EQ(fleet_renew(link, worker, held, 0), ERR_OK);
    const Vlmq__Grant *other = fleet_take_one(link, worker);
    EXPECT_TEXT(other->job, "kept");
    EXPECT(other->index != held->index);
    link_close(link);
}

/* A ping's answer while Redis is there, or away. */
static bool ping_says(struct sock *sock, bool ready)
{
    const int64_t end = clock_real.mono_ms(&clock_real) + CALL_MS;
    Vlmq__Ping ping;
    vlmq__ping__init(&ping);
    for (uint64_t id = 1000; clock_real.mono_ms(&clock_real) < end; id++) {
        raw_send(sock, VLMQ__TYPE__PING, id, 0, &ping);
        const struct envelope answer = raw_recv(sock);
        const Vlmq__PingAnswer *pong = (const Vlmq__PingAnswer *)(const void *)answer.body;
        EXPECT_EQ(answer.type, VLMQ__TYPE__PING_ANSWER);
        if ((pong->redis_ready != 0) == ready) return ready || pong->redis_note[0];
        clock_sleep_ms(20);
    }
    return false;
}

TEST(fleet, while_redis_is_away_requests_are_refused_and_then_all_goes_on)
{
    UNUSED_STATE;
    struct link *link = fleet_link(0);
    struct sock *sock = raw_open(0);
    fleet_hello(link, worker);
    fleet_planned(link, worker, &(struct submit){.id = "survivor"}, 1);
    const Vlmq__Grant *grant = fleet_take_one(link, worker);
    redis_server_kill(&fleet.redis);
    EXPECT(ping_says(sock, false));
    Vlmq__Get get;
    vlmq__get__init(&get);
    get.job = text("survivor");
    raw_send(sock, VLMQ__TYPE__GET, 5, 0, &get);
    const struct envelope answer = raw_recv(sock);
    EXPECT_EQ(answer.type, VLMQ__TYPE__ERROR);
    const Vlmq__Error *error = (const Vlmq__Error *)(const void *)answer.body;
    EXPECT_EQ(error->code, VLMQ__CODE__CODE_UNAVAILABLE);
    EXPECT(error->retry_after_ms > 0);
    redis_server_restart(&fleet.redis, "");
    EXPECT_EQ(fleet_renew(link, worker, grant, 1), ERR_OK); /* the link repeats it until then */
    EXPECT(ping_says(sock, true));
    fleet_done(link, grant, 0, NULL);
    finish_job(link, "survivor");
    sock_close(sock);
    link_close(link);
}

TEST(fleet, a_take_parked_while_redis_is_away_is_served_when_it_is_back)
{
    UNUSED_STATE;
    struct link *link = fleet_link(0);
    struct sock *sock = raw_open(0);
    fleet_hello(link, worker);
    fleet_submit(link, &(struct submit){.id = "early"});
    redis_server_kill(&fleet.redis);
    EXPECT(ping_says(sock, false));
    Vlmq__Take take;
    take_body(&take, worker, 1);
    raw_send(sock, VLMQ__TYPE__TAKE, 8, POLL_TTL_MS, &take);
    EXPECT(raw_silent(sock, 50));
    redis_server_restart(&fleet.redis, "");
    const struct envelope answer = raw_recv(sock);
    EXPECT_EQ(answer.type, VLMQ__TYPE__TAKE_ANSWER);
    EXPECT_EQ(((const Vlmq__TakeAnswer *)(const void *)answer.body)->n_grants, 1);
    sock_close(sock);
    link_close(link);
}

TEST(fleet, a_redis_that_hangs_holds_nobody_up_for_long)
{
    UNUSED_STATE;
    struct link *link = fleet_link(0);
    struct sock *sock = raw_open(0);
    fleet_submit(link, &(struct submit){.id = "patient"});
    EXPECT_EQ(kill(fleet.redis.pid, SIGSTOP), 0);
    EXPECT(ping_says(sock, false));
    EXPECT_EQ(kill(fleet.redis.pid, SIGCONT), 0);
    EXPECT_EQ(fleet_get(link, "patient")->tasks_ready, 1);
    sock_close(sock);
    link_close(link);
}

TEST(fleet, a_vanished_workers_task_is_given_to_another)
{
    UNUSED_STATE;
    struct link *link = fleet_link(0), *lost = fleet_link(0);
    fleet_hello(lost, "lost/cpu/1/x");
    fleet_submit(link, &(struct submit){.id = "orphan"});
    const Vlmq__Grant *grant = fleet_take_one(lost, "lost/cpu/1/x");
    EXPECT_EQ(fleet_renew(lost, "lost/cpu/1/x", grant, 0), ERR_OK);
    link_close(lost);
    fleet_hello(link, worker);
    const Vlmq__Grant *again = fleet_take_one(link, worker);
    EXPECT_TEXT(again->job, "orphan");
    EXPECT_EQ(again->attempt, 2);
    link_close(link);
}

TEST(fleet, a_held_job_starts_when_the_other_is_done)
{
    UNUSED_STATE;
    struct link *link = fleet_link(0);
    fleet_hello(link, worker);
    fleet_submit(link, &(struct submit){.id = "first", .priority = 1});
    fleet_submit(link, &(struct submit){.id = "second", .after = "first"});
    EXPECT_EQ(fleet_get(link, "second")->state, VLMQ__JOB_STATE__JOB_HELD);
    finish_job(link, "first");
    EXPECT_EQ(fleet_get(link, "first")->state, VLMQ__JOB_STATE__JOB_DONE);
    finish_job(link, "second");
    EXPECT_EQ(fleet_get(link, "second")->state, VLMQ__JOB_STATE__JOB_DONE);
    link_close(link);
}

TEST(fleet, a_held_job_fails_when_the_other_is_cancelled)
{
    UNUSED_STATE;
    struct link *link = fleet_link(0);
    fleet_submit(link, &(struct submit){.id = "first"});
    fleet_submit(link, &(struct submit){.id = "second", .after = "first"});
    fleet_control(link, "first", VLMQ__VERB__VERB_CANCEL);
    const Vlmq__Job *job = fleet_until(link, "second", VLMQ__JOB_STATE__JOB_FAILED);
    EXPECT(strstr(job->reason, "first") != NULL);
    link_close(link);
}

TEST(fleet, a_chained_job_gets_a_task_for_each_shard_as_it_is_made)
{
    UNUSED_STATE;
    struct link *link = fleet_link(0);
    fleet_hello(link, worker);
    fleet_planned(link, worker, &(struct submit){.id = "source"}, 2);
    fleet_submit(link, &(struct submit){.id = "sink", .from = "source", .priority = 9});
    const Vlmq__TakeAnswer *taken = fleet_take(link, worker, 2, CALL_MS);
    EXPECT_EQ(taken->n_grants, 2);
    fleet_done(link, taken->grants[0], 0, "shard-a");
    const Vlmq__Grant *grant = fleet_take_one(link, worker);
    EXPECT_TEXT(grant->job, "sink");
    EXPECT_TEXT(grant->name, "shard-a");
    EXPECT_TEXT(grant->from, "source");
    EXPECT_EQ(grant->payload.len, 16);
    fleet_done(link, grant, 0, NULL);
    EXPECT_EQ(fleet_get(link, "sink")->state, VLMQ__JOB_STATE__JOB_RUNNING);
    fleet_done(link, taken->grants[1], 0, "shard-b");
    finish_job(link, "source");
    finish_job(link, "sink");
    const Vlmq__Job *sink = fleet_get(link, "sink");
    EXPECT_EQ(sink->state, VLMQ__JOB_STATE__JOB_DONE);
    EXPECT_EQ(sink->tasks_done, 3); /* two shards and the close */
    link_close(link);
}

TEST(fleet, a_chain_goes_on_at_another_broker_without_doubling)
{
    UNUSED_STATE;
    struct link *link = fleet_link(0);
    fleet_hello(link, worker);
    fleet_planned(link, worker, &(struct submit){.id = "source"}, 2);
    fleet_submit(link, &(struct submit){.id = "sink", .from = "source", .priority = 9});
    const Vlmq__TakeAnswer *taken = fleet_take(link, worker, 2, CALL_MS);
    fleet_done(link, taken->grants[0], 0, "shard-a");
    fleet_done(link, fleet_take_one(link, worker), 0, NULL);
    fleet_start(1, NULL);
    struct link *other = fleet_link(1);
    link_close(link);
    fleet_stop(0);
    fleet_hello(other, worker);
    fleet_done(other, taken->grants[1], 0, "shard-b");
    finish_job(other, "source");
    finish_job(other, "sink");
    EXPECT_EQ(fleet_get(other, "sink")->state, VLMQ__JOB_STATE__JOB_DONE);
    EXPECT_EQ(fleet_get(other, "sink")->tasks_total, 3);
    link_close(other);
}

TEST(fleet, a_chained_job_fails_when_its_source_is_purged)
{
    UNUSED_STATE;
    struct link *link = fleet_link(0);
    fleet_submit(link, &(struct submit){.id = "source"});
    fleet_submit(link, &(struct submit){.id = "sink", .from = "source"});
    fleet_control(link, "source", VLMQ__VERB__VERB_CANCEL);
    fleet_control(link, "source", VLMQ__VERB__VERB_PURGE);
    fleet_hello(link, worker);
    finish_job(link, "sink");
    const Vlmq__Job *job = fleet_get(link, "sink");
    EXPECT_EQ(job->state, VLMQ__JOB_STATE__JOB_FAILED);
    EXPECT(strstr(job->reason, "source") != NULL);
    link_close(link);
}

/* Many workers of one job, each over its own socket, all parked at once: every task goes out once.
 */
TEST(fleet, a_crowd_of_parked_takes_shares_a_job)
{
    UNUSED_STATE;
    enum { CROWD = 40 };
    struct link *link = fleet_link(0);
    struct sock *sock[CROWD];
    bool seen[CROWD + 1] = {false};
    for (uint32_t i = 0; i < CROWD; i++) {
        Vlmq__Take take;
        Vlmq__WorkerInfo info;
        Vlmq__Hello hello;
        const char *id = arena_printf(&fleet.arena, "crowd/cpu/%u/x", i);
        sock[i] = raw_open(0);
        worker_info(&info, id);
        vlmq__hello__init(&hello);
        hello.worker = &info;
        raw_send(sock[i], VLMQ__TYPE__HELLO, 1, 0, &hello);
        EXPECT_EQ(raw_recv(sock[i]).type, VLMQ__TYPE__HELLO_ANSWER);
        take_body(&take, id, 4);
        raw_send(sock[i], VLMQ__TYPE__TAKE, i + 10, POLL_TTL_MS, &take);
    }
    fleet_hello(link, worker);
    fleet_submit(link, &(struct submit){.id = "crowded"});
    uint32_t planner = CROWD;
    const int64_t end = clock_real.mono_ms(&clock_real) + CALL_MS;
    for (uint32_t i = 0; planner == CROWD && clock_real.mono_ms(&clock_real) < end;
         i = (i + 1) % CROWD) {
        struct envelope answer;
        if (!raw_wait(sock[i], &answer, 5)) continue;
        const Vlmq__TakeAnswer *taken = (const Vlmq__TakeAnswer *)(const void *)answer.body;
        EXPECT_EQ(taken->n_grants, 1);
        fleet_done(link, taken->grants[0], CROWD - 1, NULL);
        planner = i;
    }
    EXPECT(planner < CROWD);
    for (uint32_t i = 0; i < CROWD; i++) {
        if (i == planner) continue;
        const struct envelope answer = raw_recv(sock[i]);
        const Vlmq__TakeAnswer *taken = (const Vlmq__TakeAnswer *)(const void *)answer.body;
        EXPECT_EQ(taken->n_grants, 1); /* spread: one each */
        EXPECT(!seen[taken->grants[0]->index]);
        seen[taken->grants[0]->index] = true;
    }
    for (uint32_t i = 0; i < CROWD; i++) sock_close(sock[i]);
    link_close(link);
}

static bool is_active(const char *id)
{
    char *score = redis_server_cli(&fleet.redis, "ZSCORE 'vlmq:{fleet}:active' %s", id);
    const bool active = *score != 0;
    free(score);
    return active;
}

/* Turns broker 1 until it knows the job so; a broker that is stopped then has not done yet what
 * follows from it. */
static struct job *known(const char *id, bool ended)
{
    struct broker *b = fleet.broker[1].broker;
    const int64_t end = clock_real.mono_ms(&clock_real) + CALL_MS;
    for (;;) {
        struct job *job = jobs_find(&b->jobs, id);
        if (job && job_state_ended(job->state) == ended) return job;
        EXPECT(clock_real.mono_ms(&clock_real) < end);
        (void)broker_turn(b);
        clock_sleep_ms(5);
    }
}

TEST(fleet, a_job_that_is_revived_while_it_leaves_the_index_comes_back)
{
    UNUSED_STATE;
    struct link *link = fleet_link(0);
    fleet_open(1, NULL);
    fleet_hello(link, worker);
    fleet_submit(link, &(struct submit){.id = "lazarus"});
    (void)known("lazarus", false);
    Vlmq__Attempt attempt;
    Vlmq__Fail fail;
    fleet_attempt(&attempt, fleet_take_one(link, worker));
    vlmq__fail__init(&fail);
    fail.attempt = &attempt;
    fail.blame = VLMQ__BLAME__BLAME_INPUT;
    fail.code = VLMQ__CODE__CODE_INVALID;
    fail.reason = text("no such list");
    (void)fleet_call(link, VLMQ__TYPE__FAIL, &fail);
    EXPECT(known("lazarus", true)->unindex);
    EXPECT_EQ(fleet_control(link, "lazarus", VLMQ__VERB__VERB_RETRY)->count, 1);
    clock_sleep_ms(2 * CARE_RETRY_MS); /* broker 0 has done what it does about this */
    EXPECT(is_active("lazarus"));
    for (uint32_t i = 0; i < 10; i++) (void)broker_turn(fleet.broker[1].broker);
    EXPECT(is_active("lazarus"));
    link_close(link);
}

/* Turns broker 1, which has no thread, until it answers. */
static struct envelope turned(struct sock *sock)
{
    struct envelope answer;
    const int64_t end = clock_real.mono_ms(&clock_real) + CALL_MS;
    do {
        EXPECT(clock_real.mono_ms(&clock_real) < end);
        (void)broker_turn(fleet.broker[1].broker);
    } while (!raw_wait(sock, &answer, 5));
    return answer;
}

/* Each commit waits for the disk. What a broker does by itself may follow in a second one, so not
 * every one of the jobs shows it. */
TEST(fleet, a_new_jobs_first_task_is_taken_in_the_commit_of_its_submit)
{
    UNUSED_STATE;
    uint32_t in_one = 0;
    fleet_open(1, NULL);
    struct sock *sock = raw_open(1), *client = raw_open(1);
    const struct broker *broker = fleet.broker[1].broker;
    Vlmq__WorkerInfo info;
    Vlmq__Hello hello;
    Vlmq__Take take;
    Vlmq__Ping ping;
    worker_info(&info, worker);
    vlmq__hello__init(&hello);
    vlmq__ping__init(&ping);
    hello.worker = &info;
    raw_send(sock, VLMQ__TYPE__HELLO, 1, 0, &hello);
    EXPECT_EQ(turned(sock).type, VLMQ__TYPE__HELLO_ANSWER);
    for (uint32_t i = 0; i < 10; i++) {
        Vlmq__Job job;
        Vlmq__Submit submit;
        take_body(&take, worker, 1);
        raw_send(sock, VLMQ__TYPE__TAKE, 100 + i, POLL_TTL_MS, &take);
        raw_send(sock, VLMQ__TYPE__PING, 200 + i, 0, &ping);
        EXPECT_EQ(turned(sock).type, VLMQ__TYPE__PING_ANSWER); /* so the take is parked */
        fleet_job(&job, &(struct submit){.id = arena_printf(&fleet.arena, "new-%u", i)});
        vlmq__submit__init(&submit);
        submit.job = &job;
        raw_send(client, VLMQ__TYPE__SUBMIT, 300 + i, 0, &submit);
        const int64_t end = clock_real.mono_ms(&clock_real) + CALL_MS;
        while (broker->metrics.tasks_taken == i && clock_real.mono_ms(&clock_real) < end)
            (void)broker_turn(fleet.broker[1].broker);
        in_one += broker->turn.commits == 1;
        const struct envelope answer = turned(sock);
        EXPECT_EQ(answer.type, VLMQ__TYPE__TAKE_ANSWER);
        EXPECT_TEXT(((const Vlmq__TakeAnswer *)(const void *)answer.body)->grants[0]->job, job.id);
        EXPECT_EQ(turned(client).type, VLMQ__TYPE__SUBMIT_ANSWER);
    }
    EXPECT(in_one > 0);
    sock_close(client);
    sock_close(sock);
}

#define FLEET(claim) cmocka_unit_test_setup_teardown(fleet__##claim, fleet_setup, fleet_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FLEET(a_job_submitted_to_one_broker_is_taken_from_another),
        FLEET(a_refused_submit_gives_nobody_tasks_of_the_other_job),
        FLEET(a_take_leases_no_more_than_its_answer_holds),
        FLEET(a_new_jobs_first_task_is_taken_in_the_commit_of_its_submit),
        FLEET(a_cancel_at_one_broker_is_heard_by_a_worker_at_another),
        FLEET(tasks_added_at_one_broker_are_found_by_a_take_at_another),
        FLEET(a_restarted_broker_knows_everything_again),
        FLEET(while_redis_is_away_requests_are_refused_and_then_all_goes_on),
        FLEET(a_take_parked_while_redis_is_away_is_served_when_it_is_back),
        FLEET(a_redis_that_hangs_holds_nobody_up_for_long),
        FLEET(a_vanished_workers_task_is_given_to_another),
        FLEET(a_held_job_starts_when_the_other_is_done),
        FLEET(a_held_job_fails_when_the_other_is_cancelled),
        FLEET(a_chained_job_gets_a_task_for_each_shard_as_it_is_made),
        FLEET(a_chain_goes_on_at_another_broker_without_doubling),
        FLEET(a_chained_job_fails_when_its_source_is_purged),
        FLEET(a_job_that_is_revived_while_it_leaves_the_index_comes_back),
        FLEET(a_crowd_of_parked_takes_shares_a_job),
    };
    return cmocka_run_group_tests(tests, fleet_group_setup, fleet_group_teardown);
}
