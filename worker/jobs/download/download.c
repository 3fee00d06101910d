/* download.c - the download kind: what the runtime calls.
 *
 * A list of image URLs becomes WebDataset shards. The parts, in the order of a job's life:
 * options.c (the spec), plan.c over list_*.c (shards of rows), work*.c (one shard: fetch, decode,
 * write), close.c (manifest.json and report.html). */
#include "worker/job.h"
#include "worker/jobs/download/close.h"
#include "worker/jobs/download/options.h"
#include "worker/jobs/download/plan.h"
#include "worker/jobs/download/work.h"

static int check(const uint8_t *spec, size_t bytes, struct err *err)
{
    struct arena arena;
    struct download_options options;
    arena_init(&arena, 0);
    const int rc = download_options_init(&options, &arena, spec, bytes, err);
    arena_deinit(&arena);
    return rc;
}

extern const struct job_kind job_download;
const struct job_kind job_download = {
    .name = "download",
    .needs = 0,
    .check = check,
    .plan = download_plan,
    .work = download_work,
    .close = download_close,
};
