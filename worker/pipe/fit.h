/* fit.h - from a picture of any size to the size that a data set wants.
 *
 * N is the side asked for. Scaled sides are truncated to whole pixels as int() does, and are at
 * least 1; a crop starts at (size - N) / 2, rounded down; bars before the picture take
 * (N - size) / 2, rounded down, the rest stands after it.
 *   adaptive     shorter/longer >= 0.6: as center_crop; else longer side to N, black bars to N x N
 *   no           as it is
 *   border       longer side to N, white bars to N x N
 *   keep_ratio   shorter side to N, the other follows
 *   center_crop  shorter side to N, then N x N out of the centre
 *   keep_ratio_largest  longer side to N, the other follows
 * Pictures are enlarged as well as shrunk. No side, before a crop either, may be above
 * FIT_SIDE_MAX, so that a picture of 1 x 60000 cannot ask for gigabytes. */
#ifndef PIPE_FIT_H
#define PIPE_FIT_H

#include "common/base/err.h"
#include "worker/pipe/image.h"
#include "worker/pipe/resize.h"

#include <stdbool.h>
#include <stdint.h>

#define FIT_SIDE_MAX 65500 /* the longest side that a JPEG holds */

enum fit_mode { /* the numbers of vlmq.jobs.DownloadResize */
                FIT_ADAPTIVE = 0,
                FIT_NO,
                FIT_BORDER,
                FIT_KEEP_RATIO,
                FIT_CENTER_CROP,
                FIT_KEEP_RATIO_LARGEST,
                FIT_MODES_COUNT
};

/* What was done, and the numbers a caller needs to map coordinates. */
struct fit_plan {
    uint32_t scaled_width, scaled_height; /* after resizing, before crop and bars */
    uint32_t width, height;               /* of the result */
    uint32_t crop_x, crop_y;              /* of the result in the scaled picture */
    uint32_t pad_x, pad_y;                /* of the scaled picture in the result */
    uint8_t background;                   /* of the bars */
    bool resized, cropped, padded;
    enum resize_filter filter; /* fit_plan sets bicubic; the caller may choose another */
};

/* Pure. ERR_INVALID for zero sizes or an unknown mode, ERR_LIMIT for a side above FIT_SIDE_MAX. */
CHECKED int fit_plan(struct fit_plan *plan, uint32_t width, uint32_t height, enum fit_mode mode,
                     uint32_t side, struct err *err);
/* The mode for a picture that shall only shrink, as img2dataset does it: FIT_NO, so that it stays
 * as it is, without crop and bars too, where the side that the mode scales has at most `side`
 * pixels; the mode itself elsewhere. */
enum fit_mode fit_mode_if_bigger(enum fit_mode mode, uint32_t width, uint32_t height,
                                 uint32_t side);
/* How far a JPEG may be reduced while it is decoded, so that what fit_plan asks for is still
 * smaller: 8, 4, 2 or 1, as Pillow's Image.draft chooses it for the scaled size. Sizes are those
 * in the file. */
uint32_t fit_reduction(uint32_t width, uint32_t height, enum fit_mode mode, uint32_t side);
/* Makes *dst (empty before) from src, which may be a reduced one of the picture that was planned
 * for; with nothing to do, a copy. ERR_LIMIT: out of memory. */
CHECKED int fit_apply(struct image *dst, const struct image *src, const struct fit_plan *plan,
                      struct err *err);
/* The same, but takes src's pixels when nothing is to do. src is empty after success. */
CHECKED int fit_take(struct image *dst, struct image *src, const struct fit_plan *plan,
                     struct err *err);
const char *fit_mode_name(enum fit_mode mode); /* "adaptive", "no", … */

#endif
