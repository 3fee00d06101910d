/* chart.h - charts of a report as inline SVG, and numbers as people write them.
 *
 * Text is 12 units high in a picture 360 units wide, so that it is readable on a phone, where the
 * picture is shown at its own size. Colours are CSS variables of the page (page.h). */
#ifndef REPORT_CHART_H
#define REPORT_CHART_H

#include "common/base/buf.h"

#include <stdint.h>

struct report_bar {
    const char *label;
    int64_t value;
    const char *colour; /* a class of the page: "ok", "warn", "bad", "bar", "p0" to "p4" */
};

/* Values over time, from left to right. */
struct report_series {
    const double *value; /* 0 to top; below 0: not known, nothing is drawn */
    uint32_t count;
    double top;
    const char *top_label, *from, *to; /* what stands at the axes' ends */
    const char *colour;
};

/* Horizontal bars with label, length and value. title is for those who do not see it. */
void report_bars(struct buf *out, const char *title, const struct report_bar *bar, uint32_t count);
/* One bar cut into its parts. */
void report_parts(struct buf *out, const char *title, const struct report_bar *bar, uint32_t count);
/* A column for each value. */
void report_columns(struct buf *out, const char *title, const struct report_series *series);
/* A line with a step for each value. */
void report_steps(struct buf *out, const char *title, const struct report_series *series);
/* "12,345". dst holds 32 bytes; returns dst. */
char *report_number(char *dst, int64_t value);
/* "12.3 %"; a share that is not zero is never shown as zero. dst holds 16 bytes; returns dst. */
char *report_share(char *dst, int64_t value, int64_t whole);

#endif
