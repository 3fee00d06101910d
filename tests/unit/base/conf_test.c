/* conf_test.c - one table, three sources, and the help. */
#include "common/base/conf.h"

#include "common/base/fs.h"
#include "common/base/rng.h"
#include "common/base/str.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A program's options and where they land. */
struct program {
    bool quiet, color;
    const char *output;
    int64_t count, memory_bytes, wait_ms;
    struct conf_list broker;
    struct conf_option options[8];
    struct conf conf;
};

static void program_init(struct program *p)
{
    *p = (struct program){
        .color = true, .output = "out", .count = 3, .memory_bytes = 64 << 20, .wait_ms = 10000};
    const struct conf_option options[] = {
        {"quiet", 'q', CONF_FLAG, &p->quiet, 0, 0, NULL, "Say nothing."},
        {"color", 0, CONF_FLAG, &p->color, 0, 0, NULL, "Colour the output."},
        {"output", 'o', CONF_TEXT, &p->output, 0, 0, "DIR", "Where the results go."},
        {"count", 'n', CONF_INT, &p->count, 1, 100, NULL, "How many to take."},
        {"memory-bytes", 'm', CONF_BYTES, &p->memory_bytes, 0, 0, NULL,
         "How much memory this may use before it has to wait for what it holds already."},
        {"wait", 'w', CONF_MS, &p->wait_ms, 0, 0, NULL, "How long to wait."},
        {"broker", 'b', CONF_LIST, &p->broker, 0, 0, "ADDRESS", "Where a broker listens."},
        {NULL, 0, CONF_FLAG, NULL, 0, 0, NULL, NULL},
    };
    memcpy(p->options, options, sizeof options);
    p->conf = (struct conf){.program = "vlmq test",
                            .usage = "KIND INPUT [options]",
                            .summary = "Does a thing to the input.",
                            .example = "vlmq test download urls.csv -o out",
                            .options = p->options};
}

/* Parses the words of line, split at spaces, in place of a shell. */
static int parse(struct program *p, const char *line, struct err *err)
{
    static char copy[4096];
    static char *argv[128];
    int argc = 1;
    argv[0] = copy;
    EXPECT(str_copy(copy, sizeof copy, line));
    char *rest;
    for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        argv[argc++] = word;
    return conf_parse(&p->conf, argc, argv, err);
}

TEST(conf, command_line_forms_all_work)
{
    UNUSED_STATE;
    struct err err;
    struct program p;
    program_init(&p);
    EXPECT_OK(parse(&p, "download --count 7 -o/tmp/x -q --no-color --wait=250ms in.csv -m 2G -- -x",
                    &err),
              &err);
    EXPECT_EQ(p.count, 7);
    EXPECT_TEXT(p.output, "/tmp/x");
    EXPECT(p.quiet);
    EXPECT(!p.color);
    EXPECT_EQ(p.wait_ms, 250);
    EXPECT_EQ(p.memory_bytes, INT64_C(2) << 30);
    EXPECT_EQ(p.conf.args_count, 3);
    EXPECT_TEXT(p.conf.arg[0], "download");
    EXPECT_TEXT(p.conf.arg[1], "in.csv");
    EXPECT_TEXT(p.conf.arg[2], "-x");
    EXPECT(!p.conf.help_asked);
    conf_deinit(&p.conf);
}

TEST(conf, letters_go_together_and_a_dash_is_an_argument)
{
    UNUSED_STATE;
    struct err err;
    struct program p;
    program_init(&p);
    EXPECT_OK(parse(&p, "-qn5 - --quiet=false", &err), &err);
    EXPECT_EQ(p.count, 5);
    EXPECT(!p.quiet);
    EXPECT_EQ(p.conf.args_count, 1);
    EXPECT_TEXT(p.conf.arg[0], "-");
    conf_deinit(&p.conf);
}

TEST(conf, lists_repeat_and_split_at_commas)
{
    UNUSED_STATE;
    struct err err;
    struct program p;
    program_init(&p);
    EXPECT_OK(parse(&p, "-b a:1,b:2 --broker c:3", &err), &err);
    EXPECT_EQ(p.broker.count, 3);
    EXPECT_TEXT(p.broker.item[0], "a:1");
    EXPECT_TEXT(p.broker.item[1], "b:2");
    EXPECT_TEXT(p.broker.item[2], "c:3");
    conf_deinit(&p.conf);
}

TEST(conf, mistakes_are_named_with_what_to_do)
{
    UNUSED_STATE;
    static const struct {
        const char *line, *says;
    } rows[] = {
        {"--cuont 3", "unknown option --cuont (did you mean --count?); see vlmq test --help"},
        {"--zebra", "unknown option --zebra; see vlmq test --help"},
        {"-x", "unknown option -x; see vlmq test --help"},
        {"-qx", "unknown option -x; see vlmq test --help"},
        {"--no-output", "unknown option --no-output"},
        {"--count", "--count needs a value; see vlmq test --help"},
        {"-n", "-n needs a value; see vlmq test --help"},
        {"--count 0", "--count must be from 1 to 100, not 0"},
        {"-n many", "-n must be a whole number, not 'many'"},
        {"--memory-bytes 5x", "--memory-bytes must be a size"},
        {"--wait soon", "--wait must be a time"},
        {"--quiet=maybe", "--quiet must be true or false, not 'maybe'"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err err = {0};
        struct program p;
        program_init(&p);
        EXPECT_EQ(parse(&p, rows[i].line, &err), ERR_INVALID);
        if (!str_has_prefix(err.msg, rows[i].says)) fail_msg("%s: %s", rows[i].line, err.msg);
        conf_deinit(&p.conf);
    }
}

TEST(conf, too_many_items_and_arguments_are_refused)
{
    UNUSED_STATE;
    struct err err;
    struct program p;
    char line[1024] = "";
    for (int i = 0; i < CONF_ARGS_MAX + 1; i++) (void)str_copy(line + 2 * i, 3, "a ");
    program_init(&p);
    EXPECT_EQ(parse(&p, line, &err), ERR_INVALID);
    conf_deinit(&p.conf);
    (void)str_copy(line, sizeof line, "--broker=");
    for (int i = 0; i < CONF_LIST_MAX + 1; i++) (void)str_copy(line + 9 + 2 * i, 3, "a,");
    program_init(&p);
    EXPECT_EQ(parse(&p, line, &err), ERR_INVALID);
    EXPECT_EQ(p.broker.count, CONF_LIST_MAX);
    conf_deinit(&p.conf);
}

/* Writes text as a configuration file and loads it. */
static int load(struct program *p, const char *text, struct err *err)
{
    char path[256];
    const char *dir = test_dir_new();
    EXPECT(fs_join(path, sizeof path, dir, "vlmq.conf"));
    EXPECT_OK(fs_put(path, text, strlen(text), err), err);
    const int rc = conf_load(&p->conf, path, true, err);
    test_dir_remove(dir);
    return rc;
}

TEST(conf, file_then_environment_then_command_line)
{
    UNUSED_STATE;
    struct err err;
    struct program p;
    program_init(&p);
    EXPECT_EQ(setenv("VLMQ_COUNT", "20", 1), 0);
    EXPECT_EQ(setenv("VLMQ_MEMORY_BYTES", "1k", 1), 0);
    EXPECT_EQ(setenv("VLMQ_BROKER", "e:1", 1), 0);
    EXPECT_EQ(setenv("VLMQ_OUTPUT", "", 1), 0); /* empty counts as unset */
    EXPECT_OK(
        load(&p, "count = 10\nwait = 7s\nmemory-bytes=9\noutput = file\nbroker = f:1,f:2\n", &err),
        &err);
    EXPECT_EQ(p.count, 20);
    EXPECT_EQ(p.wait_ms, 7000);
    EXPECT_EQ(p.memory_bytes, 1024);
    EXPECT_TEXT(p.output, "file");
    EXPECT_EQ(p.broker.count, 1);
    EXPECT_TEXT(p.broker.item[0], "e:1");
    EXPECT_OK(parse(&p, "--count 30 -b c:1 -b c:2", &err), &err);
    EXPECT_EQ(p.count, 30);
    EXPECT_EQ(p.wait_ms, 7000);
    EXPECT_EQ(p.broker.count, 2);
    EXPECT_TEXT(p.broker.item[1], "c:2");
    EXPECT_EQ(setenv("VLMQ_COUNT", "x", 1), 0);
    EXPECT_EQ(conf_load(&p.conf, NULL, false, &err), ERR_INVALID);
    EXPECT(str_has_prefix(err.msg, "VLMQ_COUNT must be a whole number"));
    EXPECT_EQ(unsetenv("VLMQ_COUNT"), 0);
    EXPECT_EQ(unsetenv("VLMQ_MEMORY_BYTES"), 0);
    EXPECT_EQ(unsetenv("VLMQ_BROKER"), 0);
    EXPECT_EQ(unsetenv("VLMQ_OUTPUT"), 0);
    conf_deinit(&p.conf);
}

TEST(conf, file_knows_comments_quotes_and_blank_lines)
{
    UNUSED_STATE;
    struct err err;
    struct program p;
    program_init(&p);
    EXPECT_OK(load(&p,
                   "# all of it\r\n\r\n  count=4 # four\r\n\toutput = \" a # b \" # c\n"
                   "quiet = yes\ncolor = off",
                   &err),
              &err);
    EXPECT_EQ(p.count, 4);
    EXPECT_TEXT(p.output, " a # b ");
    EXPECT(p.quiet);
    EXPECT(!p.color);
    EXPECT_OK(load(&p, "output = a#b\n", &err), &err);
    EXPECT_TEXT(p.output, "a#b");
    EXPECT_OK(load(&p, "", &err), &err);
    conf_deinit(&p.conf);
}

TEST(conf, file_mistakes_name_the_line)
{
    UNUSED_STATE;
    static const struct {
        const char *text, *says;
    } rows[] = {
        {"count = 1\ncolour = on\n", ":2: unknown option 'colour'; see vlmq test --help"},
        {"\n\ncount 5\n", ":3: write 'name = value', not 'count 5'"},
        {"= 5\n", ":1: write 'name = value'"},
        {"count = 500\n", ":1: count must be from 1 to 100, not 500"},
        {"output = \"x\n", ":1: the quotes around the value of output do not match"},
        {"output = \"x\" y\n", ":1: the quotes around the value of output do not match"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err err = {0};
        struct program p;
        program_init(&p);
        EXPECT_EQ(load(&p, rows[i].text, &err), ERR_INVALID);
        if (!strstr(err.msg, rows[i].says)) fail_msg("%s", err.msg);
        conf_deinit(&p.conf);
    }
}

TEST(conf, missing_file_matters_only_when_required)
{
    UNUSED_STATE;
    struct err err;
    struct program p;
    char path[256];
    const char *dir = test_dir_new();
    program_init(&p);
    EXPECT(fs_join(path, sizeof path, dir, "none"));
    EXPECT_OK(conf_load(&p.conf, path, false, &err), &err);
    EXPECT_EQ(conf_load(&p.conf, path, true, &err), ERR_NOT_FOUND);
    EXPECT(strstr(err.msg, path) != NULL);
    EXPECT_EQ(conf_load(&p.conf, dir, false, &err), ERR_INVALID); /* a folder is no file */
    conf_deinit(&p.conf);
    test_dir_remove(dir);
}

TEST(conf, binary_file_is_refused)
{
    UNUSED_STATE;
    struct err err;
    struct program p;
    char path[256];
    const char *dir = test_dir_new();
    program_init(&p);
    EXPECT(fs_join(path, sizeof path, dir, "binary"));
    EXPECT_OK(fs_put(path, "count\0= 5", 9, &err), &err);
    EXPECT_EQ(conf_load(&p.conf, path, true, &err), ERR_INVALID);
    test_dir_remove(dir);
    conf_deinit(&p.conf);
}

TEST(conf, any_file_is_taken_or_refused_with_a_sentence)
{
    UNUSED_STATE;
    struct rng rng;
    rng_seed(&rng, test_seed());
    for (int round = 0; round < 300; round++) {
        static const char *const part[] = {"count", "output", "broker", " ", "=",    "\"", "#",
                                           "\n",    "\t",     ",",      "5", "\xff", "\r"};
        struct err err = {0};
        struct program p;
        struct buf text;
        buf_init(&text, 0);
        program_init(&p);
        for (uint64_t i = rng_below(&rng, 20); i; i--)
            buf_text(&text, part[rng_below(&rng, sizeof part / sizeof part[0])]);
        const int rc = load(&p, buf_str(&text), &err);
        EXPECT(rc == 0 || (rc == ERR_INVALID && err.msg[0]));
        conf_deinit(&p.conf);
        buf_deinit(&text);
    }
}

TEST(conf, help_is_asked_also_beside_mistakes_but_not_after_the_end)
{
    UNUSED_STATE;
    struct err err;
    struct program p;
    program_init(&p);
    EXPECT_OK(parse(&p, "--nonsense --help", &err), &err);
    EXPECT(p.conf.help_asked);
    EXPECT_OK(parse(&p, "-h", &err), &err);
    EXPECT(p.conf.help_asked);
    EXPECT_OK(parse(&p, "-- --help", &err), &err);
    EXPECT(!p.conf.help_asked);
    EXPECT_TEXT(p.conf.arg[0], "--help");
    conf_deinit(&p.conf);
}

TEST(conf, help_shows_everything_aligned_with_the_values_that_hold)
{
    UNUSED_STATE;
    struct program p;
    struct buf out;
    struct err err;
    program_init(&p);
    buf_init(&out, 0);
    EXPECT_OK(load(&p, "wait = 90s\n", &err), &err);
    conf_help(&p.conf, &out);
    EXPECT_TEXT(buf_str(&out),
                "Usage: vlmq test KIND INPUT [options]\n"
                "\n"
                "Does a thing to the input.\n"
                "\n"
                "Options:\n"
                "  -q, --quiet              Say nothing.\n"
                "      --color              Colour the output. [on; --no-color]\n"
                "  -o, --output DIR         Where the results go. [out]\n"
                "  -n, --count N            How many to take. [3]\n"
                "  -m, --memory-bytes SIZE  How much memory this may use before it has to wait\n"
                "                           for what it holds already. [64M]\n"
                "  -w, --wait TIME          How long to wait. [90s]\n"
                "  -b, --broker ADDRESS     Where a broker listens.\n"
                "  -h, --help               Show this text.\n"
                "\n"
                "Example:\n"
                "  vlmq test download urls.csv -o out\n");
    buf_deinit(&out);
    conf_deinit(&p.conf);
}

TEST(conf, peek_finds_a_value_before_anything_is_parsed)
{
    UNUSED_STATE;
    char *argv[] = {(char[]){"vlmq"},       (char[]){"--config"},    (char[]){"a"},
                    (char[]){"--config=b"}, (char[]){"--configs=c"}, (char[]){"--"},
                    (char[]){"--config=d"}};
    EXPECT_TEXT(conf_peek(7, argv, "config"), "b");
    EXPECT_TEXT(conf_peek(3, argv, "config"), "a");
    EXPECT(conf_peek(2, argv, "config") == NULL);
    EXPECT(conf_peek(7, argv, "conf") == NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(conf, command_line_forms_all_work),
        RUN(conf, letters_go_together_and_a_dash_is_an_argument),
        RUN(conf, lists_repeat_and_split_at_commas),
        RUN(conf, mistakes_are_named_with_what_to_do),
        RUN(conf, too_many_items_and_arguments_are_refused),
        RUN(conf, file_then_environment_then_command_line),
        RUN(conf, file_knows_comments_quotes_and_blank_lines),
        RUN(conf, file_mistakes_name_the_line),
        RUN(conf, missing_file_matters_only_when_required),
        RUN(conf, binary_file_is_refused),
        RUN(conf, any_file_is_taken_or_refused_with_a_sentence),
        RUN(conf, help_is_asked_also_beside_mistakes_but_not_after_the_end),
        RUN(conf, help_shows_everything_aligned_with_the_values_that_hold),
        RUN(conf, peek_finds_a_value_before_anything_is_parsed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
