/* options.h - the spec of an encode job with its defaults in place and its values checked.
 *
 * The texts live in the arena that was given. */
#ifndef ENCODE_OPTIONS_H
#define ENCODE_OPTIONS_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/mem.h"
#include "proto/schema/jobs/encode.pb-c.h"
#include "worker/jobs/encode/options_urls.h"
#include "worker/nn/dtype.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENCODE_IMAGE_KEYS_MAX 32
#define ENCODE_KEY_BYTES_MAX  32 /* of an ending */
#define ENCODE_BATCH_MAX      1024
#define ENCODE_THREADS_MAX    64
#define ENCODE_SHARD_ROWS_MAX 1000000
/* Of a shard's name, so that what is appended to it for the files fits everywhere. */
#define ENCODE_NAME_BYTES_MAX 48

enum encode_tokens_kind { ENCODE_TOKENS_NONE, ENCODE_TOKENS_ALL, ENCODE_TOKENS_WINDOWS };

struct encode_options {
    const char *input;                    /* a path */
    const char *output, *model;           /* as given */
    Vlmq__Jobs__EncodeInput input_format; /* AUTO: the planner looks */
    enum dtype dtype;                     /* of the computation: f32, bf16, f16, i8 */
    enum dtype feature_dtype;             /* of the files: f32, f16, bf16 */
    enum encode_tokens_kind tokens_kind;
    uint32_t tokens; /* ENCODE_TOKENS_WINDOWS: how many */
    int32_t hidden_state;
    bool cls, embedding, captions, npy; /* what is written */
    const char *labels;                 /* a path, or "default"; NULL: no labels */
    const char *templates;              /* a template, or a path; NULL: the default one */
    uint32_t top_k;
    const char *placeholder; /* a path; NULL: no filter */
    Vlmq__Jobs__EncodeSpace placeholder_space;
    float placeholder_threshold;
    float near_duplicates; /* 0: nothing is told */
    uint32_t batch;        /* 0: the model's choice */
    Vlmq__Jobs__EncodeCrop crop;
    bool orient, drop_alpha;
    const char *image_key[ENCODE_IMAGE_KEYS_MAX]; /* lower case, the preferred first */
    uint32_t image_keys_count;
    const char *caption_key;             /* lower case */
    uint32_t shard_rows, decode_threads; /* decode_threads 0: the worker's processors */
    size_t body_bytes;                   /* of a picture's file, at most */
    uint64_t pixels;                     /* of a picture, at most */
    struct url_options urls;             /* of a URL list */
};

/* ERR_INVALID with a sentence that names the option. */
CHECKED int encode_options_init(struct encode_options *options, struct arena *arena,
                                const uint8_t *spec, size_t bytes, struct err *err);
/* What shapes the output, as JSON without its last brace: who knows the hashes of the files that
 * are named (labels, templates, placeholder, model) adds them. Two jobs with different texts cannot
 * share an output. */
void encode_options_json(const struct encode_options *options, struct buf *out);
/* Which vectors the model must give, written or only used: for struct clip_features. */
bool encode_wants_tokens(const struct encode_options *options);
bool encode_wants_cls(const struct encode_options *options);
bool encode_wants_embedding(const struct encode_options *options);

#endif
