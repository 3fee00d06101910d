/* hub_answer.c - headers of the hub's answers, and what its refusals mean. */
#include "client/model/hub.h"
#include "common/base/str.h"

#include <string.h>
#include <strings.h>

#define RETRY_AFTER_S_MAX (24 * 3600)

void hub_headers_init(struct hub_headers *headers)
{
    *headers = (struct hub_headers){.length = -1, .range_at = -1, .range_of = -1};
}

/* The value of a line of that name, without blanks around it; NULL: another name. */
static const char *value_of(const char *line, size_t *bytes, const char *name)
{
    const size_t len = strlen(name);
    if (*bytes <= len || line[len] != ':' || strncasecmp(line, name, len) != 0) return NULL;
    const char *from = line + len + 1, *end = line + *bytes;
    while (from < end && (*from == ' ' || *from == '\t')) from++;
    while (from < end && strchr(" \t\r\n", end[-1]) && end[-1]) end--;
    *bytes = (size_t)(end - from);
    return from;
}

/* Digits at *at; -1: none. Beyond any file's size it grows no more. */
static int64_t number_at(const char **at, const char *end)
{
    int64_t value = -1;
    for (; *at < end && **at >= '0' && **at <= '9'; (*at)++) {
        if (value > HUB_FILE_BYTES_MAX) continue;
        value = (value < 0 ? 0 : value) * 10 + (**at - '0');
    }
    return value;
}

/* "bytes 100-199/200" */
static void take_range(struct hub_headers *headers, const char *at, const char *end)
{
    static const char unit[] = "bytes ";
    if ((size_t)(end - at) < sizeof unit || strncasecmp(at, unit, sizeof unit - 1) != 0) return;
    at += sizeof unit - 1;
    const int64_t first = number_at(&at, end);
    if (first < 0 || at == end || *at != '-') return;
    at++;
    const int64_t last = number_at(&at, end);
    if (last < first || at == end || *at != '/') return;
    at++;
    headers->range_at = first;
    headers->range_of = number_at(&at, end); /* "*": not told */
}

static void take_text(char *dst, size_t dst_bytes, const char *text, size_t bytes)
{
    dst[0] = 0;
    if (bytes >= dst_bytes) return;
    for (size_t i = 0; i < bytes; i++)
        if ((uint8_t)text[i] < 0x20 || text[i] == 0x7f) return;
    memcpy(dst, text, bytes);
    dst[bytes] = 0;
}

/* <https://…>; rel="next", among others behind commas (RFC 8288). */
static void take_next(struct hub_headers *headers, const char *at, const char *end)
{
    while (at < end) {
        const char *from = memchr(at, '<', (size_t)(end - at));
        const char *to = from ? memchr(from, '>', (size_t)(end - from)) : NULL;
        if (!to) return;
        const char *rest = to + 1;
        const char *stop = memchr(rest, '<', (size_t)(end - rest));
        if (!stop) stop = end;
        char about[64];
        take_text(about, sizeof about, rest, (size_t)(stop - rest));
        if (strstr(about, "rel=\"next\"") || strstr(about, "rel=next")) {
            take_text(headers->next, sizeof headers->next, from + 1, (size_t)(to - from - 1));
            return;
        }
        at = stop;
    }
}

static void take_length(struct hub_headers *headers, const char *at, const char *end)
{
    const int64_t length = number_at(&at, end);
    headers->length = at == end ? length : -1;
}

static void take_retry_after(struct hub_headers *headers, const char *at, const char *end)
{
    const int64_t seconds = number_at(&at, end);
    headers->retry_after_s = seconds < 0                   ? 0
                             : seconds > RETRY_AFTER_S_MAX ? RETRY_AFTER_S_MAX
                                                           : seconds;
}

static void take_etag(struct hub_headers *headers, const char *at, const char *end)
{
    const bool strong = end - at >= 2 && at[0] == '"' && end[-1] == '"';
    if (strong) take_text(headers->etag, sizeof headers->etag, at, (size_t)(end - at));
}

static void take_error_code(struct hub_headers *headers, const char *at, const char *end)
{
    take_text(headers->error_code, sizeof headers->error_code, at, (size_t)(end - at));
}

void hub_headers_add(struct hub_headers *headers, const char *line, size_t bytes)
{
    static const struct {
        const char *name;
        void (*take)(struct hub_headers *headers, const char *at, const char *end);
    } known[] = {
        {"Content-Length", take_length},
        {"Content-Range", take_range},
        {"ETag", take_etag},
        {"Retry-After", take_retry_after},
        {"Link", take_next},
        {"X-Error-Code", take_error_code},
    };
    if (bytes >= 5 && !memcmp(line, "HTTP/", 5)) hub_headers_init(headers);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        size_t len = bytes;
        const char *value = value_of(line, &len, known[i].name);
        if (value) known[i].take(headers, value, value + len);
    }
}

/* ---- refusals ---- */

bool hub_may_retry(long status)
{
    return status == 408 || status == 429 || status >= 500;
}

static int refuse_entry(const struct hub_about *about, const char *error_code, struct err *err)
{
    if (str_eq(error_code, "RevisionNotFound"))
        return err_set(err, ERR_NOT_FOUND, "%s has no revision %.80s", about->repo,
                       about->revision);
    if (about->path)
        return err_set(err, ERR_NOT_FOUND, "%s lists %.80s but has it not", about->repo,
                       about->path);
    return err_set(err, ERR_NOT_FOUND, "there is no model %s at %.80s%s", about->repo,
                   about->endpoint,
                   about->has_token ? ", or this token may not see it"
                                    : "; a private one needs a token (HF_TOKEN or --token-file)");
}

static int refuse_access(const struct hub_about *about, const char *error_code, struct err *err)
{
    /* To those who have no token the hub does not tell a private repository from none. */
    if (str_eq(error_code, "RepoNotFound")) return refuse_entry(about, error_code, err);
    if (str_eq(error_code, "GatedRepo") && about->has_token)
        return err_set(err, ERR_DENIED,
                       "%s is gated: ask for access at %.60s/%s with the account of this token",
                       about->repo, about->endpoint, about->repo);
    if (str_eq(error_code, "GatedRepo"))
        return err_set(err, ERR_DENIED,
                       "%s is gated: ask for access at %.60s/%s, then give a token (HF_TOKEN or "
                       "--token-file)",
                       about->repo, about->endpoint, about->repo);
    if (about->has_token)
        return err_set(err, ERR_DENIED, "%.80s refuses this token for %s", about->endpoint,
                       about->repo);
    return err_set(err, ERR_DENIED, "%.80s wants a token for %s: HF_TOKEN or --token-file",
                   about->endpoint, about->repo);
}

int hub_refuse(const struct hub_about *about, long status, const char *error_code, struct err *err)
{
    const char *what = about->path ? about->path : about->repo;
    if (status == 401 || status == 403) return refuse_access(about, error_code, err);
    if (status == 404 || status == 410) return refuse_entry(about, error_code, err);
    if (status == 429)
        return err_set(err, ERR_UNAVAILABLE,
                       "%.80s asks to be left alone (429) for %.80s; try again later%s",
                       about->endpoint, what, about->has_token ? "" : ", or with a token");
    if (hub_may_retry(status))
        return err_set(err, ERR_UNAVAILABLE, "%.80s answers %ld for %.80s; try again later",
                       about->endpoint, status, what);
    return err_set(err, ERR_INVALID, "%.80s answers %ld for %.80s", about->endpoint, status, what);
}
