/* labels_fuzz.c - any bytes as a label file, or as templates of prompts.
 *
 * The first byte picks which. What is taken keeps the limits of labels.h and hashes the same when
 * it is read again; what is refused says why and leaves nothing behind. */
#include "common/base/check.h"
#include "common/base/str.h"
#include "tests/fuzz/input.h"
#include "worker/nn/text/labels.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check_text(const char *text, size_t bytes_max)
{
    const size_t bytes = strlen(text);
    CHECK(bytes > 0);
    CHECK(bytes <= bytes_max);
    CHECK(str_utf8_valid(text, bytes) == bytes);
}

static void check_prompts(const struct labels *labels, uint32_t label)
{
    struct buf prompt;
    buf_init(&prompt, LABELS_PROMPT_BYTES_MAX);
    for (uint32_t i = 0; i < labels->templates_count; i++) {
        buf_clear(&prompt);
        labels_prompt(&prompt, labels, label, i);
        CHECK(!buf_failed(&prompt));
        CHECK(strstr(buf_str(&prompt), labels->label[label].description));
    }
    buf_deinit(&prompt);
}

static void check_labels(const struct labels *labels)
{
    CHECK(labels->categories_count > 0);
    CHECK(labels->categories_count <= LABELS_CATEGORIES_MAX);
    CHECK(labels->labels_count >= labels->categories_count);
    CHECK(labels->labels_count <= LABELS_COUNT_MAX);
    for (uint32_t i = 0; i < labels->categories_count; i++)
        check_text(labels->category[i], LABELS_NAME_BYTES_MAX);
    for (uint32_t i = 0; i < labels->labels_count; i++) {
        const struct label *label = &labels->label[i];
        CHECK(label->category < labels->categories_count);
        if (i) CHECK(label->category >= labels->label[i - 1].category);
        check_text(label->name, LABELS_NAME_BYTES_MAX);
        check_text(label->description, LABELS_DESCRIPTION_BYTES_MAX);
        check_prompts(labels, i);
    }
}

static void file(const char *data, size_t bytes)
{
    struct labels labels, again;
    struct err err = {.code = ERR_OK};
    char first[HASH_SHA256_TEXT], second[HASH_SHA256_TEXT];
    if (labels_parse(&labels, data, bytes, &err)) {
        CHECK(err.msg[0]);
        CHECK(!labels.label);
        return;
    }
    check_labels(&labels);
    CHECK(labels_parse(&again, data, bytes, &err) == 0);
    labels_hash(first, &labels);
    labels_hash(second, &again);
    CHECK(str_eq(first, second));
    labels_deinit(&again);
    labels_deinit(&labels);
}

/* Up to 200 texts, each ended by a zero. */
static void templates(const char *data, size_t bytes)
{
    static const char json[] = "{\"a\": {\"b\": \"c\", \"d\": \"{}\"}}";
    struct labels labels;
    struct err err = {.code = ERR_OK};
    const char *template[200];
    uint32_t count = 0;
    struct buf text;
    buf_init(&text, 0);
    buf_add(&text, data, bytes);
    buf_byte(&text, 0);
    for (size_t at = 0; at < text.len && count < 200; at += strlen(text.data + at) + 1)
        template[count++] = text.data + at;
    CHECK(labels_parse(&labels, json, sizeof json - 1, &err) == 0);
    if (labels_use_templates(&labels, template, count, &err)) {
        CHECK(err.msg[0]);
        CHECK(labels.templates_count == 1);
    }
    check_labels(&labels);
    labels_deinit(&labels);
    buf_deinit(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct input input = {.data = data, .bytes = bytes};
    if (input_take(&input, 1) % 2)
        templates((const char *)input.data, input.bytes);
    else
        file((const char *)input.data, input.bytes);
    return 0;
}
