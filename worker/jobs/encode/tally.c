/* tally.c - counting rows. */
#include "worker/jobs/encode/tally.h"

#include "common/base/check.h"
#include "common/base/limits.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "worker/pipe/encode.h"
#include "worker/pipe/image.h"
#include "worker/pipe/resize.h"
#include "worker/report/page.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PICTURE_QUALITY 70
#define STATUS_OTHER    "other"

_Static_assert(TALLY_STATUSES_MAX + TALLY_BINS + 6 <= COUNTERS_MAX,
               "the counters of a shard fit a manifest");

int encode_tally_init(struct encode_tally *tally, const struct labels *labels, struct err *err)
{
    *tally = (struct encode_tally){.labels = labels};
    buf_init(&tally->labels_json, 0);
    if (!labels) return 0;
    tally->label = mem_try(labels->labels_count * sizeof *tally->label);
    return tally->label
               ? 0
               : err_set(err, ERR_LIMIT, "no memory to count %u labels", labels->labels_count);
}

void encode_tally_deinit(struct encode_tally *tally)
{
    for (uint32_t i = 0; i < tally->pictures_count; i++) buf_deinit(&tally->picture[i].jpeg);
    buf_deinit(&tally->labels_json);
    mem_free(tally->label);
    *tally = (struct encode_tally){0};
}

/* The last place is for all that came when the others were taken. */
static void add_status(struct encode_tally *tally, const char *status)
{
    char name[TALLY_STATUS_BYTES];
    uint32_t i = 0;
    (void)str_copy(name, sizeof name, status);
    while (i < tally->statuses_count && !str_eq(tally->status[i].name, name)) i++;
    if (i == tally->statuses_count && i >= TALLY_STATUSES_MAX - 1) {
        i = TALLY_STATUSES_MAX - 1;
        (void)str_copy(name, sizeof name, STATUS_OTHER);
    }
    if (i == tally->statuses_count) {
        (void)str_copy(tally->status[i].name, sizeof name, name);
        tally->statuses_count++;
    }
    tally->status[i].rows++;
}

static uint32_t bin_of(float confidence)
{
    const float place = confidence * TALLY_BINS;
    if (!(place > 0)) return 0;
    return place < TALLY_BINS ? (uint32_t)place : TALLY_BINS - 1;
}

void encode_tally_add(struct encode_tally *tally, const struct encode_row *row)
{
    tally->rows++;
    add_status(tally, row->status);
    if (str_eq(row->status, ROW_PLACEHOLDER)) tally->placeholders++;
    if (!str_eq(row->status, ROW_SUCCESS)) return;
    tally->success++;
    tally->duplicates += row->duplicate_of >= 0;
    tally->captions += row->caption_embedding != NULL;
    if (row->labels_count == 0 || !tally->labels) return;
    CHECK(row->label[0].label < tally->labels->labels_count);
    tally->label[row->label[0].label]++;
    tally->confidence[bin_of(row->label[0].confidence)]++;
}

bool encode_tally_has_room(const struct encode_tally *tally)
{
    return tally->pictures_count < TALLY_PICTURES_MAX;
}

/* Pixels are only read. */
static bool shrink(struct buf *jpeg, const uint8_t *pixels, uint32_t side)
{
    struct image whole = {0}, small = {0};
    bool ok = image_init_bare(&whole, side, side, 3);
    for (uint32_t y = 0; ok && y < side; y++)
        memcpy(image_row(&whole, y), pixels + (size_t)y * side * 3, (size_t)side * 3);
    if (ok && side > TALLY_PICTURE_SIDE)
        ok = !resize_bicubic(&small, &whole, TALLY_PICTURE_SIDE, TALLY_PICTURE_SIDE, NULL);
    else if (ok)
        image_move(&small, &whole);
    ok = ok && !encode_jpeg(jpeg, &small, PICTURE_QUALITY, NULL);
    image_deinit(&whole);
    image_deinit(&small);
    return ok;
}

void encode_tally_picture(struct encode_tally *tally, const struct encode_row *row,
                          const uint8_t *pixels, uint32_t side)
{
    CHECK(encode_tally_has_room(tally));
    struct tally_picture *picture = &tally->picture[tally->pictures_count];
    buf_init(&picture->jpeg, 0);
    if (!shrink(&picture->jpeg, pixels, side)) {
        buf_deinit(&picture->jpeg);
        return;
    }
    if (!str_copy(picture->key, sizeof picture->key, row->key))
        picture->key[str_utf8_valid(picture->key, strlen(picture->key))] = 0;
    picture->cosine = row->placeholder;
    tally->pictures_count++;
}

struct visitor {
    void (*visit)(void *ctx, const char *name, int64_t value);
    void *ctx;
};

__attribute__((format(printf, 3, 4))) static void tell(const struct visitor *to, int64_t value,
                                                       const char *fmt, ...)
{
    char name[COUNTER_NAME_BYTES];
    va_list args;
    if (value == 0) return;
    va_start(args, fmt);
    (void)vsnprintf(name, sizeof name, fmt, args);
    va_end(args);
    to->visit(to->ctx, name, value);
}

void encode_tally_each(const struct encode_tally *tally,
                       void (*visit)(void *ctx, const char *name, int64_t value), void *ctx)
{
    const struct visitor to = {visit, ctx};
    tell(&to, tally->rows, "rows");
    tell(&to, tally->success, "success");
    tell(&to, tally->rows - tally->success - tally->placeholders, "failed");
    tell(&to, tally->placeholders, "placeholder");
    tell(&to, tally->duplicates, "near_duplicate");
    tell(&to, tally->captions, "captions");
    for (uint32_t i = 0; i < tally->statuses_count; i++)
        tell(&to, tally->status[i].rows, "status.%s", tally->status[i].name);
    for (uint32_t i = 0; i < TALLY_BINS; i++)
        tell(&to, tally->confidence[i], "hist.confidence.%02u", i);
}

static void add_text(struct buf *out, const char *text)
{
    str_json(out, text, strlen(text));
}

static void add_times(const struct encode_times *times, struct buf *out)
{
    const int64_t span_ms = times->end_at_ms - times->start_at_ms;
    buf_printf(out, "    \"duration\": %.3f,\n    \"start_time\": %.3f,\n    \"end_time\": %.3f,\n",
               (double)span_ms / 1000, (double)times->start_at_ms / 1000,
               (double)times->end_at_ms / 1000);
    buf_text(out, "    \"stages\": [");
    for (uint32_t i = 0; i < times->stages_count; i++) {
        const struct encode_stage *stage = &times->stage[i];
        buf_text(out, i ? ", {\"name\": " : "{\"name\": ");
        add_text(out, stage->name);
        buf_printf(out, ", \"threads\": %u, \"items\": %" PRId64 ", \"busy_ms\": %" PRId64 "}",
                   stage->threads, stage->items, (stage->busy_ns + 500000) / 1000000);
    }
    buf_text(out, "],\n");
}

/* Labels of a category stand together in a label file. */
static void add_labels(const struct encode_tally *tally, struct buf *out)
{
    uint32_t category = UINT32_MAX;
    buf_text(out, "    \"labels\": {");
    for (uint32_t i = 0; tally->labels && i < tally->labels->labels_count; i++) {
        const struct label *label = &tally->labels->label[i];
        if (tally->label[i] == 0) continue;
        if (label->category != category) {
            buf_text(out, category == UINT32_MAX ? "\n        " : "},\n        ");
            add_text(out, tally->labels->category[label->category]);
            buf_text(out, ": {");
        } else {
            buf_text(out, ", ");
        }
        category = label->category;
        add_text(out, label->name);
        buf_printf(out, ": %" PRId64, tally->label[i]);
    }
    buf_text(out, category == UINT32_MAX ? "},\n" : "}\n    },\n");
}

int encode_tally_end(struct encode_tally *tally, struct err *err)
{
    add_labels(tally, &tally->labels_json);
    tally->labels = NULL;
    return buf_failed(&tally->labels_json)
               ? err_set(err, ERR_LIMIT, "no memory for the statistics of the labels")
               : 0;
}

void encode_stats_json(const struct encode_tally *tally, const struct encode_times *times,
                       struct buf *out)
{
    buf_printf(out, "{\n    \"count\": %" PRId64 ",\n    \"successes\": %" PRId64 ",\n",
               tally->rows, tally->success);
    buf_printf(out, "    \"failed\": %" PRId64 ",\n    \"placeholders\": %" PRId64 ",\n",
               tally->rows - tally->success - tally->placeholders, tally->placeholders);
    buf_printf(out, "    \"near_duplicates\": %" PRId64 ",\n    \"captions\": %" PRId64 ",\n",
               tally->duplicates, tally->captions);
    add_times(times, out);
    buf_text(out, "    \"status_dict\": {");
    for (uint32_t i = 0; i < tally->statuses_count; i++) {
        buf_text(out, i ? ", " : "");
        add_text(out, tally->status[i].name);
        buf_printf(out, ": %" PRId64, tally->status[i].rows);
    }
    buf_text(out, "},\n");
    buf_add(out, tally->labels_json.data, tally->labels_json.len);
    buf_text(out, "    \"confidence\": [");
    for (uint32_t i = 0; i < TALLY_BINS; i++)
        buf_printf(out, "%s%" PRId64, i ? ", " : "", tally->confidence[i]);
    buf_text(out, "],\n    \"filtered\": [");
    for (uint32_t i = 0; i < tally->pictures_count; i++) {
        const struct tally_picture *picture = &tally->picture[i];
        buf_text(out, i ? ",\n        {\"key\": " : "\n        {\"key\": ");
        add_text(out, picture->key);
        buf_text(out, ", \"cosine\": ");
        str_json_real(out, (double)picture->cosine, true);
        buf_text(out, ", \"picture\": \"");
        report_base64(out, picture->jpeg.data, picture->jpeg.len);
        buf_text(out, "\"}");
    }
    buf_text(out, tally->pictures_count ? "\n    ]\n}\n" : "]\n}\n");
}
