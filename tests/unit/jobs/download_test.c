/* download_test.c - whole download jobs against a real server and a real folder. */
#include "common/base/fs.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "tests/support/web_server.h"
#include "tests/unit/jobs/job_harness.h"
#include "worker/jobs/download/list_slice.h"
#include "worker/pipe/encode.h"
#include "worker/pipe/tar.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

#define SCRIPT TESTS_DIR "/support/web_server.py"

extern const struct job_kind job_download;

static struct web_server web;
static const char *files; /* what the server serves */

/* One test's list, output and spec. */
struct fixture {
    struct harness harness;
    const char *dir;
    char input[300], output[300];
    struct buf list;
    Vlmq__Jobs__Download spec;
    uint8_t packed[2048];
};

static void put(const char *folder, const char *name, const void *data, size_t bytes)
{
    char path[600];
    struct err err;
    EXPECT(fs_join(path, sizeof path, folder, name));
    EXPECT_OK(fs_put(path, data, bytes, &err), &err);
}

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
    put(files, name, jpeg.data, jpeg.len);
    if (!strcmp(name, "0.jpg")) put(files, "cut.jpg", jpeg.data, jpeg.len / 2);
    image_deinit(&image);
    buf_deinit(&jpeg);
}

static int start(void **state)
{
    (void)state;
    files = test_dir_new();
    char name[32];
    for (uint32_t i = 0; i < 8; i++) {
        (void)snprintf(name, sizeof name, "%u.jpg", i);
        put_jpeg(name, 120 + 40 * i, i == 7 ? 100 : 160, i);
    }
    put(files, "page.html", "<!doctype html><html><p>not here</p></html>", 43);
    put(files, "bmp", "BM\x36\0\0\0\0\0\0\0\x36\0", 12);
    web_server_start(&web, SCRIPT, files, NULL);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    web_server_stop(&web);
    test_dir_remove(files);
    return 0;
}

static void fixture_init(struct fixture *fixture)
{
    *fixture = (struct fixture){.dir = test_dir_new()};
    harness_init(&fixture->harness, &job_download);
    (void)snprintf(fixture->input, sizeof fixture->input, "%s/list.csv", fixture->dir);
    (void)snprintf(fixture->output, sizeof fixture->output, "%s/out", fixture->dir);
    buf_init(&fixture->list, 0);
    vlmq__jobs__download__init(&fixture->spec);
    fixture->spec.input = fixture->input;
    fixture->spec.output = fixture->output;
    fixture->spec.shard_rows = 10;
    fixture->spec.image_size = 64;
    fixture->spec.allow_private = true;
    fixture->spec.no_retries = true;
}

static void fixture_deinit(struct fixture *fixture)
{
    buf_deinit(&fixture->list);
    harness_deinit(&fixture->harness);
    test_dir_remove(fixture->dir);
}

/* Puts list and spec where the job finds them. */
static void ready(struct fixture *fixture)
{
    struct err err;
    EXPECT(vlmq__jobs__download__get_packed_size(&fixture->spec) <= sizeof fixture->packed);
    const size_t bytes = vlmq__jobs__download__pack(&fixture->spec, fixture->packed);
    fixture->harness.spec = (struct job_bytes){fixture->packed, bytes};
    EXPECT_OK(fs_put(fixture->input, buf_str(&fixture->list), fixture->list.len, &err), &err);
}

/* "jitter/3.jpg" as a URL of the server. */
__attribute__((format(printf, 2, 3))) static void add_url(struct fixture *fixture, const char *fmt,
                                                          ...)
{
    char path[128];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(path, sizeof path, fmt, args);
    va_end(args);
    buf_printf(&fixture->list, "http://127.0.0.1:%d/%s", web.port, path);
}

static void output_text(const struct fixture *fixture, const char *name, struct buf *out)
{
    char path[600];
    struct err err;
    EXPECT(fs_join(path, sizeof path, fixture->output, name));
    EXPECT_OK(fs_read(out, path, 64 << 20, &err), &err);
}

static bool output_has(const struct fixture *fixture, const char *name)
{
    char path[600];
    EXPECT(fs_join(path, sizeof path, fixture->output, name));
    return fs_exists(path);
}

static json_t *output_json(const struct fixture *fixture, const char *name)
{
    struct buf text;
    buf_init(&text, 0);
    output_text(fixture, name, &text);
    json_t *object = json_loadb(text.data, text.len, 0, NULL);
    EXPECT(object != NULL);
    buf_deinit(&text);
    return object;
}

/* The line of rows.jsonl, from 0. */
static json_t *output_row(const struct fixture *fixture, const char *name, uint32_t number)
{
    struct buf text;
    buf_init(&text, 0);
    output_text(fixture, name, &text);
    const char *line = buf_str(&text);
    while (number--) {
        line = strchr(line, '\n');
        EXPECT(line != NULL);
        line++;
    }
    json_t *object = json_loadb(line, strcspn(line, "\n"), 0, NULL);
    EXPECT(object != NULL);
    buf_deinit(&text);
    return object;
}

static const char *field(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "(none)";
}

static int64_t number(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

/* Copies a whole tar into memory for a reader. */
struct tar_bytes {
    struct buf text;
    size_t at;
};

static int read_bytes(void *ctx, void *dst, size_t bytes, size_t *got, struct err *err)
{
    struct tar_bytes *tar = ctx;
    (void)err;
    const size_t left = tar->text.len - tar->at;
    *got = left < bytes ? left : bytes;
    memcpy(dst, tar->text.data + tar->at, *got);
    tar->at += *got;
    return 0;
}

/* The names of a tar's members, each followed by a blank. */
static void member_names(const struct fixture *fixture, const char *name, struct buf *out)
{
    struct tar_bytes tar = {0};
    struct tar_reader reader;
    struct tar_member member;
    struct err err;
    bool found = true;
    buf_init(&tar.text, 0);
    output_text(fixture, name, &tar.text);
    tar_reader_init(&reader, read_bytes, &tar);
    for (;;) {
        EXPECT_OK(tar_reader_next(&reader, &member, &found, &err), &err);
        if (!found) break;
        buf_printf(out, "%s ", member.name);
    }
    EXPECT(reader.complete);
    buf_deinit(&tar.text);
}

/* How often the server was asked for a path. */
static int requests(const char *path)
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
    json_t *counts = json_loadb(buf_str(&item.body), item.body.len, 0, NULL);
    const int count = (int)json_integer_value(json_object_get(counts, path));
    json_decref(counts);
    fetch_free(fetch);
    buf_deinit(&item.body);
    return count;
}

TEST(download, turns_a_list_into_shards_a_manifest_and_a_report)
{
    UNUSED_STATE;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.spec.caption_column = (char *)(uintptr_t) "text";
    char *extra[] = {(char *)(uintptr_t) "id"};
    fixture.spec.extra_columns = extra;
    fixture.spec.n_extra_columns = 1;
    buf_text(&fixture.list, "id,url,text\n");
    for (int i = 0; i < 12; i++) {
        buf_printf(&fixture.list, "%d,", 100 + i);
        add_url(&fixture, "jitter/%d.jpg", i % 8);
        buf_printf(&fixture.list, ",\"caption %d, \"\"quoted\"\"\"\n", i);
    }
    ready(&fixture);
    harness_job(&fixture.harness, true);
    struct buf names;
    buf_init(&names, 0);
    member_names(&fixture, "00001.tar", &names);
    EXPECT_TEXT(buf_str(&names), "000010.jpg 000010.json 000010.txt "
                                 "000011.jpg 000011.json 000011.txt ");
    json_t *stats = output_json(&fixture, "00000_stats.json");
    EXPECT_EQ(number(stats, "count"), 10);
    EXPECT_EQ(number(stats, "successes"), 10);
    EXPECT_EQ(number(json_object_get(stats, "status_dict"), "success"), 10);
    EXPECT(json_number_value(json_object_get(stats, "end_time")) > 0);
    json_t *row = output_row(&fixture, "00001.rows.jsonl", 1);
    EXPECT_TEXT(field(row, "key"), "000011");
    EXPECT_TEXT(field(row, "id"), "111");
    EXPECT_TEXT(field(row, "caption"), "caption 11, \"quoted\"");
    EXPECT_TEXT(field(row, "status"), "success");
    EXPECT_TEXT(field(row, "format"), "jpeg");
    EXPECT_EQ(number(row, "original_width"), 240);
    EXPECT_EQ(number(row, "width"), 64);
    EXPECT_EQ(strlen(field(row, "sha256")), 64);
    json_t *manifest = output_json(&fixture, "manifest.json");
    json_t *totals = json_object_get(manifest, "totals");
    EXPECT_EQ(number(totals, "rows"), 12);
    EXPECT_EQ(number(totals, "success"), 12);
    EXPECT_EQ(json_array_size(json_object_get(manifest, "shards")), 2);
    EXPECT(output_has(&fixture, "report.html"));
    char private[600];
    EXPECT(fs_join(private, sizeof private, fixture.output, "_vlmq/attempt"));
    EXPECT_EQ(rmdir(private), 0); /* it is empty */
    json_decref(stats);
    json_decref(row);
    json_decref(manifest);
    buf_deinit(&names);
    fixture_deinit(&fixture);
}

TEST(download, gives_every_row_a_typed_end)
{
    UNUSED_STATE;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.spec.shard_rows = 100;
    fixture.spec.timeout_ms = 5000;
    fixture.spec.body_bytes = 200000;
    fixture.spec.pixels = 35000;
    fixture.spec.redirects = 2;
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
    buf_text(&fixture.list, "url\n");
    for (uint32_t i = 0; i < count; i++) {
        add_url(&fixture, "%s", rows[i].path);
        buf_byte(&fixture.list, '\n');
    }
    buf_text(&fixture.list, "ftp://127.0.0.1/x\n\"\"\nhttp://\xff.invalid/\n\"never closed\n");
    ready(&fixture);
    harness_job(&fixture.harness, false);
    for (uint32_t i = 0; i < count + 4; i++) {
        json_t *row = output_row(&fixture, "00000.rows.jsonl", i);
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
    member_names(&fixture, "00000.tar", &names);
    EXPECT_TEXT(buf_str(&names), "0000000.jpg 0000000.json 0000011.jpg 0000011.json ");
    json_t *manifest = output_json(&fixture, "manifest.json");
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
    fixture_deinit(&fixture);
}

/* Bytes of tar and rows of one run with these settings. */
static void run_once(uint32_t transfers, uint32_t threads, bool backwards, struct buf *out)
{
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.spec.shard_rows = 40;
    fixture.spec.transfers = transfers;
    fixture.spec.decode_threads = threads;
    fixture.spec.caption_column = (char *)(uintptr_t) "text";
    buf_text(&fixture.list, "url,text\n");
    for (int i = 0; i < 100; i++) {
        add_url(&fixture, i % 9 == 4 ? "status/%d" : "jitter/%d.jpg", i % 9 == 4 ? 404 : i % 8);
        buf_printf(&fixture.list, ",text %d\n", i);
    }
    ready(&fixture);
    harness_job(&fixture.harness, backwards);
    static const char *const names[] = {"00000.idx",        "00001.idx",        "00002.idx",
                                        "00000.tar",        "00001.tar",        "00002.tar",
                                        "00000.rows.jsonl", "00001.rows.jsonl", "00002.rows.jsonl"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        output_text(&fixture, names[i], out);
    fixture_deinit(&fixture);
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
    struct fixture fixture;
    fixture_init(&fixture);
    buf_text(&fixture.list, "url\n");
    for (int i = 0; i < 5; i++) {
        add_url(&fixture, "files/%d.jpg?once=1", i % 2);
        buf_byte(&fixture.list, '\n');
    }
    ready(&fixture);
    harness_job(&fixture.harness, false);
    EXPECT_OK(harness_run(&fixture.harness, JOB_WORK, fixture.harness.host.tasks),
              &fixture.harness.err);
    const struct job_result first = fixture.harness.result;
    const int before = requests("/files/0.jpg");
    EXPECT(before > 0);
    EXPECT_OK(harness_run(&fixture.harness, JOB_WORK, fixture.harness.host.tasks),
              &fixture.harness.err);
    EXPECT_EQ(requests("/files/0.jpg"), before);
    EXPECT_EQ(harness_counter(&fixture.harness, "success"), 5);
    EXPECT_EQ(fixture.harness.result.progress.items, 5);
    EXPECT_TEXT(fixture.harness.result.made, "00000.tar");
    EXPECT_MEM(first.digest, fixture.harness.result.digest, sizeof first.digest);
    /* Another list over the same output is refused before anything runs. */
    add_url(&fixture, "files/2.jpg");
    ready(&fixture);
    EXPECT_EQ(harness_run(&fixture.harness, JOB_PLAN, NULL), ERR_INVALID);
    fixture_deinit(&fixture);
}

TEST(download, stops_midway_and_leaves_nothing)
{
    UNUSED_STATE;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.spec.timeout_ms = 3600 * 1000; /* only the stop can end the hanging row in time */
    buf_text(&fixture.list, "url\n");
    for (int i = 0; i < 9; i++) {
        add_url(&fixture, i == 4 ? "hang?%d" : "files/%d.jpg", i % 8);
        buf_byte(&fixture.list, '\n');
    }
    ready(&fixture);
    EXPECT_OK(harness_run(&fixture.harness, JOB_PLAN, NULL), &fixture.harness.err);
    fixture.harness.host.stop_at_items = 8;
    EXPECT_EQ(harness_run(&fixture.harness, JOB_WORK, fixture.harness.host.tasks), ERR_CANCELLED);
    EXPECT_EQ(fixture.harness.host.progress.items, 8);
    EXPECT_EQ(fixture.harness.host.progress.stages_count, 3);
    EXPECT(!output_has(&fixture, "00000.tar"));
    EXPECT(!output_has(&fixture, "_vlmq/manifest/00000.json"));
    fixture_deinit(&fixture);
}

TEST(plan, keeps_the_rows_of_a_compressed_list_in_the_output)
{
    UNUSED_STATE;
    struct fixture fixture;
    char command[700];
    fixture_init(&fixture);
    buf_text(&fixture.list, "\xef\xbb\xbfurl,text\r\n");
    for (int i = 0; i < 25; i++) {
        add_url(&fixture, "files/%d.jpg", i % 8);
        buf_printf(&fixture.list, ",\"line\n%d\"\r\n", i);
    }
    fixture.spec.caption_column = (char *)(uintptr_t) "text";
    ready(&fixture);
    (void)snprintf(command, sizeof command, "gzip %s", fixture.input);
    EXPECT_EQ(system(command), 0);
    const size_t len = strlen(fixture.input);
    EXPECT(str_copy(fixture.input + len, sizeof fixture.input - len, ".gz"));
    const size_t bytes = vlmq__jobs__download__pack(&fixture.spec, fixture.packed);
    fixture.harness.spec = (struct job_bytes){fixture.packed, bytes};
    EXPECT_OK(harness_run(&fixture.harness, JOB_PLAN, NULL), &fixture.harness.err);
    EXPECT_EQ(fixture.harness.host.tasks_count, 3);
    EXPECT(output_has(&fixture, "_vlmq/rows/00002"));
    EXPECT(!output_has(&fixture, "_vlmq/rows/00003"));
    for (uint32_t i = 0; i < 3; i++)
        EXPECT_OK(harness_run(&fixture.harness, JOB_WORK, &fixture.harness.host.tasks[i]),
                  &fixture.harness.err);
    json_t *row = output_row(&fixture, "00002.rows.jsonl", 4);
    EXPECT_TEXT(field(row, "caption"), "line\n24");
    EXPECT_TEXT(field(row, "status"), "success");
    json_decref(row);
    fixture.harness.dead = 1;
    EXPECT_OK(harness_run(&fixture.harness, JOB_CLOSE, NULL), &fixture.harness.err);
    EXPECT(output_has(&fixture, "_vlmq/rows/00002")); /* a revived task will want it */
    fixture.harness.dead = 0;
    EXPECT_OK(harness_run(&fixture.harness, JOB_CLOSE, NULL), &fixture.harness.err);
    EXPECT(!output_has(&fixture, "_vlmq/rows"));
    fixture_deinit(&fixture);
}

TEST(download, notices_that_the_list_changed)
{
    UNUSED_STATE;
    struct fixture fixture;
    fixture_init(&fixture);
    buf_text(&fixture.list, "t,url\n");
    for (uint32_t i = 0; i < 25; i++)
        buf_printf(&fixture.list, "%u,http://127.0.0.1:%d/big/4321?%u\n", i, web.port, 10 + i);
    ready(&fixture);
    EXPECT_OK(harness_run(&fixture.harness, JOB_PLAN, NULL), &fixture.harness.err);
    const struct harness_task *task = fixture.harness.host.tasks;
    fixture.list.data[fixture.list.len - 2] ^= 1; /* the last row's URL */
    ready(&fixture);
    EXPECT_EQ(harness_run(&fixture.harness, JOB_WORK, &task[2]), ERR_INVALID);
    EXPECT(strstr(fixture.harness.err.msg, "changed") != NULL);
    fixture.list.data[0] = 'u'; /* the header */
    ready(&fixture);
    EXPECT_EQ(harness_run(&fixture.harness, JOB_WORK, &task[0]), ERR_INVALID);
    fixture.list.len = 20;
    ready(&fixture);
    EXPECT_EQ(harness_run(&fixture.harness, JOB_WORK, &task[1]), ERR_INVALID);
    EXPECT_EQ(unlink(fixture.input), 0);
    EXPECT_EQ(harness_run(&fixture.harness, JOB_WORK, &task[1]), ERR_UNAVAILABLE);
    EXPECT_EQ(requests("/big/4321"), 0); /* it was noticed in time */
    fixture_deinit(&fixture);
}

TEST(download, survives_a_full_disk_at_any_write)
{
    UNUSED_STATE;
    struct fixture fixture;
    int64_t after = 0;
    int failures = 0;
    fixture_init(&fixture);
    buf_text(&fixture.list, "url\n");
    for (int i = 0; i < 4; i++) {
        add_url(&fixture, "files/%d.jpg", i);
        buf_byte(&fixture.list, '\n');
    }
    ready(&fixture);
    EXPECT_OK(harness_run(&fixture.harness, JOB_PLAN, NULL), &fixture.harness.err);
    for (;; after++) {
        (void)fs_fail(after, 1, ENOSPC);
        const int rc = harness_run(&fixture.harness, JOB_WORK, fixture.harness.host.tasks);
        const bool untouched = fs_fail(-1, 0, 0) <= after;
        if (rc) failures++;
        if (rc) EXPECT_EQ(rc, ERR_LIMIT);
        if (untouched) break;
    }
    EXPECT(failures > 0);
    EXPECT_OK(harness_run(&fixture.harness, JOB_WORK, fixture.harness.host.tasks),
              &fixture.harness.err);
    EXPECT_OK(harness_run(&fixture.harness, JOB_CLOSE, NULL), &fixture.harness.err);
    json_t *stats = output_json(&fixture, "00000_stats.json");
    EXPECT_EQ(number(stats, "successes"), 4);
    json_decref(stats);
    fixture_deinit(&fixture);
}

/* Which allocation fails differs from run to run; whatever it is, the task ends with a sentence, or
 * with rows that say so, and nothing is lost or used after it is freed. */
TEST(download, survives_a_failed_allocation_anywhere)
{
    UNUSED_STATE;
    bool untouched = false;
    int failures = 0;
    for (int64_t after = 0; !untouched; after++) {
        struct fixture fixture;
        fixture_init(&fixture);
        fixture.spec.transfers = 2;
        buf_text(&fixture.list, "url\n");
        for (int i = 0; i < 2; i++) {
            add_url(&fixture, "files/%d.jpg", i);
            buf_byte(&fixture.list, '\n');
        }
        ready(&fixture);
        EXPECT_OK(harness_run(&fixture.harness, JOB_PLAN, NULL), &fixture.harness.err);
        (void)mem_fail(after, 1);
        const int rc = harness_run(&fixture.harness, JOB_WORK, fixture.harness.host.tasks);
        untouched = mem_fail(-1, 0) <= after;
        if (rc) EXPECT_EQ(rc, ERR_LIMIT);
        if (rc) /* the next attempt mends it, before or after the commit */
            EXPECT_OK(harness_run(&fixture.harness, JOB_WORK, fixture.harness.host.tasks),
                      &fixture.harness.err);
        EXPECT(output_has(&fixture, "00000.tar"));
        if (untouched) EXPECT_EQ(harness_counter(&fixture.harness, "success"), 2);
        failures += rc != 0;
        fixture_deinit(&fixture);
    }
    EXPECT(failures > 5);
}

TEST(download, blames_the_machine_when_no_name_resolves)
{
    UNUSED_STATE;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.spec.shard_rows = 42;
    fixture.spec.no_retries = true;
    char *server = (char[]){"127.0.0.1:1"}; /* nothing listens there */
    fixture.spec.dns_servers = &server;
    fixture.spec.n_dns_servers = 1;
    buf_text(&fixture.list, "url\n");
    for (int i = 0; i < 40; i++) buf_printf(&fixture.list, "http://h%d.example/\n", i);
    /* Rows that ask for no name say nothing about the network. */
    buf_text(&fixture.list, "http://127.0.0.1:1/\n\"data:,x\"\n");
    ready(&fixture);
    EXPECT_OK(harness_run(&fixture.harness, JOB_PLAN, NULL), &fixture.harness.err);
    EXPECT_EQ(harness_run(&fixture.harness, JOB_WORK, fixture.harness.host.tasks), ERR_UNAVAILABLE);
    fixture.harness.attempt = 3;
    EXPECT_OK(harness_run(&fixture.harness, JOB_WORK, fixture.harness.host.tasks),
              &fixture.harness.err);
    EXPECT_EQ(harness_counter(&fixture.harness, "status.dns_failed") +
                  harness_counter(&fixture.harness, "status.dns_timeout"),
              40);
    fixture_deinit(&fixture);
}

static int check_spec(struct fixture *fixture, struct err *err)
{
    const size_t bytes = vlmq__jobs__download__pack(&fixture->spec, fixture->packed);
    return job_download.check(fixture->packed, bytes, err);
}

TEST(check, names_the_option_that_is_wrong)
{
    UNUSED_STATE;
    struct fixture fixture;
    struct err err;
    fixture_init(&fixture);
    char *extra[] = {(char *)(uintptr_t) "width"};
    const Vlmq__Jobs__Download good = fixture.spec;
    EXPECT_OK(check_spec(&fixture, &err), &err);
#define WRONG(change, option)                                              \
    do {                                                                   \
        fixture.spec = good;                                               \
        change;                                                            \
        EXPECT_EQ(check_spec(&fixture, &err), ERR_INVALID);                \
        if (!strstr(err.msg, option)) fail_msg("%s: %s", option, err.msg); \
    } while (0)
    WRONG(fixture.spec.quality = 101, "--quality must be 1 to 100");
    WRONG(fixture.spec.image_size = 1000000, "--image-size");
    WRONG(fixture.spec.shard_rows = 2000000, "--shard-rows");
    WRONG(fixture.spec.transfers = 5000, "--transfers");
    WRONG(fixture.spec.per_host = 5000, "--per-host");
    char *words[] = {(char *)(uintptr_t) "noai", (char *)(uintptr_t) "no ai"};
    WRONG((fixture.spec.opt_out_directives = words, fixture.spec.n_opt_out_directives = 2),
          "--opt-out-directives");
    WRONG((fixture.spec.opt_out_directives = words, fixture.spec.n_opt_out_directives = 1,
           fixture.spec.ignore_opt_out = true),
          "--ignore-opt-out");
    char *servers[] = {(char *)(uintptr_t) "127.0.0.1", (char *)(uintptr_t) "ns.example"};
    WRONG((fixture.spec.dns_servers = servers, fixture.spec.n_dns_servers = 2),
          "--dns-servers: \"ns.example\"");
    WRONG(fixture.spec.retries = 2, "--no-retries");
    WRONG(fixture.spec.redirects = 51, "--redirects");
    WRONG(fixture.spec.body_bytes = UINT64_MAX, "--body-bytes");
    WRONG((fixture.spec.body_bytes = 1 << 30, fixture.spec.transfers = 1024), "--body-bytes");
    WRONG(fixture.spec.pixels = UINT64_MAX, "--pixels");
    WRONG(fixture.spec.timeout_ms = UINT32_MAX, "--timeout-ms");
    WRONG(fixture.spec.decode_threads = 1000, "--decode-threads");
    WRONG(fixture.spec.resize_mode = 99, "--resize-mode");
    WRONG(fixture.spec.input_format = 99, "--input-format");
    WRONG(fixture.spec.output = (char *)(uintptr_t) "", "--output");
    WRONG(fixture.spec.input = (char *)(uintptr_t) "s3://b/list.csv", "s3://b/list.csv");
    WRONG(fixture.spec.caption_column = (char *)(uintptr_t) "url", "--caption-column");
    WRONG((fixture.spec.extra_columns = extra, fixture.spec.n_extra_columns = 1),
          "--extra-columns");
    WRONG(fixture.spec.user_agent = (char *)(uintptr_t) "a\r\nb", "--user-agent");
    WRONG(fixture.spec.background = (char *)(uintptr_t) "grey", "--background must be");
    WRONG(fixture.spec.background = (char *)(uintptr_t) "#12345", "--background must be");
    WRONG(fixture.spec.compute_hash = 99, "--compute-hash");
    WRONG((fixture.spec.compute_hash = 3,
           fixture.spec.verify_hash_column = (char *)(uintptr_t) "sum"),
          "--verify-hash-column");
    WRONG(fixture.spec.verify_hash_column = (char *)(uintptr_t) "url", "--verify-hash-column");
#undef WRONG
    EXPECT_EQ(job_download.check((const uint8_t *)"\xff\xff", 2, &err), ERR_INVALID);
    fixture_deinit(&fixture);
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
    return cmocka_run_group_tests(tests, start, stop);
}
