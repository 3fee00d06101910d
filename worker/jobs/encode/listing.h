/* listing.h - the pictures of a folder with all below it, in one order, cut into shards.
 *
 * The order is that of the bytes of the paths relative to the folder, "/" included. Names that
 * begin with a dot, and _vlmq, are passed over, and links to folders are not followed (they can go
 * round).
 *
 * What the plan found stands in the output, a file for each shard, so that a shard is the same
 * whatever happens in the folder later: for each picture its size in decimal, a space, its path
 * relative to the folder (any bytes) and a zero. */
#ifndef ENCODE_LISTING_H
#define ENCODE_LISTING_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "worker/jobs/encode/options.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LISTING_FOLDER     "_vlmq/listing"
#define LISTING_NAME_BYTES 64

/* Calls visit for every picture. ERR_INVALID: deeper than any folder should be, or a path too long;
 * the errors of visit end the walk. */
CHECKED int listing_walk(const char *folder, const struct encode_options *options,
                         int (*visit)(void *ctx, const char *path, int64_t bytes, struct err *err),
                         void *ctx, struct err *err);
/* Whether a file's ending is that of a picture. */
bool listing_is_picture(const struct encode_options *options, const char *name);

/* LISTING_FOLDER/00042 */
void listing_name(char dst[LISTING_NAME_BYTES], uint32_t shard);
void listing_add(struct buf *listing, const char *path, int64_t bytes);
/* Takes the next picture off *at; false: there is none, or the text is damaged (*at is then not at
 * end). */
bool listing_next(const char **at, const char *end, const char **path, int64_t *bytes);
/* First 8 bytes of the SHA-256 of a shard's listing. */
uint64_t listing_hash(const struct buf *listing);

#endif
