/* state.h - the queue's truth in Redis, as calls that a broker collects and commits together.
 *
 * A broker turn fills an array of state_call, one for each transition it wants; state_send sends
 * them as one pipeline, and state_receive fills in the replies: one round trip, one fsync.
 * Each operation is atomic (broker/state/lua, one file each), and calls on one job of operations
 * that one Redis function does share a run of it, which costs a fraction of a run each;
 * docs/state.md lists keys, functions and invariants. Calls on one job take effect in their order.
 * Every call may be repeated and then answers the same.
 *
 * Results live in the arena given to state_receive. Texts given in stay the caller's and must
 * live until it returns. Strings from Redis are validated before they get out. The
 * program ignores SIGPIPE (stop_install).
 * Implementations: redis.c (the only user of hiredis); tests/sim may link another. One thread. */
#ifndef STATE_STATE_H
#define STATE_STATE_H

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/limits.h"
#include "common/base/mem.h"
#include "proto/schema/client.pb-c.h"
#include "proto/schema/common.pb-c.h"
#include "proto/schema/worker.pb-c.h"

#include <stdbool.h>
#include <stdint.h>

#define STATE_CALLS_MAX    1024 /* in one commit: bounds the pipeline's memory */
#define STATE_LOSSES_ALONE 2    /* after so many losses a task runs alone, */
#define STATE_LOSSES_DEAD  3    /* and after so many it is dead */
#define STATE_UNSTARTED_MAX \
    3 /* leases that ended before any renewal, before they count as losses */
#define STATE_BACKOFF_MS     1000   /* first retry; doubles, with full jitter, */
#define STATE_BACKOFF_MAX_MS 300000 /* up to this */
#define STATE_BACKOFF_MIN_MS 50     /* and at least this */
#define STATE_ATTEMPTS_MAX   5      /* failures, where the job names no number */
#define STATE_TAKE_MAX       1024   /* leases that one TAKE gives: bounds its time */
#define STATE_REAP_MAX       256    /* leases and backoffs that one REAP ends: bounds its time */
#define STATE_RETRY_MAX      10000  /* tasks that one RETRY revives, for the same reason */
#define STATE_SCAN_MAX       4096   /* tasks that one TASKS looks at, for the same reason */
#define STATE_TAILS_MAX      1000   /* log tails kept of one job: 4 MB at the worst */
#define STATE_EVENTS_MAX     10000  /* events kept of one job, and touches of the fleet's feed */
#define STATE_WORKER_TTL_MS  60000  /* a worker not heard of for so long is forgotten */
#define STATE_CLOCK_SLACK_MS \
    5000 /* a deadline this far beyond the longest: the clock jumped back */

enum state_op {
    /* One job. The function's reply always carries the job as it stands (call->job). */
    STATE_SUBMIT,   /* new.job (+ paused): creates it with its planning task, or finds it */
    STATE_ADD,      /* attempt + offset + new_tasks */
    STATE_TAKE,     /* take.*: leases up to take.count tasks */
    STATE_RENEW,    /* attempt + progress (+ cursor) */
    STATE_DONE,     /* done.* */
    STATE_FAIL,     /* fail.* */
    STATE_YIELD,    /* attempt (+ cursor) + reason */
    STATE_REAP,     /* reap.*: ends leases and backoffs that are due, at most 256; count: of them */
    STATE_GRACE,    /* moves all lease deadlines of the job to now + a lease length */
    STATE_PAUSE,    /* job id */
    STATE_RESUME,   /* job id */
    STATE_CANCEL,   /* job id + reason */
    STATE_RETRY,    /* job id, or one task of it; count: tasks revived, at most STATE_RETRY_MAX:
                       with more dead ones it is repeated. After INDEX, where the job has ended */
    STATE_PRIORITY, /* job id + priority */
    STATE_RELEASE,  /* the job `after` has ended: end of HELD (ok) or failure (reason) */
    STATE_CHAIN,    /* chain.*: adds tasks for shards of `from`; compare-and-set on the cursor */
    STATE_GET,      /* job id: job with spec and counters */
    STATE_LOOK,     /* job id: job without them */
    STATE_TASKS,    /* tasks.*: a page; may hold fewer rows than asked for, or none, and still name
                       a next one */
    STATE_EVENTS,   /* events.*: a page */
    STATE_MADE,     /* made.*: shards that the job has made, from a position */
    STATE_PURGE,    /* an ended job's keys are unlinked (job: as it was); OK if it is not there */
    /* The fleet: keys of their own, so a crash between them and the job's function costs at most
     * a stale index entry, which readers drop. */
    STATE_INDEX,   /* job id enters the index and the active set; sent before SUBMIT */
    STATE_UNINDEX, /* job id leaves the active set (ended), or both (purged) */
    STATE_LIST,    /* list.*: a page of job ids, newest first */
    STATE_ACTIVE,  /* ids of jobs that are not ended, a page */
    STATE_FEED,    /* feed.*: job ids that other brokers touched, after a position */
    STATE_TOUCH,   /* job id: told to the other brokers through the feed */
    STATE_HELLO,   /* worker: kept for 60 s; drain: whether it was told to */
    STATE_BYE,     /* worker id */
    STATE_WORKERS, /* all workers */
    STATE_DRAIN,   /* worker id: told with its next HELLO; NOT_FOUND if unknown */
};

/* One leased task, as STATE_TAKE gives it. */
struct state_grant {
    uint32_t index, attempt, added, tasks_dead;
    Vlmq__Phase phase;
    const char *name, *lease;
    ProtobufCBinaryData payload, cursor;
    bool alone;
};

/* One shard that a job made, in order of commit. */
struct state_made {
    uint32_t index;
    const char *name;
    uint8_t digest[16];
};

struct state_call {
    enum state_op op;
    const char *job_id; /* all ops of one job */

    /* in */
    const Vlmq__Attempt *attempt; /* ADD RENEW DONE FAIL YIELD */
    union {
        struct {
            const Vlmq__Job *job;
            bool paused;
        } submit;
        struct {
            uint32_t offset;
            Vlmq__NewTask *const *tasks;
            size_t count;
        } add;
        struct {
            uint32_t count; /* leases that may be given */
            const char *worker;
            const char *const *lease; /* count fresh lease ids */
            bool alone;               /* the worker is idle */
        } take;
        struct {
            const Vlmq__Renewal *renewal;
        } renew;
        struct {
            const Vlmq__Done *done;
        } done;
        struct {
            const Vlmq__Fail *fail;
            double jitter; /* [0,1) */
        } fail;
        struct {
            const Vlmq__Yield *yield;
        } yield;
        struct {
            int64_t until_ms; /* Redis' time that the caller believes in: what is due later is left
                                 alone, should that clock have jumped; 0: it has no opinion */
        } reap;
        struct {
            const char *reason;
        } cancel;
        struct {
            uint32_t index;
            bool has_index;
        } retry;
        struct {
            int32_t priority;
        } priority;
        struct {
            bool ok;
            const char *reason;
        } release;
        struct {
            uint32_t position, next; /* entries of the source taken so far, and after this call */
            const struct state_made *made;    /* next - position of them: each becomes a WORK task
                                                 with its name, and the digest as payload */
            bool source_ended, source_failed; /* position after this call is the end */
            const char *reason;
        } chain;
        struct {
            const char *page;
            uint32_t rows;
            Vlmq__TaskState state;
            bool log_tails, has_index;
            uint32_t index;
        } tasks;
        struct {
            const char *after;
            uint32_t rows;
        } events;
        struct {
            uint32_t position, rows;
        } made;
        struct {
            const char *page;
            uint32_t rows;
        } list; /* LIST, ACTIVE */
        struct {
            const char *after;
            uint32_t rows;
        } feed;
        struct {
            bool purged;
        } unindex;
        struct {
            const Vlmq__WorkerInfo *info;
            const char *id;
        } worker;
    } in;

    /* out */
    struct err err; /* code ERR_OK, or why this call alone failed */
    Vlmq__Job *job; /* the job as it stands after the call, or after others that shared its run
                       (they share this too); NULL if it failed without one */
    uint32_t count; /* REAP, RETRY, ADD (added so far), SUBMIT (1: created), CHAIN (position) */
    bool drain;     /* HELLO */
    union {
        struct {
            struct state_grant *grant;
            uint32_t count;
        } take;
        struct {
            Vlmq__Task **task;
            uint32_t count;
            const char *page;
        } tasks;
        struct {
            Vlmq__Event **event;
            uint32_t count;
            const char *after;
        } events;
        struct {
            struct state_made *made;
            uint32_t count, total;
        } made;
        struct {
            const char **id;
            uint32_t count;
            const char *page;
        } ids; /* LIST ACTIVE FEED:
for FEED page is the position to go on from */
        struct {
            Vlmq__WorkerInfo **worker;
            uint32_t count;
        } workers;
    } out;
};

struct state_options {
    const char *address;         /* "unix:/path/redis.sock", "tcp://host:port", "host:port" */
    const char *user, *password; /* NULL: none; never logged */
    uint32_t database;
    int64_t timeout_ms;  /* of one commit, and of connecting */
    bool allow_volatile; /* go on with a warning where AOF is off or keys may be evicted */
};

/* What the server says of itself; refreshed by state_health. */
struct state_health {
    int64_t bytes, bytes_max; /* used_memory, maxmemory */
    int64_t now_ms;           /* Redis' TIME */
    bool writable;            /* not loading, not read-only replica, AOF writes succeed */
    char note[ERR_MSG_BYTES]; /* a standing warning, or empty */
};

struct state;

/* Connects, checks the server (Redis 7 or later, appendonly yes, maxmemory-policy noeviction: else
 * ERR_INVALID with a sentence that says which setting to change, unless allow_volatile) and loads
 * the function library if this version of it is not there. ERR_UNAVAILABLE: not reachable now. */
CHECKED int state_open(struct state **state, const struct state_options *options, struct err *err);
void state_close(struct state *state);
/* Sends all calls as one pipeline; the caller may do something else until it receives the replies,
 * but nothing with this state. Not 0: as from state_receive. */
CHECKED int state_send(struct state *state, struct state_call *call, uint32_t count,
                       struct err *err);
/* Waits for the replies to what was sent. 0: every call has its own outcome in call->err
 * (UNAVAILABLE for a call that Redis refused because it is read-only, out of disk or loading; LIMIT
 * where it is out of memory). Else ERR_UNAVAILABLE or ERR_TIMEOUT: nothing is known about any of
 * them; the connection is closed, and the next commit opens a new one (and checks the server
 * anew). */
CHECKED int state_receive(struct state *state, struct arena *arena, struct err *err);
/* Both, where there is nothing to do meanwhile. */
CHECKED int state_commit(struct state *state, struct state_call *call, uint32_t count,
                         struct arena *arena, struct err *err);
CHECKED int state_health(struct state *state, struct state_health *health, struct err *err);

#endif
