/* source_index.c - see source_index.h. */
#include "worker/jobs/encode/source_index.h"

#include "worker/jobs/encode/source_text.h"

#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

int source_look(const struct source_env *env, struct err *err)
{
    if (!atomic_load(env->abort) && job_stopping(env->env) <= JOB_STOP_DRAIN) return 0;
    return err_set(err, ERR_CANCELLED, "reading was stopped");
}

int source_read_range(struct buf *out, int fd, const char *path, int64_t offset, int64_t bytes,
                      struct err *err)
{
    char *place = buf_reserve(out, (size_t)bytes + 1); /* what is empty has a place too */
    if (!place) return err_set(err, ERR_LIMIT, "no memory to read %s", path);
    for (int64_t have = 0; have < bytes;) {
        const ssize_t got = pread(fd, place + have, (size_t)(bytes - have), (off_t)(offset + have));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return err_errno(err, errno, "read %s", path);
        if (got == 0) return err_set(err, ERR_CORRUPT, "%s became shorter while it was read", path);
        have += got;
    }
    buf_commit(out, (size_t)bytes);
    return 0;
}

static int fill_texts(struct encode_sample *sample, const struct sample_entry *entry,
                      source_read_file *read, void *ctx, struct err *err)
{
    struct buf text;
    int rc = 0;
    buf_init(&text, 0);
    if (entry->caption.bytes >= 0) {
        struct sample_file head = entry->caption; /* what is cut off need not be read */
        if (head.bytes > (int64_t)CAPTION_BYTES_MAX + 1) head.bytes = CAPTION_BYTES_MAX + 1;
        rc = read(ctx, &text, &head, err);
        if (!rc) source_set_caption(sample, buf_str(&text), text.len);
        buf_clear(&text);
    }
    if (!rc && entry->json.bytes >= 0 && entry->json.bytes <= (int64_t)JSON_BYTES_MAX) {
        rc = read(ctx, &text, &entry->json, err);
        if (!rc) source_set_json(sample, buf_str(&text), text.len);
    }
    buf_deinit(&text);
    return rc;
}

int source_fill(struct encode_sample *sample, const struct sample_entry *entry,
                const struct encode_options *options, source_read_file *read, void *ctx,
                struct err *err)
{
    source_set_key(sample, entry->key);
    const int rc = fill_texts(sample, entry, read, ctx, err);
    if (rc) return rc;
    if (entry->duplicate)
        source_fail(sample, SOURCE_DUPLICATE_KEY, "another sample before it has the same key");
    else if (entry->picture.bytes < 0)
        source_fail(sample, SOURCE_NO_IMAGE, "the sample has no picture");
    else if (entry->picture.bytes > (int64_t)options->body_bytes)
        source_fail(sample, SOURCE_TOO_LARGE,
                    "the picture's file has %" PRId64 " bytes, above --body-bytes",
                    entry->picture.bytes);
    else
        return read(ctx, &sample->picture, &entry->picture, err);
    return 0;
}
