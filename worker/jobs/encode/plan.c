/* plan.c - what all inputs have in common when they are planned; see plan.h. */
#include "worker/jobs/encode/plan.h"

#include "common/base/check.h"
#include "common/base/fs.h"
#include "common/base/str.h"
#include "worker/jobs/encode/listing.h"
#include "worker/list/list_files.h"
#include "worker/list/list_input.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

int encode_plan_look(struct encode_plan *plan, struct err *err)
{
    struct job_progress progress = {.stages_count = 1};
    progress.stage[0] = (struct job_stage){.name = "plan", .finished = plan->found};
    job_progress_set(plan->env, &progress);
    if (!job_stopping(plan->env)) return 0;
    return err_set(err, ERR_CANCELLED, "planning was stopped");
}

int encode_plan_claim(struct encode_plan *plan, const uint8_t hash[HASH_SHA256_BYTES],
                      struct err *err)
{
    memcpy(plan->fingerprint, hash, sizeof plan->fingerprint);
    return encode_claim(plan->store, &plan->options, &plan->files, hash, err);
}

static int flush(struct encode_plan *plan, struct err *err)
{
    if (!plan->batched) return 0;
    const int rc = job_add(plan->env, &plan->added, plan->batch, plan->batched, err);
    plan->batched = 0;
    arena_reset(&plan->texts);
    return rc;
}

bool encode_plan_has(const struct encode_plan *plan)
{
    return plan->number < plan->env->added;
}

int encode_plan_add(struct encode_plan *plan, const char *name, Vlmq__Jobs__EncodeShard *shard,
                    int64_t items, struct err *err)
{
    const bool has = encode_plan_has(plan);
    if (plan->number++ == ENCODE_SHARDS_MAX)
        return err_set(err, ERR_INVALID, "the input makes more than %d shards", ENCODE_SHARDS_MAX);
    if (has) return 0;
    shard->fingerprint.data = plan->fingerprint;
    shard->fingerprint.len = sizeof plan->fingerprint;
    const size_t bytes = vlmq__jobs__encode_shard__get_packed_size(shard);
    if (bytes > PAYLOAD_BYTES_MAX)
        return err_set(err, ERR_INVALID, "the name of %.80s is too long", shard->file);
    uint8_t *payload = arena_new(&plan->texts, bytes);
    (void)vlmq__jobs__encode_shard__pack(shard, payload);
    plan->batch[plan->batched++] =
        (struct job_new_task){.name = arena_text(&plan->texts, name, strlen(name)),
                              .payload = {payload, bytes},
                              .items = items,
                              .phase = JOB_WORK};
    const int rc = plan->batched == ENCODE_PLAN_BATCH ? flush(plan, err) : 0;
    return rc ? rc : encode_plan_look(plan, err);
}

/* ---- what the input is ---- */

int encode_plan_names(const struct encode_options *options,
                      int (*visit)(void *ctx, const char *name, struct err *err), void *ctx,
                      struct err *err)
{
    char folder[PATH_MAX];
    if (!fs_join(folder, sizeof folder, options->input, ""))
        return err_set(err, ERR_INVALID, "the path of the input is too long");
    return fs_list(folder, visit, ctx, err);
}

struct glimpse {
    const struct encode_options *options;
    bool tars, picture, names;
};

static int see_name(void *ctx, const char *name, struct err *err)
{
    struct glimpse *glimpse = ctx;
    (void)err;
    if (name[0] == '.') return 0;
    glimpse->names = true;
    if (str_has_suffix(name, ".tar")) glimpse->tars = true;
    return 0;
}

static int see_picture(void *ctx, const char *path, int64_t bytes, struct err *err)
{
    struct glimpse *glimpse = ctx;
    (void)path, (void)bytes, (void)err;
    glimpse->picture = true;
    return ERR_CANCELLED; /* one is enough */
}

static int tell_folder(Vlmq__Jobs__EncodeInput *input, const struct encode_options *options,
                       struct err *err)
{
    struct glimpse glimpse = {.options = options};
    struct err why;
    int rc = encode_plan_names(options, see_name, &glimpse, err);
    if (rc) return rc;
    if (glimpse.tars) {
        *input = VLMQ__JOBS__ENCODE_INPUT__ENCODE_INPUT_TAR;
        return 0;
    }
    rc = listing_walk(options->input, options, see_picture, &glimpse, &why);
    if (rc && !glimpse.picture) return err_set(err, (enum err_code)rc, "%s", why.msg);
    *input = VLMQ__JOBS__ENCODE_INPUT__ENCODE_INPUT_IMAGES;
    if (glimpse.picture) return 0;
    return err_set(err, ERR_INVALID, "the folder %s has no tars and no pictures%s", options->input,
                   glimpse.names ? "; --input-format and --image-keys say what to look for" : "");
}

static int tell_file(Vlmq__Jobs__EncodeInput *input, const struct encode_options *options,
                     struct err *err)
{
    if (str_has_suffix(options->input, ".tar")) {
        *input = VLMQ__JOBS__ENCODE_INPUT__ENCODE_INPUT_TAR;
        return 0;
    }
    if (str_has_suffix(options->input, ".tar.gz") || str_has_suffix(options->input, ".tgz"))
        return err_set(err, ERR_INVALID, "%s is compressed: unpack it to a plain .tar first",
                       options->input);
    *input = (Vlmq__Jobs__EncodeInput)list_format_of_name(options->input);
    if (*input != VLMQ__JOBS__ENCODE_INPUT__ENCODE_INPUT_AUTO) return 0;
    return err_set(err, ERR_INVALID, "cannot tell what %s is by its name: give --input-format",
                   options->input);
}

static int tell_input(Vlmq__Jobs__EncodeInput *input, const struct encode_options *options,
                      struct err *err)
{
    struct stat info;
    *input = options->input_format;
    const bool one = stat(options->input, &info) == 0;
    /* A pattern of many lists is the name of no file. */
    if (!one && !list_files_named(options->input))
        return err_errno(err, errno, "the input %s", options->input);
    if (*input != VLMQ__JOBS__ENCODE_INPUT__ENCODE_INPUT_AUTO) return 0;
    return one && S_ISDIR(info.st_mode) ? tell_folder(input, options, err)
                                        : tell_file(input, options, err);
}

static int plan_input(struct encode_plan *plan, Vlmq__Jobs__EncodeInput input, struct err *err)
{
    const char *given = plan->options.urls.given;
    if (list_of_input(input) != LIST_AUTO) return encode_plan_urls(plan, input, err);
    if (given)
        return err_set(err, ERR_INVALID, "--%s is for URL lists, and %s is none", given,
                       plan->options.input);
    return input == VLMQ__JOBS__ENCODE_INPUT__ENCODE_INPUT_TAR ? encode_plan_tars(plan, err)
                                                               : encode_plan_images(plan, err);
}

static int plan_run(struct encode_plan *plan, struct err *err)
{
    const struct job_env *env = plan->env;
    Vlmq__Jobs__EncodeInput input = VLMQ__JOBS__ENCODE_INPUT__ENCODE_INPUT_AUTO;
    int rc = encode_options_init(&plan->options, env->arena, env->spec.data, env->spec.bytes, err);
    if (!rc) rc = tell_input(&input, &plan->options, err);
    if (!rc) rc = encode_files_init(&plan->files, &plan->options, err);
    if (!rc) rc = store_open(&plan->store, plan->options.output, true, err);
    if (rc) return rc;
    rc = plan_input(plan, input, err);
    if (!rc) rc = flush(plan, err);
    return rc ? rc : encode_plan_look(plan, err);
}

int encode_plan(struct job_env *env, struct job_result *result, struct err *err)
{
    (void)result;
    struct encode_plan *plan = mem_new(sizeof *plan);
    plan->env = env;
    plan->added = env->added;
    arena_init(&plan->texts, 0);
    const int rc = plan_run(plan, err);
    store_close(plan->store);
    arena_deinit(&plan->texts);
    mem_free(plan);
    return rc;
}
