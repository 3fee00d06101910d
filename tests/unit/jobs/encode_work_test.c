/* encode_work_test.c - jobs from a folder of tars to features, with a model that everyone can
 * compute. */
#include "common/store/attempt.h"
#include "tests/unit/jobs/encode_job.h"
#include "worker/list/list_slice.h"
#include "worker/nn/dtype.h"
#include "worker/nn/load/safetensors.h"

#include <math.h>
#include <unistd.h>

#define RED   0xff0000u
#define GREEN 0x00ff00u
#define BLUE  0x0000ffu
#define GRAY  0x808080u

/* A tensor of a shard's features as f32. */
struct features {
    float value[4096];
    int64_t rows;
    uint32_t rank;
    enum dtype dtype;
};

static void read_features(struct features *features, const struct encode_job *job, const char *name,
                          const char *tensor)
{
    struct safetensors *file = NULL;
    char path[PATH_MAX];
    struct err err;
    EXPECT(fs_join(path, sizeof path, job->output, name));
    EXPECT_OK(safetensors_open(&file, path, &err), &err);
    const struct safetensors_entry *entry = safetensors_find(file, tensor);
    EXPECT(entry != NULL);
    const size_t count = (size_t)tensor_count(&entry->tensor);
    EXPECT(count <= 4096);
    dtype_widen(features->value, entry->tensor.data, entry->tensor.dtype, count);
    features->rows = entry->tensor.shape[0];
    features->rank = entry->tensor.rank;
    features->dtype = entry->tensor.dtype;
    safetensors_close(file);
}

static bool has_tensor(const struct encode_job *job, const char *name, const char *tensor)
{
    struct safetensors *file = NULL;
    char path[PATH_MAX];
    struct err err;
    EXPECT(fs_join(path, sizeof path, job->output, name));
    EXPECT_OK(safetensors_open(&file, path, &err), &err);
    const bool found = safetensors_find(file, tensor) != NULL;
    safetensors_close(file);
    return found;
}

static const struct member colours[] = {{"0.png", NULL, RED},        {"0.txt", "a red fox", 0},
                                        {"0.json", "{\"n\": 0}", 0}, {"1.jpg", "<html>", 0},
                                        {"2.png", NULL, GREEN},      {"3.txt", "no picture", 0},
                                        {"4.png", NULL, BLUE},       {NULL, NULL, 0}};

TEST(encode, pictures_become_rows_of_features_in_their_order)
{
    UNUSED_STATE;
    struct encode_job job;
    struct features features;
    encode_job_init(&job);
    encode_job_tar(&job, "in/00042.tar", colours);
    job.spec.cls = true;
    job.spec.embedding = true;
    job.spec.tokens = text("all");
    job.spec.feature_dtype = VLMQ__JOBS__ENCODE_FEATURE_DTYPE__ENCODE_FEATURE_DTYPE_F32;
    encode_job_run(&job);
    EXPECT_TEXT(job.harness.result.made, "");
    read_features(&features, &job, "00042.safetensors", "cls");
    EXPECT_EQ(features.rows, 3);
    EXPECT_EQ(features.rank, 2);
    static const float want[] = {1, 0, 0, 1, 0, 1, 0, 1, 0, 0, 1, 1};
    EXPECT_MEM(features.value, want, sizeof want);
    read_features(&features, &job, "00042.safetensors", "tokens");
    EXPECT_EQ(features.rank, 3);
    EXPECT(features.value[16 + 2 * 4 + 1] == 1.0F && features.value[16 + 2 * 4 + 3] == 2.0F);
    read_features(&features, &job, "00042.safetensors", "embedding");
    EXPECT(fabsf(features.value[4 + 1] - 0.9701425F) < 1e-6F);
    expect_text(&job, "00042.jsonl", 0, "status", "success");
    expect_text(&job, "00042.jsonl", 0, "caption", "a red fox");
    expect_text(&job, "00042.jsonl", 1, "status", "unknown_format");
    expect_text(&job, "00042.jsonl", 3, "status", "no_image");
    expect_text(&job, "00042.jsonl", 3, "key", "3");
    static const int rows[] = {0, -1, 1, -1, 2};
    for (uint32_t i = 0; i < 5; i++) EXPECT_EQ((int)real(&job, "00042.jsonl", i, "row"), rows[i]);
    EXPECT_EQ((int)real(&job, "00042.jsonl", 0, "width"), 12);
    json_t *row = encode_row(&job, "00042.jsonl", 0);
    EXPECT_EQ(json_integer_value(json_object_get(json_object_get(row, "meta"), "n")), 0);
    EXPECT(json_is_object(json_object_get(row, "meta")));
    json_decref(row);
    EXPECT(has(&job, "out/00042_stats.json") && has(&job, "out/manifest.json"));
    encode_job_deinit(&job);
}

TEST(encode, writes_embeddings_as_f16_unless_asked_for_other)
{
    UNUSED_STATE;
    struct encode_job job;
    struct features features;
    encode_job_init(&job);
    encode_job_tar(&job, "in/0.tar", colours);
    encode_job_run(&job);
    read_features(&features, &job, "0.safetensors", "embedding");
    EXPECT_EQ(features.dtype, DTYPE_F16);
    EXPECT(!has_tensor(&job, "0.safetensors", "cls") &&
           !has_tensor(&job, "0.safetensors", "tokens"));
    EXPECT(!has(&job, "out/img_emb"));
    encode_job_deinit(&job);
}

TEST(encode, files_are_the_same_whatever_batches_and_threads)
{
    UNUSED_STATE;
    static const struct {
        uint32_t batch, threads, cpus;
    } runs[] = {{1, 1, 1}, {7, 3, 2}, {64, 2, 4}};
    struct buf first, other;
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        struct encode_job job;
        encode_job_init(&job);
        encode_job_everything(&job);
        job.spec.batch = runs[i].batch;
        job.spec.decode_threads = runs[i].threads;
        job.harness.cpus = runs[i].cpus;
        encode_job_run(&job);
        EXPECT(fake.largest <= runs[i].batch);
        encode_job_bytes(i ? &other : &first, &job);
        if (i) {
            EXPECT_EQ(other.len, first.len);
            EXPECT_MEM(other.data, first.data, first.len);
            buf_deinit(&other);
        }
        encode_job_deinit(&job);
    }
    EXPECT(first.len > 10000);
    buf_deinit(&first);
}

/* The numbers of a .npy file of f32, behind its header. */
static void expect_npy(const struct encode_job *job, const char *name,
                       const struct features *features)
{
    struct buf file;
    char path[200];
    buf_init(&file, 0);
    (void)snprintf(path, sizeof path, "out/%s", name);
    get(&file, job, path);
    const size_t bytes = (size_t)features->rows * 4 * sizeof(float);
    EXPECT(file.len > bytes + 10 && strstr(file.data + 10, "'<f4'") != NULL);
    EXPECT_MEM(file.data + file.len - bytes, features->value, bytes);
    buf_deinit(&file);
}

TEST(encode, npy_files_hold_the_tensors_of_pictures_and_of_texts)
{
    UNUSED_STATE;
    struct encode_job job;
    struct features features;
    struct safetensors *file = NULL;
    struct err err;
    char path[PATH_MAX];
    encode_job_init(&job);
    encode_job_tar(&job, "in/00000.tar", colours);
    job.spec.embedding = job.spec.captions = job.spec.npy = true;
    job.spec.tokens = text("all");
    job.spec.feature_dtype = VLMQ__JOBS__ENCODE_FEATURE_DTYPE__ENCODE_FEATURE_DTYPE_F32;
    encode_job_run(&job);
    read_features(&features, &job, "00000.safetensors", "embedding");
    expect_npy(&job, "img_emb/img_emb_00000.npy", &features);
    read_features(&features, &job, "00000.safetensors", "caption_embedding");
    expect_npy(&job, "text_emb/text_emb_00000.npy", &features);
    EXPECT(fs_join(path, sizeof path, job.output, "00000.safetensors"));
    EXPECT_OK(safetensors_open(&file, path, &err), &err);
    EXPECT_TEXT(safetensors_metadata(file, "pooling"), "none"); /* a window for each of 2 x 2 */
    safetensors_close(file);
    encode_job_deinit(&job);
}

TEST(encode, tells_labels_placeholders_and_near_duplicates)
{
    UNUSED_STATE;
    struct encode_job job;
    struct features features;
    encode_job_init(&job);
    encode_job_everything(&job);
    static const struct member members[] = {{"0.png", NULL, RED},      {"0.txt", "a red fox", 0},
                                            {"1.png", NULL, 0x00000a}, {"1.txt", "an owl", 0},
                                            {"2.png", NULL, RED},      {"3.png", NULL, GREEN},
                                            {"3.txt", "a red fox", 0}, {NULL, NULL, 0}};
    encode_job_tar(&job, "in/00000.tar", members);
    encode_job_run(&job);
    expect_text(&job, "00000.jsonl", 0, "status", "success");
    expect_text(&job, "00000.jsonl", 1, "status", "placeholder");
    EXPECT(real(&job, "00000.jsonl", 1, "placeholder") > 0.999);
    EXPECT(real(&job, "00000.jsonl", 0, "placeholder") < 0.999);
    EXPECT_EQ((int)real(&job, "00000.jsonl", 1, "row"), -1);
    EXPECT_EQ((int)real(&job, "00000.jsonl", 2, "duplicate_of"), 0);
    EXPECT(real(&job, "00000.jsonl", 2, "similarity") > 0.9999);
    EXPECT_EQ((int)real(&job, "00000.jsonl", 3, "duplicate_of"), -1);
    json_t *row = encode_row(&job, "00000.jsonl", 0);
    const json_t *best = json_object_get(row, "labels");
    EXPECT_EQ(json_array_size(best), 2);
    best = json_array_get(best, 0);
    EXPECT_TEXT(json_string_value(json_object_get(best, "category")), "animals");
    EXPECT(json_number_value(json_object_get(best, "confidence")) >= 0.5);
    json_decref(row);
    read_features(&features, &job, "00000.safetensors", "caption_embedding");
    EXPECT_EQ(features.rows, 3);
    /* The second picture has no caption, the third the first one's. */
    static const float zeros[4];
    EXPECT_MEM(features.value + 4, zeros, sizeof zeros);
    EXPECT_MEM(features.value + 8, features.value, sizeof zeros);
    EXPECT(features.value[0] != 0);
    encode_job_deinit(&job);
}

/* What a model computes may be no number, or one that the files have no room for. */
TEST(encode, numbers_that_are_none_or_do_not_fit_are_not_written)
{
    UNUSED_STATE;
    static const struct {
        float cls;
        int dtype;
        const char *says; /* NULL: it fits */
    } cases[] = {
        {NAN, 0, "weights whole"},
        {-INFINITY, VLMQ__JOBS__ENCODE_FEATURE_DTYPE__ENCODE_FEATURE_DTYPE_F32, "weights whole"},
        {-65520, 0, "--feature-dtype f32 or bf16"},
        {65519, 0, NULL},
        {1e30F, VLMQ__JOBS__ENCODE_FEATURE_DTYPE__ENCODE_FEATURE_DTYPE_BF16, NULL},
        {3.4e38F, VLMQ__JOBS__ENCODE_FEATURE_DTYPE__ENCODE_FEATURE_DTYPE_BF16, "f32"},
        {3.4e38F, VLMQ__JOBS__ENCODE_FEATURE_DTYPE__ENCODE_FEATURE_DTYPE_F32, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct encode_job job;
        encode_job_init(&job);
        encode_job_tar(&job, "in/0.tar", colours);
        job.spec.cls = true;
        job.spec.feature_dtype = (Vlmq__Jobs__EncodeFeatureDtype)cases[i].dtype;
        fake.cls = cases[i].cls;
        EXPECT_OK(encode_job_plan(&job), &job.harness.err);
        EXPECT_EQ(encode_job_work(&job, 0), cases[i].says ? ERR_INVALID : 0);
        if (cases[i].says) EXPECT(strstr(job.harness.err.msg, cases[i].says));
        EXPECT(has(&job, "out/0.safetensors") == !cases[i].says);
        encode_job_deinit(&job);
    }
}

TEST(encode, shard_without_any_picture_is_a_shard_of_no_rows)
{
    UNUSED_STATE;
    struct encode_job job;
    struct features features;
    static const struct member texts[] = {{"0.txt", "alone", 0}, {NULL, NULL, 0}};
    static const struct member nothing[] = {{NULL, NULL, 0}};
    encode_job_init(&job);
    encode_job_tar(&job, "in/a.tar", texts);
    encode_job_tar(&job, "in/b.tar", nothing);
    encode_job_run(&job);
    read_features(&features, &job, "a.safetensors", "embedding");
    EXPECT_EQ(features.rows, 0);
    expect_text(&job, "a.jsonl", 0, "status", "no_image");
    EXPECT_EQ(fake.pictures, 0);
    encode_job_deinit(&job);
}

TEST(encode, stop_is_noticed_within_a_piece_of_a_slow_model)
{
    UNUSED_STATE;
    struct encode_job job;
    encode_job_init(&job);
    encode_job_pictures(&job);
    job.spec.decode_threads = 1;
    EXPECT_OK(encode_job_plan(&job), &job.harness.err);
    fake.picture_ms = 60;
    job.harness.host.stop_at_items = 6;
    const int64_t from_ms = clock_mono_us() / 1000;
    EXPECT_EQ(encode_job_work(&job, 0), ERR_CANCELLED);
    EXPECT(clock_mono_us() / 1000 - from_ms < 3000); /* the whole shard takes as long */
    EXPECT(fake.pictures < 30);
    EXPECT(fake.largest <= 17); /* a second's */
    EXPECT(!has(&job, "out/00000.jsonl"));
    encode_job_deinit(&job);
}

/* pass: pictures of a pass, or 0: the model's passes have nothing to do with the pieces. */
static void fail_in_the_middle(uint32_t pass)
{
    struct encode_job job, whole;
    struct buf want, got;
    encode_job_init(&whole);
    encode_job_everything(&whole);
    encode_job_run(&whole);
    encode_job_bytes(&want, &whole);
    encode_job_deinit(&whole);
    encode_job_init(&job);
    encode_job_everything(&job);
    fake.images_batch = pass;
    job.spec.batch = pass;
    job.harness.host.keeps_warm = true;
    EXPECT_OK(encode_job_plan(&job), &job.harness.err);
    fake.fails_at = 30;
    EXPECT_EQ(encode_job_work(&job, 0), ERR_UNAVAILABLE);
    EXPECT_TEXT(job.harness.err.msg, "the device is gone");
    EXPECT(!has(&job, "out/00000.jsonl"));
    fake.fails_at = 0;
    EXPECT_OK(encode_job_work(&job, 0), &job.harness.err);
    EXPECT_OK(encode_job_work(&job, 1), &job.harness.err);
    EXPECT_OK(encode_job_work(&job, 1), &job.harness.err); /* adopts */
    EXPECT_EQ(job.harness.result.progress.items, 60);
    EXPECT_TEXT(job.harness.result.made, "00001.safetensors");
    encode_job_bytes(&got, &job);
    EXPECT_EQ(got.len, want.len);
    EXPECT_MEM(got.data, want.data, want.len);
    buf_deinit(&want);
    buf_deinit(&got);
    encode_job_deinit(&job);
}

TEST(encode, error_in_the_middle_leaves_nothing_and_the_next_attempt_makes_all)
{
    UNUSED_STATE;
    fail_in_the_middle(0);
    for (uint32_t pass = 1; pass < 9; pass++) fail_in_the_middle(pass);
}

TEST(encode, model_that_is_missing_or_wrong_is_one_sentence_at_once)
{
    UNUSED_STATE;
    struct encode_job job;
    char path[PATH_MAX];
    encode_job_init(&job);
    encode_job_tar(&job, "in/0.tar", colours);
    job.spec.model = text("no/such-model");
    EXPECT_EQ(encode_job_plan(&job), ERR_NOT_FOUND);
    EXPECT(strstr(job.harness.err.msg, "no/such-model"));
    job.spec.model = job.input; /* a folder, but no model's */
    EXPECT_EQ(encode_job_plan(&job), ERR_NOT_FOUND);
    EXPECT(strstr(job.harness.err.msg, "config.json"));
    job.spec.model = job.model;
    EXPECT_OK(encode_job_plan(&job), &job.harness.err);
    job.spec.placeholder = path; /* larger than a body may be: for good */
    EXPECT(fs_join(path, sizeof path, job.input, "0.tar"));
    job.spec.body_bytes = 100;
    EXPECT_EQ(encode_job_plan(&job), ERR_INVALID);
    EXPECT(strstr(job.harness.err.msg, "--placeholder"));
    job.spec.placeholder = text("");
    job.spec.body_bytes = 0;
    EXPECT(fs_join(path, sizeof path, job.model, "model.safetensors"));
    EXPECT_EQ(unlink(path), 0);
    EXPECT_EQ(encode_job_plan(&job), ERR_INVALID);
    EXPECT(strstr(job.harness.err.msg, "model"));
    encode_job_deinit(&job);
}

/* Another worker may have it: the plan's had. */
TEST(encode, model_that_a_worker_has_not_or_that_changes_is_tried_elsewhere)
{
    UNUSED_STATE;
    struct encode_job job;
    char gone[PATH_MAX];
    encode_job_init(&job);
    encode_job_tar(&job, "in/0.tar", colours);
    EXPECT_OK(encode_job_plan(&job), &job.harness.err);
    EXPECT(fs_join(gone, sizeof gone, job.dir, "elsewhere"));
    EXPECT_EQ(rename(job.model, gone), 0);
    EXPECT_EQ(encode_job_work(&job, 0), ERR_UNAVAILABLE);
    EXPECT(strstr(job.harness.err.msg, "--model"));
    EXPECT_EQ(rename(gone, job.model), 0);
    put(&job, "model/model.safetensors", "others!", 7);
    EXPECT_EQ(encode_job_work(&job, 0), ERR_UNAVAILABLE);
    EXPECT(strstr(job.harness.err.msg, "another one here"));
    put(&job, "model/model.safetensors", "weights", 7);
    fake.changes = true;
    EXPECT_EQ(encode_job_work(&job, 0), ERR_UNAVAILABLE);
    EXPECT(strstr(job.harness.err.msg, "changed while"));
    EXPECT(!has(&job, "out/0.jsonl"));
    encode_job_deinit(&job);
}

TEST(encode, model_without_projection_gives_tokens_and_refuses_embeddings)
{
    UNUSED_STATE;
    for (uint32_t i = 0; i < 4; i++) {
        struct encode_job job;
        encode_job_init(&job);
        encode_job_tar(&job, "in/0.tar", colours);
        fake.no_projection = true;
        job.spec.cls = true;
        job.spec.embedding = i == 1;
        job.spec.captions = i == 2;
        job.spec.near_duplicates = i == 3 ? 0.9 : 0;
        EXPECT_OK(encode_job_plan(&job), &job.harness.err);
        EXPECT_EQ(encode_job_work(&job, 0), i ? ERR_INVALID : 0);
        if (i) EXPECT(strstr(job.harness.err.msg, "no projection"));
        encode_job_deinit(&job);
    }
}

TEST(encode, output_of_other_options_or_another_model_is_refused)
{
    UNUSED_STATE;
    struct encode_job job;
    encode_job_init(&job);
    encode_job_tar(&job, "in/0.tar", colours);
    encode_job_run(&job);
    job.spec.batch = 3; /* changes no byte */
    EXPECT_OK(encode_job_plan(&job), &job.harness.err);
    job.spec.cls = true;
    EXPECT_EQ(encode_job_plan(&job), ERR_INVALID);
    EXPECT(strstr(job.harness.err.msg, "--cls") || strstr(job.harness.err.msg, "--embedding"));
    job.spec.cls = false;
    put(&job, "model/model.safetensors", "others!", 7);
    EXPECT_EQ(encode_job_plan(&job), ERR_INVALID);
    EXPECT(strstr(job.harness.err.msg, "--model"));
    put(&job, "model/model.safetensors", "weights", 7);
    EXPECT_OK(encode_job_plan(&job), &job.harness.err);
    encode_job_tar(&job, "in/0.tar", colours + 4); /* another one of that name */
    EXPECT_EQ(encode_job_plan(&job), ERR_INVALID);
    EXPECT(strstr(job.harness.err.msg, "input has changed"));
    encode_job_tar(&job, "in/0.tar", colours);
    EXPECT_OK(encode_job_plan(&job), &job.harness.err);
    encode_job_tar(&job, "in/1.tar", colours);
    EXPECT_EQ(encode_job_plan(&job), ERR_INVALID);
    EXPECT(strstr(job.harness.err.msg, "input has changed"));
    encode_job_deinit(&job);
}

/* Of what is named besides the input, the content counts. */
TEST(encode, output_is_claimed_with_labels_templates_and_reference)
{
    UNUSED_STATE;
    static const char other[] = "{\"animals\": {\"fox\": \"a fox\", \"owl\": \"an owl\"}}";
    struct encode_job job;
    struct buf labels, reference, fresh;
    encode_job_init(&job);
    encode_job_everything(&job);
    EXPECT_OK(encode_job_plan(&job), &job.harness.err);
    buf_init(&labels, 0);
    buf_init(&reference, 0);
    buf_init(&fresh, 0);
    get(&labels, &job, "labels.json");
    get(&reference, &job, "reference.png");
    put(&job, "labels.json", other, sizeof other - 1);
    EXPECT_EQ(encode_job_work(&job, 0), ERR_INVALID);
    EXPECT(strstr(job.harness.err.msg, "--labels"));
    put(&job, "labels.json", labels.data, labels.len);
    picture(&fresh, 0x0a0000, 9, 9);
    put(&job, "reference.png", fresh.data, fresh.len);
    EXPECT_EQ(encode_job_work(&job, 0), ERR_INVALID);
    EXPECT(strstr(job.harness.err.msg, "--placeholder"));
    put(&job, "reference.png", reference.data, reference.len);
    job.spec.templates = text("a drawing of {}");
    encode_job_pack(&job);
    EXPECT_EQ(encode_job_work(&job, 0), ERR_INVALID);
    job.spec.templates = text("");
    encode_job_pack(&job);
    EXPECT_OK(encode_job_work(&job, 0), &job.harness.err);
    buf_deinit(&labels);
    buf_deinit(&reference);
    buf_deinit(&fresh);
    encode_job_deinit(&job);
}

TEST(encode, folder_of_pictures_is_cut_into_shards_that_later_changes_do_not_reach)
{
    UNUSED_STATE;
    struct encode_job job;
    struct buf file;
    char name[64];
    encode_job_init(&job);
    buf_init(&file, 0);
    for (uint32_t i = 0; i < 7; i++) {
        buf_clear(&file);
        picture(&file, i * 0x101010, 8, 8);
        (void)snprintf(name, sizeof name, "in/%s/%u.png", i < 4 ? "a" : "b", i);
        put(&job, name, file.data, file.len);
    }
    put(&job, "in/a/1.txt", "the second", 10);
    job.spec.shard_rows = 3;
    EXPECT_OK(encode_job_plan(&job), &job.harness.err);
    EXPECT_EQ(job.harness.host.tasks_count, 3);
    EXPECT_EQ(job.harness.host.tasks[2].items, 1);
    put(&job, "in/a/0a.png", file.data, file.len); /* is not among them */
    for (uint32_t i = 0; i < 3; i++) EXPECT_OK(encode_job_work(&job, i), &job.harness.err);
    expect_text(&job, "00000.jsonl", 0, "key", "a/0.png");
    expect_text(&job, "00000.jsonl", 1, "caption", "the second");
    expect_text(&job, "00001.jsonl", 0, "key", "a/3.png");
    expect_text(&job, "00001.jsonl", 1, "key", "b/4.png");
    expect_text(&job, "00002.jsonl", 0, "key", "b/6.png");
    /* A dead task may be revived: what it would read stays until none is dead. */
    put(&job, "out/" LIST_SLICE_FOLDER "/00000", "row", 3);
    for (uint32_t dead = 2; dead-- > 0;) {
        job.harness.dead = dead;
        EXPECT_OK(harness_run(&job.harness, JOB_CLOSE, NULL), &job.harness.err);
        EXPECT(has(&job, "out/_vlmq/listing/00000") == (dead > 0));
        EXPECT(has(&job, "out/" LIST_SLICE_FOLDER "/00000") == (dead > 0));
    }
    EXPECT(!has(&job, "out/_vlmq/listing"));
    buf_deinit(&file);
    encode_job_deinit(&job);
}

/* Renames a picture when the folder has been walked once. */
static void change_folder(void *ctx)
{
    const struct encode_job *job = ctx;
    char from[PATH_MAX], to[PATH_MAX];
    if (job->harness.host.told != 1) return;
    EXPECT(fs_join(from, sizeof from, job->dir, "in/0.png"));
    EXPECT(fs_join(to, sizeof to, job->dir, "in/1.png"));
    EXPECT_EQ(rename(from, to), 0);
}

TEST(encode, folder_that_changes_while_it_is_planned_is_planned_again)
{
    UNUSED_STATE;
    struct encode_job job;
    encode_job_init(&job);
    put(&job, "in/0.png", "x", 1);
    put(&job, "in/2.png", "y", 1);
    job.harness.host.on_told = change_folder;
    job.harness.host.on_told_ctx = &job;
    EXPECT_EQ(encode_job_plan(&job), ERR_UNAVAILABLE);
    EXPECT(strstr(job.harness.err.msg, "changed while it was planned"));
    EXPECT_EQ(job.harness.host.tasks_count, 0);
    encode_job_deinit(&job);
}

TEST(encode, plan_that_is_resumed_adds_the_same_tasks)
{
    UNUSED_STATE;
    struct encode_job job;
    char name[64];
    encode_job_init(&job);
    for (uint32_t i = 0; i < 5; i++) {
        (void)snprintf(name, sizeof name, "in/cc-%u.tar", i);
        encode_job_tar(&job, name, colours);
    }
    EXPECT_OK(encode_job_plan(&job), &job.harness.err);
    EXPECT_EQ(job.harness.host.tasks_count, 5);
    EXPECT_TEXT(job.harness.host.tasks[3].name, "cc-3");
    struct harness_task *all = mem_new(5 * sizeof *all);
    memcpy(all, job.harness.host.tasks, 5 * sizeof *all);
    for (uint32_t added = 0; added <= 5; added++) {
        job.harness.host.tasks_count = job.harness.added = added;
        EXPECT_OK(encode_job_plan(&job), &job.harness.err);
        EXPECT_EQ(job.harness.host.tasks_count, 5);
        for (uint32_t i = 0; i < 5; i++) {
            EXPECT_TEXT(job.harness.host.tasks[i].name, all[i].name);
            EXPECT_EQ(job.harness.host.tasks[i].bytes, all[i].bytes);
            EXPECT_MEM(job.harness.host.tasks[i].payload, all[i].payload, all[i].bytes);
        }
    }
    mem_free(all);
    encode_job_deinit(&job);
}

TEST(encode, tars_whose_names_are_no_tasks_names_are_numbered)
{
    UNUSED_STATE;
    struct encode_job job;
    encode_job_init(&job);
    encode_job_tar(&job, "in/b.tar", colours);
    encode_job_tar(&job, "in/a shard.tar", colours);
    EXPECT_OK(encode_job_plan(&job), &job.harness.err);
    EXPECT_TEXT(job.harness.host.tasks[0].name, "00000");
    EXPECT_TEXT(job.harness.host.tasks[1].name, "00001");
    EXPECT_OK(encode_job_work(&job, 0), &job.harness.err);
    EXPECT(has(&job, "out/00000.safetensors"));
    encode_job_deinit(&job);
}

/* A shard of another job, as its output has it; returns its digest's beginning in a task. */
static struct harness_task *shard_of_job(struct encode_job *job, const char *file)
{
    struct harness_task *task = &job->harness.host.tasks[0];
    struct store *store = NULL;
    struct attempt *attempt = NULL;
    struct store_file *out = NULL;
    struct attempt_manifest *manifest = mem_new(sizeof *manifest);
    struct buf tar;
    struct err err;
    char lease[LEASE_ID_BYTES];
    bool adopted;
    id_lease(lease);
    EXPECT_OK(store_open(&store, job->input, true, &err), &err);
    EXPECT_OK(attempt_claim_output(store, "download", "f", "{}", &err), &err);
    EXPECT_OK(attempt_open(&attempt, store, "00042_late", lease, &adopted, manifest, &err), &err);
    pack_tar(&tar, colours);
    EXPECT_OK(attempt_file_open(attempt, &out, file, &err), &err);
    EXPECT_OK(store_file_write(out, tar.data, tar.len, &err), &err);
    EXPECT_OK(attempt_file_close(attempt, out, &err), &err);
    EXPECT_OK(attempt_commit(attempt, manifest, &adopted, &err), &err);
    (void)snprintf(task->name, sizeof task->name, "%s", file);
    memcpy(task->payload, manifest->digest, 16);
    task->bytes = 16;
    job->harness.host.tasks_count = 1;
    job->harness.from = "download-1";
    attempt_close(attempt);
    store_close(store);
    buf_deinit(&tar);
    mem_free(manifest);
    return task;
}

TEST(encode, shard_of_another_job_is_taken_by_its_manifest)
{
    UNUSED_STATE;
    struct encode_job job;
    encode_job_init(&job);
    struct harness_task *task = shard_of_job(&job, "00042_late.tar");
    encode_job_pack(&job);
    EXPECT_OK(encode_job_work(&job, 0), &job.harness.err);
    EXPECT_TEXT(job.harness.result.made, "00042_late.safetensors");
    expect_text(&job, "00042_late.jsonl", 4, "status", "success");
    EXPECT_OK(encode_job_work(&job, 0), &job.harness.err); /* adopts */
    task->payload[3] ^= 1;
    EXPECT_EQ(encode_job_work(&job, 0), ERR_INVALID);
    EXPECT(strstr(job.harness.err.msg, "made anew"));
    task->bytes = 15;
    EXPECT_EQ(encode_job_work(&job, 0), ERR_INVALID);
    encode_job_deinit(&job);
}

TEST(encode, closing_needs_no_model_and_leaves_the_output_of_another_job_alone)
{
    UNUSED_STATE;
    struct encode_job job;
    struct buf before, after;
    static const char labels[] = "{\"a\": {\"b\": \"c\"}}";
    char path[PATH_MAX], gone[PATH_MAX], set[PATH_MAX];
    encode_job_init(&job);
    put(&job, "labels.json", labels, sizeof labels - 1);
    EXPECT(fs_join(set, sizeof set, job.dir, "labels.json"));
    (void)shard_of_job(&job, "00042_late.tar");
    job.spec.labels = set;
    encode_job_pack(&job);
    EXPECT_OK(encode_job_work(&job, 0), &job.harness.err);
    EXPECT(fs_join(gone, sizeof gone, job.dir, "elsewhere"));
    EXPECT_EQ(rename(job.model, gone), 0);
    EXPECT_EQ(unlink(set), 0);
    EXPECT_OK(harness_run(&job.harness, JOB_CLOSE, NULL), &job.harness.err);
    buf_init(&before, 0);
    buf_init(&after, 0);
    get(&before, &job, "out/manifest.json");
    EXPECT(strstr(buf_str(&before), "\"labels\":\""));
    for (uint32_t i = 0; i < 3; i++) {
        job.spec.cls = job.spec.embedding = i == 0;
        job.spec.labels = i == 1 ? text("") : set;
        /* Another input under the same options. */
        if (i == 2) put(&job, "in/_vlmq/job.json", "{}", 2);
        encode_job_pack(&job);
        EXPECT_EQ(harness_run(&job.harness, JOB_CLOSE, NULL), ERR_INVALID);
        EXPECT(strstr(job.harness.err.msg, "--output"));
    }
    EXPECT(fs_join(path, sizeof path, job.input, "_vlmq/job.json"));
    EXPECT_EQ(unlink(path), 0); /* the input may have gone */
    EXPECT_OK(harness_run(&job.harness, JOB_CLOSE, NULL), &job.harness.err);
    get(&after, &job, "out/manifest.json");
    EXPECT_TEXT(buf_str(&after), buf_str(&before));
    buf_deinit(&before);
    buf_deinit(&after);
    encode_job_deinit(&job);
}

TEST(encode, shard_of_another_job_without_pictures_is_refused)
{
    UNUSED_STATE;
    struct encode_job job;
    encode_job_init(&job);
    (void)shard_of_job(&job, "00042_late.txt");
    (void)snprintf(job.harness.host.tasks[0].name, sizeof job.harness.host.tasks[0].name,
                   "00042_late");
    encode_job_pack(&job);
    EXPECT_EQ(encode_job_work(&job, 0), ERR_INVALID);
    EXPECT(strstr(job.harness.err.msg, "has no tar"));
    encode_job_deinit(&job);
}

TEST(encode, inputs_that_are_none_are_refused_with_a_sentence)
{
    UNUSED_STATE;
    static const struct {
        const char *make, *input, *says;
    } cases[] = {{"empty/.x", "empty", "no tars and no pictures"},
                 {"texts/a.txt", "texts", "no tars and no pictures"},
                 {"x.tar.gz", "x.tar.gz", "compressed"},
                 {"data.bin", "data.bin", "--input-format"},
                 {NULL, "nowhere", "nowhere"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct encode_job job;
        encode_job_init(&job);
        if (cases[i].make) put(&job, cases[i].make, "x", 1);
        EXPECT(fs_join(job.input, sizeof job.input, job.dir, cases[i].input));
        const int rc = encode_job_plan(&job);
        EXPECT(rc == ERR_INVALID || rc == ERR_NOT_FOUND);
        EXPECT(strstr(job.harness.err.msg, cases[i].says));
        encode_job_deinit(&job);
    }
}

TEST(encode, wrong_options_are_refused_with_their_names)
{
    UNUSED_STATE;
    static const struct {
        const char *tokens, *hidden_state, *labels, *templates, *placeholder;
        double threshold, near;
        uint32_t top_k, batch;
        int space;
        bool npy, cls;
        const char *says;
    } cases[] = {
        {.tokens = "63", .says = "--tokens"},
        {.tokens = "some", .says = "--tokens"},
        {.hidden_state = "-2", .says = "--hidden-state"},
        {.tokens = "all", .hidden_state = "x", .says = "--hidden-state"},
        {.templates = "a {}", .says = "--templates"},
        {.top_k = 3, .says = "--top-k"},
        {.labels = "default", .top_k = 101, .says = "--top-k"},
        {.threshold = 0.5, .says = "--placeholder"},
        {.placeholder = "x.jpg", .threshold = 1.5, .says = "--placeholder-threshold"},
        {.placeholder = "x.jpg", .space = 1, .says = "--placeholder-threshold"},
        {.near = -0.5, .says = "--near-duplicates"},
        {.batch = 5000, .says = "--batch"},
        {.npy = true, .cls = true, .says = "--npy"},
        {.space = 7, .says = "--placeholder-space"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Vlmq__Jobs__Encode spec = VLMQ__JOBS__ENCODE__INIT;
        uint8_t packed[1024];
        struct err err = {0};
        spec.input = text("in");
        spec.output = text("out");
        spec.model = text("m");
        if (cases[i].tokens) spec.tokens = text(cases[i].tokens);
        if (cases[i].hidden_state) spec.hidden_state = text(cases[i].hidden_state);
        if (cases[i].labels) spec.labels = text(cases[i].labels);
        if (cases[i].templates) spec.templates = text(cases[i].templates);
        if (cases[i].placeholder) spec.placeholder = text(cases[i].placeholder);
        spec.placeholder_threshold = cases[i].threshold;
        spec.near_duplicates = cases[i].near;
        spec.top_k = cases[i].top_k;
        spec.batch = cases[i].batch;
        spec.npy = cases[i].npy;
        spec.cls = cases[i].cls;
        spec.placeholder_space = (Vlmq__Jobs__EncodeSpace)cases[i].space;
        const size_t bytes = vlmq__jobs__encode__pack(&spec, packed);
        EXPECT_EQ(job_encode.check(packed, bytes, &err), ERR_INVALID);
        if (!strstr(err.msg, cases[i].says)) print_message("%zu: %s\n", i, err.msg);
        EXPECT(strstr(err.msg, cases[i].says));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(encode, pictures_become_rows_of_features_in_their_order),
        RUN(encode, writes_embeddings_as_f16_unless_asked_for_other),
        RUN(encode, files_are_the_same_whatever_batches_and_threads),
        RUN(encode, npy_files_hold_the_tensors_of_pictures_and_of_texts),
        RUN(encode, tells_labels_placeholders_and_near_duplicates),
        RUN(encode, numbers_that_are_none_or_do_not_fit_are_not_written),
        RUN(encode, shard_without_any_picture_is_a_shard_of_no_rows),
        RUN(encode, stop_is_noticed_within_a_piece_of_a_slow_model),
        RUN(encode, error_in_the_middle_leaves_nothing_and_the_next_attempt_makes_all),
        RUN(encode, model_that_is_missing_or_wrong_is_one_sentence_at_once),
        RUN(encode, model_that_a_worker_has_not_or_that_changes_is_tried_elsewhere),
        RUN(encode, model_without_projection_gives_tokens_and_refuses_embeddings),
        RUN(encode, output_of_other_options_or_another_model_is_refused),
        RUN(encode, output_is_claimed_with_labels_templates_and_reference),
        RUN(encode, folder_of_pictures_is_cut_into_shards_that_later_changes_do_not_reach),
        RUN(encode, folder_that_changes_while_it_is_planned_is_planned_again),
        RUN(encode, plan_that_is_resumed_adds_the_same_tasks),
        RUN(encode, tars_whose_names_are_no_tasks_names_are_numbered),
        RUN(encode, shard_of_another_job_is_taken_by_its_manifest),
        RUN(encode, closing_needs_no_model_and_leaves_the_output_of_another_job_alone),
        RUN(encode, shard_of_another_job_without_pictures_is_refused),
        RUN(encode, inputs_that_are_none_are_refused_with_a_sentence),
        RUN(encode, wrong_options_are_refused_with_their_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
