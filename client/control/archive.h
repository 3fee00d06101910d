/* archive.h - what the fleet knows of an ended job, kept beside its output. */
#ifndef CLIENT_CONTROL_ARCHIVE_H
#define CLIENT_CONTROL_ARCHIVE_H

#include "client/command.h"

/* Writes _vlmq/jobs/ID.jsonl into the job's output, whole and durable, or not at all: a line
 * {"job":…}, a line {"event":…} for each event that is kept, a line {"task":…} for each task.
 * ERR_INVALID: the job has not ended; ERR_NOT_FOUND: it has no output. */
CHECKED int archive_job(struct command *cmd, const char *id, struct err *err);

#endif
