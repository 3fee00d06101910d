/* watch.c - the tables of topics and watchers. No network and no Redis in here. */
#include "broker/watch.h"

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#include <string.h>

void watches_init(struct watches *watches)
{
    *watches = (struct watches){0};
    watches->watcher = mem_new(sizeof *watches->watcher * WATCHES_MAX);
    watches->topic = mem_new(sizeof *watches->topic * WATCHES_MAX);
}

void watches_deinit(struct watches *watches)
{
    for (uint32_t i = 0; i < watches->watchers_high; i++) {
        if (watches->watcher[i].used) watch_remove(watches, &watches->watcher[i]);
    }
    mem_free(watches->watcher);
    mem_free(watches->topic);
    *watches = (struct watches){0};
}

static bool same_peer(const struct sock_peer *a, const struct sock_peer *b)
{
    return a->id_bytes == b->id_bytes && memcmp(a->id, b->id, a->id_bytes) == 0;
}

/* Found or made. There are as many topics as watchers, so there is always room. */
static uint32_t topic_meet(struct watches *watches, const char *job)
{
    uint32_t free = UINT32_MAX;
    for (uint32_t i = 0; i < watches->topics_high; i++) {
        if (!watches->topic[i].used) {
            free = i;
        } else if (strcmp(watches->topic[i].job, job) == 0) {
            return i;
        }
    }
    if (free == UINT32_MAX) {
        CHECK(watches->topics_high < WATCHES_MAX);
        free = watches->topics_high++;
    }
    watches->topic[free] = (struct topic){.used = true};
    (void)str_copy(watches->topic[free].job, JOB_ID_BYTES, job);
    watches->topics_count++;
    return free;
}

static struct watcher *watcher_find(struct watches *watches, const struct sock_peer *peer,
                                    const char *job)
{
    for (uint32_t i = 0; i < watches->watchers_high; i++) {
        struct watcher *w = &watches->watcher[i];
        if (!w->used || !same_peer(&w->peer, peer)) continue;
        const char *watched = w->topic == WATCH_ALL ? "" : watches->topic[w->topic].job;
        if (strcmp(watched, job) == 0) return w;
    }
    return NULL;
}

static struct watcher *watcher_room(struct watches *watches)
{
    for (uint32_t i = 0; i < watches->watchers_high; i++) {
        if (!watches->watcher[i].used) return &watches->watcher[i];
    }
    if (watches->watchers_high == WATCHES_MAX) return NULL;
    return &watches->watcher[watches->watchers_high++];
}

struct watcher *watch_add(struct watches *watches, const struct sock_peer *peer, const char *job,
                          int64_t now_ms, bool *fresh)
{
    struct watcher *w = watcher_find(watches, peer, job);
    *fresh = !w;
    if (!w) {
        if (!job[0] && watches->all_count == WATCHES_ALL_MAX) return NULL;
        w = watcher_room(watches);
        if (!w) return NULL;
        *w = (struct watcher){.used = true, .peer = *peer, .topic = WATCH_ALL};
        if (job[0]) {
            w->topic = topic_meet(watches, job);
            watches->topic[w->topic].watchers++;
        } else {
            w->missed = mem_new(sizeof *w->missed * WATCH_MISSED_MAX);
            watches->all_count++;
        }
        watches->watchers_count++;
    }
    w->until_ms = now_ms + POLL_TTL_MS;
    return w;
}

void watch_remove(struct watches *watches, struct watcher *watcher)
{
    CHECK(watcher->used);
    if (watcher->topic == WATCH_ALL) {
        watches->all_count--;
    } else {
        struct topic *topic = &watches->topic[watcher->topic];
        if (--topic->watchers == 0) {
            mem_free(topic->rows);
            *topic = (struct topic){0};
            watches->topics_count--;
        }
    }
    mem_free(watcher->missed);
    watcher->missed = NULL;
    watcher->used = false; /* the peer stays readable, see watch_expired */
    watches->watchers_count--;
}

struct watcher *watch_expired(struct watches *watches, uint32_t *at, int64_t now_ms)
{
    while (*at < watches->watchers_high) {
        struct watcher *w = &watches->watcher[(*at)++];
        if (!w->used || now_ms < w->until_ms) continue;
        watch_remove(watches, w);
        return w;
    }
    return NULL;
}

void watch_ended(struct watches *watches, const char *job)
{
    for (uint32_t i = 0; i < watches->topics_high; i++) {
        struct topic *topic = &watches->topic[i];
        if (!topic->used || strcmp(topic->job, job) != 0) continue;
        topic->read_at_ms = -WATCH_REFRESH_MS;
        topic->next_read_at_ms = 0;
        for (uint32_t k = 0; k < watches->watchers_high; k++) {
            struct watcher *w = &watches->watcher[k];
            if (w->used && w->topic == i) w->next_at_ms = 0;
        }
    }
}

bool watch_wants(const struct topic *topic, uint64_t version, int64_t now_ms)
{
    if (now_ms < topic->next_read_at_ms) return false;
    if (version && version != topic->version_read) return true;
    return now_ms - topic->read_at_ms >= WATCH_REFRESH_MS;
}

bool watch_due(const struct watcher *watcher, uint64_t fingerprint, int64_t now_ms)
{
    CHECK(fingerprint != 0);
    return fingerprint != watcher->sent && now_ms >= watcher->next_at_ms;
}

bool watch_sent(struct watcher *watcher, uint64_t fingerprint, bool sent, bool final,
                int64_t now_ms)
{
    watcher->next_at_ms = now_ms + WATCH_SPACING_MS;
    if (!sent) return false;
    watcher->sent = fingerprint;
    return final;
}

bool watch_miss(struct watcher *watcher, const char *job)
{
    CHECK(watcher->missed != NULL);
    for (uint32_t i = 0; i < watcher->missed_count; i++) {
        if (strcmp(watcher->missed[i], job) == 0) return true;
    }
    if (watcher->missed_count == WATCH_MISSED_MAX) return false;
    (void)str_copy(watcher->missed[watcher->missed_count++], JOB_ID_BYTES, job);
    return true;
}

uint64_t watch_fingerprint(const Vlmq__Job *job)
{
    const uint64_t part[] = {
        job->version,
        (uint64_t)job->state << 1 | (uint64_t)(job->paused != 0),
        (uint64_t)job->tasks_ready << 32 | job->tasks_leased,
        (uint64_t)job->tasks_waiting << 32 | job->tasks_done,
        (uint64_t)job->tasks_dead << 32 | job->tasks_total,
        (uint64_t)job->items_total,
        job->progress ? (uint64_t)job->progress->items : 0,
        job->progress ? (uint64_t)job->progress->items_ok : 0,
        job->progress ? (uint64_t)job->progress->bytes : 0,
    };
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
        hash = (hash ^ part[i]) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 31;
    }
    return hash | 1;
}

uint64_t watch_print(const void *data, size_t bytes)
{
    const uint8_t *at = data;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < bytes; i++) hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    return hash & ~UINT64_C(1);
}

int64_t watch_next(const struct watches *watches, int64_t now_ms)
{
    int64_t next = INT64_MAX;
    for (uint32_t i = 0; i < watches->topics_high; i++) {
        const struct topic *topic = &watches->topic[i];
        if (!topic->used) continue;
        int64_t at = topic->read_at_ms + WATCH_REFRESH_MS;
        if (at < topic->next_read_at_ms) at = topic->next_read_at_ms;
        if (at < next) next = at;
    }
    if (watches->all_count && now_ms + WATCH_SPACING_MS < next) next = now_ms + WATCH_SPACING_MS;
    return next;
}
