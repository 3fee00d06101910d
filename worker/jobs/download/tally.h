/* tally.h - what the rows of a shard came to, as numbers.
 *
 * The numbers become the counters of the manifest, of the job, and of the report; sums over shards
 * are sums of counters. A tally is one thread's. */
#ifndef DOWNLOAD_TALLY_H
#define DOWNLOAD_TALLY_H

#include "common/base/buf.h"
#include "common/base/limits.h"
#include "worker/jobs/download/status.h"
#include "worker/pipe/fit.h"

#include <stdbool.h>
#include <stdint.h>

#define TALLY_HTTP_MAX 1000 /* status codes have three digits */
#define TALLY_SIDES    12
#define TALLY_RATIOS   11

/* How one row ended. journal.c keeps each field of it. */
struct outcome {
    uint32_t status;
    int32_t http_status;
    enum decode_format format;
    uint32_t original_width, original_height; /* 0: not known */
    uint32_t width, height;                   /* of the result */
    uint32_t warnings;
    uint32_t reduced; /* with --fast: 1, 2, 4 or 8; else 0 */
    bool resized, cropped, padded, blurred;
    bool kept;   /* the sample's bytes are those that were received */
    bool shared; /* an earlier row of the shard has the URL */
    bool named;  /* a host had to be found by its name */
    int64_t body_bytes, sample_bytes;
    int64_t tries, fetch_ms; /* of a row's own fetch: they differ from run to run */
};

/* Where processor time goes. */
enum cpu_part {
    CPU_FETCH,  /* the list, transfers */
    CPU_DECODE, /* hashes of bodies, pixels, what looks at them before they are resized */
    CPU_RESIZE,
    CPU_ENCODE, /* also EXIF, JSON, the members of the tar */
    CPU_WRITE,  /* order, files */
    CPU_PARTS_COUNT
};

/* What differs from run to run. */
struct shard_times {
    int64_t start_at_ms, end_at_ms; /* since 1970: the first attempt's start, the last one's end */
    int64_t cpu_ns[CPU_PARTS_COUNT];
    const struct hosts *hosts; /* NULL: not known */
};

struct tally {
    int64_t rows, in_class[CLASSES_COUNT];
    int64_t status[STATUSES_COUNT];
    int64_t http[TALLY_HTTP_MAX]; /* of rows that ended in http_status */
    int64_t format[DECODE_FORMAT_COUNT];
    int64_t side[TALLY_SIDES], ratio[TALLY_RATIOS];
    int64_t resized, cropped, padded, blurred, warned, reduced, kept, shared;
    int64_t body_bytes, sample_bytes, tries, fetch_ms;
    int64_t named, unanswered; /* rows with a name, and those no server answered for; no counters */
};

void tally_add(struct tally *tally, const struct outcome *outcome);
/* Calls visit for each counter that is not zero; at most COUNTERS_MAX names. */
void tally_each(const struct tally *tally,
                void (*visit)(void *ctx, const char *name, int64_t value), void *ctx);
/* The file that img2dataset's tools read. */
void tally_stats_json(const struct tally *tally, const struct shard_times *times, struct buf *out);
const char *cpu_part_name(enum cpu_part part); /* "fetch", … */

/* For the report: the lower edge of a bucket of shorter sides, and the label of one of ratios. */
uint32_t tally_side_edge(uint32_t bucket);
const char *tally_ratio_label(uint32_t bucket);

#endif
