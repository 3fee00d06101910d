/* late.h - a shard's late shard: the rows that it did not wait for.
 *
 * At the end of its patience (--tail-timeout-ms) a shard is committed without the rows that are not
 * done; they stand in its rows.jsonl as carried_over, and its counter LATE_COUNTER says how many
 * they are. Its task then adds a task to the job that makes exactly these rows, under their own
 * keys, as the shard NNNNN_late. What that one cannot have is not carried any further, so that each
 * row of the list has one final line. Both follow from what was committed: who adopts the shard
 * adds the same task again. */
#ifndef DOWNLOAD_LATE_H
#define DOWNLOAD_LATE_H

#include "common/base/err.h"
#include "common/store/attempt.h"
#include "proto/schema/jobs/download.pb-c.h"
#include "worker/job.h"

#include <stdbool.h>
#include <stdint.h>

#define LATE_SUFFIX  "_late"
#define LATE_COUNTER "carried_over" /* the name of CLASS_CARRIED */

/* Whether a committed task is a late shard. */
bool late_is(const char *task);
/* Before a shard is made: ERR_CORRUPT with a sentence where its late shard is there, made for the
 * carried rows of a shard that is not there any more; the new one would carry others. ERR_STALE if
 * the shard was committed since the attempt was opened. */
CHECKED int late_check(const struct attempt *attempt, struct store *store, const char *shard,
                       struct err *err);
/* Adds the late shard's task to the result of the shard's, if its manifest has carried rows. */
CHECKED int late_add(struct job_env *env, struct job_result *result,
                     const struct attempt_manifest *manifest,
                     const Vlmq__Jobs__DownloadShard *shard, struct err *err);
/* For the late shard's task: carried[i] says whether row i of the shard, whose name is `task`
 * without its suffix, was carried over; *count how many were, at least 1. ERR_CORRUPT if the
 * committed shard does not say so. */
CHECKED int late_rows(bool *carried, uint32_t *count, struct store *store, const char *shard,
                      uint32_t rows, struct err *err);
/* The same from a file with the lines, and nothing else. */
CHECKED int late_scan(bool *carried, uint32_t *count, struct store *store, const char *name,
                      uint32_t rows, struct err *err);

#endif
