/* file.c - a stream into a new file of a folder store.
 *
 * Bytes are hashed as they come and gathered into large writes. The file has a private name beside
 * its own until folder_file_close has made it durable; one that grows has its own from the start.
 * One thread at a time. */
#include "common/base/fs.h"
#include "common/base/fs_fault.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/store/fs/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Writes of this size cost a disk or an NFS server little each; a worker has a few open files. */
#define GATHER_BYTES ((size_t)256 * 1024)

struct folder_file {
    int fd;
    bool grows;
    int64_t bytes;
    struct hash *hash;
    size_t gathered;
    char path[PATH_MAX], private_path[PATH_MAX];
    uint8_t gather[GATHER_BYTES];
};

static int private_name(char dst[PATH_MAX], const char *path, struct err *err)
{
    uint64_t nonce;
    const int folder_bytes = (int)(strrchr(path, '/') - path);
    rng_secure(&nonce, sizeof nonce);
    const int used =
        snprintf(dst, PATH_MAX, "%.*s/" FS_PRIVATE_PREFIX "%016" PRIx64, folder_bytes, path, nonce);
    if (used >= 0 && used < PATH_MAX) return 0;
    return err_set(err, ERR_INVALID, "%.150s: the path is too long", path);
}

static int start(void *impl, void **file, const char *name, bool grows, struct err *err)
{
    struct folder_file *opened = mem_try(sizeof *opened);
    if (!opened) return err_set(err, ERR_LIMIT, "open %s: out of memory", name);
    opened->fd = -1;
    opened->grows = grows;
    int rc = folder_path(impl, opened->path, name, err);
    if (!rc && grows) memcpy(opened->private_path, opened->path, sizeof opened->path);
    if (!rc && !grows) rc = private_name(opened->private_path, opened->path, err);
    if (!rc) rc = folder_make_parent(opened->path, err);
    const int how = O_WRONLY | O_CREAT | O_CLOEXEC | (grows ? O_TRUNC : O_EXCL);
    if (rc) goto fail;
    opened->fd = open(opened->private_path, how, 0666);
    if (opened->fd < 0) {
        rc = err_errno(err, errno, "create %s", opened->path);
        goto fail;
    }
    opened->hash = hash_new();
    *file = opened;
    return 0;
fail:
    mem_free(opened);
    return rc;
}

int folder_file_open(void *impl, void **file, const char *name, struct err *err)
{
    return start(impl, file, name, false, err);
}

int folder_file_grow(void *impl, void **file, const char *name, struct err *err)
{
    return start(impl, file, name, true, err);
}

static int flush(struct folder_file *file, struct err *err)
{
    const int rc = fs_write_all(file->fd, file->gather, file->gathered, file->path, err);
    file->gathered = 0;
    return rc;
}

int folder_file_write(void *impl, const void *data, size_t bytes, struct err *err)
{
    struct folder_file *file = impl;
    hash_add(file->hash, data, bytes);
    file->bytes += (int64_t)bytes;
    if (bytes > GATHER_BYTES - file->gathered) {
        const int rc = flush(file, err);
        if (rc) return rc;
    }
    if (bytes >= GATHER_BYTES) return fs_write_all(file->fd, data, bytes, file->path, err);
    memcpy(file->gather + file->gathered, data, bytes);
    file->gathered += bytes;
    return 0;
}

int folder_file_flush(void *impl, int64_t *bytes, uint8_t sha256[32], struct err *err)
{
    struct folder_file *file = impl;
    const int rc = flush(file, err);
    if (rc) return rc;
    hash_peek(file->hash, sha256);
    *bytes = file->bytes;
    return 0;
}

/* A growing file's name is not given anew at its end: it must still be there. */
static int check_there(const struct folder_file *file, struct err *err)
{
    struct stat info;
    if (!file->grows) return 0;
    if (fstat(file->fd, &info)) return err_errno(err, errno, "look at %s", file->path);
    return info.st_nlink ? 0 : err_set(err, ERR_NOT_FOUND, "%s was removed", file->path);
}

int folder_file_close(void *impl, int64_t *bytes, uint8_t sha256[32], struct err *err)
{
    struct folder_file *file = impl;
    int rc = flush(file, err);
    if (!rc && (fs_fault() || fsync(file->fd))) rc = err_errno(err, errno, "fsync %s", file->path);
    if (!rc) rc = check_there(file, err);
    const int closed = close(file->fd); /* some file systems report a failed write only here */
    file->fd = -1;
    if (!rc && closed) rc = err_errno(err, errno, "close %s", file->path);
    if (!rc && !file->grows && (fs_fault() || rename(file->private_path, file->path)))
        rc = err_errno(err, errno, "rename to %s", file->path);
    if (!rc) file->private_path[0] = 0;
    if (!rc) rc = folder_sync_parent(file->path, err);
    if (!rc) {
        hash_end(file->hash, sha256);
        *bytes = file->bytes;
    }
    folder_file_drop(file);
    return rc;
}

void folder_file_drop(void *impl)
{
    struct folder_file *file = impl;
    if (file->fd >= 0) (void)close(file->fd);
    if (file->private_path[0]) (void)unlink(file->private_path);
    hash_free(file->hash);
    mem_free(file);
}

void folder_file_leave(void *impl)
{
    struct folder_file *file = impl;
    struct err err;
    if (flush(file, &err)) log_info("file.left", "msg=%s", log_quote(err.msg));
    if (file->grows) file->private_path[0] = 0;
    folder_file_drop(file);
}
