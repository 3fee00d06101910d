/* tensor_test.c - shapes from outside are checked once, and views stay inside. */
#include "worker/nn/tensor.h"

#include "tests/support/test.h"

#include <string.h>

TEST(tensor, count_and_bytes_follow_from_the_shape)
{
    UNUSED_STATE;
    struct tensor tensor;
    struct err err;
    char text[TENSOR_SHAPE_BYTES];
    EXPECT_OK(tensor_init(&tensor, DTYPE_BF16, (int64_t[]){1024, 3, 14, 14}, 4, NULL, &err), &err);
    EXPECT_EQ(tensor_count(&tensor), 602112);
    EXPECT_EQ(tensor_bytes(&tensor), 1204224);
    EXPECT_TEXT(tensor_shape_text(text, &tensor), "[1024, 3, 14, 14]");
    EXPECT(tensor_has_shape(&tensor, (int64_t[]){1024, 3, 14, 14}, 4));
    EXPECT(!tensor_has_shape(&tensor, (int64_t[]){1024, 3, 14}, 3));
    EXPECT(!tensor_has_shape(&tensor, (int64_t[]){1024, 3, 14, 7}, 4));
    EXPECT_OK(tensor_init(&tensor, DTYPE_F32, NULL, 0, NULL, &err), &err);
    EXPECT_EQ(tensor_count(&tensor), 1);
    EXPECT_TEXT(tensor_shape_text(text, &tensor), "[]");
    EXPECT_OK(tensor_init(&tensor, DTYPE_F32, (int64_t[]){7, 0}, 2, NULL, &err), &err);
    EXPECT_EQ(tensor_bytes(&tensor), 0);
}

TEST(tensor, shapes_that_cannot_be_are_refused)
{
    UNUSED_STATE;
    struct tensor tensor;
    struct err err;
    const int64_t half = (int64_t)1 << 31;
    EXPECT_EQ(tensor_init(&tensor, DTYPE_I8, (int64_t[9]){1}, 9, NULL, &err), ERR_INVALID);
    EXPECT(strstr(err.msg, "9 dimensions"));
    EXPECT_EQ(tensor_init(&tensor, DTYPE_I8, (int64_t[]){-1}, 1, NULL, &err), ERR_INVALID);
    EXPECT(strstr(err.msg, "dimension -1"));
    EXPECT_EQ(tensor_init(&tensor, DTYPE_F32, (int64_t[]){half, half}, 2, NULL, &err), ERR_INVALID);
    EXPECT(strstr(err.msg, "more bytes"));
    /* The 0 does not hide the others. */
    EXPECT_EQ(tensor_init(&tensor, DTYPE_F32, (int64_t[]){half, half, 0}, 3, NULL, &err),
              ERR_INVALID);
    EXPECT_EQ(tensor_init(&tensor, DTYPE_F32, (int64_t[]){0, half, half}, 3, NULL, &err),
              ERR_INVALID);
    EXPECT_OK(tensor_init(&tensor, DTYPE_I8, (int64_t[]){INT64_MAX}, 1, NULL, &err), &err);
    EXPECT_EQ(tensor_init(&tensor, DTYPE_I16, (int64_t[]){INT64_MAX}, 1, NULL, &err), ERR_INVALID);
}

TEST(tensor, the_longest_shape_fits_its_text)
{
    UNUSED_STATE;
    char text[TENSOR_SHAPE_BYTES];
    struct tensor tensor = {.rank = TENSOR_RANK_MAX};
    for (int i = 0; i < TENSOR_RANK_MAX; i++) tensor.shape[i] = INT64_MAX;
    EXPECT_EQ(strlen(tensor_shape_text(text, &tensor)), 8 * 19 + 7 * 2 + 2);
}

TEST(tensor, views_share_the_data)
{
    UNUSED_STATE;
    float data[24];
    struct tensor tensor;
    struct err err;
    EXPECT_OK(tensor_init(&tensor, DTYPE_F32, (int64_t[]){4, 2, 3}, 3, data, &err), &err);
    const struct tensor flat = tensor_reshaped(&tensor, (int64_t[]){8, 3}, 2);
    EXPECT(flat.data == data);
    EXPECT(tensor_has_shape(&flat, (int64_t[]){8, 3}, 2));
    const struct tensor rows = tensor_rows(&tensor, 1, 2);
    EXPECT(rows.data == data + 6);
    EXPECT(tensor_has_shape(&rows, (int64_t[]){2, 2, 3}, 3));
    EXPECT_EQ(tensor_count(&(struct tensor[]){tensor_rows(&tensor, 4, 0)}[0]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(tensor, count_and_bytes_follow_from_the_shape),
        RUN(tensor, shapes_that_cannot_be_are_refused),
        RUN(tensor, the_longest_shape_fits_its_text),
        RUN(tensor, views_share_the_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
