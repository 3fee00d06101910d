/* sock.h - the only user of ZeroMQ: a server socket (ROUTER) and a client socket (DEALER).
 *
 * Security is CURVE: the server has a key pair and an allow-list of public keys with a role each;
 * clients have a key pair and the server's public key. Without keys the server refuses to bind
 * beyond loopback, ipc and inproc, unless told. Sockets belong to one thread. A full or vanished
 * peer never blocks the server (ROUTER_MANDATORY): sock_send answers false, and the requester's
 * resend mends it. Frames over MESSAGE_BYTES_MAX (+ envelope) drop the connection. */
#ifndef WIRE_SOCK_H
#define WIRE_SOCK_H

#include "common/base/err.h"
#include "common/base/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SOCK_KEY_BYTES      41   /* Z85 text of 32 bytes and the terminator */
#define SOCK_PEER_BYTES     32   /* routing ids are at most this long; ours are 5 to 16 bytes */
#define SOCK_ADDRESS_BYTES  256  /* "tcp://" and the longest host name fit */
#define SOCK_ADDRESSES_MAX  16   /* of one server */
#define SOCK_ALLOW_MAX      4096 /* keys of one server: machines, not users of a web page */
#define SOCK_IPC_PATH_BYTES 107  /* what a unix socket's address holds, without the terminator */
#define SOCK_POLL_FDS_MAX   4
/* One message: a body of MESSAGE_BYTES_MAX and the envelope around it. */
#define SOCK_FRAME_BYTES_MAX (MESSAGE_BYTES_MAX + 64)

enum sock_role { SOCK_ROLE_NONE, SOCK_ROLE_CLIENT, SOCK_ROLE_WORKER, SOCK_ROLE_ADMIN };

/* A key file: `name = value` lines.
 *   of a server:  public, secret, and any number of `allow = PUBLIC-KEY ROLE [NAME]`
 *   of a client:  public, secret, server (the server's public key) */
struct sock_allow {
    char key[SOCK_KEY_BYTES];
    enum sock_role role;
    char name[65];
};
struct sock_keys {
    char public_key[SOCK_KEY_BYTES], secret_key[SOCK_KEY_BYTES], server_key[SOCK_KEY_BYTES];
    struct sock_allow *allow; /* heap */
    uint32_t allow_count;
};
/* Refuses files that others may read (mode & 077) with a sentence. */
CHECKED int sock_keys_load(struct sock_keys *keys, const char *path, struct err *err);
void sock_keys_deinit(struct sock_keys *keys);
CHECKED int sock_keys_make(struct sock_keys *keys, struct err *err); /* a fresh pair */
/* "client", "worker", "admin" or "none". */
const char *sock_role_name(enum sock_role role);

struct sock;

/* Who sent a message: compare and copy freely. */
struct sock_peer {
    uint8_t id[SOCK_PEER_BYTES];
    uint8_t id_bytes;
    enum sock_role role; /* ADMIN for everyone when the server has no keys */
};

/* addresses: "tcp://127.0.0.1:5710", "tcp://[::1]:5710", "ipc://path"; the host * is every
 * interface (IPv4 and IPv6), the port * one that the system chooses (sock_address tells). keys
 * NULL: no encryption, refused beyond loopback unless insecure. Keys are checked inside sock_recv
 * and sock_poll, so a new connection waits until the owner calls one of them. A key that
 * sock_allow_replace took away is silenced at once: messages of its standing connections are
 * dropped. */
CHECKED int sock_listen(struct sock **sock, const char *const *address, uint32_t count,
                        const struct sock_keys *keys, bool insecure, struct err *err);
/* The real address of the i-th binding. */
const char *sock_address(const struct sock *sock, uint32_t i);
/* keys NULL: none. Does not wait; messages sent before the connection stands are refused (false).
 * IPv6 addresses stand in brackets; host names are looked up as IPv4. */
CHECKED int sock_connect(struct sock **sock, const char *address, const struct sock_keys *keys,
                         struct err *err);
void sock_close(struct sock *sock); /* drops what is unsent; accepts NULL */

/* Client: what the transport hints about the connection. A lost one stays lost: open a new socket,
 * under whose new routing id the server cannot mistake it for the old one. */
enum sock_state {
    SOCK_CONNECTING,
    SOCK_UP,   /* the handshake succeeded; messages can be sent */
    SOCK_LOST, /* refused or broken */
};
enum sock_state sock_state(const struct sock *sock);
/* Client: how often the connection came up so far: a change tells of it. */
uint32_t sock_connections(const struct sock *sock);
/* Client, while not UP: why, for a sentence: "cannot be reached", "refuses this key", …; NULL: it
 * is not known yet. */
const char *sock_trouble(const struct sock *sock);
/* Received messages that were dropped: of another shape than ours, or of a silenced key. */
uint64_t sock_dropped(const struct sock *sock);

/* A received message stays valid until the next sock_recv on this socket. 1: got one, 0: nothing
 * now. Never waits. Messages of more or fewer frames than ours are dropped and counted. */
int sock_recv(struct sock *sock, struct sock_peer *peer, const void **data, size_t *bytes);
/* Server: to a peer. false: the peer is gone or its queue is full. Never waits. */
bool sock_send_to(struct sock *sock, const struct sock_peer *peer, const void *data, size_t bytes);
/* Client. false: not connected or full. Never waits. */
bool sock_send(struct sock *sock, const void *data, size_t bytes);
/* Waits up to wait_ms (-1: for ever) for the socket or one of the fds to be readable (fd < 0 are
 * skipped). Returns a bit mask: 1 the socket, 2 << i the i-th fd; 0: time is over, a signal came,
 * or (client) sock_state may have changed. */
uint32_t sock_poll(struct sock *sock, const int *fds, uint32_t fds_count, int64_t wait_ms);
/* Server, keys changed on disk: replaces the allow-list. */
void sock_allow_replace(struct sock *sock, const struct sock_keys *keys);

#endif
