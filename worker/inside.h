/* inside.h - the parts of the worker; for the files of worker/ and the main thread only.
 *
 *   worker.c   the loop: signals, what tasks said, what is due, what the link brought
 *   hello.c    who we are, every HELLO_MS and after a change of broker
 *   take.c     asking for tasks: one parked request with as many credits as slots are free
 *   tasks.c    from a grant to a running task, and from its end to its report
 *   renew.c    the Renew messages that the lease table asks for
 *   report.c   Done, Fail and Yield, repeated until answered
 *   warm.c     what tasks leave loaded for later ones; its models' names go with the hello
 *   leave.c    drain, handing back, goodbye */
#ifndef WORKER_INSIDE_H
#define WORKER_INSIDE_H

#include "common/base/chan.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "proto/wire/call.h"
#include "worker/disk.h"
#include "worker/lease.h"
#include "worker/limits.h"
#include "worker/task.h"
#include "worker/warm.h"
#include "worker/worker.h"

_Static_assert(TASKS_MAX <= ENVELOPE_RENEWALS_MAX, "one Renew carries all leases");
_Static_assert(SLOTS_MAX + SLOTS_INTERACTIVE_MAX <= ENVELOPE_GRANTS_MAX,
               "one Take fills all slots");

/* What a request is about: the upper byte of its ctx; the rest is the task's key. */
enum about {
    ABOUT_NOTHING, /* nobody waits for the answer */
    ABOUT_HELLO,
    ABOUT_TAKE,
    ABOUT_RENEW,
    ABOUT_ADD,
    ABOUT_REPORT,
    ABOUT_BYE,
};
#define ABOUT(about, key) ((uint64_t)(about) << 56 | (key))

struct take {
    uint64_t request; /* 0: none */
    uint32_t credits, credits_interactive;
    bool idle;
};

struct takes {
    struct take now;
    struct {
        uint64_t request; /* 0: free */
        int64_t forget_at_ms;
    } old[TAKES_OLD_MAX];
    int64_t not_before_ms;
    int64_t idle_since_ms; /* 0: something runs, or nothing is wanted */
};

/* One Renew message on its way. */
struct renewal {
    uint64_t request; /* 0: free */
    int64_t asked_at_ms;
    uint32_t count;
    uint64_t key[TASKS_MAX];
    uint32_t cursor_version[TASKS_MAX]; /* 0: none was sent */
};

struct worker {
    const struct worker_options *options;
    const struct clock *clock;
    struct link *link;
    struct chan *said; /* struct task *: see host.h */
    struct wake wake;
    struct crew *crew;
    struct disk *disk;
    struct warm *warm;
    struct device_use use;
    struct {
        int64_t at_ms, busy_ns, items; /* when it was looked at last, and what it was */
        uint32_t busy_percent, items_per_s;
    } used;
    struct arena scratch; /* for one message at a time */
    char id[WORKER_ID_BYTES], host[256];
    uint32_t cpus, cpus_each; /* of the worker; of a task beside others of its kind */
    int64_t started_at_ms;    /* wall */

    struct task *task[TASKS_MAX]; /* the first tasks_count */
    uint32_t tasks_count;
    uint64_t last_key, tasks_done, tasks_failed;
    uint32_t device_failures; /* in a row */

    struct lease_table leases;
    struct lease_work work;
    struct renewal renewal[RENEWS_MAX];
    struct takes takes;

    uint64_t hello_request;
    uint32_t models_told; /* warm_version of the last hello */
    int64_t hello_at_ms;
    bool known, told_ready;

    bool draining, asked_to_yield;
    int64_t drain_soft_at_ms, drain_hard_at_ms;
    bool leaving; /* leases are being handed back */
    int64_t leave_at_ms;
    enum worker_status status;
};

int64_t worker_now(const struct worker *w);
/* link_send from the scratch arena's message, which is reset. Failures to send are the caller's. */
CHECKED int worker_send(struct worker *w, uint64_t *request, Vlmq__Type type,
                        const ProtobufCMessage *body, int64_t timeout_ms, uint64_t ctx,
                        struct err *err);
/* envelope_text into the scratch arena. */
char *worker_text(struct worker *w, const char *text, size_t bytes, size_t bytes_max,
                  bool keep_end);
Vlmq__Progress *worker_progress(struct worker *w, const struct job_progress *progress);

/* hello.c */
void hello_hurry(struct worker *w);
void hello_step(struct worker *w, int64_t now_ms);
void hello_answered(struct worker *w, const Vlmq__HelloAnswer *answer);
void hello_failed(struct worker *w, const struct err *err);

/* take.c */
void take_step(struct worker *w, int64_t now_ms);
int64_t
take_next_ms(const struct worker *w); /* when take_step must be called again, or INT64_MAX */
void take_answered(struct worker *w, const struct link_event *event);
void take_failed(struct worker *w, const struct link_event *event);
void take_moved(struct worker *w);

/* tasks.c */
struct slots {
    uint32_t batch, interactive; /* busy */
    bool alone;                  /* a task that runs alone is there */
};
struct slots tasks_slots(const struct worker *w);
struct task *tasks_find(struct worker *w, uint64_t key);
void tasks_grant(struct worker *w, const Vlmq__Grant *grant, int64_t counts_from_ms);
void tasks_said(struct worker *w); /* what the task threads left in the channel */
void tasks_forget(struct worker *w, struct task *task);
void tasks_stop_all(struct worker *w, enum job_stop stop);
void tasks_add_answered(struct worker *w, uint64_t key, const Vlmq__AddAnswer *answer);
void tasks_add_failed(struct worker *w, uint64_t key, const struct err *err);

/* renew.c */
int64_t renew_step(struct worker *w, int64_t now_ms); /* ms to sleep, or -1 */
void renew_notice(struct worker *w, const Vlmq__Notice *notice);
void renew_all(struct worker *w);
void renew_answered(struct worker *w, const struct link_event *event);
void renew_failed(struct worker *w, const struct link_event *event);

/* report.c */
void report_task(struct worker *w, struct task *task); /* its function has returned */
void report_yield(struct worker *w, struct task *task, const char *reason);
void report_refuse(struct worker *w, const Vlmq__Grant *grant, const char *reason); /* Yield */
void report_fail_grant(struct worker *w, const Vlmq__Grant *grant, const struct err *err);
void report_answered(struct worker *w, uint64_t key);
void report_failed(struct worker *w, uint64_t key, const struct err *err);
void report_step(struct worker *w); /* tries what could not be sent */

/* leave.c */
void leave_drain(struct worker *w, const char *reason);
void leave_hand_back(struct worker *w, enum worker_status status, const char *reason);
bool leave_step(struct worker *w, int64_t now_ms); /* true: worker_run may end */
int64_t leave_next_ms(const struct worker *w);
void leave_bye(struct worker *w);

#endif
