/* report.c - report.html: what came of a list, for a person, on any screen.
 *
 * One page without scripts, fonts or pictures from elsewhere; it can be mailed or kept. */
#include "worker/jobs/download/report.h"

#include "common/base/str.h"
#include "worker/jobs/download/close.h"
#include "worker/jobs/download/tally.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char style[] =
    ":root{color-scheme:light dark;--ink:#1b1f24;--soft:#5b6570;--page:#f6f7f9;--card:#fff;"
    "--line:#dfe3e8;--ok:#1a7f4b;--warn:#c98a10;--bad:#c0392f;--bar:#3d6fd1;"
    "--p0:#3d6fd1;--p1:#1a8f8a;--p2:#7c56c8;--p3:#c98a10;--p4:#8b95a1}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6e9ed;--soft:#9aa4b0;--page:#14171b;"
    "--card:#1d2126;--line:#333a42;--ok:#3fb67c;--warn:#e0ab3f;--bad:#e5695f;--bar:#7aa2f0;"
    "--p0:#7aa2f0;--p1:#4fc0ba;--p2:#ae8ff0;--p3:#e0ab3f;--p4:#77828e}}"
    "*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);"
    "font:16px/1.5 system-ui,sans-serif}"
    "main{max-width:62rem;margin:0 auto;padding:1.5rem 1rem 3rem}"
    "h1{font-size:1.6rem;margin:0}h2{font-size:1.1rem;margin:0 0 .75rem}"
    "p{margin:.25rem 0}.soft{color:var(--soft)}.path{overflow-wrap:anywhere}"
    ".cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(max(8rem,22%),1fr));"
    "gap:.75rem;"
    "margin:1.25rem 0}.card,section{background:var(--card);border:1px solid var(--line);"
    "border-radius:.6rem;padding:.8rem 1rem}.card b{display:block;font-size:1.5rem;"
    "font-variant-numeric:tabular-nums;line-height:1.25}.card span{color:var(--soft);"
    "font-size:.85rem}.alarm b{color:var(--bad)}section{margin:0 0 1rem}"
    ".pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(22rem,100%),1fr));"
    "gap:0 1rem}"
    "svg{display:block;width:100%;max-width:30rem}svg text{font-size:12px;fill:var(--ink)}"
    "svg .end{text-anchor:end;fill:var(--soft)}"
    "svg.wide{max-width:none;height:1rem;border-radius:.3rem}"
    ".ok{fill:var(--ok)}.warn{fill:var(--warn)}.bad{fill:var(--bad)}.bar{fill:var(--bar)}"
    ".p0{fill:var(--p0)}.p1{fill:var(--p1)}.p2{fill:var(--p2)}"
    ".p3{fill:var(--p3)}.p4{fill:var(--p4)}"
    "svg .soft{fill:var(--soft)}.axis{stroke:var(--line);fill:none}"
    ".line{fill:none;stroke-width:2;stroke-linejoin:round}.line.ok{stroke:var(--ok)}"
    ".note{margin:-.5rem 0 1rem;font-size:.85rem}"
    ".key{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-right:.35em}"
    ".key.ok{background:var(--ok)}.key.warn{background:var(--warn)}.key.bad{background:var(--bad)}"
    ".key.p0{background:var(--p0)}.key.p1{background:var(--p1)}.key.p2{background:var(--p2)}"
    ".key.p3{background:var(--p3)}.key.p4{background:var(--p4)}"
    ".legend{display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;margin-top:.6rem}"
    ".scroll{overflow-x:auto}table{border-collapse:collapse;width:100%}"
    "td,th{padding:.3rem .75rem .3rem 0;text-align:left;border-top:1px solid var(--line);"
    "vertical-align:top}thead th{border-top:0;color:var(--soft);font-weight:500;font-size:.85rem}"
    "td.num,th.num{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}"
    "code{font:.9em ui-monospace,monospace}"
    ".strip{display:grid;grid-template-columns:repeat(auto-fill,minmax(6.5rem,1fr));gap:.5rem}"
    ".strip img{width:100%;aspect-ratio:1;object-fit:cover;border-radius:.4rem;display:block}";

static void card(struct buf *out, const char *value, const char *label, bool alarm)
{
    buf_printf(out, "<div class=\"card%s\"><b>%s</b><span>%s</span></div>\n", alarm ? " alarm" : "",
               value, label);
}

static void add_head(struct buf *out, const struct download_options *options)
{
    buf_text(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                  "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
                  "<title>Download report</title>\n<style>");
    buf_text(out, style);
    buf_text(out,
             "</style>\n</head>\n<body>\n<main>\n<h1>Download report</h1>\n<p class=\"path\">");
    str_html(out, options->input);
    const struct encode_options *encode = &options->picture.encode;
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
    card(out, report_number(text, totals->items), "rows", false);
    card(out, report_number(text, totals->items_ok), "images", false);
    card(out, report_share(text, totals->items_ok, totals->items), "success", false);
    if (span_s > 0) {
        (void)snprintf(text, sizeof text, "%.1f", (double)totals->items / span_s);
        card(out, text, "rows / s", false);
        card(out, str_human_ms(text, sizeof text, (int64_t)(span_s * 1000)), "first to last shard",
             false);
    }
    card(out, str_human_bytes(text, sizeof text, (double)totals->file_bytes), "written", false);
    card(out, report_number(text, totals->shards), "shards", false);
    if (totals->late) card(out, report_number(text, totals->late), "late shards", false);
    card(out, report_number(text, totals->dead), "dead tasks", totals->dead > 0);
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

static void add_base64(struct buf *out, const struct buf *data)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < data->len; i += 3) {
        const size_t left = data->len - i;
        uint32_t word = (uint32_t)(uint8_t)data->data[i] << 16;
        if (left > 1) word |= (uint32_t)(uint8_t)data->data[i + 1] << 8;
        if (left > 2) word |= (uint8_t)data->data[i + 2];
        buf_byte(out, digits[word >> 18]);
        buf_byte(out, digits[word >> 12 & 63]);
        buf_byte(out, (char)(left > 1 ? digits[word >> 6 & 63] : '='));
        buf_byte(out, (char)(left > 2 ? digits[word & 63] : '='));
    }
}

static void add_strip(struct buf *out, const struct strip *strip)
{
    if (strip->count == 0) return;
    buf_text(out, "<section><h2>First samples</h2>\n<div class=\"strip\">\n");
    for (uint32_t i = 0; i < strip->count; i++) {
        buf_text(out, "<img alt=\"a sample\" src=\"data:image/jpeg;base64,");
        add_base64(out, &strip->picture[i]);
        buf_text(out, "\">\n");
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
                  "<code>NNNNN.rows.jsonl</code>.</p>\n</main>\n</body>\n</html>\n");
}
