/* fetch_tls_test.c - certificates and handshakes that are not as they should be. */
#include "tests/unit/pipe/fetch_harness.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

static char ca_file[300];

static int make_certificates(void **state)
{
    char command[600];
    const int rc = start(state);
    (void)snprintf(command, sizeof command, "%s/support/certificates %s", TESTS_DIR, folder);
    EXPECT_EQ(system(command), 0);
    (void)snprintf(ca_file, sizeof ca_file, "%s/ca.crt", folder);
    return rc;
}

/* How a request to a server with that certificate ends, for who trusts the authority. */
static enum fetch_status by_certificate(const char *name, const char *host, const char *mode)
{
    struct fetch_options opts = options();
    struct fetch_item item;
    struct web_server server;
    char path[600], url[128];
    opts.ca_file = *ca_file ? ca_file : NULL;
    opts.retries = 2;
    (void)snprintf(path, sizeof path, "%s/%s.pem", folder, name);
    EXPECT_EQ(setenv("WEB_SERVER_TLS", mode, 1), 0);
    web_server_start(&server, SCRIPT, folder, path);
    EXPECT_EQ(unsetenv("WEB_SERVER_TLS"), 0);
    (void)snprintf(url, sizeof url, "https://%s:%d/big/16", host, server.tls_port);
    get_url(&item, &opts, url);
    EXPECT_EQ(item.tries, 1); /* a later try would find the same */
    buf_deinit(&item.body);
    web_server_stop(&server);
    return item.status;
}

TEST(tls, takes_a_certificate_that_holds)
{
    UNUSED_STATE;
    EXPECT_EQ(by_certificate("good", "127.0.0.1", ""), FETCH_OK);
    EXPECT_EQ(by_certificate("good", "localhost", ""), FETCH_OK);
    EXPECT_EQ(by_certificate("whole", "127.0.0.1", ""), FETCH_OK);
}

TEST(tls, trusts_what_the_environment_names)
{
    UNUSED_STATE;
    char known[sizeof ca_file];
    memcpy(known, ca_file, sizeof known);
    ca_file[0] = 0;
    EXPECT_EQ(by_certificate("good", "127.0.0.1", ""), FETCH_TLS_FAILED);
    EXPECT_EQ(setenv("SSL_CERT_FILE", known, 1), 0);
    EXPECT_EQ(by_certificate("good", "127.0.0.1", ""), FETCH_OK);
    EXPECT_EQ(unsetenv("SSL_CERT_FILE"), 0);
    memcpy(ca_file, known, sizeof known);
}

TEST(tls, refuses_one_that_does_not)
{
    UNUSED_STATE;
    const char *const names[] = {"old", "other", "part", "self"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (by_certificate(names[i], "127.0.0.1", "") != FETCH_TLS_FAILED)
            fail_msg("the certificate \"%s\" was taken", names[i]);
    }
}

TEST(tls, refuses_old_protocols_and_takes_no_for_an_answer)
{
    UNUSED_STATE;
    EXPECT_EQ(by_certificate("good", "127.0.0.1", "tls1.0"), FETCH_TLS_FAILED);
    EXPECT_EQ(by_certificate("good", "localhost", "unrecognized-name"), FETCH_TLS_FAILED);
}

TEST(tls, does_not_wait_for_a_handshake_for_ever)
{
    UNUSED_STATE;
    struct fetch_options opts = options();
    struct fetch_item item;
    char url[64];
    /* The kernel takes the connection; nobody answers on it. */
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    EXPECT_EQ(bind(listener, (const struct sockaddr *)&address, sizeof address), 0);
    EXPECT_EQ(listen(listener, 8), 0);
    EXPECT_EQ(getsockname(listener, (struct sockaddr *)&address, &bytes), 0);
    opts.connect_ms = 300;
    (void)snprintf(url, sizeof url, "https://127.0.0.1:%d/", ntohs(address.sin_port));
    get_url(&item, &opts, url);
    EXPECT_EQ(item.status, FETCH_CONNECT_TIMEOUT);
    buf_deinit(&item.body);
    (void)close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(tls, takes_a_certificate_that_holds),
        RUN(tls, trusts_what_the_environment_names),
        RUN(tls, refuses_one_that_does_not),
        RUN(tls, refuses_old_protocols_and_takes_no_for_an_answer),
        RUN(tls, does_not_wait_for_a_handshake_for_ever),
    };
    return cmocka_run_group_tests(tests, make_certificates, stop);
}
