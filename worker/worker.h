/* worker.h - the worker: takes tasks from a broker, runs them, and reports.
 *
 * One process serves one device. The main thread (worker_run) has the link, the leases and the
 * tables; every running task has a thread of its own, and they meet in one channel and one wake-up.
 * Signals: the first SIGTERM or SIGINT drains, the second hands back what it can and leaves. */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include "common/base/conf.h"
#include "common/base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* Exit statuses of vlmq-worker. */
enum worker_status {
    WORKER_DRAINED = 0,  /* told to leave, and left in order: every lease was handed back */
    WORKER_FAILED = 1,   /* the broker refused it, or it could not start */
    WORKER_USAGE = 2,    /* the command line is wrong */
    WORKER_POISONED = 5, /* the device works no more in this process: start it again */
    WORKER_ABORTED = 6,  /* a second signal ended it */
};

struct worker_options {
    const char *brokers, *key_file, *device;
    const char *name; /* shown instead of the host's name; NULL: none */
    uint32_t slots, interactive_slots;
    struct conf_list kinds;  /* none: all */
    struct conf_list labels; /* at most LABELS_MAX */
    int64_t drain_ms;
    int64_t model_bytes; /* of what stays loaded between tasks; 0: nothing does */
    int ready_fd;        /* gets a line "ready ID" when a broker has answered; -1: none */
};

struct worker;

/* Installs the signal handlers. options outlive the worker. ERR_INVALID: a bad option. */
CHECKED int worker_open(struct worker **worker, const struct worker_options *options,
                        struct err *err);
/* Runs until it is told to leave. */
enum worker_status worker_run(struct worker *worker);
/* false: task threads still run, so nothing was freed, and the process must end by _exit. */
bool worker_close(struct worker *worker);

#endif
