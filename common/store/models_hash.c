/* models_hash.c - vlmq.json, and the hash of a model from it.
 *
 * A hash that had to be computed, of a folder that was copied here or made by hand, is kept in the
 * models' folder under .hashes, in a record of the same form: a model's folder may be another's, or
 * read-only. A record that cannot be kept costs time, not truth. */
#include "common/base/buf.h"
#include "common/base/fs.h"
#include "common/base/str.h"
#include "common/store/models.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INFO_BYTES_MAX ((size_t)4 * 1024 * 1024) /* of MODEL_FILES_MAX files, with long names */
#define READ_BYTES     ((size_t)1024 * 1024)
#define HASHES_FOLDER  ".hashes"
#define INFO_VERSION   1

/* ---- vlmq.json ---- */

static const char *text_of(const json_t *object, const char *name, struct arena *arena)
{
    const json_t *value = json_object_get(object, name);
    return arena_text(arena, json_string_value(value), json_string_length(value));
}

static bool is_hash(const char *text)
{
    return strlen(text) == HASH_SHA256_TEXT - 1 && text[strspn(text, "0123456789abcdef")] == 0;
}

static bool take_file(struct model_file *file, const json_t *value, struct arena *arena)
{
    const char *sha256 = json_string_value(json_object_get(value, "sha256"));
    file->name = text_of(value, "name", arena);
    file->bytes = json_integer_value(json_object_get(value, "bytes"));
    file->mtime_ns = json_integer_value(json_object_get(value, "mtime_ns"));
    if (!file->name || !file->name[0] || file->bytes < 0 || !sha256 || !is_hash(sha256))
        return false;
    return str_copy(file->sha256, sizeof file->sha256, sha256);
}

static int take_info(struct model_info *info, const json_t *root, struct arena *arena,
                     struct err *err)
{
    const json_t *files = json_object_get(root, "files");
    const size_t count = json_array_size(files);
    if (json_integer_value(json_object_get(root, "version")) != INFO_VERSION)
        return err_set(err, ERR_CORRUPT, "it is not of version %d", INFO_VERSION);
    if (count > MODEL_FILES_MAX)
        return err_set(err, ERR_LIMIT, "it has more than %d files", MODEL_FILES_MAX);
    info->repository = text_of(root, "repository", arena);
    info->revision = text_of(root, "revision", arena);
    info->endpoint = text_of(root, "endpoint", arena);
    info->pulled_at_ms = json_integer_value(json_object_get(root, "pulled_at_ms"));
    info->file = arena_try(arena, (count + 1) * sizeof *info->file);
    if (!info->repository || !info->revision || !info->endpoint || !info->file)
        return err_set(err, ERR_LIMIT, "out of memory");
    for (size_t i = 0; i < count; i++)
        if (!take_file(&info->file[i], json_array_get(files, i), arena))
            return err_set(err, ERR_CORRUPT, "file %zu of it has no name, size or hash", i);
    info->files_count = (uint32_t)count;
    return 0;
}

int model_info_parse(struct model_info *info, const char *json, size_t bytes, struct arena *arena,
                     struct err *err)
{
    json_error_t trouble;
    *info = (struct model_info){.repository = "", .revision = "", .endpoint = ""};
    if (bytes > INFO_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "it has more than %zu bytes", INFO_BYTES_MAX);
    json_t *root = json_loadb(json, bytes, JSON_REJECT_DUPLICATES, &trouble);
    if (!json_is_object(root)) {
        json_decref(root);
        return err_set(err, ERR_CORRUPT, "it is no JSON object");
    }
    const int rc = take_info(info, root, arena, err);
    json_decref(root);
    return rc;
}

static int read_record(struct model_info *info, const char *path, struct arena *arena,
                       struct err *err)
{
    struct buf text;
    buf_init(&text, 0);
    int rc = fs_read(&text, path, INFO_BYTES_MAX, err);
    if (rc) goto out; /* names the path */
    rc = model_info_parse(info, buf_str(&text), text.len, arena, err);
    if (rc) rc = err_wrap(err, "%s", path);
out:
    buf_deinit(&text);
    return rc;
}

int model_info_read(struct model_info *info, const char *folder, struct arena *arena,
                    struct err *err)
{
    char path[PATH_MAX];
    if (!fs_join(path, sizeof path, folder, MODEL_INFO_NAME))
        return err_set(err, ERR_INVALID, "the path is too long: %.80s", folder);
    return read_record(info, path, arena, err);
}

static void add_text(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, "  \"%s\": ", name);
    str_json(out, value, strlen(value));
    buf_text(out, ",\n");
}

static int write_record(const struct model_info *info, const char *path, struct err *err)
{
    struct buf out;
    buf_init(&out, 0);
    buf_printf(&out, "{\n  \"version\": %d,\n", INFO_VERSION);
    add_text(&out, "repository", info->repository);
    add_text(&out, "revision", info->revision);
    add_text(&out, "endpoint", info->endpoint);
    buf_printf(&out, "  \"pulled_at_ms\": %" PRId64 ",\n  \"files\": [", info->pulled_at_ms);
    for (uint32_t i = 0; i < info->files_count; i++) {
        const struct model_file *file = &info->file[i];
        buf_printf(&out, "%s\n    {\"name\": ", i ? "," : "");
        str_json(&out, file->name, strlen(file->name));
        buf_printf(&out, ", \"bytes\": %" PRId64 ", \"mtime_ns\": %" PRId64 ", \"sha256\": \"%s\"}",
                   file->bytes, file->mtime_ns, file->sha256);
    }
    buf_text(&out, "\n  ]\n}\n");
    const int rc = buf_failed(&out) ? err_set(err, ERR_LIMIT, "out of memory")
                                    : fs_put(path, buf_str(&out), out.len, err);
    buf_deinit(&out);
    return rc;
}

int model_info_write(const struct model_info *info, const char *folder, struct err *err)
{
    char path[PATH_MAX];
    if (!fs_join(path, sizeof path, folder, MODEL_INFO_NAME))
        return err_set(err, ERR_INVALID, "the path is too long: %.80s", folder);
    return write_record(info, path, err);
}

/* ---- hashing ---- */

int model_file_look(struct model_file *file, const char *folder, const char *name, struct err *err)
{
    char path[PATH_MAX];
    struct stat info;
    if (!fs_join(path, sizeof path, folder, name))
        return err_set(err, ERR_INVALID, "the path is too long: %.80s", folder);
    if (stat(path, &info)) return err_errno(err, errno, "stat %s", path);
    *file = (struct model_file){
        .name = name,
        .bytes = info.st_size,
        .mtime_ns = (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec,
    };
    return 0;
}

static int hash_file(char text[HASH_SHA256_TEXT], const char *folder, const char *name,
                     struct err *err)
{
    char path[PATH_MAX];
    uint8_t digest[HASH_SHA256_BYTES];
    if (!fs_join(path, sizeof path, folder, name))
        return err_set(err, ERR_INVALID, "the path is too long: %.80s", folder);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return err_errno(err, errno, "open %s", path);
    struct hash *hash = hash_new();
    char *block = mem_new(READ_BYTES);
    int rc = 0;
    for (ssize_t got = 1; !rc && got;) {
        got = read(fd, block, READ_BYTES);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) rc = err_errno(err, errno, "read %s", path);
        if (got > 0) hash_add(hash, block, (size_t)got);
    }
    hash_end(hash, digest);
    str_hex(text, digest, sizeof digest);
    mem_free(block);
    hash_free(hash);
    (void)close(fd);
    return rc;
}

/* The hash that a record has of exactly this file; NULL: none. */
static const char *recorded(const struct model_info *info, const struct model_file *file)
{
    for (uint32_t i = 0; i < info->files_count; i++) {
        const struct model_file *known = &info->file[i];
        if (str_eq(known->name, file->name) && known->bytes == file->bytes &&
            known->mtime_ns == file->mtime_ns)
            return known->sha256;
    }
    return NULL;
}

struct listing {
    struct arena *arena;
    const char *folder;
    struct model_file *file;
    uint32_t count;
};

static int add_file(void *ctx, const char *name, struct err *err)
{
    struct listing *listing = ctx;
    if (!model_file_is_needed(name)) return 0;
    if (listing->count == MODEL_FILES_MAX)
        return err_set(err, ERR_LIMIT, "%s has more than %d files", listing->folder,
                       MODEL_FILES_MAX);
    const char *copy = arena_text(listing->arena, name, strlen(name));
    if (!copy) return err_set(err, ERR_LIMIT, "out of memory");
    return model_file_look(&listing->file[listing->count++], listing->folder, copy, err);
}

/* Where the record of a folder is kept that is not ours; false: nowhere. */
static bool record_path(char path[PATH_MAX], const char *folder)
{
    char models[PATH_MAX], real[PATH_MAX], name[HASH_SHA256_TEXT];
    struct err ignored;
    if (models_folder(models, &ignored)) return false;
    if (!realpath(folder, real)) return false;
    hash_sha256_text(name, real, strlen(real));
    const int used = snprintf(path, PATH_MAX, "%s/" HASHES_FOLDER "/%s.json", models, name);
    return used > 0 && used < PATH_MAX;
}

static void keep_record(const struct listing *listing, const char *path)
{
    char folder[PATH_MAX];
    struct err ignored;
    const struct model_info info = {.repository = "",
                                    .revision = "",
                                    .endpoint = "",
                                    .file = listing->file,
                                    .files_count = listing->count};
    (void)str_copy(folder, sizeof folder, path);
    *strrchr(folder, '/') = 0;
    if (!fs_mkdirs(folder, &ignored)) (void)!write_record(&info, path, &ignored);
}

/* Gives each file its hash, from a record where one has it. */
static int hash_files(const struct listing *listing, struct err *err)
{
    struct model_info own = {.files_count = 0}, kept = {.files_count = 0};
    struct err ignored;
    char path[PATH_MAX] = "";
    bool computed = false;
    const bool has_place = record_path(path, listing->folder);
    if (model_info_read(&own, listing->folder, listing->arena, &ignored)) own.files_count = 0;
    if (has_place && read_record(&kept, path, listing->arena, &ignored)) kept.files_count = 0;
    for (uint32_t i = 0; i < listing->count; i++) {
        struct model_file *file = &listing->file[i];
        const char *known = recorded(&own, file);
        if (!known) known = recorded(&kept, file);
        const int rc = known ? 0 : hash_file(file->sha256, listing->folder, file->name, err);
        if (rc) return rc;
        if (known) (void)str_copy(file->sha256, sizeof file->sha256, known);
        computed = computed || !known;
    }
    if (computed && has_place) keep_record(listing, path);
    return 0;
}

int model_hash(char text[HASH_SHA256_TEXT], const char *folder, struct err *err)
{
    struct arena arena;
    struct buf sum;
    arena_init(&arena, 0);
    buf_init(&sum, 0);
    struct listing listing = {.arena = &arena, .folder = folder};
    listing.file = arena_new(&arena, MODEL_FILES_MAX * sizeof *listing.file);
    int rc = fs_list(folder, add_file, &listing, err);
    if (!rc && !listing.count)
        rc = err_set(err, ERR_NOT_FOUND, "%s has no file of a model", folder);
    if (!rc) rc = hash_files(&listing, err);
    for (uint32_t i = 0; !rc && i < listing.count; i++) /* fs_list sorts by name */
        buf_printf(&sum, "%s %" PRId64 " %s\n", listing.file[i].name, listing.file[i].bytes,
                   listing.file[i].sha256);
    if (!rc && buf_failed(&sum)) rc = err_set(err, ERR_LIMIT, "out of memory");
    if (!rc) hash_sha256_text(text, buf_str(&sum), sum.len);
    buf_deinit(&sum);
    arena_deinit(&arena);
    return rc;
}
