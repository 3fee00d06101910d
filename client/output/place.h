/* place.h - the output folder of a job, for the verbs that read it. */
#ifndef CLIENT_OUTPUT_PLACE_H
#define CLIENT_OUTPUT_PLACE_H

#include "client/command.h"
#include "common/store/store.h"

/* Connects, resolves the first argument and gets the job. */
CHECKED int place_job(struct command *cmd, Vlmq__Job **job, struct err *err);
/* Opens the job's output. ERR_NOT_FOUND: it has none, or the folder is not there (the sentence
 * says that it may be on another machine). */
CHECKED int place_open(struct store **store, const Vlmq__Job *job, struct err *err);

#endif
