/* fetch_data.h - data: URLs (RFC 2397), whose body stands in the list itself. */
#ifndef PIPE_FETCH_DATA_H
#define PIPE_FETCH_DATA_H

#include "worker/pipe/fetch.h"

bool fetch_data_is(const char *url);
/* Decodes item->url into its body and type: percent escapes, then base64 if it says so, as browsers
 * read it (blanks and line ends inside and missing padding are fine; what follows a # is not data).
 * FETCH_BAD_URL: no comma, a wrong escape, no base64; FETCH_EMPTY_BODY; FETCH_TOO_MANY_BYTES. */
enum fetch_status fetch_data_decode(struct fetch_item *item, int64_t body_bytes_max);

#endif
