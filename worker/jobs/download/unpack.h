/* unpack.h - a finished shard's tar becomes a folder of files, as img2dataset's `files` has it. */
#ifndef DOWNLOAD_UNPACK_H
#define DOWNLOAD_UNPACK_H

#include "common/base/err.h"
#include "worker/job.h"

#include <stdint.h>

/* An attempt_fill (attempt.h) whose ctx is the task's struct job_env: the tar's members become
 * files of the folder, under their names, with no mark of the time in their bytes. ERR_CANCELLED
 * when the task is to stop at once. */
CHECKED int unpack_tar(void *env, int64_t *bytes, const char *tar, const char *folder,
                       struct err *err);

#endif
