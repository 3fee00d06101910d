/* timeline.h - rows over time, in memory that does not grow with shards or days.
 *
 * Time is cut into equal buckets. Where a new span does not fit, buckets are put together two by
 * two until it does, so that there are between half of TIMELINE_BUCKETS and all of them. */
#ifndef DOWNLOAD_TIMELINE_H
#define DOWNLOAD_TIMELINE_H

#include <stdint.h>

#define TIMELINE_BUCKETS 96

struct timeline {
    double seconds; /* of a bucket; 0: nothing was added */
    int64_t first;  /* bucket number since 1970, of row[0] */
    uint32_t count; /* of buckets */
    double rows[TIMELINE_BUCKETS], ok[TIMELINE_BUCKETS];
};

/* Spreads the rows, and those that succeeded, evenly over a span in seconds since 1970; it ends no
 * earlier than it starts, and before the year 10000. */
void timeline_add(struct timeline *line, double start_s, double end_s, double rows, double ok);

#endif
