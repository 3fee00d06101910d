/* close.h - the closing function of the encode kind; see close.c. */
#ifndef ENCODE_CLOSE_H
#define ENCODE_CLOSE_H

#include "worker/job.h"

CHECKED int encode_close(struct job_env *env, struct job_result *result, struct err *err);

#endif
