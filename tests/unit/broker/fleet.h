/* fleet.h - for tests: a real redis-server, brokers in threads of this process, and the words to
 * speak to them. The functions expect success unless their name says otherwise. */
#ifndef TESTS_UNIT_BROKER_FLEET_H
#define TESTS_UNIT_BROKER_FLEET_H

#include "broker/broker.h"
#include "common/base/chan.h"
#include "common/base/thread.h"
#include "proto/schema/jobs/probe.pb-c.h"
#include "proto/wire/call.h"
#include "tests/support/redis_server.h"

#include <stdatomic.h>

#define CALL_MS 20000 /* far longer than anything takes; only a hang reaches it */

struct test_broker {
    struct front *front;
    struct broker *broker;
    struct thread thread;
    struct wake wake;
    atomic_bool stop;
    const char *address;
};

struct fleet {
    struct redis_server redis;
    struct test_broker broker[2];
    struct arena arena; /* of one test's answers */
};

/* Redis runs for the whole group; each test starts with an empty one and its own broker. */
extern struct fleet fleet;
int fleet_group_setup(void **state);
int fleet_group_teardown(void **state);
int fleet_setup(void **state);    /* broker 0 */
int fleet_teardown(void **state); /* stops brokers, empties Redis */
void fleet_start(uint32_t i, const char *key_file);
void fleet_stop(uint32_t i);
void fleet_open(uint32_t i, const char *key_file); /* without a thread: the test turns it */

struct link *fleet_link(uint32_t broker);
/* The answer, or NULL with *err. */
const void *fleet_try(struct link *link, Vlmq__Type type, const void *body, struct err *err);
const void *fleet_call(struct link *link, Vlmq__Type type, const void *body);
/* The code of the failure. */
enum err_code fleet_fail(struct link *link, Vlmq__Type type, const void *body);

struct submit {
    const char *id, *owner, *after, *from, *model, *device;
    int32_t priority;
    bool interactive, paused;
    uint32_t tasks; /* in the spec: makes it differ */
};
void fleet_job(Vlmq__Job *job, const struct submit *submit);
const Vlmq__Job *fleet_submit(struct link *link, const struct submit *submit);
const Vlmq__Job *fleet_get(struct link *link, const char *id);
/* Polls until the job is in the state. */
const Vlmq__Job *fleet_until(struct link *link, const char *id, Vlmq__JobState state);
const Vlmq__ControlAnswer *fleet_control(struct link *link, const char *id, Vlmq__Verb verb);

const Vlmq__HelloAnswer *fleet_hello(struct link *link, const char *worker);
const Vlmq__TakeAnswer *fleet_take(struct link *link, const char *worker, uint32_t credits,
                                   uint32_t timeout_ms);
/* Takes until there is a task. */
const Vlmq__Grant *fleet_take_one(struct link *link, const char *worker);
void fleet_attempt(Vlmq__Attempt *attempt, const Vlmq__Grant *grant);
/* Ends the attempt; a planning one adds tasks named t0, t1, … */
void fleet_done(struct link *link, const Vlmq__Grant *grant, uint32_t tasks, const char *made);
enum err_code fleet_renew(struct link *link, const char *worker, const Vlmq__Grant *grant,
                          int64_t items);
/* Submits and plans a job with so many tasks. */
void fleet_planned(struct link *link, const char *worker, const struct submit *submit,
                   uint32_t tasks);

/* A peer without a link, for what a link would not do. */
struct sock *raw_open(uint32_t broker);
void raw_send(struct sock *sock, Vlmq__Type type, uint64_t id, uint32_t timeout_ms,
              const void *body);
void raw_bytes(struct sock *sock, const void *data, size_t bytes);
/* The next message; fails the test after CALL_MS. */
struct envelope raw_recv(struct sock *sock);
/* No message within ms. */
bool raw_silent(struct sock *sock, int64_t ms);

#endif
