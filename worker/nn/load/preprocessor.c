/* preprocessor.c - preprocessor_config.json: defaults first, then what the file says. */
#include "worker/nn/load/preprocessor.h"

#include "common/base/str.h"
#include "worker/nn/load/jsonfile.h"

#define SIDE_MAX 16384

static const struct jsonfile_limits limits = {.bytes = 1 << 20, .depth = 32, .values = 1 << 16};

static const struct preprocessor_config defaults = {
    .converts_rgb = true,
    .resizes = true,
    .crops = true,
    .rescales = true,
    .normalizes = true,
    .shortest_edge = 224,
    .filter = PREPROCESSOR_BICUBIC,
    .crop_height = 224,
    .crop_width = 224,
    .rescale_factor = 1 / 255.0,
    .mean = {0.48145466, 0.4578275, 0.40821073},
    .std = {0.26862954, 0.26130258, 0.27577711},
};

/* {"height", "width"}, both there. */
static int read_sides(int64_t *height, int64_t *width, const json_t *object, const char *name,
                      struct err *err)
{
    if (!jsonfile_field(object, "height") || !jsonfile_field(object, "width"))
        return jsonfile_refuse(object, name, err, "a number or an object with height and width");
    int rc = jsonfile_int(height, object, "height", 1, SIDE_MAX, err);
    if (!rc) rc = jsonfile_int(width, object, "width", 1, SIDE_MAX, err);
    return rc ? err_wrap(err, "%s", name) : 0;
}

static int read_size(struct preprocessor_config *config, const json_t *object, struct err *err)
{
    const json_t *size = jsonfile_field(object, "size");
    if (!json_is_object(size))
        return jsonfile_int(&config->shortest_edge, object, "size", 1, SIDE_MAX, err);
    if (jsonfile_field(size, "longest_edge"))
        return jsonfile_refuse(size, "size", err, "without longest_edge, which CLIP does not have");
    if (jsonfile_field(size, "shortest_edge")) {
        const int rc =
            jsonfile_int(&config->shortest_edge, size, "shortest_edge", 1, SIDE_MAX, err);
        return rc ? err_wrap(err, "size") : 0;
    }
    config->shortest_edge = 0;
    return read_sides(&config->resize_height, &config->resize_width, size, "size", err);
}

static int read_crop(struct preprocessor_config *config, const json_t *object, struct err *err)
{
    const json_t *size = jsonfile_field(object, "crop_size");
    if (json_is_object(size))
        return read_sides(&config->crop_height, &config->crop_width, size, "crop_size", err);
    const int rc = jsonfile_int(&config->crop_height, object, "crop_size", 1, SIDE_MAX, err);
    if (!rc && size) config->crop_width = config->crop_height;
    return rc;
}

/* Three numbers, or one for all channels. */
static int read_channels(double dst[3], const json_t *object, const char *name, double min,
                         double max, struct err *err)
{
    const json_t *list = jsonfile_field(object, name);
    if (!list) return 0;
    for (size_t i = 0; i < 3; i++) {
        const json_t *value = json_is_array(list) ? json_array_get(list, i) : list;
        dst[i] = json_number_value(value);
        if (!json_is_number(value) || !(dst[i] >= min && dst[i] <= max) ||
            (json_is_array(list) && json_array_size(list) != 3))
            return jsonfile_refuse(list, name, err, "three numbers from %g to %g", min, max);
    }
    return 0;
}

static int read_filter(enum preprocessor_filter *filter, const json_t *object, struct err *err)
{
    int64_t number = *filter;
    const int rc =
        jsonfile_int(&number, object, "resample", PREPROCESSOR_NEAREST, PREPROCESSOR_HAMMING, err);
    *filter = (enum preprocessor_filter)number;
    return rc;
}

/* CLIPImageProcessor, CLIPImageProcessorFast, CLIPImageProcessorPil, CLIPFeatureExtractor. The new
 * name counts where a file has both. */
static int check_type(const json_t *object, struct err *err)
{
    const char *type = NULL;
    int rc = jsonfile_text(&type, object, "feature_extractor_type", err);
    if (!rc) rc = jsonfile_text(&type, object, "image_processor_type", err);
    if (rc || !type || str_has_prefix(type, "CLIPImageProcessor") ||
        str_eq(type, "CLIPFeatureExtractor"))
        return rc;
    return err_set(err, ERR_INVALID,
                   "image_processor_type is %.60s; only CLIPImageProcessor is supported", type);
}

static int read_flags(struct preprocessor_config *config, const json_t *object, struct err *err)
{
    int rc = jsonfile_bool(&config->converts_rgb, object, "do_convert_rgb", err);
    if (!rc) rc = jsonfile_bool(&config->resizes, object, "do_resize", err);
    if (!rc) rc = jsonfile_bool(&config->crops, object, "do_center_crop", err);
    if (!rc) rc = jsonfile_bool(&config->rescales, object, "do_rescale", err);
    if (!rc) rc = jsonfile_bool(&config->normalizes, object, "do_normalize", err);
    return rc;
}

static int read_config(void *dst, const json_t *object, struct err *err)
{
    struct preprocessor_config *config = dst;
    int rc = jsonfile_object(&object, object, "image_processor", err);
    if (!rc) rc = check_type(object, err);
    if (!rc) rc = read_flags(config, object, err);
    if (!rc) rc = read_size(config, object, err);
    if (!rc) rc = read_crop(config, object, err);
    if (!rc) rc = read_filter(&config->filter, object, err);
    if (!rc) rc = jsonfile_real(&config->rescale_factor, object, "rescale_factor", 1e-9, 1e9, err);
    if (!rc) rc = read_channels(config->mean, object, "image_mean", -1e6, 1e6, err);
    if (!rc) rc = read_channels(config->std, object, "image_std", 1e-6, 1e6, err);
    return rc;
}

int preprocessor_config_parse(struct preprocessor_config *config, const char *json, size_t bytes,
                              struct err *err)
{
    *config = defaults;
    return jsonfile_parse_with(read_config, config, json, bytes, &limits, err);
}

int preprocessor_config_read(struct preprocessor_config *config, const char *path, struct err *err)
{
    *config = defaults;
    return jsonfile_read_with(read_config, config, path, &limits, err);
}

void preprocessor_table(float table[3][256], const struct preprocessor_config *config)
{
    for (int channel = 0; channel < 3; channel++) {
        const float mean = (float)config->mean[channel], std = (float)config->std[channel];
        for (int level = 0; level < 256; level++) {
            const double scaled = config->rescales ? level * config->rescale_factor : level;
            const float number = (float)scaled;
            table[channel][level] = config->normalizes ? (number - mean) / std : number;
        }
    }
}
