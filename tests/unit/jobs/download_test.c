/* download_test.c - whole download jobs against a real server and a real folder. */
#include "common/base/fs.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "tests/unit/jobs/download_job.h"
#include "worker/list/list_slice.h"
#include "worker/pipe/encode.h"

#include <errno.h>
#include <unistd.h>

/* A gradient that differs from picture to picture. */
static void put_jpeg(const char *name, uint32_t width, uint32_t height, uint32_t shade)
{
    struct image image = {0};
    struct buf jpeg;
    struct err err;
    buf_init(&jpeg, 0);
    EXPECT(image_init(&image, width, height, 3));
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++) {
            uint8_t *pixel = image_row(&image, y) + (size_t)x * 3;
            pixel[0] = (uint8_t)(x * 255 / width);
            pixel[1] = (uint8_t)(y * 255 / height);
            pixel[2] = (uint8_t)(shade * 37);
        }
    EXPECT_OK(encode_jpeg(&jpeg, &image, 90, &err), &err);
    folder_put(web_files, name, jpeg.data, jpeg.len);
    if (!strcmp(name, "0.jpg")) folder_put(web_files, "cut.jpg", jpeg.data, jpeg.len / 2);
    image_deinit(&image);
    buf_deinit(&jpeg);
}

static int start(void **state)
{
    (void)state;
    web_files = test_dir_new();
    char name[32];
    for (uint32_t i = 0; i < 8; i++) {
        (void)snprintf(name, sizeof name, "%u.jpg", i);
        put_jpeg(name, 120 + 40 * i, i == 7 ? 100 : 160, i);
    }
    folder_put(web_files, "page.html", "<!doctype html><html><p>not here</p></html>", 43);
    folder_put(web_files, "bmp", "BM\x36\0\0\0\0\0\0\0\x36\0", 12);
    web_start();
    return 0;
}

static void job_init(struct download_job *job)
{
    download_job_init_web(job, "list.csv");
    job->spec.shard_rows = 10;
    job->spec.image_size = 64;
}

/* The names of a tar's members, each followed by a blank. */
static void member_names(const struct download_job *job, const char *name, struct buf *out)
{
    struct output_tar tar;
    struct tar_member member;
    output_tar_open(&tar, job, name);
    while (output_tar_next(&tar, &member)) buf_printf(out, "%s ", member.name);
    output_tar_close(&tar);
}

TEST(download, turns_a_list_into_shards_a_manifest_and_a_report)
{
    UNUSED_STATE;
    struct download_job job;
    job_init(&job);
    job.spec.caption_column = text("text");
    char *extra[] = {text("id")};
    job.spec.extra_columns = extra;
    job.spec.n_extra_columns = 1;
    buf_text(&job.list, "id,url,text\n");
    for (int i = 0; i < 12; i++) {
        buf_printf(&job.list, "%d,", 100 + i);
        add_url(&job, "jitter/%d.jpg", i % 8);
        buf_printf(&job.list, ",\"caption %d, \"\"quoted\"\"\"\n", i);
    }
    download_job_ready(&job);
    harness_job(&job.harness, true);
    struct buf names;
    buf_init(&names, 0);
    member_names(&job, "00001.tar", &names);
    EXPECT_TEXT(buf_str(&names), "000010.jpg 000010.json 000010.txt "
                                 "000011.jpg 000011.json 000011.txt ");
    json_t *stats = output_json(&job, "00000_stats.json");
    EXPECT_EQ(number(stats, "count"), 10);
    EXPECT_EQ(number(stats, "successes"), 10);
    EXPECT_EQ(number(json_object_get(stats, "status_dict"), "success"), 10);
    EXPECT(json_number_value(json_object_get(stats, "end_time")) > 0);
    json_t *row = output_row(&job, "00001.rows.jsonl", 1);
    EXPECT_TEXT(field(row, "key"), "000011");
    EXPECT_TEXT(field(row, "id"), "111");
    EXPECT_TEXT(field(row, "caption"), "caption 11, \"quoted\"");
    EXPECT_TEXT(field(row, "status"), "success");
    EXPECT_TEXT(field(row, "format"), "jpeg");
    EXPECT_EQ(number(row, "original_width"), 240);
    EXPECT_EQ(number(row, "width"), 64);
    EXPECT_EQ(strlen(field(row, "sha256")), 64);
    json_t *manifest = output_json(&job, "manifest.json");
    json_t *totals = json_object_get(manifest, "totals");
    EXPECT_EQ(number(totals, "rows"), 12);
    EXPECT_EQ(number(totals, "success"), 12);
    EXPECT_EQ(json_array_size(json_object_get(manifest, "shards")), 2);
    EXPECT(output_has(&job, "report.html"));
    char private[TEST_PATH_BYTES];
    output_path(private, &job, "_vlmq/attempt");
    EXPECT_EQ(rmdir(private), 0); /* it is empty */
    json_decref(stats);
    json_decref(row);
    json_decref(manifest);
    buf_deinit(&names);
    download_job_deinit(&job);
}

TEST(download, gives_every_row_a_typed_end)
{
    UNUSED_STATE;
    struct download_job job;
    job_init(&job);
    job.spec.shard_rows = 100;
    job.spec.timeout_ms = 5000;
    job.spec.body_bytes = 200000;
    job.spec.pixels = 35000;
    job.spec.redirects = 2;
    static const struct {
        const char *path, *status, *class, *message;
    } rows[] = {
        {"files/0.jpg", "success", "success", "(none)"},
        {"status/404", "http_status", "failed_to_download", "HTTP status 404"},
        {"redirect/3", "too_many_redirects", "failed_to_download", "redirected too often"},
        {"drop", "connection_lost", "failed_to_download",
         "the connection ended before the body did"},
        {"endless", "too_many_bytes", "failed_to_download", "the body is larger than the limit"},
        {"empty", "empty_body", "failed_to_download", "the body is empty"},
        {"files/page.html?type=image/jpeg", "unknown_format", "failed_to_resize",
         "the bytes are no picture"},
        {"files/bmp", "unsupported_format", "failed_to_resize",
         "a picture of a format that is not decoded"},
        {"files/cut.jpg", "truncated", "failed_to_resize", "the picture is cut short"},
        {"files/5.jpg", "too_many_pixels", "failed_to_resize",
         "the picture has more pixels than the limit"},
        {"files/7.jpg", "too_many_pixels", "failed_to_resize",
         "the picture has more pixels than the limit"},
        {"files/1.jpg", "success", "success", "(none)"},
    };
    const uint32_t count = sizeof rows / sizeof rows[0];
    buf_text(&job.list, "url\n");
    for (uint32_t i = 0; i < count; i++) {
        add_url(&job, "%s\n", rows[i].path);
    }
    buf_text(&job.list, "ftp://127.0.0.1/x\n\"\"\nhttp://\xff.invalid/\n\"never closed\n");
    download_job_run(&job);
    for (uint32_t i = 0; i < count + 4; i++) {
        json_t *row = output_row(&job, "00000.rows.jsonl", i);
        char key[16];
        (void)snprintf(key, sizeof key, "00000%02u", i);
        EXPECT_TEXT(field(row, "key"), key);
        const bool listed = i < count;
        EXPECT_TEXT(field(row, "status"), listed           ? rows[i].status
                                          : i == count + 3 ? "bad_row"
                                                           : "bad_url");
        if (listed) EXPECT_TEXT(field(row, "class"), rows[i].class);
        if (listed) EXPECT_TEXT(field(row, "error_message"), rows[i].message);
        json_decref(row);
    }
    struct buf names;
    buf_init(&names, 0);
    member_names(&job, "00000.tar", &names);
    EXPECT_TEXT(buf_str(&names), "0000000.jpg 0000000.json 0000011.jpg 0000011.json ");
    json_t *manifest = output_json(&job, "manifest.json");
    json_t *counters = json_object_get(json_object_get(manifest, "totals"), "counters");
    EXPECT_EQ(number(counters, "rows"), count + 4);
    EXPECT_EQ(number(counters, "success"), 2);
    EXPECT_EQ(number(counters, "failed_to_download"), 9);
    EXPECT_EQ(number(counters, "failed_to_resize"), 5);
    EXPECT_EQ(number(counters, "http.404"), 1);
    EXPECT_EQ(number(counters, "status.bad_url"), 3);
    EXPECT_EQ(number(counters, "format.jpeg"), 5);
    json_decref(manifest);
    buf_deinit(&names);
    download_job_deinit(&job);
}

/* Bytes of tar and rows of one run with these settings. */
static void run_once(uint32_t transfers, uint32_t threads, bool backwards, struct buf *out)
{
    struct download_job job;
    job_init(&job);
    job.spec.shard_rows = 40;
    job.spec.transfers = transfers;
    job.spec.decode_threads = threads;
    job.spec.caption_column = text("text");
    buf_text(&job.list, "url,text\n");
    for (int i = 0; i < 100; i++) {
        add_url(&job, i % 9 == 4 ? "status/%d" : "jitter/%d.jpg", i % 9 == 4 ? 404 : i % 8);
        buf_printf(&job.list, ",text %d\n", i);
    }
    download_job_ready(&job);
    harness_job(&job.harness, backwards);
    static const char *const names[] = {"00000.idx",        "00001.idx",        "00002.idx",
                                        "00000.tar",        "00001.tar",        "00002.tar",
                                        "00000.rows.jsonl", "00001.rows.jsonl", "00002.rows.jsonl"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) output_read(out, &job, names[i]);
    download_job_deinit(&job);
}

TEST(download, makes_the_same_bytes_whatever_the_order_of_arrival)
{
    UNUSED_STATE;
    struct buf one, other;
    buf_init(&one, 0);
    buf_init(&other, 0);
    run_once(1, 1, false, &one);
    run_once(32, 4, true, &other);
    EXPECT_EQ(one.len, other.len);
    EXPECT(one.len > 100000);
    EXPECT_MEM(one.data, other.data, one.len);
    buf_deinit(&one);
    buf_deinit(&other);
}

TEST(download, adopts_what_is_committed_without_a_request)
{
    UNUSED_STATE;
    struct download_job job;
    job_init(&job);
    buf_text(&job.list, "url\n");
    for (int i = 0; i < 5; i++) {
        add_url(&job, "files/%d.jpg?once=1\n", i % 2);
    }
    download_job_run(&job);
    EXPECT_OK(download_job_work(&job, 0), &job.harness.err);
    const struct job_result first = job.harness.result;
    const int64_t before = web_requests("/files/0.jpg");
    EXPECT(before > 0);
    EXPECT_OK(download_job_work(&job, 0), &job.harness.err);
    EXPECT_EQ(web_requests("/files/0.jpg"), before);
    EXPECT_EQ(harness_counter(&job.harness, "success"), 5);
    EXPECT_EQ(job.harness.result.progress.items, 5);
    EXPECT_TEXT(job.harness.result.made, "00000.tar");
    EXPECT_MEM(first.digest, job.harness.result.digest, sizeof first.digest);
    /* Another list over the same output is refused before anything runs. */
    add_url(&job, "files/2.jpg");
    download_job_ready(&job);
    EXPECT_EQ(download_job_plan(&job), ERR_INVALID);
    download_job_deinit(&job);
}

TEST(download, stops_midway_and_leaves_nothing)
{
    UNUSED_STATE;
    struct download_job job;
    job_init(&job);
    job.spec.timeout_ms = 3600 * 1000; /* only the stop can end the hanging row in time */
    buf_text(&job.list, "url\n");
    for (int i = 0; i < 9; i++) {
        add_url(&job, i == 4 ? "hang?%d" : "files/%d.jpg", i % 8);
        buf_byte(&job.list, '\n');
    }
    download_job_ready(&job);
    EXPECT_OK(download_job_plan(&job), &job.harness.err);
    job.harness.host.stop_at_items = 8;
    EXPECT_EQ(download_job_work(&job, 0), ERR_CANCELLED);
    EXPECT_EQ(job.harness.host.progress.items, 8);
    EXPECT_EQ(job.harness.host.progress.stages_count, 3);
    EXPECT(!output_has(&job, "00000.tar"));
    EXPECT(!output_has(&job, "_vlmq/manifest/00000.json"));
    download_job_deinit(&job);
}

TEST(plan, keeps_the_rows_of_a_compressed_list_in_the_output)
{
    UNUSED_STATE;
    struct download_job job;
    char command[700];
    job_init(&job);
    buf_text(&job.list, "\xef\xbb\xbfurl,text\r\n");
    for (int i = 0; i < 25; i++) {
        add_url(&job, "files/%d.jpg", i % 8);
        buf_printf(&job.list, ",\"line\n%d\"\r\n", i);
    }
    job.spec.caption_column = text("text");
    download_job_ready(&job);
    (void)snprintf(command, sizeof command, "gzip %s", job.input);
    EXPECT_EQ(system(command), 0);
    const size_t len = strlen(job.input);
    EXPECT(str_copy(job.input + len, sizeof job.input - len, ".gz"));
    (void)download_job_pack(&job);
    EXPECT_OK(download_job_plan(&job), &job.harness.err);
    EXPECT_EQ(job.harness.host.tasks_count, 3);
    EXPECT(output_has(&job, "_vlmq/rows/00002"));
    EXPECT(!output_has(&job, "_vlmq/rows/00003"));
    for (uint32_t i = 0; i < 3; i++) EXPECT_OK(download_job_work(&job, i), &job.harness.err);
    json_t *row = output_row(&job, "00002.rows.jsonl", 4);
    EXPECT_TEXT(field(row, "caption"), "line\n24");
    EXPECT_TEXT(field(row, "status"), "success");
    json_decref(row);
    job.harness.dead = 1;
    EXPECT_OK(harness_run(&job.harness, JOB_CLOSE, NULL), &job.harness.err);
    EXPECT(output_has(&job, "_vlmq/rows/00002")); /* a revived task will want it */
    job.harness.dead = 0;
    EXPECT_OK(harness_run(&job.harness, JOB_CLOSE, NULL), &job.harness.err);
    EXPECT(!output_has(&job, "_vlmq/rows"));
    download_job_deinit(&job);
}

TEST(download, notices_that_the_list_changed)
{
    UNUSED_STATE;
    struct download_job job;
    job_init(&job);
    buf_text(&job.list, "t,url\n");
    for (uint32_t i = 0; i < 25; i++)
        buf_printf(&job.list, "%u,http://127.0.0.1:%d/big/4321?%u\n", i, web.port, 10 + i);
    download_job_ready(&job);
    EXPECT_OK(download_job_plan(&job), &job.harness.err);
    const struct harness_task *task = job.harness.host.tasks;
    job.list.data[job.list.len - 2] ^= 1; /* the last row's URL */
    download_job_ready(&job);
    EXPECT_EQ(harness_run(&job.harness, JOB_WORK, &task[2]), ERR_INVALID);
    EXPECT(strstr(job.harness.err.msg, "changed") != NULL);
    job.list.data[0] = 'u'; /* the header */
    download_job_ready(&job);
    EXPECT_EQ(harness_run(&job.harness, JOB_WORK, &task[0]), ERR_INVALID);
    job.list.len = 20;
    download_job_ready(&job);
    EXPECT_EQ(harness_run(&job.harness, JOB_WORK, &task[1]), ERR_INVALID);
    EXPECT_EQ(unlink(job.input), 0);
    EXPECT_EQ(harness_run(&job.harness, JOB_WORK, &task[1]), ERR_UNAVAILABLE);
    EXPECT_EQ(web_requests("/big/4321"), 0); /* it was noticed in time */
    download_job_deinit(&job);
}

TEST(download, survives_a_full_disk_at_any_write)
{
    UNUSED_STATE;
    struct download_job job;
    int64_t after = 0;
    int failures = 0;
    job_init(&job);
    buf_text(&job.list, "url\n");
    for (int i = 0; i < 4; i++) {
        add_url(&job, "files/%d.jpg\n", i);
    }
    download_job_ready(&job);
    EXPECT_OK(download_job_plan(&job), &job.harness.err);
    for (;; after++) {
        (void)fs_fail(after, 1, ENOSPC);
        const int rc = download_job_work(&job, 0);
        const bool untouched = fs_fail(-1, 0, 0) <= after;
        if (rc) failures++;
        if (rc) EXPECT_EQ(rc, ERR_FULL);
        if (untouched) break;
    }
    EXPECT(failures > 0);
    EXPECT_OK(download_job_work(&job, 0), &job.harness.err);
    EXPECT_OK(harness_run(&job.harness, JOB_CLOSE, NULL), &job.harness.err);
    json_t *stats = output_json(&job, "00000_stats.json");
    EXPECT_EQ(number(stats, "successes"), 4);
    json_decref(stats);
    download_job_deinit(&job);
}

/* Which allocation fails differs from run to run; whatever it is, the task ends with a sentence, or
 * with rows that say so, and nothing is lost or used after it is freed. */
TEST(download, survives_a_failed_allocation_anywhere)
{
    UNUSED_STATE;
    bool untouched = false;
    int failures = 0;
    for (int64_t after = 0; !untouched; after++) {
        struct download_job job;
        job_init(&job);
        job.spec.transfers = 2;
        buf_text(&job.list, "url\n");
        for (int i = 0; i < 2; i++) {
            add_url(&job, "files/%d.jpg\n", i);
        }
        download_job_ready(&job);
        EXPECT_OK(download_job_plan(&job), &job.harness.err);
        (void)mem_fail(after, 1);
        const int rc = download_job_work(&job, 0);
        untouched = mem_fail(-1, 0) <= after;
        if (rc) EXPECT_EQ(rc, ERR_LIMIT);
        if (rc) /* the next attempt mends it, before or after the commit */
            EXPECT_OK(download_job_work(&job, 0), &job.harness.err);
        EXPECT(output_has(&job, "00000.tar"));
        if (untouched) EXPECT_EQ(harness_counter(&job.harness, "success"), 2);
        failures += rc != 0;
        download_job_deinit(&job);
    }
    EXPECT(failures > 5);
}

TEST(download, blames_the_machine_when_no_name_resolves)
{
    UNUSED_STATE;
    struct download_job job;
    job_init(&job);
    job.spec.shard_rows = 42;
    job.spec.no_retries = true;
    char *server = (char[]){"127.0.0.1:1"}; /* nothing listens there */
    job.spec.dns_servers = &server;
    job.spec.n_dns_servers = 1;
    buf_text(&job.list, "url\n");
    for (int i = 0; i < 40; i++) buf_printf(&job.list, "http://h%d.example/\n", i);
    /* Rows that ask for no name say nothing about the network. */
    buf_text(&job.list, "http://127.0.0.1:1/\n\"data:,x\"\n");
    download_job_ready(&job);
    EXPECT_OK(download_job_plan(&job), &job.harness.err);
    EXPECT_EQ(download_job_work(&job, 0), ERR_UNAVAILABLE);
    job.harness.attempt = 3;
    EXPECT_OK(download_job_work(&job, 0), &job.harness.err);
    EXPECT_EQ(harness_counter(&job.harness, "status.dns_failed") +
                  harness_counter(&job.harness, "status.dns_timeout"),
              40);
    download_job_deinit(&job);
}

static int check_spec(struct download_job *job, struct err *err)
{
    return job_download.check(job->packed, download_job_pack(job), err);
}

TEST(check, names_the_option_that_is_wrong)
{
    UNUSED_STATE;
    struct download_job job;
    struct err err;
    job_init(&job);
    char *extra[] = {text("width")};
    const Vlmq__Jobs__Download good = job.spec;
    EXPECT_OK(check_spec(&job, &err), &err);
#define WRONG(change, option)                                              \
    do {                                                                   \
        job.spec = good;                                                   \
        change;                                                            \
        EXPECT_EQ(check_spec(&job, &err), ERR_INVALID);                    \
        if (!strstr(err.msg, option)) fail_msg("%s: %s", option, err.msg); \
    } while (0)
    WRONG(job.spec.quality = 101, "--quality must be 1 to 100");
    WRONG(job.spec.image_size = 1000000, "--image-size");
    WRONG(job.spec.shard_rows = 2000000, "--shard-rows");
    WRONG(job.spec.transfers = 5000, "--transfers");
    WRONG(job.spec.per_host = 5000, "--per-host");
    char *words[] = {text("noai"), text("no ai")};
    WRONG((job.spec.opt_out_directives = words, job.spec.n_opt_out_directives = 2),
          "--opt-out-directives");
    WRONG((job.spec.opt_out_directives = words, job.spec.n_opt_out_directives = 1,
           job.spec.ignore_opt_out = true),
          "--ignore-opt-out");
    char *servers[] = {text("127.0.0.1"), text("ns.example")};
    WRONG((job.spec.dns_servers = servers, job.spec.n_dns_servers = 2),
          "--dns-servers: \"ns.example\"");
    WRONG(job.spec.retries = 2, "--no-retries");
    WRONG(job.spec.redirects = 51, "--redirects");
    WRONG(job.spec.body_bytes = UINT64_MAX, "--body-bytes");
    WRONG((job.spec.body_bytes = 1 << 30, job.spec.transfers = 1024), "--body-bytes");
    WRONG(job.spec.pixels = UINT64_MAX, "--pixels");
    WRONG(job.spec.timeout_ms = UINT32_MAX, "--timeout-ms");
    WRONG(job.spec.decode_threads = 1000, "--decode-threads");
    WRONG(job.spec.resize_mode = 99, "--resize-mode");
    WRONG(job.spec.input_format = 99, "--input-format");
    WRONG(job.spec.output = text(""), "--output");
    WRONG(job.spec.input = text("s3://b/list.csv"), "s3://b/list.csv");
    WRONG(job.spec.caption_column = text("url"), "--caption-column");
    WRONG((job.spec.extra_columns = extra, job.spec.n_extra_columns = 1), "--extra-columns");
    WRONG(job.spec.user_agent = text("a\r\nb"), "--user-agent");
    WRONG(job.spec.background = text("grey"), "--background must be");
    WRONG(job.spec.background = text("#12345"), "--background must be");
    WRONG(job.spec.compute_hash = 99, "--compute-hash");
    WRONG((job.spec.compute_hash = 3, job.spec.verify_hash_column = text("sum")),
          "--verify-hash-column");
    WRONG(job.spec.verify_hash_column = text("url"), "--verify-hash-column");
#undef WRONG
    EXPECT_EQ(job_download.check((const uint8_t *)"\xff\xff", 2, &err), ERR_INVALID);
    download_job_deinit(&job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(check, names_the_option_that_is_wrong),
        RUN(plan, keeps_the_rows_of_a_compressed_list_in_the_output),
        RUN(download, turns_a_list_into_shards_a_manifest_and_a_report),
        RUN(download, gives_every_row_a_typed_end),
        RUN(download, makes_the_same_bytes_whatever_the_order_of_arrival),
        RUN(download, adopts_what_is_committed_without_a_request),
        RUN(download, stops_midway_and_leaves_nothing),
        RUN(download, notices_that_the_list_changed),
        RUN(download, survives_a_full_disk_at_any_write),
        RUN(download, survives_a_failed_allocation_anywhere),
        RUN(download, blames_the_machine_when_no_name_resolves),
    };
    return cmocka_run_group_tests(tests, start, web_stop);
}
