/* call.h - a link to the fleet: requests with answers over one live broker of a list.
 *
 * A link keeps one broker and moves to the next of its list when that one is silent (no answer
 * and no pong for LINK_SILENCE_MS) or the connection is refused or breaks; the next of a single one
 * is itself, by a new connection. Open requests are sent again there,
 * under the same request id, until they are answered or their time is over. An answer ERROR with
 * UNAVAILABLE is not final: the link waits (retry_after_ms, or 100 ms doubling to 2 s) and repeats
 * until the request's time is over, and then reports the last sentence. One thread. */
#ifndef WIRE_CALL_H
#define WIRE_CALL_H

#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/mem.h"
#include "proto/wire/envelope.h"
#include "proto/wire/sock.h"

#include <stdbool.h>
#include <stdint.h>

#define LINK_BROKERS_MAX 16
#define LINK_REQUESTS_MAX                                                  \
    512 /* open requests of one link: every lease of a worker may have two \
         */
/* Shorter than a lease by enough to renew it at the next broker; a broker whose process is gone is
 * found sooner, by the transport. */
#define LINK_SILENCE_MS 6000
/* A connection that has not come up for so long is given up; after a round through the list without
 * success, after LINK_SILENCE_MS: then it may be the handshake that takes long, everywhere. */
#define LINK_CONNECT_MS 3000
/* A ping goes out after so much quiet, while requests are open: a thousand idle workers wake their
 * broker a few hundred times a second. */
#define LINK_PING_MS   2000
#define LINK_RESEND_MS 5000 /* an open request is repeated, in case its answer was lost */
/* An envelope says a little less than the time that is left, so that the answer to a parked request
 * arrives before the requester has given up. */
#define LINK_MARGIN_MS 500

struct link;

struct link_options {
    const char *brokers;       /* "tcp://a:5710,tcp://b:5710", comma or space separated */
    const char *key_file;      /* NULL: no encryption */
    const struct clock *clock; /* NULL: the real one */
    uint64_t seed;             /* chooses the first broker and request ids; 0: from the kernel */
};

enum link_event_kind {
    LINK_NOTHING, /* time is over, or an extra fd is readable (fds bit mask) */
    LINK_ANSWER,  /* to request_id/ctx: type and body are set */
    LINK_FAILED,  /* to request_id/ctx: err says why (the broker's ERROR, or TIMEOUT/UNAVAILABLE) */
    LINK_PUSH,    /* a pushed message */
    LINK_MOVED,   /* now at another broker: say hello, watch again */
};

struct link_event {
    enum link_event_kind kind;
    uint64_t request_id;
    uint64_t ctx;             /* as given to link_send */
    int64_t sent_at_ms;       /* ANSWER: mono time of the FIRST sending of the request */
    struct envelope envelope; /* ANSWER, PUSH; valid until the next link_next */
    struct err err;           /* FAILED */
    uint32_t fds;             /* NOTHING: bit i: the i-th fd is readable */
};

CHECKED int link_open(struct link **link, const struct link_options *options, struct err *err);
void link_close(struct link *link);
/* The address of the broker in use. */
const char *link_broker(const struct link *link);
/* Queues and sends a request; LINK_ANSWER or LINK_FAILED follows exactly once, unless forgotten.
 * timeout_ms: how long to try in all. ERR_LIMIT: LINK_REQUESTS_MAX are open. */
CHECKED int link_send(struct link *link, uint64_t *request_id, Vlmq__Type type,
                      const ProtobufCMessage *body, uint32_t timeout_ms, uint64_t ctx,
                      struct err *err);
void link_forget(struct link *link, uint64_t request_id);
/* Waits up to wait_ms for the next event. With wait_ms 0 it takes what has come already, and does
 * not look at the fds. */
void link_next(struct link *link, struct link_event *event, const int *fds, uint32_t fds_count,
               int64_t wait_ms);
/* For programs that do one thing at a time: sends and waits. The answer's body is unpacked into
 * arena. Pushed messages that come meanwhile are dropped. */
CHECKED int link_call(struct link *link, ProtobufCMessage **answer, Vlmq__Type type,
                      const ProtobufCMessage *body, uint32_t timeout_ms, struct arena *arena,
                      struct err *err);

#endif
