/* fetch.h - HTTP transfers of untrusted URLs, many at a time on one thread.
 *
 * One thread owns a struct fetch: it starts items, calls fetch_turn, and takes the finished ones;
 * only fetch_wake may be called by others. An item is the caller's and belongs to the fetch between
 * fetch_start and the fetch_take that gives it back (or fetch_free, which abandons it).
 *
 * What a hostile or broken server can cost is bounded: time (a total deadline with redirects and
 * retries, one for connecting, and a minimum speed), bytes (of body and of headers, counted while
 * they are read), redirects, schemes (http and https, on every hop; a data: URL of the list is
 * decoded here) and addresses: those that are
 * not public are refused when the socket is made, so neither a redirect nor a name that resolves
 * differently the second time gets through. Proxies of the environment and compressed
 * bodies are not used; cookies, if at all, from one hop to the next.
 *
 * What our own crowd of transfers can cost a server is bounded too: see fetch_host.h. Items that
 * must wait for their host's turn are in a queue of that host, take no room and have no deadline
 * yet. */
#ifndef PIPE_FETCH_H
#define PIPE_FETCH_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "worker/pipe/fetch_url.h"

#include <stdbool.h>
#include <stdint.h>

struct sockaddr;

/* X(symbol, name, whether a later try may succeed, sentence). The names are documented in
 * docs/download.md and stay as they are. */
#define FETCH_STATUSES(X)                                                                         \
    X(FETCH_OK, "success", false, "")                                                             \
    X(FETCH_BAD_URL, "bad_url", false, "not a valid http, https or data URL")                     \
    X(FETCH_REFUSED_ADDRESS, "refused_address", false, "the host's address is not public")        \
    X(FETCH_DNS_NOT_FOUND, "dns_not_found", false,                                                \
      "the host's name does not exist or has no address")                                         \
    X(FETCH_DNS_FAILED, "dns_failed", true, "the name servers failed to resolve the host's name") \
    X(FETCH_DNS_TIMEOUT, "dns_timeout", true, "the name servers did not answer in time")          \
    X(FETCH_CONNECT_FAILED, "connect_failed", true, "the host refused the connection")            \
    X(FETCH_CONNECT_TIMEOUT, "connect_timeout", true, "no connection within the time limit")      \
    X(FETCH_TLS_FAILED, "tls_failed", false, "no trusted TLS connection")                         \
    X(FETCH_TIMEOUT, "timeout", true, "not complete within the time limit")                       \
    X(FETCH_TOO_SLOW, "too_slow", true, "slower than the minimum speed")                          \
    X(FETCH_CONNECTION_LOST, "connection_lost", true, "the connection ended before the body did") \
    X(FETCH_PROTOCOL_ERROR, "protocol_error", false, "the answer is not valid HTTP")              \
    X(FETCH_TOO_MANY_REDIRECTS, "too_many_redirects", false, "redirected too often")              \
    X(FETCH_BAD_REDIRECT, "bad_redirect", false, "redirected to something other than http(s)")    \
    X(FETCH_HTTP_STATUS, "http_status", false, "HTTP status")                                     \
    X(FETCH_EMPTY_BODY, "empty_body", false, "the body is empty")                                 \
    X(FETCH_TOO_MANY_BYTES, "too_many_bytes", false, "the body is larger than the limit")         \
    X(FETCH_OPTED_OUT, "opted_out", false, "the server's X-Robots-Tag says not to use it")        \
    X(FETCH_ROBOTS_DENIED, "robots_denied", false, "the host's robots.txt does not allow it")     \
    X(FETCH_SHARD_TIMEOUT, "shard_timeout", false, "too long behind the other rows of its shard") \
    X(FETCH_HOST_DOWN, "host_down", false, "the transfers from its host failed for some time")    \
    X(FETCH_HOST_BUSY, "host_busy", false, "the host asks to be left alone for longer")           \
    X(FETCH_FAILED, "fetch_failed", false, "the transfer failed on this machine")

enum fetch_status {
#define X(symbol, name, retry, sentence) symbol,
    FETCH_STATUSES(X)
#undef X
        FETCH_STATUSES_COUNT
};

const char *fetch_status_name(enum fetch_status status);
const char *fetch_status_text(enum fetch_status status);

#define FETCH_URL_BYTES_MAX    8192 /* what servers accept; longer ones are data, not names */
#define FETCH_TYPE_BYTES       96
#define FETCH_TRANSFERS_MAX    4096 /* sockets, and buffers of 64 KiB */
#define FETCH_REDIRECTS_MAX    50
#define FETCH_HEADER_BYTES_MAX (256 * 1024) /* of all hops of one try */
/* Longer pauses that a host asks for are cut to this: its rows fail long before. */
#define FETCH_PAUSE_S_MAX 3600

struct fetch_options {
    uint32_t transfers; /* at a time */
    int64_t total_ms;
    int64_t connect_ms;         /* of a look-up of a name, and again of a connection */
    int64_t slow_bytes, slow_s; /* fails under slow_bytes per second for slow_s seconds; 0: off */
    uint32_t redirects, retries;
    int64_t backoff_ms; /* before the first retry; doubled for each further one, with jitter */
    int64_t body_bytes;
    uint32_t per_host; /* at a time to one host and port; 0: no limit but transfers */
    /* A host is down after so many connections that failed one after another, or transfers that
     * came to a time limit (0: never), or answers 429 and 503, the first of them so long ago; and
     * is tried again after a pause, which doubles each time. */
    uint32_t down_failures;
    int64_t down_after_ms, down_pause_ms;
    bool cookies; /* those set on the way are sent to later hops, as a browser would */
    bool robots;  /* keep to robots.txt files */
    bool allow_private;
    const char *opt_out; /* X-Robots-Tag directives to keep to, by commas; NULL: none; copied */
    const char *agent;   /* User-Agent; copied */
    /* Certificates to trust, copied; NULL: those of SSL_CERT_FILE, else the system's. */
    const char *ca_file;
    /* Name servers instead of the machine's, as "192.0.2.1:53", by commas; NULL; not kept. */
    const char *dns_servers;
};

struct fetch_item {
    const char *url; /* in: the caller keeps it until the item is back */
    struct buf
        *final_url;  /* in: the caller's, or NULL; out: the last hop, empty without a redirect */
    struct buf body; /* in: the caller's, emptied at the start; out: the body, if status is OK */
    enum fetch_status status;
    int32_t http_status;                 /* of the last answer; 0: there was none */
    char content_type[FETCH_TYPE_BYTES]; /* as the server says; printable ASCII; may be empty */
    uint32_t tries;
    int64_t spent_ms; /* from the first try to the end */
    /* The fetch's own. */
    struct fetch_item *next;
    struct fetch_url at;               /* the hop that it is at */
    struct fetch_host *host;           /* of that hop, while it runs */
    int64_t deadline_at_ms, due_at_ms; /* deadline 0: it was not tried yet */
    void *cookies;                     /* of the hops so far, a curl_slist */
    uint32_t redirects;
    size_t header_bytes;
    bool probes;
    bool fresh;     /* takes no connection that was used before */
    bool named;     /* out: on its way was a host that is a name, not an address */
    bool for_rules; /* it is a robots.txt; see fetch_rules.h */
};

struct fetch;

CHECKED int fetch_new(struct fetch **fetch, const struct fetch_options *options, struct err *err);
/* Drops what is under way. Accepts NULL. */
void fetch_free(struct fetch *fetch);
/* How many items can run besides those that do. More may be started: they wait. */
uint32_t fetch_room(const struct fetch *fetch);
/* Transfers that are under way. */
uint32_t fetch_running(const struct fetch *fetch);
/* While it holds, no item's turn comes, also if it was started before. Those go on whose turn it
 * was and that only wait for an address. */
void fetch_hold(struct fetch *fetch, bool hold);
/* Whether fetch_take has one. */
bool fetch_has_ended(const struct fetch *fetch);
/* An item that cannot be started at all is finished at once, with its status. */
void fetch_start(struct fetch *fetch, struct fetch_item *item);
/* Moves the transfers on; waits up to wait_ms for something to do if nothing is finished yet. */
void fetch_turn(struct fetch *fetch, int64_t wait_ms);
/* Finishes all items that are not, as FETCH_SHARD_TIMEOUT or as what an earlier try ended in. */
void fetch_abandon(struct fetch *fetch);
/* The next finished item; NULL: none now. */
struct fetch_item *fetch_take(struct fetch *fetch);
/* Ends a waiting fetch_turn; any thread. */
void fetch_wake(struct fetch *fetch);

/* Whether an address is one of the public Internet, by the IANA special-purpose registries. An
 * IPv4 address inside an IPv6 one counts as itself. */
bool fetch_address_is_public(const struct sockaddr *address);

#endif
