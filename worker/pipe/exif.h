/* exif.h - the orientation tag of a picture file, found without trusting a byte of it.
 *
 * Looks in JPEG's APP1, PNG's eXIf and WebP's EXIF, and there in the first directory only, so
 * that no chain of directories can loop. XMP is not read. */
#ifndef PIPE_EXIF_H
#define PIPE_EXIF_H

#include "worker/pipe/decode.h"

#include <stddef.h>
#include <stdint.h>

/* 1 to 8; 1 when there is no tag, no valid one, or another format. */
uint32_t exif_orientation(const uint8_t *data, size_t bytes, enum decode_format format);

#endif
