/* chart.c - bars, columns and steps. */
#include "worker/report/chart.h"

#include "common/base/str.h"
#include "common/base/sum.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define WIDTH       360
#define ROW         22
#define LABEL_WIDTH 132
#define VALUE_WIDTH 68
#define PLOT_HEIGHT 110
#define PLOT_TOP    20 /* above it stands the label of the top */

char *report_number(char *dst, int64_t value)
{
    char digits[24];
    const int len = snprintf(digits, sizeof digits, "%" PRId64, value);
    char *to = dst;
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0 && digits[i - 1] != '-') *to++ = ',';
        *to++ = digits[i];
    }
    *to = 0;
    return dst;
}

char *report_share(char *dst, int64_t value, int64_t whole)
{
    const double percent = whole > 0 ? 100.0 * (double)value / (double)whole : 0;
    if (value > 0 && percent < 0.1)
        (void)snprintf(dst, 16, "< 0.1 %%");
    else if (value < whole && percent > 99.9)
        (void)snprintf(dst, 16, "> 99.9 %%");
    else
        (void)snprintf(dst, 16, "%.1f %%", percent);
    return dst;
}

static void begin(struct buf *out, const char *title, uint32_t height, const char *more)
{
    buf_printf(out, "<svg viewBox=\"0 0 %d %u\"%s role=\"img\" aria-label=\"", WIDTH, height, more);
    str_html(out, title);
    buf_text(out, "\">");
}

void report_bars(struct buf *out, const char *title, const struct report_bar *bar, uint32_t count)
{
    char number[32];
    int64_t largest = 1;
    for (uint32_t i = 0; i < count; i++)
        if (bar[i].value > largest) largest = bar[i].value;
    begin(out, title, count * ROW, "");
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t y = i * ROW;
        const int64_t room = WIDTH - LABEL_WIDTH - VALUE_WIDTH;
        const double length = (double)room * (double)bar[i].value / (double)largest;
        buf_printf(out, "<text x=\"%d\" y=\"%u\" class=\"end\">", LABEL_WIDTH - 8, y + 15);
        str_html(out, bar[i].label);
        buf_printf(out,
                   "</text><rect x=\"%d\" y=\"%u\" width=\"%.1f\" height=\"14\" rx=\"3\" "
                   "class=\"%s\"/>",
                   LABEL_WIDTH, y + 4, bar[i].value && length < 2 ? 2 : length, bar[i].colour);
        buf_printf(out, "<text x=\"%.1f\" y=\"%u\">%s</text>", LABEL_WIDTH + length + 6, y + 15,
                   report_number(number, bar[i].value));
    }
    buf_text(out, "</svg>\n");
}

void report_parts(struct buf *out, const char *title, const struct report_bar *bar, uint32_t count)
{
    int64_t whole = 0;
    double x = 0;
    for (uint32_t i = 0; i < count; i++) whole = sum_of(whole, bar[i].value);
    begin(out, title, 16, " class=\"wide\" preserveAspectRatio=\"none\"");
    for (uint32_t i = 0; i < count && whole > 0; i++) {
        const double length = (double)WIDTH * (double)bar[i].value / (double)whole;
        if (bar[i].value)
            buf_printf(out,
                       "<rect x=\"%.2f\" y=\"0\" width=\"%.2f\" height=\"16\" class=\"%s\"><title>",
                       x, length, bar[i].colour);
        if (bar[i].value) str_html(out, bar[i].label);
        if (bar[i].value) buf_text(out, "</title></rect>");
        x += length;
    }
    buf_text(out, "</svg>\n");
}

static void begin_plot(struct buf *out, const char *title, const struct report_series *series)
{
    const int bottom = PLOT_TOP + PLOT_HEIGHT;
    begin(out, title, PLOT_TOP + PLOT_HEIGHT + 20, "");
    buf_printf(out, "<text x=\"0\" y=\"13\" class=\"soft\">%s</text>", series->top_label);
    buf_printf(out, "<path class=\"axis\" d=\"M0 %d.5H%dM0 %d.5H%d\"/>", PLOT_TOP, WIDTH, bottom,
               WIDTH);
    buf_printf(out, "<text x=\"0\" y=\"%d\" class=\"soft\">%s</text>", bottom + 16, series->from);
    buf_printf(out, "<text x=\"%d\" y=\"%d\" class=\"end\">%s</text>", WIDTH, bottom + 16,
               series->to);
}

/* How far below the picture's upper edge a value stands. */
static double y_of(const struct report_series *series, double value)
{
    const double share = series->top > 0 ? value / series->top : 0;
    return PLOT_TOP + PLOT_HEIGHT * (1 - (share > 1 ? 1 : share));
}

void report_columns(struct buf *out, const char *title, const struct report_series *series)
{
    const double width = series->count ? (double)WIDTH / series->count : 0;
    const double gap = width > 4 ? 1 : width / 5;
    begin_plot(out, title, series);
    for (uint32_t i = 0; i < series->count; i++) {
        const double y = y_of(series, series->value[i]);
        if (series->value[i] > 0)
            buf_printf(out,
                       "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" class=\"%s\"/>",
                       i * width, y, width - gap, PLOT_TOP + PLOT_HEIGHT - y, series->colour);
    }
    buf_text(out, "</svg>\n");
}

void report_steps(struct buf *out, const char *title, const struct report_series *series)
{
    const double width = series->count ? (double)WIDTH / series->count : 0;
    bool open = false;
    begin_plot(out, title, series);
    buf_printf(out, "<path class=\"line %s\" d=\"", series->colour);
    for (uint32_t i = 0; i < series->count; i++) {
        const bool known = series->value[i] >= 0;
        const double y = y_of(series, series->value[i]);
        if (known && !open) buf_printf(out, "M%.2f %.2f", i * width, y);
        if (known && open) buf_printf(out, "V%.2f", y);
        if (known) buf_printf(out, "H%.2f", (i + 1) * width);
        open = known;
    }
    buf_text(out, "\"/></svg>\n");
}
