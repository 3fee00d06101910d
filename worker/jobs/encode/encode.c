/* encode.c - the encode kind: what the runtime calls.
 *
 * Pictures become CLIP features and labels. The parts, in the order of a job's life: options.c (the
 * spec), claim.c (what it names besides the input), plan*.c (shards), source*.c (a shard's
 * samples), work*.c (one shard: read, decode, encode, write) over model.c (what is computed with),
 * labels, filters and feature files, close.c (manifest.json and report.html). */
#include "worker/job.h"
#include "worker/jobs/encode/close.h"
#include "worker/jobs/encode/options.h"
#include "worker/jobs/encode/plan.h"
#include "worker/jobs/encode/work.h"

static int check(const uint8_t *spec, size_t bytes, struct err *err)
{
    struct arena arena;
    struct encode_options options;
    arena_init(&arena, 0);
    const int rc = encode_options_init(&options, &arena, spec, bytes, err);
    arena_deinit(&arena);
    return rc;
}

extern const struct job_kind job_encode;
const struct job_kind job_encode = {
    .name = "encode",
    .needs = JOB_NEEDS_DEVICE,
    .takes_shards = true,
    .check = check,
    .plan = encode_plan,
    .work = encode_work,
    .close = encode_close,
};
