/* encode_job.h - one encode job of a test: its input, spec and output, with the model of
 * fake_clip.h.
 *
 *   struct encode_job job;
 *   encode_job_init(&job);
 *   encode_job_tar(&job, "in/00000.tar", members);
 *   encode_job_run(&job);
 *   json_t *row = encode_row(&job, "00000.jsonl", 0);
 *
 * Whatever goes wrong in here fails the test. Included as job_harness.h is. */
#ifndef TESTS_UNIT_JOBS_ENCODE_JOB_H
#define TESTS_UNIT_JOBS_ENCODE_JOB_H

#include "common/base/buf.h"
#include "common/base/fs.h"
#include "proto/schema/jobs/encode.pb-c.h"
#include "tests/unit/jobs/fake_clip.h"
#include "tests/unit/jobs/job_harness.h"
#include "worker/pipe/encode.h"
#include "worker/pipe/image.h"
#include "worker/pipe/tar.h"

#include <jansson.h>
#include <stdio.h>

#define OUTPUT_BYTES_MAX (64 << 20) /* of a file that is read */

extern const struct job_kind job_encode;

struct encode_job {
    struct harness harness;
    const char *dir;
    char input[PATH_MAX], output[PATH_MAX], model[PATH_MAX]; /* DIR/in, DIR/out, DIR/model */
    char models[PATH_MAX]; /* DIR/models: what is kept on disk for later jobs */
    Vlmq__Jobs__Encode spec;
    uint8_t packed[4096];
};

static inline char *text(const char *value)
{
    return (char *)(uintptr_t)value;
}

static inline void encode_job_init(struct encode_job *job)
{
    *job = (struct encode_job){.dir = test_dir_new()};
    fake.loads = fake.pictures = fake.texts = fake.largest = fake.fails_at = 0;
    fake.picture_ms = 0;
    fake.cls = 0;
    fake.no_projection = fake.changes = fake.device_fails = false;
    harness_init(&job->harness, &job_encode);
    job->harness.device = "reference";
    (void)snprintf(job->input, sizeof job->input, "%s/in", job->dir);
    (void)snprintf(job->output, sizeof job->output, "%s/out", job->dir);
    (void)snprintf(job->model, sizeof job->model, "%s/model", job->dir);
    (void)snprintf(job->models, sizeof job->models, "%s/models", job->dir);
    fake_model_put(job->model);
    vlmq__jobs__encode__init(&job->spec);
    job->spec.input = job->input;
    job->spec.output = job->output;
    job->spec.model = job->model;
}

static inline void encode_job_deinit(struct encode_job *job)
{
    harness_deinit(&job->harness);
    test_dir_remove(job->dir);
}

/* From now on, tasks run with spec as it is. */
static inline void encode_job_pack(struct encode_job *job)
{
    EXPECT_EQ(setenv("VLMQ_MODELS", job->models, 1), 0);
    EXPECT(vlmq__jobs__encode__get_packed_size(&job->spec) <= sizeof job->packed);
    const size_t bytes = vlmq__jobs__encode__pack(&job->spec, job->packed);
    job->harness.spec = (struct job_bytes){job->packed, bytes};
}

static inline int encode_job_plan(struct encode_job *job)
{
    encode_job_pack(job);
    return harness_run(&job->harness, JOB_PLAN, NULL);
}

static inline int encode_job_work(struct encode_job *job, uint32_t task)
{
    return harness_run(&job->harness, JOB_WORK, &job->harness.host.tasks[task]);
}

static inline void encode_job_run(struct encode_job *job)
{
    encode_job_pack(job);
    harness_job(&job->harness, false);
}

/* A file of the test's folder. */
static inline void put(const struct encode_job *job, const char *name, const void *data,
                       size_t bytes)
{
    char path[PATH_MAX], folder[PATH_MAX];
    struct err err;
    EXPECT(fs_join(path, sizeof path, job->dir, name));
    (void)str_copy(folder, sizeof folder, path);
    *strrchr(folder, '/') = 0;
    EXPECT_OK(fs_mkdirs(folder, &err), &err);
    EXPECT_OK(fs_put(path, data, bytes, &err), &err);
}

/* A PNG of one colour; the size is the file's own. */
static inline void picture(struct buf *out, uint32_t colour, uint32_t width, uint32_t height)
{
    struct image image;
    struct err err;
    EXPECT(image_init(&image, width, height, 3));
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++) {
            image_row(&image, y)[x * 3] = (uint8_t)(colour >> 16);
            image_row(&image, y)[x * 3 + 1] = (uint8_t)(colour >> 8);
            image_row(&image, y)[x * 3 + 2] = (uint8_t)colour;
        }
    EXPECT_OK(encode_png(out, &image, 6, &err), &err);
    image_deinit(&image);
}

/* A member of a tar; a picture of a colour where data is NULL. */
struct member {
    const char *name, *data;
    uint32_t colour;
};

/* members end with one without a name. */
static inline void pack_tar(struct buf *out, const struct member *members)
{
    struct tar_writer writer;
    struct buf file;
    struct err err;
    buf_init(out, 0);
    buf_init(&file, 0);
    tar_writer_init(&writer, tar_write_buf, out);
    for (; members->name; members++) {
        buf_clear(&file);
        if (members->data)
            buf_text(&file, members->data);
        else
            picture(&file, members->colour, 12, 8);
        EXPECT_OK(tar_writer_add(&writer, members->name, buf_str(&file), file.len, &err), &err);
    }
    EXPECT_OK(tar_writer_end(&writer, &err), &err);
    buf_deinit(&file);
}

static inline void encode_job_tar(const struct encode_job *job, const char *name,
                                  const struct member *members)
{
    struct buf tar;
    pack_tar(&tar, members);
    put(job, name, tar.data, tar.len);
    buf_deinit(&tar);
}

/* Appends a file of the test's folder. */
static inline void get(struct buf *out, const struct encode_job *job, const char *name)
{
    char path[PATH_MAX];
    struct err err;
    EXPECT(fs_join(path, sizeof path, job->dir, name));
    EXPECT_OK(fs_read(out, path, OUTPUT_BYTES_MAX, &err), &err);
}

static inline bool has(const struct encode_job *job, const char *name)
{
    char path[PATH_MAX];
    EXPECT(fs_join(path, sizeof path, job->dir, name));
    return fs_exists(path);
}

/* A line of a jsonl file of the output, from 0; the caller's. */
static inline json_t *encode_row(const struct encode_job *job, const char *name, uint32_t number)
{
    struct buf file;
    char path[200];
    buf_init(&file, 0);
    (void)snprintf(path, sizeof path, "out/%s", name);
    get(&file, job, path);
    const char *line = buf_str(&file);
    while (number--) {
        line = strchr(line, '\n');
        EXPECT(line != NULL);
        line++;
    }
    json_t *object = json_loadb(line, strcspn(line, "\n"), JSON_REJECT_DUPLICATES, NULL);
    EXPECT(object != NULL);
    buf_deinit(&file);
    return object;
}

/* That line has this text under a name, "" where it has none. */
static inline void expect_text(const struct encode_job *job, const char *name, uint32_t number,
                               const char *field, const char *want)
{
    json_t *row = encode_row(job, name, number);
    const char *value = json_string_value(json_object_get(row, field));
    EXPECT_TEXT(value ? value : "", want);
    json_decref(row);
}

/* -1 where there is none. */
static inline double real(const struct encode_job *job, const char *name, uint32_t number,
                          const char *field)
{
    json_t *row = encode_row(job, name, number);
    const json_t *value = json_object_get(row, field);
    const double result = value ? json_number_value(value) : -1;
    json_decref(row);
    return result;
}

/* Two shards of 60 pictures with captions, in/00000.tar and in/00001.tar; each 7th is broken. */
static inline void encode_job_pictures(const struct encode_job *job)
{
    struct member member[121] = {{NULL, NULL, 0}};
    char name[121][32];
    for (uint32_t shard = 0; shard < 2; shard++) {
        for (uint32_t i = 0; i < 120; i++) {
            const uint32_t number = shard * 60 + i / 2;
            (void)snprintf(name[i], sizeof name[i], "%04u.%s", number, i % 2 ? "txt" : "png");
            member[i] = (struct member){name[i], i % 2 ? "a red fox" : NULL, number * 0x020301};
            if (i % 14 == 0) member[i].data = "broken";
        }
        (void)snprintf(name[120], sizeof name[120], "in/%05u.tar", shard);
        encode_job_tar(job, name[120], member);
    }
}

/* With these, all that a job can be asked for, but for all tokens. */
static inline void encode_job_everything(struct encode_job *job)
{
    static char labels[PATH_MAX], reference[PATH_MAX];
    static const char set[] = "{\"animals\": {\"fox\": \"a red fox\", \"owl\": \"an owl\"}}";
    struct buf file;
    encode_job_pictures(job);
    buf_init(&file, 0);
    picture(&file, 0x00000a, 9, 9);
    put(job, "labels.json", set, sizeof set - 1);
    put(job, "reference.png", file.data, file.len);
    buf_deinit(&file);
    EXPECT(fs_join(labels, sizeof labels, job->dir, "labels.json"));
    EXPECT(fs_join(reference, sizeof reference, job->dir, "reference.png"));
    job->spec.cls = job->spec.embedding = job->spec.captions = job->spec.npy = true;
    job->spec.tokens = text("4");
    job->spec.labels = labels;
    job->spec.top_k = 2;
    job->spec.placeholder = reference;
    job->spec.placeholder_threshold = 0.999;
    job->spec.near_duplicates = 0.99999;
}

/* All public files of that output but those with times, one after another. */
static inline void encode_job_bytes(struct buf *out, const struct encode_job *job)
{
    static const char *const names[] = {
        "out/00000.safetensors",         "out/00000.jsonl",
        "out/img_emb/img_emb_00000.npy", "out/text_emb/text_emb_00000.npy",
        "out/00001.safetensors",         "out/00001.jsonl",
        "out/img_emb/img_emb_00001.npy", "out/text_emb/text_emb_00001.npy"};
    buf_init(out, 0);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (has(job, names[i])) get(out, job, names[i]);
}

#endif
