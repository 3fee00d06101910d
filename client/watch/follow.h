/* follow.h - waits for the end of a job and shows how it goes on.
 *
 * On a terminal a block of two lines on stderr is drawn over and over; else a line is written
 * now and then. With --json each update is a line on stdout. A first Ctrl-C stops the waiting, not
 * the job. */
#ifndef CLIENT_WATCH_FOLLOW_H
#define CLIENT_WATCH_FOLLOW_H

#include "client/command.h"

#include <stdbool.h>

struct follow {
    bool quiet;       /* show nothing until the end */
    Vlmq__Job *job;   /* out, in the command's arena: the job at its end, with counters */
    bool interrupted; /* out: a person ended the waiting; job is NULL */
};
CHECKED int follow_job(struct command *cmd, struct follow *follow, const char *id, struct err *err);

/* Shows all jobs of the fleet as they change, until a signal. */
CHECKED int follow_all(struct command *cmd, struct err *err);

/* What is left to say when a job has ended: totals, error classes, where things are, what to do
 * next. Sets cmd->status by the outcome. */
void follow_summary(struct command *cmd, const Vlmq__Job *job);
/* What to say to a person who pressed Ctrl-C. */
void follow_left(const char *id);

#endif
