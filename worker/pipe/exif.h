/* exif.h - the tags of a picture file, found without trusting a byte of it.
 *
 * Looks in JPEG's APP1, PNG's eXIf, WebP's EXIF and AVIF's Exif item. Read are the first directory
 * and the two that it points to (of the camera, of GPS), each once: no chain of directories can
 * loop. XMP, thumbnails and makers' notes are not read. */
#ifndef PIPE_EXIF_H
#define PIPE_EXIF_H

#include "common/base/buf.h"
#include "worker/pipe/decode.h"

#include <stddef.h>
#include <stdint.h>

#define EXIF_JSON_BYTES_MAX ((size_t)64 * 1024)

/* 1 to 8; 1 when there is no tag, no valid one, or another format. An AVIF's does not count: its
 * own rotation takes its place. */
uint32_t exif_orientation(const uint8_t *data, size_t bytes, enum decode_format format);
/* Appends a JSON object with all tags, "{}" when there are none, of EXIF_JSON_BYTES_MAX at most:
 * tags that do not fit, or hold more than 1,000 values, are left out. Names are those that
 * img2dataset writes: "Image Make", "EXIF FNumber", "GPS GPSLatitude", "Image Tag 0xC4A5" for an
 * unknown one. Values: text (without the blanks around it, invalid UTF-8 mended), a number, or an
 * array of numbers where the tag has several; fractions are numbers if they are whole, else texts
 * in lowest terms ("1/60"), null where the denominator is 0; bytes that are not all printable are
 * an array. Of a tag that comes twice, the first counts. */
void exif_json(struct buf *out, const uint8_t *data, size_t bytes, enum decode_format format);

#endif
