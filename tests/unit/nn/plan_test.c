/* plan_test.c - buffers that live together never share bytes, and those that do not, do. */
#include "worker/nn/plan.h"

#include "common/base/rng.h"
#include "tests/support/test.h"
#include "worker/nn/backend.h"

TEST(plan, nothing_needs_nothing)
{
    UNUSED_STATE;
    struct plan plan = {0};
    EXPECT_EQ(plan_place(&plan), 0);
    EXPECT_EQ(plan_add(&plan, 0, 3, 3), 0);
    EXPECT_EQ(plan_place(&plan), 0);
}

TEST(plan, those_that_follow_each_other_share_memory)
{
    UNUSED_STATE;
    struct plan plan = {0};
    const uint32_t first = plan_add(&plan, 1000, 0, 1);
    const uint32_t second = plan_add(&plan, 3000, 1, 2);
    const uint32_t third = plan_add(&plan, 990, 2, 3);
    EXPECT_EQ(first, 0);
    EXPECT_EQ(second, 1);
    EXPECT_EQ(third, 2);
    /* Rounded up to 1024 and 3008 bytes: first and third lie behind second, on each other. */
    EXPECT_EQ(plan_place(&plan), 3008 + 1024);
    EXPECT_EQ(plan.buffer[second].offset, 0);
    EXPECT_EQ(plan.buffer[first].offset, 3008);
    EXPECT_EQ(plan.buffer[third].offset, 3008);
    char memory[3008 + 1024];
    EXPECT(plan_at(&plan, third, memory) == memory + 3008);
}

TEST(plan, a_gap_between_two_is_filled)
{
    UNUSED_STATE;
    struct plan plan = {0};
    plan_add(&plan, 640, 0, 9);                         /* 0 to 640, always */
    plan_add(&plan, 512, 0, 4);                         /* 640 to 1152 */
    plan_add(&plan, 448, 4, 9);                         /* 1152 to 1600 */
    const uint32_t fits = plan_add(&plan, 384, 5, 9);   /* in the second's place */
    const uint32_t narrow = plan_add(&plan, 128, 5, 9); /* behind it, what is left there */
    const uint32_t outside = plan_add(&plan, 64, 5, 9); /* no room is left */
    EXPECT_EQ(plan_place(&plan), 1664);
    EXPECT_EQ(plan.buffer[fits].offset, 640);
    EXPECT_EQ(plan.buffer[narrow].offset, 640 + 384);
    EXPECT_EQ(plan.buffer[outside].offset, 1600);
}

static void expect_valid(const struct plan *plan, size_t total)
{
    for (uint32_t a = 0; a < plan->count; a++) {
        EXPECT_EQ(plan->buffer[a].offset % BACKEND_ALIGNMENT, 0);
        EXPECT(plan->buffer[a].offset + plan->buffer[a].bytes <= total);
        for (uint32_t b = 0; b < a; b++) {
            const bool together = plan->buffer[a].first <= plan->buffer[b].last &&
                                  plan->buffer[b].first <= plan->buffer[a].last;
            const bool apart =
                plan->buffer[a].offset + plan->buffer[a].bytes <= plan->buffer[b].offset ||
                plan->buffer[b].offset + plan->buffer[b].bytes <= plan->buffer[a].offset;
            EXPECT(!together || apart);
        }
    }
}

/* The most that is alive in one step: no plan can need less. */
static size_t needed(const struct plan *plan, uint32_t steps)
{
    size_t most = 0;
    for (uint32_t step = 0; step < steps; step++) {
        size_t bytes = 0;
        for (uint32_t i = 0; i < plan->count; i++)
            if (plan->buffer[i].first <= step && step <= plan->buffer[i].last)
                bytes += plan->buffer[i].bytes;
        if (bytes > most) most = bytes;
    }
    return most;
}

TEST(plan, random_plans_keep_what_lives_together_apart_and_waste_little)
{
    UNUSED_STATE;
    struct rng rng;
    double waste = 0;
    rng_seed(&rng, test_seed());
    for (int turn = 0; turn < 300; turn++) {
        struct plan plan = {0};
        const uint32_t count = 1 + (uint32_t)rng_below(&rng, PLAN_BUFFERS_MAX);
        for (uint32_t i = 0; i < count; i++) {
            const uint32_t first = (uint32_t)rng_below(&rng, 20);
            const uint32_t last = first + (uint32_t)rng_below(&rng, 5);
            plan_add(&plan, 1 + (size_t)rng_below(&rng, 1 << 20), first, last);
        }
        const size_t total = plan_place(&plan);
        expect_valid(&plan, total);
        EXPECT(total >= needed(&plan, 25));
        waste += (double)total / (double)needed(&plan, 25) / 300;
    }
    EXPECT(waste < 1.06); /* 1.03 as measured */
}

TEST(plan, sizes_beyond_any_memory_are_refused)
{
    UNUSED_STATE;
    struct err err;
    size_t bytes;
    EXPECT_OK(plan_bytes(&bytes, DTYPE_BF16, 3, 5, &err), &err);
    EXPECT_EQ(bytes, 30);
    EXPECT_OK(plan_bytes(&bytes, DTYPE_F32, 0, INT64_MAX, &err), &err);
    EXPECT_EQ(bytes, 0);
    EXPECT_OK(plan_bytes(&bytes, DTYPE_F32, 1 << 22, 1 << 20, &err), &err);
    EXPECT_EQ(bytes, PLAN_BYTES_MAX);
    EXPECT_EQ(plan_bytes(&bytes, DTYPE_F32, (1 << 22) + 1, 1 << 20, &err), ERR_LIMIT);
    EXPECT_EQ(plan_bytes(&bytes, DTYPE_U8, INT64_MAX, 3, &err), ERR_LIMIT);
    EXPECT_EQ(plan_bytes(&bytes, DTYPE_F32, INT64_MAX / 2, 1, &err), ERR_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(plan, nothing_needs_nothing),
        RUN(plan, those_that_follow_each_other_share_memory),
        RUN(plan, a_gap_between_two_is_filled),
        RUN(plan, sizes_beyond_any_memory_are_refused),
        RUN(plan, random_plans_keep_what_lives_together_apart_and_waste_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
