/* clean.c - see clean.h. */
#include "worker/nn/text/clean.h"

#include "common/base/mem.h"
#include "common/base/str.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#define REPLACEMENT     "\xEF\xBF\xBD"
#define CAPITAL_I_DOT   0x130
#define DECOMPOSED_MAX  8 /* code points of one character: Unicode has at most four */
#define COMBINING_CLASS 256

/* The code point at text, which is valid UTF-8, and its bytes. */
static size_t next(int32_t *point, const char *text, size_t bytes)
{
    const utf8proc_ssize_t taken =
        utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)bytes, point);
    return taken > 0 ? (size_t)taken : 1;
}

static void put(struct buf *out, int32_t point)
{
    utf8proc_uint8_t bytes[4];
    buf_add(out, bytes, (size_t)utf8proc_encode_char(point, bytes));
}

static bool is_space(int32_t point)
{
    return (point >= 9 && point <= 13) || point == ' ' || point == 0x85 || point == 0xA0 ||
           point == 0x1680 || (point >= 0x2000 && point <= 0x200A) || point == 0x2028 ||
           point == 0x2029 || point == 0x202F || point == 0x205F || point == 0x3000;
}

/* What Python's str.isspace takes besides. */
static bool is_stripped(int32_t point)
{
    return is_space(point) || (point >= 0x1C && point <= 0x1F);
}

static uint32_t combining_class(int32_t point)
{
    return (uint32_t)utf8proc_get_property(point)->combining_class & 0xFF;
}

/* Sorts the marks by their combining classes and keeps the order within each. Counting, because a
 * text may be nothing but marks, and utf8proc's own order takes the square of their number. */
static void order_marks(int32_t *mark, int32_t *spare, size_t count)
{
    size_t start[COMBINING_CLASS + 1] = {0};
    for (size_t i = 0; i < count; i++) start[combining_class(mark[i]) + 1]++;
    for (size_t i = 0; i < COMBINING_CLASS; i++) start[i + 1] += start[i];
    for (size_t i = 0; i < count; i++) spare[start[combining_class(mark[i])]++] = mark[i];
    memcpy(mark, spare, count * sizeof *mark);
}

static void order(int32_t *point, int32_t *spare, size_t count)
{
    for (size_t at = 0; at < count;) {
        size_t end = at;
        while (end < count && combining_class(point[end])) end++;
        if (end - at > 1) order_marks(point + at, spare, end - at);
        at = end + 1;
    }
}

/* Returns how many code points it wrote to point, which has room for DECOMPOSED_MAX behind each
 * byte's worth; 0 when utf8proc refuses one, which valid UTF-8 never causes. */
static size_t decompose(int32_t *point, const char *text, size_t bytes)
{
    size_t count = 0;
    int boundary = 0;
    for (size_t at = 0; at < bytes;) {
        int32_t one;
        at += next(&one, text + at, bytes - at);
        const utf8proc_ssize_t made = utf8proc_decompose_char(
            one, point + count, DECOMPOSED_MAX, UTF8PROC_DECOMPOSE | UTF8PROC_STABLE, &boundary);
        if (made < 1 || made > DECOMPOSED_MAX) return 0;
        count += (size_t)made;
    }
    return count;
}

static bool is_ascii(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if ((unsigned char)text[i] > 127) return false;
    return true;
}

void clean_nfc(struct buf *out, const char *text, size_t bytes)
{
    if (is_ascii(text, bytes)) {
        buf_add(out, text, bytes);
        return;
    }
    /* A character of n bytes has at most 2n code points: three at two bytes, four at three. */
    const size_t room = 2 * bytes + DECOMPOSED_MAX;
    int32_t *point = mem_try(room * sizeof *point), *spare = mem_try(room * sizeof *spare);
    size_t count = point && spare ? decompose(point, text, bytes) : 0;
    if (count) {
        order(point, spare, count);
        const utf8proc_ssize_t made = utf8proc_normalize_utf32(point, (utf8proc_ssize_t)count,
                                                               UTF8PROC_COMPOSE | UTF8PROC_STABLE);
        count = made > 0 ? (size_t)made : 0;
    }
    for (size_t i = 0; i < count; i++) put(out, point[i]);
    if (!count) out->failed = true;
    mem_free(spare);
    mem_free(point);
}

void clean_spaces(struct buf *out, const char *text, size_t bytes)
{
    bool was_space = false;
    for (size_t at = 0; at < bytes;) {
        int32_t point;
        const size_t taken = next(&point, text + at, bytes - at);
        const bool space = is_space(point);
        if (!space) buf_add(out, text + at, taken);
        if (space && !was_space) buf_byte(out, ' ');
        was_space = space;
        at += taken;
    }
}

void clean_lower(struct buf *out, const char *text, size_t bytes)
{
    for (size_t at = 0; at < bytes;) {
        int32_t point;
        at += next(&point, text + at, bytes - at);
        if (point == CAPITAL_I_DOT) /* the only one whose lower case is longer than a character */
            buf_text(out, "i\xCC\x87");
        else
            put(out, utf8proc_tolower(point));
    }
}

const char *clean_strip(const char *text, size_t *bytes)
{
    size_t end = 0, start = *bytes;
    for (size_t at = 0; at < *bytes;) {
        int32_t point;
        const size_t taken = next(&point, text + at, *bytes - at);
        if (!is_stripped(point)) {
            if (start == *bytes) start = at;
            end = at + taken;
        }
        at += taken;
    }
    *bytes = end > start ? end - start : 0;
    return text + start;
}

/* Whether the byte can stand behind the lead byte (Unicode Standard, table 3-7). */
static bool may_follow(unsigned char lead, unsigned char byte)
{
    switch (lead) {
    case 0xE0:
        return byte >= 0xA0 && byte <= 0xBF;
    case 0xED:
        return byte >= 0x80 && byte <= 0x9F;
    case 0xF0:
        return byte >= 0x90 && byte <= 0xBF;
    case 0xF4:
        return byte >= 0x80 && byte <= 0x8F;
    default:
        return byte >= 0x80 && byte <= 0xBF;
    }
}

/* Bytes of the longest beginning of a character at data, which is no whole character; at least 1.
 */
static size_t broken(const char *data, size_t bytes)
{
    const unsigned char lead = (unsigned char)data[0];
    const size_t whole = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    size_t taken = 1;
    if (lead < 0xC2 || lead > 0xF4) return 1;
    if (bytes > 1 && may_follow(lead, (unsigned char)data[1])) taken = 2;
    while (taken > 1 && taken < whole && taken < bytes && may_follow(0, (unsigned char)data[taken]))
        taken++;
    return taken;
}

void clean_utf8(struct buf *out, const char *data, size_t bytes)
{
    while (bytes) {
        size_t taken = str_utf8_valid(data, bytes);
        buf_add(out, data, taken);
        data += taken;
        bytes -= taken;
        if (!bytes) break;
        taken = broken(data, bytes);
        buf_text(out, REPLACEMENT);
        data += taken;
        bytes -= taken;
    }
}
