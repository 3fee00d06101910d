/* sock.c - proto/wire/sock.h over a network in memory: see net.h.
 *
 * A client socket has one connection, under a routing id of its own; lost is lost. The server's
 * side breaks by itself when it has heard nothing for a time, as TCP's probes have it; the client's
 * does not. */
#include "proto/wire/sock.h"

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/base/str.h"
#include "proto/wire/envelope.h"
#include "tests/sim/base.h"
#include "tests/sim/net.h"

#include <stdio.h>
#include <string.h>

#define ID_BYTES          16
#define HANDSHAKE_US      (5 * S)
#define BEAT_US           (1 * S)
#define SERVER_SILENCE_US (35 * S)
#define QUEUE_MAX         1024

struct message {
    struct message *next;
    struct sock_peer peer;
    size_t bytes;
    uint8_t data[];
};

struct conn {
    struct conn *next;            /* of the server, newest first */
    struct sock *client, *server; /* NULL: this side has let go */
    struct proc *client_proc, *server_proc;
    uint8_t id[ID_BYTES];
    int64_t last_us[2]; /* arrival of the newest message: to the client, to the server */
    int64_t silent_us;  /* the client, to the server */
    uint32_t under_way;
};

struct sock {
    struct sock *next; /* all */
    struct proc *proc;
    bool is_server, closed;
    char address[SOCK_ADDRESS_BYTES];
    struct message *first, *last, *current;
    uint32_t queued;
    struct conn *conns; /* server */
    struct conn *conn;  /* client; NULL: not up */
    uint8_t id[ID_BYTES];
    enum sock_state state;
    uint32_t connections;
    bool hinted;
    const char *trouble;
};

struct packet {
    struct conn *conn;
    bool to_server;
    struct message *message;
};

struct net net;
static struct sock *all;

/* ---- cuts ---- */

void net_cut(const struct proc *a, const struct proc *b, bool one_way, bool cut)
{
    history("%s between %s and %s%s", cut ? "cut" : "no cut", a->name, b->name,
            one_way ? ", one way" : "");
    net.cut[a->number][b->number] = cut;
    if (!one_way || !cut) net.cut[b->number][a->number] = cut;
}

bool net_is_cut(const struct proc *from, const struct proc *to)
{
    return net.cut[from->number][to->number];
}

static bool answers(const struct proc *from, const struct proc *to)
{
    return !net_is_cut(from, to) && !net_is_cut(to, from) && to->paused_until_us <= sim.now_us;
}

/* ---- connections ---- */

static void hint(struct sock *sock, enum sock_state state, const char *trouble)
{
    sock->state = state;
    sock->trouble = trouble;
    sock->hinted = true;
    fiber_wake(sock->proc->poller);
}

static void client_lost(struct sock *sock, const char *trouble)
{
    if (sock->conn) sock->conn->client = NULL;
    sock->conn = NULL;
    hint(sock, SOCK_LOST, trouble);
}

static void server_lost(struct conn *conn)
{
    struct sock *server = conn->server;
    if (!server) return;
    struct conn **at = &server->conns;
    while (*at != conn) at = &(*at)->next;
    *at = conn->next;
    conn->server = NULL;
}

/* The other side has closed it, or its machine said so. */
static void reset(void *arg, uint64_t at_server)
{
    struct conn *conn = arg;
    if (at_server) {
        if (conn->server) server_lost(conn);
    } else if (conn->client) {
        client_lost(conn->client, "cannot be reached");
    }
}

/* Tells the side that still holds the connection, unless nothing gets through: then it finds out by
 * silence. */
static void tell_reset(struct conn *conn, const struct proc *from, const struct proc *to,
                       bool at_server)
{
    if (net_is_cut(from, to)) return;
    sim_at(sim.now_us + sim_exponential(net.delay_us) + 50, reset, conn, at_server);
}

/* Every second the server looks whether it hears the client. */
static void beat(void *arg, uint64_t number)
{
    struct conn *conn = arg;
    (void)number;
    if (!conn->server) return;
    const bool heard = conn->client && answers(conn->server_proc, conn->client_proc);
    conn->silent_us = heard ? 0 : conn->silent_us + BEAT_US;
    if (conn->silent_us > SERVER_SILENCE_US) server_lost(conn);
    sim_at(sim.now_us + BEAT_US, beat, conn, 0);
}

static struct sock *server_at(const char *address)
{
    for (struct sock *sock = all; sock; sock = sock->next)
        if (sock->is_server && !sock->closed && str_eq(sock->address, address)) return sock;
    return NULL;
}

static const struct proc *owner_of(const char *address)
{
    for (uint32_t i = 0; i < sim.procs_count; i++) {
        const char *name = strstr(address, sim.proc[i].name);
        if (name && name[strlen(sim.proc[i].name)] == ':') return &sim.proc[i];
    }
    CHECK(false);
}

static void come_up(struct sock *sock, struct sock *server)
{
    struct conn *conn = mem_new(sizeof *conn);
    conn->client = sock;
    conn->server = server;
    conn->client_proc = sock->proc;
    conn->server_proc = server->proc;
    memcpy(conn->id, sock->id, ID_BYTES);
    conn->next = server->conns;
    server->conns = conn;
    sock->conn = conn;
    sock->connections++;
    hint(sock, SOCK_UP, "answers");
    sim_at(sim.now_us + BEAT_US, beat, conn, 0);
}

static void give_up(void *arg, uint64_t number)
{
    struct sock *sock = arg;
    (void)number;
    if (sock->closed || sock->state != SOCK_CONNECTING) return;
    client_lost(sock, "does not finish the handshake: is one side without a key file?");
}

static void try_connect(void *arg, uint64_t number)
{
    struct sock *sock = arg;
    (void)number;
    if (sock->closed) return;
    const struct proc *owner = owner_of(sock->address);
    struct sock *server = server_at(sock->address);
    const bool reachable = !net_is_cut(sock->proc, owner) && !net_is_cut(owner, sock->proc);
    if (reachable && !server) {
        client_lost(sock, "cannot be reached");
    } else if (reachable && owner->paused_until_us <= sim.now_us) {
        come_up(sock, server);
    } else {
        sim_at(sim.now_us + HANDSHAKE_US, give_up, sock, 0);
    }
}

static struct sock *sock_new(const char *address)
{
    struct sock *sock = mem_new(sizeof *sock);
    sock->proc = proc_self();
    CHECK(str_copy(sock->address, sizeof sock->address, address));
    sock->next = all;
    all = sock;
    return sock;
}

int sock_listen(struct sock **out, const char *const *address, uint32_t count,
                const struct sock_keys *keys, bool insecure, struct err *err)
{
    (void)keys;
    (void)insecure;
    (void)err;
    CHECK(count == 1);
    CHECK(!server_at(address[0]));
    *out = sock_new(address[0]);
    (*out)->is_server = true;
    return 0;
}

const char *sock_address(const struct sock *sock, uint32_t i)
{
    CHECK(i == 0);
    return sock->address;
}

int sock_connect(struct sock **out, const char *address, const struct sock_keys *keys,
                 struct err *err)
{
    (void)keys;
    (void)err;
    struct sock *sock = sock_new(address);
    rng_secure(sock->id, sizeof sock->id);
    sock->id[0] |= 1;
    sim_at(sim.now_us + sim_exponential(net.delay_us) + 100, try_connect, sock, 0);
    *out = sock;
    return 0;
}

static void sock_end(struct sock *sock)
{
    sock->closed = true;
    if (sock->conn) {
        struct conn *conn = sock->conn;
        conn->client = NULL;
        sock->conn = NULL;
        if (conn->server) tell_reset(conn, conn->client_proc, conn->server_proc, true);
    }
    while (sock->conns) {
        struct conn *conn = sock->conns;
        server_lost(conn);
        if (conn->client) tell_reset(conn, conn->server_proc, conn->client_proc, false);
    }
}

void sock_close(struct sock *sock)
{
    if (!sock || sock->closed) return;
    sock_end(sock);
}

void net_proc_gone(struct proc *proc)
{
    for (struct sock *sock = all; sock; sock = sock->next)
        if (sock->proc == proc && !sock->closed) sock_end(sock);
}

void net_break_one(void)
{
    uint32_t count = 0;
    for (const struct sock *sock = all; sock; sock = sock->next) count += sock->conn != NULL;
    if (!count) return;
    uint64_t skip = sim_below(count);
    struct sock *sock = all;
    while (!sock->conn || skip--) sock = sock->next;
    history("connection of %s breaks", sock->proc->name);
    struct conn *conn = sock->conn;
    if (conn->server) server_lost(conn);
    client_lost(sock, "cannot be reached");
}

/* Client sockets know only this of their keys. */
int sock_keys_load(struct sock_keys *keys, const char *path, struct err *err)
{
    *keys = (struct sock_keys){0};
    return err_set(err, ERR_INVALID, "%s: the simulation has no keys", path);
}

void sock_keys_deinit(struct sock_keys *keys)
{
    *keys = (struct sock_keys){0};
}

const char *sock_role_name(enum sock_role role)
{
    return role == SOCK_ROLE_ADMIN ? "admin" : "none";
}

void sock_allow_replace(struct sock *sock, const struct sock_keys *keys)
{
    (void)sock;
    (void)keys;
}

enum sock_state sock_state(const struct sock *sock)
{
    return sock->state;
}

uint32_t sock_connections(const struct sock *sock)
{
    return sock->connections;
}

const char *sock_trouble(const struct sock *sock)
{
    return sock->trouble;
}

uint64_t sock_dropped(const struct sock *sock)
{
    (void)sock;
    return 0;
}

/* ---- messages ---- */

static void arrive(void *arg, uint64_t number);

static void put_on_the_way(struct conn *conn, bool to_server, struct message *message)
{
    struct packet *packet = mem_new(sizeof *packet);
    int64_t at_us = sim.now_us + 30 + sim_exponential(net.delay_us);
    if (sim_fault(net.late)) at_us += sim_exponential(400 * MS);
    if (!net.rough) {
        if (at_us <= conn->last_us[to_server]) at_us = conn->last_us[to_server] + 1;
        conn->last_us[to_server] = at_us;
    }
    *packet = (struct packet){conn, to_server, message};
    conn->under_way++;
    sim_at(at_us, arrive, packet, 0);
}

static void enqueue(struct sock *sock, struct message *message)
{
    if (sock->last)
        sock->last->next = message;
    else
        sock->first = message;
    sock->last = message;
    sock->queued++;
    fiber_wake(sock->proc->poller);
}

static void arrive(void *arg, uint64_t number)
{
    struct packet *packet = arg;
    struct conn *conn = packet->conn;
    (void)number;
    struct sock *sock = packet->to_server ? conn->server : conn->client;
    const struct proc *from = packet->to_server ? conn->client_proc : conn->server_proc;
    const struct proc *to = packet->to_server ? conn->server_proc : conn->client_proc;
    if (sock && net_is_cut(from, to) && !net.rough) { /* sent again by TCP */
        sim_at(sim.now_us + 200 * MS, arrive, packet, 0);
        return;
    }
    conn->under_way--;
    if (sock && !net_is_cut(from, to))
        enqueue(sock, packet->message);
    else
        mem_free(packet->message);
    mem_free(packet);
}

static struct message *message_new(const struct conn *conn, const void *data, size_t bytes)
{
    struct message *message = mem_new(sizeof *message + bytes);
    message->peer = (struct sock_peer){.id_bytes = ID_BYTES, .role = SOCK_ROLE_ADMIN};
    memcpy(message->peer.id, conn->id, ID_BYTES);
    message->bytes = bytes;
    memcpy(message->data, data, bytes);
    return message;
}

static Vlmq__Type type_of(const void *data, size_t bytes, uint64_t *request_id)
{
    struct envelope envelope = {0};
    struct arena arena;
    struct err err;
    arena_init(&arena, 0);
    const int rc = envelope_open(&envelope, data, bytes, &arena, &err);
    arena_deinit(&arena);
    *request_id = envelope.request_id;
    return rc ? VLMQ__TYPE__TYPE_UNSPECIFIED : envelope.type;
}

/* Who says what to whom, for those who read a whole history. */
static void note(const struct conn *conn, bool to_server, const void *data, size_t bytes)
{
    uint64_t request_id;
    if (!sim.trace) return;
    const Vlmq__Type type = type_of(data, bytes, &request_id);
    (void)printf("%11.6f %-9s   > %s %s #%04x %zu bytes\n", (double)sim.now_us / 1e6,
                 proc_self()->name, (to_server ? conn->server_proc : conn->client_proc)->name,
                 envelope_type_name(type), (unsigned)(request_id & 0xffff), bytes);
}

/* watchers-unheard: a planted fault. */
static bool is_unheard(const void *data, size_t bytes)
{
    uint64_t request_id;
    return sim_canary("watchers-unheard") &&
           type_of(data, bytes, &request_id) == VLMQ__TYPE__WATCH_UPDATE;
}

static bool send_on(struct conn *conn, bool to_server, const void *data, size_t bytes)
{
    if (conn->under_way >= QUEUE_MAX || sim_fault(0.0005)) return false;
    net.messages++;
    note(conn, to_server, data, bytes);
    if (is_unheard(data, bytes) || (net.rough && sim_fault(net.lose))) return true;
    put_on_the_way(conn, to_server, message_new(conn, data, bytes));
    if (net.rough && sim_fault(net.twice))
        put_on_the_way(conn, to_server, message_new(conn, data, bytes));
    return true;
}

bool sock_send_to(struct sock *sock, const struct sock_peer *peer, const void *data, size_t bytes)
{
    CHECK(sock->is_server);
    for (struct conn *conn = sock->conns; conn; conn = conn->next)
        if (peer->id_bytes == ID_BYTES && !memcmp(peer->id, conn->id, ID_BYTES))
            return send_on(conn, false, data, bytes);
    return false;
}

bool sock_send(struct sock *sock, const void *data, size_t bytes)
{
    CHECK(!sock->is_server);
    return sock->conn && send_on(sock->conn, true, data, bytes);
}

int sock_recv(struct sock *sock, struct sock_peer *peer, const void **data, size_t *bytes)
{
    mem_free(sock->current);
    struct message *message = sock->current = sock->first;
    if (!message) return 0;
    sock->first = message->next;
    if (!sock->first) sock->last = NULL;
    sock->queued--;
    if (peer) *peer = message->peer;
    *data = message->data;
    *bytes = message->bytes;
    return 1;
}

static uint32_t ready_mask(const struct sock *sock, const int *fds, uint32_t fds_count)
{
    uint32_t mask = sock->first ? 1 : 0;
    for (uint32_t i = 0; i < fds_count; i++)
        if (fds[i] >= 0 && sim_fd_readable(fds[i])) mask |= 2u << i;
    return mask;
}

uint32_t sock_poll(struct sock *sock, const int *fds, uint32_t fds_count, int64_t wait_ms)
{
    const int64_t end_us = wait_ms < 0 ? -1 : sim.now_us + wait_ms * MS;
    fiber_yield();
    for (;;) {
        const uint32_t mask = ready_mask(sock, fds, fds_count);
        if (mask || sock->hinted || (end_us >= 0 && sim.now_us >= end_us)) {
            sock->hinted = false;
            return mask;
        }
        sock->proc->poller = fiber_self();
        fiber_wait(end_us);
        sock->proc->poller = NULL;
    }
}
