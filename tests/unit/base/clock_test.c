/* clock_test.c - the text of moments, and that the clocks are the right ones. */
#include "common/base/clock.h"

#include "tests/support/test.h"

#include <time.h>

TEST(clock, text_is_utc_with_milliseconds)
{
    UNUSED_STATE;
    char text[CLOCK_TEXT_BYTES];
    EXPECT_TEXT(clock_text(text, 0), "1970-01-01T00:00:00.000Z");
    EXPECT_TEXT(clock_text(text, 951782400007), "2000-02-29T00:00:00.007Z");
    EXPECT_TEXT(clock_text(text, 1795329498123), "2026-11-22T06:38:18.123Z");
    EXPECT_TEXT(clock_text(text, -1), "1969-12-31T23:59:59.999Z");
    EXPECT_TEXT(clock_text(text, INT64_MAX), "-");
    EXPECT_TEXT(clock_text(text, INT64_MIN), "-");
}

TEST(clock, wall_is_the_calendar_and_mono_does_not_go_back)
{
    UNUSED_STATE;
    const int64_t before = (int64_t)time(NULL) * 1000;
    const int64_t wall = clock_real.wall_ms(&clock_real);
    const int64_t after = ((int64_t)time(NULL) + 1) * 1000;
    EXPECT(wall >= before - 1000); /* time() reads a coarser clock */
    EXPECT(wall <= after + 1000);
    int64_t last = clock_mono_us();
    for (int i = 0; i < 1000; i++) {
        const int64_t now = clock_mono_us();
        EXPECT(now >= last);
        last = now;
    }
    EXPECT(clock_real.mono_ms(&clock_real) >= last / 1000);
}

TEST(clock, sleep_lasts_at_least_as_long_as_asked)
{
    UNUSED_STATE;
    const int64_t start = clock_mono_us();
    clock_sleep_ms(3);
    clock_sleep_ms(0);
    clock_sleep_ms(-1);
    EXPECT(clock_mono_us() - start >= 3000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(clock, text_is_utc_with_milliseconds),
        RUN(clock, wall_is_the_calendar_and_mono_does_not_go_back),
        RUN(clock, sleep_lasts_at_least_as_long_as_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
