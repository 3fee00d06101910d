/* rows.h - what the programs of tests/gpu print: one line for each row of its table, on stdout.
 *
 *   part TAB what TAB value TAB unit TAB beside
 *
 * The value is a number with a point, or empty where there is none; `beside` says what it is to be
 * compared with. */
#ifndef TESTS_DEVICE_ROWS_H
#define TESTS_DEVICE_ROWS_H

#include <stdio.h>
#include <time.h>

static inline void row(const char *part, const char *what, double value, const char *unit,
                       const char *beside)
{
    (void)printf("%s\t%s\t%.4g\t%s\t%s\n", part, what, value, unit, beside);
    (void)fflush(stdout);
}

static inline double now_s(void)
{
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now)) return 0;
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

#endif
