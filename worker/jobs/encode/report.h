/* report.h - manifest.json and report.html of an encode job, made at its end.
 *
 * Both are made from the committed manifests and the shards' own statistics, so making them again
 * gives the same files. */
#ifndef ENCODE_REPORT_H
#define ENCODE_REPORT_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/store/store.h"
#include "worker/jobs/encode/totals.h"

#include <stdint.h>

struct encode_report_about {
    const char *input, *model;
    const char *how;       /* a line of text for people: size, types, options */
    const char *spec_json; /* the job's options, an object, for manifest.json */
};

/* A whole HTML page that needs nothing from outside. */
void encode_report_html(const struct encode_totals *totals, const struct encode_report_about *about,
                        struct buf *out);
/* Of the closing task, after attempt_sweep: reads every manifest and its stats, and writes both
 * files. tasks_dead: of the job. stopping(ctx): whether to give up (ERR_CANCELLED); may be NULL. */
CHECKED int encode_report_write(struct store *store, const struct encode_report_about *about,
                                uint32_t tasks_dead, bool (*stopping)(void *ctx), void *ctx,
                                struct err *err);

#endif
