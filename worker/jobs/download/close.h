/* close.h - the closing task of a download: manifest.json and report.html.
 *
 * Both are made from the committed manifests and the shards' own statistics, so closing again gives
 * the same files. */
#ifndef DOWNLOAD_CLOSE_H
#define DOWNLOAD_CLOSE_H

#include "common/base/buf.h"
#include "common/base/limits.h"
#include "common/store/attempt.h"
#include "worker/job.h"
#include "worker/jobs/download/hosts.h"
#include "worker/jobs/download/options.h"
#include "worker/jobs/download/tally.h"
#include "worker/jobs/download/timeline.h"

#include <stdbool.h>
#include <stdint.h>

/* The pictures on the report's strip. */
#define STRIP_PICTURES 12
#define STRIP_SHARDS   64 /* looked into for them, at most */

/* A job's numbers: sums over its shards. */
struct totals {
    struct attempt_counter counter[COUNTERS_MAX];
    uint32_t counters_count;
    uint32_t shards, late, dead;
    int64_t items, items_ok, bytes, file_bytes;
    double seconds;              /* of all attempts that count, one after another */
    double start_at_s, end_at_s; /* the first one's start, the last one's end; 0: not known */
    int64_t cpu_ms[CPU_PARTS_COUNT];
    struct timeline line;
    struct hosts *hosts; /* of the worst of each shard; NULL: not known */
};

void totals_deinit(struct totals *totals);

/* 0 where there is no such counter. */
int64_t totals_get(const struct totals *totals, const char *name);
void totals_add(struct totals *totals, const struct attempt_manifest *manifest);
/* Adds a shard's NNNNN_stats.json; a file that cannot be understood is passed over. */
void totals_add_times(struct totals *totals, const char *stats, size_t bytes);
/* As a JSON object: what totals_add_times has summed up. */
void totals_times_json(const struct totals *totals, struct buf *out);

/* A small picture for the report: a JPEG of at most a few kilobytes. */
struct strip {
    struct buf picture[STRIP_PICTURES];
    uint32_t count;
};
/* Takes the first samples of a shard, a tar or a folder ("00042/"), until the strip has `until`
 * pictures; what cannot be read is passed over. */
void strip_add(struct strip *strip, struct store *store, const char *shard, uint32_t until);
void strip_deinit(struct strip *strip);

/* A whole HTML page that needs nothing from outside. */
void report_html(const struct totals *totals, const struct strip *strip,
                 const struct download_options *options, struct buf *out);

CHECKED int download_close(struct job_env *env, struct job_result *result, struct err *err);

#endif
