/* str_test.c - numbers, sizes, times, Unicode, escapes. */
#include "common/base/str.h"

#include "common/base/rng.h"
#include "tests/support/test.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

TEST(str, copy_tells_when_it_did_not_fit)
{
    UNUSED_STATE;
    char dst[4];
    EXPECT(str_copy(dst, sizeof dst, "abc"));
    EXPECT_TEXT(dst, "abc");
    EXPECT(!str_copy(dst, sizeof dst, "abcd"));
    EXPECT_TEXT(dst, "abc");
    EXPECT(!str_copy(dst, 0, ""));
}

TEST(str, questions_about_equality_and_ends)
{
    UNUSED_STATE;
    EXPECT(str_eq(NULL, NULL));
    EXPECT(!str_eq("", NULL));
    EXPECT(str_eq("a", "a"));
    EXPECT(str_has_prefix("abc", "ab"));
    EXPECT(!str_has_prefix("a", "ab"));
    EXPECT(str_has_suffix("abc", "bc"));
    EXPECT(str_has_suffix("abc", ""));
    EXPECT(!str_has_suffix("c", "bc"));
}

TEST(str, to_int_takes_whole_numbers_in_range_only)
{
    UNUSED_STATE;
    struct err err;
    int64_t value = 0;
    EXPECT_OK(str_to_int(&value, "-12", -12, 5, "n", &err), &err);
    EXPECT_EQ(value, -12);
    EXPECT_OK(str_to_int(&value, "9223372036854775807", 0, INT64_MAX, "n", &err), &err);
    EXPECT_EQ(value, INT64_MAX);
    static const char *const wrong[] = {"",
                                        "-",
                                        " 1",
                                        "1 ",
                                        "0x1",
                                        "1e3",
                                        "+1",
                                        "6",
                                        "-13",
                                        "9223372036854775808",
                                        "99999999999999999999999"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        value = 77;
        EXPECT_EQ(str_to_int(&value, wrong[i], -12, 5, "count", &err), ERR_INVALID);
        EXPECT(str_has_prefix(err.msg, "count must be"));
        EXPECT_EQ(value, 77);
    }
}

TEST(str, to_double_takes_plain_finite_numbers_only)
{
    UNUSED_STATE;
    struct err err;
    double value = 0;
    EXPECT_OK(str_to_double(&value, "-1.5e2", -200, 0, "x", &err), &err);
    EXPECT(value == -150.0);
    static const char *const wrong[] = {"", "nan", "inf", "0x1p3", "1,5", " 1", "1e999", "e", "3"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        EXPECT_EQ(str_to_double(&value, wrong[i], 0, 2, "x", &err), ERR_INVALID);
}

TEST(str, to_bytes_knows_units_and_overflow)
{
    UNUSED_STATE;
    static const struct {
        const char *text;
        int64_t bytes;
    } right[] = {{"512", 512},
                 {"64k", 65536},
                 {"64K", 65536},
                 {"10M", 10485760},
                 {"2GiB", 2147483648},
                 {"1T", 1099511627776},
                 {"7B", 7},
                 {"3kB", 3072},
                 {"0", 0},
                 {"8388607T", INT64_C(8388607) << 40}};
    static const char *const wrong[] = {
        "",    "k",  "-1", "1.5M", "1 k", "1ki", "1kk", "8388608T", "9223372036854775808",
        "12x", "1Bk"};
    struct err err;
    int64_t value;
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        EXPECT_OK(str_to_bytes(&value, right[i].text, "size", &err), &err);
        EXPECT_EQ(value, right[i].bytes);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        EXPECT_EQ(str_to_bytes(&value, wrong[i], "size", &err), ERR_INVALID);
}

TEST(str, to_ms_takes_bare_numbers_as_seconds)
{
    UNUSED_STATE;
    static const struct {
        const char *text;
        int64_t ms;
    } right[] = {{"250ms", 250}, {"10", 10000}, {"10s", 10000}, {"5m", 300000}, {"2h", 7200000}};
    static const char *const wrong[] = {
        "", "s", "-1s", "1.5s", "1 s", "1d", "9223372036854775807h"};
    struct err err;
    int64_t value;
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        EXPECT_OK(str_to_ms(&value, right[i].text, "wait", &err), &err);
        EXPECT_EQ(value, right[i].ms);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        EXPECT_EQ(str_to_ms(&value, wrong[i], "wait", &err), ERR_INVALID);
}

/* Each with the length of its valid front. */
TEST(str, utf8_valid_stops_at_the_first_bad_sequence)
{
    UNUSED_STATE;
    static const struct {
        const char *text;
        size_t valid;
    } rows[] = {
        {"", 0},
        {"abc", 3},
        {"\xc3\xa9", 2},
        {"\xe2\x82\xac", 3},
        {"\xf0\x9f\x98\x80", 4},
        {"\xf4\x8f\xbf\xbf", 4},  /* U+10FFFF */
        {"a\xc0\x80", 1},         /* overlong zero */
        {"a\xc1\xbf", 1},         /* overlong */
        {"a\xe0\x9f\xbf", 1},     /* overlong */
        {"a\xf0\x8f\xbf\xbf", 1}, /* overlong */
        {"a\xed\xa0\x80", 1},     /* surrogate */
        {"a\xed\x9f\xbf", 4},     /* just below the surrogates */
        {"a\xf4\x90\x80\x80", 1}, /* beyond U+10FFFF */
        {"a\xf5\x80\x80\x80", 1}, /* no such lead */
        {"a\x80", 1},             /* lone continuation */
        {"a\xe2\x82", 1},         /* cut short */
        {"a\xe2\x28\xa1", 1},     /* bad second byte */
        {"a\xe2\x82\x28", 1},     /* bad third byte */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        EXPECT_EQ(str_utf8_valid(rows[i].text, strlen(rows[i].text)), rows[i].valid);
}

TEST(str, utf8_clean_replaces_each_bad_byte)
{
    UNUSED_STATE;
    struct buf out;
    buf_init(&out, 0);
    str_utf8_clean(&out, "a\xff\x80z\xe2", 5);
    EXPECT_TEXT(buf_str(&out), "a\xef\xbf\xbd\xef\xbf\xbdz\xef\xbf\xbd");
    buf_deinit(&out);
}

TEST(str, json_escapes_what_it_must)
{
    UNUSED_STATE;
    struct buf out;
    buf_init(&out, 0);
    str_json(&out, "\"\\\n\t\x01/\xc3\xa9\xff", 9);
    EXPECT_TEXT(buf_str(&out), "\"\\\"\\\\\\n\\t\\u0001/\xc3\xa9\xef\xbf\xbd\"");
    buf_deinit(&out);
}

TEST(str, json_of_a_real_number_is_its_shortest_form)
{
    UNUSED_STATE;
    static const struct {
        double number;
        const char *text;
    } cases[] = {{0.3, "0.3"},
                 {-1, "-1.0"},
                 {0, "0.0"},
                 {1e300, "1e+300"},
                 {0.1 + 0.2, "0.30000000000000004"},
                 {1.0 / 3, "0.3333333333333333"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf out;
        buf_init(&out, 0);
        str_json_real(&out, cases[i].number, false);
        EXPECT_TEXT(buf_str(&out), cases[i].text);
        buf_deinit(&out);
    }
    struct buf out;
    buf_init(&out, 0);
    str_json_real(&out, (double)0.3F, true);
    EXPECT_TEXT(buf_str(&out), "0.3");
    buf_deinit(&out);
}

TEST(str, json_of_any_bytes_is_parsed_back_to_their_clean_form)
{
    UNUSED_STATE;
    struct rng rng;
    rng_seed(&rng, test_seed());
    for (int round = 0; round < 2000; round++) {
        static const char likely[] = "\"\\\xe2\x82\xac\xf0\x9f\x98\x80\n\xff";
        char data[40];
        struct buf json, clean;
        const size_t bytes = (size_t)rng_below(&rng, sizeof data);
        for (size_t i = 0; i < bytes; i++)
            data[i] = rng_below(&rng, 2) ? (char)rng_next(&rng)
                                         : likely[rng_below(&rng, sizeof likely - 1)];
        buf_init(&json, 0);
        buf_init(&clean, 0);
        str_json(&json, data, bytes);
        str_utf8_clean(&clean, data, bytes);
        json_t *parsed = json_loadb(json.data, json.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        EXPECT(parsed != NULL);
        EXPECT_EQ(json_string_length(parsed), clean.len);
        EXPECT_MEM(json_string_value(parsed), buf_str(&clean), clean.len);
        json_decref(parsed);
        buf_deinit(&clean);
        buf_deinit(&json);
    }
}

TEST(str, html_escapes_markup)
{
    UNUSED_STATE;
    struct buf out;
    buf_init(&out, 0);
    str_html(&out, "<a href=\"x\">'&'</a>");
    EXPECT_TEXT(buf_str(&out), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;");
    buf_deinit(&out);
}

TEST(str, hex_goes_there_and_back)
{
    UNUSED_STATE;
    const uint8_t bytes[4] = {0x00, 0x9a, 0xbc, 0xff};
    uint8_t back[4];
    char text[9];
    str_hex(text, bytes, sizeof bytes);
    EXPECT_TEXT(text, "009abcff");
    EXPECT(str_unhex(back, sizeof back, "009ABcff"));
    EXPECT_MEM(back, bytes, sizeof bytes);
    EXPECT(!str_unhex(back, sizeof back, "009abcf"));
    EXPECT(!str_unhex(back, sizeof back, "009abcff0"));
    EXPECT(!str_unhex(back, sizeof back, "009abcfg"));
}

TEST(str, human_forms_are_short_and_do_not_jump)
{
    UNUSED_STATE;
    char dst[24];
    EXPECT_TEXT(str_human_bytes(dst, sizeof dst, 0), "0 B");
    EXPECT_TEXT(str_human_bytes(dst, sizeof dst, 999), "999 B");
    EXPECT_TEXT(str_human_bytes(dst, sizeof dst, 999.7), "1.0 kB");
    EXPECT_TEXT(str_human_bytes(dst, sizeof dst, 1.4e9), "1.4 GB");
    EXPECT_TEXT(str_human_bytes(dst, sizeof dst, 140e6), "140 MB");
    EXPECT_TEXT(str_human_bytes(dst, sizeof dst, 5e18), "5000 PB");
    EXPECT_TEXT(str_human_bytes(dst, sizeof dst, (double)NAN), "0 B");
    EXPECT_TEXT(str_human_count(dst, sizeof dst, 3200), "3.2 k");
    EXPECT_TEXT(str_human_count(dst, sizeof dst, 42), "42");
    EXPECT_TEXT(str_human_ms(dst, sizeof dst, 850), "850ms");
    EXPECT_TEXT(str_human_ms(dst, sizeof dst, 12345), "12.3s");
    EXPECT_TEXT(str_human_ms(dst, sizeof dst, 125000), "2m05s");
    EXPECT_TEXT(str_human_ms(dst, sizeof dst, 11220000), "3h07m");
    EXPECT_TEXT(str_human_ms(dst, sizeof dst, 187200000), "2d04h");
    EXPECT_TEXT(str_human_ms(dst, sizeof dst, -5), "0ms");
}

TEST(str, url_loses_its_credentials_and_nothing_else)
{
    UNUSED_STATE;
    static const struct {
        const char *url, *shown;
    } rows[] = {
        {"https://user:pa@ss@host/x@y?z=@", "https://host/x@y?z=@"},
        {"redis://:secret@127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"},
        {"https://host/a@b", "https://host/a@b"},
        {"https://u@host?x", "https://host?x"},
        {"/plain/path@x", "/plain/path@x"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf out;
        buf_init(&out, 0);
        str_url_redact(&out, rows[i].url);
        EXPECT_TEXT(buf_str(&out), rows[i].shown);
        buf_deinit(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(str, copy_tells_when_it_did_not_fit),
        RUN(str, questions_about_equality_and_ends),
        RUN(str, to_int_takes_whole_numbers_in_range_only),
        RUN(str, to_double_takes_plain_finite_numbers_only),
        RUN(str, to_bytes_knows_units_and_overflow),
        RUN(str, to_ms_takes_bare_numbers_as_seconds),
        RUN(str, utf8_valid_stops_at_the_first_bad_sequence),
        RUN(str, utf8_clean_replaces_each_bad_byte),
        RUN(str, json_escapes_what_it_must),
        RUN(str, json_of_a_real_number_is_its_shortest_form),
        RUN(str, json_of_any_bytes_is_parsed_back_to_their_clean_form),
        RUN(str, html_escapes_markup),
        RUN(str, hex_goes_there_and_back),
        RUN(str, human_forms_are_short_and_do_not_jump),
        RUN(str, url_loses_its_credentials_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
