/* clip.c - loads a model's files: configuration, then weights, then the memory of a pass. */
#include "worker/nn/models/clip/clip.h"

#include "common/base/check.h"
#include "common/base/fs.h"
#include "worker/nn/models/clip/inside.h"
#include "worker/nn/ops.h"

#include <limits.h>
#include <math.h>

#define CONFIG        "config.json"
#define PREPROCESSOR  "preprocessor_config.json"
#define PROCESSOR     "processor_config.json" /* as transformers 5 saves it with a tokenizer */
#define LOGIT_SCALE   "logit_scale"
#define LOG_SCALE_MAX 100 /* far from what overflows */

static int path_of(char path[PATH_MAX], const char *folder, const char *name, struct err *err)
{
    if (fs_join(path, PATH_MAX, folder, name)) return 0;
    return err_set(err, ERR_INVALID, "path is too long: %.80s", folder);
}

static int read_config(struct clip *clip, const char *folder, struct err *err)
{
    char path[PATH_MAX];
    int rc = path_of(path, folder, CONFIG, err);
    if (!rc) rc = clip_config_read(&clip->config, path, err);
    if (rc) return rc;
    if (clip->options.vision && !clip->config.has_vision)
        return err_set(err, ERR_INVALID, "%s: the model has no vision tower", path);
    if (clip->options.text && !clip->config.has_text)
        return err_set(err, ERR_INVALID, "%s: the model has no text tower", path);
    return 0;
}

static int read_preprocessor(struct clip *clip, const char *folder, struct err *err)
{
    char path[PATH_MAX], other[PATH_MAX];
    int rc = path_of(path, folder, PREPROCESSOR, err);
    if (!rc) rc = path_of(other, folder, PROCESSOR, err);
    if (rc) return rc;
    const bool is_other = !fs_exists(path) && fs_exists(other);
    return preprocessor_config_read(&clip->preprocessor, is_other ? other : path, err);
}

/* A model of both towers has it; elsewhere it multiplies nothing, and the initial one stands in. */
static int read_logit_scale(struct clip *clip, const struct safetensors *file, struct err *err)
{
    const struct safetensors_entry *entry = safetensors_find(file, LOGIT_SCALE);
    float scale = (float)clip->config.logit_scale_init;
    if (!entry && clip->config.has_vision && clip->config.has_text)
        return err_set(err, ERR_NOT_FOUND, "tensor " LOGIT_SCALE " is missing");
    if (entry) {
        if (!dtype_is_real(entry->tensor.dtype) || tensor_count(&entry->tensor) != 1)
            return err_set(err, ERR_INVALID, "tensor " LOGIT_SCALE " is no real number");
        dtype_widen(&scale, entry->tensor.data, entry->tensor.dtype, 1);
    }
    if (!(fabsf(scale) <= LOG_SCALE_MAX))
        return err_set(err, ERR_CORRUPT, "tensor " LOGIT_SCALE " is %g", (double)scale);
    clip->logit_scale = (float)exp((double)scale);
    return 0;
}

static int load_weights(struct clip *clip, const char *folder, struct err *err)
{
    struct safetensors *file = NULL;
    int rc = safetensors_open(&file, folder, err); /* names the path */
    if (rc) return rc;
    rc = read_logit_scale(clip, file, err);
    if (!rc && clip->options.vision) rc = clip_vision_weights(clip, file, err);
    if (!rc && clip->options.text) rc = clip_text_weights(clip, file, err);
    if (!rc) rc = weights_load(&clip->weights, clip->backend, file, &clip->table, err);
    safetensors_close(file);
    return rc ? err_wrap(err, "%s", folder) : 0;
}

static size_t pixels_at(const struct clip *clip)
{
    return CLIP_LEVELS_BYTES + clip->vision.first_token_bytes;
}

static size_t kept_at(const struct clip *clip)
{
    return pixels_at(clip) + 2 * clip->vision.pixels_bytes;
}

static size_t planned_at(const struct clip *clip)
{
    return kept_at(clip) + 2 * clip->vision.kept.bytes;
}

/* One allocation for all passes: the towers never run together. */
static int plan_passes(struct clip *clip, struct err *err)
{
    size_t vision = 0, text = 0;
    int rc = clip->options.vision ? clip_vision_plan(clip, &vision, err) : 0;
    if (!rc && clip->options.text) rc = clip_text_plan(clip, &text, err);
    if (rc) return rc;
    clip->scratch_bytes = planned_at(clip) + (vision > text ? vision : text);
    clip->scratch = backend_alloc(clip->backend, clip->scratch_bytes);
    return 0;
}

/* The largest passes that the device has memory for. */
static int plan(struct clip *clip, struct err *err)
{
    for (clip->divisor = 1;; clip->divisor *= 2) {
        const int rc = plan_passes(clip, err);
        if (rc) return rc;
        if (clip->scratch) break;
        if (clip->backend->err.code) return backend_sync(clip->backend, err);
        if (clip->vision.batch_max <= 1 && clip->text.batch_max <= 1)
            return err_set(err, ERR_LIMIT, "out of memory for a pass: %zu bytes",
                           clip->scratch_bytes);
    }
    return clip->options.vision ? clip_vision_tables(clip, err) : 0;
}

static int check_options(const struct clip_options *options, struct err *err)
{
    CHECK(options->vision || options->text);
    if (options->dtype != DTYPE_I8 && !dtype_is_real(options->dtype))
        return err_set(err, ERR_INVALID, "no model is computed in %s; give F32, BF16, F16 or I8",
                       dtype_name(options->dtype));
    if (options->batch_max > CLIP_BATCH_MAX)
        return err_set(err, ERR_INVALID, "a batch of %u; at most %d are supported",
                       options->batch_max, CLIP_BATCH_MAX);
    return 0;
}

int clip_load(struct clip **clip, struct backend *backend, const char *folder,
              const struct clip_options *options, struct err *err)
{
    *clip = NULL;
    int rc = check_options(options, err);
    if (rc) return rc;
    struct clip *made = mem_new(sizeof *made);
    made->backend = backend;
    made->options = *options;
    arena_init(&made->arena, 0);
    made->table = (struct weight_table){.arena = &made->arena, .dtype = options->dtype};
    rc = read_config(made, folder, err);
    if (!rc && options->vision) rc = read_preprocessor(made, folder, err);
    if (!rc) rc = load_weights(made, folder, err);
    if (!rc) {
        rc = plan(made, err);
        if (rc) rc = err_wrap(err, "%s", folder);
    }
    if (rc)
        clip_free(made);
    else
        *clip = made;
    return rc;
}

void clip_free(struct clip *clip)
{
    if (!clip) return;
    clip_labels_free(clip);
    weights_free(&clip->weights, clip->backend, &clip->table);
    backend_free(clip->backend, clip->scratch);
    arena_deinit(&clip->arena);
    mem_free(clip);
}

const struct clip_config *clip_config(const struct clip *clip)
{
    return &clip->config;
}

const struct preprocessor_config *clip_preprocessor(const struct clip *clip)
{
    CHECK(clip->options.vision);
    return &clip->preprocessor;
}

struct clip_shape clip_shape(const struct clip *clip)
{
    struct clip_shape shape = {.logit_scale = clip->logit_scale,
                               .weight_bytes = clip->weights.bytes,
                               .scratch_bytes = clip->scratch_bytes,
                               .batch_divisor = clip->divisor};
    if (clip->options.vision) {
        const uint32_t side = clip->vision.grid / clip->vision.window;
        shape.image_side = (uint32_t)clip->config.vision.image_size;
        shape.tokens = side * side;
        shape.hidden = (uint32_t)clip->config.vision.tower.hidden_size;
        if (clip->vision.projection)
            shape.projection = (uint32_t)clip->config.vision.tower.projection_dim;
        shape.images_batch = clip->vision.batch_max;
    }
    if (clip->options.text) {
        shape.text_tokens = (uint32_t)clip->config.text.positions_max;
        if (clip->text.projection)
            shape.projection = (uint32_t)clip->config.text.tower.projection_dim;
        shape.texts_batch = clip->text.batch_max;
    }
    return shape;
}

void *clip_pixels(const struct clip *clip, uint32_t buffer)
{
    return (char *)clip->scratch + pixels_at(clip) + buffer * clip->vision.pixels_bytes;
}

void *clip_kept(const struct clip *clip, uint32_t buffer)
{
    return (char *)clip->scratch + kept_at(clip) + buffer * clip->vision.kept.bytes;
}

void *clip_planned(const struct clip *clip)
{
    return (char *)clip->scratch + planned_at(clip);
}

void clip_project(const struct clip *clip, const struct backend_weight *projection,
                  const struct tensor *x, const struct tensor *out)
{
    op_linear(clip->backend,
              &(struct op_linear){
                  .x = *x, .out = *out, .weight = projection, .activation = ACTIVATION_NONE});
    op_unit(clip->backend, &(struct op_unit){.x = *out, .out = *out});
}
