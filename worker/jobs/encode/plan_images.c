/* plan_images.c - a folder of pictures: a task for every so many of them.
 *
 * The folder is walked twice: once to hash what is there, with which the output is claimed, and
 * once to leave each shard's listing in the output. What changes between the two is noticed by the
 * hash that was kept of each shard, and the planning begins anew. */
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "worker/jobs/encode/listing.h"
#include "worker/jobs/encode/plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SHARDS_FIRST 256 /* room for so many at first; then it doubles */

struct images {
    struct encode_plan *plan;
    struct hash *hash;  /* of the whole folder */
    struct buf listing; /* of the shard that is being filled */
    uint32_t rows;      /* in it */
    uint64_t *shard;    /* a hash for each, of the first walk */
    uint32_t shards_count, room;
    uint32_t next; /* of the second walk */
};

static int images_changed(const struct images *images, struct err *err)
{
    return err_set(err, ERR_UNAVAILABLE, "the folder %s changed while it was planned",
                   images->plan->options.input);
}

/* First walk: a shard is full, or the folder at its end. */
static int note_shard(struct images *images, struct err *err)
{
    if (images->shards_count == ENCODE_SHARDS_MAX)
        return err_set(err, ERR_INVALID, "the folder makes more than %d shards: raise --shard-rows",
                       ENCODE_SHARDS_MAX);
    if (images->shards_count == images->room) {
        const uint32_t room = images->room ? images->room * 2 : SHARDS_FIRST;
        uint64_t *grown = mem_resize(images->shard, room * sizeof *grown);
        if (!grown) return err_set(err, ERR_LIMIT, "no memory for %u shards", room);
        images->shard = grown;
        images->room = room;
    }
    hash_add(images->hash, buf_str(&images->listing), images->listing.len);
    images->shard[images->shards_count++] = listing_hash(&images->listing);
    return encode_plan_look(images->plan, err);
}

/* Second walk. */
static int add_shard(struct images *images, struct err *err)
{
    struct encode_plan *plan = images->plan;
    const uint32_t number = images->next++;
    char name[TASK_NAME_BYTES], listing[LISTING_NAME_BYTES];
    const uint64_t hash = listing_hash(&images->listing);
    if (number >= images->shards_count || images->shard[number] != hash)
        return images_changed(images, err);
    listing_name(listing, number);
    int rc = 0;
    if (!encode_plan_has(plan))
        rc = store_put(plan->store, listing, images->listing.data, images->listing.len, err);
    (void)snprintf(name, sizeof name, "%05u", number);
    Vlmq__Jobs__EncodeShard shard = VLMQ__JOBS__ENCODE_SHARD__INIT;
    shard.source = VLMQ__JOBS__ENCODE_INPUT__ENCODE_INPUT_IMAGES;
    shard.bytes = images->listing.len;
    shard.hash = hash;
    shard.shard = number;
    shard.row = (uint64_t)number * plan->options.shard_rows;
    shard.rows = images->rows;
    return rc ? rc : encode_plan_add(plan, name, &shard, images->rows, err);
}

static int shard_end(struct images *images, struct err *err)
{
    if (!images->rows) return 0;
    if (buf_failed(&images->listing))
        return err_set(err, ERR_LIMIT, "no memory for a shard's listing");
    const bool first = images->hash != NULL;
    const int rc = first ? note_shard(images, err) : add_shard(images, err);
    buf_clear(&images->listing);
    images->rows = 0;
    return rc;
}

static int take_picture(void *ctx, const char *path, int64_t bytes, struct err *err)
{
    struct images *images = ctx;
    listing_add(&images->listing, path, bytes);
    images->plan->found += images->hash != NULL;
    images->rows++;
    return images->rows < images->plan->options.shard_rows ? 0 : shard_end(images, err);
}

static int walk(struct images *images, struct err *err)
{
    const struct encode_options *options = &images->plan->options;
    const int rc = listing_walk(options->input, options, take_picture, images, err);
    return rc ? rc : shard_end(images, err);
}

int encode_plan_images(struct encode_plan *plan, struct err *err)
{
    struct hash *hash = hash_new();
    struct images images = {.plan = plan, .hash = hash};
    uint8_t digest[HASH_SHA256_BYTES];
    buf_init(&images.listing, 0);
    int rc = walk(&images, err);
    hash_end(hash, digest);
    if (!rc && !images.shards_count)
        rc = err_set(err, ERR_INVALID,
                     "the folder %s has no pictures; --image-keys says what to look for",
                     plan->options.input);
    if (!rc) rc = encode_plan_claim(plan, digest, err);
    images.hash = NULL; /* from here the second walk */
    if (!rc) rc = walk(&images, err);
    if (!rc && images.next < images.shards_count) rc = images_changed(&images, err);
    buf_deinit(&images.listing);
    mem_free(images.shard);
    hash_free(hash);
    return rc;
}
