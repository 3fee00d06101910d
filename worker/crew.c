/* crew.c - a queue of work and the threads that sleep beside it.
 *
 * There are never fewer threads than works under way, so whatever is in the queue is begun as soon
 * as a thread is awake. At most one thread is being woken at a time, and it wakes the next one if
 * there is more to do by then: tasks of microseconds are done by the threads that are awake anyway,
 * and long ones have all begun a few wake-ups later. */
#include "worker/crew.h"

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/thread.h"

#include <pthread.h>

struct crew {
    struct thread *thread;
    uint32_t threads, threads_max;
    uint32_t busy; /* works that the owner has not seen the end of */

    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t more;
    struct crew_work **work; /* threads_max of them, a ring */
    uint32_t first, count;
    uint32_t asleep;
    bool waking, closed;
};

static void wake_one(struct crew *crew)
{
    if (!crew->count || !crew->asleep || crew->waking) return;
    crew->waking = true;
    CHECK(pthread_cond_signal(&crew->more) == 0);
}

/* Waits for the next work; NULL: there will be none. */
static struct crew_work *next(struct crew *crew)
{
    struct crew_work *work = NULL;
    CHECK(pthread_mutex_lock(&crew->lock) == 0);
    while (!crew->count && !crew->closed) {
        crew->asleep++;
        CHECK(pthread_cond_wait(&crew->more, &crew->lock) == 0);
        crew->asleep--;
        crew->waking = false;
    }
    if (crew->count) {
        work = crew->work[crew->first];
        crew->first = (crew->first + 1) % crew->threads_max;
        crew->count--;
        wake_one(crew);
    }
    CHECK(pthread_mutex_unlock(&crew->lock) == 0);
    return work;
}

static void serve(void *arg)
{
    struct crew_work *work;
    while ((work = next(arg))) work->run(work->arg);
}

struct crew *crew_new(uint32_t threads_max)
{
    struct crew *crew = mem_new(sizeof *crew);
    crew->thread = mem_new(threads_max * sizeof *crew->thread);
    crew->work = mem_new(threads_max * sizeof(void *));
    crew->threads_max = threads_max;
    CHECK(pthread_mutex_init(&crew->lock, NULL) == 0);
    CHECK(pthread_cond_init(&crew->more, NULL) == 0);
    return crew;
}

void crew_free(struct crew *crew)
{
    if (!crew) return;
    CHECK(crew->busy == 0);
    CHECK(pthread_mutex_lock(&crew->lock) == 0);
    crew->closed = true;
    CHECK(pthread_cond_broadcast(&crew->more) == 0);
    CHECK(pthread_mutex_unlock(&crew->lock) == 0);
    for (uint32_t i = 0; i < crew->threads; i++) thread_join(&crew->thread[i]);
    CHECK(pthread_cond_destroy(&crew->more) == 0);
    CHECK(pthread_mutex_destroy(&crew->lock) == 0);
    mem_free(crew->work);
    mem_free(crew->thread);
    mem_free(crew);
}

int crew_run(struct crew *crew, struct crew_work *work, struct err *err)
{
    CHECK(crew->busy < crew->threads_max);
    if (crew->busy == crew->threads) {
        const int rc = thread_start(&crew->thread[crew->threads], "task", serve, crew, err);
        if (rc) return rc;
        crew->threads++;
    }
    crew->busy++;
    CHECK(pthread_mutex_lock(&crew->lock) == 0);
    CHECK(crew->count < crew->threads_max);
    crew->work[(crew->first + crew->count++) % crew->threads_max] = work;
    wake_one(crew);
    CHECK(pthread_mutex_unlock(&crew->lock) == 0);
    return 0;
}

void crew_ended(struct crew *crew)
{
    CHECK(crew->busy > 0);
    crew->busy--;
}
