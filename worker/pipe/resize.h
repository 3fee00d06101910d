/* resize.h - resampling with exactly Pillow's pixels.
 *
 * Same bits as Image.resize(size, Image.Resampling.X) of Pillow 13 for modes L and RGB (the
 * channels are filtered independently; premultiply alpha before if there is any). Two passes, each
 * rounded to 8 bits: horizontal then vertical, or the other way round where the height loses more
 * than twice as many pixels as the width. That exception is Pillow's since 13.0; in 12.2 it took
 * a height above 100 widths, and before there was none. So older Pillows differ in such pictures,
 * by one level here and there. A pass that keeps the size is skipped. Any thread.
 *
 * All filters but nearest grow with the scale when they shrink a picture, so that every input
 * sample counts. Box is the mean of the samples whose centres an output sample covers: what others
 * call "area", but for the samples on the edge, which OpenCV's INTER_AREA shares out and Pillow
 * counts whole; the two are equal where the scale is a whole number. */
#ifndef PIPE_RESIZE_H
#define PIPE_RESIZE_H

#include "common/base/err.h"
#include "worker/pipe/image.h"

#include <stdint.h>

enum resize_filter { /* written as their names; the numbers stay in the process */
                     RESIZE_BICUBIC = 0,
                     RESIZE_LANCZOS,
                     RESIZE_BILINEAR,
                     RESIZE_BOX,
                     RESIZE_NEAREST,
                     RESIZE_FILTERS_COUNT
};

/* Makes *dst (empty before) of width x height with src's channels (1 to 4). ERR_INVALID for a zero
 * size, ERR_LIMIT out of memory. */
CHECKED int resize_image(struct image *dst, const struct image *src, uint32_t width,
                         uint32_t height, enum resize_filter filter, struct err *err);
/* The rectangle `part` of what resize_image would make, alone: the same pixels, and no memory or
 * time for the others. A long and narrow picture whose middle is wanted may have billions of them.
 */
CHECKED int resize_part(struct image *dst, const struct image *src, uint32_t width, uint32_t height,
                        const struct image_rect *part, enum resize_filter filter, struct err *err);
const char *resize_filter_name(enum resize_filter filter); /* "bicubic", "box", … */
/* resize_image with the filter that CLIP and most data sets use. */
CHECKED int resize_bicubic(struct image *dst, const struct image *src, uint32_t width,
                           uint32_t height, struct err *err);

#endif
