/* broker.c - the turn: take in, plan, commit, answer, and say how long to sleep. */
#include "broker/broker.h"

#include "broker/api.h"
#include "broker/care.h"
#include "broker/expect.h"
#include "broker/match.h"
#include "broker/push.h"
#include "common/base/check.h"
#include "common/base/id.h"
#include "common/base/log.h"
#include "common/base/str.h"

#include <inttypes.h>
#include <string.h>

static const char *const away = "Redis is away";

/* ---- Redis ---- */

static bool must_not_be_used(enum err_code code)
{
    return code != ERR_UNAVAILABLE && code != ERR_TIMEOUT;
}

static void redis_lost(struct broker *b, const struct err *err)
{
    struct redis_view *r = &b->redis;
    if (!r->told) {
        log_warn("redis.lost", "code=%s msg=%s", err_name(err->code), log_quote(err->msg));
    } else if (r->backoff_ms < REDIS_RETRY_MAX_MS) {
        r->backoff_ms *= 2;
    }
    r->told = true;
    r->ready = false;
    r->why = *err;
    const int64_t now = b->clock->mono_ms(b->clock); /* the failed call took time */
    r->retry_at_ms = now + r->backoff_ms / 2 + (int64_t)rng_below(&b->rng, (uint64_t)r->backoff_ms);
}

/* Compares the advance of Redis' clock with the monotonic one. */
static void redis_clock(struct broker *b, int64_t now)
{
    struct redis_view *r = &b->redis;
    r->offset_ms = r->health.now_ms - now;
    if (r->health_known) {
        const int64_t jump = r->offset_ms - r->health_offset_ms;
        if (jump > CLOCK_JUMP_MS || jump < -CLOCK_JUMP_MS) {
            r->hold_until_ms = now + LEASE_TTL_MS;
            r->opened_at_ms = r->health.now_ms; /* jobs of before may appear yet */
            log_warn("redis.clock_jumped", "jump_ms=%" PRId64, jump);
            for (uint32_t i = 0; i < b->jobs.high; i++) {
                struct job *job = &b->jobs.job[i];
                job->look = job->rebound = job->doubted = true;
            }
        }
    }
    r->health_offset_ms = r->offset_ms;
    r->health_known = true;
}

static int redis_health(struct broker *b, struct err *err)
{
    const int rc = state_health(b->state, &b->redis.health, err);
    if (rc) return rc;
    const int64_t now = b->clock->mono_ms(b->clock);
    redis_clock(b, now);
    const bool in_use = now - b->used_at_ms < HEALTH_IDLE_MS;
    b->redis.health_at_ms = now + (in_use ? HEALTH_MS : HEALTH_IDLE_MS);
    return 0;
}

/* Opens the state, or a new connection of it: a commit does that, a health read need not. */
static int redis_reach(struct broker *b, struct err *err)
{
    if (!b->state) {
        const int rc = state_open(&b->state, &b->redis_options, err);
        if (rc) return rc;
    } else {
        struct state_call probe = {.op = STATE_ACTIVE, .in.list = {.page = "", .rows = 1}};
        const int rc = state_commit(b->state, &probe, 1, &b->turn.arena, err);
        if (rc) return rc;
    }
    return redis_health(b, err);
}

static void redis_try(struct broker *b)
{
    struct redis_view *r = &b->redis;
    if (r->ready || b->clock->mono_ms(b->clock) < r->retry_at_ms) return;
    struct err err = {0};
    if (redis_reach(b, &err)) {
        if (!b->state && must_not_be_used(err.code)) {
            b->refused = err;
        } else {
            redis_lost(b, &err);
        }
        return;
    }
    r->ready = true;
    r->told = false;
    r->backoff_ms = REDIS_RETRY_MS;
    r->hold_until_ms = b->clock->mono_ms(b->clock) + LEASE_TTL_MS;
    log_info(r->opened_at_ms ? "redis.back" : "redis.ready", "bytes=%" PRId64, r->health.bytes);
    r->opened_at_ms = r->health.now_ms;
    care_restart(b);
}

int64_t broker_redis_now(const struct broker *b)
{
    return b->turn.now_ms + b->redis.offset_ms;
}

/* ---- open and close ---- */

int broker_open(struct broker **broker, const struct broker_options *options, struct err *err)
{
    struct broker *b = mem_new(sizeof *b);
    b->clock = options->clock;
    b->front = options->front;
    b->redis_options = options->redis;
    rng_seed(&b->rng, options->seed);
    id_job(b->id);
    b->started_at_ms = b->used_at_ms = b->clock->mono_ms(b->clock);
    b->turn.now_ms = b->started_at_ms;
    arena_init(&b->turn.arena, 0);
    buf_init(&b->out, 2 * (size_t)MESSAGE_BYTES_MAX);
    outbox_init(&b->outbox);
    peers_init(&b->peers, rng_next(&b->rng));
    jobs_init(&b->jobs, rng_next(&b->rng));
    watches_init(&b->watches);
    b->policy = mem_new(sizeof *b->policy);
    b->redis.backoff_ms = REDIS_RETRY_MS;
    (void)err_set(&b->redis.why, ERR_UNAVAILABLE, "%s", away);

    redis_try(b);
    if (b->refused.code) {
        *err = b->refused;
        broker_close(b);
        return (int)err->code;
    }
    *broker = b;
    return 0;
}

void broker_close(struct broker *b)
{
    if (!b) return;
    state_close(b->state);
    peers_deinit(&b->peers);
    jobs_deinit(&b->jobs);
    watches_deinit(&b->watches);
    mem_free(b->policy);
    buf_deinit(&b->out);
    outbox_deinit(&b->outbox);
    arena_deinit(&b->turn.arena);
    mem_free(b);
}

/* ---- sending ---- */

static bool pack(struct broker *b, Vlmq__Type type, uint64_t request_id,
                 const ProtobufCMessage *body)
{
    struct err err;
    buf_clear(&b->out);
    if (!envelope_pack(&b->out, type, request_id, 0, body, &err)) return true;
    log_error("message.unsent", "type=%s msg=%s", envelope_type_name(type), log_quote(err.msg));
    return false;
}

bool broker_send(struct broker *b, const struct sock_peer *peer, Vlmq__Type type,
                 uint64_t request_id, const ProtobufCMessage *body)
{
    return pack(b, type, request_id, body) && front_send(b->front, peer, b->out.data, b->out.len);
}

static void unsent(void *ctx, const struct sock_peer *to, const void *data, size_t bytes)
{
    struct broker *b = ctx;
    struct envelope envelope;
    struct err err;
    if (envelope_open(&envelope, data, bytes, &b->turn.arena, &err)) return;
    if (envelope.type == VLMQ__TYPE__TAKE_ANSWER) match_unsent(b, to, &envelope);
}

static void flush(struct broker *b)
{
    outbox_flush(&b->outbox, b->front, unsent, b);
}

void broker_post(struct broker *b, const struct sock_peer *peer, const void *data, size_t bytes)
{
    if (outbox_add(&b->outbox, peer, data, bytes)) return;
    flush(b);
    if (!front_send(b->front, peer, data, bytes)) unsent(b, peer, data, bytes);
}

void broker_answer(struct broker *b, const struct sock_peer *peer, Vlmq__Type type,
                   uint64_t request_id, const ProtobufCMessage *body)
{
    if (pack(b, type, request_id, body)) broker_post(b, peer, b->out.data, b->out.len);
}

/* ---- calls ---- */

uint32_t turn_room(const struct broker *b)
{
    return STATE_CALLS_MAX - b->turn.calls_count;
}

struct state_call *turn_call(struct broker *b, enum state_op op, const char *job_id)
{
    struct turn *t = &b->turn;
    CHECK(t->calls_count < STATE_CALLS_MAX);
    struct state_call *call = &t->call[t->calls_count++];
    *call = (struct state_call){.op = op, .job_id = job_id};
    return call;
}

/* Calls that change what others may hand out, and do not tell them in the same commit. */
static bool is_own(enum state_op op)
{
    return op == STATE_ADD || op == STATE_DONE || op == STATE_FAIL || op == STATE_YIELD ||
           op == STATE_REAP || op == STATE_CHAIN || op == STATE_RELEASE;
}

/* Every reply tells Redis' time: when it is not what this broker believes, the clock is read before
 * anything else is done by it. */
static void see_clock(struct broker *b, const Vlmq__Job *reply)
{
    const int64_t jump = reply->now_ms - b->clock->mono_ms(b->clock) - b->redis.offset_ms;
    if (jump > CLOCK_JUMP_MS || jump < -CLOCK_JUMP_MS) b->redis.health_at_ms = b->turn.now_ms;
}

/* The answers of the commit before go out while Redis carries out this one. */
static int carry_out(struct broker *b, struct err *err)
{
    struct turn *t = &b->turn;
    const int rc = state_send(b->state, t->call, t->calls_count, err);
    t->commits++;
    flush(b);
    return rc ? rc : state_receive(b->state, &t->arena, err);
}

/* A round's calls, committed; every job in the replies is learned. False: Redis is away. */
static bool commit(struct broker *b)
{
    struct turn *t = &b->turn;
    struct err err = {0};
    if (!t->calls_count) return true;
    if (!b->redis.ready) return false;
    if (carry_out(b, &err)) {
        redis_lost(b, &err);
        return false;
    }
    const Vlmq__Job *last = NULL; /* calls that shared a run share the job */
    for (uint32_t i = 0; i < t->calls_count; i++) {
        const struct state_call *call = &t->call[i];
        if (!call->job || call->job == last) continue;
        last = call->job;
        see_clock(b, call->job);
        broker_learn(b, call->job, is_own(call->op));
    }
    return true;
}

static void learn_end(struct broker *b, struct job *job, const Vlmq__Job *reply, bool own)
{
    watch_ended(&b->watches, job->id);
    job->shown_at_ms = 0;
    job->unindex = true;
    job->touch |= own;
    log_info("job.ended", "job=%s state=%s tasks=%u dead=%u dur_ms=%" PRId64 " msg=%s", job->id,
             job_state_name(job->state), reply->tasks_total, reply->tasks_dead,
             reply->ended_at_ms - reply->submitted_at_ms, log_quote(reply->reason));
}

void broker_learn(struct broker *b, const Vlmq__Job *reply, bool own)
{
    const struct job_change change = jobs_learn(&b->jobs, reply, b->turn.now_ms);
    struct job *job = change.job;
    if (!job) return;
    if (change.appeared) {
        /* Leases of an older job may have been left alone while nobody watched. One from the future
         * is older, too: Redis' clock was set back since. */
        job->rebound = reply->submitted_at_ms < b->redis.opened_at_ms ||
                       reply->submitted_at_ms > reply->now_ms;
        job->index_at_ms = INT64_MAX;
    }
    if (change.readied) {
        job->touch |= own;
        b->match_due = true;
        b->match_offset = 0;
    }
    if (change.cancelling) broker_notice(b, job->id);
    if (change.ended) learn_end(b, job, reply, own);
    if (job->touch || job->unindex) b->care.at_ms = b->turn.now_ms;
    if ((change.changed || change.appeared) && b->watches.all_count) job->show = true;
}

void broker_notice(struct broker *b, const char *job)
{
    char id[JOB_ID_BYTES];
    if (b->turn.notices_count > TURN_NOTICES_MAX) return; /* all were named already */
    (void)str_copy(id, sizeof id, b->turn.notices_count < TURN_NOTICES_MAX ? job : "");
    b->turn.notices_count++;
    Vlmq__Notice notice;
    vlmq__notice__init(&notice);
    notice.job = id;
    for (uint32_t i = 0; i < b->peers.high; i++) {
        const struct peer *peer = &b->peers.peer[i];
        if (peer->used && peer->worker[0]) {
            (void)broker_send(b, &peer->id, VLMQ__TYPE__NOTICE, 0, &notice.base);
        }
    }
}

/* ---- the turn ---- */

static void refuse_bytes(struct broker *b, const struct sock_peer *from, uint64_t request_id,
                         const struct err *err)
{
    b->metrics.refused++;
    if (!request_id) return; /* nobody could match an answer */
    Vlmq__Error answer;
    vlmq__error__init(&answer);
    char text[ERR_MSG_BYTES];
    (void)str_copy(text, sizeof text, err->msg);
    answer.code = (Vlmq__Code)err->code;
    answer.message = text;
    if (err->code == ERR_LIMIT) answer.retry_after_ms = RETRY_AFTER_MS;
    broker_answer(b, from, VLMQ__TYPE__ERROR, request_id, &answer.base);
}

/* Unpacks one message into the turn. */
static void take_in(struct broker *b, const struct sock_peer *from, const void *data, size_t bytes)
{
    struct turn *t = &b->turn;
    struct request *r = &t->request[t->requests_count];
    struct err err = {0};
    *r = (struct request){.from = *from, .received_at_ms = t->now_ms};
    if (envelope_open(&r->envelope, data, bytes, &t->arena, &err)) {
        refuse_bytes(b, from, r->envelope.request_id, &err);
        return;
    }
    r->peer = peers_meet(&b->peers, from, t->now_ms);
    if (!r->peer) {
        (void)err_set(&err, ERR_LIMIT, "this broker has %d peers already", PEERS_MAX);
        refuse_bytes(b, from, r->envelope.request_id, &err);
        return;
    }
    r->open = true;
    t->requests_count++;
    b->metrics.requests++;
    b->used_at_ms = t->now_ms;
}

/* A bounded batch: in number, in bytes, and in the calls that it may cost. True: there may be
 * more. ZeroMQ gives messages of all peers in turn, so none of them is served before others. */
static bool receive(struct broker *b)
{
    struct turn *t = &b->turn;
    uint32_t weight = 0, tries = 0;
    t->requests_count = 0;
    while (t->requests_count < TURN_REQUESTS_MAX && weight < TURN_CALLS_MAX &&
           t->arena.bytes < TURN_BYTES_MAX && tries++ < 2 * TURN_REQUESTS_MAX) {
        struct sock_peer from;
        const void *data;
        size_t bytes;
        if (!front_recv(b->front, &from, &data, &bytes)) return false;
        const uint32_t before = t->requests_count;
        take_in(b, &from, data, bytes);
        if (t->requests_count > before) weight += api_weight(&t->request[before]);
    }
    return true;
}

static bool plan_requests(struct broker *b)
{
    struct turn *t = &b->turn;
    bool waiting = false;
    for (uint32_t i = 0; i < t->requests_count; i++) {
        struct request *r = &t->request[i];
        if (!r->open) continue;
        r->count = 0;
        r->first = t->calls_count;
        if (!api_plan(b, r)) {
            CHECK(t->calls_count == r->first);
            waiting = true;
            continue;
        }
        r->count = t->calls_count - r->first;
    }
    return waiting;
}

static void refuse_open(struct broker *b)
{
    struct turn *t = &b->turn;
    struct err err;
    (void)err_set(&err, ERR_UNAVAILABLE, "%s: %s", away, b->redis.why.msg);
    for (uint32_t i = 0; i < t->requests_count; i++) {
        if (t->request[i].open) api_error(b, &t->request[i], &err);
    }
}

static void finish_requests(struct broker *b)
{
    struct turn *t = &b->turn;
    for (uint32_t i = 0; i < t->requests_count; i++) {
        if (t->request[i].open && t->request[i].count) api_finish(b, &t->request[i]);
    }
}

/* Plans, commits and answers once. False: nothing is left to do, or Redis is away. */
static bool turn_round(struct broker *b, uint32_t round)
{
    struct turn *t = &b->turn;
    t->round = round;
    t->calls_count = t->duties_count = t->offers_count = t->push_count = 0;
    /* What is due comes first, with a bound, so that no flood of requests can starve it. */
    if (b->redis.ready && round == 0) {
        care_plan(b);
        push_plan(b);
    } else if (b->redis.ready) {
        care_follow(b);
    }
    const bool waiting = plan_requests(b);
    if (b->redis.ready) match_plan(b);
    const bool planned = t->calls_count || waiting, committed = planned && commit(b);
    expect_end(b);
    if (!committed) {
        if (planned) refuse_open(b);
        return false;
    }
    match_finish(b);
    finish_requests(b);
    push_finish(b);
    care_finish(b);
    return true;
}

static void expire(struct broker *b)
{
    const int64_t now = b->turn.now_ms;
    match_expire(b, false);
    push_expire(b);
    if (now < b->expire_at_ms) return;
    b->expire_at_ms = now + 1000;
    front_refresh(b->front);
    uint32_t at = 0;
    for (struct peer *peer; (peer = peers_silent(&b->peers, &at, now));) {
        if (peer->worker[0]) log_info("worker.left", "worker=%s msg=\"silent\"", peer->worker);
        peers_drop(&b->peers, peer);
    }
}

static int64_t sleep_ms(const struct broker *b)
{
    const int64_t now = b->clock->mono_ms(b->clock);
    int64_t next = now + TURN_WAIT_MAX_MS;
    if (!b->redis.ready) {
        if (b->redis.retry_at_ms < next) next = b->redis.retry_at_ms;
    } else {
        if (b->redis.health_at_ms < next) next = b->redis.health_at_ms;
        const int64_t care = care_next(b), watch = watch_next(&b->watches, now);
        if (care < next) next = care;
        if (watch < next) next = watch;
    }
    const int64_t match = match_next(b);
    if (match < next) next = match;
    return next > now ? next - now : 0;
}

int64_t broker_turn(struct broker *b)
{
    struct turn *t = &b->turn;
    arena_reset(&t->arena);
    t->commits = t->follow_count = t->chains_count = t->notices_count = 0;
    t->now_ms = b->clock->mono_ms(b->clock);
    t->more = receive(b);
    redis_try(b);
    struct err err;
    if (b->redis.ready && t->now_ms >= b->redis.health_at_ms && redis_health(b, &err)) {
        redis_lost(b, &err);
    }
    for (uint32_t round = 0; round < TURN_ROUNDS_MAX; round++) {
        if (!turn_round(b, round)) break;
    }
    for (uint32_t i = 0; i < t->requests_count; i++) {
        if (!t->request[i].open) continue;
        (void)err_set(&err, ERR_UNAVAILABLE, "the broker is busy");
        api_error(b, &t->request[i], &err);
    }
    expire(b);
    if (!t->commits) flush(b);
    return t->more || b->outbox.count ? 0 : sleep_ms(b);
}

void broker_end(struct broker *b)
{
    match_expire(b, true);
    flush(b);
}
