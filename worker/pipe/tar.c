/* tar.c - the writer of tar.h; the reader stands in tar_read.c. */
#include "worker/pipe/tar.h"

#include "common/base/check.h"
#include "worker/pipe/tar_header.h"

#include <stdio.h>
#include <string.h>

static const uint8_t zeros[TAR_BLOCK_BYTES * 2];

void tar_writer_init(struct tar_writer *writer, tar_write *write, void *ctx)
{
    *writer = (struct tar_writer){.write = write, .ctx = ctx};
}

static int put(struct tar_writer *writer, const void *data, size_t bytes, struct err *err)
{
    if (!bytes) return 0;
    const int rc = writer->write(writer->ctx, data, bytes, err);
    if (!rc) writer->bytes += (int64_t)bytes;
    return rc;
}

/* Splits a long name at a "/" into prefix and name; false when it fits nowhere. */
static bool put_name(struct tar_header *header, const char *name)
{
    const size_t bytes = strlen(name);
    if (bytes <= sizeof header->name) {
        memcpy(header->name, name, bytes);
        return true;
    }
    if (bytes > sizeof header->prefix + 1 + sizeof header->name) return false;
    for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
        const size_t before = (size_t)(slash - name);
        const size_t after = bytes - before - 1;
        if (before > sizeof header->prefix) return false;
        if (after > sizeof header->name) continue;
        memcpy(header->prefix, name, before);
        memcpy(header->name, slash + 1, after);
        return true;
    }
    return false;
}

/* Octal digits with leading zeros, filling the field up to its final zero. */
static void put_octal(char *field, size_t field_bytes, uint64_t value)
{
    for (size_t i = field_bytes - 1; i-- > 0; value >>= 3) field[i] = (char)('0' + (value & 7));
    field[field_bytes - 1] = 0;
    CHECK(value == 0);
}

static bool make_header(struct tar_header *header, const char *name, size_t bytes)
{
    memset(header, 0, sizeof *header);
    if (!put_name(header, name)) return false;
    put_octal(header->mode, sizeof header->mode, 0644);
    put_octal(header->uid, sizeof header->uid, 0);
    put_octal(header->gid, sizeof header->gid, 0);
    put_octal(header->size, sizeof header->size, bytes);
    put_octal(header->mtime, sizeof header->mtime, 0);
    header->type = '0';
    memcpy(header->magic,
           "ustar\0"
           "00",
           sizeof header->magic);
    put_octal(header->device_major, sizeof header->device_major, 0);
    put_octal(header->device_minor, sizeof header->device_minor, 0);
    put_octal(header->sum, sizeof header->sum - 1, tar_header_sum(header));
    header->sum[sizeof header->sum - 1] = ' ';
    return true;
}

int tar_writer_add(struct tar_writer *writer, const char *name, const void *data, size_t bytes,
                   struct err *err)
{
    if (!name[0] || name[0] == '/' || name[strlen(name) - 1] == '/')
        return err_set(err, ERR_INVALID, "\"%s\" cannot name a member", name);
    if ((uint64_t)bytes > (uint64_t)TAR_MEMBER_BYTES_MAX)
        return err_set(err, ERR_INVALID, "%s: %zu bytes are too many for a member", name, bytes);
    struct tar_header header;
    if (!make_header(&header, name, bytes))
        return err_set(err, ERR_INVALID, "\"%.100s…\" is too long to name a member", name);
    int rc = put(writer, &header, sizeof header, err);
    if (!rc) rc = put(writer, data, bytes, err);
    if (!rc) rc = put(writer, zeros, tar_padding(bytes), err);
    return rc;
}

int tar_writer_end(struct tar_writer *writer, struct err *err)
{
    return put(writer, zeros, sizeof zeros, err);
}

int tar_write_buf(void *buf, const void *data, size_t bytes, struct err *err)
{
    buf_add(buf, data, bytes);
    if (!buf_failed(buf)) return 0;
    return err_set(err, ERR_LIMIT, "no room for %zu more bytes of a tar", bytes);
}
