/* fetch_try.h - one request and its answer, over an easy handle of libcurl.
 *
 * Redirects are not followed here: a hop is a try of its own, so that each host on the way is asked
 * by the same rules. The multi handle that runs it is the caller's. */
#ifndef PIPE_FETCH_TRY_H
#define PIPE_FETCH_TRY_H

#include "worker/pipe/fetch.h"
#include "worker/pipe/fetch_dns.h"
#include "worker/pipe/fetch_host.h"

/* What all tries of a fetch share. */
struct fetch_common {
    struct fetch_options options;
    void *headers;  /* a curl_slist */
    void *sessions; /* a CURLSH: TLS sessions, so that a host's next handshake is a short one */
    char *agent, *ca_file, *opt_out;
};

struct fetch_try {
    const struct fetch_common *common;
    void *easy;              /* a CURL */
    struct fetch_item *item; /* NULL: free */
    int64_t started_at_ms;
    int64_t limit_ms; /* of this try */
    size_t discarded_bytes;
    char *location;          /* of this answer; NULL: none */
    struct fetch_name *name; /* that is looked up, before there is a handle; the fetch's */
    struct fetch_try *next;  /* of those that wait for a name; the fetch's */
    void *resolve;           /* a curl_slist: the host's addresses; NULL: not given */
    int64_t retry_after_s;
    bool sent; /* the request */
    bool opted_out;
    bool named;    /* the host is a name */
    bool hindered; /* by this machine: it has no socket left, or was too late with the addresses */
    bool allowed;  /* an address was */
    bool v6;       /* and one of them was no IPv4 address */
    bool refused, too_large, too_many_headers, no_memory;
};

CHECKED int fetch_common_init(struct fetch_common *common, const struct fetch_options *options,
                              struct err *err);
void fetch_common_deinit(struct fetch_common *common);
/* The addresses of a name (fetch_dns.h) that were given to one try serve all of the multi handle to
 * that host for so long, and need not be given to them. */
#define FETCH_TRY_KNOWS_MS 1000
/* Makes the handle for a request to item->at; the caller adds it to the multi handle at once. name:
 * of its host, ready; NULL: the URL has an address. tell: give the addresses. false: not possible
 * on this machine. */
bool fetch_try_init(struct fetch_try *try, const struct fetch_common *common,
                    struct fetch_item *item, const struct fetch_name *name, bool tell,
                    int64_t now_ms);
void fetch_try_deinit(struct fetch_try *try);
/* Forgets where the item is and what it carries. */
void fetch_try_forget(struct fetch_item *item);

struct fetch_result {
    enum fetch_status status;
    enum fetch_contact contact;
    bool reused;           /* the connection had served another request */
    bool unresolved;       /* libcurl wanted addresses that it had been told, and forgotten */
    bool redirected;       /* to try->location */
    bool hindered;         /* by this machine, so that nobody else is to blame */
    int64_t retry_after_s; /* what the host asks for, in the answers that may; else 0 */
};
/* What it came to, with curl's own result; fills in the item's HTTP status and type. */
struct fetch_result fetch_try_result(struct fetch_try *try, int curl_code, int64_t now_ms);

#endif
