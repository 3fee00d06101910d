/* safetensors_write.c - lays tensors out, writes the header, and takes the data in that order. */
#include "common/base/buf.h"
#include "common/base/check.h"
#include "common/base/fs.h"
#include "common/base/fs_fault.h"
#include "common/base/rng.h"
#include "common/base/str.h"
#include "worker/nn/load/safetensors_header.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEADER_ALIGN 8

struct safetensors_writer {
    struct arena arena;
    struct safetensors_entry *entry; /* as they stand in the file */
    uint32_t count, next;
    size_t wrote; /* of the next one */
    safetensors_sink *sink;
    void *ctx;
};

/* The order of the enum is that of the library's types. */
static int by_place(const void *a, const void *b)
{
    const struct safetensors_entry *one = a, *two = b;
    if (one->tensor.dtype != two->tensor.dtype)
        return one->tensor.dtype > two->tensor.dtype ? -1 : 1;
    return strcmp(one->name, two->name);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int by_key(const void *a, const void *b)
{
    const struct safetensors_pair *one = a, *two = b;
    return strcmp(one->key, two->key);
}

static int out_of_memory(struct err *err)
{
    return err_set(err, ERR_LIMIT, "out of memory for the header");
}

static bool is_utf8(const char *text)
{
    const size_t bytes = strlen(text);
    return str_utf8_valid(text, bytes) == bytes;
}

static int check_names(struct safetensors_writer *writer, struct err *err)
{
    const char **names = arena_try(&writer->arena, writer->count * sizeof *names);
    if (!names) return out_of_memory(err);
    for (uint32_t i = 0; i < writer->count; i++) {
        const char *name = names[i] = writer->entry[i].name;
        if (strlen(name) >= SAFETENSORS_NAME_BYTES || !is_utf8(name) ||
            str_eq(name, SAFETENSORS_METADATA))
            return err_set(err, ERR_INVALID, "a tensor cannot have the name %.80s", name);
    }
    qsort(names, writer->count, sizeof *names, by_text);
    for (uint32_t i = 1; i < writer->count; i++)
        if (str_eq(names[i - 1], names[i]))
            return err_set(err, ERR_INVALID, "two tensors have the name %.80s", names[i]);
    return 0;
}

/* Sorted copies, with offsets that count from the first byte of the data. */
static int lay_out(struct safetensors_writer *writer, const struct safetensors_entry *entries,
                   uint32_t count, struct err *err)
{
    int64_t end = 0;
    if (count > SAFETENSORS_TENSORS_MAX)
        return err_set(err, ERR_LIMIT, "more than %d tensors", SAFETENSORS_TENSORS_MAX);
    writer->entry = arena_try(&writer->arena, count * sizeof writer->entry[0]);
    if (!writer->entry) return out_of_memory(err);
    for (uint32_t i = 0; i < count; i++) {
        struct safetensors_entry *entry = &writer->entry[writer->count++];
        *entry = entries[i];
        entry->name = arena_text(&writer->arena, entry->name, strlen(entry->name));
        if (!entry->name) return out_of_memory(err);
    }
    qsort(writer->entry, count, sizeof writer->entry[0], by_place);
    for (uint32_t i = 0; i < count; i++) {
        writer->entry[i].offset = end;
        writer->entry[i].shard = 0;
        if (__builtin_add_overflow(end, (int64_t)tensor_bytes(&writer->entry[i].tensor), &end) ||
            end > INT64_MAX - (int64_t)SAFETENSORS_HEADER_BYTES_MAX)
            return err_set(err, ERR_LIMIT, "the tensors do not fit into one file");
    }
    return check_names(writer, err);
}

static int add_metadata(struct buf *out, struct arena *arena,
                        const struct safetensors_pair *metadata, uint32_t count, struct err *err)
{
    if (!count) return 0;
    struct safetensors_pair *pair = arena_copy(arena, metadata, count * sizeof *pair);
    if (!pair) return out_of_memory(err);
    qsort(pair, count, sizeof *pair, by_key);
    buf_text(out, "\"" SAFETENSORS_METADATA "\":{");
    for (uint32_t i = 0; i < count; i++) {
        if (!is_utf8(pair[i].key) || !is_utf8(pair[i].value))
            return err_set(err, ERR_INVALID, "the metadata of %.80s is not UTF-8", pair[i].key);
        if (i && str_eq(pair[i - 1].key, pair[i].key))
            return err_set(err, ERR_INVALID, "the metadata has %.80s twice", pair[i].key);
        if (i) buf_byte(out, ',');
        str_json(out, pair[i].key, strlen(pair[i].key));
        buf_byte(out, ':');
        str_json(out, pair[i].value, strlen(pair[i].value));
    }
    buf_byte(out, '}');
    return 0;
}

static void add_entry(struct buf *out, const struct safetensors_entry *entry)
{
    const struct tensor *tensor = &entry->tensor;
    str_json(out, entry->name, strlen(entry->name));
    buf_printf(out, ":{\"dtype\":\"%s\",\"shape\":[", dtype_name(tensor->dtype));
    for (uint32_t i = 0; i < tensor->rank; i++)
        buf_printf(out, "%s%" PRId64, i ? "," : "", tensor->shape[i]);
    buf_printf(out, "],\"data_offsets\":[%" PRId64 ",%" PRId64 "]}", entry->offset,
               entry->offset + (int64_t)tensor_bytes(tensor));
}

/* The length and the header. */
static int make_header(struct buf *out, struct safetensors_writer *writer,
                       const struct safetensors_pair *metadata, uint32_t pairs_count,
                       struct err *err)
{
    uint64_t bytes = 0;
    buf_add(out, &bytes, sizeof bytes);
    buf_byte(out, '{');
    const int rc = add_metadata(out, &writer->arena, metadata, pairs_count, err);
    if (rc) return rc;
    for (uint32_t i = 0; i < writer->count; i++) {
        if (i || pairs_count) buf_byte(out, ',');
        add_entry(out, &writer->entry[i]);
    }
    buf_byte(out, '}');
    while (!buf_failed(out) && out->len % HEADER_ALIGN) buf_byte(out, ' ');
    if (buf_failed(out))
        return err_set(err, ERR_LIMIT, "the header takes more than %zu bytes, or memory is out",
                       SAFETENSORS_HEADER_BYTES_MAX);
    bytes = out->len - sizeof bytes;
    memcpy(out->data, &bytes, sizeof bytes);
    return 0;
}

/* Tensors of no bytes are complete at once. */
static void skip_complete(struct safetensors_writer *writer)
{
    while (writer->next < writer->count &&
           writer->wrote == tensor_bytes(&writer->entry[writer->next].tensor)) {
        writer->next++;
        writer->wrote = 0;
    }
}

int safetensors_writer_new(struct safetensors_writer **writer,
                           const struct safetensors_entry *entries, uint32_t count,
                           const struct safetensors_pair *metadata, uint32_t pairs_count,
                           safetensors_sink *sink, void *ctx, struct err *err)
{
    struct safetensors_writer *made = mem_new(sizeof *made);
    struct buf header;
    *writer = NULL;
    *made = (struct safetensors_writer){.sink = sink, .ctx = ctx};
    arena_init(&made->arena, 0);
    buf_init(&header, sizeof(uint64_t) + SAFETENSORS_HEADER_BYTES_MAX);
    int rc = lay_out(made, entries, count, err);
    if (!rc) rc = make_header(&header, made, metadata, pairs_count, err);
    if (!rc) rc = sink(ctx, header.data, header.len, err);
    for (uint32_t i = 0; i < made->count; i++) made->entry[i].offset += (int64_t)header.len;
    buf_deinit(&header);
    if (rc) {
        safetensors_writer_free(made);
        return rc;
    }
    skip_complete(made);
    *writer = made;
    return 0;
}

void safetensors_writer_free(struct safetensors_writer *writer)
{
    if (!writer) return;
    arena_deinit(&writer->arena);
    mem_free(writer);
}

const struct safetensors_entry *safetensors_writer_next(const struct safetensors_writer *writer)
{
    return writer->next < writer->count ? &writer->entry[writer->next] : NULL;
}

int safetensors_writer_add(struct safetensors_writer *writer, const void *data, size_t bytes,
                           struct err *err)
{
    const struct safetensors_entry *entry = safetensors_writer_next(writer);
    if (bytes == 0) return 0;
    CHECK(entry != NULL);
    CHECK(bytes <= tensor_bytes(&entry->tensor) - writer->wrote);
    const int rc = writer->sink(writer->ctx, data, bytes, err);
    if (rc) return rc;
    writer->wrote += bytes;
    skip_complete(writer);
    return 0;
}

int safetensors_writer_end(const struct safetensors_writer *writer, struct err *err)
{
    const struct safetensors_entry *entry = safetensors_writer_next(writer);
    if (!entry) return 0;
    return err_set(err, ERR_INTERNAL, "tensor %.80s got %zu of its %zu bytes", entry->name,
                   writer->wrote, tensor_bytes(&entry->tensor));
}

/* A file in the making: a private name beside path. */
struct saving {
    const char *path;
    char folder[PATH_MAX], name[PATH_MAX];
    int fd;
};

static int save_begin(struct saving *saving, const char *path, struct err *err)
{
    uint64_t nonce;
    const char *slash = strrchr(path, '/');
    const size_t bytes = slash ? (size_t)(slash - path) + 1 : 0;
    *saving = (struct saving){.path = path, .fd = -1};
    if (bytes >= sizeof saving->folder)
        return err_set(err, ERR_INVALID, "path is too long: %.80s", path);
    if (bytes)
        memcpy(saving->folder, path, bytes);
    else
        (void)str_copy(saving->folder, sizeof saving->folder, "./");
    rng_secure(&nonce, sizeof nonce);
    const int used = snprintf(saving->name, sizeof saving->name,
                              "%s" FS_PRIVATE_PREFIX "%016" PRIx64, saving->folder, nonce);
    if (used < 0 || (size_t)used >= sizeof saving->name)
        return err_set(err, ERR_INVALID, "path is too long: %.80s", path);
    saving->fd = open(saving->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    return saving->fd < 0 ? err_errno(err, errno, "create %s", path) : 0;
}

static int save_sink(void *ctx, const void *data, size_t bytes, struct err *err)
{
    const struct saving *saving = ctx;
    return fs_write_all(saving->fd, data, bytes, saving->path, err);
}

static int save_commit(struct saving *saving, struct err *err)
{
    if (fs_fault() || fsync(saving->fd)) return err_errno(err, errno, "fsync %s", saving->path);
    const int fd = saving->fd;
    saving->fd = -1;
    /* Some file systems report a failed write only here. */
    int failed = close(fd);
    if (!failed) failed = fs_fault() ? -1 : rename(saving->name, saving->path);
    if (failed) {
        const int rc = err_errno(err, errno, "create %s", saving->path);
        (void)unlink(saving->name);
        return rc;
    }
    return fs_sync_dir(saving->folder, err);
}

static void save_drop(struct saving *saving)
{
    if (saving->fd < 0) return;
    (void)close(saving->fd);
    (void)unlink(saving->name);
}

static int fill_all(struct safetensors_writer *writer, safetensors_fill *fill, void *ctx,
                    struct err *err)
{
    const struct safetensors_entry *entry;
    while ((entry = safetensors_writer_next(writer))) {
        const struct tensor *tensor = &entry->tensor;
        const int rc =
            fill ? fill(ctx, writer, entry, err)
                 : safetensors_writer_add(writer, tensor->data, tensor_bytes(tensor), err);
        if (rc) return rc;
        /* Else a fill that gives nothing would be asked for ever. */
        if (safetensors_writer_next(writer) == entry) return safetensors_writer_end(writer, err);
    }
    return 0;
}

int safetensors_save(const char *path, const struct safetensors_entry *entries, uint32_t count,
                     const struct safetensors_pair *metadata, uint32_t pairs_count,
                     safetensors_fill *fill, void *ctx, struct err *err)
{
    struct safetensors_writer *writer = NULL;
    struct saving saving;
    int rc = save_begin(&saving, path, err); /* names the path, as save_sink */
    if (rc) return rc;
    rc = safetensors_writer_new(&writer, entries, count, metadata, pairs_count, save_sink, &saving,
                                err);
    if (!rc) rc = fill_all(writer, fill, ctx, err);
    if (!rc) rc = save_commit(&saving, err);
    save_drop(&saving);
    safetensors_writer_free(writer);
    return rc;
}
