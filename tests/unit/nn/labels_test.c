/* labels_test.c - label files are read in their order, prompts and hash follow from them, and the
 * file that is shipped keeps what docs/labels.md promises. */
#include "worker/nn/text/labels.h"

#include "common/base/fs.h"
#include "common/base/str.h"
#include "tests/support/test.h"

#include <string.h>

#define SHIPPED TESTS_DIR "/../deploy/labels/default.json"

static const char two_categories[] = "{\"urban\": {\"bridge\": \"a long bridge\"},\n"
                                     " \"animals\": {\"owl\": \"an owl\", \"fox\": \"a red fox\"}}";

static void parse(struct labels *labels, const char *json)
{
    struct err err;
    EXPECT_OK(labels_parse(labels, json, strlen(json), &err), &err);
}

static void expect_prompt(const struct labels *labels, uint32_t label, uint32_t template,
                          const char *text)
{
    struct buf prompt;
    buf_init(&prompt, LABELS_PROMPT_BYTES_MAX);
    labels_prompt(&prompt, labels, label, template);
    EXPECT_TEXT(buf_str(&prompt), text);
    buf_deinit(&prompt);
}

TEST(labels, keep_the_order_of_the_file)
{
    UNUSED_STATE;
    struct labels labels;
    parse(&labels, two_categories);
    EXPECT_EQ(labels.categories_count, 2);
    EXPECT_TEXT(labels.category[0], "urban");
    EXPECT_TEXT(labels.category[1], "animals");
    EXPECT_EQ(labels.labels_count, 3);
    EXPECT_TEXT(labels.label[0].name, "bridge");
    EXPECT_TEXT(labels.label[0].description, "a long bridge");
    EXPECT_EQ(labels.label[0].category, 0);
    EXPECT_TEXT(labels.label[1].name, "owl");
    EXPECT_EQ(labels.label[1].category, 1);
    EXPECT_TEXT(labels.label[2].name, "fox");
    EXPECT_EQ(labels.label[2].category, 1);
    labels_deinit(&labels);
}

TEST(labels, have_the_default_template)
{
    UNUSED_STATE;
    struct labels labels;
    parse(&labels, two_categories);
    EXPECT_EQ(labels.templates_count, 1);
    expect_prompt(&labels, 2, 0, "a photo of a red fox.");
    labels_deinit(&labels);
}

TEST(labels, take_other_templates)
{
    UNUSED_STATE;
    static const char *const templates[] = {"{}", "a drawing of {}!", "({} )"};
    struct labels labels;
    struct err err;
    parse(&labels, two_categories);
    EXPECT_OK(labels_use_templates(&labels, templates, 3, &err), &err);
    EXPECT_EQ(labels.templates_count, 3);
    expect_prompt(&labels, 1, 0, "an owl");
    expect_prompt(&labels, 1, 1, "a drawing of an owl!");
    expect_prompt(&labels, 0, 2, "(a long bridge )");
    labels_deinit(&labels);
}

TEST(labels, a_description_with_braces_is_not_expanded_again)
{
    UNUSED_STATE;
    struct labels labels;
    parse(&labels, "{\"a\": {\"b\": \"a {} of {}\"}}");
    expect_prompt(&labels, 0, 0, "a photo of a {} of {}.");
    labels_deinit(&labels);
}

static void hash_with(char hash[HASH_SHA256_TEXT], const char *json, const char *template)
{
    struct labels labels;
    struct err err;
    parse(&labels, json);
    if (template) EXPECT_OK(labels_use_templates(&labels, &template, 1, &err), &err);
    labels_hash(hash, &labels);
    labels_deinit(&labels);
}

static bool same_hash(const char *json, const char *other, const char *template)
{
    char first[HASH_SHA256_TEXT], second[HASH_SHA256_TEXT];
    hash_with(first, json, NULL);
    hash_with(second, other, template);
    return str_eq(first, second);
}

/* A cache on disk is keyed by it: it must not change by accident. */
TEST(labels, the_hash_is_of_lengths_and_texts)
{
    UNUSED_STATE;
    static const char bytes[] = "\2\0\0\0\0\0\0\0"
                                "\1\0\0\0\0\0\0\0b\1\0\0\0\0\0\0\0c"
                                "\2\0\0\0\0\0\0\0de\1\0\0\0\0\0\0\0f"
                                "\1\0\0\0\0\0\0\0\4\0\0\0\0\0\0\0<{}>";
    char expected[HASH_SHA256_TEXT], hash[HASH_SHA256_TEXT];
    hash_sha256_text(expected, bytes, sizeof bytes - 1);
    hash_with(hash, "{\"a\": {\"b\": \"c\", \"de\": \"f\"}}", "<{}>");
    EXPECT_TEXT(hash, expected);
}

TEST(labels, the_hash_changes_with_what_changes_the_embeddings)
{
    UNUSED_STATE;
    static const char json[] = "{\"a\": {\"b\": \"c\", \"d\": \"e\"}}";
    EXPECT(same_hash(json, "{ \"a\":{\"b\":\"c\",\n\"d\":\"\\u0065\"} }", NULL));
    EXPECT(same_hash(json, "{\"other\": {\"b\": \"c\"}, \"two\": {\"d\": \"e\"}}", NULL));
    EXPECT(same_hash(json, "\xef\xbb\xbf{\"a\": {\"b\": \"c\", \"d\": \"e\"}}\r\n", NULL));
    EXPECT(same_hash(json, json, "a photo of {}."));
    EXPECT(!same_hash(json, json, "a photo of {}"));
    EXPECT(!same_hash(json, "{\"a\": {\"d\": \"e\", \"b\": \"c\"}}", NULL));
    EXPECT(!same_hash(json, "{\"a\": {\"b\": \"c\", \"d\": \"E\"}}", NULL));
    EXPECT(!same_hash(json, "{\"a\": {\"B\": \"c\", \"d\": \"e\"}}", NULL));
    EXPECT(!same_hash(json, "{\"a\": {\"bc\": \"c\", \"d\": \"e\"}}", NULL));
    EXPECT(!same_hash(json, "{\"a\": {\"b\": \"c\"}}", NULL));
}

TEST(labels, are_read_from_a_file_and_an_error_names_it)
{
    UNUSED_STATE;
    const char *dir = test_dir_new();
    char path[256];
    struct labels labels;
    struct err err;
    EXPECT(fs_join(path, sizeof path, dir, "labels.json"));
    EXPECT_EQ(labels_read(&labels, path, &err), ERR_NOT_FOUND);
    labels_deinit(&labels);
    EXPECT_OK(fs_put(path, two_categories, sizeof two_categories - 1, &err), &err);
    EXPECT_OK(labels_read(&labels, path, &err), &err);
    EXPECT_EQ(labels.labels_count, 3);
    labels_deinit(&labels);
    EXPECT_OK(fs_put(path, "{}", 2, &err), &err);
    EXPECT_EQ(labels_read(&labels, path, &err), ERR_INVALID);
    EXPECT(str_has_prefix(err.msg, path));
    test_dir_remove(dir);
}

TEST(labels, running_out_of_memory_is_an_error_and_leaks_nothing)
{
    UNUSED_STATE;
    struct labels labels;
    struct err err;
    int rc = ERR_LIMIT;
    int64_t failures = 0;
    for (; rc; failures++) {
        (void)mem_fail(failures, 1);
        rc = labels_parse(&labels, two_categories, sizeof two_categories - 1, &err);
        (void)mem_fail(-1, 0);
        if (rc) EXPECT_EQ(rc, ERR_LIMIT);
        EXPECT_EQ(labels.labels_count, rc ? 0 : 3);
    }
    EXPECT(failures > 10);
    labels_deinit(&labels);
}

/* Words as spaces separate them. */
static uint32_t count_words(const char *text)
{
    uint32_t words = 1;
    for (; *text; text++) words += *text == ' ';
    return words;
}

/* A token is at least a byte of text, so these prompts fit CLIP's context: 77 tokens, of which two
 * are marks of start and end. */
#define SHIPPED_PROMPT_BYTES_MAX 75

static void check_shipped_label(const struct label *label)
{
    const uint32_t words = count_words(label->description);
    EXPECT(words >= 4);
    EXPECT(words <= 14);
    EXPECT(strlen(LABELS_TEMPLATE_DEFAULT) - 2 + strlen(label->description) <=
           SHIPPED_PROMPT_BYTES_MAX);
    EXPECT(strlen(label->name) <= 40);
    for (const char *c = label->name; *c; c++)
        EXPECT((*c >= 'a' && *c <= 'z') || strchr(" '-", *c));
    for (const char *c = label->description; *c; c++)
        EXPECT((*c >= 'a' && *c <= 'z') || strchr(" '-,", *c));
    EXPECT(!strstr(label->description, "  "));
}

TEST(shipped, labels_are_what_the_documentation_says)
{
    UNUSED_STATE;
    static const char *const categories[] = {
        "people",  "nature",    "urban",  "animals", "food",     "technology", "sports", "art",
        "fashion", "transport", "events", "weather", "interior", "abstract",   "medical"};
    uint32_t members[15] = {0};
    struct labels labels;
    struct err err;
    EXPECT_OK(labels_read(&labels, SHIPPED, &err), &err);
    EXPECT_EQ(labels.categories_count, 15);
    for (uint32_t i = 0; i < 15; i++) EXPECT_TEXT(labels.category[i], categories[i]);
    EXPECT(labels.labels_count >= 1000);
    for (uint32_t i = 0; i < labels.labels_count; i++) {
        const struct label *label = &labels.label[i];
        check_shipped_label(label);
        if (members[label->category]++) EXPECT(strcmp(label[-1].name, label->name) < 0);
    }
    for (uint32_t i = 0; i < 15; i++) {
        EXPECT(members[i] >= 60);
        EXPECT(members[i] <= 90);
    }
    labels_deinit(&labels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(labels, keep_the_order_of_the_file),
        RUN(labels, have_the_default_template),
        RUN(labels, take_other_templates),
        RUN(labels, a_description_with_braces_is_not_expanded_again),
        RUN(labels, the_hash_is_of_lengths_and_texts),
        RUN(labels, the_hash_changes_with_what_changes_the_embeddings),
        RUN(labels, are_read_from_a_file_and_an_error_names_it),
        RUN(labels, running_out_of_memory_is_an_error_and_leaks_nothing),
        RUN(shipped, labels_are_what_the_documentation_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
