/* api_client.c - what clients ask: submit, look, list, control, watch. */
#include "broker/api.h"
#include "broker/expect.h"
#include "common/base/id.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "proto/wire/spec.h"

#include <stdlib.h>
#include <string.h>

#define BODY(type, r) ((const type *)(const void *)(r)->envelope.body)

static const struct state_call *call_of(const struct broker *b, const struct request *r, uint32_t i)
{
    return &b->turn.call[r->first + i];
}

/* ---- ping ---- */

static bool plan_ping(struct broker *b, struct request *r)
{
    Vlmq__PingAnswer answer;
    vlmq__ping_answer__init(&answer);
    char program[] = VLMQ_VERSION;
    char note[ERR_MSG_BYTES];
    const struct redis_view *redis = &b->redis;
    (void)str_copy(note, sizeof note, redis->ready ? redis->health.note : redis->why.msg);
    answer.program = program;
    answer.broker_id = b->id;
    answer.uptime_ms = b->turn.now_ms - b->started_at_ms;
    answer.redis_ready = redis->ready;
    answer.redis_note = note;
    answer.workers = b->peers.workers;
    answer.jobs_active = b->jobs.count;
    answer.tasks_taken = b->metrics.tasks_taken;
    answer.tasks_done = b->metrics.tasks_done;
    answer.redis_bytes = redis->health.bytes;
    answer.redis_bytes_max = redis->health.bytes_max;
    (void)api_answer(b, r, VLMQ__TYPE__PING_ANSWER, &answer.base);
    return true;
}

/* Nothing that it planned waits for Redis. */
static void finish_none(struct broker *b, struct request *r)
{
    (void)b;
    (void)r;
}

/* ---- submit ---- */

static int check_links(const Vlmq__Job *job, struct err *err)
{
    if (job->after[0] && !id_job_valid(job->after)) {
        return err_set(err, ERR_INVALID, "after: '%s' is not a job id", job->after);
    }
    if (job->from[0] && !id_job_valid(job->from)) {
        return err_set(err, ERR_INVALID, "from: '%s' is not a job id", job->from);
    }
    if (strcmp(job->after, job->id) == 0 || strcmp(job->from, job->id) == 0) {
        return err_set(err, ERR_INVALID, "job %s cannot wait for itself", job->id);
    }
    return 0;
}

static int check_job(const Vlmq__Job *job, struct arena *arena, struct err *err)
{
    if (!job) return err_set(err, ERR_INVALID, "the submit names no job");
    if (!id_job_valid(job->id)) {
        return err_set(err, ERR_INVALID, "'%s' is not a job id ([a-z0-9][a-z0-9-]{0,39})", job->id);
    }
    if (!spec_descriptor(job->kind)) {
        return err_set(err, ERR_INVALID, "this broker knows no kind of job named '%s'", job->kind);
    }
    if (job->priority < -100 || job->priority > 100) {
        return err_set(err, ERR_INVALID, "priority %d is outside -100 to 100", job->priority);
    }
    const int rc = check_links(job, err);
    if (rc) return rc;
    ProtobufCMessage *spec;
    return spec_unpack(&spec, job->kind, job->spec.data, job->spec.len, arena, err);
}

/* Room is kept for what runs: it has to be able to finish. */
static int check_room(const struct redis_view *redis, struct err *err)
{
    const struct state_health *h = &redis->health;
    if (redis->ready && !h->writable) {
        return err_set(err, ERR_UNAVAILABLE, "Redis takes no writes now%s%s",
                       h->note[0] ? ": " : "", h->note);
    }
    if (h->bytes_max > 0 && h->bytes > h->bytes_max / 10 * 8) {
        return err_set(err, ERR_LIMIT,
                       "Redis is more than 80%% full; purge ended jobs, or raise its maxmemory");
    }
    return 0;
}

/* Step 0, where other jobs are named or there is no room for a new one: this job, and those, must
 * be looked at. */
static bool plan_submit_looks(struct broker *b, struct request *r, const Vlmq__Job *job)
{
    if (turn_room(b) < 3) return false;
    (void)turn_call(b, STATE_LOOK, job->id);
    if (job->after[0]) (void)turn_call(b, STATE_LOOK, job->after);
    if (job->from[0]) (void)turn_call(b, STATE_LOOK, job->from);
    (void)r;
    return true;
}

static bool plan_submit(struct broker *b, struct request *r)
{
    const Vlmq__Submit *submit = BODY(Vlmq__Submit, r);
    const Vlmq__Job *job = submit->job;
    struct err err;
    if (r->step == 0) {
        int rc = check_job(job, &b->turn.arena, &err);
        const int no_room = rc ? 0 : check_room(&b->redis, &err);
        if (no_room == ERR_UNAVAILABLE) rc = no_room;
        if (rc) {
            api_error(b, r, &err);
            return true;
        }
        if (no_room || job->after[0] || job->from[0]) return plan_submit_looks(b, r, job);
        r->step = 1;
    }
    if (turn_room(b) < 3) return false;
    (void)turn_call(b, STATE_INDEX, job->id);
    struct state_call *call = turn_call(b, STATE_SUBMIT, job->id);
    call->in.submit.job = job;
    call->in.submit.paused = submit->paused;
    if (!submit->paused) expect_job(b, job, b->turn.calls_count - 1);
    (void)turn_call(b, STATE_TOUCH, job->id);
    return true;
}

/* A job named by a new one must be there; a repeated submit is answered whatever became of it. */
static void finish_submit_looks(struct broker *b, struct request *r)
{
    const Vlmq__Job *job = BODY(Vlmq__Submit, r)->job;
    struct err err;
    if (call_of(b, r, 0)->err.code == ERR_NOT_FOUND) {
        if (check_room(&b->redis, &err)) {
            api_error(b, r, &err);
            return;
        }
        for (uint32_t i = 1; i < r->count; i++) {
            const struct state_call *look = call_of(b, r, i);
            err = look->err;
            if (err.code == ERR_OK) continue;
            if (err.code == ERR_NOT_FOUND) {
                (void)err_set(&err, ERR_INVALID, "%s: there is no job %s",
                              look->job_id == job->after ? "after" : "from", look->job_id);
            }
            api_error(b, r, &err);
            return;
        }
    }
    r->step = 1;
}

static void finish_submit(struct broker *b, struct request *r)
{
    if (r->step == 0) {
        finish_submit_looks(b, r);
        return;
    }
    for (uint32_t i = 0; i < 2; i++) {
        if (call_of(b, r, i)->err.code == ERR_OK) continue;
        api_error(b, r, &call_of(b, r, i)->err);
        return;
    }
    const struct state_call *call = call_of(b, r, 1);
    Vlmq__SubmitAnswer answer;
    vlmq__submit_answer__init(&answer);
    answer.job = call->job;
    answer.created = call->count != 0;
    if (answer.created) {
        const Vlmq__Job *job = BODY(Vlmq__Submit, r)->job;
        log_info("job.submitted", "job=%s kind=%s owner=%s priority=%d", job->id, job->kind,
                 log_quote(job->owner), job->priority);
    }
    (void)api_answer(b, r, VLMQ__TYPE__SUBMIT_ANSWER, &answer.base);
}

/* ---- get ---- */

static bool plan_get(struct broker *b, struct request *r)
{
    if (!turn_room(b)) return false;
    (void)turn_call(b, STATE_GET, BODY(Vlmq__Get, r)->job);
    return true;
}

static void finish_get(struct broker *b, struct request *r)
{
    const struct state_call *call = call_of(b, r, 0);
    if (call->err.code) {
        api_error(b, r, &call->err);
        return;
    }
    Vlmq__GetAnswer answer;
    vlmq__get_answer__init(&answer);
    answer.job = call->job;
    (void)api_answer(b, r, VLMQ__TYPE__GET_ANSWER, &answer.base);
}

/* ---- listings ---- */

/* Rows of the next try: what was asked for, within a bound, less after each answer too large. */
static uint32_t rows_of(struct request *r, uint32_t asked, uint32_t max)
{
    if (!r->rows) {
        r->rows = asked ? asked : ROWS_DEFAULT;
        if (r->rows > max) r->rows = max;
    }
    return r->rows;
}

/* Answers a listing, or has it read again with fewer rows. */
static void answer_rows(struct broker *b, struct request *r, Vlmq__Type type,
                        const ProtobufCMessage *body)
{
    if (api_answer(b, r, type, body)) return;
    if (r->rows > 1) {
        r->rows = (r->rows + 3) / 4;
        r->step = 0;
        return;
    }
    struct err err;
    (void)err_set(&err, ERR_LIMIT, "one row is larger than a message");
    api_error(b, r, &err);
}

static bool plan_list(struct broker *b, struct request *r)
{
    const Vlmq__List *list = BODY(Vlmq__List, r);
    if (r->step == 0) {
        if (!turn_room(b)) return false;
        struct state_call *call = turn_call(b, list->active ? STATE_ACTIVE : STATE_LIST, NULL);
        call->in.list.page = list->page;
        call->in.list.rows = rows_of(r, list->rows, LIST_ROWS_MAX);
        return true;
    }
    uint32_t count = 0;
    while (r->ids[count]) count++;
    if (turn_room(b) < count) return false;
    for (uint32_t i = 0; i < count; i++) (void)turn_call(b, STATE_LOOK, r->ids[i]);
    return true;
}

static bool list_wants(const Vlmq__List *list, const struct state_call *call)
{
    const Vlmq__Job *job = call->job;
    if (call->err.code || !job) return false;
    if (list->owner[0] && strcmp(list->owner, job->owner) != 0) return false;
    if (list->kind[0] && strcmp(list->kind, job->kind) != 0) return false;
    return !list->active || !job_state_ended(job->state);
}

static void answer_list(struct broker *b, struct request *r)
{
    const Vlmq__List *list = BODY(Vlmq__List, r);
    Vlmq__ListAnswer answer;
    vlmq__list_answer__init(&answer);
    answer.jobs = arena_new(&b->turn.arena, sizeof(Vlmq__Job *) * (r->count + 1));
    for (uint32_t i = 0; i < r->count; i++) {
        const struct state_call *call = call_of(b, r, i);
        if (list_wants(list, call)) answer.jobs[answer.n_jobs++] = call->job;
    }
    answer.page = arena_text(&b->turn.arena, r->page, strlen(r->page));
    answer_rows(b, r, VLMQ__TYPE__LIST_ANSWER, &answer.base);
}

static void finish_list(struct broker *b, struct request *r)
{
    if (r->step == 1) {
        answer_list(b, r);
        return;
    }
    const struct state_call *call = call_of(b, r, 0);
    if (call->err.code) {
        api_error(b, r, &call->err);
        return;
    }
    const uint32_t count = call->out.ids.count;
    r->ids = arena_new(&b->turn.arena, sizeof *r->ids * (count + 1));
    memcpy(r->ids, call->out.ids.id, sizeof *r->ids * count);
    r->page = call->out.ids.page ? call->out.ids.page : "";
    if (count) {
        r->step = 1;
        return;
    }
    r->count = 0;
    answer_list(b, r);
}

static bool plan_tasks(struct broker *b, struct request *r)
{
    const Vlmq__Tasks *tasks = BODY(Vlmq__Tasks, r);
    if (!turn_room(b)) return false;
    struct state_call *call = turn_call(b, STATE_TASKS, tasks->job);
    call->in.tasks.page = tasks->page;
    call->in.tasks.rows =
        rows_of(r, tasks->rows, tasks->log_tails ? TAILS_ROWS_MAX : PAGE_ROWS_MAX);
    call->in.tasks.state = tasks->state;
    call->in.tasks.log_tails = tasks->log_tails != 0;
    call->in.tasks.has_index = tasks->has_index != 0;
    call->in.tasks.index = tasks->index;
    return true;
}

static void finish_tasks(struct broker *b, struct request *r)
{
    const struct state_call *call = call_of(b, r, 0);
    if (call->err.code) {
        api_error(b, r, &call->err);
        return;
    }
    Vlmq__TasksAnswer answer;
    vlmq__tasks_answer__init(&answer);
    const char *page = call->out.tasks.page ? call->out.tasks.page : "";
    answer.tasks = call->out.tasks.task;
    answer.n_tasks = call->out.tasks.count;
    answer.page = arena_text(&b->turn.arena, page, strlen(page));
    answer_rows(b, r, VLMQ__TYPE__TASKS_ANSWER, &answer.base);
}

static bool plan_events(struct broker *b, struct request *r)
{
    const Vlmq__Events *events = BODY(Vlmq__Events, r);
    if (!turn_room(b)) return false;
    struct state_call *call = turn_call(b, STATE_EVENTS, events->job);
    call->in.events.after = events->after;
    call->in.events.rows = rows_of(r, events->rows, PAGE_ROWS_MAX);
    return true;
}

static void finish_events(struct broker *b, struct request *r)
{
    const struct state_call *call = call_of(b, r, 0);
    if (call->err.code) {
        api_error(b, r, &call->err);
        return;
    }
    Vlmq__EventsAnswer answer;
    vlmq__events_answer__init(&answer);
    const char *after = call->out.events.after ? call->out.events.after : "";
    answer.events = call->out.events.event;
    answer.n_events = call->out.events.count;
    answer.after = arena_text(&b->turn.arena, after, strlen(after));
    answer_rows(b, r, VLMQ__TYPE__EVENTS_ANSWER, &answer.base);
}

/* ---- control ---- */

static enum state_op op_of(Vlmq__Verb verb)
{
    switch ((int)verb) {
    case VLMQ__VERB__VERB_CANCEL:
        return STATE_CANCEL;
    case VLMQ__VERB__VERB_PAUSE:
        return STATE_PAUSE;
    case VLMQ__VERB__VERB_RESUME:
        return STATE_RESUME;
    case VLMQ__VERB__VERB_RETRY:
        return STATE_RETRY;
    case VLMQ__VERB__VERB_PRIORITY:
        return STATE_PRIORITY;
    case VLMQ__VERB__VERB_PURGE:
        return STATE_PURGE;
    default:
        return STATE_LOOK;
    }
}

static void fill_control(struct state_call *call, const Vlmq__Control *control)
{
    if (call->op == STATE_CANCEL) call->in.cancel.reason = control->reason;
    if (call->op == STATE_PRIORITY) call->in.priority.priority = control->priority;
    if (call->op == STATE_RETRY) {
        call->in.retry.index = control->task;
        call->in.retry.has_index = control->has_task != 0;
    }
}

/* Step 0: the change, and word of it to the other brokers. A retry first looks whether the job is
 * there (step 0) and enters it into the active set again (step 1). Step 2: a purged job leaves
 * the index. */
static bool plan_control(struct broker *b, struct request *r)
{
    const Vlmq__Control *control = BODY(Vlmq__Control, r);
    const enum state_op op = op_of(control->verb);
    struct err err;
    if (op == STATE_LOOK || control->priority < -100 || control->priority > 100) {
        (void)err_set(&err, ERR_INVALID,
                      op == STATE_LOOK ? "unknown verb" : "the priority is outside -100 to 100");
        api_error(b, r, &err);
        return true;
    }
    if (turn_room(b) < 3) return false;
    if (r->step == 2) {
        turn_call(b, STATE_UNINDEX, control->job)->in.unindex.purged = true;
        (void)turn_call(b, STATE_LOOK, control->job); /* somebody may have submitted it anew */
        return true;
    }
    if (op == STATE_RETRY && r->step == 0) {
        (void)turn_call(b, STATE_LOOK, control->job);
        return true;
    }
    if (op == STATE_RETRY) (void)turn_call(b, STATE_INDEX, control->job);
    fill_control(turn_call(b, op, control->job), control);
    (void)turn_call(b, STATE_TOUCH, control->job);
    return true;
}

static void control_done(struct broker *b, struct request *r, const struct state_call *call)
{
    Vlmq__ControlAnswer answer;
    vlmq__control_answer__init(&answer);
    answer.job = call->job;
    answer.count = call->count;
    struct job *job = jobs_find(&b->jobs, call->job_id);
    /* A job that has no place in the table is not learned, and nobody else would tell. */
    if (!job && call->op == STATE_CANCEL) broker_notice(b, call->job_id);
    if (job && call->op == STATE_RETRY) job->index_at_ms = b->turn.now_ms + CARE_RETRY_MS;
    b->match_due = true;
    b->match_offset = 0;
    (void)api_answer(b, r, VLMQ__TYPE__CONTROL_ANSWER, &answer.base);
}

/* The purged job is shown as it was; of one that was gone before only the id is left. */
static void finish_purge(struct broker *b, struct request *r, const struct state_call *call)
{
    if (call->err.code) {
        api_error(b, r, &call->err);
        return;
    }
    struct job *anew = jobs_find(&b->jobs, BODY(Vlmq__Control, r)->job);
    if (anew) anew->index_at_ms = b->turn.now_ms;
    Vlmq__Job gone;
    vlmq__job__init(&gone);
    gone.id = BODY(Vlmq__Control, r)->job;
    Vlmq__ControlAnswer answer;
    vlmq__control_answer__init(&answer);
    answer.job = r->job ? r->job : &gone;
    (void)api_answer(b, r, VLMQ__TYPE__CONTROL_ANSWER, &answer.base);
}

static void finish_control(struct broker *b, struct request *r)
{
    const struct state_call *call = call_of(b, r, 0);
    if (call->op == STATE_UNINDEX) {
        finish_purge(b, r, call);
        return;
    }
    if (call->op == STATE_INDEX && !call->err.code) call = call_of(b, r, 1);
    /* A purge may be repeated: what is gone already only has to leave the index. */
    const bool gone = call->op == STATE_PURGE && call->err.code == ERR_NOT_FOUND;
    if (call->err.code && !gone) {
        api_error(b, r, &call->err);
    } else if (call->op == STATE_PURGE) {
        struct job *job = jobs_find(&b->jobs, call->job_id);
        if (job) jobs_drop(&b->jobs, job);
        r->job = call->job;
        r->step = 2;
    } else if (call->op == STATE_LOOK) {
        r->step = 1;
    } else {
        control_done(b, r, call);
    }
}

/* ---- watch ---- */

static bool plan_watch(struct broker *b, struct request *r)
{
    const Vlmq__Watch *watch = BODY(Vlmq__Watch, r);
    struct err err;
    bool fresh;
    if (watch->job[0]) {
        if (!turn_room(b)) return false;
        (void)turn_call(b, STATE_GET, watch->job);
        return true;
    }
    if (!watch_add(&b->watches, &r->from, "", b->turn.now_ms, &fresh)) {
        (void)err_set(&err, ERR_LIMIT, "too many watchers");
        api_error(b, r, &err);
        return true;
    }
    r->peer->watches += fresh;
    Vlmq__WatchAnswer answer;
    vlmq__watch_answer__init(&answer);
    (void)api_answer(b, r, VLMQ__TYPE__WATCH_ANSWER, &answer.base);
    return true;
}

static void finish_watch(struct broker *b, struct request *r)
{
    const struct state_call *call = call_of(b, r, 0);
    struct err err;
    bool fresh = false;
    if (call->err.code) {
        api_error(b, r, &call->err);
        return;
    }
    if (!job_state_ended(call->job->state)) {
        struct watcher *w = watch_add(&b->watches, &r->from, call->job->id, b->turn.now_ms, &fresh);
        if (w && fresh && r->peer->watches == WATCHES_PEER_MAX) {
            watch_remove(&b->watches, w);
            w = NULL;
        }
        if (!w) {
            (void)err_set(&err, ERR_LIMIT, "too many watchers");
            api_error(b, r, &err);
            return;
        }
        r->peer->watches += fresh;
        if (fresh) w->sent = watch_fingerprint(call->job);
    }
    Vlmq__Job shown = *call->job;
    shown.spec = (ProtobufCBinaryData){0};
    Vlmq__WatchAnswer answer;
    vlmq__watch_answer__init(&answer);
    answer.job = &shown;
    (void)api_answer(b, r, VLMQ__TYPE__WATCH_ANSWER, &answer.base);
}

/* ---- the fleet ---- */

static bool plan_workers(struct broker *b, struct request *r)
{
    (void)r;
    if (!turn_room(b)) return false;
    (void)turn_call(b, STATE_WORKERS, NULL);
    return true;
}

static void finish_workers(struct broker *b, struct request *r)
{
    const struct state_call *call = call_of(b, r, 0);
    struct err err;
    if (call->err.code) {
        api_error(b, r, &call->err);
        return;
    }
    Vlmq__WorkersAnswer answer;
    vlmq__workers_answer__init(&answer);
    answer.workers = call->out.workers.worker;
    answer.n_workers = call->out.workers.count;
    if (api_answer(b, r, VLMQ__TYPE__WORKERS_ANSWER, &answer.base)) return;
    (void)err_set(&err, ERR_LIMIT, "the fleet is too large to be shown in one message");
    api_error(b, r, &err);
}

static bool plan_drain(struct broker *b, struct request *r)
{
    if (!turn_room(b)) return false;
    turn_call(b, STATE_DRAIN, NULL)->in.worker.id = BODY(Vlmq__Drain, r)->worker;
    return true;
}

static void finish_drain(struct broker *b, struct request *r)
{
    const struct state_call *call = call_of(b, r, 0);
    if (call->err.code) {
        api_error(b, r, &call->err);
        return;
    }
    struct peer *peer = peers_find_worker(&b->peers, BODY(Vlmq__Drain, r)->worker);
    if (peer) peer->drain = true;
    log_info("worker.drain", "worker=%s", BODY(Vlmq__Drain, r)->worker);
    Vlmq__DrainAnswer answer;
    vlmq__drain_answer__init(&answer);
    (void)api_answer(b, r, VLMQ__TYPE__DRAIN_ANSWER, &answer.base);
}

const struct api_row api_client_rows[] = {
    {VLMQ__TYPE__PING, true, true, plan_ping, finish_none},
    {VLMQ__TYPE__SUBMIT, false, true, plan_submit, finish_submit},
    {VLMQ__TYPE__GET, false, true, plan_get, finish_get},
    {VLMQ__TYPE__LIST, false, true, plan_list, finish_list},
    {VLMQ__TYPE__TASKS, false, true, plan_tasks, finish_tasks},
    {VLMQ__TYPE__EVENTS, false, true, plan_events, finish_events},
    {VLMQ__TYPE__CONTROL, false, true, plan_control, finish_control},
    {VLMQ__TYPE__WATCH, false, true, plan_watch, finish_watch},
    {VLMQ__TYPE__WORKERS, false, true, plan_workers, finish_workers},
    {VLMQ__TYPE__DRAIN, false, true, plan_drain, finish_drain},
    {VLMQ__TYPE__TYPE_UNSPECIFIED, false, false, NULL, NULL},
};
