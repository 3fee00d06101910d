/* blur.h - makes boxes of a picture unrecognisable, faces above all, with edges that do not show.
 *
 * In integers, so that every machine makes the same bytes:
 *   1. a box covers the pixels from floor(x0 * width) to ceil(x1 * width), heights likewise
 *   2. it is widened on each side by a tenth of its longer side, and clipped to the picture
 *   3. picture, and a mask that is 255 in the boxes and 0 elsewhere, are blurred: three times the
 *      mean over 2r + 1 pixels along rows, then along columns, each rounded to 8 bits; pixels
 * outside count as the nearest inside. r is a tenth of the longest side of all boxes before they
 * are widened, rounded, at least 1: about a Gaussian of that deviation
 *   4. result = (mask * blurred + (255 - mask) * original + 127) / 255
 * This follows img2dataset's blurring of boxes (after Yang et al., "A Study of Face Obfuscation in
 * ImageNet"), with boxes in place of its Gaussian. Time and memory are those of the area around the
 * boxes, whatever the radius. */
#ifndef PIPE_BLUR_H
#define PIPE_BLUR_H

#include "common/base/err.h"
#include "worker/pipe/image.h"

#include <stdint.h>

/* Parts of width and height, x0 < x1, y0 < y1; what lies outside 0 to 1 is cut off. */
struct blur_box {
    double x0, y0, x1, y1;
};

/* The picture is RGB. No boxes, or none inside: nothing is done. ERR_LIMIT: out of memory, the
 * picture as it was. */
CHECKED int blur_boxes(struct image *image, const struct blur_box *box, uint32_t boxes,
                       struct err *err);

#endif
