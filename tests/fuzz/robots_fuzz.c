/* robots_fuzz.c - any bytes as a robots.txt, behind a URL and a zero byte; and as an X-Robots-Tag.
 *
 * A file that only allows must allow, whatever its other bytes are. */
#include "common/base/buf.h"
#include "common/base/check.h"
#include "common/base/mem.h"
#include "worker/pipe/fetch_opt_out.h"
#include "worker/pipe/fetch_robots.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static bool allows(const char *text, size_t bytes, const char *url)
{
    /* In memory of its own, so that no read behind the end goes unseen. */
    char *copy = mem_new(bytes ? bytes : 1);
    if (bytes) memcpy(copy, text, bytes);
    struct fetch_robots *robots = fetch_robots_new(copy, bytes, FETCH_PRODUCT_TOKEN);
    mem_free(copy);
    CHECK(robots != NULL);
    CHECK(fetch_robots_memory(robots) < 8 * FETCH_ROBOTS_BYTES_MAX);
    const bool allowed = fetch_robots_allow(robots, url);
    CHECK(fetch_robots_allow(robots, "https://a.example/robots.txt"));
    fetch_robots_free(robots);
    return allowed;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const uint8_t *zero = bytes ? memchr(data, 0, bytes) : NULL;
    const char *text = zero ? (const char *)zero + 1 : (const char *)data;
    const size_t text_bytes = zero ? bytes - (size_t)(zero - data) - 1 : bytes;
    const char *url = zero ? (const char *)data : "http://a.example/b/c.jpg?d=e";
    const bool allowed = allows(text, text_bytes, url);
    struct buf more;
    buf_init(&more, 0);
    buf_add(&more, text, text_bytes);
    for (size_t i = 0; i < more.len; i++) /* "disallow" becomes no key */
        if (more.data[i] == 'd' || more.data[i] == 'D') more.data[i] = 'x';
    CHECK(allows(buf_str(&more), more.len, url));
    CHECK(allowed || text_bytes > 0);
    char *copy = mem_new(text_bytes ? text_bytes : 1);
    if (text_bytes) memcpy(copy, text, text_bytes);
    CHECK(!fetch_opt_out(copy, text_bytes, ""));
    (void)fetch_opt_out(copy, text_bytes, "noai,noindex");
    mem_free(copy);
    buf_deinit(&more);
    return 0;
}
