/* differential_random.c - steps by chance. They are mostly about what is there, as the model says
 * it, so that long histories come about; sometimes about what is over, or never was. */
#include "common/base/check.h"
#include "tests/state/differential.h"
#include "tests/state/queue_model_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TASKS_WANTED 1500 /* of one job: more make the dumps slow */

struct chooser {
    struct generator *generator;
    const struct world *world;
    const struct queue_model *model; /* of the world */
    const struct model_job *job;     /* of the step's slot; NULL: not there */
};

static uint32_t below(struct chooser *c, uint32_t bound)
{
    return (uint32_t)rng_below(&c->generator->rng, bound);
}

/* True once in so many times. */
static bool one_in(struct chooser *c, uint32_t times)
{
    return below(c, times) == 0;
}

/* --- what the steps are about ----------------------------------------------------------------- */

/* A lease given lately, which may be over by now; now and then any at all. */
static void choose_lease(struct step *step, struct chooser *c)
{
    struct generator *g = c->generator;
    if (!g->recent_count || one_in(c, 40)) {
        step->task = below(c, 30);
        step->lease = below(c, 3);
        return;
    }
    const uint32_t at = below(c, g->recent_count);
    step->slot = g->recent[at].slot;
    step->task = g->recent[at].task;
    step->lease = leases_count(c->world->leases, step->slot, step->task) - 1 - g->recent[at].lease;
    const bool ends = step->op == STATE_DONE || step->op == STATE_FAIL || step->op == STATE_YIELD;
    if (ends && !one_in(c, 5)) g->recent[at] = g->recent[--g->recent_count];
}

static const struct model_task *task_of(const struct chooser *c, const struct step *step)
{
    const struct model_job *job = model_job_find(c->model, slot_id(step->slot));
    return job && step->task < job->n.total ? job->task[step->task] : NULL;
}

/* Offset and number of tasks to add: mostly the next ones, sometimes some again, or with a gap. */
static void choose_tasks(struct step *step, struct chooser *c)
{
    const struct model_task *task = task_of(c, step);
    const struct model_job *job = model_job_find(c->model, slot_id(step->slot));
    const bool plans = task && task->phase == VLMQ__PHASE__PHASE_PLAN;
    if (task && task->added && one_in(c, 6)) step->at = -1 - (int32_t)below(c, task->added);
    if (one_in(c, 40)) step->at += 1 + (int32_t)below(c, 3);
    const bool cancelled = job && job->n.state == VLMQ__JOB_STATE__JOB_CANCELLING;
    step->more = plans ? below(c, 7) : one_in(c, cancelled ? 2 : 8) ? 1 + below(c, 2) : 0;
    if (plans && one_in(c, 12)) step->more = 200 + below(c, 400);
    if (job && job->n.total > TASKS_WANTED && step->more > 8) step->more = 8;
    step->flag[3] = one_in(c, plans ? 12 : 4);
}

/* What went wrong once mostly goes on to, or the ends of such rows would never come: attempts that
 * began and are not heard of again, that never begin, that fail. */
static void choose_fate(struct step *step, struct chooser *c)
{
    const struct model_task *task = task_of(c, step);
    if (!task || step->op == STATE_ADD || one_in(c, 3)) return;
    if (task->losses) {
        step->op = STATE_RENEW;
    } else if (task->unstarted) {
        step->op = STATE_LOOK;
    } else if (task->failures > 1) {
        step->op = STATE_FAIL;
        step->kind_of = VLMQ__BLAME__BLAME_TASK;
    }
}

static void choose_attempt(struct step *step, struct chooser *c)
{
    choose_lease(step, c);
    step->kind_of =
        step->op == STATE_FAIL && one_in(c, 2) ? VLMQ__BLAME__BLAME_TASK : below(c, 1000);
    choose_fate(step, c);
    step->flag[0] = step->op == STATE_DONE ? one_in(c, 30) : one_in(c, 3);
    if (step->op == STATE_ADD || step->op == STATE_DONE) choose_tasks(step, c);
    if (step->op == STATE_DONE) {
        step->count = one_in(c, 3) ? below(c, 4) : 0;
        if (one_in(c, 60)) step->count = 9 + below(c, 40);
    }
}

static void choose_submit(struct step *step, struct chooser *c)
{
    const struct step *before = &c->generator->submitted[step->slot];
    if (before->kind == STEP_CALL && before->op == STATE_SUBMIT && before->serial &&
        !one_in(c, c->job ? 4 : 2)) {
        const uint32_t serial = step->serial;
        *step = *before;
        step->serial = serial;
        return;
    }
    step->flag[0] = one_in(c, 10);
    step->flag[1] = one_in(c, 5);
    step->flag[2] = one_in(c, 3);
    step->priority = (int32_t)below(c, 201) - 100;
    step->kind_of = below(c, 128);
    if (!c->job) c->generator->submitted[step->slot] = *step;
}

static void choose_retry(struct step *step, struct chooser *c)
{
    step->flag[0] = one_in(c, 3);
    step->task = below(c, 40);
    if (!c->job || !step->flag[0] || one_in(c, 5)) return;
    uint32_t dead = 0;
    for (int64_t i = 0; i < c->job->n.next; i++) {
        if (c->job->task[i]->state != VLMQ__TASK_STATE__TASK_DEAD) continue;
        if (below(c, ++dead) == 0) step->task = (uint32_t)i;
    }
}

static void choose_chain(struct step *step, struct chooser *c)
{
    /* Prefer a job that has a source. */
    for (uint32_t i = 0; i < SLOTS && !(c->job && c->job->n.source); i++) {
        step->slot = (step->slot + 1) % SLOTS;
        c->job = model_job_find(c->model, slot_id(step->slot));
    }
    if (one_in(c, 10)) step->at = (int32_t)below(c, 9) - 5;
    step->count = below(c, one_in(c, 30) ? 300 : 6);
    step->flag[0] = one_in(c, 8);
    step->flag[1] = step->flag[0] && one_in(c, 2);
    step->kind_of = below(c, 100);
}

static void choose_reap(struct step *step, struct chooser *c)
{
    const uint32_t dice = below(c, 10);
    if (dice < 5) {
        step->ms = 0;
    } else if (dice < 8) {
        step->ms = c->world->now_ms + below(c, 3) * 500;
    } else {
        step->ms = c->world->now_ms - below(c, 15000);
    }
}

/* --- pages ------------------------------------------------------------------------------------ */

static void choose_event(struct step *step, struct chooser *c)
{
    if (!c->job || !c->job->event_count || one_in(c, 3)) return;
    const struct model_event *event = &c->job->event[below(c, c->job->event_count)];
    (void)snprintf(step->text, sizeof step->text, "%" PRId64 "-%" PRId64, event->ms,
                   event->seq + below(c, 2));
}

static void choose_feed(struct step *step, struct chooser *c)
{
    const struct queue_model *model = c->model;
    if (one_in(c, 4)) return;
    if (!model->feed_count || one_in(c, 8)) {
        (void)snprintf(step->text, sizeof step->text, "%u-%u", below(c, 2000), below(c, 3));
        return;
    }
    const struct model_feed *entry = &model->feed[below(c, model->feed_count)];
    (void)snprintf(step->text, sizeof step->text, "%" PRId64 "-%" PRId64, entry->ms, entry->seq);
}

/* After an entry that is there, or one that is gone. */
static void choose_listed(struct step *step, struct chooser *c)
{
    const struct queue_model *model = c->model;
    if (!model->jobs_count || one_in(c, 3)) return;
    const struct model_entry *entry = &model->jobs[below(c, model->jobs_count)];
    (void)snprintf(step->text, sizeof step->text, "%" PRId64 " %s", entry->at_ms,
                   one_in(c, 4) ? "gone" : entry->id);
}

static void choose_page(struct step *step, struct chooser *c)
{
    const uint32_t total = c->job ? (uint32_t)c->job->n.total : 0;
    step->count = one_in(c, 4) ? PAGE_ROWS_MAX : 1 + below(c, 12);
    step->kind_of = below(c, 7);
    step->flag[0] = one_in(c, 2);
    switch ((int)step->op) {
    case STATE_TASKS:
        step->flag[1] = one_in(c, 5);
        step->task = below(c, total + 2);
        if (one_in(c, 2)) (void)snprintf(step->text, TEXT_MAX, "%u", below(c, total + 2));
        break;
    case STATE_EVENTS:
        choose_event(step, c);
        break;
    case STATE_MADE:
        step->at = (int32_t)below(c, (c->job ? c->job->made_count : 0) + 2);
        break;
    case STATE_FEED:
        choose_feed(step, c);
        break;
    default:
        step->count = 1 + below(c, 4);
        choose_listed(step, c);
    }
}

/* --- one call --------------------------------------------------------------------------------- */

static const struct {
    enum state_op op;
    uint32_t weight;
} weights[] = {
    {STATE_TAKE, 200},   {STATE_DONE, 190},  {STATE_RENEW, 110}, {STATE_FAIL, 90},
    {STATE_YIELD, 40},   {STATE_ADD, 40},    {STATE_REAP, 60},   {STATE_GRACE, 6},
    {STATE_PAUSE, 6},    {STATE_RESUME, 14}, {STATE_CANCEL, 8},  {STATE_RETRY, 30},
    {STATE_PRIORITY, 5}, {STATE_RELEASE, 8}, {STATE_CHAIN, 24},  {STATE_GET, 8},
    {STATE_LOOK, 8},     {STATE_TASKS, 30},  {STATE_EVENTS, 10}, {STATE_MADE, 12},
    {STATE_PURGE, 10},   {STATE_SUBMIT, 20}, {STATE_INDEX, 8},   {STATE_UNINDEX, 6},
    {STATE_LIST, 6},     {STATE_ACTIVE, 6},  {STATE_FEED, 8},    {STATE_TOUCH, 25},
    {STATE_HELLO, 14},   {STATE_BYE, 3},     {STATE_WORKERS, 6}, {STATE_DRAIN, 4},
};

static enum state_op choose_op(struct chooser *c)
{
    uint32_t all = 0;
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++) all += weights[i].weight;
    uint32_t dice = below(c, all);
    for (size_t i = 0;; i++) {
        if (dice < weights[i].weight) return weights[i].op;
        dice -= weights[i].weight;
    }
}

/* A job that is over, or not there, soon makes room for another. */
static enum state_op choose_op_for(struct chooser *c)
{
    const enum state_op op = choose_op(c);
    if (c->generator->reaps && one_in(c, 3)) { /* much is due after a jump */
        c->generator->reaps--;
        return STATE_REAP;
    }
    if (!c->job && op < STATE_INDEX && !one_in(c, 4)) return STATE_SUBMIT;
    if (c->job && model_job_ended(c->job) && op < STATE_GET && one_in(c, 12)) {
        return one_in(c, 3) ? STATE_PURGE : STATE_RETRY;
    }
    return op;
}

static void choose_call(struct step *step, struct chooser *c)
{
    step->slot = below(c, SLOTS);
    step->worker = below(c, WORKERS);
    step->chance = (uint32_t)rng_next(&c->generator->rng);
    c->job = model_job_find(c->model, slot_id(step->slot));
    step->op = choose_op_for(c);
    switch ((int)step->op) {
    case STATE_SUBMIT:
        choose_submit(step, c);
        break;
    case STATE_TAKE:
        step->count = 1 + below(c, one_in(c, 10) ? 40 : 4);
        step->flag[0] = one_in(c, 2);
        break;
    case STATE_ADD:
    case STATE_RENEW:
    case STATE_DONE:
    case STATE_FAIL:
    case STATE_YIELD:
        choose_attempt(step, c);
        break;
    case STATE_REAP:
        choose_reap(step, c);
        break;
    case STATE_RETRY:
        choose_retry(step, c);
        break;
    case STATE_CHAIN:
        choose_chain(step, c);
        break;
    case STATE_TASKS:
    case STATE_EVENTS:
    case STATE_MADE:
    case STATE_LIST:
    case STATE_ACTIVE:
    case STATE_FEED:
        choose_page(step, c);
        break;
    default:
        step->priority = (int32_t)below(c, 201) - 100;
        step->flag[0] = !one_in(c, 3);
        step->kind_of = below(c, 100);
    }
}

static void choose_jump(struct step *step, struct chooser *c)
{
    const uint32_t dice = below(c, 100);
    step->kind = STEP_CLOCK;
    if (dice < 40) {
        step->ms = below(c, 900);
    } else if (dice < 60) {
        step->ms = 1000 + below(c, 9000);
    } else if (dice < 88) {
        step->ms = LEASE_TTL_MS + below(c, 2000);
    } else if (dice < 92) {
        step->ms = STATE_BACKOFF_MAX_MS;
    } else if (dice < 95) {
        step->ms = STATE_WORKER_TTL_MS + below(c, 2);
    } else if (dice < 98) {
        step->ms = -(int64_t)below(c, 20000);
    } else {
        step->ms = one_in(c, 2) ? 600000 : -600000;
    }
    if (step->ms >= LEASE_TTL_MS) c->generator->reaps = 2 * SLOTS;
}

/* --- repeats ---------------------------------------------------------------------------------- */

/* A take is repeated only while it is the worker's last one of the job: a broker repeats a call
 * until it has an answer, and answers the worker with it. */
static bool may_repeat(const struct generator *g, const struct step *step)
{
    return step->kind == STEP_CALL &&
           (step->op != STATE_TAKE || g->took[step->slot][step->worker] == step->serial);
}

/* The numbers of a step count from what is there; a repeat means what they meant then. */
static void past_repeat(struct step *step, const struct past *past, const struct world *world)
{
    *step = past->step;
    step->lease += leases_count(world->leases, step->slot, step->task) - past->leases;
    step->at += (int32_t)past->base - (int32_t)step_base(step, world);
}

static bool choose_repeat(struct step *step, struct chooser *c)
{
    const struct generator *g = c->generator;
    if (!g->past_count || !one_in(c, 10)) return false;
    const uint32_t kept = sizeof g->past / sizeof *g->past;
    const uint32_t count = g->past_count < kept ? g->past_count : kept;
    const uint32_t back = one_in(c, 2) ? 1 : 1 + below(c, count);
    const struct past *past = &g->past[(g->past_count - back) % kept];
    if (!may_repeat(g, &past->step)) return false;
    past_repeat(step, past, c->world);
    return true;
}

static void remember(struct generator *g, const struct step *step, const struct world *world)
{
    if (step->op == STATE_TAKE) g->took[step->slot][step->worker] = step->serial;
    struct past *past = &g->past[g->past_count++ % (sizeof g->past / sizeof *g->past)];
    past->step = *step;
    past->leases = leases_count(world->leases, step->slot, step->task);
    past->base = step_base(step, world);
}

void generator_next(struct step *step, struct generator *generator, const struct world *world)
{
    struct chooser c = {.generator = generator, .world = world, .model = world->model};
    *step = (struct step){.kind = STEP_CALL, .serial = ++generator->serial};
    if (generator->crashes && one_in(&c, 4000)) {
        step->kind = STEP_CRASH;
    } else if (one_in(&c, 25)) {
        choose_jump(step, &c);
    } else if (!choose_repeat(step, &c)) {
        choose_call(step, &c);
        remember(generator, step, world);
    }
}

void generator_given(struct generator *g, uint32_t slot, uint32_t task, uint32_t lease)
{
    for (uint32_t i = 0; i < g->recent_count; i++) {
        const struct recent *recent = &g->recent[i];
        if (recent->slot == slot && recent->task == task && recent->lease == lease) return;
    }
    const uint32_t at =
        g->recent_count < RECENT ? g->recent_count++ : (uint32_t)rng_below(&g->rng, RECENT);
    g->recent[at] = (struct recent){slot, task, lease};
}

void generator_init(struct generator *generator, uint64_t seed, bool crashes)
{
    *generator = (struct generator){.crashes = crashes};
    rng_seed(&generator->rng, seed);
}
