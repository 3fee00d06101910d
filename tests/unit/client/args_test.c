/* The command line of submit and run, split between the verb and the kind. */
#include "client/submit/args.h"

#include "common/base/str.h"
#include "proto/wire/spec.h"
#include "tests/support/test.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *title;
static bool paused, quiet;
static const struct conf_option table[] = {
    {"title", 0, CONF_TEXT, &title, 0, 0, NULL, ""},
    {"paused", 0, CONF_FLAG, &paused, 0, 0, NULL, ""},
    {"quiet", 'q', CONF_FLAG, &quiet, 0, 0, NULL, ""},
    {0},
};

static struct arena arena;

/* The line as words; what is read of it is borrowed from `text`. */
static int split(struct args *args, char *text, struct err *err)
{
    static char *argv[64];
    char *rest = text;
    int argc = 0;
    for (char *word; (word = strtok_r(rest, " ", &rest));) argv[argc++] = word;
    argv[argc] = NULL;
    return args_split(args, argc, argv, table, &arena, err);
}

static void expect_words(const struct args *args, const char *expected)
{
    struct buf out;
    buf_init(&out, 0);
    for (int i = 0; i < args->words; i++) buf_printf(&out, "%s%s", i ? " " : "", args->word[i]);
    EXPECT_TEXT(buf_str(&out), expected);
    buf_deinit(&out);
}

static void expect_spec(const struct args *args, const char *expected)
{
    struct buf out;
    buf_init(&out, 0);
    spec_json(&out, args->spec);
    EXPECT_TEXT(buf_str(&out), expected);
    buf_deinit(&out);
}

TEST(args, options_of_the_kind_go_into_the_spec_and_the_rest_to_the_verb)
{
    char line[] = "run --title x download --image-size 256 list.csv -q --paused --quality=80";
    struct args args;
    struct err err;
    UNUSED_STATE;
    EXPECT_OK(split(&args, line, &err), &err);
    EXPECT_TEXT(args.kind, "download");
    expect_words(&args, "run --title x download list.csv -q --paused");
    expect_spec(&args, "{\"image_size\":256,\"quality\":80}");
}

TEST(args, a_flag_of_the_kind_takes_no_value_and_no_turns_it_off)
{
    char line[] = "run download --allow-private list.csv --no-retries";
    char off[] = "run download --allow-private --no-allow-private list.csv";
    struct args args;
    struct err err;
    UNUSED_STATE;
    EXPECT_OK(split(&args, line, &err), &err);
    expect_words(&args, "run download list.csv");
    expect_spec(&args, "{\"no_retries\":true,\"allow_private\":true}");
    EXPECT_OK(split(&args, off, &err), &err);
    expect_words(&args, "run download list.csv");
    expect_spec(&args, "{}");
}

TEST(args, a_typed_zero_does_not_become_the_default)
{
    char retries[] = "run download --retries 0 list.csv";
    char limit[] = "run download --timeout-ms=0s list.csv";
    char none[] = "run download --min-image-size 0 --retries 03 list.csv";
    struct args args;
    struct err err;
    UNUSED_STATE;
    EXPECT_EQ(split(&args, retries, &err), ERR_INVALID);
    EXPECT_TEXT(err.msg, "--retries 0: use --no-retries");
    EXPECT_EQ(split(&args, limit, &err), ERR_INVALID);
    EXPECT_TEXT(err.msg, "--timeout-ms must be above 0; see vlmq run download --help");
    EXPECT_OK(split(&args, none, &err), &err);
    expect_spec(&args, "{\"retries\":3}");
    char part[] = "run encode --placeholder-threshold 0.0 shards";
    EXPECT_EQ(split(&args, part, &err), ERR_INVALID);
    EXPECT_TEXT(err.msg, "--placeholder-threshold must be above 0; see vlmq run encode --help");
}

TEST(args, the_value_of_a_verbs_option_is_not_taken_for_the_kind)
{
    char line[] = "run --title probe download";
    struct args args;
    struct err err;
    UNUSED_STATE;
    EXPECT_OK(split(&args, line, &err), &err);
    EXPECT_TEXT(args.kind, "download");
}

TEST(args, behind_two_dashes_everything_is_an_argument)
{
    char line[] = "run download -- --image-size";
    struct args args;
    struct err err;
    UNUSED_STATE;
    EXPECT_OK(split(&args, line, &err), &err);
    expect_words(&args, "run download -- --image-size");
    expect_spec(&args, "{}");
}

TEST(args, a_misspelt_option_gets_a_suggestion)
{
    char line[] = "run download --image-sise 3 list.csv";
    char last[] = "run download list.csv --image-sise";
    struct args args;
    struct err err;
    UNUSED_STATE;
    EXPECT_EQ(split(&args, line, &err), ERR_INVALID);
    EXPECT(strstr(err.msg, "image-size") != NULL);
    EXPECT_EQ(split(&args, last, &err), ERR_INVALID);
    EXPECT(strstr(err.msg, "image-size") != NULL);
}

TEST(args, a_missing_value_is_named)
{
    char line[] = "run download list.csv --image-size";
    struct args args;
    struct err err;
    UNUSED_STATE;
    EXPECT_EQ(split(&args, line, &err), ERR_INVALID);
    EXPECT(strstr(err.msg, "--image-size needs a value") != NULL);
}

TEST(args, an_unknown_or_missing_kind_lists_what_there_is)
{
    char unknown[] = "run downlaod x", none[] = "run --paused", far[] = "run xyzzy";
    struct args args;
    struct err err;
    UNUSED_STATE;
    EXPECT_EQ(split(&args, unknown, &err), ERR_INVALID);
    EXPECT(strstr(err.msg, "did you mean download?") != NULL);
    EXPECT_EQ(split(&args, none, &err), ERR_INVALID);
    EXPECT(strstr(err.msg, "download, encode, probe") != NULL);
    EXPECT_EQ(split(&args, far, &err), ERR_INVALID);
    EXPECT(strstr(err.msg, "download, encode, probe") != NULL);
}

static void expect_place(const char *text, const char *expected)
{
    const char *place = NULL;
    struct err err;
    EXPECT_OK(args_place(&place, text, &arena, &err), &err);
    EXPECT_TEXT(place, expected);
}

TEST(place, paths_become_absolute_and_urls_stay)
{
    char here[PATH_MAX], expected[PATH_MAX + 32];
    UNUSED_STATE;
    EXPECT(getcwd(here, sizeof here) != NULL);
    (void)snprintf(expected, sizeof expected, "%s/lists/a.csv", here);
    expect_place("lists/a.csv", expected);
    expect_place("./lists//x/../a.csv", expected);
    expect_place("/a/../../b/./c/", "/b/c");
    expect_place("/", "/");
    expect_place("https://host/list.csv", "https://host/list.csv");
    expect_place("s3://bucket/../x", "s3://bucket/../x");
    (void)snprintf(expected, sizeof expected, "%s/a/b:/c", here);
    expect_place("a/b://c", expected);
}

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_deinit(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(args, options_of_the_kind_go_into_the_spec_and_the_rest_to_the_verb),
        RUN(args, a_flag_of_the_kind_takes_no_value_and_no_turns_it_off),
        RUN(args, a_typed_zero_does_not_become_the_default),
        RUN(args, the_value_of_a_verbs_option_is_not_taken_for_the_kind),
        RUN(args, behind_two_dashes_everything_is_an_argument),
        RUN(args, a_misspelt_option_gets_a_suggestion),
        RUN(args, a_missing_value_is_named),
        RUN(args, an_unknown_or_missing_kind_lists_what_there_is),
        RUN(place, paths_become_absolute_and_urls_stay),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
