/* fetch_try.c - one request: what curl is told, what it tells while it runs, what it came to. */
#include "worker/pipe/fetch_try.h"

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "worker/pipe/fetch_opt_out.h"

#include <curl/curl.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>

/* The body of an error page is read up to here, so that the connection can be used again. */
#define DISCARD_BYTES_MAX (16 * 1024)
#define RECEIVE_BYTES     (64 * 1024L)
#define ADDRESSES_KEPT_S  3L /* whole seconds: it can be two */
_Static_assert(FETCH_TRY_KNOWS_MS < (ADDRESSES_KEPT_S - 1) * 1000, "what is told is kept");
#define HTTP_TOO_MANY    429
#define HTTP_UNAVAILABLE 503

/* ---- what curl calls during a transfer ---- */

static size_t on_body(char *data, size_t size, size_t count, void *ctx)
{
    struct fetch_try *try = ctx;
    const size_t bytes = size * count;
    const struct fetch_options *options = &try->common->options;
    long code = 0;
    (void)curl_easy_getinfo(try->easy, CURLINFO_RESPONSE_CODE, &code);
    if (code < 200 || code > 299) {
        try->discarded_bytes += bytes;
        return try->discarded_bytes > DISCARD_BYTES_MAX ? 0 : bytes;
    }
    struct buf *body = &try->item->body;
    const int64_t max = try->item->for_rules ? (int64_t)body->max : options->body_bytes;
    const int64_t left = max - (int64_t)body->len;
    if ((int64_t)bytes > left) {
        if (try->item->for_rules) buf_add(body, data, (size_t)left); /* the beginning counts */
        try->too_large = true;
        return 0;
    }
    buf_add(body, data, bytes);
    if (!buf_failed(body)) return bytes;
    try->no_memory = true;
    return 0;
}

static char *copy_text(const char *text, size_t len)
{
    char *copy = mem_try(len + 1);
    if (copy) memcpy(copy, text, len);
    return copy;
}

/* The value of a header line of that name, without blanks around it; NULL: another one. */
static const char *header_value(const char *line, size_t *bytes, const char *name)
{
    const size_t len = strlen(name);
    if (*bytes <= len || line[len] != ':' || strncasecmp(line, name, len) != 0) return NULL;
    const char *from = line + len + 1, *end = line + *bytes;
    while (from < end && (*from == ' ' || *from == '\t')) from++;
    while (from < end && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r' || end[-1] == '\n'))
        end--;
    *bytes = (size_t)(end - from);
    return from;
}

static void begin_answer(struct fetch_try *try)
{
    /* What an interim answer sent is not the body. */
    buf_clear(&try->item->body);
    mem_free(try->location);
    try->location = NULL;
    try->retry_after_s = 0;
    try->opted_out = false;
}

static bool take_location(struct fetch_try *try, const char *line, size_t bytes)
{
    const char *value = header_value(line, &bytes, "Location");
    if (!value || try->location || !bytes) return true;
    if (memchr(value, 0, bytes)) return true; /* no URL */
    /* One that is too long is cut so that it still is. */
    try->location = copy_text(value, bytes > FETCH_URL_BYTES_MAX ? FETCH_URL_BYTES_MAX + 1 : bytes);
    try->no_memory = !try->location;
    return !try->no_memory;
}

/* Seconds or a date (RFC 9110 10.2.3). libcurl's own reading takes what overflows for nothing. */
static void take_retry_after(struct fetch_try *try, const char *line, size_t bytes)
{
    const char *value = header_value(line, &bytes, "Retry-After");
    if (!value || !bytes) return;
    char text[64] = "";
    int64_t seconds = 0;
    size_t at = 0;
    for (; at < bytes && value[at] >= '0' && value[at] <= '9'; at++)
        if (seconds < FETCH_PAUSE_S_MAX) seconds = seconds * 10 + (value[at] - '0');
    if (at < bytes && bytes < sizeof text) {
        memcpy(text, value, bytes);
        const time_t then = curl_getdate(text, NULL);
        seconds = then < 0 ? 0 : (int64_t)then - clock_real.wall_ms(&clock_real) / 1000;
    } else if (at < bytes) {
        seconds = 0;
    }
    if (seconds > FETCH_PAUSE_S_MAX) seconds = FETCH_PAUSE_S_MAX;
    try->retry_after_s = seconds > 0 ? seconds : 0;
}

static void take_opt_out(struct fetch_try *try, const char *line, size_t bytes)
{
    const char *value = header_value(line, &bytes, "X-Robots-Tag");
    if (value && fetch_opt_out(value, bytes, try->common->opt_out)) try->opted_out = true;
}

/* Whether to go on behind the last header: the body of what is not to be used is not read. */
static bool wants_body(const struct fetch_try *try)
{
    long code = 0;
    if (!try->opted_out) return true;
    (void)curl_easy_getinfo(try->easy, CURLINFO_RESPONSE_CODE, &code);
    return code < 200 || code > 299;
}

static size_t on_header(char *data, size_t size, size_t count, void *ctx)
{
    struct fetch_try *try = ctx;
    const size_t bytes = size * count;
    try->item->header_bytes += bytes;
    if (try->item->header_bytes > FETCH_HEADER_BYTES_MAX) {
        try->too_many_headers = true;
        return 0;
    }
    if (bytes >= 5 && !memcmp(data, "HTTP/", 5)) begin_answer(try);
    take_retry_after(try, data, bytes);
    if (try->common->opt_out && !try->item->for_rules) take_opt_out(try, data, bytes);
    if ((data[0] == '\r' || data[0] == '\n') && !wants_body(try)) return 0;
    return take_location(try, data, bytes) ? bytes : 0;
}

static curl_socket_t on_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct fetch_try *try = ctx;
    if (purpose != CURLSOCKTYPE_IPCXN) return CURL_SOCKET_BAD;
    if (!try->common->options.allow_private && !fetch_address_is_public(&address->addr)) {
        try->refused = true;
        return CURL_SOCKET_BAD;
    }
    try->allowed = true;
    try->v6 = try->v6 || address->family != AF_INET;
    const int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM))
        try->hindered = true;
    return fd;
}

/* Names are ours to look up: libcurl would start a thread for each. */
static int on_resolve(void *resolver, void *reserved, void *ctx)
{
    struct fetch_try *try = ctx;
    (void)resolver, (void)reserved;
    /* This thread did not run for seconds; or libcurl asks a second time, since a connection that
     * was kept has ended without an answer. */
    try->hindered = try->named && !try->sent;
    return try->named;
}

static int on_request(void *ctx, char *ip, char *local_ip, int port, int local_port)
{
    struct fetch_try *try = ctx;
    (void)ip, (void)local_ip, (void)port, (void)local_port;
    try->sent = true;
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
}

/* false: this libcurl cannot do what the safety of the machine needs. */
static bool set_guards(CURL *easy, struct fetch_try *try)
{
    (void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, try);
    (void)curl_easy_setopt(easy, CURLOPT_PREREQDATA, try);
    (void)curl_easy_setopt(easy, CURLOPT_RESOLVER_START_DATA, try);
    return !curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") &&
           !curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_socket) &&
           !curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_request) &&
           !curl_easy_setopt(easy, CURLOPT_RESOLVER_START_FUNCTION, on_resolve) &&
           !curl_easy_setopt(easy, CURLOPT_PROXY, "");
}

static void set_request(CURL *easy, struct fetch_try *try)
{
    const struct fetch_common *common = try->common;
    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, ADDRESSES_KEPT_S);
    (void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(easy, CURLOPT_HTTP_CONTENT_DECODING, 0L);
    (void)curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, RECEIVE_BYTES);
    (void)curl_easy_setopt(easy, CURLOPT_USERAGENT, common->agent);
    (void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, common->headers);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, try);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, try);
    (void)curl_easy_setopt(easy, CURLOPT_PRIVATE, try);
    (void)curl_easy_setopt(easy, CURLOPT_SHARE, common->sessions);
    /* Without a folder of certificates libcurl caches the parsed file; with one it parses the
     * file for each connection, which is 25 times the cost of the handshake. */
    (void)curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    if (common->ca_file) (void)curl_easy_setopt(easy, CURLOPT_CAINFO, common->ca_file);
}

/* The engine lives as long as the handle, that is for one hop: the item carries them on. */
static void set_cookies(CURL *easy, const struct fetch_item *item)
{
    (void)curl_easy_setopt(easy, CURLOPT_COOKIEFILE, "");
    for (const struct curl_slist *line = item->cookies; line; line = line->next)
        (void)curl_easy_setopt(easy, CURLOPT_COOKIELIST, line->data);
}

static void keep_cookies(struct fetch_item *item, CURL *easy)
{
    struct curl_slist *lines = NULL;
    (void)curl_easy_getinfo(easy, CURLINFO_COOKIELIST, &lines);
    curl_slist_free_all(item->cookies);
    item->cookies = lines;
}

void fetch_try_forget(struct fetch_item *item)
{
    fetch_url_deinit(&item->at);
    curl_slist_free_all(item->cookies);
    item->cookies = NULL;
}

/* The multi handle keeps them in a cache of its own, all of which is walked through at the end of
 * each transfer: so not for long. */
static bool set_addresses(CURL *easy, struct fetch_try *try, const char *addresses)
{
    struct buf line;
    buf_init(&line, 0);
    buf_printf(&line, "+%s:%s", try->item->at.host, addresses);
    if (!buf_failed(&line)) try->resolve = curl_slist_append(NULL, buf_str(&line));
    buf_deinit(&line);
    return try->resolve && !curl_easy_setopt(easy, CURLOPT_RESOLVE, try->resolve);
}

bool fetch_try_init(struct fetch_try *try, const struct fetch_common *common,
                    struct fetch_item *item, const struct fetch_name *name, bool tell,
                    int64_t now_ms)
{
    /* A handle of its own for each try: libcurl 7.88 keeps a pointer to the last header of a
     * transfer, and frees that header when the handle is used again. An answer whose first header
     * begins with a space, as if it went on with one before, would be read through it. Connections
     * and names are kept by the multi handle. */
    fetch_try_deinit(try);
    CURL *easy = curl_easy_init();
    *try = (struct fetch_try){.common = common, .easy = easy, .started_at_ms = now_ms};
    try->limit_ms = item->deadline_at_ms - now_ms;
    if (try->limit_ms < 1) try->limit_ms = 1;
    try->item = item;
    if (!easy) return false;
    set_limits(easy, &common->options, try->limit_ms);
    if (item->for_rules) (void)curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)0);
    set_request(easy, try);
    if (item->fresh) (void)curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    if (common->options.cookies && !item->for_rules) set_cookies(easy, item);
    try->named = name != NULL;
    if (tell && name && !set_addresses(easy, try, name->addresses)) return false;
    return set_guards(easy, try) && !curl_easy_setopt(easy, CURLOPT_CURLU, item->at.parts);
}

void fetch_try_deinit(struct fetch_try *try)
{
    curl_easy_cleanup(try->easy);
    curl_slist_free_all(try->resolve);
    mem_free(try->location);
    *try = (struct fetch_try){0};
}

/* ---- what it ended in ---- */

static enum fetch_status timed_out(const struct fetch_try *try, int64_t now_ms)
{
    if (!try->sent) return FETCH_CONNECT_TIMEOUT;
    /* The clocks of the two libraries round differently. */
    return now_ms - try->started_at_ms + 2 >= try->limit_ms ? FETCH_TIMEOUT : FETCH_TOO_SLOW;
}

static enum fetch_status aborted(const struct fetch_try *try)
{
    if (try->opted_out) return FETCH_OPTED_OUT;
    if (try->too_large) return FETCH_TOO_MANY_BYTES;
    if (try->too_many_headers) return FETCH_PROTOCOL_ERROR;
    return FETCH_FAILED;
}

static enum fetch_status failed(const struct fetch_try *try, CURLcode rc, int64_t now_ms)
{
    switch ((int)rc) {
    case CURLE_URL_MALFORMAT:
        return FETCH_BAD_URL;
    case CURLE_COULDNT_RESOLVE_HOST:
        return try->sent ? FETCH_CONNECTION_LOST : FETCH_FAILED; /* see on_resolve */
    case CURLE_COULDNT_CONNECT:
        if (try->hindered) return FETCH_FAILED;
        return try->refused && !try->allowed ? FETCH_REFUSED_ADDRESS : FETCH_CONNECT_FAILED;
    case CURLE_OPERATION_TIMEDOUT:
        return timed_out(try, now_ms);
    case CURLE_FILESIZE_EXCEEDED:
        return FETCH_TOO_MANY_BYTES;
    case CURLE_WRITE_ERROR:
        return aborted(try);
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
        return FETCH_CONNECTION_LOST;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL: /* HTTP/0.9 */
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

static enum fetch_status judge(const struct fetch_try *try, CURLcode rc, long code, int64_t now_ms)
{
    /* Its body, and how that ends, does not matter. */
    if (code >= 300 && !try->too_many_headers) return FETCH_HTTP_STATUS;
    if (rc) return failed(try, rc, now_ms);
    if (code == 204 || code == 205) return FETCH_EMPTY_BODY;
    /* 206 is a part that nobody asked for; what stands below 200 or at 3xx has no image. */
    if (code < 200 || code > 299 || code == 206) return FETCH_HTTP_STATUS;
    return try->item->body.len ? FETCH_OK : FETCH_EMPTY_BODY;
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

/* Did the body come no slower than is asked for, so that there was only too much of it? */
static bool is_flowing(const struct fetch_try *try, int64_t now_ms)
{
    const int64_t bytes = (int64_t)(try->item->body.len + try->discarded_bytes);
    const int64_t least = try->common->options.slow_bytes * (now_ms - try->started_at_ms) / 1000;
    return bytes > 0 && bytes >= least;
}

static enum fetch_contact contact(const struct fetch_try *try, enum fetch_status status, long code,
                                  int64_t now_ms)
{
    const struct fetch_options *options = &try->common->options;
    if (code == HTTP_TOO_MANY || code == HTTP_UNAVAILABLE) return FETCH_CONTACT_BUSY;
    switch ((int)status) {
    /* A hop or a retry that began too late says nothing about its host. */
    case FETCH_CONNECT_TIMEOUT:
        return try->limit_ms < options->connect_ms ? FETCH_CONTACT_NONE : FETCH_CONTACT_FAILED;
    case FETCH_TIMEOUT:
        if (is_flowing(try, now_ms)) return FETCH_CONTACT_MADE;
        return try->limit_ms < options->total_ms / 2 ? FETCH_CONTACT_NONE : FETCH_CONTACT_FAILED;
    case FETCH_CONNECT_FAILED:
    case FETCH_TOO_SLOW: /* also those that answer and then stall */
        return FETCH_CONTACT_FAILED;
    default:
        return code || try->sent ? FETCH_CONTACT_MADE : FETCH_CONTACT_NONE;
    }
}

/* Is there no local port left for IPv4? Of IPv6 the same error may mean that this machine has none.
 */
static bool is_out_of_ports(const struct fetch_try *try, int curl_code)
{
    long cause = 0;
    if ((CURLcode)curl_code != CURLE_COULDNT_CONNECT || try->v6) return false;
    (void)curl_easy_getinfo(try->easy, CURLINFO_OS_ERRNO, &cause);
    return cause == EADDRNOTAVAIL;
}

struct fetch_result fetch_try_result(struct fetch_try *try, int curl_code, int64_t now_ms)
{
    struct fetch_result result = {0};
    long code = 0;
    (void)curl_easy_getinfo(try->easy, CURLINFO_RESPONSE_CODE, &code);
    const bool is_code = code >= 0 && code <= 999; /* libcurl takes more digits after "HTTP/2" */
    if (!is_code) code = 0;
    if (is_out_of_ports(try, curl_code)) try->hindered = true;
    if (code || !try->item->redirects) note_answer(try->item, try->easy, code);
    result.status = is_code ? judge(try, (CURLcode)curl_code, code, now_ms) : FETCH_PROTOCOL_ERROR;
    result.contact = contact(try, result.status, code, now_ms);
    long connects = 1;
    (void)curl_easy_getinfo(try->easy, CURLINFO_NUM_CONNECTS, &connects);
    result.reused = try->sent && connects == 0;
    result.unresolved = (CURLcode)curl_code == CURLE_COULDNT_RESOLVE_HOST;
    result.hindered = result.status == FETCH_FAILED && try->hindered;
    /* The rest of such an answer, whole or not, does not matter. */
    result.redirected = code >= 300 && code <= 399 && try->location && !try->too_many_headers;
    if (result.redirected && try->common->options.cookies) keep_cookies(try->item, try->easy);
    if (code >= HTTP_TOO_MANY) result.retry_after_s = try->retry_after_s;
    return result;
}

static char *copy_or_null(const char *text)
{
    return text ? copy_text(text, strlen(text)) : NULL;
}

/* What OpenSSL's own tools, and most others, take instead of the system's certificates. */
static const char *environment_ca_file(void)
{
    const char *path = getenv("SSL_CERT_FILE");
    return path && *path ? path : NULL;
}

int fetch_common_init(struct fetch_common *common, const struct fetch_options *options,
                      struct err *err)
{
    const char *ca_file = options->ca_file ? options->ca_file : environment_ca_file();
    *common = (struct fetch_common){.options = *options};
    common->agent = copy_or_null(options->agent ? options->agent : "vlmq/" VLMQ_VERSION);
    common->ca_file = copy_or_null(ca_file);
    common->opt_out = copy_or_null(options->opt_out);
    common->headers = curl_slist_append(NULL, "Accept: image/jpeg,image/png,image/webp,*/*;q=0.5");
    common->sessions = curl_share_init();
    if (common->sessions)
        (void)curl_share_setopt(common->sessions, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    if (!common->agent || !common->headers || !common->sessions || (ca_file && !common->ca_file) ||
        (options->opt_out && !common->opt_out))
        return err_set(err, ERR_LIMIT, "no memory for transfers");
    struct fetch_try try = {.common = common, .easy = curl_easy_init()};
    int rc = try.easy ? 0 : err_set(err, ERR_LIMIT, "no memory for transfers");
    if (!rc && !set_guards(try.easy, &try))
        rc = err_set(err, ERR_INTERNAL, "this libcurl (%s) lacks options that are needed",
                     curl_version());
    fetch_try_deinit(&try);
    return rc;
}

void fetch_common_deinit(struct fetch_common *common)
{
    curl_slist_free_all(common->headers);
    (void)curl_share_cleanup(common->sessions);
    mem_free(common->agent);
    mem_free(common->ca_file);
    mem_free(common->opt_out);
    *common = (struct fetch_common){0};
}
