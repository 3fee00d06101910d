/* preprocessor.h - how a model wants its pictures, from Hugging Face's preprocessor_config.json.
 *
 * Steps in this order, each of which may be off: to RGB, resize, centre crop, times a factor, less
 * mean and divided by standard deviation. Read is what CLIPImageProcessor takes: size as a number
 * (the shortest edge) or {"shortest_edge"} or {"height", "width"}, crop_size as a number or
 * {"height", "width"}, mean and deviation as three numbers or one for all. Also a file of
 * transformers 5 with all this under "image_processor". A field that is missing has the value that
 * CLIPImageProcessor fills in; unknown fields are ignored; another processor is refused, for its
 * defaults are others.
 *
 * Errors: ERR_INVALID with the field's name and value, ERR_CORRUPT: no JSON object, ERR_LIMIT. */
#ifndef NN_LOAD_PREPROCESSOR_H
#define NN_LOAD_PREPROCESSOR_H

#include "common/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The numbers are those of Pillow's Image.Resampling, as the file has them. */
enum preprocessor_filter {
    PREPROCESSOR_NEAREST,
    PREPROCESSOR_LANCZOS,
    PREPROCESSOR_BILINEAR,
    PREPROCESSOR_BICUBIC,
    PREPROCESSOR_BOX,
    PREPROCESSOR_HAMMING,
};

struct preprocessor_config {
    bool converts_rgb, resizes, crops, rescales, normalizes;
    /* The shortest edge gets this length and the other follows; 0: to resize_height x _width. */
    int64_t shortest_edge;
    int64_t resize_height, resize_width;
    enum preprocessor_filter filter;
    int64_t crop_height, crop_width;
    double rescale_factor;
    double mean[3], std[3]; /* R, G, B */
};

CHECKED int preprocessor_config_parse(struct preprocessor_config *config, const char *json,
                                      size_t bytes, struct err *err);
/* Of a file; the sentence begins with its path. */
CHECKED int preprocessor_config_read(struct preprocessor_config *config, const char *path,
                                     struct err *err);
/* What a level 0 to 255 of a channel becomes, bit for bit as transformers' Pillow processor
 * computes it: the level times the factor in double, rounded to f32; less the mean and divided by
 * the deviation, both rounded to f32 before, each step rounded to f32. */
void preprocessor_table(float table[3][256], const struct preprocessor_config *config);

#endif
