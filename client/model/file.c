/* file.c - one file of a repository: asked for, gone on with, checked, and asked for again.
 *
 * What has come is in NAME.part; NAME.etag is what the server called it, so that a range of it is
 * answered only as long as it is the same (If-Range, RFC 9110 13.1.5). A part that is whole and has
 * the hash of the listing becomes NAME, with its SHA-256 in NAME.sha256. One that has another is
 * thrown away and fetched once more: a proxy may have broken it. */
#include "client/model/inside.h"
#include "common/base/fs.h"
#include "common/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BYTES ((size_t)1024 * 1024)
/* A second copy that is wrong too is what the server has. */
#define WRONG_MAX 2
/* Files without a SHA-256 in the listing are small: the hub takes larger ones as LFS only. */
#define SMALL_BYTES_MAX ((int64_t)256 * 1024 * 1024)

struct fetch {
    struct pull *pull;
    const struct hub_file *file;
    char part[PATH_MAX], etag_path[PATH_MAX];
    char etag[128]; /* of what is in the part; "": not known */
    int fd;
    int64_t have;      /* bytes of the part */
    struct hash *hash; /* of them */
    bool appended;     /* in this try */
};

/* ---- the part ---- */

static int read_part(struct fetch *f, struct err *err)
{
    char *block = mem_new(READ_BYTES);
    int rc = 0;
    for (ssize_t got = 1; !rc && got;) {
        got = pread(f->fd, block, READ_BYTES, f->have);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) rc = err_errno(err, errno, "read %s", f->part);
        if (got > 0) hash_add(f->hash, block, (size_t)got);
        if (got > 0) f->have += got;
    }
    mem_free(block);
    if (!rc && lseek(f->fd, f->have, SEEK_SET) < 0)
        rc = err_errno(err, errno, "seek in %s", f->part);
    return rc;
}

static int start_anew(struct fetch *f, struct err *err)
{
    uint8_t unused[HASH_SHA256_BYTES];
    hash_end(f->hash, unused);
    f->pull->meter.bytes -= f->have;
    f->have = 0;
    f->etag[0] = 0;
    (void)unlink(f->etag_path);
    if (ftruncate(f->fd, 0)) return err_errno(err, errno, "truncate %s", f->part);
    if (lseek(f->fd, 0, SEEK_SET) < 0) return err_errno(err, errno, "seek in %s", f->part);
    return 0;
}

/* The part as an earlier pull has left it. */
static int open_part(struct fetch *f, struct err *err)
{
    struct buf etag;
    struct err ignored;
    f->fd = open(f->part, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (f->fd < 0) return err_errno(err, errno, "open %s", f->part);
    f->hash = hash_new();
    int rc = read_part(f, err);
    if (rc) return rc;
    f->pull->meter.bytes += f->have;
    if (f->have > f->file->bytes) return start_anew(f, err);
    buf_init(&etag, 0);
    if (!fs_read(&etag, f->etag_path, sizeof f->etag - 1, &ignored))
        (void)str_copy(f->etag, sizeof f->etag, buf_str(&etag));
    buf_deinit(&etag);
    if (f->etag[strcspn(f->etag, "\r\n")]) f->etag[0] = 0;
    return 0;
}

static void close_part(struct fetch *f)
{
    if (f->fd >= 0) (void)close(f->fd);
    hash_free(f->hash);
}

/* ---- what comes ---- */

static int on_begin(void *ctx, long status, const struct hub_headers *headers, struct err *err)
{
    struct fetch *f = ctx;
    int rc = 0;
    if (status == 206 && headers->range_at != f->have)
        return err_set(err, ERR_CORRUPT, "another range came of %s than was asked for",
                       f->file->path);
    /* Looked at before anything is thrown away: who answers may be no hub at all. */
    const int64_t from = status == 206 ? f->have : 0;
    const int64_t all = headers->length < 0 ? f->file->bytes : from + headers->length;
    if (all != f->file->bytes)
        return err_set(err, ERR_CORRUPT,
                       "%s would come with %" PRId64 " bytes; the hub lists %" PRId64,
                       f->file->path, all, f->file->bytes);
    if (status == 200)
        rc = start_anew(f, err); /* all of it: it has changed, or ranges are not had */
    if (rc || status == 206 || !headers->etag[0]) return rc;
    (void)str_copy(f->etag, sizeof f->etag, headers->etag);
    return fs_put(f->etag_path, f->etag, strlen(f->etag), err);
}

static int on_body(void *ctx, const void *data, size_t bytes, struct err *err)
{
    struct fetch *f = ctx;
    if ((int64_t)bytes > f->file->bytes - f->have)
        return err_set(err, ERR_CORRUPT, "more comes of %s than the %" PRId64 " bytes listed",
                       f->file->path, f->file->bytes);
    f->appended = true;
    const int rc = fs_write_all(f->fd, data, bytes, f->part, err);
    if (rc) return rc;
    hash_add(f->hash, data, bytes);
    f->have += (int64_t)bytes;
    f->pull->meter.bytes += (int64_t)bytes;
    return 0;
}

/* ---- the end ---- */

static int check_git(const struct fetch *f, struct err *err)
{
    struct buf text;
    char name[HASH_GIT_TEXT];
    if (f->file->bytes > SMALL_BYTES_MAX)
        return err_set(err, ERR_LIMIT,
                       "the hub lists no SHA-256 of %s, which is too large for that",
                       f->file->path);
    buf_init(&text, 0);
    int rc = fs_read(&text, f->part, (size_t)SMALL_BYTES_MAX, err);
    /* Without SHA-1 (FIPS) the size must do. */
    if (!rc && hash_git_blob(name, buf_str(&text), text.len) && !str_eq(name, f->file->git))
        rc = err_set(err, ERR_CORRUPT, "%s came with another content than the hub lists",
                     f->file->path);
    buf_deinit(&text);
    return rc;
}

static int check(struct fetch *f, char sha256[HASH_SHA256_TEXT], struct err *err)
{
    uint8_t digest[HASH_SHA256_BYTES];
    hash_peek(f->hash, digest);
    str_hex(sha256, digest, sizeof digest);
    if (!f->file->sha256[0]) return check_git(f, err);
    if (str_eq(sha256, f->file->sha256)) return 0;
    return err_set(err, ERR_CORRUPT, "%s came with another content than the hub lists",
                   f->file->path);
}

static int finish(const struct fetch *f, const char *sha256, struct err *err)
{
    char whole[PATH_MAX], sum[PATH_MAX];
    struct stat info;
    /* The hash is of what came; that it all went to the disk is to be seen there. */
    if (fstat(f->fd, &info) || info.st_size != f->file->bytes)
        return err_set(err, ERR_INTERNAL, "%s has another size than was written", f->part);
    int rc = places_part(whole, &f->pull->places, f->file, "", err);
    if (!rc) rc = places_part(sum, &f->pull->places, f->file, ".sha256", err);
    if (!rc && fsync(f->fd)) rc = err_errno(err, errno, "fsync %s", f->part);
    if (!rc) rc = fs_put(sum, sha256, HASH_SHA256_TEXT - 1, err);
    if (!rc && rename(f->part, whole)) rc = err_errno(err, errno, "rename to %s", whole);
    if (!rc) (void)unlink(f->etag_path);
    return rc;
}

/* ---- the tries ---- */

/* One request. 0: it may be whole now; *refused: it never will be. */
static int get(struct fetch *f, struct hub_headers *headers, bool *refused, struct err *err)
{
    struct buf url;
    long status = 0;
    struct pull *pull = f->pull;
    struct hub_about about = pull->about;
    about.path = f->file->path;
    buf_init(&url, 0);
    int rc = 0;
    if (!hub_file_url(&url, pull->endpoint, pull->repo, pull->commit, f->file->path))
        rc = err_set(err, ERR_INVALID, "the address of %.80s is too long", f->file->path);
    const struct http_request request = {
        .url = buf_str(&url),
        .from = f->have,
        .if_range = f->etag[0] ? f->etag : NULL,
        .begin = on_begin,
        .body = on_body,
        .ctx = f,
    };
    if (!rc) rc = http_get(pull->http, &request, &status, headers, err);
    buf_deinit(&url);
    if (rc) {
        *refused = rc != ERR_UNAVAILABLE && rc != ERR_TIMEOUT && rc != ERR_CORRUPT;
        return rc;
    }
    if (status == 200 || status == 206) return 0;
    if (status == 416) { /* what we have is no beginning of what is there */
        rc = start_anew(f, err);
        *refused = rc != 0;
        return rc ? rc : err_set(err, ERR_CORRUPT, "a range of %s is refused", f->file->path);
    }
    *refused = !hub_may_retry(status);
    return hub_refuse(&about, status, headers->error_code, err);
}

/* Gets until the part is as long as it must be. */
static int fill(struct fetch *f, uint32_t *wrong, struct err *err)
{
    struct hub_headers headers;
    uint32_t tries = 0;
    hub_headers_init(&headers);
    while (f->have < f->file->bytes) {
        bool refused = false;
        const int64_t before = f->have;
        f->appended = false;
        int rc = get(f, &headers, &refused, err);
        if (!rc && f->have < f->file->bytes)
            rc = err_set(err, ERR_UNAVAILABLE, "%s broke off at %" PRId64 " of %" PRId64 " bytes",
                         f->file->path, f->have, f->file->bytes);
        if (!rc) break;
        if (refused) return rc;
        if (rc == ERR_CORRUPT) {
            struct err anew;
            if (++*wrong >= WRONG_MAX) return rc;
            if (f->appended && start_anew(f, &anew)) return err_set(err, anew.code, "%s", anew.msg);
        }
        tries = f->have > before ? 1 : tries + 1;
        if (tries >= TRIES_MAX) return rc;
        meter_say(&f->pull->meter, "%s; trying again", err->msg);
        rc = pull_wait(f->pull, tries, &headers, err);
        if (rc) return rc;
    }
    return 0;
}

static int fetch(struct fetch *f, struct err *err)
{
    char sha256[HASH_SHA256_TEXT];
    uint32_t wrong = 0;
    int rc = open_part(f, err);
    while (!rc) {
        rc = fill(f, &wrong, err);
        if (rc) return rc;
        rc = check(f, sha256, err);
        if (!rc) return finish(f, sha256, err);
        /* Nothing wrong is kept, whoever looks at it next. */
        struct err anew;
        if (start_anew(f, &anew)) return err_set(err, anew.code, "%s", anew.msg);
        if (rc != ERR_CORRUPT || ++wrong >= WRONG_MAX) return err_wrap(err, "%d times", (int)wrong);
        meter_say(&f->pull->meter, "%s; fetching it again", err->msg);
        rc = 0;
    }
    return rc;
}

int pull_file(struct pull *pull, const struct hub_file *file, struct err *err)
{
    char whole[PATH_MAX];
    struct fetch f = {.pull = pull, .file = file, .fd = -1};
    int rc = places_part(whole, &pull->places, file, "", err);
    if (!rc) rc = places_part(f.part, &pull->places, file, ".part", err);
    if (!rc) rc = places_part(f.etag_path, &pull->places, file, ".etag", err);
    if (rc) return rc;
    if (fs_exists(whole)) { /* of a pull that was interrupted behind it */
        pull->meter.bytes += file->bytes;
        return 0;
    }
    rc = fetch(&f, err);
    close_part(&f);
    if (!rc) pull->fetched++;
    return rc;
}
