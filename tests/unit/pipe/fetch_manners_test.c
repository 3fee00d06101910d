/* fetch_manners_test.c - what servers ask for, and what our own transfers may cost them: turns,
 * pauses, opt-outs, robots.txt, cookies; and data: URLs, which ask nobody. */
#include "tests/unit/pipe/fetch_harness.h"

TEST(fetch, asks_a_host_for_few_at_a_time)
{
    UNUSED_STATE;
    enum { COUNT = 24 };
    struct fetch_options opts = options();
    struct fetch_item item[COUNT];
    char crowd[128], hop[192];
    opts.transfers = COUNT;
    opts.per_host = 3;
    (void)snprintf(crowd, sizeof crowd, "http://127.0.0.1:%d/crowd/16?delay_ms=20", web.port);
    (void)snprintf(hop, sizeof hop, "http://localhost:%d/redirect/1?to=%s", web.port, crowd);
    /* Redirects wait in the queue of the host that they lead to. */
    for (uint32_t i = 0; i < COUNT; i++) item[i] = (struct fetch_item){.url = i % 2 ? hop : crowd};
    get_all(item, COUNT, &opts);
    for (uint32_t i = 0; i < COUNT; i++) {
        EXPECT_EQ(item[i].status, FETCH_OK);
        buf_deinit(&item[i].body);
    }
    EXPECT_EQ(requests("/crowd/16"), COUNT);
    EXPECT(requests("crowd most") >= 1);
    EXPECT(requests("crowd most") <= 3);
}

TEST(fetch, gives_up_a_host_that_is_down_and_no_other)
{
    UNUSED_STATE;
    enum { COUNT = 20 };
    struct fetch_options opts = options();
    struct fetch_item item[COUNT];
    char good[64];
    uint32_t ends[FETCH_STATUSES_COUNT] = {0};
    opts.per_host = 2;
    opts.down_failures = 4;
    opts.down_pause_ms = 3600 * 1000;
    (void)snprintf(good, sizeof good, "http://127.0.0.1:%d/big/16", web.port);
    for (uint32_t i = 0; i < COUNT; i++)
        item[i] = (struct fetch_item){.url = i % 4 ? "http://127.0.0.1:1/" : good};
    get_all(item, COUNT, &opts);
    for (uint32_t i = 0; i < COUNT; i++) {
        ends[item[i].status]++;
        buf_deinit(&item[i].body);
    }
    EXPECT_EQ(ends[FETCH_OK], 5);
    EXPECT(ends[FETCH_CONNECT_FAILED] >= 4);
    EXPECT(ends[FETCH_CONNECT_FAILED] <= 5); /* one was under way when it was found to be down */
    EXPECT_EQ(ends[FETCH_HOST_DOWN], 15 - ends[FETCH_CONNECT_FAILED]);
}

/* Of rows that all run into the time limit of 300 ms: how many were not asked for. */
static uint32_t down_after_timeouts(int64_t slow_bytes)
{
    enum { COUNT = 8 };
    struct fetch_options opts = options();
    struct fetch_item item[COUNT];
    char url[COUNT][64];
    uint32_t down = 0;
    opts.slow_bytes = slow_bytes;
    opts.slow_s = 60;
    opts.total_ms = 300;
    opts.connect_ms = 300;
    opts.per_host = 1;
    opts.down_failures = 2;
    opts.down_pause_ms = 60000;
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(url[i], sizeof url[i], "http://127.0.0.1:%d/drip/1000/200?row=%d", web.port,
                       i);
        item[i] = (struct fetch_item){.url = url[i]};
    }
    get_all(item, COUNT, &opts);
    for (int i = 0; i < COUNT; i++) {
        if (item[i].status != FETCH_HOST_DOWN) EXPECT_EQ(item[i].http_status, 200);
        if (item[i].status != FETCH_HOST_DOWN) EXPECT_EQ(item[i].status, FETCH_TIMEOUT);
        down += item[i].status == FETCH_HOST_DOWN;
        buf_deinit(&item[i].body);
    }
    return down;
}

TEST(fetch, gives_up_a_host_that_answers_and_then_stalls)
{
    UNUSED_STATE;
    EXPECT_EQ(down_after_timeouts(1024), 6);
    EXPECT_EQ(down_after_timeouts(1), 0); /* too much for the time, but it comes */
}

TEST(fetch, leaves_a_host_alone_that_asks_for_it)
{
    UNUSED_STATE;
    const char *const answers[] = {
        "/status/429?retry_after=99999999999999999999&x=1",
        "/status/503?retry_after=Fri,%2031%20Dec%209999%2023:59:59%20GMT"};
    struct fetch_options opts = options();
    opts.per_host = 1;
    opts.retries = 2;
    for (uint32_t i = 0; i < 2; i++) {
        char busy[192], same[64], other[64];
        (void)snprintf(busy, sizeof busy, "http://127.0.0.1:%d%s", web.port, answers[i]);
        (void)snprintf(same, sizeof same, "http://127.0.0.1:%d/big/700%u", web.port, i);
        (void)snprintf(other, sizeof other, "http://localhost:%d/big/16", web.port);
        struct fetch_item item[] = {{.url = busy}, {.url = same}, {.url = other}};
        get_all(item, 3, &opts);
        EXPECT_EQ(item[0].status, FETCH_HTTP_STATUS);
        EXPECT_EQ(item[0].tries, 1);
        EXPECT_EQ(item[1].status, FETCH_HOST_BUSY);
        EXPECT_EQ(item[1].tries, 0);
        EXPECT_EQ(item[2].status, FETCH_OK);
        EXPECT_EQ(requests(strstr(same, "/big")), 0);
        for (uint32_t k = 0; k < 3; k++) buf_deinit(&item[k].body);
    }
}

TEST(fetch, keeps_to_what_servers_opt_out_of)
{
    UNUSED_STATE;
    struct fetch_options opts = options();
    opts.retries = 2;
    expect_status(&opts, "/robots-tag/noai", FETCH_OK);
    opts.opt_out = "noai,noindex";
    expect_status(&opts, "/robots-tag/noai?x=1", FETCH_OPTED_OUT);
    EXPECT_EQ(requests("/robots-tag/noai"), 2); /* no second try */
    expect_status(&opts, "/robots-tag/nofollow/all/vlmq: NoIndex", FETCH_OPTED_OUT);
    expect_status(&opts, "/robots-tag/otherbot: noai", FETCH_OK);
    expect_status(&opts, "/robots-tag/noai?code=404", FETCH_HTTP_STATUS);
}

TEST(fetch, decodes_data_urls_on_the_spot)
{
    UNUSED_STATE;
    struct fetch_options opts = options();
    opts.body_bytes = 5;
    const struct {
        const char *url;
        enum fetch_status status;
        const char *type, *body;
    } cases[] = {
        {"data:,hello", FETCH_OK, "text/plain;charset=US-ASCII", "hello"},
        {"DATA:image/png;BASE64,aGVsbG8=", FETCH_OK, "image/png", "hello"},
        {"data:image/png;base64,aGVsbG8", FETCH_OK, "image/png", "hello"},
        {"data:;base64,aGVs\nbG8%3D#part", FETCH_OK, "text/plain;charset=US-ASCII", "hello"},
        {"data:a/b;base64,Pj4-Pz8_", FETCH_TOO_MANY_BYTES, "a/b", ""},
        {"data:a/b;base64,Pj4-", FETCH_OK, "a/b", ">>>"},
        {"data:text/html;x=\"\xc3\xa9\",%41%2cb+c", FETCH_OK, "text/html;x=\"??\"", "A,b+c"},
        {"data:,hello!", FETCH_TOO_MANY_BYTES, "text/plain;charset=US-ASCII", ""},
        {"data:,", FETCH_EMPTY_BODY, "text/plain;charset=US-ASCII", ""},
        {"data:;base64,====", FETCH_BAD_URL, "text/plain;charset=US-ASCII", ""},
        {"data:image/png", FETCH_BAD_URL, "", ""},
        {"data:,%4", FETCH_BAD_URL, "text/plain;charset=US-ASCII", ""},
        {"data:,%zz", FETCH_BAD_URL, "text/plain;charset=US-ASCII", ""},
        {"data:;base64,a", FETCH_BAD_URL, "text/plain;charset=US-ASCII", ""},
        {"data:;base64,aGV=sbG8", FETCH_BAD_URL, "text/plain;charset=US-ASCII", ""},
        {"data:;base64,aGVsbG8==", FETCH_BAD_URL, "text/plain;charset=US-ASCII", ""},
        {"data:;base64,a*Vs", FETCH_BAD_URL, "text/plain;charset=US-ASCII", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fetch_item item;
        get_url(&item, &opts, cases[i].url);
        if (item.status != cases[i].status) print_message("%s\n", cases[i].url);
        EXPECT_EQ(item.status, cases[i].status);
        EXPECT_TEXT(item.content_type, cases[i].type);
        EXPECT_TEXT(buf_str(&item.body), cases[i].body);
        EXPECT_EQ(item.http_status, 0);
        buf_deinit(&item.body);
    }
    const char zero[] = {0, 'x'};
    struct fetch_item item;
    get_url(&item, &opts, "data:,%00x");
    EXPECT_EQ(item.body.len, sizeof zero);
    EXPECT_MEM(item.body.data, zero, sizeof zero);
    buf_deinit(&item.body);
}

/* What a row to that path ends in when the host's robots.txt is that text (NULL: none). */
static enum fetch_status by_robots(const char *text, const char *path)
{
    struct fetch_options opts = options();
    struct fetch_item item;
    char robots[256];
    (void)snprintf(robots, sizeof robots, "%s/robots.txt", folder);
    if (text) {
        FILE *file = fopen(robots, "w");
        EXPECT(file != NULL);
        EXPECT(fputs(text, file) >= 0);
        EXPECT_EQ(fclose(file), 0);
    }
    opts.robots = true;
    opts.body_bytes = 16;
    get(&item, &opts, path);
    buf_deinit(&item.body);
    if (text) EXPECT_EQ(remove(robots), 0);
    return item.status;
}

TEST(fetch, keeps_to_robots_txt_if_asked_to)
{
    UNUSED_STATE;
    const char *const rules = "User-agent: *\nDisallow: /\nUser-agent: vlmq\nDisallow: /big/1\n";
    char text[256];
    EXPECT_EQ(by_robots(rules, "/big/16"), FETCH_ROBOTS_DENIED);
    EXPECT_EQ(by_robots(rules, "/big/8"), FETCH_OK);
    EXPECT_EQ(by_robots(rules, "/redirect/1?to=/big/16"), FETCH_ROBOTS_DENIED);
    EXPECT_EQ(by_robots(NULL, "/big/16"), FETCH_OK);
    EXPECT_EQ(by_robots("", "/big/16"), FETCH_OK);
    EXPECT_EQ(by_robots("#403\n", "/big/16"), FETCH_OK);
    EXPECT_EQ(by_robots("#503\n", "/big/16"), FETCH_ROBOTS_DENIED);
    EXPECT_EQ(by_robots("#http://nosuch.invalid/\n", "/big/16"), FETCH_DNS_NOT_FOUND);
    /* Rules that another host sends hold for the one that points there. */
    (void)snprintf(text, sizeof text, "#http://localhost:%d/robots-tag/x?type=robots\n", web.port);
    EXPECT_EQ(by_robots(text, "/big/16"), FETCH_OK);             /* "body" is no rule */
    EXPECT_EQ(by_robots("#/robots.txt\n", "/big/16"), FETCH_OK); /* in circles: as if none */
}

TEST(fetch, asks_for_robots_txt_once_per_host)
{
    UNUSED_STATE;
    enum { COUNT = 9 };
    struct fetch_options opts = options();
    struct fetch_item item[COUNT];
    char url[64];
    const int before = requests("/robots.txt");
    opts.robots = true;
    opts.per_host = 1;
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/big/16", web.port);
    for (uint32_t i = 0; i < COUNT; i++) item[i] = (struct fetch_item){.url = url};
    get_all(item, COUNT, &opts);
    for (uint32_t i = 0; i < COUNT; i++) {
        EXPECT_EQ(item[i].status, FETCH_OK);
        buf_deinit(&item[i].body);
    }
    EXPECT_EQ(requests("/robots.txt"), before + 1);
    /* Dropped while it is asked for. */
    struct fetch *fetch = NULL;
    struct err err;
    EXPECT_OK(fetch_new(&fetch, &opts, &err), &err);
    buf_init(&item[0].body, 0);
    fetch_start(fetch, &item[0]);
    fetch_free(fetch);
    buf_deinit(&item[0].body);
}

TEST(fetch, carries_cookies_along_one_chain_only)
{
    UNUSED_STATE;
    struct fetch_options opts = options();
    struct fetch_item item;
    char url[256];
    expect_status(&opts, "/gate/shut", FETCH_TOO_MANY_REDIRECTS);
    opts.cookies = true;
    opts.transfers = 1;
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/gate/open", web.port);
    struct fetch_item items[] = {{.url = url}, {.url = url}};
    get_all(items, 2, &opts);
    for (uint32_t i = 0; i < 2; i++) {
        EXPECT_EQ(items[i].status, FETCH_OK);
        EXPECT_TEXT(buf_str(&items[i].body), "inside");
        buf_deinit(&items[i].body);
    }
    EXPECT_EQ(requests("/gate/open"), 4); /* the second row was sent away once, too */
    /* To another host they are not sent: as a browser would not. */
    (void)snprintf(url, sizeof url, "/bake/far?to=http://localhost:%d/echo", web.port);
    get(&item, &opts, url);
    EXPECT_EQ(item.status, FETCH_OK);
    EXPECT(strstr(buf_str(&item.body), "Cookie") == NULL);
    buf_deinit(&item.body);
    get(&item, &opts, "/bake/near?to=/echo");
    EXPECT(strstr(buf_str(&item.body), "\"Cookie\": \"near=1\"") != NULL);
    buf_deinit(&item.body);
}

TEST(fetch, is_abandoned_wherever_its_items_are)
{
    UNUSED_STATE;
    enum { COUNT = 4 };
    struct fetch_options opts = options();
    struct fetch *fetch = NULL;
    struct fetch_item item[COUNT];
    struct err err;
    char hang[64], far[64];
    opts.per_host = 1;
    opts.robots = true;
    opts.retries = 1;
    opts.backoff_ms = 10000;
    (void)snprintf(hang, sizeof hang, "http://127.0.0.1:%d/hang", web.port);
    (void)snprintf(far, sizeof far, "http://localhost:%d/hang", web.port);
    const char *const urls[COUNT] = {hang, hang, "http://127.0.0.1:1/", far};
    EXPECT_OK(fetch_new(&fetch, &opts, &err), &err);
    for (uint32_t i = 0; i < COUNT; i++) {
        item[i] = (struct fetch_item){.url = urls[i]};
        buf_init(&item[i].body, 0);
        if (i < 3) fetch_start(fetch, &item[i]);
    }
    /* One runs, one is in its queue, one waits for a second try of its robots.txt. */
    while (requests("/hang") == 0) fetch_turn(fetch, 10);
    fetch_start(fetch, &item[3]); /* and one for the first */
    fetch_abandon(fetch);
    uint32_t done = 0;
    for (struct fetch_item *taken; (taken = fetch_take(fetch)) != NULL; done++)
        EXPECT_EQ(taken->status, FETCH_SHARD_TIMEOUT);
    EXPECT_EQ(done, COUNT);
    EXPECT_EQ(fetch_room(fetch), opts.transfers);
    fetch_free(fetch);
    for (uint32_t i = 0; i < COUNT; i++) buf_deinit(&item[i].body);
}

TEST(fetch, looks_a_lost_name_up_once)
{
    UNUSED_STATE;
    const struct fetch_options opts = options();
    struct fetch_item item[6];
    struct fetch_options one = opts;
    one.per_host = 1;
    for (uint32_t i = 0; i < 6; i++) item[i] = (struct fetch_item){.url = "http://nosuch.invalid/"};
    get_all(item, 6, &one);
    for (uint32_t i = 0; i < 6; i++) {
        EXPECT_EQ(item[i].status, FETCH_DNS_NOT_FOUND);
        EXPECT_EQ(item[i].tries, i == 0);
        buf_deinit(&item[i].body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(fetch, asks_a_host_for_few_at_a_time),
        RUN(fetch, gives_up_a_host_that_is_down_and_no_other),
        RUN(fetch, gives_up_a_host_that_answers_and_then_stalls),
        RUN(fetch, leaves_a_host_alone_that_asks_for_it),
        RUN(fetch, keeps_to_what_servers_opt_out_of),
        RUN(fetch, decodes_data_urls_on_the_spot),
        RUN(fetch, keeps_to_robots_txt_if_asked_to),
        RUN(fetch, asks_for_robots_txt_once_per_host),
        RUN(fetch, carries_cookies_along_one_chain_only),
        RUN(fetch, is_abandoned_wherever_its_items_are),
        RUN(fetch, looks_a_lost_name_up_once),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
