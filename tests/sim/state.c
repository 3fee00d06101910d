/* state.c - broker/state/state.h over the model of the queue; see redis.h.
 *
 * A commit travels, is carried out call by call (other brokers' calls may come between), and its
 * answer travels back. It can be lost on the way there, on the way back, or be carried out long
 * after its caller gave up: then a copy of it waits in Redis' buffer. */
#include "broker/state/state.h"

#include "common/base/check.h"
#include "common/base/str.h"
#include "proto/wire/envelope.h"
#include "tests/sim/net.h"
#include "tests/sim/oracle.h"
#include "tests/sim/redis.h"
#include "tests/state/queue_model_parts.h"

#include <string.h>

#define TRAVEL_US   (150)
#define LATE_MAX_US (15 * S)
#define EPOCH_MS    INT64_C(1790000000000)

struct state {
    bool connected;
    uint32_t life; /* of the Redis that it is connected to */
    int64_t timeout_us;
    struct state_call *call; /* sent, not yet carried out */
    uint32_t count;
};

struct redis redis;

/* ---- Redis itself ---- */

static void sync_again(void *arg, uint64_t number)
{
    (void)arg;
    (void)number;
    if (redis.up) {
        queue_model_free(redis.synced);
        redis.synced = queue_model_copy(redis.model);
    }
    sim_at(sim.now_us + 1 * S, sync_again, NULL, 0);
}

void redis_start(struct proc *proc, bool forgetful)
{
    redis.proc = proc;
    redis.model = queue_model_new();
    redis.forgetful = forgetful;
    redis.up = true;
    redis.life = 1;
    if (forgetful) sync_again(NULL, 0);
}

int64_t redis_now_ms(void)
{
    const int64_t ppm = redis.proc->clock_ppm;
    return EPOCH_MS + (sim.now_us + sim.now_us / 1000 * ppm / 1000) / 1000 + redis.jump_ms;
}

void redis_crash(void)
{
    if (!redis.up) return;
    redis.up = false;
    redis.life++;
    if (redis.forgetful && sim_chance(0.7)) {
        history("redis crashes and forgets");
        queue_model_free(redis.model);
        redis.model = queue_model_copy(redis.synced);
        if (!sim_canary("redis-forgets")) oracle_rollback();
    } else {
        history("redis crashes");
    }
}

void redis_restart(void)
{
    if (redis.up) return;
    history("redis is back");
    redis.up = true;
}

void redis_jump(int64_t ms)
{
    history("redis' clock jumps by %lld ms", (long long)ms);
    redis.jump_ms += ms;
    oracle_clock_jump(ms);
}

/* ---- carrying out ---- */

static bool grows(enum state_op op)
{
    return op == STATE_SUBMIT || op == STATE_INDEX || op == STATE_CHAIN;
}

static bool reads(enum state_op op)
{
    return op == STATE_GET || op == STATE_LOOK || op == STATE_TASKS || op == STATE_EVENTS ||
           op == STATE_MADE || op == STATE_LIST || op == STATE_ACTIVE || op == STATE_FEED ||
           op == STATE_WORKERS;
}

/* Planted faults. */

/* Done is taken from whoever sends it. */
static void done_without_lease(struct state_call *call, struct arena *arena)
{
    const struct model_job *job = model_job_find(redis.model, call->job_id);
    const uint32_t index = call->attempt->index;
    if (!job || index >= job->n.total || !job->task[index]->lease[0]) return;
    Vlmq__Attempt *attempt = arena_new(arena, sizeof *attempt);
    *attempt = *call->attempt;
    attempt->lease = arena_text(arena, job->task[index]->lease, strlen(job->task[index]->lease));
    call->attempt = attempt;
}

/* Leases are ended by Redis' clock alone. */
static void reap_all(struct arena *arena)
{
    const char *ids[64];
    const uint32_t count = queue_model_jobs(redis.model, ids, 64);
    for (uint32_t i = 0; i < count && i < 64; i++) {
        struct state_call call = {.op = STATE_REAP,
                                  .job_id = arena_text(arena, ids[i], strlen(ids[i]))};
        queue_model_call(redis.model, &call, redis_now_ms(), arena);
        oracle_call(redis.model, &call);
    }
}

/* True: the call is not carried out. */
static bool plant(struct state_call *call, struct arena *arena)
{
    if (sim_canary("done-without-lease") && call->op == STATE_DONE) done_without_lease(call, arena);
    if (sim_canary("reaper-trusts-clock") && call->op == STATE_FEED) reap_all(arena);
    return sim_canary("reaper-sleeps") && call->op == STATE_REAP;
}

static void carry_out(struct state_call *call, struct arena *arena)
{
    call->err = (struct err){0};
    call->job = NULL;
    call->count = 0;
    call->drain = false;
    memset(&call->out, 0, sizeof call->out);
    if (redis.full && grows(call->op)) {
        (void)err_set(&call->err, ERR_LIMIT, "Redis is out of memory");
        return;
    }
    if (redis.readonly && !reads(call->op)) {
        (void)err_set(&call->err, ERR_UNAVAILABLE, "Redis cannot write to its disk");
        return;
    }
    const Vlmq__Attempt *sent = call->attempt;
    if (sim.canary[0] && plant(call, arena)) return;
    queue_model_call(redis.model, call, redis_now_ms(), arena);
    call->attempt = sent;
    oracle_call(redis.model, call);
}

/* ---- copies, for what is carried out late ---- */

static char *text_copy(struct arena *arena, const char *text)
{
    return text ? arena_text(arena, text, strlen(text)) : NULL;
}

static void *message_copy(struct arena *arena, const void *message)
{
    const ProtobufCMessage *from = message;
    if (!from) return NULL;
    uint8_t *packed = arena_new(arena, protobuf_c_message_get_packed_size(from) + 1);
    const size_t bytes = protobuf_c_message_pack(from, packed);
    ProtobufCAllocator allocator = envelope_allocator(arena);
    void *copy = protobuf_c_message_unpack(from->descriptor, &allocator, bytes, packed);
    CHECK(copy != NULL);
    return copy;
}

static void copy_take(struct state_call *call, struct arena *arena)
{
    const char **lease = arena_new(arena, call->in.take.count * sizeof *lease);
    for (uint32_t i = 0; i < call->in.take.count; i++)
        lease[i] = text_copy(arena, call->in.take.lease[i]);
    call->in.take.lease = lease;
    call->in.take.worker = text_copy(arena, call->in.take.worker);
}

static void copy_add(struct state_call *call, struct arena *arena)
{
    Vlmq__NewTask **tasks = arena_new(arena, (call->in.add.count + 1) * sizeof *tasks);
    for (size_t i = 0; i < call->in.add.count; i++)
        tasks[i] = message_copy(arena, call->in.add.tasks[i]);
    call->in.add.tasks = tasks;
}

static void copy_chain(struct state_call *call, struct arena *arena)
{
    const uint32_t count = call->in.chain.next - call->in.chain.position;
    struct state_made *made = arena_new(arena, (count + 1) * sizeof *made);
    for (uint32_t i = 0; i < count; i++) {
        made[i] = call->in.chain.made[i];
        made[i].name = text_copy(arena, made[i].name);
    }
    call->in.chain.made = made;
    call->in.chain.reason = text_copy(arena, call->in.chain.reason);
}

static void copy_inputs(struct state_call *call, struct arena *arena)
{
    call->job_id = text_copy(arena, call->job_id);
    call->attempt = message_copy(arena, call->attempt);
    switch ((int)call->op) {
    case STATE_SUBMIT:
        call->in.submit.job = message_copy(arena, call->in.submit.job);
        break;
    case STATE_ADD:
        copy_add(call, arena);
        break;
    case STATE_TAKE:
        copy_take(call, arena);
        break;
    case STATE_RENEW:
        call->in.renew.renewal = message_copy(arena, call->in.renew.renewal);
        break;
    case STATE_DONE:
        call->in.done.done = message_copy(arena, call->in.done.done);
        break;
    case STATE_FAIL:
        call->in.fail.fail = message_copy(arena, call->in.fail.fail);
        break;
    case STATE_YIELD:
        call->in.yield.yield = message_copy(arena, call->in.yield.yield);
        break;
    case STATE_CANCEL:
        call->in.cancel.reason = text_copy(arena, call->in.cancel.reason);
        break;
    case STATE_RELEASE:
        call->in.release.reason = text_copy(arena, call->in.release.reason);
        break;
    case STATE_CHAIN:
        copy_chain(call, arena);
        break;
    case STATE_HELLO:
        call->in.worker.info = message_copy(arena, call->in.worker.info);
        call->in.worker.id = text_copy(arena, call->in.worker.id);
        break;
    case STATE_BYE:
    case STATE_DRAIN:
        call->in.worker.id = text_copy(arena, call->in.worker.id);
        break;
    default: /* numbers only */
        break;
    }
}

struct late {
    struct arena arena;
    struct state_call *call;
    uint32_t count, life;
};

static void late_fire(void *arg, uint64_t number)
{
    struct late *late = arg;
    (void)number;
    if (redis.up && redis.life == late->life) {
        history("redis carries out %u calls that nobody waits for any more", late->count);
        for (uint32_t i = 0; i < late->count; i++) carry_out(&late->call[i], &late->arena);
    }
    arena_deinit(&late->arena);
    mem_free(late);
}

/* What only reads has no effect. */
static void carry_out_late(const struct state_call *call, uint32_t count, int64_t at_us)
{
    struct late *late = mem_new(sizeof *late);
    arena_init(&late->arena, 0);
    late->life = redis.life;
    late->call = arena_new(&late->arena, (count + 1) * sizeof *late->call);
    for (uint32_t i = 0; i < count; i++) {
        if (reads(call[i].op)) continue;
        late->call[late->count] = call[i];
        copy_inputs(&late->call[late->count++], &late->arena);
    }
    sim_at(at_us, late_fire, late, 0);
}

/* ---- state.h ---- */

static int lost(struct state *state, struct err *err, enum err_code code, const char *why)
{
    state->connected = false;
    return err_set(err, code, "Redis: %s", why);
}

static int timed_out(struct state *state, struct err *err, int64_t since_us)
{
    const int64_t left_us = since_us + state->timeout_us - sim.now_us;
    if (left_us > 0) fiber_sleep(left_us);
    return lost(state, err, ERR_TIMEOUT, "no answer in time");
}

static int64_t travel(void)
{
    const int64_t us = TRAVEL_US + sim_exponential(TRAVEL_US);
    return sim.now_us < redis.slow_until_us ? us + sim_exponential(400 * MS) : us;
}

static bool is_cut(void)
{
    return net_is_cut(proc_self(), redis.proc) || net_is_cut(redis.proc, proc_self());
}

static int reach(struct state *state, struct err *err)
{
    const int64_t since_us = sim.now_us;
    if (state->connected && state->life != redis.life)
        return lost(state, err, ERR_UNAVAILABLE, "the connection is lost");
    if (state->connected) return 0;
    fiber_sleep(travel());
    if (is_cut()) return timed_out(state, err, since_us);
    if (!redis.up) return lost(state, err, ERR_UNAVAILABLE, "connection refused");
    state->connected = true;
    state->life = redis.life;
    return 0;
}

int state_open(struct state **out, const struct state_options *options, struct err *err)
{
    struct state *state = mem_new(sizeof *state);
    state->timeout_us = options->timeout_ms * MS;
    const int rc = reach(state, err);
    if (rc) {
        state_close(state);
        return rc;
    }
    *out = state;
    return 0;
}

void state_close(struct state *state)
{
    mem_free(state);
}

/* The calls one after the other; false: Redis went away among them. */
static bool carry_out_all(const struct state *state, struct state_call *call, uint32_t count,
                          struct arena *arena)
{
    for (uint32_t i = 0; i < count; i++) {
        if (sim_chance(0.02)) fiber_sleep(sim_exponential(100));
        if (!redis.up || redis.life != state->life) return false;
        carry_out(&call[i], arena);
    }
    return true;
}

int state_send(struct state *state, struct state_call *call, uint32_t count, struct err *err)
{
    CHECK(count <= STATE_CALLS_MAX);
    CHECK(!state->count);
    if (!count) return 0;
    const int rc = reach(state, err);
    if (rc) return rc;
    state->call = call;
    state->count = count;
    return 0;
}

int state_receive(struct state *state, struct arena *arena, struct err *err)
{
    const int64_t since_us = sim.now_us;
    const double doubt = redis.doubt;
    struct state_call *call = state->call;
    const uint32_t count = state->count;
    state->count = 0;
    fiber_sleep(travel());
    if (is_cut() || sim_fault(doubt)) return timed_out(state, err, since_us); /* lost on the way */
    if (sim_fault(doubt)) {
        carry_out_late(call, count, since_us + state->timeout_us + sim_exponential(3 * S));
        return timed_out(state, err, since_us);
    }
    if (!carry_out_all(state, call, count, arena))
        return lost(state, err, ERR_UNAVAILABLE, "the connection is lost");
    if (sim_fault(doubt)) return timed_out(state, err, since_us); /* the answer is lost */
    fiber_sleep(travel());
    if (redis.life != state->life)
        return lost(state, err, ERR_UNAVAILABLE, "the connection is lost");
    if (is_cut() || sim.now_us - since_us > state->timeout_us)
        return timed_out(state, err, since_us);
    return 0;
}

int state_commit(struct state *state, struct state_call *call, uint32_t count, struct arena *arena,
                 struct err *err)
{
    if (!count) return 0;
    const int rc = state_send(state, call, count, err);
    return rc ? rc : state_receive(state, arena, err);
}

int state_health(struct state *state, struct state_health *health, struct err *err)
{
    const int64_t since_us = sim.now_us;
    const int rc = reach(state, err);
    *health = (struct state_health){0};
    if (rc) return rc;
    fiber_sleep(travel());
    if (!redis.up || redis.life != state->life)
        return lost(state, err, ERR_UNAVAILABLE, "the connection is lost");
    health->now_ms = redis_now_ms();
    fiber_sleep(travel());
    if (is_cut() || sim.now_us - since_us > state->timeout_us)
        return timed_out(state, err, since_us);
    health->bytes = redis.full ? 95 : 10;
    health->bytes_max = 100;
    health->writable = !redis.readonly;
    return 0;
}
