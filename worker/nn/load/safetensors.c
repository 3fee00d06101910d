/* safetensors.c - opens files of tensors, maps their data, and finds tensors by name. */
#include "worker/nn/load/safetensors.h"

#include "common/base/check.h"
#include "common/base/fs.h"
#include "common/base/str.h"
#include "worker/nn/load/safetensors_header.h"
#include "worker/nn/load/safetensors_index.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "the data is used as it lies in the file");
_Static_assert(sizeof(size_t) == 8, "a file may be larger than 4 GiB");

#define LENGTH_BYTES 8
#define ONE_FILE     "model.safetensors"
#define INDEX_SUFFIX ".index.json"
/* Of data that is read into memory: a cache line. */
#define ALIGN_BYTES 64

struct shard {
    const char *path; /* in the arena; NULL: not opened yet */
    int fd;
    void *map; /* the file, or a copy of its data */
    size_t map_bytes;
    bool is_copy;
    struct stat stat; /* when it was opened */
    struct safetensors_header header;
};

struct safetensors {
    struct arena arena;
    struct shard *shard;
    uint32_t shards_count, count;
    struct safetensors_entry *entry;            /* by shard and offset */
    const struct safetensors_entry **by_name;   /* and by shard, while an index is looked up */
    const struct safetensors_header *described; /* whose metadata it is, or NULL */
};

static int out_of_memory(const char *path, struct err *err)
{
    return err_set(err, ERR_LIMIT, "%s: out of memory", path);
}

static int read_at(void *dst, const struct shard *shard, size_t bytes, int64_t offset,
                   struct err *err)
{
    char *at = dst;
    while (bytes) {
        const ssize_t got = pread(shard->fd, at, bytes, offset);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return err_errno(err, errno, "read %s", shard->path);
        if (got == 0)
            return err_set(err, ERR_CORRUPT, "%s was cut short while it was read", shard->path);
        at += got;
        bytes -= (size_t)got;
        offset += got;
    }
    return 0;
}

static int read_header(struct shard *shard, struct arena *arena, struct err *err)
{
    uint64_t bytes = 0;
    const uint64_t size = (uint64_t)shard->stat.st_size;
    if (size < LENGTH_BYTES)
        return err_set(err, ERR_CORRUPT,
                       "%s has %" PRIu64 " bytes; no safetensors file is so short", shard->path,
                       size);
    int rc = read_at(&bytes, shard, LENGTH_BYTES, 0, err);
    if (rc) return rc;
    if (bytes > SAFETENSORS_HEADER_BYTES_MAX)
        return err_set(err, ERR_LIMIT,
                       "%s: a header of %" PRIu64 " bytes, more than %zu; it may be no safetensors "
                       "file",
                       shard->path, bytes, SAFETENSORS_HEADER_BYTES_MAX);
    if (bytes > size - LENGTH_BYTES)
        return err_set(err, ERR_CORRUPT,
                       "%s: a header of %" PRIu64 " bytes in a file of %" PRIu64
                       "; the file was cut short",
                       shard->path, bytes, size);
    char *json = mem_try(bytes);
    if (!json) return out_of_memory(shard->path, err);
    rc = read_at(json, shard, bytes, LENGTH_BYTES, err); /* names the path */
    if (!rc) {
        const int64_t data_at = (int64_t)(LENGTH_BYTES + bytes);
        rc = safetensors_header_parse(&shard->header, arena, json, bytes, data_at,
                                      shard->stat.st_size - data_at, err);
        if (rc) rc = err_wrap(err, "%s", shard->path);
    }
    mem_free(json);
    return rc;
}

static bool is_aligned(const struct safetensors_header *header)
{
    for (uint32_t i = 0; i < header->count; i++)
        if (header->entry[i].offset % (int64_t)dtype_bytes(header->entry[i].tensor.dtype))
            return false;
    return true;
}

static int map_file(struct shard *shard, struct err *err)
{
    const size_t bytes = (size_t)shard->stat.st_size;
    void *map = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, shard->fd, 0);
    if (map == MAP_FAILED) return err_errno(err, errno, "map %s", shard->path);
    shard->map = map;
    shard->map_bytes = bytes;
    for (uint32_t i = 0; i < shard->header.count; i++) {
        struct safetensors_entry *entry = &shard->header.entry[i];
        entry->tensor.data = (char *)map + entry->offset;
    }
    return 0;
}

static size_t aligned_bytes(const struct tensor *tensor)
{
    return (tensor_bytes(tensor) + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
}

/* The data in memory of our own, each tensor aligned. */
static int copy_file(struct shard *shard, struct err *err)
{
    const struct safetensors_header *header = &shard->header;
    size_t bytes = ALIGN_BYTES; /* never none */
    for (uint32_t i = 0; i < header->count; i++) bytes += aligned_bytes(&header->entry[i].tensor);
    /* cppcheck-suppress invalidFunctionArg - no file is -1 */
    void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return err_set(err, ERR_LIMIT,
                       "%s is not aligned and cannot be mapped, and memory has no room for %zu "
                       "bytes",
                       shard->path, bytes);
    shard->map = map;
    shard->map_bytes = bytes;
    shard->is_copy = true;
    char *at = map;
    for (uint32_t i = 0; i < header->count; i++) {
        struct safetensors_entry *entry = &header->entry[i];
        entry->tensor.data = at;
        const int rc = read_at(at, shard, tensor_bytes(&entry->tensor), entry->offset, err);
        if (rc) return rc;
        at += aligned_bytes(&entry->tensor);
    }
    if (mprotect(map, bytes, PROT_READ)) return err_errno(err, errno, "protect %s", shard->path);
    return 0;
}

static int shard_open(struct shard *shard, struct arena *arena, const char *path, struct err *err)
{
    const char *kept = arena_text(arena, path, strlen(path));
    if (!kept) return out_of_memory(path, err);
    /* A named pipe must not wait for its writer. */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return err_errno(err, errno, "open %s", path);
    shard->path = kept;
    shard->fd = fd;
    if (fstat(fd, &shard->stat)) return err_errno(err, errno, "stat %s", path);
    if (!S_ISREG(shard->stat.st_mode))
        return err_set(err, ERR_INVALID, "%s is no regular file", path);
    const int rc = read_header(shard, arena, err);
    if (rc) return rc;
    return is_aligned(&shard->header) ? map_file(shard, err) : copy_file(shard, err);
}

static int by_name(const void *a, const void *b)
{
    const struct safetensors_entry *one = *(const struct safetensors_entry *const *)a;
    const struct safetensors_entry *two = *(const struct safetensors_entry *const *)b;
    const int order = strcmp(one->name, two->name);
    return order ? order : (one->shard > two->shard) - (one->shard < two->shard);
}

static void sort_names(struct safetensors *file)
{
    for (uint32_t i = 0; i < file->count; i++) file->by_name[i] = &file->entry[i];
    qsort(file->by_name, file->count, sizeof(const struct safetensors_entry *), by_name);
}

/* One table of the entries of all shards. */
static int gather(struct safetensors *file, const char *path, struct err *err)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < file->shards_count; i++) count += file->shard[i].header.count;
    if (count > SAFETENSORS_TENSORS_MAX)
        return err_set(err, ERR_LIMIT, "%s: more than %d tensors", path, SAFETENSORS_TENSORS_MAX);
    file->entry = arena_try(&file->arena, count * sizeof file->entry[0]);
    file->by_name = arena_try(&file->arena, count * sizeof(const struct safetensors_entry *));
    if (!file->entry || !file->by_name) return out_of_memory(path, err);
    for (uint32_t i = 0; i < file->shards_count; i++) {
        const struct safetensors_header *header = &file->shard[i].header;
        if (!file->described && header->metadata_count) file->described = header;
        for (uint32_t k = 0; k < header->count; k++) {
            file->entry[file->count] = header->entry[k];
            file->entry[file->count++].shard = i;
        }
    }
    sort_names(file);
    return 0;
}

/* Leaves the entries that the index has, all of which must be there. */
static int keep_indexed(struct safetensors *file, const struct safetensors_index *index,
                        const char *path, struct err *err)
{
    uint32_t kept = 0;
    bool *keep = arena_try(&file->arena, file->count * sizeof *keep);
    if (!keep) return out_of_memory(path, err);
    for (uint32_t i = 0; i < index->count; i++) {
        const struct safetensors_place *place = &index->place[i];
        const struct safetensors_entry key = {.name = place->name, .shard = place->shard};
        const struct safetensors_entry *wanted = &key;
        const struct safetensors_entry **found = bsearch(
            &wanted, file->by_name, file->count, sizeof(const struct safetensors_entry *), by_name);
        if (!found)
            return err_set(err, ERR_CORRUPT, "%s: tensor %.80s is not in %s as the index says",
                           path, place->name, index->shard[place->shard]);
        keep[*found - file->entry] = true;
    }
    for (uint32_t i = 0; i < file->count; i++)
        if (keep[i]) file->entry[kept++] = file->entry[i];
    file->count = kept;
    sort_names(file);
    return 0;
}

static int make_shards(struct safetensors *file, uint32_t count, const char *path, struct err *err)
{
    file->shard = arena_try(&file->arena, count * sizeof file->shard[0]);
    if (!file->shard) return out_of_memory(path, err);
    for (uint32_t i = 0; i < count; i++) file->shard[i].fd = -1;
    file->shards_count = count;
    return 0;
}

static int open_one(struct safetensors *file, const char *path, struct err *err)
{
    int rc = make_shards(file, 1, path, err);
    if (!rc) rc = shard_open(&file->shard[0], &file->arena, path, err);
    return rc ? rc : gather(file, path, err);
}

/* "a/b.json" and "c": "a/c". */
static int name_beside(char dst[PATH_MAX], const char *path, const char *name, struct err *err)
{
    const char *slash = strrchr(path, '/');
    const size_t folder = slash ? (size_t)(slash - path) + 1 : 0;
    if (folder + strlen(name) >= PATH_MAX)
        return err_set(err, ERR_INVALID, "path is too long: %.80s", path);
    memcpy(dst, path, folder);
    (void)str_copy(dst + folder, PATH_MAX - folder, name);
    return 0;
}

static int open_index(struct safetensors *file, const char *path, struct err *err)
{
    struct safetensors_index index = {0};
    struct buf text;
    char shard[PATH_MAX];
    buf_init(&text, 0);
    int rc = fs_read(&text, path, SAFETENSORS_HEADER_BYTES_MAX, err); /* names the path */
    if (!rc) {
        rc = safetensors_index_parse(&index, &file->arena, buf_str(&text), text.len, err);
        if (rc) rc = err_wrap(err, "%s", path);
    }
    buf_deinit(&text);
    if (!rc) rc = make_shards(file, index.shards_count, path, err);
    for (uint32_t i = 0; !rc && i < index.shards_count; i++) {
        rc = name_beside(shard, path, index.shard[i], err);
        if (!rc) rc = shard_open(&file->shard[i], &file->arena, shard, err);
    }
    if (!rc) rc = gather(file, path, err);
    return rc ? rc : keep_indexed(file, &index, path, err);
}

static int open_folder(struct safetensors *file, const char *path, struct err *err)
{
    char one[PATH_MAX], index[PATH_MAX];
    if (!fs_join(one, sizeof one, path, ONE_FILE) ||
        !fs_join(index, sizeof index, path, ONE_FILE INDEX_SUFFIX))
        return err_set(err, ERR_INVALID, "path is too long: %.80s", path);
    if (fs_exists(one)) return open_one(file, one, err);
    if (fs_exists(index)) return open_index(file, index, err);
    return err_set(err, ERR_NOT_FOUND,
                   "%s has neither " ONE_FILE " nor " ONE_FILE INDEX_SUFFIX
                   "; give the folder of a model in the safetensors format",
                   path);
}

int safetensors_open(struct safetensors **file, const char *path, struct err *err)
{
    struct stat info;
    int rc;
    *file = NULL;
    if (stat(path, &info)) return err_errno(err, errno, "open %s", path);
    struct safetensors *made = mem_new(sizeof *made);
    arena_init(&made->arena, 0);
    if (S_ISDIR(info.st_mode))
        rc = open_folder(made, path, err);
    else if (str_has_suffix(path, INDEX_SUFFIX))
        rc = open_index(made, path, err);
    else
        rc = open_one(made, path, err);
    if (rc)
        safetensors_close(made);
    else
        *file = made;
    return rc;
}

void safetensors_close(struct safetensors *file)
{
    if (!file) return;
    for (uint32_t i = 0; i < file->shards_count; i++) {
        if (file->shard[i].map) (void)munmap(file->shard[i].map, file->shard[i].map_bytes);
        if (file->shard[i].fd >= 0) (void)close(file->shard[i].fd);
    }
    arena_deinit(&file->arena);
    mem_free(file);
}

uint32_t safetensors_count(const struct safetensors *file)
{
    return file->count;
}

const struct safetensors_entry *safetensors_at(const struct safetensors *file, uint32_t index)
{
    CHECK(index < file->count);
    return &file->entry[index];
}

static int name_order(const void *key, const void *element)
{
    return strcmp(key, (*(const struct safetensors_entry *const *)element)->name);
}

const struct safetensors_entry *safetensors_find(const struct safetensors *file, const char *name)
{
    const struct safetensors_entry *const *found = bsearch(
        name, file->by_name, file->count, sizeof(const struct safetensors_entry *), name_order);
    return found ? *found : NULL;
}

const char *safetensors_metadata(const struct safetensors *file, const char *key)
{
    for (uint32_t i = 0; i < safetensors_metadata_count(file); i++)
        if (str_eq(file->described->metadata[i].key, key))
            return file->described->metadata[i].value;
    return NULL;
}

uint32_t safetensors_metadata_count(const struct safetensors *file)
{
    return file->described ? file->described->metadata_count : 0;
}

const struct safetensors_pair *safetensors_metadata_at(const struct safetensors *file,
                                                       uint32_t index)
{
    CHECK(index < safetensors_metadata_count(file));
    return &file->described->metadata[index];
}

/* A hint: what the kernel makes of it is no error of ours. */
void safetensors_prefetch(const struct safetensors *file)
{
    for (uint32_t i = 0; i < file->shards_count; i++) {
        const struct shard *shard = &file->shard[i];
        (void)madvise(shard->map, shard->map_bytes, MADV_SEQUENTIAL);
        (void)madvise(shard->map, shard->map_bytes, MADV_WILLNEED);
    }
}

/* Whole pages: those at the ends belong to other tensors too. A copy is all there is. */
void safetensors_release(const struct safetensors *file, const struct safetensors_entry *entry)
{
    const struct shard *shard = &file->shard[entry->shard];
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), first = (size_t)entry->offset;
    const size_t start = (first + page - 1) / page * page;
    const size_t end = (first + tensor_bytes(&entry->tensor)) / page * page;
    if (!shard->is_copy && start < end)
        (void)madvise((char *)shard->map + start, end - start, MADV_DONTNEED);
}

int safetensors_read(void *dst, const struct safetensors *file,
                     const struct safetensors_entry *entry, struct err *err)
{
    CHECK(entry->shard < file->shards_count);
    return read_at(dst, &file->shard[entry->shard], tensor_bytes(&entry->tensor), entry->offset,
                   err);
}

int safetensors_unchanged(const struct safetensors *file, struct err *err)
{
    struct stat now;
    for (uint32_t i = 0; i < file->shards_count; i++) {
        const struct shard *shard = &file->shard[i];
        const struct stat *then = &shard->stat;
        if (fstat(shard->fd, &now)) return err_errno(err, errno, "stat %s", shard->path);
        if (now.st_size != then->st_size || now.st_mtim.tv_sec != then->st_mtim.tv_sec ||
            now.st_mtim.tv_nsec != then->st_mtim.tv_nsec)
            return err_set(err, ERR_CORRUPT,
                           "%s was changed while it was read; replace models by rename",
                           shard->path);
    }
    return 0;
}
