/* str_utf8.c - Unicode and escaping: what makes foreign bytes safe to store, log and show. */
#include "common/base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Length of the well-formed sequence at the front of data, or 0 (RFC 3629, section 4). */
static size_t sequence(const unsigned char *data, size_t bytes)
{
    const unsigned char lead = data[0];
    if (lead < 0x80) return 1;
    size_t length;
    unsigned char low = 0x80, high = 0xbf; /* bounds of the second byte */
    if (lead >= 0xc2 && lead <= 0xdf) {
        length = 2;
    } else if (lead >= 0xe0 && lead <= 0xef) {
        length = 3;
        if (lead == 0xe0) low = 0xa0;
        if (lead == 0xed) high = 0x9f;
    } else if (lead >= 0xf0 && lead <= 0xf4) {
        length = 4;
        if (lead == 0xf0) low = 0x90;
        if (lead == 0xf4) high = 0x8f;
    } else {
        return 0;
    }
    if (bytes < length || data[1] < low || data[1] > high) return 0;
    for (size_t i = 2; i < length; i++)
        if ((data[i] & 0xc0) != 0x80) return 0;
    return length;
}

size_t str_utf8_valid(const char *data, size_t bytes)
{
    size_t at = 0;
    while (at < bytes) {
        const size_t length = sequence((const unsigned char *)data + at, bytes - at);
        if (!length) break;
        at += length;
    }
    return at;
}

#define REPLACEMENT "\xef\xbf\xbd"

void str_utf8_clean(struct buf *out, const char *data, size_t bytes)
{
    while (bytes) {
        const size_t valid = str_utf8_valid(data, bytes);
        buf_add(out, data, valid);
        data += valid;
        bytes -= valid;
        if (!bytes) break;
        buf_text(out, REPLACEMENT);
        data++;
        bytes--;
    }
}

/* The escape of a byte that JSON does not take as it is, or NULL. */
static const char *json_escape(char byte)
{
    switch (byte) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\b':
        return "\\b";
    case '\f':
        return "\\f";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        return NULL;
    }
}

void str_json(struct buf *out, const char *data, size_t bytes)
{
    buf_byte(out, '"');
    size_t at = 0;
    while (at < bytes) {
        const unsigned char byte = (unsigned char)data[at];
        const char *escape = json_escape(data[at]);
        const size_t length = sequence((const unsigned char *)data + at, bytes - at);
        if (escape)
            buf_text(out, escape);
        else if (byte < 0x20 || byte == 0x7f)
            buf_printf(out, "\\u%04x", byte);
        else if (length)
            buf_add(out, data + at, length);
        else
            buf_text(out, REPLACEMENT);
        at += length ? length : 1;
    }
    buf_byte(out, '"');
}

void str_json_real(struct buf *out, double number, bool is_float)
{
    char text[40];
    for (int digits = is_float ? 6 : 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, number);
        if (is_float ? strtof(text, NULL) == (float)number : strtod(text, NULL) == number) break;
    }
    buf_text(out, text);
    if (!strpbrk(text, ".e")) buf_text(out, ".0");
}

void str_html(struct buf *out, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '&':
            buf_text(out, "&amp;");
            break;
        case '<':
            buf_text(out, "&lt;");
            break;
        case '>':
            buf_text(out, "&gt;");
            break;
        case '"':
            buf_text(out, "&quot;");
            break;
        case '\'':
            buf_text(out, "&#39;");
            break;
        default:
            buf_byte(out, *text);
        }
    }
}

void str_url_redact(struct buf *out, const char *url)
{
    const char *scheme = strstr(url, "://");
    const char *authority = scheme ? scheme + 3 : url;
    const size_t bytes = strcspn(authority, "/?#");
    const char *host = authority;
    for (size_t i = 0; i < bytes; i++)
        if (authority[i] == '@') host = authority + i + 1;
    if (!scheme) host = url; /* not a URL with an authority: nothing to hide */
    if (scheme) buf_add(out, url, (size_t)(authority - url));
    buf_text(out, host);
}
