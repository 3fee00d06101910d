/* fetch_spec.c - see fetch_spec.h. */
#include "worker/pipe/fetch_spec.h"

#include "common/base/log.h"
#include "worker/pipe/fetch_dns.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define AGENT_BYTES_MAX 200
/* The bodies that one task may hold at a time. */
#define BODIES_BYTES_MAX ((int64_t)16 * 1024 * 1024 * 1024)
#define BODY_BYTES_MAX   ((int64_t)1024 * 1024 * 1024)
#define TIMEOUT_MS_MAX   (3600 * 1000)
/* Below 1 KiB/s for 10 s a server is a tarpit, not a slow line. */
#define SLOW_BYTES 1024
#define SLOW_S     10
#define BACKOFF_MS 500
/* About what one visitor's browser opens to a host; eight such hosts fill a task's transfers. */
#define PER_HOST 8
/* img2dataset's four, and what its users ask for besides. */
#define OPT_OUT           "noai,noimageai,noindex,noimageindex,noml"
#define OPT_OUT_MAX       32
#define OPT_OUT_BYTES_MAX 40
/* A host is given up for a while when a full set of its transfers failed one after another; not
 * within the seconds that a server takes to start again. */
#define DOWN_FAILURES PER_HOST
#define DOWN_AFTER_MS 10000
#define DOWN_PAUSE_MS 30000

struct range {
    const char *option;
    uint64_t value;
    int64_t fallback, max;
    uint32_t *dst32; /* one of the two */
    int64_t *dst64;
};

static int numbers(struct fetch_options *options, const struct fetch_spec *spec, struct err *err)
{
    const struct range ranges[] = {
        {"transfers", spec->transfers, 64, FETCH_TRANSFERS_MAX, &options->transfers, 0},
        {"per-host", spec->per_host, PER_HOST, FETCH_TRANSFERS_MAX, &options->per_host, 0},
        {"timeout-ms", spec->timeout_ms, 20000, TIMEOUT_MS_MAX, 0, &options->total_ms},
        {"connect-timeout-ms", spec->connect_timeout_ms, 5000, TIMEOUT_MS_MAX, 0,
         &options->connect_ms},
        {"retries", spec->retries, 2, 20, &options->retries, 0},
        {"redirects", spec->redirects, 5, FETCH_REDIRECTS_MAX, &options->redirects, 0},
        {"body-bytes", spec->body_bytes, 32 * 1024 * 1024, BODY_BYTES_MAX, 0, &options->body_bytes},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        const struct range *range = &ranges[i];
        if (range->value > (uint64_t)range->max)
            return err_set(err, ERR_INVALID, "--%s must be 1 to %" PRId64 ", not %" PRIu64,
                           range->option, range->max, range->value);
        const int64_t value = range->value ? (int64_t)range->value : range->fallback;
        if (range->dst32) *range->dst32 = (uint32_t)value;
        if (range->dst64) *range->dst64 = value;
    }
    if (spec->no_retries && spec->retries)
        return err_set(err, ERR_INVALID, "--no-retries and --retries exclude each other");
    if (spec->no_retries) options->retries = 0;
    if (options->body_bytes * options->transfers > BODIES_BYTES_MAX)
        return err_set(
            err, ERR_INVALID,
            "--transfers times --body-bytes must be at most 16 GiB: so much memory could "
            "the bodies of one task need");
    return 0;
}

static int choose_agent(struct fetch_options *options, struct arena *arena, const char *extra,
                        struct err *err)
{
    for (const char *c = extra; *c; c++)
        if (*c < ' ' || *c > '~')
            return err_set(err, ERR_INVALID, "--user-agent must be printable ASCII");
    if (strlen(extra) > AGENT_BYTES_MAX)
        return err_set(err, ERR_INVALID, "--user-agent must be at most %d characters",
                       AGENT_BYTES_MAX);
    options->agent = arena_printf(arena, "vlmq/%s%s%s", VLMQ_VERSION, extra[0] ? " " : "", extra);
    return options->agent ? 0 : err_set(err, ERR_LIMIT, "no memory for the spec");
}

/* Joins them for the fetch, in lower case. */
static int choose_opt_out(struct fetch_options *options, struct arena *arena,
                          const struct fetch_spec *spec, struct err *err)
{
    const size_t count = spec->opt_out_count;
    options->opt_out = spec->ignore_opt_out ? NULL : OPT_OUT;
    if (count && spec->ignore_opt_out)
        return err_set(err, ERR_INVALID,
                       "--ignore-opt-out and --opt-out-directives exclude each other");
    if (count > OPT_OUT_MAX)
        return err_set(err, ERR_INVALID, "--opt-out-directives takes at most %d", OPT_OUT_MAX);
    if (!count) return 0;
    char *list = arena_try(arena, count * (OPT_OUT_BYTES_MAX + 1)), *to = list;
    if (!list) return err_set(err, ERR_LIMIT, "no memory for the spec");
    for (size_t i = 0; i < count; i++) {
        const char *text = spec->opt_out[i];
        const size_t len = strlen(text);
        if (len == 0 || len > OPT_OUT_BYTES_MAX ||
            strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != len)
            return err_set(err, ERR_INVALID,
                           "--opt-out-directives must be words like noai, not \"%.40s\"", text);
        for (size_t k = 0; k < len; k++)
            *to++ = (char)(text[k] >= 'A' && text[k] <= 'Z' ? text[k] - 'A' + 'a' : text[k]);
        *to++ = i + 1 < count ? ',' : 0;
    }
    options->opt_out = list;
    return 0;
}

/* Joins them for the fetch. */
static int choose_servers(struct fetch_options *options, struct arena *arena,
                          const struct fetch_spec *spec, struct err *err)
{
    struct err why;
    const char *list = NULL;
    for (size_t i = 0; i < spec->dns_servers_count; i++) {
        list =
            arena_printf(arena, "%s%s%s", list ? list : "", list ? "," : "", spec->dns_servers[i]);
        if (!list) return err_set(err, ERR_LIMIT, "no memory for the spec");
        const int rc = fetch_dns_check_servers(list, &why);
        if (rc) return err_set(err, (enum err_code)rc, "--dns-servers: %s", why.msg);
    }
    options->dns_servers = list;
    return 0;
}

int fetch_options_init(struct fetch_options *options, struct arena *arena,
                       const struct fetch_spec *spec, struct err *err)
{
    *options = (struct fetch_options){.slow_bytes = SLOW_BYTES,
                                      .slow_s = SLOW_S,
                                      .backoff_ms = BACKOFF_MS,
                                      .down_failures = DOWN_FAILURES,
                                      .down_after_ms = DOWN_AFTER_MS,
                                      .down_pause_ms = DOWN_PAUSE_MS,
                                      .cookies = spec->cookies,
                                      .robots = spec->robots,
                                      .allow_private = spec->allow_private};
    int rc = numbers(options, spec, err);
    if (!rc) rc = choose_opt_out(options, arena, spec, err);
    if (!rc) rc = choose_servers(options, arena, spec, err);
    if (!rc) rc = choose_agent(options, arena, spec->user_agent, err);
    return rc;
}

/* A transfer may have two sockets for a moment, and another task may run beside this one. */
void fetch_options_fit(struct fetch_options *options)
{
    struct rlimit files;
    char text[160];
    if (getrlimit(RLIMIT_NOFILE, &files)) return;
    const rlim_t max = files.rlim_cur / 4 ? files.rlim_cur / 4 : 1;
    if (options->transfers <= max) return;
    (void)snprintf(text, sizeof text,
                   "%u transfers at a time are cut to %u: raise the limit of %u "
                   "open files for more",
                   options->transfers, (uint32_t)max, (uint32_t)files.rlim_cur);
    log_warn("transfers.cut", "msg=%s", log_quote(text));
    options->transfers = (uint32_t)max;
}
