/* match.c - parked takes on one side, jobs with ready tasks on the other, policy.c between them.
 *
 * A match sees at most MATCH_TAKES_MAX takes and MATCH_JOBS_MAX jobs, the best first. When it gives
 * nothing and there are more of either, the next turn tries the next window, until all have been
 * tried; it starts again when something changes (broker->match_due). */
#include "broker/match.h"

#include "broker/care.h"
#include "common/base/check.h"
#include "common/base/id.h"
#include "common/base/log.h"

#include <stdlib.h>
#include <string.h>

/* ---- parking ---- */

static void answer_none(struct broker *b, struct peer *peer)
{
    Vlmq__TakeAnswer answer;
    vlmq__take_answer__init(&answer);
    const int64_t waited = b->turn.now_ms - peer->take.received_at_ms;
    answer.waited_ms = waited > 0 ? (uint32_t)waited : 0;
    broker_answer(b, &peer->id, VLMQ__TYPE__TAKE_ANSWER, peer->take.request_id, &answer.base);
    peers_unpark(&b->peers, peer);
}

void match_unpark(struct broker *b, struct peer *peer)
{
    if (peer->take.waiting) answer_none(b, peer);
}

void match_park(struct broker *b, struct request *r)
{
    const Vlmq__Take *take = (const Vlmq__Take *)(const void *)r->envelope.body;
    const uint64_t id = r->envelope.request_id;
    struct peer *peer = r->peer;
    const struct reply *reply = &peer->reply;
    r->open = false;
    if (reply->request_id == id && b->turn.now_ms - reply->at_ms < LEASE_TTL_MS) {
        /* A copy: making room for it may find the answer before unsent, and drop the reply. */
        buf_clear(&b->out);
        buf_add(&b->out, reply->data, reply->bytes);
        broker_post(b, &peer->id, b->out.data, b->out.len);
        return;
    }
    if (peer->take.waiting && peer->take.request_id == id) return; /* sent again; still parked */
    match_unpark(b, peer);
    int64_t limit = r->envelope.timeout_ms;
    if (!limit || limit > POLL_TTL_MS) limit = POLL_TTL_MS;
    const int64_t margin = limit / 4 < TAKE_MARGIN_MS ? limit / 4 : TAKE_MARGIN_MS;
    const struct parked parked = {
        .waiting = true,
        .request_id = id,
        .received_at_ms = r->received_at_ms,
        .until_ms = r->received_at_ms + limit - margin,
        .credits = take->credits,
        .credits_interactive = take->credits_interactive,
        .idle = take->idle != 0,
    };
    peers_park(&b->peers, peer, &parked);
    b->match_due = true;
    b->match_offset = b->takes_offset = 0;
}

void match_expire(struct broker *b, bool all)
{
    if (!b->peers.parked_count) return;
    for (uint32_t i = 0; i < b->peers.high; i++) {
        struct peer *peer = &b->peers.peer[i];
        if (!peer->used || !peer->take.waiting) continue;
        if (all || b->turn.now_ms >= peer->take.until_ms) answer_none(b, peer);
    }
}

int64_t match_next(const struct broker *b)
{
    int64_t next = INT64_MAX;
    if (!b->peers.parked_count) return next;
    if (b->redis.ready) next = b->match_due ? 0 : b->match_at_ms;
    for (uint32_t i = 0; i < b->peers.high; i++) {
        const struct peer *peer = &b->peers.peer[i];
        if (peer->used && peer->take.waiting && peer->take.until_ms < next) {
            next = peer->take.until_ms;
        }
    }
    return next;
}

/* ---- what the policy sees ---- */

struct row {
    uint32_t slot, leased;
    int32_t rank; /* interactive and priority in one; larger first */
    double recent;
    int64_t submitted_at_ms;
};

static int by_order(const void *x, const void *y)
{
    const struct row *a = x, *b = y;
    if (a->rank != b->rank) return a->rank > b->rank ? -1 : 1;
    if (a->leased != b->leased) return a->leased < b->leased ? -1 : 1;
    if (a->recent != b->recent) return a->recent < b->recent ? -1 : 1;
    if (a->submitted_at_ms != b->submitted_at_ms) {
        return a->submitted_at_ms < b->submitted_at_ms ? -1 : 1;
    }
    return a->slot < b->slot ? -1 : a->slot > b->slot; /* no two are equal: see order_first */
}

static void swap(struct row *a, struct row *b)
{
    const struct row kept = *a;
    *a = *b;
    *b = kept;
}

/* Puts the best `want` rows first, in order. Sorting all of them with every match would make a task
 * dearer the more jobs wait. (Quickselect with the middle one as pivot; many equal rows would make
 * it slow.) */
static void order_first(struct row *row, uint32_t count, uint32_t want)
{
    uint32_t first = 0, end = count;
    while (want < count && end - first > 1 && want > first && want < end) {
        uint32_t at = first;
        swap(&row[first + (end - first) / 2], &row[end - 1]);
        for (uint32_t i = first; i < end - 1; i++)
            if (by_order(&row[i], &row[end - 1]) < 0) swap(&row[i], &row[at++]);
        swap(&row[at], &row[end - 1]);
        if (at < want)
            first = at + 1;
        else
            end = at;
    }
    qsort(row, want < count ? want : count, sizeof *row, by_order);
}

static void count_owners(struct broker *b)
{
    struct jobs *jobs = &b->jobs;
    for (uint32_t i = 0; i < jobs->owners_high; i++) {
        struct owner *owner = &jobs->owner[i];
        owner->leased = 0;
        owner->row = INDEX_END;
        owner->recent = policy_decay(owner->recent, b->turn.now_ms - owner->recent_at_ms);
        owner->recent_at_ms = b->turn.now_ms;
    }
    for (uint32_t i = 0; i < jobs->high; i++) {
        if (jobs->job[i].used) jobs->owner[jobs->job[i].owner].leased += jobs->job[i].tasks_leased;
    }
}

/* All jobs with something to give, in the turn's arena; those of this match first, in order. */
static struct row *ready_jobs(struct broker *b, uint32_t *count)
{
    struct row *rows = arena_new(&b->turn.arena, sizeof *rows * (b->jobs.count + 1));
    *count = 0;
    for (uint32_t i = 0; i < b->jobs.high; i++) {
        const struct job *job = &b->jobs.job[i];
        if (!job->used || !job_may_give(job)) continue;
        if (job->quiet_until_ms > b->turn.now_ms) {
            if (job->quiet_until_ms < b->match_at_ms) b->match_at_ms = job->quiet_until_ms;
            continue;
        }
        const struct owner *owner = &b->jobs.owner[job->owner];
        rows[(*count)++] = (struct row){
            .slot = i,
            .leased = owner->leased,
            .rank = job->priority + (job->fixed->interactive ? 1000 : 0),
            .recent = owner->recent,
            .submitted_at_ms = job->fixed->submitted_at_ms,
        };
    }
    order_first(rows, *count, b->match_offset + MATCH_JOBS_MAX);
    return rows;
}

/* Whether a worker that has the job's model loaded is busy with something else. */
static bool warm_is_busy(const struct broker *b, const struct job *job)
{
    const Vlmq__Needs *needs = job->fixed->needs;
    if (!needs || !needs->model[0]) return false;
    if (b->turn.now_ms - job->ready_since_ms >= WARM_WAIT_MS) return false;
    for (uint32_t i = 0; i < b->peers.high; i++) {
        const struct peer *peer = &b->peers.peer[i];
        if (!peer->used || !peer->info || peer->take.waiting || peer->drain) continue;
        if (policy_is_warm(peer->info, needs) && policy_fits(peer->info, job->fixed->kind, needs)) {
            return true;
        }
    }
    return false;
}

static void add_job(struct broker *b, const struct job *job)
{
    struct policy *p = b->policy;
    struct owner *owner = &b->jobs.owner[job->owner];
    if (owner->row == INDEX_END) {
        owner->row = p->owners_count++;
        p->owner[owner->row] = (struct policy_owner){owner->leased, owner->recent};
    }
    p->job[p->jobs_count++] = (struct policy_job){
        .kind = job->fixed->kind,
        .needs = job->fixed->needs,
        .owner = owner->row,
        .priority = job->priority,
        .interactive = job->fixed->interactive != 0,
        .idle_only = job->idle_only_version == job->version,
        .warm_busy = warm_is_busy(b, job),
        .ready = job->tasks_ready + job->tasks_expected,
        .submitted_at_ms = job->fixed->submitted_at_ms,
        .ready_since_ms = job->ready_since_ms,
    };
}

static uint32_t at_most(uint32_t value, uint32_t max)
{
    return value < max ? value : max;
}

/* Fills the window of takes; slot says whose each is. False: all were tried. */
static bool add_takes(struct broker *b, uint32_t slot[MATCH_TAKES_MAX], bool *more)
{
    struct policy *p = b->policy;
    uint32_t number = 0;
    *more = false;
    p->takes_count = 0;
    for (uint32_t i = 0; i < b->peers.high; i++) {
        const struct peer *peer = &b->peers.peer[i];
        if (!peer->used || !peer->take.waiting || !peer->info || peer->drain) continue;
        if (number++ < b->takes_offset) continue;
        if (p->takes_count == MATCH_TAKES_MAX) {
            *more = true;
            break;
        }
        slot[p->takes_count] = i;
        p->take[p->takes_count++] = (struct policy_take){
            .worker = peer->info,
            .credits = at_most(peer->take.credits, GRANTS_ANSWER_MAX),
            .credits_interactive = at_most(peer->take.credits_interactive, GRANTS_ANSWER_MAX),
            .idle = peer->take.idle,
            .since_ms = peer->take.received_at_ms,
        };
    }
    return p->takes_count > 0;
}

/* ---- offers ---- */

/* The GET of a job's spec in this round, made if there is none yet. A submit brings the spec. */
static uint32_t spec_call(struct broker *b, const struct job *job)
{
    struct turn *t = &b->turn;
    if (job->spec || job->expected) return INDEX_END;
    for (uint32_t i = 0; i < t->offers_count; i++) {
        const uint32_t get = t->offer[i].get;
        if (get != INDEX_END && strcmp(t->call[get].job_id, job->id) == 0) return get;
    }
    (void)turn_call(b, STATE_GET, job->id);
    return t->calls_count - 1;
}

/* A repeated take would find the leases of these ids again: they are made once for each call. */
static const char *const *fresh_leases(struct broker *b, uint32_t count)
{
    const char **list = arena_new(&b->turn.arena, sizeof *list * count);
    for (uint32_t i = 0; i < count; i++) {
        char *lease = arena_new(&b->turn.arena, LEASE_ID_BYTES);
        id_lease(lease);
        list[i] = lease;
    }
    return list;
}

/* Each grant carries the spec. More than an answer holds would be leased only to be given back. */
static uint32_t answer_holds(const struct job *job)
{
    return (uint32_t)(MESSAGE_BYTES_MAX / (job->spec_bytes + GRANT_BYTES));
}

static void offer(struct broker *b, struct peer *peer, struct job *job, uint32_t count, bool first)
{
    struct turn *t = &b->turn;
    const uint32_t get = spec_call(b, job);
    count = at_most(count, answer_holds(job));
    struct state_call *call = turn_call(b, STATE_TAKE, job->id);
    call->in.take.count = count;
    call->in.take.worker = peer->worker;
    call->in.take.lease = fresh_leases(b, count);
    call->in.take.alone = first && peer->take.idle;
    t->offer[t->offers_count++] = (struct offer){
        .peer = peer,
        .call = t->calls_count - 1,
        .get = get,
        .submit = job->expected ? job->expected_by : INDEX_END,
        .asked = count,
    };
}

/* What the next match looks at: the beginning again after a success, else the next window. */
static void move_windows(struct broker *b, bool more_takes, bool more_jobs)
{
    if (b->policy->grants_count) {
        b->match_due = more_takes || more_jobs || b->policy->more;
        b->takes_offset = b->match_offset = 0;
    } else if (more_takes) {
        b->takes_offset += MATCH_TAKES_MAX;
        b->match_due = true;
    } else {
        b->takes_offset = 0;
        b->match_offset = more_jobs ? b->match_offset + MATCH_JOBS_MAX : 0;
        b->match_due = more_jobs;
    }
}

void match_plan(struct broker *b)
{
    struct turn *t = &b->turn;
    struct policy *p = b->policy;
    uint32_t take_slot[MATCH_TAKES_MAX], job_slot[MATCH_JOBS_MAX], count;
    bool more_takes, given[MATCH_TAKES_MAX] = {false};
    if (!b->peers.parked_count || (!b->match_due && t->now_ms < b->match_at_ms)) return;
    if (turn_room(b) < 2) return;
    b->match_due = false;
    b->match_at_ms = INT64_MAX;
    if (!add_takes(b, take_slot, &more_takes)) {
        b->takes_offset = 0;
        return;
    }
    count_owners(b);
    const struct row *rows = ready_jobs(b, &count);
    p->jobs_count = p->owners_count = 0;
    for (uint32_t i = b->match_offset; i < count && p->jobs_count < MATCH_JOBS_MAX; i++) {
        job_slot[p->jobs_count] = rows[i].slot;
        add_job(b, &b->jobs.job[rows[i].slot]);
    }
    policy_match(p, t->now_ms);
    if (p->wait_ms >= 0 && t->now_ms + p->wait_ms < b->match_at_ms) {
        b->match_at_ms = t->now_ms + p->wait_ms;
    }
    move_windows(b, more_takes, count > b->match_offset + p->jobs_count);
    for (uint32_t i = 0; i < p->grants_count; i++) {
        const struct policy_grant *g = &p->grant[i];
        if (turn_room(b) < 2) { /* the rest in the next round */
            b->match_due = true;
            break;
        }
        offer(b, &b->peers.peer[take_slot[g->take]], &b->jobs.job[job_slot[g->job]], g->count,
              !given[g->take]);
        given[g->take] = true;
    }
    t->offered_at_ms = b->clock->mono_ms(b->clock);
}

/* ---- answers ---- */

static Vlmq__Grant *grant_of(struct broker *b, const struct state_call *call,
                             const struct state_grant *from, ProtobufCBinaryData spec)
{
    Vlmq__Grant *grant = arena_new(&b->turn.arena, sizeof *grant);
    vlmq__grant__init(grant);
    grant->job = call->job->id;
    grant->kind = call->job->kind;
    grant->spec = spec;
    grant->output = call->job->output;
    grant->index = from->index;
    grant->name = arena_text(&b->turn.arena, from->name, strlen(from->name));
    grant->phase = from->phase;
    grant->payload = from->payload;
    grant->lease = arena_text(&b->turn.arena, from->lease, strlen(from->lease));
    grant->attempt = from->attempt;
    grant->cursor = from->cursor;
    grant->added = from->added;
    grant->alone = from->alone;
    grant->lease_ttl_ms = LEASE_TTL_MS;
    grant->tasks_dead = from->tasks_dead;
    grant->interactive = call->job->interactive;
    grant->from = call->job->from;
    return grant;
}

/* The job's spec, from this round's SUBMIT or GET, or from before. False: not to be had. */
static bool spec_of(struct broker *b, const struct offer *o, ProtobufCBinaryData *spec)
{
    const struct state_call *call = b->turn.call;
    struct job *job = jobs_find(&b->jobs, call[o->call].job->id);
    const Vlmq__Job *source = NULL;
    if (o->submit != INDEX_END) {
        if (call[o->submit].err.code) return false; /* another job, which it need not fit */
        source = call[o->submit].in.submit.job;
    } else if (o->get != INDEX_END) {
        if (call[o->get].err.code || !call[o->get].job) return false;
        source = call[o->get].job;
    }
    if (source) {
        if (job) jobs_spec(&b->jobs, job, source);
        *spec = source->spec;
        return true;
    }
    if (!job || !job->spec) return false;
    *spec = (ProtobufCBinaryData){.len = job->spec_bytes, .data = job->spec};
    return true;
}

/* A job gave less than its counters promised: somebody was faster, or the rest must run alone. */
static void note_short(struct broker *b, struct job *job, const struct state_call *call)
{
    if (!job->tasks_ready) return;
    if (!call->in.take.alone) {
        job->idle_only_version = job->version;
    } else if (!call->out.take.count) {
        job->quiet_until_ms = b->turn.now_ms + MATCH_PAUSE_MS;
    }
}

/* Appends the grants of one offer to the answer. */
static void collect(struct broker *b, const struct offer *o, Vlmq__TakeAnswer *answer)
{
    const struct state_call *call = &b->turn.call[o->call];
    if (call->err.code || !call->job) {
        b->match_at_ms = b->turn.now_ms + MATCH_PAUSE_MS;
        return;
    }
    struct job *job = jobs_find(&b->jobs, call->job->id);
    if (job && call->out.take.count < o->asked) {
        note_short(b, job, call);
        b->match_due = true;
    }
    if (job && call->out.take.count) {
        job->granted_at_ms = b->turn.now_ms;
        b->jobs.owner[job->owner].recent += call->out.take.count;
    }
    ProtobufCBinaryData spec = {0};
    const bool known = call->out.take.count && spec_of(b, o, &spec);
    for (uint32_t i = 0; i < call->out.take.count; i++) {
        const struct state_grant *g = &call->out.take.grant[i];
        if (known) {
            answer->grants[answer->n_grants++] = grant_of(b, call, g, spec);
        } else {
            care_give_back(b, call->job->id, g->index, g->lease);
        }
    }
}

static void give_back(struct broker *b, const Vlmq__Grant *grant)
{
    care_give_back(b, grant->job, grant->index, grant->lease);
}

/* A task that must run alone goes out alone. */
static void keep_alone(struct broker *b, Vlmq__TakeAnswer *answer)
{
    Vlmq__Grant *alone = NULL;
    for (size_t i = 0; i < answer->n_grants && !alone; i++) {
        if (answer->grants[i]->alone) alone = answer->grants[i];
    }
    if (!alone) return;
    for (size_t i = 0; i < answer->n_grants; i++) {
        if (answer->grants[i] != alone) give_back(b, answer->grants[i]);
    }
    answer->grants[0] = alone;
    answer->n_grants = 1;
}

/* Packs as many grants as a message holds; the others go back. */
static bool pack_answer(struct broker *b, const struct peer *peer, Vlmq__TakeAnswer *answer)
{
    struct err err;
    while (answer->n_grants) {
        buf_clear(&b->out);
        if (!envelope_pack(&b->out, VLMQ__TYPE__TAKE_ANSWER, peer->take.request_id, 0,
                           &answer->base, &err)) {
            return true;
        }
        if (err.code != ERR_LIMIT) {
            log_error("message.unsent", "type=TAKE_ANSWER msg=%s", log_quote(err.msg));
        }
        const size_t keep = err.code == ERR_LIMIT ? answer->n_grants / 2 : 0;
        while (answer->n_grants > keep) give_back(b, answer->grants[--answer->n_grants]);
    }
    return false;
}

static void answer_take(struct broker *b, struct peer *peer, Vlmq__TakeAnswer *answer)
{
    const int64_t waited = b->turn.offered_at_ms - peer->take.received_at_ms;
    answer->waited_ms = waited > 0 ? (uint32_t)waited : 0;
    keep_alone(b, answer);
    if (!pack_answer(b, peer, answer)) return; /* nothing to give: stays parked */
    b->metrics.tasks_taken += answer->n_grants;
    peers_reply(&b->peers, peer, peer->take.request_id, b->turn.now_ms, b->out.data, b->out.len);
    broker_post(b, &peer->id, b->out.data, b->out.len);
    peers_unpark(&b->peers, peer);
}

void match_unsent(struct broker *b, const struct sock_peer *to, const struct envelope *envelope)
{
    const Vlmq__TakeAnswer *answer = (const Vlmq__TakeAnswer *)(const void *)envelope->body;
    struct peer *peer = peers_find(&b->peers, to);
    if (peer && peer->reply.request_id == envelope->request_id)
        peers_reply_drop(&b->peers, peer); /* a repeat must not find what is given back here */
    for (size_t i = 0; i < answer->n_grants; i++) give_back(b, answer->grants[i]);
}

void match_finish(struct broker *b)
{
    struct turn *t = &b->turn;
    for (uint32_t i = 0; i < t->offers_count; i++) {
        struct peer *peer = t->offer[i].peer;
        if (!peer) continue; /* went out with an earlier one */
        Vlmq__TakeAnswer answer;
        vlmq__take_answer__init(&answer);
        size_t room = 0;
        for (uint32_t k = i; k < t->offers_count; k++) {
            if (t->offer[k].peer == peer) room += t->call[t->offer[k].call].out.take.count;
        }
        answer.grants = arena_new(&t->arena, sizeof(Vlmq__Grant *) * (room + 1));
        for (uint32_t k = i; k < t->offers_count; k++) {
            if (t->offer[k].peer != peer) continue;
            collect(b, &t->offer[k], &answer);
            t->offer[k].peer = NULL;
        }
        CHECK(answer.n_grants <= room);
        answer_take(b, peer, &answer);
    }
}
