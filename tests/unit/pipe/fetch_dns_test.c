/* fetch_dns_test.c - names, asked for at a name server that misbehaves on the loopback. */
#include "worker/pipe/fetch_dns.h"

#include "common/base/clock.h"
#include "common/base/thread.h"
#include "tests/unit/pipe/fetch_harness.h"

#include <dirent.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define DNS_SCRIPT TESTS_DIR "/support/dns_server.py"

static struct web_server names;
static char servers[32];

static int start_both(void **state)
{
    (void)setenv("LOCALDOMAIN", "search.test", 1); /* what completes names without a dot */
    web_server_start(&names, DNS_SCRIPT, "", NULL);
    (void)snprintf(servers, sizeof servers, "127.0.0.1:%d", names.port);
    return start(state);
}

static int stop_both(void **state)
{
    web_server_stop(&names);
    return stop(state);
}

static int64_t now(void)
{
    return clock_real.mono_ms(&clock_real);
}

static struct fetch_dns *resolver(int64_t lookup_ms)
{
    struct fetch_dns *dns = NULL;
    struct err err;
    EXPECT_OK(fetch_dns_new(&dns, servers, lookup_ms, &err), &err);
    return dns;
}

/* Waits until the name is ready, at moments that are `later_ms` ahead of the clock. */
static void finish(struct fetch_dns *dns, const struct fetch_name *name, int64_t later_ms)
{
    while (!name->ready) {
        struct fetch_dns_socket sockets[FETCH_DNS_SOCKETS_MAX];
        struct pollfd polls[FETCH_DNS_SOCKETS_MAX];
        int64_t wait_ms = 1000;
        const uint32_t count = fetch_dns_wait(dns, sockets, now() + later_ms, &wait_ms);
        for (uint32_t i = 0; i < count; i++) {
            const int events = (sockets[i].read ? POLLIN : 0) | (sockets[i].write ? POLLOUT : 0);
            polls[i] = (struct pollfd){.fd = sockets[i].fd, .events = (short)events};
        }
        EXPECT(poll(polls, count, (int)wait_ms) >= 0);
        for (uint32_t i = 0; i < count; i++) {
            sockets[i].read = sockets[i].read && polls[i].revents;
            sockets[i].write = sockets[i].write && (polls[i].revents & POLLOUT);
        }
        fetch_dns_turn(dns, sockets, count, now() + later_ms);
    }
}

/* One look-up from its start to its end. */
static const struct fetch_name *look_up(struct fetch_dns *dns, const char *host, int64_t later_ms)
{
    struct fetch_name *name = fetch_dns_get(dns, host, now() + later_ms);
    EXPECT(name != NULL);
    finish(dns, name, later_ms);
    fetch_dns_release(dns, name);
    return name;
}

/* How many questions the server had for the name. */
static int questions(const char *host)
{
    char asked[FETCH_HOST_BYTES];
    struct fetch_dns *dns = resolver(10000);
    (void)snprintf(asked, sizeof asked, "asked.%s", host);
    const struct fetch_name *name = look_up(dns, asked, 0);
    EXPECT_EQ(name->status, FETCH_OK);
    int high = 0, middle = 0, low = 0;
    EXPECT_EQ(sscanf(name->addresses, "127.%d.%d.%d", &high, &middle, &low), 3);
    fetch_dns_free(dns);
    return (high * 256 + middle) * 256 + low;
}

TEST(dns, tells_names_from_addresses)
{
    UNUSED_STATE;
    EXPECT(fetch_dns_is_name("example.com"));
    EXPECT(fetch_dns_is_name("localhost"));
    EXPECT(fetch_dns_is_name("1.2.3"));
    EXPECT(fetch_dns_is_name("1.2.3.4."));
    EXPECT(!fetch_dns_is_name("1.2.3.4"));
    EXPECT(!fetch_dns_is_name("[::1]"));
}

TEST(dns, finds_addresses_of_both_families)
{
    UNUSED_STATE;
    const struct {
        const char *host, *addresses;
    } cases[] = {
        {"a-127-0-0-7.found.test", "127.0.0.7"}, {"A-127-0-0-7.upper.test", "127.0.0.7"},
        {"a-127-0-0-7.dot.test.", "127.0.0.7"},  {"six.found.test", "[::1]"},
        {"cut.found.test", "127.0.0.1"},         {"chain-8.found.test", "127.0.0.1"},
        {"silent6.found.test", "127.0.0.1"},     {"localhost", "127.0.0.1,[::1]"},
        {"any.LocalHost", "127.0.0.1,[::1]"},
    };
    struct fetch_dns *dns = resolver(10000);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct fetch_name *name = look_up(dns, cases[i].host, 0);
        EXPECT_EQ(name->status, FETCH_OK);
        EXPECT_TEXT(name->addresses, cases[i].addresses);
    }
    const struct fetch_name *name = look_up(dns, "both.found.test", 0);
    EXPECT(!strcmp(name->addresses, "127.0.0.2,[::1]") ||
           !strcmp(name->addresses, "[::1],127.0.0.2"));
    fetch_dns_free(dns);
}

TEST(dns, keeps_a_few_of_hundreds_of_addresses)
{
    UNUSED_STATE;
    struct fetch_dns *dns = resolver(10000);
    const struct fetch_name *name = look_up(dns, "many.few.test", 0);
    int commas = 0;
    EXPECT_EQ(name->status, FETCH_OK);
    for (const char *c = name->addresses; *c; c++) commas += *c == ',';
    EXPECT_EQ(commas, FETCH_DNS_ADDRESSES_MAX / 2 - 1);
    fetch_dns_free(dns);
}

TEST(dns, tells_the_ways_to_fail_apart)
{
    UNUSED_STATE;
    const struct {
        const char *host;
        enum fetch_status status;
    } cases[] = {
        {"nx.fail.test", FETCH_DNS_NOT_FOUND},
        {"empty.fail.test", FETCH_DNS_NOT_FOUND},
        {"nosuch.invalid", FETCH_DNS_NOT_FOUND},
        {"x.onion", FETCH_DNS_NOT_FOUND},
        {"a123456789012345678901234567890123456789012345678901234567890123456789.test",
         FETCH_DNS_NOT_FOUND},
        {"a..test", FETCH_DNS_NOT_FOUND},
        {"servfail.fail.test", FETCH_DNS_FAILED},
        {"refused.fail.test", FETCH_DNS_FAILED},
        {"notimp.fail.test", FETCH_DNS_FAILED},
        {"formerr.fail.test", FETCH_DNS_FAILED},
        {"half.fail.test", FETCH_DNS_FAILED},
        {"pointer.fail.test", FETCH_DNS_FAILED},
        {"garbage-40.fail.test", FETCH_DNS_TIMEOUT}, /* is no answer to the question */
        {"other.fail.test", FETCH_DNS_TIMEOUT},
        {"silent.fail.test", FETCH_DNS_TIMEOUT},
        {"cut-silent.fail.test", FETCH_DNS_TIMEOUT},
    };
    struct fetch_dns *dns = resolver(300);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct fetch_name *name = look_up(dns, cases[i].host, 0);
        if (name->status != cases[i].status)
            print_message("%s: %s\n", cases[i].host, fetch_status_name(name->status));
        EXPECT_EQ(name->status, cases[i].status);
        EXPECT(name->addresses == NULL);
    }
    const struct fetch_name *name = look_up(dns, "loop.fail.test", 0);
    EXPECT(name->status == FETCH_DNS_NOT_FOUND || name->status == FETCH_DNS_FAILED);
    fetch_dns_free(dns);
}

TEST(dns, survives_noise_of_every_length)
{
    UNUSED_STATE;
    enum { COUNT = 100 };
    struct fetch_dns *dns = resolver(500);
    struct fetch_name *name[COUNT];
    char host[64];
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(host, sizeof host, "garbage-%d.noise.test", 7 * i);
        name[i] = fetch_dns_get(dns, host, now());
        EXPECT(name[i] != NULL);
    }
    for (int i = 0; i < COUNT; i++) {
        finish(dns, name[i], 0);
        EXPECT(name[i]->status != FETCH_OK);
        fetch_dns_release(dns, name[i]);
    }
    fetch_dns_free(dns);
}

TEST(dns, asks_for_no_dotted_name_below_search_domains)
{
    UNUSED_STATE;
    struct fetch_dns *dns = resolver(10000);
    EXPECT_EQ(look_up(dns, "nx.dotted", 0)->status, FETCH_DNS_NOT_FOUND);
    EXPECT_EQ(questions("nx.dotted.search.test"), 0);
    EXPECT_EQ(look_up(dns, "nx", 0)->status, FETCH_DNS_NOT_FOUND);
    EXPECT_EQ(questions("nx.search.test"), 2);
    fetch_dns_free(dns);
}

TEST(dns, keeps_names_as_long_as_they_say_within_bounds)
{
    UNUSED_STATE;
    const int64_t minute = 60000, hour = 60 * minute;
    struct fetch_dns *dns = resolver(10000);
    const struct {
        const char *host;
        int64_t kept_ms;
    } cases[] = {{"ttl-5.kept", minute},
                 {"ttl-100.kept", 100000},
                 {"ttl-100000.kept", hour},
                 {"nx.kept", minute},
                 {"servfail.kept", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        (void)look_up(dns, cases[i].host, 0);
        const int once = questions(cases[i].host);
        if (cases[i].kept_ms) (void)look_up(dns, cases[i].host, cases[i].kept_ms - 20000);
        EXPECT_EQ(questions(cases[i].host), once);
        (void)look_up(dns, cases[i].host, cases[i].kept_ms + 20000);
        EXPECT_EQ(questions(cases[i].host), 2 * once);
    }
    /* A name that points elsewhere later is not asked for again at once. */
    EXPECT_TEXT(look_up(dns, "rebind.kept", 0)->addresses, "192.88.98.1");
    EXPECT_TEXT(look_up(dns, "rebind.kept", minute - 20000)->addresses, "192.88.98.1");
    EXPECT_TEXT(look_up(dns, "rebind.kept", hour)->addresses, "127.0.0.1");
    fetch_dns_free(dns);
}

TEST(dns, asks_once_for_all_who_want_a_name)
{
    UNUSED_STATE;
    struct fetch_dns *dns = resolver(10000);
    struct fetch_name *first = fetch_dns_get(dns, "a-127-0-0-1.shared", now());
    EXPECT(fetch_dns_get(dns, "a-127-0-0-1.shared", now()) == first);
    finish(dns, first, 0);
    fetch_dns_release(dns, first);
    fetch_dns_release(dns, first);
    EXPECT_EQ(questions("a-127-0-0-1.shared"), 2); /* one for each family */
    fetch_dns_free(dns);
}

TEST(dns, takes_a_late_answer_without_a_second_question)
{
    UNUSED_STATE;
    struct fetch_dns *dns = resolver(200);
    EXPECT_EQ(look_up(dns, "silent.late", 0)->status, FETCH_DNS_TIMEOUT);
    EXPECT_EQ(look_up(dns, "silent.late", 0)->status, FETCH_DNS_TIMEOUT);
    EXPECT_EQ(questions("silent.late"), 2);
    fetch_dns_free(dns);
}

TEST(dns, bounds_what_it_asks_at_a_time_and_what_it_keeps)
{
    UNUSED_STATE;
    enum { COUNT = 3 * FETCH_DNS_LOOKUPS_MAX };
    struct fetch_dns *dns = resolver(20000);
    struct fetch_name *name[COUNT];
    char host[64];
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(host, sizeof host, "a-127-0-%d-%d.bound", i / 200, i % 200);
        name[i] = fetch_dns_get(dns, host, now());
        EXPECT(name[i] != NULL);
    }
    EXPECT_EQ(questions("a-127-0-1-199.bound"), 0); /* waits for its turn */
    for (int i = 0; i < COUNT; i++) {
        finish(dns, name[i], 0);
        EXPECT_EQ(name[i]->status, FETCH_OK);
        fetch_dns_release(dns, name[i]);
    }
    for (int i = 0; i < 2 * FETCH_DNS_NAMES_MAX; i++) {
        (void)snprintf(host, sizeof host, "n%d.invalid", i);
        fetch_dns_release(dns, fetch_dns_get(dns, host, now()));
    }
    EXPECT_EQ(fetch_dns_count(dns), FETCH_DNS_NAMES_MAX);
    fetch_dns_free(dns);
}

TEST(dns, takes_addresses_of_servers_only)
{
    UNUSED_STATE;
    struct err err;
    const char *good[] = {"127.0.0.1", "127.0.0.1:5353", "[::1]:53", "::1", "10.0.0.1,10.0.0.2"};
    const char *bad[] = {
        "",           "ns.example", "127.0.0.1:x",      "127.0.0.1:99999", "127.0.0.1:0",
        "1.2.3",      "[::1",       "127.0.0.1;",       "127.0.0.1 ",      "[::1]:",
        "127.0.0.1,", ",127.0.0.1", "1.1.1.1,2,3.3.3.3"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        EXPECT_OK(fetch_dns_check_servers(good[i], &err), &err);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (fetch_dns_check_servers(bad[i], &err) != ERR_INVALID) print_message("%s\n", bad[i]);
        EXPECT_EQ(fetch_dns_check_servers(bad[i], &err), ERR_INVALID);
    }
}

/* ---- in transfers ---- */

static struct fetch_options named_options(void)
{
    struct fetch_options opts = options();
    opts.dns_servers = servers;
    return opts;
}

static enum fetch_status get_host(const struct fetch_options *opts, const char *host, int port)
{
    struct fetch_item item;
    char url[256];
    (void)snprintf(url, sizeof url, "http://%s:%d/big/16", host, port);
    get_url(&item, opts, url);
    EXPECT(item.named);
    buf_deinit(&item.body);
    return item.status;
}

TEST(fetch, goes_where_names_lead)
{
    UNUSED_STATE;
    struct fetch_options opts = named_options();
    const char *good[] = {"a-127-0-0-1.go", "A-127-0-0-1.Go", "a-127-0-0-1.go.", "localhost",
                          "cut.go",         "chain-5.go",     "silent6.go"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        const enum fetch_status status = get_host(&opts, good[i], web.port);
        if (status) print_message("%s: %s\n", good[i], fetch_status_name(status));
        EXPECT_EQ(status, FETCH_OK);
    }
    opts.connect_ms = 300;
    EXPECT_EQ(get_host(&opts, "nx.go", web.port), FETCH_DNS_NOT_FOUND);
    EXPECT_EQ(get_host(&opts, "servfail.go", web.port), FETCH_DNS_FAILED);
    EXPECT_EQ(get_host(&opts, "silent.go", web.port), FETCH_DNS_TIMEOUT);
    opts.total_ms = 200;
    EXPECT_EQ(get_host(&opts, "silent.went", web.port), FETCH_TIMEOUT);
    opts = named_options();
    opts.retries = 1;
    EXPECT_EQ(get_host(&opts, "flaky-3.go", web.port), FETCH_OK); /* c-ares asks three times */
    EXPECT_EQ(get_host(&opts, "nx.once", web.port), FETCH_DNS_NOT_FOUND);
    EXPECT_EQ(questions("nx.once"), 2); /* is not tried again */
}

TEST(fetch, refuses_private_addresses_of_names)
{
    UNUSED_STATE;
    struct fetch_options opts = named_options();
    opts.allow_private = false;
    const char *hosts[] = {"a-127-0-0-1.private",       "six.private",  "a-10-0-0-1.private",
                           "a-169-254-169-254.private", "both.private", "localhost"};
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++)
        EXPECT_EQ(get_host(&opts, hosts[i], web.port), FETCH_REFUSED_ADDRESS);
    struct fetch_dns *dns = resolver(10000);
    (void)look_up(dns, "rebind.private", 0); /* public; from now on it is not */
    fetch_dns_free(dns);
    EXPECT_EQ(get_host(&opts, "rebind.private", web.port), FETCH_REFUSED_ADDRESS);
}

struct six {
    int listener;
    struct thread thread;
};

/* One answer to whoever comes by IPv6. */
static void serve_six(void *arg)
{
    struct six *six = arg;
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nsix";
    char request[4096];
    const int fd = accept(six->listener, NULL, NULL);
    if (fd < 0) return;
    (void)!read(fd, request, sizeof request);
    (void)!write(fd, text, sizeof text - 1);
    (void)close(fd);
}

TEST(fetch, takes_the_living_address_of_a_dead_name)
{
    UNUSED_STATE;
    const struct fetch_options opts = named_options();
    struct six six = {.listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_in dead = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000002)};
    socklen_t bytes = sizeof to;
    struct err err;
    int filler[8];
    EXPECT_EQ(bind(six.listener, (const struct sockaddr *)&to, sizeof to), 0);
    EXPECT_EQ(listen(six.listener, 4), 0);
    EXPECT_EQ(getsockname(six.listener, (struct sockaddr *)&to, &bytes), 0);
    /* A full backlog on 127.0.0.2: connections to it neither come about nor fail. */
    const int silent = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    dead.sin_port = to.sin6_port;
    EXPECT_EQ(bind(silent, (const struct sockaddr *)&dead, sizeof dead), 0);
    EXPECT_EQ(listen(silent, 0), 0);
    for (size_t i = 0; i < sizeof filler / sizeof filler[0]; i++) {
        filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(filler[i], (const struct sockaddr *)&dead, sizeof dead);
    }
    for (int i = 0; i < 2; i++) { /* also those that have IPv6 only */
        EXPECT_OK(thread_start(&six.thread, "six", serve_six, &six, &err), &err);
        EXPECT_EQ(get_host(&opts, i ? "six.dead" : "both.dead", ntohs(to.sin6_port)), FETCH_OK);
        thread_join(&six.thread);
    }
    for (size_t i = 0; i < sizeof filler / sizeof filler[0]; i++) (void)close(filler[i]);
    (void)close(silent);
    (void)close(six.listener);
}

static int threads(void)
{
    int count = 0;
    DIR *tasks = opendir("/proc/self/task");
    EXPECT(tasks != NULL);
    while (readdir(tasks)) count++;
    EXPECT_EQ(closedir(tasks), 0);
    return count;
}

TEST(fetch, has_no_thread_for_a_look_up)
{
    UNUSED_STATE;
    enum { COUNT = 64 };
    struct fetch_options opts = named_options();
    struct fetch_item item[COUNT];
    struct fetch *fetch = NULL;
    struct err err;
    char url[COUNT][64];
    opts.transfers = COUNT;
    opts.connect_ms = 300;
    const int before = threads();
    EXPECT_OK(fetch_new(&fetch, &opts, &err), &err);
    for (int i = 0; i < COUNT; i++) {
        const char *kind = i % 2 ? "silent" : "a-127-0-0-1";
        (void)snprintf(url[i], sizeof url[i], "http://%s.threads%d:%d/big/16", kind, i, web.port);
        item[i] = (struct fetch_item){.url = url[i]};
        buf_init(&item[i].body, 0);
        fetch_start(fetch, &item[i]);
    }
    for (int done = 0; done < COUNT;) {
        EXPECT_EQ(threads(), before);
        fetch_turn(fetch, 1000);
        while (fetch_take(fetch)) done++;
    }
    for (int i = 0; i < COUNT; i++) {
        EXPECT_EQ(item[i].status, i % 2 ? FETCH_DNS_TIMEOUT : FETCH_OK);
        buf_deinit(&item[i].body);
    }
    fetch_free(fetch);
}

TEST(fetch, blames_no_host_for_a_lack_of_sockets)
{
    UNUSED_STATE;
    enum { COUNT = 48 };
    struct fetch_options opts = named_options();
    struct fetch_item item[COUNT];
    struct rlimit before, few;
    char url[COUNT][96];
    opts.transfers = COUNT;
    opts.down_failures = 2;
    opts.down_pause_ms = 60000;
    for (int i = 0; i < COUNT; i++) {
        const char *host = i % 3 ? "127.0.0.1" : "a-127-0-0-1.few";
        (void)snprintf(url[i], sizeof url[i], "http://%s:%d/crowd/16?delay_ms=20&row=%d", host,
                       web.port, i);
        item[i] = (struct fetch_item){.url = url[i]};
    }
    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    const int lowest = dup(0); /* the next number that is free */
    few.rlim_cur = (rlim_t)lowest + 12;
    (void)close(lowest);
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
    get_all(item, COUNT, &opts);
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    for (int i = 0; i < COUNT; i++) {
        if (item[i].status) print_message("%s\n", fetch_status_name(item[i].status));
        EXPECT_EQ(item[i].status, FETCH_OK);
        EXPECT_EQ(item[i].tries, 1);
        buf_deinit(&item[i].body);
    }
}

TEST(fetch, ends_without_a_socket_as_failed_here)
{
    UNUSED_STATE;
    struct fetch_options opts = named_options();
    struct fetch_item item[2];
    struct rlimit before, none;
    struct fetch *fetch = NULL;
    struct err err;
    const char *urls[] = {"http://127.0.0.1:1/", "http://a-127-0-0-1.none:1/"};
    opts.total_ms = 800;
    EXPECT_OK(fetch_new(&fetch, &opts, &err), &err);
    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (int i = 0; i < 2; i++) {
        item[i] = (struct fetch_item){.url = urls[i]};
        buf_init(&item[i].body, 0);
        fetch_start(fetch, &item[i]);
    }
    for (int done = 0; done < 2;) {
        fetch_turn(fetch, 100);
        while (fetch_take(fetch)) done++;
    }
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    for (int i = 0; i < 2; i++) {
        EXPECT_EQ(item[i].status, FETCH_FAILED);
        buf_deinit(&item[i].body);
    }
    fetch_free(fetch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(dns, tells_names_from_addresses),
        RUN(dns, finds_addresses_of_both_families),
        RUN(dns, keeps_a_few_of_hundreds_of_addresses),
        RUN(dns, tells_the_ways_to_fail_apart),
        RUN(dns, survives_noise_of_every_length),
        RUN(dns, asks_for_no_dotted_name_below_search_domains),
        RUN(dns, keeps_names_as_long_as_they_say_within_bounds),
        RUN(dns, asks_once_for_all_who_want_a_name),
        RUN(dns, takes_a_late_answer_without_a_second_question),
        RUN(dns, bounds_what_it_asks_at_a_time_and_what_it_keeps),
        RUN(dns, takes_addresses_of_servers_only),
        RUN(fetch, goes_where_names_lead),
        RUN(fetch, refuses_private_addresses_of_names),
        RUN(fetch, takes_the_living_address_of_a_dead_name),
        RUN(fetch, has_no_thread_for_a_look_up),
        RUN(fetch, blames_no_host_for_a_lack_of_sockets),
        RUN(fetch, ends_without_a_socket_as_failed_here),
    };
    return cmocka_run_group_tests(tests, start_both, stop_both);
}
