/* fetch_spec.h - what a job's spec asks of its transfers, with defaults and ranges in one place.
 *
 * The kinds that fetch have these options by the same names and with the same meaning; their
 * messages have the fields that FETCH_SPEC reads. */
#ifndef PIPE_FETCH_SPEC_H
#define PIPE_FETCH_SPEC_H

#include "common/base/err.h"
#include "common/base/mem.h"
#include "worker/pipe/fetch.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As submitted: 0, "" and no entries are the defaults. */
struct fetch_spec {
    uint64_t transfers, per_host, timeout_ms, connect_timeout_ms, retries, redirects, body_bytes;
    bool no_retries, ignore_opt_out, allow_private, robots, cookies;
    const char *user_agent; /* what is appended to it */
    char *const *opt_out;   /* directives */
    size_t opt_out_count;
    char *const *dns_servers;
    size_t dns_servers_count;
};

/* Of a message of protobuf-c. */
#define FETCH_SPEC(message)                                                   \
    ((struct fetch_spec){.transfers = (message)->transfers,                   \
                         .per_host = (message)->per_host,                     \
                         .timeout_ms = (message)->timeout_ms,                 \
                         .connect_timeout_ms = (message)->connect_timeout_ms, \
                         .retries = (message)->retries,                       \
                         .redirects = (message)->redirects,                   \
                         .body_bytes = (message)->body_bytes,                 \
                         .no_retries = (message)->no_retries,                 \
                         .ignore_opt_out = (message)->ignore_opt_out,         \
                         .allow_private = (message)->allow_private,           \
                         .robots = (message)->robots,                         \
                         .cookies = (message)->cookies,                       \
                         .user_agent = (message)->user_agent,                 \
                         .opt_out = (message)->opt_out_directives,            \
                         .opt_out_count = (message)->n_opt_out_directives,    \
                         .dns_servers = (message)->dns_servers,               \
                         .dns_servers_count = (message)->n_dns_servers})

/* Its texts are made in the arena. ERR_INVALID with a sentence that names the option. */
CHECKED int fetch_options_init(struct fetch_options *options, struct arena *arena,
                               const struct fetch_spec *spec, struct err *err);
/* Cuts the transfers to what the process may have open, with a line in the log. */
void fetch_options_fit(struct fetch_options *options);

#endif
