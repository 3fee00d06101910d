/* download_job.h - one download job of a test: its list, spec and output; and the server that it
 * fetches from.
 *
 *   struct download_job job;
 *   download_job_init(&job, "list.csv");
 *   job.spec.image_size = 64;
 *   buf_text(&job.list, "url\n");
 *   add_url(&job, "files/%d.jpg\n", 7);
 *   download_job_run(&job);
 *   json_t *row = output_row(&job, "00000.rows.jsonl", 0);
 *   EXPECT_TEXT(field(row, "status"), "success");
 *
 * Whatever goes wrong in here fails the test. Included as job_harness.h is, which it stands on.
 */
#ifndef TESTS_UNIT_JOBS_DOWNLOAD_JOB_H
#define TESTS_UNIT_JOBS_DOWNLOAD_JOB_H

#include "common/base/buf.h"
#include "common/base/fs.h"
#include "proto/schema/jobs/download.pb-c.h"
#include "tests/support/web_server.h"
#include "tests/unit/jobs/job_harness.h"
#include "worker/pipe/fetch.h"
#include "worker/pipe/tar.h"

#include <jansson.h>
#include <stdio.h>

#define IMAGES           TESTS_DIR "/golden/images"
#define TEST_PATH_BYTES  700
#define OUTPUT_BYTES_MAX (64 << 20) /* of a file that is read */

extern const struct job_kind job_download;

struct download_job {
    struct harness harness;
    const char *dir;
    char input[400], output[400]; /* "DIR/<list>" and "DIR/out"; a test may choose others */
    struct buf list;              /* what input will hold */
    Vlmq__Jobs__Download spec;
    uint8_t packed[2048];
};

/* A text as the fields of a message have it: not const, and never changed. */
static inline char *text(const char *value)
{
    return (char *)(uintptr_t)value;
}

static inline void download_job_init(struct download_job *job, const char *list)
{
    *job = (struct download_job){.dir = test_dir_new()};
    harness_init(&job->harness, &job_download);
    (void)snprintf(job->input, sizeof job->input, "%s/%s", job->dir, list);
    (void)snprintf(job->output, sizeof job->output, "%s/out", job->dir);
    buf_init(&job->list, 0);
    vlmq__jobs__download__init(&job->spec);
    job->spec.input = job->input;
    job->spec.output = job->output;
}

/* The same for a job over URLs of the server. */
static inline void download_job_init_web(struct download_job *job, const char *list)
{
    download_job_init(job, list);
    job->spec.allow_private = true;
    job->spec.no_retries = true;
}

static inline void download_job_deinit(struct download_job *job)
{
    buf_deinit(&job->list);
    harness_deinit(&job->harness);
    test_dir_remove(job->dir);
}

/* From now on, tasks run with spec as it is. Returns its bytes in packed. */
static inline size_t download_job_pack(struct download_job *job)
{
    EXPECT(vlmq__jobs__download__get_packed_size(&job->spec) <= sizeof job->packed);
    const size_t bytes = vlmq__jobs__download__pack(&job->spec, job->packed);
    job->harness.spec = (struct job_bytes){job->packed, bytes};
    return bytes;
}

/* Puts list and spec where the tasks find them. */
static inline void download_job_ready(struct download_job *job)
{
    struct err err;
    (void)download_job_pack(job);
    EXPECT_OK(fs_put(job->input, buf_str(&job->list), job->list.len, &err), &err);
}

static inline int download_job_plan(struct download_job *job)
{
    return harness_run(&job->harness, JOB_PLAN, NULL);
}

/* The task is a number from 0, of those that are planned. */
static inline int download_job_work(struct download_job *job, uint32_t task)
{
    return harness_run(&job->harness, JOB_WORK, &job->harness.host.tasks[task]);
}

/* The whole job, from list to report. */
static inline void download_job_run(struct download_job *job)
{
    download_job_ready(job);
    harness_job(&job->harness, false);
}

static inline void folder_put(const char *folder, const char *name, const void *data, size_t bytes)
{
    char path[TEST_PATH_BYTES];
    struct err err;
    EXPECT(fs_join(path, sizeof path, folder, name));
    EXPECT_OK(fs_put(path, data, bytes, &err), &err);
}

/* Appends to out. */
static inline void folder_read(struct buf *out, const char *folder, const char *name)
{
    char path[TEST_PATH_BYTES];
    struct err err;
    EXPECT(fs_join(path, sizeof path, folder, name));
    EXPECT_OK(fs_read(out, path, OUTPUT_BYTES_MAX, &err), &err);
}

static inline void output_path(char path[TEST_PATH_BYTES], const struct download_job *job,
                               const char *name)
{
    EXPECT(fs_join(path, TEST_PATH_BYTES, job->output, name));
}

static inline bool output_has(const struct download_job *job, const char *name)
{
    char path[TEST_PATH_BYTES];
    output_path(path, job, name);
    return fs_exists(path);
}

/* Appends to out. */
static inline void output_read(struct buf *out, const struct download_job *job, const char *name)
{
    folder_read(out, job->output, name);
}

/* Whether the words stand in a file of the output. */
static inline bool output_says(const struct download_job *job, const char *name, const char *words)
{
    struct buf file;
    buf_init(&file, 0);
    output_read(&file, job, name);
    const bool found = strstr(buf_str(&file), words) != NULL;
    buf_deinit(&file);
    return found;
}

/* The caller's, as what the next two return. */
static inline json_t *json_of(const char *line, size_t bytes)
{
    json_t *object = json_loadb(line, bytes, JSON_REJECT_DUPLICATES, NULL);
    EXPECT(object != NULL);
    return object;
}

static inline json_t *output_json(const struct download_job *job, const char *name)
{
    struct buf file;
    buf_init(&file, 0);
    output_read(&file, job, name);
    json_t *object = json_of(file.data, file.len);
    buf_deinit(&file);
    return object;
}

/* A line of a jsonl file, from 0. */
static inline json_t *output_row(const struct download_job *job, const char *name, uint32_t number)
{
    struct buf file;
    buf_init(&file, 0);
    output_read(&file, job, name);
    const char *line = buf_str(&file);
    while (number--) {
        line = strchr(line, '\n');
        EXPECT(line != NULL);
        line++;
    }
    json_t *object = json_of(line, strcspn(line, "\n"));
    buf_deinit(&file);
    return object;
}

/* A counter of the whole output, as the manifest tells it. */
static inline int64_t output_counter(const struct download_job *job, const char *name)
{
    json_t *manifest = output_json(job, "manifest.json");
    const json_t *counters = json_object_get(json_object_get(manifest, "totals"), "counters");
    const int64_t value = json_integer_value(json_object_get(counters, name));
    json_decref(manifest);
    return value;
}

static inline const char *field(const json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));
    return value ? value : "(none)";
}

static inline int64_t number(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

/* A tar of an output, from its first member to its last. */
struct output_tar {
    struct buf bytes;
    size_t at;
    struct tar_reader reader;
};

static inline int output_tar_bytes(void *ctx, void *dst, size_t bytes, size_t *got, struct err *err)
{
    struct output_tar *tar = ctx;
    (void)err;
    const size_t left = tar->bytes.len - tar->at;
    *got = left < bytes ? left : bytes;
    memcpy(dst, tar->bytes.data + tar->at, *got);
    tar->at += *got;
    return 0;
}

/* Stays where it is while it is read. */
static inline void output_tar_open(struct output_tar *tar, const struct download_job *job,
                                   const char *name)
{
    *tar = (struct output_tar){0};
    buf_init(&tar->bytes, 0);
    output_read(&tar->bytes, job, name);
    tar_reader_init(&tar->reader, output_tar_bytes, tar);
}

/* False: there is no further member, and the tar has its end. */
static inline bool output_tar_next(struct output_tar *tar, struct tar_member *member)
{
    struct err err;
    bool found = false;
    EXPECT_OK(tar_reader_next(&tar->reader, member, &found, &err), &err);
    EXPECT(found || tar->reader.complete);
    return found;
}

/* Appends the bytes of the member that was found last. */
static inline void output_tar_member(struct output_tar *tar, struct buf *out)
{
    struct err err;
    EXPECT_OK(tar_reader_all(&tar->reader, out, OUTPUT_BYTES_MAX, &err), &err);
}

static inline void output_tar_close(struct output_tar *tar)
{
    buf_deinit(&tar->bytes);
}

static struct web_server web;
static const char *web_files; /* a folder of the test's own that it serves; NULL: IMAGES */

static inline void web_start(void)
{
    web_server_start(&web, TESTS_DIR "/support/web_server.py", web_files ? web_files : IMAGES,
                     NULL);
}

/* These two are for a group of tests; one that has web_files has a start of its own. */
static inline int web_start_images(void **state)
{
    (void)state;
    web_start();
    return 0;
}

static inline int web_stop(void **state)
{
    (void)state;
    web_server_stop(&web);
    if (web_files) test_dir_remove(web_files);
    return 0;
}

/* Appends a URL of the server to the list: "jitter/3.jpg", and what stands behind it. */
__attribute__((format(printf, 2, 3))) static inline void add_url(struct download_job *job,
                                                                 const char *fmt, ...)
{
    char path[200];
    va_list args;
    va_start(args, fmt);
    const int bytes = vsnprintf(path, sizeof path, fmt, args);
    va_end(args);
    EXPECT(bytes > 0 && (size_t)bytes < sizeof path);
    buf_printf(&job->list, "http://127.0.0.1:%d/%s", web.port, path);
}

/* How often the server was asked for each path so far; the caller's. */
static inline json_t *web_counts(void)
{
    const struct fetch_options options = {.transfers = 1,
                                          .total_ms = 60000,
                                          .connect_ms = 60000,
                                          .body_bytes = 1 << 20,
                                          .allow_private = true};
    struct fetch *fetch = NULL;
    struct fetch_item item = {0};
    struct err err;
    char url[64];
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/counts", web.port);
    item.url = url;
    buf_init(&item.body, 0);
    EXPECT_OK(fetch_new(&fetch, &options, &err), &err);
    fetch_start(fetch, &item);
    while (!fetch_take(fetch)) fetch_turn(fetch, 1000);
    json_t *counts = json_of(buf_str(&item.body), item.body.len);
    fetch_free(fetch);
    buf_deinit(&item.body);
    return counts;
}

/* For one path. */
static inline int64_t web_requests(const char *path)
{
    json_t *counts = web_counts();
    const int64_t count = number(counts, path);
    json_decref(counts);
    return count;
}

#endif
