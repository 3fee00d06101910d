/* tokenizer_file.c - reads what tokenizer.h names: tokenizer.json, or vocab.json and merges.txt.
 *
 * The whole file is read as JSON first, which for bytes that lie takes up to 50 times their number
 * (empty arrays); TOKENIZER_FILE_BYTES_MAX bounds it. What the tokenizer keeps is in its arena. */
#include "common/base/check.h"
#include "common/base/fs.h"
#include "worker/nn/text/inside.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PATH_BYTES  4096
#define ARENA_BYTES (64 * 1024 * 1024)
#define SHOWN_BYTES 60
#define START       "<|startoftext|>"
#define END         "<|endoftext|>"

#define WORDS      "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+"
#define CLIP_REGEX "<\\|startoftext\\|>|<\\|endoftext\\|>|" WORDS
/* OpenAI's is the same without regard to case. Python's regex drops U+0345 then: it is no letter,
 * but its capital form is one. No other character is like it. */
#define OPENAI_REGEX                                                                    \
    "<\\|startoftext\\|>|<\\|endoftext\\|>|'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|" \
    "[^\\s\\p{L}\\p{N}\\x{345}]+"
/* ByteLevel splits once more, as GPT-2 does; of CLIP's pieces that changes only special tokens in
 * other than their own letters, which are no tokens. */
#define BYTE_LEVEL_REGEX \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
/* Unicode Standard 3.13, table 3-17: Final_Sigma. */
#define FINAL_SIGMA_REGEX "(?!\\p{CI})\\p{Cased}\\p{CI}*+\\KΣ(?!\\p{CI}*+\\p{Cased})"

static const char *text_of(const json_t *json)
{
    const char *text = json_string_value(json);
    return text ? text : "";
}

static bool is_text(const json_t *json, const char *text)
{
    return json_is_string(json) && !strcmp(json_string_value(json), text);
}

static bool is_nothing(const json_t *json)
{
    return !json || json_is_null(json) || json_is_false(json);
}

static int no_memory(struct err *err)
{
    return err_set(err, ERR_LIMIT, "no memory for a tokenizer");
}

static int unknown(struct err *err, const char *what, const json_t *type)
{
    return err_set(err, ERR_INVALID, "%s \"%.*s\" is not one of CLIP's, and not supported", what,
                   SHOWN_BYTES, text_of(type));
}

static int read_id(uint32_t *id, const json_t *json, const char *what, struct err *err)
{
    const json_int_t value = json_is_integer(json) ? json_integer_value(json) : -1;
    if (value < 0 || value >= BPE_TOKENS_MAX)
        return err_set(err, ERR_INVALID, "the id of %s is no number from 0 to %d", what,
                       BPE_TOKENS_MAX - 1);
    *id = (uint32_t)value;
    return 0;
}

static int add_step(struct tokenizer *tokenizer, enum step step, struct err *err)
{
    if (tokenizer->steps_count == STEPS_COUNT_MAX)
        return err_set(err, ERR_INVALID, "the normaliser has more than %d steps", STEPS_COUNT_MAX);
    tokenizer->step[tokenizer->steps_count++] = step;
    return 0;
}

static int read_step(struct tokenizer *tokenizer, const json_t *step, struct err *err)
{
    const json_t *type = json_object_get(step, "type");
    if (is_text(type, "NFC")) return add_step(tokenizer, STEP_NFC, err);
    if (is_text(type, "Lowercase")) return add_step(tokenizer, STEP_LOWER, err);
    if (is_text(type, "Replace")) {
        const json_t *regex = json_object_get(json_object_get(step, "pattern"), "Regex");
        if (is_text(regex, "\\s+") && is_text(json_object_get(step, "content"), " "))
            return add_step(tokenizer, STEP_SPACES, err);
        return unknown(err, "a Replace in the normaliser of", regex);
    }
    return unknown(err, "the normaliser", type);
}

static int read_normalizer(struct tokenizer *tokenizer, const json_t *normalizer, struct err *err)
{
    size_t i;
    const json_t *step;
    if (is_nothing(normalizer)) return 0;
    if (!is_text(json_object_get(normalizer, "type"), "Sequence"))
        return read_step(tokenizer, normalizer, err);
    json_array_foreach(json_object_get(normalizer, "normalizers"), i, step)
    {
        const int rc = read_step(tokenizer, step, err);
        if (rc) return rc;
    }
    return 0;
}

static int add_rule(struct rules *rules, const char *pattern, size_t bytes, enum split_kind kind,
                    bool caseless, struct err *err)
{
    if (rules->count == RULES_COUNT_MAX)
        return err_set(err, ERR_INVALID, "the pre-tokenizer has more than %d parts",
                       RULES_COUNT_MAX);
    const int rc = split_rule_new(&rules->rule[rules->count], pattern, bytes, kind, caseless, err);
    if (!rc) rules->count++;
    return rc;
}

static int add_byte_level(struct rules *rules, struct err *err)
{
    return add_rule(rules, BYTE_LEVEL_REGEX, strlen(BYTE_LEVEL_REGEX), SPLIT_KEEP_ALL, false, err);
}

static int read_split(struct rules *rules, const json_t *split, struct err *err)
{
    const json_t *regex = json_object_get(json_object_get(split, "pattern"), "Regex");
    const json_t *behaviour = json_object_get(split, "behavior");
    const bool matches =
        is_text(behaviour, "Removed") && json_is_true(json_object_get(split, "invert"));
    if (!matches && !is_text(behaviour, "Isolated"))
        return unknown(err, "a Split in the pre-tokenizer with the behaviour", behaviour);
    if (!json_is_string(regex))
        return err_set(err, ERR_INVALID, "a Split in the pre-tokenizer has no regex");
    return add_rule(rules, json_string_value(regex), json_string_length(regex),
                    matches ? SPLIT_KEEP_MATCHES : SPLIT_KEEP_ALL, false, err);
}

/* *is_last: no other may follow it. */
static int read_rule(struct rules *rules, const json_t *rule, bool *is_last, struct err *err)
{
    const json_t *type = json_object_get(rule, "type");
    if (*is_last) return unknown(err, "behind ByteLevel, the pre-tokenizer", type);
    if (is_text(type, "Split")) return read_split(rules, rule, err);
    if (!is_text(type, "ByteLevel")) return unknown(err, "the pre-tokenizer", type);
    *is_last = true;
    if (!is_nothing(json_object_get(rule, "add_prefix_space")))
        return err_set(err, ERR_INVALID, "ByteLevel's add_prefix_space is not one of CLIP's");
    return json_is_false(json_object_get(rule, "use_regex")) ? 0 : add_byte_level(rules, err);
}

static int read_pre_tokenizer(struct tokenizer *tokenizer, const json_t *rules, struct err *err)
{
    bool is_last = false;
    int rc = 0;
    if (is_text(json_object_get(rules, "type"), "Sequence")) {
        size_t i;
        const json_t *rule;
        json_array_foreach(json_object_get(rules, "pretokenizers"), i, rule)
        {
            rc = read_rule(&tokenizer->hf, rule, &is_last, err);
            if (rc) return rc;
        }
    } else {
        rc = read_rule(&tokenizer->hf, rules, &is_last, err);
    }
    if (!rc && (!is_last || !tokenizer->hf.count))
        rc = err_set(err, ERR_INVALID, "the pre-tokenizer is not CLIP's: a Split and ByteLevel");
    return rc;
}

static int add_special(struct tokenizer *tokenizer, const char *text, size_t bytes, uint32_t id,
                       bool normalised, struct err *err)
{
    struct special *special = &tokenizer->special[tokenizer->specials_count];
    struct buf normal;
    int rc = 0;
    buf_init(&normal, 0);
    if (tokenizer->specials_count == SPECIAL_COUNT_MAX) {
        rc = err_set(err, ERR_INVALID, "more than %d added tokens", SPECIAL_COUNT_MAX);
        goto out;
    }
    if (normalised)
        rc = tokenizer_normalise(tokenizer, &normal, text, bytes, err);
    else
        buf_add(&normal, text, bytes);
    if (!rc && buf_failed(&normal)) rc = no_memory(err);
    if (rc) goto out;
    if (!normal.len || normal.len > SPECIAL_BYTES_MAX) {
        rc = err_set(err, ERR_INVALID, "an added token has %zu bytes; 1 to %d are read", normal.len,
                     SPECIAL_BYTES_MAX);
        goto out;
    }
    special->text = arena_copy(&tokenizer->arena, normal.data, normal.len);
    if (!special->text) {
        rc = no_memory(err);
        goto out;
    }
    special->bytes = (uint32_t)normal.len;
    special->id = id;
    special->normalised = normalised;
    tokenizer->special_begins[(unsigned char)special->text[0]] = true;
    tokenizer->specials_count++;
out:
    buf_deinit(&normal);
    return rc;
}

static int read_special(struct tokenizer *tokenizer, const json_t *added, struct err *err)
{
    static const char *const refused[] = {"single_word", "lstrip", "rstrip"};
    const json_t *text = json_object_get(added, "content");
    const size_t bytes = json_string_length(text);
    uint32_t id = 0;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (!is_nothing(json_object_get(added, refused[i])))
            return err_set(err, ERR_INVALID, "%s of added token \"%.*s\" is not supported",
                           refused[i], SHOWN_BYTES, text_of(text));
    int rc = read_id(&id, json_object_get(added, "id"), "an added token", err);
    if (rc) return rc;
    if (bytes > SPECIAL_BYTES_MAX)
        return err_set(err, ERR_INVALID, "an added token has %zu bytes; 1 to %d are read", bytes,
                       SPECIAL_BYTES_MAX);
    rc = add_special(tokenizer, text_of(text), bytes, id,
                     !is_nothing(json_object_get(added, "normalized")), err);
    if (rc) return rc;
    return bpe_special(&tokenizer->bpe, &tokenizer->arena, id, text_of(text), bytes,
                       json_is_true(json_object_get(added, "special")), err);
}

static int read_specials(struct tokenizer *tokenizer, const json_t *added, struct err *err)
{
    size_t i;
    const json_t *one;
    json_array_foreach(added, i, one)
    {
        const int rc = read_special(tokenizer, one, err);
        if (rc) return rc;
    }
    return 0;
}

/* The id of a token by its text: an added one, or the vocabulary's. */
static uint32_t find_id(const struct tokenizer *tokenizer, const json_t *vocab, const char *text)
{
    for (uint32_t id = 0; id < tokenizer->bpe.tokens_count; id++) {
        const struct bpe_token *token = &tokenizer->bpe.token[id];
        if (token->is_added && token->bytes == strlen(text) &&
            !memcmp(token->text, text, token->bytes))
            return id;
    }
    return bpe_find(vocab, text, strlen(text));
}

static int find_ends(struct tokenizer *tokenizer, const json_t *vocab, struct err *err)
{
    tokenizer->start_id = find_id(tokenizer, vocab, START);
    tokenizer->end_id = find_id(tokenizer, vocab, END);
    if (tokenizer->start_id == BPE_NO_ID || tokenizer->end_id == BPE_NO_ID)
        return err_set(err, ERR_INVALID, "the vocabulary lacks %s: it is none of CLIP",
                       tokenizer->start_id == BPE_NO_ID ? START : END);
    return 0;
}

static int read_end(uint32_t *id, const struct tokenizer *tokenizer, const json_t *end,
                    struct err *err)
{
    const int rc = read_id(id, json_array_get(end, 1), "a token of the post-processor", err);
    if (rc) return rc;
    if (*id >= tokenizer->bpe.tokens_count || !tokenizer->bpe.token[*id].text)
        return err_set(err, ERR_INVALID,
                       "the post-processor puts id %" PRIu32 ", which no token "
                       "has",
                       *id);
    return 0;
}

static int read_post_processor(struct tokenizer *tokenizer, const json_t *vocab,
                               const json_t *processor, struct err *err)
{
    const json_t *type = json_object_get(processor, "type");
    if (is_nothing(processor)) return find_ends(tokenizer, vocab, err);
    if (!is_text(type, "RobertaProcessing")) return unknown(err, "the post-processor", type);
    const int rc =
        read_end(&tokenizer->start_id, tokenizer, json_object_get(processor, "cls"), err);
    if (rc) return rc;
    return read_end(&tokenizer->end_id, tokenizer, json_object_get(processor, "sep"), err);
}

static int read_padding(struct tokenizer *tokenizer, const json_t *padding, struct err *err)
{
    uint32_t id = tokenizer->end_id;
    const json_t *given = json_object_get(padding, "pad_id");
    const int rc = given ? read_id(&id, given, "the padding", err) : 0;
    tokenizer->pad_id = id;
    return rc;
}

static int add_json_merge(struct bpe *bpe, const json_t *vocab, const json_t *merge,
                          struct err *err)
{
    const json_t *left = json_array_get(merge, 0), *right = json_array_get(merge, 1);
    if (json_is_string(left) && json_is_string(right) && json_array_size(merge) == 2)
        return bpe_add(bpe, vocab, json_string_value(left), json_string_length(left),
                       json_string_value(right), json_string_length(right), err);
    const char *text = text_of(merge), *gap = strchr(text, ' ');
    if (!gap || gap == text || !gap[1] || strchr(gap + 1, ' '))
        return err_set(err, ERR_INVALID, "merge %" PRIu32 " is no pair of tokens",
                       bpe->merges_count);
    return bpe_add(bpe, vocab, text, (size_t)(gap - text), gap + 1, strlen(gap + 1), err);
}

static int check_model(const json_t *model, struct err *err)
{
    static const char *const refused[] = {"dropout", "fuse_unk", "byte_fallback", "ignore_merges"};
    const json_t *type = json_object_get(model, "type");
    if (type && !is_text(type, "BPE")) return unknown(err, "the model", type);
    if (!is_text(json_object_get(model, "end_of_word_suffix"), BPE_SUFFIX))
        return err_set(err, ERR_INVALID,
                       "the model's words do not end in " BPE_SUFFIX ": it is none of CLIP");
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (!is_nothing(json_object_get(model, refused[i])))
            return err_set(err, ERR_INVALID, "the model's %s is not supported", refused[i]);
    const json_t *prefix = json_object_get(model, "continuing_subword_prefix");
    if (*text_of(prefix)) return unknown(err, "the model's continuing_subword_prefix", prefix);
    return 0;
}

static int read_model(struct tokenizer *tokenizer, const json_t *root, struct err *err)
{
    const json_t *model = json_object_get(root, "model");
    const json_t *vocab = json_object_get(model, "vocab"), *merge;
    const json_t *merges = json_object_get(model, "merges");
    size_t i;
    int rc = check_model(model, err);
    if (rc) return rc;
    if (json_array_size(merges) > BPE_MERGES_MAX)
        return err_set(err, ERR_INVALID, "more than %d merges", BPE_MERGES_MAX);
    rc =
        bpe_init(&tokenizer->bpe, &tokenizer->arena, vocab, (uint32_t)json_array_size(merges), err);
    if (rc) return rc;
    json_array_foreach(merges, i, merge)
    {
        rc = add_json_merge(&tokenizer->bpe, vocab, merge, err);
        if (rc) return rc;
    }
    rc = read_specials(tokenizer, json_object_get(root, "added_tokens"), err);
    if (rc) return rc;
    const json_t *unk = json_object_get(model, "unk_token");
    return bpe_ready(&tokenizer->bpe, &tokenizer->arena, vocab,
                     json_is_string(unk) ? find_id(tokenizer, vocab, text_of(unk)) : BPE_NO_ID,
                     err);
}

static int read_root(struct tokenizer *tokenizer, const json_t *root, struct err *err)
{
    const json_t *vocab = json_object_get(json_object_get(root, "model"), "vocab");
    int rc = read_normalizer(tokenizer, json_object_get(root, "normalizer"), err);
    if (!rc) rc = read_model(tokenizer, root, err);
    if (!rc) rc = read_pre_tokenizer(tokenizer, json_object_get(root, "pre_tokenizer"), err);
    if (!rc)
        rc = read_post_processor(tokenizer, vocab, json_object_get(root, "post_processor"), err);
    if (!rc) rc = read_padding(tokenizer, json_object_get(root, "padding"), err);
    return rc;
}

/* The lines of merges.txt; one may name a version. bpe NULL: only counts them. */
static int read_lines(struct bpe *bpe, uint32_t *count, const json_t *vocab, const char *text,
                      size_t bytes, struct err *err)
{
    static const char version[] = "#version";
    *count = 0;
    for (size_t at = 0; at < bytes;) {
        const char *line = text + at, *end = memchr(line, '\n', bytes - at);
        size_t length = end ? (size_t)(end - line) : bytes - at;
        at += length + 1;
        if (length && line[length - 1] == '\r') length--;
        if (length >= sizeof version - 1 && !memcmp(line, version, sizeof version - 1)) continue;
        if (!length && at >= bytes) break;
        if (++*count > BPE_MERGES_MAX)
            return err_set(err, ERR_INVALID, "more than %d merges", BPE_MERGES_MAX);
        if (!bpe) continue;
        const char *gap = memchr(line, ' ', length);
        const size_t left = gap ? (size_t)(gap - line) : 0;
        if (!left || left + 1 == length || memchr(gap + 1, ' ', length - left - 1))
            return err_set(err, ERR_INVALID, "merge %" PRIu32 " is no pair of tokens",
                           bpe->merges_count);
        const int rc = bpe_add(bpe, vocab, line, left, gap + 1, length - left - 1, err);
        if (rc) return rc;
    }
    return 0;
}

static int add_end(struct tokenizer *tokenizer, uint32_t id, const char *text, struct err *err)
{
    const int rc = add_special(tokenizer, text, strlen(text), id, false, err);
    if (rc) return rc;
    return bpe_special(&tokenizer->bpe, &tokenizer->arena, id, text, strlen(text), true, err);
}

/* What tokenizer.json would say if there were one: that of transformers' CLIPTokenizer. */
static int fill_pair(struct tokenizer *tokenizer, const json_t *vocab, const char *merges,
                     size_t bytes, struct err *err)
{
    static const enum step steps[] = {STEP_NFC, STEP_SPACES, STEP_LOWER};
    uint32_t count;
    int rc = read_lines(NULL, &count, vocab, merges, bytes, err);
    if (!rc) rc = bpe_init(&tokenizer->bpe, &tokenizer->arena, vocab, count, err);
    if (!rc) rc = read_lines(&tokenizer->bpe, &count, vocab, merges, bytes, err);
    if (!rc) rc = find_ends(tokenizer, vocab, err);
    if (!rc) rc = add_end(tokenizer, tokenizer->start_id, START, err);
    if (!rc) rc = add_end(tokenizer, tokenizer->end_id, END, err);
    if (!rc) rc = bpe_ready(&tokenizer->bpe, &tokenizer->arena, vocab, tokenizer->end_id, err);
    for (size_t i = 0; i < sizeof steps / sizeof *steps && !rc; i++)
        rc = add_step(tokenizer, steps[i], err);
    if (!rc)
        rc = add_rule(&tokenizer->hf, CLIP_REGEX, strlen(CLIP_REGEX), SPLIT_KEEP_MATCHES, false,
                      err);
    if (!rc) rc = add_byte_level(&tokenizer->hf, err);
    tokenizer->pad_id = tokenizer->end_id;
    return rc;
}

/* What every tokenizer has, or NULL when there is no memory: our own expressions are valid. */
static struct tokenizer *start(struct err *err)
{
    struct tokenizer *made = mem_try(sizeof *made);
    if (!made) {
        (void)no_memory(err);
        return NULL;
    }
    arena_init(&made->arena, ARENA_BYTES);
    int rc =
        add_rule(&made->openai, OPENAI_REGEX, strlen(OPENAI_REGEX), SPLIT_KEEP_MATCHES, true, err);
    if (!rc)
        rc = split_rule_new(&made->final_sigma, FINAL_SIGMA_REGEX, strlen(FINAL_SIGMA_REGEX),
                            SPLIT_KEEP_MATCHES, false, err);
    CHECK(!rc || rc == ERR_LIMIT);
    if (!rc) return made;
    tokenizer_free(made);
    return NULL;
}

static int parse(json_t **json, const char *text, size_t bytes, const char *what, struct err *err)
{
    json_error_t why;
    if (bytes > TOKENIZER_FILE_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "%s has %zu bytes; at most %d are read", what, bytes,
                       TOKENIZER_FILE_BYTES_MAX);
    *json = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &why);
    if (!*json)
        return err_set(err, ERR_INVALID, "%s is no valid JSON at line %d: %.120s", what, why.line,
                       why.text);
    return 0;
}

int tokenizer_read_json(struct tokenizer **tokenizer, const char *json, size_t bytes,
                        struct err *err)
{
    struct tokenizer *made = NULL;
    json_t *root = NULL;
    int rc = parse(&root, json, bytes, "the file", err);
    if (!rc) made = start(err);
    if (!rc) rc = made ? read_root(made, root, err) : ERR_LIMIT;
    json_decref(root);
    if (rc)
        tokenizer_free(made);
    else
        *tokenizer = made;
    return rc;
}

int tokenizer_read_pair(struct tokenizer **tokenizer, const char *vocab, size_t vocab_bytes,
                        const char *merges, size_t merges_bytes, struct err *err)
{
    struct tokenizer *made = NULL;
    json_t *root = NULL;
    int rc = parse(&root, vocab, vocab_bytes, "vocab.json", err);
    if (!rc) made = start(err);
    if (!rc) rc = made ? fill_pair(made, root, merges, merges_bytes, err) : ERR_LIMIT;
    json_decref(root);
    if (rc)
        tokenizer_free(made);
    else
        *tokenizer = made;
    return rc;
}

void tokenizer_free(struct tokenizer *tokenizer)
{
    if (!tokenizer) return;
    for (uint32_t i = 0; i < tokenizer->hf.count; i++) split_rule_free(tokenizer->hf.rule[i]);
    for (uint32_t i = 0; i < tokenizer->openai.count; i++)
        split_rule_free(tokenizer->openai.rule[i]);
    split_rule_free(tokenizer->final_sigma);
    arena_deinit(&tokenizer->arena);
    mem_free(tokenizer);
}

static int read_file(struct buf *out, const char *folder, const char *name, struct err *err)
{
    char path[PATH_BYTES];
    if (!fs_join(path, sizeof path, folder, name))
        return err_set(err, ERR_INVALID, "the path of the model is too long: %.100s", folder);
    return fs_read(out, path, TOKENIZER_FILE_BYTES_MAX, err);
}

int tokenizer_open(struct tokenizer **tokenizer, const char *folder, struct err *err)
{
    struct buf first, merges;
    buf_init(&first, 0);
    buf_init(&merges, 0);
    int rc = read_file(&first, folder, "tokenizer.json", err);
    if (rc == ERR_NOT_FOUND) {
        rc = read_file(&first, folder, "vocab.json", err);
        if (!rc) rc = read_file(&merges, folder, "merges.txt", err);
        if (rc == ERR_NOT_FOUND)
            rc = err_set(err, ERR_NOT_FOUND,
                         "there is no tokenizer: put tokenizer.json, or vocab.json and merges.txt, "
                         "beside the model's other files");
        if (!rc)
            rc = tokenizer_read_pair(tokenizer, buf_str(&first), first.len, buf_str(&merges),
                                     merges.len, err);
    } else if (!rc) {
        rc = tokenizer_read_json(tokenizer, buf_str(&first), first.len, err);
    }
    buf_deinit(&merges);
    buf_deinit(&first);
    return rc ? err_wrap(err, "tokenizer of %.100s", folder) : 0;
}
