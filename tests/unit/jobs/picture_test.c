/* picture_test.c - the options about pictures in whole download jobs: what the samples' bytes and
 * fields are, which rows are refused, and which outputs may not be mixed. */
#include "tests/unit/jobs/download_job.h"
#include "worker/jobs/download/options.h"
#include "worker/pipe/decode.h"
#include "worker/pipe/encode.h"
#include "worker/pipe/fit.h"

#include <math.h>

#define ROWS_MAX 8

/* Of tests/golden/images; 45 x 31 but for exif_6, which is 19 x 12 lying on its side. */
static const char *const golden[] = {"420.jpg",  "exif_6.jpg", "progressive.jpg",    "rgb.png",
                                     "rgba.png", "lossy.webp", "lossless_alpha.webp"};

/* A job and its samples. */
struct fixture {
    struct download_job job;
    struct buf names;     /* of the tar's members, each followed by a blank */
    struct buf texts[64]; /* their bytes */
    uint32_t count;
};

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
    folder_put(web_files, name, jpeg.data, jpeg.len);
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
    folder_put(web_files, name, png.data, png.len);
    image_deinit(&image);
    buf_deinit(&png);
}

static int start(void **state)
{
    (void)state;
    web_files = test_dir_new();
    for (size_t i = 0; i < sizeof golden / sizeof golden[0]; i++) {
        struct buf file;
        buf_init(&file, 0);
        folder_read(&file, IMAGES, golden[i]);
        folder_put(web_files, golden[i], file.data, file.len);
        buf_deinit(&file);
    }
    put_jpeg("large.jpg", 300, 200);
    put_jpeg("long.jpg", 240, 30);
    put_wide_png("wide.png", 16384);
    folder_put(web_files, "page.html", "<!doctype html><html><p>not here</p></html>", 43);
    folder_put(web_files, "still.gif", "GIF89a\1\0\1\0\0\0\0;", 14);
    web_start();
    return 0;
}

static void fixture_init(struct fixture *fixture)
{
    *fixture = (struct fixture){0};
    download_job_init_web(&fixture->job, "list.csv");
    fixture->job.spec.shard_rows = ROWS_MAX;
    buf_init(&fixture->names, 0);
}

static void fixture_deinit(struct fixture *fixture)
{
    for (uint32_t i = 0; i < fixture->count; i++) buf_deinit(&fixture->texts[i]);
    buf_deinit(&fixture->names);
    download_job_deinit(&fixture->job);
}

static void read_members(struct fixture *fixture)
{
    struct output_tar tar;
    struct tar_member member;
    output_tar_open(&tar, &fixture->job, "00000.tar");
    while (output_tar_next(&tar, &member)) {
        EXPECT(fixture->count < sizeof fixture->texts / sizeof fixture->texts[0]);
        /* The picture and then the JSON, however they stand. */
        struct buf *bytes =
            &fixture->texts[fixture->count / 2 * 2 + str_has_suffix(member.name, ".json")];
        fixture->count++;
        buf_init(bytes, 0);
        buf_printf(&fixture->names, "%s ", member.name);
        output_tar_member(&tar, bytes);
    }
    output_tar_close(&tar);
}

/* Runs a job over these files of the server, in this order, and reads its samples. */
static void run(struct fixture *fixture, const char *const *names)
{
    buf_text(&fixture->job.list, "url\n");
    for (; *names; names++) add_url(&fixture->job, "files/%s\n", *names);
    download_job_run(&fixture->job);
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
    return json_of(fixture->texts[n * 2 + 1].data, fixture->texts[n * 2 + 1].len);
}

/* A number of a sample's JSON; -1 for null, -2 where it is missing. */
static int64_t sample_number(const struct fixture *fixture, uint32_t n, const char *name)
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
    EXPECT_EQ(sample_number(fixture, n, "width"), width);
    EXPECT_EQ(sample_number(fixture, n, "height"), height);
    image_deinit(&image);
}

static bool same_bytes(const struct fixture *fixture, uint32_t n, const char *name)
{
    struct buf file;
    const struct buf *got = picture(fixture, n);
    buf_init(&file, 0);
    folder_read(&file, web_files, name);
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
    json_t *object = output_row(&fixture->job, "00000.rows.jsonl", row);
    EXPECT_TEXT(field(object, "status"), want);
    const bool success = !strcmp(want, "success");
    EXPECT_TEXT(field(object, "class"), success ? "success" : "failed_to_resize");
    json_decref(object);
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
    buf_init(&file, 0);
    folder_read(&file, web_files, name);
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
    fixture.job.spec.encode_format = VLMQ__JOBS__DOWNLOAD_ENCODE__DOWNLOAD_ENCODE_WEBP;
    fixture.job.spec.image_size = 32;
    RUN_OVER(&fixture, "large.jpg", "page.html", "rgba.png");
    expect_names(&fixture, "000000.json 000000.webp 000002.json 000002.webp ");
    EXPECT_EQ(decode_sniff((const uint8_t *)picture(&fixture, 0)->data, 100), DECODE_FORMAT_WEBP);
    expect_size(&fixture, 0, 32, 32);
    EXPECT(output_says(&fixture.job, "report.html",
                       "32 px, adaptive, bicubic, webp quality 95, 8 rows"));
    EXPECT(output_says(&fixture.job, "report.html",
                       "data:image/jpeg;base64,")); /* the strip has them */
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
            fixture.job.spec.encode_format = webp
                                                 ? VLMQ__JOBS__DOWNLOAD_ENCODE__DOWNLOAD_ENCODE_WEBP
                                                 : VLMQ__JOBS__DOWNLOAD_ENCODE__DOWNLOAD_ENCODE_PNG;
            fixture.job.spec.lossless = webp;
            fixture.job.spec.filter = (Vlmq__Jobs__DownloadFilter)filter;
            fixture.job.spec.resize_mode =
                VLMQ__JOBS__DOWNLOAD_RESIZE__DOWNLOAD_RESIZE_KEEP_RATIO_LARGEST;
            fixture.job.spec.image_size = 100;
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
    fixture.job.spec.resize_only_if_bigger = true;
    fixture.job.spec.image_size = 64;
    fixture.job.spec.resize_mode = VLMQ__JOBS__DOWNLOAD_RESIZE__DOWNLOAD_RESIZE_BORDER;
    RUN_OVER(&fixture, "420.jpg", "large.jpg", "exif_6.jpg");
    expect_size(&fixture, 0, 45, 31); /* no bars either */
    expect_size(&fixture, 1, 64, 64);
    expect_size(&fixture, 2, 12, 19);
    EXPECT_EQ(output_counter(&fixture.job, "fit.resized"), 1);
    EXPECT_EQ(output_counter(&fixture.job, "fit.padded"), 1);
    fixture_deinit(&fixture);
}

TEST(samples, keep_the_bytes_of_what_needs_no_change)
{
    UNUSED_STATE;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.job.spec.skip_reencode = true;
    fixture.job.spec.image_size = 50;
    fixture.job.spec.resize_only_if_bigger = true;
    RUN_OVER(&fixture, "420.jpg", "progressive.jpg", "large.jpg", "exif_6.jpg", "rgb.png");
    EXPECT(same_bytes(&fixture, 0, "420.jpg"));
    EXPECT(same_bytes(&fixture, 1, "progressive.jpg"));
    EXPECT(!same_bytes(&fixture, 2, "large.jpg")); /* resized and cropped */
    expect_size(&fixture, 0, 45, 31);
    expect_size(&fixture, 2, 50, 50);
    expect_size(&fixture, 3, 12, 19); /* stood up */
    EXPECT_EQ(decode_sniff((const uint8_t *)picture(&fixture, 4)->data, 100), DECODE_FORMAT_JPEG);
    EXPECT_EQ(output_counter(&fixture.job, "encode.kept"), 2);
    fixture_deinit(&fixture);
    fixture_init(&fixture);
    fixture.job.spec.skip_reencode = true;
    fixture.job.spec.resize_mode = VLMQ__JOBS__DOWNLOAD_RESIZE__DOWNLOAD_RESIZE_NO;
    fixture.job.spec.encode_format = VLMQ__JOBS__DOWNLOAD_ENCODE__DOWNLOAD_ENCODE_PNG;
    RUN_OVER(&fixture, "rgb.png", "rgba.png", "lossy.webp");
    expect_names(&fixture, "000000.json 000000.png 000001.json 000001.png 000002.json 000002.png ");
    EXPECT(same_bytes(&fixture, 0, "rgb.png"));
    EXPECT(!same_bytes(&fixture, 1, "rgba.png")); /* its alpha is blended */
    EXPECT_EQ(output_counter(&fixture.job, "encode.kept"), 1);
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
        fixture.job.spec.skip_reencode = true;
        fixture.job.spec.resize_mode = rows[i].mode;
        fixture.job.spec.image_size = rows[i].side;
        RUN_OVER(&fixture, "420.jpg");
        expect_size(&fixture, 0, rows[i].side, rows[i].side);
        EXPECT_EQ(output_counter(&fixture.job, "fit.resized"), 0);
        EXPECT_EQ(output_counter(&fixture.job, rows[i].counter), 1);
        EXPECT_EQ(output_counter(&fixture.job, "encode.kept"), 0);
        fixture_deinit(&fixture);
    }
}

TEST(samples, are_what_came_without_any_encoding)
{
    UNUSED_STATE;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.job.spec.no_reencode = true;
    RUN_OVER(&fixture, "exif_6.jpg", "rgba.png", "lossy.webp", "still.gif", "page.html");
    expect_names(&fixture, "000000.jpg 000000.json 000001.json 000001.png 000002.json "
                           "000002.webp 000003.gif 000003.json ");
    EXPECT(same_bytes(&fixture, 0, "exif_6.jpg"));
    EXPECT(same_bytes(&fixture, 1, "rgba.png"));
    EXPECT(same_bytes(&fixture, 3, "still.gif"));
    EXPECT_EQ(sample_number(&fixture, 0, "width"), -1);
    EXPECT_EQ(sample_number(&fixture, 0, "height"), -1);
    EXPECT_EQ(sample_number(&fixture, 0, "original_width"), -1);
    expect_status(&fixture, 3, "success");
    expect_status(&fixture, 4, "unknown_format");
    EXPECT_EQ(output_counter(&fixture.job, "encode.kept"), 4);
    EXPECT_EQ(output_counter(&fixture.job, "format.gif"), 1);
    EXPECT(output_says(&fixture.job, "report.html", "as received, 8 rows"));
    fixture_deinit(&fixture);
}

TEST(samples, say_how_far_a_fast_decode_reduced_them)
{
    UNUSED_STATE;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.job.spec.fast = true;
    fixture.job.spec.image_size = 45;
    fixture.job.spec.resize_mode = VLMQ__JOBS__DOWNLOAD_RESIZE__DOWNLOAD_RESIZE_KEEP_RATIO;
    RUN_OVER(&fixture, "large.jpg", "420.jpg", "rgb.png");
    EXPECT_EQ(sample_number(&fixture, 0, "reduced"), 4); /* 200 / 45 */
    EXPECT_EQ(sample_number(&fixture, 0, "original_width"), 300);
    expect_size(&fixture, 0, 67, 45); /* as of the whole picture, not of its quarter */
    EXPECT_EQ(sample_number(&fixture, 1, "reduced"), 1);
    EXPECT_EQ(sample_number(&fixture, 2, "reduced"), 1);
    EXPECT_EQ(output_counter(&fixture.job, "decode.reduced"), 1);
    EXPECT(output_says(&fixture.job, "report.html", ", fast, "));
    fixture_deinit(&fixture);
    fixture_init(&fixture);
    RUN_OVER(&fixture, "large.jpg");
    EXPECT_EQ(sample_number(&fixture, 0, "reduced"), -2); /* exact: nothing to say */
    fixture_deinit(&fixture);
}

/* Turned on its side, a picture is planned for as it will stand. */
TEST(samples, are_upright_after_a_fast_decode)
{
    UNUSED_STATE;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.job.spec.fast = true;
    fixture.job.spec.image_size = 5;
    fixture.job.spec.resize_mode = VLMQ__JOBS__DOWNLOAD_RESIZE__DOWNLOAD_RESIZE_KEEP_RATIO;
    RUN_OVER(&fixture, "exif_6.jpg");
    EXPECT_EQ(sample_number(&fixture, 0, "reduced"), 2);
    expect_size(&fixture, 0, 5, 7); /* 12 x 19 to a shorter side of 5 */
    fixture_deinit(&fixture);
}

TEST(rows, of_unwanted_sizes_end_in_their_own_status)
{
    UNUSED_STATE;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.job.spec.min_image_size = 30;
    fixture.job.spec.max_image_area = 59999;
    fixture.job.spec.max_aspect_ratio = 7.5;
    RUN_OVER(&fixture, "420.jpg", "exif_6.jpg", "large.jpg", "long.jpg", "rgb.png");
    expect_status(&fixture, 0, "success");
    expect_status(&fixture, 1, "too_small");
    expect_status(&fixture, 2, "too_large_area");
    expect_status(&fixture, 3, "too_large_aspect");
    expect_status(&fixture, 4, "success");
    EXPECT_EQ(output_counter(&fixture.job, "failed_to_resize"), 3);
    EXPECT_EQ(output_counter(&fixture.job, "status.too_small"), 1);
    fixture_deinit(&fixture);
    fixture_init(&fixture);
    fixture.job.spec.min_image_size = 12;
    fixture.job.spec.max_image_area = 60000;
    fixture.job.spec.max_aspect_ratio = 8;
    RUN_OVER(&fixture, "exif_6.jpg", "large.jpg", "long.jpg");
    EXPECT_EQ(output_counter(&fixture.job, "success"), 3); /* the limits themselves are within */
    fixture_deinit(&fixture);
}

TEST(rows, that_the_format_cannot_hold_are_not_encoded)
{
    UNUSED_STATE;
    struct fixture fixture;
    fixture_init(&fixture);
    fixture.job.spec.resize_mode = VLMQ__JOBS__DOWNLOAD_RESIZE__DOWNLOAD_RESIZE_NO;
    fixture.job.spec.encode_format = VLMQ__JOBS__DOWNLOAD_ENCODE__DOWNLOAD_ENCODE_WEBP;
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
    const Vlmq__Jobs__Download first = fixture.job.spec;
    EXPECT_OK(download_job_plan(&fixture.job), &fixture.job.harness.err);
#define OTHER(change)                                            \
    do {                                                         \
        fixture.job.spec = first;                                \
        change;                                                  \
        (void)download_job_pack(&fixture.job);                   \
        EXPECT_EQ(download_job_plan(&fixture.job), ERR_INVALID); \
    } while (0)
    OTHER(fixture.job.spec.filter = VLMQ__JOBS__DOWNLOAD_FILTER__DOWNLOAD_FILTER_BOX);
    OTHER(fixture.job.spec.resize_mode =
              VLMQ__JOBS__DOWNLOAD_RESIZE__DOWNLOAD_RESIZE_KEEP_RATIO_LARGEST);
    OTHER(fixture.job.spec.resize_only_if_bigger = true);
    OTHER(fixture.job.spec.fast = true);
    OTHER(fixture.job.spec.encode_format = VLMQ__JOBS__DOWNLOAD_ENCODE__DOWNLOAD_ENCODE_WEBP);
    OTHER(fixture.job.spec.quality = 94);
    OTHER(fixture.job.spec.skip_reencode = true);
    OTHER(fixture.job.spec.no_reencode = true);
    OTHER(fixture.job.spec.min_image_size = 1);
    OTHER(fixture.job.spec.max_image_area = 1000000);
    OTHER(fixture.job.spec.max_aspect_ratio = 2.5);
#undef OTHER
    char *extra[] = {text("reduced")}; /* a field that samples have */
    fixture.job.spec = first;
    fixture.job.spec.extra_columns = extra;
    fixture.job.spec.n_extra_columns = 1;
    (void)download_job_pack(&fixture.job);
    EXPECT_EQ(download_job_plan(&fixture.job), ERR_INVALID);
    EXPECT(strstr(fixture.job.harness.err.msg, "--extra-columns") != NULL);
    fixture.job.spec = first;
    fixture.job.spec.quality = 95; /* the default, said aloud */
    (void)download_job_pack(&fixture.job);
    EXPECT_OK(download_job_plan(&fixture.job), &fixture.job.harness.err);
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
    return cmocka_run_group_tests(tests, start, web_stop);
}
