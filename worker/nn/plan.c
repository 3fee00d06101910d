/* plan.c - buffers placed greedily by size, each in the lowest gap of its lifetime. */
#include "worker/nn/plan.h"

#include "common/base/check.h"
#include "worker/nn/backend.h"

#include <stdbool.h>

int plan_bytes(size_t *bytes, enum dtype dtype, int64_t rows, int64_t columns, struct err *err)
{
    CHECK(rows >= 0);
    CHECK(columns >= 0);
    *bytes = 0;
    if (__builtin_mul_overflow((size_t)rows, (size_t)columns, bytes) ||
        __builtin_mul_overflow(*bytes, dtype_bytes(dtype), bytes) || *bytes > PLAN_BYTES_MAX)
        return err_set(err, ERR_LIMIT,
                       "a result of %lld x %lld numbers is more than any memory holds",
                       (long long)rows, (long long)columns);
    return 0;
}

uint32_t plan_add(struct plan *plan, size_t bytes, uint32_t first, uint32_t last)
{
    CHECK(plan->count < PLAN_BUFFERS_MAX);
    CHECK(first <= last);
    CHECK(bytes <= SIZE_MAX - BACKEND_ALIGNMENT);
    plan->buffer[plan->count].bytes = bytes;
    plan->buffer[plan->count].offset = 0;
    plan->buffer[plan->count].first = first;
    plan->buffer[plan->count].last = last;
    return plan->count++;
}

static size_t aligned(size_t bytes)
{
    return (bytes + BACKEND_ALIGNMENT - 1) / BACKEND_ALIGNMENT * BACKEND_ALIGNMENT;
}

/* Numbers of buffers, the largest first; the first added of equal ones first. */
static void order_by_size(const struct plan *plan, uint32_t order[PLAN_BUFFERS_MAX])
{
    for (uint32_t i = 0; i < plan->count; i++) {
        uint32_t at = i;
        for (; at > 0 && plan->buffer[order[at - 1]].bytes < plan->buffer[i].bytes; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
}

static bool live_together(const struct plan *plan, uint32_t a, uint32_t b)
{
    return plan->buffer[a].first <= plan->buffer[b].last &&
           plan->buffer[b].first <= plan->buffer[a].last;
}

/* The lowest offset at which a buffer meets none of those placed that live with it. Each one that
 * it meets moves it up behind that one: every offset between meets that one too. */
static size_t lowest_free(const struct plan *plan, const uint32_t *placed, uint32_t placed_count,
                          uint32_t buffer)
{
    const size_t bytes = aligned(plan->buffer[buffer].bytes);
    size_t offset = 0, end = bytes;
    for (bool moved = true; moved;) {
        moved = false;
        for (uint32_t i = 0; i < placed_count; i++) {
            const size_t other = plan->buffer[placed[i]].offset;
            const size_t other_end = other + aligned(plan->buffer[placed[i]].bytes);
            if (!live_together(plan, placed[i], buffer)) continue;
            if (other >= end || offset >= other_end) continue;
            offset = other_end;
            CHECK(!__builtin_add_overflow(offset, bytes, &end));
            moved = true;
        }
    }
    return offset;
}

size_t plan_place(struct plan *plan)
{
    uint32_t order[PLAN_BUFFERS_MAX];
    size_t total = 0;
    order_by_size(plan, order);
    for (uint32_t i = 0; i < plan->count; i++) {
        const size_t offset = lowest_free(plan, order, i, order[i]);
        const size_t end = offset + aligned(plan->buffer[order[i]].bytes);
        plan->buffer[order[i]].offset = offset;
        if (end > total) total = end;
    }
    return total;
}

void *plan_at(const struct plan *plan, uint32_t buffer, void *memory)
{
    CHECK(buffer < plan->count);
    return (char *)memory + plan->buffer[buffer].offset;
}
