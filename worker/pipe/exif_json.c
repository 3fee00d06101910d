/* exif_json.c - EXIF tags as a JSON object; the rules stand in exif.h.
 *
 * Besides the size of the result, the bytes of values that are looked at are bounded, because any
 * number of tags may share the same large value. */
#include "common/base/str.h"
#include "worker/pipe/exif.h"
#include "worker/pipe/exif_tiff.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define VALUES_MAX       1000
#define VALUE_BYTES_MAX  EXIF_JSON_BYTES_MAX
#define READ_BYTES_MAX   (4 * EXIF_JSON_BYTES_MAX)
#define CODE_BYTES       8 /* of the character code before a comment */
#define TAG_XP_TITLE     0x9C9B
#define TAG_XP_SUBJECT   0x9C9F
#define TAG_GPS_METHOD   27
#define TAG_GPS_AREA     28
#define REPLACEMENT_CHAR 0xFFFD

enum type {
    TYPE_BYTE = 1,
    TYPE_ASCII,
    TYPE_SHORT,
    TYPE_LONG,
    TYPE_RATIONAL,
    TYPE_SBYTE,
    TYPE_UNDEFINED,
    TYPE_SSHORT,
    TYPE_SLONG,
    TYPE_SRATIONAL,
    TYPE_FLOAT,
    TYPE_DOUBLE,
    TYPES_COUNT
};

static const uint8_t type_bytes[TYPES_COUNT] = {0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8};

/* A directory entry whose value is there. */
struct entry {
    uint32_t tag, type, count;
    struct exif_span value;
    bool little;
};

struct writer {
    struct exif_tiff tiff;
    struct buf *out;
    size_t start;     /* of the object in out */
    size_t read_left; /* bytes of values */
    bool full;
};

enum directory { DIRECTORY_IMAGE, DIRECTORY_EXIF, DIRECTORY_GPS };
static const char *const directory_names[] = {"Image", "EXIF", "GPS"};

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == 0 || (byte >= '\t' && byte <= '\r');
}

/* Up to the first zero, without blanks around it. */
static void put_text(struct buf *out, struct exif_span text)
{
    while (text.bytes && is_blank(text.data[0])) text = exif_part(text, 1, text.bytes - 1);
    const uint8_t *zero = text.bytes ? memchr(text.data, 0, text.bytes) : NULL;
    if (zero) text.bytes = (size_t)(zero - text.data);
    while (text.bytes && is_blank(text.data[text.bytes - 1])) text.bytes--;
    str_json(out, (const char *)text.data, text.bytes);
}

static void put_utf8(struct buf *out, uint32_t code)
{
    if (code < 0x80) {
        buf_byte(out, (char)code);
        return;
    }
    const int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const uint8_t lead[] = {0, 0xC0, 0xE0, 0xF0};
    buf_byte(out, (char)(lead[more] | code >> 6 * more));
    for (int i = more - 1; i >= 0; i--) buf_byte(out, (char)(0x80 | (code >> 6 * i & 0x3F)));
}

static void put_utf16(struct buf *out, struct exif_span text, bool little)
{
    struct buf utf8;
    buf_init(&utf8, 0);
    for (size_t at = 0; exif_has(text, at, 2); at += 2) {
        uint32_t code = exif_get(text, at, 2, little);
        if (!code) break;
        if (code >= 0xD800 && code <= 0xDFFF) {
            const uint32_t low = exif_has(text, at + 2, 2) ? exif_get(text, at + 2, 2, little) : 0;
            const bool pair = code < 0xDC00 && low >= 0xDC00 && low <= 0xDFFF;
            code = pair ? 0x10000 + ((code & 0x3FF) << 10) + (low & 0x3FF) : REPLACEMENT_CHAR;
            at += pair ? 2 : 0;
        }
        put_utf8(&utf8, code);
    }
    put_text(out, (struct exif_span){(const uint8_t *)buf_str(&utf8), utf8.len});
    if (buf_failed(&utf8)) out->failed = true;
    buf_deinit(&utf8);
}

static bool is_printable(struct exif_span text)
{
    while (text.bytes && text.data[text.bytes - 1] == 0) text.bytes--;
    for (size_t i = 0; i < text.bytes; i++)
        if (text.data[i] < ' ' || text.data[i] > '~') return false;
    return text.bytes > 0;
}

/* A double in any value that C gives it, or null. */
static void put_double(struct buf *out, double value, int digits)
{
    if (isfinite(value))
        buf_printf(out, "%.*g", digits, value);
    else
        buf_text(out, "null");
}

static void put_fraction(struct buf *out, int64_t over, int64_t under)
{
    int64_t a = over < 0 ? -over : over, b = under < 0 ? -under : under;
    if (!under) {
        buf_text(out, "null");
        return;
    }
    while (b) { /* Euclid */
        const int64_t rest = a % b;
        a = b;
        b = rest;
    }
    const int64_t sign = under < 0 ? -1 : 1;
    over = over / a * sign;
    under = under / a * sign;
    if (under == 1)
        buf_printf(out, "%" PRId64, over);
    else
        buf_printf(out, "\"%" PRId64 "/%" PRId64 "\"", over, under);
}

static void put_number(struct buf *out, const struct entry *entry, uint32_t index)
{
    const struct exif_span value = entry->value;
    const size_t bytes = type_bytes[entry->type], at = index * bytes;
    const uint32_t first = exif_get(value, at, bytes < 4 ? bytes : 4, entry->little);
    const uint32_t second = bytes == 8 ? exif_get(value, at + 4, 4, entry->little) : 0;
    const uint64_t whole =
        entry->little ? (uint64_t)second << 32 | first : (uint64_t)first << 32 | second;
    float single;
    double twice;
    memcpy(&single, &first, sizeof single);
    memcpy(&twice, &whole, sizeof twice);
    switch ((enum type)entry->type) {
    case TYPE_SBYTE:
        buf_printf(out, "%d", (int8_t)first);
        break;
    case TYPE_SSHORT:
        buf_printf(out, "%d", (int16_t)first);
        break;
    case TYPE_SLONG:
        buf_printf(out, "%" PRId32, (int32_t)first);
        break;
    case TYPE_RATIONAL:
        put_fraction(out, first, second);
        break;
    case TYPE_SRATIONAL:
        put_fraction(out, (int32_t)first, (int32_t)second);
        break;
    case TYPE_FLOAT:
        put_double(out, (double)single, 9);
        break;
    case TYPE_DOUBLE:
        put_double(out, twice, 17);
        break;
    case TYPE_BYTE:
    case TYPE_SHORT:
    case TYPE_LONG:
    case TYPE_UNDEFINED:
    case TYPE_ASCII:
    case TYPES_COUNT:
        buf_printf(out, "%" PRIu32, first);
        break;
    }
}

static void put_numbers(struct buf *out, const struct entry *entry)
{
    if (entry->count == 1) {
        put_number(out, entry, 0);
        return;
    }
    buf_byte(out, '[');
    for (uint32_t i = 0; i < entry->count; i++) {
        if (i) buf_byte(out, ',');
        put_number(out, entry, i);
    }
    buf_byte(out, ']');
}

/* Comments begin with the name of their character code. true: written. */
static bool put_coded(struct buf *out, const struct entry *entry, bool gps)
{
    const bool coded = gps ? entry->tag == TAG_GPS_METHOD || entry->tag == TAG_GPS_AREA
                           : entry->tag == EXIF_TAG_USER_COMMENT;
    if (!coded || entry->value.bytes < CODE_BYTES) return false;
    const struct exif_span text =
        exif_part(entry->value, CODE_BYTES, entry->value.bytes - CODE_BYTES);
    if (memcmp(entry->value.data, "UNICODE", CODE_BYTES) == 0)
        put_utf16(out, text, entry->little);
    else if (memcmp(entry->value.data, "ASCII\0\0", CODE_BYTES) == 0 ||
             memcmp(entry->value.data, "\0\0\0\0\0\0\0", CODE_BYTES) == 0)
        put_text(out, text);
    else
        return false;
    return true;
}

static void put_value(struct buf *out, const struct entry *entry, bool gps)
{
    const bool loose = entry->type == TYPE_UNDEFINED;
    const bool windows = entry->type == TYPE_BYTE && !gps && entry->tag >= TAG_XP_TITLE &&
                         entry->tag <= TAG_XP_SUBJECT;
    if (loose && put_coded(out, entry, gps)) return;
    if (entry->type == TYPE_ASCII || (loose && is_printable(entry->value)))
        put_text(out, entry->value);
    else if (windows)
        put_utf16(out, entry->value, true); /* whatever the order of the rest */
    else
        put_numbers(out, entry);
}

/* false: it is of no known type, not all there, or too large. */
static bool read_entry(struct entry *entry, const struct exif_tiff *tiff, size_t at)
{
    const struct exif_span block = tiff->block;
    *entry = (struct entry){.tag = exif_get(block, at, 2, tiff->little),
                            .type = exif_get(block, at + 2, 2, tiff->little),
                            .count = exif_get(block, at + 4, 4, tiff->little),
                            .little = tiff->little};
    if (entry->type < TYPE_BYTE || entry->type >= TYPES_COUNT || !entry->count) return false;
    const bool texts = entry->type == TYPE_ASCII || type_bytes[entry->type] == 1;
    if (entry->count > (texts ? VALUE_BYTES_MAX : VALUES_MAX)) return false;
    const size_t bytes = (size_t)entry->count * type_bytes[entry->type];
    const size_t offset = bytes <= 4 ? at + 8 : exif_get(block, at + 8, 4, tiff->little);
    if (!exif_has(block, offset, bytes)) return false;
    entry->value = exif_part(block, offset, bytes);
    return true;
}

static void put_entry(struct writer *writer, const struct entry *entry, enum directory directory)
{
    struct buf *out = writer->out;
    const size_t mark = out->len;
    const bool gps = directory == DIRECTORY_GPS;
    const char *name = exif_tag_name(gps, entry->tag);
    if (out->data[out->len - 1] != '{') buf_byte(out, ',');
    if (name)
        buf_printf(out, "\"%s %s\":", directory_names[directory], name);
    else
        buf_printf(out, "\"%s Tag 0x%04X\":", directory_names[directory], entry->tag);
    const size_t value = out->len;
    put_value(out, entry, gps);
    /* Bytes by the thousand are no text after all. */
    const bool long_array = out->data[value] == '[' && entry->count > VALUES_MAX;
    if (buf_failed(out)) return;
    writer->full = !long_array && out->len - writer->start >= EXIF_JSON_BYTES_MAX;
    if (!writer->full && !long_array) return;
    out->len = mark;
    out->data[mark] = 0;
}

/* Where the other directories stand, 0: nowhere. */
struct pointers {
    size_t exif, gps;
};

static void put_directory(struct writer *writer, size_t at, enum directory directory,
                          struct pointers *found)
{
    const struct exif_tiff *tiff = &writer->tiff;
    uint64_t seen[65536 / 64] = {0};
    if (!exif_has(tiff->block, at, 2)) return;
    const uint32_t entries = exif_get(tiff->block, at, 2, tiff->little);
    for (uint32_t i = 0; i < entries && !writer->full && !buf_failed(writer->out); i++) {
        const size_t place = at + 2 + (size_t)i * EXIF_ENTRY_BYTES;
        struct entry entry;
        if (!exif_has(tiff->block, place, EXIF_ENTRY_BYTES)) return;
        if (!read_entry(&entry, tiff, place)) continue;
        const uint64_t bit = (uint64_t)1 << entry.tag % 64;
        if (entry.tag == EXIF_TAG_MAKER_NOTE || entry.tag == EXIF_TAG_XMP ||
            seen[entry.tag / 64] & bit)
            continue;
        seen[entry.tag / 64] |= bit;
        if (entry.tag == EXIF_TAG_EXIF || entry.tag == EXIF_TAG_GPS) {
            if (entry.type != TYPE_LONG || entry.count != 1) continue;
            const size_t offset = exif_get(entry.value, 0, 4, tiff->little);
            *(entry.tag == EXIF_TAG_EXIF ? &found->exif : &found->gps) = offset;
            continue;
        }
        if (entry.value.bytes > writer->read_left) return;
        writer->read_left -= entry.value.bytes;
        put_entry(writer, &entry, directory);
    }
}

/* avif: holds the block of such a file, which need not stand in one piece there. */
static bool find_block(struct exif_tiff *tiff, struct buf *avif, const uint8_t *data, size_t bytes,
                       enum decode_format format)
{
    if (format != DECODE_FORMAT_AVIF) return exif_find(tiff, data, bytes, format);
#ifdef VLMQ_AVIF
    if (exif_of_avif(avif, data, bytes))
        return exif_read(tiff, (struct exif_span){(const uint8_t *)avif->data, avif->len});
#else
    (void)avif;
#endif
    return false;
}

void exif_json(struct buf *out, const uint8_t *data, size_t bytes, enum decode_format format)
{
    struct writer writer = {.out = out, .start = out->len, .read_left = READ_BYTES_MAX};
    struct pointers found = {0}, ignored = {0};
    struct buf avif;
    buf_init(&avif, 0);
    buf_byte(out, '{');
    if (find_block(&writer.tiff, &avif, data, bytes, format) && !buf_failed(out)) {
        put_directory(&writer, writer.tiff.first, DIRECTORY_IMAGE, &found);
        if (found.exif) put_directory(&writer, found.exif, DIRECTORY_EXIF, &ignored);
        if (found.gps) put_directory(&writer, found.gps, DIRECTORY_GPS, &ignored);
    }
    buf_byte(out, '}');
    buf_deinit(&avif);
}
