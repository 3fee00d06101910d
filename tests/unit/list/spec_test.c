/* spec_test.c - the columns that a job names, and the keys of its rows. */
#include "tests/support/test.h"
#include "worker/list/list_spec.h"

#include <string.h>

static char place[] = "place", year[] = "year", empty[] = "", link_name[] = "link";

TEST(spec, names_columns_by_place)
{
    UNUSED_STATE;
    struct list_columns columns = {0};
    struct err err;
    char *extra[] = {place, year};
    const struct list_spec spec = {
        .url_column = "", .caption_column = "text", .extra = extra, .extra_count = 2};
    EXPECT_OK(list_spec_columns(&columns, &spec, &err), &err);
    EXPECT_EQ(columns.wanted_count, LIST_FIRST_EXTRA + 2);
    EXPECT_TEXT(columns.wanted[LIST_URL_COLUMN], "url"); /* the default */
    EXPECT_TEXT(columns.wanted[LIST_CAPTION], "text");
    EXPECT(!columns.wanted[LIST_HASH] && !columns.wanted[LIST_BOXES]);
    EXPECT_TEXT(columns.wanted[LIST_FIRST_EXTRA + 1], "year");
}

static void expect_refused(const struct list_spec *spec, const char *option)
{
    struct list_columns columns = {0};
    struct err err;
    EXPECT_EQ(list_spec_columns(&columns, spec, &err), ERR_INVALID);
    if (!strstr(err.msg, option)) fail_msg("%s is not in: %s", option, err.msg);
}

TEST(spec, refuses_names_that_mean_nothing_or_two_things)
{
    UNUSED_STATE;
    char *taken[] = {year, place}, *none[] = {empty}, *twice[] = {year, year};
    char *same[] = {link_name}, *many[LIST_EXTRA_MAX + 1];
    const char *const reserved[] = {"key", "place"};
    char name[LIST_EXTRA_MAX + 1][4];
    for (int i = 0; i <= LIST_EXTRA_MAX; i++) {
        name[i][0] = 'c';
        name[i][1] = (char)('0' + i / 10);
        name[i][2] = (char)('0' + i % 10);
        name[i][3] = 0;
        many[i] = name[i];
    }
    struct list_spec spec = {.url_column = "link",
                             .extra = taken,
                             .extra_count = 2,
                             .reserved = reserved,
                             .reserved_count = 2};
    expect_refused(&spec, "\"place\"");
    spec.extra = none;
    spec.extra_count = 1;
    expect_refused(&spec, "--extra-columns has an empty name");
    spec.extra = same;
    expect_refused(&spec, "a second time");
    spec.extra = twice;
    spec.extra_count = 2;
    expect_refused(&spec, "a second time");
    spec.extra = many;
    spec.extra_count = LIST_EXTRA_MAX + 1;
    expect_refused(&spec, "--extra-columns");
    spec.extra_count = 0;
    spec.caption_column = "link";
    expect_refused(&spec, "--caption-column");
}

TEST(key, is_padded_as_img2dataset_pads_it)
{
    UNUSED_STATE;
    char key[LIST_KEY_BYTES];
    EXPECT_EQ(list_key_digits(1), 0);
    EXPECT_EQ(list_key_digits(2), 1);
    EXPECT_EQ(list_key_digits(10), 1);
    EXPECT_EQ(list_key_digits(11), 2);
    EXPECT_EQ(list_key_digits(10000), 4);
    EXPECT_EQ(list_key_digits(10001), 5);
    list_key(key, 1, 5, list_key_digits(10000));
    EXPECT_TEXT(key, "000010005");
    list_key(key, 123456, 9, list_key_digits(10));
    EXPECT_TEXT(key, "1234569");
    list_key(key, 7, 0, list_key_digits(1));
    EXPECT_TEXT(key, "00007");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(spec, names_columns_by_place),
        RUN(spec, refuses_names_that_mean_nothing_or_two_things),
        RUN(key, is_padded_as_img2dataset_pads_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
