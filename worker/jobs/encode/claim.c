/* claim.c - see claim.h. */
#include "worker/jobs/encode/claim.h"

#include "common/base/fs.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/store/attempt.h"
#include "common/store/models.h"
#include "worker/jobs/encode/label_cache.h"
#include "worker/nn/load/config.h"
#include "worker/nn/text/labels.h"

#include <string.h>

/* In the models' folder, of which what begins with a dot is no model. */
#define CACHE_NAME ".labels"

/* A worker without such a folder keeps nothing. */
static void find_cache(struct encode_files *files)
{
    char models[PATH_MAX];
    struct err err;
    if (models_folder(models, &err) ||
        !fs_join(files->cache_folder, sizeof files->cache_folder, models, CACHE_NAME))
        files->cache_folder[0] = 0;
}

static int look_at_model(struct encode_files *files, const struct encode_options *options,
                         struct err *err)
{
    struct clip_config config = {0};
    char path[PATH_MAX];
    int rc = model_find(files->model_folder, options->model, err);
    if (!rc && !fs_join(path, sizeof path, files->model_folder, "config.json"))
        rc = err_set(err, ERR_INVALID, "the path is too long");
    if (!rc && !fs_exists(path))
        rc = err_set(err, ERR_NOT_FOUND, "%.150s has no config.json: it is no model's folder",
                     files->model_folder);
    /* Before its gigabytes are read. No other try finds other files. */
    if (!rc) rc = clip_config_read(&config, path, err);
    if (rc == ERR_CORRUPT) rc = err_set(err, ERR_INVALID, "%.200s is no JSON object", path);
    if (!rc && !config.has_vision)
        rc = err_set(err, ERR_INVALID, "%.150s has no vision tower", files->model_folder);
    if (!rc) rc = model_hash(files->model_hash, files->model_folder, err);
    return rc ? err_wrap(err, "--model") : 0;
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
    find_cache(files);
    int rc = look_at_labels(files, options, err);
    if (!rc) rc = look_at_placeholder(files, options, err);
    return rc ? rc : look_at_model(files, options, err);
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
