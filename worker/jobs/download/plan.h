/* plan.h - the planning function of the download kind, and the reading of what it hands to the work
 * tasks; see plan.c. */
#ifndef DOWNLOAD_PLAN_H
#define DOWNLOAD_PLAN_H

#include "proto/schema/jobs/download.pb-c.h"
#include "worker/job.h"
#include "worker/jobs/download/options.h"
#include "worker/list/list_slice.h"

CHECKED int download_plan(struct job_env *env, struct job_result *result, struct err *err);
/* As download_plan, with another limit than DOWNLOAD_SHARDS_MAX. */
CHECKED int download_plan_within(struct job_env *env, uint32_t shards_max,
                                 struct job_result *result, struct err *err);
/* Opens the rows that a task's payload names; store: the output. Errors of list_slice_open. */
CHECKED int download_slice(struct list_slice **slice, const struct download_options *options,
                           const Vlmq__Jobs__DownloadShard *shard, struct store *store,
                           struct err *err);

#endif
