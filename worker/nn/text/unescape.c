/* unescape.c - clean_unescape: character references of HTML, as Python's html.unescape. */
#include "common/base/str.h"
#include "worker/nn/text/clean.h"
#include "worker/nn/text/entities.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#define NAME_BYTES_MAX 40       /* of the longest name that means something, and more */
#define POINT_END      0x110000 /* numbers stop growing here */

/* What the numbers 0x80 to 0x9F mean: they were written for Windows-1252. 0: the number itself. */
static const uint16_t windows_1252[32] = {
    0x20AC, 0x81,   0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160,
    0x2039, 0x0152, 0x8D,   0x017D, 0x8F,   0x90,   0x2018, 0x2019, 0x201C, 0x201D, 0x2022,
    0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0x9D,   0x017E, 0x0178};

/* Control characters and what Unicode promises never to use: they are left out. */
static bool is_dropped(uint32_t point)
{
    if (point < 0x20) return point != '\t' && point != '\n' && point != '\f' && point != '\r';
    if (point >= 0xFDD0 && point <= 0xFDEF) return true;
    return (point >= 0x7F && point <= 0x9F) || (point & 0xFFFE) == 0xFFFE;
}

static void put_number(struct buf *out, uint32_t point)
{
    utf8proc_uint8_t bytes[4];
    if (point >= 0x80 && point <= 0x9F) {
        point = windows_1252[point - 0x80];
    } else {
        if (point == 0 || point >= POINT_END || (point >= 0xD800 && point <= 0xDFFF))
            point = 0xFFFD;
        if (is_dropped(point)) return;
    }
    buf_add(out, bytes, (size_t)utf8proc_encode_char((utf8proc_int32_t)point, bytes));
}

static int digit(char c, uint32_t base)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (base == 16 && c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (base == 16 && c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* text is what follows "&#". Returns how much of it is the number and its ";"; 0: no number. */
static size_t number(struct buf *out, const char *text, size_t bytes)
{
    const uint32_t base = bytes && (text[0] == 'x' || text[0] == 'X') ? 16 : 10;
    const size_t start = base == 16;
    size_t at = start;
    uint32_t point = 0;
    for (; at < bytes && digit(text[at], base) >= 0; at++) {
        point = point * base + (uint32_t)digit(text[at], base);
        if (point > POINT_END) point = POINT_END;
    }
    if (at == start) return 0;
    if (at < bytes && text[at] == ';') at++;
    put_number(out, point);
    return at;
}

static int by_name(const void *key, const void *element)
{
    const struct entity *entity = element;
    return strcmp(key, entity->name);
}

/* What the first bytes of text name, or NULL. */
static const char *lookup(const char *text, size_t bytes)
{
    char name[NAME_BYTES_MAX];
    const struct entity *found;
    if (bytes >= sizeof name) return NULL;
    memcpy(name, text, bytes);
    name[bytes] = 0;
    if (strlen(name) != bytes) return NULL;
    found = bsearch(name, entities, entities_count, sizeof *entities, by_name);
    return found ? found->value : NULL;
}

/* How far a name at text may reach, with its ";". Longer ones mean nothing. */
static size_t name_bytes(const char *text, size_t bytes)
{
    size_t at = 0;
    while (at < bytes && at < NAME_BYTES_MAX && !strchr("\t\n\f <&#;", text[at])) at++;
    if (at && at < bytes && text[at] == ';') at++;
    return at;
}

/* text is what follows "&". Returns how much of it is a name; 0: none. */
static size_t named(struct buf *out, const char *text, size_t bytes)
{
    const size_t whole = name_bytes(text, bytes);
    for (size_t length = whole; length > 1; length--) {
        const char *value = lookup(text, length);
        if (!value) continue;
        buf_text(out, value);
        return length;
    }
    return 0;
}

void clean_unescape(struct buf *out, const char *text, size_t bytes)
{
    while (bytes) {
        const char *mark = memchr(text, '&', bytes);
        size_t plain = mark ? (size_t)(mark - text) : bytes, taken = 0;
        buf_add(out, text, plain);
        text += plain;
        bytes -= plain;
        if (!bytes) break;
        if (bytes > 1 && text[1] == '#') {
            taken = number(out, text + 2, bytes - 2);
            if (taken) taken++; /* the "#" */
        } else {
            taken = named(out, text + 1, bytes - 1);
        }
        if (!taken) buf_byte(out, '&');
        text += taken + 1;
        bytes -= taken + 1;
    }
}
