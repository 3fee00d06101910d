/* worker_test.c - transcripts of a worker and its broker: hello, takes, leases, drain. */
#include "worker/worker.h"

#include "tests/unit/worker/scene.h"

TEST(worker, says_hello_takes_with_a_credit_for_each_slot_and_leaves_with_bye)
{
    SCENE;
    start(scene);
    peer_expect(peer, VLMQ__TYPE__HELLO);
    const Vlmq__WorkerInfo *info = ((const Vlmq__Hello *)peer->got.body)->worker;
    EXPECT_EQ(info->slots, 2);
    EXPECT_TEXT(info->device, "cpu");
    EXPECT(info->n_kinds > 0);
    EXPECT(!info->draining);
    peer_expect_take(peer, 2, 1);
    EXPECT(peer->idle);
    stop(scene);
    peer_expect(peer, VLMQ__TYPE__BYE);
    const Vlmq__ByeAnswer bye = VLMQ__BYE_ANSWER__INIT;
    peer_answer(peer, VLMQ__TYPE__BYE_ANSWER, &bye.base);
    EXPECT_EQ(end_of(scene), WORKER_DRAINED);
}

TEST(worker, renews_with_progress_and_cursor)
{
    SCENE;
    struct offer offer;
    start(scene);
    peer_expect_take(peer, 2, 1);
    (void)offer_of(&offer, LONG_MS);
    grant_one(peer, &offer);
    peer_expect_renewals(peer, 1); /* soon after the start */
    EXPECT_TEXT(peer->renewed, offer.lease);
    peer->cursor[0] = 0;
    Vlmq__Notice notice = VLMQ__NOTICE__INIT;
    while (!peer->cursor[0]) {
        const uint32_t before = peer->renewals_count;
        notice.job = offer.job;
        peer_push(peer, VLMQ__TYPE__NOTICE, &notice.base); /* renews at once */
        peer_expect_renewals(peer, before + 1);
    }
    EXPECT(strtol(peer->cursor, NULL, 10) >= 1);
    peer->renew_code = VLMQ__CODE__CODE_STALE;
    peer_push(peer, VLMQ__TYPE__NOTICE, &notice.base);
    stop(scene);
    EXPECT_EQ(end_of(scene), WORKER_DRAINED);
}

TEST(worker, grants_without_room_are_handed_back)
{
    SCENE;
    struct offer offer[4];
    Vlmq__Grant *grants[4];
    start(scene);
    peer_expect_take(peer, 2, 1);
    for (int i = 0; i < 4; i++) {
        (void)offer_of(&offer[i], LONG_MS);
        grants[i] = &offer[i].grant;
    }
    peer_grant(peer, grants, 4); /* one of them could use the interactive slot, but is not */
    for (int i = 2; i < 4; i++) {
        peer_expect(peer, VLMQ__TYPE__YIELD);
        EXPECT_TEXT(((const Vlmq__Yield *)peer->got.body)->attempt->lease, offer[i].lease);
        peer_answer(peer, VLMQ__TYPE__YIELD_ANSWER, &yield_answer.base);
    }
    peer_expect_take(peer, 0, 1);
    struct offer fast;
    (void)offer_of(&fast, LONG_MS);
    fast.grant.interactive = true;
    grant_one(peer, &fast);
    peer->renew_code = VLMQ__CODE__CODE_STALE;
    peer_expect_take(peer, 2, 1);
    stop(scene);
    EXPECT_EQ(end_of(scene), WORKER_DRAINED);
}

TEST(worker, stale_lease_ends_the_work_without_a_word)
{
    SCENE;
    struct offer offer;
    start(scene);
    peer_expect_take(peer, 2, 1);
    (void)offer_of(&offer, LONG_MS);
    peer->renew_code = VLMQ__CODE__CODE_STALE;
    grant_one(peer, &offer);
    /* The slot is free again, and nothing was reported on the way. */
    const int64_t end = clock_mono_us() + PEER_PATIENCE_MS * 1000;
    while (!peer_has_take(peer, (uint64_t)2 << 32 | 1)) {
        EXPECT(clock_mono_us() < end);
        if (!peer_take_in(peer, 1000)) continue;
        EXPECT(peer->got.type != VLMQ__TYPE__DONE);
        EXPECT(peer->got.type != VLMQ__TYPE__FAIL);
        EXPECT(peer->got.type != VLMQ__TYPE__YIELD);
    }
    stop(scene);
    EXPECT_EQ(end_of(scene), WORKER_DRAINED);
}

TEST(worker, lease_that_nobody_renews_is_given_up_before_its_end)
{
    SCENE;
    struct offer offer;
    start(scene);
    peer_expect_take(peer, 2, 1);
    (void)offer_of(&offer, LONG_MS);
    offer.grant.lease_ttl_ms = 2500;
    peer->mute_renew = true;
    const int64_t granted_us = clock_mono_us();
    grant_one(peer, &offer);
    peer_expect_take(peer, 1, 1);
    peer_expect_take(peer, 2, 1);
    EXPECT(clock_mono_us() - granted_us >= 1000 * 1000); /* it was not given up at once */
    EXPECT(peer->renewals_count >= 2);
    stop(scene);
    EXPECT_EQ(end_of(scene), WORKER_DRAINED);
}

TEST(worker, cancelled_task_is_yielded)
{
    SCENE;
    struct offer offer;
    start(scene);
    peer_expect_take(peer, 2, 1);
    (void)offer_of(&offer, LONG_MS);
    peer->renew_code = VLMQ__CODE__CODE_CANCELLED;
    grant_one(peer, &offer);
    peer_expect(peer, VLMQ__TYPE__YIELD);
    EXPECT_TEXT(((const Vlmq__Yield *)peer->got.body)->attempt->lease, offer.lease);
    peer_answer(peer, VLMQ__TYPE__YIELD_ANSWER, &yield_answer.base);
    stop(scene);
    EXPECT_EQ(end_of(scene), WORKER_DRAINED);
}

TEST(worker, told_to_drain_by_the_broker_it_finishes_and_leaves)
{
    SCENE;
    struct offer offer;
    start(scene);
    peer_expect_take(peer, 2, 1);
    (void)offer_of(&offer, 1500);
    peer->drain = true; /* told with the first renewal */
    grant_one(peer, &offer);
    peer_expect(peer, VLMQ__TYPE__HELLO);
    EXPECT(((const Vlmq__Hello *)peer->got.body)->worker->draining);
    peer_expect(peer, VLMQ__TYPE__DONE);
    peer_answer(peer, VLMQ__TYPE__DONE_ANSWER, &done_answer.base);
    EXPECT_EQ(end_of(scene), WORKER_DRAINED);
}

TEST(worker, drain_asks_long_tasks_to_yield_with_their_cursor)
{
    SCENE;
    struct offer offer;
    scene->options.drain_ms = 1000;
    start(scene);
    peer_expect_take(peer, 2, 1);
    (void)offer_of(&offer, LONG_MS);
    grant_one(peer, &offer);
    peer_expect_renewals(peer, 1);
    stop(scene);
    peer_expect(peer, VLMQ__TYPE__YIELD);
    const Vlmq__Yield *yield = (const Vlmq__Yield *)peer->got.body;
    EXPECT_TEXT(yield->attempt->lease, offer.lease);
    EXPECT(yield->has_cursor);
    peer_answer(peer, VLMQ__TYPE__YIELD_ANSWER, &yield_answer.base);
    EXPECT_EQ(end_of(scene), WORKER_DRAINED);
}

TEST(worker, draining_worker_hands_back_what_is_granted_late)
{
    SCENE;
    struct offer running, late;
    start(scene);
    peer_expect_take(peer, 2, 1);
    (void)offer_of(&running, 3000);
    grant_one(peer, &running);
    peer_expect_take(peer, 1, 1);
    stop(scene);
    peer_expect(peer, VLMQ__TYPE__HELLO); /* draining */
    (void)offer_of(&late, LONG_MS);
    grant_one(peer, &late);
    peer_expect(peer, VLMQ__TYPE__YIELD);
    EXPECT_TEXT(((const Vlmq__Yield *)peer->got.body)->attempt->lease, late.lease);
    peer_answer(peer, VLMQ__TYPE__YIELD_ANSWER, &yield_answer.base);
    peer_expect(peer, VLMQ__TYPE__DONE);
    peer_answer(peer, VLMQ__TYPE__DONE_ANSWER, &done_answer.base);
    EXPECT_EQ(end_of(scene), WORKER_DRAINED);
}

TEST(worker, second_signal_hands_back_and_aborts)
{
    SCENE;
    struct offer offer;
    start(scene);
    peer_expect_take(peer, 2, 1);
    (void)offer_of(&offer, LONG_MS);
    grant_one(peer, &offer);
    peer_expect_renewals(peer, 1);
    stop(scene);
    peer_expect(peer, VLMQ__TYPE__HELLO);
    EXPECT(((const Vlmq__Hello *)peer->got.body)->worker->draining);
    stop(scene);
    peer_expect(peer, VLMQ__TYPE__YIELD);
    EXPECT_TEXT(((const Vlmq__Yield *)peer->got.body)->attempt->lease, offer.lease);
    peer_answer(peer, VLMQ__TYPE__YIELD_ANSWER, &yield_answer.base);
    EXPECT_EQ(end_of(scene), WORKER_ABORTED);
}

TEST(worker, leaves_also_when_the_broker_is_gone)
{
    SCENE;
    start(scene);
    peer_expect_take(peer, 2, 1);
    peer_close(peer);
    stop(scene);
    int status;
    EXPECT_EQ(waitpid(scene->worker, &status, 0), scene->worker);
    scene->worker = 0;
    memset(peer, 0, sizeof *peer);
    EXPECT(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), WORKER_DRAINED);
}

TEST(worker, task_that_runs_alone_has_the_worker_for_itself)
{
    SCENE;
    struct offer alone, other;
    Vlmq__Grant *grants[] = {&alone.grant, &other.grant};
    start(scene);
    peer_expect_take(peer, 2, 1);
    (void)offer_of(&alone, 2000);
    alone.grant.alone = true;
    (void)offer_of(&other, LONG_MS);
    peer_grant(peer, grants, 2);
    peer_expect(peer, VLMQ__TYPE__YIELD);
    EXPECT_TEXT(((const Vlmq__Yield *)peer->got.body)->attempt->lease, other.lease);
    peer_answer(peer, VLMQ__TYPE__YIELD_ANSWER, &yield_answer.base);
    peer_expect(peer, VLMQ__TYPE__DONE);
    EXPECT_EQ(peer->take, 0); /* none was sent beside it */
    peer_answer(peer, VLMQ__TYPE__DONE_ANSWER, &done_answer.base);
    peer_expect_take(peer, 2, 1);
    stop(scene);
    EXPECT_EQ(end_of(scene), WORKER_DRAINED);
}

TEST(worker, lonely_task_is_handed_back_while_others_run)
{
    SCENE;
    struct offer alone, other;
    Vlmq__Grant *grants[] = {&other.grant, &alone.grant};
    start(scene);
    peer_expect_take(peer, 2, 1);
    (void)offer_of(&other, LONG_MS);
    (void)offer_of(&alone, LONG_MS);
    alone.grant.alone = true;
    peer_grant(peer, grants, 2);
    peer_expect(peer, VLMQ__TYPE__YIELD);
    EXPECT_TEXT(((const Vlmq__Yield *)peer->got.body)->attempt->lease, alone.lease);
    peer_answer(peer, VLMQ__TYPE__YIELD_ANSWER, &yield_answer.base);
    peer->renew_code = VLMQ__CODE__CODE_STALE;
    stop(scene);
    EXPECT_EQ(end_of(scene), WORKER_DRAINED);
}

TEST(worker, late_answer_to_a_replaced_take_is_worth_its_grants)
{
    SCENE;
    struct offer one, two, three;
    start(scene);
    peer_expect_take(peer, 2, 1);
    (void)offer_of(&one, 500);
    (void)offer_of(&two, LONG_MS);
    (void)offer_of(&three, 0);
    Vlmq__Grant *grants[] = {&one.grant, &two.grant};
    peer_grant(peer, grants, 2);
    peer_expect_take(peer, 0, 1);
    const uint64_t old = peer->take;
    peer->take = 0; /* so that it is not answered when the next one replaces it */
    peer_expect(peer, VLMQ__TYPE__DONE);
    peer_answer(peer, VLMQ__TYPE__DONE_ANSWER, &done_answer.base);
    peer_expect_take(peer, 1, 1); /* replaces it */
    const uint64_t now = peer->take;
    peer->take = old;
    grant_one(peer, &three);
    peer->take = now;
    peer_expect(peer, VLMQ__TYPE__DONE);
    EXPECT_TEXT(((const Vlmq__Done *)peer->got.body)->attempt->lease, three.lease);
    peer_answer(peer, VLMQ__TYPE__DONE_ANSWER, &done_answer.base);
    peer->renew_code = VLMQ__CODE__CODE_STALE;
    stop(scene);
    EXPECT_EQ(end_of(scene), WORKER_DRAINED);
}

TEST(worker, refused_hello_ends_it_with_a_failure)
{
    SCENE;
    start(scene);
    peer->hello_code = VLMQ__CODE__CODE_DENIED;
    EXPECT_EQ(end_of(scene), WORKER_FAILED);
}

TEST(worker, tells_the_broker_at_once_which_models_stay_loaded)
{
    SCENE;
    struct offer offer;
    Vlmq__Jobs__Probe probe = VLMQ__JOBS__PROBE__INIT;
    char model[] = "openai/clip";
    probe.items = 1;
    probe.model = model;
    scene->options.model_bytes = 1000;
    start(scene);
    peer_expect_take(peer, 2, 1);
    offer_fill(&offer, &probe, "00001");
    const int64_t end = clock_mono_us() + (int64_t)HELLO_MS / 2 * 1000; /* before one is due */
    bool told = false, done = false;
    grant_one(peer, &offer);
    while (!told || !done) { /* in any order */
        EXPECT(clock_mono_us() < end);
        if (!peer_take_in(peer, 1000)) continue;
        const Vlmq__Hello *hello = (const Vlmq__Hello *)peer->got.body;
        if (peer->got.type == VLMQ__TYPE__HELLO && hello->worker->n_models) {
            EXPECT_TEXT(hello->worker->models[0], model);
            told = true;
        }
        if (peer->got.type != VLMQ__TYPE__DONE) continue;
        peer_answer(peer, VLMQ__TYPE__DONE_ANSWER, &done_answer.base);
        done = true;
    }
    stop(scene);
    EXPECT_EQ(end_of(scene), WORKER_DRAINED);
}

TEST(worker, bad_options_are_refused_with_a_sentence)
{
    UNUSED_STATE;
    struct worker *worker;
    struct err err;
    struct worker_options options = {
        .brokers = "tcp://127.0.0.1:1", .device = "cuda:0", .slots = 1};
    EXPECT_EQ(setenv("VLMQ_CUDA_PLUGIN", "/none.so", 1), 0);
    EXPECT_EQ(worker_open(&worker, &options, &err), ERR_NOT_FOUND);
    EXPECT(strstr(err.msg, "--device cuda:0: the plugin does not load: /none.so") != NULL);
    EXPECT_EQ(unsetenv("VLMQ_CUDA_PLUGIN"), 0);
    options.device = "tpu";
    EXPECT_EQ(worker_open(&worker, &options, &err), ERR_INVALID);
    options.device = "cpu";
    options.kinds = (struct conf_list){.item = {"sculpt"}, .count = 1};
    EXPECT_EQ(worker_open(&worker, &options, &err), ERR_INVALID);
    EXPECT(strstr(err.msg, "sculpt") != NULL);
    options.kinds.count = 0;
    options.slots = 0;
    EXPECT_EQ(worker_open(&worker, &options, &err), ERR_INVALID);
    options.slots = 1;
    options.brokers = "nonsense";
    EXPECT(worker_open(&worker, &options, &err) != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN_SCENE(says_hello_takes_with_a_credit_for_each_slot_and_leaves_with_bye),
        RUN_SCENE(renews_with_progress_and_cursor),
        RUN_SCENE(grants_without_room_are_handed_back),
        RUN_SCENE(stale_lease_ends_the_work_without_a_word),
        RUN_SCENE(lease_that_nobody_renews_is_given_up_before_its_end),
        RUN_SCENE(cancelled_task_is_yielded),
        RUN_SCENE(told_to_drain_by_the_broker_it_finishes_and_leaves),
        RUN_SCENE(drain_asks_long_tasks_to_yield_with_their_cursor),
        RUN_SCENE(draining_worker_hands_back_what_is_granted_late),
        RUN_SCENE(second_signal_hands_back_and_aborts),
        RUN_SCENE(leaves_also_when_the_broker_is_gone),
        RUN_SCENE(task_that_runs_alone_has_the_worker_for_itself),
        RUN_SCENE(lonely_task_is_handed_back_while_others_run),
        RUN_SCENE(late_answer_to_a_replaced_take_is_worth_its_grants),
        RUN_SCENE(refused_hello_ends_it_with_a_failure),
        RUN_SCENE(tells_the_broker_at_once_which_models_stay_loaded),
        RUN(worker, bad_options_are_refused_with_a_sentence),
    };
    return cmocka_run_group_tests_name("worker", tests, NULL, NULL);
}
