/* bpe.h - a vocabulary of byte-level tokens, and byte pair encoding of one word with it.
 *
 * Every byte of a word is a symbol; the last one is its byte's form with the end-of-word suffix
 * "</w>". Of all neighbours that have a merge the one of the lowest rank is merged, the leftmost
 * of equals first, until none has one.
 *
 * Sources: Sennrich, Haddow, Birch 2016 (arXiv 1508.07909), algorithm 1; the byte alphabet of
 * GPT-2 (Radford et al. 2019), by which files write bytes as printable characters: 0x21-0x7E,
 * 0xA1-0xAC and 0xAE-0xFF stand for themselves, the others, in their order, for U+0100 onwards. */
#ifndef NN_TEXT_BPE_H
#define NN_TEXT_BPE_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/mem.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BPE_TOKENS_MAX      65536 /* ids are below it */
#define BPE_MERGES_MAX      131072
#define BPE_TOKEN_BYTES_MAX 1024 /* as the file writes it */
#define BPE_NO_ID           UINT32_MAX
#define BPE_SUFFIX          "</w>"

struct bpe_token {
    const char *text; /* its bytes, without the suffix; NULL: no token has this id */
    uint32_t bytes;
    bool ends_word, is_added, is_special; /* special: a decoder may skip it */
};

struct bpe_merge {
    uint32_t left, right, rank, made; /* rank: its place in the file; others are ids */
};

struct bpe {
    struct bpe_token *token;
    struct bpe_merge *merge; /* sorted by left and right once bpe_ready */
    uint32_t *first;         /* merges of left symbol i: [first[i], first[i + 1]) */
    uint32_t tokens_count, merges_count, merges_max;
    uint32_t byte_id[2][256]; /* [1]: at the end of a word */
};

/* vocab: a JSON object, token -> id. What bpe holds lives in arena. */
CHECKED int bpe_init(struct bpe *bpe, struct arena *arena, const json_t *vocab, uint32_t merges_max,
                     struct err *err);
/* The next merge of the file, at most merges_max of them; both parts and what they make are in
 * vocab. Of two merges of the same pair the later counts. */
CHECKED int bpe_add(struct bpe *bpe, const json_t *vocab, const char *left, size_t left_bytes,
                    const char *right, size_t right_bytes, struct err *err);
/* A token beside the vocabulary's, or one of those: it is its text, not bytes of a word. */
CHECKED int bpe_special(struct bpe *bpe, struct arena *arena, uint32_t id, const char *text,
                        size_t bytes, bool is_special, struct err *err);
/* After the last merge. unknown: the id of bytes that the vocabulary lacks, or BPE_NO_ID: it must
 * have all 512 then. */
CHECKED int bpe_ready(struct bpe *bpe, struct arena *arena, const json_t *vocab, uint32_t unknown,
                      struct err *err);
/* BPE_NO_ID when the vocabulary has no such token. */
uint32_t bpe_find(const json_t *vocab, const char *text, size_t bytes);

/* Memory of bpe_word, kept from word to word; zeroed at first. */
struct bpe_symbol {
    uint32_t id, before, after;
};
struct bpe_place {
    uint32_t rank, at;
};
struct bpe_work {
    struct bpe_symbol *symbol;
    struct bpe_place *heap;
    size_t symbols_max, heap_count;
};

void bpe_work_deinit(struct bpe_work *work);
/* Encodes a word of 1 to BPE_WORD_BYTES_MAX bytes: *count ids, in work->symbol[i].id. Takes time
 * in proportion to n log n and 36 bytes of memory per byte. */
#define BPE_WORD_BYTES_MAX (16 * 1024 * 1024)
CHECKED int bpe_word(const struct bpe *bpe, struct bpe_work *work, uint32_t *count,
                     const char *word, size_t bytes, struct err *err);

#endif
