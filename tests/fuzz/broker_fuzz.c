/* broker_fuzz.c - a broker between peers that send anything and a Redis that comes and goes.
 *
 * The input is a little script: who sends what, how far the clock goes, what Redis does. Messages
 * are built along the rules (message.h) with the jobs, workers and leases that this broker has
 * named, so that they get far; others are bytes of any kind. The front and the state are linked
 * from here: the state is the model of the queue. What must hold:
 *   every message of the broker opens, none says INTERNAL;
 *   a request is answered, by its answer or an error, to whoever asked, and no more often than
 *   it was sent;
 *   when the script is over, all are, and a new peer's PING too;
 *   the jobs in the state keep their invariants. */
#include "broker/broker.h"
#include "common/base/id.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "tests/fuzz/message.c"
#include "tests/state/queue_model.h"

#define PEERS       6 /* two of each role, and the last two send raw bytes */
#define RAW_PEER    4
#define PEER_NEW    PEERS
#define QUEUE_MAX   16
#define REQUESTS    512
#define LEASES      16
#define AGAIN       8
#define STEPS_MAX   192
#define EPOCH_MS    INT64_C(1790000000000)
#define PATIENCE_MS (POLL_TTL_MS + 5000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

struct request_sent {
    uint64_t id;
    uint32_t peer;
    Vlmq__Type type;
    uint32_t sent, answered; /* times */
};

static struct {
    struct input input;
    struct arena arena;
    int64_t now_ms, jump_ms; /* jump_ms: what Redis' clock is off by */
    struct queue_model *model;
    uint32_t away;     /* commits that will fail */
    bool applied;      /* although they are carried out */
    bool full, closed; /* Redis refuses what grows; a peer's queue is full */
    struct {
        uint32_t peer;
        struct buf frame;
    } queue[QUEUE_MAX];
    uint32_t queued, taken;
    struct request_sent request[REQUESTS];
    uint32_t requests;
    struct { /* the newest requests, to be sent again */
        uint32_t request;
        struct buf frame;
    } again[AGAIN];
    uint32_t agains;
    char lease[LEASES][LEASE_ID_BYTES];
    uint32_t leases;
    char page[80];
} world;

/* ---- the clock ---- */

static int64_t mono_ms(const struct clock *clock)
{
    (void)clock;
    return world.now_ms;
}

static int64_t wall_ms(const struct clock *clock)
{
    (void)clock;
    return EPOCH_MS + world.now_ms;
}

static const struct clock fuzz_clock = {mono_ms, wall_ms};

/* ---- broker/state/state.h ---- */

struct state {
    struct state_call *call; /* sent */
    uint32_t count;
};

static int64_t redis_ms(void)
{
    return EPOCH_MS + world.now_ms + world.jump_ms;
}

static void carry_out(struct state_call *call, uint32_t count, struct arena *arena)
{
    for (uint32_t i = 0; i < count; i++) {
        const enum state_op op = call[i].op;
        if (world.full && (op == STATE_SUBMIT || op == STATE_INDEX || op == STATE_CHAIN))
            (void)err_set(&call[i].err, ERR_LIMIT, "Redis is out of memory");
        else
            queue_model_call(world.model, &call[i], redis_ms(), arena);
    }
}

int state_open(struct state **state, const struct state_options *options, struct err *err)
{
    (void)options;
    if (world.away) {
        world.away--;
        return err_set(err, ERR_UNAVAILABLE, "nobody listens");
    }
    *state = mem_new(sizeof **state);
    return 0;
}

void state_close(struct state *state)
{
    mem_free(state);
}

int state_send(struct state *state, struct state_call *call, uint32_t count, struct err *err)
{
    CHECK(state != NULL && !state->count && count > 0 && count <= STATE_CALLS_MAX);
    if (world.away && !world.applied) {
        world.away--;
        return err_set(err, ERR_UNAVAILABLE, "the connection is gone");
    }
    state->call = call;
    state->count = count;
    return 0;
}

int state_receive(struct state *state, struct arena *arena, struct err *err)
{
    struct state_call *call = state->call;
    const uint32_t count = state->count;
    CHECK(count > 0);
    state->count = 0;
    carry_out(call, count, arena);
    if (!world.away) return 0;
    world.away--;
    for (uint32_t i = 0; i < count; i++) call[i].job = NULL; /* nothing has come back */
    return err_set(err, ERR_TIMEOUT, "no answer in time");
}

int state_commit(struct state *state, struct state_call *call, uint32_t count, struct arena *arena,
                 struct err *err)
{
    const int rc = state_send(state, call, count, err);
    return rc ? rc : state_receive(state, arena, err);
}

int state_health(struct state *state, struct state_health *health, struct err *err)
{
    CHECK(state != NULL);
    if (world.away) {
        world.away--;
        return err_set(err, ERR_UNAVAILABLE, "the connection is gone");
    }
    *health = (struct state_health){
        .bytes = world.full ? 99 : 1, .bytes_max = 100, .now_ms = redis_ms(), .writable = true};
    return 0;
}

/* ---- broker/front.h ---- */

struct front {
    char unused;
};

static struct sock_peer peer_of(uint32_t peer)
{
    static const enum sock_role role[] = {SOCK_ROLE_ADMIN,  SOCK_ROLE_WORKER, SOCK_ROLE_CLIENT,
                                          SOCK_ROLE_WORKER, SOCK_ROLE_ADMIN,  SOCK_ROLE_NONE,
                                          SOCK_ROLE_CLIENT};
    return (struct sock_peer){.id = {(uint8_t)(1 + peer)}, .id_bytes = 1, .role = role[peer]};
}

bool front_recv(struct front *front, struct sock_peer *peer, const void **data, size_t *bytes)
{
    (void)front;
    if (world.taken == world.queued) return false;
    *peer = peer_of(world.queue[world.taken].peer);
    *data = buf_str(&world.queue[world.taken].frame);
    *bytes = world.queue[world.taken].frame.len;
    world.taken++;
    return true;
}

static struct request_sent *request_find(uint64_t id)
{
    for (uint32_t i = 0; i < world.requests; i++)
        if (world.request[i].id == id) return &world.request[i];
    return NULL;
}

static void note_grants(const Vlmq__TakeAnswer *answer)
{
    for (size_t i = 0; i < answer->n_grants; i++)
        (void)str_copy(world.lease[world.leases++ % LEASES], LEASE_ID_BYTES,
                       answer->grants[i]->lease);
}

static void note_page(const struct envelope *envelope)
{
    const ProtobufCMessage *body = envelope->body;
    const char *page = NULL;
    if (envelope->type == VLMQ__TYPE__LIST_ANSWER) page = ((const Vlmq__ListAnswer *)body)->page;
    if (envelope->type == VLMQ__TYPE__TASKS_ANSWER) page = ((const Vlmq__TasksAnswer *)body)->page;
    if (page) (void)str_copy(world.page, sizeof world.page, page);
}

static void check_answer(uint32_t peer, const struct envelope *envelope)
{
    const bool failed = envelope->type == VLMQ__TYPE__ERROR;
    if (failed) CHECK(((const Vlmq__Error *)envelope->body)->code != VLMQ__CODE__CODE_INTERNAL);
    struct request_sent *request = request_find(envelope->request_id);
    /* A parked take moves with its worker to a new connection, also one of a raw peer, whose ids
     * are not known; an error may be its answer. */
    const bool moved = failed || envelope->type == VLMQ__TYPE__TAKE_ANSWER;
    if (!request) {
        CHECK(peer >= RAW_PEER || moved);
        return;
    }
    CHECK(request->peer == peer || request->type == VLMQ__TYPE__TAKE);
    CHECK(request->answered < request->sent);
    CHECK(failed || envelope->type == envelope_answer_type(request->type));
    request->answered++;
}

bool front_send(struct front *front, const struct sock_peer *peer, const void *data, size_t bytes)
{
    struct envelope envelope;
    struct err err;
    (void)front;
    CHECK(peer->id_bytes == 1 && peer->id[0] >= 1 && peer->id[0] <= PEERS + 1);
    CHECK(envelope_open(&envelope, data, bytes, &world.arena, &err) == 0);
    const char who[] = {'t', 'o', ' ', (char)('0' + peer->id[0] - 1), 0};
    message_talk(who, &envelope);
    if (!envelope.request_id) {
        CHECK(envelope.type == VLMQ__TYPE__WATCH_UPDATE || envelope.type == VLMQ__TYPE__NOTICE ||
              envelope.type == VLMQ__TYPE__ERROR); /* of what had no id */
        return !world.closed;
    }
    check_answer(peer->id[0] - 1u, &envelope);
    if (world.closed) return false;
    if (envelope.type == VLMQ__TYPE__TAKE_ANSWER)
        note_grants((const Vlmq__TakeAnswer *)envelope.body);
    note_page(&envelope);
    return true;
}

void front_refresh(struct front *front)
{
    (void)front;
}

/* ---- the script ---- */

static const char *text_for(void *ctx, const char *field, enum codec_form form, uint32_t choice)
{
    static const char *const job[] = {"a", "b", "c", "d"};
    static const char *const worker[] = {"w0", "w1", "w2"};
    static const char *const kind[] = {"probe", "download"};
    static const char *const name[] = {"00000", "00001", "00002", "x"};
    static const char *const other[] = {"alice", "bob", "m", "/out"};
    (void)ctx;
    if (form == CODEC_JOB) return job[choice % 4];
    if (form == CODEC_KIND) return kind[choice % 2];
    if (form == CODEC_TASK_NAME) return name[choice % 4];
    if (form == CODEC_LEASE) return world.lease[choice % LEASES];
    if (str_eq(field, "worker") || str_eq(field, "id")) return worker[choice % 3];
    if (str_eq(field, "page")) return world.page;
    return form == CODEC_NAME ? other[choice % 4] : NULL;
}

static struct buf *queue_next(uint32_t peer)
{
    struct buf *frame = &world.queue[world.queued].frame;
    world.queue[world.queued++].peer = peer;
    buf_clear(frame);
    return frame;
}

/* A length, and so many bytes for the fields: what is cut from one message shifts no other. */
static void send_built(uint32_t peer, Vlmq__Type type)
{
    struct err err;
    struct input fields = {0};
    const uint32_t timeout_ms = (uint32_t)input_take(&world.input, 1) * 100;
    fields.bytes = input_bytes(&world.input, &fields.data, input_take(&world.input, 1));
    const ProtobufCMessage *body = message_make(type, &fields, &world.arena, text_for, NULL);
    if (world.requests == REQUESTS || codec_check(codec_type(type), body, &err)) return;
    const bool pushed = type == VLMQ__TYPE__WATCH_UPDATE || type == VLMQ__TYPE__NOTICE;
    const uint64_t id = pushed ? 0 : world.requests + 1000;
    struct buf *frame = queue_next(peer);
    if (envelope_pack(frame, type, id, timeout_ms, body, &err)) {
        world.queued--;
    } else if (id) {
        const uint32_t slot = world.agains++ % AGAIN;
        world.again[slot].request = world.requests;
        buf_clear(&world.again[slot].frame);
        buf_add(&world.again[slot].frame, frame->data, frame->len);
        world.request[world.requests++] =
            (struct request_sent){.id = id, .peer = peer, .type = type, .sent = 1};
    }
}

/* A request once more, under its own id. */
static void send_again(uint32_t choice)
{
    if (choice >= world.agains) return;
    const uint32_t slot = (world.agains - 1 - choice) % AGAIN;
    struct request_sent *request = &world.request[world.again[slot].request];
    const struct buf *frame = &world.again[slot].frame;
    request->sent++;
    buf_add(queue_next(request->peer), frame->data, frame->len);
}

static void send_raw(uint32_t peer)
{
    const uint8_t *data;
    const size_t bytes = input_bytes(&world.input, &data, input_take(&world.input, 1));
    buf_add(queue_next(peer), data, bytes);
}

/* Types that a broker answers come up three times in four. */
static Vlmq__Type type_for(uint32_t choice)
{
    static const Vlmq__Type usual[] = {VLMQ__TYPE__SUBMIT,  VLMQ__TYPE__TAKE, VLMQ__TYPE__DONE,
                                       VLMQ__TYPE__HELLO,   VLMQ__TYPE__ADD,  VLMQ__TYPE__FAIL,
                                       VLMQ__TYPE__CONTROL, VLMQ__TYPE__RENEW};
    if (choice % 4) return usual[choice / 4 % 8];
    return message_type(choice / 4 % message_types());
}

static void turn(struct broker *broker)
{
    const int64_t wait_ms = broker_turn(broker);
    CHECK(wait_ms >= 0 && wait_ms <= TURN_WAIT_MAX_MS);
    if (world.taken < world.queued) return;
    world.queued = world.taken = 0;
    arena_reset(&world.arena);
}

static void one_step(struct broker *broker)
{
    const uint32_t step = (uint32_t)input_take(&world.input, 1);
    const uint32_t peer = step / 16 % RAW_PEER;
    switch (step % 16) {
    case 0:
        turn(broker);
        break;
    case 1:
        world.now_ms += (int64_t)input_take(&world.input, 1) * 4;
        turn(broker);
        break;
    case 2:
        world.now_ms += (int64_t)input_take(&world.input, 1) * 250;
        turn(broker);
        break;
    case 3:
        world.away = (uint32_t)input_take(&world.input, 1) % 8;
        world.applied = step & 16;
        break;
    case 4:
        if (step & 16) world.full = !world.full;
        if (step & 32) world.closed = !world.closed;
        if (step & 64) world.jump_ms = ((int64_t)input_take(&world.input, 1) - 128) * 1000;
        break;
    case 5:
        send_raw(RAW_PEER + peer % 2);
        break;
    case 6:
        send_again(step / 16 % AGAIN);
        break;
    default:
        send_built(peer, type_for((uint32_t)input_take(&world.input, 1)));
        break;
    }
    while (world.queued == QUEUE_MAX) turn(broker); /* it may leave some for the next */
}

/* ---- the end ---- */

static bool all_answered(void)
{
    for (uint32_t i = 0; i < world.requests; i++)
        if (!world.request[i].answered) return false;
    return true;
}

static void check_jobs(void)
{
    const char *id[8];
    char why[256];
    const uint32_t count = queue_model_jobs(world.model, id, 8);
    for (uint32_t i = 0; i < count && i < 8; i++)
        CHECK(queue_model_check(world.model, id[i], why, sizeof why));
}

static void calm_down(struct broker *broker)
{
    world.away = 0;
    world.closed = false;
    const int64_t end_ms = world.now_ms + PATIENCE_MS;
    for (turn(broker); world.now_ms < end_ms && !all_answered(); turn(broker))
        world.now_ms += TURN_WAIT_MAX_MS;
    CHECK(all_answered());
    const Vlmq__Ping ping = VLMQ__PING__INIT;
    struct err err;
    CHECK(!envelope_pack(queue_next(PEER_NEW), VLMQ__TYPE__PING, 999, 1000, &ping.base, &err));
    /* Beside the others: what was sent twice may be answered twice. */
    CHECK(world.requests < REQUESTS);
    world.request[world.requests++] =
        (struct request_sent){.id = 999, .peer = PEER_NEW, .type = VLMQ__TYPE__PING, .sent = 1};
    turn(broker);
    CHECK(all_answered());
    check_jobs();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct front front = {0};
    struct broker *broker = NULL;
    struct err err;
    const struct broker_options options = {.clock = &fuzz_clock, .front = &front, .seed = 1};
    message_chance();
    log_set_level(LOG_ERROR);
    memset(&world, 0, sizeof world);
    world.input = (struct input){data, bytes};
    world.now_ms = 1000;
    world.model = queue_model_new();
    arena_init(&world.arena, 0);
    for (uint32_t i = 0; i < QUEUE_MAX; i++) buf_init(&world.queue[i].frame, 0);
    for (uint32_t i = 0; i < AGAIN; i++) buf_init(&world.again[i].frame, 0);
    CHECK(broker_open(&broker, &options, &err) == 0);
    for (uint32_t i = 0; i < STEPS_MAX && world.input.bytes; i++) one_step(broker);
    turn(broker);
    calm_down(broker);
    broker_close(broker);
    queue_model_free(world.model);
    for (uint32_t i = 0; i < QUEUE_MAX; i++) buf_deinit(&world.queue[i].frame);
    for (uint32_t i = 0; i < AGAIN; i++) buf_deinit(&world.again[i].frame);
    arena_deinit(&world.arena);
    return 0;
}
