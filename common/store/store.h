/* store.h - where bytes of jobs live: a folder, named by a path or file:// URL.
 *
 * Names inside a store are relative, "/"-separated, without "..", ".", empty parts or a leading
 * "/", and no part begins as the files in the making do (FS_PRIVATE_PREFIX of fs.h). Several
 * processes and threads use the same store at a time. store_open picks the implementation by the
 * URL's scheme; fs/ is the one for folders. Errors as in fs.h. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "common/base/buf.h"
#include "common/base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct store;
struct store_file; /* a file being written, private until it is published */

/* create: makes the folder if it is missing. Refuses unknown schemes with ERR_INVALID. */
CHECKED int store_open(struct store **store, const char *url, bool create, struct err *err);
void store_close(struct store *store);
const char *store_url(const struct store *store);

/* Reads a whole object, at most bytes_max (else ERR_LIMIT). */
CHECKED int store_get(struct store *store, struct buf *out, const char *name, size_t bytes_max,
                      struct err *err);
/* Reads exactly bytes at offset, or fewer at the end of the object; *got tells. */
CHECKED int store_get_range(struct store *store, void *dst, const char *name, int64_t offset,
                            size_t bytes, size_t *got, struct err *err);
/* Writes a whole object, replacing atomically; durable on return. */
CHECKED int store_put(struct store *store, const char *name, const void *data, size_t bytes,
                      struct err *err);
/* Creates it whole and durable, or leaves the one that is there: *created tells. */
CHECKED int store_put_new(struct store *store, const char *name, const void *data, size_t bytes,
                          bool *created, struct err *err);
CHECKED int store_size(struct store *store, int64_t *bytes, const char *name, struct err *err);
/* Renames; replaces to; the new name is durable on return. ERR_NOT_FOUND if from is missing. */
CHECKED int store_rename(struct store *store, const char *from, const char *to, struct err *err);
CHECKED int store_remove(struct store *store, const char *name,
                         struct err *err); /* missing: fine */
/* Removes everything under a folder name; missing: fine. */
CHECKED int store_remove_tree(struct store *store, const char *name, struct err *err);
/* Names directly under a folder name ("" is the root), sorted; folders end in "/". Files in the
 * making are left out. A missing folder is an empty one. */
CHECKED int store_list(struct store *store, const char *folder,
                       int (*visit)(void *ctx, const char *name, struct err *err), void *ctx,
                       struct err *err);
/* Makes the names directly under a folder name durable; a missing folder is fine. */
CHECKED int store_sync(struct store *store, const char *folder, struct err *err);
/* Removes what crashed writers left in the making directly under a folder name. Only for one who
 * knows that nobody writes there now. */
CHECKED int store_clean(struct store *store, const char *folder, struct err *err);
/* The path on this machine's disk of a folder name, which is created; ERR_INVALID where the store
 * has none. */
CHECKED int store_local_folder(struct store *store, char *path, size_t path_bytes,
                               const char *folder, struct err *err);
/* Free bytes, where the store can tell; else INT64_MAX. */
CHECKED int store_free_bytes(struct store *store, int64_t *bytes, struct err *err);

/* Streams a new object; nothing is visible under its name before store_file_close, which makes it
 * durable. Close, drop or leave ends the file. Also tells size and SHA-256. */
CHECKED int store_file_open(struct store *store, struct store_file **file, const char *name,
                            struct err *err);
/* The same, but others see it under its name from the start, as far as it was flushed: for private
 * files that another process may go on from. Replaces what is there. */
CHECKED int store_file_grow(struct store *store, struct store_file **file, const char *name,
                            struct err *err);
CHECKED int store_file_write(struct store_file *file, const void *data, size_t bytes,
                             struct err *err);
/* Of a growing file: what was written so far can be read, but is not durable. Also tells its size
 * and SHA-256. */
CHECKED int store_file_flush(struct store_file *file, int64_t *bytes, uint8_t sha256[32],
                             struct err *err);
/* A growing file that somebody has removed is ERR_NOT_FOUND. */
CHECKED int store_file_close(struct store_file *file, int64_t *bytes, uint8_t sha256[32],
                             struct err *err);
void store_file_drop(struct store_file *file);
/* Ends it as drop does, but what a growing file has so far stays, without being durable. Accepts
 * NULL. */
void store_file_leave(struct store_file *file);

#endif
