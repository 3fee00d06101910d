/* phash.h - a perceptual hash: pictures that look alike have hashes that differ in few bits.
 *
 * The 64-bit DCT hash, with the bits of imagehash.phash (ImageHash 4.3 over Pillow 13) for the same
 * RGB pixels:
 *   1. gray = (19595 R + 38470 G + 7471 B + 32768) >> 16, as Pillow's convert("L")
 *   2. resized to 32 x 32 with Pillow's lanczos (resize.h), ratio ignored
 *   3. the two-dimensional DCT-II of that; of it the 8 x 8 lowest frequencies, the mean included
 *   4. a bit for each, row by row from the top left, the first one highest: whether it is above the
 *      median of the 64 (the mean of the two in the middle)
 * Here the DCT is in integers, cosines with 22 fractional bits, so that a flat picture has true
 * zeros and every machine the same bits; ImageHash computes in double. They could differ where a
 * coefficient is within a millionth of the median. */
#ifndef PIPE_PHASH_H
#define PIPE_PHASH_H

#include "common/base/err.h"
#include "worker/pipe/image.h"

#include <stdint.h>

#define PHASH_TEXT_BYTES 17 /* 16 hexadecimal digits, as str(imagehash.phash(…)), and a zero */

/* The picture is RGB. ERR_LIMIT: out of memory. */
CHECKED int phash(uint64_t *hash, const struct image *image, struct err *err);
void phash_text(char dst[PHASH_TEXT_BYTES], uint64_t hash);

#endif
