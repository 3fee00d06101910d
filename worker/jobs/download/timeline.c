/* timeline.c - buckets that are put together. */
#include "worker/jobs/download/timeline.h"

#include <math.h>
#include <string.h>

/* A shard of cached pictures may take a tenth of a second; a power of two, so that bucket numbers
 * halve exactly. */
#define SECONDS_MIN 0.0625

static int64_t bucket_of(const struct timeline *line, double at_s)
{
    return (int64_t)floor(at_s / line->seconds);
}

static int64_t half(int64_t number)
{
    return number >= 0 ? number / 2 : -((1 - number) / 2);
}

static void widen(struct timeline *line)
{
    const int64_t first = half(line->first);
    const uint32_t count =
        line->count ? (uint32_t)(half(line->first + line->count - 1) - first + 1) : 0;
    double rows[TIMELINE_BUCKETS] = {0}, ok[TIMELINE_BUCKETS] = {0};
    for (uint32_t i = 0; i < line->count; i++) {
        const int64_t to = half(line->first + i) - first;
        rows[to] += line->rows[i];
        ok[to] += line->ok[i];
    }
    memcpy(line->rows, rows, sizeof rows);
    memcpy(line->ok, ok, sizeof ok);
    line->first = first;
    line->count = count;
    line->seconds *= 2;
}

/* Makes room for the span, so that its first and last moment have buckets. */
static void cover(struct timeline *line, double start_s, double end_s)
{
    if (line->seconds <= 0) line->seconds = SECONDS_MIN;
    for (;;) {
        const int64_t from = bucket_of(line, start_s), to = bucket_of(line, end_s);
        const int64_t last = line->first + line->count - 1;
        const int64_t low = line->count && line->first < from ? line->first : from;
        const int64_t high = line->count && last > to ? last : to;
        if (high - low >= TIMELINE_BUCKETS) {
            widen(line);
            continue;
        }
        const uint32_t shift = line->count ? (uint32_t)(line->first - low) : 0;
        memmove(line->rows + shift, line->rows, line->count * sizeof line->rows[0]);
        memmove(line->ok + shift, line->ok, line->count * sizeof line->ok[0]);
        memset(line->rows, 0, shift * sizeof line->rows[0]);
        memset(line->ok, 0, shift * sizeof line->ok[0]);
        line->first = low;
        line->count = (uint32_t)(high - low + 1);
        return;
    }
}

void timeline_add(struct timeline *line, double start_s, double end_s, double rows, double ok)
{
    cover(line, start_s, end_s);
    const int64_t from = bucket_of(line, start_s), to = bucket_of(line, end_s);
    for (int64_t i = from; i <= to; i++) {
        const double left = fmax(start_s, (double)i * line->seconds);
        const double right = fmin(end_s, (double)(i + 1) * line->seconds);
        const double share = end_s > start_s ? fmax(right - left, 0) / (end_s - start_s) : 1;
        line->rows[i - line->first] += rows * share;
        line->ok[i - line->first] += ok * share;
    }
}
