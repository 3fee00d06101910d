/* chan.c - a ring under one mutex with two conditions, and the eventfd wake-up.
 *
 * The mutex is held for a few lines and never across a call out. */
#include "common/base/chan.h"

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/mem.h"

#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct chan {
    pthread_mutex_t lock;
    pthread_cond_t not_empty, not_full;
    uint32_t capacity, head, count;
    bool closed;
    void *item[];
};

static void cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    CHECK(pthread_condattr_init(&attr) == 0);
    CHECK(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(cond, &attr) == 0);
    CHECK(pthread_condattr_destroy(&attr) == 0);
}

struct chan *chan_new(uint32_t capacity)
{
    CHECK(capacity >= 1);
    struct chan *chan = mem_new(sizeof *chan + capacity * sizeof chan->item[0]);
    chan->capacity = capacity;
    CHECK(pthread_mutex_init(&chan->lock, NULL) == 0);
    cond_init(&chan->not_empty);
    cond_init(&chan->not_full);
    return chan;
}

void chan_free(struct chan *chan)
{
    if (!chan) return;
    CHECK(chan->closed);
    CHECK(chan->count == 0);
    CHECK(pthread_cond_destroy(&chan->not_full) == 0);
    CHECK(pthread_cond_destroy(&chan->not_empty) == 0);
    CHECK(pthread_mutex_destroy(&chan->lock) == 0);
    mem_free(chan);
}

void chan_close(struct chan *chan)
{
    CHECK(pthread_mutex_lock(&chan->lock) == 0);
    chan->closed = true;
    CHECK(pthread_cond_broadcast(&chan->not_empty) == 0);
    CHECK(pthread_cond_broadcast(&chan->not_full) == 0);
    CHECK(pthread_mutex_unlock(&chan->lock) == 0);
}

static bool put(struct chan *chan, void *item)
{
    if (chan->closed || chan->count == chan->capacity) return false;
    chan->item[(uint32_t)(((uint64_t)chan->head + chan->count) % chan->capacity)] = item;
    chan->count++;
    CHECK(pthread_cond_signal(&chan->not_empty) == 0);
    return true;
}

static void *get(struct chan *chan)
{
    if (chan->count == 0) return NULL;
    void *item = chan->item[chan->head];
    chan->item[chan->head] = NULL;
    chan->head = (chan->head + 1) % chan->capacity;
    chan->count--;
    CHECK(pthread_cond_signal(&chan->not_full) == 0);
    return item;
}

bool chan_send(struct chan *chan, void *item)
{
    CHECK(item != NULL);
    CHECK(pthread_mutex_lock(&chan->lock) == 0);
    while (!chan->closed && chan->count == chan->capacity)
        CHECK(pthread_cond_wait(&chan->not_full, &chan->lock) == 0);
    const bool sent = put(chan, item);
    CHECK(pthread_mutex_unlock(&chan->lock) == 0);
    return sent;
}

bool chan_try_send(struct chan *chan, void *item)
{
    CHECK(item != NULL);
    CHECK(pthread_mutex_lock(&chan->lock) == 0);
    const bool sent = put(chan, item);
    CHECK(pthread_mutex_unlock(&chan->lock) == 0);
    return sent;
}

void *chan_recv(struct chan *chan)
{
    CHECK(pthread_mutex_lock(&chan->lock) == 0);
    while (!chan->closed && chan->count == 0)
        CHECK(pthread_cond_wait(&chan->not_empty, &chan->lock) == 0);
    void *item = get(chan);
    CHECK(pthread_mutex_unlock(&chan->lock) == 0);
    return item;
}

void *chan_try_recv(struct chan *chan)
{
    CHECK(pthread_mutex_lock(&chan->lock) == 0);
    void *item = get(chan);
    CHECK(pthread_mutex_unlock(&chan->lock) == 0);
    return item;
}

void *chan_recv_for(struct chan *chan, int64_t wait_ms)
{
    if (wait_ms <= 0) return chan_try_recv(chan);
    const int64_t end_us = clock_mono_us() + wait_ms * 1000;
    const struct timespec end = {.tv_sec = (time_t)(end_us / 1000000),
                                 .tv_nsec = end_us % 1000000 * 1000};
    CHECK(pthread_mutex_lock(&chan->lock) == 0);
    int rc = 0;
    while (!chan->closed && chan->count == 0 && rc == 0) {
        rc = pthread_cond_timedwait(&chan->not_empty, &chan->lock, &end);
        CHECK(rc == 0 || rc == ETIMEDOUT);
    }
    void *item = get(chan);
    CHECK(pthread_mutex_unlock(&chan->lock) == 0);
    return item;
}

uint32_t chan_depth(struct chan *chan)
{
    CHECK(pthread_mutex_lock(&chan->lock) == 0);
    const uint32_t count = chan->count;
    CHECK(pthread_mutex_unlock(&chan->lock) == 0);
    return count;
}

uint32_t chan_capacity(const struct chan *chan)
{
    return chan->capacity;
}

int wake_open(struct wake *wake)
{
    wake->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    atomic_init(&wake->raised, false);
    return wake->fd < 0 ? -1 : 0;
}

void wake_close(struct wake *wake)
{
    if (wake->fd > 0) (void)close(wake->fd);
    wake->fd = -1;
}

void wake_raise(struct wake *wake)
{
    if (atomic_exchange(&wake->raised, true)) return;
    const int saved = errno;
    const uint64_t one = 1;
    const ssize_t written = write(wake->fd, &one, sizeof one);
    (void)written; /* EAGAIN: the counter is full, so the reader is awake already */
    errno = saved;
}

void wake_clear(struct wake *wake)
{
    /* The descriptor first: a raise that comes between the two lines writes nothing, and the
     * reader, who looks at its queues after this call, sees what was put there before it. Nothing
     * to read: the raiser is about to write, and the next call clears it. */
    uint64_t count;
    if (atomic_load(&wake->raised) && read(wake->fd, &count, sizeof count) > 0)
        atomic_store(&wake->raised, false);
}
