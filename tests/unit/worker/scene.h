/* scene.h - a worker in a process of its own, its broker played by the test, and offers of work. */
#ifndef TESTS_UNIT_WORKER_SCENE_H
#define TESTS_UNIT_WORKER_SCENE_H

#include "common/base/id.h"
#include "common/base/log.h"
#include "proto/schema/jobs/probe.pb-c.h"
#include "tests/unit/worker/peer.h"
#include "worker/worker.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct scene {
    const char *dir;
    char address[128];
    pid_t worker;
    struct peer peer;
    struct worker_options options;
};

static inline int scene_open(void **state)
{
    static struct scene scene;
    memset(&scene, 0, sizeof scene);
    scene.dir = test_dir_new();
    (void)snprintf(scene.address, sizeof scene.address, "ipc://%s/broker", scene.dir);
    scene.options = (struct worker_options){.brokers = scene.address,
                                            .device = "cpu",
                                            .slots = 2,
                                            .interactive_slots = 1,
                                            .drain_ms = 60000,
                                            .ready_fd = -1};
    *state = &scene;
    return 0;
}

static inline int scene_close(void **state)
{
    struct scene *scene = *state;
    if (scene->worker) { /* a claim that failed */
        (void)kill(scene->worker, SIGKILL);
        (void)waitpid(scene->worker, NULL, 0);
    }
    peer_close(&scene->peer);
    test_dir_remove(scene->dir);
    return 0;
}

/* Before the test has a socket: a context of ZeroMQ does not survive a fork. */
static inline void start(struct scene *scene)
{
    scene->worker = fork();
    EXPECT(scene->worker >= 0);
    if (scene->worker == 0) {
        struct worker *worker;
        struct err err;
        log_set_level(LOG_ERROR);
        if (worker_open(&worker, &scene->options, &err)) _exit(99);
        const enum worker_status status = worker_run(worker);
        if (!worker_close(worker)) _exit((int)status);
        exit((int)status);
    }
    peer_open(&scene->peer, scene->address);
}

/* Answers everything until the worker is gone. */
static inline int end_of(struct scene *scene)
{
    const int64_t end = clock_mono_us() + PEER_PATIENCE_MS * 1000;
    const Vlmq__ByeAnswer bye = VLMQ__BYE_ANSWER__INIT;
    int status = 0;
    while (waitpid(scene->worker, &status, WNOHANG) == 0) {
        EXPECT(clock_mono_us() < end);
        if (peer_take_in(&scene->peer, 20) && scene->peer.got.type == VLMQ__TYPE__BYE)
            peer_answer(&scene->peer, VLMQ__TYPE__BYE_ANSWER, &bye.base);
    }
    scene->worker = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static inline void stop(struct scene *scene)
{
    EXPECT_EQ(kill(scene->worker, SIGTERM), 0);
}

/* A grant of the probe kind; every texts's memory is the grant's. */
struct offer {
    Vlmq__Grant grant;
    char job[16], kind[16], name[16], lease[LEASE_ID_BYTES], none[1];
    uint8_t spec[256];
};

static inline void offer_fill(struct offer *offer, const Vlmq__Jobs__Probe *probe, const char *name)
{
    memset(offer, 0, sizeof *offer);
    vlmq__grant__init(&offer->grant);
    (void)str_copy(offer->job, sizeof offer->job, "job1");
    (void)str_copy(offer->kind, sizeof offer->kind, "probe");
    (void)str_copy(offer->name, sizeof offer->name, name);
    id_lease(offer->lease);
    offer->grant.job = offer->job;
    offer->grant.kind = offer->kind;
    offer->grant.name = offer->name;
    offer->grant.lease = offer->lease;
    offer->grant.output = offer->grant.from = offer->none;
    offer->grant.attempt = 1;
    offer->grant.lease_ttl_ms = LEASE_TTL_MS;
    offer->grant.spec.len = vlmq__jobs__probe__pack(probe, offer->spec);
    offer->grant.spec.data = offer->spec;
}

static inline struct offer offer_of(struct offer *offer, uint32_t task_ms)
{
    Vlmq__Jobs__Probe probe = VLMQ__JOBS__PROBE__INIT;
    probe.task_ms = task_ms;
    probe.items = task_ms ? task_ms / 50 : 3;
    offer_fill(offer, &probe, "00001");
    return *offer;
}

#define LONG_MS (3600 * 1000)

static inline void grant_one(struct peer *peer, struct offer *offer)
{
    Vlmq__Grant *grants[] = {&offer->grant};
    peer_grant(peer, grants, 1);
}

#define SCENE                            \
    struct scene *scene = *state_unused; \
    struct peer *peer = &scene->peer

static const Vlmq__DoneAnswer done_answer = VLMQ__DONE_ANSWER__INIT;
static const Vlmq__FailAnswer fail_answer = VLMQ__FAIL_ANSWER__INIT;
static const Vlmq__YieldAnswer yield_answer = VLMQ__YIELD_ANSWER__INIT;

#define RUN_SCENE(claim) cmocka_unit_test_setup_teardown(worker__##claim, scene_open, scene_close)

#endif
