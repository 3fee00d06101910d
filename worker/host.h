/* host.h - the runtime's side of one attempt: what job.h's functions and the main thread share.
 *
 * The task thread writes progress and cursor and reads the reason to stop; the main thread does
 * the reverse. When the task thread needs the main thread (to add tasks, or because it ends), it
 * puts its owner into the worker's channel `said` and raises the wake-up; while it adds, it waits
 * for host_answer. So at most one message of an attempt is in the channel. */
#ifndef WORKER_HOST_H
#define WORKER_HOST_H

#include "common/base/chan.h"
#include "proto/schema/worker.pb-c.h"
#include "worker/job.h"

#include <pthread.h>
#include <stdatomic.h>

enum host_says {
    HOST_SAYS_ADD,   /* host->add is to be sent; the task thread waits */
    HOST_SAYS_ENDED, /* the function has returned */
};

/* What tasks have told of the device's work since the worker began. */
struct device_use {
    _Atomic int64_t busy_ns, items;
};

struct job_host {
    atomic_int stop;        /* enum job_stop */
    atomic_bool has_device; /* the attempt may use it: from the start until it says it is done */
    struct device_use *use; /* the worker's; NULL: nobody asks */

    pthread_mutex_t lock; /* guards the next group */
    struct job_progress progress;
    uint32_t progress_version; /* 0: none yet */
    uint8_t *cursor;           /* heap; room for cursor_room */
    size_t cursor_bytes, cursor_room;
    uint32_t cursor_version; /* 0: none yet */

    struct chan *said; /* the worker's */
    struct wake *wake;
    void *owner;

    /* Handed over through said and answer, so never touched by two threads at a time. */
    enum host_says says;
    const Vlmq__Add *add;
    struct chan *answer; /* one place: &reply */
    struct {
        int rc;
        struct err err;
        uint32_t added;
    } reply;

    /* Task thread. */
    const Vlmq__Attempt *attempt;
    struct warm *warm; /* the worker's; NULL: nothing is kept */
    uint32_t added;    /* tasks this task has added, as the broker counts them */
};

void host_init(struct job_host *host, struct chan *said, struct wake *wake, void *owner);
void host_deinit(struct job_host *host);

/* Main thread. Raises the reason to stop, never lowers it. */
void host_stop(struct job_host *host, enum job_stop stop);
/* Returns the progress' version. */
uint32_t host_progress(struct job_host *host, struct job_progress *progress);
uint32_t host_progress_version(struct job_host *host);
/* Copies the cursor into memory of CURSOR_BYTES_MAX; returns its version (0: none). */
uint32_t host_cursor(struct job_host *host, uint8_t *cursor, size_t *bytes);
uint32_t host_cursor_version(struct job_host *host, size_t *bytes);
/* Ends the wait of a task that adds: rc 0 and how many it has added now, or a code with err. */
void host_answer(struct job_host *host, int rc, uint32_t added, const struct err *err);

/* Task thread. */
void host_say_ended(struct job_host *host);
/* How many of the tasks fit one message; at least 1 of a non-empty list. */
uint32_t host_batch(const struct job_new_task *tasks, uint32_t count);

/* Any thread: tasks as they go over the wire, in the arena, borrowing names and payloads. NULL: the
 * arena is full. */
Vlmq__NewTask **host_new_tasks(struct arena *arena, const struct job_new_task *tasks,
                               uint32_t count);

#endif
