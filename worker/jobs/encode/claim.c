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

#include <jansson.h>
#include <string.h>

/* In the models' folder, of which what begins with a dot is no model. */
#define CACHE_NAME ".labels"
/* In an output, by attempt_claim_output. */
#define CLAIM_NAME      "_vlmq/job.json"
#define CLAIM_BYTES_MAX ((size_t)256 * 1024)

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
    int rc = fs_read(&picture, options->placeholder, options->body_bytes, err);
    if (rc == ERR_LIMIT && picture.len > options->body_bytes) rc = err->code = ERR_INVALID;
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

static int claim_with(struct store *output, const struct encode_options *options,
                      const struct encode_files *files, const char *input, struct err *err)
{
    struct buf spec;
    buf_init(&spec, 0);
    encode_spec_json(options, files, &spec);
    const int rc = buf_failed(&spec)
                       ? err_set(err, ERR_LIMIT, "no memory for the spec")
                       : attempt_claim_output(output, "encode", input, buf_str(&spec), err);
    buf_deinit(&spec);
    return rc;
}

int encode_claim(struct store *output, const struct encode_options *options,
                 const struct encode_files *files, const uint8_t fingerprint[HASH_SHA256_BYTES],
                 struct err *err)
{
    char text[HASH_SHA256_TEXT];
    str_hex(text, fingerprint, HASH_SHA256_BYTES);
    return claim_with(output, options, files, text, err);
}

/* "" where there is no hash. */
static void take_hash(char dst[HASH_SHA256_TEXT], const json_t *object, const char *field)
{
    const char *text = json_string_value(json_object_get(object, field));
    if (text && strlen(text) == HASH_SHA256_TEXT - 1 &&
        strspn(text, "0123456789abcdef") == HASH_SHA256_TEXT - 1)
        (void)str_copy(dst, HASH_SHA256_TEXT, text);
}

int encode_claim_recall(struct encode_files *files, struct store *output,
                        const struct encode_options *options, const uint8_t *fingerprint,
                        struct err *err)
{
    char input[HASH_SHA256_TEXT] = "";
    struct buf text;
    *files = (struct encode_files){0};
    buf_init(&text, 0);
    int rc = store_get(output, &text, CLAIM_NAME, CLAIM_BYTES_MAX, err);
    const bool claimed = rc != ERR_NOT_FOUND;
    if (!rc) {
        json_t *claim = json_loadb(buf_str(&text), text.len, JSON_REJECT_DUPLICATES, NULL);
        const json_t *spec = json_object_get(claim, "spec");
        take_hash(input, claim, "input");
        take_hash(files->model_hash, spec, "model");
        take_hash(files->labels_hash, spec, "labels");
        take_hash(files->placeholder_hash, spec, "placeholder");
        json_decref(claim);
    }
    buf_deinit(&text);
    if (fingerprint) str_hex(input, fingerprint, HASH_SHA256_BYTES);
    if (!claimed) return 0;
    return rc ? rc : claim_with(output, options, files, input, err);
}

int encode_claim_fingerprint(uint8_t fingerprint[HASH_SHA256_BYTES], struct store *input,
                             struct err *err)
{
    struct buf claim;
    buf_init(&claim, 0);
    const int rc = store_get(input, &claim, CLAIM_NAME, CLAIM_BYTES_MAX, err);
    if (!rc) hash_sha256(fingerprint, buf_str(&claim), claim.len);
    buf_deinit(&claim);
    return rc;
}
