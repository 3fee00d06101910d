/* clock.h - the clocks, injected so that tests and simulations can turn them. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

struct clock {
    int64_t (*mono_ms)(const struct clock *clock); /* never jumps; counts leases */
    int64_t (*wall_ms)(const struct clock *clock); /* since 1970, UTC; for people */
};

extern const struct clock clock_real;

int64_t clock_mono_us(void);   /* for measuring spans of the real clock */
int64_t clock_thread_ns(void); /* of processor time that the calling thread has had */
void clock_sleep_ms(int64_t ms);
#define CLOCK_TEXT_BYTES 32
/* "2026-11-22T06:38:18.123Z"; dst holds CLOCK_TEXT_BYTES; returns dst. "-" outside the years
 * 0 to 9999. */
char *clock_text(char *dst, int64_t wall_ms);

#endif
