/* broker_test.c - one broker over a real Redis: requests, answers, and what it refuses. */
#include "common/base/fs.h"
#include "tests/unit/broker/fleet.c"

#include <stdio.h>
#include <sys/stat.h>

static const char worker[] = "host/cpu/1/a";

TEST(broker, a_job_goes_from_submit_to_done)
{
    UNUSED_STATE;
    struct link *link = fleet_link(0);
    fleet_hello(link, worker);
    fleet_planned(link, worker, &(struct submit){.id = "job", .tasks = 7}, 2);
    const Vlmq__TakeAnswer *taken = fleet_take(link, worker, 4, CALL_MS);
    EXPECT_EQ(taken->n_grants, 2);
    const Vlmq__Grant *grant = taken->grants[0];
    EXPECT_TEXT(grant->kind, "probe");
    EXPECT_EQ(grant->lease_ttl_ms, LEASE_TTL_MS);
    EXPECT_EQ(grant->attempt, 1);
    Vlmq__Jobs__Probe *spec = vlmq__jobs__probe__unpack(NULL, grant->spec.len, grant->spec.data);
    EXPECT(spec != NULL);
    EXPECT_EQ(spec->tasks, 7);
    vlmq__jobs__probe__free_unpacked(spec, NULL);
    EXPECT_EQ(fleet_renew(link, worker, grant, 3), ERR_OK);
    fleet_done(link, grant, 0, NULL);
    fleet_done(link, grant, 0, NULL); /* repeated */
    fleet_done(link, taken->grants[1], 0, NULL);
    const Vlmq__Grant *close = fleet_take_one(link, worker);
    EXPECT_EQ(close->phase, VLMQ__PHASE__PHASE_CLOSE);
    fleet_done(link, close, 0, NULL);
    const Vlmq__Job *job = fleet_get(link, "job");
    EXPECT_EQ(job->state, VLMQ__JOB_STATE__JOB_DONE);
    EXPECT_EQ(job->tasks_done, 4);
    link_close(link);
}

TEST(broker, a_parked_take_is_answered_by_a_later_submit)
{
    UNUSED_STATE;
    struct link *link = fleet_link(0);
    struct sock *sock = raw_open(0);
    Vlmq__Take take;
    fleet_hello(link, worker);
    take_body(&take, "other/cpu/1/b", 2);
    Vlmq__WorkerInfo info;
    Vlmq__Hello hello;
    worker_info(&info, "other/cpu/1/b");
    vlmq__hello__init(&hello);
    hello.worker = &info;
    raw_send(sock, VLMQ__TYPE__HELLO, 1, 0, &hello);
    EXPECT_EQ(raw_recv(sock).type, VLMQ__TYPE__HELLO_ANSWER);
    raw_send(sock, VLMQ__TYPE__TAKE, 2, POLL_TTL_MS, &take);
    Vlmq__Ping ping;
    vlmq__ping__init(&ping);
    raw_send(sock, VLMQ__TYPE__PING, 3, 0, &ping);
    EXPECT_EQ(raw_recv(sock).type, VLMQ__TYPE__PING_ANSWER); /* so the take is parked */
    EXPECT(raw_silent(sock, 50));
    fleet_submit(link, &(struct submit){.id = "late"});
    const struct envelope answer = raw_recv(sock);
    EXPECT_EQ(answer.type, VLMQ__TYPE__TAKE_ANSWER);
    EXPECT_EQ(answer.request_id, 2);
    const Vlmq__TakeAnswer *taken = (const Vlmq__TakeAnswer *)(const void *)answer.body;
    EXPECT_EQ(taken->n_grants, 1);
    EXPECT(taken->waited_ms >= 49); /* both ends are whole milliseconds */
    sock_close(sock);
    link_close(link);
}

TEST(broker, a_take_without_work_is_answered_empty_in_time)
{
    UNUSED_STATE;
    struct link *link = fleet_link(0);
    fleet_hello(link, worker);
    const Vlmq__TakeAnswer *taken = fleet_take(link, worker, 1, 400);
    EXPECT_EQ(taken->n_grants, 0);
    EXPECT(taken->waited_ms > 0);
    link_close(link);
}

/* Says hello over a raw socket. */
static void raw_hello(struct sock *sock, const char *id)
{
    Vlmq__WorkerInfo info;
    Vlmq__Hello hello;
    worker_info(&info, id);
    vlmq__hello__init(&hello);
    hello.worker = &info;
    raw_send(sock, VLMQ__TYPE__HELLO, 4242, 0, &hello);
    EXPECT_EQ(raw_recv(sock).type, VLMQ__TYPE__HELLO_ANSWER);
}

TEST(broker, a_repeated_take_gets_the_same_grants)
{
    UNUSED_STATE;
    struct link *link = fleet_link(0);
    struct sock *sock = raw_open(0), *again = raw_open(0);
    Vlmq__Take take;
    fleet_submit(link, &(struct submit){.id = "once"});
    raw_hello(sock, worker);
    take_body(&take, worker, 4);
    struct sock *const from[] = {sock, sock, again}; /* the last: after a reconnect */
    const char *lease = NULL;
    for (uint32_t i = 0; i < 3; i++) {
        struct sock *s = from[i];
        raw_send(s, VLMQ__TYPE__TAKE, 77, CALL_MS, &take);
        const struct envelope answer = raw_recv(s);
        EXPECT_EQ(answer.request_id, 77);
        const Vlmq__TakeAnswer *taken = (const Vlmq__TakeAnswer *)(const void *)answer.body;
        EXPECT_EQ(taken->n_grants, 1);
        if (lease) EXPECT_TEXT(taken->grants[0]->lease, lease);
        lease = taken->grants[0]->lease;
    }
    EXPECT_EQ(fleet_get(link, "once")->tasks_leased, 1);
    sock_close(again);
    sock_close(sock);
    link_close(link);
}

TEST(broker, a_worker_that_is_gone_costs_its_grant_no_lease)
{
    UNUSED_STATE;
    struct link *link = fleet_link(0);
    struct sock *gone = raw_open(0);
    Vlmq__Take take;
    raw_hello(gone, "gone/cpu/1/x");
    take_body(&take, "gone/cpu/1/x", 1);
    raw_send(gone, VLMQ__TYPE__TAKE, 5, POLL_TTL_MS, &take);
    Vlmq__Ping ping;
    vlmq__ping__init(&ping);
    raw_send(gone, VLMQ__TYPE__PING, 6, 0, &ping);
    EXPECT_EQ(raw_recv(gone).type, VLMQ__TYPE__PING_ANSWER); /* so the take is parked */
    sock_close(gone);
    fleet_hello(link, worker);
    fleet_submit(link, &(struct submit){.id = "passed-on"});
    const Vlmq__Grant *grant = fleet_take_one(link, worker);
    EXPECT_TEXT(grant->job, "passed-on");
    EXPECT_EQ(fleet_renew(link, worker, grant, 0), ERR_OK);
    link_close(link);
}

TEST(broker, a_repeated_submit_is_the_same_job_and_another_is_refused)
{
    UNUSED_STATE;
    struct link *link = fleet_link(0);
    Vlmq__Job job;
    Vlmq__Submit body;
    fleet_job(&job, &(struct submit){.id = "same", .tasks = 3});
    vlmq__submit__init(&body);
    body.job = &job;
    EXPECT(((const Vlmq__SubmitAnswer *)fleet_call(link, VLMQ__TYPE__SUBMIT, &body))->created);
    EXPECT(!((const Vlmq__SubmitAnswer *)fleet_call(link, VLMQ__TYPE__SUBMIT, &body))->created);
    fleet_job(&job, &(struct submit){.id = "same", .tasks = 4});
    EXPECT_EQ(fleet_fail(link, VLMQ__TYPE__SUBMIT, &body), ERR_INVALID);
    link_close(link);
}

TEST(broker, submits_that_cannot_be_served_are_refused_with_a_reason)
{
    UNUSED_STATE;
    struct link *link = fleet_link(0);
    Vlmq__Job job;
    Vlmq__Submit body;
    vlmq__submit__init(&body);
    body.job = &job;
    fleet_job(&job, &(struct submit){.id = "a", .after = "nowhere"});
    EXPECT_EQ(fleet_fail(link, VLMQ__TYPE__SUBMIT, &body), ERR_INVALID);
    fleet_job(&job, &(struct submit){.id = "a", .from = "nowhere"});
    EXPECT_EQ(fleet_fail(link, VLMQ__TYPE__SUBMIT, &body), ERR_INVALID);
    fleet_job(&job, &(struct submit){.id = "a", .after = "a"});
    EXPECT_EQ(fleet_fail(link, VLMQ__TYPE__SUBMIT, &body), ERR_INVALID);
    fleet_job(&job, &(struct submit){.id = "a"});
    job.kind = text("unheard_of");
    EXPECT_EQ(fleet_fail(link, VLMQ__TYPE__SUBMIT, &body), ERR_INVALID);
    fleet_job(&job, &(struct submit){.id = "a"});
    job.spec.data[0] = 0xff;
    EXPECT_EQ(fleet_fail(link, VLMQ__TYPE__SUBMIT, &body), ERR_INVALID);
    Vlmq__Get get;
    vlmq__get__init(&get);
    get.job = text("a");
    EXPECT_EQ(fleet_fail(link, VLMQ__TYPE__GET, &get), ERR_NOT_FOUND);
    link_close(link);
}

TEST(broker, another_protocol_version_is_told_so)
{
    UNUSED_STATE;
    struct sock *sock = raw_open(0);
    Vlmq__Envelope envelope;
    vlmq__envelope__init(&envelope);
    envelope.version = PROTOCOL_VERSION + 1;
    envelope.type = VLMQ__TYPE__PING;
    envelope.request_id = 9;
    uint8_t bytes[64];
    raw_bytes(sock, bytes, vlmq__envelope__pack(&envelope, bytes));
    const struct envelope answer = raw_recv(sock);
    EXPECT_EQ(answer.type, VLMQ__TYPE__ERROR);
    EXPECT_EQ(answer.request_id, 9);
    const Vlmq__Error *error = (const Vlmq__Error *)(const void *)answer.body;
    EXPECT_EQ(error->code, VLMQ__CODE__CODE_VERSION);
    EXPECT(strstr(error->message, "version 2") != NULL);
    EXPECT(strstr(error->message, "version 1") != NULL);
    sock_close(sock);
}

TEST(broker, garbage_harms_nobody)
{
    UNUSED_STATE;
    struct sock *sock = raw_open(0);
    struct link *link = fleet_link(0);
    struct rng rng;
    uint8_t bytes[200];
    rng_seed(&rng, test_seed());
    for (uint32_t i = 0; i < 500; i++) {
        const size_t count = rng_below(&rng, sizeof bytes) + 1;
        for (size_t k = 0; k < count; k++) bytes[k] = (uint8_t)rng_next(&rng);
        raw_bytes(sock, bytes, count);
    }
    fleet_submit(link, &(struct submit){.id = "unharmed"});
    EXPECT_EQ(fleet_get(link, "unharmed")->tasks_total, 1);
    sock_close(sock);
    link_close(link);
}

TEST(broker, an_answer_is_no_request)
{
    UNUSED_STATE;
    struct sock *sock = raw_open(0);
    Vlmq__DrainAnswer body;
    vlmq__drain_answer__init(&body);
    raw_send(sock, VLMQ__TYPE__DRAIN_ANSWER, 3, 0, &body);
    const struct envelope answer = raw_recv(sock);
    EXPECT_EQ(answer.type, VLMQ__TYPE__ERROR);
    EXPECT_EQ(((const Vlmq__Error *)(const void *)answer.body)->code, VLMQ__CODE__CODE_INVALID);
    sock_close(sock);
}

TEST(broker, a_cancel_reaches_the_worker_and_ends_the_job)
{
    UNUSED_STATE;
    struct link *link = fleet_link(0), *client = fleet_link(0);
    struct link_event event;
    fleet_hello(link, worker);
    fleet_submit(client, &(struct submit){.id = "doomed"});
    const Vlmq__Grant *grant = fleet_take_one(link, worker);
    fleet_control(client, "doomed", VLMQ__VERB__VERB_CANCEL);
    link_next(link, &event, NULL, 0, CALL_MS);
    EXPECT_EQ(event.kind, LINK_PUSH);
    EXPECT_EQ(event.envelope.type, VLMQ__TYPE__NOTICE);
    EXPECT_TEXT(((const Vlmq__Notice *)(const void *)event.envelope.body)->job, "doomed");
    EXPECT_EQ(fleet_renew(link, worker, grant, 0), ERR_CANCELLED);
    Vlmq__Attempt attempt;
    Vlmq__Yield yield;
    fleet_attempt(&attempt, grant);
    vlmq__yield__init(&yield);
    yield.attempt = &attempt;
    (void)fleet_call(link, VLMQ__TYPE__YIELD, &yield);
    EXPECT_EQ(fleet_get(client, "doomed")->state, VLMQ__JOB_STATE__JOB_CANCELLED);
    EXPECT_EQ(fleet_renew(link, worker, grant, 0), ERR_STALE);
    link_close(client);
    link_close(link);
}

TEST(broker, a_failed_task_comes_back_after_its_backoff)
{
    UNUSED_STATE;
    struct link *link = fleet_link(0);
    fleet_hello(link, worker);
    fleet_submit(link, &(struct submit){.id = "shaky"});
    const Vlmq__Grant *grant = fleet_take_one(link, worker);
    Vlmq__Attempt attempt;
    Vlmq__Fail fail;
    fleet_attempt(&attempt, grant);
    vlmq__fail__init(&fail);
    fail.attempt = &attempt;
    fail.code = VLMQ__CODE__CODE_UNAVAILABLE;
    fail.reason = text("the disk is away");
    (void)fleet_call(link, VLMQ__TYPE__FAIL, &fail);
    grant = fleet_take_one(link, worker);
    EXPECT_EQ(grant->attempt, 2);
    link_close(link);
}

TEST(broker, a_renewal_that_is_refused_costs_the_others_nothing)
{
    UNUSED_STATE;
    struct link *link = fleet_link(0);
    fleet_hello(link, worker);
    fleet_planned(link, worker, &(struct submit){.id = "pair"}, 2);
    const Vlmq__TakeAnswer *taken = fleet_take(link, worker, 2, CALL_MS);
    EXPECT_EQ(taken->n_grants, 2);
    Vlmq__Attempt attempt[2];
    Vlmq__Progress progress[2];
    Vlmq__Renewal renewal[2], *renewals[2];
    Vlmq__Renew body;
    for (uint32_t i = 0; i < 2; i++) {
        fleet_attempt(&attempt[i], taken->grants[i]);
        vlmq__progress__init(&progress[i]);
        vlmq__renewal__init(&renewal[i]);
        renewal[i].attempt = &attempt[i];
        renewal[i].progress = &progress[i];
        renewals[i] = &renewal[i];
    }
    progress[0].items = INT64_MAX;
    vlmq__renew__init(&body);
    body.worker = text(worker);
    body.renewals = renewals;
    body.n_renewals = 2;
    const Vlmq__RenewAnswer *answer = fleet_call(link, VLMQ__TYPE__RENEW, &body);
    EXPECT_EQ(answer->n_results, 2);
    EXPECT_EQ(envelope_code(answer->results[0]->code), ERR_INVALID);
    EXPECT_EQ(envelope_code(answer->results[1]->code), ERR_OK);
    link_close(link);
}

/* Planned, and paused until all are. */
static void planned_and_paused(struct link *link, const char *id, const char *owner)
{
    fleet_planned(link, worker, &(struct submit){.id = id, .owner = owner}, 20);
    (void)fleet_control(link, id, VLMQ__VERB__VERB_PAUSE);
}

TEST(broker, owners_take_turns_whatever_they_submit)
{
    UNUSED_STATE;
    struct link *link = fleet_link(0);
    uint32_t mine = 0;
    fleet_hello(link, worker);
    planned_and_paused(link, "flood1", "greedy");
    planned_and_paused(link, "flood2", "greedy");
    planned_and_paused(link, "fair", "modest");
    (void)fleet_control(link, "flood1", VLMQ__VERB__VERB_RESUME);
    (void)fleet_control(link, "flood2", VLMQ__VERB__VERB_RESUME);
    (void)fleet_control(link, "fair", VLMQ__VERB__VERB_RESUME);
    for (uint32_t i = 0; i < 10; i++) {
        if (!strcmp(fleet_take_one(link, worker)->job, "fair")) mine++;
    }
    EXPECT_EQ(mine, 5);
    link_close(link);
}

/* A match looks at a part of them, the best. */
TEST(broker, the_best_of_many_jobs_goes_first)
{
    UNUSED_STATE;
    enum { JOBS = 3 * MATCH_JOBS_MAX, STEP = 37 };
    struct link *link = fleet_link(0);
    char id[16];
    for (int32_t i = 0; i < JOBS; i++) {
        (void)snprintf(id, sizeof id, "many-%d", (int)i);
        fleet_submit(link, &(struct submit){.id = id, .priority = i * STEP % JOBS - JOBS / 2});
    }
    fleet_hello(link, worker);
    for (int32_t rank = 0; rank < JOBS; rank++) {
        const Vlmq__Grant *grant = fleet_take_one(link, worker);
        const int32_t i = (int32_t)strtol(grant->job + strlen("many-"), NULL, 10);
        EXPECT_EQ(i * STEP % JOBS, JOBS - 1 - rank);
    }
    link_close(link);
}

TEST(broker, a_paused_job_gives_nothing_until_it_is_resumed)
{
    UNUSED_STATE;
    struct link *link = fleet_link(0);
    fleet_hello(link, worker);
    fleet_submit(link, &(struct submit){.id = "paused", .paused = true});
    EXPECT_EQ(fleet_take(link, worker, 1, 300)->n_grants, 0);
    fleet_control(link, "paused", VLMQ__VERB__VERB_RESUME);
    EXPECT_TEXT(fleet_take_one(link, worker)->job, "paused");
    link_close(link);
}

/* Waits for an update about the job in the state, with at least so many tasks. */
static bool update_came(struct link *link, const char *id, Vlmq__JobState state, size_t tasks)
{
    const int64_t end = clock_real.mono_ms(&clock_real) + CALL_MS;
    struct link_event event;
    while (clock_real.mono_ms(&clock_real) < end) {
        link_next(link, &event, NULL, 0, 500);
        if (event.kind != LINK_PUSH || event.envelope.type != VLMQ__TYPE__WATCH_UPDATE) continue;
        const Vlmq__WatchUpdate *update =
            (const Vlmq__WatchUpdate *)(const void *)event.envelope.body;
        if (!strcmp(update->job->id, id) && update->job->state == state &&
            update->n_tasks >= tasks) {
            return true;
        }
    }
    return false;
}

static void watch(struct link *link, const char *id)
{
    Vlmq__Watch body;
    vlmq__watch__init(&body);
    body.job = text(id);
    (void)fleet_call(link, VLMQ__TYPE__WATCH, &body);
}

TEST(broker, a_watcher_sees_progress_and_the_end)
{
    UNUSED_STATE;
    struct link *link = fleet_link(0), *one = fleet_link(0), *all = fleet_link(0);
    fleet_hello(link, worker);
    watch(all, "");
    fleet_planned(link, worker, &(struct submit){.id = "seen"}, 1);
    watch(one, "seen");
    const Vlmq__Grant *grant = fleet_take_one(link, worker);
    EXPECT_EQ(fleet_renew(link, worker, grant, 5), ERR_OK);
    EXPECT(update_came(one, "seen", VLMQ__JOB_STATE__JOB_RUNNING, 1));
    EXPECT(update_came(all, "seen", VLMQ__JOB_STATE__JOB_RUNNING, 0));
    fleet_done(link, grant, 0, NULL);
    fleet_done(link, fleet_take_one(link, worker), 0, NULL);
    EXPECT(update_came(one, "seen", VLMQ__JOB_STATE__JOB_DONE, 0));
    EXPECT(update_came(all, "seen", VLMQ__JOB_STATE__JOB_DONE, 0));
    link_close(all);
    link_close(one);
    link_close(link);
}

TEST(broker, lists_jobs_tasks_events_and_workers)
{
    UNUSED_STATE;
    struct link *link = fleet_link(0);
    fleet_hello(link, worker);
    fleet_planned(link, worker, &(struct submit){.id = "one", .owner = "ann"}, 3);
    fleet_submit(link, &(struct submit){.id = "two", .owner = "bob"});
    Vlmq__List list;
    vlmq__list__init(&list);
    const Vlmq__ListAnswer *jobs = fleet_call(link, VLMQ__TYPE__LIST, &list);
    EXPECT_EQ(jobs->n_jobs, 2);
    EXPECT_TEXT(jobs->page, "");
    list.rows = 1;
    jobs = fleet_call(link, VLMQ__TYPE__LIST, &list);
    EXPECT_EQ(jobs->n_jobs, 1);
    EXPECT_TEXT(jobs->jobs[0]->id, "two");
    list.page = jobs->page;
    jobs = fleet_call(link, VLMQ__TYPE__LIST, &list);
    EXPECT_TEXT(jobs->jobs[0]->id, "one");
    vlmq__list__init(&list);
    list.owner = text("ann");
    list.active = 1;
    jobs = fleet_call(link, VLMQ__TYPE__LIST, &list);
    EXPECT_EQ(jobs->n_jobs, 1);
    EXPECT_TEXT(jobs->jobs[0]->id, "one");

    Vlmq__Tasks tasks;
    vlmq__tasks__init(&tasks);
    tasks.job = text("one");
    tasks.state = VLMQ__TASK_STATE__TASK_READY;
    const Vlmq__TasksAnswer *rows = fleet_call(link, VLMQ__TYPE__TASKS, &tasks);
    EXPECT_EQ(rows->n_tasks, 3);
    EXPECT_TEXT(rows->tasks[0]->name, "t0");
    Vlmq__Events events;
    vlmq__events__init(&events);
    events.job = text("one");
    const Vlmq__EventsAnswer *feed = fleet_call(link, VLMQ__TYPE__EVENTS, &events);
    EXPECT(feed->n_events >= 2);
    EXPECT_TEXT(feed->events[0]->name, "job.submitted");
    Vlmq__Workers workers;
    vlmq__workers__init(&workers);
    const Vlmq__WorkersAnswer *fleet_workers = fleet_call(link, VLMQ__TYPE__WORKERS, &workers);
    EXPECT_EQ(fleet_workers->n_workers, 1);
    EXPECT_TEXT(fleet_workers->workers[0]->id, worker);
    link_close(link);
}

TEST(broker, a_drained_worker_is_told_and_gets_nothing)
{
    UNUSED_STATE;
    struct link *link = fleet_link(0);
    Vlmq__Drain drain;
    vlmq__drain__init(&drain);
    drain.worker = text("nobody/cpu/1/z");
    EXPECT_EQ(fleet_fail(link, VLMQ__TYPE__DRAIN, &drain), ERR_NOT_FOUND);
    EXPECT(!fleet_hello(link, worker)->drain);
    drain.worker = text(worker);
    (void)fleet_call(link, VLMQ__TYPE__DRAIN, &drain);
    fleet_submit(link, &(struct submit){.id = "kept"});
    EXPECT_EQ(fleet_take(link, worker, 1, 300)->n_grants, 0);
    EXPECT(fleet_hello(link, worker)->drain);
    link_close(link);
}

TEST(broker, dead_tasks_are_revived_and_a_purged_job_is_gone)
{
    UNUSED_STATE;
    struct link *link = fleet_link(0);
    fleet_hello(link, worker);
    fleet_submit(link, &(struct submit){.id = "phoenix"});
    Vlmq__Attempt attempt;
    Vlmq__Fail fail;
    fleet_attempt(&attempt, fleet_take_one(link, worker));
    vlmq__fail__init(&fail);
    fail.attempt = &attempt;
    fail.blame = VLMQ__BLAME__BLAME_INPUT;
    fail.code = VLMQ__CODE__CODE_INVALID;
    fail.reason = text("no such list");
    (void)fleet_call(link, VLMQ__TYPE__FAIL, &fail);
    EXPECT_EQ(fleet_get(link, "phoenix")->state, VLMQ__JOB_STATE__JOB_FAILED);
    EXPECT_EQ(fleet_control(link, "phoenix", VLMQ__VERB__VERB_RETRY)->count, 1);
    const Vlmq__Grant *grant = fleet_take_one(link, worker);
    EXPECT_TEXT(grant->job, "phoenix");
    fleet_done(link, grant, 0, NULL);
    fleet_done(link, fleet_take_one(link, worker), 0, NULL);
    EXPECT_EQ(fleet_get(link, "phoenix")->state, VLMQ__JOB_STATE__JOB_DONE);
    (void)fleet_control(link, "phoenix", VLMQ__VERB__VERB_PURGE);
    Vlmq__List list;
    vlmq__list__init(&list);
    EXPECT_EQ(((const Vlmq__ListAnswer *)fleet_call(link, VLMQ__TYPE__LIST, &list))->n_jobs, 0);
    link_close(link);
}

TEST(broker, a_nearly_full_redis_takes_no_more_jobs)
{
    UNUSED_STATE;
    struct link *link = fleet_link(0);
    struct sock *sock = raw_open(0);
    Vlmq__Job job;
    Vlmq__Submit body;
    Vlmq__Code code = VLMQ__CODE__CODE_OK;
    fleet_submit(link, &(struct submit){.id = "before"});
    char *used = redis_server_cli(&fleet.redis, "INFO memory | grep '^used_memory:' | tr -dc 0-9");
    const int64_t bytes = strtoll(used, NULL, 10);
    free(used);
    EXPECT(bytes > 0);
    free(
        redis_server_cli(&fleet.redis, "CONFIG SET maxmemory %jd", (intmax_t)(bytes + bytes / 10)));
    vlmq__submit__init(&body);
    body.job = &job;
    const int64_t end = clock_real.mono_ms(&clock_real) + CALL_MS;
    for (uint32_t i = 0; code != VLMQ__CODE__CODE_LIMIT && clock_real.mono_ms(&clock_real) < end;
         i++) {
        fleet_job(&job, &(struct submit){.id = arena_printf(&fleet.arena, "fill%u", i)});
        raw_send(sock, VLMQ__TYPE__SUBMIT, i + 1, 0, &body);
        const struct envelope answer = raw_recv(sock);
        if (answer.type == VLMQ__TYPE__ERROR) {
            code = ((const Vlmq__Error *)(const void *)answer.body)->code;
        }
        clock_sleep_ms(20);
    }
    free(redis_server_cli(&fleet.redis, "CONFIG SET maxmemory 0"));
    EXPECT_EQ(code, VLMQ__CODE__CODE_LIMIT);
    sock_close(sock);
    link_close(link);
}

TEST(broker, a_key_may_do_only_what_its_role_allows)
{
    UNUSED_STATE;
    const char *dir = test_dir_new();
    struct sock_keys server, client;
    struct err err;
    char path[256], client_path[256], text_of[1024]; /* the broker rereads its path */
    EXPECT_OK(sock_keys_make(&server, &err), &err);
    EXPECT_OK(sock_keys_make(&client, &err), &err);
    (void)snprintf(path, sizeof path, "%s/broker.keys", dir);
    int bytes =
        snprintf(text_of, sizeof text_of, "public = %s\nsecret = %s\nallow = %s client me\n",
                 server.public_key, server.secret_key, client.public_key);
    EXPECT_OK(fs_put(path, text_of, (size_t)bytes, &err), &err);
    EXPECT_EQ(chmod(path, 0600), 0);
    fleet_start(1, path);
    (void)snprintf(client_path, sizeof client_path, "%s/client.keys", dir);
    bytes = snprintf(text_of, sizeof text_of, "public = %s\nsecret = %s\nserver = %s\n",
                     client.public_key, client.secret_key, server.public_key);
    EXPECT_OK(fs_put(client_path, text_of, (size_t)bytes, &err), &err);
    EXPECT_EQ(chmod(client_path, 0600), 0);
    struct link *link;
    const struct link_options options = {.brokers = fleet.broker[1].address,
                                         .key_file = client_path};
    EXPECT_OK(link_open(&link, &options, &err), &err);
    fleet_submit(link, &(struct submit){.id = "allowed"});
    Vlmq__Take take;
    take_body(&take, worker, 1);
    EXPECT_EQ(fleet_fail(link, VLMQ__TYPE__TAKE, &take), ERR_DENIED);
    link_close(link);
    fleet_stop(1);
    sock_keys_deinit(&server);
    sock_keys_deinit(&client);
    test_dir_remove(dir);
}

#define FLEET(claim) cmocka_unit_test_setup_teardown(broker__##claim, fleet_setup, fleet_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FLEET(a_job_goes_from_submit_to_done),
        FLEET(a_parked_take_is_answered_by_a_later_submit),
        FLEET(a_take_without_work_is_answered_empty_in_time),
        FLEET(a_repeated_take_gets_the_same_grants),
        FLEET(a_worker_that_is_gone_costs_its_grant_no_lease),
        FLEET(a_repeated_submit_is_the_same_job_and_another_is_refused),
        FLEET(submits_that_cannot_be_served_are_refused_with_a_reason),
        FLEET(another_protocol_version_is_told_so),
        FLEET(garbage_harms_nobody),
        FLEET(an_answer_is_no_request),
        FLEET(a_cancel_reaches_the_worker_and_ends_the_job),
        FLEET(a_failed_task_comes_back_after_its_backoff),
        FLEET(a_renewal_that_is_refused_costs_the_others_nothing),
        FLEET(owners_take_turns_whatever_they_submit),
        FLEET(the_best_of_many_jobs_goes_first),
        FLEET(a_paused_job_gives_nothing_until_it_is_resumed),
        FLEET(a_watcher_sees_progress_and_the_end),
        FLEET(lists_jobs_tasks_events_and_workers),
        FLEET(a_drained_worker_is_told_and_gets_nothing),
        FLEET(dead_tasks_are_revived_and_a_purged_job_is_gone),
        FLEET(a_nearly_full_redis_takes_no_more_jobs),
        FLEET(a_key_may_do_only_what_its_role_allows),
    };
    return cmocka_run_group_tests(tests, fleet_group_setup, fleet_group_teardown);
}
