/* fetch_opt_out.c - parts between commas, each perhaps with a token in front. */
#include "worker/pipe/fetch_opt_out.h"

#include <string.h>
#include <strings.h>

struct span {
    const char *at;
    size_t bytes;
};

static struct span trim(const char *from, const char *end)
{
    while (from < end && (*from == ' ' || *from == '\t')) from++;
    while (from < end && (end[-1] == ' ' || end[-1] == '\t')) end--;
    return (struct span){from, (size_t)(end - from)};
}

static bool same(struct span span, const char *text, size_t bytes)
{
    return span.bytes == bytes && strncasecmp(span.at, text, bytes) == 0;
}

static bool is(struct span span, const char *text)
{
    return same(span, text, strlen(text));
}

/* What stands before a colon without being a token: the name of a value, or, as in
 * "unavailable_after: Fri, 25 Jun 2010 15:00:00 PST", a part of one. */
static bool is_of_value(struct span name)
{
    return memchr(name.at, ' ', name.bytes) || is(name, "unavailable_after") ||
           is(name, "max-snippet") || is(name, "max-image-preview") ||
           is(name, "max-video-preview");
}

static bool listed(struct span directive, const char *directives)
{
    while (*directives) {
        const size_t bytes = strcspn(directives, ",");
        if (bytes && (same(directive, directives, bytes) ||
                      (is(directive, "none") && bytes == strlen("noindex") &&
                       !memcmp(directives, "noindex", bytes))))
            return true;
        directives += bytes + (directives[bytes] == ',');
    }
    return false;
}

bool fetch_opt_out(const char *value, size_t bytes, const char *directives)
{
    const char *at = value, *end = value + bytes;
    bool for_us = true;
    while (at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *stop = comma ? comma : end;
        const char *colon = memchr(at, ':', (size_t)(stop - at));
        if (colon && !is_of_value(trim(at, colon))) {
            for_us = is(trim(at, colon), FETCH_PRODUCT_TOKEN);
            at = colon + 1;
            continue; /* a directive, or a further token */
        }
        if (!colon && for_us && listed(trim(at, stop), directives)) return true;
        at = comma ? comma + 1 : end;
    }
    return false;
}
