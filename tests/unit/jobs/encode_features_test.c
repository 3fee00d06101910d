/* encode_features_test.c - feature files: byte for byte those of numpy and the safetensors library,
 * whatever the batches; no rows, many rows, full disks. */
#include "common/base/fs.h"
#include "common/base/id.h"
#include "common/base/str.h"
#include "tests/support/test.h"
#include "worker/jobs/encode/features.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#define ROWS        7
#define NUMBERS_MAX 8 /* of a row */

static const struct features_column columns[] = {
    {"tokens", 2, {2, 3}},
    {"cls", 1, {5, 0}},
    {"embedding", 1, {4, 0}},
};
#define COLUMNS (sizeof columns / sizeof columns[0])

static const struct safetensors_pair pairs[] = {{"dtype", "test"}, {"model", "tiny \"clip\""}};

static uint32_t numbers_of(uint32_t column)
{
    uint32_t numbers = 1;
    for (uint32_t i = 0; i < columns[column].rank; i++)
        numbers *= (uint32_t)columns[column].shape[i];
    return numbers;
}

/* As tests/golden/make_features.py has them. */
static float value_of(uint32_t column, uint32_t i)
{
    return (float)((int)((i * 37 + column) % 101) - 50) / 64 + (float)i / 65536;
}

static void add_rows(struct features *features, uint32_t first, uint32_t count)
{
    float number[COLUMNS][ROWS * NUMBERS_MAX];
    const float *data[COLUMNS];
    struct err err;
    for (uint32_t t = 0; t < COLUMNS; t++) {
        for (uint32_t i = 0; i < count * numbers_of(t); i++)
            number[t][i] = value_of(t, first * numbers_of(t) + i);
        data[t] = number[t];
    }
    EXPECT_OK(features_add(features, data, count, &err), &err);
}

static struct features *make(const char *folder, enum dtype dtype, uint32_t rows, uint32_t batch)
{
    const struct features_options options = {folder, columns, COLUMNS, dtype};
    struct features *features;
    struct err err;
    EXPECT_OK(features_new(&features, &options, &err), &err);
    for (uint32_t at = 0; at < rows; at += batch)
        add_rows(features, at, rows - at < batch ? rows - at : batch);
    EXPECT_EQ(features_rows(features), rows);
    return features;
}

static int to_buf(void *ctx, const void *data, size_t bytes, struct err *err)
{
    (void)err;
    buf_add(ctx, data, bytes);
    return 0;
}

static void equals_golden(const struct buf *bytes, const char *name)
{
    char path[PATH_MAX];
    struct buf golden;
    struct err err;
    buf_init(&golden, 0);
    EXPECT(fs_join(path, sizeof path, TESTS_DIR "/golden/features", name));
    EXPECT_OK(fs_read(&golden, path, 4096, &err), &err);
    EXPECT_EQ(bytes->len, golden.len);
    EXPECT_MEM(bytes->data, golden.data, golden.len);
    buf_deinit(&golden);
}

TEST(features, files_are_those_of_the_library_whatever_the_batches)
{
    UNUSED_STATE;
    static const struct {
        enum dtype dtype;
        uint32_t rows;
        const char *name;
    } cases[] = {{DTYPE_F32, ROWS, "f32.safetensors"},
                 {DTYPE_F16, ROWS, "f16.safetensors"},
                 {DTYPE_BF16, ROWS, "bf16.safetensors"},
                 {DTYPE_F16, 0, "empty.safetensors"}};
    const char *dir = test_dir_new();
    struct err err;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (uint32_t batch = 1; batch <= ROWS; batch += 3) {
            struct buf out;
            struct features *features = make(dir, cases[i].dtype, cases[i].rows, batch);
            buf_init(&out, 0);
            EXPECT_OK(features_write(features, pairs, 2, to_buf, &out, &err), &err);
            equals_golden(&out, cases[i].name);
            buf_deinit(&out);
            features_free(features);
        }
    test_dir_remove(dir);
}

TEST(features, npy_files_are_those_of_numpy)
{
    UNUSED_STATE;
    static const struct {
        enum dtype rows_dtype, dtype;
        uint32_t rows, column;
        const char *name;
    } cases[] = {{DTYPE_F32, DTYPE_F32, ROWS, 2, "f32.npy"},
                 {DTYPE_F32, DTYPE_F16, ROWS, 2, "f16.npy"},
                 {DTYPE_F16, DTYPE_F16, ROWS, 2, "f16.npy"},
                 {DTYPE_BF16, DTYPE_F16, ROWS, 2, "bf16_to_f16.npy"},
                 {DTYPE_F16, DTYPE_F16, ROWS, 0, "tokens.npy"},
                 {DTYPE_F16, DTYPE_F16, 0, 2, "empty.npy"}};
    const char *dir = test_dir_new();
    struct err err;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf out;
        struct features *features = make(dir, cases[i].rows_dtype, cases[i].rows, 2);
        buf_init(&out, 0);
        EXPECT_OK(features_write_npy(features, cases[i].column, cases[i].dtype, to_buf, &out, &err),
                  &err);
        equals_golden(&out, cases[i].name);
        EXPECT_EQ(features_write_npy(features, 0, DTYPE_BF16, to_buf, &out, &err), ERR_INVALID);
        EXPECT_TEXT(err.msg, "a .npy file holds f32 or f16: numpy has no BF16");
        buf_deinit(&out);
        features_free(features);
    }
    test_dir_remove(dir);
}

/* Rows over several blocks, in batches that end nowhere near their edges. */
TEST(features, blocks_do_not_show)
{
    UNUSED_STATE;
    enum { WIDE = 3001, COUNT = 500, BATCH = 77 };
    const struct features_column wide = {"wide", 1, {WIDE, 0}};
    const char *dir = test_dir_new();
    const struct features_options options = {dir, &wide, 1, DTYPE_F16};
    struct features *features;
    struct buf out, npy;
    struct err err;
    static float number[BATCH * WIDE];
    EXPECT_OK(features_new(&features, &options, &err), &err);
    for (uint32_t at = 0; at < COUNT; at += BATCH) {
        const uint32_t count = COUNT - at < BATCH ? COUNT - at : BATCH;
        const float *data = number;
        for (uint32_t i = 0; i < count * WIDE; i++) number[i] = (float)((at * WIDE + i) % 2048);
        EXPECT_OK(features_add(features, &data, count, &err), &err);
    }
    buf_init(&out, 0);
    buf_init(&npy, 0);
    EXPECT_OK(features_write(features, NULL, 0, to_buf, &out, &err), &err);
    EXPECT_OK(features_write_npy(features, 0, DTYPE_F32, to_buf, &npy, &err), &err);
    const size_t count = (size_t)COUNT * WIDE;
    EXPECT_EQ(npy.len, 128 + count * sizeof(float));
    const char *halves = out.data + out.len - count * sizeof(uint16_t);
    for (uint32_t i = 0; i < count; i++) {
        uint16_t half;
        float whole;
        memcpy(&half, halves + i * sizeof half, sizeof half);
        memcpy(&whole, npy.data + 128 + i * sizeof whole, sizeof whole);
        if (f16_to_f32(half) != (float)(i % 2048) || whole != (float)(i % 2048))
            fail_msg("number %u", i);
    }
    buf_deinit(&out);
    buf_deinit(&npy);
    features_free(features);
    test_dir_remove(dir);
}

static int count_name(void *ctx, const char *name, struct err *err)
{
    (void)name;
    (void)err;
    ++*(uint32_t *)ctx;
    return 0;
}

/* The files of a shard through an attempt: folders appear, hashes are there, scratch is not. */
TEST(features, are_published_by_an_attempt)
{
    UNUSED_STATE;
    const char *dir = test_dir_new();
    char lease[LEASE_ID_BYTES], scratch[PATH_MAX], path[PATH_MAX];
    struct attempt_manifest manifest = {0};
    struct attempt *attempt;
    struct store *store;
    struct buf out;
    struct err err;
    bool adopted;
    uint32_t names = 0;
    id_lease(lease);
    EXPECT_OK(store_open(&store, dir, true, &err), &err);
    EXPECT_OK(attempt_open(&attempt, store, "00042", lease, &adopted, &manifest, &err), &err);
    EXPECT_OK(attempt_scratch(attempt, scratch, sizeof scratch, &err), &err);
    struct features *features = make(scratch, DTYPE_F16, ROWS, 3);
    EXPECT_OK(fs_list(scratch, count_name, &names, &err), &err);
    EXPECT_EQ(names, 0); /* nameless */
    EXPECT_OK(features_publish(features, attempt, "00042.safetensors", pairs, 2, &err), &err);
    EXPECT_OK(
        features_publish_npy(features, attempt, "img_emb/img_emb_00042.npy", 2, DTYPE_F16, &err),
        &err);
    EXPECT_EQ(features_publish(features, attempt, "00042.safetensors", pairs, 2, &err),
              ERR_INVALID);
    memset(&manifest, 0, sizeof manifest);
    EXPECT_OK(attempt_commit(attempt, &manifest, &adopted, &err), &err);
    EXPECT_EQ(manifest.files_count, 2);
    features_free(features);
    attempt_close(attempt);
    store_close(store);
    buf_init(&out, 0);
    EXPECT(fs_join(path, sizeof path, dir, "00042.safetensors"));
    EXPECT_OK(fs_read(&out, path, 4096, &err), &err);
    equals_golden(&out, "f16.safetensors");
    buf_clear(&out);
    EXPECT(fs_join(path, sizeof path, dir, "img_emb/img_emb_00042.npy"));
    EXPECT_OK(fs_read(&out, path, 4096, &err), &err);
    equals_golden(&out, "f16.npy");
    buf_deinit(&out);
    test_dir_remove(dir);
}

static int refuse(void *ctx, const void *data, size_t bytes, struct err *err)
{
    int *left = ctx;
    (void)data;
    (void)bytes;
    return (*left)-- > 0 ? 0 : err_set(err, ERR_UNAVAILABLE, "the disk is gone");
}

TEST(features, errors_come_out)
{
    UNUSED_STATE;
    const char *dir = test_dir_new();
    struct features_column bad = {"bad", 1, {0, 0}};
    struct features_options options = {dir, &bad, 1, DTYPE_F32};
    struct features *features;
    struct err err;
    EXPECT_EQ(features_new(&features, &options, &err), ERR_INVALID);
    bad.shape[0] = INT64_MAX;
    EXPECT_EQ(features_new(&features, &options, &err), ERR_INVALID);
    bad = (struct features_column){"bad", 2, {1 << 20, INT64_MAX / 2}};
    EXPECT_EQ(features_new(&features, &options, &err), ERR_INVALID);
    options.column = columns;
    options.dtype = DTYPE_I8;
    EXPECT_EQ(features_new(&features, &options, &err), ERR_INVALID);
    EXPECT_TEXT(err.msg, "features are written as f32, f16 or bf16, not I8");
    options.dtype = DTYPE_F16;
    options.scratch_folder = "/nowhere/at/all";
    EXPECT_EQ(features_new(&features, &options, &err), ERR_NOT_FOUND);
    EXPECT(features == NULL);
    (void)mem_fail(0, 1);
    EXPECT_EQ(features_new(&features, &options, &err), ERR_LIMIT);
    (void)mem_fail(-1, 0);
    options.scratch_folder = dir;
    EXPECT_OK(features_new(&features, &options, &err), &err);
    const float number[NUMBERS_MAX] = {0}, *data[COLUMNS] = {number, number, number};
    (void)fs_fail(0, 1, ENOSPC);
    EXPECT_EQ(features_add(features, data, 1, &err), ERR_FULL);
    (void)fs_fail(-1, 0, 0);
    features_free(features);
    features_free(NULL);
    features = make(dir, DTYPE_F32, ROWS, ROWS);
    for (int left = 0; left < 4; left++) {
        int at = left;
        EXPECT_EQ(features_write(features, pairs, 2, refuse, &at, &err), ERR_UNAVAILABLE);
    }
    for (int left = 0; left < 2; left++) {
        int at = left;
        EXPECT_EQ(features_write_npy(features, 0, DTYPE_F16, refuse, &at, &err), ERR_UNAVAILABLE);
    }
    const struct safetensors_pair twice[] = {{"a", "1"}, {"a", "2"}};
    int never = 100;
    EXPECT_EQ(features_write(features, twice, 2, refuse, &never, &err), ERR_INVALID);
    features_free(features);
    test_dir_remove(dir);
}

TEST(features, metadata_says_how_they_were_made)
{
    UNUSED_STATE;
    struct safetensors_pair pair[FEATURES_PAIRS_MAX];
    struct arena arena;
    struct buf out;
    const struct features_about about = {.model = "openai/clip-vit-large-patch14-336",
                                         .model_hash = "ab12",
                                         .arithmetic = "bf16 avx2",
                                         .preprocess = "",
                                         .has_tokens = true,
                                         .hidden_state = -2,
                                         .grid = 24,
                                         .window = 3};
    arena_init(&arena, 0);
    buf_init(&out, 0);
    uint32_t count = features_pairs(pair, &arena, &about, DTYPE_F16);
    for (uint32_t i = 0; i < count; i++) buf_printf(&out, "%s=%s;", pair[i].key, pair[i].value);
    EXPECT_TEXT(buf_str(&out), "arithmetic=bf16 avx2;dtype=F16;format_version=1;hidden_state=-2;"
                               "model=openai/clip-vit-large-patch14-336;model_hash=ab12;"
                               "pooling=mean 3x3 of 24x24;vlmq_version=" VLMQ_VERSION ";");
    const struct features_about bare = {.model = "m"};
    count = features_pairs(pair, &arena, &bare, DTYPE_F32);
    EXPECT_EQ(count, 4);
    buf_deinit(&out);
    arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(features, files_are_those_of_the_library_whatever_the_batches),
        RUN(features, npy_files_are_those_of_numpy),
        RUN(features, blocks_do_not_show),
        RUN(features, are_published_by_an_attempt),
        RUN(features, errors_come_out),
        RUN(features, metadata_says_how_they_were_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
