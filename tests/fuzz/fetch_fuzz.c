/* fetch_fuzz.c - any bytes as what a server sends: status lines, headers (Content-Type,
 * Retry-After, Location), chunks and bodies.
 *
 * Nothing goes to a network: a new socket is one end of a pair whose other end has been given the
 * answer already, connecting it always succeeds, and no name resolves (a packet to a name server
 * fails, since its socket is not really connected). Each further connection (a
 * redirect, a retry) gets what follows the next byte 0xff of the input. An input that begins with a
 * zero byte has a URL before the first 0xff: lists hold any text. One that begins with a one has a
 * robots.txt asked for first. */
int fuzz_socket(int family, int type, int protocol);
#define socket fuzz_socket
#include "worker/pipe/fetch_try.c"
#undef socket

#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <unistd.h>

#define PEERS_MAX      16
#define BODY_BYTES_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static struct {
    const uint8_t *data;
    size_t bytes;
    int peer[PEERS_MAX];
    uint32_t peers_count;
} server;

int connect(int fd, const struct sockaddr *address, socklen_t address_bytes);
int connect(int fd, const struct sockaddr *address, socklen_t address_bytes)
{
    (void)fd, (void)address, (void)address_bytes;
    return 0;
}

/* libcurl is to look up no name. */
int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                struct addrinfo **out);
int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                struct addrinfo **out)
{
    (void)host, (void)port, (void)hints, (void)out;
    abort();
}

int fuzz_socket(int family, int type, int protocol)
{
    int pair[2];
    (void)family, (void)type, (void)protocol;
    if (server.peers_count == PEERS_MAX) return CURL_SOCKET_BAD;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair)) abort();
    const uint8_t *end = server.bytes ? memchr(server.data, 0xff, server.bytes) : NULL;
    const size_t bytes = end ? (size_t)(end - server.data) : server.bytes;
    if (bytes) (void)!write(pair[1], server.data, bytes); /* what fits */
    (void)shutdown(pair[1], SHUT_WR);
    server.data += bytes + (end ? 1 : 0);
    server.bytes -= bytes + (end ? 1 : 0);
    server.peer[server.peers_count++] = pair[1];
    return pair[0];
}

/* The URL of an input that has one, in the caller's memory; else the usual one. */
static const char *take_url(char *text)
{
    if (!server.bytes || server.data[0] != 0) return "http://192.88.98.1/x"; /* never asked */
    const uint8_t *end = memchr(server.data, 0xff, server.bytes);
    const size_t bytes = end ? (size_t)(end - server.data) : server.bytes;
    memcpy(text, server.data + 1, bytes - 1);
    text[bytes - 1] = 0;
    server.data += bytes + (end ? 1 : 0);
    server.bytes -= bytes + (end ? 1 : 0);
    return text;
}

static void check_item(const struct fetch_item *item, bool usual)
{
    CHECK(item->status < FETCH_STATUSES_COUNT);
    CHECK(item->tries <= 2);
    CHECK(item->http_status >= 0 && item->http_status <= 999);
    CHECK((item->status == FETCH_OK) == (item->body.len > 0));
    CHECK(item->body.len <= BODY_BYTES_MAX);
    for (const char *c = item->content_type; *c; c++) CHECK(*c >= ' ' && *c <= '~');
    if (item->status == FETCH_OK && item->tries)
        CHECK(item->http_status >= 200 && item->http_status <= 299);
    if (usual) CHECK(item->status != FETCH_BAD_URL || item->http_status);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const struct fetch_options options = {.transfers = 1,
                                          .robots = bytes > 0 && data[0] == 1,
                                          .total_ms = 400,
                                          .connect_ms = 400,
                                          .redirects = 3,
                                          .retries = 1,
                                          .opt_out = "noai,noindex",
                                          .dns_servers = "127.0.0.1:1", /* nobody */
                                          .body_bytes = BODY_BYTES_MAX};
    struct fetch_item item = {0};
    struct fetch_item *done = NULL;
    struct fetch *fetch = NULL;
    struct err err;
    server.data = data;
    server.bytes = bytes;
    server.peers_count = 0;
    if (options.robots) {
        server.data++;
        server.bytes--;
    }
    char *text = mem_new(bytes + 1);
    item.url = take_url(text);
    buf_init(&item.body, 0);
    CHECK(fetch_new(&fetch, &options, &err) == 0);
    fetch_start(fetch, &item);
    for (int i = 0; i < 10000 && !done; i++) {
        fetch_turn(fetch, 100);
        done = fetch_take(fetch);
    }
    CHECK(done == &item);
    CHECK(fetch_take(fetch) == NULL);
    check_item(&item, item.url != text);
    fetch_free(fetch);
    mem_free(text);
    for (uint32_t i = 0; i < server.peers_count; i++) (void)close(server.peer[i]);
    buf_deinit(&item.body);
    return 0;
}
