/* exif_tiff.h - between the files exif*.c: bytes with an end, and the TIFF block of a picture file.
 *
 * Nothing here believes a length or an offset: the caller asks exif_has first. */
#ifndef PIPE_EXIF_TIFF_H
#define PIPE_EXIF_TIFF_H

#include "common/base/buf.h"
#include "worker/pipe/decode.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXIF_ENTRY_BYTES      12
#define EXIF_TAG_ORIENTATION  0x0112
#define EXIF_TAG_EXIF         0x8769 /* where the directory of the camera's own tags stands */
#define EXIF_TAG_GPS          0x8825
#define EXIF_TAG_XMP          0x02BC
#define EXIF_TAG_MAKER_NOTE   0x927C
#define EXIF_TAG_USER_COMMENT 0x9286

struct exif_span {
    const uint8_t *data;
    size_t bytes;
};

static inline bool exif_has(struct exif_span span, size_t offset, size_t bytes)
{
    return offset <= span.bytes && bytes <= span.bytes - offset;
}

/* A number of 1 to 4 bytes. */
static inline uint32_t exif_get(struct exif_span span, size_t offset, size_t bytes, bool little)
{
    uint32_t value = 0;
    for (size_t i = 0; i < bytes; i++) {
        const size_t at = little ? offset + bytes - 1 - i : offset + i;
        value = value << 8 | span.data[at];
    }
    return value;
}

/* The part of a span from offset. */
static inline struct exif_span exif_part(struct exif_span span, size_t offset, size_t bytes)
{
    return (struct exif_span){span.data + offset, bytes};
}

struct exif_tiff {
    struct exif_span block; /* offsets in it count from its start */
    bool little;
    size_t first; /* where its first directory stands; not checked */
};

/* Finds and reads the header of the TIFF block of a JPEG, PNG or WebP; false: there is none. */
bool exif_find(struct exif_tiff *tiff, const uint8_t *data, size_t bytes,
               enum decode_format format);
/* The same of a block on its own, with or without the "Exif" that some containers put before it. */
bool exif_read(struct exif_tiff *tiff, struct exif_span block);
/* Appends an AVIF's block to out; false: there is none. See decode_avif.c. */
bool exif_of_avif(struct buf *out, const uint8_t *data, size_t bytes);
/* NULL: unknown. gps: of the GPS directory, which has numbers of its own. */
const char *exif_tag_name(bool gps, uint32_t tag);

#endif
