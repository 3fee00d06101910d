/* fs.h - files as this project uses them: whole, atomic, durable.
 *
 * Errors map errno to a code as err_errno does: ENOSPC and EDQUOT to ERR_FULL, ENOENT
 * to ERR_NOT_FOUND, EACCES, EPERM and EROFS to ERR_DENIED, a path that can never work to
 * ERR_INVALID, EIO and others to ERR_UNAVAILABLE; the sentence names the path.
 *
 * A file in the making has a private name, FS_PRIVATE_PREFIX and a nonce, in the same folder. A
 * crash can leave one behind; no reader may take it for data. */
#ifndef BASE_FS_H
#define BASE_FS_H

#include "common/base/buf.h"
#include "common/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FS_PRIVATE_PREFIX ".part-"

/* Appends the file to out; ERR_LIMIT when it is larger than bytes_max. */
CHECKED int fs_read(struct buf *out, const char *path, size_t bytes_max, struct err *err);
/* Writes all of data to fd, over short writes and EINTR. */
CHECKED int fs_write_all(int fd, const void *data, size_t bytes, const char *path, struct err *err);
/* Temporary name beside path, write, fsync, rename over path, fsync of the folder. */
CHECKED int fs_put(const char *path, const void *data, size_t bytes, struct err *err);
/* As fs_put, but never replaces: *created tells whether this call made it. Its content is
 * complete when it appears and its name is durable when this returns 0, whoever made it. After
 * an error the file may or may not be there. */
CHECKED int fs_put_new(const char *path, const void *data, size_t bytes, bool *created,
                       struct err *err);
CHECKED int fs_mkdirs(const char *path, struct err *err); /* like mkdir -p, mode 0777 & umask */
CHECKED int fs_sync_dir(const char *path, struct err *err);
/* Makes all that was written below the folder durable, names too, by one syncfs of the file system
 * it is on: for many small files, of which each would cost an fsync. */
CHECKED int fs_sync_tree(const char *path, struct err *err);
CHECKED int fs_remove_tree(const char *path,
                           struct err *err); /* missing is fine; no links followed */
bool fs_exists(const char *path);
CHECKED int fs_size(int64_t *bytes, const char *path, struct err *err);
CHECKED int fs_free_bytes(int64_t *bytes, const char *path, struct err *err);
/* Opens or creates path and takes an exclusive flock on it. wait_ms 0: try once. Returns 0 and
 * *fd, or ERR_TIMEOUT when another process holds it. fs_unlock closes. */
CHECKED int fs_lock(int *fd, const char *path, int64_t wait_ms, struct err *err);
void fs_unlock(int fd);
/* "a/b" + "c" = "a/b/c"; false when it does not fit. */
bool fs_join(char *dst, size_t dst_bytes, const char *dir, const char *name);
/* Calls visit for each name in the folder (no . and ..), sorted by name. */
CHECKED int fs_list(const char *path, int (*visit)(void *ctx, const char *name, struct err *err),
                    void *ctx, struct err *err);
/* Tests: let `after` writes, renames, links and fsyncs pass, then fail `times` of them with
 * errnum. after < 0 turns it off. Returns how many such calls came since it was last set; more
 * than its `after` means that one of them failed. */
int64_t fs_fail(int64_t after, int64_t times, int errnum);

#endif
