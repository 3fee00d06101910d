/* sum.h - sums of numbers that came from outside: at the ends of the range they stay there. */
#ifndef BASE_SUM_H
#define BASE_SUM_H

#include <stdint.h>

static inline int64_t sum_of(int64_t a, int64_t b)
{
    int64_t sum;
    if (!__builtin_add_overflow(a, b, &sum)) return sum;
    return b < 0 ? INT64_MIN : INT64_MAX;
}

#endif
