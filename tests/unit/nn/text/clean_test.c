/* clean_test.c - the steps over a text of which ids do not show everything. */
#include "worker/nn/text/clean.h"

#include "tests/support/test.h"

#include <string.h>

typedef void step(struct buf *out, const char *text, size_t bytes);

static void expect_made(step *take, const char *text, const char *want)
{
    struct buf out;
    buf_init(&out, 0);
    take(&out, text, strlen(text));
    EXPECT(!buf_failed(&out));
    EXPECT_TEXT(buf_str(&out), want);
    buf_deinit(&out);
}

static void expect_stripped(const char *text, const char *want)
{
    size_t bytes = strlen(text);
    const char *start = clean_strip(text, &bytes);
    EXPECT_EQ(bytes, strlen(want));
    EXPECT_MEM(start, want, bytes);
}

TEST(clean, makes_one_space_of_each_run_of_white_space)
{
    UNUSED_STATE;
    expect_made(clean_spaces, "", "");
    expect_made(clean_spaces, " \t\n\v\f\ra\r\n b ", " a b ");
    expect_made(clean_spaces, "a\xC2\x85\u00a0\u1680\u2000\u200a\u2028\u2029\u202f\u205f\u3000z",
                "a z");
    expect_made(clean_spaces, "a\u180e\u200b\u2060\ufeff\x1c\x1fz",
                "a\u180e\u200b\u2060\ufeff\x1c\x1fz"); /* none of them is */
}

TEST(clean, strips_as_python)
{
    UNUSED_STATE;
    expect_stripped("", "");
    expect_stripped(" \x1c\u3000\x1f", "");
    expect_stripped("\x1d\xC2\x85 a\u180e b \x1e\n", "a\u180e b");
}

TEST(clean, composes_what_was_decomposed_in_any_order)
{
    UNUSED_STATE;
    expect_made(clean_nfc, "e\u0301a\u0307\u0323\u1112\u1161\u11ab", "é\u1ea1\u0307한");
    expect_made(clean_nfc, "\u0301\u0323", "\u0323\u0301");
    expect_made(clean_nfc, "\u0344\u0958\U0001d15e",
                "\u0308\u0301\u0915\u093c\U0001d157\U0001d165"); /* never composed again */
}

TEST(clean, lowers_character_by_character)
{
    UNUSED_STATE;
    expect_made(clean_lower, "AÉИΣ\u0130ǅẞ\U00010400", "aéиσi\u0307ǆß\U00010428");
}

TEST(clean, resolves_references_once)
{
    UNUSED_STATE;
    expect_made(clean_unescape, "&amp;amp;&#x26;lt;", "&amp;&lt;");
    expect_made(clean_unescape, "&CounterClockwiseContourIntegral;&ltx&", "∳<x&");
}

TEST(clean, replaces_each_broken_character_once)
{
    UNUSED_STATE;
    expect_made(clean_utf8, "\xF0\x9F\x98z\xE2\x82\xF0\x9F\xC3", "\uFFFDz\uFFFD\uFFFD\uFFFD");
    expect_made(clean_utf8, "\xED\xA0\x80\xC0\xAF", "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD");
    expect_made(clean_utf8, "\xF4\x90\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(clean, makes_one_space_of_each_run_of_white_space),
        RUN(clean, strips_as_python),
        RUN(clean, composes_what_was_decomposed_in_any_order),
        RUN(clean, lowers_character_by_character),
        RUN(clean, resolves_references_once),
        RUN(clean, replaces_each_broken_character_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
