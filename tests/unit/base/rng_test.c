/* rng_test.c - repeatable, even, within bounds. */
#include "common/base/rng.h"

#include "tests/support/test.h"

#include <string.h>

TEST(rng, first_numbers_of_a_known_state_are_those_of_the_algorithm)
{
    UNUSED_STATE;
    /* rotl(2 * 5, 7) * 9 = 11520, and so on through the linear step. */
    struct rng rng = {{1, 2, 3, 4}};
    EXPECT(rng_next(&rng) == 11520);
    EXPECT(rng_next(&rng) == 0);
    EXPECT(rng_next(&rng) == UINT64_C(1509978240));
    EXPECT(rng_next(&rng) == UINT64_C(1215971899390074240));
}

TEST(rng, same_seed_same_numbers_other_seed_others)
{
    UNUSED_STATE;
    struct rng a, b, c;
    const uint64_t seed = test_seed();
    rng_seed(&a, seed);
    rng_seed(&b, seed);
    rng_seed(&c, seed + 1);
    int same = 0;
    for (int i = 0; i < 100; i++) {
        const uint64_t number = rng_next(&a);
        EXPECT(number == rng_next(&b));
        same += number == rng_next(&c);
    }
    EXPECT_EQ(same, 0);
}

TEST(rng, below_is_even_and_below)
{
    UNUSED_STATE;
    struct rng rng;
    int count[7] = {0};
    rng_seed(&rng, 5);
    for (int i = 0; i < 70000; i++) {
        const uint64_t draw = rng_below(&rng, 7);
        EXPECT(draw < 7);
        count[draw]++;
    }
    for (int i = 0; i < 7; i++) EXPECT(count[i] > 9500 && count[i] < 10500); /* 5 sigma */
    EXPECT(rng_below(&rng, 1) == 0);
    const uint64_t quarter = UINT64_C(1) << 62; /* a plain remainder would favour the lowest */
    int low = 0;
    for (int i = 0; i < 9000; i++) low += rng_below(&rng, 3 * quarter) < quarter;
    EXPECT(low > 2750 && low < 3250);
}

TEST(rng, unit_is_in_the_half_open_interval_around_a_half)
{
    UNUSED_STATE;
    struct rng rng;
    double sum = 0;
    rng_seed(&rng, 6);
    for (int i = 0; i < 10000; i++) {
        const double draw = rng_unit(&rng);
        EXPECT(draw >= 0);
        EXPECT(draw < 1);
        sum += draw;
    }
    EXPECT(sum > 4850);
    EXPECT(sum < 5150);
}

TEST(rng, secure_fills_all_bytes_and_differs_each_time)
{
    UNUSED_STATE;
    unsigned char a[1000], b[1000];
    memset(a, 0, sizeof a);
    rng_secure(a, sizeof a);
    rng_secure(b, sizeof b);
    EXPECT(memcmp(a, b, sizeof a) != 0);
    int zeros = 0;
    for (size_t i = 0; i < sizeof a; i++) zeros += a[i] == 0;
    EXPECT(zeros < 50);
    rng_secure(NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(rng, first_numbers_of_a_known_state_are_those_of_the_algorithm),
        RUN(rng, same_seed_same_numbers_other_seed_others),
        RUN(rng, below_is_even_and_below),
        RUN(rng, unit_is_in_the_half_open_interval_around_a_half),
        RUN(rng, secure_fills_all_bytes_and_differs_each_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
