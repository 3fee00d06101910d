/* same.c - a sorted array of URLs, and a file of bodies. */
#include "worker/list/same.h"

#include "common/base/check.h"
#include "common/base/fs.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BLOCK_BYTES 4096

struct same {
    uint8_t (*noted)[SAME_ID_BYTES]; /* during the first pass */
    uint32_t noted_count, noted_max;
    struct same_url *url; /* sorted by id */
    uint32_t count;
    char *path;
    int fd; /* -1: not made */
    int64_t file_bytes, taken_bytes, bytes_max;
    bool told; /* that there is no room */
};

int same_new(struct same **same_out, uint32_t rows, const char *scratch_path, int64_t bytes_max,
             struct err *err)
{
    struct same *same = mem_new(sizeof *same);
    const size_t bytes = strlen(scratch_path) + 1;
    same->fd = -1;
    same->path = memcpy(mem_new(bytes), scratch_path, bytes);
    same->bytes_max = bytes_max;
    same->noted_max = rows;
    same->noted = mem_try((size_t)rows * sizeof *same->noted);
    *same_out = same;
    return same->noted ? 0 : err_set(err, ERR_LIMIT, "no memory for the URLs of %u rows", rows);
}

void same_free(struct same *same)
{
    if (!same) return;
    if (same->fd >= 0) (void)close(same->fd);
    for (uint32_t i = 0; i < same->count; i++) mem_free(same->url[i].final_url);
    mem_free(same->noted);
    mem_free(same->url);
    mem_free(same->path);
    mem_free(same);
}

static void id_of(uint8_t id[SAME_ID_BYTES], const char *url)
{
    uint8_t digest[HASH_SHA256_BYTES];
    hash_sha256(digest, url, strlen(url));
    memcpy(id, digest, SAME_ID_BYTES);
}

void same_note(struct same *same, const char *url)
{
    CHECK(same->noted_count < same->noted_max);
    id_of(same->noted[same->noted_count++], url);
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, SAME_ID_BYTES); /* of a struct same_url it is the first field, too */
}

/* The ids that came more than once; into NULL: only how many. */
static uint32_t gather(const struct same *same, struct same_url *into)
{
    uint32_t count = 0;
    for (uint32_t from = 0, to; from < same->noted_count; from = to) {
        for (to = from + 1; to < same->noted_count && !compare(same->noted[from], same->noted[to]);)
            to++;
        if (to - from < 2) continue;
        if (into) {
            memcpy(into[count].id, same->noted[from], SAME_ID_BYTES);
            into[count].rows_left = to - from;
        }
        count++;
    }
    return count;
}

void same_seal(struct same *same)
{
    qsort(same->noted, same->noted_count, sizeof *same->noted, compare);
    const uint32_t count = gather(same, NULL);
    if (count) same->url = mem_try((size_t)count * sizeof *same->url);
    if (same->url) same->count = gather(same, same->url);
    mem_free(same->noted);
    same->noted = NULL;
}

struct same_url *same_find(const struct same *same, const char *url)
{
    uint8_t id[SAME_ID_BYTES];
    if (!same->count) return NULL;
    id_of(id, url);
    return bsearch(id, same->url, same->count, sizeof *same->url, compare);
}

/* Bodies begin at the file system's blocks, so that all of one can be given back. */
static int64_t blocks_of(size_t bytes)
{
    return ((int64_t)bytes + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
}

/* The file has no name: a crash leaves nothing behind. */
static int make_file(struct same *same, struct err *err)
{
    if (same->fd >= 0) return 0;
    const int fd = open(same->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) return err_errno(err, errno, "create %s", same->path);
    if (unlink(same->path)) {
        (void)close(fd);
        return err_errno(err, errno, "remove %s", same->path);
    }
    same->fd = fd;
    return 0;
}

static int write_body(struct same *same, struct same_url *url, const struct buf *body,
                      struct err *err)
{
    const int64_t blocks = blocks_of(body->len), offset = same->file_bytes;
    if (same->taken_bytes + blocks > same->bytes_max)
        return err_set(err, ERR_LIMIT, "%s is as large as it may be", same->path);
    int rc = make_file(same, err);
    if (rc) return rc;
    if (lseek(same->fd, (off_t)offset, SEEK_SET) < 0)
        rc = err_errno(err, errno, "seek in %s", same->path);
    if (!rc) rc = fs_write_all(same->fd, body->data, body->len, same->path, err);
    if (rc) {
        (void)!ftruncate(same->fd, (off_t)offset);
        return rc;
    }
    url->offset = offset;
    url->bytes = body->len;
    same->file_bytes += blocks;
    same->taken_bytes += blocks;
    return 0;
}

/* Of the rows that will be served by this fetch. */
static uint32_t copies_of(const struct same_url *url)
{
    uint32_t count = url->rows_left;
    for (const struct fetch_item *item = url->waiting; item; item = item->next) count++;
    return count;
}

static int keep_final_url(struct same_url *url, const struct buf *final_url, struct err *err)
{
    mem_free(url->final_url); /* of an earlier fetch, whose body was not kept */
    url->final_url = NULL;
    if (!final_url || !final_url->len) return 0;
    url->final_url = mem_try(final_url->len + 1);
    if (!url->final_url) return err_set(err, ERR_LIMIT, "no memory for a URL");
    memcpy(url->final_url, final_url->data, final_url->len);
    return 0;
}

int same_keep(struct same *same, struct same_url *url, const struct fetch_item *item, bool *kept,
              struct err *err)
{
    struct err why;
    CHECK(!url->done);
    *kept = false;
    url->bytes = 0;
    const int rc = keep_final_url(url, item->final_url, err);
    if (rc) return rc;
    if (item->body.len && write_body(same, url, &item->body, &why)) {
        if (!same->told) log_info("same.full", "msg=%s", log_quote(why.msg));
        same->told = true;
        return 0;
    }
    url->status = item->status;
    url->http_status = item->http_status;
    memcpy(url->content_type, item->content_type, sizeof url->content_type);
    url->copies_left = copies_of(url);
    url->done = *kept = true;
    return 0;
}

/* Gives the body's blocks back. Where a file system cannot do that, they go on counting. */
static void release(struct same *same, const struct same_url *url)
{
    const int64_t blocks = blocks_of(url->bytes);
    if (!syscall(SYS_fallocate, same->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, url->offset,
                 blocks))
        same->taken_bytes -= blocks;
}

int64_t same_bytes(const struct same *same)
{
    return same->taken_bytes;
}

int same_copy(struct same *same, struct same_url *url, struct fetch_item *item, struct err *err)
{
    CHECK(url->done && url->copies_left > 0);
    url->copies_left--;
    item->status = url->status;
    item->http_status = url->http_status;
    memcpy(item->content_type, url->content_type, sizeof item->content_type);
    if (item->final_url) buf_clear(item->final_url);
    if (item->final_url && url->final_url) buf_text(item->final_url, url->final_url);
    buf_clear(&item->body);
    if (!url->bytes) return 0;
    char *place = buf_reserve(&item->body, url->bytes);
    if (!place) return err_set(err, ERR_LIMIT, "no memory for a body of %zu bytes", url->bytes);
    for (size_t done = 0; done < url->bytes;) {
        const ssize_t got =
            pread(same->fd, place + done, url->bytes - done, (off_t)url->offset + (off_t)done);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return err_errno(err, errno, "read %s", same->path);
        if (got == 0) return err_set(err, ERR_CORRUPT, "%s was cut short", same->path);
        done += (size_t)got;
    }
    buf_commit(&item->body, url->bytes);
    if (!url->copies_left) release(same, url);
    return 0;
}
