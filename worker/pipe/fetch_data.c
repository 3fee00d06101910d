/* fetch_data.c - one pass: escapes, base64, body. */
#include "worker/pipe/fetch_data.h"

#include <string.h>
#include <strings.h>

#define SCHEME       "data:"
#define BASE64       ";base64"
#define TYPE_DEFAULT "text/plain;charset=US-ASCII" /* RFC 2397 */

struct reader {
    const char *at, *end;
    bool bad;
};

bool fetch_data_is(const char *url)
{
    return strncasecmp(url, SCHEME, strlen(SCHEME)) == 0;
}

static int digit16(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* The next byte behind its escape; -1: the end, or something wrong. */
static int next_byte(struct reader *reader)
{
    if (reader->at == reader->end) return -1;
    const char c = *reader->at++;
    if (c != '%') return (uint8_t)c;
    const int high = reader->end - reader->at >= 2 ? digit16(reader->at[0]) : -1;
    const int low = high >= 0 ? digit16(reader->at[1]) : -1;
    if (low < 0) {
        reader->bad = true;
        return -1;
    }
    reader->at += 2;
    return high * 16 + low;
}

static int digit64(int c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '+' || c == '-') return 62; /* and the alphabet of URLs, RFC 4648 5 */
    if (c == '/' || c == '_') return 63;
    return -1;
}

static bool is_blank(int c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f';
}

static void decode64(struct reader *reader, struct buf *body)
{
    uint32_t bits = 0;
    size_t digits = 0, padding = 0;
    int c;
    while ((c = next_byte(reader)) >= 0) {
        if (is_blank(c)) continue;
        if (c == '=') {
            padding++;
            continue;
        }
        const int digit = digit64(c);
        if (digit < 0 || padding) {
            reader->bad = true;
            return;
        }
        bits = (bits << 6 | (uint32_t)digit) & 0xffffff;
        digits++;
        if (digits % 4 == 2) buf_byte(body, (char)(bits >> 4 & 0xff));
        if (digits % 4 == 3) buf_byte(body, (char)(bits >> 2 & 0xff));
        if (digits % 4 == 0) buf_byte(body, (char)(bits & 0xff));
    }
    if (digits % 4 == 1 || (padding && (padding > 2 || (digits + padding) % 4))) reader->bad = true;
}

static void put_type(struct fetch_item *item, const char *type, size_t bytes)
{
    if (bytes == 0) {
        type = TYPE_DEFAULT;
        bytes = strlen(type);
    }
    size_t len = 0;
    for (; len < bytes && len + 1 < sizeof item->content_type; len++) {
        const char c = type[len];
        item->content_type[len] = (char)(c >= ' ' && c <= '~' ? c : '?');
    }
    item->content_type[len] = 0;
}

enum fetch_status fetch_data_decode(struct fetch_item *item, int64_t body_bytes_max)
{
    const char *type = item->url + strlen(SCHEME);
    const char *comma = strchr(type, ',');
    if (!comma) return FETCH_BAD_URL;
    size_t type_bytes = (size_t)(comma - type);
    const size_t mark_bytes = strlen(BASE64);
    const bool base64 =
        type_bytes >= mark_bytes && strncasecmp(comma - mark_bytes, BASE64, mark_bytes) == 0;
    if (base64) type_bytes -= mark_bytes;
    put_type(item, type, type_bytes);
    struct reader reader = {comma + 1, comma + 1 + strcspn(comma + 1, "#"), false};
    struct buf *body = &item->body;
    if (base64) {
        decode64(&reader, body);
    } else {
        for (int c; (c = next_byte(&reader)) >= 0;) buf_byte(body, (char)c);
    }
    if (reader.bad) return FETCH_BAD_URL;
    if ((int64_t)body->len > body_bytes_max) return FETCH_TOO_MANY_BYTES;
    if (buf_failed(body))
        return body->max && body->len >= body->max ? FETCH_TOO_MANY_BYTES : FETCH_FAILED;
    return body->len ? FETCH_OK : FETCH_EMPTY_BODY;
}
