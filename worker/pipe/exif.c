/* exif.c - where a picture file keeps its EXIF, and the orientation in it; see exif.h. */
#include "worker/pipe/exif.h"

#include "worker/pipe/exif_tiff.h"

#include <string.h>

#define TYPE_SHORT 3

static bool has_text(struct exif_span span, size_t offset, const char *text, size_t bytes)
{
    return exif_has(span, offset, bytes) && memcmp(span.data + offset, text, bytes) == 0;
}

/* The header of a TIFF block. */
static bool read_header(struct exif_tiff *tiff, struct exif_span block)
{
    const bool little = has_text(block, 0, "II*\0", 4);
    if ((!little && !has_text(block, 0, "MM\0*", 4)) || !exif_has(block, 4, 4)) return false;
    *tiff = (struct exif_tiff){block, little, exif_get(block, 4, 4, little)};
    return true;
}

static bool find_jpeg(struct exif_tiff *tiff, struct exif_span file)
{
    size_t at = 2; /* after the start marker */
    while (exif_has(file, at, 4)) {
        if (file.data[at] != 0xFF) return false;
        const uint8_t marker = file.data[at + 1];
        if (marker == 0xFF) { /* fill byte */
            at++;
            continue;
        }
        if (marker == 0xDA || marker == 0xD9) return false; /* picture data, or the end */
        const bool bare = marker == 0x01 || (marker >= 0xD0 && marker <= 0xD7);
        if (bare) {
            at += 2;
            continue;
        }
        const size_t length = exif_get(file, at + 2, 2, false);
        if (length < 2 || !exif_has(file, at + 2, length)) return false;
        const struct exif_span body = exif_part(file, at + 4, length - 2);
        if (marker == 0xE1 && has_text(body, 0, "Exif\0\0", 6))
            return read_header(tiff, exif_part(body, 6, body.bytes - 6));
        at += 2 + length;
    }
    return false;
}

static bool find_png(struct exif_tiff *tiff, struct exif_span file)
{
    size_t at = 8; /* after the signature */
    while (exif_has(file, at, 8)) {
        const size_t length = exif_get(file, at, 4, false);
        if (!exif_has(file, at + 8, length)) return false;
        if (has_text(file, at + 4, "eXIf", 4))
            return read_header(tiff, exif_part(file, at + 8, length));
        at += 8 + length;
        if (!exif_has(file, at, 4)) return false; /* the chunk's sum */
        at += 4;
    }
    return false;
}

bool exif_read(struct exif_tiff *tiff, struct exif_span block)
{
    const size_t skip = has_text(block, 0, "Exif\0\0", 6) ? 6 : 0;
    return read_header(tiff, exif_part(block, skip, block.bytes - skip));
}

static bool find_webp(struct exif_tiff *tiff, struct exif_span file)
{
    size_t at = 12; /* after RIFF, size, WEBP */
    while (exif_has(file, at, 8)) {
        const size_t length = exif_get(file, at + 4, 4, true);
        if (!exif_has(file, at + 8, length)) return false;
        if (has_text(file, at, "EXIF", 4)) return exif_read(tiff, exif_part(file, at + 8, length));
        at += 8 + length + (length & 1);
    }
    return false;
}

bool exif_find(struct exif_tiff *tiff, const uint8_t *data, size_t bytes, enum decode_format format)
{
    const struct exif_span file = {data, bytes};
    if (format == DECODE_FORMAT_JPEG) return find_jpeg(tiff, file);
    if (format == DECODE_FORMAT_PNG) return find_png(tiff, file);
    if (format == DECODE_FORMAT_WEBP) return find_webp(tiff, file);
    return false;
}

static uint32_t find_orientation(const struct exif_tiff *tiff)
{
    const struct exif_span block = tiff->block;
    const bool little = tiff->little;
    if (!exif_has(block, tiff->first, 2)) return 1;
    const uint32_t entries = exif_get(block, tiff->first, 2, little);
    for (uint32_t i = 0; i < entries; i++) {
        const size_t entry = tiff->first + 2 + (size_t)i * EXIF_ENTRY_BYTES;
        if (!exif_has(block, entry, EXIF_ENTRY_BYTES)) return 1;
        if (exif_get(block, entry, 2, little) != EXIF_TAG_ORIENTATION) continue;
        if (exif_get(block, entry + 2, 2, little) != TYPE_SHORT) return 1;
        if (exif_get(block, entry + 4, 4, little) != 1) return 1;
        const uint32_t value = exif_get(block, entry + 8, 2, little);
        return value >= 1 && value <= 8 ? value : 1;
    }
    return 1;
}

uint32_t exif_orientation(const uint8_t *data, size_t bytes, enum decode_format format)
{
    struct exif_tiff tiff;
    return exif_find(&tiff, data, bytes, format) ? find_orientation(&tiff) : 1;
}
