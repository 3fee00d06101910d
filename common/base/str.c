/* str.c - parsing and printing small texts. The Unicode and escaping half is str_utf8.c. */
#include "common/base/str.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool str_copy(char *dst, size_t dst_bytes, const char *src)
{
    if (!dst_bytes) return false;
    const size_t bytes = strnlen(src, dst_bytes);
    const bool fits = bytes < dst_bytes;
    const size_t kept = fits ? bytes : dst_bytes - 1;
    memmove(dst, src, kept);
    dst[kept] = 0;
    return fits;
}

bool str_eq(const char *a, const char *b)
{
    if (!a || !b) return a == b;
    return strcmp(a, b) == 0;
}

bool str_has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool str_has_suffix(const char *text, const char *suffix)
{
    const size_t text_bytes = strlen(text), suffix_bytes = strlen(suffix);
    return text_bytes >= suffix_bytes && strcmp(text + text_bytes - suffix_bytes, suffix) == 0;
}

/* A number's text is quoted in errors; this much of it tells the person enough. */
#define SHOWN 40

int str_to_int(int64_t *out, const char *text, int64_t min, int64_t max, const char *what,
               struct err *err)
{
    const char *digits = text[0] == '-' ? text + 1 : text;
    if (!*digits || digits[strspn(digits, "0123456789")])
        return err_set(err, ERR_INVALID, "%s must be a whole number, not '%.*s'", what, SHOWN,
                       text);
    errno = 0;
    const intmax_t value = strtoimax(text, NULL, 10);
    if (errno || value < min || value > max)
        return err_set(err, ERR_INVALID, "%s must be from %" PRId64 " to %" PRId64 ", not %.*s",
                       what, min, max, SHOWN, text);
    *out = value;
    return 0;
}

int str_to_double(double *out, const char *text, double min, double max, const char *what,
                  struct err *err)
{
    char *end = NULL;
    /* The character set shuts out the spaces, hexadecimal, nan and inf that strtod takes. */
    const bool plain = text[0] && !text[strspn(text, "0123456789+-.eE")];
    const double value = plain ? strtod(text, &end) : 0;
    if (!plain || end == text || *end || !isfinite(value))
        return err_set(err, ERR_INVALID, "%s must be a number, not '%.*s'", what, SHOWN, text);
    if (value < min || value > max)
        return err_set(err, ERR_INVALID, "%s must be from %g to %g, not %.*s", what, min, max,
                       SHOWN, text);
    *out = value;
    return 0;
}

/* Reads the digits at the front of text; *unit is what follows. */
static bool leading(int64_t *value, const char **unit, const char *text)
{
    const size_t digits = strspn(text, "0123456789");
    if (!digits || digits > 19) return false;
    errno = 0;
    *value = strtoimax(text, NULL, 10);
    *unit = text + digits;
    return errno == 0;
}

int str_to_bytes(int64_t *out, const char *text, const char *what, struct err *err)
{
    static const char letters[] = "kmgt";
    const char *unit;
    int64_t value;
    int shift = 0;
    bool taken = leading(&value, &unit, text);
    const char *letter = taken && *unit ? strchr(letters, *unit | 0x20) : NULL;
    if (letter) {
        shift = 10 * (int)(letter - letters + 1);
        unit++;
        if (*unit == 'i' && unit[1] == 'B') unit++;
    }
    if (taken && *unit == 'B') unit++;
    taken = taken && !*unit && value <= INT64_MAX >> shift;
    if (!taken)
        return err_set(err, ERR_INVALID, "%s must be a size like 512, 64k, 10M or 2G, not '%.*s'",
                       what, SHOWN, text);
    *out = value << shift;
    return 0;
}

int str_to_ms(int64_t *out, const char *text, const char *what, struct err *err)
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    const char *unit;
    int64_t value;
    if (leading(&value, &unit, text)) {
        for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
            int64_t ms;
            if (!str_eq(unit, units[i].unit)) continue;
            if (__builtin_mul_overflow(value, units[i].ms, &ms)) break;
            *out = ms;
            return 0;
        }
    }
    return err_set(err, ERR_INVALID, "%s must be a time like 250ms, 10s, 5m or 2h, not '%.*s'",
                   what, SHOWN, text);
}

void str_hex(char *dst, const uint8_t *src, size_t src_bytes)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < src_bytes; i++) {
        *dst++ = digits[src[i] >> 4];
        *dst++ = digits[src[i] & 15];
    }
    *dst = 0;
}

static int hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9') return digit - '0';
    if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
    return -1;
}

bool str_unhex(uint8_t *dst, size_t dst_bytes, const char *hex)
{
    for (size_t i = 0; i < dst_bytes; i++) {
        const int high = hex_digit(*hex);
        if (high < 0) return false;
        const int low = hex_digit(hex[1]);
        if (low < 0) return false;
        dst[i] = (uint8_t)(high << 4 | low);
        hex += 2;
    }
    return *hex == 0;
}

/* A value below 1000 units as "999", "1.4" or "12": three digits say enough to a person. */
static char *scaled(char *dst, size_t dst_bytes, double value, const char *const *unit)
{
    if (!(value > 0)) value = 0;
    while (value >= 999.5 && unit[1]) {
        value /= 1000;
        unit++;
    }
    const int digits = **unit && value < 99.95 ? 1 : 0;
    (void)snprintf(dst, dst_bytes, "%.*f%s", digits, value, *unit);
    return dst;
}

char *str_human_bytes(char *dst, size_t dst_bytes, double bytes)
{
    static const char *const units[] = {"", " kB", " MB", " GB", " TB", " PB", NULL};
    scaled(dst, dst_bytes, bytes, units);
    const size_t used = strlen(dst);
    if (!strchr(dst, ' ') && used < dst_bytes) (void)str_copy(dst + used, dst_bytes - used, " B");
    return dst;
}

char *str_human_count(char *dst, size_t dst_bytes, double count)
{
    static const char *const units[] = {"", " k", " M", " G", " T", NULL};
    return scaled(dst, dst_bytes, count, units);
}

char *str_human_ms(char *dst, size_t dst_bytes, int64_t ms)
{
    if (ms < 0) ms = 0;
    const int64_t s = ms / 1000;
    if (ms < 1000)
        (void)snprintf(dst, dst_bytes, "%" PRId64 "ms", ms);
    else if (s < 60)
        (void)snprintf(dst, dst_bytes, "%" PRId64 ".%" PRId64 "s", s, ms % 1000 / 100);
    else if (s < 3600)
        (void)snprintf(dst, dst_bytes, "%" PRId64 "m%02" PRId64 "s", s / 60, s % 60);
    else if (s < 86400)
        (void)snprintf(dst, dst_bytes, "%" PRId64 "h%02" PRId64 "m", s / 3600, s / 60 % 60);
    else
        (void)snprintf(dst, dst_bytes, "%" PRId64 "d%02" PRId64 "h", s / 86400, s / 3600 % 24);
    return dst;
}
