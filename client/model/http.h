/* http.h - GET requests to the hub and to where it sends us, over libcurl.
 *
 * A request follows redirects by itself, to http and https only and never from https to http, and
 * sends the token to the hub's own scheme, host and port alone. It does not try again: the caller
 * knows what it has got. One thread; SIGINT and SIGTERM (stop.h) end what is under way. */
#ifndef CLIENT_MODEL_HTTP_H
#define CLIENT_MODEL_HTTP_H

#include "client/model/hub.h"
#include "common/base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct http;

struct http_options {
    const char *endpoint;
    const char *token; /* NULL: none. Borrowed */
    int64_t connect_ms;
    /* Called several times a second while something is under way; may be NULL. */
    void (*tick)(void *ctx);
    void *tick_ctx;
};

/* ERR_INVALID: the endpoint is no http(s) URL, or the token would go there in the clear. */
CHECKED int http_open(struct http **http, const struct http_options *options, struct err *err);
void http_close(struct http *http); /* accepts NULL */

struct http_request {
    const char *url;
    int64_t from;         /* the first byte that is wanted */
    const char *if_range; /* an ETag, with from: else all of it is wanted; NULL: none */
    /* What comes of a 200 or 206, each may fail: once before the first byte (and when there is
     * none), and the bytes in order. */
    int (*begin)(void *ctx, long status, const struct hub_headers *headers, struct err *err);
    int (*body)(void *ctx, const void *data, size_t bytes, struct err *err);
    void *ctx;
};

/* 0: there was an answer, and *status says which; of one that is no success the body was dropped.
 * ERR_UNAVAILABLE or ERR_TIMEOUT: there was none, or it broke off, and another try may help.
 * ERR_CANCELLED: a signal. ERR_INVALID: a redirect that is not followed, a certificate that is not
 * trusted. Others are those of begin and body. */
CHECKED int http_get(struct http *http, const struct http_request *request, long *status,
                     struct hub_headers *headers, struct err *err);

/* The address that a Link header of the answer from `from` names, which may be relative (RFC 8288).
 * ERR_INVALID: it is none, or not the hub's own scheme, host and port. */
CHECKED int http_next(const struct http *http, char url[HUB_URL_BYTES_MAX], const char *from,
                      const char *link, struct err *err);

/* Whether two URLs have the same scheme, host and port. */
bool http_same_origin(const char *a, const char *b);

#endif
