/* exit.h - how vlmq ends: the exit statuses, as man/vlmq.1 lists them. */
#ifndef CLIENT_EXIT_H
#define CLIENT_EXIT_H

#include "common/base/err.h"

enum exit_status {
    STATUS_OK = 0,
    STATUS_FAILED = 1,      /* the job failed, or the operation did */
    STATUS_USAGE = 2,       /* the command line, or the request, is wrong */
    STATUS_NOT_FOUND = 3,   /* no such job, task, worker or file; for status: no fleet runs */
    STATUS_UNREACHABLE = 4, /* the fleet does not answer */
    STATUS_CANCELLED = 5,   /* the job was cancelled */
    STATUS_DENIED = 6,      /* this key or user may not do that */
    STATUS_TIMEOUT = 7,     /* no answer in time */
    STATUS_INTERRUPTED = 130,
};

/* The status that an error of a request ends in. */
enum exit_status exit_of(enum err_code code);

#endif
