/* limits.h - limits of whole download jobs, each with its reason; those of one part stand with it.
 */
#ifndef DOWNLOAD_LIMITS_H
#define DOWNLOAD_LIMITS_H

#include "common/base/limits.h"

/* A shard of a million rows is 100 GB at the usual size; more is a mistake. */
#define DOWNLOAD_SHARD_ROWS_MAX 1000000
#define DOWNLOAD_THREADS_MAX    256
/* The planner keeps all shards until it knows whether the output is its own: this many take 32 MiB
 * of its worker, and with the usual 10,000 rows each they are a list of 20 billion. */
#define DOWNLOAD_SHARDS_MAX 2097152
_Static_assert(DOWNLOAD_SHARDS_MAX <= TASKS_PER_JOB_MAX, "every shard is a task");

#endif
