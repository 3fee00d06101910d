/* folder.c - the store that is a folder: names are paths below its root.
 *
 * Whole files and their durability come from common/base/fs.h. A folder inside the store is made
 * when the first file needs it; its own name becomes durable with store_sync of its parent, which
 * those call who need that (attempt.c before it commits). */
#include "common/store/fs/folder.h"

#include "common/base/check.h"
#include "common/base/fs.h"
#include "common/base/fs_fault.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/store/driver.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Attempts to remove a tree that others remove or fill at the same time. */
#define REMOVE_TRIES_MAX 100

int folder_path(const struct folder *folder, char path[PATH_MAX], const char *name, struct err *err)
{
    const bool fits = *name ? fs_join(path, PATH_MAX, folder->root, name)
                            : str_copy(path, PATH_MAX, folder->root);
    return fits
               ? 0
               : err_set(err, ERR_INVALID, "%.80s/%.80s: the path is too long", folder->root, name);
}

/* The folder that holds path; the root of the machine holds itself. */
static void parent_of(char parent[PATH_MAX], const char *path)
{
    CHECK(path[0] == '/');
    CHECK(str_copy(parent, PATH_MAX, path));
    char *slash = strrchr(parent, '/');
    if (slash == parent)
        parent[1] = 0;
    else
        *slash = 0;
}

int folder_make_parent(const char *path, struct err *err)
{
    char parent[PATH_MAX];
    parent_of(parent, path);
    return fs_exists(parent) ? 0 : fs_mkdirs(parent, err);
}

int folder_sync_parent(const char *path, struct err *err)
{
    char parent[PATH_MAX];
    parent_of(parent, path);
    return fs_sync_dir(parent, err);
}

/* Makes the root and lets the names of all new folders on the way be durable. */
static int make_root(const char *root, struct err *err)
{
    char existing[PATH_MAX], path[PATH_MAX];
    (void)str_copy(existing, sizeof existing, root);
    while (!fs_exists(existing)) {
        (void)str_copy(path, sizeof path, existing);
        parent_of(existing, path);
    }
    int rc = fs_mkdirs(root, err);
    (void)str_copy(path, sizeof path, root);
    while (!rc && !str_eq(path, existing)) {
        char parent[PATH_MAX];
        rc = folder_sync_parent(path, err);
        parent_of(parent, path);
        (void)str_copy(path, sizeof path, parent);
    }
    return rc;
}

/* place as an absolute path without a "/" at its end. */
static int absolute(char root[PATH_MAX], const char *place, struct err *err)
{
    char here[PATH_MAX];
    bool fits;
    if (place[0] == '/') {
        fits = str_copy(root, PATH_MAX, place);
    } else {
        if (!getcwd(here, sizeof here)) return err_errno(err, errno, "current folder");
        fits = fs_join(root, PATH_MAX, here, place);
    }
    if (!fits) return err_set(err, ERR_INVALID, "%.100s: the path is too long", place);
    size_t bytes = strlen(root);
    while (bytes > 1 && root[bytes - 1] == '/') root[--bytes] = 0;
    return 0;
}

static int folder_open(void **impl, const char *place, bool create, struct err *err)
{
    struct stat info;
    struct folder *folder = mem_new(sizeof *folder);
    int rc = *place ? absolute(folder->root, place, err)
                    : err_set(err, ERR_INVALID, "the store's path is empty");
    if (!rc && create) rc = make_root(folder->root, err);
    if (!rc && stat(folder->root, &info)) rc = err_errno(err, errno, "open store %s", folder->root);
    if (!rc && !S_ISDIR(info.st_mode))
        rc = err_set(err, ERR_INVALID, "%s is a file, not a folder", folder->root);
    if (rc)
        mem_free(folder);
    else
        *impl = folder;
    return rc;
}

static void folder_close(void *impl)
{
    mem_free(impl);
}

static int folder_get(void *impl, struct buf *out, const char *name, size_t bytes_max,
                      struct err *err)
{
    char path[PATH_MAX];
    const int rc = folder_path(impl, path, name, err);
    return rc ? rc : fs_read(out, path, bytes_max, err);
}

static int folder_get_range(void *impl, void *dst, const char *name, int64_t offset, size_t bytes,
                            size_t *got, struct err *err)
{
    char path[PATH_MAX];
    int rc = folder_path(impl, path, name, err);
    if (rc) return rc;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return err_errno(err, errno, "open %s", path);
    while (!rc && *got < bytes) {
        const ssize_t part =
            pread(fd, (char *)dst + *got, bytes - *got, (off_t)(offset + (int64_t)*got));
        if (part < 0 && errno == EINTR) continue;
        if (part < 0) rc = err_errno(err, errno, "read %s", path);
        if (part <= 0) break;
        *got += (size_t)part;
    }
    (void)close(fd);
    return rc;
}

static int folder_put(void *impl, const char *name, const void *data, size_t bytes, struct err *err)
{
    char path[PATH_MAX];
    int rc = folder_path(impl, path, name, err);
    if (!rc) rc = folder_make_parent(path, err);
    return rc ? rc : fs_put(path, data, bytes, err);
}

static int folder_put_new(void *impl, const char *name, const void *data, size_t bytes,
                          bool *created, struct err *err)
{
    char path[PATH_MAX];
    int rc = folder_path(impl, path, name, err);
    if (!rc) rc = folder_make_parent(path, err);
    return rc ? rc : fs_put_new(path, data, bytes, created, err);
}

static int folder_size(void *impl, int64_t *bytes, const char *name, struct err *err)
{
    char path[PATH_MAX];
    const int rc = folder_path(impl, path, name, err);
    return rc ? rc : fs_size(bytes, path, err);
}

static int folder_rename(void *impl, const char *from, const char *to, struct err *err)
{
    char from_path[PATH_MAX], to_path[PATH_MAX];
    int rc = folder_path(impl, from_path, from, err);
    if (!rc) rc = folder_path(impl, to_path, to, err);
    if (!rc) rc = folder_make_parent(to_path, err);
    if (rc) return rc;
    if (fs_fault() || rename(from_path, to_path))
        return err_errno(err, errno, "rename %s to %s", from_path, to);
    return folder_sync_parent(to_path, err);
}

static int folder_remove(void *impl, const char *name, struct err *err)
{
    char path[PATH_MAX];
    const int rc = folder_path(impl, path, name, err);
    if (rc) return rc;
    if (unlink(path) && errno != ENOENT) return err_errno(err, errno, "remove %s", path);
    return 0;
}

static int folder_remove_tree(void *impl, const char *name, struct err *err)
{
    char path[PATH_MAX];
    int rc = folder_path(impl, path, name, err);
    if (rc) return rc;
    /* Another process that removes the same tree makes names vanish under our feet. */
    for (int i = 0; i < REMOVE_TRIES_MAX; i++) {
        rc = fs_remove_tree(path, err);
        if (rc != ERR_NOT_FOUND) break;
    }
    return rc;
}

struct listing {
    const char *path;
    store_visit *visit;
    void *ctx;
};

static int list_one(void *ctx, const char *name, struct err *err)
{
    const struct listing *listing = ctx;
    char path[PATH_MAX], shown[NAME_MAX + 2];
    struct stat info;
    if (str_has_prefix(name, FS_PRIVATE_PREFIX)) return 0;
    if (!fs_join(path, sizeof path, listing->path, name)) return 0;
    if (stat(path, &info)) return 0; /* gone since */
    const char *slash = S_ISDIR(info.st_mode) ? "/" : "";
    (void)snprintf(shown, sizeof shown, "%s%s", name, slash);
    return listing->visit(listing->ctx, shown, err);
}

static int folder_list(void *impl, const char *folder, store_visit *visit, void *ctx,
                       struct err *err)
{
    char path[PATH_MAX];
    const int rc = folder_path(impl, path, folder, err);
    if (rc) return rc;
    if (!fs_exists(path)) return 0;
    struct listing listing = {.path = path, .visit = visit, .ctx = ctx};
    return fs_list(path, list_one, &listing, err);
}

static int folder_sync(void *impl, const char *folder, struct err *err)
{
    char path[PATH_MAX];
    const int rc = folder_path(impl, path, folder, err);
    if (rc) return rc;
    return fs_exists(path) ? fs_sync_dir(path, err) : 0;
}

static int clean_one(void *ctx, const char *name, struct err *err)
{
    char path[PATH_MAX];
    if (!str_has_prefix(name, FS_PRIVATE_PREFIX)) return 0;
    if (!fs_join(path, sizeof path, ctx, name)) return 0;
    if (unlink(path) && errno != ENOENT) return err_errno(err, errno, "remove %s", path);
    return 0;
}

static int folder_clean(void *impl, const char *folder, struct err *err)
{
    char path[PATH_MAX];
    const int rc = folder_path(impl, path, folder, err);
    if (rc) return rc;
    return fs_exists(path) ? fs_list(path, clean_one, path, err) : 0;
}

static int folder_local(void *impl, char *path, size_t path_bytes, const char *folder,
                        struct err *err)
{
    char full[PATH_MAX];
    int rc = folder_path(impl, full, folder, err);
    if (rc) return rc;
    if (!str_copy(path, path_bytes, full))
        return err_set(err, ERR_LIMIT, "%.150s: the path is too long", full);
    return fs_mkdirs(path, err);
}

static int folder_free_bytes(void *impl, int64_t *bytes, struct err *err)
{
    const struct folder *folder = impl;
    return fs_free_bytes(bytes, folder->root, err);
}

const struct store_driver store_driver_fs = {
    .scheme = "file",
    .open = folder_open,
    .close = folder_close,
    .get = folder_get,
    .get_range = folder_get_range,
    .put = folder_put,
    .put_new = folder_put_new,
    .size = folder_size,
    .rename = folder_rename,
    .remove = folder_remove,
    .remove_tree = folder_remove_tree,
    .list = folder_list,
    .sync = folder_sync,
    .clean = folder_clean,
    .local_folder = folder_local,
    .free_bytes = folder_free_bytes,
    .file_open = folder_file_open,
    .file_grow = folder_file_grow,
    .file_flush = folder_file_flush,
    .file_leave = folder_file_leave,
    .file_write = folder_file_write,
    .file_close = folder_file_close,
    .file_drop = folder_file_drop,
};
