/* tally.h - what the rows of a shard came to, as numbers: NNNNN_stats.json and the counters of the
 * manifest.
 *
 * NNNNN_stats.json, an object with
 *   count, successes, failed, placeholders, near_duplicates, captions   rows
 *   start_time, end_time   seconds since 1970; duration: their difference
 *   stages        [{"name", "threads", "items", "busy_ms"}]: where the time went
 *   status_dict   {"success": rows, …}
 *   labels        {category: {label: rows whose best label it is}}, none with no rows
 *   confidence    rows by the confidence of that label, in TALLY_BINS equal parts of 0 to 1
 *   filtered      [{"key", "cosine", "picture"}]: the first placeholders; JPEG in base64
 *
 * All but times and stages depends on the input and the options alone. A tally is one thread's. */
#ifndef ENCODE_TALLY_H
#define ENCODE_TALLY_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "worker/jobs/encode/row.h"
#include "worker/nn/text/labels.h"

#include <stdbool.h>
#include <stdint.h>

#define TALLY_BINS         20
#define TALLY_STATUSES_MAX 64 /* distinct ones; what is above is counted as "other" */
#define TALLY_STATUS_BYTES 40 /* with the zero; longer names are cut */
#define TALLY_PICTURES_MAX 4  /* of filtered ones, a shard */
#define TALLY_PICTURE_SIDE 96 /* pixels */
#define TALLY_KEY_BYTES    256
#define TALLY_STAGES_MAX   8

struct tally_picture {
    char key[TALLY_KEY_BYTES]; /* cut to fit */
    float cosine;
    struct buf jpeg;
};

struct encode_tally {
    int64_t rows, success, placeholders, duplicates, captions;
    struct {
        char name[TALLY_STATUS_BYTES];
        int64_t rows;
    } status[TALLY_STATUSES_MAX];
    uint32_t statuses_count;
    const struct labels *labels; /* borrowed until encode_tally_end; NULL: none */
    int64_t *label;              /* [labels_count] */
    struct buf labels_json;      /* what is told of them, behind encode_tally_end */
    int64_t confidence[TALLY_BINS];
    struct tally_picture picture[TALLY_PICTURES_MAX];
    uint32_t pictures_count;
};

/* ERR_LIMIT: no memory for so many labels. */
CHECKED int encode_tally_init(struct encode_tally *tally, const struct labels *labels,
                              struct err *err);
void encode_tally_deinit(struct encode_tally *tally); /* accepts a zeroed struct */
void encode_tally_add(struct encode_tally *tally, const struct encode_row *row);
/* Whether a filtered picture would still be kept. */
bool encode_tally_has_room(const struct encode_tally *tally);
/* A picture that was filtered, as it was encoded: [side, side, 3] bytes. Where it cannot be made
 * small it is left out. */
void encode_tally_picture(struct encode_tally *tally, const struct encode_row *row,
                          const uint8_t *pixels, uint32_t side);
/* Behind the last row: the labels may go. ERR_LIMIT: no memory for what is told of them. */
CHECKED int encode_tally_end(struct encode_tally *tally, struct err *err);
/* Calls visit for each counter that is not zero; at most COUNTERS_MAX names: rows, success, failed,
 * placeholder, near_duplicate, captions, status.NAME, hist.confidence.NN. */
void encode_tally_each(const struct encode_tally *tally,
                       void (*visit)(void *ctx, const char *name, int64_t value), void *ctx);

struct encode_stage {
    const char *name; /* "decode" */
    uint32_t threads;
    int64_t items, busy_ns; /* busy: summed over its threads, waiting left out */
};
struct encode_times {
    int64_t start_at_ms, end_at_ms; /* since 1970 */
    struct encode_stage stage[TALLY_STAGES_MAX];
    uint32_t stages_count;
};
/* Behind encode_tally_end. */
void encode_stats_json(const struct encode_tally *tally, const struct encode_times *times,
                       struct buf *out);

#endif
