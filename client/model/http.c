/* http.c - one GET, its redirects, and who is told the token. */
#include "client/model/http.h"

#include "common/base/mem.h"
#include "common/base/stop.h"
#include "common/base/str.h"

#include <curl/curl.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define REDIRECTS_MAX     10
#define HEADERS_BYTES_MAX ((size_t)256 * 1024)
#define DROPPED_BYTES_MAX ((size_t)64 * 1024) /* of an answer that is no success */
/* Slower than that for so long is a connection that has died. */
#define SLOW_BYTES_S   1024L
#define SLOW_S         30L
#define RECEIVE_BYTES  (256 * 1024L)
#define TOKEN_HEAD     "Authorization: Bearer "
#define TOKEN_HEAD_MAX (sizeof TOKEN_HEAD + 4096)

struct http {
    struct http_options options;
    CURLSH *kept; /* connections and names, from one hop to the next */
    /* Of the hop that is under way. Each has a handle of its own: libcurl 7.88 keeps a pointer to
     * the last header of a transfer in the handle, and follows it when the first header of the next
     * one begins with a blank. */
    CURL *easy;
    const struct http_request *request;
    struct hub_headers *headers;
    size_t header_bytes, dropped_bytes;
    bool begun, too_many_headers, dropped;
    struct err *err;
    int rc; /* of begin and body */
};

/* ---- origins ---- */

static bool part_of(char **part, CURLU *url, CURLUPart which)
{
    return curl_url_get(url, which, part, CURLU_DEFAULT_PORT) == CURLUE_OK;
}

static CURLU *parse(const char *url)
{
    CURLU *parsed = curl_url();
    if (parsed && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK) return parsed;
    curl_url_cleanup(parsed);
    return NULL;
}

/* "https://host:443" of a URL; NULL: it is none. The caller frees it. */
static char *origin_of(const char *url)
{
    char *scheme = NULL, *host = NULL, *port = NULL, *origin = NULL;
    CURLU *parsed = parse(url);
    if (parsed && part_of(&scheme, parsed, CURLUPART_SCHEME) &&
        part_of(&host, parsed, CURLUPART_HOST) && part_of(&port, parsed, CURLUPART_PORT)) {
        const size_t bytes = strlen(scheme) + strlen(host) + strlen(port) + 5;
        origin = mem_try(bytes);
        if (origin) (void)snprintf(origin, bytes, "%s://%s:%s", scheme, host, port);
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(parsed);
    return origin;
}

bool http_same_origin(const char *a, const char *b)
{
    char *x = origin_of(a), *y = origin_of(b);
    const bool same = x && y && strcasecmp(x, y) == 0;
    mem_free(x);
    mem_free(y);
    return same;
}

/* Whether what is sent there stays on this machine. */
static bool is_loopback(const char *url)
{
    static const char *const origins[] = {"http://localhost:", "http://127.", "http://[::1]:"};
    char *origin = origin_of(url);
    bool loopback = false;
    for (size_t i = 0; origin && i < sizeof origins / sizeof origins[0]; i++)
        loopback = loopback || str_has_prefix(origin, origins[i]);
    /* 127.example.org is no address. */
    if (loopback && origin[strspn(origin + 7, "0123456789.") + 7] != ':')
        loopback = !str_has_prefix(origin, origins[1]);
    mem_free(origin);
    return loopback;
}

/* ---- what curl calls ---- */

static bool is_success(long status)
{
    return status == 200 || status == 206;
}

static long status_of(const struct http *http)
{
    long status = 0;
    (void)curl_easy_getinfo(http->easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

static int begin(struct http *http)
{
    if (http->begun) return http->rc;
    http->begun = true;
    http->rc = http->request->begin(http->request->ctx, status_of(http), http->headers, http->err);
    return http->rc;
}

static size_t on_header(char *data, size_t size, size_t count, void *ctx)
{
    struct http *http = ctx;
    const size_t bytes = size * count;
    http->header_bytes += bytes;
    http->too_many_headers = http->header_bytes > HEADERS_BYTES_MAX;
    if (http->too_many_headers) return 0;
    hub_headers_add(http->headers, data, bytes);
    return bytes;
}

static size_t on_body(char *data, size_t size, size_t count, void *ctx)
{
    struct http *http = ctx;
    const size_t bytes = size * count;
    if (!is_success(status_of(http))) {
        http->dropped_bytes += bytes;
        http->dropped = http->dropped_bytes > DROPPED_BYTES_MAX;
        return http->dropped ? 0 : bytes;
    }
    if (begin(http)) return 0;
    http->rc = http->request->body(http->request->ctx, data, bytes, http->err);
    return http->rc ? 0 : bytes;
}

static int on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const struct http *http = ctx;
    (void)a, (void)b, (void)c, (void)d;
    if (http->options.tick) http->options.tick(http->options.tick_ctx);
    return stop_count() > 0;
}

/* ---- one hop ---- */

static struct curl_slist *add_header(struct curl_slist *list, const char *line, bool *failed)
{
    struct curl_slist *more = *failed ? NULL : curl_slist_append(list, line);
    *failed = *failed || !more;
    return more ? more : list;
}

static struct curl_slist *headers_for(const struct http *http, const char *url, bool *failed)
{
    char line[TOKEN_HEAD_MAX];
    struct curl_slist *list = NULL;
    const struct http_request *request = http->request;
    if (http->options.token && http_same_origin(url, http->options.endpoint)) {
        (void)snprintf(line, sizeof line, TOKEN_HEAD "%s", http->options.token);
        list = add_header(list, line, failed);
    }
    if (request->from > 0 && request->if_range) {
        (void)snprintf(line, sizeof line, "If-Range: %s", request->if_range);
        list = add_header(list, line, failed);
    }
    explicit_bzero(line, sizeof line);
    return list;
}

static void set_up(struct http *http, const char *url, struct curl_slist *headers, char range[32])
{
    CURL *easy = http->easy;
    const char *ca_file = getenv("SSL_CERT_FILE");
    (void)curl_easy_setopt(easy, CURLOPT_SHARE, http->kept);
    (void)curl_easy_setopt(easy, CURLOPT_URL, url);
    (void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_USERAGENT, "vlmq/" VLMQ_VERSION);
    (void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)http->options.connect_ms);
    (void)curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, SLOW_BYTES_S);
    (void)curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, SLOW_S);
    (void)curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, RECEIVE_BYTES);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, http);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, http);
    (void)curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    (void)curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    (void)curl_easy_setopt(easy, CURLOPT_XFERINFODATA, http);
    /* What is sent to this machine, a token too, takes no way around over http_proxy. */
    if (is_loopback(url)) (void)curl_easy_setopt(easy, CURLOPT_PROXY, "");
    if (ca_file && *ca_file) (void)curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file);
    if (http->request->from > 0) {
        (void)snprintf(range, 32, "%lld-", (long long)http->request->from);
        (void)curl_easy_setopt(easy, CURLOPT_RANGE, range);
    }
}

static int failure(const struct http *http, CURLcode code, const char *url, struct err *err)
{
    char *origin = origin_of(url);
    const char *where = origin ? origin : "the hub";
    int rc;
    switch ((int)code) {
    case CURLE_ABORTED_BY_CALLBACK:
        rc = err_set(err, ERR_CANCELLED, "interrupted");
        break;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
        rc = err_set(err, ERR_INVALID,
                     "the certificate of %.100s is not trusted; SSL_CERT_FILE may name one that is",
                     where);
        break;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        rc = err_set(err, ERR_INVALID, "%.120s is no http or https URL", url);
        break;
    case CURLE_OPERATION_TIMEDOUT:
        rc = err_set(err, ERR_TIMEOUT, "%.100s is too slow, or silent", where);
        break;
    case CURLE_OUT_OF_MEMORY:
        rc = err_set(err, ERR_LIMIT, "out of memory");
        break;
    default:
        rc = err_set(err, ERR_UNAVAILABLE, "%.100s: %s", where,
                     http->too_many_headers ? "endless headers" : curl_easy_strerror(code));
        break;
    }
    mem_free(origin);
    return rc;
}

static int hop(struct http *http, const char *url, long *status, struct err *err)
{
    char range[32];
    bool failed = false;
    struct curl_slist *headers = headers_for(http, url, &failed);
    CURLcode code = CURLE_OUT_OF_MEMORY;
    http->header_bytes = http->dropped_bytes = 0;
    http->begun = http->dropped = http->too_many_headers = false;
    http->rc = 0;
    hub_headers_init(http->headers);
    curl_easy_cleanup(http->easy);
    http->easy = curl_easy_init();
    if (!http->easy) failed = true;
    if (!failed) {
        set_up(http, url, headers, range);
        if (!curl_easy_setopt(http->easy, CURLOPT_PROTOCOLS_STR, "http,https"))
            code = curl_easy_perform(http->easy);
    }
    *status = http->easy ? status_of(http) : 0;
    for (struct curl_slist *at = headers; at; at = at->next)
        explicit_bzero(at->data, strlen(at->data));
    curl_slist_free_all(headers);
    if (http->rc) return http->rc;
    if (http->dropped) return 0; /* what the rest of it says does not matter */
    if (code) return failure(http, code, url, err);
    return is_success(*status) ? begin(http) : 0; /* an empty body has not begun yet */
}

static bool is_redirect(long status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* Where the hub sends us. from: what sent us. */
static int go_to(char url[HUB_URL_BYTES_MAX], const char *from, const char *to, struct err *err)
{
    const bool secure = strncasecmp(to, "https://", 8) == 0;
    if (!secure && strncasecmp(to, "http://", 7) != 0)
        return err_set(err, ERR_INVALID, "the hub sends us to %.100s, which is not http", to);
    if (!secure && strncasecmp(from, "https://", 8) == 0)
        return err_set(err, ERR_INVALID, "the hub sends us from https to %.100s", to);
    if (strlen(to) >= HUB_URL_BYTES_MAX)
        return err_set(err, ERR_INVALID, "the hub sends us to an address that is too long");
    memmove(url, to, strlen(to) + 1);
    return 0;
}

int http_get(struct http *http, const struct http_request *request, long *status,
             struct hub_headers *headers, struct err *err)
{
    char url[HUB_URL_BYTES_MAX];
    http->request = request;
    http->headers = headers;
    http->err = err;
    int rc = go_to(url, http->options.endpoint, request->url, err);
    for (int i = 0; !rc && i <= REDIRECTS_MAX; i++) {
        const char *to = NULL;
        rc = hop(http, url, status, err);
        if (rc || !is_redirect(*status)) return rc;
        (void)curl_easy_getinfo(http->easy, CURLINFO_REDIRECT_URL, &to);
        if (!to) return err_set(err, ERR_INVALID, "the hub redirects to nowhere");
        rc = go_to(url, url, to, err);
    }
    if (rc) return rc;
    return err_set(err, ERR_INVALID, "the hub redirects more than %d times", REDIRECTS_MAX);
}

int http_next(const struct http *http, char url[HUB_URL_BYTES_MAX], const char *from,
              const char *link, struct err *err)
{
    char *whole = NULL;
    CURLU *parsed = parse(from);
    int rc;
    if (parsed && curl_url_set(parsed, CURLUPART_URL, link, 0) == CURLUE_OK &&
        curl_url_get(parsed, CURLUPART_URL, &whole, 0) == CURLUE_OK &&
        http_same_origin(whole, http->options.endpoint))
        rc = go_to(url, from, whole, err);
    else
        rc = err_set(err, ERR_INVALID, "the hub's listing goes on at %.100s, which is not %.100s",
                     link, http->options.endpoint);
    curl_free(whole);
    curl_url_cleanup(parsed);
    return rc;
}

/* ---- opening ---- */

/* Visible ASCII: it becomes a part of a header. */
static bool is_token(const char *token)
{
    const size_t bytes = strlen(token);
    for (size_t i = 0; i < bytes; i++)
        if (token[i] <= ' ' || token[i] >= 0x7f) return false;
    return bytes > 0 && bytes <= TOKEN_HEAD_MAX - sizeof TOKEN_HEAD;
}

int http_open(struct http **out, const struct http_options *options, struct err *err)
{
    const char *endpoint = options->endpoint;
    const bool secure = strncasecmp(endpoint, "https://", 8) == 0;
    char *origin = origin_of(endpoint);
    const bool is_url = origin && (secure || strncasecmp(endpoint, "http://", 7) == 0) &&
                        endpoint[strlen(endpoint) - 1] != '/' && !strpbrk(endpoint, "?#@ ");
    mem_free(origin);
    if (!is_url) return err_set(err, ERR_INVALID, "--endpoint %.100s: give https://HOST", endpoint);
    if (options->token && !is_token(options->token))
        return err_set(err, ERR_INVALID, "the token is none: it is one word of visible characters");
    if (options->token && !secure && !is_loopback(endpoint))
        return err_set(err, ERR_INVALID,
                       "the token would go to %.100s unencrypted; give an https endpoint",
                       endpoint);
    struct http *http = mem_new(sizeof *http);
    http->options = *options;
    http->kept = curl_share_init();
    if (!http->kept) {
        mem_free(http);
        return err_set(err, ERR_LIMIT, "no memory for transfers");
    }
    (void)curl_share_setopt(http->kept, CURLSHOPT_SHARE, CURL_LOCK_DATA_CONNECT);
    (void)curl_share_setopt(http->kept, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS);
    (void)curl_share_setopt(http->kept, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    *out = http;
    return 0;
}

void http_close(struct http *http)
{
    if (!http) return;
    curl_easy_cleanup(http->easy);
    (void)curl_share_cleanup(http->kept);
    mem_free(http);
}
