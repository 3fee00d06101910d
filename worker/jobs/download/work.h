/* work.h - the work task: one shard of the list becomes one shard of samples.
 *
 *   task thread            dl-fetch               dl-decode x N            task thread
 *   opens everything  ──►  rows and transfers ──► decode, fit, encode ──►  row order, files
 *        pool  ◄────────────────────────────────────────────────────────────┘
 *
 * Items are made once and go round: pool, fetch, decode chan, write chan, pool. Each channel holds
 * all items, so that no send ever waits: what bounds the work is the number of items, and for the
 * bodies that wait for a decoder their sum (BODIES_WAITING_MAX). The fetch thread alone touches
 * the list and the transfers; the task thread alone touches the store, the attempt and the
 * tally. An item belongs to the thread that holds it.
 *
 * The task thread's files are private, and grow in row order; journal.h says how a later attempt
 * goes on from them. When the worker leaves, the fetch thread starts no more rows, those that it
 * has come to their end, and the task is yielded with a last checkpoint.
 *
 * To stop at once, the task thread sets `abort` and wakes the fetch thread; items then flow through
 * without being worked on, and the channels close one after another as at a normal end. */
#ifndef DOWNLOAD_WORK_H
#define DOWNLOAD_WORK_H

#include "common/base/buf.h"
#include "common/base/chan.h"
#include "common/base/thread.h"
#include "common/store/attempt.h"
#include "proto/schema/jobs/download.pb-c.h"
#include "worker/job.h"
#include "worker/jobs/download/blocked.h"
#include "worker/jobs/download/hosts.h"
#include "worker/jobs/download/journal.h"
#include "worker/jobs/download/options.h"
#include "worker/jobs/download/tally.h"
#include "worker/list/list_fetch.h"
#include "worker/list/list_spec.h"
#include "worker/pipe/reorder.h"
#include "worker/pipe/tar_index.h"

#include <stdatomic.h>

/* Bodies that wait for a decoder; above it no transfer is started. A second's worth of fetching. */
#define BODIES_WAITING_MAX ((int64_t)256 * 1024 * 1024)
/* Finished samples that wait for an earlier row, before they go to the scratch file. */
#define SAMPLES_WAITING_MAX ((size_t)128 * 1024 * 1024)
/* A buffer that one large picture has grown beyond this is given back. */
#define BUFFER_KEPT_MAX ((size_t)1024 * 1024)
#define JOURNAL_NAME    "journal"
#define SHARD_BYTES     16

struct work_item {
    struct list_body body; /* first: list_fetch gives it back. Its place is that in what is
                            * written: its index, but in a late shard */
    struct outcome outcome;
    struct buf samples; /* the tar members; empty unless it succeeded */
    struct buf line;    /* of rows.jsonl */
};

struct work {
    struct job_env *env;
    struct download_options options;
    Vlmq__Jobs__DownloadShard *shard; /* in the arena; rows is also set in a late shard's */
    char name[SHARD_BYTES];           /* "00042" */
    uint32_t key_digits;
    bool *carried;           /* a late shard: which rows of the shard it has; else NULL */
    uint32_t rows_count;     /* that are written */
    struct blocked *blocked; /* only read once the threads run; NULL: no hashes are */
    struct work_item *item;
    uint32_t items_count;
    struct chan *pool, *decode, *write;
    atomic_bool abort, drain;
    char lease_before[LEASE_ID_BYTES]; /* of the attempt that left a cursor; "": none */
    uint32_t rows_before;              /* that it had written */
    struct thread fetch_thread, decode_thread[DOWNLOAD_THREADS_MAX];
    uint32_t threads_count;
    atomic_uint decoders;     /* that have not ended */
    struct list_fetch *fetch; /* the fetch thread's */
    struct err fetch_err;     /* read after the join */
    _Atomic int64_t cpu_ns[CPU_PARTS_COUNT];
    /* For the progress. */
    _Atomic int64_t bodies_waiting, fetched, decoded;
    atomic_uint decoding;
    /* The task thread's. */
    struct store *store;
    struct attempt *attempt;
    struct reorder *reorder;
    struct store_file *tar, *rows, *times, *journal;
    struct tar_index index;
    struct tally tally;   /* of the rows that are written */
    struct tally arrived; /* of all that came back: for the progress */
    struct hosts *hosts;  /* of the same rows as arrived */
    int64_t start_at_ms;  /* of the first of the attempts that have made the rows */
    int64_t told_at_ms, checkpoint_at_ms;
    uint32_t checkpoint_rows; /* 0: there is no checkpoint */
    int64_t start_cpu_ns;     /* of the task thread, which had other tasks before */
};

/* Thread bodies; arg is the struct work. */
void work_fetch(void *arg);
void work_decode(void *arg);

/* Task thread, before the others start. */
CHECKED int work_fetch_new(struct work *work, struct err *err);

/* Task thread; see work_write.c. */
CHECKED int work_files_open(struct work *work, struct err *err);
/* Removes them again, with what was written. */
void work_files_drop(struct work *work);
/* One row's parts, in the order of their names. */
enum work_part { PART_SAMPLES, PART_LINE, PART_TIMES, PART_OUTCOME, PARTS_COUNT };
CHECKED int work_put(struct work *work, uint32_t place, const struct reorder_part part[PARTS_COUNT],
                     struct err *err);
/* Task thread; see resume.c. */
/* With the files open and before any row: writes what the cursor's attempt has written. What cannot
 * be used of it is passed over with a line in the log. */
CHECKED int work_resume(struct work *work, struct err *err);
/* Removes what another attempt has left, if it said that it has ended; "": none. */
void work_forget(struct work *work, const char *lease);
/* Lets a next attempt go on from the rows that are written. */
CHECKED int work_checkpoint(struct work *work, struct err *err);
/* Counts the row for its host. url: NULL where the row has none. */
void work_note_host(struct work *work, const char *url, const struct outcome *outcome);
/* Takes finished items until the last, or until something is wrong. */
CHECKED int work_write(struct work *work, struct err *err);
/* Or, if the worker leaves and rows are missing, a last checkpoint and ERR_CANCELLED. */
CHECKED int work_commit(struct work *work, struct job_result *result, struct err *err);
/* The result of a task whose output is committed. */
CHECKED int work_adopt(const struct work *work, struct job_result *result,
                       const struct attempt_manifest *manifest, struct err *err);

/* JSON of one row; see sample.c. */
struct sample {
    const struct list_row *row;
    const struct list_columns *columns; /* names of the extra fields */
    const struct outcome *outcome;
    const char *key, *content_type;
    const char *hash_name; /* its field; NULL: none */
    const char *hash;      /* "" where there was no body */
    const char *phash;     /* hexadecimal; "": no picture; NULL: not wanted */
    const char *exif;      /* JSON; NULL: not wanted */
    const char *final_url; /* NULL: the row's own */
};
void sample_json(const struct sample *sample, struct buf *out); /* KEY.json, as img2dataset's */
void sample_line(const struct sample *sample, struct buf *out); /* a line of rows.jsonl */

CHECKED int download_work(struct job_env *env, struct job_result *result, struct err *err);

#endif
