/* source_folder.c - the samples of a shard that is a folder: NNNNN/KEY.jpg, KEY.txt, KEY.json, as
 * the download kind writes them with --output-format files. */
#include "common/base/fs.h"
#include "common/base/mem.h"
#include "worker/jobs/encode/source_index.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct folder_source {
    struct source source;
    const struct source_env *env;
    char path[PATH_MAX];
    struct buf names; /* each with its zero; a file's place is where its name stands */
    struct sample_index index;
    uint32_t next;
};

static int take_file(void *ctx, const char *name, struct err *err)
{
    struct folder_source *folder = ctx;
    char path[PATH_MAX];
    struct stat info;
    const int rc = source_look(folder->env, err);
    if (rc || name[0] == '.') return rc;
    if (!fs_join(path, sizeof path, folder->path, name))
        return err_set(err, ERR_INVALID, "a path in %s is too long", folder->path);
    if (stat(path, &info)) return err_errno(err, errno, "look at %s", path);
    if (!S_ISREG(info.st_mode)) return 0;
    const size_t place = folder->names.len;
    buf_add(&folder->names, name, strlen(name) + 1);
    if (buf_failed(&folder->names))
        return err_set(err, ERR_LIMIT, "no memory for the names in %s", folder->path);
    return sample_index_add(&folder->index, name, (int64_t)place, info.st_size, err);
}

static int read_file(void *ctx, struct buf *out, const struct sample_file *file, struct err *err)
{
    const struct folder_source *folder = ctx;
    char path[PATH_MAX];
    if (!fs_join(path, sizeof path, folder->path, folder->names.data + file->place))
        return err_set(err, ERR_INVALID, "a path in %s is too long", folder->path);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return err_errno(err, errno, "open %s", path);
    const int rc = source_read_range(out, fd, path, 0, file->bytes, err);
    (void)close(fd);
    return rc;
}

static void folder_close(struct source *source)
{
    struct folder_source *folder = (struct folder_source *)source;
    sample_index_deinit(&folder->index);
    buf_deinit(&folder->names);
    mem_free(folder);
}

static int folder_open(struct source **source, const struct source_env *env, struct err *err)
{
    struct folder_source *folder = mem_new(sizeof *folder);
    int rc = 0;
    folder->env = env;
    buf_init(&folder->names, 0);
    sample_index_init(&folder->index, env->options);
    if (!fs_join(folder->path, sizeof folder->path, env->options->input, env->shard->file))
        rc = err_set(err, ERR_INVALID, "the path of %.80s is too long", env->shard->file);
    if (!rc) rc = fs_list(folder->path, take_file, folder, err);
    folder->source.rows = folder->index.count;
    if (rc)
        folder_close(&folder->source);
    else
        *source = &folder->source;
    return rc;
}

static int folder_next(struct source *source, struct encode_sample *sample, bool *found,
                       struct err *err)
{
    struct folder_source *folder = (struct folder_source *)source;
    *found = folder->next < folder->index.count;
    if (!*found) return 0;
    const int rc = source_look(folder->env, err);
    if (rc) return rc;
    sample->index = folder->next++;
    return source_fill(sample, &folder->index.entry[sample->index], folder->env->options, read_file,
                       folder, err);
}

const struct source_driver source_folder = {
    .stage = "read",
    .open = folder_open,
    .next = folder_next,
    .close = folder_close,
};
