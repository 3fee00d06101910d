/* options.h - the spec of a download job with its defaults in place and its values checked.
 *
 * The texts live in the arena that was given. */
#ifndef DOWNLOAD_OPTIONS_H
#define DOWNLOAD_OPTIONS_H

#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "proto/schema/jobs/download.pb-c.h"
#include "worker/jobs/download/limits.h"
#include "worker/jobs/download/options_picture.h"
#include "worker/list/list_row.h"
#include "worker/pipe/decode.h"
#include "worker/pipe/fetch.h"
#include "worker/pipe/fit.h"

#include <protobuf-c/protobuf-c.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct download_options {
    const char *input;           /* a path */
    const char *output;          /* as given */
    enum list_format format;     /* LIST_AUTO: the name does not tell, the planner looks */
    struct list_columns columns; /* that are wanted; without a format */
    uint32_t shard_rows, image_size;
    enum fit_mode resize_mode;
    struct picture_options picture;
    int64_t tail_ms;            /* from the start of a shard's last row to the end of all of them */
    bool opt_out_chosen;        /* other directives than the usual ones */
    struct fetch_options fetch; /* agent set, ca_file not */
    uint64_t pixels_max;
    uint32_t decode_threads; /* 0: as many as the worker has processors */
    /* Of options_sample.c. */
    enum decode_alpha alpha;
    uint8_t background[3];
    bool ignore_orientation, no_exif;
    bool no_hash, phash;
    const char *blocked_hashes;            /* a path; NULL: none */
    char blocked_sha256[HASH_SHA256_TEXT]; /* of that file; "" until blocked.h has read it */
    bool files;                            /* a folder for each shard instead of a tar */
    enum hash_kind hash;                   /* of the bytes received */
};

/* ERR_INVALID with a sentence that names the option. */
CHECKED int download_options_init(struct download_options *options, struct arena *arena,
                                  const uint8_t *spec, size_t bytes, struct err *err);
/* What shapes the output, as JSON: two jobs with different texts cannot share one. */
void download_options_json(const struct download_options *options, struct buf *out);
/* The part about pictures and what is written of them, and its fields of that JSON. */
CHECKED int download_options_sample(struct download_options *options,
                                    const Vlmq__Jobs__Download *spec, struct err *err);
void download_options_sample_json(const struct download_options *options, struct buf *out);
/* The columns to look for in a record; to be completed by list_columns_init. */
struct list_columns download_columns(const struct download_options *options);

#endif
