/* care.c - the duties of a broker between requests.
 *
 * Round 0 of a turn plans what is due; ids that it finds (in the feed, in a page of active jobs)
 * are looked at in the next round. What is flagged on a job is done when the scan passes it. Two
 * brokers may do the same duty at once: every call may be repeated. */
#include "broker/care.h"

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/str.h"

#include <inttypes.h>
#include <string.h>

struct state_call *care_call(struct broker *b, enum care_tag tag, enum state_op op,
                             const char *job_id, const char *for_job)
{
    struct turn *t = &b->turn;
    struct state_call *call = turn_call(b, op, job_id);
    if (tag != CARE_NONE) {
        struct duty *duty = &t->duty[t->duties_count++];
        *duty = (struct duty){.tag = tag, .call = t->calls_count - 1};
        (void)str_copy(duty->job, sizeof duty->job, for_job ? for_job : "");
    }
    return call;
}

static int64_t pace_ms(const struct broker *b)
{
    return b->peers.count || b->jobs.count ? CARE_MS : CARE_IDLE_MS;
}

static void soon(struct broker *b)
{
    b->care.at_ms = b->turn.now_ms;
}

/* ---- planning ---- */

static void plan_feed(struct broker *b)
{
    struct care *c = &b->care;
    if (b->turn.now_ms < c->feed_at_ms) return;
    c->feed_at_ms = b->turn.now_ms + pace_ms(b);
    struct state_call *call = care_call(b, CARE_FEED, STATE_FEED, NULL, NULL);
    call->in.feed.after = c->feed;
    call->in.feed.rows = FEED_ROWS;
}

static void plan_sweep(struct broker *b)
{
    struct care *c = &b->care;
    if (b->turn.now_ms < c->sweep_at_ms) return;
    c->sweep_at_ms = b->turn.now_ms + SWEEP_MS;
    struct state_call *call = care_call(b, CARE_SWEEP, STATE_ACTIVE, NULL, NULL);
    call->in.list.page = c->sweep;
    call->in.list.rows = SWEEP_ROWS;
}

/* Nobody has heard of these leases; their tasks are free again at once. */
static void plan_yields(struct broker *b)
{
    struct care *c = &b->care;
    static const char reason[] = "the grant could not be delivered";
    for (uint32_t i = 0; i < c->yields_count; i++) {
        const struct give_back *g = &c->yield[i];
        Vlmq__Yield *yield = arena_new(&b->turn.arena, sizeof *yield);
        Vlmq__Attempt *attempt = arena_new(&b->turn.arena, sizeof *attempt);
        vlmq__yield__init(yield);
        vlmq__attempt__init(attempt);
        attempt->job = arena_text(&b->turn.arena, g->job, strlen(g->job));
        attempt->lease = arena_text(&b->turn.arena, g->lease, strlen(g->lease));
        attempt->index = g->index;
        yield->attempt = attempt;
        yield->reason = arena_text(&b->turn.arena, reason, sizeof reason - 1);
        struct state_call *call = care_call(b, CARE_NONE, STATE_YIELD, attempt->job, NULL);
        call->attempt = attempt;
        call->in.yield.yield = yield;
    }
    c->yields_count = 0;
}

/* Leases are left alone for a while after anything that may have made their deadlines wrong. After
 * that the job is reaped once whatever is due: a clock that went back has left deadlines that
 * would not come for hours. */
static bool may_reap(const struct broker *b, const struct job *job)
{
    if (!job->due_at_ms || b->turn.now_ms < job->reap_at_ms) return false;
    const bool held = job->rebound && b->turn.now_ms < b->redis.hold_until_ms;
    if (held && (job->tasks_leased || job->doubted)) return false;
    return job->due_at_ms <= broker_redis_now(b) || (job->rebound && !held);
}

static void plan_reap(struct broker *b, const char *id, uint32_t leased)
{
    struct state_call *call = care_call(b, CARE_REAP, STATE_REAP, id, id);
    call->in.reap.until_ms = broker_redis_now(b) + CLOCK_JUMP_MS;
    b->turn.duty[b->turn.duties_count - 1].before = leased;
}

/* The job is looked at after it has left: revived or submitted anew meanwhile, it comes back. */
static void plan_unindex(struct broker *b, const char *id, bool purged)
{
    care_call(b, CARE_UNINDEX, STATE_UNINDEX, id, id)->in.unindex.purged = purged;
    (void)care_call(b, CARE_UNINDEXED, STATE_LOOK, id, id);
}

/* At most five calls. */
static void plan_job(struct broker *b, struct job *job)
{
    const int64_t now = b->turn.now_ms;
    if (job->touch) (void)care_call(b, CARE_NONE, STATE_TOUCH, job->id, NULL);
    job->touch = false;
    if (job_state_ended(job->state)) {
        if (job->unindex) {
            plan_unindex(b, job->id, false);
        } else if (!job->show || !b->watches.all_count) {
            jobs_drop(&b->jobs, job);
        }
        return;
    }
    if (now >= job->index_at_ms) {
        job->index_at_ms = INT64_MAX;
        (void)care_call(b, CARE_NONE, STATE_INDEX, job->id, NULL);
    }
    if (job->look) (void)care_call(b, CARE_LOOK, STATE_LOOK, job->id, job->id);
    if (job->grace) (void)care_call(b, CARE_NONE, STATE_GRACE, job->id, NULL);
    job->look = job->grace = false;
    if (may_reap(b, job)) {
        if (now >= b->redis.hold_until_ms) job->rebound = false;
        plan_reap(b, job->id, job->tasks_leased);
    }
    chain_plan(b, job);
}

#define JOB_CALLS_MAX 7 /* of plan_job and chain_plan together */

static void plan_jobs(struct broker *b)
{
    struct care *c = &b->care;
    const uint32_t high = b->jobs.high;
    if (b->turn.now_ms < c->at_ms) return;
    c->at_ms = b->turn.now_ms + pace_ms(b);
    for (uint32_t n = 0; n < high; n++) {
        if (b->turn.calls_count + JOB_CALLS_MAX > CARE_CALLS_MAX) {
            soon(b);
            return;
        }
        if (c->cursor >= high) c->cursor = 0;
        struct job *job = &b->jobs.job[c->cursor++];
        if (job->used) plan_job(b, job);
    }
}

void care_plan(struct broker *b)
{
    CHECK(b->turn.calls_count == 0);
    plan_feed(b);
    plan_sweep(b);
    plan_jobs(b);
    if (turn_room(b) > CARE_CALLS_MAX + YIELDS_MAX) plan_yields(b);
}

void care_follow(struct broker *b)
{
    struct turn *t = &b->turn;
    const uint32_t count = t->follow_count;
    t->follow_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        const char *id = t->follow[i];
        switch ((int)t->follow_tag[i]) {
        case CARE_REAP:
            plan_reap(b, id, 0);
            break;
        case CARE_UNINDEX:
        case CARE_PURGED:
            plan_unindex(b, id, t->follow_tag[i] == CARE_PURGED);
            break;
        case CARE_UNINDEXED:
            (void)care_call(b, CARE_NONE, STATE_INDEX, id, NULL);
            break;
        default:
            (void)care_call(b, t->follow_tag[i], STATE_LOOK, id, id);
            break;
        }
    }
    chain_follow(b);
}

/* ---- after the commit ---- */

static void follow(struct broker *b, enum care_tag tag, const char *id)
{
    struct turn *t = &b->turn;
    if (t->follow_count == sizeof t->follow / sizeof *t->follow) return; /* swept again later */
    for (uint32_t i = 0; i < t->follow_count; i++) {
        if (t->follow_tag[i] == tag && strcmp(t->follow[i], id) == 0) return;
    }
    char *copy = arena_text(&t->arena, id, strlen(id));
    if (!copy) return;
    t->follow_tag[t->follow_count] = tag;
    t->follow[t->follow_count++] = copy;
}

/* The page, kept for the next call; what does not fit is no position of ours. */
static void keep_page(char *dst, size_t bytes, const char *page)
{
    if (!str_copy(dst, bytes, page ? page : "")) dst[0] = 0;
}

static void finish_feed(struct broker *b, const struct state_call *call)
{
    struct care *c = &b->care;
    if (call->err.code) return;
    keep_page(c->feed, sizeof c->feed, call->out.ids.page);
    for (uint32_t i = 0; i < call->out.ids.count; i++) follow(b, CARE_LOOK, call->out.ids.id[i]);
    if (call->out.ids.count == FEED_ROWS) c->feed_at_ms = b->turn.now_ms;
    if (call->count == 1) { /* the feed was trimmed past us: look at everything */
        c->loading = true;
        c->sweep[0] = 0;
        c->sweep_at_ms = b->turn.now_ms;
    }
}

static void finish_sweep(struct broker *b, const struct state_call *call)
{
    struct care *c = &b->care;
    if (call->err.code) return;
    for (uint32_t i = 0; i < call->out.ids.count; i++) {
        const char *id = call->out.ids.id[i];
        const struct job *job = jobs_find(&b->jobs, id);
        if (!job || b->turn.now_ms - job->heard_at_ms >= SWEEP_MS) follow(b, CARE_SWEEP_LOOK, id);
    }
    keep_page(c->sweep, sizeof c->sweep, call->out.ids.page);
    if (!c->sweep[0]) c->loading = false;
    if (c->loading) c->sweep_at_ms = b->turn.now_ms;
}

/* An id in the index without a job: a submit that is under way, or one that never came. */
static void note_missing(struct broker *b, const char *id)
{
    struct care *c = &b->care;
    uint32_t place = 0;
    for (uint32_t i = 0; i < MISSING_MAX; i++) {
        if (strcmp(c->missing[i].id, id) == 0) {
            if (b->turn.now_ms - c->missing[i].since_ms < MISSING_MS) return;
            c->missing[i].id[0] = 0;
            follow(b, CARE_PURGED, id);
            return;
        }
        if (c->missing[i].since_ms < c->missing[place].since_ms) place = i;
    }
    (void)str_copy(c->missing[place].id, JOB_ID_BYTES, id);
    c->missing[place].since_ms = b->turn.now_ms;
}

static void finish_look(struct broker *b, const struct duty *duty, const struct state_call *call)
{
    struct job *job = jobs_find(&b->jobs, duty->job);
    if (call->err.code == ERR_NOT_FOUND) {
        if (job) jobs_drop(&b->jobs, job);
        if (duty->tag == CARE_SWEEP_LOOK) note_missing(b, duty->job);
        return;
    }
    if (call->err.code || job) return;
    /* No room for it in the table, or ended. */
    if (job_state_ended(call->job->state)) {
        if (duty->tag == CARE_SWEEP_LOOK) follow(b, CARE_UNINDEX, duty->job);
        return;
    }
    const int64_t due = call->job->due_at_ms;
    if (due && due <= broker_redis_now(b) && b->turn.now_ms >= b->redis.hold_until_ms) {
        follow(b, CARE_REAP, duty->job);
    }
}

static void finish_reap(struct broker *b, const struct duty *duty, const struct state_call *call)
{
    struct job *job = jobs_find(&b->jobs, duty->job);
    if (call->err.code) {
        if (job) {
            job->reap_at_ms = b->turn.now_ms + CARE_RETRY_MS;
            job->rebound = true;
        }
        return;
    }
    /* Some of what fell due may have been backoffs. */
    if (call->count && call->job && call->job->tasks_leased < duty->before) {
        uint32_t lost = duty->before - call->job->tasks_leased;
        if (lost > call->count) lost = call->count;
        b->metrics.leases_lost += lost;
        log_warn("lease.lost", "job=%s count=%u", duty->job, lost);
    }
    if (call->count) soon(b);
}

static void finish_unindex(struct broker *b, const struct duty *duty, const struct state_call *call)
{
    struct job *job = jobs_find(&b->jobs, duty->job);
    if (!job || call->err.code) return;
    job->unindex = false; /* the next scan drops it */
    soon(b);
}

static void finish_unindexed(struct broker *b, const struct duty *duty,
                             const struct state_call *call)
{
    if (call->err.code || job_state_ended(call->job->state)) return;
    follow(b, CARE_UNINDEXED, duty->job);
}

void care_finish(struct broker *b)
{
    struct turn *t = &b->turn;
    for (uint32_t i = 0; i < t->duties_count; i++) {
        const struct duty *duty = &t->duty[i];
        const struct state_call *call = &t->call[duty->call];
        switch (duty->tag) {
        case CARE_FEED:
            finish_feed(b, call);
            break;
        case CARE_SWEEP:
            finish_sweep(b, call);
            break;
        case CARE_LOOK:
        case CARE_SWEEP_LOOK:
            finish_look(b, duty, call);
            break;
        case CARE_REAP:
            finish_reap(b, duty, call);
            break;
        case CARE_UNINDEX:
            finish_unindex(b, duty, call);
            break;
        case CARE_UNINDEXED:
            finish_unindexed(b, duty, call);
            break;
        case CARE_AFTER:
        case CARE_RELEASE:
        case CARE_SOURCE:
        case CARE_MADE:
        case CARE_CHAIN:
            chain_finish(b, duty);
            break;
        case CARE_PURGED:
        case CARE_NONE:
            break;
        }
    }
}

/* ---- the rest ---- */

void care_restart(struct broker *b)
{
    struct care *c = &b->care;
    const int64_t now = b->turn.now_ms;
    c->at_ms = c->feed_at_ms = c->sweep_at_ms = now;
    c->loading = true;
    c->feed[0] = c->sweep[0] = 0;
    b->match_due = true;
    b->match_offset = b->takes_offset = 0;
    for (uint32_t i = 0; i < b->jobs.high; i++) {
        struct job *job = &b->jobs.job[i];
        if (!job->used) continue;
        job->look = job->rebound = job->doubted = true;
        job->grace = job->tasks_leased > 0;
        job->index_at_ms = now; /* what was under way may not have got there */
        job->show = b->watches.all_count > 0;
        /* Redis may be back with an older state: what was seen of other jobs is not true yet. */
        job->source_version = 0;
        job->chain_ended = false;
        job->release = JOB_VERDICT_NONE;
    }
}

void care_give_back(struct broker *b, const char *job, uint32_t index, const char *lease)
{
    struct care *c = &b->care;
    if (c->yields_count == YIELDS_MAX) return; /* its lease runs out unheard */
    struct give_back *g = &c->yield[c->yields_count++];
    (void)str_copy(g->job, sizeof g->job, job);
    (void)str_copy(g->lease, sizeof g->lease, lease);
    g->index = index;
}

int64_t care_next(const struct broker *b)
{
    const struct care *c = &b->care;
    if (c->yields_count) return b->turn.now_ms;
    int64_t next = c->at_ms;
    if (c->feed_at_ms < next) next = c->feed_at_ms;
    if (c->sweep_at_ms < next) next = c->sweep_at_ms;
    return next;
}
