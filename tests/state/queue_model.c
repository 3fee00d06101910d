/* queue_model.c - the model as a whole: its jobs, and one call from outside to what it does. */
#include "tests/state/queue_model.h"

#include "broker/state/request.h"
#include "common/base/check.h"
#include "common/base/str.h"
#include "tests/state/queue_model_parts.h"

#include <string.h>

/* --- jobs ------------------------------------------------------------------------------------- */

/* Where the job stands, or would. */
static uint32_t job_place(const struct queue_model *model, const char *id)
{
    uint32_t low = 0, high = model->job_count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (strcmp(id, model->job[middle]->id) <= 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

struct model_job *model_job_find(const struct queue_model *model, const char *id)
{
    const uint32_t at = job_place(model, id);
    if (at == model->job_count || strcmp(model->job[at]->id, id) != 0) return NULL;
    return model->job[at];
}

struct model_job *model_job_new(struct queue_model *model, const char *id)
{
    const uint32_t at = job_place(model, id);
    model->job = model_grow(model->job, model->job_count, &model->job_room, sizeof *model->job);
    memmove(&model->job[at + 1], &model->job[at], (model->job_count - at) * sizeof *model->job);
    model->job_count++;
    model->job[at] = mem_new(sizeof **model->job);
    CHECK(str_copy(model->job[at]->id, JOB_ID_BYTES, id));
    return model->job[at];
}

void model_job_drop(struct queue_model *model, const char *id)
{
    const uint32_t at = job_place(model, id);
    model_job_deinit(model->job[at]);
    mem_free(model->job[at]);
    model->job_count--;
    memmove(&model->job[at], &model->job[at + 1], (model->job_count - at) * sizeof *model->job);
}

uint32_t queue_model_jobs(const struct queue_model *model, const char **ids, uint32_t max)
{
    for (uint32_t i = 0; i < model->job_count && i < max; i++) ids[i] = model->job[i]->id;
    return model->job_count;
}

/* --- a call ----------------------------------------------------------------------------------- */

/* The job as every function of one job shows it. */
static Vlmq__Job *job_view(const struct model_turn *turn)
{
    const struct model_job *from = turn->job;
    const struct model_numbers *n = &from->n;
    Vlmq__Job *job = model_unpack(&vlmq__job__descriptor, &from->head, turn->arena);
    job->reason = model_text_give(&from->reason, turn->arena);
    job->state = (Vlmq__JobState)n->state;
    job->paused = n->paused != 0;
    job->priority = (int32_t)n->priority;
    job->submitted_at_ms = n->submitted;
    job->started_at_ms = n->started;
    job->ended_at_ms = n->ended;
    job->now_ms = turn->now_ms;
    job->version = (uint64_t)n->version;
    job->tasks_total = (uint32_t)n->total;
    job->tasks_ready = (uint32_t)model_job_ready(from);
    job->tasks_leased = (uint32_t)n->leased;
    job->tasks_waiting = (uint32_t)n->waiting;
    job->tasks_done = (uint32_t)n->done;
    job->tasks_dead = (uint32_t)n->dead;
    job->tasks_cancelled = (uint32_t)n->cancelled;
    job->items_total = n->items_total;
    job->progress = arena_new(turn->arena, sizeof *job->progress);
    vlmq__progress__init(job->progress);
    job->progress->items = n->items;
    job->progress->items_ok = n->items_ok;
    job->progress->bytes = n->bytes;
    const bool awaits = !model_job_ended(from) && n->leased + n->waiting > 0;
    job->due_at_ms = awaits && from->due_count ? from->due[0].at_ms : 0;
    return job;
}

static void look(struct model_turn *turn)
{
    (void)turn;
}

/* Functions of a job that exists. */
static void (*const functions[])(struct model_turn *turn) = {
    [STATE_ADD] = model_add,
    [STATE_TAKE] = model_take,
    [STATE_RENEW] = model_renew,
    [STATE_DONE] = model_done,
    [STATE_FAIL] = model_fail,
    [STATE_YIELD] = model_yield,
    [STATE_REAP] = model_reap,
    [STATE_GRACE] = model_grace,
    [STATE_PAUSE] = model_pause,
    [STATE_RESUME] = model_resume,
    [STATE_CANCEL] = model_cancel,
    [STATE_RETRY] = model_retry,
    [STATE_RELEASE] = model_release,
    [STATE_CHAIN] = model_chain,
    [STATE_LOOK] = look,
    [STATE_TASKS] = model_tasks,
    [STATE_EVENTS] = model_events,
    [STATE_MADE] = model_made,
    [STATE_PRIORITY] = model_priority,
    [STATE_GET] = look,
};

/* A run of a function begins. */
static void run_begin(struct model_job *job)
{
    job->kept.n = job->n;
    model_text_copy(&job->kept.reason, &job->reason);
    model_text_copy(&job->kept.dead_why, &job->dead_why);
    model_text_copy(&job->kept.source_why, &job->source_why);
}

/* The version grows once in a run, if something of the job is another than before it. */
static void run_version(struct model_job *job)
{
    job->n.version = job->kept.n.version;
    const bool same = memcmp(&job->kept.n, &job->n, sizeof job->n) == 0 &&
                      model_text_eq(&job->kept.reason, &job->reason) &&
                      model_text_eq(&job->kept.dead_why, &job->dead_why) &&
                      model_text_eq(&job->kept.source_why, &job->source_why);
    if (!same) job->n.version++;
}

static void call_job(struct model_turn *turn, bool joins)
{
    struct state_call *call = turn->call;
    CHECK((size_t)call->op < sizeof functions / sizeof *functions);
    CHECK(functions[call->op]);
    turn->job = model_job_find(turn->model, call->job_id);
    if (!turn->job) {
        (void)err_set(&call->err, ERR_NOT_FOUND, "no such job");
        return;
    }
    if (!joins) run_begin(turn->job);
    functions[call->op](turn);
    run_version(turn->job);
    call->job = job_view(turn);
    if (call->op == STATE_GET) model_get(turn);
}

/* An ended job is forgotten; one that is not there is forgotten already. */
static void call_purge(struct model_turn *turn)
{
    struct state_call *call = turn->call;
    turn->job = model_job_find(turn->model, call->job_id);
    if (!turn->job) return;
    call->job = job_view(turn);
    if (model_job_ended(turn->job)) {
        model_job_drop(turn->model, call->job_id);
    } else {
        (void)err_set(&call->err, ERR_INVALID, "the job has not ended: cancel it first");
    }
}

/* What a broker would refuse to send does not get here: the same check as in a real commit. */
static bool may_be_sent(struct state_call *call, struct arena *arena)
{
    struct args args;
    if (request_begin(&args, call, arena, &call->err)) return false;
    return request_add(&args, call, &call->err) == 0;
}

static void run(struct queue_model *model, struct state_call *call, bool joins, int64_t now_ms,
                struct arena *arena)
{
    struct model_turn turn = {.model = model, .call = call, .now_ms = now_ms, .arena = arena};
    call->err = (struct err){0};
    call->job = NULL;
    call->count = 0;
    call->drain = false;
    memset(&call->out, 0, sizeof call->out);
    if (!may_be_sent(call, arena)) return;
    if (call->op >= STATE_INDEX) {
        model_fleet(&turn);
    } else if (call->op == STATE_PURGE) {
        call_purge(&turn);
    } else if (call->op == STATE_SUBMIT) {
        model_submit(&turn);
        if (turn.job) call->job = job_view(&turn);
    } else {
        call_job(&turn, joins);
    }
}

void queue_model_call(struct queue_model *model, struct state_call *call, int64_t now_ms,
                      struct arena *arena)
{
    run(model, call, false, now_ms, arena);
}

void queue_model_join(struct queue_model *model, struct state_call *call, int64_t now_ms,
                      struct arena *arena)
{
    run(model, call, true, now_ms, arena);
}

/* --- the model -------------------------------------------------------------------------------- */

struct queue_limits queue_limits_real(void)
{
    return (struct queue_limits){.tasks = TASKS_PER_JOB_MAX,
                                 .counters = COUNTERS_MAX,
                                 .reap = STATE_REAP_MAX,
                                 .retry = STATE_RETRY_MAX,
                                 .scan = STATE_SCAN_MAX,
                                 .tails = STATE_TAILS_MAX,
                                 .events = STATE_EVENTS_MAX};
}

void queue_model_limit(struct queue_model *model, const struct queue_limits *limits)
{
    model->limits = *limits;
}

struct queue_model *queue_model_new(void)
{
    struct queue_model *model = mem_new(sizeof *model);
    model->limits = queue_limits_real();
    return model;
}

void queue_model_free(struct queue_model *model)
{
    if (!model) return;
    for (uint32_t i = 0; i < model->job_count; i++) {
        model_job_deinit(model->job[i]);
        mem_free(model->job[i]);
    }
    mem_free(model->job);
    model_fleet_deinit(model);
    mem_free(model);
}
