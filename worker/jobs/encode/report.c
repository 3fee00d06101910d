/* report.c - report.html. */
#include "worker/jobs/encode/report.h"

#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/base/sum.h"
#include "worker/report/chart.h"
#include "worker/report/page.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CATEGORIES_SHOWN 20
#define LABELS_SHOWN     12 /* of a category */
#define LABEL_COLUMNS    19 /* that fit beside a bar */
#define LABEL_BYTES      (LABEL_COLUMNS * 4 + 4)

struct class
{
    const char *name;
    int64_t rows;
    json_t *labels; /* of a category; NULL: a label */
};

/* The most frequent first; equal ones by name. */
static int by_rows(const void *a, const void *b)
{
    const struct class *left = a, *right = b;
    if (left->rows != right->rows) return left->rows < right->rows ? 1 : -1;
    return strcmp(left->name, right->name);
}

/* As much of a name as fits, whole characters. */
static void cut(char dst[LABEL_BYTES], const char *name)
{
    size_t bytes = 0;
    int columns = 0;
    for (; bytes < LABEL_BYTES - 4 && name[bytes]; bytes++)
        if ((name[bytes] & 0xc0) != 0x80 && columns++ == LABEL_COLUMNS) break;
    const bool whole = !name[bytes];
    memcpy(dst, name, bytes);
    (void)str_copy(dst + bytes, LABEL_BYTES - bytes, whole ? "" : "\xe2\x80\xa6");
}

static void add_bars(struct buf *out, const char *title, const struct class *class, uint32_t count)
{
    char label[CATEGORIES_SHOWN][LABEL_BYTES];
    struct report_bar bar[CATEGORIES_SHOWN];
    for (uint32_t i = 0; i < count; i++) {
        cut(label[i], class[i].name);
        bar[i] = (struct report_bar){label[i], class[i].rows, "bar"};
    }
    report_bars(out, title, bar, count);
}

static int64_t rows_in(json_t *labels)
{
    const char *label;
    json_t *rows;
    int64_t sum = 0;
    json_object_foreach(labels, label, rows)
    {
        sum = sum_of(sum, json_integer_value(rows));
    }
    return sum;
}

/* The members of a JSON object of numbers, or of objects of such, sorted; mem_free. */
static struct class *classes_of(json_t *object, uint32_t *count)
{
    const char *name;
    json_t *value;
    *count = 0;
    struct class *class = mem_try((json_object_size(object) + 1) * sizeof *class);
    if (!class) return NULL;
    json_object_foreach(object, name, value)
    {
        const bool is_category = json_is_object(value);
        class[(*count)++] =
            (struct class){name, is_category ? rows_in(value) : json_integer_value(value),
                           is_category ? value : NULL};
    }
    qsort(class, *count, sizeof *class, by_rows);
    return class;
}

static void add_category(struct buf *out, const struct class *category, int64_t labelled, bool open)
{
    uint32_t count;
    char number[32], share[16];
    struct class *label = classes_of(category->labels, &count);
    buf_text(out, open ? "<details open><summary>" : "<details><summary>");
    str_html(out, category->name);
    buf_printf(out, " <span class=\"soft\">%s images, %s, ", report_number(number, category->rows),
               report_share(share, category->rows, labelled));
    buf_printf(out, "%s labels</span></summary>\n", report_number(number, count));
    if (label) add_bars(out, "images by label", label, count < LABELS_SHOWN ? count : LABELS_SHOWN);
    buf_text(out, "</details>\n");
    mem_free(label);
}

static void add_classes(struct buf *out, const struct encode_totals *totals)
{
    uint32_t count;
    int64_t labelled = 0;
    struct class *class = classes_of(totals->labels, &count);
    for (uint32_t i = 0; i < count && class; i++) labelled = sum_of(labelled, class[i].rows);
    if (labelled > 0) {
        const uint32_t shown = count < CATEGORIES_SHOWN ? count : CATEGORIES_SHOWN;
        buf_text(out, "<section><h2>What the images show</h2>\n");
        add_bars(out, "images by category", class, shown);
        for (uint32_t i = 0; i < shown; i++) add_category(out, &class[i], labelled, i == 0);
        buf_text(out, "<p class=\"soft\">Each image counts for its best label. All labels: "
                      "<code>vlmq label-stats</code>.</p></section>\n");
    }
    mem_free(class);
}

static void add_confidence(struct buf *out, const struct encode_totals *totals)
{
    double value[TALLY_BINS], top = 0;
    char name[COUNTER_NAME_BYTES], label[64], number[32];
    for (uint32_t i = 0; i < TALLY_BINS; i++) {
        (void)snprintf(name, sizeof name, "hist.confidence.%02u", i);
        value[i] = (double)encode_totals_get(totals, name);
        if (value[i] > top) top = value[i];
    }
    if (!(top > 0)) return;
    (void)snprintf(label, sizeof label, "%s images", report_number(number, (int64_t)top));
    const struct report_series series = {value, TALLY_BINS, top, label, "0 %", "100 %", "bar"};
    buf_text(out, "<section><h2>Confidence of the best label</h2>\n");
    report_columns(out, "images by the confidence of their best label", &series);
    buf_text(out, "</section>\n");
}

static void add_head(struct buf *out, const struct encode_report_about *about)
{
    report_page_begin(out, "Encode report");
    buf_text(out, "<p class=\"path\">");
    str_html(out, about->input);
    buf_text(out, "</p>\n<p class=\"path\">");
    str_html(out, about->model);
    buf_text(out, "</p>\n<p class=\"soft\">");
    str_html(out, about->how);
    buf_text(out, "</p>\n");
}

static void add_cards(struct buf *out, const struct encode_totals *totals)
{
    char text[48];
    const double span_s = totals->end_at_s - totals->start_at_s;
    const int64_t near = encode_totals_get(totals, "near_duplicate");
    buf_text(out, "<div class=\"cards\">\n");
    report_card(out, report_number(text, totals->items), "samples", false);
    report_card(out, report_number(text, totals->items_ok), "encoded", false);
    report_card(out, report_share(text, totals->items_ok, totals->items), "success", false);
    if (span_s > 0) {
        (void)snprintf(text, sizeof text, "%.1f", (double)totals->items_ok / span_s);
        report_card(out, text, "images / s", false);
        report_card(out, str_human_ms(text, sizeof text, (int64_t)(span_s * 1000)),
                    "first to last shard", false);
    }
    if (near) report_card(out, report_number(text, near), "near duplicates", false);
    report_card(out, str_human_bytes(text, sizeof text, (double)totals->file_bytes), "written",
                false);
    report_card(out, report_number(text, totals->shards), "shards", false);
    report_card(out, report_number(text, totals->dead), "dead tasks", totals->dead > 0);
    buf_text(out, "</div>\n");
}

static void add_endings(struct buf *out, const struct encode_totals *totals)
{
    static const char prefix[] = "status.";
    struct class class[COUNTERS_MAX];
    struct report_bar bar[COUNTERS_MAX];
    char number[32], share[16];
    uint32_t count = 0;
    for (uint32_t i = 0; i < totals->counters_count; i++)
        if (str_has_prefix(totals->counter[i].name, prefix))
            class[count++] = (struct class){totals->counter[i].name + sizeof prefix - 1,
                                            totals->counter[i].value, NULL};
    qsort(class, count, sizeof class[0], by_rows);
    for (uint32_t i = 0; i < count; i++)
        bar[i] = (struct report_bar){class[i].name, class[i].rows,
                                     str_eq(class[i].name, ROW_SUCCESS)       ? "ok"
                                     : str_eq(class[i].name, ROW_PLACEHOLDER) ? "warn"
                                                                              : "bad"};
    buf_text(out, "<section><h2>How the samples ended</h2>\n");
    report_parts(out, "shares of the statuses", bar, count);
    buf_text(out, "<div class=\"scroll\"><table>\n");
    for (uint32_t i = 0; i < count; i++) {
        buf_printf(out, "<tr><td><i class=\"key %s\"></i><code>", bar[i].colour);
        str_html(out, bar[i].label);
        buf_printf(out, "</code></td><td class=\"num\">%s</td><td class=\"num\">%s</td></tr>\n",
                   report_number(number, bar[i].value),
                   report_share(share, bar[i].value, totals->items));
    }
    buf_text(out, "</table></div></section>\n");
}

static void add_filtered(struct buf *out, const struct encode_totals *totals)
{
    const int64_t count = encode_totals_get(totals, "placeholder");
    char number[32];
    if (count == 0) return;
    buf_printf(out, "<section><h2>Left out as placeholders: %s</h2>\n<div class=\"strip\">\n",
               report_number(number, count));
    for (uint32_t i = 0; i < totals->pictures_count; i++) {
        buf_printf(out, "<figure><img alt=\"\" src=\"data:image/jpeg;base64,%s\"><figcaption>",
                   totals->picture[i].base64);
        str_html(out, totals->picture[i].key);
        buf_printf(out, " <span class=\"soft\">%.3f</span></figcaption></figure>\n",
                   (double)totals->picture[i].cosine);
    }
    buf_text(out, "</div>\n<p class=\"soft\">The first of each shard, with their cosine with the "
                  "reference picture.</p></section>\n");
}

static void add_stages(struct buf *out, const struct encode_totals *totals)
{
    char items[32], busy[32];
    if (totals->stages_count == 0) return;
    buf_text(out, "<section><h2>Throughput of each stage</h2>\n<div class=\"scroll\"><table><thead>"
                  "<tr><th>stage</th><th class=\"num\">threads</th><th class=\"num\">items</th>"
                  "<th class=\"num\">busy</th><th class=\"num\">items / s</th>"
                  "<th class=\"num\">in use</th></tr></thead>\n");
    for (uint32_t i = 0; i < totals->stages_count; i++) {
        const struct totals_stage *stage = &totals->stage[i];
        const double busy_s = (double)stage->busy_ms / 1000;
        const double threads = stage->threads > 0 ? (double)stage->threads : 1;
        buf_text(out, "<tr><td>");
        str_html(out, stage->name);
        buf_printf(out,
                   "</td><td class=\"num\">%" PRId64 "</td><td class=\"num\">%s</td>"
                   "<td class=\"num\">%s</td>",
                   stage->threads, report_number(items, stage->items),
                   str_human_ms(busy, sizeof busy, stage->busy_ms));
        if (busy_s > 0)
            buf_printf(out, "<td class=\"num\">%.1f</td>", (double)stage->items * threads / busy_s);
        else
            buf_text(out, "<td class=\"num\">&ndash;</td>");
        if (totals->seconds > 0)
            buf_printf(out, "<td class=\"num\">%.0f %%</td></tr>\n",
                       100 * busy_s / (totals->seconds * threads));
        else
            buf_text(out, "<td class=\"num\">&ndash;</td></tr>\n");
    }
    buf_text(out, "</table></div>\n<p class=\"soft\">Items / s: what all threads of the stage "
                  "together would do if they never waited; the stage with the least holds up the "
                  "others.</p></section>\n");
}

void encode_report_html(const struct encode_totals *totals, const struct encode_report_about *about,
                        struct buf *out)
{
    add_head(out, about);
    add_cards(out, totals);
    add_endings(out, totals);
    buf_text(out, "<div class=\"pair\">\n");
    add_classes(out, totals);
    add_confidence(out, totals);
    buf_text(out, "</div>\n");
    add_filtered(out, totals);
    add_stages(out, totals);
    buf_text(out, "<p class=\"soft\">Made by vlmq " VLMQ_VERSION
                  " from manifest.json; every sample with its end is in the files "
                  "<code>NNNNN.jsonl</code>.</p>\n");
    report_page_end(out);
}
