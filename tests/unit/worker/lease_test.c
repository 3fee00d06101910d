/* lease_test.c - the table with plain numbers for times. */
#include "worker/lease.h"

#include "common/base/rng.h"
#include "tests/support/test.h"

#include <inttypes.h>
#include <string.h>

#define TTL 30000

static struct lease_table table;
static struct lease_work work;

static int fresh(void **state)
{
    (void)state;
    memset(&table, 0, sizeof table);
    memset(&work, 0, sizeof work);
    return 0;
}

TEST(lease, empty_table_sleeps_for_ever)
{
    UNUSED_STATE;
    EXPECT_EQ(lease_tick(&table, 5, &work), -1);
    EXPECT_EQ(work.renew_count, 0);
    EXPECT_EQ(work.lost_count, 0);
}

TEST(lease, is_renewed_soon_after_its_start)
{
    UNUSED_STATE;
    EXPECT(lease_add(&table, 7, 1000, TTL, 1000));
    EXPECT_EQ(lease_tick(&table, 1000, &work), LEASE_FIRST_MS);
    EXPECT_EQ(work.renew_count, 0);
    (void)lease_tick(&table, 1000 + LEASE_FIRST_MS, &work);
    EXPECT_EQ(work.renew_count, 1);
    EXPECT_EQ(work.renew[0], 7);
}

TEST(lease, is_renewed_at_a_third_and_lost_before_the_end)
{
    UNUSED_STATE;
    EXPECT(lease_add(&table, 7, 0, TTL, 0));
    (void)lease_tick(&table, LEASE_FIRST_MS, &work);
    lease_renewed(&table, 7, LEASE_FIRST_MS);
    EXPECT_EQ(lease_tick(&table, LEASE_FIRST_MS, &work), TTL / 3);
    EXPECT_EQ(work.renew_count, 0);
    (void)lease_tick(&table, LEASE_FIRST_MS + TTL / 3 - 1, &work);
    EXPECT_EQ(work.renew_count, 0);
    (void)lease_tick(&table, LEASE_FIRST_MS + TTL / 3, &work);
    EXPECT_EQ(work.renew_count, 1);
    const int64_t end = LEASE_FIRST_MS + TTL;
    (void)lease_tick(&table, end - LEASE_MARGIN_MS - 1, &work);
    EXPECT_EQ(work.lost_count, 0);
    EXPECT_EQ(lease_tick(&table, end - LEASE_MARGIN_MS, &work), -1);
    EXPECT_EQ(work.lost_count, 1);
    EXPECT_EQ(work.lost[0], 7);
    EXPECT_EQ(work.renew_count, 0);
}

TEST(lease, counts_from_the_sending_not_from_the_receipt)
{
    UNUSED_STATE;
    /* Granted by a request of 2,000 ms ago. */
    EXPECT(lease_add(&table, 7, 0, TTL, 2000));
    EXPECT_EQ(lease_left(&table, 7, 2000), TTL - 2000);
    /* Renewed by a request that went out at 5,000, whatever the time is now. */
    lease_renewed(&table, 7, 5000);
    EXPECT_EQ(lease_left(&table, 7, 9000), 5000 + TTL - 9000);
}

TEST(lease, grant_that_was_long_on_its_way_is_renewed_at_once_or_refused)
{
    UNUSED_STATE;
    EXPECT(lease_add(&table, 1, 0, TTL, TTL / 2)); /* past its third */
    (void)lease_tick(&table, TTL / 2, &work);
    EXPECT_EQ(work.renew_count, 1);
    EXPECT(lease_add(&table, 2, 0, TTL, TTL - LEASE_MARGIN_MS - 1));
    EXPECT(!lease_add(&table, 3, 0, TTL, TTL - LEASE_MARGIN_MS));
    EXPECT_EQ(table.count, 2);
}

TEST(lease, unanswered_renewal_is_repeated_faster_and_faster_but_boundedly)
{
    UNUSED_STATE;
    EXPECT(lease_add(&table, 7, 0, TTL, 0));
    int64_t now = 0, pause_before = INT64_MAX;
    int asked = 0;
    while (!work.lost_count) {
        const int64_t sleep = lease_tick(&table, now, &work);
        if (work.lost_count) break;
        EXPECT(sleep > 0);
        if (work.renew_count && now > LEASE_FIRST_MS) {
            EXPECT(sleep <= pause_before);
            EXPECT(sleep >= LEASE_RETRY_MS || now + sleep == TTL - LEASE_MARGIN_MS);
            pause_before = sleep;
        }
        asked += (int)work.renew_count;
        now += sleep;
    }
    EXPECT_EQ(now, TTL - LEASE_MARGIN_MS);
    EXPECT(asked >= 5);
    EXPECT(asked <= RENEWS_MAX);
}

TEST(lease, late_answer_to_an_older_renewal_does_not_shorten_it)
{
    UNUSED_STATE;
    EXPECT(lease_add(&table, 7, 0, TTL, 0));
    lease_renewed(&table, 7, 9000);
    lease_renewed(&table, 7, 4000);
    EXPECT_EQ(lease_left(&table, 7, 9000), TTL);
    EXPECT_EQ(lease_tick(&table, 9000, &work), TTL / 3);
}

TEST(lease, lost_is_told_once_and_stays)
{
    UNUSED_STATE;
    EXPECT(lease_add(&table, 7, 0, TTL, 0));
    (void)lease_tick(&table, TTL, &work);
    EXPECT_EQ(work.lost_count, 1);
    EXPECT_EQ(lease_tick(&table, TTL + 1, &work), -1);
    EXPECT_EQ(work.lost_count, 0);
    lease_renewed(&table, 7, TTL); /* an answer that came after the work was stopped */
    EXPECT_EQ(lease_left(&table, 7, TTL + 1), 0);
    lease_hurry(&table, 7);
    (void)lease_tick(&table, TTL + 2, &work);
    EXPECT_EQ(work.renew_count, 0);
    EXPECT_EQ(work.lost_count, 0);
}

TEST(lease, gone_at_the_broker_is_neither_renewed_nor_told)
{
    UNUSED_STATE;
    EXPECT(lease_add(&table, 7, 0, TTL, 0));
    lease_gone(&table, 7);
    EXPECT_EQ(lease_tick(&table, TTL, &work), -1);
    EXPECT_EQ(work.renew_count + work.lost_count, 0);
    EXPECT_EQ(lease_left(&table, 7, 0), 0);
}

TEST(lease, hurry_renews_with_the_next_tick_and_once)
{
    UNUSED_STATE;
    EXPECT(lease_add(&table, 7, 0, TTL, 0));
    EXPECT(lease_add(&table, 8, 0, TTL, 0));
    lease_hurry(&table, 8);
    lease_hurry(&table, 99);
    EXPECT(lease_tick(&table, 1, &work) > 0);
    EXPECT_EQ(work.renew_count, 1);
    EXPECT_EQ(work.renew[0], 8);
    (void)lease_tick(&table, 2, &work);
    EXPECT_EQ(work.renew_count, 0);
}

TEST(lease, calm_is_renewed_at_the_ordinary_time)
{
    UNUSED_STATE;
    EXPECT(lease_add(&table, 7, 0, TTL, 0));
    lease_hurry(&table, 7);
    lease_calm(&table, 7);
    EXPECT_EQ(lease_tick(&table, LEASE_FIRST_MS, &work), TTL / 3 - LEASE_FIRST_MS);
    EXPECT_EQ(work.renew_count, 0);
    const int64_t again = lease_tick(&table, TTL / 3, &work);
    EXPECT_EQ(work.renew_count, 1);
    lease_calm(&table, 7); /* does not bring an unanswered one forward */
    EXPECT_EQ(lease_tick(&table, TTL / 3, &work), again);
    lease_calm(&table, 8);
}

TEST(lease, dropped_is_forgotten_and_its_key_free)
{
    UNUSED_STATE;
    EXPECT(lease_add(&table, 7, 0, TTL, 0));
    EXPECT(lease_add(&table, 8, 10, TTL, 10));
    EXPECT(!lease_add(&table, 8, 10, TTL, 10));
    lease_drop(&table, 7);
    lease_drop(&table, 7);
    EXPECT_EQ(table.count, 1);
    EXPECT_EQ(lease_left(&table, 7, 10), 0);
    EXPECT_EQ(lease_left(&table, 8, 10), TTL);
    EXPECT(lease_add(&table, 7, 10, TTL, 10));
}

TEST(lease, table_is_bounded)
{
    UNUSED_STATE;
    for (uint64_t key = 0; key < TASKS_MAX; key++) EXPECT(lease_add(&table, key, 0, TTL, 0));
    EXPECT(!lease_add(&table, TASKS_MAX, 0, TTL, 0));
    (void)lease_tick(&table, LEASE_FIRST_MS, &work);
    EXPECT_EQ(work.renew_count, TASKS_MAX);
    (void)lease_tick(&table, TTL, &work);
    EXPECT_EQ(work.lost_count, TASKS_MAX);
}

/* Against a broker whose clock is as fast as ours: whatever the delays of messages and however
 * many of them are lost, the worker never believes in a lease that the broker has given away, and
 * it keeps one as long as the network answers at all. */
TEST(lease, never_outlives_the_broker_s)
{
    UNUSED_STATE;
    struct rng rng;
    rng_seed(&rng, test_seed());
    for (int round = 0; round < 300; round++) {
        (void)fresh(NULL);
        const int64_t ttl = 3000 + (int64_t)rng_below(&rng, 30000);
        const uint64_t loss = rng_below(&rng, 100); /* of 100 messages */
        int64_t now = 0, broker_end;
        /* A take that was sent at 0, parked, and answered after a delay. */
        const int64_t parked = (int64_t)rng_below(&rng, 20000);
        const int64_t there = (int64_t)rng_below(&rng, 300), back = (int64_t)rng_below(&rng, 300);
        broker_end = there + parked + ttl;
        now = there + parked + back;
        if (!lease_add(&table, 1, parked, ttl, now)) continue;
        for (int step = 0; step < 200; step++) {
            EXPECT(lease_left(&table, 1, now) <= broker_end - now || broker_end < now);
            const int64_t sleep = lease_tick(&table, now, &work);
            if (work.lost_count) {
                EXPECT(now < broker_end); /* stopped while it was still ours */
                break;
            }
            EXPECT(sleep >= 0);
            if (work.renew_count && rng_below(&rng, 100) >= loss) {
                const int64_t arrives = now + (int64_t)rng_below(&rng, 300);
                if (arrives < broker_end) {
                    broker_end = arrives + ttl;
                    if (rng_below(&rng, 100) >= loss) lease_renewed(&table, 1, now);
                }
            }
            now += sleep;
        }
        if (loss == 0) EXPECT_EQ(work.lost_count, 0);
    }
}

#define RUN_FRESH(claim) cmocka_unit_test_setup(lease__##claim, fresh)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN_FRESH(empty_table_sleeps_for_ever),
        RUN_FRESH(is_renewed_soon_after_its_start),
        RUN_FRESH(is_renewed_at_a_third_and_lost_before_the_end),
        RUN_FRESH(counts_from_the_sending_not_from_the_receipt),
        RUN_FRESH(grant_that_was_long_on_its_way_is_renewed_at_once_or_refused),
        RUN_FRESH(unanswered_renewal_is_repeated_faster_and_faster_but_boundedly),
        RUN_FRESH(late_answer_to_an_older_renewal_does_not_shorten_it),
        RUN_FRESH(lost_is_told_once_and_stays),
        RUN_FRESH(gone_at_the_broker_is_neither_renewed_nor_told),
        RUN_FRESH(hurry_renews_with_the_next_tick_and_once),
        RUN_FRESH(calm_is_renewed_at_the_ordinary_time),
        RUN_FRESH(dropped_is_forgotten_and_its_key_free),
        RUN_FRESH(table_is_bounded),
        RUN_FRESH(never_outlives_the_broker_s),
    };
    return cmocka_run_group_tests_name("lease", tests, NULL, NULL);
}
