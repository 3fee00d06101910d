/* peer.h - the broker's end of the wire, played by a test: a real socket and real messages, so that
 * answers can be given that a healthy broker gives only by bad luck. */
#ifndef TESTS_UNIT_WORKER_PEER_H
#define TESTS_UNIT_WORKER_PEER_H

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "proto/wire/envelope.h"
#include "proto/wire/sock.h"
#include "tests/support/test.h"
#include "worker/limits.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define PEER_PATIENCE_MS 60000

struct peer {
    struct sock *sock;
    struct sock_peer from; /* the worker */
    struct arena arena;
    struct envelope got; /* what peer_expect returned last */
    /* What is answered without being asked for. */
    Vlmq__Code renew_code;
    bool mute_renew; /* do not answer renewals at all */
    bool drain;      /* in answers to Hello and Renew */
    Vlmq__Code hello_code;
    /* What has come in between. */
    uint32_t renewals_count;
    char renewed[33]; /* lease of the last renewal */
    char cursor[64];  /* cursor of the last renewal that had one */
    uint64_t take;    /* the parked take; 0: none */
    uint32_t credits, credits_interactive;
    bool idle;
};

static inline void peer_send_to(struct peer *peer, Vlmq__Type type, uint64_t request,
                                const ProtobufCMessage *body)
{
    struct buf out;
    struct err err;
    buf_init(&out, 0);
    EXPECT_OK(envelope_pack(&out, type, request, 0, body, &err), &err);
    EXPECT(sock_send_to(peer->sock, &peer->from, out.data, out.len));
    buf_deinit(&out);
}

static inline void peer_open(struct peer *peer, const char *address)
{
    struct err err;
    memset(peer, 0, sizeof *peer);
    arena_init(&peer->arena, 0);
    EXPECT_OK(sock_listen(&peer->sock, &address, 1, NULL, false, &err), &err);
}

static inline void peer_close(struct peer *peer)
{
    sock_close(peer->sock);
    arena_deinit(&peer->arena);
}

static inline void peer_answer_hello(struct peer *peer, uint64_t request)
{
    Vlmq__HelloAnswer answer = VLMQ__HELLO_ANSWER__INIT;
    Vlmq__Error error = VLMQ__ERROR__INIT;
    char text[] = "this key may not do that";
    answer.drain = peer->drain;
    answer.lease_ttl_ms = LEASE_TTL_MS;
    error.code = peer->hello_code;
    error.message = text;
    if (peer->hello_code)
        peer_send_to(peer, VLMQ__TYPE__ERROR, request, &error.base);
    else
        peer_send_to(peer, VLMQ__TYPE__HELLO_ANSWER, request, &answer.base);
}

static inline void peer_answer_renew(struct peer *peer, uint64_t request, const Vlmq__Renew *renew)
{
    Vlmq__RenewAnswer answer = VLMQ__RENEW_ANSWER__INIT;
    Vlmq__RenewResult result = VLMQ__RENEW_RESULT__INIT;
    Vlmq__RenewResult *results[TASKS_MAX];
    for (size_t i = 0; i < renew->n_renewals; i++) {
        const Vlmq__Renewal *renewal = renew->renewals[i];
        results[i] = &result;
        peer->renewals_count++;
        (void)str_copy(peer->renewed, sizeof peer->renewed, renewal->attempt->lease);
        if (!renewal->has_cursor) continue;
        EXPECT(renewal->cursor.len < sizeof peer->cursor);
        memcpy(peer->cursor, renewal->cursor.data, renewal->cursor.len);
        peer->cursor[renewal->cursor.len] = 0;
    }
    result.code = peer->renew_code;
    answer.results = results;
    answer.n_results = renew->n_renewals;
    answer.drain = peer->drain;
    if (!peer->mute_renew) peer_send_to(peer, VLMQ__TYPE__RENEW_ANSWER, request, &answer.base);
}

/* A new take replaces the parked one, which is answered with nothing, as the broker does. */
static inline void peer_park(struct peer *peer, uint64_t request, const Vlmq__Take *take)
{
    Vlmq__TakeAnswer none = VLMQ__TAKE_ANSWER__INIT;
    if (peer->take == request) return;
    if (peer->take) peer_send_to(peer, VLMQ__TYPE__TAKE_ANSWER, peer->take, &none.base);
    peer->take = request;
    peer->credits = take->credits;
    peer->credits_interactive = take->credits_interactive;
    peer->idle = take->idle;
}

/* Takes in one message within ms; false: there was none. */
static inline bool peer_take_in(struct peer *peer, int64_t ms)
{
    const void *data;
    size_t bytes;
    struct err err;
    const Vlmq__PingAnswer pong = VLMQ__PING_ANSWER__INIT;
    while (!sock_recv(peer->sock, &peer->from, &data, &bytes))
        if (!sock_poll(peer->sock, NULL, 0, ms)) return false;
    arena_reset(&peer->arena);
    EXPECT_OK(envelope_open(&peer->got, data, bytes, &peer->arena, &err), &err);
    const ProtobufCMessage *body = peer->got.body;
    if (peer->got.type == VLMQ__TYPE__PING)
        peer_send_to(peer, VLMQ__TYPE__PING_ANSWER, peer->got.request_id, &pong.base);
    if (peer->got.type == VLMQ__TYPE__HELLO) peer_answer_hello(peer, peer->got.request_id);
    if (peer->got.type == VLMQ__TYPE__RENEW)
        peer_answer_renew(peer, peer->got.request_id, (const Vlmq__Renew *)body);
    if (peer->got.type == VLMQ__TYPE__TAKE)
        peer_park(peer, peer->got.request_id, (const Vlmq__Take *)body);
    return true;
}

/* Takes in until done(peer, arg), with a bound. */
static inline void peer_until(struct peer *peer,
                              bool (*done)(const struct peer *peer, uint64_t arg), uint64_t arg)
{
    const int64_t end = clock_mono_us() + PEER_PATIENCE_MS * 1000;
    peer->got.type = VLMQ__TYPE__TYPE_UNSPECIFIED;
    while (!done(peer, arg)) {
        EXPECT(clock_mono_us() < end);
        (void)peer_take_in(peer, 1000);
    }
}

static inline bool peer_is_type(const struct peer *peer, uint64_t type)
{
    return peer->got.type == (Vlmq__Type)type;
}

/* Waits for a request of this type; answers Ping, Hello and Renew and parks Take on the way. */
static inline void peer_expect(struct peer *peer, Vlmq__Type type)
{
    peer_until(peer, peer_is_type, (uint64_t)type);
}

static inline bool peer_has_take(const struct peer *peer, uint64_t credits)
{
    return peer->take && peer->credits == credits >> 32 &&
           peer->credits_interactive == (credits & UINT32_MAX);
}

/* Waits until a take with these credits is parked. */
static inline void peer_expect_take(struct peer *peer, uint32_t credits,
                                    uint32_t credits_interactive)
{
    peer_until(peer, peer_has_take, (uint64_t)credits << 32 | credits_interactive);
}

static inline bool peer_has_renewals(const struct peer *peer, uint64_t count)
{
    return peer->renewals_count >= count;
}

/* Until at least so many renewals have come since the start. */
static inline void peer_expect_renewals(struct peer *peer, uint32_t count)
{
    peer_until(peer, peer_has_renewals, count);
}

/* Answers the request of the last peer_expect. */
static inline void peer_answer(struct peer *peer, Vlmq__Type type, const ProtobufCMessage *body)
{
    peer_send_to(peer, type, peer->got.request_id, body);
}

static inline void peer_refuse(struct peer *peer, Vlmq__Code code, const char *message)
{
    Vlmq__Error error = VLMQ__ERROR__INIT;
    error.code = code;
    memcpy(&error.message, &message, sizeof error.message);
    peer_answer(peer, VLMQ__TYPE__ERROR, &error.base);
}

/* Answers the parked take. */
static inline void peer_grant(struct peer *peer, Vlmq__Grant **grants, size_t count)
{
    Vlmq__TakeAnswer answer = VLMQ__TAKE_ANSWER__INIT;
    EXPECT(peer->take != 0);
    answer.grants = grants;
    answer.n_grants = count;
    peer_send_to(peer, VLMQ__TYPE__TAKE_ANSWER, peer->take, &answer.base);
    peer->take = 0;
}

static inline void peer_push(struct peer *peer, Vlmq__Type type, const ProtobufCMessage *body)
{
    peer_send_to(peer, type, 0, body);
}

#endif
