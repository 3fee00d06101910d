/* features.h - the feature files of a shard: rows of named tensors that come one batch after the
 * other, and whose number is known at the end.
 *
 * Each tensor has a scratch file without a name, to which its rows go in the type of the output;
 * at the end they are put together into one safetensors file, tensor by tensor as its writer asks
 * for them. Memory: FEATURES_BLOCK_BYTES twice, whatever the rows. Disk: the rows twice, until the
 * struct is freed. The bytes depend on the rows, their order and the options alone.
 *
 * The tensors of the encode kind, each with a row for every picture that was encoded:
 *   tokens             [rows, tokens, hidden]  patch tokens, maybe means over windows
 *   cls                [rows, hidden]          the raw CLS token behind the last layer
 *   embedding          [rows, projection]      of the picture, of length 1
 *   caption_embedding  [rows, projection]      of its caption, of length 1; zeros without one
 *
 * The same tensor as a file for numpy: format version 1.0 of its documentation (numpy.lib.format),
 * f16 or f32, C order. embedding-reader, and with it autofaiss and clip-retrieval's index, read
 * those of two dimensions.
 *
 * Errors: ERR_FULL, a full disk; ERR_LIMIT, no memory; others of the file system. After an error
 * the struct can only be freed. One thread at a time. */
#ifndef ENCODE_FEATURES_H
#define ENCODE_FEATURES_H

#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/store/attempt.h"
#include "worker/nn/dtype.h"
#include "worker/nn/load/safetensors.h"

#include <stdint.h>

#define FEATURES_COLUMNS_MAX    8
#define FEATURES_ROW_RANK_MAX   2
#define FEATURES_BLOCK_BYTES    ((size_t)1024 * 1024)
#define FEATURES_FORMAT_VERSION "1"

struct features_column {
    const char *name;                     /* of the tensor; copied */
    uint32_t rank;                        /* of a row, 0: one number */
    int64_t shape[FEATURES_ROW_RANK_MAX]; /* of a row; each at least 1 */
};

struct features_options {
    const char *scratch_folder; /* on a disk with room, as attempt_scratch makes it */
    const struct features_column *column;
    uint32_t columns_count; /* at least 1 */
    enum dtype dtype;       /* f32, f16 or bf16 */
};

struct features;

/* ERR_INVALID: another type, or a row that is too large. */
CHECKED int features_new(struct features **features, const struct features_options *options,
                         struct err *err);
void features_free(struct features *features); /* accepts NULL */
/* Appends rows to every tensor; data[i]: [count, shape of column i], in the order of the options.
 */
CHECKED int features_add(struct features *features, const float *const *data, uint32_t count,
                         struct err *err);
int64_t features_rows(const struct features *features);

/* The safetensors file; pairs: its metadata. */
CHECKED int features_write(struct features *features, const struct safetensors_pair *pairs,
                           uint32_t pairs_count, safetensors_sink *sink, void *ctx,
                           struct err *err);
/* The .npy file of one tensor; dtype: f32 or f16, whatever the rows are kept in. */
CHECKED int features_write_npy(struct features *features, uint32_t column, enum dtype dtype,
                               safetensors_sink *sink, void *ctx, struct err *err);
/* The same as files that the attempt will publish, with their hashes. */
CHECKED int features_publish(struct features *features, struct attempt *attempt, const char *name,
                             const struct safetensors_pair *pairs, uint32_t pairs_count,
                             struct err *err);
CHECKED int features_publish_npy(struct features *features, struct attempt *attempt,
                                 const char *name, uint32_t column, enum dtype dtype,
                                 struct err *err);

/* What a reader has to know of how the rows were made; it stands in the file's metadata, each field
 * under its own name, with format_version and vlmq_version. NULL or "": left out. */
struct features_about {
    const char *model, *model_hash; /* as it was asked for; of its files' contents */
    const char *arithmetic;         /* dtype of the weights, and what else the bits depend on */
    const char *preprocess;         /* how a picture became pixels */
    bool has_tokens;                /* then: */
    int32_t hidden_state;           /* -1, -2, … as in struct clip_options */
    uint32_t grid, window;          /* cells of a side before pooling; those of a window, 1: none */
};
#define FEATURES_PAIRS_MAX 16
/* Fills pair with texts in the arena; how many. */
uint32_t features_pairs(struct safetensors_pair pair[FEATURES_PAIRS_MAX], struct arena *arena,
                        const struct features_about *about, enum dtype dtype);

#endif
