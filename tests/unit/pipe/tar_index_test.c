/* tar_index_test.c - the index of samples, and what it refuses. */
#include "worker/pipe/tar_index.h"

#include "common/base/mem.h"
#include "tests/support/test.h"

#include <string.h>

static void sample(struct buf *out, const char *const *members)
{
    struct tar_writer writer;
    struct err err;
    buf_clear(out);
    tar_writer_init(&writer, tar_write_buf, out);
    for (; *members; members += 2)
        EXPECT_OK(tar_writer_add(&writer, members[0], members[1], strlen(members[1]), &err), &err);
}

static void expect_text(const struct tar_index *index, const char *want)
{
    struct buf text;
    struct err err;
    buf_init(&text, 0);
    EXPECT_OK(tar_index_write(index, tar_write_buf, &text, &err), &err);
    EXPECT_TEXT(buf_str(&text), want);
    buf_deinit(&text);
}

TEST(tar_index, has_a_line_for_each_sample)
{
    UNUSED_STATE;
    struct tar_index index;
    struct buf bytes;
    struct err err;
    buf_init(&bytes, 0);
    tar_index_init(&index);
    expect_text(&index, "v1.2 0\n");
    sample(&bytes, (const char *const[]){"1.jpg", "picture", "1.json", "{}", NULL});
    EXPECT_OK(tar_index_add(&index, bytes.data, bytes.len, &err), &err);
    sample(&bytes, (const char *const[]){"a.b/2.seg.png", "", NULL});
    EXPECT_OK(tar_index_add(&index, bytes.data, bytes.len, &err), &err);
    expect_text(&index, "v1.2 2\njpg 512 7 1.jpg json 1536 2 1.json\n"
                        "seg.png 2560 0 a.b/2.seg.png\n");
    tar_index_deinit(&index);
    buf_deinit(&bytes);
}

TEST(tar_index, refuses_what_is_no_sample)
{
    UNUSED_STATE;
    static const char *const names[] = {"1", "1.", "a.b/1", "1 2.jpg", "1.jpg\n"};
    struct tar_index index;
    struct buf bytes;
    struct err err;
    buf_init(&bytes, 0);
    tar_index_init(&index);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        sample(&bytes, (const char *const[]){names[i], "x", NULL});
        EXPECT_EQ(tar_index_add(&index, bytes.data, bytes.len, &err), ERR_INVALID);
    }
    sample(&bytes, (const char *const[]){"1.jpg", "x", NULL});
    EXPECT_EQ(tar_index_add(&index, bytes.data, 0, &err), ERR_INVALID);
    EXPECT_EQ(tar_index_add(&index, bytes.data, 700, &err), ERR_INVALID);
    EXPECT_EQ(tar_index_add(&index, bytes.data, 512, &err), ERR_CORRUPT);
    buf_reserve(&bytes, 1024);
    memset(bytes.data + bytes.len, 0, 1024);
    buf_commit(&bytes, 1024); /* the end of an archive */
    EXPECT_EQ(tar_index_add(&index, bytes.data, bytes.len, &err), ERR_INVALID);
    EXPECT_EQ(index.samples, 0);
    tar_index_deinit(&index);
    buf_deinit(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(tar_index, has_a_line_for_each_sample),
        RUN(tar_index, refuses_what_is_no_sample),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
