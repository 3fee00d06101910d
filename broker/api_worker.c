/* api_worker.c - what workers ask: hello, take, renew, and the end of an attempt. */
#include "broker/api.h"
#include "broker/expect.h"
#include "broker/match.h"
#include "common/base/log.h"
#include "common/base/str.h"

#define BODY(type, r) ((const type *)(const void *)(r)->envelope.body)

static const struct state_call *call_of(const struct broker *b, const struct request *r, uint32_t i)
{
    return &b->turn.call[r->first + i];
}

/* The peer speaks for this worker. False: it was refused. */
static bool bind(struct broker *b, struct request *r, const char *worker)
{
    struct err err;
    if (!worker[0]) {
        (void)err_set(&err, ERR_INVALID, "the worker gives no id");
        api_error(b, r, &err);
        return false;
    }
    if (!str_eq(r->peer->worker, worker)) match_unpark(b, r->peer);
    if (peers_bind(&b->peers, r->peer, worker)) log_info("worker.joined", "worker=%s", worker);
    return true;
}

/* ---- hello, bye ---- */

/* A copy of the worker's description that lives with its peer. */
static void keep_info(struct broker *b, struct peer *peer, const Vlmq__WorkerInfo *info)
{
    const size_t bytes = vlmq__worker_info__get_packed_size(info);
    uint8_t *packed = arena_try(&b->turn.arena, bytes ? bytes : 1);
    if (!packed) return;
    (void)vlmq__worker_info__pack(info, packed);
    Vlmq__WorkerInfo *copy = vlmq__worker_info__unpack(NULL, bytes, packed);
    if (copy) peers_info(peer, copy);
}

static bool plan_hello(struct broker *b, struct request *r)
{
    const Vlmq__WorkerInfo *info = BODY(Vlmq__Hello, r)->worker;
    if (!turn_room(b)) return false;
    if (!bind(b, r, info ? info->id : "")) return true;
    keep_info(b, r->peer, info);
    r->peer->drain |= info->draining != 0;
    b->match_due = true;
    b->match_offset = 0;
    struct state_call *call = turn_call(b, STATE_HELLO, NULL);
    call->in.worker.info = info;
    call->in.worker.id = info->id;
    return true;
}

static void finish_hello(struct broker *b, struct request *r)
{
    const struct state_call *call = call_of(b, r, 0);
    if (call->err.code) {
        api_error(b, r, &call->err);
        return;
    }
    r->peer->drain = call->drain || BODY(Vlmq__Hello, r)->worker->draining;
    Vlmq__HelloAnswer answer;
    vlmq__hello_answer__init(&answer);
    answer.drain = call->drain;
    answer.lease_ttl_ms = LEASE_TTL_MS;
    (void)api_answer(b, r, VLMQ__TYPE__HELLO_ANSWER, &answer.base);
}

static bool plan_bye(struct broker *b, struct request *r)
{
    const char *worker = BODY(Vlmq__Bye, r)->worker;
    if (!turn_room(b)) return false;
    struct peer *peer = peers_find_worker(&b->peers, worker);
    if (peer) {
        log_info("worker.left", "worker=%s", worker);
        match_unpark(b, peer);
        peers_unbind(&b->peers, peer);
    }
    turn_call(b, STATE_BYE, NULL)->in.worker.id = worker;
    return true;
}

static void finish_bye(struct broker *b, struct request *r)
{
    const struct state_call *call = call_of(b, r, 0);
    if (call->err.code) {
        api_error(b, r, &call->err);
        return;
    }
    Vlmq__ByeAnswer answer;
    vlmq__bye_answer__init(&answer);
    (void)api_answer(b, r, VLMQ__TYPE__BYE_ANSWER, &answer.base);
}

/* ---- take ---- */

static bool plan_take(struct broker *b, struct request *r)
{
    if (bind(b, r, BODY(Vlmq__Take, r)->worker)) match_park(b, r);
    return true;
}

static void finish_take(struct broker *b, struct request *r)
{
    (void)b;
    (void)r;
}

/* ---- renew ---- */

static bool plan_renew(struct broker *b, struct request *r)
{
    const Vlmq__Renew *renew = BODY(Vlmq__Renew, r);
    if (turn_room(b) < renew->n_renewals) return false;
    if (!bind(b, r, renew->worker)) return true;
    for (size_t i = 0; i < renew->n_renewals; i++) {
        const Vlmq__Renewal *renewal = renew->renewals[i];
        struct state_call *call = turn_call(b, STATE_RENEW, renewal->attempt->job);
        call->attempt = renewal->attempt;
        call->in.renew.renewal = renewal;
    }
    if (!renew->n_renewals) {
        Vlmq__RenewAnswer answer;
        vlmq__renew_answer__init(&answer);
        answer.drain = r->peer->drain;
        (void)api_answer(b, r, VLMQ__TYPE__RENEW_ANSWER, &answer.base);
    }
    return true;
}

static void finish_renew(struct broker *b, struct request *r)
{
    Vlmq__RenewAnswer answer;
    vlmq__renew_answer__init(&answer);
    Vlmq__RenewResult *result = arena_new(&b->turn.arena, sizeof *result * r->count);
    answer.results = arena_new(&b->turn.arena, sizeof(Vlmq__RenewResult *) * r->count);
    answer.n_results = r->count;
    answer.drain = r->peer->drain;
    for (uint32_t i = 0; i < r->count; i++) {
        enum err_code code = call_of(b, r, i)->err.code;
        if (code == ERR_NOT_FOUND) code = ERR_STALE; /* its job was purged */
        if (code == ERR_UNAVAILABLE || code == ERR_TIMEOUT) {
            /* The link sends the whole message again. */
            api_error(b, r, &call_of(b, r, i)->err);
            return;
        }
        if (code != ERR_OK && code != ERR_STALE && code != ERR_CANCELLED) {
            log_warn("renew.refused", "worker=%s job=%s msg=%s", BODY(Vlmq__Renew, r)->worker,
                     call_of(b, r, i)->job_id, log_quote(call_of(b, r, i)->err.msg));
        }
        vlmq__renew_result__init(&result[i]);
        result[i].code = (Vlmq__Code)code;
        answer.results[i] = &result[i];
    }
    (void)api_answer(b, r, VLMQ__TYPE__RENEW_ANSWER, &answer.base);
}

/* ---- an attempt's steps ---- */

static struct state_call *attempt_call(struct broker *b, enum state_op op,
                                       const Vlmq__Attempt *attempt)
{
    struct state_call *call = turn_call(b, op, attempt->job);
    call->attempt = attempt;
    return call;
}

/* True: it failed, and that was answered. */
static bool refused(struct broker *b, struct request *r)
{
    struct err err = call_of(b, r, 0)->err;
    if (err.code == ERR_OK) return false;
    if (err.code == ERR_NOT_FOUND) err.code = ERR_STALE; /* its job was purged */
    api_error(b, r, &err);
    return true;
}

static bool plan_add(struct broker *b, struct request *r)
{
    const Vlmq__Add *add = BODY(Vlmq__Add, r);
    if (!turn_room(b)) return false;
    struct state_call *call = attempt_call(b, STATE_ADD, add->attempt);
    call->in.add.offset = add->offset;
    call->in.add.tasks = add->tasks;
    call->in.add.count = add->n_tasks;
    expect_tasks(b, add->attempt->job, add->n_tasks);
    return true;
}

static void finish_add(struct broker *b, struct request *r)
{
    if (refused(b, r)) return;
    Vlmq__AddAnswer answer;
    vlmq__add_answer__init(&answer);
    answer.added = call_of(b, r, 0)->count;
    (void)api_answer(b, r, VLMQ__TYPE__ADD_ANSWER, &answer.base);
}

static bool plan_done(struct broker *b, struct request *r)
{
    const Vlmq__Done *done = BODY(Vlmq__Done, r);
    if (!turn_room(b)) return false;
    attempt_call(b, STATE_DONE, done->attempt)->in.done.done = done;
    if (done->n_tasks)
        expect_tasks(b, done->attempt->job, done->n_tasks);
    else
        expect_close(b, done->attempt->job);
    return true;
}

static void finish_done(struct broker *b, struct request *r)
{
    if (refused(b, r)) return;
    b->metrics.tasks_done++;
    Vlmq__DoneAnswer answer;
    vlmq__done_answer__init(&answer);
    (void)api_answer(b, r, VLMQ__TYPE__DONE_ANSWER, &answer.base);
}

static bool plan_fail(struct broker *b, struct request *r)
{
    const Vlmq__Fail *fail = BODY(Vlmq__Fail, r);
    if (!turn_room(b)) return false;
    struct state_call *call = attempt_call(b, STATE_FAIL, fail->attempt);
    call->in.fail.fail = fail;
    call->in.fail.jitter = rng_unit(&b->rng);
    return true;
}

static void finish_fail(struct broker *b, struct request *r)
{
    if (refused(b, r)) return;
    b->metrics.tasks_failed++;
    Vlmq__FailAnswer answer;
    vlmq__fail_answer__init(&answer);
    (void)api_answer(b, r, VLMQ__TYPE__FAIL_ANSWER, &answer.base);
}

static bool plan_yield(struct broker *b, struct request *r)
{
    const Vlmq__Yield *yield = BODY(Vlmq__Yield, r);
    if (!turn_room(b)) return false;
    attempt_call(b, STATE_YIELD, yield->attempt)->in.yield.yield = yield;
    return true;
}

static void finish_yield(struct broker *b, struct request *r)
{
    if (refused(b, r)) return;
    Vlmq__YieldAnswer answer;
    vlmq__yield_answer__init(&answer);
    (void)api_answer(b, r, VLMQ__TYPE__YIELD_ANSWER, &answer.base);
}

const struct api_row api_worker_rows[] = {
    {VLMQ__TYPE__HELLO, true, false, plan_hello, finish_hello},
    {VLMQ__TYPE__TAKE, true, false, plan_take, finish_take},
    {VLMQ__TYPE__RENEW, true, false, plan_renew, finish_renew},
    {VLMQ__TYPE__ADD, true, false, plan_add, finish_add},
    {VLMQ__TYPE__DONE, true, false, plan_done, finish_done},
    {VLMQ__TYPE__FAIL, true, false, plan_fail, finish_fail},
    {VLMQ__TYPE__YIELD, true, false, plan_yield, finish_yield},
    {VLMQ__TYPE__BYE, true, false, plan_bye, finish_bye},
    {VLMQ__TYPE__TYPE_UNSPECIFIED, false, false, NULL, NULL},
};
