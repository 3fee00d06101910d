/* fetch_opt_out_test.c - what X-Robots-Tag values mean. */
#include "worker/pipe/fetch_opt_out.h"

#include "tests/support/test.h"

#include <string.h>

#define USUAL "noai,noimageai,noindex,noimageindex,noml"

static bool says(const char *value, const char *directives)
{
    return fetch_opt_out(value, strlen(value), directives);
}

TEST(opt_out, is_found_among_directives_and_tokens)
{
    UNUSED_STATE;
    const char *yes[] = {"noai",
                         "NoImageAI",
                         "nofollow, noindex",
                         " nosnippet ,\tnoml ",
                         "vlmq: noai",
                         "VLMQ:noarchive,noai",
                         "otherbot: nofollow, vlmq: noimageindex",
                         "none",
                         "unavailable_after: Fri, 25 Jun 2010 15:00:00 PST, noai",
                         "max-snippet:-1, noindex",
                         ",,noai"};
    const char *no[] = {"",
                        " , ,",
                        "all",
                        "noaiming",
                        "noa",
                        "otherbot: noai",
                        "otherbot: nofollow, noai",
                        "vlmqbot: noai",
                        "vlmq: all, otherbot: noindex",
                        "unavailable_after: noai",
                        "max-image-preview: none",
                        ": noai",
                        "noai:"};
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++)
        if (!says(yes[i], USUAL)) fail_msg("\"%s\" is an opt-out", yes[i]);
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
        if (says(no[i], USUAL)) fail_msg("\"%s\" is none", no[i]);
}

TEST(opt_out, is_what_the_list_says)
{
    UNUSED_STATE;
    EXPECT(says("noai, noarchive", "noarchive"));
    EXPECT(!says("noai, noindex", "noarchive"));
    EXPECT(!says("none", "noai"));
    EXPECT(says("none", "noai,noindex"));
    EXPECT(!says("noai", ""));
    EXPECT(!says("", ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(opt_out, is_found_among_directives_and_tokens),
        RUN(opt_out, is_what_the_list_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
