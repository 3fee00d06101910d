/* call.c - see call.h.
 *
 * link_next is a loop of one step: say what is due, take in one message, send what is due, look
 * after the connection, and find out how long nothing will be due. The connection is at one broker
 * at a time; its messages go to whoever waits for their request id, so a late answer to a forgotten
 * request disturbs nobody. */
#include "proto/wire/call.h"

#include "common/base/check.h"
#include "common/base/limits.h"
#include "common/base/rng.h"
#include "common/base/str.h"
#include "proto/wire/codec.h"

#include <string.h>

#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 2000
/* A broker that says "later" is believed up to this. */
#define RETRY_AFTER_MAX_MS 30000
/* The transport is up but takes nothing more (or not yet). */
#define SEND_AGAIN_MS 20
/* The silence ends a ping's time after the last of these. */
#define PINGS_UNANSWERED (LINK_SILENCE_MS / LINK_PING_MS - 1)

_Static_assert(SOCK_FRAME_BYTES_MAX == MESSAGE_BYTES_MAX + ENVELOPE_HEAD_BYTES_MAX,
               "a frame is a body and an envelope");

struct request {
    uint64_t id;
    uint64_t ctx;
    Vlmq__Type type;
    uint8_t *body;
    size_t body_bytes;
    int64_t deadline_ms;
    int64_t sent_at_ms; /* first sending; -1: not yet */
    int64_t due_at_ms;  /* next sending */
    int64_t backoff_ms; /* the last wait after UNAVAILABLE; 0: none yet */
    struct err last;    /* the last UNAVAILABLE answer */
};

struct link {
    const struct clock *clock;
    struct rng rng;
    struct sock_keys keys;
    bool has_keys;
    char broker[LINK_BROKERS_MAX][SOCK_ADDRESS_BYTES];
    uint32_t brokers_count, current;

    struct sock *sock;
    const char *trouble;     /* of the last sock to this broker that came to know one; or NULL */
    uint32_t connections;    /* of this sock, as far as they were noticed */
    bool came_up;            /* once, at any broker */
    bool moved;              /* LINK_MOVED is owed */
    uint32_t failures_count; /* brokers tried since the last one that came up */
    int64_t move_at_ms;      /* when to try the next one; -1: no need */
    int64_t quiet_since_ms;  /* the last message, or the start of waiting for one */
    int64_t pinged_at_ms;
    uint32_t pings_count; /* since the last message */
    int64_t send_at_ms;   /* not before: the transport was full */

    struct request request[LINK_REQUESTS_MAX]; /* the first open_count, in no order */
    uint32_t open_count;
    const void *data; /* the message behind the last event; the sock's */
    size_t data_bytes;
    struct buf out;
    struct arena arena;
};

static int64_t now_ms(const struct link *link)
{
    return link->clock->mono_ms(link->clock);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Opening. */

static int parse_brokers(struct link *link, const char *text, struct err *err)
{
    static const char separators[] = ", \t\n";
    for (text += strspn(text, separators); *text; text += strspn(text, separators)) {
        const size_t bytes = strcspn(text, separators);
        if (link->brokers_count == LINK_BROKERS_MAX)
            return err_set(err, ERR_INVALID, "more than %d brokers", LINK_BROKERS_MAX);
        if (bytes >= SOCK_ADDRESS_BYTES)
            return err_set(err, ERR_INVALID, "the address %.60s… is too long", text);
        memcpy(link->broker[link->brokers_count++], text, bytes);
        text += bytes;
    }
    if (!link->brokers_count) return err_set(err, ERR_INVALID, "no broker's address is given");
    return 0;
}

static void listen_anew(struct link *link, int64_t now)
{
    link->quiet_since_ms = link->pinged_at_ms = now;
    link->pings_count = 0;
}

/* Why the broker in use does not answer. A fresh socket has nothing to say yet. */
static const char *trouble(const struct link *link)
{
    const char *fresh = link->sock ? sock_trouble(link->sock) : NULL;
    return fresh ? fresh : link->trouble ? link->trouble : "is being connected";
}

/* On failure the link stays where it was. */
static int connect_to(struct link *link, uint32_t broker, struct err *err)
{
    struct sock *fresh;
    const struct sock_keys *keys = link->has_keys ? &link->keys : NULL;
    const int rc = sock_connect(&fresh, link->broker[broker], keys, err);
    if (rc) return rc;
    const bool same = link->sock && broker == link->current && sock_state(link->sock) != SOCK_UP;
    link->trouble = same ? trouble(link) : NULL;
    sock_close(link->sock);
    link->sock = fresh;
    link->current = broker;
    link->connections = 0;
    link->move_at_ms = -1;
    link->send_at_ms = 0;
    listen_anew(link, now_ms(link));
    return 0;
}

int link_open(struct link **out, const struct link_options *options, struct err *err)
{
    struct link *link = mem_new(sizeof *link);
    link->clock = options->clock ? options->clock : &clock_real;
    buf_init(&link->out, SOCK_FRAME_BYTES_MAX);
    arena_init(&link->arena, 2 * ENVELOPE_MEMORY_MAX);
    uint64_t seed = options->seed;
    if (!seed) rng_secure(&seed, sizeof seed);
    rng_seed(&link->rng, seed);
    int rc = parse_brokers(link, options->brokers ? options->brokers : "", err);
    if (!rc && options->key_file) {
        rc = sock_keys_load(&link->keys, options->key_file, err);
        link->has_keys = !rc;
    }
    /* All addresses are tried now, so that a misspelt one does not wait for a bad day. */
    for (uint32_t i = 0; i < link->brokers_count && !rc; i++) rc = connect_to(link, i, err);
    if (!rc && link->brokers_count > 1)
        rc = connect_to(link, (uint32_t)rng_below(&link->rng, link->brokers_count), err);
    if (rc) {
        link_close(link);
        return rc;
    }
    *out = link;
    return 0;
}

static void request_end(struct link *link, struct request *request)
{
    mem_free(request->body);
    *request = link->request[--link->open_count];
}

void link_close(struct link *link)
{
    if (!link) return;
    while (link->open_count) request_end(link, &link->request[0]);
    sock_close(link->sock);
    sock_keys_deinit(&link->keys);
    buf_deinit(&link->out);
    arena_deinit(&link->arena);
    mem_free(link);
}

const char *link_broker(const struct link *link)
{
    return link->broker[link->current];
}

/* Sending. */

/* Not before the connection was greeted: an answer must not come before LINK_MOVED. */
static bool is_up(const struct link *link)
{
    return link->sock && sock_state(link->sock) == SOCK_UP &&
           sock_connections(link->sock) == link->connections;
}

static uint32_t time_to_say(int64_t left_ms)
{
    const int64_t margin = least(LINK_MARGIN_MS, left_ms / 4);
    const int64_t said = left_ms - margin;
    return said < 1 ? 1 : said > UINT32_MAX ? UINT32_MAX : (uint32_t)said;
}

/* false: the transport takes nothing now. */
static bool request_send(struct link *link, struct request *request, int64_t now)
{
    struct err err;
    buf_clear(&link->out);
    if (envelope_pack_body(&link->out, request->type, request->id,
                           time_to_say(request->deadline_ms - now), request->body,
                           request->body_bytes, &err) ||
        !sock_send(link->sock, link->out.data, link->out.len)) {
        link->send_at_ms = now + SEND_AGAIN_MS;
        return false;
    }
    if (request->sent_at_ms < 0) request->sent_at_ms = now;
    request->due_at_ms = now + LINK_RESEND_MS;
    return true;
}

static void send_due(struct link *link, int64_t now)
{
    if (!is_up(link) || link->send_at_ms > now) return;
    for (uint32_t i = 0; i < link->open_count; i++) {
        struct request *request = &link->request[i];
        if (request->due_at_ms <= now && !request_send(link, request, now)) return;
    }
}

static struct request *find(struct link *link, uint64_t id)
{
    for (uint32_t i = 0; i < link->open_count; i++)
        if (link->request[i].id == id) return &link->request[i];
    return NULL;
}

static uint64_t fresh_id(struct link *link)
{
    uint64_t id;
    do {
        id = rng_next(&link->rng);
    } while (id == 0 || find(link, id));
    return id;
}

/* Packs the body, checked, for as many sendings as it takes. */
static int keep_body(struct request *request, const ProtobufCMessage *body, struct err *err)
{
    const struct codec_type *type = codec_type(request->type);
    CHECK(body->descriptor == type->table->descriptor);
    const int rc = codec_check(type, body, err);
    if (rc) return rc;
    const size_t bytes = protobuf_c_message_get_packed_size(body);
    if (bytes > MESSAGE_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "%s has %zu bytes; at most %d are allowed", type->name,
                       bytes, MESSAGE_BYTES_MAX);
    request->body = mem_try(bytes);
    if (!request->body)
        return err_set(err, ERR_LIMIT, "no memory for %s of %zu bytes", type->name, bytes);
    request->body_bytes = protobuf_c_message_pack(body, request->body);
    return 0;
}

int link_send(struct link *link, uint64_t *request_id, Vlmq__Type type,
              const ProtobufCMessage *body, uint32_t timeout_ms, uint64_t ctx, struct err *err)
{
    const int64_t now = now_ms(link);
    CHECK(envelope_answer_type(type) != VLMQ__TYPE__TYPE_UNSPECIFIED);
    if (link->open_count == LINK_REQUESTS_MAX)
        return err_set(err, ERR_LIMIT, "%d requests are open already", LINK_REQUESTS_MAX);
    struct request request = {
        .id = fresh_id(link),
        .ctx = ctx,
        .type = type,
        .deadline_ms = now + timeout_ms,
        .sent_at_ms = -1,
        .due_at_ms = now,
    };
    const int rc = keep_body(&request, body, err);
    if (rc) return rc;
    if (!link->open_count) listen_anew(link, now);
    struct request *slot = &link->request[link->open_count++];
    *slot = request;
    if (request_id) *request_id = request.id;
    if (is_up(link) && link->send_at_ms <= now) (void)request_send(link, slot, now);
    return 0;
}

void link_forget(struct link *link, uint64_t request_id)
{
    struct request *request = request_id ? find(link, request_id) : NULL;
    if (request) request_end(link, request);
}

/* The connection. */

static void ping(struct link *link, int64_t now)
{
    struct err err;
    const Vlmq__Ping body = VLMQ__PING__INIT;
    buf_clear(&link->out);
    link->pinged_at_ms = now;
    link->pings_count++;
    if (!envelope_pack(&link->out, VLMQ__TYPE__PING, fresh_id(link), LINK_SILENCE_MS, &body.base,
                       &err))
        (void)sock_send(link->sock, link->out.data, link->out.len);
}

/* The connection came up: everything open goes out again, and the caller hears of it unless it is
 * the first time at all. */
static void greet(struct link *link, int64_t now)
{
    link->connections = sock_connections(link->sock);
    listen_anew(link, now);
    link->failures_count = 0;
    link->move_at_ms = -1;
    link->moved = link->moved || link->came_up;
    link->came_up = true;
    link->send_at_ms = 0;
    for (uint32_t i = 0; i < link->open_count; i++) {
        struct request *request = &link->request[i];
        if (!request->backoff_ms) request->due_at_ms = now;
    }
}

/* The first round through the list is quick, later ones wait longer and longer. */
static int64_t patience_ms(const struct link *link)
{
    const uint32_t rounds = link->failures_count / link->brokers_count;
    if (rounds == 0) return 0;
    return rounds > 5 ? BACKOFF_MAX_MS : least(BACKOFF_MAX_MS, BACKOFF_MIN_MS << (rounds - 1));
}

static void leave(struct link *link, int64_t now)
{
    if (link->move_at_ms >= 0) return;
    link->move_at_ms = now + patience_ms(link);
    link->failures_count++;
}

static int64_t connect_ms(const struct link *link)
{
    return link->failures_count < link->brokers_count ? LINK_CONNECT_MS : LINK_SILENCE_MS;
}

/* A standing connection is silent when pings found no answer, so a program that was busy elsewhere
 * for a while does not blame the broker; one that does not come up, by the time alone. */
static bool is_silent(const struct link *link, int64_t now)
{
    if (!is_up(link)) return now - link->quiet_since_ms >= connect_ms(link);
    return link->open_count && link->pings_count >= PINGS_UNANSWERED &&
           now - link->pinged_at_ms >= LINK_PING_MS;
}

static void look_after_connection(struct link *link, int64_t now)
{
    if (sock_connections(link->sock) != link->connections) greet(link, now);
    if (sock_state(link->sock) == SOCK_LOST || is_silent(link, now)) leave(link, now);
    if (link->move_at_ms >= 0 && link->move_at_ms <= now) {
        struct err err;
        if (connect_to(link, (link->current + 1) % link->brokers_count, &err))
            link->move_at_ms = now + BACKOFF_MAX_MS;
    }
    if (is_up(link) && link->open_count && now - link->pinged_at_ms >= LINK_PING_MS)
        ping(link, now);
}

/* What comes in. */

static void fail_request(struct link *link, struct request *request, struct link_event *event)
{
    event->kind = LINK_FAILED;
    event->request_id = request->id;
    event->ctx = request->ctx;
    event->sent_at_ms = request->sent_at_ms;
    request_end(link, request);
}

static bool fail_overdue(struct link *link, int64_t now, struct link_event *event)
{
    for (uint32_t i = 0; i < link->open_count; i++) {
        struct request *request = &link->request[i];
        if (request->deadline_ms > now) continue;
        const char *name = envelope_type_name(request->type);
        if (request->last.code)
            event->err = request->last;
        else if (request->sent_at_ms < 0 || !is_up(link))
            err_set(&event->err, ERR_UNAVAILABLE, "no broker could be asked; %s %s",
                    link_broker(link), trouble(link));
        else
            err_set(&event->err, ERR_TIMEOUT, "%s did not answer %s in time", link_broker(link),
                    name);
        fail_request(link, request, event);
        return true;
    }
    return false;
}

/* A person gets a sentence, also from a broker that sends none. */
static const char *sentence_of(const Vlmq__Error *error)
{
    return error->message[0] ? error->message : "the broker gives no reason";
}

/* The broker asks for patience: the request goes out again later. */
static void postpone(struct request *request, const Vlmq__Error *error, int64_t now)
{
    int64_t wait = error->retry_after_ms;
    if (!wait) wait = request->backoff_ms ? request->backoff_ms * 2 : BACKOFF_MIN_MS;
    if (!error->retry_after_ms && wait > BACKOFF_MAX_MS) wait = BACKOFF_MAX_MS;
    request->backoff_ms = least(wait, RETRY_AFTER_MAX_MS);
    request->due_at_ms = now + request->backoff_ms;
    err_set(&request->last, ERR_UNAVAILABLE, "%s", sentence_of(error));
}

static bool take_error(struct link *link, struct request *request, const Vlmq__Error *error,
                       struct link_event *event)
{
    if (error->code == VLMQ__CODE__CODE_UNAVAILABLE) {
        postpone(request, error, now_ms(link));
        return false;
    }
    err_set(&event->err, envelope_code(error->code), "%s", sentence_of(error));
    fail_request(link, request, event);
    return true;
}

/* An answer that cannot be read fails its request: repeating it would bring the same. */
static bool take_bad(struct link *link, const struct envelope *envelope, struct link_event *event)
{
    struct request *request = envelope->request_id ? find(link, envelope->request_id) : NULL;
    if (!request) return false;
    if (event->err.code != ERR_VERSION && event->err.code != ERR_LIMIT)
        event->err.code = ERR_INTERNAL;
    err_wrap(&event->err, "the answer of %s", link_broker(link));
    fail_request(link, request, event);
    return true;
}

/* true: event is filled. */
static bool take_message(struct link *link, struct link_event *event)
{
    struct envelope *envelope = &event->envelope;
    listen_anew(link, now_ms(link));
    arena_reset(&link->arena);
    if (envelope_open(envelope, link->data, link->data_bytes, &link->arena, &event->err))
        return take_bad(link, envelope, event);
    if (envelope->type == VLMQ__TYPE__WATCH_UPDATE || envelope->type == VLMQ__TYPE__NOTICE) {
        event->kind = LINK_PUSH;
        return true;
    }
    struct request *request = envelope->request_id ? find(link, envelope->request_id) : NULL;
    if (!request) return false;
    if (envelope->type == VLMQ__TYPE__ERROR)
        return take_error(link, request, (const Vlmq__Error *)envelope->body, event);
    if (envelope->type != envelope_answer_type(request->type)) {
        err_set(&event->err, ERR_INTERNAL, "%s answered %s with %s", link_broker(link),
                envelope_type_name(request->type), envelope_type_name(envelope->type));
        fail_request(link, request, event);
        return true;
    }
    event->kind = LINK_ANSWER;
    event->request_id = request->id;
    event->ctx = request->ctx;
    event->sent_at_ms = request->sent_at_ms;
    request_end(link, request);
    return true;
}

static bool take_any(struct link *link, struct link_event *event)
{
    while (sock_recv(link->sock, NULL, &link->data, &link->data_bytes) == 1)
        if (take_message(link, event)) return true;
    return false;
}

/* When something falls due again, apart from what comes in. */
static int64_t next_due_ms(const struct link *link, int64_t now)
{
    int64_t due = INT64_MAX;
    const bool up = is_up(link);
    for (uint32_t i = 0; i < link->open_count; i++) {
        const struct request *request = &link->request[i];
        due = least(due, request->deadline_ms);
        const int64_t send_at =
            request->due_at_ms > link->send_at_ms ? request->due_at_ms : link->send_at_ms;
        if (up) due = least(due, send_at);
    }
    if (up && link->open_count) due = least(due, link->pinged_at_ms + LINK_PING_MS);
    if (link->move_at_ms >= 0)
        due = least(due, link->move_at_ms);
    else if (!up)
        due = least(due, link->quiet_since_ms + connect_ms(link));
    return due > now ? due : now;
}

/* One round; true: event is filled. */
static bool step(struct link *link, struct link_event *event)
{
    if (take_any(link, event)) return true;
    const int64_t now = now_ms(link);
    look_after_connection(link, now);
    if (link->moved) {
        link->moved = false;
        event->kind = LINK_MOVED;
        return true;
    }
    if (fail_overdue(link, now, event)) return true;
    send_due(link, now);
    return false;
}

void link_next(struct link *link, struct link_event *event, const int *fds, uint32_t fds_count,
               int64_t wait_ms)
{
    const int64_t end = wait_ms < 0 ? INT64_MAX : now_ms(link) + wait_ms;
    *event = (struct link_event){.kind = LINK_NOTHING};
    for (;;) {
        if (step(link, event) || wait_ms == 0) return;
        const int64_t now = now_ms(link);
        const int64_t due = least(end, next_due_ms(link, now));
        const uint32_t mask = sock_poll(link->sock, fds, fds_count,
                                        due == INT64_MAX ? -1
                                        : due > now      ? due - now
                                                         : 0);
        event->fds = mask >> 1;
        if (event->fds || (!mask && now_ms(link) >= end)) return;
    }
}

int link_call(struct link *link, ProtobufCMessage **answer, Vlmq__Type type,
              const ProtobufCMessage *body, uint32_t timeout_ms, struct arena *arena,
              struct err *err)
{
    uint64_t id = 0;
    int rc = link_send(link, &id, type, body, timeout_ms, 0, err);
    if (rc) return rc;
    bool moved = false;
    for (;;) {
        struct link_event event;
        link_next(link, &event, NULL, 0, -1);
        moved = moved || event.kind == LINK_MOVED;
        if (event.request_id != id) continue;
        link->moved = link->moved || moved; /* for the next link_next: the caller may be watching */
        if (event.kind == LINK_FAILED) {
            *err = event.err;
            return (int)err->code;
        }
        struct envelope envelope;
        rc = envelope_open(&envelope, link->data, link->data_bytes, arena, err);
        if (!rc) *answer = envelope.body;
        return rc;
    }
}
