/* fs_tree.c - folders: making, listing and removing whole trees, without recursion. */
#include "common/base/check.h"
#include "common/base/fs.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Names of one listing, all together: a hundred thousand shards with their side files. */
#define LIST_BYTES_MAX ((size_t)64 * 1024 * 1024)
/* Passes over one folder that others keep filling while it is removed. */
#define REMOVE_PASSES_MAX 1000

static int make_one(const char *path, struct err *err)
{
    struct stat info;
    if (!mkdir(path, 0777)) return 0;
    const int cause = errno;
    if (!stat(path, &info)) {
        if (S_ISDIR(info.st_mode)) return 0;
        return err_set(err, ERR_INVALID, "%s is a file, not a folder", path);
    }
    return err_errno(err, cause, "create folder %s", path);
}

int fs_mkdirs(const char *path, struct err *err)
{
    char part[PATH_MAX];
    if (!*path || !str_copy(part, sizeof part, path))
        return err_set(err, ERR_INVALID, "path is empty or too long: %.80s", path);
    for (char *at = part + 1; *at; at++) {
        if (*at != '/' || at[-1] == '/') continue;
        *at = 0;
        const int rc = make_one(part, err);
        if (rc) return rc;
        *at = '/';
    }
    return make_one(part, err);
}

static bool is_dots(const char *name)
{
    return str_eq(name, ".") || str_eq(name, "..");
}

/* Opens a folder, never through a link at its end. */
static DIR *folder_open(const char *path)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir && fd >= 0) (void)close(fd);
    return dir;
}

/* Unlinks what is no folder in path. Gives the name of the first folder found, or "". */
static int remove_files(char child[NAME_MAX + 1], const char *path, struct err *err)
{
    int rc = 0;
    child[0] = 0;
    DIR *dir = folder_open(path);
    if (!dir) return err_errno(err, errno, "open %s", path);
    struct dirent *entry;
    while (!rc && !child[0] && (entry = readdir(dir))) {
        if (is_dots(entry->d_name)) continue;
        if (!unlinkat(dirfd(dir), entry->d_name, 0) || errno == ENOENT) continue;
        const int cause = errno;
        struct stat info;
        if (fstatat(dirfd(dir), entry->d_name, &info, AT_SYMLINK_NOFOLLOW)) {
            /* Somebody else, who removes it too, was faster. */
            if (errno != ENOENT) rc = err_errno(err, errno, "stat %s/%s", path, entry->d_name);
        } else if (S_ISDIR(info.st_mode))
            (void)str_copy(child, NAME_MAX + 1, entry->d_name);
        else
            rc = err_errno(err, cause, "remove %s/%s", path, entry->d_name);
    }
    (void)closedir(dir);
    return rc;
}

/* Walks down into the first folder left and up when one is empty. at holds the root. */
static int remove_below(char at[PATH_MAX], struct err *err)
{
    const size_t root_bytes = strlen(at);
    int passes = 0;
    for (;;) {
        char child[NAME_MAX + 1];
        int rc = remove_files(child, at, err);
        if (rc) return rc;
        if (child[0]) {
            char deeper[PATH_MAX];
            if (!fs_join(deeper, sizeof deeper, at, child))
                return err_set(err, ERR_LIMIT, "remove %s: paths are too long", at);
            memcpy(at, deeper, sizeof deeper);
            continue;
        }
        if (rmdir(at) && errno != ENOENT) {
            const bool filled = errno == ENOTEMPTY || errno == EEXIST;
            if (filled && ++passes < REMOVE_PASSES_MAX) continue;
            return err_errno(err, errno, "remove %s", at);
        }
        if (strlen(at) == root_bytes) return 0;
        *strrchr(at, '/') = 0;
    }
}

int fs_remove_tree(const char *path, struct err *err)
{
    struct stat info;
    char at[PATH_MAX];
    if (lstat(path, &info)) return errno == ENOENT ? 0 : err_errno(err, errno, "stat %s", path);
    if (!S_ISDIR(info.st_mode)) {
        if (unlink(path) && errno != ENOENT) return err_errno(err, errno, "remove %s", path);
        return 0;
    }
    if (!str_copy(at, sizeof at, path)) return err_set(err, ERR_INVALID, "path is too long");
    size_t bytes = strlen(at);
    while (bytes > 1 && at[bytes - 1] == '/') at[--bytes] = 0;
    return remove_below(at, err);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Appends the folder's names to out, each with its zero. */
static int read_names(struct buf *out, size_t *count, const char *path, struct err *err)
{
    int rc = 0;
    *count = 0;
    DIR *dir = opendir(path);
    if (!dir) return err_errno(err, errno, "open %s", path);
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry) {
            if (errno) rc = err_errno(err, errno, "read %s", path);
            break;
        }
        if (is_dots(entry->d_name)) continue;
        buf_add(out, entry->d_name, strlen(entry->d_name) + 1);
        (*count)++;
    }
    (void)closedir(dir);
    if (!rc && buf_failed(out)) rc = err_set(err, ERR_LIMIT, "%s has too many names", path);
    return rc;
}

int fs_list(const char *path, int (*visit)(void *ctx, const char *name, struct err *err), void *ctx,
            struct err *err)
{
    struct buf names;
    size_t count;
    const char **sorted = NULL;
    const char *name;
    buf_init(&names, LIST_BYTES_MAX);
    int rc = read_names(&names, &count, path, err);
    if (rc) goto out;
    sorted = mem_try(count * sizeof *sorted); /* names.max bounds count */
    if (!sorted) {
        rc = err_set(err, ERR_LIMIT, "list %s: out of memory", path);
        goto out;
    }
    name = buf_str(&names);
    for (size_t i = 0; i < count; i++, name += strlen(name) + 1) sorted[i] = name;
    qsort(sorted, count, sizeof *sorted, by_text);
    for (size_t i = 0; !rc && i < count; i++) rc = visit(ctx, sorted[i], err);
out:
    mem_free(sorted);
    buf_deinit(&names);
    return rc;
}
