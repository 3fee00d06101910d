/* encode.h - pictures to JPEG files.
 *
 * Baseline, standard Huffman tables, 4:2:0 chroma, accurate integer DCT: what Pillow writes by
 * default. The same pixels, quality and libjpeg give the same bytes. Any thread. */
#ifndef PIPE_ENCODE_H
#define PIPE_ENCODE_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "worker/pipe/image.h"

#include <stdint.h>

/* Appends a JPEG file of a gray or RGB picture (1 or 3 channels) to out. quality: 1 to 100.
 * ERR_INVALID for a side above 65500 or other channels; ERR_LIMIT when out is full or memory is
 * out; out then keeps what it held before. */
CHECKED int encode_jpeg(struct buf *out, const struct image *image, uint32_t quality,
                        struct err *err);

#endif
