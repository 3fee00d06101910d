/* preprocess.h - pictures as a model wants them: resized and cropped to a square of bytes.
 *
 * The steps of preprocessor_config.json, with the pixels of transformers' CLIPImageProcessorPil
 * (5.23; before version 5 its name was CLIPImageProcessor) bit for bit: gray to RGB, resize with
 * Pillow's filters (the longer edge is rounded down), centre crop, black where the picture is
 * smaller than the crop. What is left, level to number, is a table: preprocessor_table of
 * nn/load/preprocessor.h, which the model applies itself.
 *
 * Only the pixels that the crop keeps are computed. Constant once it is made: any number of threads
 * may use one. */
#ifndef PIPE_PREPROCESS_H
#define PIPE_PREPROCESS_H

#include "common/base/err.h"
#include "worker/nn/load/preprocessor.h"
#include "worker/pipe/image.h"
#include "worker/pipe/resize.h"

#include <stdbool.h>
#include <stdint.h>

/* Which pixel the crop begins at where the difference of the sizes is odd. */
enum preprocess_crop {
    PREPROCESS_CROP_HF = 0, /* the upper, left one */
    /* As openai/CLIP and torchvision: half of the difference rounded to an even number. */
    PREPROCESS_CROP_OPENAI
};

struct preprocess {
    bool resizes, crops;
    uint32_t side;                        /* of the square that comes out */
    uint32_t shortest_edge;               /* 0: to resize_width x resize_height */
    uint32_t resize_width, resize_height; /* when not by the shortest edge */
    enum resize_filter filter;
    enum preprocess_crop crop;
};

/* ERR_INVALID: config does not make squares of this side, which a model has in its config.json, or
 * has a filter that we lack. */
CHECKED int preprocess_init(struct preprocess *preprocess, const struct preprocessor_config *config,
                            uint32_t side, enum preprocess_crop crop, struct err *err);
/* Fills dst [side, side, 3]. src: any size, gray or RGB; alpha is for who decodes: transformers
 * dropped it up to version 4 and blends on white since. ERR_INVALID: nothing is cropped and this
 * picture is no square of that side, or it is too narrow; ERR_LIMIT: out of memory. */
CHECKED int preprocess_image(uint8_t *dst, const struct preprocess *preprocess,
                             const struct image *src, struct err *err);

#endif
