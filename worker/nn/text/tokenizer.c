/* tokenizer.c - see tokenizer.h: encoding and decoding. */
#include "worker/nn/text/tokenizer.h"

#include "common/base/check.h"
#include "common/base/str.h"
#include "worker/nn/text/clean.h"
#include "worker/nn/text/inside.h"

#include <inttypes.h>
#include <string.h>

#define UNESCAPE_TIMES 2
/* Of a text at most 3 MiB after its bytes became U+FFFD; no step makes more than three of one. */
#define CLEAN_BYTES_MAX (9 * TOKENIZER_TEXT_BYTES_MAX)
#define SIGMA_BYTES     2

_Static_assert(CLEAN_BYTES_MAX <= BPE_WORD_BYTES_MAX, "a text may be one word");

/* One call of tokenizer_encode. */
struct encoding {
    const struct tokenizer *tokenizer;
    const struct tokenizer_options *options;
    const struct rules *rules;
    struct bpe_work bpe;
    struct split_work *split;
    uint32_t *ids;
    uint32_t count; /* ids so far; context + 1: more than there is room for */
};

static bool is_full(const struct encoding *encoding)
{
    return encoding->count > encoding->options->context;
}

static void add_id(struct encoding *encoding, uint32_t id)
{
    if (is_full(encoding)) return;
    if (encoding->count < encoding->options->context) encoding->ids[encoding->count] = id;
    encoding->count++;
}

static int clean_done(const struct buf *buf, struct err *err)
{
    if (!buf_failed(buf)) return 0;
    return err_set(err, ERR_LIMIT, "no memory to clean a text, or more than %d bytes of it",
                   CLEAN_BYTES_MAX);
}

static void take_step(struct buf *out, enum step step, const char *text, size_t bytes)
{
    switch (step) {
    case STEP_NFC:
        clean_nfc(out, text, bytes);
        break;
    case STEP_SPACES:
        clean_spaces(out, text, bytes);
        break;
    case STEP_LOWER:
        clean_lower(out, text, bytes);
        break;
    }
}

int tokenizer_normalise(const struct tokenizer *tokenizer, struct buf *out, const char *text,
                        size_t bytes, struct err *err)
{
    struct buf last, made;
    int rc;
    buf_init(&last, CLEAN_BYTES_MAX);
    buf_init(&made, CLEAN_BYTES_MAX);
    buf_add(&last, text, bytes);
    rc = clean_done(&last, err);
    for (uint32_t i = 0; i < tokenizer->steps_count && !rc; i++) {
        const struct buf spare = last;
        take_step(&made, tokenizer->step[i], buf_str(&last), last.len);
        rc = clean_done(&made, err);
        last = made;
        made = spare;
        buf_clear(&made);
    }
    if (!rc) {
        buf_add(out, buf_str(&last), last.len);
        rc = clean_done(out, err);
    }
    buf_deinit(&made);
    buf_deinit(&last);
    return rc;
}

static int add_word(struct encoding *encoding, const char *word, size_t bytes, struct err *err)
{
    uint32_t count;
    const int rc = bpe_word(&encoding->tokenizer->bpe, &encoding->bpe, &count, word, bytes, err);
    if (rc) return rc;
    for (uint32_t i = 0; i < count; i++) add_id(encoding, encoding->bpe.symbol[i].id);
    return 0;
}

/* OpenAI's pieces that are a special token are it. */
static bool add_named(struct encoding *encoding, const char *piece, size_t bytes)
{
    const struct tokenizer *tokenizer = encoding->tokenizer;
    const uint32_t ids[] = {tokenizer->start_id, tokenizer->end_id};
    if (encoding->options->style != TOKENIZER_OPENAI) return false;
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        const struct bpe_token *token = &tokenizer->bpe.token[ids[i]];
        if (token->bytes != bytes || memcmp(token->text, piece, bytes) != 0) continue;
        add_id(encoding, ids[i]);
        return true;
    }
    return false;
}

/* Splits text by the rules, each within the pieces of the one before, and encodes what comes out.
 */
static int add_text(struct encoding *encoding, const char *text, size_t bytes, struct err *err)
{
    const struct rules *rules = encoding->rules;
    struct split split[RULES_COUNT_MAX];
    uint32_t depth = 0;
    split_start(&split[0], rules->rule[0], text, bytes);
    while (!is_full(encoding)) {
        const char *piece;
        size_t piece_bytes;
        int rc = split_next(&split[depth], encoding->split, &piece, &piece_bytes, err);
        if (rc) return rc;
        if (!piece) {
            if (!depth) return 0;
            depth--;
        } else if (depth + 1 < rules->count) {
            depth++;
            split_start(&split[depth], rules->rule[depth], piece, piece_bytes);
        } else if (!add_named(encoding, piece, piece_bytes)) {
            rc = add_word(encoding, piece, piece_bytes, err);
            if (rc) return rc;
        }
    }
    return 0;
}

/* The longest special token, of those that are normalised or of the others, that text begins
 * with. */
static const struct special *special_at(const struct tokenizer *tokenizer, const char *text,
                                        size_t bytes, bool normalised)
{
    const struct special *longest = NULL;
    if (!tokenizer->special_begins[(unsigned char)*text]) return NULL;
    for (uint32_t i = 0; i < tokenizer->specials_count; i++) {
        const struct special *special = &tokenizer->special[i];
        if (special->normalised == normalised && special->bytes <= bytes &&
            (!longest || special->bytes > longest->bytes) &&
            !memcmp(special->text, text, special->bytes))
            longest = special;
    }
    return longest;
}

/* Bytes before the first special token; *special: it, or NULL when there is none. */
static size_t find_special(const struct special **special, const struct tokenizer *tokenizer,
                           const char *text, size_t bytes, bool normalised)
{
    for (size_t at = 0; at < bytes; at++) {
        *special = special_at(tokenizer, text + at, bytes - at, normalised);
        if (*special) return at;
    }
    *special = NULL;
    return bytes;
}

static int add_normalised(struct encoding *encoding, const char *text, size_t bytes,
                          struct err *err)
{
    while (bytes && !is_full(encoding)) {
        const struct special *special;
        const size_t plain = find_special(&special, encoding->tokenizer, text, bytes, true);
        const int rc = add_text(encoding, text, plain, err);
        if (rc) return rc;
        if (special) add_id(encoding, special->id);
        const size_t taken = plain + (special ? special->bytes : 0);
        text += taken;
        bytes -= taken;
    }
    return 0;
}

static int add_hf(struct encoding *encoding, const char *text, size_t bytes, struct err *err)
{
    struct buf normal;
    int rc = 0;
    buf_init(&normal, CLEAN_BYTES_MAX);
    while (bytes && !is_full(encoding) && !rc) {
        const struct special *special;
        const size_t plain = find_special(&special, encoding->tokenizer, text, bytes, false);
        buf_clear(&normal);
        rc = tokenizer_normalise(encoding->tokenizer, &normal, text, plain, err);
        if (!rc) rc = add_normalised(encoding, buf_str(&normal), normal.len, err);
        if (special) add_id(encoding, special->id);
        const size_t taken = plain + (special ? special->bytes : 0);
        text += taken;
        bytes -= taken;
    }
    buf_deinit(&normal);
    return rc;
}

/* Lower case as Python's str.lower: capital sigmas at the ends of words become final ones. */
static int lower_words(struct encoding *encoding, struct buf *out, const char *text, size_t bytes,
                       struct err *err)
{
    struct split sigmas;
    const char *sigma = NULL;
    size_t sigma_bytes, at = 0;
    split_start(&sigmas, encoding->tokenizer->final_sigma, text, bytes);
    do {
        sigma = NULL;
        if (memchr(text + at, 0xCE, bytes - at)) { /* the first byte of a sigma */
            const int rc = split_next(&sigmas, encoding->split, &sigma, &sigma_bytes, err);
            if (rc) return rc;
        }
        const size_t end = sigma ? (size_t)(sigma - text) : bytes;
        clean_lower(out, text + at, end - at);
        if (sigma) buf_text(out, "ς");
        at = sigma ? end + SIGMA_BYTES : bytes;
    } while (sigma);
    return clean_done(out, err);
}

static int add_openai(struct encoding *encoding, const char *text, size_t bytes, struct err *err)
{
    struct buf unescaped, made;
    buf_init(&unescaped, CLEAN_BYTES_MAX);
    buf_init(&made, CLEAN_BYTES_MAX);
    buf_add(&unescaped, text, bytes);
    int rc = clean_done(&unescaped, err);
    for (int i = 0; i < UNESCAPE_TIMES && !rc; i++) {
        const struct buf spare = unescaped;
        clean_unescape(&made, buf_str(&unescaped), unescaped.len);
        rc = clean_done(&made, err);
        unescaped = made;
        made = spare;
        buf_clear(&made);
    }
    bytes = unescaped.len;
    text = clean_strip(buf_str(&unescaped), &bytes);
    if (!rc) rc = lower_words(encoding, &made, text, bytes, err);
    if (!rc) rc = add_text(encoding, buf_str(&made), made.len, err);
    buf_deinit(&made);
    buf_deinit(&unescaped);
    return rc;
}

/* The end and the padding. */
static int finish(struct encoding *encoding, uint32_t *count, struct err *err)
{
    const struct tokenizer_options *options = encoding->options;
    const struct tokenizer *tokenizer = encoding->tokenizer;
    int64_t pad = options->pad_id;
    add_id(encoding, tokenizer->end_id);
    if (is_full(encoding)) {
        if (!options->truncate)
            return err_set(err, ERR_INVALID,
                           "the text has more tokens than the %" PRIu32
                           " that the model takes: shorten it, or ask for it to be cut",
                           options->context);
        encoding->ids[options->context - 1] = tokenizer->end_id;
        encoding->count = options->context;
    }
    if (pad == TOKENIZER_PAD_DEFAULT) pad = options->style == TOKENIZER_HF ? tokenizer->pad_id : 0;
    for (uint32_t i = encoding->count; i < options->context; i++) encoding->ids[i] = (uint32_t)pad;
    *count = encoding->count;
    return 0;
}

int tokenizer_encode(const struct tokenizer *tokenizer, uint32_t *ids, uint32_t *count,
                     const char *text, size_t bytes, const struct tokenizer_options *options,
                     struct err *err)
{
    const bool hf = options->style == TOKENIZER_HF;
    struct encoding encoding = {.tokenizer = tokenizer,
                                .options = options,
                                .rules = hf ? &tokenizer->hf : &tokenizer->openai,
                                .ids = ids};
    struct buf valid;
    int rc;
    CHECK(options->context >= 2);
    CHECK(options->pad_id >= TOKENIZER_PAD_DEFAULT && options->pad_id < BPE_TOKENS_MAX);
    if (bytes > TOKENIZER_TEXT_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "a text of %zu bytes; at most %d are encoded", bytes,
                       TOKENIZER_TEXT_BYTES_MAX);
    buf_init(&valid, CLEAN_BYTES_MAX);
    str_utf8_clean(&valid, text, bytes);
    rc = clean_done(&valid, err);
    if (rc) goto out;
    rc = split_work_new(&encoding.split, err);
    if (rc) goto out;
    add_id(&encoding, tokenizer->start_id);
    rc = hf ? add_hf(&encoding, buf_str(&valid), valid.len, err)
            : add_openai(&encoding, buf_str(&valid), valid.len, err);
    if (!rc) rc = finish(&encoding, count, err);
out:
    split_work_free(encoding.split);
    bpe_work_deinit(&encoding.bpe);
    buf_deinit(&valid);
    return rc;
}

uint32_t tokenizer_start_id(const struct tokenizer *tokenizer)
{
    return tokenizer->start_id;
}

uint32_t tokenizer_end_id(const struct tokenizer *tokenizer)
{
    return tokenizer->end_id;
}

uint32_t tokenizer_ids_count(const struct tokenizer *tokenizer)
{
    return tokenizer->bpe.tokens_count;
}

/* The bytes of the tokens, one behind the other. */
static int join_tokens(const struct tokenizer *tokenizer, struct buf *raw, const uint32_t *ids,
                       size_t count, bool skip_special, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        const struct bpe_token *token =
            ids[i] < tokenizer->bpe.tokens_count ? &tokenizer->bpe.token[ids[i]] : NULL;
        if (!token || !token->text)
            return err_set(err, ERR_INVALID, "no token has the id %" PRIu32, ids[i]);
        if (skip_special && token->is_special) continue;
        buf_add(raw, token->text, token->bytes);
        if (token->ends_word) buf_byte(raw, ' ');
    }
    return 0;
}

int tokenizer_decode(const struct tokenizer *tokenizer, struct buf *out, const uint32_t *ids,
                     size_t count, enum tokenizer_style style, bool skip_special, struct err *err)
{
    struct buf raw, text;
    buf_init(&raw, 0);
    buf_init(&text, 0);
    int rc = join_tokens(tokenizer, &raw, ids, count, skip_special, err);
    if (!rc) {
        clean_utf8(&text, buf_str(&raw), raw.len);
        size_t bytes = text.len;
        const char *start = buf_str(&text);
        if (style == TOKENIZER_HF) start = clean_strip(start, &bytes);
        buf_add(out, start, bytes);
        if (buf_failed(&raw) || buf_failed(&text) || buf_failed(out))
            rc = err_set(err, ERR_LIMIT, "no memory for the text of %zu tokens", count);
    }
    buf_deinit(&text);
    buf_deinit(&raw);
    return rc;
}
