/* fetch_robots.c - lines to rules, and rules against paths.
 *
 * Rules and paths are compared in one spelling: escapes of unreserved characters are decoded, bytes
 * that no URL holds are escaped (RFC 9309 2.2.2). A rule is cut at its stars; its parts are then
 * found one behind the other, the earliest place first, which is all that stars need and takes time
 * in proportion to rule and path. */
#include "worker/pipe/fetch_robots.h"

#include "common/base/buf.h"
#include "common/base/mem.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

struct rule {
    size_t at;      /* of its first part in text; each ends with a zero */
    uint32_t parts; /* one more than it has stars */
    size_t length;  /* octets of the pattern, which decide between rules */
    bool allow, to_the_end;
};

struct fetch_robots {
    struct buf text, rules; /* rules: of struct rule */
};

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

static bool is(struct span span, const char *text)
{
    return span.bytes == strlen(text) && strncasecmp(span.at, text, span.bytes) == 0;
}

/* ---- one spelling ---- */

static int digit16(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static bool unreserved(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static void add_escaped(struct buf *out, int c)
{
    static const char digits[] = "0123456789ABCDEF";
    buf_byte(out, '%');
    buf_byte(out, digits[c >> 4]);
    buf_byte(out, digits[c & 15]);
}

/* Appends the octet at *at and moves behind it. */
static void add_octet(struct buf *out, const char **at, const char *end)
{
    const char *from = *at;
    const int high = *from == '%' && end - from >= 3 ? digit16(from[1]) : -1;
    const int low = high >= 0 ? digit16(from[2]) : -1;
    const int c = low >= 0 ? high * 16 + low : (uint8_t)*from;
    *at = from + (low >= 0 ? 3 : 1);
    if (low >= 0 ? !unreserved(c) : c <= ' ' || c >= 0x7f)
        add_escaped(out, c);
    else
        buf_byte(out, (char)c);
}

/* ---- reading ---- */

static void add_rule(struct fetch_robots *robots, struct span pattern, bool allow)
{
    if (!pattern.bytes || robots->rules.len >= FETCH_ROBOTS_RULES_MAX * sizeof(struct rule)) return;
    struct rule rule = {.at = robots->text.len, .parts = 1, .allow = allow};
    const char *at = pattern.at, *end = pattern.at + pattern.bytes;
    rule.to_the_end = end[-1] == '$';
    if (rule.to_the_end) end--;
    while (at < end) {
        if (*at == '*') {
            buf_byte(&robots->text, 0);
            rule.parts++;
            at++;
        } else {
            add_octet(&robots->text, &at, end);
        }
    }
    rule.length = robots->text.len - rule.at + rule.to_the_end; /* a star's zero counts for it */
    buf_byte(&robots->text, 0);
    buf_add(&robots->rules, &rule, sizeof rule);
}

/* Of "vlmq/1.0" the token is vlmq. */
static bool names(struct span value, const char *token)
{
    size_t len = 0;
    while (len < value.bytes && (unreserved(value.at[len]) && value.at[len] != '.')) len++;
    return len == strlen(token) && strncasecmp(value.at, token, len) == 0;
}

struct reading {
    struct fetch_robots *robots;
    const char *token; /* whose groups to take; "*" */
    bool in_agents;    /* the last lines named agents: further ones are of the same group */
    bool ours, found;
};

static void take_line(struct reading *reading, const char *from, const char *end)
{
    const char *hash = memchr(from, '#', (size_t)(end - from));
    if (hash) end = hash;
    const char *colon = memchr(from, ':', (size_t)(end - from));
    if (!colon) return;
    const struct span key = trim(from, colon), value = trim(colon + 1, end);
    const bool allow = is(key, "allow");
    if (is(key, "user-agent")) {
        if (!reading->in_agents) reading->ours = false;
        reading->in_agents = true;
        if (reading->token[0] == '*' ? is(value, "*") : names(value, reading->token))
            reading->ours = reading->found = true;
    } else if (allow || is(key, "disallow")) {
        reading->in_agents = false;
        if (reading->ours) add_rule(reading->robots, value, allow);
    } /* other lines, such as Sitemap, belong to no group and end none */
}

/* Takes the groups of one token; false: there are none. */
static bool take_groups(struct fetch_robots *robots, const char *text, size_t bytes,
                        const char *token)
{
    struct reading reading = {.robots = robots, .token = token};
    const char *at = text, *end = text + bytes;
    while (at < end) {
        const char *stop = at;
        while (stop < end && *stop != '\n' && *stop != '\r') stop++;
        take_line(&reading, at, stop);
        at = stop + 1;
    }
    return reading.found;
}

struct fetch_robots *fetch_robots_new(const char *text, size_t bytes, const char *token)
{
    struct fetch_robots *robots = mem_try(sizeof *robots);
    if (!robots) return NULL;
    if (bytes > FETCH_ROBOTS_BYTES_MAX) bytes = FETCH_ROBOTS_BYTES_MAX;
    if (bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        text += 3;
        bytes -= 3;
    }
    buf_init(&robots->text, 0);
    buf_init(&robots->rules, 0);
    if (!take_groups(robots, text, bytes, token)) (void)take_groups(robots, text, bytes, "*");
    if (!buf_failed(&robots->text) && !buf_failed(&robots->rules)) return robots;
    fetch_robots_free(robots);
    return NULL;
}

void fetch_robots_free(struct fetch_robots *robots)
{
    if (!robots) return;
    buf_deinit(&robots->text);
    buf_deinit(&robots->rules);
    mem_free(robots);
}

size_t fetch_robots_memory(const struct fetch_robots *robots)
{
    return robots ? sizeof *robots + robots->text.cap + robots->rules.cap : 0;
}

/* ---- asking ---- */

static bool matches(const struct fetch_robots *robots, const struct rule *rule, const char *path)
{
    const char *part = robots->text.data + rule->at;
    size_t len = strlen(part);
    if (strncmp(path, part, len) != 0) return false;
    const char *at = path + len;
    for (uint32_t i = 1; i < rule->parts; i++) {
        part += len + 1;
        len = strlen(part);
        if (rule->to_the_end && i + 1 == rule->parts) {
            const size_t left = strlen(at);
            return left >= len && strcmp(at + left - len, part) == 0;
        }
        at = strstr(at, part);
        if (!at) return false;
        at += len;
    }
    return !rule->to_the_end || *at == 0;
}

/* Path and query of an absolute URL in the spelling of the rules. */
static void put_path(struct buf *path, const char *url)
{
    const char *authority = strstr(url, "://");
    const char *at = authority ? authority + 3 + strcspn(authority + 3, "/?#") : url;
    const char *end = at + strcspn(at, "#");
    if (at == end || *at != '/') buf_byte(path, '/');
    while (at < end) add_octet(path, &at, end);
}

bool fetch_robots_allow(const struct fetch_robots *robots, const char *url)
{
    struct buf path;
    const struct rule *best = NULL;
    if (!robots || !robots->rules.len) return true;
    const struct rule *rules = (const struct rule *)(const void *)robots->rules.data;
    const size_t count = robots->rules.len / sizeof *rules;
    buf_init(&path, 0);
    put_path(&path, url);
    /* Without the memory to know it is not allowed. */
    bool allowed = !buf_failed(&path);
    for (size_t i = 0; allowed && i < count; i++) {
        const struct rule *rule = &rules[i];
        if (best && (rule->length < best->length ||
                     (rule->length == best->length && (best->allow || !rule->allow))))
            continue;
        if (matches(robots, rule, path.data)) best = rule;
    }
    if (allowed && best && !best->allow) allowed = strcmp(path.data, "/robots.txt") == 0;
    buf_deinit(&path);
    return allowed;
}
