/* buf_test.c - a buffer against a plain array, its limit, and failing memory. */
#include "common/base/buf.h"

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "tests/support/test.h"

#include <string.h>

TEST(buf, is_empty_text_before_the_first_append)
{
    UNUSED_STATE;
    struct buf buf;
    buf_init(&buf, 0);
    EXPECT_TEXT(buf_str(&buf), "");
    buf_add(&buf, NULL, 0);
    EXPECT_TEXT(buf_str(&buf), "");
    EXPECT(buf_reserve(&buf, 100) != NULL);
    EXPECT_TEXT(buf_str(&buf), "");
    buf_deinit(&buf);
    buf_deinit(&buf);
}

TEST(buf, appends_in_order_and_stays_terminated)
{
    UNUSED_STATE;
    struct buf buf;
    buf_init(&buf, 0);
    buf_text(&buf, "ab");
    buf_byte(&buf, 'c');
    buf_printf(&buf, "%d%s", 12, "x");
    EXPECT(buf_reserve(&buf, 100) != NULL); /* and then nothing: still terminated */
    EXPECT_TEXT(buf_str(&buf), "abc12x");
    memcpy(buf_reserve(&buf, 3), "yz!", 3);
    buf_commit(&buf, 2);
    EXPECT_TEXT(buf_str(&buf), "abc12xyz");
    EXPECT_EQ(buf.len, 8);
    buf_consume(&buf, 3);
    EXPECT_TEXT(buf_str(&buf), "12xyz");
    buf_clear(&buf);
    EXPECT_TEXT(buf_str(&buf), "");
    buf_deinit(&buf);
}

TEST(buf, takes_exactly_max_and_then_fails_for_good)
{
    UNUSED_STATE;
    struct buf buf;
    buf_init(&buf, 5);
    buf_text(&buf, "12345");
    EXPECT(!buf_failed(&buf));
    buf_byte(&buf, '6');
    EXPECT(buf_failed(&buf));
    EXPECT_TEXT(buf_str(&buf), "12345");
    buf_consume(&buf, 5);
    buf_byte(&buf, 'x'); /* would fit, but the failure sticks */
    EXPECT_TEXT(buf_str(&buf), "");
    EXPECT(buf_failed(&buf));
    EXPECT(buf_reserve(&buf, 1) == NULL);
    buf_clear(&buf);
    buf_byte(&buf, 'y');
    EXPECT_TEXT(buf_str(&buf), "y");
    buf_add(&buf, "x", SIZE_MAX); /* no overflow in the sum */
    EXPECT(buf_failed(&buf));
    buf_deinit(&buf);
}

TEST(buf, equals_an_array_under_random_operations)
{
    UNUSED_STATE;
    static char model[1 << 16];
    struct rng rng;
    struct buf buf;
    size_t len = 0;
    rng_seed(&rng, test_seed());
    buf_init(&buf, 0);
    for (int step = 0; step < 5000; step++) {
        char piece[64];
        const size_t bytes = (size_t)rng_below(&rng, sizeof piece);
        const size_t drop = (size_t)rng_below(&rng, len + 1);
        for (size_t i = 0; i < bytes; i++) piece[i] = (char)rng_next(&rng);
        if (len + bytes < sizeof model && rng_below(&rng, 20)) {
            buf_add(&buf, piece, bytes);
            memcpy(model + len, piece, bytes);
            len += bytes;
        } else {
            buf_consume(&buf, drop);
            memmove(model, model + drop, len - drop);
            len -= drop;
        }
        EXPECT_EQ(buf.len, len);
        EXPECT_EQ(buf_str(&buf)[len], 0);
        EXPECT_MEM(buf_str(&buf), model, len);
    }
    buf_deinit(&buf);
}

TEST(buf, failed_memory_keeps_what_was_there_and_is_seen_at_the_end)
{
    UNUSED_STATE;
    for (int64_t after = 0;; after++) {
        struct buf buf;
        EXPECT(after < 20);
        buf_init(&buf, 0);
        (void)mem_fail(after, 1);
        for (int i = 0; i < 1000; i++) buf_printf(&buf, "%04d", i);
        const bool untouched = mem_fail(-1, 0) <= after;
        EXPECT_EQ(buf_failed(&buf), !untouched);
        EXPECT_EQ(buf.len % 4, 0);
        EXPECT_EQ(strlen(buf_str(&buf)), buf.len);
        if (untouched) EXPECT_EQ(buf.len, 4000);
        buf_deinit(&buf);
        if (untouched) break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(buf, is_empty_text_before_the_first_append),
        RUN(buf, appends_in_order_and_stays_terminated),
        RUN(buf, takes_exactly_max_and_then_fails_for_good),
        RUN(buf, equals_an_array_under_random_operations),
        RUN(buf, failed_memory_keeps_what_was_there_and_is_seen_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
