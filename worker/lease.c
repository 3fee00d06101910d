/* lease.c - the table of held leases; no clock, no socket, no thread. */
#include "worker/lease.h"

#include "common/base/check.h"

#include <stddef.h>

static struct lease *find(struct lease_table *table, uint64_t key)
{
    for (uint32_t i = 0; i < table->count; i++)
        if (table->lease[i].key == key) return &table->lease[i];
    return NULL;
}

/* The moment at which work must stop. */
static int64_t stop_at(const struct lease *lease)
{
    return lease->ends_at_ms - LEASE_MARGIN_MS;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

bool lease_add(struct lease_table *table, uint64_t key, int64_t counts_from_ms, int64_t ttl_ms,
               int64_t now_ms)
{
    CHECK(counts_from_ms <= now_ms);
    if (table->count == TASKS_MAX || find(table, key)) return false;
    struct lease lease = {.key = key, .ttl_ms = ttl_ms, .ends_at_ms = counts_from_ms + ttl_ms};
    if (now_ms >= stop_at(&lease)) return false;
    lease.renew_at_ms = least(counts_from_ms + ttl_ms / 3, now_ms + LEASE_FIRST_MS);
    table->lease[table->count++] = lease;
    return true;
}

void lease_renewed(struct lease_table *table, uint64_t key, int64_t sent_at_ms)
{
    struct lease *lease = find(table, key);
    if (!lease) return;
    const int64_t ends_at_ms = sent_at_ms + lease->ttl_ms;
    if (ends_at_ms <= lease->ends_at_ms) return; /* an older answer that came late */
    lease->ends_at_ms = ends_at_ms;
    lease->renew_at_ms = sent_at_ms + lease->ttl_ms / 3;
}

void lease_hurry(struct lease_table *table, uint64_t key)
{
    struct lease *lease = find(table, key);
    if (lease) lease->renew_at_ms = INT64_MIN;
}

void lease_calm(struct lease_table *table, uint64_t key)
{
    struct lease *lease = find(table, key);
    if (!lease) return;
    const int64_t ordinary_ms = lease->ends_at_ms - lease->ttl_ms + lease->ttl_ms / 3;
    if (lease->renew_at_ms < ordinary_ms) lease->renew_at_ms = ordinary_ms;
}

void lease_gone(struct lease_table *table, uint64_t key)
{
    struct lease *lease = find(table, key);
    if (lease) lease->lost = true;
}

void lease_drop(struct lease_table *table, uint64_t key)
{
    struct lease *lease = find(table, key);
    if (lease) *lease = table->lease[--table->count];
}

int64_t lease_left(const struct lease_table *table, uint64_t key, int64_t now_ms)
{
    for (uint32_t i = 0; i < table->count; i++) {
        const struct lease *lease = &table->lease[i];
        if (lease->key != key) continue;
        return lease->lost || now_ms >= lease->ends_at_ms ? 0 : lease->ends_at_ms - now_ms;
    }
    return 0;
}

/* When to ask again if there is no answer to a renewal that goes out now. */
static int64_t retry_at(const struct lease *lease, int64_t now_ms)
{
    int64_t pause_ms = least(lease->ttl_ms / 3, (stop_at(lease) - now_ms) / 2);
    if (pause_ms < LEASE_RETRY_MS) pause_ms = LEASE_RETRY_MS;
    return now_ms + pause_ms;
}

int64_t lease_tick(struct lease_table *table, int64_t now_ms, struct lease_work *work)
{
    int64_t wake_at_ms = INT64_MAX;
    work->renew_count = work->lost_count = 0;
    for (uint32_t i = 0; i < table->count; i++) {
        struct lease *lease = &table->lease[i];
        if (lease->lost) continue;
        if (now_ms >= stop_at(lease)) {
            lease->lost = true;
            work->lost[work->lost_count++] = lease->key;
            continue;
        }
        if (now_ms >= lease->renew_at_ms) {
            work->renew[work->renew_count++] = lease->key;
            lease->renew_at_ms = retry_at(lease, now_ms);
        }
        wake_at_ms = least(wake_at_ms, least(lease->renew_at_ms, stop_at(lease)));
    }
    return wake_at_ms == INT64_MAX ? -1 : wake_at_ms - now_ms;
}
