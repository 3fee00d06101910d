/* policy.h - who gets which task next: a pure function of numbers and texts.
 *
 * Jobs in order: interactive before batch, higher priority, the owner with fewer leased tasks now,
 * the owner served less lately, the older job. A job's task goes to a worker that fits (kind,
 * device, free memory, labels) and has a credit for it: one with the job's model loaded if there
 * is one, else, if such a worker is only busy, after the job has waited WARM_WAIT_MS; among
 * equals the one with most credits, so that work spreads, then the one that has waited longest.
 * Interactive jobs may use both kinds of credits, batch jobs only the common ones. While a job
 * waits for an idle worker, one that fits is given nothing of the jobs after it. */
#ifndef BROKER_POLICY_H
#define BROKER_POLICY_H

#include "broker/limits.h"
#include "proto/schema/client.pb-c.h"
#include "proto/schema/common.pb-c.h"

#include <stdbool.h>
#include <stdint.h>

struct policy_job {
    const char *kind;
    const Vlmq__Needs *needs; /* NULL: none */
    uint32_t owner;           /* index into policy.owner */
    int32_t priority;
    bool interactive;
    bool idle_only; /* what is ready must run alone: only for a worker that runs nothing */
    bool warm_busy; /* a worker that does not ask now has the model loaded */
    uint32_t ready; /* in: tasks to give; out: what is left */
    int64_t submitted_at_ms, ready_since_ms;
};

struct policy_take {
    const Vlmq__WorkerInfo *worker;
    uint32_t credits, credits_interactive; /* in: free slots; out: what is left */
    bool idle;                             /* out: false once something was given */
    int64_t since_ms;
};

struct policy_owner {
    uint32_t leased; /* now, over all jobs; counted on */
    double recent;   /* grants of late, decayed; counted on */
};

struct policy_grant {
    uint32_t take, job, count;
};

struct policy {
    struct policy_job job[MATCH_JOBS_MAX];
    struct policy_take take[MATCH_TAKES_MAX];
    struct policy_owner owner[MATCH_JOBS_MAX];
    uint32_t jobs_count, takes_count, owners_count;
    /* out */
    struct policy_grant grant[MATCH_GRANTS_MAX];
    uint32_t grants_count;
    int64_t wait_ms; /* until a wait for a warm worker is over; -1: nobody waits */
    bool more;       /* the limit of grants ended it: ask again */
    /* scratch */
    uint8_t fit[MATCH_JOBS_MAX][MATCH_TAKES_MAX];
    bool out[MATCH_JOBS_MAX];
};

/* Fills grant; at most MATCH_GRANTS_MAX tasks in all. */
void policy_match(struct policy *policy, int64_t now_ms);
/* Whether the worker may run the kind with these needs, and has the model loaded. */
bool policy_fits(const Vlmq__WorkerInfo *worker, const char *kind, const Vlmq__Needs *needs);
bool policy_is_warm(const Vlmq__WorkerInfo *worker, const Vlmq__Needs *needs);
/* recent after elapsed_ms of forgetting. */
double policy_decay(double recent, int64_t elapsed_ms);

#endif
