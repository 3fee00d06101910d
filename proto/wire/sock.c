/* sock.c - ROUTER and DEALER sockets over libzmq; see sock.h.
 *
 * Each socket has a context of its own, because the handler that decides about keys (ZAP, RFC 27)
 * is found by a fixed name inside the context: so any number of servers live in one process, each
 * with its own allow-list. The handler is an inproc socket served by the owner's thread in
 * sock_recv and sock_poll; nothing here is shared between threads of ours.
 *
 * A client listens to the monitor events of its connection. They are hints that come beside the
 * data, good for deciding to try another address early, never for concluding that something was
 * delivered. */
#include "proto/wire/sock.h"

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/base/str.h"
#include "proto/wire/address.h"

#include <zmq.h>

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Messages queued for one peer beyond the kernel's buffers. To send: every open request of a link
 * answered, twice over; more means the peer does not read. To receive: few, so that a flood waits
 * in the sender (1,000 peers x 16 of the usual size is some tens of megabytes). */
#define SEND_MESSAGES_MAX    1024
#define RECEIVE_MESSAGES_MAX 16
/* A connection that does not finish its handshake is dropped: it costs a file descriptor. */
#define HANDSHAKE_MS 5000
/* Neither side sends heartbeats of ZeroMQ. In 4.3.4 (and 4.3.5) one of them ends the program with
 * an assertion when it meets a connection whose peer has hung up (TCP's reset) while messages of it
 * had to wait: our own when its timer rings, the peer's when it is read behind those messages. No
 * length of the queue mends that, only an endless one; so a peer that is let in can still do it
 * (docs/operations.md), but none of ours does.
 * The server has TCP find machines that vanished: by probes on a quiet connection, and by the
 * longest time that sent bytes may stay unacknowledged. Processes that stand still, and whatever a
 * client waits for, are found by the pings of the link (call.h). */
#define SERVER_PROBE_S     20
#define SERVER_PROBE_GAP_S 5
#define SERVER_PROBES      3
#define SERVER_UNACKED_MS  30000
/* A client's socket has one connection and one routing id. ZeroMQ must not make a second one for
 * it: a server that has not noticed the end of the first yet, and still gets messages of it, keeps
 * the descriptor of that one for ever. (So long is never; without any, it would not tell.) */
#define RECONNECT_MS        3600000
#define BACKLOG             1024 /* a fleet that comes back at once after a restart */
#define DROPS_PER_CALL_MAX  64   /* bad messages in one sock_recv before others get their turn */
#define HANDSHAKES_PER_CALL 64   /* and decisions about keys */
#define RECVS_PER_LOOK      32   /* messages in a row before new connections get their turn */
#define ZAP_ADDRESS         "inproc://zeromq.zap.01"
#define ZAP_DOMAIN          "vlmq"
#define MONITOR_ADDRESS     "inproc://monitor"
#define KEY_BYTES           32
#define ROUTING_ID_BYTES    16

struct sock {
    void *context, *socket;
    void *zap;            /* server with keys: decides about connections */
    void *monitor;        /* client: hints about its connection */
    int fd, other_fd;     /* of the socket; of zap or monitor, or -1 */
    bool other_more;      /* zap was not emptied */
    uint32_t quiet_recvs; /* since the last look at zap or monitor */
    zmq_msg_t message;    /* what sock_recv gave out last */
    bool is_server;
    char (*address)[SOCK_ADDRESS_BYTES];
    uint32_t address_count;
    struct sock_allow *allow; /* sorted by key */
    uint32_t allow_count;
    uint64_t dropped;
    enum sock_state state;
    uint32_t connections;
    bool tcp_up;         /* the transport connected; the handshake has not ended */
    const char *trouble; /* NULL: nothing is known yet */
};

/* zmq's errno: only on the line after a failed call. */
static int fail(struct err *err, enum err_code code, const char *what)
{
    (void)err_set(err, code, "%s: %s", what, zmq_strerror(zmq_errno()));
    return (int)code;
}

static int set_int(struct sock *sock, int option, int value, struct err *err)
{
    if (zmq_setsockopt(sock->socket, option, &value, sizeof value))
        return fail(err, ERR_INTERNAL, "set an option of a socket");
    return 0;
}

static int set_data(struct sock *sock, int option, const void *data, size_t bytes, struct err *err)
{
    if (zmq_setsockopt(sock->socket, option, data, bytes))
        return fail(err, ERR_INTERNAL, "set an option of a socket");
    return 0;
}

static int get_fd(int *fd, void *socket, struct err *err)
{
    size_t bytes = sizeof *fd;
    if (zmq_getsockopt(socket, ZMQ_FD, fd, &bytes))
        return fail(err, ERR_INTERNAL, "get the descriptor of a socket");
    return 0;
}

struct setting {
    int option, value;
};

static int set_all(struct sock *sock, const struct setting *setting, size_t count, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; i < count && !rc; i++)
        rc = set_int(sock, setting[i].option, setting[i].value, err);
    return rc;
}

static int sock_new(struct sock **out, int type, struct err *err)
{
    struct sock *sock = mem_new(sizeof *sock);
    zmq_msg_init(&sock->message);
    sock->is_server = type == ZMQ_ROUTER;
    sock->context = zmq_ctx_new();
    if (sock->context) sock->socket = zmq_socket(sock->context, type);
    if (!sock->socket) {
        const int rc = fail(err, ERR_LIMIT, "open a socket");
        sock_close(sock);
        return rc;
    }
    static const struct setting common[] = {
        {ZMQ_LINGER, 0},
        {ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS},
        {ZMQ_SNDHWM, SEND_MESSAGES_MAX},
        {ZMQ_TCP_KEEPALIVE, 1},
    };
    int rc = set_all(sock, common, sizeof common / sizeof *common, err);
    const int64_t bytes_max = SOCK_FRAME_BYTES_MAX;
    if (!rc) rc = set_data(sock, ZMQ_MAXMSGSIZE, &bytes_max, sizeof bytes_max, err);
    sock->other_fd = -1;
    if (!rc) rc = get_fd(&sock->fd, sock->socket, err);
    if (rc) {
        sock_close(sock);
        return rc;
    }
    *out = sock;
    return 0;
}

int sock_keys_make(struct sock_keys *keys, struct err *err)
{
    *keys = (struct sock_keys){0};
    if (zmq_curve_keypair(keys->public_key, keys->secret_key))
        return fail(err, ERR_INTERNAL, "make a key pair");
    return 0;
}

/* Server: who may connect. */

static int compare_allow(const void *a, const void *b)
{
    return strcmp(((const struct sock_allow *)a)->key, ((const struct sock_allow *)b)->key);
}

static enum sock_role role_of_key(const struct sock *sock, const char *key)
{
    struct sock_allow wanted = {.role = SOCK_ROLE_NONE};
    if (!key || !sock->allow_count || !str_copy(wanted.key, sizeof wanted.key, key))
        return SOCK_ROLE_NONE;
    const struct sock_allow *found =
        bsearch(&wanted, sock->allow, sock->allow_count, sizeof wanted, compare_allow);
    return found ? found->role : SOCK_ROLE_NONE;
}

void sock_allow_replace(struct sock *sock, const struct sock_keys *keys)
{
    CHECK(sock->zap != NULL);
    mem_free(sock->allow);
    sock->allow = mem_new(keys->allow_count * sizeof *sock->allow);
    sock->allow_count = keys->allow_count;
    if (!keys->allow_count) return;
    memcpy(sock->allow, keys->allow, keys->allow_count * sizeof *sock->allow);
    qsort(sock->allow, sock->allow_count, sizeof *sock->allow, compare_allow);
}

/* Reads one message of at most `max` frames into frame; false when there is none. More frames are
 * read and forgotten; *count tells how many there were. */
static bool zap_recv(struct sock *sock, zmq_msg_t *frame, int max, int *count)
{
    *count = 0;
    for (bool more = true; more;) {
        zmq_msg_t part;
        zmq_msg_init(&part);
        if (zmq_msg_recv(&part, sock->zap, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&part);
            return false;
        }
        more = zmq_msg_more(&part);
        if (*count < max) zmq_msg_move(&frame[*count], &part);
        zmq_msg_close(&part);
        ++*count;
    }
    return true;
}

static bool frame_is(zmq_msg_t *frame, const char *text)
{
    return zmq_msg_size(frame) == strlen(text) &&
           memcmp(zmq_msg_data(frame), text, strlen(text)) == 0;
}

static void zap_answer(struct sock *sock, zmq_msg_t *request_id, const char *key, bool allowed)
{
    const char *status = allowed ? "200" : "400", *text = allowed ? "" : "unknown key";
    const char *user = allowed ? key : "";
    zmq_send(sock->zap, "1.0", 3, ZMQ_SNDMORE);
    zmq_send(sock->zap, zmq_msg_data(request_id), zmq_msg_size(request_id), ZMQ_SNDMORE);
    zmq_send(sock->zap, status, 3, ZMQ_SNDMORE);
    zmq_send(sock->zap, text, strlen(text), ZMQ_SNDMORE);
    zmq_send(sock->zap, user, strlen(user), ZMQ_SNDMORE);
    zmq_send(sock->zap, "", 0, 0);
}

/* Frames: version, request id, domain, address, routing id, mechanism, the client's key. The key
 * itself becomes the connection's User-Id, so that its role is looked up with every message. */
static void zap_serve(struct sock *sock)
{
    enum { VERSION, REQUEST_ID, DOMAIN_NAME, ADDRESS, ROUTING_ID, MECHANISM, KEY, FRAMES };
    zmq_msg_t frame[FRAMES];
    sock->other_more = sock->zap;
    for (int served = 0; sock->zap && served < HANDSHAKES_PER_CALL; served++) {
        int count;
        for (int i = 0; i < FRAMES; i++) zmq_msg_init(&frame[i]);
        const bool got = zap_recv(sock, frame, FRAMES, &count);
        if (got) {
            char key[SOCK_KEY_BYTES] = "";
            const bool proper = count == FRAMES && frame_is(&frame[VERSION], "1.0") &&
                                frame_is(&frame[MECHANISM], "CURVE") &&
                                zmq_msg_size(&frame[KEY]) == KEY_BYTES &&
                                zmq_z85_encode(key, zmq_msg_data(&frame[KEY]), KEY_BYTES);
            const bool allowed = proper && role_of_key(sock, key) != SOCK_ROLE_NONE;
            zap_answer(sock, &frame[REQUEST_ID], key, allowed);
        }
        for (int i = 0; i < FRAMES; i++) zmq_msg_close(&frame[i]);
        if (!got) {
            sock->other_more = false;
            return;
        }
    }
}

static int listen_secure(struct sock *sock, const struct sock_keys *keys, struct err *err)
{
    const int no_linger = 0;
    sock->zap = zmq_socket(sock->context, ZMQ_REP);
    if (!sock->zap || zmq_setsockopt(sock->zap, ZMQ_LINGER, &no_linger, sizeof no_linger) ||
        zmq_bind(sock->zap, ZAP_ADDRESS))
        return fail(err, ERR_INTERNAL, "open the handler of keys");
    sock_allow_replace(sock, keys);
    int rc = get_fd(&sock->other_fd, sock->zap, err);
    if (!rc) rc = set_int(sock, ZMQ_CURVE_SERVER, 1, err);
    if (!rc) rc = set_data(sock, ZMQ_ZAP_DOMAIN, ZAP_DOMAIN, strlen(ZAP_DOMAIN), err);
    if (!rc) rc = set_data(sock, ZMQ_CURVE_SECRETKEY, keys->secret_key, SOCK_KEY_BYTES, err);
    return rc;
}

static int bind_one(struct sock *sock, const char *text, bool open_door, struct err *err)
{
    struct address address;
    int rc = address_parse(&address, text, true, err);
    if (rc) return rc;
    if (!address.local && !open_door)
        return err_set(err, ERR_DENIED,
                       "%.80s can be reached from other machines: give --key-file FILE (made by "
                       "vlmq keygen --server), or --insecure if everyone there may do everything",
                       text);
    rc = set_int(sock, ZMQ_IPV6, address.ipv6, err);
    if (rc) return rc;
    if (zmq_bind(sock->socket, text)) {
        switch (zmq_errno()) {
        case EADDRINUSE:
            return err_set(err, ERR_UNAVAILABLE, "listen on %.100s: the address is in use", text);
        case ENODEV:
        case EADDRNOTAVAIL:
            return err_set(err, ERR_INVALID,
                           "listen on %.100s: no interface of this machine has that address", text);
        default:
            return err_set(err, ERR_UNAVAILABLE, "listen on %.100s: %s", text,
                           zmq_strerror(zmq_errno()));
        }
    }
    size_t bytes = SOCK_ADDRESS_BYTES;
    char *real = sock->address[sock->address_count++];
    if (zmq_getsockopt(sock->socket, ZMQ_LAST_ENDPOINT, real, &bytes))
        return fail(err, ERR_INTERNAL, "ask for the address");
    return 0;
}

int sock_listen(struct sock **out, const char *const *address, uint32_t count,
                const struct sock_keys *keys, bool insecure, struct err *err)
{
    struct sock *sock = NULL;
    if (count == 0 || count > SOCK_ADDRESSES_MAX)
        return err_set(err, ERR_INVALID, "a server listens on 1 to %d addresses, not %u",
                       SOCK_ADDRESSES_MAX, count);
    int rc = sock_new(&sock, ZMQ_ROUTER, err);
    if (rc) return rc;
    static const struct setting settings[] = {
        {ZMQ_ROUTER_MANDATORY, 1},
        {ZMQ_ROUTER_HANDOVER, 1},
        {ZMQ_RCVHWM, RECEIVE_MESSAGES_MAX},
        {ZMQ_BACKLOG, BACKLOG},
        {ZMQ_TCP_KEEPALIVE_IDLE, SERVER_PROBE_S},
        {ZMQ_TCP_KEEPALIVE_INTVL, SERVER_PROBE_GAP_S},
        {ZMQ_TCP_KEEPALIVE_CNT, SERVER_PROBES},
        {ZMQ_TCP_MAXRT, SERVER_UNACKED_MS},
    };
    rc = set_all(sock, settings, sizeof settings / sizeof *settings, err);
    sock->address = mem_new(count * sizeof *sock->address);
    if (!rc && keys) rc = listen_secure(sock, keys, err);
    for (uint32_t i = 0; i < count && !rc; i++)
        rc = bind_one(sock, address[i], keys || insecure, err);
    if (rc) {
        sock_close(sock);
        return rc;
    }
    zap_serve(sock); /* empty: from now on its descriptor tells */
    *out = sock;
    return 0;
}

const char *sock_address(const struct sock *sock, uint32_t i)
{
    CHECK(i < sock->address_count);
    return sock->address[i];
}

/* Client. */

static void learn(struct sock *sock, uint16_t event)
{
    switch (event) {
    case ZMQ_EVENT_CONNECTED:
        sock->tcp_up = true;
        sock->trouble = "does not finish the handshake: is one side without a key file?";
        break;
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
        sock->state = SOCK_UP;
        sock->connections++;
        sock->tcp_up = false;
        sock->trouble = "answers";
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
        sock->trouble = "refuses this key: it is not in its allow-list";
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
        sock->trouble = "refuses the handshake: one side has no key file, or it is no broker";
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
        sock->trouble = "ends the handshake: is its public key right in the key file?";
        break;
    default: /* disconnected, or not connected at all */
        if (!sock->tcp_up) sock->trouble = "cannot be reached";
        if (event == ZMQ_EVENT_CONNECT_RETRIED) sock->tcp_up = false;
        sock->state = SOCK_LOST;
        break;
    }
}

/* Reads what the monitor has: a frame with the event's number (and a value), one with its
 * address. */
static void monitor_serve(struct sock *sock)
{
    while (sock->monitor) {
        uint8_t frame[6];
        const int bytes = zmq_recv(sock->monitor, frame, sizeof frame, ZMQ_DONTWAIT);
        if (bytes < 0) return;
        CHECK(bytes == sizeof frame);
        uint16_t event;
        memcpy(&event, frame, sizeof event);
        zmq_recv(sock->monitor, NULL, 0, 0);
        learn(sock, event);
    }
}

static int connect_secure(struct sock *sock, const struct sock_keys *keys, struct err *err)
{
    if (!keys->server_key[0])
        return err_set(err, ERR_INVALID,
                       "the key file lacks the line `server = KEY` with the broker's public key");
    int rc = set_data(sock, ZMQ_CURVE_SERVERKEY, keys->server_key, SOCK_KEY_BYTES, err);
    if (!rc) rc = set_data(sock, ZMQ_CURVE_PUBLICKEY, keys->public_key, SOCK_KEY_BYTES, err);
    if (!rc) rc = set_data(sock, ZMQ_CURVE_SECRETKEY, keys->secret_key, SOCK_KEY_BYTES, err);
    return rc;
}

/* What the key handler or the monitor has. Either raises its descriptor only after it was found
 * empty. */
static void serve_other(struct sock *sock)
{
    sock->quiet_recvs = 0;
    zap_serve(sock);
    monitor_serve(sock);
}

static int watch_connection(struct sock *sock, struct err *err)
{
    const int events = ZMQ_EVENT_CONNECTED | ZMQ_EVENT_CONNECT_RETRIED | ZMQ_EVENT_DISCONNECTED |
                       ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
                       ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL;
    if (zmq_socket_monitor(sock->socket, MONITOR_ADDRESS, events))
        return fail(err, ERR_INTERNAL, "watch a connection");
    sock->monitor = zmq_socket(sock->context, ZMQ_PAIR);
    if (!sock->monitor || zmq_connect(sock->monitor, MONITOR_ADDRESS))
        return fail(err, ERR_INTERNAL, "watch a connection");
    return get_fd(&sock->other_fd, sock->monitor, err);
}

int sock_connect(struct sock **out, const char *text, const struct sock_keys *keys, struct err *err)
{
    struct sock *sock = NULL;
    struct address address;
    uint8_t id[ROUTING_ID_BYTES];
    int rc = address_parse(&address, text, false, err);
    if (!rc) rc = sock_new(&sock, ZMQ_DEALER, err);
    if (rc) return rc;
    /* A random name of its own; names that begin with zero are ZeroMQ's. */
    rng_secure(id, sizeof id);
    id[0] |= 1;
    const struct setting settings[] = {
        {ZMQ_IMMEDIATE, 1},
        {ZMQ_IPV6, address.ipv6},
        {ZMQ_RCVHWM, SEND_MESSAGES_MAX},
        {ZMQ_RECONNECT_IVL, RECONNECT_MS},
    };
    rc = set_all(sock, settings, sizeof settings / sizeof *settings, err);
    if (!rc) rc = set_data(sock, ZMQ_ROUTING_ID, id, sizeof id, err);
    if (!rc && keys) rc = connect_secure(sock, keys, err);
    if (!rc) rc = watch_connection(sock, err);
    if (!rc && zmq_connect(sock->socket, text))
        rc = err_set(err, ERR_INVALID, "connect to %.100s: %s", text, zmq_strerror(zmq_errno()));
    if (rc) {
        sock_close(sock);
        return rc;
    }
    serve_other(sock);
    *out = sock;
    return 0;
}

void sock_close(struct sock *sock)
{
    if (!sock) return;
    zmq_msg_close(&sock->message);
    if (sock->monitor) {
        /* libzmq loses the memory of an event that nobody is there to take. */
        (void)zmq_socket_monitor(sock->socket, NULL, 0);
        zmq_close(sock->monitor);
    }
    if (sock->socket) zmq_close(sock->socket);
    if (sock->zap) zmq_close(sock->zap);
    while (sock->context && zmq_ctx_term(sock->context) && zmq_errno() == EINTR) continue;
    mem_free(sock->address);
    mem_free(sock->allow);
    mem_free(sock);
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
    return sock->dropped;
}

/* Messages. */

static bool recv_frame(struct sock *sock, zmq_msg_t *frame)
{
    zmq_msg_close(frame);
    zmq_msg_init(frame);
    int got;
    do {
        got = zmq_msg_recv(frame, sock->socket, ZMQ_DONTWAIT);
    } while (got < 0 && zmq_errno() == EINTR);
    return got >= 0;
}

/* Frames of one message come together, so the rest of it is there. */
static void drop_rest(struct sock *sock)
{
    while (zmq_msg_more(&sock->message) && recv_frame(sock, &sock->message)) continue;
    sock->dropped++;
}

/* 1: message holds the only frame after the peer's name; 0: nothing there; -1: dropped one. */
static int recv_one(struct sock *sock, struct sock_peer *peer)
{
    if (!recv_frame(sock, &sock->message)) return 0;
    if (sock->is_server) {
        const size_t bytes = zmq_msg_size(&sock->message);
        const bool fits = bytes > 0 && bytes <= SOCK_PEER_BYTES;
        if (!fits || !zmq_msg_more(&sock->message)) {
            drop_rest(sock);
            return -1;
        }
        *peer = (struct sock_peer){.id_bytes = (uint8_t)bytes};
        memcpy(peer->id, zmq_msg_data(&sock->message), bytes);
        if (!recv_frame(sock, &sock->message)) return -1;
        peer->role = sock->zap ? role_of_key(sock, zmq_msg_gets(&sock->message, "User-Id"))
                               : SOCK_ROLE_ADMIN;
    }
    if (zmq_msg_more(&sock->message) || (sock->is_server && peer->role == SOCK_ROLE_NONE)) {
        drop_rest(sock);
        return -1;
    }
    return 1;
}

int sock_recv(struct sock *sock, struct sock_peer *peer, const void **data, size_t *bytes)
{
    CHECK(!sock->is_server || peer != NULL);
    const bool is_new = !sock->is_server && sock->state != SOCK_UP;
    if (is_new || ++sock->quiet_recvs >= RECVS_PER_LOOK) serve_other(sock);
    for (int i = 0; i < DROPS_PER_CALL_MAX; i++) {
        const int got = recv_one(sock, peer);
        if (got == 0) break;
        if (got < 0) continue;
        *data = zmq_msg_data(&sock->message);
        *bytes = zmq_msg_size(&sock->message);
        return 1;
    }
    serve_other(sock);
    return 0;
}

bool sock_send_to(struct sock *sock, const struct sock_peer *peer, const void *data, size_t bytes)
{
    CHECK(sock->is_server);
    CHECK(bytes <= SOCK_FRAME_BYTES_MAX);
    const int flags = ZMQ_DONTWAIT;
    if (zmq_send(sock->socket, peer->id, peer->id_bytes, flags | ZMQ_SNDMORE) < 0) return false;
    return zmq_send(sock->socket, data, bytes, flags) >= 0;
}

bool sock_send(struct sock *sock, const void *data, size_t bytes)
{
    CHECK(!sock->is_server);
    CHECK(bytes <= SOCK_FRAME_BYTES_MAX);
    return zmq_send(sock->socket, data, bytes, ZMQ_DONTWAIT) >= 0;
}

static bool has_message(struct sock *sock)
{
    int events = 0;
    size_t bytes = sizeof events;
    while (zmq_getsockopt(sock->socket, ZMQ_EVENTS, &events, &bytes) && zmq_errno() == EINTR)
        continue;
    return events & ZMQ_POLLIN;
}

static int poll_limit(int64_t wait_ms, int64_t end_ms)
{
    if (wait_ms < 0) return -1;
    const int64_t left_ms = end_ms - clock_real.mono_ms(&clock_real);
    return left_ms < 0 ? 0 : left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}

/* zmq_poll would do the same with three times as many system calls. A socket's descriptor tells of
 * news, not of messages, and whoever sends may have read the news: so messages are asked for before
 * every wait. Nothing is sent on the other socket after it was last emptied. */
uint32_t sock_poll(struct sock *sock, const int *fds, uint32_t fds_count, int64_t wait_ms)
{
    CHECK(fds_count <= SOCK_POLL_FDS_MAX);
    struct pollfd item[2 + SOCK_POLL_FDS_MAX] = {{.fd = sock->fd, .events = POLLIN},
                                                 {.fd = sock->other_fd, .events = POLLIN}};
    for (uint32_t i = 0; i < fds_count; i++)
        item[2 + i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
    const int64_t end_ms = wait_ms < 0 ? INT64_MAX : clock_real.mono_ms(&clock_real) + wait_ms;
    for (;;) {
        uint32_t mask = has_message(sock) ? 1 : 0;
        const int limit = mask || sock->other_more ? 0 : poll_limit(wait_ms, end_ms);
        if (poll(item, 2 + fds_count, limit) < 0) return mask; /* a signal */
        for (uint32_t i = 0; i < fds_count; i++)
            if (item[2 + i].revents) mask |= 2u << i;
        const bool hinted = item[1].revents || sock->other_more;
        if (hinted) serve_other(sock);
        if (!(mask & 1) && item[0].revents && has_message(sock)) mask |= 1;
        if (mask || wait_ms == 0 || poll_limit(wait_ms, end_ms) == 0) return mask;
        if (hinted && !sock->is_server) return mask;
    }
}
