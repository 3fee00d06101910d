/* peers.c - the table of peers and its two indices. */
#include "broker/peers.h"

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#include <string.h>

void peers_init(struct peers *peers, uint64_t seed)
{
    *peers = (struct peers){0};
    peers->peer = mem_new(sizeof *peers->peer * PEERS_MAX);
    peers->free = mem_new(sizeof *peers->free * PEERS_MAX);
    index_init(&peers->by_id, PEERS_MAX, seed);
    index_init(&peers->by_worker, PEERS_MAX, seed);
}

void peers_deinit(struct peers *peers)
{
    for (uint32_t i = 0; i < peers->high; i++) {
        if (peers->peer[i].used) peers_drop(peers, &peers->peer[i]);
    }
    mem_free(peers->peer);
    mem_free(peers->free);
    index_deinit(&peers->by_id);
    index_deinit(&peers->by_worker);
    *peers = (struct peers){0};
}

static uint32_t slot_of(const struct peers *peers, const struct peer *peer)
{
    return (uint32_t)(peer - peers->peer);
}

static uint64_t id_hash(const struct peers *peers, const struct sock_peer *id)
{
    return index_hash(&peers->by_id, id->id, id->id_bytes);
}

struct peer *peers_find(struct peers *peers, const struct sock_peer *id)
{
    uint32_t slot = index_first(&peers->by_id, id_hash(peers, id));
    for (; slot != INDEX_END; slot = index_next(&peers->by_id, slot)) {
        struct peer *peer = &peers->peer[slot];
        if (peer->id.id_bytes == id->id_bytes && !memcmp(peer->id.id, id->id, id->id_bytes)) {
            return peer;
        }
    }
    return NULL;
}

struct peer *peers_find_worker(struct peers *peers, const char *worker)
{
    uint32_t slot = index_first(&peers->by_worker, index_hash_text(&peers->by_worker, worker));
    for (; slot != INDEX_END; slot = index_next(&peers->by_worker, slot)) {
        if (strcmp(peers->peer[slot].worker, worker) == 0) return &peers->peer[slot];
    }
    return NULL;
}

/* Makes room in a full table: the longest silent peer that holds nothing, and has no request in
 * this turn. */
static bool evict(struct peers *peers, int64_t now_ms)
{
    struct peer *oldest = NULL;
    for (uint32_t i = 0; i < peers->high; i++) {
        struct peer *peer = &peers->peer[i];
        if (!peer->used || peer->worker[0] || peer->watches || peer->seen_at_ms == now_ms) continue;
        if (!oldest || peer->seen_at_ms < oldest->seen_at_ms) oldest = peer;
    }
    if (oldest) peers_drop(peers, oldest);
    return oldest != NULL;
}

struct peer *peers_meet(struct peers *peers, const struct sock_peer *id, int64_t now_ms)
{
    struct peer *peer = peers_find(peers, id);
    if (!peer) {
        uint32_t slot;
        if (!peers->free_count && peers->high == PEERS_MAX && !evict(peers, now_ms)) return NULL;
        if (peers->free_count) {
            slot = peers->free[--peers->free_count];
        } else {
            slot = peers->high++;
        }
        peer = &peers->peer[slot];
        *peer = (struct peer){.used = true, .id = *id};
        index_add(&peers->by_id, id_hash(peers, id), slot);
        peers->count++;
    }
    peer->id.role = id->role;
    peer->seen_at_ms = now_ms;
    return peer;
}

static void worker_name(struct peers *peers, struct peer *peer, const char *worker)
{
    (void)str_copy(peer->worker, sizeof peer->worker, worker);
    index_add(&peers->by_worker, index_hash_text(&peers->by_worker, peer->worker),
              slot_of(peers, peer));
    peers->workers++;
}

static void reply_free(struct peers *peers, struct reply *reply)
{
    peers->replies_bytes -= reply->bytes;
    mem_free(reply->data);
    *reply = (struct reply){0};
}

void peers_park(struct peers *peers, struct peer *peer, const struct parked *take)
{
    CHECK(take->waiting);
    if (!peer->take.waiting) peers->parked_count++;
    peer->take = *take;
}

void peers_unpark(struct peers *peers, struct peer *peer)
{
    if (peer->take.waiting) peers->parked_count--;
    peer->take = (struct parked){0};
}

void peers_unbind(struct peers *peers, struct peer *peer)
{
    if (!peer->worker[0]) return;
    index_remove(&peers->by_worker, index_hash_text(&peers->by_worker, peer->worker),
                 slot_of(peers, peer));
    peers->workers--;
    peer->worker[0] = 0;
    peers_info(peer, NULL);
    reply_free(peers, &peer->reply);
    peers_unpark(peers, peer);
    peer->drain = false;
}

bool peers_bind(struct peers *peers, struct peer *peer, const char *worker)
{
    if (strcmp(peer->worker, worker) == 0) return false;
    peers_unbind(peers, peer);
    struct peer *old = peers_find_worker(peers, worker);
    if (old) {
        peer->info = old->info;
        peer->drain = old->drain;
        peer->take = old->take;
        peer->reply = old->reply;
        old->info = NULL;
        old->reply = (struct reply){0};
        old->take.waiting = false; /* still parked, elsewhere */
        peers_unbind(peers, old);
    }
    worker_name(peers, peer, worker);
    return old == NULL;
}

void peers_info(struct peer *peer, Vlmq__WorkerInfo *info)
{
    if (peer->info) vlmq__worker_info__free_unpacked(peer->info, NULL);
    peer->info = info;
}

void peers_reply(struct peers *peers, struct peer *peer, uint64_t request_id, int64_t now_ms,
                 const void *data, size_t bytes)
{
    reply_free(peers, &peer->reply);
    if (bytes > REPLY_BYTES_MAX || peers->replies_bytes + bytes > REPLIES_BYTES_MAX) return;
    void *copy = mem_try(bytes);
    if (!copy) return;
    memcpy(copy, data, bytes);
    peer->reply = (struct reply){request_id, now_ms, copy, bytes};
    peers->replies_bytes += bytes;
}

void peers_reply_drop(struct peers *peers, struct peer *peer)
{
    reply_free(peers, &peer->reply);
}

void peers_drop(struct peers *peers, struct peer *peer)
{
    CHECK(peer->used);
    peers_unbind(peers, peer);
    index_remove(&peers->by_id, id_hash(peers, &peer->id), slot_of(peers, peer));
    *peer = (struct peer){0};
    peers->free[peers->free_count++] = slot_of(peers, peer);
    peers->count--;
}

struct peer *peers_silent(struct peers *peers, uint32_t *at, int64_t now_ms)
{
    while (*at < peers->high) {
        struct peer *peer = &peers->peer[(*at)++];
        if (peer->used && now_ms - peer->seen_at_ms > PEER_SILENCE_MS) return peer;
    }
    return NULL;
}
