/* fetch_rules.c - what becomes of a host's robots.txt (RFC 9309 2.3 and 2.4). */
#include "worker/pipe/fetch_rules.h"

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "worker/pipe/fetch_opt_out.h"
#include "worker/pipe/fetch_robots.h"

#include <stdio.h>
#include <string.h>

#define KEPT_MS        ((int64_t)24 * 3600 * 1000) /* RFC 9309 2.4 */
#define KEPT_FAILED_MS ((int64_t)5 * 60 * 1000)

struct rules_item {
    struct fetch_item item; /* first */
    char host[FETCH_HOST_BYTES];
    char url[FETCH_HOST_BYTES + 32];
};

struct fetch_item *fetch_rules_item(struct fetch_host *host, struct fetch_item *item,
                                    int64_t now_ms, bool *no_memory)
{
    *no_memory = false;
    if (host->rules == FETCH_RULES_ASKED || (host->rules && now_ms < host->rules_until_ms))
        return NULL;
    struct rules_item *made = mem_try(sizeof *made);
    *no_memory = made == NULL;
    if (!made) return NULL;
    const char *whole = fetch_url_whole(&item->at);
    const char *scheme = whole && str_has_prefix(whole, "https:") ? "https" : "http";
    (void)snprintf(made->url, sizeof made->url, "%s://%s/robots.txt", scheme, host->name);
    CHECK(str_copy(made->host, sizeof made->host, host->name));
    buf_init(&made->item.body, FETCH_ROBOTS_BYTES_MAX);
    made->item.url = made->url;
    made->item.for_rules = true;
    host->rules = FETCH_RULES_ASKED;
    return &made->item;
}

void fetch_rules_item_free(struct fetch_item *rules_item)
{
    buf_deinit(&rules_item->body);
    fetch_url_deinit(&rules_item->at);
    mem_free(rules_item); /* it is the first field */
}

/* What a status stands for. */
static enum fetch_rules meaning(enum fetch_status status, int32_t http_status)
{
    switch ((int)status) {
    case FETCH_OK:
    case FETCH_TOO_MANY_BYTES: /* what came before the limit counts */
        return FETCH_RULES_KNOWN;
    case FETCH_HTTP_STATUS:
        return http_status >= 500 ? FETCH_RULES_NOT_HAD : FETCH_RULES_NONE;
    case FETCH_EMPTY_BODY:
    case FETCH_TOO_MANY_REDIRECTS:
    case FETCH_BAD_REDIRECT:
        return FETCH_RULES_NONE;
    default:
        return FETCH_RULES_NOT_HAD;
    }
}

void fetch_rules_take(struct fetch_hosts *hosts, struct fetch_item *rules_item,
                      enum fetch_status status, int64_t now_ms)
{
    struct rules_item *made = (struct rules_item *)(void *)rules_item;
    struct fetch_host *host = fetch_hosts_get(hosts, made->host);
    enum fetch_rules rules = meaning(status, rules_item->http_status);
    struct fetch_robots *robots = NULL;
    if (rules == FETCH_RULES_KNOWN && host) {
        const struct buf *body = &rules_item->body;
        robots = fetch_robots_new(buf_str(body), body->len, FETCH_PRODUCT_TOKEN);
        if (!robots) {
            rules = FETCH_RULES_NOT_HAD;
            status = FETCH_FAILED;
        }
    }
    if (host) {
        if (!fetch_host_robots(hosts, host, robots)) {
            rules = FETCH_RULES_NOT_HAD;
            status = FETCH_FAILED;
        }
        const bool failed = rules == FETCH_RULES_NOT_HAD;
        host->rules = rules;
        host->rules_until_ms = now_ms + (failed ? KEPT_FAILED_MS : KEPT_MS);
        host->rules_status = status == FETCH_HTTP_STATUS ? FETCH_ROBOTS_DENIED : status;
    }
    fetch_rules_item_free(rules_item);
}

enum fetch_status fetch_rules_judge(const struct fetch_host *host, struct fetch_item *item)
{
    if (item->for_rules) return FETCH_OK;
    if (host->rules == FETCH_RULES_NOT_HAD) return host->rules_status;
    if (host->rules != FETCH_RULES_KNOWN) return FETCH_OK;
    const char *whole = fetch_url_whole(&item->at);
    if (!whole) return FETCH_FAILED;
    return fetch_robots_allow(host->robots, whole) ? FETCH_OK : FETCH_ROBOTS_DENIED;
}
