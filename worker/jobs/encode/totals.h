/* totals.h - a job's numbers: sums over its shards, from their manifests and NNNNN_stats.json.
 *
 * A stats file is a file like any other: what cannot be understood in it is passed over, what is
 * too much is left out, and nothing of it reaches the report unchecked. */
#ifndef ENCODE_TOTALS_H
#define ENCODE_TOTALS_H

#include "common/base/buf.h"
#include "common/base/limits.h"
#include "common/store/attempt.h"
#include "worker/jobs/encode/tally.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define TOTALS_STATS_BYTES_MAX   ((size_t)16 * 1024 * 1024) /* 100,000 labels with long names */
#define TOTALS_PICTURES_MAX      24
#define TOTALS_PICTURE_BYTES_MAX ((size_t)32 * 1024) /* of base64 */

struct totals_stage {
    char name[TALLY_STATUS_BYTES];
    int64_t threads, items, busy_ms; /* threads: the most of any shard */
};

struct encode_totals {
    struct attempt_counter counter[COUNTERS_MAX];
    uint32_t counters_count;
    uint32_t shards, dead;
    int64_t items, items_ok, bytes, file_bytes;
    double seconds;              /* of all shards, one after another */
    double start_at_s, end_at_s; /* the first one's start, the last one's end; 0: not known */
    struct totals_stage stage[TALLY_STAGES_MAX];
    uint32_t stages_count;
    json_t *labels; /* {category: {label: rows}}; NULL: none */
    uint32_t labels_count;
    struct {
        char key[TALLY_KEY_BYTES];
        float cosine;
        char *base64; /* of a JPEG file: letters of base64 only */
    } picture[TOTALS_PICTURES_MAX];
    uint32_t pictures_count;
};

void encode_totals_deinit(struct encode_totals *totals); /* accepts a zeroed struct */
void encode_totals_add(struct encode_totals *totals, const struct attempt_manifest *manifest);
void encode_totals_add_stats(struct encode_totals *totals, const char *stats, size_t bytes);
/* 0 where there is no such counter. */
int64_t encode_totals_get(const struct encode_totals *totals, const char *name);
/* As a JSON object: times, stages and labels. */
void encode_totals_json(const struct encode_totals *totals, struct buf *out);

#endif
