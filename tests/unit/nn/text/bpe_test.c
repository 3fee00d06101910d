/* bpe_test.c - byte pair encoding against its definition, with merges of any order. */
#include "worker/nn/text/bpe.h"

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <string.h>

#define ROUNDS      60
#define WORDS       60
#define WORD_MAX    40
#define LETTERS     3
#define MERGES      24
#define PART_BYTES  32
#define ARENA_BYTES (64 * 1024 * 1024)
#define UNKNOWN     "?"

struct pair {
    char left[PART_BYTES], right[PART_BYTES];
};

/* Merges of what letters and merges before them made, shuffled: an order that no training gives. */
static uint32_t make_pairs(struct pair *pair, struct rng *rng)
{
    uint32_t count = 0;
    for (uint32_t tries = 0; tries < 20 * MERGES && count < MERGES; tries++) {
        char part[2][PART_BYTES];
        for (int i = 0; i < 2; i++) {
            const uint32_t from = (uint32_t)rng_below(rng, LETTERS + count);
            const char *end = i && rng_below(rng, 3) == 0 ? BPE_SUFFIX : "";
            if (from < LETTERS)
                (void)snprintf(part[i], sizeof part[i], "%c%s", (int)('a' + from), end);
            else
                (void)snprintf(part[i], sizeof part[i], "%s%s", pair[from - LETTERS].left,
                               pair[from - LETTERS].right);
        }
        if (strchr(part[0], '<') || strlen(part[0]) + strlen(part[1]) > 12) continue;
        memcpy(pair[count].left, part[0], PART_BYTES);
        memcpy(pair[count++].right, part[1], PART_BYTES);
    }
    for (uint32_t i = count; i > 1; i--) {
        const uint32_t other = (uint32_t)rng_below(rng, i);
        const struct pair kept = pair[i - 1];
        pair[i - 1] = pair[other];
        pair[other] = kept;
    }
    return count;
}

static void make_bpe(struct bpe *bpe, struct arena *arena, const struct pair *pair, uint32_t count)
{
    json_t *vocab = json_object();
    struct err err;
    EXPECT(!json_object_set_new(vocab, UNKNOWN, json_integer(0)));
    for (int letter = 'a'; letter < 'a' + LETTERS; letter++)
        for (int end = 0; end < 2; end++) {
            char text[PART_BYTES];
            (void)snprintf(text, sizeof text, "%c%s", letter, end ? BPE_SUFFIX : "");
            EXPECT(!json_object_set_new(vocab, text, json_integer((int)json_object_size(vocab))));
        }
    for (uint32_t i = 0; i < count; i++) {
        char text[2 * PART_BYTES];
        (void)snprintf(text, sizeof text, "%s%s", pair[i].left, pair[i].right);
        if (!json_object_get(vocab, text))
            EXPECT(!json_object_set_new(vocab, text, json_integer((int)json_object_size(vocab))));
    }
    EXPECT_OK(bpe_init(bpe, arena, vocab, count, &err), &err);
    for (uint32_t i = 0; i < count; i++)
        EXPECT_OK(bpe_add(bpe, vocab, pair[i].left, strlen(pair[i].left), pair[i].right,
                          strlen(pair[i].right), &err),
                  &err);
    EXPECT_OK(bpe_ready(bpe, arena, vocab, 0, &err), &err);
    json_decref(vocab);
}

static const struct bpe_merge *find(const struct bpe *bpe, uint32_t left, uint32_t right)
{
    for (uint32_t i = 0; i < bpe->merges_count; i++)
        if (bpe->merge[i].left == left && bpe->merge[i].right == right) return &bpe->merge[i];
    return NULL;
}

/* bpe.h's words, one merge after the other. */
static uint32_t encode_plainly(const struct bpe *bpe, uint32_t *id, const char *word,
                               uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        id[i] = bpe->byte_id[i + 1 == count][(unsigned char)word[i]];
    for (;;) {
        const struct bpe_merge *best = NULL;
        uint32_t at = 0;
        for (uint32_t i = 0; i + 1 < count; i++) {
            const struct bpe_merge *merge = find(bpe, id[i], id[i + 1]);
            if (!merge || (best && best->rank <= merge->rank)) continue;
            best = merge;
            at = i;
        }
        if (!best) return count;
        id[at] = best->made;
        for (uint32_t i = at + 1; i + 1 < count; i++) id[i] = id[i + 1];
        count--;
    }
}

static void expect_words(const struct bpe *bpe, struct rng *rng)
{
    struct bpe_work work = {0};
    for (int i = 0; i < WORDS; i++) {
        char word[WORD_MAX] = "";
        uint32_t want[WORD_MAX] = {0}, count = 0;
        struct err err;
        const uint32_t bytes = 1 + (uint32_t)rng_below(rng, WORD_MAX);
        for (uint32_t k = 0; k < bytes; k++)
            word[k] = (char)('a' + (int)rng_below(rng, LETTERS + (rng_below(rng, 9) == 0)));
        EXPECT_OK(bpe_word(bpe, &work, &count, word, bytes, &err), &err);
        EXPECT_EQ(count, encode_plainly(bpe, want, word, bytes));
        for (uint32_t k = 0; k < count; k++) EXPECT_EQ(work.symbol[k].id, want[k]);
    }
    bpe_work_deinit(&work);
}

TEST(bpe, merges_the_lowest_rank_first_whatever_the_order_of_the_file)
{
    UNUSED_STATE;
    struct rng rng;
    rng_seed(&rng, test_seed());
    for (int i = 0; i < ROUNDS; i++) {
        struct pair pair[MERGES];
        struct arena arena;
        struct bpe bpe;
        arena_init(&arena, ARENA_BYTES);
        const uint32_t count = make_pairs(pair, &rng);
        EXPECT(count > MERGES / 2);
        make_bpe(&bpe, &arena, pair, count);
        expect_words(&bpe, &rng);
        arena_deinit(&arena);
    }
}

TEST(bpe, counts_the_later_of_two_merges_of_one_pair)
{
    UNUSED_STATE;
    static const struct pair pairs[] = {{"a", "b"}, {"b", "c"}, {"a", "b"}};
    struct bpe_work work = {0};
    struct arena arena;
    struct bpe bpe;
    struct err err;
    uint32_t count = 0;
    arena_init(&arena, ARENA_BYTES);
    make_bpe(&bpe, &arena, pairs, 3);
    EXPECT_EQ(bpe.merges_count, 2);
    EXPECT_OK(bpe_word(&bpe, &work, &count, "abca", 4, &err), &err);
    EXPECT_EQ(count, 3); /* a, bc, a</w> */
    EXPECT_EQ(work.symbol[0].id, bpe.byte_id[0]['a']);
    bpe_work_deinit(&work);
    arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(bpe, merges_the_lowest_rank_first_whatever_the_order_of_the_file),
        RUN(bpe, counts_the_later_of_two_merges_of_one_pair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
