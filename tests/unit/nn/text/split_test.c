/* split_test.c - pieces of a text by expressions other than CLIP's, and their limits. */
#include "worker/nn/text/split.h"

#include "tests/support/test.h"

#include <string.h>

#define JOINED_MAX 256

/* The pieces with a bar behind each. */
static void expect_pieces(const char *pattern, enum split_kind kind, bool caseless,
                          const char *text, const char *want)
{
    struct split_rule *rule = NULL;
    struct split_work *work = NULL;
    struct split split;
    struct err err;
    char joined[JOINED_MAX] = "";
    size_t length = 0, bytes;
    const char *piece;
    EXPECT_OK(split_rule_new(&rule, pattern, strlen(pattern), kind, caseless, &err), &err);
    EXPECT_OK(split_work_new(&work, &err), &err);
    split_start(&split, rule, text, strlen(text));
    do {
        EXPECT_OK(split_next(&split, work, &piece, &bytes, &err), &err);
        if (!piece) break;
        EXPECT(bytes > 0 && length + bytes + 2 < sizeof joined);
        memcpy(joined + length, piece, bytes);
        length += bytes;
        joined[length++] = '|';
    } while (piece);
    EXPECT_TEXT(joined, want);
    split_work_free(work);
    split_rule_free(rule);
}

TEST(split, keeps_matches_or_all)
{
    UNUSED_STATE;
    expect_pieces("[0-9]+", SPLIT_KEEP_MATCHES, false, "a12b3", "12|3|");
    expect_pieces("[0-9]+", SPLIT_KEEP_ALL, false, "a12b3", "a|12|b|3|");
    expect_pieces("[0-9]+", SPLIT_KEEP_ALL, false, "12 3c", "12| |3|c|");
    expect_pieces("[0-9]+", SPLIT_KEEP_ALL, false, "none", "none|");
    expect_pieces("[0-9]+", SPLIT_KEEP_MATCHES, false, "none", "");
    expect_pieces("[0-9]+", SPLIT_KEEP_ALL, false, "", "");
}

TEST(split, never_gives_an_empty_piece)
{
    UNUSED_STATE;
    expect_pieces("x*", SPLIT_KEEP_MATCHES, false, "axxb", "xx|");
    expect_pieces("x*", SPLIT_KEEP_ALL, false, "axxb", "a|xx|b|");
    expect_pieces("(?=a)", SPLIT_KEEP_ALL, false, "aa", "aa|");
}

TEST(split, takes_whole_characters_and_unicode_classes)
{
    UNUSED_STATE;
    expect_pieces(".", SPLIT_KEEP_MATCHES, false, "é日😀", "é|日|😀|");
    expect_pieces("\\p{L}+|\\p{N}", SPLIT_KEEP_MATCHES, false, "été٣٤", "été|٣|٤|");
    expect_pieces("'s", SPLIT_KEEP_MATCHES, true, "'S'ſ's", "'S|'ſ|'s|");
}

TEST(split, means_white_space_by_s_also_in_classes)
{
    UNUSED_STATE;
    expect_pieces("\\S+", SPLIT_KEEP_MATCHES, false,
                  "a\xC2\x85"
                  "b\u3000c\u180ed",
                  "a|b|c\u180ed|");
    expect_pieces("[^\\sx]+", SPLIT_KEEP_MATCHES, false, "a\u00a0bxc", "a|b|c|");
    expect_pieces("\\\\s", SPLIT_KEEP_MATCHES, false, "a\\s b", "\\s|");
}

TEST(split, refuses_what_is_no_expression_or_too_long)
{
    UNUSED_STATE;
    static const char *const broken[] = {"(", "[", "a\\", "\\C", "\\p{Nothing}", "a{2,1}"};
    static char long_one[SPLIT_PATTERN_BYTES_MAX + 1];
    struct split_rule *rule = NULL;
    struct err err;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        EXPECT_EQ(split_rule_new(&rule, broken[i], strlen(broken[i]), SPLIT_KEEP_ALL, false, &err),
                  ERR_INVALID);
        EXPECT(strstr(err.msg, "not valid at byte"));
    }
    memset(long_one, 'a', sizeof long_one);
    EXPECT_EQ(split_rule_new(&rule, long_one, sizeof long_one, SPLIT_KEEP_ALL, false, &err),
              ERR_INVALID);
    EXPECT(rule == NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(split, keeps_matches_or_all),
        RUN(split, never_gives_an_empty_piece),
        RUN(split, takes_whole_characters_and_unicode_classes),
        RUN(split, means_white_space_by_s_also_in_classes),
        RUN(split, refuses_what_is_no_expression_or_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
