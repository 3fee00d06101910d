/* patience.h - how long what follows a job goes on while the fleet does not answer.
 *
 * A request has the time of --timeout. When that is over, a question of a moment fails; what
 * follows a job, maybe for days, says so on stderr and asks again, until nothing was heard for
 * PATIENCE_MS: brokers and Redis are stopped, moved and started again meanwhile, and a Redis with a
 * large file takes its minutes to load it. */
#ifndef CLIENT_PATIENCE_H
#define CLIENT_PATIENCE_H

#include "common/base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define PATIENCE_MS ((int64_t)10 * 60 * 1000)

/* Zeroed: there is none, the first failure is the end. */
struct patience {
    bool begun;
    bool quiet;          /* says nothing on stderr */
    bool away;           /* a request has failed since the last answer */
    int64_t heard_at_ms; /* the last answer; monotonic */
};

/* The fleet has answered once, and is to be followed from now on. */
void patience_begin(struct patience *patience, bool quiet, int64_t now_ms);
/* The fleet has answered. */
void patience_heard(struct patience *patience, int64_t now_ms);
/* Whether a request that failed for this reason is worth another one; not after a signal. */
CHECKED bool patience_waits(struct patience *patience, const struct err *err, int64_t now_ms);

#endif
