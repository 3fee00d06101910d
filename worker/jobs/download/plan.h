/* plan.h - the planning function of the download kind; see plan.c. */
#ifndef DOWNLOAD_PLAN_H
#define DOWNLOAD_PLAN_H

#include "worker/job.h"

CHECKED int download_plan(struct job_env *env, struct job_result *result, struct err *err);
/* As download_plan, with another limit than DOWNLOAD_SHARDS_MAX. */
CHECKED int download_plan_within(struct job_env *env, uint32_t shards_max,
                                 struct job_result *result, struct err *err);

#endif
