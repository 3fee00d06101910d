/* safetensors_test.c - files of the safetensors library are read as it reads them, and ours are
 * its, byte for byte. Golden files: tests/golden/make_safetensors.py. */
#include "worker/nn/load/safetensors.h"

#include "common/base/fs.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "tests/support/test.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GOLDEN TESTS_DIR "/golden/nn/"

/* A line of expected.txt, without the file's name. */
static void describe(struct buf *line, const struct safetensors_entry *entry)
{
    char digest[HASH_SHA256_TEXT];
    str_json(line, entry->name, strlen(entry->name));
    buf_printf(line, "\t%s\t", dtype_name(entry->tensor.dtype));
    for (uint32_t i = 0; i < entry->tensor.rank; i++)
        buf_printf(line, "%s%" PRId64, i ? "," : "", entry->tensor.shape[i]);
    if (entry->tensor.rank == 0) buf_byte(line, '-');
    hash_sha256_text(digest, entry->tensor.data, tensor_bytes(&entry->tensor));
    buf_printf(line, "\t%s\n", digest);
}

static void read_file(struct buf *out, const char *path)
{
    struct err err;
    EXPECT_OK(fs_read(out, path, 1 << 20, &err), &err);
}

/* The golden script's JSON has escapes for what is not ASCII. */
static const char odd_name[] = "\xc3\xa9\xe6\xbc\xa2\xf0\x9f\x98\x80";
static const char odd_json[] = "\\u00e9\\u6f22\\ud83d\\ude00";

static void describe_file(struct buf *out, const char *name)
{
    char path[300];
    struct safetensors *file = NULL;
    struct err err;
    (void)snprintf(path, sizeof path, GOLDEN "%s", name);
    EXPECT_OK(safetensors_open(&file, path, &err), &err);
    for (uint32_t i = 0; i < safetensors_count(file); i++) {
        struct safetensors_entry entry = *safetensors_at(file, i);
        EXPECT(safetensors_find(file, entry.name) == safetensors_at(file, i));
        EXPECT_EQ((uintptr_t)entry.tensor.data % dtype_bytes(entry.tensor.dtype), 0);
        buf_printf(out, "%s\t", name);
        if (str_eq(entry.name, odd_name)) {
            struct buf line;
            buf_init(&line, 0);
            describe(&line, &entry);
            buf_printf(out, "\"%s\"%s", odd_json, strchr(buf_str(&line), '\t'));
            buf_deinit(&line);
        } else {
            describe(out, &entry);
        }
    }
    safetensors_close(file);
}

TEST(safetensors, files_of_the_library_are_read_as_it_reads_them)
{
    UNUSED_STATE;
    struct buf expected, got;
    buf_init(&expected, 0);
    buf_init(&got, 0);
    read_file(&expected, GOLDEN "expected.txt");
    describe_file(&got, "python.safetensors");
    describe_file(&got, "plain.safetensors");
    describe_file(&got, "unaligned.safetensors");
    describe_file(&got, "sharded/model-00001-of-00002.safetensors");
    describe_file(&got, "sharded/model-00002-of-00002.safetensors");
    EXPECT_TEXT(buf_str(&got), buf_str(&expected));
    buf_deinit(&expected);
    buf_deinit(&got);
}

TEST(safetensors, metadata_is_found_by_key)
{
    UNUSED_STATE;
    struct safetensors *file = NULL;
    struct err err;
    EXPECT_OK(safetensors_open(&file, GOLDEN "python.safetensors", &err), &err);
    EXPECT_EQ(safetensors_metadata_count(file), 4);
    EXPECT_TEXT(safetensors_metadata(file, "format"), "pt");
    EXPECT_TEXT(safetensors_metadata(file, "a\"key"), "\xc3\xa9\n");
    EXPECT_TEXT(safetensors_metadata(file, "z"), "");
    EXPECT(!safetensors_metadata(file, "y"));
    EXPECT_TEXT(safetensors_metadata_at(file, 0)->key, "a\"key");
    EXPECT(!safetensors_find(file, "__metadata__"));
    EXPECT(!safetensors_find(file, "type"));
    safetensors_close(file);
}

static void expect_sharded(const char *path)
{
    struct safetensors *file = NULL;
    struct err err;
    uint8_t bytes[24];
    EXPECT_OK(safetensors_open(&file, path, &err), &err);
    EXPECT_EQ(safetensors_count(file), 4);
    EXPECT_TEXT(safetensors_at(file, 0)->name, "a.weight");
    EXPECT_TEXT(safetensors_at(file, 2)->name, "b.bias");
    const struct safetensors_entry *entry = safetensors_find(file, "b.weight");
    EXPECT(entry && entry->shard == 0);
    EXPECT(tensor_has_shape(&entry->tensor, (int64_t[]){2, 3}, 2));
    EXPECT_EQ(safetensors_find(file, "c.weight")->shard, 1);
    EXPECT_TEXT(safetensors_metadata(file, "format"), "pt");
    safetensors_prefetch(file);
    EXPECT_OK(safetensors_read(bytes, file, entry, &err), &err);
    EXPECT_MEM(bytes, entry->tensor.data, sizeof bytes);
    EXPECT_OK(safetensors_unchanged(file, &err), &err);
    safetensors_close(file);
}

TEST(safetensors, an_index_or_its_folder_gives_all_files)
{
    UNUSED_STATE;
    expect_sharded(GOLDEN "sharded/model.safetensors.index.json");
    expect_sharded(GOLDEN "sharded");
    expect_sharded(GOLDEN "sharded/");
}

/* Whatever order the entries come in. */
TEST(safetensors, files_of_ours_are_those_of_the_library)
{
    UNUSED_STATE;
    const char *dir = test_dir_new();
    struct safetensors *file = NULL;
    struct safetensors_entry entries[64];
    struct safetensors_pair pairs[8];
    struct buf theirs, ours;
    char path[300];
    struct err err;
    EXPECT_OK(safetensors_open(&file, GOLDEN "python.safetensors", &err), &err);
    const uint32_t count = safetensors_count(file), pairs_count = safetensors_metadata_count(file);
    for (uint32_t i = 0; i < count; i++) entries[i] = *safetensors_at(file, (i * 5 + 3) % count);
    for (uint32_t i = 0; i < pairs_count; i++)
        pairs[i] = *safetensors_metadata_at(file, pairs_count - 1 - i);
    EXPECT(count % 5 != 0);
    (void)snprintf(path, sizeof path, "%s/ours.safetensors", dir);
    EXPECT_OK(safetensors_save(path, entries, count, pairs, pairs_count, NULL, NULL, &err), &err);
    buf_init(&theirs, 0);
    buf_init(&ours, 0);
    read_file(&theirs, GOLDEN "python.safetensors");
    read_file(&ours, path);
    EXPECT_EQ(ours.len, theirs.len);
    EXPECT_MEM(ours.data, theirs.data, ours.len);
    buf_deinit(&theirs);
    buf_deinit(&ours);
    safetensors_close(file);
    test_dir_remove(dir);
}

/* Three bytes at a time. */
static int fill_slowly(void *ctx, struct safetensors_writer *writer,
                       const struct safetensors_entry *entry, struct err *err)
{
    uint32_t *tensors = ctx;
    const size_t bytes = tensor_bytes(&entry->tensor);
    const char *name = entry->name;
    int rc = 0;
    EXPECT(safetensors_writer_next(writer) == entry);
    for (size_t at = 0; !rc && at < bytes; at += 3) {
        const char data[] = {name[0], (char)at, '.'};
        rc = safetensors_writer_add(writer, data, bytes - at < 3 ? bytes - at : 3, err);
    }
    ++*tensors;
    return rc;
}

static const struct safetensors_entry made[] = {
    {"b", {DTYPE_F16, 2, {2, 3}, NULL}, 0, 0},
    {"z", {DTYPE_F32, 1, {0}, NULL}, 0, 0},
    {"a", {DTYPE_U8, 1, {5}, NULL}, 0, 0},
    {"c", {DTYPE_F32, 1, {1}, NULL}, 0, 0},
};
#define MADE_COUNT (sizeof made / sizeof made[0])

TEST(safetensors, tensors_are_streamed_and_read_back)
{
    UNUSED_STATE;
    const char *dir = test_dir_new();
    struct safetensors *file = NULL;
    char path[300];
    struct err err;
    uint32_t tensors = 0;
    (void)snprintf(path, sizeof path, "%s/made.safetensors", dir);
    EXPECT_OK(safetensors_save(path, made, MADE_COUNT, NULL, 0, fill_slowly, &tensors, &err), &err);
    EXPECT_EQ(tensors, 3); /* the empty one has nothing to fill */
    EXPECT_OK(safetensors_open(&file, path, &err), &err);
    EXPECT_EQ(safetensors_count(file), 4);
    EXPECT_EQ(safetensors_metadata_count(file), 0);
    EXPECT_TEXT(safetensors_at(file, 0)->name, "c");
    EXPECT_EQ(safetensors_at(file, 0)->offset % 8, 0);
    EXPECT_MEM(safetensors_find(file, "a")->tensor.data, "a\0.a\3", 5);
    EXPECT_MEM(safetensors_find(file, "b")->tensor.data, "b\0.b\3.b\6.b\x09.", 12);
    safetensors_close(file);
    /* Over itself, and a file of nothing. */
    EXPECT_OK(safetensors_save(path, made, 0, NULL, 0, NULL, NULL, &err), &err);
    EXPECT_OK(safetensors_open(&file, path, &err), &err);
    EXPECT_EQ(safetensors_count(file), 0);
    EXPECT(!safetensors_find(file, "a"));
    safetensors_close(file);
    test_dir_remove(dir);
}

static int fill_nothing(void *ctx, struct safetensors_writer *writer,
                        const struct safetensors_entry *entry, struct err *err)
{
    (void)ctx, (void)writer, (void)entry, (void)err;
    return 0;
}

static void expect_refused(const struct safetensors_entry *entries, uint32_t count,
                           const struct safetensors_pair *pairs, uint32_t pairs_count,
                           const char *sentence)
{
    const char *dir = test_dir_new();
    char path[300];
    struct err err;
    (void)snprintf(path, sizeof path, "%s/file", dir);
    EXPECT(safetensors_save(path, entries, count, pairs, pairs_count, fill_nothing, NULL, &err));
    if (!strstr(err.msg, sentence)) print_message("got %s\n", err.msg);
    EXPECT(strstr(err.msg, sentence));
    EXPECT_EQ(rmdir(dir), 0); /* nothing is left */
    test_dir_remove(dir);
}

TEST(safetensors, what_no_file_can_hold_is_not_written)
{
    UNUSED_STATE;
    const struct safetensors_entry twice[] = {made[0], made[1], made[0]};
    const struct safetensors_entry meta = {.name = "__metadata__"}, bytes = {.name = "\xff"};
    const struct safetensors_pair same[] = {{"k", "1"}, {"j", "2"}, {"k", "3"}};
    const struct safetensors_pair broken = {"k", "\xc3"};
    const struct safetensors_entry huge[] = {{"a", {DTYPE_I8, 1, {INT64_MAX}, NULL}, 0, 0},
                                             {"b", {DTYPE_I8, 1, {INT64_MAX}, NULL}, 0, 0}};
    expect_refused(twice, 3, NULL, 0, "two tensors have the name b");
    expect_refused(&meta, 1, NULL, 0, "cannot have the name __metadata__");
    expect_refused(&bytes, 1, NULL, 0, "cannot have the name");
    expect_refused(made, 1, same, 3, "the metadata has k twice");
    expect_refused(made, 1, &broken, 1, "not UTF-8");
    expect_refused(huge, 2, NULL, 0, "do not fit");
    expect_refused(made, 1, NULL, 0, "tensor b got 0 of its 12 bytes");
}

/* Every write, fsync and rename fails once: the file is the old one or the new one. */
TEST(safetensors, a_save_that_fails_leaves_the_old_file)
{
    UNUSED_STATE;
    const char *dir = test_dir_new();
    struct safetensors *file = NULL;
    char path[300];
    struct err err;
    uint32_t tensors = 0;
    int64_t after = 0;
    int rc = 1;
    (void)snprintf(path, sizeof path, "%s/file", dir);
    EXPECT_OK(safetensors_save(path, made, 0, NULL, 0, NULL, NULL, &err), &err);
    for (; rc; after++) {
        (void)fs_fail(after, 1, ENOSPC);
        rc = safetensors_save(path, made, MADE_COUNT, NULL, 0, fill_slowly, &tensors, &err);
        const int64_t calls = fs_fail(-1, 0, 0);
        if (rc) EXPECT_EQ(rc, ERR_FULL);
        if (rc) EXPECT(strstr(err.msg, dir));
        EXPECT_EQ(rc != 0, calls > after);
        EXPECT_OK(safetensors_open(&file, path, &err), &err);
        EXPECT(safetensors_count(file) == 0 || safetensors_count(file) == MADE_COUNT);
        safetensors_close(file);
        EXPECT_EQ(unlink(path) || rmdir(dir), 0); /* no other file is there */
        EXPECT_OK(fs_mkdirs(dir, &err), &err);
        EXPECT_OK(safetensors_save(path, made, 0, NULL, 0, NULL, NULL, &err), &err);
    }
    EXPECT(after > 8);
    test_dir_remove(dir);
}

TEST(safetensors, memory_that_is_out_is_a_sentence)
{
    UNUSED_STATE;
    const struct safetensors_pair pair = {"format", "pt"};
    struct safetensors *file = NULL;
    struct err err;
    int64_t after = 0;
    int rc = 1;
    for (; rc; after++) {
        (void)mem_fail(after, 1);
        rc = safetensors_open(&file, GOLDEN "sharded", &err);
        const int64_t calls = mem_fail(-1, 0);
        if (rc) EXPECT_EQ(rc, ERR_LIMIT);
        EXPECT_EQ(rc != 0, calls > after);
    }
    safetensors_close(file);
    EXPECT(after > 10);
    const char *dir = test_dir_new();
    char path[300];
    (void)snprintf(path, sizeof path, "%s/file", dir);
    for (rc = 1, after = 0; rc; after++) {
        uint32_t tensors = 0;
        (void)mem_fail(after, 1);
        rc = safetensors_save(path, made, MADE_COUNT, &pair, 1, fill_slowly, &tensors, &err);
        const int64_t calls = mem_fail(-1, 0);
        if (rc) EXPECT_EQ(rc, ERR_LIMIT);
        EXPECT_EQ(rc != 0, calls > after);
        EXPECT_EQ(rc == 0, fs_exists(path));
    }
    EXPECT(after > 4);
    test_dir_remove(dir);
}

#define LARGE_BYTES (1 << 22)

/* Pages of files that are in this process' memory. */
static long file_pages(void)
{
    long all, resident, shared;
    FILE *statm = fopen("/proc/self/statm", "re");
    EXPECT(statm != NULL);
    EXPECT_EQ(fscanf(statm, "%ld %ld %ld", &all, &resident, &shared), 3);
    (void)fclose(statm);
    return shared;
}

/* A large tensor is read, released, read again; blanks: of the header, one makes it unaligned. */
static void check_release(const char *dir, const char *blanks, bool is_mapped)
{
    struct safetensors *file = NULL;
    struct buf data;
    char path[300], json[100];
    struct err err;
    (void)snprintf(json, sizeof json,
                   "{\"t\":{\"dtype\":\"F32\",\"shape\":[%d],\"data_offsets\":"
                   "[0,%d]}}%s",
                   LARGE_BYTES / 4, LARGE_BYTES, blanks);
    const uint64_t json_bytes = strlen(json);
    EXPECT_EQ((8 + json_bytes) % 4 == 0, is_mapped);
    (void)snprintf(path, sizeof path, "%s/file", dir);
    buf_init(&data, 0);
    buf_add(&data, &json_bytes, sizeof json_bytes);
    buf_add(&data, json, json_bytes);
    for (int i = 0; i < LARGE_BYTES; i++) buf_byte(&data, (char)(i % 251));
    EXPECT_OK(fs_put(path, data.data, data.len, &err), &err);
    EXPECT_OK(safetensors_open(&file, path, &err), &err);
    const struct safetensors_entry *entry = safetensors_at(file, 0);
    const char *want = buf_str(&data) + data.len - LARGE_BYTES;
    EXPECT_MEM(entry->tensor.data, want, LARGE_BYTES);
    const long before = file_pages();
    safetensors_release(file, entry);
    const long pages = LARGE_BYTES / sysconf(_SC_PAGESIZE), gone = before - file_pages();
    EXPECT(is_mapped ? gone > pages * 3 / 4 : gone < pages / 4);
    EXPECT_MEM(entry->tensor.data, want, LARGE_BYTES);
    safetensors_close(file);
    buf_deinit(&data);
}

TEST(safetensors, what_is_released_leaves_memory_and_can_be_read_again)
{
    UNUSED_STATE;
    const char *dir = test_dir_new();
    check_release(dir, "  ", true);
    check_release(dir, "   ", false);
    test_dir_remove(dir);
}

TEST(safetensors, a_file_that_changes_is_noticed)
{
    UNUSED_STATE;
    const char *dir = test_dir_new();
    struct safetensors *file = NULL;
    char path[300];
    struct err err;
    uint32_t tensors = 0;
    uint8_t bytes[12];
    (void)snprintf(path, sizeof path, "%s/file", dir);
    EXPECT_OK(safetensors_save(path, made, MADE_COUNT, NULL, 0, fill_slowly, &tensors, &err), &err);
    EXPECT_OK(safetensors_open(&file, path, &err), &err);
    /* Replaced: the map keeps the old one. */
    EXPECT_OK(safetensors_save(path, made, 0, NULL, 0, NULL, NULL, &err), &err);
    EXPECT_OK(safetensors_unchanged(file, &err), &err);
    EXPECT_MEM(safetensors_find(file, "a")->tensor.data, "a\0.a\3", 5);
    safetensors_close(file);
    /* Cut short: copying answers, where the map would end the process. */
    EXPECT_OK(safetensors_save(path, made, MADE_COUNT, NULL, 0, fill_slowly, &tensors, &err), &err);
    EXPECT_OK(safetensors_open(&file, path, &err), &err);
    EXPECT_EQ(truncate(path, safetensors_find(file, "b")->offset + 1), 0);
    EXPECT_EQ(safetensors_read(bytes, file, safetensors_find(file, "b"), &err), ERR_CORRUPT);
    EXPECT(strstr(err.msg, "cut short while it was read"));
    EXPECT_EQ(safetensors_unchanged(file, &err), ERR_CORRUPT);
    EXPECT(strstr(err.msg, "was changed while it was read"));
    safetensors_close(file);
    test_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(safetensors, files_of_the_library_are_read_as_it_reads_them),
        RUN(safetensors, metadata_is_found_by_key),
        RUN(safetensors, an_index_or_its_folder_gives_all_files),
        RUN(safetensors, files_of_ours_are_those_of_the_library),
        RUN(safetensors, tensors_are_streamed_and_read_back),
        RUN(safetensors, what_no_file_can_hold_is_not_written),
        RUN(safetensors, a_save_that_fails_leaves_the_old_file),
        RUN(safetensors, memory_that_is_out_is_a_sentence),
        RUN(safetensors, what_is_released_leaves_memory_and_can_be_read_again),
        RUN(safetensors, a_file_that_changes_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
