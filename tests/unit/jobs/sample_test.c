/* sample_test.c - the options of a download about pictures and what is written of them, in whole
 * jobs over the golden pictures. */
#include "common/base/mem.h"
#include "tests/unit/jobs/download_job.h"
#include "worker/jobs/download/boxes.h"
#include "worker/jobs/download/options.h"
#include "worker/pipe/decode.h"

#include <ctype.h>
#include <strings.h>

#define PHASH_420 "97b42833e499c7cc" /* of tests/golden/phash.txt */

static void job_init(struct download_job *job, const char *list)
{
    download_job_init_web(job, list);
    job->spec.resize_mode = VLMQ__JOBS__DOWNLOAD_RESIZE__DOWNLOAD_RESIZE_NO;
    job->spec.quality = 100;
}

/* A job over one golden picture, as it stands in spec. */
static void run_one(struct download_job *job, const char *name)
{
    buf_text(&job->list, "url\n");
    add_url(job, "files/%s\n", name);
    download_job_run(job);
}

/* A member of the shard's tar, whole. */
static void member(const struct download_job *job, const char *name, struct buf *out)
{
    struct output_tar tar;
    struct tar_member found;
    output_tar_open(&tar, job, "00000.tar");
    do
        if (!output_tar_next(&tar, &found)) fail_msg("no member %s", name);
    while (strcmp(found.name, name) != 0);
    output_tar_member(&tar, out);
    output_tar_close(&tar);
}

static json_t *sample(const struct download_job *job, const char *key)
{
    char name[64];
    struct buf bytes;
    buf_init(&bytes, 0);
    (void)snprintf(name, sizeof name, "%s.json", key);
    member(job, name, &bytes);
    json_t *object = json_of(bytes.data, bytes.len);
    buf_deinit(&bytes);
    return object;
}

static json_t *row(const struct download_job *job, uint32_t number)
{
    return output_row(job, "00000.rows.jsonl", number);
}

static void picture(const struct download_job *job, struct image *image)
{
    struct buf bytes;
    struct decode_info info;
    const struct decode_options options = decode_options_default();
    buf_init(&bytes, 0);
    member(job, "000000000.jpg", &bytes);
    EXPECT_EQ(decode(image, &info, (const uint8_t *)bytes.data, bytes.len, &options), DECODE_OK);
    buf_deinit(&bytes);
}

/* The colour of a picture's corner, which JPEG may have changed a little. */
static void expect_corner(const char *name, const char *background, int red, int green, int blue)
{
    struct download_job job;
    struct image image = {0};
    job_init(&job, "list.csv");
    job.spec.background = text(background);
    run_one(&job, name);
    picture(&job, &image);
    const int want[] = {red, green, blue};
    for (int c = 0; c < 3; c++) EXPECT(abs(image.pixels[c] - want[c]) <= 6);
    image_deinit(&image);
    download_job_deinit(&job);
}

TEST(sample, is_blended_on_the_background_that_is_asked_for)
{
    UNUSED_STATE;
    /* Its frame stands inside of its canvas: the corner is transparent. */
    expect_corner("inside_key.gif", "", 255, 255, 255);
    expect_corner("inside_key.gif", "white", 255, 255, 255);
    expect_corner("inside_key.gif", "black", 0, 0, 0);
    expect_corner("inside_key.gif", "#20Ff40", 0x20, 0xFF, 0x40);
    struct image image = {0};
    struct decode_info info;
    struct decode_options options = decode_options_default();
    struct buf file;
    options.alpha = DECODE_ALPHA_DROP;
    buf_init(&file, 0);
    folder_read(&file, IMAGES, "inside_key.gif");
    EXPECT_EQ(decode(&image, &info, (uint8_t *)file.data, file.len, &options), DECODE_OK);
    expect_corner("inside_key.gif", "drop", image.pixels[0], image.pixels[1], image.pixels[2]);
    image_deinit(&image);
    buf_deinit(&file);
}

static void expect_width(bool ignore_orientation, uint32_t width)
{
    struct download_job job;
    struct image image = {0};
    job_init(&job, "list.csv");
    job.spec.ignore_orientation = ignore_orientation;
    run_one(&job, "exif_6.jpg");
    picture(&job, &image);
    EXPECT_EQ(image.width, width);
    image_deinit(&image);
    download_job_deinit(&job);
}

TEST(sample, may_be_a_gif_or_an_avif)
{
    UNUSED_STATE;
    struct download_job job;
    job_init(&job, "list.txt");
    add_url(&job, "files/animated.gif\n");
    add_url(&job, "files/420.avif\n");
    download_job_run(&job);
    json_t *line = row(&job, 0), *object = sample(&job, "000000000");
    EXPECT_TEXT(field(line, "format"), "gif");
    EXPECT_TEXT(field(line, "status"), "success");
    EXPECT_EQ(json_integer_value(json_object_get(object, "original_width")), 45);
    json_decref(line);
    json_decref(object);
    line = row(&job, 1);
    EXPECT_TEXT(field(line, "format"), "avif");
#ifdef VLMQ_AVIF
    EXPECT_TEXT(field(line, "status"), "success");
#else
    EXPECT_TEXT(field(line, "status"), "unsupported_format");
#endif
    json_decref(line);
    download_job_deinit(&job);
}

TEST(sample, is_turned_upright_unless_told_otherwise)
{
    UNUSED_STATE;
    expect_width(false, 12);
    expect_width(true, 19);
}

TEST(sample, keeps_its_exif_as_json_unless_told_otherwise)
{
    UNUSED_STATE;
    struct download_job job;
    job_init(&job, "list.csv");
    run_one(&job, "exif_6.jpg");
    json_t *object = sample(&job, "000000000");
    EXPECT_TEXT(field(object, "exif"), "{\"Image Orientation\":6}");
    json_decref(object);
    download_job_deinit(&job);
    job_init(&job, "list.csv");
    job.spec.no_exif = true;
    run_one(&job, "exif_6.jpg");
    object = sample(&job, "000000000");
    EXPECT(json_object_get(object, "exif") == NULL);
    json_decref(object);
    download_job_deinit(&job);
}

TEST(sample, has_the_hash_that_is_asked_for)
{
    UNUSED_STATE;
    static const char *const names[] = {"sha256", "md5", "sha512"};
    struct buf file;
    buf_init(&file, 0);
    folder_read(&file, IMAGES, "420.jpg");
    for (int kind = 0; kind < 4; kind++) {
        struct download_job job;
        char want[HASH_TEXT_MAX] = "(none)";
        job_init(&job, "list.csv");
        job.spec.compute_hash = (Vlmq__Jobs__DownloadHash)kind;
        run_one(&job, "420.jpg");
        json_t *object = sample(&job, "000000000"), *line = row(&job, 0);
        for (int i = 0; i < 3; i++) {
            if (i == kind) EXPECT(hash_text(want, (enum hash_kind)i, file.data, file.len));
            EXPECT_TEXT(field(object, names[i]), i == kind ? want : "(none)");
            EXPECT_TEXT(field(line, names[i]), i == kind ? want : "(none)");
        }
        json_decref(object);
        json_decref(line);
        download_job_deinit(&job);
    }
    buf_deinit(&file);
}

TEST(sample, has_a_perceptual_hash_if_asked_for)
{
    UNUSED_STATE;
    struct download_job job;
    job_init(&job, "list.txt");
    job.spec.phash = true;
    job.spec.resize_mode = VLMQ__JOBS__DOWNLOAD_RESIZE__DOWNLOAD_RESIZE_CENTER_CROP;
    job.spec.image_size = 8; /* the hash is that of the whole picture */
    add_url(&job, "files/420.jpg\n");
    add_url(&job, "files/nothing\n");
    download_job_run(&job);
    json_t *object = sample(&job, "000000000"), *line = row(&job, 0), *failed = row(&job, 1);
    EXPECT_TEXT(field(object, "phash"), PHASH_420);
    EXPECT_TEXT(field(line, "phash"), PHASH_420);
    EXPECT(json_is_null(json_object_get(failed, "phash")));
    json_decref(object);
    json_decref(line);
    json_decref(failed);
    download_job_deinit(&job);
}

TEST(sample, must_have_the_hash_of_the_list)
{
    UNUSED_STATE;
    struct download_job job;
    struct buf file;
    char hash[HASH_TEXT_MAX];
    buf_init(&file, 0);
    folder_read(&file, IMAGES, "420.jpg");
    EXPECT(hash_text(hash, HASH_MD5, file.data, file.len));
    for (char *c = hash; *c; c++) *c = (char)toupper((unsigned char)*c);
    job_init(&job, "list.csv");
    job.spec.compute_hash = VLMQ__JOBS__DOWNLOAD_HASH__DOWNLOAD_HASH_MD5;
    job.spec.verify_hash_column = text("md5");
    job.spec.no_retries = false;
    job.spec.retries = 3;
    buf_text(&job.list, "md5,url\n");
    const char *const promised[] = {hash, "900150983cd24fb0d6963f7d28e17f72", ""};
    for (int i = 0; i < 3; i++) {
        buf_printf(&job.list, "%s,", promised[i]);
        add_url(&job, "files/420.jpg\n");
    }
    download_job_run(&job);
    for (uint32_t i = 0; i < 3; i++) {
        json_t *line = row(&job, i);
        EXPECT_TEXT(field(line, "status"), i ? "hash_mismatch" : "success");
        EXPECT_TEXT(field(line, "class"), i ? "failed_to_download" : "success");
        EXPECT_TEXT(field(line, "format"), "jpeg");
        EXPECT_EQ(strcasecmp(field(line, "md5"), hash), 0);
        json_decref(line);
    }
    download_job_deinit(&job);
    buf_deinit(&file);
}

static void put_hashes(struct download_job *job, char path[TEST_PATH_BYTES], const char *lines)
{
    folder_put(job->dir, "hashes", lines, strlen(lines));
    EXPECT(fs_join(path, TEST_PATH_BYTES, job->dir, "hashes"));
    job->spec.blocked_hashes = path;
}

TEST(sample, is_not_made_of_blocked_bytes)
{
    UNUSED_STATE;
    static const char *const names[] = {"420.jpg", "rgb.png", "lossy.webp"};
    struct download_job job;
    struct buf lines, file;
    char path[TEST_PATH_BYTES], hash[HASH_TEXT_MAX];
    buf_init(&lines, 0);
    buf_init(&file, 0);
    job_init(&job, "list.csv");
    job.spec.compute_hash = VLMQ__JOBS__DOWNLOAD_HASH__DOWNLOAD_HASH_SHA512;
    buf_text(&lines, "# not available\r\n\n");
    buf_text(&job.list, "url\n");
    for (int i = 0; i < 3; i++) {
        buf_clear(&file);
        folder_read(&file, IMAGES, names[i]);
        EXPECT(hash_text(hash, HASH_SHA512, file.data, file.len));
        if (i == 1) hash[5] = hash[5] == '0' ? '1' : '0'; /* another one */
        for (char *c = hash; i == 2 && *c; c++) *c = (char)toupper((unsigned char)*c);
        buf_printf(&lines, "%s%s%s", i == 2 ? " \t" : "", hash, i == 2 ? "" : "  some.jpg\n");
        add_url(&job, "files/%s\n", names[i]);
    }
    put_hashes(&job, path, buf_str(&lines));
    download_job_run(&job);
    for (uint32_t i = 0; i < 3; i++) {
        json_t *line = row(&job, i);
        EXPECT_TEXT(field(line, "status"), i == 1 ? "success" : "blocked");
        EXPECT_TEXT(field(line, "class"), i == 1 ? "success" : "failed_to_download");
        EXPECT_TEXT(field(line, "format"), i == 0 ? "jpeg" : i == 1 ? "png" : "webp");
        EXPECT_EQ(strlen(field(line, "sha512")), 128);
        json_decref(line);
    }
    hash_sha256_text(hash, buf_str(&lines), lines.len);
    EXPECT(output_says(&job, "manifest.json", hash));
    /* A task uses the hashes that the plan has seen; a plan refuses others over the same output. */
    put_hashes(&job, path, "# none\n");
    EXPECT_OK(download_job_work(&job, 0), &job.harness.err);
    EXPECT_EQ(download_job_plan(&job), ERR_INVALID);
    EXPECT(strstr(job.harness.err.msg, "--blocked-hashes") != NULL);
    buf_deinit(&lines);
    buf_deinit(&file);
    download_job_deinit(&job);
}

TEST(sample, is_not_judged_by_hashes_that_cannot_be_read)
{
    UNUSED_STATE;
    static const char *const wrong[] = {"abc\n", "\n \n0123456789abcdef0123456789abcdeg\n",
                                        "900150983cd24fb0d6963f7d28e17f72 ok\nx"};
    static const char *const lines[] = {"line 1 ", "line 3 ", "line 2 "};
    struct download_job job;
    char path[TEST_PATH_BYTES];
    job_init(&job, "list.csv");
    job.spec.compute_hash = VLMQ__JOBS__DOWNLOAD_HASH__DOWNLOAD_HASH_MD5;
    for (int i = 0; i < 5; i++) {
        put_hashes(&job, path, wrong[i < 3 ? i : 0]);
        if (i == 3) EXPECT_EQ(unlink(path), 0);
        if (i == 4) job.spec.compute_hash = VLMQ__JOBS__DOWNLOAD_HASH__DOWNLOAD_HASH_NONE;
        (void)download_job_pack(&job);
        EXPECT_EQ(download_job_plan(&job), i == 3 ? ERR_NOT_FOUND : ERR_INVALID);
        const char *want = i < 3 ? lines[i] : i == 3 ? "hashes" : "--blocked-hashes needs a hash";
        if (!strstr(job.harness.err.msg, want)) fail_msg("%s", job.harness.err.msg);
        EXPECT(!fs_exists(job.output));
    }
    download_job_deinit(&job);
}

/* The sum of differences between neighbours: less where it is blurred. */
static int64_t detail(const struct download_job *job, const char *key)
{
    struct buf bytes;
    struct image image = {0};
    struct decode_info info;
    const struct decode_options options = decode_options_default();
    char name[64];
    int64_t sum = 0;
    (void)snprintf(name, sizeof name, "%s.jpg", key);
    buf_init(&bytes, 0);
    member(job, name, &bytes);
    EXPECT_EQ(decode(&image, &info, (const uint8_t *)bytes.data, bytes.len, &options), DECODE_OK);
    for (uint32_t y = 0; y < image.height; y++)
        for (uint32_t x = 3; x < image.width * 3; x++)
            sum += abs(image_row(&image, y)[x] - image_row(&image, y)[x - 3]);
    image_deinit(&image);
    buf_deinit(&bytes);
    return sum;
}

static void check_boxes(struct download_job *job)
{
    static const char *const ends[] = {"success",   "success",   "success",
                                       "bad_boxes", "bad_boxes", "bad_boxes"};
    job->spec.bbox_column = text("faces");
    download_job_run(job);
    for (uint32_t i = 0; i < 6; i++) {
        json_t *line = row(job, i);
        EXPECT_TEXT(field(line, "status"), ends[i]);
        EXPECT_TEXT(field(line, "class"), i < 3 ? "success" : "failed_to_resize");
        EXPECT(json_object_get(line, "faces") == NULL);
        json_decref(line);
    }
    const int64_t plain = detail(job, "000000000");
    EXPECT_EQ(detail(job, "000000001"), plain);
    EXPECT(detail(job, "000000002") < plain / 2);
    EXPECT(output_says(job, "manifest.json", "\"blurred\":1"));
}

TEST(sample, is_blurred_where_the_list_says)
{
    UNUSED_STATE;
    static const char *const boxes[] = {
        "",    "[]", "[[0.0, 0, 1, 1.01], [0.1, 0.1, 0.2, 0.2]]", "[[0,0,1]]", "[[5,5,40,20]]",
        "none"};
    struct download_job job;
    job_init(&job, "list.csv");
    buf_text(&job.list, "faces,url\n");
    for (int i = 0; i < 6; i++) {
        buf_printf(&job.list, "\"%s\",", boxes[i]);
        add_url(&job, "files/444.jpg\n");
    }
    check_boxes(&job);
    download_job_deinit(&job);
    job_init(&job, "list.jsonl");
    static const char *const values[] = {"null",        "[]",  "[[0.0, 0, 1, 1.01]]",
                                         "[[0,0,1,0]]", "1.5", "\"[[0,0\""};
    for (int i = 0; i < 6; i++) {
        buf_printf(&job.list, "{\"faces\":%s,\"url\":\"", values[i]);
        add_url(&job, "files/444.jpg\"}\n");
    }
    check_boxes(&job);
    download_job_deinit(&job);
}

TEST(sample, is_never_kept_as_it_came_when_something_is_to_be_hidden)
{
    UNUSED_STATE;
    struct download_job job;
    struct download_options options;
    struct arena arena;
    struct err err;
    job_init(&job, "list.csv");
    job.spec.quality = 0;
    job.spec.skip_reencode = true;
    job.spec.bbox_column = text("faces");
    buf_text(&job.list, "faces,url\n");
    static const char *const boxes[] = {"[]", "[[0,0,1,1]]"};
    for (int i = 0; i < 2; i++) {
        buf_printf(&job.list, "\"%s\",", boxes[i]);
        add_url(&job, "files/444.jpg\n");
    }
    download_job_run(&job);
    EXPECT(detail(&job, "000000001") < detail(&job, "000000000") / 2);
    job.spec.skip_reencode = false;
    job.spec.resize_mode = 0;
    job.spec.no_reencode = true;
    arena_init(&arena, 1 << 20);
    const size_t bytes = download_job_pack(&job);
    EXPECT_EQ(download_options_init(&options, &arena, job.packed, bytes, &err), ERR_INVALID);
    EXPECT(strstr(err.msg, "--bbox-column") != NULL);
    arena_deinit(&arena);
    download_job_deinit(&job);
}

TEST(sample, takes_boxes_for_what_they_are)
{
    UNUSED_STATE;
    static struct blur_box box[BOXES_MAX];
    uint32_t boxes;
    struct buf many;
    EXPECT(boxes_read(box, &boxes, NULL) && !boxes);
    EXPECT(boxes_read(box, &boxes, " \n") && !boxes);
    EXPECT(boxes_read(box, &boxes, "null") && !boxes);
    EXPECT(boxes_read(box, &boxes, "[[-0.5,0.25,1,2]]"));
    EXPECT_EQ(boxes, 1);
    EXPECT(box[0].x0 == -0.5 && box[0].y0 == 0.25 && box[0].x1 == 1.0 && box[0].y1 == 2.0);
    static const char *const wrong[] = {"[0,0,1,1]",
                                        "[[0,0,1,1,1]]",
                                        "[[0,0,1,\"1\"]]",
                                        "[[0,0,1,3]]",
                                        "[[1,0,0,1]]",
                                        "[[0,0.5,1,0.5]]",
                                        "{}",
                                        "["};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        EXPECT(!boxes_read(box, &boxes, wrong[i]) && !boxes);
    buf_init(&many, 0);
    for (int i = 0; i < BOXES_MAX; i++) buf_printf(&many, "%c[0,0,1,1]", i ? ',' : '[');
    buf_byte(&many, ']');
    EXPECT(boxes_read(box, &boxes, buf_str(&many)));
    EXPECT_EQ(boxes, BOXES_MAX);
    many.data[many.len - 1] = ',';
    buf_text(&many, "[0,0,1,1]]");
    EXPECT(!boxes_read(box, &boxes, buf_str(&many)));
    buf_deinit(&many);
}

/* What DALI's own tool writes: extension, offset, bytes and name of each member, a sample a line.
 */
TEST(sample, stands_in_the_index_where_a_reader_of_the_tar_finds_it)
{
    UNUSED_STATE;
    struct download_job job;
    struct buf index, want;
    struct output_tar tar;
    struct tar_member found;
    buf_init(&index, 0);
    buf_init(&want, 0);
    job_init(&job, "list.csv");
    job.spec.caption_column = text("c");
    buf_text(&job.list, "c,url\n");
    static const char *const names[] = {"420.jpg", "rgb.png", "nothing", "gray.gif"};
    for (int i = 0; i < 4; i++) {
        buf_printf(&job.list, "caption %d,", i);
        add_url(&job, "files/%s\n", names[i]);
    }
    download_job_run(&job);
    output_read(&index, &job, "00000.idx");
    output_tar_open(&tar, &job, "00000.tar");
    buf_text(&want, "v1.2 3\n");
    for (int i = 0; i < 9; i++) {
        EXPECT(output_tar_next(&tar, &found));
        buf_printf(&want, "%s %lld %lld %s%c", strchr(found.name, '.') + 1, (long long)found.offset,
                   (long long)found.bytes, found.name, i % 3 == 2 ? '\n' : ' ');
    }
    EXPECT_TEXT(buf_str(&index), buf_str(&want));
    EXPECT(output_says(&job, "manifest.json", "\"00000.idx\""));
    output_tar_close(&tar);
    buf_deinit(&index);
    buf_deinit(&want);
    download_job_deinit(&job);
}

/* The claim of an output by a spec. */
static void claim(struct download_job *job, struct buf *out)
{
    struct download_options options;
    struct arena arena;
    struct err err;
    arena_init(&arena, 1 << 20);
    const size_t bytes = download_job_pack(job);
    EXPECT_OK(download_options_init(&options, &arena, job->packed, bytes, &err), &err);
    buf_clear(out);
    download_options_json(&options, out);
    arena_deinit(&arena);
}

TEST(sample, has_options_that_are_part_of_the_claim)
{
    UNUSED_STATE;
    struct download_job job;
    struct buf plain, other;
    buf_init(&plain, 0);
    buf_init(&other, 0);
    job_init(&job, "list.csv");
    claim(&job, &plain);
    const Vlmq__Jobs__Download good = job.spec;
#define CLAIMS(change)                                         \
    do {                                                       \
        change;                                                \
        claim(&job, &other);                                   \
        json_t *object = json_loads(other.data, 0, NULL);      \
        EXPECT(json_is_object(object));                        \
        json_decref(object);                                   \
        EXPECT(strcmp(buf_str(&plain), buf_str(&other)) != 0); \
        job.spec = good;                                       \
    } while (0)
    CLAIMS(job.spec.background = text("black"));
    CLAIMS(job.spec.background = text("drop"));
    CLAIMS(job.spec.ignore_orientation = true);
    CLAIMS(job.spec.no_exif = true);
    CLAIMS(job.spec.phash = true);
    CLAIMS(job.spec.bbox_column = text("faces"));
    CLAIMS(job.spec.compute_hash = 1);
    CLAIMS(job.spec.compute_hash = 3);
    CLAIMS(job.spec.verify_hash_column = text("sum"));
    CLAIMS(job.spec.output_format = 1);
#undef CLAIMS
    job.spec.background = text("#FFFFFF"); /* as it is by default */
    claim(&job, &other);
    EXPECT_TEXT(buf_str(&plain), buf_str(&other));
    buf_deinit(&plain);
    buf_deinit(&other);
    download_job_deinit(&job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(sample, is_blended_on_the_background_that_is_asked_for),
        RUN(sample, may_be_a_gif_or_an_avif),
        RUN(sample, is_turned_upright_unless_told_otherwise),
        RUN(sample, keeps_its_exif_as_json_unless_told_otherwise),
        RUN(sample, has_the_hash_that_is_asked_for),
        RUN(sample, has_a_perceptual_hash_if_asked_for),
        RUN(sample, must_have_the_hash_of_the_list),
        RUN(sample, is_not_made_of_blocked_bytes),
        RUN(sample, is_not_judged_by_hashes_that_cannot_be_read),
        RUN(sample, is_blurred_where_the_list_says),
        RUN(sample, is_never_kept_as_it_came_when_something_is_to_be_hidden),
        RUN(sample, takes_boxes_for_what_they_are),
        RUN(sample, stands_in_the_index_where_a_reader_of_the_tar_finds_it),
        RUN(sample, has_options_that_are_part_of_the_claim),
    };
    return cmocka_run_group_tests(tests, web_start_images, web_stop);
}
