/* list_source.h - the bytes of a list, in order: of a file, gzip-compressed or not, of an object in
 * a store, or of somebody who makes them.
 *
 * Compression is told by the first two bytes, not by the name. Several gzip members one after
 * another are one list, as gzip(1) has it; zeros after the last one are padding. One thread. */
#ifndef LIST_SOURCE_H
#define LIST_SOURCE_H

#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct list_source;

/* Somebody who makes bytes. */
struct list_feed {
    void *ctx;
    /* As list_source_read. */
    int (*read)(void *ctx, void *dst, size_t bytes, size_t *got, struct err *err);
    void (*close)(void *ctx);
};

/* ERR_NOT_FOUND, ERR_DENIED and the like name the path. A folder is ERR_INVALID. */
CHECKED int list_source_open(struct list_source **source, const char *path, struct err *err);
/* An object of a store, never compressed. The store outlives the source. */
CHECKED int list_source_open_object(struct list_source **source, struct store *store,
                                    const char *name, struct err *err);
/* The bytes of a feed, which the source closes. */
struct list_source *list_source_of_feed(struct list_feed feed);
void list_source_close(struct list_source *source); /* accepts NULL */
/* Whether it cannot be entered midway: it is compressed, or somebody makes it. */
bool list_source_is_stream(const struct list_source *source);
/* Adds the bytes as they stand in the file, before decompression, to hash from now on; not of a
 * feed. */
void list_source_hash(struct list_source *source, struct hash *hash);
/* Calls look before every piece that is read from now on, of the file and of what is decompressed
 * from it; a code that is not 0 ends the reading with that code. */
void list_source_watch(struct list_source *source, int (*look)(void *ctx, struct err *err),
                       void *ctx);
/* Up to bytes; *got 0 is the end. Compressed data that is broken or cut short is ERR_INVALID. */
CHECKED int list_source_read(struct list_source *source, void *dst, size_t bytes, size_t *got,
                             struct err *err);
/* Goes to an offset; only where nothing is compressed. */
CHECKED int list_source_seek(struct list_source *source, uint64_t offset, struct err *err);

#endif
