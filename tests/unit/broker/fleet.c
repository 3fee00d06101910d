/* fleet.c - see fleet.h; included by the tests that use it, as each test is one source file. */
#include "tests/unit/broker/fleet.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/stop.h"
#include "tests/support/test.h"

#include <stdlib.h>
#include <string.h>

struct fleet fleet;

/* ---- brokers ---- */

static void broker_thread(void *arg)
{
    struct test_broker *t = arg;
    while (!atomic_load(&t->stop)) {
        const int64_t wait_ms = broker_turn(t->broker);
        front_wait(t->front, &t->wake.fd, 1, wait_ms);
        wake_clear(&t->wake);
    }
    broker_end(t->broker);
}

void fleet_open(uint32_t i, const char *key_file)
{
    static const char *const listen = "tcp://127.0.0.1:*";
    struct test_broker *t = &fleet.broker[i];
    struct err err;
    const struct front_options front = {.listen = &listen, .listen_count = 1, .key_file = key_file};
    *t = (struct test_broker){.wake = {.fd = -1}};
    EXPECT_EQ(wake_open(&t->wake), 0);
    EXPECT_OK(front_open(&t->front, &front, &err), &err);
    const struct broker_options options = {
        .clock = &clock_real,
        .front = t->front,
        .redis = {.address = fleet.redis.address, .timeout_ms = 2000},
        .seed = 1 + i,
    };
    EXPECT_OK(broker_open(&t->broker, &options, &err), &err);
    t->address = front_address(t->front, 0);
}

void fleet_start(uint32_t i, const char *key_file)
{
    struct test_broker *t = &fleet.broker[i];
    struct err err;
    fleet_open(i, key_file);
    EXPECT_OK(thread_start(&t->thread, "broker", broker_thread, t, &err), &err);
}

void fleet_stop(uint32_t i)
{
    struct test_broker *t = &fleet.broker[i];
    if (!t->broker) return;
    atomic_store(&t->stop, true);
    wake_raise(&t->wake);
    thread_join(&t->thread);
    broker_close(t->broker);
    front_close(t->front);
    wake_close(&t->wake);
    *t = (struct test_broker){0};
}

int fleet_group_setup(void **state)
{
    (void)state;
    stop_install(NULL); /* SIGPIPE */
    log_set_level(LOG_ERROR);
    redis_server_start(&fleet.redis, "");
    return 0;
}

int fleet_group_teardown(void **state)
{
    (void)state;
    redis_server_stop(&fleet.redis);
    return 0;
}

int fleet_setup(void **state)
{
    (void)state;
    arena_init(&fleet.arena, 0);
    fleet_start(0, NULL);
    return 0;
}

int fleet_teardown(void **state)
{
    (void)state;
    fleet_stop(0);
    fleet_stop(1);
    free(redis_server_cli(&fleet.redis, "FLUSHALL"));
    arena_deinit(&fleet.arena);
    return 0;
}

/* ---- calls ---- */

struct link *fleet_link(uint32_t broker)
{
    struct link *link;
    struct err err;
    const struct link_options options = {.brokers = fleet.broker[broker].address};
    EXPECT_OK(link_open(&link, &options, &err), &err);
    return link;
}

const void *fleet_try(struct link *link, Vlmq__Type type, const void *body, struct err *err)
{
    ProtobufCMessage *answer = NULL;
    if (link_call(link, &answer, type, body, CALL_MS, &fleet.arena, err)) return NULL;
    return answer;
}

const void *fleet_call(struct link *link, Vlmq__Type type, const void *body)
{
    struct err err = {0};
    const void *answer = fleet_try(link, type, body, &err);
    if (!answer) print_message("%s: %s\n", envelope_type_name(type), err.msg);
    EXPECT(answer != NULL);
    return answer;
}

enum err_code fleet_fail(struct link *link, Vlmq__Type type, const void *body)
{
    struct err err = {0};
    EXPECT(fleet_try(link, type, body, &err) == NULL);
    EXPECT(err.msg[0] != 0);
    return err.code;
}

/* ---- jobs ---- */

/* A constant where protobuf-c wants a char *. */
static char *text(const char *constant)
{
    return arena_text(&fleet.arena, constant ? constant : "", constant ? strlen(constant) : 0);
}

void fleet_job(Vlmq__Job *job, const struct submit *submit)
{
    Vlmq__Jobs__Probe probe;
    vlmq__job__init(job);
    vlmq__jobs__probe__init(&probe);
    probe.tasks = submit->tasks ? submit->tasks : 1;
    job->id = text(submit->id);
    job->kind = text("probe");
    job->owner = text(submit->owner ? submit->owner : "tester");
    job->after = text(submit->after);
    job->from = text(submit->from);
    job->priority = submit->priority;
    job->interactive = submit->interactive;
    job->spec.len = vlmq__jobs__probe__get_packed_size(&probe);
    job->spec.data = arena_new(&fleet.arena, job->spec.len);
    (void)vlmq__jobs__probe__pack(&probe, job->spec.data);
    job->needs = arena_new(&fleet.arena, sizeof *job->needs);
    vlmq__needs__init(job->needs);
    if (submit->model) job->needs->model = text(submit->model);
    if (submit->device) job->needs->device = text(submit->device);
}

const Vlmq__Job *fleet_submit(struct link *link, const struct submit *submit)
{
    Vlmq__Job job;
    Vlmq__Submit body;
    fleet_job(&job, submit);
    vlmq__submit__init(&body);
    body.job = &job;
    body.paused = submit->paused;
    const Vlmq__SubmitAnswer *answer = fleet_call(link, VLMQ__TYPE__SUBMIT, &body);
    return answer->job;
}

const Vlmq__Job *fleet_get(struct link *link, const char *id)
{
    Vlmq__Get body;
    vlmq__get__init(&body);
    body.job = text(id);
    return ((const Vlmq__GetAnswer *)fleet_call(link, VLMQ__TYPE__GET, &body))->job;
}

const Vlmq__Job *fleet_until(struct link *link, const char *id, Vlmq__JobState state)
{
    const int64_t end = clock_real.mono_ms(&clock_real) + CALL_MS;
    const Vlmq__Job *job = fleet_get(link, id);
    while (job->state != state && clock_real.mono_ms(&clock_real) < end) {
        clock_sleep_ms(10);
        job = fleet_get(link, id);
    }
    EXPECT_EQ(job->state, state);
    return job;
}

const Vlmq__ControlAnswer *fleet_control(struct link *link, const char *id, Vlmq__Verb verb)
{
    Vlmq__Control body;
    vlmq__control__init(&body);
    body.job = text(id);
    body.verb = verb;
    return fleet_call(link, VLMQ__TYPE__CONTROL, &body);
}

/* ---- workers ---- */

static void worker_info(Vlmq__WorkerInfo *info, const char *worker)
{
    vlmq__worker_info__init(info);
    info->id = text(worker);
    info->device = text("cpu");
    info->slots = 4;
    info->n_kinds = 1;
    info->kinds = arena_new(&fleet.arena, sizeof *info->kinds);
    info->kinds[0] = text("probe");
}

const Vlmq__HelloAnswer *fleet_hello(struct link *link, const char *worker)
{
    Vlmq__WorkerInfo info;
    Vlmq__Hello body;
    worker_info(&info, worker);
    vlmq__hello__init(&body);
    body.worker = &info;
    return fleet_call(link, VLMQ__TYPE__HELLO, &body);
}

static void take_body(Vlmq__Take *body, const char *worker, uint32_t credits)
{
    vlmq__take__init(body);
    body->worker = text(worker);
    body->credits = credits;
    body->idle = 1;
}

const Vlmq__TakeAnswer *fleet_take(struct link *link, const char *worker, uint32_t credits,
                                   uint32_t timeout_ms)
{
    Vlmq__Take body;
    ProtobufCMessage *answer = NULL;
    struct err err;
    take_body(&body, worker, credits);
    EXPECT_OK(
        link_call(link, &answer, VLMQ__TYPE__TAKE, &body.base, timeout_ms, &fleet.arena, &err),
        &err);
    return (const Vlmq__TakeAnswer *)(const void *)answer;
}

const Vlmq__Grant *fleet_take_one(struct link *link, const char *worker)
{
    const Vlmq__TakeAnswer *answer = fleet_take(link, worker, 1, CALL_MS);
    EXPECT_EQ(answer->n_grants, 1);
    return answer->grants[0];
}

void fleet_attempt(Vlmq__Attempt *attempt, const Vlmq__Grant *grant)
{
    vlmq__attempt__init(attempt);
    attempt->job = text(grant->job);
    attempt->index = grant->index;
    attempt->lease = text(grant->lease);
}

void fleet_done(struct link *link, const Vlmq__Grant *grant, uint32_t tasks, const char *made)
{
    Vlmq__Attempt attempt;
    Vlmq__Done body;
    fleet_attempt(&attempt, grant);
    vlmq__done__init(&body);
    body.attempt = &attempt;
    body.digest.len = 32;
    body.digest.data = arena_new(&fleet.arena, 32);
    body.digest.data[0] = (uint8_t)(grant->index + 1);
    body.made = text(made);
    body.n_tasks = tasks;
    body.tasks = arena_new(&fleet.arena, sizeof(*body.tasks) * (tasks + 1));
    for (uint32_t i = 0; i < tasks; i++) {
        body.tasks[i] = arena_new(&fleet.arena, sizeof **body.tasks);
        vlmq__new_task__init(body.tasks[i]);
        body.tasks[i]->name = arena_printf(&fleet.arena, "t%u", i);
        body.tasks[i]->items = 1;
    }
    (void)fleet_call(link, VLMQ__TYPE__DONE, &body);
}

enum err_code fleet_renew(struct link *link, const char *worker, const Vlmq__Grant *grant,
                          int64_t items)
{
    Vlmq__Attempt attempt;
    Vlmq__Progress progress;
    Vlmq__Renewal renewal, *renewals = &renewal;
    Vlmq__Renew body;
    fleet_attempt(&attempt, grant);
    vlmq__progress__init(&progress);
    vlmq__renewal__init(&renewal);
    vlmq__renew__init(&body);
    progress.items = items;
    renewal.attempt = &attempt;
    renewal.progress = &progress;
    body.worker = text(worker);
    body.renewals = &renewals;
    body.n_renewals = 1;
    const Vlmq__RenewAnswer *answer = fleet_call(link, VLMQ__TYPE__RENEW, &body);
    EXPECT_EQ(answer->n_results, 1);
    return envelope_code(answer->results[0]->code);
}

void fleet_planned(struct link *link, const char *worker, const struct submit *submit,
                   uint32_t tasks)
{
    (void)fleet_submit(link, submit);
    const Vlmq__Grant *plan = fleet_take_one(link, worker);
    EXPECT_TEXT(plan->job, submit->id);
    EXPECT_EQ(plan->phase, VLMQ__PHASE__PHASE_PLAN);
    fleet_done(link, plan, tasks, NULL);
}

/* ---- raw peers ---- */

struct sock *raw_open(uint32_t broker)
{
    struct sock *sock;
    struct err err;
    EXPECT_OK(sock_connect(&sock, fleet.broker[broker].address, NULL, &err), &err);
    return sock;
}

void raw_bytes(struct sock *sock, const void *data, size_t bytes)
{
    const int64_t end = clock_real.mono_ms(&clock_real) + CALL_MS;
    while (!sock_send(sock, data, bytes)) {
        EXPECT(clock_real.mono_ms(&clock_real) < end);
        (void)sock_poll(sock, NULL, 0, 10);
    }
}

void raw_send(struct sock *sock, Vlmq__Type type, uint64_t id, uint32_t timeout_ms,
              const void *body)
{
    struct buf out;
    struct err err;
    buf_init(&out, 0);
    EXPECT_OK(envelope_pack(&out, type, id, timeout_ms, body, &err), &err);
    raw_bytes(sock, out.data, out.len);
    buf_deinit(&out);
}

static bool raw_wait(struct sock *sock, struct envelope *envelope, int64_t ms)
{
    const int64_t end = clock_real.mono_ms(&clock_real) + ms;
    struct sock_peer peer;
    const void *data;
    size_t bytes;
    struct err err;
    while (sock_recv(sock, &peer, &data, &bytes) != 1) {
        const int64_t left = end - clock_real.mono_ms(&clock_real);
        if (left <= 0) return false;
        (void)sock_poll(sock, NULL, 0, left);
    }
    EXPECT_OK(envelope_open(envelope, data, bytes, &fleet.arena, &err), &err);
    return true;
}

struct envelope raw_recv(struct sock *sock)
{
    struct envelope envelope;
    EXPECT(raw_wait(sock, &envelope, CALL_MS));
    return envelope;
}

bool raw_silent(struct sock *sock, int64_t ms)
{
    struct envelope envelope;
    return !raw_wait(sock, &envelope, ms);
}
