/* plan.h - the planning function of the download kind, and the reading of what it hands to the work
 * tasks; see plan.c. */
#ifndef DOWNLOAD_PLAN_H
#define DOWNLOAD_PLAN_H

#include "proto/schema/jobs/download.pb-c.h"
#include "worker/job.h"
#include "worker/list/list_slice.h"

CHECKED int download_plan(struct job_env *env, struct job_result *result, struct err *err);
/* As download_plan, with another limit than DOWNLOAD_SHARDS_MAX. */
CHECKED int download_plan_within(struct job_env *env, uint32_t shards_max,
                                 struct job_result *result, struct err *err);
/* Where the rows are that a task's payload names. */
struct list_cut download_cut(const Vlmq__Jobs__DownloadShard *shard);

#endif
