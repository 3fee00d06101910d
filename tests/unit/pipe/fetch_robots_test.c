/* fetch_robots_test.c - robots.txt files and what they allow; examples of RFC 9309 among them. */
#include "worker/pipe/fetch_robots.h"

#include "common/base/buf.h"
#include "tests/support/test.h"

#include <string.h>

static bool allows(const char *text, const char *path)
{
    char url[256] = "https://example.org:8080";
    struct fetch_robots *robots = fetch_robots_new(text, strlen(text), "vlmq");
    EXPECT(robots != NULL);
    (void)strncat(url, path, sizeof url - strlen(url) - 1);
    const bool allowed = fetch_robots_allow(robots, url);
    fetch_robots_free(robots);
    return allowed;
}

/* A file of one rule for everybody. */
static bool rule_allows(const char *rule, const char *path)
{
    char text[256] = "User-agent: *\n";
    (void)strncat(text, rule, sizeof text - strlen(text) - 1);
    return allows(text, path);
}

TEST(robots, choose_the_group_of_our_token)
{
    UNUSED_STATE;
    const char *const ours =
        "User-agent: *\nDisallow: /\n\nUser-Agent: other\nUser-agent: VLMQ/1.0\n"
        "Disallow: /a\n\nuser-agent:other\ndisallow:/b\n\n"
        "User-agent: vlmq # again\nDisallow: /c\n";
    EXPECT(!allows(ours, "/a"));
    EXPECT(allows(ours, "/b"));
    EXPECT(!allows(ours, "/c"));
    EXPECT(allows(ours, "/d"));
    EXPECT(allows("User-agent: vlmqbot\nDisallow: /\n", "/a"));
    EXPECT(!allows("\xef\xbb\xbfUser-agent: *\rDisallow: /a", "/a"));
    EXPECT(!allows("User-agent: *\r\nSitemap: x\r\nDisallow: /a\r\n", "/a"));
    EXPECT(!allows("User-agent: *\nSitemap: x\nUser-agent: b\nDisallow: /a\n", "/a"));
    EXPECT(allows("User-agent: *\nDisallow: /a\nUser-agent: b\nDisallow: /c\n", "/c"));
    EXPECT(!allows("User-agent: vlmq\n\nUser-agent: *\nDisallow: /x\nUser-agent: vlmq\nAllow: /",
                   "/x"));
    EXPECT(allows("Disallow: /\n", "/a")); /* of no group */
    EXPECT(allows("", "/a"));
    EXPECT(allows("<html>Disallow: /</html>", "/a"));
}

TEST(robots, match_rules_from_the_start_with_stars_and_an_end)
{
    UNUSED_STATE;
    const struct {
        const char *rule, *path;
        bool allowed;
    } cases[] = {
        {"Disallow: /fish", "/fish.html", false},
        {"Disallow: /fish", "/Fish", true},
        {"Disallow: /fish", "/a/fish", true},
        {"Disallow: /fish/", "/fish", true},
        {"Disallow: fish", "/fish", true},
        {"Disallow:", "/a", true},
        {"Disallow: /", "", false},
        {"Disallow: /?", "?q", false},
        {"Disallow: /*.php", "/a/b.php?x", false},
        {"Disallow: /*.php$", "/a.php", false},
        {"Disallow: /*.php$", "/a.php?x", true},
        {"Disallow: /*.php$", "/a.php.php", false},
        {"Disallow: /a$", "/a", false},
        {"Disallow: /a$", "/ab", true},
        {"Disallow: /a*$", "/ab", false},
        {"Disallow: *b", "/ab", false},
        {"Disallow: /a*b*c", "/a--c-b", true},
        {"Disallow: /a*b*c", "/a--b-c", false},
        {"Disallow: /a**b", "/ab", false},
        {"Disallow: /ab*b$", "/ab", true},
        {"Disallow: /$x", "/$x", false},
        {"Disallow: /a#b", "/a", false},
        {"Disallow: /caf\xc3\xa9", "/caf%C3%A9", false},
        {"Disallow: /%7ejoe", "/~joe", false},
        {"Disallow: /~joe", "/%7Ejoe", false},
        {"Disallow: /a%2fb", "/a%2Fb", false},
        {"Disallow: /a%2fb", "/a/b", true},
        {"Disallow: /", "/robots.txt", true},
        {"Disallow: /a", "/a?b#c", false},
        {"Disallow: /a#c", "/x#/a", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (rule_allows(cases[i].rule, cases[i].path) != cases[i].allowed)
            fail_msg("%s against %s", cases[i].rule, cases[i].path);
}

TEST(robots, follow_the_longest_rule_and_allow_where_two_are_as_long)
{
    UNUSED_STATE;
    EXPECT(rule_allows("Allow: /p\nDisallow: /", "/page"));
    EXPECT(rule_allows("Disallow: /folder\nAllow: /folder", "/folder/page"));
    EXPECT(rule_allows("Allow: /folder\nDisallow: /folder", "/folder/page"));
    EXPECT(!rule_allows("Allow: /page\nDisallow: /*.htm", "/page.htm"));
    EXPECT(rule_allows("Allow: /$\nDisallow: /", ""));
    EXPECT(!rule_allows("Allow: /\nDisallow: /$", ""));
    EXPECT(!rule_allows("Allow: /$\nDisallow: /", "/page.htm"));
    EXPECT(!rule_allows("Allow: /example/page/\nDisallow: /example/page/disallowed.gif",
                        "/example/page/disallowed.gif"));
}

TEST(robots, are_bounded)
{
    UNUSED_STATE;
    struct buf text;
    buf_init(&text, 0);
    buf_text(&text, "User-agent: *\n");
    while (text.len < FETCH_ROBOTS_BYTES_MAX - 20)
        buf_text(&text, "Allow: /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa*a*a*a*a*a*b\n");
    while (text.len < FETCH_ROBOTS_BYTES_MAX) buf_byte(&text, '\n');
    buf_text(&text, "Disallow: /late\n");
    struct fetch_robots *robots = fetch_robots_new(text.data, text.len, "vlmq");
    EXPECT(fetch_robots_allow(robots, "http://a/late"));
    EXPECT(fetch_robots_memory(robots) < 8 * FETCH_ROBOTS_BYTES_MAX);
    fetch_robots_free(robots);
    EXPECT_EQ(fetch_robots_memory(NULL), 0);
    buf_clear(&text);
    buf_text(&text, "User-agent: *\n");
    for (uint32_t i = 0; i < FETCH_ROBOTS_RULES_MAX; i++) buf_text(&text, "Allow: /a\n");
    buf_text(&text, "Disallow: /late\n");
    robots = fetch_robots_new(text.data, text.len, "vlmq");
    EXPECT(fetch_robots_allow(robots, "http://a/late"));
    fetch_robots_free(robots);
    buf_deinit(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(robots, choose_the_group_of_our_token),
        RUN(robots, match_rules_from_the_start_with_stars_and_an_end),
        RUN(robots, follow_the_longest_rule_and_allow_where_two_are_as_long),
        RUN(robots, are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
