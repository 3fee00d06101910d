/* reorder_test.c - whatever the order of arrival and the limit of memory, rows leave in order,
 * whole. */
#include "worker/pipe/reorder.h"

#include "common/base/buf.h"
#include "common/base/fs.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <string.h>

struct sink {
    struct buf text;
    uint32_t next;
    int fail_at; /* row whose emission fails; -1: none */
};

static int emit(void *ctx, uint32_t index, const struct reorder_part part[REORDER_PARTS_MAX],
                struct err *err)
{
    struct sink *sink = ctx;
    EXPECT_EQ(index, sink->next++);
    if ((int)index == sink->fail_at) return err_set(err, ERR_UNAVAILABLE, "disk on fire");
    buf_printf(&sink->text, "%u:", index);
    for (int i = 0; i < REORDER_PARTS_MAX; i++) {
        if (part[i].bytes) buf_add(&sink->text, part[i].data, part[i].bytes);
        buf_byte(&sink->text, i + 1 < REORDER_PARTS_MAX ? ',' : '\n');
    }
    return 0;
}

static struct reorder *make(struct sink *sink, uint32_t rows, size_t memory, const char *path)
{
    struct reorder *reorder;
    struct err err;
    *sink = (struct sink){.fail_at = -1};
    const struct reorder_options options = {
        .rows = rows, .memory_bytes_max = memory, .scratch_path = path, .emit = emit, .ctx = sink};
    EXPECT_OK(reorder_new(&reorder, &options, &err), &err);
    return reorder;
}

static int put_text(struct reorder *reorder, uint32_t index, const char *text, struct err *err)
{
    const struct reorder_part part = {text, strlen(text)};
    return reorder_put(reorder, index, &part, 1, err);
}

TEST(reorder, holds_rows_until_their_turn)
{
    UNUSED_STATE;
    struct sink sink;
    struct err err;
    struct reorder *reorder = make(&sink, 4, 1000, NULL);
    EXPECT_OK(put_text(reorder, 2, "two", &err), &err);
    EXPECT_OK(reorder_put(reorder, 1, NULL, 0, &err), &err); /* a row that failed */
    EXPECT_TEXT(buf_str(&sink.text), "");
    EXPECT_EQ(reorder_waiting(reorder), 2);
    const struct reorder_part parts[] = {{"j", 1}, {NULL, 0}, {"tt", 2}};
    EXPECT_OK(reorder_put(reorder, 0, parts, 3, &err), &err);
    EXPECT_TEXT(buf_str(&sink.text), "0:j,,tt,\n1:,,,\n2:two,,,\n");
    EXPECT_EQ(reorder_next(reorder), 3);
    EXPECT_OK(put_text(reorder, 3, "three", &err), &err);
    EXPECT_EQ(reorder_next(reorder), 4);
    EXPECT_EQ(reorder_waiting(reorder), 0);
    EXPECT_EQ(reorder_spilled(reorder), 0);
    reorder_free(reorder);
    buf_deinit(&sink.text);
}

TEST(reorder, copies_what_waits)
{
    UNUSED_STATE;
    struct sink sink;
    struct err err;
    struct reorder *reorder = make(&sink, 2, 1000, NULL);
    char text[] = "mine";
    EXPECT_OK(put_text(reorder, 1, text, &err), &err);
    memset(text, 'x', 4);
    EXPECT_OK(put_text(reorder, 0, "zero", &err), &err);
    EXPECT_TEXT(buf_str(&sink.text), "0:zero,,,\n1:mine,,,\n");
    reorder_free(reorder);
    buf_deinit(&sink.text);
}

TEST(reorder, sends_the_farthest_rows_to_the_file)
{
    UNUSED_STATE;
    const char *dir = test_dir_new();
    char path[512];
    struct sink sink;
    struct err err;
    EXPECT(fs_join(path, sizeof path, dir, "spill"));
    struct reorder *reorder = make(&sink, 6, 10, path);
    EXPECT_OK(put_text(reorder, 5, "555555", &err), &err);
    EXPECT_OK(put_text(reorder, 1, "11111", &err), &err); /* drives 5 out */
    EXPECT_EQ(reorder_spilled(reorder), 1);
    EXPECT_OK(put_text(reorder, 2, "22222", &err), &err); /* fills memory */
    EXPECT_EQ(reorder_spilled(reorder), 1);
    EXPECT_OK(put_text(reorder, 4, "444444", &err), &err); /* farther than what memory holds */
    EXPECT_EQ(reorder_spilled(reorder), 2);
    EXPECT_OK(put_text(reorder, 3, "more than memory may ever hold", &err), &err);
    EXPECT_EQ(reorder_spilled(reorder), 3);
    EXPECT(!fs_exists(path)); /* it has no name */
    EXPECT_OK(put_text(reorder, 0, "0", &err), &err);
    EXPECT_TEXT(buf_str(&sink.text), "0:0,,,\n1:11111,,,\n2:22222,,,\n3:more than memory may ever "
                                     "hold,,,\n4:444444,,,\n5:555555,,,\n");
    EXPECT_EQ(reorder_waiting(reorder), 0);
    reorder_free(reorder);
    buf_deinit(&sink.text);
    test_dir_remove(dir);
}

TEST(reorder, without_a_file_says_that_the_limit_is_reached)
{
    UNUSED_STATE;
    struct sink sink;
    struct err err;
    struct reorder *reorder = make(&sink, 3, 4, NULL);
    EXPECT_OK(put_text(reorder, 1, "1111", &err), &err);
    EXPECT_EQ(put_text(reorder, 2, "2", &err), ERR_LIMIT);
    reorder_free(reorder);
    buf_deinit(&sink.text);
}

TEST(reorder, refuses_a_row_twice_and_rows_that_are_none)
{
    UNUSED_STATE;
    struct sink sink;
    struct err err;
    struct reorder *reorder = make(&sink, 3, 100, NULL);
    EXPECT_OK(put_text(reorder, 0, "a", &err), &err);
    EXPECT_OK(put_text(reorder, 2, "c", &err), &err);
    EXPECT_EQ(put_text(reorder, 0, "a", &err), ERR_INVALID);
    EXPECT_EQ(put_text(reorder, 2, "c", &err), ERR_INVALID);
    EXPECT_EQ(put_text(reorder, 3, "d", &err), ERR_INVALID);
    EXPECT_OK(put_text(reorder, 1, "b", &err), &err);
    EXPECT_TEXT(buf_str(&sink.text), "0:a,,,\n1:b,,,\n2:c,,,\n");
    reorder_free(reorder);
    buf_deinit(&sink.text);
    reorder = make(&sink, 0, 100, NULL); /* no rows at all */
    EXPECT_EQ(put_text(reorder, 0, "a", &err), ERR_INVALID);
    reorder_free(reorder);
    reorder_free(NULL);
}

TEST(reorder, passes_on_an_error_of_the_receiver)
{
    UNUSED_STATE;
    struct sink sink;
    struct err err;
    struct reorder *reorder = make(&sink, 4, 100, NULL);
    sink.fail_at = 2;
    EXPECT_OK(put_text(reorder, 2, "c", &err), &err);
    EXPECT_OK(put_text(reorder, 1, "b", &err), &err);
    EXPECT_EQ(put_text(reorder, 0, "a", &err), ERR_UNAVAILABLE);
    EXPECT_TEXT(err.msg, "disk on fire");
    reorder_free(reorder); /* frees what was not emitted */
    buf_deinit(&sink.text);
}

/* The text of a row: its length depends on the row alone, now and then zero. */
static size_t row_text(char *dst, uint32_t row)
{
    const size_t bytes = row % 7 == 0 ? 0 : row * 2654435761u % 200;
    for (size_t i = 0; i < bytes; i++) dst[i] = (char)('a' + (row + i) % 26);
    return bytes;
}

static void put_all(struct reorder *reorder, const uint32_t *order, uint32_t rows)
{
    struct err err;
    char text[256];
    for (uint32_t i = 0; i < rows; i++) {
        const size_t bytes = row_text(text, order[i]);
        const struct reorder_part parts[] = {{text, bytes / 2},
                                             {text + bytes / 2, bytes - bytes / 2}};
        EXPECT_OK(reorder_put(reorder, order[i], parts, 2, &err), &err);
    }
    EXPECT_EQ(reorder_next(reorder), rows);
    EXPECT_EQ(reorder_waiting(reorder), 0);
}

TEST(reorder, gives_the_same_bytes_for_every_order_and_limit)
{
    UNUSED_STATE;
    enum { ROWS = 400 };
    const char *dir = test_dir_new();
    char path[512];
    struct rng rng;
    rng_seed(&rng, test_seed());
    EXPECT(fs_join(path, sizeof path, dir, "spill"));
    uint32_t order[ROWS];
    struct sink want, got;
    for (uint32_t i = 0; i < ROWS; i++) order[i] = i;
    struct reorder *reorder = make(&want, ROWS, 0, NULL);
    put_all(reorder, order, ROWS); /* in order: nothing ever waits */
    reorder_free(reorder);
    static const size_t limits[] = {0, 1, 500, 5000, 1 << 20};
    for (int round = 0; round < 40; round++) {
        /* Shuffled within a window, from nearly in order to anything. */
        const uint32_t window = 1u << round % 10;
        for (uint32_t i = 0; i < ROWS; i++) {
            const uint32_t span = window < ROWS - i ? window : ROWS - i;
            const uint32_t other = i + (uint32_t)rng_below(&rng, span);
            const uint32_t kept = order[i];
            order[i] = order[other];
            order[other] = kept;
        }
        reorder = make(&got, ROWS, limits[round % 5], path);
        put_all(reorder, order, ROWS);
        EXPECT_EQ(got.text.len, want.text.len);
        EXPECT_MEM(got.text.data, want.text.data, want.text.len);
        reorder_free(reorder);
        buf_deinit(&got.text);
    }
    buf_deinit(&want.text);
    test_dir_remove(dir);
}

TEST(reorder, uses_the_file_when_memory_cannot_be_had)
{
    UNUSED_STATE;
    const char *dir = test_dir_new();
    char path[512];
    struct sink sink;
    struct err err;
    EXPECT(fs_join(path, sizeof path, dir, "spill"));
    struct reorder *reorder = make(&sink, 2, 1000, path);
    (void)mem_fail(0, 1);
    EXPECT_OK(put_text(reorder, 1, "one", &err), &err);
    (void)mem_fail(-1, 0);
    EXPECT_EQ(reorder_spilled(reorder), 1);
    EXPECT_OK(put_text(reorder, 0, "zero", &err), &err);
    EXPECT_TEXT(buf_str(&sink.text), "0:zero,,,\n1:one,,,\n");
    reorder_free(reorder);
    buf_deinit(&sink.text);
    test_dir_remove(dir);
}

TEST(reorder, tells_when_the_file_cannot_be_written)
{
    UNUSED_STATE;
    const char *dir = test_dir_new();
    char path[512];
    struct sink sink;
    struct err err;
    EXPECT(fs_join(path, sizeof path, dir, "missing/spill"));
    struct reorder *reorder = make(&sink, 2, 0, path);
    EXPECT_EQ(put_text(reorder, 1, "one", &err), ERR_NOT_FOUND);
    reorder_free(reorder);
    EXPECT(fs_join(path, sizeof path, dir, "spill"));
    reorder = make(&sink, 2, 0, path);
    (void)fs_fail(0, 1, 28); /* ENOSPC */
    EXPECT_EQ(put_text(reorder, 1, "one", &err), ERR_FULL);
    (void)fs_fail(-1, 0, 0);
    reorder_free(reorder);
    buf_deinit(&sink.text);
    test_dir_remove(dir);
}

TEST(reorder, that_is_pulled_lets_rows_go_one_by_one)
{
    UNUSED_STATE;
    const char *dir = test_dir_new();
    char path[512];
    struct sink sink = {.fail_at = -1};
    struct reorder *reorder;
    struct err err;
    bool found = true;
    EXPECT(fs_join(path, sizeof path, dir, "spill"));
    const struct reorder_options options = {.rows = 3,
                                            .memory_bytes_max = 4,
                                            .scratch_path = path,
                                            .emit = emit,
                                            .ctx = &sink,
                                            .pull = true};
    EXPECT_OK(reorder_new(&reorder, &options, &err), &err);
    EXPECT_OK(put_text(reorder, 2, "two", &err), &err);
    EXPECT_OK(reorder_pull(reorder, &found, &err), &err);
    EXPECT(!found && !reorder_ready(reorder));
    EXPECT_OK(put_text(reorder, 0, "zero", &err), &err); /* for which the other makes room */
    EXPECT(reorder_ready(reorder));
    EXPECT_TEXT(buf_str(&sink.text), "");
    EXPECT_EQ(reorder_memory_bytes(reorder), 4);
    EXPECT_EQ(reorder_file_bytes(reorder), 3);
    EXPECT_OK(reorder_pull(reorder, &found, &err), &err);
    EXPECT(found);
    EXPECT_TEXT(buf_str(&sink.text), "0:zero,,,\n");
    EXPECT_OK(reorder_pull(reorder, &found, &err), &err);
    EXPECT(!found);
    EXPECT_OK(put_text(reorder, 1, "one", &err), &err);
    for (int i = 0; i < 2; i++) {
        EXPECT_OK(reorder_pull(reorder, &found, &err), &err);
        EXPECT(found);
    }
    EXPECT_OK(reorder_pull(reorder, &found, &err), &err);
    EXPECT(!found); /* all are out */
    EXPECT_TEXT(buf_str(&sink.text), "0:zero,,,\n1:one,,,\n2:two,,,\n");
    EXPECT_EQ(reorder_memory_bytes(reorder), 0);
    EXPECT_EQ(reorder_file_bytes(reorder), 0);
    reorder_free(reorder);
    buf_deinit(&sink.text);
    test_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(reorder, holds_rows_until_their_turn),
        RUN(reorder, copies_what_waits),
        RUN(reorder, sends_the_farthest_rows_to_the_file),
        RUN(reorder, without_a_file_says_that_the_limit_is_reached),
        RUN(reorder, refuses_a_row_twice_and_rows_that_are_none),
        RUN(reorder, passes_on_an_error_of_the_receiver),
        RUN(reorder, gives_the_same_bytes_for_every_order_and_limit),
        RUN(reorder, uses_the_file_when_memory_cannot_be_had),
        RUN(reorder, tells_when_the_file_cannot_be_written),
        RUN(reorder, that_is_pulled_lets_rows_go_one_by_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
