/* store.c - picks the driver by the URL's scheme, and checks every name once for all of them. */
#include "common/store/store.h"

#include "common/base/check.h"
#include "common/base/fs.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/store/driver.h"

#include <string.h>

static const struct store_driver *const drivers[] = {&store_driver_fs};

struct store {
    const struct store_driver *driver;
    void *impl;
    char *url;
};

struct store_file {
    const struct store_driver *driver;
    void *impl;
};

/* The scheme's driver; *place becomes what follows the scheme. A text without "://" is a path. */
static const struct store_driver *driver_of(const char *url, const char **place)
{
    const char *colon = strstr(url, "://");
    *place = colon ? colon + 3 : url;
    if (!colon) return &store_driver_fs;
    for (size_t i = 0; i < sizeof drivers / sizeof drivers[0]; i++) {
        const size_t bytes = strlen(drivers[i]->scheme);
        if ((size_t)(colon - url) == bytes && !memcmp(url, drivers[i]->scheme, bytes))
            return drivers[i];
    }
    return NULL;
}

int store_open(struct store **store, const char *url, bool create, struct err *err)
{
    const char *place;
    *store = NULL;
    if (!*url) return err_set(err, ERR_INVALID, "the store's URL is empty");
    const struct store_driver *driver = driver_of(url, &place);
    if (!driver)
        return err_set(err, ERR_INVALID, "%.100s: no store of this kind; use a folder's path", url);
    void *impl = NULL;
    const int rc = driver->open(&impl, place, create, err);
    if (rc) return rc;
    struct store *opened = mem_new(sizeof *opened);
    opened->driver = driver;
    opened->impl = impl;
    opened->url = mem_new(strlen(url) + 1);
    memcpy(opened->url, url, strlen(url) + 1);
    *store = opened;
    return 0;
}

void store_close(struct store *store)
{
    if (!store) return;
    store->driver->close(store->impl);
    mem_free(store->url);
    mem_free(store);
}

const char *store_url(const struct store *store)
{
    return store->url;
}

static bool part_valid(const char *part, size_t bytes)
{
    if (bytes == 0) return false;
    if (bytes == 1 && part[0] == '.') return false;
    if (bytes == 2 && !memcmp(part, "..", 2)) return false;
    return !str_has_prefix(part, FS_PRIVATE_PREFIX);
}

static int check_name(const char *name, struct err *err)
{
    bool valid = strlen(name) < STORE_NAME_BYTES;
    for (const char *part = name; valid; part++) {
        const size_t bytes = strcspn(part, "/");
        valid = part_valid(part, bytes);
        part += bytes;
        if (!*part) break;
    }
    if (valid) return 0;
    return err_set(err, ERR_INVALID, "\"%.100s\" is no name inside a store", name);
}

/* As check_name, but "" is the root. */
static int check_folder(const char *folder, struct err *err)
{
    return *folder ? check_name(folder, err) : 0;
}

int store_get(struct store *store, struct buf *out, const char *name, size_t bytes_max,
              struct err *err)
{
    const int rc = check_name(name, err);
    return rc ? rc : store->driver->get(store->impl, out, name, bytes_max, err);
}

int store_get_range(struct store *store, void *dst, const char *name, int64_t offset, size_t bytes,
                    size_t *got, struct err *err)
{
    CHECK(offset >= 0);
    *got = 0;
    const int rc = check_name(name, err);
    return rc ? rc : store->driver->get_range(store->impl, dst, name, offset, bytes, got, err);
}

int store_put(struct store *store, const char *name, const void *data, size_t bytes,
              struct err *err)
{
    const int rc = check_name(name, err);
    return rc ? rc : store->driver->put(store->impl, name, data, bytes, err);
}

int store_put_new(struct store *store, const char *name, const void *data, size_t bytes,
                  bool *created, struct err *err)
{
    *created = false;
    const int rc = check_name(name, err);
    return rc ? rc : store->driver->put_new(store->impl, name, data, bytes, created, err);
}

int store_size(struct store *store, int64_t *bytes, const char *name, struct err *err)
{
    const int rc = check_name(name, err);
    return rc ? rc : store->driver->size(store->impl, bytes, name, err);
}

int store_rename(struct store *store, const char *from, const char *to, struct err *err)
{
    int rc = check_name(from, err);
    if (!rc) rc = check_name(to, err);
    return rc ? rc : store->driver->rename(store->impl, from, to, err);
}

int store_remove(struct store *store, const char *name, struct err *err)
{
    const int rc = check_name(name, err);
    return rc ? rc : store->driver->remove(store->impl, name, err);
}

int store_remove_tree(struct store *store, const char *name, struct err *err)
{
    const int rc = check_name(name, err);
    return rc ? rc : store->driver->remove_tree(store->impl, name, err);
}

int store_list(struct store *store, const char *folder,
               int (*visit)(void *ctx, const char *name, struct err *err), void *ctx,
               struct err *err)
{
    const int rc = check_folder(folder, err);
    return rc ? rc : store->driver->list(store->impl, folder, visit, ctx, err);
}

int store_sync(struct store *store, const char *folder, struct err *err)
{
    const int rc = check_folder(folder, err);
    return rc ? rc : store->driver->sync(store->impl, folder, err);
}

int store_clean(struct store *store, const char *folder, struct err *err)
{
    const int rc = check_folder(folder, err);
    return rc ? rc : store->driver->clean(store->impl, folder, err);
}

int store_local_folder(struct store *store, char *path, size_t path_bytes, const char *folder,
                       struct err *err)
{
    const int rc = check_folder(folder, err);
    return rc ? rc : store->driver->local_folder(store->impl, path, path_bytes, folder, err);
}

int store_free_bytes(struct store *store, int64_t *bytes, struct err *err)
{
    return store->driver->free_bytes(store->impl, bytes, err);
}

static int file_start(struct store *store, struct store_file **file, const char *name, bool grows,
                      struct err *err)
{
    *file = NULL;
    void *impl = NULL;
    int rc = check_name(name, err);
    if (!rc && grows) rc = store->driver->file_grow(store->impl, &impl, name, err);
    if (!rc && !grows) rc = store->driver->file_open(store->impl, &impl, name, err);
    if (rc) return rc;
    *file = mem_new(sizeof **file);
    **file = (struct store_file){.driver = store->driver, .impl = impl};
    return 0;
}

int store_file_open(struct store *store, struct store_file **file, const char *name,
                    struct err *err)
{
    return file_start(store, file, name, false, err);
}

int store_file_grow(struct store *store, struct store_file **file, const char *name,
                    struct err *err)
{
    return file_start(store, file, name, true, err);
}

int store_file_flush(struct store_file *file, int64_t *bytes, uint8_t sha256[32], struct err *err)
{
    return file->driver->file_flush(file->impl, bytes, sha256, err);
}

int store_file_write(struct store_file *file, const void *data, size_t bytes, struct err *err)
{
    return file->driver->file_write(file->impl, data, bytes, err);
}

int store_file_close(struct store_file *file, int64_t *bytes, uint8_t sha256[32], struct err *err)
{
    const int rc = file->driver->file_close(file->impl, bytes, sha256, err);
    mem_free(file);
    return rc;
}

void store_file_drop(struct store_file *file)
{
    if (!file) return;
    file->driver->file_drop(file->impl);
    mem_free(file);
}

void store_file_leave(struct store_file *file)
{
    if (!file) return;
    file->driver->file_leave(file->impl);
    mem_free(file);
}
