/* tokenizer_test.c - padding, cutting, hostile files and texts; tests/golden/clip_tokens has the
 * vocabulary. What ids a text gets is golden_test's. */
#include "worker/nn/text/tokenizer.h"

#include "common/base/clock.h"
#include "common/base/fs.h"
#include "common/base/mem.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FOLDER    TESTS_DIR "/golden/clip_tokens"
#define BYTES_MAX (1024 * 1024)
#define CONTEXT   77
#define START     1187
#define END       1188
#define A_WORD    320 /* "a" */

static void read_named(struct buf *out, const char *name)
{
    char path[512];
    struct err err;
    buf_init(out, 0);
    EXPECT(fs_join(path, sizeof path, FOLDER, name));
    EXPECT_OK(fs_read(out, path, BYTES_MAX, &err), &err);
}

static struct tokenizer *open_golden(void)
{
    struct tokenizer *tokenizer = NULL;
    struct err err;
    EXPECT_OK(tokenizer_open(&tokenizer, FOLDER, &err), &err);
    return tokenizer;
}

static struct tokenizer_options usual(enum tokenizer_style style)
{
    return (struct tokenizer_options){
        .style = style, .context = CONTEXT, .pad_id = TOKENIZER_PAD_DEFAULT};
}

static uint32_t encode(const struct tokenizer *tokenizer, uint32_t *ids, const char *text,
                       const struct tokenizer_options *options)
{
    struct err err;
    uint32_t count = 0;
    EXPECT_OK(tokenizer_encode(tokenizer, ids, &count, text, strlen(text), options, &err), &err);
    return count;
}

TEST(tokenizer, pads_with_the_end_or_zero_or_what_is_asked)
{
    UNUSED_STATE;
    struct tokenizer *tokenizer = open_golden();
    struct tokenizer_options options = usual(TOKENIZER_HF);
    uint32_t ids[CONTEXT];
    EXPECT_EQ(tokenizer_start_id(tokenizer), START);
    EXPECT_EQ(tokenizer_end_id(tokenizer), END);
    EXPECT_EQ(tokenizer_ids_count(tokenizer), END + 1);
    EXPECT_EQ(encode(tokenizer, ids, "a", &options), 3);
    const uint32_t want[] = {START, A_WORD, END, END};
    EXPECT_MEM(ids, want, sizeof want);
    EXPECT_EQ(ids[CONTEXT - 1], END);
    options.style = TOKENIZER_OPENAI;
    EXPECT_EQ(encode(tokenizer, ids, "a", &options), 3);
    EXPECT_EQ(ids[2], END);
    EXPECT_EQ(ids[3], 0);
    EXPECT_EQ(ids[CONTEXT - 1], 0);
    options.pad_id = 7;
    EXPECT_EQ(encode(tokenizer, ids, "", &options), 2);
    EXPECT_EQ(ids[2], 7);
    tokenizer_free(tokenizer);
}

TEST(tokenizer, refuses_a_text_that_is_too_long_or_cuts_it)
{
    UNUSED_STATE;
    struct tokenizer *tokenizer = open_golden();
    char text[2 * CONTEXT + 1] = "";
    uint32_t ids[CONTEXT], count;
    struct err err;
    for (enum tokenizer_style style = TOKENIZER_HF; style <= TOKENIZER_OPENAI; style++) {
        struct tokenizer_options options = usual(style);
        for (int words = CONTEXT - 3; words < CONTEXT; words++) {
            for (int i = 0; i < words; i++) memcpy(text + (size_t)2 * (size_t)i, "a ", 3);
            options.truncate = false;
            const int rc =
                tokenizer_encode(tokenizer, ids, &count, text, strlen(text), &options, &err);
            EXPECT_EQ(rc, words <= CONTEXT - 2 ? 0 : ERR_INVALID);
            if (rc) EXPECT(strstr(err.msg, "more tokens than the 77"));
            options.truncate = true;
            EXPECT_EQ(encode(tokenizer, ids, text, &options),
                      words < CONTEXT - 2 ? words + 2 : CONTEXT);
            EXPECT_EQ(ids[CONTEXT - 3], A_WORD);
            EXPECT_EQ(ids[CONTEXT - 1], words >= CONTEXT - 2 || style == TOKENIZER_HF ? END : 0);
        }
    }
    tokenizer_free(tokenizer);
}

TEST(tokenizer, takes_each_invalid_byte_for_a_replacement_character)
{
    UNUSED_STATE;
    static const char *const pairs[][2] = {{"a\xFF\xC3", "a\uFFFD\uFFFD"},
                                           {"\xED\xA0\x80", "\uFFFD\uFFFD\uFFFD"},
                                           {"\xF0\x9F\x98 b", "\uFFFD\uFFFD\uFFFD b"},
                                           {"\xC0\xAF", "\uFFFD\uFFFD"}};
    struct tokenizer *tokenizer = open_golden();
    uint32_t ids[CONTEXT], want[CONTEXT];
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        for (enum tokenizer_style style = TOKENIZER_HF; style <= TOKENIZER_OPENAI; style++) {
            const struct tokenizer_options options = usual(style);
            EXPECT_EQ(encode(tokenizer, ids, pairs[i][0], &options),
                      encode(tokenizer, want, pairs[i][1], &options));
            EXPECT_MEM(ids, want, sizeof ids);
        }
    tokenizer_free(tokenizer);
}

/* A text of a megabyte that repeats a piece. */
static void expect_fast(const struct tokenizer *tokenizer, const char *piece)
{
    const size_t piece_bytes = strlen(piece), bytes = BYTES_MAX / piece_bytes * piece_bytes;
    char *text = mem_new(bytes);
    uint32_t *ids = mem_new((bytes + 2) * sizeof *ids), count;
    struct err err;
    for (size_t at = 0; at < bytes; at++) text[at] = piece[at % piece_bytes];
    const int64_t started = clock_mono_us();
    for (enum tokenizer_style style = TOKENIZER_HF; style <= TOKENIZER_OPENAI; style++) {
        struct tokenizer_options options = usual(style);
        options.context = (uint32_t)bytes + 2;
        options.truncate = true;
        EXPECT_OK(tokenizer_encode(tokenizer, ids, &count, text, bytes, &options, &err), &err);
        options.context = CONTEXT;
        EXPECT_OK(tokenizer_encode(tokenizer, ids, &count, text, bytes, &options, &err), &err);
    }
    /* The square of its length would be hours. */
    EXPECT(clock_mono_us() - started < 60000000);
    mem_free(ids);
    mem_free(text);
}

TEST(tokenizer, takes_time_in_proportion_to_hostile_megabytes)
{
    UNUSED_STATE;
    static const char *const pieces[] = {
        "a",    "the",     "!", "\xFF",    "\u0301\u0323", "\u03a3\u0301",
        "&amp", "<|endof", " ", "a\u03a3 "};
    struct tokenizer *tokenizer = open_golden();
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) expect_fast(tokenizer, pieces[i]);
    tokenizer_free(tokenizer);
}

TEST(tokenizer, refuses_a_text_above_its_limit)
{
    UNUSED_STATE;
    struct tokenizer *tokenizer = open_golden();
    const struct tokenizer_options options = usual(TOKENIZER_HF);
    char *text = mem_new(TOKENIZER_TEXT_BYTES_MAX + 1);
    uint32_t ids[CONTEXT], count;
    struct err err;
    EXPECT_EQ(tokenizer_encode(tokenizer, ids, &count, text, TOKENIZER_TEXT_BYTES_MAX + 1, &options,
                               &err),
              ERR_LIMIT);
    mem_free(text);
    tokenizer_free(tokenizer);
}

static void expect_text(const struct tokenizer *tokenizer, const uint32_t *ids, size_t count,
                        enum tokenizer_style style, bool skip, const char *want)
{
    struct buf out;
    struct err err;
    buf_init(&out, 0);
    EXPECT_OK(tokenizer_decode(tokenizer, &out, ids, count, style, skip, &err), &err);
    EXPECT_TEXT(buf_str(&out), want);
    buf_deinit(&out);
}

TEST(tokenizer, decodes_with_and_without_special_tokens)
{
    UNUSED_STATE;
    struct tokenizer *tokenizer = open_golden();
    /* 172, 253, 246 are the bytes F0 9F 98, of which a character lacks its last. */
    const uint32_t ids[] = {START, A_WORD, 172, 253, 246, END}, none = END + 1;
    struct buf out;
    struct err err;
    expect_text(tokenizer, ids, 6, TOKENIZER_HF, false, "<|startoftext|>a \uFFFD<|endoftext|>");
    expect_text(tokenizer, ids, 6, TOKENIZER_HF, true, "a \uFFFD");
    expect_text(tokenizer, ids, 2, TOKENIZER_HF, true, "a");
    expect_text(tokenizer, ids, 2, TOKENIZER_OPENAI, true, "a ");
    expect_text(tokenizer, ids, 0, TOKENIZER_OPENAI, true, "");
    buf_init(&out, 0);
    EXPECT_EQ(tokenizer_decode(tokenizer, &out, &none, 1, TOKENIZER_HF, true, &err), ERR_INVALID);
    EXPECT_TEXT(err.msg, "no token has the id 1189");
    buf_deinit(&out);
    tokenizer_free(tokenizer);
}

/* The file with the first `from` replaced by `to`. */
static void edit(struct buf *out, const struct buf *file, const char *from, const char *to)
{
    const char *place = strstr(file->data, from);
    buf_init(out, 0);
    assert_non_null(place);
    buf_add(out, file->data, (size_t)(place - file->data));
    buf_text(out, to);
    buf_text(out, place + strlen(from));
}

TEST(tokenizer, refuses_files_that_are_not_clips_with_a_sentence)
{
    UNUSED_STATE;
    static const char *const cases[][3] = {
        {"{\"version\"", "{version", "no valid JSON at line 1"},
        {"\"type\":\"NFC\"", "\"type\":\"NFKC\"", "the normaliser \"NFKC\""},
        {"\"Regex\":\"\\\\s+\"", "\"Regex\":\"x\"", "a Replace in the normaliser of \"x\""},
        {"\"type\":\"Split\"", "\"type\":\"Digits\"", "the pre-tokenizer \"Digits\""},
        {"\"behavior\":\"Removed\"", "\"behavior\":\"MergedWithNext\"", "the behaviour"},
        {"\"invert\":true", "\"invert\":false", "the behaviour \"Removed\""},
        {"{\"Regex\":\"<", "{\"String\":\"<", "has no regex"},
        {"[\\\\p{L}]+", "[\\\\p{L", "the regex that splits text is not valid at byte"},
        {"\"add_prefix_space\":false", "\"add_prefix_space\":true", "add_prefix_space"},
        {"\"type\":\"RobertaProcessing\"", "\"type\":\"Bert\"", "the post-processor \"Bert\""},
        {"<|startoftext|>\",1187]", "<|startoftext|>\",1189]", "id 1189, which no token has"},
        {"<|startoftext|>\",1187]", "<|startoftext|>\"]", "a token of the post-processor"},
        {"\"id\":1188", "\"id\":-1", "the id of an added token"},
        {"\"id\":1188", "\"id\":1e3", "the id of an added token"},
        {"\"content\":\"<|endoftext|>\"", "\"content\":\"\"", "an added token has 0 bytes"},
        {"\"lstrip\":false", "\"lstrip\":true", "lstrip of added token \"<|startoftext|>\""},
        {"\"padding\":null", "\"padding\":{\"pad_id\":-3}", "the id of the padding"},
        {"\"type\":\"BPE\"", "\"type\":\"Unigram\"", "the model \"Unigram\""},
        {"\"dropout\":null", "\"dropout\":0.1", "the model's dropout"},
        {"\"end_of_word_suffix\":\"</w>\"", "\"end_of_word_suffix\":\"\"", "do not end in </w>"},
        {"\"continuing_subword_prefix\":\"\"", "\"continuing_subword_prefix\":\"#\"", "prefix"},
        {"\"vocab\":{", "\"vocab\":[],\"v\":{", "no object of tokens and ids"},
        {"\"vocab\":{", "\"vocab\":{},\"v\":{", "the vocabulary has no token"},
        {"\"!\":0,", "", "lacks"},
        {"\"!\":0,", "\"!\":1,", "two tokens have the id 1"},
        {"\"!\":0,", "\"!\":65536,", "the id of token \"!\" is no number from 0 to 65535"},
        {"\"!\":0,", "\"!\":0.5,", "the id of token \"!\""},
        {"\"!\":0,", "\"!\":0,\"!\":0,", "no valid JSON"},
        {"\"merges\":[", "\"merges\":[[\"~\",\"~\"],", "has a token that the vocabulary lacks"},
        {"\"merges\":[", "\"merges\":[[\"!\"],", "merge 0 is no pair"},
        {"\"merges\":[", "\"merges\":[\"a b c\",", "merge 0 is no pair"},
        {"\"merges\":[", "\"merges\":[7,", "merge 0 is no pair"},
    };
    struct buf file, edited;
    read_named(&file, "tokenizer.json");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tokenizer *tokenizer = NULL;
        struct err err = {0};
        edit(&edited, &file, cases[i][0], cases[i][1]);
        const int rc = tokenizer_read_json(&tokenizer, edited.data, edited.len, &err);
        if (!rc || !strstr(err.msg, cases[i][2])) print_message("%zu: %s\n", i, err.msg);
        EXPECT_EQ(rc, ERR_INVALID);
        EXPECT(strstr(err.msg, cases[i][2]));
        EXPECT(tokenizer == NULL);
        buf_deinit(&edited);
    }
    buf_deinit(&file);
}

TEST(tokenizer, refuses_a_pair_of_files_that_do_not_belong_together)
{
    UNUSED_STATE;
    static const char *const cases[][2] = {
        {"#version: 0.2\na b c\n", "merge 0 is no pair"},
        {"a\n", "merge 0 is no pair"},
        {" a\n", "merge 0 is no pair"},
        {"t h\n\nt h\n", "merge 1 is no pair"},
        {"~ ~\n", "merge 0, \"~\" and \"~\", has a token that the vocabulary lacks"},
    };
    struct buf vocab;
    struct err err;
    struct tokenizer *tokenizer = NULL;
    read_named(&vocab, "vocab.json");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        EXPECT_EQ(tokenizer_read_pair(&tokenizer, vocab.data, vocab.len, cases[i][0],
                                      strlen(cases[i][0]), &err),
                  ERR_INVALID);
        if (!strstr(err.msg, cases[i][1])) print_message("%s\n", err.msg);
        EXPECT(strstr(err.msg, cases[i][1]));
    }
    EXPECT_EQ(tokenizer_read_pair(&tokenizer, "{\"a\":0}", 7, "", 0, &err), ERR_INVALID);
    EXPECT(strstr(err.msg, "the vocabulary lacks <|startoftext|>"));
    EXPECT(tokenizer == NULL);
    buf_deinit(&vocab);
}

TEST(tokenizer, stops_an_expression_that_takes_too_many_steps)
{
    UNUSED_STATE;
    struct buf file, edited;
    struct tokenizer *tokenizer = NULL;
    const struct tokenizer_options options = usual(TOKENIZER_HF);
    uint32_t ids[CONTEXT], count;
    struct err err;
    read_named(&file, "tokenizer.json");
    edit(&edited, &file, "[\\\\p{L}]+|", "(\\\\p{L}+)+\\\\.|");
    EXPECT_OK(tokenizer_read_json(&tokenizer, edited.data, edited.len, &err), &err);
    const char *text = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    EXPECT_EQ(tokenizer_encode(tokenizer, ids, &count, text, strlen(text), &options, &err),
              ERR_INVALID);
    EXPECT(strstr(err.msg, "takes too many steps on this text"));
    tokenizer_free(tokenizer);
    buf_deinit(&edited);
    buf_deinit(&file);
}

/* As older files have it: tokenizers gives <|ENDOFTEXT|> the id of the end then. */
TEST(tokenizer, finds_normalised_special_tokens_in_the_normalised_text)
{
    UNUSED_STATE;
    struct buf file, edited;
    struct tokenizer *tokenizer = NULL;
    const struct tokenizer_options options = usual(TOKENIZER_HF);
    const uint32_t want[] = {START, A_WORD, END, 321, END};
    uint32_t ids[CONTEXT];
    struct err err;
    read_named(&file, "tokenizer.json");
    edit(&edited, &file,
         "\"id\":1188,\"content\":\"<|endoftext|>\",\"single_word\":false,"
         "\"lstrip\":false,\"rstrip\":false,\"normalized\":false",
         "\"id\":1188,\"content\":\"<|endoftext|>\",\"normalized\":true");
    EXPECT_OK(tokenizer_read_json(&tokenizer, edited.data, edited.len, &err), &err);
    EXPECT_EQ(encode(tokenizer, ids, "a <|ENDOFTEXT|>B", &options), 5);
    EXPECT_MEM(ids, want, sizeof want);
    tokenizer_free(tokenizer);
    buf_deinit(&edited);
    buf_deinit(&file);
}

TEST(tokenizer, takes_the_longest_special_token)
{
    UNUSED_STATE;
    struct buf file, edited;
    struct tokenizer *tokenizer = NULL;
    const struct tokenizer_options options = usual(TOKENIZER_HF);
    const uint32_t want[] = {START, END, END + 1, A_WORD, END};
    uint32_t ids[CONTEXT];
    struct err err;
    read_named(&file, "tokenizer.json");
    edit(&edited, &file, "\"added_tokens\":[",
         "\"added_tokens\":[{\"id\":1189,\"content\":\"<|end\"},");
    EXPECT_OK(tokenizer_read_json(&tokenizer, edited.data, edited.len, &err), &err);
    EXPECT_EQ(tokenizer_ids_count(tokenizer), END + 2);
    EXPECT_EQ(encode(tokenizer, ids, "<|endoftext|><|enda", &options), 5);
    EXPECT_MEM(ids, want, sizeof want);
    expect_text(tokenizer, want, 4, TOKENIZER_HF, true, "<|enda"); /* not a special one */
    tokenizer_free(tokenizer);
    buf_deinit(&edited);
    buf_deinit(&file);
}

TEST(tokenizer, reads_the_pair_where_there_is_no_json_and_says_when_there_is_neither)
{
    UNUSED_STATE;
    static const char *const names[] = {"vocab.json", "merges.txt"};
    const char *folder = test_dir_new();
    struct tokenizer *tokenizer = NULL;
    struct err err;
    EXPECT_EQ(tokenizer_open(&tokenizer, folder, &err), ERR_NOT_FOUND);
    EXPECT(strstr(err.msg, "there is no tokenizer"));
    for (size_t i = 0; i < 2; i++) {
        char path[512];
        struct buf file;
        read_named(&file, names[i]);
        EXPECT(fs_join(path, sizeof path, folder, names[i]));
        EXPECT_OK(fs_put(path, file.data, file.len, &err), &err);
        buf_deinit(&file);
    }
    EXPECT_OK(tokenizer_open(&tokenizer, folder, &err), &err);
    EXPECT_EQ(tokenizer_end_id(tokenizer), END);
    tokenizer_free(tokenizer);
    test_dir_remove(folder);
}

TEST(tokenizer, survives_every_lack_of_memory)
{
    UNUSED_STATE;
    struct buf file;
    struct err err;
    bool untouched = false;
    const struct tokenizer_options options = usual(TOKENIZER_OPENAI);
    struct tokenizer_options fast = usual(TOKENIZER_HF);
    static const char text[] = "a \u00e9 ΑΣ &amp; e\u0301 <|endoftext|> b";
    read_named(&file, "tokenizer.json");
    /* Each token of the vocabulary is an allocation; they are alike. */
    for (int64_t after = 0; !untouched; after += after > 40 && after < 1180 ? 57 : 1) {
        struct tokenizer *tokenizer = NULL;
        uint32_t ids[CONTEXT], count;
        (void)mem_fail(after, 1);
        int rc = tokenizer_read_json(&tokenizer, file.data, file.len, &err);
        if (!rc)
            rc = tokenizer_encode(tokenizer, ids, &count, text, sizeof text - 1, &options, &err);
        fast.truncate = true;
        if (!rc) rc = tokenizer_encode(tokenizer, ids, &count, text, sizeof text - 1, &fast, &err);
        untouched = mem_fail(-1, 0) <= after;
        EXPECT_EQ(rc, untouched ? 0 : ERR_LIMIT);
        tokenizer_free(tokenizer);
    }
    buf_deinit(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(tokenizer, pads_with_the_end_or_zero_or_what_is_asked),
        RUN(tokenizer, refuses_a_text_that_is_too_long_or_cuts_it),
        RUN(tokenizer, takes_each_invalid_byte_for_a_replacement_character),
        RUN(tokenizer, takes_time_in_proportion_to_hostile_megabytes),
        RUN(tokenizer, refuses_a_text_above_its_limit),
        RUN(tokenizer, decodes_with_and_without_special_tokens),
        RUN(tokenizer, refuses_files_that_are_not_clips_with_a_sentence),
        RUN(tokenizer, refuses_a_pair_of_files_that_do_not_belong_together),
        RUN(tokenizer, stops_an_expression_that_takes_too_many_steps),
        RUN(tokenizer, finds_normalised_special_tokens_in_the_normalised_text),
        RUN(tokenizer, takes_the_longest_special_token),
        RUN(tokenizer, reads_the_pair_where_there_is_no_json_and_says_when_there_is_neither),
        RUN(tokenizer, survives_every_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
