/* sums.h - what the manifests of a job come to: counters by name, and the list of shards. */
#ifndef REPORT_SUMS_H
#define REPORT_SUMS_H

#include "common/base/buf.h"
#include "common/base/limits.h"
#include "common/store/attempt.h"

#include <stdint.h>

/* Adds a shard's counters to those of the job, of which there are *count; names above COUNTERS_MAX
 * are passed over. */
void sums_add(struct attempt_counter counter[COUNTERS_MAX], uint32_t *count,
              const struct attempt_manifest *manifest);
/* 0 where there is no such counter. */
int64_t sums_get(const struct attempt_counter *counter, uint32_t count, const char *name);
/* "counters":{…} */
void sums_counters_json(struct buf *out, const struct attempt_counter *counter, uint32_t count);
/* A shard as an object of the list in manifest.json, in a line of its own, with the comma before it
 * unless out is empty. */
void sums_shard_json(struct buf *out, const struct attempt_manifest *manifest);

#endif
