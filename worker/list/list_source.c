/* list_source.c - read(2) or a store's ranges, and zlib behind them where the bytes ask for it; or
 * a feed. */
#include "worker/list/list_source.h"

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define RAW_BYTES   (256 * 1024)
#define NAME_BYTES  256
#define GZIP_WINDOW (15 + 16) /* the largest window; a gzip header is expected */

struct list_source {
    struct list_feed feed; /* read NULL: none */
    int fd;                /* -1: an object, or a feed */
    struct store *store;   /* not owned */
    char name[NAME_BYTES];
    int64_t offset;                          /* of the next byte to read, in the file or object */
    struct hash *hash;                       /* not owned; NULL: none */
    int (*look)(void *ctx, struct err *err); /* NULL: nobody watches */
    void *look_ctx;
    bool compressed, inflating, raw_ended;
    bool in_member; /* a gzip member has begun and not ended */
    z_stream zip;
    uint8_t *raw;
    size_t raw_pos, raw_len;
};

static int read_file(struct list_source *source, void *dst, size_t bytes, size_t *got,
                     struct err *err)
{
    for (;;) {
        const ssize_t n = pread(source->fd, dst, bytes, (off_t)source->offset);
        if (n >= 0) {
            *got = (size_t)n;
            return 0;
        }
        if (errno != EINTR) return err_errno(err, errno, "read the list %s", source->name);
    }
}

static int read_raw(struct list_source *source, void *dst, size_t bytes, size_t *got,
                    struct err *err)
{
    int rc = source->fd >= 0 ? read_file(source, dst, bytes, got, err)
                             : store_get_range(source->store, dst, source->name, source->offset,
                                               bytes, got, err);
    if (rc) return rc;
    source->offset += (int64_t)*got;
    if (source->hash) hash_add(source->hash, dst, *got);
    return 0;
}

static int look_up(const struct list_source *source, struct err *err)
{
    return source->look ? source->look(source->look_ctx, err) : 0;
}

static int fill_raw(struct list_source *source, struct err *err)
{
    if (source->raw_pos < source->raw_len || source->raw_ended) return 0;
    source->raw_pos = source->raw_len = 0;
    int rc = look_up(source, err);
    if (!rc) rc = read_raw(source, source->raw, RAW_BYTES, &source->raw_len, err);
    if (!rc && source->raw_len == 0) source->raw_ended = true;
    return rc;
}

/* Looks at the first bytes; they stay in the buffer for the first read. */
static int sniff(struct list_source *source, struct err *err)
{
    source->raw = mem_try(RAW_BYTES);
    if (!source->raw) return err_set(err, ERR_LIMIT, "no memory to read the list");
    const int rc = fill_raw(source, err);
    if (rc) return rc;
    source->compressed = source->raw_len >= 2 && source->raw[0] == 0x1f && source->raw[1] == 0x8b;
    if (!source->compressed) return 0;
    if (inflateInit2(&source->zip, GZIP_WINDOW) != Z_OK)
        return err_set(err, ERR_LIMIT, "no memory to decompress the list");
    source->inflating = true;
    return 0;
}

int list_source_open(struct list_source **source_out, const char *path, struct err *err)
{
    struct list_source *source = mem_new(sizeof *source);
    int rc = 0;
    struct stat info;
    (void)str_copy(source->name, sizeof source->name, path);
    source->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (source->fd < 0)
        rc = err_errno(err, errno, "open the list %s", path);
    else if (fstat(source->fd, &info))
        rc = err_errno(err, errno, "look at the list %s", path);
    else if (S_ISDIR(info.st_mode))
        rc = err_set(err, ERR_INVALID, "%s is a folder: name one list file", path);
    else if (!S_ISREG(info.st_mode)) /* a list is read more than once */
        rc = err_set(err, ERR_INVALID, "%s is not a regular file", path);
    if (!rc) rc = sniff(source, err);
    if (rc) {
        list_source_close(source);
        return rc;
    }
    *source_out = source;
    return 0;
}

int list_source_open_object(struct list_source **source_out, struct store *store, const char *name,
                            struct err *err)
{
    struct list_source *source = mem_new(sizeof *source);
    source->fd = -1;
    source->store = store;
    CHECK(str_copy(source->name, sizeof source->name, name));
    source->raw = mem_try(RAW_BYTES);
    int rc =
        source->raw ? fill_raw(source, err) : err_set(err, ERR_LIMIT, "no memory to read the list");
    if (rc) {
        list_source_close(source);
        return rc;
    }
    *source_out = source;
    return 0;
}

struct list_source *list_source_of_feed(struct list_feed feed)
{
    struct list_source *source = mem_new(sizeof *source);
    source->feed = feed;
    source->fd = -1;
    return source;
}

void list_source_close(struct list_source *source)
{
    if (!source) return;
    if (source->feed.close) source->feed.close(source->feed.ctx);
    if (source->inflating) (void)inflateEnd(&source->zip);
    if (source->fd >= 0) (void)close(source->fd);
    mem_free(source->raw);
    mem_free(source);
}

bool list_source_is_stream(const struct list_source *source)
{
    return source->compressed || source->feed.read;
}

void list_source_hash(struct list_source *source, struct hash *hash)
{
    CHECK(!source->feed.read);
    source->hash = hash;
    hash_add(hash, source->raw + source->raw_pos, source->raw_len - source->raw_pos);
}

void list_source_watch(struct list_source *source, int (*look)(void *ctx, struct err *err),
                       void *ctx)
{
    source->look = look;
    source->look_ctx = ctx;
}

static int broken(const struct list_source *source, const char *what, struct err *err)
{
    return err_set(err, ERR_INVALID, "the list %s %s", source->name, what);
}

/* Between members: another one, padding, or the end. */
static int next_member(struct list_source *source, bool *ended, struct err *err)
{
    *ended = false;
    for (;;) {
        int rc = fill_raw(source, err);
        if (rc) return rc;
        if (source->raw_pos == source->raw_len) {
            *ended = true;
            return 0;
        }
        const uint8_t byte = source->raw[source->raw_pos];
        if (byte == 0x1f) break;
        if (byte != 0) return broken(source, "has bytes after its gzip data", err);
        source->raw_pos++;
    }
    if (inflateReset(&source->zip) != Z_OK) return broken(source, "cannot be decompressed", err);
    source->in_member = true;
    return 0;
}

static int inflate_some(struct list_source *source, size_t *got, struct err *err)
{
    int rc = fill_raw(source, err);
    if (rc) return rc;
    if (source->raw_pos == source->raw_len)
        return broken(source, "is cut short: its gzip data ends midway", err);
    z_stream *zip = &source->zip;
    const uInt room = zip->avail_out;
    zip->next_in = source->raw + source->raw_pos;
    zip->avail_in = (uInt)(source->raw_len - source->raw_pos);
    const int zrc = inflate(zip, Z_NO_FLUSH);
    source->raw_pos = source->raw_len - zip->avail_in;
    *got = room - zip->avail_out;
    if (zrc == Z_STREAM_END) {
        source->in_member = false;
        return 0;
    }
    if (zrc != Z_OK && zrc != Z_BUF_ERROR) return broken(source, "has broken gzip data", err);
    return 0;
}

static int read_compressed(struct list_source *source, void *dst, size_t bytes, size_t *got,
                           struct err *err)
{
    *got = 0;
    source->zip.next_out = dst;
    source->zip.avail_out = (uInt)(bytes < INT_MAX ? bytes : INT_MAX);
    while (*got == 0) {
        bool ended = false;
        int rc = source->in_member ? 0 : next_member(source, &ended, err);
        if (rc) return rc;
        if (ended) return 0;
        rc = inflate_some(source, got, err);
        if (rc) return rc;
    }
    return 0;
}

int list_source_read(struct list_source *source, void *dst, size_t bytes, size_t *got,
                     struct err *err)
{
    CHECK(bytes > 0);
    int rc = look_up(source, err);
    if (rc) return rc;
    if (source->feed.read) return source->feed.read(source->feed.ctx, dst, bytes, got, err);
    if (source->compressed) return read_compressed(source, dst, bytes, got, err);
    rc = fill_raw(source, err);
    if (rc) return rc;
    const size_t left = source->raw_len - source->raw_pos;
    *got = left < bytes ? left : bytes;
    memcpy(dst, source->raw + source->raw_pos, *got);
    source->raw_pos += *got;
    return 0;
}

int list_source_seek(struct list_source *source, uint64_t offset, struct err *err)
{
    if (list_source_is_stream(source))
        return broken(source, "is compressed and cannot be entered midway", err);
    if (offset > INT64_MAX) return broken(source, "is not that long", err);
    source->offset = (int64_t)offset;
    source->raw_pos = source->raw_len = 0;
    source->raw_ended = false;
    return 0;
}
