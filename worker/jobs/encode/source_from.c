/* source_from.c - which shard a task is of: one of its own plan, or one that another job has made.
 *
 * A task of --from has the public name of a shard of that job, a tar or a folder, and the beginning
 * of its digest; the rest is in the manifest in that job's output. The output is then claimed with
 * a hash of that job's own claim, so that it is the same input whatever the job is called. */
#include "common/base/str.h"
#include "worker/jobs/encode/work.h"

#include <string.h>

#define DIGEST_BYTES 16 /* of a payload of --from */

static int own_shard(struct work *work, struct err *err)
{
    const struct job_env *env = work->env;
    struct arena_lender lender = {.arena = env->arena};
    ProtobufCAllocator allocator = {arena_lend, arena_take_back, &lender};
    const Vlmq__Jobs__EncodeShard *shard =
        vlmq__jobs__encode_shard__unpack(&allocator, env->payload.bytes, env->payload.data);
    if (lender.failed) return err_set(err, ERR_LIMIT, "no memory for the payload");
    if (!shard || shard->fingerprint.len != sizeof work->fingerprint)
        return err_set(err, ERR_INVALID, "the task's payload cannot be read");
    work->shard = *shard;
    memcpy(work->fingerprint, shard->fingerprint.data, sizeof work->fingerprint);
    (void)str_copy(work->name, sizeof work->name, env->name);
    return 0;
}

/* The shard's file with its size. */
static int take_manifest(struct work *work, const struct attempt_manifest *manifest,
                         struct err *err)
{
    const struct job_env *env = work->env;
    if (memcmp(manifest->digest, env->payload.data, DIGEST_BYTES) != 0)
        return err_set(err, ERR_INVALID,
                       "%s was made anew since job %s told of it: submit this job "
                       "again, with another --output",
                       env->name, env->from);
    for (uint32_t i = 0; i < manifest->files_count; i++) {
        const char *name = manifest->file[i].name;
        const size_t bytes = strlen(env->name);
        const bool folder = str_has_prefix(name, env->name) && str_eq(name + bytes, "/");
        if (!folder && (!str_eq(name, env->name) || !str_has_suffix(name, ".tar"))) continue;
        vlmq__jobs__encode_shard__init(&work->shard);
        work->shard.source = VLMQ__JOBS__ENCODE_INPUT__ENCODE_INPUT_TAR;
        work->shard.file = arena_text(env->arena, name, strlen(name));
        work->shard.bytes = (uint64_t)manifest->file[i].bytes;
        return work->shard.file ? 0 : err_set(err, ERR_LIMIT, "no memory for the shard's name");
    }
    return err_set(err, ERR_INVALID,
                   "%s of job %s has no tar: --from takes jobs that make pictures", env->name,
                   env->from);
}

static int shard_of_job(struct work *work, struct err *err)
{
    const struct job_env *env = work->env;
    struct store *input = NULL;
    struct attempt_manifest *manifest = mem_new(sizeof *manifest);
    const size_t stem =
        strlen(env->name) - (str_has_suffix(env->name, ".tar") ? strlen(".tar") : 0);
    int rc = 0;
    if (stem > ENCODE_NAME_BYTES_MAX)
        rc = err_set(err, ERR_INVALID, "the name of %s is too long for features", env->name);
    else
        memcpy(work->name, env->name, stem);
    if (!rc && env->payload.bytes != DIGEST_BYTES)
        rc = err_set(err, ERR_INVALID, "the task's payload cannot be read");
    if (!rc) rc = store_open(&input, work->options.input, false, err);
    if (!rc) rc = attempt_manifest_read(input, work->name, manifest, err);
    if (!rc) rc = take_manifest(work, manifest, err);
    if (!rc) rc = encode_claim_fingerprint(work->fingerprint, input, err);
    store_close(input);
    mem_free(manifest);
    return rc;
}

int encode_work_shard(struct work *work, struct err *err)
{
    const struct job_env *env = work->env;
    return env->from && env->from[0] ? shard_of_job(work, err) : own_shard(work, err);
}
