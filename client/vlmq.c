/* vlmq.c - typed calls over a link. */
#include "client/vlmq.h"

#include "common/base/check.h"
#include "common/base/id.h"
#include "common/base/str.h"

#include <string.h>

/* Memory of one answer: a message and what unpacking adds to it. */
#define ANSWER_BYTES_MAX (16 * (size_t)MESSAGE_BYTES_MAX)

struct vlmq {
    struct link *link;
    uint32_t timeout_ms;
    struct patience patience;
};

int vlmq_open(struct vlmq **vlmq, const struct link_options *options, uint32_t timeout_ms,
              struct err *err)
{
    struct vlmq *made = mem_new(sizeof *made);
    const int rc = link_open(&made->link, options, err);
    if (rc) {
        mem_free(made);
        return rc;
    }
    made->timeout_ms = timeout_ms;
    *vlmq = made;
    return 0;
}

void vlmq_close(struct vlmq *vlmq)
{
    if (!vlmq) return;
    link_close(vlmq->link);
    mem_free(vlmq);
}

struct link *vlmq_link(struct vlmq *vlmq)
{
    return vlmq->link;
}

uint32_t vlmq_timeout_ms(const struct vlmq *vlmq)
{
    return vlmq->timeout_ms;
}

struct patience *vlmq_patience(struct vlmq *vlmq)
{
    return &vlmq->patience;
}

/* Sends and waits; the answer has the type that belongs to the request. */
static int call(struct vlmq *vlmq, ProtobufCMessage **answer, Vlmq__Type type,
                const ProtobufCMessage *request, struct arena *arena, struct err *err)
{
    int64_t now;
    int rc;
    do {
        rc = link_call(vlmq->link, answer, type, request, vlmq->timeout_ms, arena, err);
        now = clock_real.mono_ms(&clock_real);
    } while (rc && patience_waits(&vlmq->patience, err, now));
    if (!rc) patience_heard(&vlmq->patience, now);
    return rc;
}

static int no_job(struct err *err)
{
    return err_set(err, ERR_CORRUPT, "the broker's answer has no job in it");
}

int vlmq_ping(struct vlmq *vlmq, Vlmq__PingAnswer **answer, struct arena *arena, struct err *err)
{
    Vlmq__Ping request;
    vlmq__ping__init(&request);
    ProtobufCMessage *message;
    const int rc = call(vlmq, &message, VLMQ__TYPE__PING, &request.base, arena, err);
    if (rc) return rc;
    *answer = (Vlmq__PingAnswer *)message;
    return 0;
}

int vlmq_submit(struct vlmq *vlmq, Vlmq__Job **stored, bool *created, Vlmq__Job *job, bool paused,
                struct arena *arena, struct err *err)
{
    Vlmq__Submit request;
    vlmq__submit__init(&request);
    ProtobufCMessage *message;
    request.job = job;
    request.paused = paused;
    const int rc = call(vlmq, &message, VLMQ__TYPE__SUBMIT, &request.base, arena, err);
    if (rc) return rc;
    const Vlmq__SubmitAnswer *answer = (const Vlmq__SubmitAnswer *)message;
    if (!answer->job) return no_job(err);
    *stored = answer->job;
    *created = answer->created;
    return 0;
}

int vlmq_get(struct vlmq *vlmq, Vlmq__Job **job, const char *id, struct arena *arena,
             struct err *err)
{
    Vlmq__Get request;
    vlmq__get__init(&request);
    ProtobufCMessage *message;
    char text[JOB_ID_BYTES];
    if (!str_copy(text, sizeof text, id) || !id_job_valid(id))
        return err_set(err, ERR_INVALID, "'%.60s' is not a job id", id);
    request.job = text;
    const int rc = call(vlmq, &message, VLMQ__TYPE__GET, &request.base, arena, err);
    if (rc) return rc;
    *job = ((const Vlmq__GetAnswer *)message)->job;
    return *job ? 0 : no_job(err);
}

int vlmq_list(struct vlmq *vlmq, Vlmq__ListAnswer **answer, const Vlmq__List *request,
              struct arena *arena, struct err *err)
{
    ProtobufCMessage *message;
    const int rc = call(vlmq, &message, VLMQ__TYPE__LIST, &request->base, arena, err);
    if (rc) return rc;
    *answer = (Vlmq__ListAnswer *)message;
    return 0;
}

int vlmq_tasks(struct vlmq *vlmq, Vlmq__TasksAnswer **answer, const Vlmq__Tasks *request,
               struct arena *arena, struct err *err)
{
    ProtobufCMessage *message;
    const int rc = call(vlmq, &message, VLMQ__TYPE__TASKS, &request->base, arena, err);
    if (rc) return rc;
    *answer = (Vlmq__TasksAnswer *)message;
    return 0;
}

int vlmq_events(struct vlmq *vlmq, Vlmq__EventsAnswer **answer, const Vlmq__Events *request,
                struct arena *arena, struct err *err)
{
    ProtobufCMessage *message;
    const int rc = call(vlmq, &message, VLMQ__TYPE__EVENTS, &request->base, arena, err);
    if (rc) return rc;
    *answer = (Vlmq__EventsAnswer *)message;
    return 0;
}

int vlmq_control(struct vlmq *vlmq, Vlmq__ControlAnswer **answer, const Vlmq__Control *request,
                 struct arena *arena, struct err *err)
{
    ProtobufCMessage *message;
    const int rc = call(vlmq, &message, VLMQ__TYPE__CONTROL, &request->base, arena, err);
    if (rc) return rc;
    *answer = (Vlmq__ControlAnswer *)message;
    return (*answer)->job ? 0 : no_job(err);
}

int vlmq_workers(struct vlmq *vlmq, Vlmq__WorkersAnswer **answer, struct arena *arena,
                 struct err *err)
{
    Vlmq__Workers request;
    vlmq__workers__init(&request);
    ProtobufCMessage *message;
    const int rc = call(vlmq, &message, VLMQ__TYPE__WORKERS, &request.base, arena, err);
    if (rc) return rc;
    *answer = (Vlmq__WorkersAnswer *)message;
    return 0;
}

int vlmq_drain(struct vlmq *vlmq, const char *worker, struct arena *arena, struct err *err)
{
    Vlmq__Drain request;
    vlmq__drain__init(&request);
    ProtobufCMessage *message;
    request.worker = arena_text(arena, worker, strlen(worker));
    if (!request.worker) return err_set(err, ERR_LIMIT, "out of memory");
    return call(vlmq, &message, VLMQ__TYPE__DRAIN, &request.base, arena, err);
}

/* The page texts of two answers take turns, so that a request never points into a freed one. */
static int next_page(char **page, char *dst, size_t dst_bytes, const char *text, struct err *err)
{
    if (!str_copy(dst, dst_bytes, text))
        return err_set(err, ERR_CORRUPT, "the broker's page mark is too long");
    *page = dst;
    return 0;
}

#define PAGE_TEXT_BYTES 256

int vlmq_each_job(struct vlmq *vlmq, Vlmq__List *request,
                  int (*visit)(void *ctx, const Vlmq__Job *job, struct err *err), void *ctx,
                  struct err *err)
{
    struct arena arena;
    char page[PAGE_TEXT_BYTES] = "";
    int rc;
    arena_init(&arena, ANSWER_BYTES_MAX);
    if (!request->rows) request->rows = PAGE_ROWS_MAX;
    request->page = page;
    do {
        Vlmq__ListAnswer *answer = NULL;
        arena_reset(&arena);
        rc = vlmq_list(vlmq, &answer, request, &arena, err);
        for (size_t i = 0; !rc && i < answer->n_jobs; i++) rc = visit(ctx, answer->jobs[i], err);
        if (!rc) rc = next_page(&request->page, page, sizeof page, answer->page, err);
    } while (!rc && *page);
    arena_deinit(&arena);
    request->page = NULL;
    return rc;
}

int vlmq_each_task(struct vlmq *vlmq, Vlmq__Tasks *request,
                   int (*visit)(void *ctx, const Vlmq__Task *task, struct err *err), void *ctx,
                   struct err *err)
{
    struct arena arena;
    char page[PAGE_TEXT_BYTES] = "";
    int rc;
    arena_init(&arena, ANSWER_BYTES_MAX);
    if (!request->rows) request->rows = PAGE_ROWS_MAX;
    request->page = page;
    do {
        Vlmq__TasksAnswer *answer = NULL;
        arena_reset(&arena);
        rc = vlmq_tasks(vlmq, &answer, request, &arena, err);
        for (size_t i = 0; !rc && i < answer->n_tasks; i++) rc = visit(ctx, answer->tasks[i], err);
        if (!rc) rc = next_page(&request->page, page, sizeof page, answer->page, err);
    } while (!rc && *page);
    arena_deinit(&arena);
    request->page = NULL;
    return rc;
}

void vlmq_match_add(struct vlmq_match *match, const char *id)
{
    if (!str_has_prefix(id, match->prefix)) return;
    if (str_eq(id, match->prefix)) match->exact = true;
    if (match->count == 0 || str_eq(id, match->prefix)) {
        if (match->count) (void)str_copy(match->second, sizeof match->second, match->id);
        (void)str_copy(match->id, sizeof match->id, id);
    } else if (match->count == 1) {
        (void)str_copy(match->second, sizeof match->second, id);
    }
    match->count++;
}

int vlmq_match_end(const struct vlmq_match *match, char id[JOB_ID_BYTES], struct err *err)
{
    if (!match->count)
        return err_set(err, ERR_NOT_FOUND, "no job's id begins with '%s'; see vlmq ls",
                       match->prefix);
    if (match->count > 1 && !match->exact)
        return err_set(err, ERR_INVALID, "'%s' is the beginning of %u ids, such as %s and %s",
                       match->prefix, match->count, match->id, match->second);
    (void)str_copy(id, JOB_ID_BYTES, match->id);
    return 0;
}

static int match_job(void *ctx, const Vlmq__Job *job, struct err *err)
{
    (void)err;
    vlmq_match_add(ctx, job->id);
    return 0;
}

int vlmq_resolve(struct vlmq *vlmq, char id[JOB_ID_BYTES], const char *text, struct err *err)
{
    struct arena arena;
    Vlmq__Job *job = NULL;
    arena_init(&arena, ANSWER_BYTES_MAX);
    int rc = vlmq_get(vlmq, &job, text, &arena, err);
    if (!rc) {
        CHECK(job != NULL);
        (void)str_copy(id, JOB_ID_BYTES, job->id);
    }
    arena_deinit(&arena);
    if (rc != ERR_NOT_FOUND) return rc;
    struct vlmq_match match = {.prefix = text};
    Vlmq__List request;
    vlmq__list__init(&request);
    rc = vlmq_each_job(vlmq, &request, match_job, &match, err);
    return rc ? rc : vlmq_match_end(&match, id, err);
}

bool vlmq_job_ended(Vlmq__JobState state)
{
    return state == VLMQ__JOB_STATE__JOB_DONE || state == VLMQ__JOB_STATE__JOB_FAILED ||
           state == VLMQ__JOB_STATE__JOB_CANCELLED;
}

const char *vlmq_job_state(const Vlmq__Job *job)
{
    static const char *const words[] = {"?",    "held",   "planning",   "running",  "closing",
                                        "done", "failed", "cancelling", "cancelled"};
    const size_t state = (size_t)job->state;
    const bool waits =
        job->state == VLMQ__JOB_STATE__JOB_PLANNING || job->state == VLMQ__JOB_STATE__JOB_RUNNING;
    if (job->paused && waits) return "paused";
    return state < sizeof words / sizeof words[0] ? words[state] : "?";
}

const char *vlmq_task_state(Vlmq__TaskState state)
{
    static const char *const words[] = {"?",    "ready", "leased",   "waiting",
                                        "done", "dead",  "cancelled"};
    return (size_t)state < sizeof words / sizeof words[0] ? words[(size_t)state] : "?";
}
