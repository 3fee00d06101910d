/* worker_report_test.c - transcripts of a worker and its broker: what is reported, and what then.
 */
#include "tests/unit/worker/scene.h"

TEST(worker, runs_a_grant_and_reports_it_done)
{
    SCENE;
    struct offer offer;
    start(scene);
    peer_expect_take(peer, 2, 1);
    (void)offer_of(&offer, 0);
    grant_one(peer, &offer);
    peer_expect(peer, VLMQ__TYPE__DONE);
    const Vlmq__Done *done = (const Vlmq__Done *)peer->got.body;
    EXPECT_TEXT(done->attempt->lease, offer.lease);
    EXPECT_TEXT(done->attempt->job, "job1");
    EXPECT_EQ(done->digest.len, 32);
    EXPECT_EQ(done->n_counters, 1);
    EXPECT_TEXT(done->counters[0]->name, "probe.items");
    EXPECT_EQ(done->counters[0]->value, 3);
    EXPECT_EQ(done->progress->items, 3);
    peer_answer(peer, VLMQ__TYPE__DONE_ANSWER, &done_answer.base);
    stop(scene);
    EXPECT_EQ(end_of(scene), WORKER_DRAINED);
}

/* The report of a probe with this fault. */
static const Vlmq__Fail *fail_of(struct scene *scene, Vlmq__Jobs__ProbeFault fault)
{
    static struct offer offer;
    Vlmq__Jobs__Probe probe = VLMQ__JOBS__PROBE__INIT;
    probe.fault = fault;
    probe.fault_every = 1;
    offer_fill(&offer, &probe, "00001");
    peer_expect_take(&scene->peer, 2, 1);
    grant_one(&scene->peer, &offer);
    peer_expect(&scene->peer, VLMQ__TYPE__FAIL);
    peer_answer(&scene->peer, VLMQ__TYPE__FAIL_ANSWER, &fail_answer.base);
    const Vlmq__Fail *fail = (const Vlmq__Fail *)scene->peer.got.body;
    EXPECT_TEXT(fail->attempt->lease, offer.lease);
    return fail;
}

TEST(worker, failures_are_held_against_what_caused_them)
{
    SCENE;
    (void)peer;
    start(scene);
    const Vlmq__Fail *fail = fail_of(scene, VLMQ__JOBS__PROBE_FAULT__PROBE_FAULT_RETRY);
    EXPECT_EQ(fail->blame, VLMQ__BLAME__BLAME_TASK);
    EXPECT_EQ(fail->code, VLMQ__CODE__CODE_UNAVAILABLE);
    EXPECT(strstr(fail->reason, "first attempt fails") != NULL);
    fail = fail_of(scene, VLMQ__JOBS__PROBE_FAULT__PROBE_FAULT_INPUT);
    EXPECT_EQ(fail->blame, VLMQ__BLAME__BLAME_INPUT);
    EXPECT_EQ(fail->code, VLMQ__CODE__CODE_INVALID);
    fail = fail_of(scene, VLMQ__JOBS__PROBE_FAULT__PROBE_FAULT_DEVICE);
    EXPECT_EQ(fail->blame, VLMQ__BLAME__BLAME_DEVICE);
    stop(scene);
    EXPECT_EQ(end_of(scene), WORKER_DRAINED);
}

TEST(worker, full_disk_is_charged_to_no_task_and_lets_the_worker_rest)
{
    SCENE;
    struct offer first, second;
    Vlmq__Jobs__Probe probe = VLMQ__JOBS__PROBE__INIT;
    probe.fault = VLMQ__JOBS__PROBE_FAULT__PROBE_FAULT_FULL;
    probe.fault_every = 1;
    probe.task_ms = 300;
    probe.items = 1;
    offer_fill(&first, &probe, "00001");
    (void)offer_of(&second, 0);
    start(scene);
    peer_expect_take(peer, 2, 1);
    grant_one(peer, &first);
    peer_expect_take(peer, 1, 1);
    peer_expect(peer, VLMQ__TYPE__FAIL);
    EXPECT_EQ(((const Vlmq__Fail *)peer->got.body)->blame, VLMQ__BLAME__BLAME_DEVICE);
    EXPECT_EQ(((const Vlmq__Fail *)peer->got.body)->code, VLMQ__CODE__CODE_FULL);
    peer_answer(peer, VLMQ__TYPE__FAIL_ANSWER, &fail_answer.base);
    grant_one(peer, &second); /* of the take that was parked before */
    peer_expect(peer, VLMQ__TYPE__YIELD);
    EXPECT_TEXT(((const Vlmq__Yield *)peer->got.body)->attempt->lease, second.lease);
    peer_answer(peer, VLMQ__TYPE__YIELD_ANSWER, &yield_answer.base);
    const int64_t end_us = clock_mono_us() + 1000 * 1000;
    while (clock_mono_us() < end_us) (void)peer_take_in(peer, 200);
    EXPECT(!peer->take);
    stop(scene);
    EXPECT_EQ(end_of(scene), WORKER_DRAINED);
}

TEST(worker, crash_takes_the_process_after_the_first_renewal)
{
    SCENE;
    struct offer offer;
    Vlmq__Jobs__Probe probe = VLMQ__JOBS__PROBE__INIT;
    probe.fault = VLMQ__JOBS__PROBE_FAULT__PROBE_FAULT_CRASH;
    probe.fault_every = 1;
    offer_fill(&offer, &probe, "00001");
    start(scene);
    peer_expect_take(peer, 2, 1);
    grant_one(peer, &offer);
    EXPECT_EQ(end_of(scene), 128 + SIGKILL);
    EXPECT(peer->renewals_count >= 1);
}

TEST(worker, refused_result_fails_the_task_for_good)
{
    SCENE;
    struct offer offer;
    start(scene);
    peer_expect_take(peer, 2, 1);
    (void)offer_of(&offer, 0);
    grant_one(peer, &offer);
    peer_expect(peer, VLMQ__TYPE__DONE);
    peer_refuse(peer, VLMQ__CODE__CODE_INVALID, "two tasks have the name x");
    peer_expect(peer, VLMQ__TYPE__FAIL);
    const Vlmq__Fail *fail = (const Vlmq__Fail *)peer->got.body;
    EXPECT_EQ(fail->blame, VLMQ__BLAME__BLAME_INPUT);
    EXPECT(strstr(fail->reason, "two tasks have the name x") != NULL);
    peer_answer(peer, VLMQ__TYPE__FAIL_ANSWER, &fail_answer.base);
    stop(scene);
    EXPECT_EQ(end_of(scene), WORKER_DRAINED);
}

TEST(worker, done_of_a_cancelled_job_becomes_a_yield)
{
    SCENE;
    struct offer offer;
    start(scene);
    peer_expect_take(peer, 2, 1);
    (void)offer_of(&offer, 0);
    grant_one(peer, &offer);
    peer_expect(peer, VLMQ__TYPE__DONE);
    peer_refuse(peer, VLMQ__CODE__CODE_CANCELLED, "the job was cancelled");
    peer_expect(peer, VLMQ__TYPE__YIELD);
    peer_answer(peer, VLMQ__TYPE__YIELD_ANSWER, &yield_answer.base);
    stop(scene);
    EXPECT_EQ(end_of(scene), WORKER_DRAINED);
}

TEST(worker, report_holds_no_slot_while_it_is_unanswered)
{
    SCENE;
    struct offer offer;
    start(scene);
    peer_expect_take(peer, 2, 1);
    (void)offer_of(&offer, 0);
    grant_one(peer, &offer);
    peer_expect(peer, VLMQ__TYPE__DONE);
    const uint64_t request = peer->got.request_id;
    peer_expect_take(peer, 2, 1);
    peer->got.request_id = request;
    peer_answer(peer, VLMQ__TYPE__DONE_ANSWER, &done_answer.base);
    stop(scene);
    EXPECT_EQ(end_of(scene), WORKER_DRAINED);
}

TEST(worker, unknown_kind_is_a_failure_of_the_attempt)
{
    SCENE;
    struct offer offer;
    start(scene);
    peer_expect_take(peer, 2, 1);
    (void)offer_of(&offer, 0);
    (void)str_copy(offer.kind, sizeof offer.kind, "sculpt");
    grant_one(peer, &offer);
    peer_expect(peer, VLMQ__TYPE__FAIL);
    EXPECT_EQ(((const Vlmq__Fail *)peer->got.body)->blame, VLMQ__BLAME__BLAME_TASK);
    peer_answer(peer, VLMQ__TYPE__FAIL_ANSWER, &fail_answer.base);
    stop(scene);
    EXPECT_EQ(end_of(scene), WORKER_DRAINED);
}

TEST(worker, plan_adds_its_tasks_through_the_broker)
{
    SCENE;
    struct offer offer;
    Vlmq__Jobs__Probe probe = VLMQ__JOBS__PROBE__INIT;
    probe.tasks = 2500;
    offer_fill(&offer, &probe, "");
    offer.grant.phase = VLMQ__PHASE__PHASE_PLAN;
    start(scene);
    peer_expect_take(peer, 2, 1);
    grant_one(peer, &offer);
    for (uint32_t added = 0; added < 2000;) {
        Vlmq__AddAnswer answer = VLMQ__ADD_ANSWER__INIT;
        peer_expect(peer, VLMQ__TYPE__ADD);
        EXPECT_EQ(((const Vlmq__Add *)peer->got.body)->offset, added);
        added += (uint32_t)((const Vlmq__Add *)peer->got.body)->n_tasks;
        answer.added = added;
        peer_answer(peer, VLMQ__TYPE__ADD_ANSWER, &answer.base);
    }
    peer_expect(peer, VLMQ__TYPE__DONE);
    EXPECT_EQ(((const Vlmq__Done *)peer->got.body)->offset, 2000);
    EXPECT_EQ(((const Vlmq__Done *)peer->got.body)->n_tasks, 500);
    peer_answer(peer, VLMQ__TYPE__DONE_ANSWER, &done_answer.base);
    stop(scene);
    EXPECT_EQ(end_of(scene), WORKER_DRAINED);
}

TEST(worker, refused_add_ends_the_plan_with_the_broker_s_sentence)
{
    SCENE;
    struct offer offer;
    Vlmq__Jobs__Probe probe = VLMQ__JOBS__PROBE__INIT;
    probe.tasks = 2500;
    offer_fill(&offer, &probe, "");
    offer.grant.phase = VLMQ__PHASE__PHASE_PLAN;
    start(scene);
    peer_expect_take(peer, 2, 1);
    grant_one(peer, &offer);
    peer_expect(peer, VLMQ__TYPE__ADD);
    peer_refuse(peer, VLMQ__CODE__CODE_LIMIT, "Redis is full");
    peer_expect(peer, VLMQ__TYPE__FAIL);
    EXPECT_EQ(((const Vlmq__Fail *)peer->got.body)->blame, VLMQ__BLAME__BLAME_TASK);
    EXPECT(strstr(((const Vlmq__Fail *)peer->got.body)->reason, "Redis is full") != NULL);
    peer_answer(peer, VLMQ__TYPE__FAIL_ANSWER, &fail_answer.base);
    stop(scene);
    EXPECT_EQ(end_of(scene), WORKER_DRAINED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN_SCENE(runs_a_grant_and_reports_it_done),
        RUN_SCENE(failures_are_held_against_what_caused_them),
        RUN_SCENE(full_disk_is_charged_to_no_task_and_lets_the_worker_rest),
        RUN_SCENE(crash_takes_the_process_after_the_first_renewal),
        RUN_SCENE(refused_result_fails_the_task_for_good),
        RUN_SCENE(done_of_a_cancelled_job_becomes_a_yield),
        RUN_SCENE(report_holds_no_slot_while_it_is_unanswered),
        RUN_SCENE(unknown_kind_is_a_failure_of_the_attempt),
        RUN_SCENE(plan_adds_its_tasks_through_the_broker),
        RUN_SCENE(refused_add_ends_the_plan_with_the_broker_s_sentence),
    };
    return cmocka_run_group_tests_name("worker_report", tests, NULL, NULL);
}
