/* fetch_harness.h - a misbehaving server, and transfers from it to their end.
 *
 * Included by one file of a test program, whose group has start and stop as its fixtures. */
#ifndef TESTS_UNIT_PIPE_FETCH_HARNESS_H
#define TESTS_UNIT_PIPE_FETCH_HARNESS_H

#include "tests/support/test.h"
#include "tests/support/web_server.h"
#include "worker/pipe/fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCRIPT TESTS_DIR "/support/web_server.py"

static struct web_server web;
static const char *folder;
static char pem[300];

static inline int start(void **state)
{
    (void)state;
    char command[900];
    folder = test_dir_new();
    (void)snprintf(pem, sizeof pem, "%s/pem", folder);
    (void)snprintf(command, sizeof command,
                   "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
                   "-subj /CN=test -addext subjectAltName=IP:127.0.0.1 -keyout %s -out %s.crt "
                   "2>/dev/null && cat %s.crt >> %s",
                   pem, pem, pem, pem);
    EXPECT_EQ(system(command), 0);
    web_server_start(&web, SCRIPT, folder, pem);
    return 0;
}

static inline int stop(void **state)
{
    (void)state;
    web_server_stop(&web);
    test_dir_remove(folder);
    return 0;
}

static inline struct fetch_options options(void)
{
    return (struct fetch_options){.transfers = 4,
                                  .total_ms = 60000,
                                  .connect_ms = 30000,
                                  .redirects = 5,
                                  .backoff_ms = 10,
                                  .body_bytes = 1 << 20,
                                  .allow_private = true};
}

/* One transfer from its start to its end; the caller frees item->body. */
static inline void get_url(struct fetch_item *item, const struct fetch_options *opts,
                           const char *url)
{
    struct fetch *fetch = NULL;
    struct err err;
    EXPECT_OK(fetch_new(&fetch, opts, &err), &err);
    *item = (struct fetch_item){.url = url};
    buf_init(&item->body, 0);
    fetch_start(fetch, item);
    struct fetch_item *done;
    while (!(done = fetch_take(fetch))) fetch_turn(fetch, 1000);
    EXPECT(done == item);
    fetch_free(fetch);
}

static inline void get(struct fetch_item *item, const struct fetch_options *opts, const char *path)
{
    char url[512];
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d%s", web.port, path);
    get_url(item, opts, url);
}

static inline void expect_status(const struct fetch_options *opts, const char *path,
                                 enum fetch_status status)
{
    struct fetch_item item;
    get(&item, opts, path);
    if (item.status != status)
        print_message("%s: %s, not %s\n", path, fetch_status_name(item.status),
                      fetch_status_name(status));
    EXPECT_EQ(item.status, status);
    if (status != FETCH_OK) EXPECT_EQ(item.body.len, 0);
    buf_deinit(&item.body);
}

static inline int requests(const char *path)
{
    struct fetch_item item;
    const struct fetch_options opts = options();
    char key[256];
    get(&item, &opts, "/counts");
    EXPECT_EQ(item.status, FETCH_OK);
    (void)snprintf(key, sizeof key, "\"%s\": ", path);
    const char *found = strstr(buf_str(&item.body), key);
    const int count = found ? (int)strtoll(found + strlen(key), NULL, 10) : 0;
    buf_deinit(&item.body);
    return count;
}

/* All items at once, to their ends; items and URLs are the caller's. */
static inline void get_all(struct fetch_item *item, uint32_t count,
                           const struct fetch_options *opts)
{
    struct fetch *fetch = NULL;
    struct err err;
    EXPECT_OK(fetch_new(&fetch, opts, &err), &err);
    for (uint32_t i = 0; i < count; i++) {
        buf_init(&item[i].body, 0);
        fetch_start(fetch, &item[i]);
    }
    for (uint32_t done = 0; done < count;) {
        fetch_turn(fetch, 1000);
        while (fetch_take(fetch)) done++;
    }
    fetch_free(fetch);
}

#endif
