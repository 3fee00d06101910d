/* store.c - the driver of common/store, in memory; see store.h. */
#include "tests/sim/store.h"

#include "common/base/check.h"
#include "common/base/fs.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/store/driver.h"
#include "tests/sim/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_BYTES 768

struct object {
    char *data;
    size_t bytes;
    char path[PATH_BYTES];
};

struct place {
    char root[256];
};

struct writing {
    struct place *place;
    char name[STORE_NAME_BYTES];
    struct buf data;
};

struct store_world store_world;
static struct table objects; /* by path */

/* ---- objects ---- */

static struct object *find(const char *path)
{
    return table_find(&objects, path);
}

static bool is_manifest(const char *path)
{
    return strstr(path, "/_vlmq/manifest/") != NULL;
}

static bool is_public(const char *path)
{
    return strstr(path, "/_vlmq/") == NULL;
}

/* What is committed stays as it is. */
static void watch_over(const struct object *object, const void *data, size_t bytes)
{
    const bool same = data && object->bytes == bytes && memcmp(object->data, data, bytes) == 0;
    if (is_manifest(object->path) && !same)
        sim_fail("the manifest %s is %s", object->path, data ? "replaced" : "removed");
    if (is_public(object->path) && !same)
        sim_fail("the published file %s is %s", object->path, data ? "changed" : "removed");
}

static void drop(struct object *object)
{
    table_drop(&objects, object->path);
    mem_free(object->data);
    mem_free(object);
}

static void set(const char *path, const void *data, size_t bytes)
{
    struct object *object = find(path);
    if (object) {
        watch_over(object, data, bytes);
        mem_free(object->data);
    } else {
        object = mem_new(sizeof *object);
        CHECK(str_copy(object->path, sizeof object->path, path));
        table_put(&objects, object->path, object);
    }
    object->data = mem_new(bytes + 1);
    if (bytes) memcpy(object->data, data, bytes);
    object->bytes = bytes;
}

const char *store_manifest(const char *output, const char *task)
{
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof path, "%s/_vlmq/manifest/%s.json", output, task);
    const struct object *object = find(path);
    return object ? object->data : NULL;
}

uint32_t store_count(const char *prefix)
{
    uint32_t count = 0;
    for (const struct table_row *row = objects.first; row; row = row->after)
        count += str_has_prefix(row->key, prefix);
    return count;
}

/* ---- steps ---- */

static void path_of(char path[PATH_BYTES], const struct place *place, const char *name)
{
    const int bytes = snprintf(path, PATH_BYTES, "%s/%s", place->root, name);
    CHECK(bytes > 0);
    CHECK(bytes < PATH_BYTES);
}

/* The time that a step takes, and its failure. */
static int step(struct err *err, const char *what)
{
    fiber_sleep(10 + sim_exponential(store_world.step_us));
    if (sim_fault(0.0005)) fiber_sleep(sim_exponential(6 * S)); /* a network disk hangs */
    if (!sim_fault(store_world.fail)) return 0;
    return err_set(err, sim_chance(0.5) ? ERR_UNAVAILABLE : ERR_LIMIT, "%s: input/output error",
                   what);
}

static int place_open(void **impl, const char *root, bool create, struct err *err)
{
    (void)create;
    (void)err;
    struct place *place = mem_new(sizeof *place);
    CHECK(str_copy(place->root, sizeof place->root, root));
    *impl = place;
    return 0;
}

static void place_close(void *impl)
{
    mem_free(impl);
}

static int get(void *impl, struct buf *out, const char *name, size_t bytes_max, struct err *err)
{
    char path[PATH_BYTES];
    path_of(path, impl, name);
    const int rc = step(err, "read");
    if (rc) return rc;
    const struct object *object = find(path);
    if (!object) return err_set(err, ERR_NOT_FOUND, "%s: no such file", path);
    if (object->bytes > bytes_max) return err_set(err, ERR_LIMIT, "%s is too large", path);
    buf_add(out, object->data, object->bytes);
    return 0;
}

static int get_range(void *impl, void *dst, const char *name, int64_t offset, size_t bytes,
                     size_t *got, struct err *err)
{
    char path[PATH_BYTES];
    path_of(path, impl, name);
    const struct object *object = find(path);
    if (!object) return err_set(err, ERR_NOT_FOUND, "%s: no such file", path);
    const size_t at = (size_t)offset < object->bytes ? (size_t)offset : object->bytes;
    *got = bytes < object->bytes - at ? bytes : object->bytes - at;
    if (*got) memcpy(dst, object->data + at, *got);
    return 0;
}

static int put(void *impl, const char *name, const void *data, size_t bytes, struct err *err)
{
    char path[PATH_BYTES];
    path_of(path, impl, name);
    int rc = step(err, "write");
    if (rc) return rc;
    set(path, data, bytes);
    rc = step(err, "fsync");
    return rc;
}

static int put_new(void *impl, const char *name, const void *data, size_t bytes, bool *created,
                   struct err *err)
{
    char path[PATH_BYTES];
    path_of(path, impl, name);
    int rc = step(err, "write");
    if (rc) return rc;
    *created = !find(path) || sim_canary("commit-overwrites");
    if (*created) set(path, data, bytes);
    store_world.commits += *created && is_manifest(path);
    store_world.lost += !*created && is_manifest(path);
    history("store %s %s", *created ? "creates" : "has already", path);
    rc = step(err, "fsync");
    return rc;
}

static int size_of(void *impl, int64_t *bytes, const char *name, struct err *err)
{
    char path[PATH_BYTES];
    path_of(path, impl, name);
    const int rc = step(err, "look");
    if (rc) return rc;
    const struct object *object = find(path);
    if (!object) return err_set(err, ERR_NOT_FOUND, "%s: no such file", path);
    *bytes = (int64_t)object->bytes;
    return 0;
}

static int rename_to(void *impl, const char *from, const char *to, struct err *err)
{
    char old[PATH_BYTES], new[PATH_BYTES];
    path_of(old, impl, from);
    path_of(new, impl, to);
    int rc = step(err, "rename");
    if (rc) return rc;
    struct object *object = find(old);
    if (!object) return err_set(err, ERR_NOT_FOUND, "%s: no such file", old);
    set(new, object->data, object->bytes);
    drop(object);
    rc = step(err, "fsync");
    return rc;
}

static int remove_one(void *impl, const char *name, struct err *err)
{
    char path[PATH_BYTES];
    path_of(path, impl, name);
    const int rc = step(err, "remove");
    if (rc) return rc;
    struct object *object = find(path);
    if (!object) return 0;
    watch_over(object, NULL, 0);
    drop(object);
    return 0;
}

/* File by file, so that a crash leaves some of them. */
static int remove_tree(void *impl, const char *name, struct err *err)
{
    char path[PATH_BYTES];
    path_of(path, impl, name);
    CHECK(str_copy(path + strlen(path), sizeof path - strlen(path), "/"));
    for (;;) {
        const int rc = step(err, "remove");
        if (rc) return rc;
        const struct table_row *row = objects.first;
        while (row && !str_has_prefix(row->key, path)) row = row->after;
        if (!row) return 0;
        struct object *object = row->value;
        watch_over(object, NULL, 0);
        drop(object);
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Names directly under a folder, each once, sorted. */
static char (*names_under(const char *path, size_t *count))[STORE_NAME_BYTES]
{
    char(*names)[STORE_NAME_BYTES] = mem_new((objects.count + 1) * sizeof *names);
    *count = 0;
    for (const struct table_row *row = objects.first; row; row = row->after) {
        if (!str_has_prefix(row->key, path)) continue;
        const char *rest = row->key + strlen(path);
        size_t bytes = strcspn(rest, "/");
        bytes += rest[bytes] == '/';
        CHECK(bytes < STORE_NAME_BYTES);
        memcpy(names[*count], rest, bytes);
        names[(*count)++][bytes] = 0;
    }
    if (*count) qsort(names, *count, sizeof *names, by_name);
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++)
        if (i == 0 || strcmp(names[i], names[kept - 1]) != 0)
            memmove(names[kept++], names[i], sizeof *names);
    *count = kept;
    return names;
}

static int list(void *impl, const char *folder, store_visit *visit, void *ctx, struct err *err)
{
    char path[PATH_BYTES];
    path_of(path, impl, folder);
    if (*folder) CHECK(str_copy(path + strlen(path), sizeof path - strlen(path), "/"));
    int rc = step(err, "list");
    if (rc) return rc;
    size_t count;
    char(*names)[STORE_NAME_BYTES] = names_under(path, &count);
    for (size_t i = 0; i < count && !rc; i++) rc = visit(ctx, names[i], err);
    mem_free(names);
    return rc;
}

static int sync_folder(void *impl, const char *folder, struct err *err)
{
    (void)impl;
    (void)folder;
    return step(err, "fsync");
}

static int clean(void *impl, const char *folder, struct err *err)
{
    (void)impl;
    (void)folder;
    return step(err, "clean"); /* what is in the making is no object yet */
}

static int local_folder(void *impl, char *path, size_t path_bytes, const char *folder,
                        struct err *err)
{
    (void)impl;
    (void)path;
    (void)path_bytes;
    return err_set(err, ERR_INVALID, "%s: a simulated store is on no disk", folder);
}

static int free_bytes(void *impl, int64_t *bytes, struct err *err)
{
    (void)impl;
    const int rc = step(err, "look");
    if (rc) return rc;
    *bytes = store_world.low ? 1 : INT64_MAX;
    return 0;
}

/* ---- streams ---- */

static int file_open(void *impl, void **file, const char *name, struct err *err)
{
    const int rc = step(err, "create");
    if (rc) return rc;
    struct writing *writing = mem_new(sizeof *writing);
    writing->place = impl;
    CHECK(str_copy(writing->name, sizeof writing->name, name));
    buf_init(&writing->data, 0);
    *file = writing;
    return 0;
}

static int file_write(void *file, const void *data, size_t bytes, struct err *err)
{
    struct writing *writing = file;
    buf_add(&writing->data, data, bytes);
    return step(err, "write");
}

static int file_flush(void *file, int64_t *bytes, uint8_t sha256[32], struct err *err)
{
    struct writing *writing = file;
    char path[PATH_BYTES];
    path_of(path, writing->place, writing->name);
    set(path, writing->data.data, writing->data.len);
    *bytes = (int64_t)writing->data.len;
    hash_sha256(sha256, writing->data.data, writing->data.len);
    return step(err, "flush");
}

static void file_drop(void *file)
{
    struct writing *writing = file;
    buf_deinit(&writing->data);
    mem_free(writing);
}

static int file_close(void *file, int64_t *bytes, uint8_t sha256[32], struct err *err)
{
    struct writing *writing = file;
    char path[PATH_BYTES];
    int rc = step(err, "fsync");
    if (!rc) {
        path_of(path, writing->place, writing->name);
        set(path, writing->data.data, writing->data.len);
        *bytes = (int64_t)writing->data.len;
        hash_sha256(sha256, writing->data.data, writing->data.len);
        rc = step(err, "fsync");
    }
    file_drop(file);
    return rc;
}

const struct store_driver store_driver_fs = {
    .scheme = "file",
    .open = place_open,
    .close = place_close,
    .get = get,
    .get_range = get_range,
    .put = put,
    .put_new = put_new,
    .size = size_of,
    .rename = rename_to,
    .remove = remove_one,
    .remove_tree = remove_tree,
    .list = list,
    .sync = sync_folder,
    .clean = clean,
    .local_folder = local_folder,
    .free_bytes = free_bytes,
    .file_open = file_open,
    .file_grow = file_open,
    .file_flush = file_flush,
    .file_leave = file_drop,
    .file_write = file_write,
    .file_close = file_close,
    .file_drop = file_drop,
};
