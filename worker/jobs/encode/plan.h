/* plan.h - the planning task: the input is cut into shards, one task each.
 *
 * plan.c finds out what the input is and has what all inputs need; plan_tars.c, plan_images.c and
 * the like cut one. Each of them computes a fingerprint of the whole input, claims the output with
 * it, and then adds the tasks from the first: those that an earlier planning has added are passed
 * over by encode_plan_add. The same input gives the same tasks with the same names. Nothing may be
 * written into the output before the claim that another job's tasks could read. */
#ifndef ENCODE_PLAN_H
#define ENCODE_PLAN_H

#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/store/store.h"
#include "proto/schema/jobs/encode.pb-c.h"
#include "worker/job.h"
#include "worker/jobs/encode/claim.h"
#include "worker/jobs/encode/options.h"

#include <stdint.h>

#define ENCODE_PLAN_BATCH 256
/* A few bytes of each are kept while it is planned. */
#define ENCODE_SHARDS_MAX 1000000

struct encode_plan {
    struct job_env *env;
    struct encode_options options;
    struct encode_files files;
    struct store *store; /* the output */
    uint8_t fingerprint[HASH_SHA256_BYTES];
    int64_t found; /* rows or shards so far, for the progress */
    /* Tasks that wait to be added. */
    struct arena texts;
    struct job_new_task batch[ENCODE_PLAN_BATCH];
    uint32_t batched, added, number;
};

/* For the planners of inputs. */
/* Tells the progress; ERR_CANCELLED: stop. */
CHECKED int encode_plan_look(struct encode_plan *plan, struct err *err);
CHECKED int encode_plan_claim(struct encode_plan *plan, const uint8_t hash[HASH_SHA256_BYTES],
                              struct err *err);
/* The next task, after the claim. shard: its fingerprint is filled in here. items: rows, 0: not
 * known. */
CHECKED int encode_plan_add(struct encode_plan *plan, const char *name,
                            Vlmq__Jobs__EncodeShard *shard, int64_t items, struct err *err);
/* Whether the next task is there already, so that what it needs need not be made again. */
bool encode_plan_has(const struct encode_plan *plan);

/* The names in the input folder, which may be a link to one. */
CHECKED int encode_plan_names(const struct encode_options *options,
                              int (*visit)(void *ctx, const char *name, struct err *err), void *ctx,
                              struct err *err);

CHECKED int encode_plan_tars(struct encode_plan *plan, struct err *err);
CHECKED int encode_plan_images(struct encode_plan *plan, struct err *err);
/* input: one of the lists' formats. */
CHECKED int encode_plan_urls(struct encode_plan *plan, Vlmq__Jobs__EncodeInput input,
                             struct err *err);

CHECKED int encode_plan(struct job_env *env, struct job_result *result, struct err *err);

#endif
