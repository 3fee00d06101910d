/* report.h - the sections of the report about time; inside worker/jobs/download only. */
#ifndef DOWNLOAD_REPORT_H
#define DOWNLOAD_REPORT_H

#include "common/base/buf.h"

struct totals;

/* Nothing where nothing is known. */
void report_rate(struct buf *out, const struct totals *totals);
void report_cpu(struct buf *out, const struct totals *totals);
void report_hosts(struct buf *out, const struct totals *totals);

#endif
