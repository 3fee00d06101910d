/* classes.h - the classes of failed items, from a job's counters.
 *
 * Kinds count each item under "status.CLASS"; "status.success" are those that succeeded. */
#ifndef CLIENT_OUTPUT_CLASSES_H
#define CLIENT_OUTPUT_CLASSES_H

#include "common/base/limits.h"
#include "proto/schema/client.pb-c.h"

#include <stdint.h>

struct class_count {
    const char *name; /* borrowed from the job */
    int64_t value;
};
struct class_list {
    struct class_count item[COUNTERS_MAX];
    uint32_t count;
    int64_t failed, all; /* sums over the failed classes, and over all */
};

/* Failed classes, the most frequent first. */
void classes_of(struct class_list *list, const Vlmq__Job *job);

#endif
