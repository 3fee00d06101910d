/* feed.h - a job's event feed, page by page, and on as it grows. */
#ifndef CLIENT_LOGS_FEED_H
#define CLIENT_LOGS_FEED_H

#include "client/command.h"

#include <stdbool.h>

struct feed {
    bool follow; /* wait for more until the job has ended */
    int (*visit)(void *ctx, struct command *cmd, const char *job, const Vlmq__Event *event,
                 struct err *err);
    void *ctx;
};
/* Calls visit for each event, oldest first. Returns 0 at the end, also after Ctrl-C, which sets
 * cmd->status. */
CHECKED int feed_walk(struct command *cmd, const struct feed *feed, const char *job,
                      struct err *err);

#endif
