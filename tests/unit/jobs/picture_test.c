/* picture_test.c - the options about pictures in whole download jobs: what the samples' bytes and
 * fields are, which rows are refused, and which outputs may not be mixed. */
#include "common/base/fs.h"
#include "proto/schema/jobs/download.pb-c.h"
#include "tests/support/web_server.h"
#include "tests/unit/jobs/job_harness.h"
#include "worker/jobs/download/options.h"
#include "worker/pipe/decode.h"
#include "worker/pipe/encode.h"
#include "worker/pipe/fit.h"
#include "worker/pipe/tar.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>

#define SCRIPT   TESTS_DIR "/support/web_server.py"
#define ROWS_MAX 8

extern const struct job_kind job_download;

static struct web_server web;
static const char *files; /* what the server serves */

/* Of tests/golden/images; 45 x 31 but for exif_6, which is 19 x 12 lying on its side. */
static const char *const golden[] = {"420.jpg",  "exif_6.jpg", "progressive.jpg",    "rgb.png",
                                     "rgba.png", "lossy.webp", "lossless_alpha.webp"};

/* One test's output, spec and samples. */
struct fixture {
    struct harness harness;
    const char *dir;
    char input[300], output[300];
    Vlmq__Jobs__Download spec;
    uint8_t packed[2048];
    struct buf names;     /* of the tar's members, each followed by a blank */
    struct buf texts[64]; /* their bytes */
    uint32_t count;
};

static void read_file(struct buf *out, const char *folder, const char *name)
{
    char path[600];
    struct err err;
    buf_init(out, 0);
    EXPECT(fs_join(path, sizeof path, folder, name));
    EXPECT_OK(fs_read(out, path, 64 << 20, &err), &err);
}

static void put_file(const char *name, const void *data, size_t bytes)
{
    char path[600];
    struct err err;
    EXPECT(fs_join(path, sizeof path, files, name));
    EXPECT_OK(fs_put(path, data, bytes, &err), &err);
}

static void put_jpeg(const char *name, uint32_t width, uint32_t height)
{
    struct image image;
    struct buf jpeg;
    struct err err;
    buf_init(&jpeg, 0);
    EXPECT(image_init(&image, width, height, 3));
    for (size_t i = 0; i < image.stride * height; i++)
        image.pixels[i] = (uint8_t)(i / 3 % width + i / image.stride * 2 + i % 3 * 40);
    EXPECT_OK(encode_jpeg(&jpeg, &image, 90, &err), &err);
    put_file(name, jpeg.data, jpeg.len);
    image_deinit(&image);
    buf_deinit(&jpeg);
}

static void put_wide_png(const char *name, uint32_t width)
{
    struct image image;
    struct buf png;
    struct err err;
    buf_init(&png, 0);
    EXPECT(image_init(&image, width, 1, 3));
    EXPECT_OK(encode_png(&png, &image, 9, &err), &err);
    put_file(name, png.data, png.len);
    image_deinit(&image);
    buf_deinit(&png);
}

static int start(void **state)
{
    (void)state;
    files = test_dir_new();
    for (size_t i = 0; i < sizeof golden / sizeof golden[0]; i++) {
        struct buf file;
        read_file(&file, TESTS_DIR "/golden/images", golden[i]);
        put_file(golden[i], file.data, file.len);
        buf_deinit(&file);
    }
    put_jpeg("large.jpg", 300, 200);
    put_jpeg("long.jpg", 240, 30);
    put_wide_png("wide.png", 16384);
    put_file("page.html", "<!doctype html><html><p>not here</p></html>", 43);
    put_file("still.gif", "GIF89a\1\0\1\0\0\0\0;", 14);
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
    buf_init(&fixture->names, 0);
    vlmq__jobs__download__init(&fixture->spec);
    fixture->spec.input = fixture->input;
    fixture->spec.output = fixture->output;
    fixture->spec.shard_rows = ROWS_MAX;
    fixture->spec.allow_private = true;
    fixture->spec.no_retries = true;
}

static void fixture_deinit(struct fixture *fixture)
{
    for (uint32_t i = 0; i < fixture->count; i++) buf_deinit(&fixture->texts[i]);
    buf_deinit(&fixture->names);
    harness_deinit(&fixture->harness);
    test_dir_remove(fixture->dir);
}

static void pack_spec(struct fixture *fixture)
{
    EXPECT(vlmq__jobs__download__get_packed_size(&fixture->spec) <= sizeof fixture->packed);
    const size_t bytes = vlmq__jobs__download__pack(&fixture->spec, fixture->packed);
    fixture->harness.spec = (struct job_bytes){fixture->packed, bytes};
}

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

static void read_members(struct fixture *fixture)
{
    struct tar_bytes tar = {0};
    struct tar_reader reader;
    struct tar_member member;
    struct err err;
    bool found = true;
    read_file(&tar.text, fixture->output, "00000.tar");
    tar_reader_init(&reader, read_bytes, &tar);
    for (;;) {
        EXPECT_OK(tar_reader_next(&reader, &member, &found, &err), &err);
        if (!found) break;
        EXPECT(fixture->count < sizeof fixture->texts / sizeof fixture->texts[0]);
        /* The picture and then the JSON, however they stand. */
        struct buf *text =
            &fixture->texts[fixture->count / 2 * 2 + str_has_suffix(member.name, ".json")];
        fixture->count++;
        buf_init(text, 0);
        buf_printf(&fixture->names, "%s ", member.name);
        EXPECT_OK(tar_reader_all(&reader, text, 64 << 20, &err), &err);
    }
    buf_deinit(&tar.text);
}

/* Runs a job over these files of the server, in this order, and reads its samples. */
static void run(struct fixture *fixture, const char *const *names)
{
    struct buf list;
    struct err err;
    buf_init(&list, 0);
    buf_text(&list, "url\n");
    for (; *names; names++) buf_printf(&list, "http://127.0.0.1:%d/files/%s\n", web.port, *names);
    EXPECT_OK(fs_put(fixture->input, buf_str(&list), list.len, &err), &err);
    buf_deinit(&list);
    pack_spec(fixture);
    harness_job(&fixture->harness, false);
    read_members(fixture);
}
#define RUN_OVER(fixture, ...) run(fixture, (const char *const[]){__VA_ARGS__, NULL})

/* Two by two: the picture of the n-th success, and its JSON. */
static const struct buf *picture(const struct fixture *fixture, uint32_t n)
{
    EXPECT(n * 2 < fixture->count);
    return &fixture->texts[n * 2];
}

static json_t *fields(const struct fixture *fixture, uint32_t n)
{
    EXPECT(n * 2 + 1 < fixture->count);
    const struct buf *text = &fixture->texts[n * 2 + 1];
    json_t *object = json_loadb(text->data, text->len, 0, NULL);
    EXPECT(object != NULL);
    return object;
}

/* A number of a sample's JSON; -1 for null, -2 where it is missing. */
static int64_t number(const struct fixture *fixture, uint32_t n, const char *name)
{
    json_t *object = fields(fixture, n), *value = json_object_get(object, name);
    const int64_t found = !value ? -2 : json_is_null(value) ? -1 : json_integer_value(value);
    json_decref(object);
    return found;
}

static void expect_size(const struct fixture *fixture, uint32_t n, uint32_t width, uint32_t height)
{
    struct image image = {0};
    struct decode_info info;
    const struct decode_options options = decode_options_default();
    const struct buf *file = picture(fixture, n);
    EXPECT_EQ(decode(&image, &info, (const uint8_t *)file->data, file->len, &options), DECODE_OK);
    EXPECT_EQ(image.width, width);
    EXPECT_EQ(image.height, height);
    EXPECT_EQ(number(fixture, n, "width"), width);
    EXPECT_EQ(number(fixture, n, "height"), height);
    image_deinit(&image);
}

static bool same_bytes(const struct fixture *fixture, uint32_t n, const char *name)
{
    struct buf file;
    const struct buf *got = picture(fixture, n);
    read_file(&file, files, name);
    const bool same = file.len == got->len && !memcmp(file.data, got->data, got->len);
    buf_deinit(&file);
    return same;
}

static void expect_names(const struct fixture *fixture, const char *want)
{
    EXPECT_TEXT(buf_str(&fixture->names), want);
}

/* The status of a row of rows.jsonl, from 0. */
static void expect_status(const struct fixture *fixture, uint32_t row, const char *want)
{
    struct buf text;
    read_file(&text, fixture->output, "00000.rows.jsonl");
    const char *line = buf_str(&text);
    for (; row; row--) line = strchr(line, '\n') + 1;
    json_t *object = json_loadb(line, strcspn(line, "\n"), 0, NULL);
    EXPECT_TEXT(json_string_value(json_object_get(object, "status")), want);
    const bool success = !strcmp(want, "success");
    EXPECT_TEXT(json_string_value(json_object_get(object, "class")),
                success ? "success" : "failed_to_resize");
    json_decref(object);
    buf_deinit(&text);
}

static int64_t counter(const struct fixture *fixture, const char *name)
{
    struct buf text;
    read_file(&text, fixture->output, "manifest.json");
    json_t *manifest = json_loadb(text.data, text.len, 0, NULL);
    const json_t *counters = json_object_get(json_object_get(manifest, "totals"), "counters");
    const int64_t value = json_integer_value(json_object_get(counters, name));
    json_decref(manifest);
    buf_deinit(&text);
    return value;
}

static bool report_says(const struct fixture *fixture, const char *words)
{
    struct buf text;
    read_file(&text, fixture->output, "report.html");
    const bool found = strstr(buf_str(&text), words) != NULL;
    buf_deinit(&text);
    return found;
}

/* What the pipe makes of a file with these settings, step by step. */
static void make(struct image *result, const char *name, enum fit_mode mode, uint32_t side,
                 enum resize_filter filter)
{
    struct buf file;
    struct image image = {0};
    struct decode_info info;
    struct fit_plan plan;
    struct err err;
    const struct decode_options options = decode_options_default();
    read_file(&file, files, name);
    EXPECT_EQ(decode(&image, &info, (const uint8_t *)file.data, file.len, &options), DECODE_OK);
    EXPECT_OK(fit_plan(&plan, image.width, image.height, mode, side, &err), &err);
    plan.filter = filter;
    EXPECT_OK(fit_take(result, &image, &plan, &err), &err);
    buf_deinit(&file);
}

TEST(samples, are_webp_when_asked)
{
    UNUSED_STATE;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.spec.encode_format = VLMQ__JOBS__DOWNLOAD_ENCODE__DOWNLOAD_ENCODE_WEBP;
    fixture.spec.image_size = 32;
    RUN_OVER(&fixture, "large.jpg", "page.html", "rgba.png");
    expect_names(&fixture, "000000.json 000000.webp 000002.json 000002.webp ");
    EXPECT_EQ(decode_sniff((const uint8_t *)picture(&fixture, 0)->data, 100), DECODE_FORMAT_WEBP);
    expect_size(&fixture, 0, 32, 32);
    EXPECT(report_says(&fixture, "32 px, adaptive, bicubic, webp quality 95, 8 rows"));
    EXPECT(report_says(&fixture, "data:image/jpeg;base64,")); /* the strip has them */
    fixture_deinit(&fixture);
}

/* Formats that keep every pixel show that the filter and the mode are those of the options. */
TEST(samples, without_loss_have_the_pixels_of_filter_and_mode)
{
    UNUSED_STATE;
    for (int webp = 0; webp < 2; webp++)
        for (int filter = 0; filter < RESIZE_FILTERS_COUNT; filter++) {
            struct fixture fixture;
            struct image want, got = {0};
            struct decode_info info;
            const struct decode_options options = decode_options_default();
            fixture_init(&fixture);
            fixture.spec.encode_format = webp ? VLMQ__JOBS__DOWNLOAD_ENCODE__DOWNLOAD_ENCODE_WEBP
                                              : VLMQ__JOBS__DOWNLOAD_ENCODE__DOWNLOAD_ENCODE_PNG;
            fixture.spec.lossless = webp;
            fixture.spec.filter = (Vlmq__Jobs__DownloadFilter)filter;
            fixture.spec.resize_mode =
                VLMQ__JOBS__DOWNLOAD_RESIZE__DOWNLOAD_RESIZE_KEEP_RATIO_LARGEST;
            fixture.spec.image_size = 100;
            RUN_OVER(&fixture, "large.jpg");
            expect_names(&fixture, webp ? "000000.json 000000.webp " : "000000.json 000000.png ");
            make(&want, "large.jpg", FIT_KEEP_RATIO_LARGEST, 100, (enum resize_filter)filter);
            EXPECT_EQ(want.height, 66);
            const struct buf *file = picture(&fixture, 0);
            EXPECT_EQ(decode(&got, &info, (const uint8_t *)file->data, file->len, &options),
                      DECODE_OK);
            EXPECT_EQ(got.width, want.width);
            EXPECT_MEM(got.pixels, want.pixels, want.stride * want.height);
            image_deinit(&want);
            image_deinit(&got);
            fixture_deinit(&fixture);
        }
}

TEST(samples, stay_small_when_only_larger_ones_are_resized)
{
    UNUSED_STATE;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.spec.resize_only_if_bigger = true;
    fixture.spec.image_size = 64;
    fixture.spec.resize_mode = VLMQ__JOBS__DOWNLOAD_RESIZE__DOWNLOAD_RESIZE_BORDER;
    RUN_OVER(&fixture, "420.jpg", "large.jpg", "exif_6.jpg");
    expect_size(&fixture, 0, 45, 31); /* no bars either */
    expect_size(&fixture, 1, 64, 64);
    expect_size(&fixture, 2, 12, 19);
    EXPECT_EQ(counter(&fixture, "fit.resized"), 1);
    EXPECT_EQ(counter(&fixture, "fit.padded"), 1);
    fixture_deinit(&fixture);
}

TEST(samples, keep_the_bytes_of_what_needs_no_change)
{
    UNUSED_STATE;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.spec.skip_reencode = true;
    fixture.spec.image_size = 50;
    fixture.spec.resize_only_if_bigger = true;
    RUN_OVER(&fixture, "420.jpg", "progressive.jpg", "large.jpg", "exif_6.jpg", "rgb.png");
    EXPECT(same_bytes(&fixture, 0, "420.jpg"));
    EXPECT(same_bytes(&fixture, 1, "progressive.jpg"));
    EXPECT(!same_bytes(&fixture, 2, "large.jpg")); /* resized and cropped */
    expect_size(&fixture, 0, 45, 31);
    expect_size(&fixture, 2, 50, 50);
    expect_size(&fixture, 3, 12, 19); /* stood up */
    EXPECT_EQ(decode_sniff((const uint8_t *)picture(&fixture, 4)->data, 100), DECODE_FORMAT_JPEG);
    EXPECT_EQ(counter(&fixture, "encode.kept"), 2);
    fixture_deinit(&fixture);
    fixture_init(&fixture);
    fixture.spec.skip_reencode = true;
    fixture.spec.resize_mode = VLMQ__JOBS__DOWNLOAD_RESIZE__DOWNLOAD_RESIZE_NO;
    fixture.spec.encode_format = VLMQ__JOBS__DOWNLOAD_ENCODE__DOWNLOAD_ENCODE_PNG;
    RUN_OVER(&fixture, "rgb.png", "rgba.png", "lossy.webp");
    expect_names(&fixture, "000000.json 000000.png 000001.json 000001.png 000002.json 000002.png ");
    EXPECT(same_bytes(&fixture, 0, "rgb.png"));
    EXPECT(!same_bytes(&fixture, 1, "rgba.png")); /* its alpha is blended */
    EXPECT_EQ(counter(&fixture, "encode.kept"), 1);
    fixture_deinit(&fixture);
}

TEST(samples, with_a_crop_or_bars_alone_are_encoded)
{
    UNUSED_STATE;
    static const struct {
        Vlmq__Jobs__DownloadResize mode;
        uint32_t side;
        const char *counter;
    } rows[] = {{VLMQ__JOBS__DOWNLOAD_RESIZE__DOWNLOAD_RESIZE_BORDER, 45, "fit.padded"},
                {VLMQ__JOBS__DOWNLOAD_RESIZE__DOWNLOAD_RESIZE_CENTER_CROP, 31, "fit.cropped"}};
    for (int i = 0; i < 2; i++) {
        struct fixture fixture;
        fixture_init(&fixture);
        fixture.spec.skip_reencode = true;
        fixture.spec.resize_mode = rows[i].mode;
        fixture.spec.image_size = rows[i].side;
        RUN_OVER(&fixture, "420.jpg");
        expect_size(&fixture, 0, rows[i].side, rows[i].side);
        EXPECT_EQ(counter(&fixture, "fit.resized"), 0);
        EXPECT_EQ(counter(&fixture, rows[i].counter), 1);
        EXPECT_EQ(counter(&fixture, "encode.kept"), 0);
        fixture_deinit(&fixture);
    }
}

TEST(samples, are_what_came_without_any_encoding)
{
    UNUSED_STATE;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.spec.no_reencode = true;
    RUN_OVER(&fixture, "exif_6.jpg", "rgba.png", "lossy.webp", "still.gif", "page.html");
    expect_names(&fixture, "000000.jpg 000000.json 000001.json 000001.png 000002.json "
                           "000002.webp 000003.gif 000003.json ");
    EXPECT(same_bytes(&fixture, 0, "exif_6.jpg"));
    EXPECT(same_bytes(&fixture, 1, "rgba.png"));
    EXPECT(same_bytes(&fixture, 3, "still.gif"));
    EXPECT_EQ(number(&fixture, 0, "width"), -1);
    EXPECT_EQ(number(&fixture, 0, "height"), -1);
    EXPECT_EQ(number(&fixture, 0, "original_width"), -1);
    expect_status(&fixture, 3, "success");
    expect_status(&fixture, 4, "unknown_format");
    EXPECT_EQ(counter(&fixture, "encode.kept"), 4);
    EXPECT_EQ(counter(&fixture, "format.gif"), 1);
    EXPECT(report_says(&fixture, "as received, 8 rows"));
    fixture_deinit(&fixture);
}

TEST(samples, say_how_far_a_fast_decode_reduced_them)
{
    UNUSED_STATE;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.spec.fast = true;
    fixture.spec.image_size = 45;
    fixture.spec.resize_mode = VLMQ__JOBS__DOWNLOAD_RESIZE__DOWNLOAD_RESIZE_KEEP_RATIO;
    RUN_OVER(&fixture, "large.jpg", "420.jpg", "rgb.png");
    EXPECT_EQ(number(&fixture, 0, "reduced"), 4); /* 200 / 45 */
    EXPECT_EQ(number(&fixture, 0, "original_width"), 300);
    expect_size(&fixture, 0, 67, 45); /* as of the whole picture, not of its quarter */
    EXPECT_EQ(number(&fixture, 1, "reduced"), 1);
    EXPECT_EQ(number(&fixture, 2, "reduced"), 1);
    EXPECT_EQ(counter(&fixture, "decode.reduced"), 1);
    EXPECT(report_says(&fixture, ", fast, "));
    fixture_deinit(&fixture);
    fixture_init(&fixture);
    RUN_OVER(&fixture, "large.jpg");
    EXPECT_EQ(number(&fixture, 0, "reduced"), -2); /* exact: nothing to say */
    fixture_deinit(&fixture);
}

/* Turned on its side, a picture is planned for as it will stand. */
TEST(samples, are_upright_after_a_fast_decode)
{
    UNUSED_STATE;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.spec.fast = true;
    fixture.spec.image_size = 5;
    fixture.spec.resize_mode = VLMQ__JOBS__DOWNLOAD_RESIZE__DOWNLOAD_RESIZE_KEEP_RATIO;
    RUN_OVER(&fixture, "exif_6.jpg");
    EXPECT_EQ(number(&fixture, 0, "reduced"), 2);
    expect_size(&fixture, 0, 5, 7); /* 12 x 19 to a shorter side of 5 */
    fixture_deinit(&fixture);
}

TEST(rows, of_unwanted_sizes_end_in_their_own_status)
{
    UNUSED_STATE;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.spec.min_image_size = 30;
    fixture.spec.max_image_area = 59999;
    fixture.spec.max_aspect_ratio = 7.5;
    RUN_OVER(&fixture, "420.jpg", "exif_6.jpg", "large.jpg", "long.jpg", "rgb.png");
    expect_status(&fixture, 0, "success");
    expect_status(&fixture, 1, "too_small");
    expect_status(&fixture, 2, "too_large_area");
    expect_status(&fixture, 3, "too_large_aspect");
    expect_status(&fixture, 4, "success");
    EXPECT_EQ(counter(&fixture, "failed_to_resize"), 3);
    EXPECT_EQ(counter(&fixture, "status.too_small"), 1);
    fixture_deinit(&fixture);
    fixture_init(&fixture);
    fixture.spec.min_image_size = 12;
    fixture.spec.max_image_area = 60000;
    fixture.spec.max_aspect_ratio = 8;
    RUN_OVER(&fixture, "exif_6.jpg", "large.jpg", "long.jpg");
    EXPECT_EQ(counter(&fixture, "success"), 3); /* the limits themselves are within */
    fixture_deinit(&fixture);
}

TEST(rows, that_the_format_cannot_hold_are_not_encoded)
{
    UNUSED_STATE;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.spec.resize_mode = VLMQ__JOBS__DOWNLOAD_RESIZE__DOWNLOAD_RESIZE_NO;
    fixture.spec.encode_format = VLMQ__JOBS__DOWNLOAD_ENCODE__DOWNLOAD_ENCODE_WEBP;
    RUN_OVER(&fixture, "wide.png", "rgb.png");
    expect_status(&fixture, 0, "encode_failed"); /* a WebP's side has at most 16383 */
    expect_status(&fixture, 1, "success");
    expect_names(&fixture, "000001.json 000001.webp ");
    fixture_deinit(&fixture);
}

/* Another setting over the same output is refused, whichever it is. */
TEST(output, belongs_to_one_way_of_making_pictures)
{
    UNUSED_STATE;
    struct fixture fixture;
    fixture_init(&fixture);
    RUN_OVER(&fixture, "420.jpg");
    const Vlmq__Jobs__Download first = fixture.spec;
    EXPECT_OK(harness_run(&fixture.harness, JOB_PLAN, NULL), &fixture.harness.err);
#define OTHER(change)                                                          \
    do {                                                                       \
        fixture.spec = first;                                                  \
        change;                                                                \
        pack_spec(&fixture);                                                   \
        EXPECT_EQ(harness_run(&fixture.harness, JOB_PLAN, NULL), ERR_INVALID); \
    } while (0)
    OTHER(fixture.spec.filter = VLMQ__JOBS__DOWNLOAD_FILTER__DOWNLOAD_FILTER_BOX);
    OTHER(fixture.spec.resize_mode =
              VLMQ__JOBS__DOWNLOAD_RESIZE__DOWNLOAD_RESIZE_KEEP_RATIO_LARGEST);
    OTHER(fixture.spec.resize_only_if_bigger = true);
    OTHER(fixture.spec.fast = true);
    OTHER(fixture.spec.encode_format = VLMQ__JOBS__DOWNLOAD_ENCODE__DOWNLOAD_ENCODE_WEBP);
    OTHER(fixture.spec.quality = 94);
    OTHER(fixture.spec.skip_reencode = true);
    OTHER(fixture.spec.no_reencode = true);
    OTHER(fixture.spec.min_image_size = 1);
    OTHER(fixture.spec.max_image_area = 1000000);
    OTHER(fixture.spec.max_aspect_ratio = 2.5);
#undef OTHER
    char *extra[] = {(char *)(uintptr_t) "reduced"}; /* a field that samples have */
    fixture.spec = first;
    fixture.spec.extra_columns = extra;
    fixture.spec.n_extra_columns = 1;
    pack_spec(&fixture);
    EXPECT_EQ(harness_run(&fixture.harness, JOB_PLAN, NULL), ERR_INVALID);
    EXPECT(strstr(fixture.harness.err.msg, "--extra-columns") != NULL);
    fixture.spec = first;
    fixture.spec.quality = 95; /* the default, said aloud */
    pack_spec(&fixture);
    EXPECT_OK(harness_run(&fixture.harness, JOB_PLAN, NULL), &fixture.harness.err);
    fixture_deinit(&fixture);
}

TEST(options, about_pictures_have_their_defaults_and_their_names)
{
    UNUSED_STATE;
    Vlmq__Jobs__Download spec;
    struct picture_options options;
    struct err err;
    vlmq__jobs__download__init(&spec);
    EXPECT_OK(picture_options_init(&options, &spec, &err), &err);
    EXPECT_EQ(options.encode.quality, 95);
    spec.encode_format = VLMQ__JOBS__DOWNLOAD_ENCODE__DOWNLOAD_ENCODE_PNG;
    EXPECT_OK(picture_options_init(&options, &spec, &err), &err);
    EXPECT_EQ(options.encode.quality, 6);
    spec.encode_format = VLMQ__JOBS__DOWNLOAD_ENCODE__DOWNLOAD_ENCODE_WEBP;
    spec.lossless = true;
    spec.filter = VLMQ__JOBS__DOWNLOAD_FILTER__DOWNLOAD_FILTER_AREA;
    EXPECT_OK(picture_options_init(&options, &spec, &err), &err);
    EXPECT_EQ(options.encode.quality, 70);
    EXPECT_EQ(options.filter, RESIZE_BOX);
    struct buf json;
    buf_init(&json, 0);
    picture_options_json(&options, &json);
    EXPECT_TEXT(buf_str(&json),
                ",\"filter\":\"box\",\"resize_only_if_bigger\":false,\"fast\":false"
                ",\"encode_format\":\"webp\",\"quality\":70,\"lossless\":true"
                ",\"skip_reencode\":false,\"no_reencode\":false"
                ",\"min_image_size\":0,\"max_image_area\":0,\"max_aspect_ratio\":0");
    buf_deinit(&json);
}

TEST(options, about_pictures_are_refused_by_name)
{
    UNUSED_STATE;
    Vlmq__Jobs__Download spec;
    struct picture_options options;
    struct err err;
#define WRONG(change, sentence)                                                \
    do {                                                                       \
        vlmq__jobs__download__init(&spec);                                     \
        change;                                                                \
        EXPECT_EQ(picture_options_init(&options, &spec, &err), ERR_INVALID);   \
        if (!strstr(err.msg, sentence)) fail_msg("%s: %s", sentence, err.msg); \
    } while (0)
    WRONG(spec.filter = 99, "--filter");
    WRONG(spec.encode_format = 99, "--encode-format");
    WRONG(spec.quality = 101, "--quality must be 1 to 100 for jpg");
    WRONG((spec.quality = 10, spec.encode_format = 2), "--quality must be 1 to 9 for png");
    WRONG((spec.quality = 101, spec.encode_format = 1), "--quality must be 1 to 100 for webp");
    WRONG((spec.quality = 101, spec.encode_format = 1, spec.lossless = true), "the effort");
    WRONG(spec.lossless = true, "--lossless");
    WRONG((spec.lossless = true, spec.encode_format = 2), "--lossless");
    WRONG(spec.max_image_area = UINT64_MAX, "--max-image-area must be at most");
    WRONG(spec.max_aspect_ratio = 0.5, "--max-aspect-ratio");
    WRONG(spec.max_aspect_ratio = -1, "--max-aspect-ratio");
    WRONG(spec.max_aspect_ratio = (double)NAN, "--max-aspect-ratio");
    WRONG(spec.max_aspect_ratio = (double)INFINITY, "--max-aspect-ratio");
    WRONG((spec.no_reencode = true, spec.image_size = 448), "leave out --image-size");
    WRONG((spec.no_reencode = true, spec.resize_mode = 1), "leave out --resize-mode");
    WRONG((spec.no_reencode = true, spec.filter = 1), "leave out --filter");
    WRONG((spec.no_reencode = true, spec.resize_only_if_bigger = true), "--resize-only-if-bigger");
    WRONG((spec.no_reencode = true, spec.fast = true), "leave out --fast");
    WRONG((spec.no_reencode = true, spec.encode_format = 1), "leave out --encode-format");
    WRONG((spec.no_reencode = true, spec.quality = 1), "leave out --quality");
    WRONG((spec.no_reencode = true, spec.lossless = true), "leave out --lossless");
    WRONG((spec.no_reencode = true, spec.skip_reencode = true), "leave out --skip-reencode");
    WRONG((spec.no_reencode = true, spec.min_image_size = 1), "leave out --min-image-size");
    WRONG((spec.no_reencode = true, spec.max_image_area = 1), "leave out --max-image-area");
    WRONG((spec.no_reencode = true, spec.max_aspect_ratio = 2), "leave out --max-aspect-ratio");
#undef WRONG
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(samples, are_webp_when_asked),
        RUN(samples, without_loss_have_the_pixels_of_filter_and_mode),
        RUN(samples, stay_small_when_only_larger_ones_are_resized),
        RUN(samples, keep_the_bytes_of_what_needs_no_change),
        RUN(samples, with_a_crop_or_bars_alone_are_encoded),
        RUN(samples, are_what_came_without_any_encoding),
        RUN(samples, say_how_far_a_fast_decode_reduced_them),
        RUN(samples, are_upright_after_a_fast_decode),
        RUN(rows, of_unwanted_sizes_end_in_their_own_status),
        RUN(rows, that_the_format_cannot_hold_are_not_encoded),
        RUN(output, belongs_to_one_way_of_making_pictures),
        RUN(options, about_pictures_have_their_defaults_and_their_names),
        RUN(options, about_pictures_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
