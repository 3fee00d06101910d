/* label_stats_test.c - counting labels over shards: tables, JSON, stats that lie, the verb. */
#include "client/exit.h"
#include "client/output/label_sums.h"
#include "client/verbs.h"
#include "common/base/fs.h"
#include "tests/support/test.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char first[] = "{\"count\":9,\"labels\":{\"animals\":{\"fox\":6,\"owl\":2},"
                            "\"urban\":{\"bridge\":1}}}";
static const char second[] = "{\"labels\":{\"animals\":{\"owl\":1200,\"ant\":2}},\"x\":[1]}";

static void fill(struct label_sums *sums)
{
    label_sums_init(sums);
    label_sums_add(sums, first, strlen(first));
    label_sums_add(sums, second, strlen(second));
}

TEST(label_stats, tables_show_the_most_frequent_first)
{
    UNUSED_STATE;
    struct label_sums sums;
    struct table table;
    struct buf out;
    struct err err;
    fill(&sums);
    buf_init(&out, 0);
    table_init(&table, label_sums_category_columns, 4);
    label_sums_categories(&sums, &table, 2);
    table_render(&table, &out, 0);
    EXPECT_TEXT(buf_str(&out), "CATEGORY  IMAGES   SHARE  MOST FREQUENT LABELS\n"
                               "animals    1,210  99.9 %  owl 1,202, fox 6\n"
                               "urban          1   0.1 %  bridge 1\n");
    table_deinit(&table);
    buf_clear(&out);
    table_init(&table, label_sums_label_columns, 3);
    EXPECT_OK(label_sums_labels(&sums, &table, "animals", 0, &err), &err);
    table_render(&table, &out, 0);
    EXPECT_TEXT(buf_str(&out), "LABEL  IMAGES   SHARE\n"
                               "owl     1,202  99.3 %\n"
                               "fox         6   0.5 %\n"
                               "ant         2   0.2 %\n");
    EXPECT_EQ(label_sums_labels(&sums, &table, "food", 0, &err), ERR_NOT_FOUND);
    EXPECT_TEXT(err.msg, "no image has a label of the category food; there are animals, urban");
    table_deinit(&table);
    buf_clear(&out);
    label_sums_json(&sums, &out, NULL, 1);
    EXPECT_TEXT(buf_str(&out),
                "{\"images\":1211,\"shards\":2,\"categories\":[{\"name\":\"animals\","
                "\"images\":1210,\"labels\":[{\"name\":\"owl\",\"images\":1202}]},"
                "{\"name\":\"urban\",\"images\":1,\"labels\":[{\"name\":\"bridge\","
                "\"images\":1}]}]}\n");
    buf_clear(&out);
    label_sums_json(&sums, &out, "urban", 0);
    EXPECT(strstr(buf_str(&out), "\"categories\":[{\"name\":\"urban\""));
    buf_deinit(&out);
    label_sums_deinit(&sums);
}

TEST(label_stats, stats_that_lie_are_passed_over)
{
    UNUSED_STATE;
    static const char *const lies[] = {
        "",
        "7",
        "{\"labels\":3}",
        "{\"labels\":{\"a\":7,\"b\":[1],\"c\":{}}}",
        "{\"labels\":{\"a\":{\"b\":-5,\"c\":\"many\",\"d\":1.5,\"e\":{}}}}",
    };
    struct label_sums sums;
    struct buf out;
    struct err err;
    struct table table;
    label_sums_init(&sums);
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++)
        label_sums_add(&sums, lies[i], strlen(lies[i]));
    EXPECT_EQ(sums.images, 0);
    EXPECT_EQ(sums.labels_count, 0);
    static const char large[] = "{\"labels\":{\"a\":{\"\\u001b[2J\":9223372036854775807}}}";
    label_sums_add(&sums, large, strlen(large));
    label_sums_add(&sums, large, strlen(large));
    EXPECT_EQ(sums.images, INT64_MAX);
    buf_init(&out, 0);
    table_init(&table, label_sums_label_columns, 3);
    EXPECT_OK(label_sums_labels(&sums, &table, "a", 0, &err), &err);
    table_render(&table, &out, 0);
    EXPECT(!strchr(buf_str(&out), '\033'));
    table_deinit(&table);
    buf_deinit(&out);
    label_sums_deinit(&sums);
}

/* The verb's exit status; what it prints is appended to out. */
static int run(struct buf *out, const char *a, const char *b, const char *c)
{
    char word[5][PATH_MAX] = {"vlmq", "label-stats"};
    char *argv[6] = {word[0], word[1]};
    const char *const args[] = {a, b, c};
    int argc = 2;
    for (int i = 0; i < 3 && args[i]; i++) {
        (void)snprintf(word[argc], PATH_MAX, "%s", args[i]);
        argv[argc] = word[argc];
        argc++;
    }
    FILE *file = tmpfile();
    EXPECT(file != NULL);
    (void)fflush(stdout);
    const int saved = dup(STDOUT_FILENO);
    EXPECT(saved >= 0 && dup2(fileno(file), STDOUT_FILENO) >= 0);
    const int status = verbs_main(argc, argv);
    (void)fflush(stdout);
    EXPECT(dup2(saved, STDOUT_FILENO) >= 0);
    (void)close(saved);
    char piece[4096];
    EXPECT(fseek(file, 0, SEEK_SET) == 0);
    const size_t got = fread(piece, 1, sizeof piece, file);
    buf_clear(out);
    buf_add(out, piece, got);
    (void)fclose(file);
    return status;
}

TEST(label_stats, reads_a_folder_without_a_fleet)
{
    UNUSED_STATE;
    const char *dir = test_dir_new();
    char path[PATH_MAX];
    struct buf out;
    struct err err;
    buf_init(&out, 0);
    EXPECT_EQ(run(&out, dir, NULL, NULL), STATUS_NOT_FOUND);
    EXPECT_EQ(run(&out, dir, "--json", NULL), 0);
    EXPECT_TEXT(buf_str(&out), "{\"images\":0,\"shards\":0,\"categories\":[]}\n");
    EXPECT(fs_join(path, sizeof path, dir, "00000_stats.json"));
    EXPECT_OK(fs_put(path, first, strlen(first), &err), &err);
    EXPECT(fs_join(path, sizeof path, dir, "00001_stats.json"));
    EXPECT_OK(fs_put(path, second, strlen(second), &err), &err);
    EXPECT(fs_join(path, sizeof path, dir, "00001.jsonl"));
    EXPECT_OK(fs_put(path, second, strlen(second), &err), &err);
    EXPECT_EQ(run(&out, dir, NULL, NULL), 0);
    EXPECT(strstr(buf_str(&out), "animals    1,210  99.9 %  owl 1,202, fox 6, ant 2\n"));
    EXPECT(strstr(buf_str(&out), "1,211 labelled images in 2 shards\n"));
    EXPECT_EQ(run(&out, dir, "--category=animals", "--top=1"), 0);
    EXPECT(strstr(buf_str(&out), "owl     1,202") && !strstr(buf_str(&out), "fox"));
    EXPECT_EQ(run(&out, dir, "--top=1", NULL), 0);
    EXPECT(strstr(buf_str(&out), "owl 1,202\n") && !strstr(buf_str(&out), "fox"));
    EXPECT_EQ(run(&out, dir, "--top=1", "--all"), 0);
    EXPECT(strstr(buf_str(&out), "owl 1,202, fox 6, ant 2\n"));
    EXPECT_EQ(run(&out, dir, "--category=food", NULL), STATUS_NOT_FOUND);
    EXPECT_EQ(run(&out, dir, "--top=0", NULL), STATUS_USAGE);
    EXPECT_EQ(run(&out, "--help", NULL, NULL), 0);
    EXPECT(strstr(buf_str(&out), "vlmq label-stats features --category animals --top 30"));
    buf_deinit(&out);
    test_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(label_stats, tables_show_the_most_frequent_first),
        RUN(label_stats, stats_that_lie_are_passed_over),
        RUN(label_stats, reads_a_folder_without_a_fleet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
