/* listing.c - see listing.h. */
#include "worker/jobs/encode/listing.h"

#include "common/base/fs.h"
#include "common/base/hash.h"
#include "common/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DEPTH_MAX  64
#define SIZE_BYTES 21 /* before each name in level.names: 20 digits and a space */

/* What is left to visit of one folder. */
struct level {
    struct buf names; /* each with its size before it and a zero behind; folders end in "/" */
    const char **sorted;
    size_t count, next;
    size_t path_bytes; /* of the folder's own path, with its "/" */
};

struct walk {
    const struct encode_options *options;
    char path[PATH_MAX]; /* of what is visited; the root with its "/" before it */
    size_t root_bytes;
    struct level *level; /* DEPTH_MAX */
    uint32_t depth;
};

bool listing_is_picture(const struct encode_options *options, const char *name)
{
    const size_t bytes = strlen(name);
    for (uint32_t i = 0; i < options->image_keys_count; i++) {
        const char *key = options->image_key[i];
        const size_t key_bytes = strlen(key);
        if (bytes < key_bytes + 2 || name[bytes - key_bytes - 1] != '.') continue;
        const char *at = name + bytes - key_bytes;
        size_t same = 0;
        while (same < key_bytes &&
               (at[same] >= 'A' && at[same] <= 'Z' ? at[same] - 'A' + 'a' : at[same]) == key[same])
            same++;
        if (same == key_bytes) return true;
    }
    return false;
}

/* One name of the folder that walk->path stands at: keeps it with what it is. */
static int take_name(void *ctx, const char *name, struct err *err)
{
    struct walk *walk = ctx;
    struct level *level = &walk->level[walk->depth];
    struct stat info, link;
    if (name[0] == '.' || str_eq(name, "_vlmq")) return 0;
    if (level->path_bytes + strlen(name) + 2 > sizeof walk->path)
        return err_set(err, ERR_INVALID, "a path in %.*s is too long", (int)walk->root_bytes,
                       walk->path);
    memcpy(walk->path + level->path_bytes, name, strlen(name) + 1);
    if (lstat(walk->path, &link) || stat(walk->path, &info))
        return errno == ENOENT ? 0 : err_errno(err, errno, "look at %s", walk->path);
    const bool folder = S_ISDIR(link.st_mode);
    if (!folder && (!S_ISREG(info.st_mode) || !listing_is_picture(walk->options, name))) return 0;
    buf_printf(&level->names, "%020" PRId64 " %s%s", folder ? 0 : (int64_t)info.st_size, name,
               folder ? "/" : "");
    buf_byte(&level->names, 0);
    level->count++;
    return buf_failed(&level->names) ? err_set(err, ERR_LIMIT, "no memory for a folder's names")
                                     : 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a + SIZE_BYTES, *(const char *const *)b + SIZE_BYTES);
}

/* Lists the folder that walk->path names, up to path_bytes, as a further level. */
static int enter(struct walk *walk, size_t path_bytes, struct err *err)
{
    if (walk->depth == DEPTH_MAX)
        return err_set(err, ERR_INVALID, "%.*s has folders %d deep", (int)walk->root_bytes,
                       walk->path, DEPTH_MAX);
    struct level *level = &walk->level[walk->depth];
    *level = (struct level){.path_bytes = path_bytes};
    buf_init(&level->names, 0);
    walk->path[path_bytes] = 0;
    char folder[PATH_MAX];
    (void)str_copy(folder, sizeof folder, walk->path);
    int rc = fs_list(folder, take_name, walk, err);
    if (!rc && level->count) {
        level->sorted = mem_try(level->count * sizeof *level->sorted);
        if (!level->sorted) rc = err_set(err, ERR_LIMIT, "no memory for a folder's names");
    }
    const char *at = buf_str(&level->names);
    if (!rc && level->sorted) {
        for (size_t i = 0; i < level->count; i++, at += strlen(at) + 1) level->sorted[i] = at;
        qsort(level->sorted, level->count, sizeof *level->sorted, by_name);
    }
    walk->depth++; /* also after an error: leave frees it */
    return rc;
}

static void leave(struct walk *walk)
{
    struct level *level = &walk->level[--walk->depth];
    mem_free(level->sorted);
    buf_deinit(&level->names);
}

int listing_walk(const char *folder, const struct encode_options *options,
                 int (*visit)(void *ctx, const char *path, int64_t bytes, struct err *err),
                 void *ctx, struct err *err)
{
    struct walk *walk = mem_new(sizeof *walk);
    walk->level = mem_new(DEPTH_MAX * sizeof *walk->level);
    walk->options = options;
    int rc = 0;
    if (strlen(folder) + 2 > sizeof walk->path)
        rc = err_set(err, ERR_INVALID, "the path of the input is too long");
    else
        walk->root_bytes = (size_t)snprintf(walk->path, sizeof walk->path, "%s/", folder);
    if (!rc) rc = enter(walk, walk->root_bytes, err);
    while (!rc && walk->depth) {
        struct level *level = &walk->level[walk->depth - 1];
        if (level->next == level->count) {
            leave(walk);
            continue;
        }
        const char *entry = level->sorted[level->next++], *name = entry + SIZE_BYTES;
        const size_t bytes = strlen(name);
        memcpy(walk->path + level->path_bytes, name,
               bytes + 1); /* take_name has seen that it fits */
        if (name[bytes - 1] == '/')
            rc = enter(walk, level->path_bytes + bytes, err);
        else
            rc = visit(ctx, walk->path + walk->root_bytes, strtoll(entry, NULL, 10), err);
    }
    while (walk->depth) leave(walk);
    mem_free(walk->level);
    mem_free(walk);
    return rc;
}

void listing_name(char dst[LISTING_NAME_BYTES], uint32_t shard)
{
    (void)snprintf(dst, LISTING_NAME_BYTES, LISTING_FOLDER "/%05u", shard);
}

void listing_add(struct buf *listing, const char *path, int64_t bytes)
{
    buf_printf(listing, "%" PRId64 " ", bytes);
    buf_add(listing, path, strlen(path) + 1);
}

bool listing_next(const char **at, const char *end, const char **path, int64_t *bytes)
{
    const char *zero = memchr(*at, 0, (size_t)(end - *at));
    if (!zero) return false;
    int64_t size = 0;
    const char *digit = *at;
    for (; *digit >= '0' && *digit <= '9'; digit++) {
        if (size > (INT64_MAX - 9) / 10) return false;
        size = size * 10 + (*digit - '0');
    }
    if (digit == *at || *digit != ' ' || digit + 1 == zero) return false;
    *path = digit + 1;
    *bytes = size;
    *at = zero + 1;
    return true;
}

uint64_t listing_hash(const struct buf *listing)
{
    uint8_t digest[HASH_SHA256_BYTES];
    uint64_t hash = 0;
    hash_sha256(digest, buf_str(listing), listing->len);
    for (int i = 0; i < 8; i++) hash = hash << 8 | digest[i];
    return hash;
}
