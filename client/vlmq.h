/* vlmq.h - the client as a library: an open link to a fleet and typed calls over it.
 *
 * Every call waits for its answer, trying again as proto/wire/call.h says, until the time that
 * was given to vlmq_open is over, and with patience until that is over too. Answers live in the
 * caller's arena. Listings come page by page; vlmq_each_* walk all pages with one page in memory at
 * a time. One thread. */
#ifndef CLIENT_VLMQ_H
#define CLIENT_VLMQ_H

#include "client/patience.h"
#include "common/base/err.h"
#include "common/base/limits.h"
#include "common/base/mem.h"
#include "proto/wire/call.h"

#include <stdbool.h>
#include <stdint.h>

struct vlmq;

/* timeout_ms: for each call. */
CHECKED int vlmq_open(struct vlmq **vlmq, const struct link_options *options, uint32_t timeout_ms,
                      struct err *err);
void vlmq_close(struct vlmq *vlmq); /* accepts NULL */
/* For programs that watch: requests and pushed messages at their own pace. */
struct link *vlmq_link(struct vlmq *vlmq);
uint32_t vlmq_timeout_ms(const struct vlmq *vlmq);
/* The link's: every call has it, and who uses the link itself asks it. None until it is begun. */
struct patience *vlmq_patience(struct vlmq *vlmq);

CHECKED int vlmq_ping(struct vlmq *vlmq, Vlmq__PingAnswer **answer, struct arena *arena,
                      struct err *err);
/* *created false: the same job was there already. */
CHECKED int vlmq_submit(struct vlmq *vlmq, Vlmq__Job **stored, bool *created, Vlmq__Job *job,
                        bool paused, struct arena *arena, struct err *err);
CHECKED int vlmq_get(struct vlmq *vlmq, Vlmq__Job **job, const char *id, struct arena *arena,
                     struct err *err);
CHECKED int vlmq_list(struct vlmq *vlmq, Vlmq__ListAnswer **answer, const Vlmq__List *request,
                      struct arena *arena, struct err *err);
CHECKED int vlmq_tasks(struct vlmq *vlmq, Vlmq__TasksAnswer **answer, const Vlmq__Tasks *request,
                       struct arena *arena, struct err *err);
CHECKED int vlmq_events(struct vlmq *vlmq, Vlmq__EventsAnswer **answer, const Vlmq__Events *request,
                        struct arena *arena, struct err *err);
CHECKED int vlmq_control(struct vlmq *vlmq, Vlmq__ControlAnswer **answer,
                         const Vlmq__Control *request, struct arena *arena, struct err *err);
CHECKED int vlmq_workers(struct vlmq *vlmq, Vlmq__WorkersAnswer **answer, struct arena *arena,
                         struct err *err);
CHECKED int vlmq_drain(struct vlmq *vlmq, const char *worker, struct arena *arena, struct err *err);

/* Calls visit for each row until it returns something else than 0, which is returned. request's
 * rows are those of a page (0: as many as can be), its page is used up. */
CHECKED int vlmq_each_job(struct vlmq *vlmq, Vlmq__List *request,
                          int (*visit)(void *ctx, const Vlmq__Job *job, struct err *err), void *ctx,
                          struct err *err);
CHECKED int vlmq_each_task(struct vlmq *vlmq, Vlmq__Tasks *request,
                           int (*visit)(void *ctx, const Vlmq__Task *task, struct err *err),
                           void *ctx, struct err *err);

/* Finds the one job whose id begins with text; id holds JOB_ID_BYTES. ERR_NOT_FOUND: none;
 * ERR_INVALID: several (the sentence names some), or no id at all. */
CHECKED int vlmq_resolve(struct vlmq *vlmq, char id[JOB_ID_BYTES], const char *text,
                         struct err *err);

/* Prefix matching apart from the wire: feed it ids, then ask. */
struct vlmq_match {
    const char *prefix;
    char id[JOB_ID_BYTES], second[JOB_ID_BYTES];
    uint32_t count;
    bool exact;
};
void vlmq_match_add(struct vlmq_match *match, const char *id);
CHECKED int vlmq_match_end(const struct vlmq_match *match, char id[JOB_ID_BYTES], struct err *err);

/* Whether a job in this state will not change any more. */
bool vlmq_job_ended(Vlmq__JobState state);
/* "running", "leased": the word without its prefix, as people read it. */
const char *vlmq_job_state(const Vlmq__Job *job); /* "paused" where that holds */
const char *vlmq_task_state(Vlmq__TaskState state);

#endif
