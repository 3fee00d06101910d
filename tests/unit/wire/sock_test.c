/* sock_test.c - real sockets over tcp and ipc: who may talk, and what no peer can break.
 *
 * Server and client live in one thread and take turns, so every wait is a bounded loop. */
#include "proto/wire/sock.h"

#include "common/base/clock.h"
#include "common/base/fs.h"
#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/base/str.h"
#include "proto/wire/address.h"
#include "tests/support/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATIENCE_MS 20000

static struct err err;

static bool says(const char *part)
{
    if (strstr(err.msg, part)) return true;
    print_message("the sentence is: %s\n", err.msg);
    return false;
}

static int64_t now_ms(void)
{
    return clock_real.mono_ms(&clock_real);
}

static struct sock *listen_on(const char *address, const struct sock_keys *keys)
{
    struct sock *server = NULL;
    EXPECT_OK(sock_listen(&server, &address, 1, keys, false, &err), &err);
    return server;
}

static struct sock *connect_to(const struct sock *server, const struct sock_keys *keys)
{
    struct sock *client = NULL;
    EXPECT_OK(sock_connect(&client, sock_address(server, 0), keys, &err), &err);
    return client;
}

/* Until a message is at the server; false: patience is over. */
static bool server_gets(struct sock *server, struct sock_peer *peer, const char *text)
{
    const int64_t end = now_ms() + PATIENCE_MS;
    const void *data;
    size_t bytes;
    while (now_ms() < end) {
        if (sock_recv(server, peer, &data, &bytes) == 1)
            return bytes == strlen(text) && memcmp(data, text, bytes) == 0;
        sock_poll(server, NULL, 0, 5);
    }
    return false;
}

static bool client_gets(struct sock *client, const char *text)
{
    const int64_t end = now_ms() + PATIENCE_MS;
    const void *data;
    size_t bytes;
    while (now_ms() < end) {
        if (sock_recv(client, NULL, &data, &bytes) == 1)
            return bytes == strlen(text) && memcmp(data, text, bytes) == 0;
        sock_poll(client, NULL, 0, 5);
    }
    return false;
}

/* Sends once the connection stands; the server works on handshakes meanwhile. */
static bool client_sends(struct sock *client, struct sock *server, const char *text)
{
    const int64_t end = now_ms() + PATIENCE_MS;
    while (now_ms() < end) {
        if (sock_send(client, text, strlen(text))) return true;
        sock_poll(server, NULL, 0, 5);
        sock_poll(client, NULL, 0, 0);
    }
    return false;
}

static void talk(const char *address)
{
    struct sock_peer peer;
    struct sock *server = listen_on(address, NULL), *client = connect_to(server, NULL);
    EXPECT(client_sends(client, server, "hello"));
    EXPECT(server_gets(server, &peer, "hello"));
    EXPECT_EQ(peer.role, SOCK_ROLE_ADMIN);
    EXPECT(sock_send_to(server, &peer, "welcome", 7));
    EXPECT(client_gets(client, "welcome"));
    EXPECT_EQ(sock_state(client), SOCK_UP);
    EXPECT_EQ(sock_connections(client), 1);
    sock_close(client);
    sock_close(server);
}

TEST(sock, talks_over_tcp)
{
    UNUSED_STATE;
    talk("tcp://127.0.0.1:*");
}

TEST(sock, talks_over_ipv6)
{
    UNUSED_STATE;
    const int fd = socket(AF_INET6, SOCK_STREAM, 0);
    const struct sockaddr_in6 loopback = {.sin6_family = AF_INET6,
                                          .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    const bool usable =
        fd >= 0 && bind(fd, (const struct sockaddr *)&loopback, sizeof loopback) == 0;
    if (fd >= 0) close(fd);
    if (!usable) skip();
    talk("tcp://[::1]:*");
}

TEST(sock, talks_over_ipc)
{
    UNUSED_STATE;
    char address[128];
    const char *dir = test_dir_new();
    (void)snprintf(address, sizeof address, "ipc://%s/s", dir);
    talk(address);
    test_dir_remove(dir);
}

TEST(sock, explains_bad_addresses)
{
    UNUSED_STATE;
    struct sock *sock;
    char path[300] = "ipc:///tmp/";
    memset(path + strlen(path), 'x', 150);
    EXPECT_EQ(sock_connect(&sock, path, NULL, &err), ERR_INVALID);
    EXPECT(says("155 bytes, and the system allows 107"));
    static const char *const bad[] = {"",
                                      "127.0.0.1:5710",
                                      "http://x:1",
                                      "tcp://",
                                      "tcp://x",
                                      "tcp://:5710",
                                      "tcp://x:",
                                      "tcp://x:0",
                                      "tcp://x:65536",
                                      "tcp://x:1x",
                                      "tcp://*:5710",
                                      "tcp://x:*",
                                      "tcp://::1:5710",
                                      "tcp://[::1:5710",
                                      "tcp://[::1]5710",
                                      "ipc://"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        err.msg[0] = 0;
        EXPECT_EQ(sock_connect(&sock, bad[i], NULL, &err), ERR_INVALID);
        EXPECT(err.msg[0] != 0);
    }
    const char *taken;
    struct sock *server = listen_on("tcp://127.0.0.1:*", NULL);
    taken = sock_address(server, 0);
    EXPECT_EQ(sock_listen(&sock, &taken, 1, NULL, false, &err), ERR_UNAVAILABLE);
    EXPECT(says("in use"));
    sock_close(server);
    const char *foreign = "tcp://192.0.2.1:*";
    EXPECT_EQ(sock_listen(&sock, &foreign, 1, NULL, true, &err), ERR_INVALID);
    EXPECT(says("no interface"));
    EXPECT_EQ(sock_listen(&sock, &foreign, 0, NULL, true, &err), ERR_INVALID);
}

TEST(sock, knows_what_is_loopback)
{
    UNUSED_STATE;
    struct address address;
    static const char *const local[] = {
        "tcp://127.0.0.1:1", "tcp://127.9.9.9:*", "tcp://[::1]:1", "tcp://[::ffff:127.0.0.1]:1",
        "tcp://localhost:1", "ipc://a",           "inproc://a"};
    static const char *const open[] = {
        "tcp://*:1",          "tcp://0.0.0.0:1",           "tcp://[::]:1", "tcp://10.0.0.1:1",
        "tcp://127.evil.x:1", "tcp://[::ffff:10.0.0.1]:1", "tcp://eth0:1"};
    for (size_t i = 0; i < sizeof local / sizeof *local; i++) {
        EXPECT_OK(address_parse(&address, local[i], true, &err), &err);
        EXPECT(address.local);
    }
    for (size_t i = 0; i < sizeof open / sizeof *open; i++) {
        EXPECT_OK(address_parse(&address, open[i], true, &err), &err);
        EXPECT(!address.local);
    }
}

TEST(sock, opens_the_door_only_with_keys_or_when_told)
{
    UNUSED_STATE;
    struct sock *sock = NULL;
    struct sock_keys keys;
    const char *open = "tcp://*:*";
    EXPECT_EQ(sock_listen(&sock, &open, 1, NULL, false, &err), ERR_DENIED);
    EXPECT(says("--key-file") && says("--insecure"));
    EXPECT_OK(sock_listen(&sock, &open, 1, NULL, true, &err), &err);
    sock_close(sock);
    EXPECT_OK(sock_keys_make(&keys, &err), &err);
    EXPECT_OK(sock_listen(&sock, &open, 1, &keys, false, &err), &err);
    sock_close(sock);
    sock_keys_deinit(&keys);
}

/* Keys. */

struct ring {
    struct sock_keys server, worker, stranger;
    struct sock_allow allow[2];
};

static void ring_make(struct ring *ring)
{
    memset(ring, 0, sizeof *ring);
    EXPECT_OK(sock_keys_make(&ring->server, &err), &err);
    EXPECT_OK(sock_keys_make(&ring->worker, &err), &err);
    EXPECT_OK(sock_keys_make(&ring->stranger, &err), &err);
    EXPECT(str_copy(ring->worker.server_key, SOCK_KEY_BYTES, ring->server.public_key));
    EXPECT(str_copy(ring->stranger.server_key, SOCK_KEY_BYTES, ring->server.public_key));
    EXPECT(str_copy(ring->allow[0].key, SOCK_KEY_BYTES, ring->worker.public_key));
    ring->allow[0].role = SOCK_ROLE_WORKER;
    ring->server.allow = ring->allow;
    ring->server.allow_count = 1;
}

/* Lets both sides work until the client has given its handshake up at least once. */
static bool is_refused(struct sock *client, struct sock *server)
{
    const int64_t end = now_ms() + PATIENCE_MS;
    while (now_ms() < end && sock_state(client) != SOCK_LOST) {
        if (sock_send(client, "x", 1)) return false;
        sock_poll(server, NULL, 0, 5);
        sock_poll(client, NULL, 0, 5);
    }
    return sock_state(client) == SOCK_LOST && !sock_send(client, "x", 1);
}

TEST(sock, passes_the_role_of_an_allowed_key)
{
    UNUSED_STATE;
    struct ring ring;
    struct sock_peer peer;
    ring_make(&ring);
    struct sock *server = listen_on("tcp://127.0.0.1:*", &ring.server);
    struct sock *client = connect_to(server, &ring.worker);
    EXPECT(client_sends(client, server, "take"));
    EXPECT(server_gets(server, &peer, "take"));
    EXPECT_EQ(peer.role, SOCK_ROLE_WORKER);
    EXPECT(sock_send_to(server, &peer, "grant", 5));
    EXPECT(client_gets(client, "grant"));
    sock_close(client);
    sock_close(server);
}

TEST(sock, refuses_unknown_keys_wrong_server_keys_and_none)
{
    UNUSED_STATE;
    struct ring ring;
    ring_make(&ring);
    struct sock *server = listen_on("tcp://127.0.0.1:*", &ring.server);
    struct sock *client = connect_to(server, &ring.stranger);
    EXPECT(is_refused(client, server));
    EXPECT(strstr(sock_trouble(client), "allow-list") != NULL);
    sock_close(client);
    struct sock_keys misled = ring.worker;
    EXPECT(str_copy(misled.server_key, SOCK_KEY_BYTES, ring.stranger.public_key));
    client = connect_to(server, &misled);
    EXPECT(is_refused(client, server));
    sock_close(client);
    client = connect_to(server, NULL);
    EXPECT(is_refused(client, server));
    EXPECT(strstr(sock_trouble(client), "key file") != NULL);
    sock_close(client);
    /* And the server still serves. */
    struct sock_peer peer;
    client = connect_to(server, &ring.worker);
    EXPECT(client_sends(client, server, "still"));
    EXPECT(server_gets(server, &peer, "still"));
    sock_close(client);
    sock_close(server);
}

TEST(sock, silences_a_key_that_was_taken_away)
{
    UNUSED_STATE;
    struct ring ring;
    struct sock_peer peer;
    const void *data;
    size_t bytes;
    ring_make(&ring);
    struct sock *server = listen_on("tcp://127.0.0.1:*", &ring.server);
    struct sock *client = connect_to(server, &ring.worker);
    EXPECT(client_sends(client, server, "one"));
    EXPECT(server_gets(server, &peer, "one"));
    EXPECT(str_copy(ring.allow[1].key, SOCK_KEY_BYTES, ring.stranger.public_key));
    ring.allow[1].role = SOCK_ROLE_CLIENT;
    ring.server.allow = &ring.allow[1];
    sock_allow_replace(server, &ring.server);
    EXPECT(client_sends(client, server, "two"));
    const int64_t end = now_ms() + PATIENCE_MS;
    while (sock_dropped(server) == 0 && now_ms() < end) {
        EXPECT_EQ(sock_recv(server, &peer, &data, &bytes), 0);
        sock_poll(server, NULL, 0, 5);
    }
    EXPECT_EQ(sock_dropped(server), 1);
    struct sock *other = connect_to(server, &ring.stranger);
    EXPECT(client_sends(other, server, "three"));
    EXPECT(server_gets(server, &peer, "three"));
    EXPECT_EQ(peer.role, SOCK_ROLE_CLIENT);
    sock_close(other);
    sock_close(client);
    sock_close(server);
}

static const char *write_keys(const char *dir, const char *text, mode_t mode)
{
    static char path[512];
    EXPECT(fs_join(path, sizeof path, dir, "keys"));
    EXPECT_OK(fs_put(path, text, strlen(text), &err), &err);
    EXPECT_EQ(chmod(path, mode), 0);
    return path;
}

TEST(keys, are_read_from_a_file)
{
    UNUSED_STATE;
    struct sock_keys keys, made, other;
    char text[1024];
    const char *dir = test_dir_new();
    EXPECT_OK(sock_keys_make(&made, &err), &err);
    EXPECT_OK(sock_keys_make(&other, &err), &err);
    (void)snprintf(text, sizeof text,
                   "# a broker\n\npublic = %s\nsecret=%s\r\n  allow = %s worker gpu-7\n"
                   "allow = %s admin",
                   made.public_key, made.secret_key, other.public_key, made.public_key);
    EXPECT_OK(sock_keys_load(&keys, write_keys(dir, text, 0600), &err), &err);
    EXPECT_TEXT(keys.public_key, made.public_key);
    EXPECT_TEXT(keys.secret_key, made.secret_key);
    EXPECT_EQ(keys.allow_count, 2);
    EXPECT_TEXT(keys.allow[0].key, other.public_key);
    EXPECT_EQ(keys.allow[0].role, SOCK_ROLE_WORKER);
    EXPECT_TEXT(keys.allow[0].name, "gpu-7");
    EXPECT_EQ(keys.allow[1].role, SOCK_ROLE_ADMIN);
    EXPECT_TEXT(keys.allow[1].name, "");
    sock_keys_deinit(&keys);
    EXPECT_EQ(keys.secret_key[0], 0);
    test_dir_remove(dir);
}

TEST(keys, that_others_can_read_are_refused)
{
    UNUSED_STATE;
    struct sock_keys keys;
    const char *dir = test_dir_new();
    EXPECT_EQ(sock_keys_load(&keys, write_keys(dir, "public = x\n", 0640), &err), ERR_DENIED);
    EXPECT(says("chmod 600"));
    EXPECT_EQ(sock_keys_load(&keys, dir, &err), ERR_INVALID);
    EXPECT_EQ(sock_keys_load(&keys, "/nonexistent/keys", &err), ERR_NOT_FOUND);
    test_dir_remove(dir);
}

TEST(keys, that_are_malformed_name_their_line_and_no_secret)
{
    UNUSED_STATE;
    struct sock_keys keys, made;
    char text[1024];
    const char *dir = test_dir_new();
    EXPECT_OK(sock_keys_make(&made, &err), &err);
    static const char *const tails[] = {
        "nonsense",       "colour = red",     "allow = short worker",
        "public = short", "secret = 5hort\"", "allow ="};
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        (void)snprintf(text, sizeof text, "public = %s\nsecret = %s\n%s\n", made.public_key,
                       made.secret_key, tails[i]);
        EXPECT_EQ(sock_keys_load(&keys, write_keys(dir, text, 0600), &err), ERR_INVALID);
        EXPECT(says("line 3"));
        EXPECT(!strstr(err.msg, made.secret_key));
    }
    (void)snprintf(text, sizeof text, "public = %s\nsecret = %s\nallow = %s king\n",
                   made.public_key, made.secret_key, made.public_key);
    EXPECT_EQ(sock_keys_load(&keys, write_keys(dir, text, 0600), &err), ERR_INVALID);
    EXPECT(says("role"));
    (void)snprintf(text, sizeof text, "public = %s\n", made.public_key);
    EXPECT_EQ(sock_keys_load(&keys, write_keys(dir, text, 0600), &err), ERR_INVALID);
    EXPECT(says("lacks"));
    EXPECT_EQ(sock_keys_load(&keys, write_keys(dir, "", 0600), &err), ERR_INVALID);
    struct sock *sock;
    EXPECT_EQ(sock_connect(&sock, "tcp://127.0.0.1:1", &made, &err), ERR_INVALID);
    EXPECT(says("server = KEY"));
    test_dir_remove(dir);
}

/* Strangers: plain tcp connections that speak ZMTP 3.0 (RFC 23) as far as it takes. */

static int tcp_to(const struct sock *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    const char *port = strrchr(sock_address(server, 0), ':') + 1;
    address.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT(fd >= 0);
    EXPECT_EQ(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    const struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
    EXPECT_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    return fd;
}

static void put(int fd, const void *data, size_t bytes)
{
    EXPECT_EQ(send(fd, data, bytes, MSG_NOSIGNAL), bytes);
}

static void take(int fd, void *data, size_t bytes)
{
    EXPECT_EQ(recv(fd, data, bytes, MSG_WAITALL), bytes);
}

/* Greets as a DEALER with the routing id of `id_bytes` times 'i'. */
static int zmtp_to(const struct sock *server, uint8_t id_bytes)
{
    uint8_t greeting[64] = {0xff, [9] = 0x7f, 3, 0, 'N', 'U', 'L', 'L'};
    uint8_t ready[256] = {4, 0, 5, 'R', 'E', 'A', 'D', 'Y', 11}, *end = ready + 9;
    const int fd = tcp_to(server);
    memcpy(end, "Socket-Type\0\0\0\6DEALER", 21);
    end += 21;
    memcpy(end, "\10Identity\0\0\0", 12);
    end += 12;
    *end++ = id_bytes;
    memset(end, 'i', id_bytes);
    end += id_bytes;
    put(fd, greeting, sizeof greeting);
    ready[1] = (uint8_t)(end - ready - 2);
    put(fd, ready, (size_t)(end - ready));
    /* Only after the server's greeting and READY may messages follow. */
    take(fd, greeting, sizeof greeting);
    take(fd, ready, 2);
    take(fd, ready + 2, ready[1]);
    return fd;
}

/* Serves until `wanted` messages were dropped; false: another arrived, or patience is over. */
static bool server_drops(struct sock *server, uint64_t wanted)
{
    struct sock_peer peer;
    const void *data;
    size_t bytes;
    const int64_t end = now_ms() + PATIENCE_MS;
    while (now_ms() < end && sock_dropped(server) < wanted) {
        if (sock_recv(server, &peer, &data, &bytes)) return false;
        sock_poll(server, NULL, 0, 5);
    }
    return sock_dropped(server) == wanted;
}

static bool is_closed(int fd)
{
    uint8_t sink[256];
    ssize_t got;
    do {
        got = recv(fd, sink, sizeof sink, 0);
    } while (got > 0);
    return got == 0 || errno == ECONNRESET;
}

TEST(sock, survives_garbage)
{
    UNUSED_STATE;
    struct rng rng;
    struct sock_peer peer;
    struct sock *server = listen_on("tcp://127.0.0.1:*", NULL);
    rng_seed(&rng, test_seed());
    for (int i = 0; i < 50; i++) {
        uint8_t noise[300];
        for (size_t j = 0; j < sizeof noise; j++) noise[j] = (uint8_t)rng_next(&rng);
        const int fd = i % 2 ? tcp_to(server) : zmtp_to(server, 5);
        put(fd, noise, sizeof noise);
        close(fd);
    }
    struct sock *client = connect_to(server, NULL);
    EXPECT(client_sends(client, server, "alive"));
    const int64_t end = now_ms() + PATIENCE_MS;
    bool alive = false;
    while (!alive && now_ms() < end) { /* noise may have made a frame of its own */
        const void *data;
        size_t bytes;
        if (sock_recv(server, &peer, &data, &bytes) == 1)
            alive = bytes == 5 && memcmp(data, "alive", 5) == 0;
        else
            sock_poll(server, NULL, 0, 5);
    }
    EXPECT(alive);
    sock_close(client);
    sock_close(server);
}

TEST(sock, drops_messages_of_other_shapes)
{
    UNUSED_STATE;
    struct sock *server = listen_on("tcp://127.0.0.1:*", NULL);
    int fd = zmtp_to(server, 5);
    put(fd, "\1\1a\1\1b\0\1c", 9); /* three frames */
    EXPECT(server_drops(server, 1));
    close(fd);
    fd = zmtp_to(server, SOCK_PEER_BYTES + 1);
    put(fd, "\0\1a", 3);
    EXPECT(server_drops(server, 2));
    close(fd);
    fd = zmtp_to(server, SOCK_PEER_BYTES);
    put(fd, "\0\1a", 3);
    struct sock_peer peer;
    EXPECT(server_gets(server, &peer, "a"));
    EXPECT_EQ(peer.id_bytes, SOCK_PEER_BYTES);
    close(fd);
    sock_close(server);
}

TEST(sock, drops_connections_that_send_too_much)
{
    UNUSED_STATE;
    struct sock_peer peer;
    const uint64_t large = SOCK_FRAME_BYTES_MAX + 1;
    uint8_t head[9] = {2};
    for (int i = 0; i < 8; i++) head[1 + i] = (uint8_t)(large >> (56 - 8 * i));
    struct sock *server = listen_on("tcp://127.0.0.1:*", NULL);
    const int fd = zmtp_to(server, 5);
    put(fd, head, sizeof head);
    EXPECT(is_closed(fd));
    close(fd);
    /* The largest allowed one arrives. */
    struct sock *client = connect_to(server, NULL);
    char *text = mem_new(SOCK_FRAME_BYTES_MAX + 1);
    memset(text, 'x', SOCK_FRAME_BYTES_MAX);
    EXPECT(client_sends(client, server, text));
    EXPECT(server_gets(server, &peer, text));
    mem_free(text);
    sock_close(client);
    sock_close(server);
}

TEST(sock, hands_a_routing_id_over_to_the_newcomer)
{
    UNUSED_STATE;
    struct sock_peer first, second;
    uint8_t answer[3];
    struct sock *server = listen_on("tcp://127.0.0.1:*", NULL);
    const int old = zmtp_to(server, 7);
    put(old, "\0\1a", 3);
    EXPECT(server_gets(server, &first, "a"));
    const int fresh = zmtp_to(server, 7);
    put(fresh, "\0\1b", 3);
    EXPECT(server_gets(server, &second, "b"));
    EXPECT_MEM(first.id, second.id, 7);
    EXPECT(sock_send_to(server, &second, "c", 1));
    uint8_t window[3] = {0};
    while (recv(fresh, answer, 1, 0) == 1) {
        memmove(window, window + 1, 2);
        window[2] = answer[0];
        if (memcmp(window, "\0\1c", 3) == 0) break;
    }
    EXPECT_MEM(window, "\0\1c", 3);
    close(old);
    close(fresh);
    sock_close(server);
}

TEST(sock, send_to_a_peer_that_is_gone_answers_false)
{
    UNUSED_STATE;
    struct sock_peer peer;
    struct sock *server = listen_on("tcp://127.0.0.1:*", NULL), *client = connect_to(server, NULL);
    EXPECT(client_sends(client, server, "x"));
    EXPECT(server_gets(server, &peer, "x"));
    sock_close(client);
    const int64_t end = now_ms() + PATIENCE_MS;
    bool sent = true;
    while (sent && now_ms() < end) {
        sent = sock_send_to(server, &peer, "y", 1);
        sock_poll(server, NULL, 0, 5);
    }
    EXPECT(!sent);
    peer = (struct sock_peer){.id = "nobody", .id_bytes = 6};
    EXPECT(!sock_send_to(server, &peer, "y", 1));
    sock_close(server);
}

TEST(sock, never_waits_for_a_peer_that_does_not_read)
{
    UNUSED_STATE;
    struct sock_peer peer;
    struct sock *server = listen_on("tcp://127.0.0.1:*", NULL);
    const int fd = zmtp_to(server, 5);
    put(fd, "\0\1a", 3);
    EXPECT(server_gets(server, &peer, "a"));
    char *page = mem_new(64 * 1024);
    int sent = 0;
    while (sent < 100000 && sock_send_to(server, &peer, page, 64 * 1024)) sent++;
    EXPECT(sent > 0 && sent < 100000);
    mem_free(page);
    close(fd);
    sock_close(server);
}

TEST(sock, client_does_not_queue_without_a_connection)
{
    UNUSED_STATE;
    struct sock *client;
    struct sock *server = listen_on("tcp://127.0.0.1:*", NULL);
    char address[SOCK_ADDRESS_BYTES];
    EXPECT(str_copy(address, sizeof address, sock_address(server, 0)));
    sock_close(server);
    EXPECT_OK(sock_connect(&client, address, NULL, &err), &err);
    const int64_t end = now_ms() + PATIENCE_MS;
    while (sock_state(client) != SOCK_LOST && now_ms() < end) sock_poll(client, NULL, 0, 10);
    EXPECT(!sock_send(client, "x", 1));
    EXPECT_EQ(sock_state(client), SOCK_LOST);
    EXPECT_TEXT(sock_trouble(client), "cannot be reached");
    /* Lost is lost, also when somebody listens there at last; a new one connects. */
    server = listen_on(address, NULL);
    sock_poll(client, NULL, 0, 200);
    EXPECT_EQ(sock_state(client), SOCK_LOST);
    sock_close(client);
    struct sock_peer peer;
    client = connect_to(server, NULL);
    EXPECT(client_sends(client, server, "late"));
    EXPECT(server_gets(server, &peer, "late"));
    sock_close(client);
    sock_close(server);
}

TEST(sock, poll_tells_which_of_the_fds_is_ready)
{
    UNUSED_STATE;
    int ends[2], quiet[2];
    struct sock_peer peer;
    EXPECT_EQ(pipe(ends), 0);
    EXPECT_EQ(pipe(quiet), 0);
    struct sock *server = listen_on("tcp://127.0.0.1:*", NULL), *client = connect_to(server, NULL);
    const int fds[] = {-1, quiet[0], ends[0]};
    EXPECT_EQ(sock_poll(server, fds, 3, 0), 0);
    EXPECT_EQ(write(ends[1], "x", 1), 1);
    EXPECT_EQ(sock_poll(server, fds, 3, PATIENCE_MS), 2u << 2);
    EXPECT(client_sends(client, server, "x"));
    uint32_t mask = 0;
    const int64_t end = now_ms() + PATIENCE_MS;
    while (!(mask & 1) && now_ms() < end) mask = sock_poll(server, fds, 3, 5);
    EXPECT_EQ(mask, 1 | 2u << 2);
    EXPECT(server_gets(server, &peer, "x"));
    for (int i = 0; i < 2; i++) {
        close(ends[i]);
        close(quiet[i]);
    }
    sock_close(client);
    sock_close(server);
}

TEST(sock, close_accepts_nothing)
{
    UNUSED_STATE;
    sock_close(NULL);
    EXPECT_TEXT(sock_role_name(SOCK_ROLE_ADMIN), "admin");
    EXPECT_TEXT(sock_role_name(SOCK_ROLE_NONE), "none");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(sock, talks_over_tcp),
        RUN(sock, talks_over_ipv6),
        RUN(sock, talks_over_ipc),
        RUN(sock, explains_bad_addresses),
        RUN(sock, knows_what_is_loopback),
        RUN(sock, opens_the_door_only_with_keys_or_when_told),
        RUN(sock, passes_the_role_of_an_allowed_key),
        RUN(sock, refuses_unknown_keys_wrong_server_keys_and_none),
        RUN(sock, silences_a_key_that_was_taken_away),
        RUN(keys, are_read_from_a_file),
        RUN(keys, that_others_can_read_are_refused),
        RUN(keys, that_are_malformed_name_their_line_and_no_secret),
        RUN(sock, survives_garbage),
        RUN(sock, drops_messages_of_other_shapes),
        RUN(sock, drops_connections_that_send_too_much),
        RUN(sock, hands_a_routing_id_over_to_the_newcomer),
        RUN(sock, send_to_a_peer_that_is_gone_answers_false),
        RUN(sock, never_waits_for_a_peer_that_does_not_read),
        RUN(sock, client_does_not_queue_without_a_connection),
        RUN(sock, poll_tells_which_of_the_fds_is_ready),
        RUN(sock, close_accepts_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
