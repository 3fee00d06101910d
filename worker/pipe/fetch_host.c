/* fetch_host.c - the table of hosts: buckets, a ring of those with a queue, a list of idle ones. */
#include "worker/pipe/fetch_host.h"

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "worker/pipe/fetch_robots.h"

#include <string.h>

#define BUCKETS           4096
#define DOWN_PAUSE_MS_MAX (5 * 60 * 1000) /* between two probes; doubled up to it */
#define NAMELESS_MS       (60 * 1000)
#define FAILURES_KEPT_MS  (60 * 1000) /* beyond the time that a transfer may take */

struct fetch_hosts {
    struct fetch_options options;
    uint32_t count;
    size_t robots_bytes;
    struct fetch_host ring, idle; /* heads of circular lists; the longest idle first */
    struct fetch_host *bucket[BUCKETS];
};

static void list_init(struct fetch_host *head)
{
    head->previous = head->next = head;
}

static void list_add(struct fetch_host *head, struct fetch_host *host)
{
    host->next = head;
    host->previous = head->previous;
    host->previous->next = host;
    head->previous = host;
}

static void list_remove(struct fetch_host *host)
{
    if (!host->next) return;
    host->previous->next = host->next;
    host->next->previous = host->previous;
    host->previous = host->next = NULL;
}

static struct fetch_host **bucket_of(struct fetch_hosts *hosts, const char *name)
{
    uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */
    for (; *name; name++) hash = (hash ^ (uint8_t)*name) * 0x100000001b3;
    return &hosts->bucket[(hash ^ hash >> 32) % BUCKETS];
}

struct fetch_hosts *fetch_hosts_new(const struct fetch_options *options)
{
    struct fetch_hosts *hosts = mem_new(sizeof *hosts);
    hosts->options = *options;
    list_init(&hosts->ring);
    list_init(&hosts->idle);
    return hosts;
}

void fetch_hosts_free(struct fetch_hosts *hosts)
{
    if (!hosts) return;
    for (uint32_t i = 0; i < BUCKETS; i++) {
        struct fetch_host *host = hosts->bucket[i];
        while (host) {
            struct fetch_host *next = host->chain;
            fetch_robots_free(host->robots);
            mem_free(host);
            host = next;
        }
    }
    mem_free(hosts);
}

uint32_t fetch_hosts_count(const struct fetch_hosts *hosts)
{
    return hosts->count;
}

static void forget(struct fetch_hosts *hosts, struct fetch_host *host)
{
    struct fetch_host **link = bucket_of(hosts, host->name);
    while (*link != host) link = &(*link)->chain;
    *link = host->chain;
    list_remove(host);
    hosts->count--;
    hosts->robots_bytes -= fetch_robots_memory(host->robots);
    fetch_robots_free(host->robots);
    mem_free(host);
}

struct fetch_host *fetch_hosts_get(struct fetch_hosts *hosts, const char *name)
{
    struct fetch_host **bucket = bucket_of(hosts, name);
    struct fetch_host *host = *bucket;
    while (host && strcmp(host->name, name) != 0) host = host->chain;
    if (host) return host;
    /* Those that are not idle are fewer than the items of the caller. */
    if (hosts->count >= FETCH_HOSTS_MAX && hosts->idle.next != &hosts->idle)
        forget(hosts, hosts->idle.next);
    host = mem_try(sizeof *host);
    if (!host) return NULL;
    CHECK(str_copy(host->name, sizeof host->name, name));
    host->chain = *bucket;
    *bucket = host;
    hosts->count++;
    list_add(&hosts->idle, host);
    return host;
}

void fetch_host_push(struct fetch_hosts *hosts, struct fetch_host *host, struct fetch_item *item,
                     bool in_front)
{
    if (!host->first) {
        list_remove(host);
        list_add(&hosts->ring, host);
    }
    struct fetch_item *before = in_front ? NULL : host->last;
    for (struct fetch_item *at = host->first; in_front && at && at->for_rules; at = at->next)
        before = at;
    struct fetch_item **link = before ? &before->next : &host->first;
    item->next = *link;
    *link = item;
    if (!item->next) host->last = item;
}

static void give_rules(struct fetch_hosts *hosts, struct fetch_host *host,
                       struct fetch_robots *robots)
{
    hosts->robots_bytes -= fetch_robots_memory(host->robots);
    fetch_robots_free(host->robots);
    host->robots = robots;
    hosts->robots_bytes += fetch_robots_memory(robots);
}

bool fetch_host_robots(struct fetch_hosts *hosts, struct fetch_host *host,
                       struct fetch_robots *robots)
{
    give_rules(hosts, host, robots);
    while (hosts->robots_bytes > FETCH_ROBOTS_MEMORY_MAX) {
        struct fetch_host *idle = hosts->idle.next;
        if (idle == host) idle = idle->next;
        if (idle == &hosts->idle) {
            give_rules(hosts, host, NULL);
            return false;
        }
        forget(hosts, idle);
    }
    return true;
}

static struct fetch_item *pop(struct fetch_hosts *hosts, struct fetch_host *host)
{
    struct fetch_item *item = host->first;
    host->first = item->next;
    item->next = NULL;
    list_remove(host);
    if (host->first)
        list_add(&hosts->ring, host); /* behind the others */
    else
        host->last = NULL;
    return item;
}

struct fetch_item *fetch_hosts_drop(struct fetch_hosts *hosts)
{
    struct fetch_host *host = hosts ? hosts->ring.next : NULL;
    return host && host != &hosts->ring ? pop(hosts, host) : NULL;
}

/* What becomes of the first in the queue. *until_ms: when that may change by itself. */
static enum fetch_turn judge(const struct fetch_hosts *hosts, const struct fetch_host *host,
                             enum fetch_status *status, int64_t now_ms, int64_t *until_ms)
{
    *until_ms = INT64_MAX;
    *status = host->busy ? FETCH_HOST_BUSY : FETCH_HOST_DOWN;
    if (host->nameless_until_ms > now_ms) *status = host->nameless;
    if (host->nameless_until_ms > now_ms || host->down_until_ms > now_ms) return FETCH_TURN_FAIL;
    if (host->down_until_ms && host->probed) return FETCH_TURN_NONE;
    if (host->paused_until_ms > now_ms) {
        *until_ms = host->paused_until_ms;
        *status = FETCH_HOST_BUSY;
        const bool too_long = host->paused_until_ms - now_ms > hosts->options.total_ms;
        return too_long ? FETCH_TURN_FAIL : FETCH_TURN_NONE;
    }
    if (host->rules == FETCH_RULES_ASKED && !host->first->for_rules) return FETCH_TURN_NONE;
    const bool full = hosts->options.per_host && host->running >= hosts->options.per_host;
    return full ? FETCH_TURN_NONE : FETCH_TURN_START;
}

static void begin(struct fetch_host *host, struct fetch_item *item)
{
    host->running++;
    item->probes = host->down_until_ms != 0;
    if (item->probes) host->probed = true;
}

enum fetch_turn fetch_hosts_next(struct fetch_hosts *hosts, struct fetch_item **item,
                                 enum fetch_status *status, bool can_start, int64_t now_ms,
                                 int64_t *wait_ms)
{
    for (struct fetch_host *host = hosts->ring.next; host != &hosts->ring; host = host->next) {
        int64_t until_ms;
        const enum fetch_turn turn = judge(hosts, host, status, now_ms, &until_ms);
        if (turn == FETCH_TURN_NONE && until_ms - now_ms < *wait_ms) *wait_ms = until_ms - now_ms;
        if (turn == FETCH_TURN_NONE || (turn == FETCH_TURN_START && !can_start)) continue;
        *item = pop(hosts, host);
        if (turn == FETCH_TURN_START) begin(host, *item);
        if (!host->first && !host->running) list_add(&hosts->idle, host);
        return turn;
    }
    return FETCH_TURN_NONE;
}

static void went_down(struct fetch_host *host, int64_t first_pause_ms, int64_t now_ms)
{
    int64_t pause_ms = host->down_until_ms ? host->down_pause_ms * 2 : first_pause_ms;
    if (pause_ms > DOWN_PAUSE_MS_MAX) pause_ms = DOWN_PAUSE_MS_MAX;
    host->down_pause_ms = pause_ms;
    host->down_until_ms = now_ms + pause_ms;
}

static void contact_failed(const struct fetch_hosts *hosts, struct fetch_host *host, bool probes,
                           int64_t now_ms)
{
    const struct fetch_options *options = &hosts->options;
    if (now_ms - host->failed_at_ms > options->total_ms + FAILURES_KEPT_MS) host->failures = 0;
    host->failed_at_ms = now_ms;
    if (host->failures++ == 0) host->failing_since_ms = now_ms;
    if (!options->down_failures) return;
    const bool down = host->failures >= options->down_failures &&
                      now_ms - host->failing_since_ms >= options->down_after_ms;
    /* One that began before the host was found to be down says nothing new. */
    if (probes || (down && !host->down_until_ms)) went_down(host, options->down_pause_ms, now_ms);
}

void fetch_host_ended(struct fetch_hosts *hosts, struct fetch_host *host, struct fetch_item *item,
                      enum fetch_contact contact, int64_t now_ms)
{
    CHECK(host->running > 0);
    host->running--;
    if (item->probes) host->probed = false;
    if (contact == FETCH_CONTACT_MADE) {
        host->failures = 0;
        host->down_until_ms = 0;
    } else if (contact != FETCH_CONTACT_NONE) {
        host->busy = contact == FETCH_CONTACT_BUSY;
        contact_failed(hosts, host, item->probes, now_ms);
    }
    item->probes = false;
    if (!host->first && !host->running) {
        list_remove(host);
        list_add(&hosts->idle, host);
    }
}

void fetch_host_pause(struct fetch_host *host, int64_t until_ms)
{
    if (host->paused_until_ms < until_ms) host->paused_until_ms = until_ms;
}

void fetch_host_nameless(struct fetch_host *host, enum fetch_status status, int64_t now_ms)
{
    host->nameless = status;
    host->nameless_until_ms = now_ms + NAMELESS_MS;
}
