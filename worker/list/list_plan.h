/* list_plan.h - cuts a list into shards, in one pass.
 *
 * The list is read once, as a stream: on the way it is hashed as a whole, cut into shards, and each
 * shard is hashed. (A parquet list is hashed in a second pass.) Only then is it known for which
 * list the output must be claimed, and no shard may be given to anybody before that. So what is
 * known of each shard waits in memory, a few bytes each, and the rows of a list that is compressed,
 * json, parquet or many files wait in the output (list_stage.h).
 *
 * The order of the calls: new, open, cut, then, once the caller has claimed the output, publish for
 * each shard from the first that was not published before. A plan that is made again cuts the same
 * shards. One thread. */
#ifndef LIST_PLAN_H
#define LIST_PLAN_H

#include "common/base/err.h"
#include "common/base/hash.h"
#include "common/store/store.h"
#include "worker/list/list_input.h"
#include "worker/list/list_slice.h"

#include <stdint.h>

#define LIST_PLAN_SHARD_BYTES 16 /* that a plan keeps of each shard in memory */

struct list_plan_options {
    const char *path;            /* of the list */
    struct list_columns columns; /* its format too, LIST_AUTO: told by what is in it */
    uint32_t shard_rows, shards_max;
    uint32_t published;      /* shards that an earlier plan of the same list has published */
    const char *job, *lease; /* ids: they name the folder of list_stage.h */
    /* Called before every piece of the list and after every shard; a code that is not 0 ends the
     * planning with it. */
    int (*look)(void *ctx, struct err *err);
    void *look_ctx;
};

struct list_plan;

/* The texts of the options outlive the plan. */
struct list_plan *list_plan_new(const struct list_plan_options *options);
void list_plan_free(struct list_plan *plan); /* accepts NULL */
/* Opens the list, and finds what can be wrong with it as a whole: nothing is written before the
 * header, the columns and a first row have been seen. ERR_INVALID: it has no rows, or not the
 * columns. */
CHECKED int list_plan_open(struct list_plan *plan, struct err *err);
/* What the list turned out to be; of an open plan. */
enum list_format list_plan_format(const struct list_plan *plan);
/* Reads it to its end; fingerprint gets the hash of its bytes. The store is the output and outlives
 * the plan. ERR_INVALID: more than shards_max shards. */
CHECKED int list_plan_cut(struct list_plan *plan, struct store *store,
                          uint8_t fingerprint[HASH_SHA256_BYTES], struct err *err);
/* Found so far. */
uint64_t list_plan_rows(const struct list_plan *plan);
uint32_t list_plan_shards(const struct list_plan *plan);
/* How many rows the list has before the shard. */
uint64_t list_plan_row(const struct list_plan *plan, uint32_t shard);
/* The cut of a shard; its rows can be read from now on. */
CHECKED int list_plan_publish(struct list_plan *plan, struct list_cut *cut, uint32_t shard,
                              struct err *err);

#endif
