/* work.h - the work task: one shard of pictures becomes one shard of features.
 *
 *   en-read             en-decode x N                     task thread
 *   the source's   ──►  decode, resize, crop  ──►  in order: model, labels, filters, files
 *   samples               pool  ◄─────────────────────────────┘
 *
 * Items are made once and go round: pool, read, decode chan, done chan, pool. Each channel holds
 * all items, so that no send ever waits; what bounds the work is the number of items, and for the
 * files that wait for a decoder their sum (PICTURES_WAITING_MAX). There are items for three batches
 * besides those that are being decoded: one is in the model, the rows of another are written, and
 * the next is made. An item belongs
 * to the thread that holds it.
 *
 * The task thread puts the items that come back into the order of their index (index modulo the
 * number of items is free whenever an item of that index is out) and takes as many pictures as
 * there are, up to a piece: what the model does in about a second, at most a batch, so that
 * a stop is noticed soon. A picture's numbers do not depend on the pictures beside it, so the files
 * are the same however the pieces fall.
 *
 * To stop at once, the task thread sets `abort`; items then flow through without being worked on,
 * and the channels close one after another as at a normal end. */
#ifndef ENCODE_WORK_H
#define ENCODE_WORK_H

#include "common/base/chan.h"
#include "common/base/thread.h"
#include "common/store/attempt.h"
#include "worker/job.h"
#include "worker/jobs/encode/claim.h"
#include "worker/jobs/encode/features.h"
#include "worker/jobs/encode/model.h"
#include "worker/jobs/encode/near.h"
#include "worker/jobs/encode/options.h"
#include "worker/jobs/encode/row.h"
#include "worker/jobs/encode/scores.h"
#include "worker/jobs/encode/source.h"
#include "worker/jobs/encode/tally.h"

#include <limits.h>
#include <stdatomic.h>

/* Files that wait for a decoder; above it none is read. A second's worth of reading. */
#define PICTURES_WAITING_MAX ((int64_t)256 * 1024 * 1024)
/* A buffer that one large picture has grown beyond this is given back. */
#define BUFFER_KEPT_MAX ((size_t)1024 * 1024)
/* Vectors of one piece, on the host. */
#define VECTORS_BYTES_MAX ((size_t)64 * 1024 * 1024)
/* Pictures of one batch unless --batch says other: more is not faster on a CPU. */
#define BATCH_DEFAULT 32
/* What the model should take for one piece: it reads all its weights for each, and a stop waits for
 * it. */
#define PIECE_NS ((int64_t)1000 * 1000 * 1000)

enum work_stage { WORK_READ, WORK_DECODE, WORK_ENCODE, WORK_WRITE, WORK_STAGES };

struct work_item {
    struct encode_sample sample;
    const char *status; /* NULL: its pixels are there */
    char message[SAMPLE_MESSAGE_BYTES];
    uint32_t width, height; /* as the file says; 0: not known */
    uint8_t *pixels;        /* [side, side, 3] */
};

/* What becomes of a picture, before its row is written. */
struct work_fate {
    bool dropped; /* a placeholder */
    float cosine; /* with the reference picture */
};

/* What the model gives of a piece, and what is made of it; [piece_max, …] each, NULL: not wanted.
 */
struct work_vectors {
    uint8_t *pixels;
    float *tokens, *cls, *embedding, *cosine;
    float *caption[2]; /* embeddings of those that there are, one after another; for two pieces */
    uint32_t *caption_ids; /* [piece_max, text_tokens] */
    float *kept;           /* embeddings of the rows that near is asked about */
    int64_t *kept_number;
    struct near_match *match;
    struct row_label *label; /* [piece_max, top_k] */
    struct work_fate *fate;
};

struct work {
    struct job_env *env;
    struct job_result *result;
    struct encode_options options;
    struct encode_files files;
    Vlmq__Jobs__EncodeShard shard;
    uint8_t fingerprint[HASH_SHA256_BYTES];
    char name[TASK_NAME_BYTES]; /* of the shard: what its files begin with */
    struct encode_model *model; /* NULL: the next task may have it */
    struct near *near;          /* NULL: not wanted */
    struct work_item *item;
    uint32_t items_count;
    struct chan *pool, *decode, *done;
    atomic_bool abort;
    struct thread read_thread, decode_thread[ENCODE_THREADS_MAX];
    uint32_t threads_count;
    atomic_uint decoders; /* that have not ended */
    /* The reader's; source is told about by the task thread too. */
    struct source *_Atomic source;
    struct err read_err;    /* read after the join */
    char scratch[PATH_MAX]; /* for the source */
    /* For progress and statistics. */
    _Atomic int64_t waiting_bytes, read, decoded, busy_ns[WORK_STAGES];
    atomic_uint decoding;
    /* The task thread's. */
    struct store *store;
    struct attempt *attempt;
    struct store_file *lines;
    struct features *features;
    struct features_column column[FEATURES_COLUMNS_MAX];
    uint32_t columns_count;
    struct safetensors_pair pair[FEATURES_PAIRS_MAX]; /* of the file of features */
    uint32_t pairs_count;
    struct encode_tally tally;
    struct work_vectors vectors;
    struct encode_row row;    /* the one at hand */
    struct buf line;          /* its */
    float *zeros;             /* the embedding of a caption that is not there */
    struct work_item **order; /* items that came back, by index modulo items_count */
    uint32_t next, arrived;   /* the index whose turn it is; items in order[] */
    uint32_t piece, piece_max;
    bool overlaps;     /* each piece is one pass of the model, beside which rows are written */
    int64_t bytes;     /* of the pictures' files that were encoded */
    int64_t device_ns; /* backend_busy_ns up to now */
    int64_t start_at_ms, told_at_ms;
};

/* Thread bodies; arg is the struct work. */
void encode_work_read(void *arg);
void encode_work_decode(void *arg);

/* Task thread. */
/* Which shard the task is of, and with what the output is claimed; see source_from.c. */
CHECKED int encode_work_shard(struct work *work, struct err *err);
/* Takes items as they come back and makes rows of them, until the last; see work_encode.c. */
CHECKED int encode_work_encode(struct work *work, struct err *err);
CHECKED int encode_work_vectors_init(struct work *work, struct err *err);
void encode_work_vectors_deinit(struct work *work);
/* Rows into files; see work_write.c. */
CHECKED int encode_work_files_open(struct work *work, struct err *err);
/* work->row, with the vectors that it has. */
CHECKED int encode_work_row(struct work *work, struct err *err);
/* Needs neither the model nor the items. */
CHECKED int encode_work_commit(struct work *work, struct err *err);
void encode_work_adopt(struct work *work, const struct attempt_manifest *manifest);
/* A line of NNNNN.jsonl, with its end; see line.c. */
void encode_work_line(struct buf *out, const struct encode_row *row, const struct labels *labels);

CHECKED int encode_work(struct job_env *env, struct job_result *result, struct err *err);

#endif
