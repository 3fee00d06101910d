/* clip_tokens_fuzz.c - tokenizer files and texts of any bytes: ids that decode, or a sentence.
 *
 * The first byte says what it is: 0 a tokenizer.json, 1 a vocab.json and a merges.txt, else only a
 * text for a vocabulary of bytes. Two numbers of two bytes each are the files' sizes; the files
 * follow, and a text. */
#include "common/base/check.h"
#include "common/base/str.h"
#include "tests/fuzz/input.h"
#include "worker/nn/text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>

#define CONTEXT        40
#define TEXT_BYTES_MAX 2048 /* an expression may take its most steps for each piece */
#define ALPHABET       256

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* A vocabulary of the 512 forms of bytes, a few merges and the two special tokens. */
static struct tokenizer *of_bytes(void)
{
    static const char merges[] = "t h\nth e</w>\ni n\na n\nan d</w>\n";
    struct tokenizer *tokenizer = NULL;
    struct buf vocab;
    struct err err;
    uint32_t others = ALPHABET, id = 0;
    buf_init(&vocab, 0);
    buf_text(&vocab, "{\"th\":512,\"the</w>\":513,\"in\":514,\"an\":515,\"and</w>\":516,"
                     "\"<|startoftext|>\":517,\"<|endoftext|>\":518");
    for (uint32_t byte = 0; byte < ALPHABET; byte++) {
        const bool itself = (byte > 0x20 && byte < 0x7F) || (byte > 0xA0 && byte != 0xAD);
        const uint32_t point = itself ? byte : others++;
        buf_printf(&vocab, ",\"\\u%04x\":%u,\"\\u%04x</w>\":%u", point, id, point, id + 1);
        id += 2;
    }
    buf_text(&vocab, "}");
    CHECK(!tokenizer_read_pair(&tokenizer, buf_str(&vocab), vocab.len, merges, sizeof merges - 1,
                               &err));
    buf_deinit(&vocab);
    return tokenizer;
}

static void check_text(const struct tokenizer *tokenizer, const char *text, size_t bytes,
                       enum tokenizer_style style)
{
    const struct tokenizer_options options = {
        .style = style, .context = CONTEXT, .truncate = true, .pad_id = TOKENIZER_PAD_DEFAULT};
    uint32_t ids[CONTEXT], count = 0;
    struct buf out;
    struct err err;
    if (tokenizer_encode(tokenizer, ids, &count, text, bytes, &options, &err)) return;
    CHECK(count >= 2 && count <= CONTEXT);
    CHECK(ids[0] == tokenizer_start_id(tokenizer));
    CHECK(ids[count - 1] == tokenizer_end_id(tokenizer));
    buf_init(&out, 0);
    CHECK(!tokenizer_decode(tokenizer, &out, ids, count, style, false, &err));
    CHECK(str_utf8_valid(buf_str(&out), out.len) == out.len);
    buf_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct tokenizer *plain;
    struct input input = {data, bytes};
    const uint64_t kind = input_take(&input, 1);
    const size_t first_bytes = input_take(&input, 2), second_bytes = input_take(&input, 2);
    const uint8_t *first, *second, *text;
    struct tokenizer *tokenizer = NULL;
    struct err err;
    const size_t a = input_bytes(&input, &first, first_bytes),
                 b = input_bytes(&input, &second, second_bytes),
                 c = input_bytes(&input, &text, TEXT_BYTES_MAX);
    if (!plain) plain = of_bytes();
    if (kind == 0 && tokenizer_read_json(&tokenizer, (const char *)first, a, &err)) return 0;
    if (kind == 1 &&
        tokenizer_read_pair(&tokenizer, (const char *)first, a, (const char *)second, b, &err))
        return 0;
    for (enum tokenizer_style style = TOKENIZER_HF; style <= TOKENIZER_OPENAI; style++)
        check_text(tokenizer ? tokenizer : plain, (const char *)text, c, style);
    tokenizer_free(tokenizer);
    return 0;
}
