/* fetch_url_test.c - URLs of lists and redirects, and the hosts that they name. */
#include "worker/pipe/fetch_url.h"

#include "tests/support/test.h"

#include <string.h>

TEST(url, names_its_host_in_one_spelling)
{
    UNUSED_STATE;
    const struct {
        const char *text, *host, *whole;
    } cases[] = {
        {"http://a b/", NULL, NULL},
        {"http://Example.ORG", "example.org:80", "http://Example.ORG/"},
        {"https://a.example/", "a.example:443", "https://a.example/"},
        {"HTTPS://u:p@a.example:8443/x?y=1&z#f", "a.example:8443",
         "https://u:p@a.example:8443/x?y=1&z#f"},
        {"http://[2001:DB8::1]/", "[2001:db8::1]:80", "http://[2001:DB8::1]/"},
        {"http://0x7f.1/", "127.0.0.1:80", "http://127.0.0.1/"},
        {"http://b\xc3\xbc\x63her.example/\xc3\xbc", "xn--bcher-kva.example:80",
         "http://xn--bcher-kva.example/%c3%bc"},
        {"http://B\xc3\x9c\x43HER.example/", "xn--bcher-kva.example:80",
         "http://xn--bcher-kva.example/"},
        {"http://\xe2\x92\xb6.example/", "a.example:80", "http://a.example/"},
        {"http://stra\xc3\x9f\x65.example/", "xn--strae-oqa.example:80",
         "http://xn--strae-oqa.example/"},
        {"http://r3---sn-ab.\xc3\xbc.example./", "r3---sn-ab.xn--tda.example.:80",
         "http://r3---sn-ab.xn--tda.example./"},
        {"http://\xc3\xbc\xe3\x80\x82\xc3\xbc.example/", "xn--tda.xn--tda.example:80",
         "http://xn--tda.xn--tda.example/"}, /* U+3002 is a dot, too */
        {"http://a\xff.example/", NULL, NULL},
        {"http://\xe2\x80\x8b/", NULL, NULL}, /* nothing but a zero-width space */
        {"http://a.example:0/", NULL, NULL},
        {"ftp://a.example/", NULL, NULL},
        {"//a.example/", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fetch_url url;
        const bool ok = fetch_url_init(&url, NULL, cases[i].text);
        if (ok != (cases[i].host != NULL)) fail_msg("%s: %s", cases[i].text, url.host);
        if (ok) EXPECT_TEXT(url.host, cases[i].host);
        if (ok) EXPECT_TEXT(fetch_url_whole(&url), cases[i].whole);
        fetch_url_deinit(&url);
    }
}

TEST(url, is_read_as_relative_to_another)
{
    UNUSED_STATE;
    struct fetch_url base;
    EXPECT(fetch_url_init(&base, NULL, "http://u:p@a.example:81/b/c?d"));
    const struct {
        const char *text, *whole;
    } cases[] = {
        {"/e", "http://u:p@a.example:81/e"},
        {"e f", "http://u:p@a.example:81/b/e%20f"},
        {"?g", "http://u:p@a.example:81/b/c?g"},
        {"//h.example/", "http://h.example/"},
        {"https://h.example/i j", "https://h.example/i%20j"},
        {"https://\xc3\xbc.example", "https://xn--tda.example/"},
        {"file:///etc/passwd", NULL},
        {"data:,x", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fetch_url url;
        const bool ok = fetch_url_init(&url, &base, cases[i].text);
        if (ok != (cases[i].whole != NULL))
            fail_msg("%s: %s", cases[i].text, ok ? fetch_url_whole(&url) : "-");
        if (ok) EXPECT_TEXT(fetch_url_whole(&url), cases[i].whole);
        fetch_url_deinit(&url);
    }
    fetch_url_deinit(&base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(url, names_its_host_in_one_spelling),
        RUN(url, is_read_as_relative_to_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
