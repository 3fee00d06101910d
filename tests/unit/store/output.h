/* output.h - a small task's output, as the attempt tests make and check it. */
#ifndef TESTS_UNIT_STORE_OUTPUT_H
#define TESTS_UNIT_STORE_OUTPUT_H

#include "common/base/fs.h"
#include "common/base/hash.h"
#include "common/base/id.h"
#include "common/base/str.h"
#include "common/store/attempt.h"
#include "tests/support/test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define OUTPUT_TASK "00042"

/* The text of file i by one writer; large enough for several writes is not needed, the steps are.
 */
static inline size_t output_text(char *dst, size_t dst_bytes, int writer, int i)
{
    const int bytes = snprintf(dst, dst_bytes, "file %d of writer %d\n", i, writer);
    return (size_t)bytes;
}

#define OUTPUT_FILES 3 /* two, and a folder with two more that is made from a third */

static inline int output_copy(const char *folder, const char *name, const struct buf *text,
                              struct err *err)
{
    char path[PATH_MAX];
    EXPECT(fs_join(path, sizeof path, folder, name));
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) return err_errno(err, errno, "create %s", path);
    const int rc = fs_write_all(fd, text->data, text->len, path, err);
    (void)close(fd);
    return rc;
}

/* Fills the folder with two copies. */
static inline int output_fill(void *ctx, int64_t *bytes, const char *file, const char *folder,
                              struct err *err)
{
    struct buf text;
    (void)ctx;
    buf_init(&text, 0);
    int rc = fs_read(&text, file, 4096, err);
    if (!rc) rc = output_copy(folder, "a", &text, err);
    if (!rc) rc = output_copy(folder, "b", &text, err);
    *bytes = 2 * (int64_t)text.len;
    buf_deinit(&text);
    return rc;
}

/* One whole attempt, as a kind makes it. Returns 0 or a code. */
static inline int output_make(const char *root, int writer, struct attempt_manifest *manifest,
                              bool *adopted, struct err *err)
{
    static const char *const name[] = {OUTPUT_TASK ".tar", OUTPUT_TASK "_stats.json",
                                       OUTPUT_TASK ".pack"};
    struct store *store = NULL;
    struct attempt *attempt = NULL;
    char lease[LEASE_ID_BYTES], text[64];
    bool was_there = false;
    id_lease(lease);
    memset(manifest, 0, sizeof *manifest);
    int rc = store_open(&store, root, true, err);
    if (!rc) rc = attempt_open(&attempt, store, OUTPUT_TASK, lease, &was_there, manifest, err);
    if (!rc && !was_there) rc = attempt_folder_check(attempt, OUTPUT_TASK, err);
    for (int i = 0; !rc && !was_there && i < OUTPUT_FILES; i++) {
        struct store_file *file;
        rc = attempt_file_open(attempt, &file, name[i], err);
        if (rc) break;
        rc = store_file_write(file, text, output_text(text, sizeof text, writer, i), err);
        if (rc) break;
        rc = attempt_file_close(attempt, file, err);
    }
    *adopted = was_there;
    if (!rc && !was_there)
        rc = attempt_unpack(attempt, name[2], OUTPUT_TASK, output_fill, NULL, err);
    if (!rc && !was_there) {
        manifest->items = 2;
        manifest->items_ok = 2;
        (void)str_copy(manifest->counter[0].name, COUNTER_NAME_BYTES, "status.success");
        manifest->counter[0].value = 2;
        manifest->counters_count = 1;
        rc = attempt_commit(attempt, manifest, adopted, err);
    }
    attempt_close(attempt);
    store_close(store);
    return rc;
}

struct output_count {
    const char *path;
    uint32_t files, parts;
};

static inline int output_count_one(void *ctx, const char *name, struct err *err)
{
    struct output_count *count = ctx;
    (void)err;
    if (str_has_prefix(name, FS_PRIVATE_PREFIX)) count->parts++;
    count->files++;
    return 0;
}

/* Names in a folder below root; a missing folder has none. */
static inline uint32_t output_names(const char *root, const char *folder)
{
    char path[4096];
    struct err err;
    struct output_count count = {0};
    EXPECT(fs_join(path, sizeof path, root, folder));
    if (!fs_exists(path)) return 0;
    EXPECT_OK(fs_list(path, output_count_one, &count, &err), &err);
    return count.files;
}

/* The published files are exactly those of the manifest, with its bytes; nothing else is there. */
static inline void output_check(const char *root, const struct attempt_manifest *expected)
{
    struct attempt_manifest manifest;
    struct store *store;
    struct err err;
    EXPECT_OK(store_open(&store, root, false, &err), &err);
    EXPECT_OK(attempt_manifest_read(store, OUTPUT_TASK, &manifest, &err), &err);
    EXPECT_TEXT(manifest.lease, expected->lease);
    EXPECT_MEM(manifest.digest, expected->digest, sizeof manifest.digest);
    EXPECT_EQ(manifest.files_count, OUTPUT_FILES);
    EXPECT_EQ(output_names(root, OUTPUT_TASK), 2);
    for (uint32_t i = 0; i < manifest.files_count; i++) {
        struct buf text;
        char sha256[HASH_SHA256_TEXT];
        const bool folder = str_has_suffix(manifest.file[i].name, "/");
        const char *name = folder ? OUTPUT_TASK "/b" : manifest.file[i].name;
        buf_init(&text, 0);
        EXPECT_OK(store_get(store, &text, name, 4096, &err), &err);
        EXPECT_EQ((int64_t)text.len * (folder ? 2 : 1), manifest.file[i].bytes);
        hash_sha256_text(sha256, buf_str(&text), text.len);
        EXPECT_TEXT(sha256, manifest.file[i].sha256);
        buf_deinit(&text);
    }
    store_close(store);
}

#endif
