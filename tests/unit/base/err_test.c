/* err_test.c - codes and sentences. */
#include "common/base/err.h"

#include "common/base/str.h"
#include "tests/support/test.h"

#include <errno.h>
#include <string.h>

TEST(err, set_gives_code_and_sentence_in_one_line)
{
    UNUSED_STATE;
    struct err err = {0};
    EXPECT_EQ(err_set(&err, ERR_LIMIT, "%d of %s", 3, "x"), ERR_LIMIT);
    EXPECT_EQ(err.code, ERR_LIMIT);
    EXPECT_TEXT(err.msg, "3 of x");
}

TEST(err, sentence_may_quote_the_old_one)
{
    UNUSED_STATE;
    struct err err;
    (void)err_set(&err, ERR_CORRUPT, "bad sum");
    EXPECT_EQ(err_set(&err, ERR_INTERNAL, "gave up: %s", err.msg), ERR_INTERNAL);
    EXPECT_TEXT(err.msg, "gave up: bad sum");
}

TEST(err, wrap_prepends_context_and_keeps_the_code)
{
    UNUSED_STATE;
    struct err err;
    (void)err_set(&err, ERR_STALE, "lease is gone");
    EXPECT_EQ(err_wrap(&err, "renew %d", 7), ERR_STALE);
    EXPECT_EQ(err.code, ERR_STALE);
    EXPECT_TEXT(err.msg, "renew 7: lease is gone");
}

TEST(err, long_sentence_is_cut_and_terminated)
{
    UNUSED_STATE;
    struct err err;
    char text[1000];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = 0;
    (void)err_set(&err, ERR_INVALID, "%s", text);
    EXPECT_EQ(strlen(err.msg), ERR_MSG_BYTES - 1);
    (void)err_wrap(&err, "%s", text);
    EXPECT_EQ(strlen(err.msg), ERR_MSG_BYTES - 1);
}

TEST(err, errno_reason_survives_a_long_path)
{
    UNUSED_STATE;
    struct err err;
    char text[1000];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = 0;
    EXPECT_EQ(err_errno(&err, ENOSPC, "write %s", text), ERR_FULL);
    EXPECT(str_has_suffix(err.msg, ": No space left on device"));
}

TEST(err, errno_maps_to_what_to_do_next)
{
    UNUSED_STATE;
    static const struct {
        int errnum;
        enum err_code code;
    } rows[] = {{ENOSPC, ERR_FULL},      {EDQUOT, ERR_FULL},  {ENOENT, ERR_NOT_FOUND},
                {EACCES, ERR_DENIED},    {EROFS, ERR_DENIED}, {EIO, ERR_UNAVAILABLE},
                {EISDIR, ERR_INVALID},   {EMFILE, ERR_LIMIT}, {ETIMEDOUT, ERR_TIMEOUT},
                {EPIPE, ERR_UNAVAILABLE}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        EXPECT_EQ(err_errno(NULL, rows[i].errnum, "x"), rows[i].code);
}

TEST(err, every_code_has_its_own_name)
{
    UNUSED_STATE;
    for (int a = 0; a < ERR_CODES_COUNT; a++) {
        EXPECT(!str_eq(err_name((enum err_code)a), "unknown"));
        for (int b = 0; b < a; b++)
            EXPECT(!str_eq(err_name((enum err_code)a), err_name((enum err_code)b)));
    }
    EXPECT_TEXT(err_name((enum err_code)99), "unknown");
}

TEST(err, only_passing_troubles_may_be_retried)
{
    UNUSED_STATE;
    int count = 0;
    for (int code = 0; code < ERR_CODES_COUNT; code++) count += err_may_retry((enum err_code)code);
    EXPECT_EQ(count, 5);
    EXPECT(err_may_retry(ERR_LIMIT));
    EXPECT(err_may_retry(ERR_CORRUPT));
    EXPECT(err_may_retry(ERR_UNAVAILABLE));
    EXPECT(err_may_retry(ERR_TIMEOUT));
    EXPECT(err_may_retry(ERR_FULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(err, set_gives_code_and_sentence_in_one_line),
        RUN(err, sentence_may_quote_the_old_one),
        RUN(err, wrap_prepends_context_and_keeps_the_code),
        RUN(err, long_sentence_is_cut_and_terminated),
        RUN(err, errno_reason_survives_a_long_path),
        RUN(err, errno_maps_to_what_to_do_next),
        RUN(err, every_code_has_its_own_name),
        RUN(err, only_passing_troubles_may_be_retried),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
