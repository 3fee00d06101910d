/* fs.c - whole, durable files over POSIX calls. Folders and trees are in fs_tree.c.
 *
 * Every write, rename, link and fsync goes through a function that fs_fail can make fail. */
#include "common/base/fs.h"

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/fs_fault.h"
#include "common/base/rng.h"
#include "common/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#define READ_BYTES    ((size_t)64 * 1024)
#define LOCK_RETRY_MS 20

static atomic_bool fail_on;
static _Atomic int64_t fail_after, fail_times, fail_calls;
static atomic_int fail_errno;

int64_t fs_fail(int64_t after, int64_t times, int errnum)
{
    atomic_store(&fail_on, false);
    const int64_t calls = atomic_exchange(&fail_calls, 0);
    atomic_store(&fail_after, after);
    atomic_store(&fail_times, times);
    atomic_store(&fail_errno, errnum);
    atomic_store(&fail_on, after >= 0);
    return calls;
}

bool fs_fault(void)
{
    if (!atomic_load_explicit(&fail_on, memory_order_relaxed)) return false;
    const int64_t call = atomic_fetch_add(&fail_calls, 1);
    const int64_t after = atomic_load(&fail_after);
    if (call < after || call - after >= atomic_load(&fail_times)) return false;
    errno = atomic_load(&fail_errno);
    return true;
}

/* Reads once into out, as much as it may still take. A buffer that is full to its limit may be
 * at the file's end as well: one spare byte tells. */
static int read_some(size_t *got, struct buf *out, int fd, const char *path, struct err *err)
{
    char spare[1];
    const size_t room = out->max ? out->max - out->len : READ_BYTES;
    const size_t want = room < READ_BYTES ? room : READ_BYTES;
    char *place = want ? buf_reserve(out, want) : spare;
    if (!place) return err_set(err, ERR_LIMIT, "read %s: out of memory", path);
    for (;;) {
        const ssize_t count = read(fd, place, want ? want : sizeof spare);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return err_errno(err, errno, "read %s", path);
        *got = (size_t)count;
        break;
    }
    if (want) buf_commit(out, *got);
    if (!want && *got)
        return err_set(err, ERR_LIMIT, "%s is larger than the %zu bytes allowed", path, out->max);
    return 0;
}

int fs_read(struct buf *out, const char *path, size_t bytes_max, struct err *err)
{
    int rc = 0;
    size_t total = 0, got = 1;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return err_errno(err, errno, "open %s", path);
    while (!rc && got) {
        rc = read_some(&got, out, fd, path, err);
        if (rc) break;
        total += got;
        if (total > bytes_max)
            rc =
                err_set(err, ERR_LIMIT, "%s is larger than the %zu bytes allowed", path, bytes_max);
    }
    (void)close(fd);
    return rc;
}

int fs_write_all(int fd, const void *data, size_t bytes, const char *path, struct err *err)
{
    const char *at = data;
    while (bytes) {
        const ssize_t wrote = fs_fault() ? -1 : write(fd, at, bytes);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote < 0) return err_errno(err, errno, "write %s", path);
        if (wrote == 0) return err_set(err, ERR_UNAVAILABLE, "write %s: nothing taken", path);
        at += wrote;
        bytes -= (size_t)wrote;
    }
    return 0;
}

static int sync_fd(int fd, const char *path, struct err *err)
{
    if (fs_fault() || fsync(fd)) return err_errno(err, errno, "fsync %s", path);
    return 0;
}

int fs_sync_dir(const char *path, struct err *err)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return err_errno(err, errno, "open %s", path);
    int rc = sync_fd(fd, path, err);
    /* Some network file systems refuse to sync a folder; they order names by themselves. */
    if (rc && errno == EINVAL) rc = 0;
    (void)close(fd);
    return rc;
}

int fs_sync_tree(const char *path, struct err *err)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return err_errno(err, errno, "open %s", path);
    int rc = 0;
    if (fs_fault() || syscall(SYS_syncfs, fd)) rc = err_errno(err, errno, "syncfs %s", path);
    (void)close(fd);
    return rc;
}

/* The folder that holds path. */
static int folder_of(char dst[PATH_MAX], const char *path, struct err *err)
{
    if (!*path || !str_copy(dst, PATH_MAX, path))
        return err_set(err, ERR_INVALID, "path is empty or too long: %.80s", path);
    char *slash = strrchr(dst, '/');
    if (!slash)
        (void)str_copy(dst, PATH_MAX, ".");
    else if (slash == dst)
        dst[1] = 0;
    else
        *slash = 0;
    return 0;
}

/* Writes data durably under a private name in folder; on failure nothing is left there. */
static int write_private(char name[PATH_MAX], const char *folder, const char *path,
                         const void *data, size_t bytes, struct err *err)
{
    uint64_t nonce;
    rng_secure(&nonce, sizeof nonce);
    const int used = snprintf(name, PATH_MAX, "%s/" FS_PRIVATE_PREFIX "%016" PRIx64, folder, nonce);
    if (used < 0 || used >= PATH_MAX) {
        name[0] = 0;
        return err_set(err, ERR_INVALID, "path is too long: %.80s", path);
    }
    const int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) {
        name[0] = 0;
        return err_errno(err, errno, "create %s", path);
    }
    int rc = fs_write_all(fd, data, bytes, path, err);
    if (!rc) rc = sync_fd(fd, path, err);
    /* Some file systems report a failed write only here. */
    if (close(fd) && !rc) rc = err_errno(err, errno, "close %s", path);
    return rc;
}

int fs_put(const char *path, const void *data, size_t bytes, struct err *err)
{
    char folder[PATH_MAX], name[PATH_MAX] = "";
    int rc = folder_of(folder, path, err);
    if (rc) return rc;
    rc = write_private(name, folder, path, data, bytes, err);
    if (rc) goto out;
    if (fs_fault() || rename(name, path)) {
        rc = err_errno(err, errno, "rename to %s", path);
        goto out;
    }
    name[0] = 0;
    rc = fs_sync_dir(folder, err);
out:
    if (name[0]) (void)unlink(name);
    return rc;
}

/* Gives the private file its name unless that is taken. Returns 0 or an errno. */
static int name_if_free(const char *private_name, const char *path)
{
    if (!fs_fault() && !link(private_name, path)) return 0;
    const int cause = errno;
    /* Over NFS the answer to a link that was made can be lost: the file knows its names. */
    struct stat info;
    if (!stat(private_name, &info) && info.st_nlink == 2) return 0;
    if (cause != EPERM && cause != EOPNOTSUPP && cause != ENOSYS && cause != EMLINK) return cause;
    /* No hard links here: let the kernel rename without replacing. */
    if (!syscall(SYS_renameat2, AT_FDCWD, private_name, AT_FDCWD, path, RENAME_NOREPLACE)) return 0;
    return errno == EEXIST ? EEXIST : cause;
}

int fs_put_new(const char *path, const void *data, size_t bytes, bool *created, struct err *err)
{
    char folder[PATH_MAX], name[PATH_MAX] = "";
    int errnum;
    *created = false;
    int rc = folder_of(folder, path, err);
    if (rc) return rc;
    rc = write_private(name, folder, path, data, bytes, err);
    if (rc) goto out;
    errnum = name_if_free(name, path);
    if (errnum && errnum != EEXIST) {
        rc = err_errno(err, errnum, "create %s", path);
        goto out;
    }
    /* Also when another came first: its maker may not have got this far yet. */
    rc = fs_sync_dir(folder, err);
    *created = !rc && !errnum;
out:
    if (name[0]) (void)unlink(name);
    return rc;
}

bool fs_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

int fs_size(int64_t *bytes, const char *path, struct err *err)
{
    struct stat info;
    if (stat(path, &info)) return err_errno(err, errno, "stat %s", path);
    *bytes = info.st_size;
    return 0;
}

int fs_free_bytes(int64_t *bytes, const char *path, struct err *err)
{
    struct statvfs info;
    if (statvfs(path, &info)) return err_errno(err, errno, "statvfs %s", path);
    uint64_t free_bytes;
    if (__builtin_mul_overflow((uint64_t)info.f_bavail, (uint64_t)info.f_frsize, &free_bytes) ||
        free_bytes > INT64_MAX)
        free_bytes = INT64_MAX;
    *bytes = (int64_t)free_bytes;
    return 0;
}

int fs_lock(int *fd, const char *path, int64_t wait_ms, struct err *err)
{
    const int64_t end_us = clock_mono_us() + wait_ms * 1000;
    const int opened = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (opened < 0) return err_errno(err, errno, "open %s", path);
    int rc = 0;
    while (flock(opened, LOCK_EX | LOCK_NB)) {
        if (errno == EINTR) continue;
        if (errno != EWOULDBLOCK) {
            rc = err_errno(err, errno, "lock %s", path);
            break;
        }
        if (clock_mono_us() >= end_us) {
            rc = err_set(err, ERR_TIMEOUT, "%s is locked by another process", path);
            break;
        }
        clock_sleep_ms(LOCK_RETRY_MS);
    }
    if (rc)
        (void)close(opened);
    else
        *fd = opened;
    return rc;
}

void fs_unlock(int fd)
{
    if (fd >= 0) (void)close(fd);
}

bool fs_join(char *dst, size_t dst_bytes, const char *dir, const char *name)
{
    const size_t bytes = strlen(dir);
    const char *between = bytes && dir[bytes - 1] != '/' ? "/" : "";
    const int used = snprintf(dst, dst_bytes, "%s%s%s", dir, between, name);
    return used >= 0 && (size_t)used < dst_bytes;
}
