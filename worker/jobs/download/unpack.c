/* unpack.c - the members of a tar that this task has written, as files.
 *
 * The tar is this attempt's own, but it stood on a disk for a while: no name leaves the folder, and
 * no file is written twice. Nothing is synced here; the attempt does that once for the folder. */
#include "worker/jobs/download/unpack.h"

#include "common/base/fs.h"
#include "common/base/mem.h"
#include "worker/pipe/tar.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_BYTES ((size_t)256 * 1024)

struct unpacking {
    const struct job_env *env;
    const char *tar, *folder;
    int fd; /* of the tar */
    struct tar_reader reader;
    int64_t bytes; /* of the files */
    char *block;
};

static int read_tar(void *ctx, void *dst, size_t bytes, size_t *got, struct err *err)
{
    const struct unpacking *unpacking = ctx;
    ssize_t count;
    do count = read(unpacking->fd, dst, bytes);
    while (count < 0 && errno == EINTR);
    *got = count > 0 ? (size_t)count : 0;
    return count < 0 ? err_errno(err, errno, "read %s", unpacking->tar) : 0;
}

static int copy(struct unpacking *unpacking, int fd, const char *path, struct err *err)
{
    size_t got = 1;
    int rc = 0;
    while (!rc && got) {
        rc = tar_reader_data(&unpacking->reader, unpacking->block, BLOCK_BYTES, &got, err);
        if (!rc) rc = fs_write_all(fd, unpacking->block, got, path, err);
        unpacking->bytes += (int64_t)got;
    }
    return rc;
}

static int write_member(struct unpacking *unpacking, const char *name, struct err *err)
{
    char path[PATH_MAX];
    if (name[0] == '.' || strchr(name, '/') || !fs_join(path, sizeof path, unpacking->folder, name))
        return err_set(err, ERR_CORRUPT, "%s has a member \"%.80s\"", unpacking->tar, name);
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) return err_errno(err, errno, "create %s", path);
    int rc = copy(unpacking, fd, path, err);
    /* Some file systems report a failed write only here. */
    if (close(fd) && !rc) rc = err_errno(err, errno, "close %s", path);
    return rc;
}

static int write_all(struct unpacking *unpacking, struct err *err)
{
    struct tar_member member;
    bool found = true;
    int rc = 0;
    tar_reader_init(&unpacking->reader, read_tar, unpacking);
    while (!rc && found) {
        rc = tar_reader_next(&unpacking->reader, &member, &found, err);
        /* A worker that leaves has the time for it. */
        if (!rc && found && job_stopping(unpacking->env) > JOB_STOP_DRAIN)
            rc = err_set(err, ERR_CANCELLED, "writing %s was stopped", unpacking->folder);
        if (!rc && found) rc = write_member(unpacking, member.name, err);
    }
    if (!rc && !unpacking->reader.complete)
        rc = err_set(err, ERR_CORRUPT, "%s was cut short", unpacking->tar);
    return rc;
}

int unpack_tar(void *env, int64_t *bytes, const char *tar, const char *folder, struct err *err)
{
    struct unpacking unpacking = {.env = env, .tar = tar, .folder = folder};
    unpacking.fd = open(tar, O_RDONLY | O_CLOEXEC);
    if (unpacking.fd < 0) return err_errno(err, errno, "open %s", tar);
    unpacking.block = mem_new(BLOCK_BYTES);
    const int rc = write_all(&unpacking, err);
    mem_free(unpacking.block);
    (void)close(unpacking.fd);
    *bytes = unpacking.bytes;
    return rc;
}
