/* encode_beside_test.c - rows that are written while the model works on the next piece are those of
 * a model that is waited for, whatever the size of its passes. */
#include "tests/unit/jobs/encode_job.h"

TEST(encode, files_are_the_same_when_rows_are_written_beside_the_model)
{
    UNUSED_STATE;
    struct buf want = {0};
    uint32_t most = 0;
    for (uint32_t pass = 0; pass < 18; pass++) { /* 0: not beside it */
        struct encode_job job;
        struct buf got;
        encode_job_init(&job);
        encode_job_everything(&job);
        fake.images_batch = job.spec.batch = pass;
        fake.picture_ms = pass % 3;
        fake.is_slow = pass % 2;
        encode_job_run(&job);
        if (fake.under_way_most > most) most = fake.under_way_most;
        EXPECT_EQ(fake.largest <= (pass ? pass : 32), true);
        encode_job_bytes(&got, &job);
        encode_job_deinit(&job);
        if (!pass) {
            want = got;
            continue;
        }
        EXPECT_EQ(got.len, want.len);
        EXPECT_MEM(got.data, want.data, want.len);
        buf_deinit(&got);
    }
    buf_deinit(&want);
    EXPECT_EQ(most, 2); /* the device has its next pass when it ends one */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(encode, files_are_the_same_when_rows_are_written_beside_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
