/* claim.c - see claim.h. */
#include "worker/jobs/encode/claim.h"

#include "common/base/fs.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/store/attempt.h"
#include "worker/jobs/encode/label_cache.h"
#include "worker/nn/text/labels.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK_BYTES ((size_t)1024 * 1024)

/* What clip_load and the tokenizer read, if it is there; besides them, the parts of a model in
 * several files. */
static const char *const model_files[] = {"config.json",
                                          "merges.txt",
                                          "model.safetensors",
                                          "model.safetensors.index.json",
                                          "preprocessor_config.json",
                                          "tokenizer.json",
                                          "vocab.json"};

struct model_hash {
    const char *folder;
    struct hash *hash;
    char *block;
};

static bool is_model_file(const char *name)
{
    for (size_t i = 0; i < sizeof model_files / sizeof model_files[0]; i++)
        if (str_eq(name, model_files[i])) return true;
    return str_has_prefix(name, "model-") && str_has_suffix(name, ".safetensors");
}

/* Name, size and bytes of one file. */
static int hash_file(void *ctx, const char *name, struct err *err)
{
    struct model_hash *model = ctx;
    char path[PATH_MAX], line[320];
    struct stat info;
    if (!is_model_file(name)) return 0;
    if (!fs_join(path, sizeof path, model->folder, name))
        return err_set(err, ERR_INVALID, "--model: a path in %.80s is too long", model->folder);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return err_errno(err, errno, "open %s", path);
    int rc = fstat(fd, &info) ? err_errno(err, errno, "look at %s", path) : 0;
    const int bytes = snprintf(line, sizeof line, "%.255s %" PRId64 "\n", name,
                               rc ? (int64_t)0 : (int64_t)info.st_size);
    hash_add(model->hash, line, (size_t)bytes);
    for (ssize_t got = 1; !rc && got != 0;) {
        got = read(fd, model->block, BLOCK_BYTES);
        if (got > 0) hash_add(model->hash, model->block, (size_t)got);
        if (got < 0 && errno != EINTR) rc = err_errno(err, errno, "read %s", path);
    }
    (void)close(fd);
    return rc;
}

static int hash_model(char dst[HASH_SHA256_TEXT], const char *folder, struct err *err)
{
    uint8_t digest[HASH_SHA256_BYTES];
    struct model_hash model = {.folder = folder, .hash = hash_new(), .block = mem_new(BLOCK_BYTES)};
    const int rc = fs_list(folder, hash_file, &model, err);
    hash_end(model.hash, digest);
    str_hex(dst, digest, sizeof digest);
    hash_free(model.hash);
    mem_free(model.block);
    return rc;
}

static int find_model(struct encode_files *files, const struct encode_options *options,
                      struct err *err)
{
    char config[PATH_MAX];
    if (!str_copy(files->model_folder, sizeof files->model_folder, options->model) ||
        !fs_join(config, sizeof config, files->model_folder, "config.json"))
        return err_set(err, ERR_INVALID, "--model: the path is too long");
    if (fs_exists(config)) return 0;
    return err_set(err, ERR_NOT_FOUND,
                   "--model: %.120s is no folder with a model's files (it has no config.json)",
                   options->model);
}

static int look_at_labels(struct encode_files *files, const struct encode_options *options,
                          struct err *err)
{
    struct labels labels;
    if (!options->labels) return 0;
    const int rc = label_set_read(&labels, options->labels, options->templates, err);
    if (rc) return err_wrap(err, "--labels");
    labels_hash(files->labels_hash, &labels);
    labels_deinit(&labels);
    return 0;
}

static int look_at_placeholder(struct encode_files *files, const struct encode_options *options,
                               struct err *err)
{
    struct buf picture;
    if (!options->placeholder) return 0;
    buf_init(&picture, 0);
    const int rc = fs_read(&picture, options->placeholder, options->body_bytes, err);
    if (!rc) hash_sha256_text(files->placeholder_hash, buf_str(&picture), picture.len);
    buf_deinit(&picture);
    return rc ? err_wrap(err, "--placeholder") : 0;
}

int encode_files_init(struct encode_files *files, const struct encode_options *options,
                      struct err *err)
{
    *files = (struct encode_files){0};
    int rc = find_model(files, options, err);
    if (!rc) rc = look_at_labels(files, options, err);
    if (!rc) rc = look_at_placeholder(files, options, err);
    if (!rc) rc = hash_model(files->model_hash, files->model_folder, err);
    return rc;
}

void encode_spec_json(const struct encode_options *options, const struct encode_files *files,
                      struct buf *out)
{
    encode_options_json(options, out);
    buf_printf(out, ",\"model\":\"%s\"", files->model_hash);
    if (options->labels) buf_printf(out, ",\"labels\":\"%s\"", files->labels_hash);
    if (options->placeholder) buf_printf(out, ",\"placeholder\":\"%s\"", files->placeholder_hash);
    buf_byte(out, '}');
}

int encode_claim(struct store *output, const struct encode_options *options,
                 const struct encode_files *files, const uint8_t fingerprint[HASH_SHA256_BYTES],
                 struct err *err)
{
    struct buf spec;
    char text[HASH_SHA256_TEXT];
    str_hex(text, fingerprint, HASH_SHA256_BYTES);
    buf_init(&spec, 0);
    encode_spec_json(options, files, &spec);
    const int rc = buf_failed(&spec)
                       ? err_set(err, ERR_LIMIT, "no memory for the spec")
                       : attempt_claim_output(output, "encode", text, buf_str(&spec), err);
    buf_deinit(&spec);
    return rc;
}
