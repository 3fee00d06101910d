/* driver.h - what an implementation of a store gives; inside common/store only.
 *
 * store.c validates every name before it calls one, so a driver may join names to its root as they
 * are. The contracts are those of store.h. To add a store: a folder with a driver, and a line in
 * store.c. */
#ifndef STORE_DRIVER_H
#define STORE_DRIVER_H

#include "common/store/store.h"

#define STORE_NAME_BYTES 512 /* a name inside a store: a few folders deep */

typedef int store_visit(void *ctx, const char *name, struct err *err);

struct store_driver {
    const char *scheme; /* "file" */
    int (*open)(void **impl, const char *place, bool create, struct err *err);
    void (*close)(void *impl);
    int (*get)(void *impl, struct buf *out, const char *name, size_t bytes_max, struct err *err);
    int (*get_range)(void *impl, void *dst, const char *name, int64_t offset, size_t bytes,
                     size_t *got, struct err *err);
    int (*put)(void *impl, const char *name, const void *data, size_t bytes, struct err *err);
    int (*put_new)(void *impl, const char *name, const void *data, size_t bytes, bool *created,
                   struct err *err);
    int (*size)(void *impl, int64_t *bytes, const char *name, struct err *err);
    int (*rename)(void *impl, const char *from, const char *to, struct err *err);
    int (*remove)(void *impl, const char *name, struct err *err);
    int (*remove_tree)(void *impl, const char *name, struct err *err);
    int (*list)(void *impl, const char *folder, store_visit *visit, void *ctx, struct err *err);
    int (*sync)(void *impl, const char *folder, struct err *err);
    int (*clean)(void *impl, const char *folder, struct err *err);
    int (*local_folder)(void *impl, char *path, size_t path_bytes, const char *folder,
                        struct err *err);
    int (*free_bytes)(void *impl, int64_t *bytes, struct err *err);
    int (*file_open)(void *impl, void **file, const char *name, struct err *err);
    int (*file_grow)(void *impl, void **file, const char *name, struct err *err);
    int (*file_write)(void *file, const void *data, size_t bytes, struct err *err);
    int (*file_flush)(void *file, int64_t *bytes, uint8_t sha256[32], struct err *err);
    int (*file_close)(void *file, int64_t *bytes, uint8_t sha256[32], struct err *err);
    void (*file_drop)(void *file);
    void (*file_leave)(void *file);
};

extern const struct store_driver store_driver_fs;

#endif
