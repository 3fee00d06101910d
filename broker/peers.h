/* peers.h - who is connected: one slot for each peer of the front, with its soft state.
 *
 * A worker keeps its slot's contents when it comes back over a new connection: peers_bind moves
 * them. Slots that were silent for PEER_SILENCE_MS are given back by peers_expire; a full table
 * gives up its longest silent client first. Nothing here survives a restart, and need not. */
#ifndef BROKER_PEERS_H
#define BROKER_PEERS_H

#include "broker/index.h"
#include "broker/limits.h"
#include "proto/schema/client.pb-c.h"
#include "proto/wire/sock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A take that waits for a task. */
struct parked {
    bool waiting;
    uint64_t request_id;
    int64_t received_at_ms, until_ms;
    uint32_t credits, credits_interactive;
    bool idle;
};

/* The answer to the last take that gave something, for a repeat of the request. */
struct reply {
    uint64_t request_id; /* 0: none */
    int64_t at_ms;
    void *data;
    size_t bytes;
};

struct peer {
    bool used;
    struct sock_peer id;
    int64_t seen_at_ms;
    uint32_t watches;             /* held by it */
    char worker[WORKER_ID_BYTES]; /* "": not a worker, or none that has spoken yet */
    Vlmq__WorkerInfo *info;       /* of its hello; heap; NULL before it */
    bool drain;
    struct parked take;
    struct reply reply;
};

struct peers {
    struct peer *peer; /* PEERS_MAX */
    uint32_t high;     /* slots from here on were never used */
    uint32_t count, workers;
    uint32_t *free;
    uint32_t free_count;
    struct index by_id, by_worker;
    size_t replies_bytes;
    uint32_t parked_count; /* takes that wait */
};

void peers_init(struct peers *peers, uint64_t seed);
void peers_deinit(struct peers *peers);
/* The peer's slot, made at its first message. NULL: the table is full of busy peers. */
struct peer *peers_meet(struct peers *peers, const struct sock_peer *id, int64_t now_ms);
struct peer *peers_find(struct peers *peers, const struct sock_peer *id);
struct peer *peers_find_worker(struct peers *peers, const char *worker);
/* The peer speaks for this worker from now on. True: the worker was not known here. */
bool peers_bind(struct peers *peers, struct peer *peer, const char *worker);
/* The worker has left; the peer stays. */
void peers_unbind(struct peers *peers, struct peer *peer);
void peers_park(struct peers *peers, struct peer *peer, const struct parked *take);
void peers_unpark(struct peers *peers, struct peer *peer);
/* Takes info (heap, may be NULL) as the worker's newest. */
void peers_info(struct peer *peer, Vlmq__WorkerInfo *info);
/* Keeps a copy of an answer, if the bounds allow; drops the one before. */
void peers_reply(struct peers *peers, struct peer *peer, uint64_t request_id, int64_t now_ms,
                 const void *data, size_t bytes);
void peers_reply_drop(struct peers *peers, struct peer *peer);
void peers_drop(struct peers *peers, struct peer *peer);
/* The next slot, from *at on, of a peer that is silent since PEER_SILENCE_MS; NULL: no more. */
struct peer *peers_silent(struct peers *peers, uint32_t *at, int64_t now_ms);

#endif
