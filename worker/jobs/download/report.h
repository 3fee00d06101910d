/* report.h - charts of the report as inline SVG, and the sections about time; inside
 * worker/jobs/download only.
 *
 * Text is 12 units high in a picture 360 units wide, so that it is readable on a phone, where the
 * picture is shown at its own size. Colours are the page's CSS variables. */
#ifndef DOWNLOAD_REPORT_H
#define DOWNLOAD_REPORT_H

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

struct totals;

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

/* Sections; nothing where nothing is known. */
void report_rate(struct buf *out, const struct totals *totals);
void report_cpu(struct buf *out, const struct totals *totals);
void report_hosts(struct buf *out, const struct totals *totals);

#endif
