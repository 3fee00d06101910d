/* queue_model.h - the queue as plain C, for tests: what the Redis functions do, obviously.
 *
 * One call in, as a broker fills it; the model changes its own memory and fills in the call's
 * outputs as state_commit does. Written from docs/state.md and state.h for reading, not for speed
 * or size: a task is a struct in an array, nothing is packed. The differential test compares it
 * with the Lua functions in a real Redis; the simulator runs brokers on it.
 *
 * Nothing in it is random: ids of events and of the feed are made from now_ms and a sequence, as
 * Redis makes them. Results live in the arena. One thread. */
#ifndef TESTS_STATE_QUEUE_MODEL_H
#define TESTS_STATE_QUEUE_MODEL_H

#include "broker/state/state.h"
#include "common/base/buf.h"

#include <stdbool.h>
#include <stdint.h>

/* The bounds of state.h and limits.h that a test may want to reach. */
struct queue_limits {
    uint32_t tasks, counters, reap, retry, scan, tails, events;
};

struct queue_model;
struct queue_model *queue_model_new(void);
void queue_model_free(struct queue_model *model);
/* A snapshot: Redis as of its last fsync. */
struct queue_model *queue_model_copy(const struct queue_model *model);
/* Other bounds than the real ones. */
struct queue_limits queue_limits_real(void);
void queue_model_limit(struct queue_model *model, const struct queue_limits *limits);

/* One function call at Redis' time now_ms. Fills call->err, job, count, drain and out. */
void queue_model_call(struct queue_model *model, struct state_call *call, int64_t now_ms,
                      struct arena *arena);
/* The same for a call that shares its run with the call before it on this job, of the same
 * operation: the version grows once for all of them. call->job is the job as it stands now; a
 * state_commit would give all calls of the run the one after the last. */
void queue_model_join(struct queue_model *model, struct state_call *call, int64_t now_ms,
                      struct arena *arena);

/* Ids of the jobs that exist, sorted; returns how many there are, which may be more than max. They
 * are the model's until its next call. */
uint32_t queue_model_jobs(const struct queue_model *model, const char **ids, uint32_t max);
/* Everything kept of a job, as canonical text, one fact per line; "no job" if there is none.
 * dump.lua prints the same from Redis. */
void queue_model_dump(const struct queue_model *model, const char *job_id, struct buf *out);
/* The same of the fleet: index, active set, feed, workers; without workers that are forgotten at
 * now_ms. */
void queue_model_dump_fleet(const struct queue_model *model, int64_t now_ms, struct buf *out);
/* The invariants of docs/state.md; false, and why, if one does not hold. */
bool queue_model_check(const struct queue_model *model, const char *job_id, char *why,
                       size_t why_bytes);

#endif
