/* golden_test.c - the references' ids and texts (tests/golden/make_clip_tokens.py), in both styles,
 * from each kind of file. CLIP_TOKENS names another folder of the same files. */
#include "common/base/fs.h"
#include "common/base/mem.h"
#include "tests/support/test.h"
#include "worker/nn/text/tokenizer.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FOLDER      TESTS_DIR "/golden/clip_tokens"
#define CONTEXT     4096
#define BYTES_MAX   (64 * 1024 * 1024)
#define TEXTS_COUNT 600 /* at least */

static const char *folder(void)
{
    const char *named = getenv("CLIP_TOKENS");
    return named ? named : FOLDER;
}

static void read_named(struct buf *out, const char *name)
{
    char path[512];
    struct err err;
    buf_init(out, 0);
    EXPECT(fs_join(path, sizeof path, folder(), name));
    EXPECT_OK(fs_read(out, path, BYTES_MAX, &err), &err);
}

static void expect_ids(const uint32_t *ids, uint32_t count, const json_t *want, const char *text)
{
    bool same = json_array_size(want) == count;
    for (uint32_t i = 0; i < count && same; i++)
        same = json_integer_value(json_array_get(want, i)) == ids[i];
    if (same) return;
    print_message("text \"%.200s\"\n", text);
    for (uint32_t i = 0; i < count && i < 40; i++)
        print_message(" %u/%d", ids[i], (int)json_integer_value(json_array_get(want, i)));
    fail_msg("%u ids, wanted %zu", count, json_array_size(want));
}

static void expect_case(const struct tokenizer *tokenizer, const json_t *one,
                        enum tokenizer_style style)
{
    static uint32_t ids[CONTEXT];
    const struct tokenizer_options options = {
        .style = style, .context = CONTEXT, .pad_id = TOKENIZER_PAD_DEFAULT};
    const json_t *text = json_array_get(one, 0), *want = json_array_get(one, 1),
                 *back = json_array_get(one, 3);
    struct buf out;
    struct err err;
    uint32_t count = 0;
    if (style == TOKENIZER_OPENAI && json_is_array(json_array_get(one, 2)))
        want = json_array_get(one, 2);
    if (style == TOKENIZER_OPENAI && json_is_string(json_array_get(one, 4)))
        back = json_array_get(one, 4);
    EXPECT_OK(tokenizer_encode(tokenizer, ids, &count, json_string_value(text),
                               json_string_length(text), &options, &err),
              &err);
    expect_ids(ids, count, want, json_string_value(text));
    EXPECT_EQ(ids[CONTEXT - 1], style == TOKENIZER_HF ? tokenizer_end_id(tokenizer) : 0);
    buf_init(&out, 0);
    EXPECT_OK(tokenizer_decode(tokenizer, &out, ids, count, style, false, &err), &err);
    EXPECT_EQ(out.len, json_string_length(back));
    EXPECT_MEM(buf_str(&out), json_string_value(back), out.len);
    buf_deinit(&out);
}

static void expect_all(const struct tokenizer *tokenizer)
{
    struct buf file;
    uint32_t count = 0;
    read_named(&file, "texts.txt");
    for (size_t at = 0; at < file.len; count++) {
        const char *line = file.data + at, *end = memchr(line, '\n', file.len - at);
        const size_t bytes = end ? (size_t)(end - line) : file.len - at;
        json_t *one = json_loadb(line, bytes, JSON_ALLOW_NUL, NULL);
        EXPECT_EQ(json_array_size(one), 5);
        expect_case(tokenizer, one, TOKENIZER_HF);
        expect_case(tokenizer, one, TOKENIZER_OPENAI);
        json_decref(one);
        at += bytes + 1;
    }
    EXPECT(count >= TEXTS_COUNT);
    buf_deinit(&file);
}

TEST(golden, ids_and_texts_of_a_tokenizer_json_are_those_of_the_references)
{
    UNUSED_STATE;
    struct tokenizer *tokenizer = NULL;
    struct err err;
    EXPECT_OK(tokenizer_open(&tokenizer, folder(), &err), &err);
    expect_all(tokenizer);
    tokenizer_free(tokenizer);
}

TEST(golden, ids_and_texts_of_the_pair_of_files_are_the_same)
{
    UNUSED_STATE;
    struct tokenizer *tokenizer = NULL;
    struct buf vocab, merges;
    struct err err;
    read_named(&vocab, "vocab.json");
    read_named(&merges, "merges.txt");
    EXPECT_OK(tokenizer_read_pair(&tokenizer, vocab.data, vocab.len, merges.data, merges.len, &err),
              &err);
    expect_all(tokenizer);
    tokenizer_free(tokenizer);
    buf_deinit(&merges);
    buf_deinit(&vocab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(golden, ids_and_texts_of_a_tokenizer_json_are_those_of_the_references),
        RUN(golden, ids_and_texts_of_the_pair_of_files_are_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
