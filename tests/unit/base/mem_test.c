/* mem_test.c - zeroed blocks, arenas, and the hook that makes allocations fail. */
#include "common/base/mem.h"

#include "common/base/buf.h"
#include "common/base/rng.h"
#include "tests/support/test.h"

#include <string.h>

static bool all_zero(const char *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (data[i]) return false;
    return true;
}

TEST(mem, blocks_are_zeroed_and_zero_bytes_is_a_block)
{
    UNUSED_STATE;
    char *a = mem_new(1000);
    char *b = mem_try(1000);
    void *nothing = mem_try(0);
    EXPECT(all_zero(a, 1000));
    EXPECT(all_zero(b, 1000));
    EXPECT(nothing != NULL);
    mem_free(nothing);
    mem_free(a);
    mem_free(b);
    mem_free(NULL);
}

TEST(mem, fail_lets_after_pass_and_fails_times)
{
    UNUSED_STATE;
    (void)mem_fail(2, 2);
    void *a = mem_try(8);
    void *b = mem_try(8);
    EXPECT(a != NULL);
    EXPECT(b != NULL);
    EXPECT(mem_try(8) == NULL);
    EXPECT(mem_resize(a, 16) == NULL);
    void *c = mem_try(8);
    EXPECT(c != NULL);
    EXPECT_EQ(mem_fail(-1, 0), 5);
    mem_free(a); /* a failed resize left it alone */
    mem_free(b);
    mem_free(c);
    void *d = mem_try(8);
    EXPECT(d != NULL);
    EXPECT_EQ(mem_fail(-1, 0), 0); /* off counts nothing */
    mem_free(d);
}

TEST(mem, new_is_not_made_to_fail)
{
    UNUSED_STATE;
    (void)mem_fail(0, 100);
    void *a = mem_new(8);
    EXPECT(a != NULL);
    (void)mem_fail(-1, 0);
    mem_free(a);
}

TEST(arena, gives_zeroed_aligned_disjoint_memory_again_after_reset)
{
    UNUSED_STATE;
    struct rng rng;
    struct arena arena;
    struct {
        unsigned char *data;
        size_t bytes;
        unsigned char mark;
    } piece[200];
    rng_seed(&rng, test_seed());
    arena_init(&arena, 0);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 200; i++) {
            piece[i].bytes = (size_t)rng_below(&rng, rng_below(&rng, 10) ? 300 : 20000);
            piece[i].mark = (unsigned char)rng_next(&rng);
            piece[i].data = arena_try(&arena, piece[i].bytes);
            EXPECT(piece[i].data != NULL);
            EXPECT_EQ((uintptr_t)piece[i].data % _Alignof(max_align_t), 0);
            EXPECT(all_zero((char *)piece[i].data, piece[i].bytes));
            memset(piece[i].data, piece[i].mark, piece[i].bytes);
        }
        for (int i = 0; i < 200; i++)
            for (size_t j = 0; j < piece[i].bytes; j++)
                if (piece[i].data[j] != piece[i].mark) fail_msg("pieces overlap");
        arena_reset(&arena);
        EXPECT_EQ(arena.bytes, 0);
    }
    arena_deinit(&arena);
    arena_deinit(&arena);
}

TEST(arena, refuses_more_than_its_limit_and_takes_it_after_reset)
{
    UNUSED_STATE;
    struct arena arena;
    arena_init(&arena, 4096);
    EXPECT(arena_try(&arena, 4000) != NULL);
    EXPECT(arena_try(&arena, 200) == NULL);
    EXPECT(arena_try(&arena, 96) != NULL);
    EXPECT(arena_try(&arena, SIZE_MAX) == NULL);
    arena_reset(&arena);
    EXPECT(arena_try(&arena, 4096) != NULL);
    arena_deinit(&arena);
}

TEST(arena, keeps_blocks_over_reset)
{
    UNUSED_STATE;
    struct arena arena;
    arena_init(&arena, 0);
    void *first = arena_new(&arena, 100);
    arena_reset(&arena);
    EXPECT(arena_new(&arena, 100) == first);
    arena_deinit(&arena);
}

TEST(arena, texts_are_terminated_copies)
{
    UNUSED_STATE;
    struct arena arena;
    arena_init(&arena, 0);
    EXPECT_TEXT(arena_text(&arena, "abcdef", 3), "abc");
    EXPECT_TEXT(arena_text(&arena, NULL, 0), "");
    EXPECT_TEXT(arena_printf(&arena, "%d-%s", 5, "x"), "5-x");
    EXPECT_MEM(arena_copy(&arena, "ab", 3), "ab", 3);
    arena_deinit(&arena);
}

TEST(arena, every_call_can_fail_and_leaves_the_arena_usable)
{
    UNUSED_STATE;
    struct arena arena;
    int64_t after = 0;
    bool done = false;
    for (; !done; after++) {
        EXPECT(after < 10);
        arena_init(&arena, 0);
        (void)mem_fail(after, 1);
        const char *a = arena_text(&arena, "a", 1);
        const char *b = arena_printf(&arena, "%d", 1);
        const void *c = arena_copy(&arena, "xyz", 3);
        done = mem_fail(-1, 0) <= after;
        EXPECT_EQ(!a + !b + !c, done ? 0 : 1);
        EXPECT(arena_try(&arena, 10) != NULL);
        arena_deinit(&arena);
    }
    EXPECT_EQ(after, 4);
}

TEST(arena, lender_tells_when_memory_was_out)
{
    UNUSED_STATE;
    struct arena arena;
    struct arena_lender lender = {.arena = &arena};
    arena_init(&arena, 120);
    char *first = arena_lend(&lender, 40);
    EXPECT(first != NULL && !lender.failed);
    memset(first, 1, 40);
    arena_take_back(&lender, first);
    char *second = arena_lend(&lender, 40);
    EXPECT(second != NULL && second != first && first[39] == 1 && second[0] == 0);
    EXPECT(arena_lend(&lender, 40) == NULL && lender.failed);
    EXPECT(arena_lend(&lender, 8) != NULL && lender.failed);
    arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(mem, blocks_are_zeroed_and_zero_bytes_is_a_block),
        RUN(mem, fail_lets_after_pass_and_fails_times),
        RUN(mem, new_is_not_made_to_fail),
        RUN(arena, gives_zeroed_aligned_disjoint_memory_again_after_reset),
        RUN(arena, refuses_more_than_its_limit_and_takes_it_after_reset),
        RUN(arena, keeps_blocks_over_reset),
        RUN(arena, texts_are_terminated_copies),
        RUN(arena, every_call_can_fail_and_leaves_the_arena_usable),
        RUN(arena, lender_tells_when_memory_was_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
