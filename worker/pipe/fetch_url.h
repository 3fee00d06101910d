/* fetch_url.h - URLs of lists and of redirects, as the transfers need them. */
#ifndef PIPE_FETCH_URL_H
#define PIPE_FETCH_URL_H

#include <stdbool.h>

/* "name:port"; a name has at most 253 bytes (RFC 1035), an address fewer. */
#define FETCH_HOST_BYTES 264

struct fetch_url {
    void *parts;                 /* a CURLU */
    char *whole;                 /* see fetch_url_whole */
    char host[FETCH_HOST_BYTES]; /* in lower case, always with the port */
};

/* base: what text may be relative to, or NULL. false: not a valid http or https URL of at most
 * FETCH_URL_BYTES_MAX, or no memory; url is then empty. */
bool fetch_url_init(struct fetch_url *url, const struct fetch_url *base, const char *text);
void fetch_url_deinit(struct fetch_url *url);
/* Absolute and encoded. Few need it, so it is put together when one asks. NULL: no memory, which
 * cannot be where there was a base. */
const char *fetch_url_whole(struct fetch_url *url);

#endif
