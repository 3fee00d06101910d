/* label_cache.c - labels to vectors, by way of prompts, and their file. */
#include "worker/jobs/encode/label_cache.h"

#include "common/base/check.h"
#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "worker/nn/load/safetensors.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BATCH_DEFAULT 256
#define TENSOR_NAME   "labels"
#define KEY_NAME      "key"
#define LENGTH_SLACK  1e-3 /* that a cached vector's length may be off 1 */
#define PARENTS_MAX   4    /* folders from a program up to its source tree */

int label_set_path(char *path, size_t path_bytes, struct err *err)
{
    char folder[PATH_MAX];
    const ssize_t bytes = readlink("/proc/self/exe", folder, sizeof folder - 1);
    if (bytes < 0) return err_errno(err, errno, "find this program");
    folder[bytes] = 0;
    for (int up = 0; up < PARENTS_MAX; up++) {
        char *slash = strrchr(folder, '/');
        if (!slash) break;
        *slash = 0;
        if (up == 1 && fs_join(path, path_bytes, folder, "share/vlmq/labels/default.json") &&
            fs_exists(path))
            return 0;
        if (fs_join(path, path_bytes, folder, "deploy/labels/default.json") && fs_exists(path))
            return 0;
    }
    return err_set(err, ERR_NOT_FOUND,
                   "the default labels are not installed beside this program "
                   "(../share/vlmq/labels/default.json); name a file with --labels");
}

static int read_templates(struct labels *labels, const char *path, struct err *err)
{
    const char *line[LABELS_TEMPLATES_MAX];
    struct buf text;
    uint32_t count = 0;
    char *rest = NULL;
    buf_init(&text, LABEL_TEMPLATES_BYTES_MAX);
    int rc = fs_read(&text, path, LABEL_TEMPLATES_BYTES_MAX, err);
    /* A full buffer: the file is too large; else memory ran out. */
    if (rc == ERR_LIMIT && text.len == LABEL_TEMPLATES_BYTES_MAX) rc = err->code = ERR_INVALID;
    if (!rc && text.len && strlen(text.data) != text.len)
        rc = err_set(err, ERR_INVALID, "%.100s is no text: it has a zero byte", path);
    for (char *at = rc || !text.len ? NULL : strtok_r(text.data, "\r\n", &rest); at && !rc;
         at = strtok_r(NULL, "\r\n", &rest)) {
        if (count == LABELS_TEMPLATES_MAX)
            rc = err_set(err, ERR_INVALID, "%.100s has more than %d templates", path,
                         LABELS_TEMPLATES_MAX);
        else
            line[count++] = at;
    }
    if (!rc && count == 0)
        rc = err_set(err, ERR_INVALID,
                     "%.100s has no template: write one in each line, with {} "
                     "where the description goes",
                     path);
    if (!rc) rc = labels_use_templates(labels, line, count, err);
    buf_deinit(&text);
    return rc;
}

int label_set_read(struct labels *labels, const char *set, const char *templates, struct err *err)
{
    char path[PATH_MAX];
    memset(labels, 0, sizeof *labels);
    int rc = 0;
    if (str_eq(set, LABEL_SET_DEFAULT))
        rc = label_set_path(path, sizeof path, err);
    else if (!str_copy(path, sizeof path, set))
        rc = err_set(err, ERR_INVALID, "the path %.80s is too long", set);
    if (!rc) rc = labels_read(labels, path, err);
    if (!rc && templates)
        rc = strstr(templates, "{}") ? labels_use_templates(labels, &templates, 1, err)
                                     : read_templates(labels, templates, err);
    if (rc) labels_deinit(labels);
    if (rc) memset(labels, 0, sizeof *labels);
    return rc;
}

/* Everything that the vectors depend on. */
static void make_key(char key[HASH_SHA256_TEXT], const struct labels *labels,
                     const struct label_cache_options *options)
{
    char texts[HASH_SHA256_TEXT], sizes[64];
    uint8_t digest[HASH_SHA256_BYTES];
    labels_hash(texts, labels);
    (void)snprintf(sizes, sizeof sizes, "%s %u %u",
                   options->style == TOKENIZER_OPENAI ? "openai" : "hf", options->context,
                   options->projection);
    const char *const part[] = {"vlmq labels 1", options->model_hash, texts, options->arithmetic,
                                sizes};
    struct hash *hash = hash_new();
    for (size_t i = 0; i < sizeof part / sizeof part[0]; i++)
        hash_add(hash, part[i], strlen(part[i]) + 1);
    hash_end(hash, digest);
    hash_free(hash);
    str_hex(key, digest, sizeof digest);
}

static bool vectors_valid(const struct label_vectors *vectors, uint32_t projection)
{
    for (uint32_t i = 0; i < vectors->count; i++) {
        const float *row = vectors->vector + (size_t)i * projection;
        double sum = 0;
        for (uint32_t k = 0; k < projection; k++) sum += (double)row[k] * (double)row[k];
        if (!(fabs(sum - 1) < LENGTH_SLACK)) return false; /* also NaN */
    }
    return true;
}

/* false: there is none that can be used. */
static bool read_cached(struct label_vectors *vectors, const char *path, const char *key,
                        uint32_t projection)
{
    const int64_t shape[] = {vectors->count, projection};
    struct safetensors *file = NULL;
    struct err err = {0};
    if (!fs_exists(path)) return false;
    int rc = safetensors_open(&file, path, &err);
    if (!rc) {
        const struct safetensors_entry *entry = safetensors_find(file, TENSOR_NAME);
        if (!str_eq(safetensors_metadata(file, KEY_NAME), key) || !entry ||
            entry->tensor.dtype != DTYPE_F32 || !tensor_has_shape(&entry->tensor, shape, 2))
            rc = err_set(&err, ERR_CORRUPT, "%.150s does not hold these labels", path);
        else
            rc = safetensors_read(vectors->vector, file, entry, &err);
    }
    safetensors_close(file);
    if (!rc && !vectors_valid(vectors, projection))
        rc = err_set(&err, ERR_CORRUPT, "%.150s: the vectors are not of length 1", path);
    if (rc) log_warn("labels.cache", "code=%s msg=%s", err_name(err.code), log_quote(err.msg));
    return rc == 0;
}

static void write_cache(const struct label_vectors *vectors, const char *folder, const char *path,
                        const char *key, uint32_t projection)
{
    const struct safetensors_pair pair[] = {{KEY_NAME, key}};
    const int64_t shape[] = {vectors->count, projection};
    struct safetensors_entry entry = {.name = TENSOR_NAME};
    struct err err;
    int rc = fs_mkdirs(folder, &err);
    if (!rc) rc = tensor_init(&entry.tensor, DTYPE_F32, shape, 2, vectors->vector, &err);
    if (!rc) rc = safetensors_save(path, &entry, 1, pair, 1, NULL, NULL, &err);
    if (rc) log_warn("labels.cache", "code=%s msg=%s", err_name(err.code), log_quote(err.msg));
}

/* Prompts on their way: those of a label may stand in two batches. */
struct encoding {
    const struct label_cache_options *options;
    const struct labels *labels;
    struct label_vectors *vectors;
    uint32_t *ids;    /* [batch, context] */
    float *embedding; /* [batch, projection] */
    double *sum;      /* [projection], of the label at hand */
    struct buf prompt;
};

static int add_ids(struct encoding *encoding, uint32_t *ids, uint32_t label, uint32_t template,
                   struct err *err)
{
    const struct tokenizer_options options = {.style = encoding->options->style,
                                              .context = encoding->options->context,
                                              .pad_id = TOKENIZER_PAD_DEFAULT};
    uint32_t count;
    buf_clear(&encoding->prompt);
    labels_prompt(&encoding->prompt, encoding->labels, label, template);
    if (buf_failed(&encoding->prompt)) return err_set(err, ERR_LIMIT, "no memory for a prompt");
    const int rc =
        tokenizer_encode(encoding->options->tokenizer, ids, &count, buf_str(&encoding->prompt),
                         encoding->prompt.len, &options, err);
    return rc ? err_wrap(err, "label \"%s\"; shorten its description or the template",
                         encoding->labels->label[label].name)
              : 0;
}

static int end_label(struct encoding *encoding, uint32_t label, struct err *err)
{
    const uint32_t projection = encoding->options->projection;
    float *vector = encoding->vectors->vector + (size_t)label * projection;
    double squares = 0;
    for (uint32_t k = 0; k < projection; k++) squares += encoding->sum[k] * encoding->sum[k];
    if (!(squares > 1e-12) || !(squares < 1e30)) /* also NaN */
        return err_set(err, ERR_CORRUPT,
                       "the model gives no direction for the label \"%s\": are its weights whole?",
                       encoding->labels->label[label].name);
    const double length = sqrt(squares);
    for (uint32_t k = 0; k < projection; k++) vector[k] = (float)(encoding->sum[k] / length);
    memset(encoding->sum, 0, projection * sizeof *encoding->sum);
    return 0;
}

/* Prompts first … first + count, counted label by label. */
static int encode_some(struct encoding *encoding, uint32_t first, uint32_t count, struct err *err)
{
    const struct label_cache_options *options = encoding->options;
    const uint32_t templates = encoding->labels->templates_count;
    int rc = 0;
    for (uint32_t i = 0; i < count && !rc; i++)
        rc = add_ids(encoding, encoding->ids + (size_t)i * options->context,
                     (first + i) / templates, (first + i) % templates, err);
    if (!rc) rc = options->encode(options->ctx, encoding->ids, count, encoding->embedding, err);
    for (uint32_t i = 0; i < count && !rc; i++) {
        const float *embedding = encoding->embedding + (size_t)i * options->projection;
        for (uint32_t k = 0; k < options->projection; k++) encoding->sum[k] += (double)embedding[k];
        if ((first + i + 1) % templates == 0)
            rc = end_label(encoding, (first + i) / templates, err);
    }
    return rc;
}

static int encode_all(struct label_vectors *vectors, const struct labels *labels,
                      const struct label_cache_options *options, struct err *err)
{
    const uint32_t prompts = labels->labels_count * labels->templates_count;
    const uint32_t batch = options->batch ? options->batch : BATCH_DEFAULT;
    struct encoding encoding = {
        .options = options,
        .labels = labels,
        .vectors = vectors,
        .ids = mem_try((size_t)batch * options->context * sizeof(uint32_t)),
        .embedding = mem_try((size_t)batch * options->projection * sizeof(float)),
        .sum = mem_try(options->projection * sizeof(double)),
    };
    int rc = 0;
    buf_init(&encoding.prompt, LABELS_PROMPT_BYTES_MAX);
    if (!encoding.ids || !encoding.embedding || !encoding.sum)
        rc = err_set(err, ERR_LIMIT, "no memory for %u prompts at once", batch);
    for (uint32_t at = 0; at < prompts && !rc; at += batch)
        rc = encode_some(&encoding, at, prompts - at < batch ? prompts - at : batch, err);
    mem_free(encoding.ids);
    mem_free(encoding.embedding);
    mem_free(encoding.sum);
    buf_deinit(&encoding.prompt);
    return rc;
}

int label_vectors_get(struct label_vectors *vectors, const struct labels *labels,
                      const struct label_cache_options *options, struct err *err)
{
    char key[HASH_SHA256_TEXT], name[HASH_SHA256_TEXT + 16], path[PATH_MAX];
    CHECK(labels->labels_count > 0 && options->projection > 0 && options->context >= 2);
    *vectors = (struct label_vectors){.count = labels->labels_count};
    vectors->vector = mem_try((size_t)vectors->count * options->projection * sizeof(float));
    if (!vectors->vector) return err_set(err, ERR_LIMIT, "no memory for %u labels", vectors->count);
    make_key(key, labels, options);
    (void)snprintf(name, sizeof name, "%.32s.safetensors", key);
    const bool kept = options->folder && fs_join(path, sizeof path, options->folder, name);
    vectors->cached = kept && read_cached(vectors, path, key, options->projection);
    if (vectors->cached) return 0;
    const int rc = encode_all(vectors, labels, options, err);
    if (rc) {
        label_vectors_deinit(vectors);
        return rc;
    }
    if (kept) write_cache(vectors, options->folder, path, key, options->projection);
    return 0;
}

void label_vectors_deinit(struct label_vectors *vectors)
{
    mem_free(vectors->vector);
    *vectors = (struct label_vectors){0};
}
