/* task.h - one attempt: its grant, its thread, and what came of it.
 *
 * Made, started, ended and freed by the main thread. Between task_start and the message
 * HOST_SAYS_ENDED the task thread owns env, result, err and rc. */
#ifndef WORKER_TASK_H
#define WORKER_TASK_H

#include "worker/crew.h"
#include "worker/host.h"
#include "worker/job.h"

enum task_state {
    TASK_HELD,    /* waits until no other task uses the device */
    TASK_RUNNING, /* has a thread */
    TASK_ENDED,   /* its report is under way */
};

/* What the broker is to be told of it. */
enum task_report { TASK_REPORT_NONE, TASK_REPORT_DONE, TASK_REPORT_FAIL, TASK_REPORT_YIELD };

struct task {
    uint64_t key; /* never used twice by one worker */
    enum task_state state;
    bool interactive; /* in an interactive slot */
    bool alone;
    bool handed_back; /* its lease was given back while it ran */
    enum task_report report;
    const char *report_reason; /* of a yield: a constant */
    bool reporting;            /* the report is open at the link */
    const struct job_kind *kind;
    Vlmq__Attempt attempt; /* texts in the arena */
    uint32_t cursor_acked; /* version that the broker has stored */
    uint32_t progress_sent,
        progress_acked;       /* versions; different: one is on its way, or was lost */
    int64_t progress_look_ms; /* when to look for a new one */
    int64_t started_at_ms;
    struct arena arena;
    struct log_scope *scope;
    struct job_env env;
    struct job_result result;
    struct job_host host;
    struct err err;
    int rc;
    struct crew *crew;
    struct crew_work work;
};

struct task_options {
    uint64_t key;
    const struct job_kind *kind;
    const struct clock *clock;
    const char *device;
    uint32_t cpus;
    struct chan *said;
    struct wake *wake;
    struct crew *crew;
    struct warm *warm;      /* may be NULL */
    struct device_use *use; /* may be NULL */
};

/* Copies what it needs of the grant. */
CHECKED int task_new(struct task **task, const struct task_options *options,
                     const Vlmq__Grant *grant, struct err *err);
CHECKED int task_start(struct task *task, struct err *err);
/* After HOST_SAYS_ENDED: its thread touches it no more. */
void task_end(struct task *task);
/* It must have ended, or never been started. Accepts NULL. */
void task_free(struct task *task);

/* "work", "plan", "close" */
const char *task_phase(const struct task *task);

#endif
