/* report.h - charts of the report as inline SVG; inside worker/jobs/download only.
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
    const char *colour; /* a class of the page: "ok", "warn", "bad", "bar" */
};

/* Horizontal bars with label, length and value. title is for those who do not see it. */
void report_bars(struct buf *out, const char *title, const struct report_bar *bar, uint32_t count);
/* One bar cut into its parts. */
void report_parts(struct buf *out, const char *title, const struct report_bar *bar, uint32_t count);
/* "12,345". dst holds 32 bytes; returns dst. */
char *report_number(char *dst, int64_t value);
/* "12.3 %"; a share that is not zero is never shown as zero. dst holds 16 bytes; returns dst. */
char *report_share(char *dst, int64_t value, int64_t whole);

#endif
