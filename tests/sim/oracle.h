/* oracle.h - the rules, watched over while the simulation runs.
 *
 * It sees every call that Redis has carried out and every attempt that begins and ends, and knows
 * nothing of how brokers and workers are made:
 *   - a lease id is given once, for ever
 *   - Done, Fail, Yield and Renew succeed only for the lease that the task has
 *   - when Redis gives a task to an attempt, no other attempt believes in a lease of it, unless
 *     that one's process stood still, Redis forgot it, or Redis' clock ran ahead of it
 *   - a done task is done once, stays so, and its manifest is the one that was committed
 *   - a job goes through its states as it may, and is closed once for each time it was opened
 *   - the invariants of docs/state.md hold after every call that changes something
 * Where Redis may forget (rollback), what it forgot is no fault; what is committed in the store
 * still never changes (store.c). */
#ifndef TESTS_SIM_ORACLE_H
#define TESTS_SIM_ORACLE_H

#include "broker/state/state.h"
#include "tests/sim/sim.h"
#include "tests/state/queue_model.h"
#include "worker/job.h"

void oracle_attempt_begins(const struct job_env *env);
void oracle_attempt_ends(const struct job_env *env);
/* The process is gone, with its attempts. */
void oracle_proc_gone(const struct proc *proc);
/* Redis has carried out this call. */
void oracle_call(const struct queue_model *model, const struct state_call *call);
void oracle_rollback(void);
void oracle_clock_jump(int64_t ms);
/* When the job ended, or -1 if it has not. */
int64_t oracle_ended_at_us(const char *job);
/* At the end: every job as it should be; settled: brokers have had time to clear up. */
void oracle_end(const struct queue_model *model, bool settled);
/* Figures for the summary. */
struct oracle_counts {
    uint64_t calls, grants, renewals, dones, fails, yields, reaped, ended, rollbacks;
};
extern struct oracle_counts oracle_counts;

#endif
