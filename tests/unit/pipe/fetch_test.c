/* fetch_test.c - transfers against a real server that misbehaves, and the guard of addresses. */
#include "worker/pipe/fetch.h"

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/thread.h"
#include "tests/support/test.h"
#include "tests/unit/pipe/fetch_harness.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TEST(fetch, gives_the_body_code_and_type)
{
    UNUSED_STATE;
    struct fetch_item item;
    const struct fetch_options opts = options();
    char path[256];
    (void)snprintf(path, sizeof path, "%s/a b.txt", folder);
    FILE *file = fopen(path, "w");
    EXPECT(file != NULL);
    EXPECT(fputs("hello", file) >= 0);
    EXPECT_EQ(fclose(file), 0);
    get(&item, &opts, "/files/a b.txt?type=image/png");
    EXPECT_EQ(item.status, FETCH_OK);
    EXPECT_EQ(item.http_status, 200);
    EXPECT_TEXT(item.content_type, "image/png");
    EXPECT_TEXT(buf_str(&item.body), "hello");
    EXPECT_EQ(item.tries, 1);
    buf_deinit(&item.body);
}

TEST(fetch, names_each_way_to_fail)
{
    UNUSED_STATE;
    const struct fetch_options opts = options();
    const struct {
        const char *path;
        enum fetch_status status;
    } cases[] = {
        {"/status/404", FETCH_HTTP_STATUS},
        {"/status/410", FETCH_HTTP_STATUS},
        {"/status/304", FETCH_HTTP_STATUS},
        {"/status/206", FETCH_HTTP_STATUS},
        {"/status/300", FETCH_HTTP_STATUS},
        {"/status/300?times=20000", FETCH_HTTP_STATUS},  /* more than is read for nothing */
        {"/status/300?times=400000", FETCH_HTTP_STATUS}, /* more than a body may have */
        {"/empty", FETCH_EMPTY_BODY},
        {"/status/204", FETCH_EMPTY_BODY},
        {"/drop", FETCH_CONNECTION_LOST},
        {"/short", FETCH_CONNECTION_LOST},
        {"/length/-5", FETCH_PROTOCOL_ERROR},
        {"/length/99999999999999999999", FETCH_TOO_MANY_BYTES},
        {"/raw/hello", FETCH_PROTOCOL_ERROR},
        {"/headers/300", FETCH_PROTOCOL_ERROR},
        {"/redirect/5", FETCH_OK},
        {"/redirect/6", FETCH_TOO_MANY_REDIRECTS},
        {"/redirect/3?code=308", FETCH_OK},
        {"/redirect/3?code=307", FETCH_OK},
        {"/redirect/3?code=303", FETCH_OK},
        {"/redirect/1?to=..%2Fbig%2F16%3Fa%23part", FETCH_OK},
        {"/loop", FETCH_TOO_MANY_REDIRECTS},
        {"/redirect/1?to=file:///etc/passwd", FETCH_BAD_REDIRECT},
        {"/redirect/1?to=ftp://127.0.0.1/x", FETCH_BAD_REDIRECT},
        {"/redirect/1?to=data:image/png,x", FETCH_BAD_REDIRECT},
        {"/redirect/1?to=http://[", FETCH_BAD_REDIRECT},
        {"/redirect/1?to=http://nosuch.invalid/", FETCH_DNS_NOT_FOUND},
        {"/redirect/1?to=http://127.0.0.1:1/", FETCH_CONNECT_FAILED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_status(&opts, cases[i].path, cases[i].status);
}

TEST(fetch, begins_nothing_while_it_holds)
{
    UNUSED_STATE;
    struct fetch *fetch = NULL;
    struct err err;
    const struct fetch_options opts = options();
    char url[2][128];
    struct fetch_item item[2];
    EXPECT_OK(fetch_new(&fetch, &opts, &err), &err);
    for (int i = 0; i < 2; i++) {
        (void)snprintf(url[i], sizeof url[i], "http://127.0.0.1:%d/status/404?held=%d", web.port,
                       i);
        item[i] = (struct fetch_item){.url = url[i]};
        buf_init(&item[i].body, 0);
    }
    fetch_hold(fetch, true);
    EXPECT_EQ(fetch_room(fetch), 0);
    for (int i = 0; i < 2; i++) fetch_start(fetch, &item[i]);
    for (int i = 0; i < 20; i++) fetch_turn(fetch, 10);
    EXPECT(!fetch_has_ended(fetch));
    EXPECT_EQ(item[0].tries + item[1].tries, 0);
    fetch_hold(fetch, false);
    for (int done = 0; done < 2;) {
        fetch_turn(fetch, 1000);
        while (fetch_take(fetch)) done++;
    }
    for (int i = 0; i < 2; i++) {
        EXPECT_EQ(item[i].status, FETCH_HTTP_STATUS);
        buf_deinit(&item[i].body);
    }
    fetch_free(fetch);
}

TEST(fetch, refuses_what_is_no_http_url)
{
    UNUSED_STATE;
    const struct fetch_options opts = options();
    char lengthy[FETCH_URL_BYTES_MAX + 64];
    memset(lengthy, 'x', sizeof lengthy - 1);
    memcpy(lengthy, "http://127.0.0.1/", 17);
    lengthy[sizeof lengthy - 1] = 0;
    const char *urls[] = {"",
                          "nonsense",
                          "//127.0.0.1/x",
                          "file:///etc/passwd",
                          "ftp://127.0.0.1/x",
                          "gopher://127.0.0.1/x",
                          "data:image/png;base64",
                          "FILE:/etc/passwd",
                          "javascript:alert(1)",
                          "blob:http://127.0.0.1/x",
                          "http://127.0.0.1:0/",
                          "http://",
                          "http://127.0.0.1:99999/",
                          "http://a b/",
                          "http://127.0.0.1/x\r\nHost: evil",
                          lengthy};
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct fetch_item item;
        get_url(&item, &opts, urls[i]);
        EXPECT_EQ(item.status, FETCH_BAD_URL);
        EXPECT_EQ(item.http_status, 0);
        buf_deinit(&item.body);
    }
}

TEST(fetch, does_not_read_a_url_as_relative_to_the_one_before)
{
    UNUSED_STATE;
    const struct fetch_options opts = options();
    struct fetch *fetch = NULL;
    struct err err;
    char good[128];
    (void)snprintf(good, sizeof good, "http://127.0.0.1:%d/big/16", web.port);
    struct fetch_item item[2] = {{.url = good}, {.url = "status/404"}};
    EXPECT_OK(fetch_new(&fetch, &opts, &err), &err);
    for (uint32_t i = 0; i < 2; i++) {
        buf_init(&item[i].body, 0);
        fetch_start(fetch, &item[i]);
    }
    for (uint32_t done = 0; done < 2;) {
        fetch_turn(fetch, 1000);
        while (fetch_take(fetch)) done++;
    }
    EXPECT_EQ(item[0].status, FETCH_OK);
    EXPECT_EQ(item[1].status, FETCH_BAD_URL);
    for (uint32_t i = 0; i < 2; i++) buf_deinit(&item[i].body);
    fetch_free(fetch);
}

TEST(fetch, bounds_the_body_while_it_reads)
{
    UNUSED_STATE;
    struct fetch_options opts = options();
    opts.body_bytes = 100000;
    expect_status(&opts, "/big/100000", FETCH_OK);
    expect_status(&opts, "/big/100000?chunked=1", FETCH_OK);
    expect_status(&opts, "/big/100001", FETCH_TOO_MANY_BYTES);
    expect_status(&opts, "/big/100001?chunked=1", FETCH_TOO_MANY_BYTES);
    expect_status(&opts, "/endless", FETCH_TOO_MANY_BYTES);
}

TEST(fetch, bounds_the_time)
{
    UNUSED_STATE;
    struct fetch_options opts = options();
    opts.total_ms = 300;
    expect_status(&opts, "/hang", FETCH_TIMEOUT);
    expect_status(&opts, "/drip/100000/20", FETCH_TIMEOUT);
    opts.total_ms = 60000;
    opts.slow_bytes = 1000;
    opts.slow_s = 1;
    expect_status(&opts, "/drip/100000/20", FETCH_TOO_SLOW);
}

TEST(fetch, tells_a_connection_that_never_comes_from_a_refused_one)
{
    UNUSED_STATE;
    struct fetch_options opts = options();
    struct fetch_item item;
    char url[64];
    /* A full backlog: the kernel answers no further connection. */
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    int filler[8];
    EXPECT_EQ(bind(listener, (const struct sockaddr *)&address, sizeof address), 0);
    EXPECT_EQ(listen(listener, 0), 0);
    EXPECT_EQ(getsockname(listener, (struct sockaddr *)&address, &bytes), 0);
    for (size_t i = 0; i < sizeof filler / sizeof filler[0]; i++) {
        filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(filler[i], (const struct sockaddr *)&address, sizeof address);
    }
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/", ntohs(address.sin_port));
    opts.connect_ms = 300;
    get_url(&item, &opts, url);
    EXPECT_EQ(item.status, FETCH_CONNECT_TIMEOUT);
    buf_deinit(&item.body);
    for (size_t i = 0; i < sizeof filler / sizeof filler[0]; i++) (void)close(filler[i]);
    (void)close(listener);
    get_url(&item, &opts, url);
    EXPECT_EQ(item.status, FETCH_CONNECT_FAILED);
    buf_deinit(&item.body);
}

TEST(fetch, tries_again_only_what_may_pass)
{
    UNUSED_STATE;
    struct fetch_options opts = options();
    opts.retries = 2;
    expect_status(&opts, "/flaky/2/passes/none", FETCH_HTTP_STATUS); /* then 404 */
    EXPECT_EQ(requests("flaky passes"), 3);
    expect_status(&opts, "/flaky/3/lasts/x", FETCH_HTTP_STATUS);
    EXPECT_EQ(requests("flaky lasts"), 3);
    expect_status(&opts, "/flaky/9/busy/x?code=429", FETCH_HTTP_STATUS);
    EXPECT_EQ(requests("flaky busy"), 3);
    expect_status(&opts, "/flaky/9/gone/x?code=404", FETCH_HTTP_STATUS);
    EXPECT_EQ(requests("flaky gone"), 1);
    expect_status(&opts, "/flaky/9/denied/x?code=403", FETCH_HTTP_STATUS);
    EXPECT_EQ(requests("flaky denied"), 1);
}

TEST(fetch, follows_retry_after_up_to_the_deadline)
{
    UNUSED_STATE;
    struct fetch_options opts = options();
    struct fetch_item item;
    opts.retries = 3;
    get(&item, &opts, "/status/429?retry_after=86400");
    EXPECT_EQ(item.tries, 1); /* a day is not within a minute */
    EXPECT_EQ(item.http_status, 429);
    buf_deinit(&item.body);
    opts.retries = 1;
    const int64_t start_ms = clock_real.mono_ms(&clock_real);
    get(&item, &opts, "/status/503?retry_after=1");
    EXPECT_EQ(item.tries, 2);
    EXPECT(clock_real.mono_ms(&clock_real) - start_ms >= 1000); /* not before it was asked to */
    buf_deinit(&item.body);
}

TEST(fetch, forgets_the_error_page_of_an_earlier_try)
{
    UNUSED_STATE;
    struct fetch_options opts = options();
    struct fetch_item item;
    char path[256];
    opts.retries = 1;
    (void)snprintf(path, sizeof path, "%s/once", folder);
    FILE *file = fopen(path, "w");
    EXPECT(file != NULL);
    EXPECT(fputs("whole", file) >= 0);
    EXPECT_EQ(fclose(file), 0);
    get(&item, &opts, "/flaky/1/once/once");
    EXPECT_EQ(item.status, FETCH_OK);
    EXPECT_TEXT(buf_str(&item.body), "whole");
    buf_deinit(&item.body);
}

TEST(fetch, refuses_addresses_that_are_not_public)
{
    UNUSED_STATE;
    struct fetch_options opts = options();
    struct fetch_item item;
    char url[128];
    opts.allow_private = false;
    opts.retries = 3;
    const char *hosts[] = {"127.0.0.1", "localhost",   "0x7f.1",    "2130706433",
                           "0.0.0.0",   "127.1",       "[::1]",     "[::ffff:127.0.0.1]",
                           "10.0.0.1",  "169.254.1.1", "[fe80::1]", "[fc00::1]"};
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        (void)snprintf(url, sizeof url, "http://%s:%d/big/16", hosts[i], web.port);
        get_url(&item, &opts, url);
        if (item.status != FETCH_REFUSED_ADDRESS)
            print_message("%s: %s\n", url, fetch_status_name(item.status));
        EXPECT_EQ(item.status, FETCH_REFUSED_ADDRESS);
        EXPECT_EQ(item.tries, 1);
        EXPECT_EQ(item.http_status, 0);
        buf_deinit(&item.body);
    }
}

TEST(fetch, asks_honestly_and_without_extras)
{
    UNUSED_STATE;
    struct fetch_options opts = options();
    struct fetch_item item;
    opts.agent = "vlmq/test me@example.org";
    get(&item, &opts, "/echo");
    EXPECT_EQ(item.status, FETCH_OK);
    EXPECT(strstr(buf_str(&item.body), "\"User-Agent\": \"vlmq/test me@example.org\"") != NULL);
    EXPECT(strstr(buf_str(&item.body), "Cookie") == NULL);
    EXPECT(strstr(buf_str(&item.body), "Accept-Encoding") == NULL);
    buf_deinit(&item.body);
    get(&item, &opts, "/gzip");
    EXPECT_EQ(item.status, FETCH_OK);
    EXPECT(item.body.len < 1000); /* as it was sent: nothing was unpacked */
    buf_deinit(&item.body);
}

TEST(fetch, is_not_harmed_by_what_another_answer_left_behind)
{
    UNUSED_STATE;
    struct fetch_options opts = options();
    struct fetch_item item[2];
    char first[64], second[64];
    opts.transfers = 1;
    /* A body behind a 204, which has none: what follows on the connection begins with it. */
    (void)snprintf(first, sizeof first, "http://127.0.0.1:%d/status/204", web.port);
    (void)snprintf(second, sizeof second, "http://127.0.0.1:%d/big/16", web.port);
    for (uint32_t i = 0; i < 2; i++) item[i] = (struct fetch_item){.url = i ? second : first};
    get_all(item, 2, &opts);
    EXPECT_EQ(item[0].status, FETCH_EMPTY_BODY);
    EXPECT_EQ(item[1].status, FETCH_OK);
    EXPECT_EQ(item[1].tries, 1);
    for (uint32_t i = 0; i < 2; i++) buf_deinit(&item[i].body);
}

TEST(fetch, asks_again_at_once_when_a_kept_connection_has_ended)
{
    UNUSED_STATE;
    enum { COUNT = 4 };
    struct fetch_options opts = options();
    struct fetch_item item[COUNT];
    char url[COUNT][64];
    opts.transfers = 1;
    for (uint32_t i = 0; i < COUNT; i++) {
        (void)snprintf(url[i], sizeof url[i], "http://127.0.0.1:%d/lonely/%u", web.port, i);
        item[i] = (struct fetch_item){.url = url[i]};
    }
    get_all(item, COUNT, &opts);
    for (uint32_t i = 0; i < COUNT; i++) {
        EXPECT_EQ(item[i].status, FETCH_OK);
        EXPECT_EQ(item[i].tries, 1);
        buf_deinit(&item[i].body);
    }
    EXPECT_EQ(requests("/lonely/1"), 2); /* once more, on a fresh connection */
}

TEST(fetch, does_not_use_the_environments_proxy)
{
    UNUSED_STATE;
    const struct fetch_options opts = options();
    EXPECT_EQ(setenv("http_proxy", "http://127.0.0.1:1", 1), 0);
    expect_status(&opts, "/big/16", FETCH_OK);
    EXPECT_EQ(unsetenv("http_proxy"), 0);
}

TEST(fetch, trusts_only_certificates_that_are_vouched_for)
{
    UNUSED_STATE;
    struct fetch_options opts = options();
    struct fetch_item item;
    char url[128];
    opts.retries = 3;
    (void)snprintf(url, sizeof url, "https://127.0.0.1:%d/big/16", web.tls_port);
    get_url(&item, &opts, url);
    EXPECT_EQ(item.status, FETCH_TLS_FAILED);
    EXPECT_EQ(item.tries, 1);
    buf_deinit(&item.body);
    opts.ca_file = pem;
    get_url(&item, &opts, url);
    EXPECT_EQ(item.status, FETCH_OK);
    buf_deinit(&item.body);
    (void)snprintf(url, sizeof url, "https://localhost:%d/big/16", web.tls_port);
    get_url(&item, &opts, url); /* another name than the certificate's */
    EXPECT_EQ(item.status, FETCH_TLS_FAILED);
    buf_deinit(&item.body);
    (void)snprintf(url, sizeof url, "https://127.0.0.1:%d/big/16", web.port);
    get_url(&item, &opts, url); /* a server that speaks no TLS */
    EXPECT_EQ(item.status, FETCH_TLS_FAILED);
    buf_deinit(&item.body);
}

TEST(fetch, runs_many_at_a_time_within_its_room)
{
    UNUSED_STATE;
    enum { COUNT = 50 };
    struct fetch_options opts = options();
    struct fetch *fetch = NULL;
    struct fetch_item *item = mem_new(COUNT * sizeof *item);
    char(*url)[128] = mem_new(COUNT * sizeof *url);
    struct err err;
    uint32_t started = 0, done = 0;
    opts.retries = 2;
    EXPECT_OK(fetch_new(&fetch, &opts, &err), &err);
    EXPECT_EQ(fetch_room(fetch), 4);
    while (done < COUNT) {
        for (; started < COUNT && fetch_room(fetch) > 0; started++) {
            (void)snprintf(url[started], sizeof url[started],
                           started % 3 ? "http://127.0.0.1:%d/big/%u"
                                       : "http://127.0.0.1:%d/flaky/1/many%u/none",
                           web.port, started);
            item[started].url = url[started];
            buf_init(&item[started].body, 0);
            fetch_start(fetch, &item[started]);
        }
        fetch_turn(fetch, 1000);
        for (struct fetch_item *taken; (taken = fetch_take(fetch)) != NULL; done++) {
            const uint32_t i = (uint32_t)(taken - item);
            EXPECT_EQ(taken->status, i % 3 ? FETCH_OK : FETCH_HTTP_STATUS);
            EXPECT_EQ(taken->http_status, i % 3 ? 200 : 404);
            EXPECT_EQ(taken->tries, i % 3 ? 1 : 2);
            EXPECT_EQ(taken->body.len, i % 3 ? i : 0);
        }
    }
    EXPECT(fetch_take(fetch) == NULL);
    fetch_free(fetch);
    for (uint32_t i = 0; i < COUNT; i++) buf_deinit(&item[i].body);
    mem_free(url);
    mem_free(item);
}

static void wake(void *arg)
{
    fetch_wake(arg);
}

TEST(fetch, is_woken_by_another_thread_and_dropped_midway)
{
    UNUSED_STATE;
    const struct fetch_options opts = options();
    struct fetch *fetch = NULL;
    struct err err;
    struct thread thread = {0};
    char url[128];
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/hang", web.port);
    struct fetch_item item = {.url = url};
    buf_init(&item.body, 0);
    EXPECT_OK(fetch_new(&fetch, &opts, &err), &err);
    fetch_start(fetch, &item);
    EXPECT_OK(thread_start(&thread, "wake", wake, fetch, &err), &err);
    fetch_turn(fetch, 3600 * 1000); /* an hour, or the wake-up */
    thread_join(&thread);
    EXPECT(fetch_take(fetch) == NULL);
    fetch_free(fetch);
    buf_deinit(&item.body);
}

static bool is_public(const char *text)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        return fetch_address_is_public((const struct sockaddr *)&v4);
    EXPECT_EQ(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
    return fetch_address_is_public((const struct sockaddr *)&v6);
}

TEST(address, is_public_outside_the_special_ranges_only)
{
    UNUSED_STATE;
    const char *yes[] = {"1.1.1.1",          "9.255.255.255",   "11.0.0.0",   "100.63.255.255",
                         "100.128.0.0",      "126.255.255.255", "128.0.0.0",  "169.253.255.255",
                         "169.255.0.0",      "172.15.255.255",  "172.32.0.0", "192.167.255.255",
                         "192.169.0.0",      "198.17.255.255",  "198.20.0.0", "223.255.255.255",
                         "2606:4700::1111",  "2001:4860::8888", "2a00::1",    "::ffff:8.8.8.8",
                         "64:ff9b::8.8.8.8", "2001:200::1",     "3ffe::1"};
    const char *no[] = {"0.0.0.0",
                        "0.1.2.3",
                        "10.0.0.0",
                        "10.255.255.255",
                        "100.64.0.0",
                        "100.127.255.255",
                        "127.0.0.1",
                        "127.255.255.255",
                        "169.254.169.254",
                        "172.16.0.0",
                        "172.31.255.255",
                        "192.0.0.1",
                        "192.0.2.1",
                        "192.88.99.1",
                        "192.168.0.1",
                        "198.18.0.0",
                        "198.19.255.255",
                        "198.51.100.1",
                        "203.0.113.1",
                        "224.0.0.1",
                        "240.0.0.1",
                        "255.255.255.255",
                        "::",
                        "::1",
                        "fe80::1",
                        "fc00::1",
                        "fdff::1",
                        "ff02::1",
                        "2001:db8::1",
                        "2001::1",
                        "2001:1ff::1",
                        "2002:7f00:1::",
                        "3fff:fff::1",
                        "::ffff:127.0.0.1",
                        "::ffff:10.0.0.1",
                        "::127.0.0.1",
                        "64:ff9b::10.0.0.1",
                        "64:ff9b:1::1",
                        "100::1",
                        "fec0::1"};
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++)
        if (!is_public(yes[i])) fail_msg("%s is public", yes[i]);
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
        if (is_public(no[i])) fail_msg("%s is not public", no[i]);
    const struct sockaddr local = {.sa_family = AF_UNIX};
    EXPECT(!fetch_address_is_public(&local));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(fetch, gives_the_body_code_and_type),
        RUN(fetch, names_each_way_to_fail),
        RUN(fetch, begins_nothing_while_it_holds),
        RUN(fetch, refuses_what_is_no_http_url),
        RUN(fetch, does_not_read_a_url_as_relative_to_the_one_before),
        RUN(fetch, bounds_the_body_while_it_reads),
        RUN(fetch, bounds_the_time),
        RUN(fetch, tells_a_connection_that_never_comes_from_a_refused_one),
        RUN(fetch, tries_again_only_what_may_pass),
        RUN(fetch, follows_retry_after_up_to_the_deadline),
        RUN(fetch, forgets_the_error_page_of_an_earlier_try),
        RUN(fetch, refuses_addresses_that_are_not_public),
        RUN(fetch, asks_honestly_and_without_extras),
        RUN(fetch, is_not_harmed_by_what_another_answer_left_behind),
        RUN(fetch, asks_again_at_once_when_a_kept_connection_has_ended),
        RUN(fetch, does_not_use_the_environments_proxy),
        RUN(fetch, trusts_only_certificates_that_are_vouched_for),
        RUN(fetch, runs_many_at_a_time_within_its_room),
        RUN(fetch, is_woken_by_another_thread_and_dropped_midway),
        RUN(address, is_public_outside_the_special_ranges_only),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
