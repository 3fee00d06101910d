/* totals.c - sums over shards. */
#include "common/base/check.h"
#include "common/base/sum.h"
#include "worker/jobs/download/close.h"
#include "worker/jobs/download/late.h"

#include <jansson.h>
#include <string.h>

/* The year 9999: what is later is no time, and sums of it would leave the range of numbers. */
#define TIME_MAX_S 253402300799.0

static struct attempt_counter *find(struct totals *totals, const char *name)
{
    for (uint32_t i = 0; i < totals->counters_count; i++)
        if (!strcmp(totals->counter[i].name, name)) return &totals->counter[i];
    return NULL;
}

int64_t totals_get(const struct totals *totals, const char *name)
{
    for (uint32_t i = 0; i < totals->counters_count; i++)
        if (!strcmp(totals->counter[i].name, name)) return totals->counter[i].value;
    return 0;
}

void totals_add(struct totals *totals, const struct attempt_manifest *manifest)
{
    if (late_is(manifest->task))
        totals->late++;
    else
        totals->shards++;
    totals->items = sum_of(totals->items, manifest->items);
    totals->items_ok = sum_of(totals->items_ok, manifest->items_ok);
    totals->bytes = sum_of(totals->bytes, manifest->bytes);
    for (uint32_t i = 0; i < manifest->files_count; i++)
        totals->file_bytes = sum_of(totals->file_bytes, manifest->file[i].bytes);
    for (uint32_t i = 0; i < manifest->counters_count; i++) {
        struct attempt_counter *counter = find(totals, manifest->counter[i].name);
        if (!counter && totals->counters_count < COUNTERS_MAX) {
            counter = &totals->counter[totals->counters_count++];
            *counter = manifest->counter[i];
        } else if (counter) {
            counter->value = sum_of(counter->value, manifest->counter[i].value);
        }
    }
}

void totals_add_times(struct totals *totals, const char *stats, size_t bytes)
{
    json_t *object = json_loadb(stats, bytes, 0, NULL);
    const double start = json_number_value(json_object_get(object, "start_time"));
    const double end = json_number_value(json_object_get(object, "end_time"));
    if (start > 0 && end >= start && end <= TIME_MAX_S) {
        totals->seconds += end - start;
        if (totals->start_at_s <= 0 || start < totals->start_at_s) totals->start_at_s = start;
        if (end > totals->end_at_s) totals->end_at_s = end;
    }
    json_decref(object);
}
