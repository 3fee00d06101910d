/* totals.c - sums over shards. */
#include "worker/jobs/encode/totals.h"

#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/base/sum.h"
#include "worker/report/sums.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The year 9999: what is later is no time, and sums of it would leave the range of numbers. */
#define TIME_MAX_S 253402300799.0

void encode_totals_deinit(struct encode_totals *totals)
{
    for (uint32_t i = 0; i < totals->pictures_count; i++) mem_free(totals->picture[i].base64);
    json_decref(totals->labels);
    totals->labels = NULL;
    totals->pictures_count = 0;
}

void encode_totals_add(struct encode_totals *totals, const struct attempt_manifest *manifest)
{
    totals->shards++;
    totals->items = sum_of(totals->items, manifest->items);
    totals->items_ok = sum_of(totals->items_ok, manifest->items_ok);
    totals->bytes = sum_of(totals->bytes, manifest->bytes);
    for (uint32_t i = 0; i < manifest->files_count; i++)
        totals->file_bytes = sum_of(totals->file_bytes, manifest->file[i].bytes);
    sums_add(totals->counter, &totals->counters_count, manifest);
}

int64_t encode_totals_get(const struct encode_totals *totals, const char *name)
{
    return sums_get(totals->counter, totals->counters_count, name);
}

static int64_t count_in(const json_t *object, const char *name)
{
    const int64_t value = json_integer_value(json_object_get(object, name));
    return value < 0 ? 0 : value;
}

static void add_times(struct encode_totals *totals, const json_t *stats)
{
    const double start = json_number_value(json_object_get(stats, "start_time"));
    const double end = json_number_value(json_object_get(stats, "end_time"));
    if (!(start > 0 && end >= start && end <= TIME_MAX_S)) return;
    totals->seconds += end - start;
    if (totals->start_at_s <= 0 || start < totals->start_at_s) totals->start_at_s = start;
    if (end > totals->end_at_s) totals->end_at_s = end;
}

static void add_stage(struct encode_totals *totals, const json_t *stage)
{
    const char *name = json_string_value(json_object_get(stage, "name"));
    const int64_t threads = count_in(stage, "threads");
    uint32_t i = 0;
    if (!name || !*name || strlen(name) >= TALLY_STATUS_BYTES) return;
    while (i < totals->stages_count && !str_eq(totals->stage[i].name, name)) i++;
    if (i == TALLY_STAGES_MAX) return;
    struct totals_stage *sum = &totals->stage[i];
    if (i == totals->stages_count) {
        totals->stages_count++;
        (void)str_copy(sum->name, sizeof sum->name, name);
    }
    if (threads > sum->threads) sum->threads = threads;
    sum->items = sum_of(sum->items, count_in(stage, "items"));
    sum->busy_ms = sum_of(sum->busy_ms, count_in(stage, "busy_ms"));
}

static void add_label(struct encode_totals *totals, json_t *category, const char *name,
                      const json_t *rows)
{
    const int64_t more = json_integer_value(rows);
    json_t *sum = json_object_get(category, name);
    if (more <= 0 || strlen(name) > LABELS_NAME_BYTES_MAX) return;
    if (sum) {
        (void)json_integer_set(sum, sum_of(json_integer_value(sum), more));
        return;
    }
    if (totals->labels_count == LABELS_COUNT_MAX) return;
    totals->labels_count += json_object_set_new(category, name, json_integer(more)) == 0;
}

/* The category's sums; NULL: it is left out. */
static json_t *sums_of(struct encode_totals *totals, const char *category, const json_t *members)
{
    json_t *sums = json_object_get(totals->labels, category);
    if (sums || json_object_size(totals->labels) == LABELS_CATEGORIES_MAX ||
        strlen(category) > LABELS_NAME_BYTES_MAX || !json_object_size(members))
        return sums;
    sums = json_object();
    return json_object_set_new(totals->labels, category, sums) ? NULL : sums;
}

static void add_category(struct encode_totals *totals, const char *category, json_t *members)
{
    const char *label;
    json_t *rows, *sums = sums_of(totals, category, members);
    if (!sums) return;
    json_object_foreach(members, label, rows)
    {
        add_label(totals, sums, label, rows);
    }
}

static void add_labels(struct encode_totals *totals, json_t *labels)
{
    const char *category;
    json_t *members;
    if (!totals->labels && json_is_object(labels)) totals->labels = json_object();
    json_object_foreach(labels, category, members)
    {
        add_category(totals, category, members);
    }
}

static void add_picture(struct encode_totals *totals, const json_t *filtered)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
    const char *key = json_string_value(json_object_get(filtered, "key"));
    const char *base64 = json_string_value(json_object_get(filtered, "picture"));
    const double cosine = json_number_value(json_object_get(filtered, "cosine"));
    if (totals->pictures_count == TOTALS_PICTURES_MAX || !key || !base64) return;
    const size_t bytes = strlen(base64);
    if (bytes == 0 || bytes > TOTALS_PICTURE_BYTES_MAX || strspn(base64, letters) != bytes ||
        strlen(key) >= TALLY_KEY_BYTES || !(cosine >= -1 && cosine <= 1))
        return;
    char *copy = mem_try(bytes + 1);
    if (!copy) return;
    memcpy(copy, base64, bytes + 1);
    totals->picture[totals->pictures_count].base64 = copy;
    totals->picture[totals->pictures_count].cosine = (float)cosine;
    (void)str_copy(totals->picture[totals->pictures_count++].key, TALLY_KEY_BYTES, key);
}

void encode_totals_add_stats(struct encode_totals *totals, const char *stats, size_t bytes)
{
    json_t *object = json_loadb(stats, bytes, 0, NULL);
    const json_t *stages = json_object_get(object, "stages");
    const json_t *filtered = json_object_get(object, "filtered");
    add_times(totals, object);
    for (size_t i = 0; i < json_array_size(stages); i++)
        add_stage(totals, json_array_get(stages, i));
    add_labels(totals, json_object_get(object, "labels"));
    for (size_t i = 0; i < json_array_size(filtered); i++)
        add_picture(totals, json_array_get(filtered, i));
    json_decref(object);
}

void encode_totals_json(const struct encode_totals *totals, struct buf *out)
{
    buf_printf(out,
               "{\n    \"shard_seconds\": %.3f,\n    \"start_time\": %.3f,\n"
               "    \"end_time\": %.3f,\n    \"stages\": [",
               totals->seconds, totals->start_at_s, totals->end_at_s);
    for (uint32_t i = 0; i < totals->stages_count; i++) {
        const struct totals_stage *stage = &totals->stage[i];
        buf_text(out, i ? ", {\"name\": " : "{\"name\": ");
        str_json(out, stage->name, strlen(stage->name));
        buf_printf(out,
                   ", \"threads\": %" PRId64 ", \"items\": %" PRId64 ", \"busy_ms\": %" PRId64 "}",
                   stage->threads, stage->items, stage->busy_ms);
    }
    buf_text(out, "],\n    \"labels\": ");
    char *labels = totals->labels ? json_dumps(totals->labels, JSON_COMPACT) : NULL;
    buf_text(out, labels ? labels : "{}");
    buf_text(out, "\n}");
    free(labels);
}
