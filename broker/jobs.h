/* jobs.h - what this broker knows of active jobs: a bounded cache over Redis.
 *
 * Every reply of Redis carries the job as it stands and goes through jobs_learn. Replies come in
 * order over one connection, so the last one heard is the truest. What never changes of a job
 * (kind, owner, needs, spec, …) is copied once to the heap. The rest of a job's slot belongs to
 * those who look after it: match.c, care.c and watch.c. When the table is full, a job takes the
 * place of a worse one: first of those that have nothing to give, then of lower rank. */
#ifndef BROKER_JOBS_H
#define BROKER_JOBS_H

#include "broker/index.h"
#include "broker/limits.h"
#include "common/base/err.h"
#include "common/base/mem.h"
#include "proto/schema/common.pb-c.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum job_verdict { JOB_VERDICT_NONE, JOB_VERDICT_OK, JOB_VERDICT_FAILED };

struct job {
    bool used;
    char id[JOB_ID_BYTES];
    Vlmq__Job *fixed; /* kind, owner, interactive, needs, after, from, submitted_at_ms; heap */
    uint8_t *spec;    /* heap; NULL: not read yet, or not kept */
    size_t spec_bytes;
    uint32_t owner; /* slot in jobs.owner */

    /* as last heard */
    Vlmq__JobState state;
    bool paused;
    int32_t priority;
    uint64_t version;
    uint32_t tasks_total, tasks_ready, tasks_leased;
    int64_t due_at_ms; /* Redis' time */
    int64_t heard_at_ms;

    /* expect.c: this round's calls */
    bool expected;           /* it is not known to be there: a submit is under way, */
    uint32_t expected_by;    /* the call of this number */
    uint32_t tasks_expected; /* ready when they have taken effect */

    /* match.c */
    int64_t ready_since_ms, granted_at_ms;
    int64_t quiet_until_ms;     /* it gave less than its counters said */
    uint64_t idle_only_version; /* at this version only idle workers get its tasks */

    /* care.c */
    bool look, touch, unindex, grace;
    bool rebound; /* its leases may be older than this broker's view: hold fire */
    bool doubted; /* nothing was heard of it since then: there may be more of them */
    int64_t reap_at_ms, check_at_ms;
    int64_t index_at_ms; /* revived: indexed again then, should another broker have undone it */
    enum job_verdict release; /* of the job named by after */
    char reason[ERR_MSG_BYTES];
    uint32_t chain_position;
    uint64_t source_version;
    bool source_seen, chain_ended;

    /* watch.c, for watchers of all jobs */
    bool show;
    int64_t shown_at_ms;
};

/* Fair share is between owners. */
struct owner {
    char name[OWNER_BYTES];
    uint32_t jobs;
    double recent; /* grants of late; decays */
    int64_t recent_at_ms;
    uint32_t leased, row; /* scratch of a match */
    uint64_t round;
};

struct jobs {
    struct job *job; /* JOBS_MAX */
    uint32_t high, count;
    uint32_t *free;
    uint32_t free_count;
    struct owner *owner; /* OWNERS_MAX */
    uint32_t owners_high;
    struct index by_id, by_owner;
    size_t specs_bytes;
};

/* What a reply changed. */
struct job_change {
    struct job *job; /* NULL: not in the table */
    bool appeared, changed, readied, ended, cancelling;
};

void jobs_init(struct jobs *jobs, uint64_t seed);
void jobs_deinit(struct jobs *jobs);
struct job *jobs_find(struct jobs *jobs, const char *id);
/* Ended jobs that are not in the table do not enter it. */
struct job_change jobs_learn(struct jobs *jobs, const Vlmq__Job *reply, int64_t now_ms);
/* Keeps the spec of a GET, if the bound allows. */
void jobs_spec(struct jobs *jobs, struct job *job, const Vlmq__Job *reply);
void jobs_drop(struct jobs *jobs, struct job *job);
const char *job_state_name(Vlmq__JobState state); /* "running", for logs */
bool job_state_ended(Vlmq__JobState state);
/* Tasks may be handed out. */
bool job_gives(const struct job *job);
/* Tasks may be handed out, or this round will make some ready. */
bool job_may_give(const struct job *job);

#endif
