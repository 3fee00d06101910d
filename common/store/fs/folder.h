/* folder.h - a store that is a folder on disk; inside common/store/fs only. */
#ifndef STORE_FS_FOLDER_H
#define STORE_FS_FOLDER_H

#include "common/base/err.h"

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

struct folder {
    char root[PATH_MAX]; /* absolute, so that a later chdir changes nothing */
};

/* root + name; "" is the root. */
CHECKED int folder_path(const struct folder *folder, char path[PATH_MAX], const char *name,
                        struct err *err);
/* Makes the folder that will hold path. */
CHECKED int folder_make_parent(const char *path, struct err *err);
CHECKED int folder_sync_parent(const char *path, struct err *err);

/* file.c: a stream into a new file. */
int folder_file_open(void *impl, void **file, const char *name, struct err *err);
int folder_file_grow(void *impl, void **file, const char *name, struct err *err);
int folder_file_flush(void *file, int64_t *bytes, uint8_t sha256[32], struct err *err);
void folder_file_leave(void *file);
int folder_file_write(void *file, const void *data, size_t bytes, struct err *err);
int folder_file_close(void *file, int64_t *bytes, uint8_t sha256[32], struct err *err);
void folder_file_drop(void *file);

#endif
