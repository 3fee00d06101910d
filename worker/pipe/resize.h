/* resize.h - bicubic resampling with exactly Pillow's pixels.
 *
 * Same bits as Image.resize(size, Image.Resampling.BICUBIC) of Pillow 13 for modes L and RGB (the
 * channels are filtered independently; premultiply alpha before if there is any). Two passes, each
 * rounded to 8 bits: horizontal then vertical, or the other way round where the height loses more
 * than twice as many pixels as the width. That exception is Pillow's since 13.0; in 12.2 it took
 * a height above 100 widths, and before there was none. So older Pillows differ in such pictures,
 * by one level here and there. A pass that keeps the size is skipped. Any thread. */
#ifndef PIPE_RESIZE_H
#define PIPE_RESIZE_H

#include "common/base/err.h"
#include "worker/pipe/image.h"

#include <stdint.h>

/* Makes *dst (empty before) of width x height with src's channels (1 to 4). ERR_INVALID for a zero
 * size, ERR_LIMIT out of memory. */
CHECKED int resize_bicubic(struct image *dst, const struct image *src, uint32_t width,
                           uint32_t height, struct err *err);

#endif
