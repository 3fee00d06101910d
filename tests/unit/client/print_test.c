/* Tables, small texts, and text that is safe on a terminal. */
#include "client/print.h"

#include "tests/support/test.h"

#include <string.h>

static const struct table_column columns[] = {
    {"NAME", false, false}, {"N", true, false}, {"TITLE", false, true}};

static void row(struct table *table, const char *name, int number, const char *title)
{
    table_cell(table, "%s", name);
    table_cell(table, "%d", number);
    table_cell(table, "%s", title);
}

TEST(table, columns_are_as_wide_as_their_widest_cell_and_numbers_stand_right)
{
    struct table table;
    struct buf out;
    UNUSED_STATE;
    table_init(&table, columns, 3);
    buf_init(&out, 0);
    row(&table, "alpha", 5, "first");
    row(&table, "b", 12345, "");
    table_render(&table, &out, 0);
    EXPECT_TEXT(buf_str(&out), "NAME       N  TITLE\n"
                               "alpha      5  first\n"
                               "b      12345\n");
    EXPECT_EQ(table_rows(&table), 2);
    buf_deinit(&out);
    table_deinit(&table);
}

TEST(table, the_shrinking_column_is_cut_to_the_terminal)
{
    struct table table;
    struct buf out;
    UNUSED_STATE;
    table_init(&table, columns, 3);
    buf_init(&out, 0);
    row(&table, "alpha", 5, "a title that is far too long for this");
    table_render(&table, &out, 24);
    EXPECT_TEXT(buf_str(&out), "NAME   N  TITLE\n"
                               "alpha  5  a title that \xe2\x80\xa6\n");
    buf_deinit(&out);
    table_deinit(&table);
}

TEST(table, cells_hold_no_control_characters)
{
    struct table table;
    struct buf out;
    UNUSED_STATE;
    table_init(&table, columns, 3);
    buf_init(&out, 0);
    row(&table, "a\033[2Jb", 1, "line\nbreak\x7f\xc2\x9b!");
    table_render(&table, &out, 0);
    EXPECT(!strchr(buf_str(&out), '\033'));
    EXPECT(!strstr(buf_str(&out), "\xc2\x9b"));
    EXPECT(strstr(buf_str(&out), "a [2Jb") != NULL);
    EXPECT(strstr(buf_str(&out), "line break  !") != NULL);
    buf_deinit(&out);
    table_deinit(&table);
}

TEST(cut, counts_characters_not_bytes)
{
    struct buf out;
    UNUSED_STATE;
    buf_init(&out, 0);
    print_cut(&out, "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f", 3);
    EXPECT_TEXT(buf_str(&out), "\xc3\xa4\xc3\xb6\xe2\x80\xa6");
    EXPECT_EQ(print_columns("\xc3\xa4\xc3\xb6"), 2);
    buf_clear(&out);
    print_cut(&out, "abc", 3);
    EXPECT_TEXT(buf_str(&out), "abc");
    buf_deinit(&out);
}

TEST(grouped, puts_commas_between_thousands)
{
    char dst[32];
    UNUSED_STATE;
    EXPECT_TEXT(print_grouped(dst, sizeof dst, 0), "0");
    EXPECT_TEXT(print_grouped(dst, sizeof dst, 999), "999");
    EXPECT_TEXT(print_grouped(dst, sizeof dst, 1000), "1,000");
    EXPECT_TEXT(print_grouped(dst, sizeof dst, -1234567), "-1,234,567");
    EXPECT_TEXT(print_grouped(dst, sizeof dst, INT64_MIN), "-9,223,372,036,854,775,808");
}

TEST(share, is_whole_only_when_it_is_exact)
{
    char dst[32];
    UNUSED_STATE;
    EXPECT_TEXT(print_share(dst, sizeof dst, 5, 0), "-");
    EXPECT_TEXT(print_share(dst, sizeof dst, 1, 2), "50.0 %");
    EXPECT_TEXT(print_share(dst, sizeof dst, 999999, 1000000), "99.9 %");
    EXPECT_TEXT(print_share(dst, sizeof dst, 1, 1000000), "0.1 %");
    EXPECT_TEXT(print_share(dst, sizeof dst, 0, 1000000), "0.0 %");
    EXPECT_TEXT(print_share(dst, sizeof dst, 7, 7), "100.0 %");
}

TEST(ago, names_one_unit)
{
    char dst[32];
    UNUSED_STATE;
    EXPECT_TEXT(print_ago(dst, sizeof dst, 0, 5000), "-");
    EXPECT_TEXT(print_ago(dst, sizeof dst, 1000, 60999), "59s ago");
    EXPECT_TEXT(print_ago(dst, sizeof dst, 1000, 61000), "1m ago");
    EXPECT_TEXT(print_ago(dst, sizeof dst, 1000, 7201000), "2h ago");
    EXPECT_TEXT(print_ago(dst, sizeof dst, 9000, 1000), "0s ago");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(table, columns_are_as_wide_as_their_widest_cell_and_numbers_stand_right),
        RUN(table, the_shrinking_column_is_cut_to_the_terminal),
        RUN(table, cells_hold_no_control_characters),
        RUN(cut, counts_characters_not_bytes),
        RUN(grouped, puts_commas_between_thousands),
        RUN(share, is_whole_only_when_it_is_exact),
        RUN(ago, names_one_unit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
