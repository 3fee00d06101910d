/* close.c - the closing task: rolls every shard forward, then writes manifest.json and report.html
 * (report.h). */
#include "worker/jobs/encode/close.h"

#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/store/attempt.h"
#include "worker/jobs/encode/claim.h"
#include "worker/jobs/encode/listing.h"
#include "worker/jobs/encode/options.h"
#include "worker/jobs/encode/report.h"
#include "worker/list/list_slice.h"

#include <stdio.h>

static bool stopping(void *ctx)
{
    return job_stopping(ctx) != JOB_STOP_NONE;
}

static void describe(char *dst, size_t bytes, const struct encode_options *options)
{
    char tokens[32] = "";
    if (options->tokens_kind == ENCODE_TOKENS_ALL)
        (void)str_copy(tokens, sizeof tokens, ", all tokens");
    if (options->tokens_kind == ENCODE_TOKENS_WINDOWS)
        (void)snprintf(tokens, sizeof tokens, ", %u tokens", options->tokens);
    (void)snprintf(dst, bytes, "computed in %s, written in %s%s%s%s%s", dtype_name(options->dtype),
                   dtype_name(options->feature_dtype), tokens, options->cls ? ", CLS" : "",
                   options->embedding ? ", embedding" : "",
                   options->captions ? ", caption embedding" : "");
}

/* A job that was refused, its output being another's, leaves that one's report alone. */
static int recall(const struct job_env *env, struct encode_files *files, struct store *output,
                  const struct encode_options *options, struct err *err)
{
    uint8_t fingerprint[HASH_SHA256_BYTES];
    struct store *input = NULL;
    const bool from = env->from && env->from[0];
    int rc = from ? store_open(&input, options->input, false, err) : 0;
    if (from && !rc) rc = encode_claim_fingerprint(fingerprint, input, err);
    store_close(input);
    /* The input may have gone, now that all is done. */
    if (rc && rc != ERR_NOT_FOUND) return rc;
    return encode_claim_recall(files, output, options, from && !rc ? fingerprint : NULL, err);
}

static int close_run(struct job_env *env, struct store **store, struct buf *spec, struct err *err)
{
    struct encode_options options;
    struct encode_files *files = arena_try(env->arena, sizeof *files);
    char how[200];
    if (!files) return err_set(err, ERR_LIMIT, "no memory for the closing task");
    int rc = encode_options_init(&options, env->arena, env->spec.data, env->spec.bytes, err);
    if (!rc) rc = store_open(store, options.output, true, err);
    if (!rc) rc = recall(env, files, *store, &options, err);
    if (!rc) rc = attempt_sweep(*store, err);
    if (rc) return rc;
    encode_spec_json(&options, files, spec);
    if (buf_failed(spec)) return err_set(err, ERR_LIMIT, "no memory for the spec");
    describe(how, sizeof how, &options);
    const struct encode_report_about about = {
        .input = options.input, .model = options.model, .how = how, .spec_json = buf_str(spec)};
    rc = encode_report_write(*store, &about, env->tasks_dead, stopping, env, err);
    /* A dead task may be revived, and will want its listing. */
    if (!rc && env->tasks_dead == 0) rc = store_remove_tree(*store, LISTING_FOLDER, err);
    if (!rc && env->tasks_dead == 0) rc = store_remove_tree(*store, LIST_SLICE_FOLDER, err);
    return rc;
}

int encode_close(struct job_env *env, struct job_result *result, struct err *err)
{
    (void)result; /* a report is no shard: jobs that follow this one are not told of it */
    struct store *store = NULL;
    struct buf spec;
    buf_init(&spec, 0);
    const int rc = close_run(env, &store, &spec, err);
    buf_deinit(&spec);
    store_close(store);
    return rc;
}
