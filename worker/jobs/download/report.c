/* report.c - report.html: what came of a list. */
#include "worker/jobs/download/report.h"

#include "common/base/str.h"
#include "worker/jobs/download/close.h"
#include "worker/jobs/download/tally.h"
#include "worker/report/chart.h"
#include "worker/report/page.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_head(struct buf *out, const struct download_options *options)
{
    report_page_begin(out, "Download report");
    buf_text(out, "<p class=\"path\">");
    str_html(out, options->input);
    const struct picture_encoding *encode = &options->picture.encode;
    buf_text(out, "</p>\n<p class=\"soft\">");
    if (options->picture.no_reencode)
        buf_text(out, "as received");
    else
        buf_printf(out, "%u px, %s, %s, %s%s quality %u%s", options->image_size,
                   fit_mode_name(options->resize_mode), resize_filter_name(options->picture.filter),
                   encode->lossless ? "lossless " : "", encode_extension(encode->format),
                   encode->quality, options->picture.fast ? ", fast" : "");
    buf_printf(out, ", %u rows per shard</p>\n", options->shard_rows);
}

static void add_cards(struct buf *out, const struct totals *totals)
{
    char text[48];
    const double span_s = totals->end_at_s - totals->start_at_s;
    buf_text(out, "<div class=\"cards\">\n");
    report_card(out, report_number(text, totals->items), "rows", false);
    report_card(out, report_number(text, totals->items_ok), "images", false);
    report_card(out, report_share(text, totals->items_ok, totals->items), "success", false);
    if (span_s > 0) {
        (void)snprintf(text, sizeof text, "%.1f", (double)totals->items / span_s);
        report_card(out, text, "rows / s", false);
        report_card(out, str_human_ms(text, sizeof text, (int64_t)(span_s * 1000)),
                    "first to last shard", false);
    }
    report_card(out, str_human_bytes(text, sizeof text, (double)totals->file_bytes), "written",
                false);
    report_card(out, report_number(text, totals->shards), "shards", false);
    if (totals->late) report_card(out, report_number(text, totals->late), "late shards", false);
    report_card(out, report_number(text, totals->dead), "dead tasks", totals->dead > 0);
    buf_text(out, "</div>\n");
}

static void add_classes(struct buf *out, const struct totals *totals)
{
    char number[32], share[16];
    const struct report_bar bar[] = {
        {"success", totals_get(totals, "success"), "ok"},
        {"failed to download", totals_get(totals, "failed_to_download"), "warn"},
        {"failed to resize", totals_get(totals, "failed_to_resize"), "bad"},
    };
    buf_text(out, "<section><h2>How the rows ended</h2>\n");
    report_parts(out, "shares of success, failed to download and failed to resize", bar, 3);
    buf_text(out, "<div class=\"legend\">");
    for (size_t i = 0; i < sizeof bar / sizeof bar[0]; i++)
        buf_printf(out, "<span><i class=\"key %s\"></i>%s %s (%s)</span>", bar[i].colour,
                   bar[i].label, report_number(number, bar[i].value),
                   report_share(share, bar[i].value, totals->items));
    buf_text(out, "</div></section>\n");
}

struct ending {
    uint32_t status;
    int64_t count;
};

/* The most frequent first; equal ones in the order of their numbers. */
static int by_count(const void *a, const void *b)
{
    const struct ending *left = a, *right = b;
    if (left->count != right->count) return left->count < right->count ? 1 : -1;
    return left->status < right->status ? -1 : 1;
}

static void add_ending(struct buf *out, const struct ending *ending, int64_t rows)
{
    char text[STATUS_TEXT_BYTES], number[32], share[16];
    status_text(text, ending->status, 0);
    if (ending->status == (uint32_t)FETCH_HTTP_STATUS)
        (void)str_copy(text, sizeof text, "the server answered with another code than 200");
    buf_printf(out,
               "<tr><td><code>%s</code></td><td>%s</td><td class=\"num\">%s</td>"
               "<td class=\"num\">%s</td></tr>\n",
               status_name(ending->status), text, report_number(number, ending->count),
               report_share(share, ending->count, rows));
}

static void add_endings(struct buf *out, const struct totals *totals)
{
    struct ending ending[STATUSES_COUNT];
    struct report_bar bar[STATUSES_COUNT];
    char name[COUNTER_NAME_BYTES];
    uint32_t count = 0;
    for (uint32_t i = STATUS_SUCCESS + 1; i < STATUSES_COUNT; i++) {
        (void)snprintf(name, sizeof name, "status.%s", status_name(i));
        const int64_t value = totals_get(totals, name);
        if (value) ending[count++] = (struct ending){i, value};
    }
    buf_text(out, "<section><h2>Why rows failed</h2>\n");
    if (count == 0) buf_text(out, "<p>None did.</p>\n");
    if (count) {
        qsort(ending, count, sizeof ending[0], by_count);
        for (uint32_t i = 0; i < count; i++)
            bar[i] = (struct report_bar){status_name(ending[i].status), ending[i].count,
                                         status_class(ending[i].status) == CLASS_DOWNLOAD ? "warn"
                                                                                          : "bad"};
        report_bars(out, "rows by the reason of their failure", bar, count);
        buf_text(out, "<div class=\"scroll\"><table><thead><tr><th>status</th><th>meaning</th>"
                      "<th class=\"num\">rows</th><th class=\"num\">share</th></tr></thead>\n");
        for (uint32_t i = 0; i < count; i++) add_ending(out, &ending[i], totals->items);
        buf_text(out, "</table></div>\n");
    }
    buf_text(out, "</section>\n");
}

/* All counters with the prefix as bars; none: nothing. */
static void add_counted(struct buf *out, const struct totals *totals, const char *title,
                        const char *prefix)
{
    struct report_bar bar[COUNTERS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < totals->counters_count; i++)
        if (str_has_prefix(totals->counter[i].name, prefix))
            bar[count++] = (struct report_bar){totals->counter[i].name + strlen(prefix),
                                               totals->counter[i].value, "bar"};
    if (count == 0) return;
    buf_printf(out, "<section><h2>%s</h2>\n", title);
    report_bars(out, title, bar, count);
    buf_text(out, "</section>\n");
}

static void add_sides(struct buf *out, const struct totals *totals)
{
    struct report_bar bar[TALLY_SIDES];
    char label[TALLY_SIDES][24], name[COUNTER_NAME_BYTES];
    for (uint32_t i = 0; i < TALLY_SIDES; i++) {
        if (i + 1 < TALLY_SIDES)
            (void)snprintf(label[i], sizeof label[i], "%u\xe2\x80\x93%u", tally_side_edge(i),
                           tally_side_edge(i + 1) - 1);
        else
            (void)snprintf(label[i], sizeof label[i], "%u and over", tally_side_edge(i));
        (void)snprintf(name, sizeof name, "hist.side.%02u", i);
        bar[i] = (struct report_bar){label[i], totals_get(totals, name), "bar"};
    }
    buf_text(out, "<section><h2>Shorter side of the originals, in pixels</h2>\n");
    report_bars(out, "images by the shorter side of the original", bar, TALLY_SIDES);
    buf_text(out, "</section>\n");
}

static void add_ratios(struct buf *out, const struct totals *totals)
{
    struct report_bar bar[TALLY_RATIOS];
    char name[COUNTER_NAME_BYTES];
    for (uint32_t i = 0; i < TALLY_RATIOS; i++) {
        (void)snprintf(name, sizeof name, "hist.ratio.%02u", i);
        bar[i] = (struct report_bar){tally_ratio_label(i), totals_get(totals, name), "bar"};
    }
    buf_text(out, "<section><h2>Width to height of the originals</h2>\n");
    report_bars(out, "images by the ratio of width to height", bar, TALLY_RATIOS);
    buf_text(out, "</section>\n");
}

static void add_fits(struct buf *out, const struct totals *totals)
{
    const struct report_bar bar[] = {
        {"resized", totals_get(totals, "fit.resized"), "bar"},
        {"cropped", totals_get(totals, "fit.cropped"), "bar"},
        {"padded", totals_get(totals, "fit.padded"), "bar"},
    };
    buf_text(out, "<section><h2>What was done to them</h2>\n");
    report_bars(out, "images resized, cropped and padded", bar, 3);
    buf_text(out, "</section>\n");
}

static void add_strip(struct buf *out, const struct strip *strip)
{
    if (strip->count == 0) return;
    buf_text(out, "<section><h2>First samples</h2>\n<div class=\"strip\">\n");
    for (uint32_t i = 0; i < strip->count; i++) {
        report_picture(out, "a sample", strip->picture[i].data, strip->picture[i].len);
        buf_byte(out, '\n');
    }
    buf_text(out, "</div></section>\n");
}

void report_html(const struct totals *totals, const struct strip *strip,
                 const struct download_options *options, struct buf *out)
{
    add_head(out, options);
    add_cards(out, totals);
    add_classes(out, totals);
    report_rate(out, totals);
    add_strip(out, strip);
    add_endings(out, totals);
    report_hosts(out, totals);
    report_cpu(out, totals);
    buf_text(out, "<div class=\"pair\">\n");
    add_sides(out, totals);
    add_ratios(out, totals);
    add_counted(out, totals, "HTTP codes of failed rows", "http.");
    add_counted(out, totals, "Formats of the bodies", "format.");
    add_fits(out, totals);
    buf_text(out, "</div>\n<p class=\"soft\">Made by vlmq " VLMQ_VERSION
                  " from manifest.json; every row with its end is in the files "
                  "<code>NNNNN.rows.jsonl</code>.</p>\n");
    report_page_end(out);
}
