/* fetch_private_test.c - redirects from a public server into the network behind the worker, and a
 * machine that has no port left to connect from.
 *
 * The loopback has no public address; so libcurl's connect is this program's, which leads one to
 * the test's server. What is judged, and when, is the program's own doing. */
#include "tests/unit/pipe/fetch_harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PUBLIC "8.8.8.8"

static int connects;   /* to PUBLIC */
static int portless_n; /* of them fail, for want of a local port */

int connect(int fd, const struct sockaddr *address, socklen_t bytes)
{
    struct sockaddr_in to;
    if (address->sa_family == AF_INET && bytes == sizeof to) {
        memcpy(&to, address, sizeof to);
        if (to.sin_addr.s_addr == inet_addr(PUBLIC)) {
            connects++;
            errno = EADDRNOTAVAIL;
            if (portless_n && portless_n--) return -1;
            to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            return (int)syscall(SYS_connect, fd, &to, sizeof to);
        }
    }
    return (int)syscall(SYS_connect, fd, address, bytes);
}

TEST(redirect, leads_from_one_public_address_to_another)
{
    UNUSED_STATE;
    struct fetch_options opts = options();
    struct fetch_item item;
    char url[128];
    opts.allow_private = false;
    (void)snprintf(url, sizeof url, "http://" PUBLIC ":%d/redirect/2", web.port);
    get_url(&item, &opts, url);
    EXPECT_EQ(item.status, FETCH_OK);
    EXPECT_EQ(item.body.len, 16);
    EXPECT(connects > 0);
    buf_deinit(&item.body);
}

TEST(redirect, to_an_address_that_is_not_public_is_refused)
{
    UNUSED_STATE;
    static const char *const hosts[] = {"127.0.0.1",       "localhost",         "2130706433",
                                        "0x7f.1",          "0177.0.0.1",        "0.0.0.0",
                                        "10.0.0.1",        "192.168.1.1",       "169.254.169.254",
                                        "[::1]",           "[::ffff:7f00:1]",   "[fe80::1]",
                                        "[fd00:ec2::254]", "[64:ff9b::7f00:1]", "u:p@127.0.0.1"};
    struct fetch_options opts = options();
    opts.allow_private = false;
    opts.retries = 3;
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        struct fetch_item item;
        char url[256];
        /* The second hop is public once more, so that it is not only the first that is judged. */
        (void)snprintf(url, sizeof url,
                       "http://" PUBLIC ":%d/redirect/1?to=http://" PUBLIC
                       ":%d/redirect/1%%3Fto%%3Dhttp://%s:%d/big/99",
                       web.port, web.port, hosts[i], web.port);
        connects = 0;
        get_url(&item, &opts, url);
        if (item.status != FETCH_REFUSED_ADDRESS)
            print_message("%s: %s\n", hosts[i], fetch_status_name(item.status));
        EXPECT_EQ(item.status, FETCH_REFUSED_ADDRESS);
        EXPECT_EQ(item.tries, 1);
        EXPECT(connects > 0);
        EXPECT_EQ(item.body.len, 0);
        buf_deinit(&item.body);
    }
    EXPECT_EQ(requests("/big/99"), 0);
}

TEST(redirect, waits_for_a_port_to_connect_from)
{
    UNUSED_STATE;
    struct fetch_options opts = options();
    struct fetch_item item;
    char url[128];
    opts.retries = 0;
    opts.down_failures = 1;
    portless_n = 3;
    (void)snprintf(url, sizeof url, "http://" PUBLIC ":%d/big/16", web.port);
    get_url(&item, &opts, url);
    EXPECT_EQ(portless_n, 0);
    EXPECT_EQ(item.status, FETCH_OK);
    EXPECT_EQ(item.tries, 1);
    buf_deinit(&item.body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(redirect, leads_from_one_public_address_to_another),
        RUN(redirect, to_an_address_that_is_not_public_is_refused),
        RUN(redirect, waits_for_a_port_to_connect_from),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
