/* lease.h - when leases must be renewed, and when their work must stop.
 *
 * Pure: numbers in, numbers out. A lease counts from the moment when the request that granted or
 * renewed it was SENT (for a parked take: plus the time it was parked), on the worker's monotonic
 * clock; so it ends here before it ends at the broker, whatever the network does. It is renewed at
 * a third of its length, and once soon after its start; an unanswered renewal is tried again after
 * half of the time that is left. Work is told to stop LEASE_MARGIN_MS before the end. */
#ifndef WORKER_LEASE_H
#define WORKER_LEASE_H

#include "worker/limits.h"

#include <stdbool.h>
#include <stdint.h>

struct lease {
    uint64_t key; /* the owner's name for it */
    int64_t ttl_ms, ends_at_ms, renew_at_ms;
    bool lost; /* told; it will not come back */
};

struct lease_table {
    struct lease lease[TASKS_MAX];
    uint32_t count;
};

/* What lease_tick found to do; the caller does it. */
struct lease_work {
    uint32_t renew_count, lost_count;
    uint64_t renew[TASKS_MAX], lost[TASKS_MAX]; /* keys */
};

/* counts_from_ms: see above. false: the table is full, the key is there, or there is no time left
 * to work in. */
bool lease_add(struct lease_table *table, uint64_t key, int64_t counts_from_ms, int64_t ttl_ms,
               int64_t now_ms);
/* A renewal that was sent at sent_at_ms was granted. Unknown and lost leases stay what they are. */
void lease_renewed(struct lease_table *table, uint64_t key, int64_t sent_at_ms);
/* Renew it with the next tick. */
void lease_hurry(struct lease_table *table, uint64_t key);
/* Its work has ended, and a report is on its way: nothing new is to be told with a renewal, which
 * is sent at the ordinary time if the report is not answered by then. */
void lease_calm(struct lease_table *table, uint64_t key);
/* The broker says that it is gone: no more renewals, and lease_tick will not tell it. */
void lease_gone(struct lease_table *table, uint64_t key);
void lease_drop(struct lease_table *table, uint64_t key);
/* Ms until its end; 0 when it is over, lost or unknown. */
int64_t lease_left(const struct lease_table *table, uint64_t key, int64_t now_ms);
/* Fills work, where each lost lease stands once, and returns how many ms the caller may sleep
 * (-1: there is nothing to wait for). */
int64_t lease_tick(struct lease_table *table, int64_t now_ms, struct lease_work *work);

#endif
