/* stop_test.c - signals become a number and a wake-up. */
#include "common/base/stop.h"

#include "tests/support/test.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

TEST(stop, counts_signals_and_raises_the_wake_up)
{
    UNUSED_STATE;
    struct wake wake;
    EXPECT_EQ(wake_open(&wake), 0);
    stop_install(&wake);
    EXPECT_EQ(stop_count(), 0);
    EXPECT_EQ(raise(SIGTERM), 0);
    EXPECT_EQ(stop_count(), 1);
    struct pollfd pollfd = {.fd = wake.fd, .events = POLLIN};
    EXPECT_EQ(poll(&pollfd, 1, 0), 1);
    wake_clear(&wake);
    EXPECT_EQ(raise(SIGINT), 0);
    EXPECT_EQ(stop_count(), 2);
    EXPECT_EQ(poll(&pollfd, 1, 0), 1);
    stop_install(NULL);
    wake_close(&wake);
    EXPECT_EQ(raise(SIGINT), 0);
    EXPECT_EQ(stop_count(), 3);
}

TEST(stop, a_closed_pipe_is_an_error_not_an_end)
{
    UNUSED_STATE;
    int ends[2];
    stop_install(NULL);
    EXPECT_EQ(pipe(ends), 0);
    EXPECT_EQ(close(ends[0]), 0);
    EXPECT_EQ(write(ends[1], "x", 1), -1);
    EXPECT_EQ(errno, EPIPE);
    EXPECT_EQ(close(ends[1]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(stop, counts_signals_and_raises_the_wake_up),
        RUN(stop, a_closed_pipe_is_an_error_not_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
