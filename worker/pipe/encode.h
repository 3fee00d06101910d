/* encode.h - pictures to JPEG, WebP and PNG files.
 *
 * The same pixels, settings and library give the same bytes; nothing depends on threads or time.
 *   JPEG  baseline, standard Huffman tables, 4:2:0 chroma, accurate integer DCT: what Pillow
 *         writes by default. Sides up to 65500.
 *   WebP  lossy with libwebp's default settings (method 4), or lossless. Sides up to 16383.
 *   PNG   8 bits, all row filters, libpng's heuristic, no ancillary chunks. Sides up to 65500, for
 *         the whole pipe's sake.
 * Any thread. */
#ifndef PIPE_ENCODE_H
#define PIPE_ENCODE_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "worker/pipe/image.h"

#include <stdbool.h>
#include <stdint.h>

enum encode_format { /* the numbers of vlmq.jobs.DownloadEncode */
                     ENCODE_JPEG = 0,
                     ENCODE_WEBP,
                     ENCODE_PNG,
                     ENCODE_FORMATS_COUNT
};

/* How a picture becomes a file. */
struct picture_encoding {
    enum encode_format format;
    uint32_t quality; /* JPEG and WebP: 1 to 100; PNG: zlib's level, 1 to 9 */
    bool lossless;    /* WebP; quality is then the effort, and changes no pixel */
};

/* Appends a file of a gray or RGB picture (1 or 3 channels) to out. ERR_INVALID for a side that
 * the format does not hold, a quality out of range or other channels; ERR_LIMIT when out is full or
 * memory is out; out then keeps what it held before. */
CHECKED int encode(struct buf *out, const struct image *image,
                   const struct picture_encoding *options, struct err *err);
const char *encode_extension(enum encode_format format); /* "jpg", "webp", "png" */

/* One format each, with the same errors. */
CHECKED int encode_jpeg(struct buf *out, const struct image *image, uint32_t quality,
                        struct err *err);
CHECKED int encode_webp(struct buf *out, const struct image *image, uint32_t quality, bool lossless,
                        struct err *err);
CHECKED int encode_png(struct buf *out, const struct image *image, uint32_t level, struct err *err);

#endif
