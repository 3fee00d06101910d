/* source.h - where a shard's samples come from: a tar, a folder, the rows of a URL list.
 *
 * A source yields the samples of one shard in order, with index 0, 1, 2, … and no gaps: also those
 * whose picture cannot be had, with a status that says why (a bad row is data). The order, keys and
 * texts depend on the input alone, not on time, threads or attempts.
 *
 * One thread, the pipe's reader, opens and reads a source; it is closed when that thread has ended.
 * A source may have threads of its own behind it, which it joins in close. next may wait (for the
 * network), but looks at *abort and job_stopping at least every 100 ms, and then answers
 * ERR_CANCELLED. Only tell is called by another thread. To add a source: a file source_X.c, and a
 * line in source.c. */
#ifndef ENCODE_SOURCE_H
#define ENCODE_SOURCE_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/store/store.h"
#include "proto/schema/jobs/encode.pb-c.h"
#include "worker/job.h"
#include "worker/jobs/encode/options.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SAMPLE_MESSAGE_BYTES 160

/* One sample. Its buffers are the pipe's and used again for sample after sample; a source may fill
 * them or change them for buffers of its own (struct assignment), of the same limits. */
struct encode_sample {
    uint32_t index;     /* in the shard */
    struct buf key;     /* valid UTF-8, not empty, no control characters */
    struct buf picture; /* the file's bytes; empty with a status */
    struct buf caption; /* valid UTF-8 */
    struct buf json;    /* the sample's own fields: a JSON object in one line; empty: none */
    bool has_caption;   /* an empty caption is one */
    const char *status; /* NULL: the picture is here; else why not, a constant of [a-z0-9_] */
    char message[SAMPLE_MESSAGE_BYTES]; /* with a status: a sentence; else "" */
};

/* What a source is opened with; all of it outlives the source. */
struct source_env {
    struct job_env *env; /* job_stopping, clock, scope, cpus; not the arena */
    const struct encode_options *options;
    const Vlmq__Jobs__EncodeShard *shard; /* source_from.c fills it for a task of --from */
    struct store *output;                 /* where the plan has left what it keeps */
    const char *scratch; /* a folder of the attempt on this machine, for files without a name */
    const atomic_bool *abort; /* the pipe comes down */
};

struct source_driver; /* source.c */
struct source {
    const struct source_driver *driver;
    int64_t waited_ns; /* in next, for others: no work of the reader's */
    uint32_t rows;     /* how many there will be; 0 from a list: not known before the end */
};

struct source_driver {
    const char *stage; /* what its work is called in the progress: "read", "fetch" */
    int (*open)(struct source **source, const struct source_env *env, struct err *err);
    /* Fills a sample whose buffers are empty and whose other fields are zero, its index too.
     * *found false: that was the last. An error ends the shard's attempt. */
    int (*next)(struct source *source, struct encode_sample *sample, bool *found, struct err *err);
    /* The source's stage for the progress: name, queued, running, full. NULL: nothing to tell. */
    void (*tell)(struct source *source, struct job_stage *stage);
    void (*close)(struct source *source); /* after any next, joins what it started */
};

extern const struct source_driver source_tar, source_folder, source_images, source_urls;

/* Picks the driver by env->shard->source. Errors: ERR_INVALID, ERR_NOT_FOUND: the input is not what
 * the plan saw; others may pass. */
CHECKED int source_open(struct source **source, const struct source_env *env, struct err *err);
CHECKED int source_next(struct source *source, struct encode_sample *sample, bool *found,
                        struct err *err);
void source_tell(struct source *source, struct job_stage *stage);
void source_close(struct source *source); /* accepts NULL */

#endif
