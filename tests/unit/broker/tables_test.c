/* tables_test.c - claims about the tables of peers and jobs: bounds, moves, places used again. */
#include "broker/jobs.h"
#include "broker/peers.h"
#include "common/base/rng.h"
#include "common/base/str.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <string.h>

/* ---- index ---- */

TEST(tables, an_index_finds_what_was_added_and_not_removed)
{
    UNUSED_STATE;
    enum { SLOTS = 64 };
    struct index index;
    struct rng rng;
    bool there[SLOTS] = {false};
    rng_seed(&rng, test_seed());
    index_init(&index, 4, 1); /* few buckets: long chains */
    index_deinit(&index);
    index_init(&index, SLOTS, rng_next(&rng));
    for (uint32_t step = 0; step < 5000; step++) {
        const uint32_t slot = (uint32_t)rng_below(&rng, SLOTS);
        const uint32_t key = slot % 7; /* many slots with the same key */
        const uint64_t hash = index_hash(&index, &key, sizeof key);
        if (there[slot]) {
            index_remove(&index, hash, slot);
        } else {
            index_add(&index, hash, slot);
        }
        there[slot] = !there[slot];
        for (uint32_t k = 0; k < SLOTS; k++) {
            const uint32_t wanted = k % 7;
            bool found = false;
            const uint64_t at = index_hash(&index, &wanted, sizeof wanted);
            for (uint32_t s = index_first(&index, at); s != INDEX_END; s = index_next(&index, s)) {
                found |= s == k;
            }
            EXPECT_EQ(found, there[k]);
        }
    }
    index_deinit(&index);
}

/* ---- peers ---- */

static struct sock_peer peer_of(uint32_t number)
{
    struct sock_peer peer = {.id_bytes = 5, .role = SOCK_ROLE_ADMIN};
    memcpy(peer.id + 1, &number, 4);
    return peer;
}

static struct peer *meet(struct peers *peers, uint32_t number, int64_t now_ms)
{
    const struct sock_peer id = peer_of(number);
    return peers_meet(peers, &id, now_ms);
}

TEST(tables, a_peer_keeps_its_slot)
{
    UNUSED_STATE;
    struct peers peers;
    peers_init(&peers, 1);
    struct peer *a = meet(&peers, 1, 0), *b = meet(&peers, 2, 0);
    EXPECT(a != b);
    EXPECT(meet(&peers, 1, 50) == a);
    EXPECT_EQ(a->seen_at_ms, 50);
    EXPECT_EQ(peers.count, 2);
    peers_deinit(&peers);
}

TEST(tables, a_worker_moves_with_all_it_has_to_a_new_connection)
{
    UNUSED_STATE;
    struct peers peers;
    peers_init(&peers, 1);
    struct peer *old = meet(&peers, 1, 0), *new = meet(&peers, 2, 0);
    EXPECT(peers_bind(&peers, old, "w"));
    peers_park(&peers, old, &(struct parked){.waiting = true, .request_id = 5});
    peers_reply(&peers, old, 4, 0, "bytes", 5);
    old->drain = true;
    EXPECT(!peers_bind(&peers, new, "w"));
    EXPECT(peers_find_worker(&peers, "w") == new);
    EXPECT_EQ(old->worker[0], 0);
    EXPECT(!old->take.waiting);
    EXPECT(new->take.waiting);
    EXPECT(new->drain);
    EXPECT_EQ(new->reply.bytes, 5);
    EXPECT_EQ(peers.parked_count, 1);
    EXPECT_EQ(peers.workers, 1);
    EXPECT_EQ(peers.replies_bytes, 5);
    peers_unbind(&peers, new);
    EXPECT_EQ(peers.parked_count, 0);
    EXPECT_EQ(peers.workers, 0);
    EXPECT_EQ(peers.replies_bytes, 0);
    peers_deinit(&peers);
}

TEST(tables, a_peer_that_speaks_for_another_worker_forgets_the_first)
{
    UNUSED_STATE;
    struct peers peers;
    peers_init(&peers, 1);
    struct peer *peer = meet(&peers, 1, 0);
    EXPECT(peers_bind(&peers, peer, "a"));
    peers_park(&peers, peer, &(struct parked){.waiting = true});
    EXPECT(peers_bind(&peers, peer, "b"));
    EXPECT(peers_find_worker(&peers, "a") == NULL);
    EXPECT(!peer->take.waiting);
    EXPECT_EQ(peers.parked_count, 0);
    peers_deinit(&peers);
}

TEST(tables, a_full_table_of_peers_gives_up_the_longest_silent_client)
{
    UNUSED_STATE;
    struct peers peers;
    peers_init(&peers, 1);
    for (uint32_t i = 0; i < PEERS_MAX; i++) {
        struct peer *peer = meet(&peers, i, i == 77 ? 1 : 10);
        EXPECT(peer != NULL);
        char name[16];
        (void)snprintf(name, sizeof name, "w%u", i);
        if (i != 77 && i != 78) EXPECT(peers_bind(&peers, peer, name));
    }
    const struct sock_peer silent = peer_of(77), other = peer_of(78);
    EXPECT(meet(&peers, PEERS_MAX, 20) != NULL);
    EXPECT(peers_find(&peers, &silent) == NULL);
    peers_find(&peers, &other)->watches = 1;
    peers_find(&peers, &(struct sock_peer){.id_bytes = 0}); /* unknown: no harm */
    const struct sock_peer newest = peer_of(PEERS_MAX);
    peers_find(&peers, &newest)->watches = 1;
    EXPECT(meet(&peers, PEERS_MAX + 1, 20) == NULL); /* all others are busy */
    EXPECT_EQ(peers.count, PEERS_MAX);
    peers_deinit(&peers);
}

TEST(tables, silent_peers_are_found_after_their_time)
{
    UNUSED_STATE;
    struct peers peers;
    peers_init(&peers, 1);
    meet(&peers, 1, 0);
    struct peer *late = meet(&peers, 2, 1);
    (void)late;
    uint32_t at = 0;
    EXPECT(peers_silent(&peers, &at, PEER_SILENCE_MS) == NULL);
    at = 0;
    struct peer *silent = peers_silent(&peers, &at, PEER_SILENCE_MS + 1);
    EXPECT(silent != NULL);
    EXPECT(silent != late);
    EXPECT(peers_silent(&peers, &at, PEER_SILENCE_MS + 1) == NULL);
    peers_deinit(&peers);
}

/* ---- jobs ---- */

struct reply_job {
    Vlmq__Job job;
    char id[JOB_ID_BYTES], kind[8], owner[16];
};

static const Vlmq__Job *reply(struct reply_job *r, const char *id, uint32_t ready)
{
    vlmq__job__init(&r->job);
    (void)str_copy(r->id, sizeof r->id, id);
    (void)str_copy(r->kind, sizeof r->kind, "probe");
    (void)str_copy(r->owner, sizeof r->owner, "me");
    r->job.id = r->id;
    r->job.kind = r->kind;
    r->job.owner = r->owner;
    r->job.state = VLMQ__JOB_STATE__JOB_RUNNING;
    r->job.version = 1;
    r->job.tasks_ready = ready;
    r->job.tasks_total = ready;
    return &r->job;
}

TEST(tables, what_changed_of_a_job_is_told_once)
{
    UNUSED_STATE;
    struct jobs jobs;
    struct reply_job r;
    jobs_init(&jobs, 1);
    struct job_change change = jobs_learn(&jobs, reply(&r, "a", 2), 10);
    EXPECT(change.appeared);
    EXPECT(change.readied);
    EXPECT_EQ(change.job->ready_since_ms, 10);
    change = jobs_learn(&jobs, &r.job, 20);
    EXPECT(!change.appeared);
    EXPECT(!change.readied);
    EXPECT(!change.changed);
    r.job.version = 2;
    r.job.state = VLMQ__JOB_STATE__JOB_CANCELLING;
    change = jobs_learn(&jobs, &r.job, 30);
    EXPECT(change.changed);
    EXPECT(change.cancelling);
    EXPECT(!jobs_learn(&jobs, &r.job, 31).cancelling);
    r.job.state = VLMQ__JOB_STATE__JOB_CANCELLED;
    EXPECT(jobs_learn(&jobs, &r.job, 40).ended);
    EXPECT(!jobs_learn(&jobs, &r.job, 41).ended);
    jobs_deinit(&jobs);
}

TEST(tables, an_ended_job_does_not_enter_the_table)
{
    UNUSED_STATE;
    struct jobs jobs;
    struct reply_job r;
    jobs_init(&jobs, 1);
    (void)reply(&r, "a", 0);
    r.job.state = VLMQ__JOB_STATE__JOB_DONE;
    EXPECT(jobs_learn(&jobs, &r.job, 0).job == NULL);
    EXPECT_EQ(jobs.count, 0);
    jobs_deinit(&jobs);
}

TEST(tables, paused_held_and_cancelled_jobs_give_nothing)
{
    UNUSED_STATE;
    struct jobs jobs;
    struct reply_job r;
    jobs_init(&jobs, 1);
    struct job *job = jobs_learn(&jobs, reply(&r, "a", 2), 0).job;
    EXPECT(job_gives(job));
    job->paused = true;
    EXPECT(!job_gives(job));
    job->paused = false;
    job->state = VLMQ__JOB_STATE__JOB_HELD;
    EXPECT(!job_gives(job));
    job->state = VLMQ__JOB_STATE__JOB_CANCELLING;
    EXPECT(!job_gives(job));
    job->state = VLMQ__JOB_STATE__JOB_CLOSING;
    EXPECT(job_gives(job));
    jobs_deinit(&jobs);
}

TEST(tables, a_full_table_of_jobs_gives_up_one_with_nothing_to_give)
{
    UNUSED_STATE;
    struct jobs jobs;
    struct reply_job r;
    char id[16];
    jobs_init(&jobs, 1);
    for (uint32_t i = 0; i < JOBS_MAX; i++) {
        (void)snprintf(id, sizeof id, "job%u", i);
        EXPECT(jobs_learn(&jobs, reply(&r, id, i == 9 ? 0 : 1), 0).job != NULL);
    }
    EXPECT(jobs_learn(&jobs, reply(&r, "new", 1), 0).job != NULL);
    EXPECT(jobs_find(&jobs, "job9") == NULL);
    EXPECT(jobs_find(&jobs, "new") != NULL);
    EXPECT_EQ(jobs.count, JOBS_MAX);
    jobs_deinit(&jobs);
}

TEST(tables, a_full_table_of_jobs_keeps_the_better_ones)
{
    UNUSED_STATE;
    struct jobs jobs;
    struct reply_job r;
    char id[16];
    jobs_init(&jobs, 1);
    for (uint32_t i = 0; i < JOBS_MAX; i++) {
        (void)snprintf(id, sizeof id, "job%u", i);
        (void)reply(&r, id, 1);
        r.job.priority = i == 5 ? -1 : 0;
        r.job.submitted_at_ms = i;
        EXPECT(jobs_learn(&jobs, &r.job, 0).job != NULL);
    }
    (void)reply(&r, "worse", 1);
    r.job.priority = -2;
    EXPECT(jobs_learn(&jobs, &r.job, 0).job == NULL);
    (void)reply(&r, "better", 1);
    r.job.submitted_at_ms = JOBS_MAX;
    EXPECT(jobs_learn(&jobs, &r.job, 0).job != NULL);
    EXPECT(jobs_find(&jobs, "job5") == NULL);
    (void)reply(&r, "younger", 1);
    r.job.submitted_at_ms = JOBS_MAX + 1;
    EXPECT(jobs_learn(&jobs, &r.job, 0).job == NULL);
    jobs_deinit(&jobs);
}

TEST(tables, jobs_with_leases_never_leave_a_full_table)
{
    UNUSED_STATE;
    struct jobs jobs;
    struct reply_job r;
    char id[16];
    jobs_init(&jobs, 1);
    for (uint32_t i = 0; i < JOBS_MAX; i++) {
        (void)snprintf(id, sizeof id, "job%u", i);
        (void)reply(&r, id, 0);
        r.job.tasks_leased = 1;
        EXPECT(jobs_learn(&jobs, &r.job, 0).job != NULL);
    }
    (void)reply(&r, "urgent", 1);
    r.job.priority = 100;
    EXPECT(jobs_learn(&jobs, &r.job, 2 * (int64_t)JOB_UNSERVED_MS).job == NULL);
    jobs_deinit(&jobs);
}

TEST(tables, more_owners_than_places_are_forgotten_with_their_jobs)
{
    UNUSED_STATE;
    struct jobs jobs;
    struct reply_job r;
    jobs_init(&jobs, 1);
    for (uint32_t i = 0; i < OWNERS_MAX + 100; i++) {
        (void)reply(&r, "one", 1);
        (void)snprintf(r.owner, sizeof r.owner, "owner%u", i);
        struct job *job = jobs_learn(&jobs, &r.job, 0).job;
        EXPECT_TEXT(jobs.owner[job->owner].name, r.owner);
        EXPECT_EQ(jobs.owner[job->owner].jobs, 1);
        jobs_drop(&jobs, job);
    }
    EXPECT_EQ(jobs.owners_high, OWNERS_MAX);
    jobs_deinit(&jobs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(tables, an_index_finds_what_was_added_and_not_removed),
        RUN(tables, a_peer_keeps_its_slot),
        RUN(tables, a_worker_moves_with_all_it_has_to_a_new_connection),
        RUN(tables, a_peer_that_speaks_for_another_worker_forgets_the_first),
        RUN(tables, a_full_table_of_peers_gives_up_the_longest_silent_client),
        RUN(tables, silent_peers_are_found_after_their_time),
        RUN(tables, what_changed_of_a_job_is_told_once),
        RUN(tables, an_ended_job_does_not_enter_the_table),
        RUN(tables, paused_held_and_cancelled_jobs_give_nothing),
        RUN(tables, a_full_table_of_jobs_gives_up_one_with_nothing_to_give),
        RUN(tables, a_full_table_of_jobs_keeps_the_better_ones),
        RUN(tables, jobs_with_leases_never_leave_a_full_table),
        RUN(tables, more_owners_than_places_are_forgotten_with_their_jobs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
