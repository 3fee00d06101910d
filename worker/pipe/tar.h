/* tar.h - tar archives: plain ustar out, and what people have written in.
 *
 * The writer is deterministic: mtime 0, uid and gid 0, mode 0644, no names of owners, no PAX
 * headers (each would cost 1,024 bytes), two zero blocks at the end and no more padding. It writes
 * through a callback and needs no memory of its own.
 *
 * The reader accepts ustar, old tar, PAX headers (path and size of x; g is skipped) and GNU long
 * names; it gives regular files only, in order, and checks every header's sum. A member cut short
 * is ERR_CORRUPT; an archive that ends between members without its zero blocks is not, and
 * is told by tar_reader.complete. Nothing in it is trusted: sizes are bounded, names are
 * bytes without zeros and may be anything else, "../x" too; the caller never opens them. */
#ifndef PIPE_TAR_H
#define PIPE_TAR_H

#include "common/base/buf.h"
#include "common/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TAR_BLOCK_BYTES       512
#define TAR_NAME_BYTES        257            /* prefix 155, "/", name 100 and the zero */
#define TAR_MEMBER_BYTES_MAX  077777777777LL /* eleven octal digits: 8 GiB - 1 */
#define TAR_MEMBER_NAME_BYTES 1024           /* PAX and GNU names; a longer one is ERR_CORRUPT */

typedef int tar_write(void *ctx, const void *data, size_t bytes, struct err *err);
/* Fills at most bytes; *got 0 is the end. */
typedef int tar_read(void *ctx, void *dst, size_t bytes, size_t *got, struct err *err);

struct tar_writer {
    tar_write *write;
    void *ctx;
    int64_t bytes; /* written so far: where the next header will stand */
};

void tar_writer_init(struct tar_writer *writer, tar_write *write, void *ctx);
/* A regular file. ERR_INVALID for a name that is empty, begins or ends with "/", or does not fit
 * name (100) and prefix (155), or for too many bytes. data may be NULL when bytes is 0. */
CHECKED int tar_writer_add(struct tar_writer *writer, const char *name, const void *data,
                           size_t bytes, struct err *err);
CHECKED int tar_writer_end(struct tar_writer *writer, struct err *err);
/* A tar_write that appends to a struct buf, for samples that are packed by one thread and written
 * by another. */
int tar_write_buf(void *buf, const void *data, size_t bytes, struct err *err);

struct tar_member {
    char name[TAR_MEMBER_NAME_BYTES];
    int64_t bytes;
    int64_t offset; /* of the data in the archive */
};

struct tar_reader {
    tar_read *read;
    void *ctx;
    int64_t offset;  /* of the next byte to read */
    int64_t left;    /* bytes of the current member not read yet */
    int64_t padding; /* after them */
    bool ended;      /* no more members */
    bool complete;   /* with zero blocks, as it should be */
};

void tar_reader_init(struct tar_reader *reader, tar_read *read, void *ctx);
/* Skips what is left of the current member and goes to the next; *found false: the end. */
CHECKED int tar_reader_next(struct tar_reader *reader, struct tar_member *member, bool *found,
                            struct err *err);
/* Goes behind the current member without reading it, in an archive of archive_bytes whose read
 * looks at reader.offset (a file that is read by pread). ERR_CORRUPT: the archive ends within it.
 */
CHECKED int tar_reader_jump(struct tar_reader *reader, int64_t archive_bytes, struct err *err);
/* Reads up to bytes of the current member; *got 0: its end. */
CHECKED int tar_reader_data(struct tar_reader *reader, void *dst, size_t bytes, size_t *got,
                            struct err *err);
/* Appends all that is left of the current member; ERR_LIMIT above out's limit or bytes_max. */
CHECKED int tar_reader_all(struct tar_reader *reader, struct buf *out, size_t bytes_max,
                           struct err *err);

#endif
