/* source.c - the sources that there are, and which of them a shard has. */
#include "worker/jobs/encode/source.h"

#include "common/base/check.h"
#include "common/base/str.h"

static const struct source_driver *driver_of(const Vlmq__Jobs__EncodeShard *shard)
{
    if (shard->source == VLMQ__JOBS__ENCODE_INPUT__ENCODE_INPUT_IMAGES) return &source_images;
    if (list_of_input(shard->source) != LIST_AUTO) return &source_urls;
    if (shard->source != VLMQ__JOBS__ENCODE_INPUT__ENCODE_INPUT_TAR) return NULL;
    return str_has_suffix(shard->file, "/") ? &source_folder : &source_tar;
}

int source_open(struct source **source, const struct source_env *env, struct err *err)
{
    const struct source_driver *driver = driver_of(env->shard);
    if (!driver) return err_set(err, ERR_INVALID, "the task's payload cannot be read");
    const int rc = driver->open(source, env, err);
    if (!rc) (*source)->driver = driver;
    return rc;
}

int source_next(struct source *source, struct encode_sample *sample, bool *found, struct err *err)
{
    const int rc = source->driver->next(source, sample, found, err);
    if (rc || !*found) return rc;
    if (buf_failed(&sample->key) || buf_failed(&sample->picture) || buf_failed(&sample->caption) ||
        buf_failed(&sample->json))
        return err_set(err, ERR_LIMIT, "no memory for sample %u of the shard", sample->index);
    CHECK(sample->key.len > 0);
    return 0;
}

void source_tell(struct source *source, struct job_stage *stage)
{
    stage->name = source->driver->stage;
    if (source->driver->tell) source->driver->tell(source, stage);
}

void source_close(struct source *source)
{
    if (source) source->driver->close(source);
}
