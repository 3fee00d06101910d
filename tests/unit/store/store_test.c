/* store_test.c - the folder store does what store.h says. */
#include "common/store/store.h"

#include "common/base/fs.h"
#include "common/base/hash.h"
#include "common/base/str.h"
#include "tests/support/test.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct store *store_new(const char **dir)
{
    struct store *store;
    struct err err;
    *dir = test_dir_new();
    EXPECT_OK(store_open(&store, *dir, false, &err), &err);
    return store;
}

static void store_end(struct store *store, const char *dir)
{
    store_close(store);
    test_dir_remove(dir);
}

TEST(store, opens_paths_and_file_urls_and_refuses_other_schemes)
{
    UNUSED_STATE;
    struct store *store;
    struct err err;
    char url[PATH_MAX];
    const char *dir = test_dir_new();
    (void)snprintf(url, sizeof url, "file://%s/deep/er", dir);
    EXPECT_EQ(store_open(&store, url, false, &err), ERR_NOT_FOUND);
    EXPECT_OK(store_open(&store, url, true, &err), &err);
    EXPECT_TEXT(store_url(store), url);
    store_close(store);
    EXPECT_OK(store_open(&store, url, false, &err), &err);
    store_close(store);
    EXPECT_EQ(store_open(&store, "gopher://x/y", true, &err), ERR_INVALID);
    EXPECT_EQ(store_open(&store, "", true, &err), ERR_INVALID);
    EXPECT_EQ(store_open(&store, "file://", true, &err), ERR_INVALID);
    test_dir_remove(dir);
}

TEST(store, refuses_a_root_that_is_a_file)
{
    UNUSED_STATE;
    struct store *store;
    struct err err;
    char path[PATH_MAX];
    const char *dir = test_dir_new();
    EXPECT(fs_join(path, sizeof path, dir, "plain"));
    EXPECT_OK(fs_put(path, "x", 1, &err), &err);
    EXPECT_EQ(store_open(&store, path, false, &err), ERR_INVALID);
    EXPECT_EQ(store_open(&store, path, true, &err), ERR_INVALID);
    test_dir_remove(dir);
}

TEST(store, relative_root_survives_a_change_of_folder)
{
    UNUSED_STATE;
    struct store *store;
    struct err err;
    char here[PATH_MAX];
    const char *dir = test_dir_new();
    EXPECT(getcwd(here, sizeof here) != NULL);
    EXPECT_EQ(chdir(dir), 0);
    EXPECT_OK(store_open(&store, "out", true, &err), &err);
    EXPECT_EQ(chdir(here), 0);
    EXPECT_OK(store_put(store, "a", "x", 1, &err), &err);
    char path[PATH_MAX];
    EXPECT(fs_join(path, sizeof path, dir, "out/a"));
    EXPECT(fs_exists(path));
    store_end(store, dir);
}

TEST(store, names_that_leave_it_or_hide_are_refused)
{
    UNUSED_STATE;
    static const char *const bad[] = {"",     "/etc/passwd", "..",    "a/../b",   "./a",
                                      "a//b", "a/",          "a/..",  "a/.",      ".part-0",
                                      "/",    "../a",        "a/./b", "x/.part-1"};
    const char *dir;
    struct store *store = store_new(&dir);
    struct err err;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        EXPECT_EQ(store_put(store, bad[i], "x", 1, &err), ERR_INVALID);
    char longest[600];
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = 0;
    EXPECT_EQ(store_put(store, longest, "x", 1, &err), ERR_INVALID);
    EXPECT_OK(store_put(store, "..a/b..c/...", "x", 1, &err), &err);
    store_end(store, dir);
}

TEST(store, put_replaces_and_put_new_does_not)
{
    UNUSED_STATE;
    const char *dir;
    struct store *store = store_new(&dir);
    struct err err;
    struct buf text;
    bool created;
    buf_init(&text, 0);
    EXPECT_OK(store_put(store, "a/b", "one", 3, &err), &err);
    EXPECT_OK(store_put(store, "a/b", "two", 3, &err), &err);
    EXPECT_OK(store_put_new(store, "a/b", "three", 5, &created, &err), &err);
    EXPECT(!created);
    EXPECT_OK(store_get(store, &text, "a/b", 3, &err), &err);
    EXPECT_TEXT(buf_str(&text), "two");
    EXPECT_OK(store_put_new(store, "a/c", "three", 5, &created, &err), &err);
    EXPECT(created);
    buf_clear(&text);
    EXPECT_EQ(store_get(store, &text, "a/c", 4, &err), ERR_LIMIT);
    buf_clear(&text);
    EXPECT_EQ(store_get(store, &text, "a/d", 4, &err), ERR_NOT_FOUND);
    buf_deinit(&text);
    store_end(store, dir);
}

TEST(store, range_ends_with_the_object)
{
    UNUSED_STATE;
    const char *dir;
    struct store *store = store_new(&dir);
    struct err err;
    char got_text[8] = "";
    size_t got;
    int64_t bytes;
    EXPECT_OK(store_put(store, "a", "0123456789", 10, &err), &err);
    EXPECT_OK(store_get_range(store, got_text, "a", 3, 4, &got, &err), &err);
    EXPECT_EQ(got, 4);
    EXPECT_MEM(got_text, "3456", 4);
    EXPECT_OK(store_get_range(store, got_text, "a", 8, 4, &got, &err), &err);
    EXPECT_EQ(got, 2);
    EXPECT_OK(store_get_range(store, got_text, "a", 10, 4, &got, &err), &err);
    EXPECT_EQ(got, 0);
    EXPECT_EQ(store_get_range(store, got_text, "b", 0, 4, &got, &err), ERR_NOT_FOUND);
    EXPECT_OK(store_size(store, &bytes, "a", &err), &err);
    EXPECT_EQ(bytes, 10);
    store_end(store, dir);
}

TEST(store, rename_replaces_and_reports_what_is_missing)
{
    UNUSED_STATE;
    const char *dir;
    struct store *store = store_new(&dir);
    struct err err;
    int64_t bytes;
    EXPECT_OK(store_put(store, "p/a", "12", 2, &err), &err);
    EXPECT_OK(store_put(store, "b", "1", 1, &err), &err);
    EXPECT_OK(store_rename(store, "p/a", "b", &err), &err);
    EXPECT_OK(store_size(store, &bytes, "b", &err), &err);
    EXPECT_EQ(bytes, 2);
    EXPECT_EQ(store_rename(store, "p/a", "b", &err), ERR_NOT_FOUND);
    EXPECT_OK(store_remove(store, "b", &err), &err);
    EXPECT_OK(store_remove(store, "b", &err), &err);
    EXPECT_EQ(store_size(store, &bytes, "b", &err), ERR_NOT_FOUND);
    store_end(store, dir);
}

struct names {
    char text[256];
    uint32_t stop_after, count;
};

static int names_add(void *ctx, const char *name, struct err *err)
{
    struct names *names = ctx;
    (void)strncat(names->text, name, sizeof names->text - strlen(names->text) - 1);
    (void)strncat(names->text, " ", sizeof names->text - strlen(names->text) - 1);
    if (++names->count == names->stop_after) return err_set(err, ERR_CANCELLED, "enough");
    return 0;
}

TEST(store, list_is_sorted_marks_folders_and_hides_files_in_the_making)
{
    UNUSED_STATE;
    const char *dir;
    struct store *store = store_new(&dir);
    struct err err;
    struct names names = {0};
    char part[PATH_MAX];
    EXPECT_OK(store_list(store, "nowhere", names_add, &names, &err), &err);
    EXPECT_OK(store_put(store, "f/b", "1", 1, &err), &err);
    EXPECT_OK(store_put(store, "f/a", "1", 1, &err), &err);
    EXPECT_OK(store_put(store, "f/c/d", "1", 1, &err), &err);
    EXPECT(fs_join(part, sizeof part, dir, "f/" FS_PRIVATE_PREFIX "left"));
    EXPECT_OK(fs_put(part, "x", 1, &err), &err);
    EXPECT_OK(store_list(store, "f", names_add, &names, &err), &err);
    EXPECT_TEXT(names.text, "a b c/ ");
    names = (struct names){.stop_after = 2};
    EXPECT_EQ(store_list(store, "f", names_add, &names, &err), ERR_CANCELLED);
    EXPECT_EQ(names.count, 2);
    EXPECT_OK(store_clean(store, "f", &err), &err);
    EXPECT(!fs_exists(part));
    EXPECT_OK(store_remove_tree(store, "f", &err), &err);
    EXPECT_OK(store_remove_tree(store, "f", &err), &err);
    names = (struct names){0};
    EXPECT_OK(store_list(store, "", names_add, &names, &err), &err);
    EXPECT_TEXT(names.text, "");
    store_end(store, dir);
}

TEST(store, stream_is_invisible_until_closed_and_tells_size_and_hash)
{
    UNUSED_STATE;
    const char *dir;
    struct store *store = store_new(&dir);
    struct store_file *file;
    struct err err;
    uint8_t sha256[32], expected[32];
    int64_t bytes;
    /* Small and large pieces, so that gathered and direct writes alternate. */
    static char data[3 * 1024 * 1024];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (char)(i * 31 + i / 977);
    EXPECT_OK(store_file_open(store, &file, "deep/s.tar", &err), &err);
    size_t at = 0, piece = 1;
    while (at < sizeof data) {
        const size_t part = piece < sizeof data - at ? piece : sizeof data - at;
        EXPECT_OK(store_file_write(file, data + at, part, &err), &err);
        at += part;
        piece = piece * 7 % 700001;
    }
    EXPECT_EQ(store_size(store, &bytes, "deep/s.tar", &err), ERR_NOT_FOUND);
    EXPECT_OK(store_file_close(file, &bytes, sha256, &err), &err);
    EXPECT_EQ(bytes, sizeof data);
    hash_sha256(expected, data, sizeof data);
    EXPECT_MEM(sha256, expected, sizeof expected);
    struct buf text;
    buf_init(&text, 0);
    EXPECT_OK(store_get(store, &text, "deep/s.tar", sizeof data, &err), &err);
    EXPECT_EQ(text.len, sizeof data);
    EXPECT_MEM(text.data, data, sizeof data);
    buf_deinit(&text);
    store_end(store, dir);
}

TEST(store, growing_stream_is_seen_as_far_as_it_was_flushed)
{
    UNUSED_STATE;
    const char *dir;
    struct store *store = store_new(&dir);
    struct store_file *file;
    struct err err;
    uint8_t sha256[32], expected[32];
    int64_t bytes;
    struct buf text;
    buf_init(&text, 0);
    EXPECT_OK(store_file_grow(store, &file, "deep/s.tar", &err), &err);
    for (uint32_t i = 1; i <= 3; i++) {
        EXPECT_OK(store_file_write(file, "abc", 3, &err), &err);
        EXPECT_OK(store_size(store, &bytes, "deep/s.tar", &err), &err);
        EXPECT_EQ(bytes, 3 * (i - 1));
        EXPECT_OK(store_file_flush(file, &bytes, sha256, &err), &err);
        EXPECT_EQ(bytes, 3 * i);
        hash_sha256(expected, "abcabcabc", 3 * i);
        EXPECT_MEM(sha256, expected, sizeof expected);
    }
    EXPECT_OK(store_file_write(file, "d", 1, &err), &err);
    store_file_leave(file); /* what was written by then stays, too */
    EXPECT_OK(store_get(store, &text, "deep/s.tar", 100, &err), &err);
    EXPECT_TEXT(buf_str(&text), "abcabcabcd");

    EXPECT_OK(store_file_grow(store, &file, "deep/s.tar", &err), &err); /* from the beginning */
    EXPECT_OK(store_file_write(file, "xyz", 3, &err), &err);
    EXPECT_OK(store_file_close(file, &bytes, sha256, &err), &err);
    EXPECT_EQ(bytes, 3);
    buf_clear(&text);
    EXPECT_OK(store_get(store, &text, "deep/s.tar", 100, &err), &err);
    EXPECT_TEXT(buf_str(&text), "xyz");

    EXPECT_OK(store_file_grow(store, &file, "gone", &err), &err);
    EXPECT_OK(store_remove(store, "gone", &err), &err);
    EXPECT_EQ(store_file_close(file, &bytes, sha256, &err), ERR_NOT_FOUND);
    EXPECT_OK(store_file_grow(store, &file, "dropped", &err), &err);
    store_file_drop(file);
    EXPECT_EQ(store_size(store, &bytes, "dropped", &err), ERR_NOT_FOUND);
    /* One that does not grow has nothing to leave. */
    EXPECT_OK(store_file_open(store, &file, "plain", &err), &err);
    EXPECT_OK(store_file_write(file, "abc", 3, &err), &err);
    store_file_leave(file);
    store_file_leave(NULL);
    EXPECT_EQ(store_size(store, &bytes, "plain", &err), ERR_NOT_FOUND);
    buf_deinit(&text);
    store_end(store, dir);
}

TEST(store, dropped_stream_leaves_nothing)
{
    UNUSED_STATE;
    const char *dir;
    struct store *store = store_new(&dir);
    struct store_file *file;
    struct err err;
    EXPECT_OK(store_file_open(store, &file, "s.tar", &err), &err);
    EXPECT_OK(store_file_write(file, "abc", 3, &err), &err);
    store_file_drop(file);
    store_file_drop(NULL);
    EXPECT_EQ(rmdir(dir), 0); /* empty */
    store_close(store);
    test_dir_remove(dir);
}

TEST(store, failed_stream_leaves_nothing)
{
    UNUSED_STATE;
    struct err err;
    for (int64_t after = 0;; after++) {
        const char *dir;
        struct store *store = store_new(&dir);
        struct store_file *file;
        uint8_t sha256[32];
        int64_t bytes;
        EXPECT_OK(store_file_open(store, &file, "s.tar", &err), &err);
        EXPECT_OK(store_file_write(file, "abc", 3, &err), &err);
        (void)fs_fail(after, 1, 28);
        const int rc = store_file_close(file, &bytes, sha256, &err);
        const bool failed = fs_fail(-1, 0, 0) > after;
        EXPECT_EQ(rc, failed ? ERR_FULL : 0);
        if (failed && after < 2) EXPECT_EQ(store_size(store, &bytes, "s.tar", &err), ERR_NOT_FOUND);
        store_end(store, dir);
        if (!failed) break;
    }
}

TEST(store, tells_free_bytes_and_gives_a_folder_on_disk)
{
    UNUSED_STATE;
    const char *dir;
    struct store *store = store_new(&dir);
    struct err err;
    int64_t bytes = -1;
    char path[PATH_MAX], tiny[4];
    EXPECT_OK(store_free_bytes(store, &bytes, &err), &err);
    EXPECT(bytes > 0);
    EXPECT_OK(store_local_folder(store, path, sizeof path, "x/y", &err), &err);
    EXPECT(fs_exists(path));
    EXPECT(str_has_prefix(path, dir));
    EXPECT_EQ(store_local_folder(store, tiny, sizeof tiny, "x/y", &err), ERR_LIMIT);
    store_end(store, dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(store, opens_paths_and_file_urls_and_refuses_other_schemes),
        RUN(store, refuses_a_root_that_is_a_file),
        RUN(store, relative_root_survives_a_change_of_folder),
        RUN(store, names_that_leave_it_or_hide_are_refused),
        RUN(store, put_replaces_and_put_new_does_not),
        RUN(store, range_ends_with_the_object),
        RUN(store, rename_replaces_and_reports_what_is_missing),
        RUN(store, list_is_sorted_marks_folders_and_hides_files_in_the_making),
        RUN(store, stream_is_invisible_until_closed_and_tells_size_and_hash),
        RUN(store, growing_stream_is_seen_as_far_as_it_was_flushed),
        RUN(store, dropped_stream_leaves_nothing),
        RUN(store, failed_stream_leaves_nothing),
        RUN(store, tells_free_bytes_and_gives_a_folder_on_disk),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
