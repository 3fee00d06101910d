/* thread.h - named threads that somebody joins. There are no detached threads. */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include "common/base/err.h"

#include <pthread.h>
#include <stdbool.h>

struct thread {
    pthread_t id;
    bool running;
};

/* Starts run(arg) under a name of at most 15 characters, all signals blocked in it (they
 * belong to the main thread). */
CHECKED int thread_start(struct thread *thread, const char *name, void (*run)(void *arg), void *arg,
                         struct err *err);
void thread_join(struct thread *thread); /* does nothing when not running */
/* How many processors this process may use (affinity and cgroup quota), at least 1. */
int thread_cpus(void);

#endif
