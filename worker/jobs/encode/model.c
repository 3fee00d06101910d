/* model.c - see model.h. */
#include "worker/jobs/encode/model.h"

#include "common/base/fs.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/store/models.h"

#include <stdio.h>
#include <string.h>

#define PROMPTS_AT_ONCE 64 /* of labels; a stop waits for them */

static bool wants_text(const struct encode_options *options)
{
    return options->labels || options->captions;
}

/* What the job asks for and this model has not: without its projection it gives no embeddings. */
static int check_shape(const struct encode_model *model, const struct encode_options *options,
                       struct err *err)
{
    if (model->shape.projection || (!encode_wants_embedding(options) && !wants_text(options)))
        return 0;
    return err_set(err, ERR_INVALID,
                   "the model has no projection, so it gives no embeddings: --embedding, "
                   "--captions, --labels and --near-duplicates need them; --cls and --tokens do "
                   "not");
}

/* On every CPU the bits are the same, but for what multiplies bf16 by itself. */
static void name_arithmetic(struct encode_model *model, enum dtype dtype)
{
    const struct backend *backend = model->backend;
    const bool same = str_eq(backend->driver->name, "cpu") &&
                      (dtype != DTYPE_BF16 || !strstr(backend->arithmetic, "bf16"));
    (void)snprintf(model->arithmetic, sizeof model->arithmetic, "%s%s%s", dtype_name(dtype),
                   same ? "" : " ", same ? "" : backend->arithmetic);
}

static int load(struct encode_model *model, const struct job_env *env,
                const struct encode_options *options, const struct encode_files *files,
                struct err *err)
{
    const struct clip_options clip = {.dtype = options->dtype,
                                      .vision = true,
                                      .text = wants_text(options),
                                      .batch_max = options->batch,
                                      .hidden_state = options->hidden_state,
                                      .tokens = options->tokens,
                                      .no_tokens = !encode_wants_tokens(options)};
    int rc = backend_open(&model->backend, env->device, env->cpus, err);
    if (!rc) rc = clip_load(&model->clip, model->backend, files->model_folder, &clip, err);
    if (!rc) {
        const struct clip_config *config = clip_config(model->clip);
        model->shape = clip_shape(model->clip);
        if (model->shape.batch_divisor > 1)
            log_warn("encode.batch", "device=%s pictures=%u msg=%s", env->device,
                     model->shape.images_batch,
                     log_quote("the device's memory is too small for larger passes"));
        model->grid = (uint32_t)(config->vision.image_size / config->vision.patch_size);
        name_arithmetic(model, options->dtype);
        rc = check_shape(model, options, err);
    }
    const bool openai = options->crop == VLMQ__JOBS__ENCODE_CROP__ENCODE_CROP_OPENAI;
    if (!rc)
        rc = preprocess_init(&model->preprocess, clip_preprocessor(model->clip),
                             model->shape.image_side,
                             openai ? PREPROCESS_CROP_OPENAI : PREPROCESS_CROP_HF, err);
    if (!rc && wants_text(options))
        rc = tokenizer_open(&model->tokenizer, files->model_folder, err);
    return rc ? err_wrap(err, "--model %.80s", options->model) : 0;
}

/* The files were hashed before they were read: what changed in between is not what the hash says,
 * or could not be read for that. */
static int check_hash(const struct encode_options *options, const struct encode_files *files,
                      int rc, struct err *err)
{
    char hash[HASH_SHA256_TEXT];
    struct err why;
    const int hashed = model_hash(hash, files->model_folder, &why);
    if (!hashed && str_eq(hash, files->model_hash)) return rc;
    if (hashed && hashed != ERR_NOT_FOUND)
        return rc ? rc : err_set(err, why.code, "--model %.80s: %s", options->model, why.msg);
    return err_set(err, ERR_UNAVAILABLE, "--model %.80s changed while it was loaded",
                   options->model);
}

static int load_files(struct encode_model *model, const struct job_env *env,
                      const struct encode_options *options, const struct encode_files *files,
                      struct err *err)
{
    return check_hash(options, files, load(model, env, options, files, err), err);
}

static void drop_labels(struct encode_model *model)
{
    struct err ignored;
    if (model->labels_count) (void)!clip_labels(model->clip, NULL, 0, &ignored);
    labels_deinit(&model->labels);
    model->labels_count = model->top_k = 0;
    model->labels = (struct labels){0};
    model->labels_key[0] = 0;
}

static void drop_placeholder(struct encode_model *model)
{
    placeholder_deinit(&model->placeholder);
    model->placeholder = (struct placeholder){0};
    model->placeholder_key[0] = 0;
}

static void model_free(void *object)
{
    struct encode_model *model = object;
    if (!model) return;
    drop_labels(model);
    drop_placeholder(model);
    tokenizer_free(model->tokenizer);
    clip_free(model->clip);
    backend_close(model->backend);
    mem_free(model);
}

/* ---- labels ---- */

/* Thousands of prompts take minutes. */
struct prompts {
    const struct encode_model *model;
    const struct job_env *env;
    int64_t encoded;
};

static int encode_prompts(void *ctx, const uint32_t *ids, uint32_t count, float *embedding,
                          struct err *err)
{
    struct prompts *prompts = ctx;
    struct job_progress progress = {.stages_count = 1};
    progress.stage[0] = (struct job_stage){.name = "labels", .finished = prompts->encoded};
    job_progress_set(prompts->env, &progress);
    if (job_stopping(prompts->env) > JOB_STOP_DRAIN)
        return err_set(err, ERR_CANCELLED, "encoding the labels was stopped");
    prompts->encoded += count;
    return clip_encode_texts(prompts->model->clip, ids, count, embedding, err);
}

static int give_labels(struct encode_model *model, const struct job_env *env,
                       const struct encode_files *files, struct err *err)
{
    struct prompts prompts = {.model = model, .env = env};
    struct label_vectors vectors = {0};
    const struct label_cache_options cache = {.folder = files->cache_folder[0] ? files->cache_folder
                                                                               : NULL,
                                              .model_hash = files->model_hash,
                                              .arithmetic = model->arithmetic,
                                              .tokenizer = model->tokenizer,
                                              .style = TOKENIZER_HF,
                                              .context = model->shape.text_tokens,
                                              .projection = model->shape.projection,
                                              .batch = PROMPTS_AT_ONCE,
                                              .encode = encode_prompts,
                                              .ctx = &prompts};
    int rc = label_vectors_get(&vectors, &model->labels, &cache, err);
    if (!rc) rc = clip_labels(model->clip, vectors.vector, vectors.count, err);
    if (!rc) model->labels_count = vectors.count;
    label_vectors_deinit(&vectors);
    return rc;
}

/* More than there are labels: all of them. */
static void choose_top_k(struct encode_model *model, const struct encode_options *options)
{
    model->top_k = options->top_k < model->labels_count ? options->top_k : model->labels_count;
}

static int get_labels(struct encode_model *model, const struct job_env *env,
                      const struct encode_options *options, const struct encode_files *files,
                      struct err *err)
{
    char hash[HASH_SHA256_TEXT];
    if (!options->labels) {
        drop_labels(model);
        return 0;
    }
    if (model->labels_count && str_eq(model->labels_key, files->labels_hash)) {
        choose_top_k(model, options);
        return 0;
    }
    drop_labels(model);
    int rc = label_set_read(&model->labels, options->labels, options->templates, err);
    if (rc) return err_wrap(err, "--labels");
    labels_hash(hash, &model->labels);
    if (!str_eq(hash, files->labels_hash))
        rc = err_set(err, ERR_INVALID, "the label file changed while it was read");
    if (!rc) rc = give_labels(model, env, files, err);
    if (rc) {
        drop_labels(model);
        return err_wrap(err, "--labels");
    }
    choose_top_k(model, options);
    (void)str_copy(model->labels_key, sizeof model->labels_key, hash);
    return 0;
}

/* ---- the reference picture ---- */

struct decode_options encode_decode_options(const struct encode_options *options)
{
    struct decode_options decode = decode_options_default();
    decode.pixels_max = options->pixels;
    decode.ignore_orientation = !options->orient;
    decode.alpha = options->drop_alpha ? DECODE_ALPHA_DROP : DECODE_ALPHA_BLEND;
    return decode;
}

static int read_reference(struct encode_model *model, const struct encode_options *options,
                          const struct encode_files *files, uint8_t *pixels, struct err *err)
{
    char hash[HASH_SHA256_TEXT];
    struct buf file;
    struct image image = {0};
    struct decode_info info;
    const struct decode_options decoding = encode_decode_options(options);
    buf_init(&file, 0);
    int rc = fs_read(&file, options->placeholder, options->body_bytes, err);
    if (!rc) {
        hash_sha256_text(hash, buf_str(&file), file.len);
        if (!str_eq(hash, files->placeholder_hash))
            rc = err_set(err, ERR_INVALID, "the picture changed while it was read");
    }
    if (!rc) {
        const enum decode_status status =
            decode(&image, &info, (const uint8_t *)buf_str(&file), file.len, &decoding);
        if (status != DECODE_OK)
            rc = err_set(err, status == DECODE_NO_MEMORY ? ERR_LIMIT : ERR_INVALID,
                         "%.120s cannot be decoded: %s", options->placeholder,
                         decode_status_name(status));
    }
    if (!rc) rc = preprocess_image(pixels, &model->preprocess, &image, err);
    image_deinit(&image);
    buf_deinit(&file);
    return rc;
}

static int encode_reference(struct encode_model *model, const struct encode_options *options,
                            const uint8_t *pixels, struct err *err)
{
    const bool cls = options->placeholder_space == VLMQ__JOBS__ENCODE_SPACE__ENCODE_SPACE_CLS;
    const uint32_t columns = cls ? model->shape.hidden : model->shape.projection;
    float *vector = mem_try(columns * sizeof *vector);
    if (!vector) return err_set(err, ERR_LIMIT, "no memory for a vector");
    const struct clip_features features = {.cls = cls ? vector : NULL,
                                           .embedding = cls ? NULL : vector};
    int rc = clip_encode_images(model->clip, pixels, 1, &features, err);
    if (!rc)
        rc = placeholder_init(&model->placeholder, vector, 1, columns,
                              options->placeholder_threshold, err);
    mem_free(vector);
    return rc;
}

static int get_placeholder(struct encode_model *model, const struct encode_options *options,
                           const struct encode_files *files, struct err *err)
{
    char key[sizeof model->placeholder_key];
    if (!options->placeholder) {
        drop_placeholder(model);
        return 0;
    }
    (void)snprintf(key, sizeof key, "%s %d%d%d%d", files->placeholder_hash,
                   (int)options->placeholder_space, (int)options->crop, options->orient,
                   options->drop_alpha);
    if (str_eq(model->placeholder_key, key)) {
        model->placeholder.threshold = options->placeholder_threshold;
        return 0;
    }
    drop_placeholder(model);
    const size_t side = model->shape.image_side;
    uint8_t *pixels = mem_try(side * side * 3);
    int rc = pixels ? read_reference(model, options, files, pixels, err)
                    : err_set(err, ERR_LIMIT, "no memory for a picture");
    if (!rc) rc = encode_reference(model, options, pixels, err);
    mem_free(pixels);
    if (rc) return err_wrap(err, "--placeholder");
    (void)str_copy(model->placeholder_key, sizeof model->placeholder_key, key);
    return 0;
}

/* ---- */

/* All that makes two models the same, besides the worker and its device. */
static void make_key(char key[ENCODE_MODEL_KEY_BYTES], const struct encode_options *options,
                     const struct encode_files *files)
{
    (void)snprintf(key, ENCODE_MODEL_KEY_BYTES,
                   "clip %s %s state=%d tokens=%d,%u text=%d batch=%u crop=%d", files->model_hash,
                   dtype_name(options->dtype), (int)options->hidden_state,
                   encode_wants_tokens(options), options->tokens, wants_text(options),
                   options->batch, (int)options->crop);
}

enum job_device encode_model_device(const struct encode_model *model)
{
    if (!model->backend || !model->backend->err.code) return JOB_DEVICE_FINE;
    return model->backend->err.code == ERR_UNAVAILABLE ? JOB_DEVICE_POISONED : JOB_DEVICE_FAILED;
}

static struct encode_model *new_model(const char *key)
{
    struct encode_model *model = mem_new(sizeof *model);
    (void)str_copy(model->key, sizeof model->key, key);
    return model;
}

/* Or has it too little for passes of the size that is best. */
static bool lacks_memory(const struct encode_model *model, int rc)
{
    return rc == ERR_LIMIT || (!rc && model->shape.batch_divisor > 1);
}

int encode_model_get(struct encode_model **model, enum job_device *device,
                     const struct job_env *env, const struct encode_options *options,
                     const struct encode_files *files, struct err *err)
{
    char key[ENCODE_MODEL_KEY_BYTES];
    make_key(key, options, files);
    int rc = 0;
    struct encode_model *found = job_warm_take(env, key);
    if (!found) {
        found = new_model(key);
        rc = load_files(found, env, options, files, err);
        if (lacks_memory(found, rc) && job_warm_drop(env)) {
            model_free(found);
            found = new_model(key);
            rc = load_files(found, env, options, files, err);
        }
    }
    if (!rc) rc = get_labels(found, env, options, files, err);
    if (!rc) rc = get_placeholder(found, options, files, err);
    /* No other try finds other files. */
    if (rc == ERR_CORRUPT) rc = err->code = ERR_INVALID;
    if (rc) {
        *device = encode_model_device(found);
        model_free(found);
    } else {
        *model = found;
    }
    return rc;
}

void encode_model_give(struct encode_model *model, const struct job_env *env,
                       const struct encode_options *options)
{
    if (!model) return;
    if (model->backend->err.code)
        model_free(model);
    else
        job_warm_keep(env, model->key, options->model, model,
                      model->shape.weight_bytes + model->shape.scratch_bytes, model_free);
}
