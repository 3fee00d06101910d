/* totals.c - sums over shards. */
#include "common/base/check.h"
#include "common/base/sum.h"
#include "worker/jobs/download/close.h"
#include "worker/jobs/download/late.h"
#include "worker/report/sums.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

/* The year 9999: what is later is no time, and sums of it would leave the range of numbers. */
#define TIME_MAX_S 253402300799.0

int64_t totals_get(const struct totals *totals, const char *name)
{
    return sums_get(totals->counter, totals->counters_count, name);
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
    sums_add(totals->counter, &totals->counters_count, manifest);
}

void totals_deinit(struct totals *totals)
{
    hosts_free(totals->hosts);
    totals->hosts = NULL;
}

static int64_t count_in(const json_t *object, const char *name)
{
    const int64_t value = json_integer_value(json_object_get(object, name));
    return value < 0 ? 0 : value;
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
        timeline_add(&totals->line, start, end, (double)count_in(object, "count"),
                     (double)count_in(object, "successes"));
    }
    const json_t *cpu = json_object_get(object, "cpu_ms");
    for (uint32_t i = 0; i < CPU_PARTS_COUNT; i++)
        totals->cpu_ms[i] =
            sum_of(totals->cpu_ms[i], count_in(cpu, cpu_part_name((enum cpu_part)i)));
    const json_t *hosts = json_object_get(object, "hosts");
    if (json_array_size(hosts) > 0 && !totals->hosts) totals->hosts = hosts_new();
    if (totals->hosts) hosts_add_json(totals->hosts, hosts);
    json_decref(object);
}

static void add_numbers(struct buf *out, const char *name, const double *value, uint32_t count)
{
    buf_printf(out, ", \"%s\": [", name);
    for (uint32_t i = 0; i < count; i++) buf_printf(out, "%s%.1f", i ? ", " : "", value[i]);
    buf_byte(out, ']');
}

void totals_times_json(const struct totals *totals, struct buf *out)
{
    const struct timeline *line = &totals->line;
    buf_printf(out, "{\n    \"shard_seconds\": %.3f,\n    \"start_time\": %.3f,\n", totals->seconds,
               totals->start_at_s);
    buf_printf(out, "    \"end_time\": %.3f,\n    \"cpu_ms\": {", totals->end_at_s);
    for (uint32_t i = 0; i < CPU_PARTS_COUNT; i++)
        buf_printf(out, "%s\"%s\": %" PRId64, i ? ", " : "", cpu_part_name((enum cpu_part)i),
                   totals->cpu_ms[i]);
    buf_printf(out, "},\n    \"rate\": {\"start_time\": %.4f, \"seconds\": %.4f",
               (double)line->first * line->seconds, line->seconds);
    add_numbers(out, "rows", line->rows, line->count);
    add_numbers(out, "success", line->ok, line->count);
    buf_text(out, "},\n    \"hosts\": ");
    if (totals->hosts)
        hosts_json(totals->hosts, out);
    else
        buf_text(out, "[]");
    buf_text(out, "\n}");
}
