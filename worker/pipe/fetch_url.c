/* fetch_url.c - URLs over libcurl's parser, whose parts then go into the transfer: what is judged
 * here is what it will connect to. */
#include "worker/pipe/fetch_url.h"

#include "common/base/buf.h"
#include "worker/pipe/fetch.h"

#include <curl/curl.h>

#include <idn2.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static bool is_ascii(const char *text)
{
    while (*text && (uint8_t)*text < 0x80) text++;
    return !*text;
}

static bool add_label(struct buf *out, const char *label)
{
    char *ascii = NULL;
    if (is_ascii(label)) {
        buf_text(out, label);
        return true;
    }
    const bool ok = idn2_lookup_u8((const uint8_t *)label, (uint8_t **)&ascii,
                                   IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) == IDN2_OK;
    if (ok) buf_text(out, ascii);
    idn2_free(ascii);
    return ok;
}

/* Host names outside ASCII in their xn-- form (IDNA 2008, mapped as UTS 46 says). libcurl would do
 * it too, but reads the name in the charset of the locale. Labels in ASCII stay as they are, like
 * those of other hosts: there are names with "--" at a label's third place. */
static bool mend_host(CURLU *parser)
{
    char *name = NULL;
    struct buf ascii;
    if (curl_url_get(parser, CURLUPART_HOST, &name, 0)) return false;
    if (is_ascii(name)) {
        curl_free(name);
        return true;
    }
    buf_init(&ascii, 0);
    bool ok = true;
    for (char *label = name; ok && label;) {
        char *dot = strchr(label, '.');
        if (dot) *dot++ = 0;
        ok = add_label(&ascii, label);
        if (dot) buf_byte(&ascii, '.');
        label = dot;
    }
    ok = ok && !buf_failed(&ascii) && !curl_url_set(parser, CURLUPART_HOST, buf_str(&ascii), 0);
    buf_deinit(&ascii);
    curl_free(name);
    return ok;
}

static bool put_host(struct fetch_url *url, CURLU *parser)
{
    char *name = NULL, *port = NULL;
    bool ok = !curl_url_get(parser, CURLUPART_HOST, &name, 0) &&
              !curl_url_get(parser, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) &&
              strcmp(port, "0") != 0 && name[0] != 0;
    if (ok) {
        const int len = snprintf(url->host, sizeof url->host, "%s:%s", name, port);
        ok = len > 0 && (size_t)len < sizeof url->host;
    }
    for (char *c = url->host; ok && *c; c++)
        if (*c >= 'A' && *c <= 'Z') *c = (char)(*c - 'A' + 'a');
    curl_free(name);
    curl_free(port);
    return ok;
}

static bool check_scheme(CURLU *parser)
{
    char *scheme = NULL;
    const bool ok = !curl_url_get(parser, CURLUPART_SCHEME, &scheme, 0) &&
                    (!strcmp(scheme, "http") || !strcmp(scheme, "https"));
    curl_free(scheme);
    return ok;
}

const char *fetch_url_whole(struct fetch_url *url)
{
    if (!url->whole && curl_url_get(url->parts, CURLUPART_URL, &url->whole, 0)) url->whole = NULL;
    return url->whole;
}

/* What is relative may make it longer with each redirect. */
static bool check_length(struct fetch_url *url)
{
    const char *whole = fetch_url_whole(url);
    return whole && strlen(whole) <= 3 * FETCH_URL_BYTES_MAX; /* an encoded byte takes three */
}

bool fetch_url_init(struct fetch_url *url, const struct fetch_url *base, const char *text)
{
    *url = (struct fetch_url){0};
    if (strlen(text) > FETCH_URL_BYTES_MAX) return false;
    url->parts = base ? curl_url_dup(base->parts) : curl_url();
    /* Redirects with blanks in them are common, and browsers follow them. Other schemes are told
     * from nonsense by check_scheme. */
    const unsigned int flags = CURLU_URLENCODE | (base ? CURLU_ALLOW_SPACE : 0U);
    const bool ok = url->parts && !curl_url_set(url->parts, CURLUPART_URL, text, flags) &&
                    mend_host(url->parts) && check_scheme(url->parts) &&
                    put_host(url, url->parts) && (!base || check_length(url));
    if (!ok) fetch_url_deinit(url);
    return ok;
}

void fetch_url_deinit(struct fetch_url *url)
{
    curl_url_cleanup(url->parts);
    curl_free(url->whole);
    *url = (struct fetch_url){0};
}
