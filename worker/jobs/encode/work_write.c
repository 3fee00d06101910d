/* work_write.c - rows into the shard's files, and their commit. */
#include "common/base/check.h"
#include "common/base/str.h"
#include "worker/jobs/encode/work.h"

#include <stdio.h>
#include <string.h>

static void file_name(char dst[ATTEMPT_NAME_BYTES], const struct work *work, const char *prefix,
                      const char *suffix)
{
    (void)snprintf(dst, ATTEMPT_NAME_BYTES, "%s%s%s", prefix, work->name, suffix);
}

/* ---- opening ---- */

static void add_column(struct work *work, const char *name, uint32_t rows, uint32_t columns)
{
    struct features_column *column = &work->column[work->columns_count++];
    *column = (struct features_column){.name = name, .rank = rows ? 2 : 1};
    if (rows) column->shape[0] = rows;
    column->shape[rows ? 1 : 0] = columns;
}

static int open_features(struct work *work, struct err *err)
{
    const struct clip_shape *shape = &work->model->shape;
    char folder[1024];
    if (encode_wants_tokens(&work->options))
        add_column(work, "tokens", shape->tokens, shape->hidden);
    if (work->options.cls) add_column(work, "cls", 0, shape->hidden);
    if (work->options.embedding) add_column(work, "embedding", 0, shape->projection);
    if (work->options.captions) add_column(work, "caption_embedding", 0, shape->projection);
    const int rc = attempt_scratch(work->attempt, folder, sizeof folder, err);
    if (rc) return rc;
    const struct features_options options = {.scratch_folder = folder,
                                             .column = work->column,
                                             .columns_count = work->columns_count,
                                             .dtype = work->options.feature_dtype};
    return features_new(&work->features, &options, err);
}

static const char *crop_name(const struct encode_options *options)
{
    return options->crop == VLMQ__JOBS__ENCODE_CROP__ENCODE_CROP_OPENAI ? "openai" : "hf";
}

/* A name as it is, of a folder the last part: where it stands shapes no bytes. */
static const char *model_name(const struct encode_options *options)
{
    const char *slash = strrchr(options->model, '/');
    const bool path = options->model[0] == '/' || options->model[0] == '.';
    return path && slash && slash[1] ? slash + 1 : options->model;
}

/* What the safetensors file says of itself. */
static int describe_features(struct work *work, struct err *err)
{
    const struct encode_model *model = work->model;
    const struct clip_shape *shape = &model->shape;
    struct arena *arena = work->env->arena;
    uint32_t side = 0;
    while ((side + 1) * (side + 1) <= shape->tokens) side++;
    const struct features_about about = {
        .model = model_name(&work->options),
        .model_hash = work->files.model_hash,
        .arithmetic = arena_printf(arena, "%s", model->arithmetic),
        .preprocess = arena_printf(arena, "%ux%u, crop %s, orientation %s, alpha %s",
                                   shape->image_side, shape->image_side, crop_name(&work->options),
                                   work->options.orient ? "applied" : "as stored",
                                   work->options.drop_alpha ? "dropped" : "on white"),
        .has_tokens = encode_wants_tokens(&work->options),
        .hidden_state = work->options.hidden_state,
        .grid = model->grid,
        .window = side ? model->grid / side : 1,
    };
    if (!about.arithmetic || !about.preprocess)
        return err_set(err, ERR_LIMIT, "no memory for what the features are");
    work->pairs_count = features_pairs(work->pair, arena, &about, work->options.feature_dtype);
    return 0;
}

int encode_work_files_open(struct work *work, struct err *err)
{
    char name[ATTEMPT_NAME_BYTES];
    int rc = open_features(work, err);
    if (!rc) rc = describe_features(work, err);
    file_name(name, work, "", ".jsonl");
    if (!rc) rc = attempt_file_open(work->attempt, &work->lines, name, err);
    return rc ? rc
              : encode_tally_init(&work->tally,
                                  work->model->labels_count ? &work->model->labels : NULL, err);
}

/* ---- a row ---- */

static int add_features(struct work *work, struct err *err)
{
    const struct encode_row *row = &work->row;
    const float *data[FEATURES_COLUMNS_MAX];
    uint32_t count = 0;
    if (encode_wants_tokens(&work->options)) data[count++] = row->tokens;
    if (work->options.cls) data[count++] = row->cls;
    if (work->options.embedding) data[count++] = row->embedding;
    if (work->options.captions)
        data[count++] = row->caption_embedding ? row->caption_embedding : work->zeros;
    CHECK(count == work->columns_count);
    return features_add(work->features, data, 1, err);
}

int encode_work_row(struct work *work, struct err *err)
{
    buf_clear(&work->line);
    encode_work_line(&work->line, &work->row, &work->model->labels);
    int rc = buf_failed(&work->line)
                 ? err_set(err, ERR_LIMIT, "no memory for line %u of the shard", work->row.index)
                 : store_file_write(work->lines, work->line.data, work->line.len, err);
    if (!rc && work->row.row >= 0) rc = add_features(work, err);
    if (!rc) encode_tally_add(&work->tally, &work->row);
    return rc;
}

/* ---- the end ---- */

static int publish_features(struct work *work, struct err *err)
{
    char name[ATTEMPT_NAME_BYTES];
    file_name(name, work, "", ".safetensors");
    return features_publish(work->features, work->attempt, name, work->pair, work->pairs_count,
                            err);
}

/* As clip-retrieval lays them out: a folder for pictures and one for texts. */
static int publish_npy(struct work *work, struct err *err)
{
    const enum dtype dtype =
        work->options.feature_dtype == DTYPE_F32 ? DTYPE_F32 : DTYPE_F16; /* numpy has no bf16 */
    char name[ATTEMPT_NAME_BYTES];
    int rc = 0;
    for (uint32_t i = 0; i < work->columns_count && !rc && work->options.npy; i++) {
        const bool picture = str_eq(work->column[i].name, "embedding");
        if (!picture && !str_eq(work->column[i].name, "caption_embedding")) continue;
        file_name(name, work, picture ? "img_emb/img_emb_" : "text_emb/text_emb_", ".npy");
        rc = features_publish_npy(work->features, work->attempt, name, i, dtype, err);
    }
    return rc;
}

static int write_stats(struct work *work, struct err *err)
{
    const char *const names[] = {atomic_load(&work->source)->driver->stage, "decode", "encode",
                                 "write"};
    char name[ATTEMPT_NAME_BYTES];
    struct store_file *file = NULL;
    struct buf text;
    const struct clock *clock = work->env->clock;
    struct encode_times times = {.start_at_ms = work->start_at_ms,
                                 .end_at_ms = clock->wall_ms(clock),
                                 .stages_count = WORK_STAGES};
    for (uint32_t i = 0; i < WORK_STAGES; i++)
        times.stage[i] =
            (struct encode_stage){.name = names[i],
                                  .threads = i == WORK_DECODE ? work->threads_count : 1,
                                  .items = work->tally.rows,
                                  .busy_ns = atomic_load(&work->busy_ns[i])};
    buf_init(&text, 0);
    encode_stats_json(&work->tally, &times, &text);
    file_name(name, work, "", "_stats.json");
    int rc = buf_failed(&text) ? err_set(err, ERR_LIMIT, "no memory for the statistics") : 0;
    if (!rc) rc = attempt_file_open(work->attempt, &file, name, err);
    if (!rc) rc = store_file_write(file, text.data, text.len, err);
    if (!rc) rc = attempt_file_close(work->attempt, file, err);
    buf_deinit(&text);
    return rc;
}

static void add_counter(void *ctx, const char *name, int64_t value)
{
    struct attempt_manifest *manifest = ctx;
    CHECK(manifest->counters_count < COUNTERS_MAX);
    struct attempt_counter *counter = &manifest->counter[manifest->counters_count++];
    (void)str_copy(counter->name, sizeof counter->name, name);
    counter->value = value;
}

int encode_work_commit(struct work *work, struct err *err)
{
    bool adopted = false;
    struct store_file *lines = work->lines;
    work->lines = NULL; /* closing frees it, whatever comes of it */
    int rc = attempt_file_close(work->attempt, lines, err);
    if (!rc) rc = publish_features(work, err);
    if (!rc) rc = publish_npy(work, err);
    if (!rc) rc = write_stats(work, err);
    if (rc) return rc;
    struct attempt_manifest *manifest = mem_new(sizeof *manifest);
    manifest->items = work->tally.rows;
    manifest->items_ok = work->tally.success;
    manifest->bytes = work->bytes;
    encode_tally_each(&work->tally, add_counter, manifest);
    rc = attempt_commit(work->attempt, manifest, &adopted, err);
    if (!rc) encode_work_adopt(work, manifest);
    mem_free(manifest);
    return rc;
}

void encode_work_adopt(struct work *work, const struct attempt_manifest *manifest)
{
    struct job_result *result = work->result;
    memcpy(result->digest, manifest->digest, sizeof result->digest);
    for (uint32_t i = 0; i < manifest->counters_count; i++)
        job_count(result, manifest->counter[i].name, manifest->counter[i].value);
    result->progress.items = manifest->items;
    result->progress.items_ok = manifest->items_ok;
    result->progress.bytes = manifest->bytes;
    (void)snprintf(result->made, sizeof result->made, "%.*s.safetensors", ENCODE_NAME_BYTES_MAX,
                   work->name);
}
