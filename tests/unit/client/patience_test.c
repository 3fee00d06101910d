/* How long a fleet that does not answer is asked again. */
#include "client/patience.h"

#include "tests/support/test.h"

static struct err reason(enum err_code code)
{
    struct err err;
    err_set(&err, code, "no answer");
    return err;
}

TEST(patience, lasts_for_ten_minutes_behind_the_last_answer)
{
    struct patience patience;
    const struct err away = reason(ERR_UNAVAILABLE), late = reason(ERR_TIMEOUT);
    UNUSED_STATE;
    patience_begin(&patience, true, 1000);
    EXPECT(patience_waits(&patience, &away, 16000));
    EXPECT(patience_waits(&patience, &late, 1000 + PATIENCE_MS - 1));
    EXPECT(!patience_waits(&patience, &late, 1000 + PATIENCE_MS));
    patience_heard(&patience, 50000);
    EXPECT(patience_waits(&patience, &away, 1000 + PATIENCE_MS));
    EXPECT(!patience_waits(&patience, &away, 50000 + PATIENCE_MS));
}

TEST(patience, is_not_for_an_answer_that_says_no)
{
    struct patience patience;
    UNUSED_STATE;
    patience_begin(&patience, true, 0);
    for (int code = ERR_INVALID; code < ERR_CODES_COUNT; code++) {
        const struct err err = reason((enum err_code)code);
        EXPECT_EQ(patience_waits(&patience, &err, 1),
                  code == ERR_UNAVAILABLE || code == ERR_TIMEOUT);
    }
}

TEST(patience, is_not_for_a_question_of_a_moment)
{
    struct patience patience = {.quiet = true};
    const struct err away = reason(ERR_UNAVAILABLE);
    UNUSED_STATE;
    EXPECT(!patience_waits(&patience, &away, 1));
    patience_heard(&patience, 2);
    EXPECT(!patience_waits(&patience, &away, 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(patience, lasts_for_ten_minutes_behind_the_last_answer),
        RUN(patience, is_not_for_an_answer_that_says_no),
        RUN(patience, is_not_for_a_question_of_a_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
