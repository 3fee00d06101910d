/* sample_test.c - the options of a download about pictures and what is written of them, in whole
 * jobs over the golden pictures. */
#include "common/base/fs.h"
#include "common/base/mem.h"
#include "tests/support/web_server.h"
#include "tests/unit/jobs/job_harness.h"
#include "worker/jobs/download/boxes.h"
#include "worker/jobs/download/options.h"
#include "worker/pipe/decode.h"
#include "worker/pipe/tar.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <strings.h>

#define SCRIPT    TESTS_DIR "/support/web_server.py"
#define IMAGES    TESTS_DIR "/golden/images"
#define PHASH_420 "97b42833e499c7cc" /* of tests/golden/phash.txt */

extern const struct job_kind job_download;

static struct web_server web;

/* One job's spec, list and, after run, its output. */
struct trial {
    struct harness harness;
    const char *dir;
    char input[300], output[300];
    struct buf list, tar, rows;
    Vlmq__Jobs__Download spec;
    uint8_t packed[2048];
};

static int start(void **state)
{
    (void)state;
    web_server_start(&web, SCRIPT, IMAGES, NULL);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    web_server_stop(&web);
    return 0;
}

static void trial_init(struct trial *trial, const char *list_name)
{
    *trial = (struct trial){.dir = test_dir_new()};
    harness_init(&trial->harness, &job_download);
    (void)snprintf(trial->input, sizeof trial->input, "%s/%s", trial->dir, list_name);
    (void)snprintf(trial->output, sizeof trial->output, "%s/out", trial->dir);
    buf_init(&trial->list, 0);
    buf_init(&trial->tar, 0);
    buf_init(&trial->rows, 0);
    vlmq__jobs__download__init(&trial->spec);
    trial->spec.input = trial->input;
    trial->spec.output = trial->output;
    trial->spec.resize_mode = VLMQ__JOBS__DOWNLOAD_RESIZE__DOWNLOAD_RESIZE_NO;
    trial->spec.quality = 100;
    trial->spec.allow_private = true;
    trial->spec.no_retries = true;
}

static void trial_deinit(struct trial *trial)
{
    buf_deinit(&trial->list);
    buf_deinit(&trial->tar);
    buf_deinit(&trial->rows);
    harness_deinit(&trial->harness);
    test_dir_remove(trial->dir);
}

static char *text(const char *value)
{
    return (char *)(uintptr_t)value; /* the fields of a message are not const */
}

static void add_url(struct trial *trial, const char *name)
{
    buf_printf(&trial->list, "http://127.0.0.1:%d/files/%s", web.port, name);
}

static void read_output(const struct trial *trial, const char *name, struct buf *out)
{
    char path[600];
    struct err err;
    EXPECT(fs_join(path, sizeof path, trial->output, name));
    EXPECT_OK(fs_read(out, path, 64 << 20, &err), &err);
}

static void run(struct trial *trial)
{
    struct err err;
    EXPECT(vlmq__jobs__download__get_packed_size(&trial->spec) <= sizeof trial->packed);
    const size_t bytes = vlmq__jobs__download__pack(&trial->spec, trial->packed);
    trial->harness.spec = (struct job_bytes){trial->packed, bytes};
    EXPECT_OK(fs_put(trial->input, buf_str(&trial->list), trial->list.len, &err), &err);
    harness_job(&trial->harness, false);
    read_output(trial, "00000.tar", &trial->tar);
    read_output(trial, "00000.rows.jsonl", &trial->rows);
}

/* A job over one golden picture, as it stands in spec. */
static void run_one(struct trial *trial, const char *name)
{
    buf_text(&trial->list, "url\n");
    add_url(trial, name);
    buf_byte(&trial->list, '\n');
    run(trial);
}

struct tar_bytes {
    const struct buf *tar;
    size_t at;
};

static int read_bytes(void *ctx, void *dst, size_t bytes, size_t *got, struct err *err)
{
    struct tar_bytes *from = ctx;
    (void)err;
    const size_t left = from->tar->len - from->at;
    *got = left < bytes ? left : bytes;
    memcpy(dst, from->tar->data + from->at, *got);
    from->at += *got;
    return 0;
}

/* A member of the shard's tar, whole. */
static void member(const struct trial *trial, const char *name, struct buf *out)
{
    struct tar_bytes from = {.tar = &trial->tar};
    struct tar_reader reader;
    struct tar_member found;
    struct err err;
    bool more = true;
    tar_reader_init(&reader, read_bytes, &from);
    for (;;) {
        EXPECT_OK(tar_reader_next(&reader, &found, &more, &err), &err);
        if (!more) fail_msg("no member %s", name);
        if (strcmp(found.name, name) == 0) break;
    }
    EXPECT_OK(tar_reader_all(&reader, out, 1 << 20, &err), &err);
}

static json_t *sample(const struct trial *trial, const char *key)
{
    char name[64];
    struct buf bytes;
    buf_init(&bytes, 0);
    (void)snprintf(name, sizeof name, "%s.json", key);
    member(trial, name, &bytes);
    json_t *object = json_loadb(bytes.data, bytes.len, JSON_REJECT_DUPLICATES, NULL);
    EXPECT(object != NULL);
    buf_deinit(&bytes);
    return object;
}

/* The first line of rows.jsonl, or one further down. */
static json_t *row(const struct trial *trial, uint32_t number)
{
    const char *line = buf_str(&trial->rows);
    while (number--) {
        line = strchr(line, '\n');
        EXPECT(line != NULL);
        line++;
    }
    json_t *object = json_loadb(line, strcspn(line, "\n"), JSON_REJECT_DUPLICATES, NULL);
    EXPECT(object != NULL);
    return object;
}

static const char *field(const json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));
    return value ? value : "(none)";
}

static void picture(const struct trial *trial, struct image *image)
{
    struct buf bytes;
    struct decode_info info;
    const struct decode_options options = decode_options_default();
    buf_init(&bytes, 0);
    member(trial, "000000000.jpg", &bytes);
    EXPECT_EQ(decode(image, &info, (const uint8_t *)bytes.data, bytes.len, &options), DECODE_OK);
    buf_deinit(&bytes);
}

/* The colour of a picture's corner, which JPEG may have changed a little. */
static void expect_corner(const char *name, const char *background, int red, int green, int blue)
{
    struct trial trial;
    struct image image = {0};
    trial_init(&trial, "list.csv");
    trial.spec.background = text(background);
    run_one(&trial, name);
    picture(&trial, &image);
    const int want[] = {red, green, blue};
    for (int c = 0; c < 3; c++) EXPECT(abs(image.pixels[c] - want[c]) <= 6);
    image_deinit(&image);
    trial_deinit(&trial);
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
    struct err err;
    options.alpha = DECODE_ALPHA_DROP;
    buf_init(&file, 0);
    EXPECT_OK(fs_read(&file, IMAGES "/inside_key.gif", 1 << 20, &err), &err);
    EXPECT_EQ(decode(&image, &info, (uint8_t *)file.data, file.len, &options), DECODE_OK);
    expect_corner("inside_key.gif", "drop", image.pixels[0], image.pixels[1], image.pixels[2]);
    image_deinit(&image);
    buf_deinit(&file);
}

static void expect_width(bool ignore_orientation, uint32_t width)
{
    struct trial trial;
    struct image image = {0};
    trial_init(&trial, "list.csv");
    trial.spec.ignore_orientation = ignore_orientation;
    run_one(&trial, "exif_6.jpg");
    picture(&trial, &image);
    EXPECT_EQ(image.width, width);
    image_deinit(&image);
    trial_deinit(&trial);
}

TEST(sample, may_be_a_gif_or_an_avif)
{
    UNUSED_STATE;
    struct trial trial;
    trial_init(&trial, "list.txt");
    add_url(&trial, "animated.gif\n");
    add_url(&trial, "420.avif\n");
    run(&trial);
    json_t *line = row(&trial, 0), *object = sample(&trial, "000000000");
    EXPECT_TEXT(field(line, "format"), "gif");
    EXPECT_TEXT(field(line, "status"), "success");
    EXPECT_EQ(json_integer_value(json_object_get(object, "original_width")), 45);
    json_decref(line);
    json_decref(object);
    line = row(&trial, 1);
    EXPECT_TEXT(field(line, "format"), "avif");
#ifdef VLMQ_AVIF
    EXPECT_TEXT(field(line, "status"), "success");
#else
    EXPECT_TEXT(field(line, "status"), "unsupported_format");
#endif
    json_decref(line);
    trial_deinit(&trial);
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
    struct trial trial;
    trial_init(&trial, "list.csv");
    run_one(&trial, "exif_6.jpg");
    json_t *object = sample(&trial, "000000000");
    EXPECT_TEXT(field(object, "exif"), "{\"Image Orientation\":6}");
    json_decref(object);
    trial_deinit(&trial);
    trial_init(&trial, "list.csv");
    trial.spec.no_exif = true;
    run_one(&trial, "exif_6.jpg");
    object = sample(&trial, "000000000");
    EXPECT(json_object_get(object, "exif") == NULL);
    json_decref(object);
    trial_deinit(&trial);
}

TEST(sample, has_the_hash_that_is_asked_for)
{
    UNUSED_STATE;
    static const char *const names[] = {"sha256", "md5", "sha512"};
    struct buf file;
    struct err err;
    buf_init(&file, 0);
    EXPECT_OK(fs_read(&file, IMAGES "/420.jpg", 1 << 20, &err), &err);
    for (int kind = 0; kind < 4; kind++) {
        struct trial trial;
        char want[HASH_TEXT_MAX] = "(none)";
        trial_init(&trial, "list.csv");
        trial.spec.compute_hash = (Vlmq__Jobs__DownloadHash)kind;
        run_one(&trial, "420.jpg");
        json_t *object = sample(&trial, "000000000"), *line = row(&trial, 0);
        for (int i = 0; i < 3; i++) {
            if (i == kind) EXPECT(hash_text(want, (enum hash_kind)i, file.data, file.len));
            EXPECT_TEXT(field(object, names[i]), i == kind ? want : "(none)");
            EXPECT_TEXT(field(line, names[i]), i == kind ? want : "(none)");
        }
        json_decref(object);
        json_decref(line);
        trial_deinit(&trial);
    }
    buf_deinit(&file);
}

TEST(sample, has_a_perceptual_hash_if_asked_for)
{
    UNUSED_STATE;
    struct trial trial;
    trial_init(&trial, "list.txt");
    trial.spec.phash = true;
    trial.spec.resize_mode = VLMQ__JOBS__DOWNLOAD_RESIZE__DOWNLOAD_RESIZE_CENTER_CROP;
    trial.spec.image_size = 8; /* the hash is that of the whole picture */
    add_url(&trial, "420.jpg\n");
    add_url(&trial, "nothing\n");
    run(&trial);
    json_t *object = sample(&trial, "000000000"), *line = row(&trial, 0), *failed = row(&trial, 1);
    EXPECT_TEXT(field(object, "phash"), PHASH_420);
    EXPECT_TEXT(field(line, "phash"), PHASH_420);
    EXPECT(json_is_null(json_object_get(failed, "phash")));
    json_decref(object);
    json_decref(line);
    json_decref(failed);
    trial_deinit(&trial);
}

TEST(sample, must_have_the_hash_of_the_list)
{
    UNUSED_STATE;
    struct trial trial;
    struct buf file;
    struct err err;
    char hash[HASH_TEXT_MAX];
    buf_init(&file, 0);
    EXPECT_OK(fs_read(&file, IMAGES "/420.jpg", 1 << 20, &err), &err);
    EXPECT(hash_text(hash, HASH_MD5, file.data, file.len));
    for (char *c = hash; *c; c++) *c = (char)toupper((unsigned char)*c);
    trial_init(&trial, "list.csv");
    trial.spec.compute_hash = VLMQ__JOBS__DOWNLOAD_HASH__DOWNLOAD_HASH_MD5;
    trial.spec.verify_hash_column = text("md5");
    trial.spec.no_retries = false;
    trial.spec.retries = 3;
    buf_text(&trial.list, "md5,url\n");
    const char *const promised[] = {hash, "900150983cd24fb0d6963f7d28e17f72", ""};
    for (int i = 0; i < 3; i++) {
        buf_printf(&trial.list, "%s,", promised[i]);
        add_url(&trial, "420.jpg\n");
    }
    run(&trial);
    for (uint32_t i = 0; i < 3; i++) {
        json_t *line = row(&trial, i);
        EXPECT_TEXT(field(line, "status"), i ? "hash_mismatch" : "success");
        EXPECT_TEXT(field(line, "class"), i ? "failed_to_download" : "success");
        EXPECT_TEXT(field(line, "format"), "jpeg");
        EXPECT_EQ(strcasecmp(field(line, "md5"), hash), 0);
        json_decref(line);
    }
    trial_deinit(&trial);
    buf_deinit(&file);
}

static void put_hashes(struct trial *trial, char *path, size_t path_bytes, const char *lines)
{
    struct err err;
    EXPECT(fs_join(path, path_bytes, trial->dir, "hashes"));
    EXPECT_OK(fs_put(path, lines, strlen(lines), &err), &err);
    trial->spec.blocked_hashes = path;
}

TEST(sample, is_not_made_of_blocked_bytes)
{
    UNUSED_STATE;
    static const char *const names[] = {"420.jpg", "rgb.png", "lossy.webp"};
    struct trial trial;
    struct buf lines, file;
    struct err err;
    char path[600], hash[HASH_TEXT_MAX];
    buf_init(&lines, 0);
    buf_init(&file, 0);
    trial_init(&trial, "list.csv");
    trial.spec.compute_hash = VLMQ__JOBS__DOWNLOAD_HASH__DOWNLOAD_HASH_SHA512;
    buf_text(&lines, "# not available\r\n\n");
    buf_text(&trial.list, "url\n");
    for (int i = 0; i < 3; i++) {
        buf_clear(&file);
        (void)snprintf(path, sizeof path, IMAGES "/%s", names[i]);
        EXPECT_OK(fs_read(&file, path, 1 << 20, &err), &err);
        EXPECT(hash_text(hash, HASH_SHA512, file.data, file.len));
        if (i == 1) hash[5] = hash[5] == '0' ? '1' : '0'; /* another one */
        for (char *c = hash; i == 2 && *c; c++) *c = (char)toupper((unsigned char)*c);
        buf_printf(&lines, "%s%s%s", i == 2 ? " \t" : "", hash, i == 2 ? "" : "  some.jpg\n");
        add_url(&trial, names[i]);
        buf_byte(&trial.list, '\n');
    }
    put_hashes(&trial, path, sizeof path, buf_str(&lines));
    run(&trial);
    for (uint32_t i = 0; i < 3; i++) {
        json_t *line = row(&trial, i);
        EXPECT_TEXT(field(line, "status"), i == 1 ? "success" : "blocked");
        EXPECT_TEXT(field(line, "class"), i == 1 ? "success" : "failed_to_download");
        EXPECT_TEXT(field(line, "format"), i == 0 ? "jpeg" : i == 1 ? "png" : "webp");
        EXPECT_EQ(strlen(field(line, "sha512")), 128);
        json_decref(line);
    }
    struct buf manifest;
    buf_init(&manifest, 0);
    read_output(&trial, "manifest.json", &manifest);
    hash_sha256_text(hash, buf_str(&lines), lines.len);
    EXPECT(strstr(buf_str(&manifest), hash) != NULL);
    buf_deinit(&manifest);
    /* A task uses the hashes that the plan has seen; a plan refuses others over the same output. */
    put_hashes(&trial, path, sizeof path, "# none\n");
    EXPECT_OK(harness_run(&trial.harness, JOB_WORK, trial.harness.host.tasks), &trial.harness.err);
    EXPECT_EQ(harness_run(&trial.harness, JOB_PLAN, NULL), ERR_INVALID);
    EXPECT(strstr(trial.harness.err.msg, "--blocked-hashes") != NULL);
    buf_deinit(&lines);
    buf_deinit(&file);
    trial_deinit(&trial);
}

TEST(sample, is_not_judged_by_hashes_that_cannot_be_read)
{
    UNUSED_STATE;
    static const char *const wrong[] = {"abc\n", "\n \n0123456789abcdef0123456789abcdeg\n",
                                        "900150983cd24fb0d6963f7d28e17f72 ok\nx"};
    static const char *const lines[] = {"line 1 ", "line 3 ", "line 2 "};
    struct trial trial;
    char path[600];
    trial_init(&trial, "list.csv");
    trial.spec.compute_hash = VLMQ__JOBS__DOWNLOAD_HASH__DOWNLOAD_HASH_MD5;
    for (int i = 0; i < 5; i++) {
        put_hashes(&trial, path, sizeof path, wrong[i < 3 ? i : 0]);
        if (i == 3) EXPECT_EQ(unlink(path), 0);
        if (i == 4) trial.spec.compute_hash = VLMQ__JOBS__DOWNLOAD_HASH__DOWNLOAD_HASH_NONE;
        const size_t bytes = vlmq__jobs__download__pack(&trial.spec, trial.packed);
        trial.harness.spec = (struct job_bytes){trial.packed, bytes};
        EXPECT_EQ(harness_run(&trial.harness, JOB_PLAN, NULL),
                  i == 3 ? ERR_NOT_FOUND : ERR_INVALID);
        const char *want = i < 3 ? lines[i] : i == 3 ? "hashes" : "--blocked-hashes needs a hash";
        if (!strstr(trial.harness.err.msg, want)) fail_msg("%s", trial.harness.err.msg);
        EXPECT(!fs_exists(trial.output));
    }
    trial_deinit(&trial);
}

/* The sum of differences between neighbours: less where it is blurred. */
static int64_t detail(const struct trial *trial, const char *key)
{
    struct buf bytes;
    struct image image = {0};
    struct decode_info info;
    const struct decode_options options = decode_options_default();
    char name[64];
    int64_t sum = 0;
    (void)snprintf(name, sizeof name, "%s.jpg", key);
    buf_init(&bytes, 0);
    member(trial, name, &bytes);
    EXPECT_EQ(decode(&image, &info, (const uint8_t *)bytes.data, bytes.len, &options), DECODE_OK);
    for (uint32_t y = 0; y < image.height; y++)
        for (uint32_t x = 3; x < image.width * 3; x++)
            sum += abs(image_row(&image, y)[x] - image_row(&image, y)[x - 3]);
    image_deinit(&image);
    buf_deinit(&bytes);
    return sum;
}

static void check_boxes(struct trial *trial)
{
    static const char *const ends[] = {"success",   "success",   "success",
                                       "bad_boxes", "bad_boxes", "bad_boxes"};
    trial->spec.bbox_column = text("faces");
    run(trial);
    for (uint32_t i = 0; i < 6; i++) {
        json_t *line = row(trial, i);
        EXPECT_TEXT(field(line, "status"), ends[i]);
        EXPECT_TEXT(field(line, "class"), i < 3 ? "success" : "failed_to_resize");
        EXPECT(json_object_get(line, "faces") == NULL);
        json_decref(line);
    }
    const int64_t plain = detail(trial, "000000000");
    EXPECT_EQ(detail(trial, "000000001"), plain);
    EXPECT(detail(trial, "000000002") < plain / 2);
    struct buf manifest;
    buf_init(&manifest, 0);
    read_output(trial, "manifest.json", &manifest);
    EXPECT(strstr(buf_str(&manifest), "\"blurred\":1") != NULL);
    buf_deinit(&manifest);
}

TEST(sample, is_blurred_where_the_list_says)
{
    UNUSED_STATE;
    static const char *const boxes[] = {
        "",    "[]", "[[0.0, 0, 1, 1.01], [0.1, 0.1, 0.2, 0.2]]", "[[0,0,1]]", "[[5,5,40,20]]",
        "none"};
    struct trial trial;
    trial_init(&trial, "list.csv");
    buf_text(&trial.list, "faces,url\n");
    for (int i = 0; i < 6; i++) {
        buf_printf(&trial.list, "\"%s\",", boxes[i]);
        add_url(&trial, "444.jpg\n");
    }
    check_boxes(&trial);
    trial_deinit(&trial);
    trial_init(&trial, "list.jsonl");
    static const char *const values[] = {"null",        "[]",  "[[0.0, 0, 1, 1.01]]",
                                         "[[0,0,1,0]]", "1.5", "\"[[0,0\""};
    for (int i = 0; i < 6; i++) {
        buf_printf(&trial.list, "{\"faces\":%s,\"url\":\"", values[i]);
        add_url(&trial, "444.jpg\"}\n");
    }
    check_boxes(&trial);
    trial_deinit(&trial);
}

TEST(sample, is_never_kept_as_it_came_when_something_is_to_be_hidden)
{
    UNUSED_STATE;
    struct trial trial;
    struct download_options options;
    struct arena arena;
    struct err err;
    trial_init(&trial, "list.csv");
    trial.spec.quality = 0;
    trial.spec.skip_reencode = true;
    trial.spec.bbox_column = text("faces");
    buf_text(&trial.list, "faces,url\n");
    static const char *const boxes[] = {"[]", "[[0,0,1,1]]"};
    for (int i = 0; i < 2; i++) {
        buf_printf(&trial.list, "\"%s\",", boxes[i]);
        add_url(&trial, "444.jpg\n");
    }
    run(&trial);
    EXPECT(detail(&trial, "000000001") < detail(&trial, "000000000") / 2);
    trial.spec.skip_reencode = false;
    trial.spec.resize_mode = 0;
    trial.spec.no_reencode = true;
    arena_init(&arena, 1 << 20);
    const size_t bytes = vlmq__jobs__download__pack(&trial.spec, trial.packed);
    EXPECT_EQ(download_options_init(&options, &arena, trial.packed, bytes, &err), ERR_INVALID);
    EXPECT(strstr(err.msg, "--bbox-column") != NULL);
    arena_deinit(&arena);
    trial_deinit(&trial);
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
    struct trial trial;
    struct buf index, want;
    struct tar_member found;
    struct tar_reader reader;
    struct err err;
    bool more = true;
    buf_init(&index, 0);
    buf_init(&want, 0);
    trial_init(&trial, "list.csv");
    trial.spec.caption_column = text("c");
    buf_text(&trial.list, "c,url\n");
    static const char *const names[] = {"420.jpg", "rgb.png", "nothing", "gray.gif"};
    for (int i = 0; i < 4; i++) {
        buf_printf(&trial.list, "caption %d,", i);
        add_url(&trial, names[i]);
        buf_byte(&trial.list, '\n');
    }
    run(&trial);
    read_output(&trial, "00000.idx", &index);
    struct tar_bytes from = {.tar = &trial.tar};
    tar_reader_init(&reader, read_bytes, &from);
    buf_text(&want, "v1.2 3\n");
    for (int i = 0; i < 9; i++) {
        EXPECT_OK(tar_reader_next(&reader, &found, &more, &err), &err);
        EXPECT(more);
        buf_printf(&want, "%s %lld %lld %s%c", strchr(found.name, '.') + 1, (long long)found.offset,
                   (long long)found.bytes, found.name, i % 3 == 2 ? '\n' : ' ');
    }
    EXPECT_TEXT(buf_str(&index), buf_str(&want));
    struct buf manifest;
    buf_init(&manifest, 0);
    read_output(&trial, "manifest.json", &manifest);
    EXPECT(strstr(buf_str(&manifest), "\"00000.idx\"") != NULL);
    buf_deinit(&manifest);
    buf_deinit(&index);
    buf_deinit(&want);
    trial_deinit(&trial);
}

/* The claim of an output by a spec. */
static void claim(struct trial *trial, struct buf *out)
{
    struct download_options options;
    struct arena arena;
    struct err err;
    arena_init(&arena, 1 << 20);
    const size_t bytes = vlmq__jobs__download__pack(&trial->spec, trial->packed);
    EXPECT_OK(download_options_init(&options, &arena, trial->packed, bytes, &err), &err);
    buf_clear(out);
    download_options_json(&options, out);
    arena_deinit(&arena);
}

TEST(sample, has_options_that_are_part_of_the_claim)
{
    UNUSED_STATE;
    struct trial trial;
    struct buf plain, other;
    buf_init(&plain, 0);
    buf_init(&other, 0);
    trial_init(&trial, "list.csv");
    claim(&trial, &plain);
    const Vlmq__Jobs__Download good = trial.spec;
#define CLAIMS(change)                                         \
    do {                                                       \
        change;                                                \
        claim(&trial, &other);                                 \
        json_t *object = json_loads(other.data, 0, NULL);      \
        EXPECT(json_is_object(object));                        \
        json_decref(object);                                   \
        EXPECT(strcmp(buf_str(&plain), buf_str(&other)) != 0); \
        trial.spec = good;                                     \
    } while (0)
    CLAIMS(trial.spec.background = text("black"));
    CLAIMS(trial.spec.background = text("drop"));
    CLAIMS(trial.spec.ignore_orientation = true);
    CLAIMS(trial.spec.no_exif = true);
    CLAIMS(trial.spec.phash = true);
    CLAIMS(trial.spec.bbox_column = text("faces"));
    CLAIMS(trial.spec.compute_hash = 1);
    CLAIMS(trial.spec.compute_hash = 3);
    CLAIMS(trial.spec.verify_hash_column = text("sum"));
    CLAIMS(trial.spec.output_format = 1);
#undef CLAIMS
    trial.spec.background = text("#FFFFFF"); /* as it is by default */
    claim(&trial, &other);
    EXPECT_TEXT(buf_str(&plain), buf_str(&other));
    buf_deinit(&plain);
    buf_deinit(&other);
    trial_deinit(&trial);
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
    return cmocka_run_group_tests(tests, start, stop);
}
