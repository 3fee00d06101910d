/* fetch.c - transfers over libcurl's multi interface.
 *
 * A slot is one try: an easy handle and its state. Connections, names and certificates belong to
 * the multi handle, and are shared by all of them. An item is in one of three places: a slot, the
 * list of those that wait for their next try, or the list of the finished ones. */
#include "worker/pipe/fetch.h"

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/base/str.h"

#include <curl/curl.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* The body of an error page is read up to here, so that the connection can be used again. */
#define DISCARD_BYTES_MAX (16 * 1024)
#define RECEIVE_BYTES     (64 * 1024L)
#define BACKOFF_MS_MAX    10000

struct slot {
    struct fetch *fetch;
    CURL *easy;
    struct fetch_item *item; /* NULL: free */
    int64_t started_at_ms;
    int64_t limit_ms; /* of this try */
    size_t header_bytes, discarded_bytes;
    uint32_t requests; /* sent in this try, one per hop */
    bool addressed;    /* this hop's name was resolved: a socket was asked for */
    bool refused, too_large, too_many_headers, no_memory;
};

struct fetch {
    struct fetch_options options;
    CURLM *multi;
    CURLU *parser;
    struct curl_slist *headers;
    char *agent, *ca_file;
    struct rng rng;
    struct slot *slot;
    uint32_t running;
    struct fetch_item *waiting, *done_first, *done_last;
};

static const struct {
    const char *name, *text;
    bool retry;
} statuses[FETCH_STATUSES_COUNT] = {
#define X(symbol, name, retry, sentence) [symbol] = {name, sentence, retry},
    FETCH_STATUSES(X)
#undef X
};

const char *fetch_status_name(enum fetch_status status)
{
    CHECK(status < FETCH_STATUSES_COUNT);
    return statuses[status].name;
}

const char *fetch_status_text(enum fetch_status status)
{
    CHECK(status < FETCH_STATUSES_COUNT);
    return statuses[status].text;
}

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_started;

static void curl_start(void)
{
    curl_started = curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* ---- what curl calls during a transfer ---- */

static size_t on_body(char *data, size_t size, size_t count, void *ctx)
{
    struct slot *slot = ctx;
    const size_t bytes = size * count;
    const struct fetch_options *options = &slot->fetch->options;
    long code = 0;
    (void)curl_easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE, &code);
    if (code < 200 || code > 299) {
        slot->discarded_bytes += bytes;
        return slot->discarded_bytes > DISCARD_BYTES_MAX ? 0 : bytes;
    }
    struct buf *body = &slot->item->body;
    if ((int64_t)bytes > options->body_bytes - (int64_t)body->len) {
        slot->too_large = true;
        return 0;
    }
    buf_add(body, data, bytes);
    if (!buf_failed(body)) return bytes;
    slot->no_memory = true;
    return 0;
}

static size_t on_header(char *data, size_t size, size_t count, void *ctx)
{
    struct slot *slot = ctx;
    const size_t bytes = size * count;
    slot->header_bytes += bytes;
    if (slot->header_bytes > FETCH_HEADER_BYTES_MAX) {
        slot->too_many_headers = true;
        return 0;
    }
    if (bytes < 5 || memcmp(data, "HTTP/", 5) != 0) return bytes;
    /* The answer of a hop: what an earlier one sent is not the body, and the next one will have a
     * name of its own. */
    buf_clear(&slot->item->body);
    slot->addressed = false;
    return bytes;
}

static curl_socket_t on_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct slot *slot = ctx;
    if (purpose != CURLSOCKTYPE_IPCXN) return CURL_SOCKET_BAD;
    slot->addressed = true;
    if (!slot->fetch->options.allow_private && !fetch_address_is_public(&address->addr)) {
        slot->refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static int on_request(void *ctx, char *ip, char *local_ip, int port, int local_port)
{
    struct slot *slot = ctx;
    (void)ip, (void)local_ip, (void)port, (void)local_port;
    slot->requests++;
    return CURL_PREREQFUNC_OK;
}

/* ---- one try ---- */

static void set_limits(CURL *easy, const struct fetch_options *options, int64_t limit_ms)
{
    const int64_t connect_ms = options->connect_ms < limit_ms ? options->connect_ms : limit_ms;
    (void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)limit_ms);
    (void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
    (void)curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, (long)options->slow_bytes);
    (void)curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)options->slow_s);
    (void)curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)options->body_bytes);
    (void)curl_easy_setopt(easy, CURLOPT_MAXREDIRS, (long)options->redirects);
    (void)curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
}

/* false: this libcurl cannot do what the safety of the machine needs. */
static bool set_guards(CURL *easy, struct slot *slot)
{
    (void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, slot);
    (void)curl_easy_setopt(easy, CURLOPT_PREREQDATA, slot);
    return !curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") &&
           !curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https") &&
           !curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_socket) &&
           !curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_request) &&
           !curl_easy_setopt(easy, CURLOPT_PROXY, "") &&
           !curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* never waits for a resolver */
}

static void set_request(CURL *easy, struct slot *slot)
{
    const struct fetch *fetch = slot->fetch;
    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(easy, CURLOPT_HTTP_CONTENT_DECODING, 0L);
    (void)curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, RECEIVE_BYTES);
    (void)curl_easy_setopt(easy, CURLOPT_USERAGENT, fetch->agent);
    (void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, fetch->headers);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, slot);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, slot);
    (void)curl_easy_setopt(easy, CURLOPT_PRIVATE, slot);
    /* Without a folder of certificates libcurl caches the parsed file; with one it parses the
     * file for each connection, which is 25 times the cost of the handshake. */
    (void)curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    if (fetch->ca_file) (void)curl_easy_setopt(easy, CURLOPT_CAINFO, fetch->ca_file);
}

/* Hands the URL to the handle as curl's own parser sees it: no spaces, no control characters, a
 * scheme of ours. */
static bool set_url(struct fetch *fetch, CURL *easy, const char *url)
{
    if (strlen(url) > FETCH_URL_BYTES_MAX) return false;
    /* A parser that still holds a URL would read this one as relative to it. */
    if (curl_url_set(fetch->parser, CURLUPART_URL, NULL, 0)) return false;
    if (curl_url_set(fetch->parser, CURLUPART_URL, url, CURLU_URLENCODE)) return false;
    char *scheme = NULL, *whole = NULL;
    bool ok = !curl_url_get(fetch->parser, CURLUPART_SCHEME, &scheme, 0) &&
              (!strcmp(scheme, "http") || !strcmp(scheme, "https")) &&
              !curl_url_get(fetch->parser, CURLUPART_URL, &whole, 0) &&
              !curl_easy_setopt(easy, CURLOPT_URL, whole);
    curl_free(scheme);
    curl_free(whole);
    return ok;
}

static void finish(struct fetch *fetch, struct fetch_item *item, enum fetch_status status)
{
    item->status = status;
    item->next = NULL;
    if (status != FETCH_OK) buf_clear(&item->body);
    if (fetch->done_last)
        fetch->done_last->next = item;
    else
        fetch->done_first = item;
    fetch->done_last = item;
}

static struct slot *slot_free(struct fetch *fetch)
{
    for (uint32_t i = 0; i < fetch->options.transfers; i++)
        if (!fetch->slot[i].item) return &fetch->slot[i];
    return NULL;
}

static void try_item(struct fetch *fetch, struct fetch_item *item, int64_t now_ms)
{
    struct slot *slot = slot_free(fetch);
    CHECK(slot != NULL);
    /* A handle of its own for each try: libcurl 7.88 keeps a pointer to the last header of a
     * transfer, and frees that header when the handle is used again. An answer whose first header
     * begins with a space, as if it went on with one before, would be read through it. Connections
     * and names are kept by the multi handle. */
    curl_easy_cleanup(slot->easy);
    CURL *easy = curl_easy_init();
    *slot = (struct slot){.fetch = fetch, .easy = easy, .started_at_ms = now_ms};
    slot->limit_ms = item->deadline_at_ms - now_ms;
    if (slot->limit_ms < 1) slot->limit_ms = 1;
    item->tries++;
    item->http_status = 0;
    item->content_type[0] = 0;
    buf_clear(&item->body);
    if (!easy) {
        finish(fetch, item, FETCH_FAILED);
        return;
    }
    if (!set_url(fetch, easy, item->url)) {
        finish(fetch, item, FETCH_BAD_URL);
        return;
    }
    set_limits(easy, &fetch->options, slot->limit_ms);
    set_request(easy, slot);
    if (!set_guards(easy, slot) || curl_multi_add_handle(fetch->multi, easy)) {
        finish(fetch, item, FETCH_FAILED);
        return;
    }
    slot->item = item;
    fetch->running++;
}

/* ---- what a try ended in ---- */

static enum fetch_status timed_out(const struct slot *slot)
{
    long redirects = 0;
    (void)curl_easy_getinfo(slot->easy, CURLINFO_REDIRECT_COUNT, &redirects);
    /* A hop whose request was not sent was still connecting. */
    if ((long)slot->requests <= redirects)
        return slot->addressed ? FETCH_CONNECT_TIMEOUT : FETCH_DNS_FAILED;
    const int64_t spent_ms = clock_real.mono_ms(&clock_real) - slot->started_at_ms;
    /* The clocks of the two libraries round differently. */
    return spent_ms + 2 >= slot->limit_ms ? FETCH_TIMEOUT : FETCH_TOO_SLOW;
}

static enum fetch_status aborted(const struct slot *slot)
{
    if (slot->too_large) return FETCH_TOO_MANY_BYTES;
    if (slot->too_many_headers) return FETCH_PROTOCOL_ERROR;
    return FETCH_FAILED;
}

static enum fetch_status failed(const struct slot *slot, CURLcode rc, long code)
{
    switch ((int)rc) {
    case CURLE_URL_MALFORMAT:
        return code ? FETCH_BAD_REDIRECT : FETCH_BAD_URL;
    case CURLE_UNSUPPORTED_PROTOCOL:
        return code >= 300 && code <= 399 ? FETCH_BAD_REDIRECT : FETCH_PROTOCOL_ERROR;
    case CURLE_COULDNT_RESOLVE_HOST:
        return FETCH_DNS_FAILED;
    case CURLE_COULDNT_CONNECT:
        return slot->refused ? FETCH_REFUSED_ADDRESS : FETCH_CONNECT_FAILED;
    case CURLE_OPERATION_TIMEDOUT:
        return timed_out(slot);
    case CURLE_TOO_MANY_REDIRECTS:
        return FETCH_TOO_MANY_REDIRECTS;
    case CURLE_FILESIZE_EXCEEDED:
        return FETCH_TOO_MANY_BYTES;
    case CURLE_WRITE_ERROR:
        return aborted(slot);
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
        return FETCH_CONNECTION_LOST;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_HTTP2:
    case CURLE_OUT_OF_MEMORY: /* a header line above libcurl's own bound */
        return FETCH_PROTOCOL_ERROR;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
        return FETCH_TLS_FAILED;
    default:
        return FETCH_FAILED;
    }
}

static enum fetch_status judge(const struct slot *slot, CURLcode rc, long code)
{
    if (code >= 400) return FETCH_HTTP_STATUS;
    if (rc) return failed(slot, rc, code);
    if (code == 204 || code == 205) return FETCH_EMPTY_BODY;
    /* 206 is a part that nobody asked for; what stands below 200 or at 3xx has no image. */
    if (code < 200 || code > 299 || code == 206) return FETCH_HTTP_STATUS;
    return slot->item->body.len ? FETCH_OK : FETCH_EMPTY_BODY;
}

static void note_answer(struct fetch_item *item, CURL *easy, long code)
{
    item->http_status = (int32_t)code;
    const char *type = NULL;
    (void)curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &type);
    size_t len = 0;
    for (; type && type[len] && len + 1 < sizeof item->content_type; len++) {
        const char c = type[len];
        item->content_type[len] = (char)(c >= ' ' && c <= '~' ? c : '?');
    }
    item->content_type[len] = 0;
}

/* Ms until the next try, or -1: it is not worth one. */
static int64_t retry_delay(struct fetch *fetch, const struct fetch_item *item, CURL *easy,
                           enum fetch_status status, int64_t now_ms)
{
    const bool busy =
        status == FETCH_HTTP_STATUS && (item->http_status >= 500 || item->http_status == 429);
    if (item->tries > fetch->options.retries || !(statuses[status].retry || busy)) return -1;
    const uint32_t doublings = item->tries - 1 < 10 ? item->tries - 1 : 10;
    int64_t delay_ms = fetch->options.backoff_ms << doublings;
    if (delay_ms > BACKOFF_MS_MAX) delay_ms = BACKOFF_MS_MAX;
    const int64_t least_ms = delay_ms / 2;
    delay_ms = least_ms + (int64_t)(rng_unit(&fetch->rng) * (double)(delay_ms - least_ms));
    curl_off_t asked_s = 0;
    if (busy) (void)curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &asked_s);
    const int64_t left_ms = item->deadline_at_ms - now_ms;
    if (asked_s > left_ms / 1000) return -1;
    if (delay_ms < asked_s * 1000) delay_ms = asked_s * 1000;
    return delay_ms < left_ms ? delay_ms : -1;
}

static void slot_ended(struct fetch *fetch, struct slot *slot, CURLcode rc)
{
    struct fetch_item *item = slot->item;
    const int64_t now_ms = clock_real.mono_ms(&clock_real);
    long code = 0;
    (void)curl_easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE, &code);
    if (slot->refused && rc == CURLE_COULDNT_CONNECT) code = 0;
    const bool is_code = code >= 0 && code <= 999; /* libcurl takes more digits after "HTTP/2" */
    note_answer(item, slot->easy, is_code ? code : 0);
    const enum fetch_status status = is_code ? judge(slot, rc, code) : FETCH_PROTOCOL_ERROR;
    const int64_t delay_ms = retry_delay(fetch, item, slot->easy, status, now_ms);
    (void)curl_multi_remove_handle(fetch->multi, slot->easy);
    slot->item = NULL;
    fetch->running--;
    if (delay_ms < 0) {
        finish(fetch, item, status);
        return;
    }
    item->due_at_ms = now_ms + delay_ms;
    item->next = fetch->waiting;
    fetch->waiting = item;
}

/* ---- the public part ---- */

static int init_slots(struct fetch *fetch, struct err *err)
{
    const uint32_t count = fetch->options.transfers;
    fetch->slot = mem_try(count * sizeof *fetch->slot);
    if (!fetch->slot) return err_set(err, ERR_LIMIT, "no memory for %u transfers", count);
    for (uint32_t i = 0; i < count; i++) {
        struct slot *slot = &fetch->slot[i];
        slot->fetch = fetch;
        slot->easy = curl_easy_init();
        if (!slot->easy) return err_set(err, ERR_LIMIT, "no memory for %u transfers", count);
        if (!set_guards(slot->easy, slot))
            return err_set(err, ERR_INTERNAL, "this libcurl (%s) lacks options that are needed",
                           curl_version());
    }
    return 0;
}

static char *copy_text(const char *text)
{
    if (!text) return NULL;
    const size_t bytes = strlen(text) + 1;
    return memcpy(mem_new(bytes), text, bytes);
}

int fetch_new(struct fetch **fetch_out, const struct fetch_options *options, struct err *err)
{
    CHECK(options->transfers >= 1);
    CHECK(options->transfers <= FETCH_TRANSFERS_MAX);
    CHECK(options->body_bytes >= 1);
    CHECK(pthread_once(&curl_once, curl_start) == 0);
    if (curl_started) return err_set(err, ERR_INTERNAL, "libcurl cannot start");
    struct fetch *fetch = mem_new(sizeof *fetch);
    fetch->options = *options;
    fetch->agent = copy_text(options->agent ? options->agent : "vlmq/" VLMQ_VERSION);
    fetch->ca_file = copy_text(options->ca_file);
    rng_secure(fetch->rng.s, sizeof fetch->rng.s);
    fetch->multi = curl_multi_init();
    fetch->parser = curl_url();
    fetch->headers = curl_slist_append(NULL, "Accept: image/jpeg,image/png,image/webp,*/*;q=0.5");
    int rc = 0;
    if (!fetch->multi || !fetch->parser || !fetch->headers)
        rc = err_set(err, ERR_LIMIT, "no memory for transfers");
    if (!rc) rc = init_slots(fetch, err);
    if (rc) {
        fetch_free(fetch);
        return rc;
    }
    (void)curl_multi_setopt(fetch->multi, CURLMOPT_MAXCONNECTS, (long)options->transfers);
    *fetch_out = fetch;
    return 0;
}

void fetch_free(struct fetch *fetch)
{
    if (!fetch) return;
    for (uint32_t i = 0; fetch->slot && i < fetch->options.transfers; i++) {
        struct slot *slot = &fetch->slot[i];
        if (slot->item) (void)curl_multi_remove_handle(fetch->multi, slot->easy);
        curl_easy_cleanup(slot->easy);
    }
    mem_free(fetch->slot);
    curl_slist_free_all(fetch->headers);
    curl_url_cleanup(fetch->parser);
    (void)curl_multi_cleanup(fetch->multi);
    mem_free(fetch->agent);
    mem_free(fetch->ca_file);
    mem_free(fetch);
}

/* Items whose backoff is over go ahead of new ones. */
static void start_due(struct fetch *fetch)
{
    const int64_t now_ms = clock_real.mono_ms(&clock_real);
    struct fetch_item **link = &fetch->waiting;
    while (*link && fetch->running < fetch->options.transfers) {
        struct fetch_item *item = *link;
        if (item->due_at_ms > now_ms) {
            link = &item->next;
            continue;
        }
        *link = item->next;
        try_item(fetch, item, now_ms);
    }
}

static int64_t next_due(const struct fetch *fetch, int64_t wait_ms)
{
    const int64_t now_ms = clock_real.mono_ms(&clock_real);
    for (const struct fetch_item *item = fetch->waiting; item; item = item->next) {
        const int64_t left_ms = item->due_at_ms > now_ms ? item->due_at_ms - now_ms : 0;
        if (left_ms < wait_ms) wait_ms = left_ms;
    }
    return wait_ms;
}

static void collect(struct fetch *fetch)
{
    int running = 0, left = 0;
    (void)curl_multi_perform(fetch->multi, &running);
    CURLMsg *message;
    while ((message = curl_multi_info_read(fetch->multi, &left)) != NULL) {
        if (message->msg != CURLMSG_DONE) continue;
        const CURLcode rc = message->data.result;
        struct slot *slot = NULL;
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&slot);
        slot_ended(fetch, slot, rc);
    }
}

uint32_t fetch_room(const struct fetch *fetch)
{
    const int64_t now_ms = clock_real.mono_ms(&clock_real);
    uint32_t taken = fetch->running;
    for (const struct fetch_item *item = fetch->waiting; item; item = item->next)
        if (item->due_at_ms <= now_ms) taken++;
    return taken < fetch->options.transfers ? fetch->options.transfers - taken : 0;
}

void fetch_start(struct fetch *fetch, struct fetch_item *item)
{
    const int64_t now_ms = clock_real.mono_ms(&clock_real);
    item->tries = 0;
    item->deadline_at_ms = now_ms + fetch->options.total_ms;
    try_item(fetch, item, now_ms);
}

void fetch_turn(struct fetch *fetch, int64_t wait_ms)
{
    start_due(fetch);
    collect(fetch);
    if (fetch->done_first) return;
    if (fetch->running < fetch->options.transfers) wait_ms = next_due(fetch, wait_ms);
    (void)curl_multi_poll(fetch->multi, NULL, 0, (int)wait_ms, NULL);
    start_due(fetch);
    collect(fetch);
}

struct fetch_item *fetch_take(struct fetch *fetch)
{
    struct fetch_item *item = fetch->done_first;
    if (!item) return NULL;
    fetch->done_first = item->next;
    if (!fetch->done_first) fetch->done_last = NULL;
    item->next = NULL;
    return item;
}

void fetch_wake(struct fetch *fetch)
{
    (void)curl_multi_wakeup(fetch->multi);
}
