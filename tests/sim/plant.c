/* plant.c - planted faults that sit inside a program: the linker leads these calls here
 * (--wrap). */
#include "common/base/id.h"
#include "common/base/str.h"
#include "tests/sim/sim.h"
#include "worker/inside.h"

#include <string.h>

bool __real_lease_add(struct lease_table *table, uint64_t key, int64_t counts_from_ms,
                      int64_t ttl_ms, int64_t now_ms);
bool __wrap_lease_add(struct lease_table *table, uint64_t key, int64_t counts_from_ms,
                      int64_t ttl_ms, int64_t now_ms);
void __real_lease_renewed(struct lease_table *table, uint64_t key, int64_t sent_at_ms);
void __wrap_lease_renewed(struct lease_table *table, uint64_t key, int64_t sent_at_ms);
void __real_leave_drain(struct worker *w, const char *reason);
void __wrap_leave_drain(struct worker *w, const char *reason);
void __real_id_lease(char dst[LEASE_ID_BYTES]);
void __wrap_id_lease(char dst[LEASE_ID_BYTES]);

/* lease-from-answer: a lease is counted from when its answer came. */
bool __wrap_lease_add(struct lease_table *table, uint64_t key, int64_t counts_from_ms,
                      int64_t ttl_ms, int64_t now_ms)
{
    const bool planted = sim_canary("lease-from-answer");
    return __real_lease_add(table, key, planted ? now_ms : counts_from_ms, ttl_ms, now_ms);
}

void __wrap_lease_renewed(struct lease_table *table, uint64_t key, int64_t sent_at_ms)
{
    const bool planted = sim_canary("lease-from-answer");
    __real_lease_renewed(table, key, planted ? proc_mono_us(proc_self()) / 1000 : sent_at_ms);
}

/* drain-unheard: workers do not leave. */
void __wrap_leave_drain(struct worker *w, const char *reason)
{
    if (!sim_canary("drain-unheard")) __real_leave_drain(w, reason);
}

/* leases-repeat: now and then a broker gives a lease id that it has given before. */
void __wrap_id_lease(char dst[LEASE_ID_BYTES])
{
    static char before[LEASE_ID_BYTES];
    __real_id_lease(dst);
    if (!sim_canary("leases-repeat")) return;
    if (before[0] && sim_chance(0.02)) memcpy(dst, before, sizeof before);
    memcpy(before, dst, sizeof before);
}
