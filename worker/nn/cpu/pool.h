/* pool.h - the threads that share the work of one op.
 *
 * An op is cut into tasks; each thread takes the next task until there is none, the caller among
 * them. Between ops the threads sleep. One thread at a time calls cpu_pool_run. */
#ifndef NN_CPU_POOL_H
#define NN_CPU_POOL_H

#include "common/base/err.h"

#include <stdint.h>

struct cpu_pool;

/* thread: below the pool's number of threads; no two at a time have the same. */
typedef void cpu_task(void *arg, uint32_t task, uint32_t thread);

/* threads: with the caller's own, at least 1. */
CHECKED int cpu_pool_open(struct cpu_pool **pool, uint32_t threads, struct err *err);
void cpu_pool_close(struct cpu_pool *pool); /* accepts NULL */
uint32_t cpu_pool_threads(const struct cpu_pool *pool);
/* Calls run for tasks 0 to tasks - 1, in any order and several at a time; returns after the last.
 * All that was written before it is seen by the tasks, and what they wrote after it. */
void cpu_pool_run(struct cpu_pool *pool, uint32_t tasks, cpu_task *run, void *arg);

#endif
