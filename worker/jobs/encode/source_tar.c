/* source_tar.c - the samples of a WebDataset tar.
 *
 * The headers are read first and say which members make a sample; then each sample's members are
 * read where they stand, so that those of one sample need not stand together. The tar is on a disk
 * of this machine. Of one that is damaged or cut short what stands before the damage is used, and a
 * last row tells of the rest. */
#include "worker/jobs/encode/source_tar.h"

#include "common/base/fs.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "worker/jobs/encode/source_index.h"
#include "worker/jobs/encode/source_text.h"
#include "worker/pipe/tar.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_MEMBERS 256 /* between two looks at whether to stop */

struct tar_source {
    struct source source;
    const struct source_env *env;
    char path[PATH_MAX];
    int fd;
    int64_t bytes;
    struct tar_reader reader;
    struct sample_index index;
    uint32_t next;
    bool damaged;
    char damage[SAMPLE_MESSAGE_BYTES];
};

static int read_at(int fd, const char *path, int64_t offset, void *dst, size_t bytes, size_t *got,
                   struct err *err)
{
    ssize_t count;
    do count = pread(fd, dst, bytes, (off_t)offset);
    while (count < 0 && errno == EINTR);
    *got = count > 0 ? (size_t)count : 0;
    return count < 0 ? err_errno(err, errno, "read %s", path) : 0;
}

static int read_header(void *ctx, void *dst, size_t bytes, size_t *got, struct err *err)
{
    const struct tar_source *tar = ctx;
    return read_at(tar->fd, tar->path, tar->reader.offset, dst, bytes, got, err);
}

static int read_member(void *ctx, struct buf *out, const struct sample_file *file, struct err *err)
{
    const struct tar_source *tar = ctx;
    return source_read_range(out, tar->fd, tar->path, file->place, file->bytes, err);
}

uint64_t source_tar_hash(const void *head, size_t bytes)
{
    uint8_t digest[HASH_SHA256_BYTES];
    uint64_t hash = 0;
    hash_sha256(digest, head, bytes);
    for (int i = 0; i < 8; i++) hash = hash << 8 | digest[i];
    return hash;
}

int source_tar_look(const char *path, int64_t *bytes, uint64_t *hash, struct err *err)
{
    struct stat info;
    uint8_t head[SOURCE_TAR_HEAD_BYTES];
    size_t have = 0, got = 1;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return err_errno(err, errno, "open %s", path);
    int rc = fstat(fd, &info) ? err_errno(err, errno, "look at %s", path) : 0;
    if (!rc && !S_ISREG(info.st_mode)) rc = err_set(err, ERR_INVALID, "%s is no file", path);
    while (!rc && got && have < sizeof head) {
        rc = read_at(fd, path, (int64_t)have, head + have, sizeof head - have, &got, err);
        have += got;
    }
    (void)close(fd);
    if (rc) return rc;
    *bytes = info.st_size;
    *hash = source_tar_hash(head, have);
    return 0;
}

/* The same file as the plan saw. */
static int check_file(struct tar_source *tar, struct err *err)
{
    const Vlmq__Jobs__EncodeShard *shard = tar->env->shard;
    uint64_t hash = 0;
    const int rc = source_tar_look(tar->path, &tar->bytes, &hash, err);
    if (rc) return rc;
    if ((uint64_t)tar->bytes == shard->bytes && (!shard->hash || hash == shard->hash)) return 0;
    return err_set(err, ERR_INVALID,
                   "%s is another file than when the job was planned: submit the job again, with "
                   "another --output",
                   tar->path);
}

/* Of a tar of which something could be read. */
static void note_damage(struct tar_source *tar, const struct err *why)
{
    tar->damaged = true;
    (void)str_copy(tar->damage, sizeof tar->damage, why->msg);
    log_warn("tar.damaged", "path=%s msg=%s", log_quote(tar->path), log_quote(why->msg));
}

static int index_members(struct tar_source *tar, struct err *err)
{
    struct tar_member *member = mem_new(sizeof *member);
    bool found = true;
    int rc = 0;
    tar_reader_init(&tar->reader, read_header, tar);
    for (uint32_t i = 0; !rc && found; i++) {
        if (i % LOOK_MEMBERS == 0) rc = source_look(tar->env, err);
        if (rc) break;
        struct err why;
        int read = tar_reader_next(&tar->reader, member, &found, &why);
        if (!read && found) read = tar_reader_jump(&tar->reader, tar->bytes, &why);
        if (read == ERR_CORRUPT && i > 0) {
            note_damage(tar, &why);
            break;
        }
        if (read == ERR_CORRUPT) read = err_set(&why, ERR_INVALID, "%s is no tar", tar->path);
        if (read) rc = err_set(err, (enum err_code)read, "%s", why.msg);
        if (!rc && found)
            rc = sample_index_add(&tar->index, member->name, member->offset, member->bytes, err);
    }
    mem_free(member);
    return rc;
}

static void tar_close(struct source *source)
{
    struct tar_source *tar = (struct tar_source *)source;
    if (tar->fd >= 0) (void)close(tar->fd);
    sample_index_deinit(&tar->index);
    mem_free(tar);
}

static int tar_open(struct source **source, const struct source_env *env, struct err *err)
{
    struct tar_source *tar = mem_new(sizeof *tar);
    int rc = 0;
    tar->env = env;
    tar->fd = -1;
    sample_index_init(&tar->index, env->options);
    const bool fits =
        env->shard->file[0]
            ? fs_join(tar->path, sizeof tar->path, env->options->input, env->shard->file)
            : str_copy(tar->path, sizeof tar->path, env->options->input);
    if (!fits) rc = err_set(err, ERR_INVALID, "the path of %.80s is too long", env->shard->file);
    if (!rc) rc = check_file(tar, err);
    if (!rc) tar->fd = open(tar->path, O_RDONLY | O_CLOEXEC);
    if (!rc && tar->fd < 0) rc = err_errno(err, errno, "open %s", tar->path);
    if (!rc) rc = index_members(tar, err);
    tar->source.rows = tar->index.count + (tar->damaged ? 1 : 0);
    if (rc)
        tar_close(&tar->source);
    else
        *source = &tar->source;
    return rc;
}

static int tar_next(struct source *source, struct encode_sample *sample, bool *found,
                    struct err *err)
{
    struct tar_source *tar = (struct tar_source *)source;
    const uint32_t number = tar->next;
    *found = number < tar->source.rows;
    if (!*found) return 0;
    const int rc = source_look(tar->env, err);
    if (rc) return rc;
    tar->next++;
    sample->index = number;
    if (number < tar->index.count)
        return source_fill(sample, &tar->index.entry[number], tar->env->options, read_member, tar,
                           err);
    const char *slash = strrchr(tar->path, '/');
    source_set_key(sample, slash ? slash + 1 : tar->path);
    source_fail(sample, SOURCE_DAMAGED_TAR, "%s; what stands behind is lost", tar->damage);
    return 0;
}

const struct source_driver source_tar = {
    .stage = "read",
    .open = tar_open,
    .next = tar_next,
    .close = tar_close,
};
