/* fetch_opt_out.h - X-Robots-Tag headers: what a server wants its answer not to be used for. */
#ifndef PIPE_FETCH_OPT_OUT_H
#define PIPE_FETCH_OPT_OUT_H

#include <stdbool.h>
#include <stddef.h>

/* The name by which servers may address us alone, in these headers and in robots.txt. */
#define FETCH_PRODUCT_TOKEN "vlmq"

/* Whether a header's value holds one of the directives, for everybody or for our token.
 *
 * The value is "[token:] directive, directive, token: directive, …", as Google documents it and
 * img2dataset reads it, in any case of letters; a token holds until the next one. "none" stands for
 * noindex. directives: separated by commas, in lower case. */
bool fetch_opt_out(const char *value, size_t bytes, const char *directives);

#endif
