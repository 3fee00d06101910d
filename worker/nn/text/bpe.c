/* bpe.c - see bpe.h: the vocabulary and its merges. */
#include "worker/nn/text/bpe.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#define SUFFIX_BYTES    (sizeof BPE_SUFFIX - 1)
#define ALPHABET_POINTS 324 /* characters of the byte alphabet are below it */
#define CHARACTER_BYTES 3   /* one of those in UTF-8, and its zero */
#define SHOWN_BYTES     60  /* of a token in a sentence */
#define SHOWN(bytes)    ((int)((bytes) < SHOWN_BYTES ? (bytes) : SHOWN_BYTES))

static bool is_itself(uint32_t byte)
{
    return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

/* The character that stands for a byte. */
static uint32_t character_of(uint32_t byte)
{
    uint32_t others = 0;
    if (is_itself(byte)) return byte;
    for (uint32_t i = 0; i < byte; i++) others += !is_itself(i);
    return 256 + others;
}

/* The byte that each character stands for, or -1. */
static void fill_bytes(int16_t bytes[ALPHABET_POINTS])
{
    for (uint32_t i = 0; i < ALPHABET_POINTS; i++) bytes[i] = -1;
    for (uint32_t byte = 0; byte < 256; byte++) bytes[character_of(byte)] = (int16_t)byte;
}

/* The bytes that a token stands for: dst has room for all of text. A token with a character outside
 * the alphabet stands for itself. */
static size_t read_token(char *dst, const char *text, size_t bytes,
                         const int16_t alphabet[ALPHABET_POINTS])
{
    size_t count = 0;
    for (size_t at = 0; at < bytes;) {
        int32_t point = 0;
        const utf8proc_ssize_t taken = utf8proc_iterate((const utf8proc_uint8_t *)text + at,
                                                        (utf8proc_ssize_t)(bytes - at), &point);
        if (taken < 1 || point >= ALPHABET_POINTS || alphabet[point] < 0) {
            memcpy(dst, text, bytes);
            return bytes;
        }
        dst[count++] = (char)alphabet[point];
        at += (size_t)taken;
    }
    return count;
}

uint32_t bpe_find(const json_t *vocab, const char *text, size_t bytes)
{
    const json_t *id = json_object_getn(vocab, text, bytes);
    return id ? (uint32_t)json_integer_value(id) : BPE_NO_ID;
}

/* The number of the largest id, plus one. */
static int check_ids(uint32_t *count, const json_t *vocab, struct err *err)
{
    const char *text;
    size_t bytes;
    json_t *id;
    *count = 0;
    json_object_keylen_foreach((json_t *)(uintptr_t)vocab, text, bytes, id)
    {
        const json_int_t value = json_is_integer(id) ? json_integer_value(id) : -1;
        if (value < 0 || value >= BPE_TOKENS_MAX)
            return err_set(err, ERR_INVALID, "the id of token \"%.*s\" is no number from 0 to %d",
                           SHOWN(bytes), text, BPE_TOKENS_MAX - 1);
        if (bytes > BPE_TOKEN_BYTES_MAX)
            return err_set(err, ERR_INVALID,
                           "token %" JSON_INTEGER_FORMAT " has %zu bytes; at "
                           "most %d are read",
                           value, bytes, BPE_TOKEN_BYTES_MAX);
        if (value >= *count) *count = (uint32_t)value + 1;
    }
    if (!*count) return err_set(err, ERR_INVALID, "the vocabulary has no token");
    return 0;
}

static int add_tokens(struct bpe *bpe, struct arena *arena, const json_t *vocab, struct err *err)
{
    int16_t alphabet[ALPHABET_POINTS];
    const char *text;
    size_t bytes;
    json_t *id;
    fill_bytes(alphabet);
    json_object_keylen_foreach((json_t *)(uintptr_t)vocab, text, bytes, id)
    {
        struct bpe_token *token = &bpe->token[json_integer_value(id)];
        const bool ends =
            bytes >= SUFFIX_BYTES && !memcmp(text + bytes - SUFFIX_BYTES, BPE_SUFFIX, SUFFIX_BYTES);
        char *kept = arena_try(arena, bytes + 1);
        if (!kept) return err_set(err, ERR_LIMIT, "no memory for a vocabulary");
        if (token->text)
            return err_set(err, ERR_INVALID, "two tokens have the id %" JSON_INTEGER_FORMAT,
                           json_integer_value(id));
        token->text = kept;
        token->ends_word = ends;
        token->bytes =
            (uint32_t)read_token(kept, text, ends ? bytes - SUFFIX_BYTES : bytes, alphabet);
    }
    return 0;
}

int bpe_init(struct bpe *bpe, struct arena *arena, const json_t *vocab, uint32_t merges_max,
             struct err *err)
{
    *bpe = (struct bpe){.merges_max = merges_max};
    if (!json_is_object(vocab))
        return err_set(err, ERR_INVALID, "the vocabulary is no object of tokens and ids");
    if (merges_max > BPE_MERGES_MAX)
        return err_set(err, ERR_INVALID, "%" PRIu32 " merges; at most %d are read", merges_max,
                       BPE_MERGES_MAX);
    const int rc = check_ids(&bpe->tokens_count, vocab, err);
    if (rc) return rc;
    /* Specials may get ids behind the vocabulary's. */
    bpe->token = arena_try(arena, BPE_TOKENS_MAX * sizeof *bpe->token);
    bpe->merge = arena_try(arena, (merges_max + (size_t)1) * sizeof *bpe->merge);
    if (!bpe->token || !bpe->merge) return err_set(err, ERR_LIMIT, "no memory for a vocabulary");
    return add_tokens(bpe, arena, vocab, err);
}

int bpe_add(struct bpe *bpe, const json_t *vocab, const char *left, size_t left_bytes,
            const char *right, size_t right_bytes, struct err *err)
{
    char made[2 * BPE_TOKEN_BYTES_MAX];
    struct bpe_merge merge = {.rank = bpe->merges_count};
    if (bpe->merges_count == bpe->merges_max)
        return err_set(err, ERR_INTERNAL, "more merges than were counted");
    if (left_bytes > BPE_TOKEN_BYTES_MAX || right_bytes > BPE_TOKEN_BYTES_MAX)
        return err_set(err, ERR_INVALID, "merge %" PRIu32 " has more than %d bytes", merge.rank,
                       BPE_TOKEN_BYTES_MAX);
    memcpy(made, left, left_bytes);
    memcpy(made + left_bytes, right, right_bytes);
    merge.left = bpe_find(vocab, left, left_bytes);
    merge.right = bpe_find(vocab, right, right_bytes);
    merge.made = bpe_find(vocab, made, left_bytes + right_bytes);
    if (merge.left == BPE_NO_ID || merge.right == BPE_NO_ID || merge.made == BPE_NO_ID)
        return err_set(err, ERR_INVALID,
                       "merge %" PRIu32 ", \"%.*s\" and \"%.*s\", has a token that the vocabulary "
                       "lacks: the two files belong to different tokenizers",
                       merge.rank, SHOWN(left_bytes), left, SHOWN(right_bytes), right);
    bpe->merge[bpe->merges_count++] = merge;
    return 0;
}

int bpe_special(struct bpe *bpe, struct arena *arena, uint32_t id, const char *text, size_t bytes,
                bool is_special, struct err *err)
{
    if (id >= BPE_TOKENS_MAX)
        return err_set(err, ERR_INVALID, "the id of token \"%.*s\" is no number from 0 to %d",
                       SHOWN(bytes), text, BPE_TOKENS_MAX - 1);
    char *kept = arena_text(arena, text, bytes);
    if (!kept) return err_set(err, ERR_LIMIT, "no memory for a vocabulary");
    bpe->token[id] = (struct bpe_token){
        .text = kept, .bytes = (uint32_t)bytes, .is_added = true, .is_special = is_special};
    if (id >= bpe->tokens_count) bpe->tokens_count = id + 1;
    return 0;
}

static int by_pair(const void *a, const void *b)
{
    const struct bpe_merge *x = a, *y = b;
    if (x->left != y->left) return x->left < y->left ? -1 : 1;
    if (x->right != y->right) return x->right < y->right ? -1 : 1;
    return x->rank < y->rank ? -1 : x->rank > y->rank;
}

static void sort_merges(struct bpe *bpe)
{
    uint32_t kept = 0;
    qsort(bpe->merge, bpe->merges_count, sizeof *bpe->merge, by_pair);
    for (uint32_t i = 0; i < bpe->merges_count; i++) {
        const struct bpe_merge merge = bpe->merge[i];
        if (kept && bpe->merge[kept - 1].left == merge.left &&
            bpe->merge[kept - 1].right == merge.right)
            kept--;
        bpe->merge[kept++] = merge;
    }
    bpe->merges_count = kept;
    for (uint32_t i = 0; i < kept; i++) bpe->first[bpe->merge[i].left + 1]++;
    for (uint32_t i = 0; i < bpe->tokens_count; i++) bpe->first[i + 1] += bpe->first[i];
}

int bpe_ready(struct bpe *bpe, struct arena *arena, const json_t *vocab, uint32_t unknown,
              struct err *err)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        char text[CHARACTER_BYTES + SUFFIX_BYTES + 1];
        const size_t bytes = (size_t)utf8proc_encode_char((utf8proc_int32_t)character_of(byte),
                                                          (utf8proc_uint8_t *)text);
        memcpy(text + bytes, BPE_SUFFIX, SUFFIX_BYTES);
        for (uint32_t end = 0; end < 2; end++) {
            uint32_t id = bpe_find(vocab, text, bytes + (end ? SUFFIX_BYTES : 0));
            if (id == BPE_NO_ID) id = unknown;
            if (id == BPE_NO_ID)
                return err_set(err, ERR_INVALID,
                               "the vocabulary has no token for byte 0x%02X%s: it is none of CLIP",
                               byte, end ? " at the end of a word" : "");
            bpe->byte_id[end][byte] = id;
        }
    }
    bpe->first = arena_try(arena, (bpe->tokens_count + (size_t)1) * sizeof *bpe->first);
    if (!bpe->first) return err_set(err, ERR_LIMIT, "no memory for a vocabulary");
    sort_merges(bpe);
    return 0;
}
