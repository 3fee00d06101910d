/* decode_sniff.c - which format the first bytes are of.
 *
 * Formats that are not decoded are still told apart, so that a report can say how many rows
 * another decoder would win. */
#include "worker/pipe/decode.h"

#include <string.h>
#include <strings.h>

/* Enough for a byte-order mark, a declaration and a comment before the first tag. */
#define TEXT_BYTES_MAX 1024

struct head {
    const uint8_t *data;
    size_t bytes;
};

static bool has(struct head head, size_t offset, const char *magic, size_t bytes)
{
    return offset + bytes <= head.bytes && memcmp(head.data + offset, magic, bytes) == 0;
}

/* The brands of an ISO base media file: the major one first, then the compatible ones. */
static enum decode_format sniff_brands(struct head head)
{
    static const struct {
        char brand[5];
        enum decode_format format;
    } table[] = {
        {"avif", DECODE_FORMAT_AVIF}, {"avis", DECODE_FORMAT_AVIF}, {"heic", DECODE_FORMAT_HEIC},
        {"heix", DECODE_FORMAT_HEIC}, {"heim", DECODE_FORMAT_HEIC}, {"heis", DECODE_FORMAT_HEIC},
        {"hevc", DECODE_FORMAT_HEIC}, {"hevx", DECODE_FORMAT_HEIC}, {"mif1", DECODE_FORMAT_HEIC},
        {"msf1", DECODE_FORMAT_HEIC},
    };
    const size_t tables = sizeof table / sizeof table[0];
    bool generic = false; /* mif1 and msf1 say too little: AVIF files carry them as well */
    size_t end = (size_t)head.data[2] << 8 | head.data[3];
    if (head.data[0] || head.data[1] || end > head.bytes) end = head.bytes;
    for (size_t at = 8; at + 4 <= end; at += at == 8 ? 8 : 4) {
        for (size_t i = 0; i < tables; i++) {
            if (memcmp(head.data + at, table[i].brand, 4) != 0) continue;
            if (table[i].brand[0] != 'm') return table[i].format;
            generic = true;
        }
    }
    return generic ? DECODE_FORMAT_HEIC : DECODE_FORMAT_UNKNOWN;
}

static bool is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

static bool begins(struct head text, const char *word)
{
    const size_t bytes = strlen(word);
    return text.bytes >= bytes && strncasecmp((const char *)text.data, word, bytes) == 0;
}

/* Drops everything up to and with the end mark; false when there is none. */
static bool skip_past(struct head *text, const char *end)
{
    const size_t bytes = strlen(end);
    for (size_t at = 0; at + bytes <= text->bytes; at++) {
        if (memcmp(text->data + at, end, bytes) != 0) continue;
        text->data += at + bytes;
        text->bytes -= at + bytes;
        return true;
    }
    return false;
}

/* Skips spaces, comments and declarations, then looks at the first tag. */
static enum decode_format sniff_text(struct head text)
{
    if (text.bytes > TEXT_BYTES_MAX) text.bytes = TEXT_BYTES_MAX;
    if (has(text, 0, "\xEF\xBB\xBF", 3)) {
        text.data += 3;
        text.bytes -= 3;
    }
    for (;;) {
        while (text.bytes && is_space(text.data[0])) {
            text.data++;
            text.bytes--;
        }
        if (begins(text, "<!--")) {
            if (!skip_past(&text, "-->")) return DECODE_FORMAT_UNKNOWN;
        } else if (begins(text, "<?xml")) {
            if (!skip_past(&text, "?>")) return DECODE_FORMAT_UNKNOWN;
        } else {
            break;
        }
    }
    if (begins(text, "<svg") || begins(text, "<!doctype svg")) return DECODE_FORMAT_SVG;
    if (begins(text, "<html") || begins(text, "<!doctype html") || begins(text, "<head") ||
        begins(text, "<body") || begins(text, "<script"))
        return DECODE_FORMAT_HTML;
    return DECODE_FORMAT_UNKNOWN;
}

enum decode_format decode_sniff(const uint8_t *data, size_t bytes)
{
    const struct head head = {data, bytes};
    if (has(head, 0, "\xFF\xD8\xFF", 3)) return DECODE_FORMAT_JPEG;
    if (has(head, 0, "\x89PNG\r\n\x1A\n", 8)) return DECODE_FORMAT_PNG;
    if (has(head, 0, "RIFF", 4) && has(head, 8, "WEBP", 4)) return DECODE_FORMAT_WEBP;
    if (has(head, 0, "GIF87a", 6) || has(head, 0, "GIF89a", 6)) return DECODE_FORMAT_GIF;
    if (has(head, 4, "ftyp", 4) && bytes >= 12) return sniff_brands(head);
    if (has(head, 0, "\xFF\x0A", 2) || has(head, 0, "\0\0\0\x0CJXL \r\n\x87\n", 12))
        return DECODE_FORMAT_JXL;
    if (has(head, 0, "II*\0", 4) || has(head, 0, "MM\0*", 4) || has(head, 0, "II+\0", 4) ||
        has(head, 0, "MM\0+", 4))
        return DECODE_FORMAT_TIFF;
    /* Two letters say little; the reserved words of the header are zero as well. */
    if (has(head, 0, "BM", 2) && has(head, 6, "\0\0\0\0", 4)) return DECODE_FORMAT_BMP;
    if (has(head, 0, "\0\0\1\0", 4) && bytes > 5 && data[5] == 0 && data[4] != 0)
        return DECODE_FORMAT_ICO;
    return bytes ? sniff_text(head) : DECODE_FORMAT_UNKNOWN;
}
