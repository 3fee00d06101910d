/* config.c - config.json of CLIP: defaults first, then what the file says, then what must hold.
 *
 * The limits are far above every published model; they keep products of sizes in range. */
#include "worker/nn/load/config.h"

#include "common/base/str.h"
#include "worker/nn/load/jsonfile.h"

#define WIDTH_MAX     65536
#define LAYERS_MAX    1024
#define IMAGE_MAX     16384
#define CHANNELS_MAX  64
#define VOCAB_MAX     (1 << 24)
#define POSITIONS_MAX (1 << 20)
/* The id that means "at the largest one". */
#define LEGACY_EOS_ID 2

static const struct jsonfile_limits limits = {.bytes = 1 << 20, .depth = 32, .values = 1 << 16};

static const struct clip_config defaults = {
    .vision = {.tower = {.hidden_size = 768,
                         .intermediate_size = 3072,
                         .layers_count = 12,
                         .heads_count = 12,
                         .projection_dim = 512,
                         .activation = CLIP_QUICK_GELU,
                         .layer_norm_eps = 1e-5},
               .channels_count = 3,
               .image_size = 224,
               .patch_size = 32},
    .text = {.tower = {.hidden_size = 512,
                       .intermediate_size = 2048,
                       .layers_count = 12,
                       .heads_count = 8,
                       .projection_dim = 512,
                       .activation = CLIP_QUICK_GELU,
                       .layer_norm_eps = 1e-5},
             .vocab_size = 49408,
             .positions_max = 77,
             .bos_token_id = 49406,
             .eos_token_id = 49407,
             .pad_token_id = 1},
    .logit_scale_init = 2.6592,
};

static int read_activation(enum clip_activation *activation, const json_t *object, struct err *err)
{
    const char *name = NULL;
    int rc = jsonfile_text(&name, object, "hidden_act", err);
    if (rc || !name) return rc;
    if (str_eq(name, "quick_gelu"))
        *activation = CLIP_QUICK_GELU;
    else if (str_eq(name, "gelu"))
        *activation = CLIP_GELU;
    else
        return jsonfile_refuse(jsonfile_field(object, "hidden_act"), "hidden_act", err,
                               "quick_gelu or gelu");
    return 0;
}

static int read_tower(struct clip_tower *tower, const json_t *object, struct err *err)
{
    int rc = jsonfile_int(&tower->hidden_size, object, "hidden_size", 1, WIDTH_MAX, err);
    if (!rc)
        rc = jsonfile_int(&tower->intermediate_size, object, "intermediate_size", 1, WIDTH_MAX * 8,
                          err);
    if (!rc)
        rc = jsonfile_int(&tower->layers_count, object, "num_hidden_layers", 1, LAYERS_MAX, err);
    if (!rc)
        rc = jsonfile_int(&tower->heads_count, object, "num_attention_heads", 1, WIDTH_MAX, err);
    if (!rc) rc = jsonfile_int(&tower->projection_dim, object, "projection_dim", 1, WIDTH_MAX, err);
    if (!rc) rc = jsonfile_real(&tower->layer_norm_eps, object, "layer_norm_eps", 0, 1, err);
    if (!rc) rc = read_activation(&tower->activation, object, err);
    if (rc) return rc;
    if (tower->hidden_size % tower->heads_count)
        return err_set(err, ERR_INVALID,
                       "hidden_size is %d; it must be a multiple of num_attention_heads, %d",
                       (int)tower->hidden_size, (int)tower->heads_count);
    return 0;
}

/* A number, or [height, width] of a square. */
static int read_side(int64_t *side, const json_t *object, const char *name, struct err *err)
{
    const json_t *value = jsonfile_field(object, name);
    if (!json_is_array(value)) return jsonfile_int(side, object, name, 1, IMAGE_MAX, err);
    const json_t *height = json_array_get(value, 0), *width = json_array_get(value, 1);
    const int64_t number = (int64_t)json_integer_value(height);
    if (json_array_size(value) != 2 || !json_is_integer(height) || !json_equal(height, width) ||
        number < 1 || number > IMAGE_MAX)
        return jsonfile_refuse(value, name, err, "a number or a square from 1 to %d", IMAGE_MAX);
    *side = number;
    return 0;
}

static int read_vision(struct clip_config *config, const json_t *object, struct err *err)
{
    config->has_vision = true;
    int rc = read_tower(&config->vision.tower, object, err);
    if (!rc)
        rc = jsonfile_int(&config->vision.channels_count, object, "num_channels", 1, CHANNELS_MAX,
                          err);
    if (!rc) rc = read_side(&config->vision.image_size, object, "image_size", err);
    if (!rc) rc = read_side(&config->vision.patch_size, object, "patch_size", err);
    if (!rc && config->vision.patch_size > config->vision.image_size)
        rc = err_set(err, ERR_INVALID, "patch_size is %d; it must be at most image_size, %d",
                     (int)config->vision.patch_size, (int)config->vision.image_size);
    return rc;
}

/* An id, or null where the model has no such token. */
static int read_id(int64_t *id, const json_t *object, const char *name, struct err *err)
{
    if (json_is_null(json_object_get(object, name))) *id = -1;
    return jsonfile_int(id, object, name, 0, INT32_MAX, err);
}

static int read_text(struct clip_config *config, const json_t *object, struct err *err)
{
    config->has_text = true;
    int rc = read_tower(&config->text.tower, object, err);
    if (!rc) rc = jsonfile_int(&config->text.vocab_size, object, "vocab_size", 1, VOCAB_MAX, err);
    if (!rc)
        rc = jsonfile_int(&config->text.positions_max, object, "max_position_embeddings", 1,
                          POSITIONS_MAX, err);
    if (!rc) rc = read_id(&config->text.bos_token_id, object, "bos_token_id", err);
    if (!rc) rc = read_id(&config->text.eos_token_id, object, "eos_token_id", err);
    if (!rc) rc = read_id(&config->text.pad_token_id, object, "pad_token_id", err);
    if (!rc && config->text.eos_token_id < 0)
        rc = err_set(err, ERR_INVALID, "eos_token_id is null; a text's embedding is taken there");
    config->text.pools_at_largest_id = config->text.eos_token_id == LEGACY_EOS_ID;
    return rc;
}

typedef int read_part(struct clip_config *config, const json_t *object, struct err *err);

/* One tower of a model that has both: its old name, where it is there, counts alone. */
static int read_inner(struct clip_config *config, const json_t *object, const char *name,
                      const char *old_name, read_part *read, struct err *err)
{
    const json_t *inner = NULL;
    int rc = jsonfile_object(&inner, object, name, err);
    if (!rc && jsonfile_field(object, old_name)) {
        name = old_name;
        rc = jsonfile_object(&inner, object, name, err);
    }
    if (rc) return rc;
    rc = read(config, inner, err);
    return rc ? err_wrap(err, "%s", name) : 0;
}

static int read_both(struct clip_config *config, const json_t *object, struct err *err)
{
    int64_t projection_dim = defaults.vision.tower.projection_dim;
    int rc = jsonfile_int(&projection_dim, object, "projection_dim", 1, WIDTH_MAX, err);
    if (!rc)
        rc = jsonfile_real(&config->logit_scale_init, object, "logit_scale_init_value", -100, 100,
                           err);
    if (!rc)
        rc = read_inner(config, object, "vision_config", "vision_config_dict", read_vision, err);
    if (!rc) rc = read_inner(config, object, "text_config", "text_config_dict", read_text, err);
    /* The towers' own are for the classes that have one tower. */
    config->vision.tower.projection_dim = projection_dim;
    config->text.tower.projection_dim = projection_dim;
    return rc;
}

static int read_config(void *dst, const json_t *object, struct err *err)
{
    struct clip_config *config = dst;
    const char *type = NULL;
    const int rc = jsonfile_text(&type, object, "model_type", err);
    if (rc) return rc;
    if (str_eq(type, "clip")) return read_both(config, object, err);
    if (str_eq(type, "clip_vision_model")) return read_vision(config, object, err);
    if (str_eq(type, "clip_text_model")) return read_text(config, object, err);
    return err_set(err, ERR_INVALID,
                   "model_type is %.40s; it must be clip, clip_vision_model or clip_text_model",
                   type ? type : "missing");
}

int clip_config_parse(struct clip_config *config, const char *json, size_t bytes, struct err *err)
{
    *config = defaults;
    return jsonfile_parse_with(read_config, config, json, bytes, &limits, err);
}

int clip_config_read(struct clip_config *config, const char *path, struct err *err)
{
    *config = defaults;
    return jsonfile_read_with(read_config, config, path, &limits, err);
}
