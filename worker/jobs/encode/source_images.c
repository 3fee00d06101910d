/* source_images.c - the pictures of a folder that the plan has listed for one shard.
 *
 * A picture's key is its path in the folder. Its caption and JSON stand beside it under the same
 * name with their own endings. A picture that has gone or changed since it was listed is a row that
 * says so. */
#include "common/base/fs.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "worker/jobs/encode/listing.h"
#include "worker/jobs/encode/source_index.h"
#include "worker/jobs/encode/source_text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct images_source {
    struct source source;
    const struct source_env *env;
    struct buf listing;
    const char *at; /* in it */
    uint32_t next;
};

/* The picture's bytes, or the row's reason. Only what may pass is an error. */
static int read_picture(const struct images_source *images, struct encode_sample *sample,
                        const char *path, int64_t bytes, struct err *err)
{
    struct err why;
    if (bytes > (int64_t)images->env->options->body_bytes) {
        source_fail(sample, SOURCE_TOO_LARGE,
                    "the picture's file has %" PRId64 " bytes, above --body-bytes", bytes);
        return 0;
    }
    const int rc = fs_read(&sample->picture, path, (size_t)bytes, &why);
    if (!rc && sample->picture.len == (size_t)bytes) return 0;
    if (!rc || (rc == ERR_LIMIT && !buf_failed(&sample->picture)))
        source_fail(sample, SOURCE_CHANGED, "the file has changed since the job was planned");
    else if (rc == ERR_NOT_FOUND)
        source_fail(sample, SOURCE_MISSING, "the file has gone since the job was planned");
    else if (rc == ERR_DENIED)
        source_fail(sample, SOURCE_UNREADABLE, "the worker may not read the file");
    else
        return err_set(err, (enum err_code)rc, "%s", why.msg);
    return 0;
}

/* "a/b.c.jpg" to "a/b.c.txt"; false: too long. */
static bool beside(char dst[PATH_MAX], const char *path, const char *ending)
{
    const char *dot = strrchr(path, '.'); /* a picture has an ending */
    const int bytes = snprintf(dst, PATH_MAX, "%.*s.%s", (int)(dot - path), path, ending);
    return bytes > 0 && bytes < PATH_MAX;
}

/* The beginning of a file, or all of it. One that is missing, may not be read or changes while it
 * is read is none. */
static int read_head(struct buf *text, bool *found, const char *path, int64_t bytes_max, bool whole,
                     struct err *err)
{
    struct stat info;
    struct err why;
    int rc = 0, fd = -1;
    *found = false;
    if (stat(path, &info))
        rc = err_errno(&why, errno, "look at %s", path);
    else if (!S_ISREG(info.st_mode) || (whole && info.st_size > bytes_max))
        return 0;
    else if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
        rc = err_errno(&why, errno, "open %s", path);
    else
        rc = source_read_range(text, fd, path, 0,
                               info.st_size < bytes_max ? info.st_size : bytes_max, &why);
    if (fd >= 0) (void)close(fd);
    *found = !rc;
    if (!rc || rc == ERR_NOT_FOUND || rc == ERR_DENIED || rc == ERR_CORRUPT) return 0;
    return err_set(err, why.code, "%s", why.msg);
}

static int read_texts(const struct images_source *images, struct encode_sample *sample,
                      const char *path, struct err *err)
{
    struct buf text;
    char name[PATH_MAX];
    bool found = false;
    int rc = 0;
    buf_init(&text, 0);
    /* One byte more than is kept, so that what is cut off is known to be there. */
    if (beside(name, path, images->env->options->caption_key))
        rc = read_head(&text, &found, name, (int64_t)CAPTION_BYTES_MAX + 1, false, err);
    if (found) source_set_caption(sample, buf_str(&text), text.len);
    buf_clear(&text);
    found = false;
    if (!rc && beside(name, path, "json"))
        rc = read_head(&text, &found, name, (int64_t)JSON_BYTES_MAX, true, err);
    if (found) source_set_json(sample, buf_str(&text), text.len);
    buf_deinit(&text);
    return rc;
}

static int images_next(struct source *source, struct encode_sample *sample, bool *found,
                       struct err *err)
{
    struct images_source *images = (struct images_source *)source;
    const char *name, *end = buf_str(&images->listing) + images->listing.len;
    char path[PATH_MAX];
    int64_t bytes;
    *found = false;
    int rc = source_look(images->env, err);
    if (rc || images->next == source->rows) return rc;
    /* The hash was right, so the plan wrote it so. */
    if (!listing_next(&images->at, end, &name, &bytes))
        return err_set(err, ERR_INTERNAL, "the shard's listing is damaged");
    *found = true;
    sample->index = images->next++;
    source_set_key(sample, name);
    if (!fs_join(path, sizeof path, images->env->options->input, name)) {
        source_fail(sample, SOURCE_UNREADABLE, "the file's path is too long");
        return 0;
    }
    rc = read_picture(images, sample, path, bytes, err);
    return rc ? rc : read_texts(images, sample, path, err);
}

static void images_close(struct source *source)
{
    struct images_source *images = (struct images_source *)source;
    buf_deinit(&images->listing);
    mem_free(images);
}

static int images_open(struct source **source, const struct source_env *env, struct err *err)
{
    char name[LISTING_NAME_BYTES];
    const Vlmq__Jobs__EncodeShard *shard = env->shard;
    struct images_source *images = mem_new(sizeof *images);
    images->env = env;
    images->source.rows = shard->rows;
    buf_init(&images->listing, 0);
    listing_name(name, shard->shard);
    int rc = store_get(env->output, &images->listing, name, (size_t)shard->bytes, err);
    if (!rc &&
        (images->listing.len != shard->bytes || listing_hash(&images->listing) != shard->hash))
        rc = err_set(err, ERR_INVALID,
                     "%s in the output is not what the plan wrote: submit the job "
                     "again, with another --output",
                     name);
    images->at = buf_str(&images->listing);
    if (rc)
        images_close(&images->source);
    else
        *source = &images->source;
    return rc;
}

const struct source_driver source_images = {
    .stage = "read",
    .open = images_open,
    .next = images_next,
    .close = images_close,
};
