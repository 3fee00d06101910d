/* crew.h - threads that are kept, because tasks are often shorter than the start of a thread.
 *
 * The crew grows to as many threads as ever were busy at once. One thread (the worker's main one)
 * owns it and calls all of these. */
#ifndef WORKER_CREW_H
#define WORKER_CREW_H

#include "common/base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct crew;

/* Lives with the caller from crew_run until run has been called; run may free it. */
struct crew_work {
    void (*run)(void *arg);
    void *arg;
};

struct crew *crew_new(uint32_t threads_max);
/* Every work that was begun must have been ended with crew_ended: its thread is joined, so run must
 * be about to return. Accepts NULL. */
void crew_free(struct crew *crew);
/* Has a thread do it. At most threads_max may be under way. ERR_LIMIT and the like: no thread could
 * be started, and nothing was. */
CHECKED int crew_run(struct crew *crew, struct crew_work *work, struct err *err);
/* The owner has learnt that one of them has ended, or is about to return. */
void crew_ended(struct crew *crew);

#endif
