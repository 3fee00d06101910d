/* hosts.c - the table of hosts, and its orders. */
#include "worker/jobs/download/hosts.h"

#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/base/sum.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BUCKETS 4096

struct hosts {
    struct host_sum *bucket[BUCKETS];
    uint32_t count;
};

typedef int order(const void *a, const void *b);

struct hosts *hosts_new(void)
{
    return mem_new(sizeof(struct hosts));
}

void hosts_free(struct hosts *hosts)
{
    if (!hosts) return;
    for (uint32_t i = 0; i < BUCKETS; i++) {
        while (hosts->bucket[i]) {
            struct host_sum *host = hosts->bucket[i];
            hosts->bucket[i] = host->chain;
            mem_free(host);
        }
    }
    mem_free(hosts);
}

bool hosts_name(char dst[FETCH_HOST_BYTES], const char *url)
{
    const bool tls = strncasecmp(url, "https://", 8) == 0;
    if (!tls && strncasecmp(url, "http://", 7) != 0) return false;
    const char *from = url + (tls ? 8 : 7), *usual = tls ? ":443" : ":80";
    size_t len = strcspn(from, "/?#");
    for (size_t i = 0; i < len;) /* a password may hold an @, a host may not */
        if (from[i++] == '@') {
            from += i;
            len -= i;
            i = 0;
        }
    const size_t port = strlen(usual);
    if (len > port && strncmp(from + len - port, usual, port) == 0) len -= port;
    if (len == 0 || len >= FETCH_HOST_BYTES || from[0] == ':') return false;
    for (size_t i = 0; i < len; i++) {
        dst[i] = from[i];
        if (from[i] >= 'A' && from[i] <= 'Z') dst[i] = (char)(from[i] | 0x20);
    }
    dst[len] = 0;
    return true;
}

uint32_t hosts_status(const struct host_sum *host)
{
    uint32_t most = STATUS_SUCCESS;
    for (uint32_t i = STATUS_SUCCESS + 1; i < STATUSES_COUNT; i++)
        if (host->status[i] > 0 && (most == STATUS_SUCCESS || host->status[i] > host->status[most]))
            most = i;
    return most;
}

static double mean_ms(const struct host_sum *host)
{
    return host->fetched ? (double)host->fetch_ms / (double)host->fetched : 0;
}

/* The larger number first, equal ones by name. */
static int compare(double a, double b, const struct host_sum *left, const struct host_sum *right)
{
    if (a != b) return a < b ? 1 : -1;
    return strcmp(left->name, right->name);
}

static int by_failed(const void *a, const void *b)
{
    const struct host_sum *left = *(struct host_sum *const *)a;
    const struct host_sum *right = *(struct host_sum *const *)b;
    return compare((double)left->failed, (double)right->failed, left, right);
}

static int by_time(const void *a, const void *b)
{
    const struct host_sum *left = *(struct host_sum *const *)a;
    const struct host_sum *right = *(struct host_sum *const *)b;
    return compare((double)left->fetch_ms, (double)right->fetch_ms, left, right);
}

static int by_mean(const void *a, const void *b)
{
    const struct host_sum *left = *(struct host_sum *const *)a;
    const struct host_sum *right = *(struct host_sum *const *)b;
    return compare(mean_ms(left), mean_ms(right), left, right);
}

/* All hosts in this order; NULL: none, or no memory. The caller frees it. */
static struct host_sum **sorted(const struct hosts *hosts, order *by)
{
    uint32_t count = 0;
    struct host_sum **list =
        hosts->count ? mem_try(hosts->count * sizeof(struct host_sum *)) : NULL;
    if (!list) return NULL;
    for (uint32_t i = 0; i < BUCKETS; i++)
        for (struct host_sum *host = hosts->bucket[i]; host; host = host->chain)
            list[count++] = host;
    qsort(list, count, sizeof(struct host_sum *), by);
    return list;
}

static void keep_first(struct hosts *hosts, order *by, uint32_t max)
{
    struct host_sum **list = sorted(hosts, by);
    for (uint32_t i = 0; list && i < max && i < hosts->count; i++) list[i]->kept = true;
    mem_free(list);
}

static void forget_others(struct hosts *hosts)
{
    for (uint32_t i = 0; i < BUCKETS; i++) {
        struct host_sum **link = &hosts->bucket[i];
        while (*link) {
            struct host_sum *host = *link;
            if (host->kept) {
                host->kept = false;
                link = &host->chain;
                continue;
            }
            *link = host->chain;
            mem_free(host);
            hosts->count--;
        }
    }
}

/* NULL: no memory. */
static struct host_sum *host_of(struct hosts *hosts, const char *name)
{
    uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */
    for (const char *c = name; *c; c++) hash = (hash ^ (uint8_t)*c) * 0x100000001b3;
    struct host_sum **bucket = &hosts->bucket[(hash ^ hash >> 32) % BUCKETS], *host = *bucket;
    while (host && strcmp(host->name, name) != 0) host = host->chain;
    if (host) return host;
    if (hosts->count >= HOSTS_MAX) {
        keep_first(hosts, by_failed, HOSTS_MAX / 4);
        keep_first(hosts, by_time, HOSTS_MAX / 4);
        forget_others(hosts);
    }
    host = mem_try(sizeof *host);
    if (!host) return NULL;
    (void)str_copy(host->name, sizeof host->name, name);
    host->chain = *bucket;
    *bucket = host;
    hosts->count++;
    return host;
}

void hosts_add(struct hosts *hosts, const char *url, uint32_t status, int64_t tries,
               int64_t fetch_ms)
{
    char name[FETCH_HOST_BYTES];
    if (status == (uint32_t)FETCH_BAD_URL || !hosts_name(name, url)) return;
    struct host_sum *host = host_of(hosts, name);
    if (!host) return;
    host->rows++;
    host->failed += status != STATUS_SUCCESS;
    if (status != STATUS_SUCCESS) host->status[status]++;
    host->fetched += tries > 0;
    if (tries > 0) host->fetch_ms += fetch_ms;
}

static void add_host(const struct host_sum *host, struct buf *out, bool *first)
{
    const uint32_t status = hosts_status(host);
    buf_text(out, *first ? "\n        {\"host\": " : ",\n        {\"host\": ");
    *first = false;
    str_json(out, host->name, strlen(host->name));
    buf_printf(out, ", \"rows\": %" PRId64 ", \"failed\": %" PRId64 ", \"status\": ", host->rows,
               host->failed);
    if (status == STATUS_SUCCESS)
        buf_text(out, "null");
    else
        buf_printf(out, "\"%s\"", status_name(status));
    buf_printf(
        out, ", \"status_rows\": %" PRId64 ", \"fetched\": %" PRId64 ", \"fetch_ms\": %" PRId64 "}",
        host->status[status], host->fetched, host->fetch_ms);
}

void hosts_json(const struct hosts *hosts, struct buf *out)
{
    bool first = true;
    struct host_sum **failed = sorted(hosts, by_failed), **slow = sorted(hosts, by_time);
    buf_byte(out, '[');
    for (uint32_t i = 0; failed && slow && i < hosts->count && i < HOSTS_TOLD; i++) {
        failed[i]->kept = failed[i]->failed > 0;
        if (failed[i]->kept) add_host(failed[i], out, &first);
    }
    for (uint32_t i = 0; failed && slow && i < hosts->count && i < HOSTS_TOLD; i++)
        if (!slow[i]->kept && slow[i]->fetched > 0) add_host(slow[i], out, &first);
    for (uint32_t i = 0; failed && slow && i < hosts->count; i++) failed[i]->kept = false;
    buf_text(out, first ? "]" : "\n    ]");
    mem_free(failed);
    mem_free(slow);
}

static int64_t number(const json_t *object, const char *name)
{
    const int64_t value = json_integer_value(json_object_get(object, name));
    return value < 0 ? 0 : value;
}

static uint32_t status_named(const char *name)
{
    for (uint32_t i = STATUS_SUCCESS + 1; name && i < STATUSES_COUNT; i++)
        if (i != STATUS_DECODE_FIRST && !strcmp(status_name(i), name)) return i;
    return STATUS_SUCCESS;
}

void hosts_add_json(struct hosts *hosts, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list) && i < 2 * HOSTS_TOLD; i++) {
        const json_t *object = json_array_get(list, i);
        const char *name = json_string_value(json_object_get(object, "host"));
        if (!name || !*name || strlen(name) >= FETCH_HOST_BYTES) continue;
        struct host_sum *host = host_of(hosts, name);
        if (!host) return;
        const uint32_t status = status_named(json_string_value(json_object_get(object, "status")));
        host->rows = sum_of(host->rows, number(object, "rows"));
        host->failed = sum_of(host->failed, number(object, "failed"));
        host->fetched = sum_of(host->fetched, number(object, "fetched"));
        host->fetch_ms = sum_of(host->fetch_ms, number(object, "fetch_ms"));
        if (status != STATUS_SUCCESS)
            host->status[status] = sum_of(host->status[status], number(object, "status_rows"));
    }
}

static uint32_t first_of(const struct hosts *hosts, order *by, const struct host_sum **into,
                         uint32_t max)
{
    uint32_t count = 0;
    struct host_sum **list = hosts ? sorted(hosts, by) : NULL;
    for (uint32_t i = 0; list && i < hosts->count && count < max; i++)
        if (by == by_failed ? list[i]->failed > 0 : list[i]->fetched > 0) into[count++] = list[i];
    mem_free(list);
    return count;
}

uint32_t hosts_worst(const struct hosts *hosts, const struct host_sum **into, uint32_t max)
{
    return first_of(hosts, by_failed, into, max);
}

uint32_t hosts_slowest(const struct hosts *hosts, const struct host_sum **into, uint32_t max)
{
    return first_of(hosts, by_mean, into, max);
}
