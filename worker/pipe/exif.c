/* exif.c - see exif.h. Every read goes through a span that knows its end. */
#include "worker/pipe/exif.h"

#include <stdbool.h>
#include <string.h>

#define TAG_ORIENTATION 0x0112
#define TYPE_SHORT      3
#define ENTRY_BYTES     12

struct span {
    const uint8_t *data;
    size_t bytes;
};

static bool has(struct span span, size_t offset, size_t bytes)
{
    return offset <= span.bytes && bytes <= span.bytes - offset;
}

/* The caller has asked has(). */
static uint32_t get(struct span span, size_t offset, size_t bytes, bool little)
{
    uint32_t value = 0;
    for (size_t i = 0; i < bytes; i++) {
        const size_t at = little ? offset + bytes - 1 - i : offset + i;
        value = value << 8 | span.data[at];
    }
    return value;
}

static bool has_text(struct span span, size_t offset, const char *text, size_t bytes)
{
    return has(span, offset, bytes) && memcmp(span.data + offset, text, bytes) == 0;
}

/* The part of a span from offset; the caller has asked has(). */
static struct span part(struct span span, size_t offset, size_t bytes)
{
    return (struct span){span.data + offset, bytes};
}

/* A TIFF header and its first directory. */
static uint32_t tiff_orientation(struct span tiff)
{
    bool little;
    if (has_text(tiff, 0, "II*\0", 4))
        little = true;
    else if (has_text(tiff, 0, "MM\0*", 4))
        little = false;
    else
        return 1;
    if (!has(tiff, 4, 4)) return 1;
    const size_t directory = get(tiff, 4, 4, little);
    if (!has(tiff, directory, 2)) return 1;
    const uint32_t entries = get(tiff, directory, 2, little);
    for (uint32_t i = 0; i < entries; i++) {
        const size_t entry = directory + 2 + (size_t)i * ENTRY_BYTES;
        if (!has(tiff, entry, ENTRY_BYTES)) return 1;
        if (get(tiff, entry, 2, little) != TAG_ORIENTATION) continue;
        if (get(tiff, entry + 2, 2, little) != TYPE_SHORT) return 1;
        if (get(tiff, entry + 4, 4, little) != 1) return 1;
        const uint32_t value = get(tiff, entry + 8, 2, little);
        return value >= 1 && value <= 8 ? value : 1;
    }
    return 1;
}

static uint32_t jpeg_orientation(struct span file)
{
    size_t at = 2; /* after the start marker */
    while (has(file, at, 4)) {
        if (file.data[at] != 0xFF) return 1;
        const uint8_t marker = file.data[at + 1];
        if (marker == 0xFF) { /* fill byte */
            at++;
            continue;
        }
        if (marker == 0xDA || marker == 0xD9) return 1; /* picture data, or the end */
        const bool bare = marker == 0x01 || (marker >= 0xD0 && marker <= 0xD7);
        if (bare) {
            at += 2;
            continue;
        }
        const size_t length = get(file, at + 2, 2, false);
        if (length < 2 || !has(file, at + 2, length)) return 1;
        const struct span body = part(file, at + 4, length - 2);
        if (marker == 0xE1 && has_text(body, 0, "Exif\0\0", 6))
            return tiff_orientation(part(body, 6, body.bytes - 6));
        at += 2 + length;
    }
    return 1;
}

static uint32_t png_orientation(struct span file)
{
    size_t at = 8; /* after the signature */
    while (has(file, at, 8)) {
        const size_t length = get(file, at, 4, false);
        if (!has(file, at + 8, length)) return 1;
        if (has_text(file, at + 4, "eXIf", 4)) return tiff_orientation(part(file, at + 8, length));
        at += 8 + length;
        if (!has(file, at, 4)) return 1; /* the chunk's sum */
        at += 4;
    }
    return 1;
}

static uint32_t webp_orientation(struct span file)
{
    size_t at = 12; /* after RIFF, size, WEBP */
    while (has(file, at, 8)) {
        const size_t length = get(file, at + 4, 4, true);
        if (!has(file, at + 8, length)) return 1;
        if (has_text(file, at, "EXIF", 4)) {
            const struct span body = part(file, at + 8, length);
            const size_t skip = has_text(body, 0, "Exif\0\0", 6) ? 6 : 0;
            return tiff_orientation(part(body, skip, body.bytes - skip));
        }
        at += 8 + length + (length & 1);
    }
    return 1;
}

uint32_t exif_orientation(const uint8_t *data, size_t bytes, enum decode_format format)
{
    const struct span file = {data, bytes};
    if (format == DECODE_FORMAT_JPEG) return jpeg_orientation(file);
    if (format == DECODE_FORMAT_PNG) return png_orientation(file);
    if (format == DECODE_FORMAT_WEBP) return webp_orientation(file);
    return 1;
}
