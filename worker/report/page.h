/* page.h - the frame of report.html: what came of a job, for a person, on any screen.
 *
 * One page without scripts, fonts or pictures from elsewhere; it can be mailed or kept. Between
 * begin and end stand sections, <section><h2>…</h2>…</section>, in the classes of the style: cards,
 * pair (two sections side by side), legend with key, scroll around a table, strip of pictures. */
#ifndef REPORT_PAGE_H
#define REPORT_PAGE_H

#include "common/base/buf.h"

#include <stdbool.h>
#include <stddef.h>

/* Up to the heading. */
void report_page_begin(struct buf *out, const char *title);
void report_page_end(struct buf *out);
/* A number in large type; value and label are HTML. Several stand in a <div class="cards">. */
void report_card(struct buf *out, const char *value, const char *label, bool alarm);
/* RFC 4648, section 4. */
void report_base64(struct buf *out, const void *data, size_t bytes);
/* A JPEG file inside the page. */
void report_picture(struct buf *out, const char *alt, const void *jpeg, size_t bytes);

#endif
