/* report_times.c - the report's sections about time: rate, processor time, hosts. */
#include "common/base/clock.h"
#include "common/base/str.h"
#include "common/base/sum.h"
#include "worker/jobs/download/close.h"
#include "worker/jobs/download/report.h"
#include "worker/report/chart.h"

#include <stdio.h>
#include <string.h>

#define HOSTS_SHOWN 15

/* "2026-11-22 10:15:03" */
static void moment(char dst[CLOCK_TEXT_BYTES], double at_s)
{
    (void)clock_text(dst, (int64_t)(at_s * 1000));
    if (strlen(dst) < 19) return;
    dst[10] = ' ';
    dst[19] = 0;
}

/* What a bucket is called: "4 s", "12 h". */
static void span_text(char *dst, size_t dst_bytes, double seconds)
{
    if (seconds < 60)
        (void)snprintf(dst, dst_bytes, "%g s", seconds);
    else
        (void)str_human_ms(dst, dst_bytes, (int64_t)(seconds * 1000));
}

void report_rate(struct buf *out, const struct totals *totals)
{
    const struct timeline *line = &totals->line;
    double rate[TIMELINE_BUCKETS], share[TIMELINE_BUCKETS], top = 0;
    char from[CLOCK_TEXT_BYTES], to[CLOCK_TEXT_BYTES], label[64], count[32], span[32];
    if (line->count == 0 || totals->items == 0) return;
    for (uint32_t i = 0; i < line->count; i++) {
        rate[i] = line->rows[i] / line->seconds;
        share[i] = line->rows[i] > 0 ? line->ok[i] / line->rows[i] : -1;
        if (rate[i] > top) top = rate[i];
    }
    moment(from, (double)line->first * line->seconds);
    moment(to, (double)(line->first + line->count) * line->seconds);
    span_text(span, sizeof span, line->seconds);
    (void)snprintf(label, sizeof label, "%s rows / s", str_human_count(count, sizeof count, top));
    const struct report_series rows = {rate, line->count, top, label, from, to, "bar"};
    const struct report_series success = {share, line->count, 1, "100 %", from, to, "ok"};
    buf_text(out, "<div class=\"pair\">\n<section><h2>Rate over time</h2>\n");
    report_columns(out, "rows in a second, over time", &rows);
    buf_text(out, "</section>\n<section><h2>Success over time</h2>\n");
    report_steps(out, "share of rows that succeeded, over time", &success);
    buf_printf(out,
               "</section>\n</div>\n<p class=\"soft note\">Each step is %s, in UTC. A shard's rows "
               "are spread evenly over the time that it took.</p>\n",
               span);
}

void report_cpu(struct buf *out, const struct totals *totals)
{
    static const char *const colours[CPU_PARTS_COUNT] = {"p0", "p1", "p2", "p3", "p4"};
    struct report_bar bar[CPU_PARTS_COUNT];
    char share[16], span[32];
    int64_t whole = 0;
    for (uint32_t i = 0; i < CPU_PARTS_COUNT; i++) {
        bar[i] =
            (struct report_bar){cpu_part_name((enum cpu_part)i), totals->cpu_ms[i], colours[i]};
        whole = sum_of(whole, bar[i].value);
    }
    if (whole == 0) return;
    buf_text(out, "<section><h2>Where processor time went</h2>\n");
    report_parts(out, "shares of fetch, decode, resize, encode and write", bar, CPU_PARTS_COUNT);
    buf_text(out, "<div class=\"legend\">");
    for (uint32_t i = 0; i < CPU_PARTS_COUNT; i++) {
        buf_printf(out, "<span><i class=\"key %s\"></i>%s %s", bar[i].colour, bar[i].label,
                   report_share(share, bar[i].value, whole));
        if (totals->items_ok > 0)
            buf_printf(out, ", %.2f ms", (double)bar[i].value / (double)totals->items_ok);
        buf_text(out, "</span>");
    }
    buf_text(out, "</div>\n<p class=\"soft\">");
    if (totals->items_ok > 0)
        buf_printf(out, "%.2f ms of a processor for each image, ",
                   (double)whole / (double)totals->items_ok);
    buf_printf(out, "%s in all.</p></section>\n", str_human_ms(span, sizeof span, whole));
}

static void add_name(struct buf *out, const struct host_sum *host)
{
    buf_text(out, "<tr><td class=\"path\">");
    str_html(out, host->name);
    buf_text(out, "</td>");
}

static void add_worst(struct buf *out, const struct host_sum *host)
{
    char failed[32], rows[32], often[32];
    const uint32_t status = hosts_status(host);
    add_name(out, host);
    buf_printf(
        out, "<td class=\"num\">%s</td><td class=\"num\">%s</td><td><code>%s</code> %s</td></tr>\n",
        report_number(failed, host->failed), report_number(rows, host->rows),
        status == STATUS_SUCCESS ? "" : status_name(status),
        status == STATUS_SUCCESS ? "" : report_number(often, host->status[status]));
}

static void add_slow(struct buf *out, const struct host_sum *host)
{
    char rows[32], mean[32];
    add_name(out, host);
    buf_printf(out, "<td class=\"num\">%s</td><td class=\"num\">%s</td></tr>\n",
               str_human_ms(mean, sizeof mean, host->fetch_ms / host->fetched),
               report_number(rows, host->fetched));
}

void report_hosts(struct buf *out, const struct totals *totals)
{
    const struct host_sum *host[HOSTS_SHOWN];
    const uint32_t slow = hosts_slowest(totals->hosts, host, HOSTS_SHOWN);
    const uint32_t worst = hosts_worst(totals->hosts, host, HOSTS_SHOWN);
    if (slow + worst == 0) return;
    buf_text(out, "<div class=\"pair\">\n");
    if (worst)
        buf_text(out, "<section><h2>Hosts with the most failed rows</h2>\n<div class=\"scroll\">"
                      "<table><thead><tr><th>host</th><th class=\"num\">failed</th>"
                      "<th class=\"num\">rows</th><th>most often</th></tr></thead>\n");
    for (uint32_t i = 0; i < worst; i++) add_worst(out, host[i]);
    if (worst) buf_text(out, "</table></div></section>\n");
    if (slow)
        buf_text(out, "<section><h2>Slowest hosts</h2>\n<div class=\"scroll\"><table><thead><tr>"
                      "<th>host</th><th class=\"num\">per row</th>"
                      "<th class=\"num\">rows</th></tr></thead>\n");
    (void)hosts_slowest(totals->hosts, host, HOSTS_SHOWN);
    for (uint32_t i = 0; i < slow; i++) add_slow(out, host[i]);
    if (slow) buf_text(out, "</table></div></section>\n");
    buf_printf(
        out,
        "</div>\n<p class=\"soft note\">Of each shard, the %d hosts with the most failed rows "
        "and the %d that took the most time are counted. A row's time is that from its first "
        "try to its end.</p>\n",
        HOSTS_TOLD, HOSTS_TOLD);
}
