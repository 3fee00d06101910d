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
 * To stop, the task thread sets `abort` and wakes the fetch thread; items then flow through without
 * being worked on, and the channels close one after another as at a normal end. */
#ifndef DOWNLOAD_WORK_H
#define DOWNLOAD_WORK_H

#include "common/base/buf.h"
#include "common/base/chan.h"
#include "common/base/thread.h"
#include "common/store/attempt.h"
#include "proto/schema/jobs/download.pb-c.h"
#include "worker/job.h"
#include "worker/jobs/download/hosts.h"
#include "worker/jobs/download/list_slice.h"
#include "worker/jobs/download/options.h"
#include "worker/jobs/download/same.h"
#include "worker/jobs/download/tally.h"
#include "worker/pipe/reorder.h"
#include "worker/pipe/tar_index.h"

#include <stdatomic.h>

/* Bodies that wait for a decoder; above it no transfer is started. A second's worth of fetching. */
#define BODIES_WAITING_MAX ((int64_t)256 * 1024 * 1024)
/* Finished samples that wait for an earlier row, before they go to the scratch file. */
#define SAMPLES_WAITING_MAX ((size_t)128 * 1024 * 1024)
/* A buffer that one large picture has grown beyond this is given back. */
#define BUFFER_KEPT_MAX ((size_t)1024 * 1024)
#define KEY_BYTES       24
#define SHARD_BYTES     16

struct work_item {
    struct fetch_item fetch; /* first: fetch_take gives it back */
    struct buf final_url;
    struct list_row row;
    uint32_t index; /* in the shard */
    struct outcome outcome;
    struct same_url *same; /* other rows have its URL; NULL: none */
    struct buf samples;    /* the tar members; empty unless it succeeded */
    struct buf line;       /* of rows.jsonl */
};

struct work {
    struct job_env *env;
    struct download_options options;
    Vlmq__Jobs__DownloadShard *shard; /* in the arena */
    char name[SHARD_BYTES];           /* "00042" */
    uint32_t key_digits;
    struct work_item *item;
    uint32_t items_count;
    struct chan *pool, *decode, *write;
    atomic_bool abort;
    struct thread fetch_thread, decode_thread[DOWNLOAD_THREADS_MAX];
    uint32_t threads_count;
    atomic_uint decoders; /* that have not ended */
    /* The fetch thread's. */
    struct list_slice *slice;
    struct fetch *fetch;
    struct same *same;
    uint32_t rows_read, fetching;
    int64_t tail_until_ms;                       /* 0: there are rows to start */
    uint32_t waiting;                            /* rows that are not asked for: */
    struct fetch_item *ready_first, *ready_last; /* those whose URL was fetched for another row */
    struct err fetch_err;                        /* read after the join */
    _Atomic int64_t cpu_ns[CPU_PARTS_COUNT];
    /* For the progress. */
    _Atomic int64_t bodies_waiting, fetched, decoded;
    atomic_uint transfers_running, transfers_waiting, decoding;
    /* The task thread's. */
    struct store *store;
    struct attempt *attempt;
    struct reorder *reorder;
    struct store_file *tar, *rows;
    struct tar_index index;
    struct tally tally;
    struct hosts *hosts;
    int64_t start_at_ms, told_at_ms;
    int64_t start_cpu_ns; /* of the task thread, which had other tasks before */
};

/* Thread bodies; arg is the struct work. */
void work_fetch(void *arg);
void work_decode(void *arg);

/* What a sample's key is: the shard's number and the row's, as img2dataset pads them. */
uint32_t work_key_digits(uint32_t shard_rows);
void work_key(char dst[KEY_BYTES], uint32_t shard, uint32_t index, uint32_t key_digits);

/* Task thread, before the others start: which URLs come more than once. */
CHECKED int work_note_urls(struct work *work, struct err *err);

/* Task thread; see work_write.c. */
CHECKED int work_files_open(struct work *work, struct err *err);
/* Takes finished items until the last, or until something is wrong. */
CHECKED int work_write(struct work *work, struct err *err);
CHECKED int work_commit(struct work *work, struct job_result *result, struct err *err);
/* The result of a task whose output is committed. */
void work_adopt(struct job_result *result, const struct attempt_manifest *manifest,
                const char *made);

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
