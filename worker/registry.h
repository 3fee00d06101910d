/* registry.h - the job kinds of this build, from proto/jobs.def. */
#ifndef WORKER_REGISTRY_H
#define WORKER_REGISTRY_H

#include "worker/job.h"

/* NULL: no such kind. */
const struct job_kind *registry_find(const char *name);
/* The i-th kind; NULL past the last. */
const struct job_kind *registry_at(uint32_t i);

#endif
