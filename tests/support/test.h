/* test.h - the test vocabulary over cmocka: TEST names a claim, EXPECT checks it.
 *
 *   TEST(chan, closed_channel_refuses_sends) { … EXPECT(!chan_send(chan, item)); }
 *   int main(void)
 *   {
 *       const struct CMUnitTest tests[] = {RUN(chan, closed_channel_refuses_sends), …};
 *       return cmocka_run_group_tests(tests, NULL, NULL);
 *   }
 */
#ifndef TESTS_SUPPORT_TEST_H
#define TESTS_SUPPORT_TEST_H

/* cmocka.h needs these before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
/* clang-format on */

#define TEST(subject, claim) static void subject##__##claim(void **state_unused)
#define RUN(subject, claim)  cmocka_unit_test(subject##__##claim)
#define UNUSED_STATE         ((void)state_unused)

#define EXPECT(x)           assert_true(x)
#define EXPECT_EQ(a, b)     assert_int_equal((intmax_t)(a), (intmax_t)(b))
#define EXPECT_TEXT(a, b)   assert_string_equal((a), (b))
#define EXPECT_MEM(a, b, n) assert_memory_equal((a), (b), (n))
/* rc is 0; otherwise prints the sentence. */
#define EXPECT_OK(rc, err)                               \
    do {                                                 \
        int rc_ = (rc);                                  \
        if (rc_) print_message("err: %s\n", (err)->msg); \
        assert_int_equal(rc_, 0);                        \
    } while (0)

/* A fresh folder under TMPDIR, removed by test_dir_remove. */
const char *test_dir_new(void);
void test_dir_remove(const char *path);
/* The seed of a random test: VLMQ_SEED, or fresh; printed either way. */
uint64_t test_seed(void);

#endif
