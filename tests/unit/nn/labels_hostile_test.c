/* labels_hostile_test.c - files and templates that are wrong are refused, with a sentence that says
 * where. */
#include "common/base/str.h"
#include "tests/support/test.h"
#include "worker/nn/text/labels.h"

#include <string.h>

/* code, and a piece of the sentence. */
static void refuse(const char *json, size_t bytes, enum err_code code, const char *piece)
{
    struct labels labels;
    struct err err = {.code = ERR_OK};
    EXPECT_EQ(labels_parse(&labels, json, bytes, &err), code);
    EXPECT(!labels.label);
    if (!strstr(err.msg, piece)) print_message("%s: is not in: %s\n", piece, err.msg);
    EXPECT(strstr(err.msg, piece));
    EXPECT(str_utf8_valid(err.msg, strlen(err.msg)) == strlen(err.msg));
}

static void refuse_text(const char *json, const char *piece)
{
    refuse(json, strlen(json), ERR_INVALID, piece);
}

/* "{"a": {" + name + ": " + description + "}}", of so many letters each. */
static void make_label(struct buf *json, size_t name_bytes, size_t description_bytes)
{
    buf_clear(json);
    buf_text(json, "{\"a\": {\"");
    for (size_t i = 0; i < name_bytes; i++) buf_byte(json, 'n');
    buf_text(json, "\": \"");
    for (size_t i = 0; i < description_bytes; i++) buf_byte(json, 'd');
    buf_text(json, "\"}}");
}

TEST(file, that_is_not_json_is_refused_with_its_line)
{
    UNUSED_STATE;
    refuse_text("", "line 1");
    refuse_text("fox", "line 1");
    refuse_text("\xef\xbb\xbf", "line 1");
    refuse_text("{\n\"a\": {\n\"b\" \"c\"}}", "line 3");
    refuse_text("{\"a\": {\"b\": \"c\"}} x", "end of file");
    refuse_text("{\"a\": {\"b\": \"c\xff\"}}", "0xff");
    refuse_text("{\"a\": {\"b\": \"c\\u0000d\"}}", "\\u0000");
    refuse_text("{\"a\": {\"b\\u0000\": \"c\"}}", "\\u0000");
    refuse("{\"a\": {\"b\": \"c\0d\"}}", 20, ERR_INVALID, "line 1");
}

TEST(file, of_another_shape_is_refused)
{
    UNUSED_STATE;
    refuse_text("[]", "no labels");
    refuse_text("{}", "no labels");
    refuse_text("[{\"a\": {\"b\": \"c\"}}]", "no labels");
    refuse_text("{\"a\": {\"b\": \"c\"}, \"x\": {}}", "category \"x\" has no labels");
    refuse_text("{\"x\": [\"b\", \"c\"]}", "category \"x\" is not an object");
    refuse_text("{\"x\": null}", "category \"x\" is not an object");
    refuse_text("{\"x\": {\"y\": 3}}",
                "category \"x\", label \"y\": the description is not a text");
    refuse_text("{\"x\": {\"y\": {\"z\": \"c\"}}}", "category \"x\", label \"y\"");
}

TEST(file, nested_deeply_is_refused)
{
    UNUSED_STATE;
    struct buf json;
    buf_init(&json, 0);
    for (int i = 0; i < 1000000; i++) buf_byte(&json, '[');
    refuse(json.data, json.len, ERR_INVALID, "depth");
    buf_deinit(&json);
}

TEST(text, that_is_empty_or_has_spaces_around_is_refused)
{
    UNUSED_STATE;
    refuse_text("{\"\": {\"b\": \"c\"}}", "the name of the category is empty");
    refuse_text("{\"x\": {\"\": \"c\"}}",
                "category \"x\", label \"\": the name of the label is empty");
    refuse_text("{\"x\": {\"y\": \"\"}}", "category \"x\", label \"y\": the description is empty");
    refuse_text("{\" x\": {\"b\": \"c\"}}", "starts or ends with a space");
    refuse_text("{\"x\": {\"y \": \"c\"}}", "starts or ends with a space");
    refuse_text("{\"x\": {\"y\": \" \"}}", "starts or ends with a space");
}

TEST(text, with_control_characters_is_refused)
{
    UNUSED_STATE;
    refuse_text("{\"x\\n\": {\"y\": \"c\"}}", "the name of the category holds a control");
    refuse_text("{\"x\": {\"y\\u001b[2J\": \"c\"}}", "the name of the label holds a control");
    refuse_text("{\"x\": {\"y\": \"c\\u007f\"}}", "the description holds a control");
    refuse_text("{\"x\": {\"y\": \"c\\td\"}}", "the description holds a control");
}

TEST(text, is_taken_up_to_its_limit)
{
    UNUSED_STATE;
    struct labels labels;
    struct err err;
    struct buf json;
    buf_init(&json, 0);
    make_label(&json, LABELS_NAME_BYTES_MAX, LABELS_DESCRIPTION_BYTES_MAX);
    EXPECT_OK(labels_parse(&labels, json.data, json.len, &err), &err);
    labels_deinit(&labels);
    make_label(&json, LABELS_NAME_BYTES_MAX + 1, 1);
    refuse(json.data, json.len, ERR_INVALID, "the name of the label is longer than 100 bytes");
    make_label(&json, 1, LABELS_DESCRIPTION_BYTES_MAX + 1);
    refuse(json.data, json.len, ERR_INVALID,
           "label \"n\": the description is longer than 500 bytes");
    buf_deinit(&json);
}

TEST(text, is_quoted_in_whole_characters)
{
    UNUSED_STATE;
    struct buf json;
    buf_init(&json, 0);
    buf_text(&json, "{\"x\": {\"y"); /* so that the cut falls into a character */
    for (int i = 0; i < 60; i++) buf_text(&json, "\xc3\xa9");
    buf_text(&json, "\": \"c\"}}");
    refuse(json.data, json.len, ERR_INVALID, "\xc3\xa9\": the name of the label is longer");
    buf_deinit(&json);
}

TEST(name, that_stands_twice_is_refused)
{
    UNUSED_STATE;
    refuse_text("{\"x\": {\"fox\": \"c\",\n \"fox\": \"d\"}}", "line 2");
    refuse_text("{\"x\": {\"fox\": \"c\"},\n \"x\": {\"owl\": \"d\"}}", "line 2");
    refuse_text("{\"x\": {\"fox\": \"c\", \"FOX\": \"d\"}}",
                "category \"x\", label \"FOX\": category \"x\" has it already");
    refuse_text("{\"x\": {\"fox\": \"c\"}, \"y\": {\"owl\": \"e\", \"fox\": \"d\"}}",
                "category \"y\", label \"fox\": category \"x\" has it already");
    refuse_text("{\"x\": {\"fox\": \"c\"}, \"X\": {\"owl\": \"d\"}}",
                "category \"X\" stands twice, the first time as \"x\"");
    refuse_text("{\"x\": {\"fox\": \"a Fox\"}, \"y\": {\"vixen\": \"a fox\"}}",
                "category \"y\", label \"vixen\": the description is that of label \"fox\"");
}

/* {"c0": {"l0": "d0", ...}, "c1": {...}, ...} */
static void make_many(struct buf *json, int categories, int labels_each)
{
    buf_clear(json);
    for (int i = 0; i < categories; i++) {
        buf_printf(json, "%s\"c%d\": {", i ? ", " : "{", i);
        for (int j = 0; j < labels_each; j++)
            buf_printf(json, "%s\"l%d.%d\": \"d%d.%d\"", j ? "," : "", i, j, i, j);
        buf_byte(json, '}');
    }
    buf_byte(json, '}');
}

TEST(file, with_too_much_is_refused)
{
    UNUSED_STATE;
    struct labels labels;
    struct err err;
    struct buf json;
    buf_init(&json, 0);
    make_many(&json, LABELS_CATEGORIES_MAX, 100);
    EXPECT_OK(labels_parse(&labels, json.data, json.len, &err), &err);
    EXPECT_EQ(labels.labels_count, LABELS_COUNT_MAX);
    labels_deinit(&labels);
    make_many(&json, LABELS_CATEGORIES_MAX + 1, 1);
    refuse(json.data, json.len, ERR_INVALID, "1001 categories, more than 1000");
    make_many(&json, LABELS_CATEGORIES_MAX, 101);
    refuse(json.data, json.len, ERR_INVALID, "101000 labels, more than 100000");
    buf_clear(&json);
    make_label(&json, 1, LABELS_FILE_BYTES_MAX);
    refuse(json.data, json.len, ERR_INVALID, "larger than");
    buf_deinit(&json);
}

/* The sentence for templates of one small label file, whose own template must stay. */
static void refuse_templates(const char *const *templates, uint32_t count, enum err_code code,
                             const char *piece)
{
    static const char json[] = "{\"a\": {\"b\": \"c\"}}";
    struct labels labels;
    struct err err = {.code = ERR_OK};
    EXPECT_OK(labels_parse(&labels, json, sizeof json - 1, &err), &err);
    EXPECT_EQ(labels_use_templates(&labels, templates, count, &err), code);
    if (!strstr(err.msg, piece)) print_message("%s: is not in: %s\n", piece, err.msg);
    EXPECT(strstr(err.msg, piece));
    EXPECT_EQ(labels.templates_count, 1);
    EXPECT_TEXT(labels.templates[0], LABELS_TEMPLATE_DEFAULT);
    labels_deinit(&labels);
}

static void refuse_template(const char *template, enum err_code code, const char *piece)
{
    const char *const templates[] = {"a picture of {}", template};
    refuse_templates(templates, 2, code, piece);
}

TEST(templates, that_are_wrong_are_refused_and_the_old_ones_stay)
{
    UNUSED_STATE;
    char text[LABELS_TEMPLATE_BYTES_MAX + 2] = "{}";
    refuse_template("", ERR_INVALID, "the template is empty");
    refuse_template("a photo", ERR_INVALID, "template \"a photo\": the template needs one {}");
    refuse_template("a photo of { }", ERR_INVALID, "needs one {}");
    refuse_template("{} and {}", ERR_INVALID, "needs one {}");
    refuse_template("{}\n", ERR_INVALID, "control character");
    refuse_template(" {}", ERR_INVALID, "space");
    refuse_template("{}\xc3", ERR_INVALID, "not valid UTF-8");
    memset(text + 2, '.', LABELS_TEMPLATE_BYTES_MAX - 1);
    refuse_template(text, ERR_INVALID, "longer than 200 bytes");
}

TEST(templates, are_bounded_in_number)
{
    UNUSED_STATE;
    const char *many[LABELS_TEMPLATES_MAX + 1];
    struct labels labels;
    struct err err;
    struct buf json;
    for (uint32_t i = 0; i <= LABELS_TEMPLATES_MAX; i++) many[i] = "{}";
    refuse_templates(many, 0, ERR_INVALID, "there is no template");
    refuse_templates(many, LABELS_TEMPLATES_MAX + 1, ERR_INVALID, "129 templates, more than 128");
    buf_init(&json, 0);
    make_many(&json, 100, 1000);
    EXPECT_OK(labels_parse(&labels, json.data, json.len, &err), &err);
    EXPECT_OK(labels_use_templates(&labels, many, 10, &err), &err);
    EXPECT_EQ(labels_use_templates(&labels, many, 11, &err), ERR_INVALID);
    EXPECT_EQ(labels.templates_count, 10);
    labels_deinit(&labels);
    buf_deinit(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(file, that_is_not_json_is_refused_with_its_line),
        RUN(file, of_another_shape_is_refused),
        RUN(file, nested_deeply_is_refused),
        RUN(file, with_too_much_is_refused),
        RUN(text, that_is_empty_or_has_spaces_around_is_refused),
        RUN(text, with_control_characters_is_refused),
        RUN(text, is_taken_up_to_its_limit),
        RUN(text, is_quoted_in_whole_characters),
        RUN(name, that_stands_twice_is_refused),
        RUN(templates, that_are_wrong_are_refused_and_the_old_ones_stay),
        RUN(templates, are_bounded_in_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
