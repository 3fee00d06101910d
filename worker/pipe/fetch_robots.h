/* fetch_robots.h - robots.txt files (RFC 9309): which paths of a host we may ask for.
 *
 * Kept are the rules of the groups for our product token, or, when there are none, of those for
 * everybody. Bytes behind FETCH_ROBOTS_BYTES_MAX and rules behind FETCH_ROBOTS_RULES_MAX do not
 * count. */
#ifndef PIPE_FETCH_ROBOTS_H
#define PIPE_FETCH_ROBOTS_H

#include <stdbool.h>
#include <stddef.h>

#define FETCH_ROBOTS_BYTES_MAX ((size_t)500 * 1024) /* what RFC 9309 2.5 asks for */
#define FETCH_ROBOTS_RULES_MAX 8192                 /* each is held against each URL of its host */

struct fetch_robots;

/* Reads any bytes; there are no wrong ones. token: in lower case. NULL: no memory. */
struct fetch_robots *fetch_robots_new(const char *text, size_t bytes, const char *token);
void fetch_robots_free(struct fetch_robots *robots);
size_t fetch_robots_memory(const struct fetch_robots *robots); /* bytes; 0 for NULL */
/* Whether the longest rule that matches allows an absolute URL; where two are as long, the one that
 * allows. Without a rule, and for /robots.txt itself, everything is allowed. */
bool fetch_robots_allow(const struct fetch_robots *robots, const char *url);

#endif
