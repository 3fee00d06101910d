/* clock.c - the real clocks. */
#include "common/base/clock.h"

#include "common/base/check.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

static int64_t read_us(clockid_t id)
{
    struct timespec now;
    CHECK(clock_gettime(id, &now) == 0);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t real_mono_ms(const struct clock *self)
{
    (void)self;
    return read_us(CLOCK_MONOTONIC) / 1000;
}

static int64_t real_wall_ms(const struct clock *self)
{
    (void)self;
    return read_us(CLOCK_REALTIME) / 1000;
}

const struct clock clock_real = {.mono_ms = real_mono_ms, .wall_ms = real_wall_ms};

int64_t clock_mono_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

int64_t clock_thread_ns(void)
{
    struct timespec now;
    CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void clock_sleep_ms(int64_t ms)
{
    if (ms <= 0) return;
    struct timespec left = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&left, &left) && errno == EINTR) {
    }
}

char *clock_text(char *dst, int64_t wall_ms)
{
    int64_t seconds = wall_ms / 1000;
    int64_t ms = wall_ms % 1000;
    if (ms < 0) {
        ms += 1000;
        seconds--;
    }
    const time_t at = (time_t)seconds;
    struct tm tm = {0};
    if (!gmtime_r(&at, &tm) || tm.tm_year + 1900 > 9999 || tm.tm_year + 1900 < 0) {
        (void)snprintf(dst, CLOCK_TEXT_BYTES, "-");
        return dst;
    }
    (void)snprintf(dst, CLOCK_TEXT_BYTES, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900,
                   tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)ms);
    return dst;
}
