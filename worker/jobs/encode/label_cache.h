/* label_cache.h - the labels of a job as vectors: read, encoded once, kept on disk.
 *
 * The vector of a label is the mean of its prompts' text embeddings, brought to length 1 (Radford
 * et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021, section
 * 3.1.4). Sums are in double, in the order of the templates: the same bits whatever the batches.
 *
 * They are kept in a safetensors file in the cache folder, under a name made of everything they
 * depend on: the model's files, labels and templates, the tokenizer's style, and the arithmetic.
 * The file appears whole or not at all. One that is broken, of other sizes or of another origin
 * counts as missing and is replaced; a folder that cannot be written costs a line in the log, and
 * the encoding again next time. */
#ifndef ENCODE_LABEL_CACHE_H
#define ENCODE_LABEL_CACHE_H

#include "common/base/err.h"
#include "worker/nn/text/labels.h"
#include "worker/nn/text/tokenizer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LABEL_SET_DEFAULT         "default"
#define LABEL_TEMPLATES_BYTES_MAX ((size_t)64 * 1024) /* of a file of templates */

/* Where the set that comes with vlmq is: installed beside this program (../share/vlmq/labels), or
 * in the source tree that it was built in. ERR_NOT_FOUND: neither. */
CHECKED int label_set_path(char *path, size_t path_bytes, struct err *err);
/* Reads labels: a path, or LABEL_SET_DEFAULT. templates: one with {} in it, or the path of a text
 * file with one in each line (empty lines are passed over); NULL: the default one. Errors as in
 * labels.h. After an error labels is empty. */
CHECKED int label_set_read(struct labels *labels, const char *set, const char *templates,
                           struct err *err);

/* Texts to embeddings of length 1, as clip_encode_texts: ids [count, context], embedding
 * [count, projection]. */
typedef int label_encode(void *ctx, const uint32_t *ids, uint32_t count, float *embedding,
                         struct err *err);

struct label_cache_options {
    const char *folder;     /* created; NULL: nothing is kept */
    const char *model_hash; /* of the contents of the model's files */
    const char *arithmetic; /* dtype and what else the bits depend on: "F32", "BF16 avx512bf16" */
    const struct tokenizer *tokenizer;
    enum tokenizer_style style;
    uint32_t context, projection;
    uint32_t batch; /* prompts handed to encode at once; 0: a good number */
    label_encode *encode;
    void *ctx;
};

struct label_vectors {
    float *vector; /* [count, projection], of length 1; mem_free */
    uint32_t count;
    bool cached; /* they were in the cache */
};

/* ERR_INVALID: a prompt does not fit the context (the sentence names the label); ERR_CORRUPT: the
 * model gives no numbers for a label; ERR_LIMIT; and what encode answers. */
CHECKED int label_vectors_get(struct label_vectors *vectors, const struct labels *labels,
                              const struct label_cache_options *options, struct err *err);
void label_vectors_deinit(struct label_vectors *vectors); /* accepts a zeroed struct */

#endif
