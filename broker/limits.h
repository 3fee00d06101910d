/* limits.h - the broker's own limits, each with its reason. */
#ifndef BROKER_LIMITS_H
#define BROKER_LIMITS_H

#include "common/base/limits.h"

/* One turn. */
#define TURN_REQUESTS_MAX 256  /* commits of a few hundred calls already share one fsync well */
#define TURN_CALLS_MAX    1024 /* state calls that the requests of one turn may plan in a step */
#define CALL_WEIGHT       4    /* of a request: it may need so many calls in a step */
#define ROWS_PER_CALL     4    /* rows of a page that keep Redis as busy as a call does */
#define TURN_BYTES_MAX                                                         \
    (32 * 1024 * 1024) /* unpacked requests of one turn; then it stops reading \
                        */
#define OUTBOX_BYTES_MAX                                                                  \
    (1024 * 1024)               /* answers that wait for the next commit; more go at once \
                                 */
#define EXPECT_MAX         64   /* calls of a round whose effect is offered in the same commit */
#define TASKS_EXPECTED_MAX 256  /* of one call; the others are ready for the next match */
#define TURN_ROUNDS_MAX    8    /* commits of one turn: the longest chain of steps is four */
#define TURN_NOTICES_MAX   8    /* jobs told to all workers one by one; then one word for all */
#define TURN_WAIT_MAX_MS   1000 /* a turn comes at least so often, whatever was computed */

/* Tables. A thousand workers and as many clients, twice over. */
#define PEERS_MAX       4096
#define PEER_SILENCE_MS 30000 /* three hellos of a worker missed, or a client long gone */
/* Jobs with soft state. More active ones stay in Redis and come in as these end. */
#define JOBS_MAX        4096
#define OWNERS_MAX      JOBS_MAX           /* at worst each job has its own */
#define SPECS_BYTES_MAX (64 * 1024 * 1024) /* cached specs; above it they are read again */
#define JOB_UNSERVED_MS 60000 /* a job without any grant for so long may leave a full table */
#define REPLY_BYTES_MAX                                                       \
    (256 * 1024) /* a take's answer larger than this is not kept for a repeat \
                  */
#define REPLIES_BYTES_MAX (64 * 1024 * 1024)
#define GRANTS_ANSWER_MAX 128 /* of each kind of credits: a worker's slots */
#define GRANT_BYTES \
    (2 * PAYLOAD_BYTES_MAX) /* of a grant beside its spec: payload, names, a usual cursor */
_Static_assert(GRANT_BYTES + SPEC_BYTES_MAX <= MESSAGE_BYTES_MAX, "an answer holds one");

/* Matching of parked takes and ready jobs: work of one turn. */
#define MATCH_JOBS_MAX   64
#define MATCH_TAKES_MAX  256
#define MATCH_GRANTS_MAX 256
#define MATCH_PAUSE_MS   100   /* for a job that gave less than it had promised */
#define WARM_WAIT_MS     2000  /* a model load costs more than that; a longer wait costs fairness */
#define RECENT_HALF_MS   60000 /* half-life of the memory of who was served */

/* Watches: dashboards and waiting command lines. */
#define WATCHES_MAX      1024
#define WATCHES_PEER_MAX 256 /* one gateway must not take them all */
#define WATCHES_ALL_MAX  64
#define WATCH_MISSED_MAX 64  /* final states that a slow watcher of all jobs still has to get */
#define WATCH_SPACING_MS 100 /* ten updates a second are more than a person reads */
#define WATCH_REFRESH_MS 500
#define WATCH_TASKS_MAX  64 /* rows: a screen */
#define WATCH_CALLS_MAX  64 /* jobs read for watchers in one turn */

/* What is done without being asked. */
#define CARE_CALLS_MAX 256
#define CARE_MS        100  /* pace of reaping, of chains and of the feed from other brokers */
#define CARE_IDLE_MS   250  /* the same while nobody is connected and no job is active */
#define CARE_RETRY_MS  1000 /* after a refused call */
#define SWEEP_MS       1000
#define SWEEP_ROWS     64
#define FEED_ROWS      256
#define CHAIN_ROWS     256
#define CHAINS_MAX     64    /* chained jobs fed in one turn */
#define MISSING_MAX    64    /* ids in the index without a job, watched before they are dropped */
#define MISSING_MS     10000 /* longer than any submit is under way */
#define YIELDS_MAX     256   /* grants to give back; beyond it their leases simply run out */
#define HEALTH_MS      1000
#define HEALTH_IDLE_MS 10000
#define CLOCK_JUMP_MS  2000 /* far above the jitter of two reads, far below a lease */

/* Redis away: tries grow from the first to the last of these. */
#define REDIS_RETRY_MS     100
#define REDIS_RETRY_MAX_MS 2000
#define RETRY_AFTER_MS     500  /* told to requesters while Redis is away */
#define RETRY_LATER_MS     5000 /* told to submitters while it is full */

/* Listings: the answer fits a message; pages go on from there. */
#define ROWS_DEFAULT   100
#define LIST_ROWS_MAX  250
#define TAILS_ROWS_MAX 100

/* A parked take is answered this much before its requester gives up. */
#define TAKE_MARGIN_MS 500

#endif
