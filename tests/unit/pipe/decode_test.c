/* decode_test.c - pixels equal Pillow's (tests/golden/decode.txt), and every way in which a file
 * can be refused has its status. */
#include "worker/pipe/decode.h"

#include "common/base/fs.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "tests/support/test.h"

#include <stdio.h>
#include <string.h>

/* A golden file, whole; buf_deinit it. */
static void load(struct buf *file, const char *name)
{
    char path[512];
    struct err err;
    (void)snprintf(path, sizeof path, "%s/golden/images/%s", TESTS_DIR, name);
    buf_init(file, 0);
    EXPECT_OK(fs_read(file, path, 1 << 20, &err), &err);
}

static enum decode_status try_with(struct decode_info *info, const void *data, size_t bytes,
                                   const struct decode_options *options)
{
    struct image image = {0};
    /* A copy of exactly this size, so that a byte read too many is noticed. */
    uint8_t *exact = mem_new(bytes);
    if (bytes) memcpy(exact, data, bytes);
    const enum decode_status status = decode(&image, info, exact, bytes, options);
    EXPECT_EQ(image.pixels != NULL, status == DECODE_OK);
    image_deinit(&image);
    mem_free(exact);
    return status;
}

static enum decode_status try(struct decode_info *info, const void *data, size_t bytes)
{
    const struct decode_options options = decode_options_default();
    return try_with(info, data, bytes, &options);
}

static void expect_status(const void *data, size_t bytes, enum decode_status want)
{
    struct decode_info info;
    const enum decode_status got = try(&info, data, bytes);
    if (got != want)
        print_message("%s, not %s: %s\n", decode_status_name(got), decode_status_name(want),
                      info.message);
    EXPECT_EQ(got, want);
    EXPECT(got == DECODE_OK || info.message[0]);
}

static void check_golden(const char *name, const char *alpha, uint32_t width, uint32_t height,
                         const char *want)
{
    struct buf file;
    struct image image = {0};
    struct decode_info info;
    struct decode_options options = decode_options_default();
    options.alpha = strcmp(alpha, "drop") == 0 ? DECODE_ALPHA_DROP : DECODE_ALPHA_BLEND;
    load(&file, name);
    const enum decode_status status =
        decode(&image, &info, (const uint8_t *)file.data, file.len, &options);
    if (status) print_message("%s: %s %s\n", name, decode_status_name(status), info.message);
    EXPECT_EQ(status, DECODE_OK);
    char got[HASH_SHA256_TEXT];
    hash_sha256_text(got, image.pixels, (size_t)width * height * 3);
    if (strcmp(got, want) != 0) print_message("differs: %s %s\n", name, alpha);
    EXPECT_EQ(image.width, width);
    EXPECT_EQ(image.height, height);
    EXPECT_EQ(image.channels, 3);
    EXPECT_EQ(image.stride, width * 3);
    EXPECT_EQ(info.warnings, 0);
    EXPECT_TEXT(got, want);
    image_deinit(&image);
    buf_deinit(&file);
}

TEST(decode, equals_pillow_in_every_golden_file)
{
    UNUSED_STATE;
    FILE *list = fopen(TESTS_DIR "/golden/decode.txt", "re");
    EXPECT(list != NULL);
    char line[256];
    int files = 0;
    while (fgets(line, sizeof line, list)) {
        char name[64], alpha[8], want[HASH_SHA256_TEXT];
        uint32_t width, height;
        if (line[0] == '#') continue;
        EXPECT_EQ(sscanf(line, "%63s %7s %u %u %64s", name, alpha, &width, &height, want), 5);
        check_golden(name, alpha, width, height, want);
        files++;
    }
    (void)fclose(list);
    EXPECT(files >= 50);
}

#ifdef VLMQ_AVIF
/* By how much a sample of a lossy AVIF may differ: see make_avif.py. */
#define AVIF_SLACK      5
#define AVIF_WANT_BYTES 1024

static void expect_row(const uint8_t *row, const char *hex, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        uint8_t want;
        char digits[3] = {hex[2 * i], hex[2 * i + 1], 0};
        EXPECT(str_unhex(&want, 1, digits));
        EXPECT(row[i] <= want + AVIF_SLACK && want <= row[i] + AVIF_SLACK);
    }
}

static void check_avif(const char *name, uint32_t width, uint32_t height, const char *want)
{
    struct buf file;
    struct image image = {0};
    struct decode_info info;
    const struct decode_options options = decode_options_default();
    load(&file, name);
    const enum decode_status status =
        decode(&image, &info, (const uint8_t *)file.data, file.len, &options);
    if (status) print_message("%s: %s %s\n", name, decode_status_name(status), info.message);
    EXPECT_EQ(status, DECODE_OK);
    EXPECT_EQ(info.format, DECODE_FORMAT_AVIF);
    EXPECT_EQ(image.width, width);
    EXPECT_EQ(image.height, height);
    const size_t row_bytes = (size_t)width * 3;
    char got[HASH_SHA256_TEXT];
    hash_sha256_text(got, image.pixels, row_bytes * height);
    if (strlen(want) == HASH_SHA256_TEXT - 1) {
        if (strcmp(got, want) != 0) print_message("differs: %s\n", name);
        EXPECT_TEXT(got, want);
    } else {
        EXPECT_EQ(strlen(want), row_bytes * 4);
        expect_row(image_row(&image, 0), want, row_bytes);
        expect_row(image_row(&image, height - 1), want + row_bytes * 2, row_bytes);
    }
    image_deinit(&image);
    buf_deinit(&file);
}

TEST(decode, equals_pillow_in_every_avif)
{
    UNUSED_STATE;
    FILE *list = fopen(TESTS_DIR "/golden/decode_avif.txt", "re");
    EXPECT(list != NULL);
    char line[AVIF_WANT_BYTES + 128];
    int files = 0;
    while (fgets(line, sizeof line, list)) {
        char name[64], want[AVIF_WANT_BYTES + 1];
        uint32_t width, height;
        if (line[0] == '#') continue;
        EXPECT_EQ(sscanf(line, "%63s %u %u %1024s", name, &width, &height, want), 4);
        check_avif(name, width, height, want);
        files++;
    }
    (void)fclose(list);
    EXPECT(files >= 10);
}

TEST(decode, bounds_an_avif)
{
    UNUSED_STATE;
    struct buf file;
    struct decode_info info;
    struct decode_options options = decode_options_default();
    load(&file, "420.avif");
    options.pixels_max = 45 * 31;
    EXPECT_EQ(try_with(&info, file.data, file.len, &options), DECODE_OK);
    options.pixels_max--;
    EXPECT_EQ(try_with(&info, file.data, file.len, &options), DECODE_TOO_MANY_PIXELS);
    options = decode_options_default();
    options.memory_bytes_max = 45 * 31 * 3;
    EXPECT_EQ(try_with(&info, file.data, file.len, &options), DECODE_NO_MEMORY);
    /* A header that lies: larger than libavif takes, and nothing at all. */
    uint8_t *ispe = (uint8_t *)file.data;
    while (memcmp(ispe, "ispe", 4) != 0) ispe++;
    ispe[8] = ispe[12] = 0x10;
    expect_status(file.data, file.len, DECODE_TOO_MANY_PIXELS);
    ispe[8] = ispe[12] = ispe[11] = 0;
    expect_status(file.data, file.len, DECODE_CORRUPT);
    for (size_t bytes = 0; bytes < file.len; bytes += 7)
        EXPECT(try(&info, file.data, bytes) != DECODE_OK);
    buf_deinit(&file);
    load(&file, "420.avif");
    for (size_t bytes = 12; bytes < file.len; bytes++)
        EXPECT_EQ(try(&info, file.data, bytes), DECODE_TRUNCATED);
    buf_deinit(&file);
}
#endif

/* Where the first frame's descriptor stands. */
static uint8_t *gif_frame(struct buf *file)
{
    uint8_t *frame = memchr(file->data + 13 + 48, ',', file->len - 13 - 48);
    EXPECT(frame != NULL);
    return frame;
}

TEST(decode, bounds_a_gif_by_its_screen_and_its_frame)
{
    UNUSED_STATE;
    struct buf file;
    load(&file, "palette.gif");
    uint8_t *data = (uint8_t *)file.data, *frame = gif_frame(&file);
    const uint8_t kept = frame[7];
    data[6] = data[7] = data[8] = data[9] = 0xFF; /* the screen */
    (void)mem_fail(0, 1);
    expect_status(file.data, file.len, DECODE_TOO_MANY_PIXELS);
    EXPECT_EQ(mem_fail(-1, 0), 0);
    data[6] = data[7] = data[8] = data[9] = 0; /* the frame counts */
    expect_status(file.data, file.len, DECODE_OK);
    frame[5] = frame[6] = frame[7] = frame[8] = 0xFF;
    expect_status(file.data, file.len, DECODE_TOO_MANY_PIXELS);
    frame[5] = 45;
    frame[6] = 0;
    frame[7] = (uint8_t)(kept + 1); /* a row more than there is */
    frame[8] = 0;
    expect_status(file.data, file.len, DECODE_CORRUPT);
    frame[7] = 0;
    expect_status(file.data, file.len, DECODE_ZERO_SIZE);
    frame[0] = ';'; /* the end, before any frame */
    expect_status(file.data, file.len, DECODE_CORRUPT);
    buf_deinit(&file);
}

TEST(decode, tells_size_before_orientation_and_alpha)
{
    UNUSED_STATE;
    struct buf file;
    struct decode_info info;
    load(&file, "exif_6.jpg");
    EXPECT_EQ(try(&info, file.data, file.len), DECODE_OK);
    EXPECT_EQ(info.format, DECODE_FORMAT_JPEG);
    EXPECT_EQ(info.width, 19);
    EXPECT_EQ(info.height, 12);
    EXPECT_EQ(info.orientation, 6);
    EXPECT(!info.has_alpha);
    buf_deinit(&file);
    load(&file, "lossy_alpha.webp");
    EXPECT_EQ(try(&info, file.data, file.len), DECODE_OK);
    EXPECT_EQ(info.format, DECODE_FORMAT_WEBP);
    EXPECT_EQ(info.orientation, 1);
    EXPECT(info.has_alpha);
    buf_deinit(&file);
}

TEST(decode, leaves_the_orientation_when_asked)
{
    UNUSED_STATE;
    struct buf file;
    struct image image = {0};
    struct decode_info info;
    struct decode_options options = decode_options_default();
    options.ignore_orientation = true;
    load(&file, "exif_6.jpg");
    EXPECT_EQ(decode(&image, &info, (const uint8_t *)file.data, file.len, &options), DECODE_OK);
    EXPECT_EQ(image.width, 19);
    EXPECT_EQ(info.orientation, 6);
    image_deinit(&image);
    buf_deinit(&file);
}

TEST(decode, calls_every_cut_truncated)
{
    UNUSED_STATE;
    static const char *const names[] = {
        "420.jpg",          "progressive.jpg",    "restarts.jpg",        "cmyk.jpg",
        "rgb.png",          "rgb_interlaced.png", "lossless_alpha.webp", "lossy.webp",
        "lossy_alpha.webp", "interlaced.gif"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct buf file;
        load(&file, names[i]);
        /* From half of the file to a few bytes before its end mark. */
        for (size_t bytes = file.len / 2; bytes + 24 < file.len; bytes += file.len / 16) {
            struct decode_info info;
            const enum decode_status got = try(&info, file.data, bytes);
            if (got != DECODE_TRUNCATED)
                print_message("%s cut at %zu: %s (%s)\n", names[i], bytes, decode_status_name(got),
                              info.message);
            EXPECT_EQ(got, DECODE_TRUNCATED);
        }
        buf_deinit(&file);
    }
}

TEST(decode, calls_a_progressive_jpeg_without_its_last_scans_truncated)
{
    UNUSED_STATE;
    struct buf file;
    load(&file, "progressive.jpg");
    int scans = 0;
    for (size_t i = 2; i + 1 < file.len; i++) {
        if ((uint8_t)file.data[i] != 0xFF || (uint8_t)file.data[i + 1] != 0xDA) continue;
        if (scans++) expect_status(file.data, i, DECODE_TRUNCATED); /* whole scans before it */
    }
    EXPECT(scans > 5);
    buf_deinit(&file);
}

TEST(decode, survives_every_cut_of_every_file)
{
    UNUSED_STATE;
    static const char *const names[] = {"exif_7.jpg",       "progressive_gray.jpg",
                                        "gray2.png",        "palette_alpha.png",
                                        "lossy_alpha.webp", "inside_key.gif"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct buf file;
        load(&file, names[i]);
        for (size_t bytes = 0; bytes < file.len; bytes++) {
            struct decode_info info;
            const enum decode_status got = try(&info, file.data, bytes);
            EXPECT(got < DECODE_STATUS_COUNT);
        }
        buf_deinit(&file);
    }
}

TEST(decode, does_not_need_the_end_mark_nor_mind_what_follows_it)
{
    UNUSED_STATE;
    static const char *const names[] = {"420.jpg", "progressive.jpg", "gray.jpg"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct buf file;
        load(&file, names[i]);
        expect_status(file.data, file.len - 2, DECODE_OK);
        buf_text(&file, "<html>trailing rubbish</html>");
        expect_status(file.data, file.len, DECODE_OK);
        buf_deinit(&file);
    }
}

/* Finds the frame header of a JPEG: its marker's second byte. */
static size_t frame_at(const struct buf *file)
{
    const uint8_t *data = (const uint8_t *)file->data;
    size_t at = 2;
    while (data[at + 1] < 0xC0 || data[at + 1] > 0xC2)
        at += 2 + ((size_t)data[at + 2] << 8 | data[at + 3]);
    return at + 1;
}

static void set_jpeg_size(struct buf *file, uint32_t width, uint32_t height)
{
    uint8_t *size = (uint8_t *)file->data + frame_at(file) + 4;
    size[0] = (uint8_t)(height >> 8);
    size[1] = (uint8_t)height;
    size[2] = (uint8_t)(width >> 8);
    size[3] = (uint8_t)width;
}

TEST(decode, checks_a_jpeg_header_before_anything_is_allocated)
{
    UNUSED_STATE;
    struct buf file;
    load(&file, "420.jpg");
    set_jpeg_size(&file, 0, 31);
    expect_status(file.data, file.len, DECODE_ZERO_SIZE);
    set_jpeg_size(&file, 65000, 65000);
    (void)mem_fail(0, 1);
    expect_status(file.data, file.len, DECODE_TOO_MANY_PIXELS);
    EXPECT_EQ(mem_fail(-1, 0), 0);
    set_jpeg_size(&file, 65535, 1);
    expect_status(file.data, file.len, DECODE_TOO_LARGE_SIDE);
    buf_deinit(&file);
}

static void set_png_size(struct buf *file, uint32_t width, uint32_t height)
{
    uint8_t *size = (uint8_t *)file->data + 16;
    for (int i = 0; i < 4; i++) {
        size[i] = (uint8_t)(width >> (24 - 8 * i));
        size[4 + i] = (uint8_t)(height >> (24 - 8 * i));
    }
}

TEST(decode, checks_a_png_header_before_anything_is_allocated)
{
    UNUSED_STATE;
    struct buf file;
    load(&file, "rgb.png");
    set_png_size(&file, 0, 31);
    expect_status(file.data, file.len, DECODE_ZERO_SIZE);
    set_png_size(&file, 45, 0);
    expect_status(file.data, file.len, DECODE_ZERO_SIZE);
    set_png_size(&file, 30000, 30000);
    (void)mem_fail(0, 1);
    expect_status(file.data, file.len, DECODE_TOO_MANY_PIXELS);
    EXPECT_EQ(mem_fail(-1, 0), 0);
    set_png_size(&file, 0xFFFFFFFF, 1);
    expect_status(file.data, file.len, DECODE_TOO_LARGE_SIDE);
    set_png_size(&file, 46, 31); /* its checksum is wrong now */
    expect_status(file.data, file.len, DECODE_CORRUPT);
    buf_deinit(&file);
}

TEST(decode, tells_from_the_header_what_is_not_wanted)
{
    UNUSED_STATE;
    static const char *const names[] = {"420.jpg", "rgb.png", "lossy.webp"}; /* 45 x 31 */
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct buf file;
        struct decode_info info;
        struct decode_options options = decode_options_default();
        load(&file, names[i]);
        options.side_min = 31;
        options.area_max = 45 * 31;
        options.aspect_max = 45.0 / 31;
        EXPECT_EQ(try_with(&info, file.data, file.len, &options), DECODE_OK);
        options.aspect_max = 1.45;
        EXPECT_EQ(try_with(&info, file.data, file.len, &options), DECODE_TOO_LARGE_ASPECT);
        options.area_max--;
        EXPECT_EQ(try_with(&info, file.data, file.len, &options), DECODE_TOO_LARGE_AREA);
        options.side_min++;
        (void)mem_fail(0, 1); /* nothing is allocated before */
        EXPECT_EQ(try_with(&info, file.data, file.len, &options), DECODE_TOO_SMALL);
        EXPECT_EQ(mem_fail(-1, 0), 0);
        EXPECT_EQ(info.width, 45);
        buf_deinit(&file);
    }
}

static uint32_t reduce_by(const void *ctx, uint32_t width, uint32_t height)
{
    EXPECT_EQ(width, 45);
    EXPECT_EQ(height, 31);
    return *(const uint32_t *)ctx;
}

TEST(decode, reduces_a_jpeg_on_the_way_and_nothing_else)
{
    UNUSED_STATE;
    static const char *const names[] = {"420.jpg", "progressive.jpg", "cmyk.jpg", "gray.jpg",
                                        "rgb.png"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        for (uint32_t by = 1; by <= 8; by *= 2) {
            struct buf file;
            struct image image = {0};
            struct decode_info info;
            struct decode_options options = decode_options_default();
            const uint32_t done = i == 4 ? 1 : by;
            options.reduction = reduce_by;
            options.reduction_ctx = &by;
            load(&file, names[i]);
            EXPECT_EQ(decode(&image, &info, (const uint8_t *)file.data, file.len, &options),
                      DECODE_OK);
            EXPECT_EQ(info.reduced, done);
            EXPECT_EQ(info.width, 45); /* as the file says */
            EXPECT_EQ(image.width, (45 + done - 1) / done);
            EXPECT_EQ(image.height, (31 + done - 1) / done);
            image_deinit(&image);
            buf_deinit(&file);
        }
}

TEST(decode, keeps_to_the_limits_it_is_given)
{
    UNUSED_STATE;
    static const char *const names[] = {"420.jpg", "rgb.png", "lossy.webp", "palette.gif"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct buf file;
        struct decode_info info;
        struct decode_options options = decode_options_default();
        load(&file, names[i]);
        options.pixels_max = 45 * 31;
        options.side_max = 45;
        EXPECT_EQ(try_with(&info, file.data, file.len, &options), DECODE_OK);
        options.pixels_max--;
        EXPECT_EQ(try_with(&info, file.data, file.len, &options), DECODE_TOO_MANY_PIXELS);
        options.side_max--;
        EXPECT_EQ(try_with(&info, file.data, file.len, &options), DECODE_TOO_LARGE_SIDE);
        EXPECT_EQ(info.width, 45);
        options = decode_options_default();
        options.memory_bytes_max = 45 * 31 * 3 - 1;
        EXPECT_EQ(try_with(&info, file.data, file.len, &options), DECODE_NO_MEMORY);
        buf_deinit(&file);
    }
}

TEST(decode, bounds_the_tables_of_a_progressive_jpeg)
{
    UNUSED_STATE;
    struct buf file;
    struct decode_info info;
    struct decode_options options = decode_options_default();
    load(&file, "progressive.jpg");
    set_jpeg_size(&file, 8000, 8000);
    options.memory_bytes_max = (size_t)8000 * 8000 * 3 + 1000000;
    EXPECT_EQ(try_with(&info, file.data, file.len, &options), DECODE_NO_MEMORY);
    buf_deinit(&file);
}

TEST(decode, stops_a_jpeg_with_too_many_scans)
{
    UNUSED_STATE;
    struct buf file;
    struct decode_info info;
    struct decode_options options = decode_options_default();
    load(&file, "progressive.jpg");
    options.scans_max = 10; /* as many as it has */
    EXPECT_EQ(try_with(&info, file.data, file.len, &options), DECODE_OK);
    options.scans_max = 9;
    EXPECT_EQ(try_with(&info, file.data, file.len, &options), DECODE_TOO_MANY_SCANS);
    buf_deinit(&file);
    /* A refinement that changes nothing, a thousand times over. */
    static const uint8_t scan[] = {0xFF, 0xDA, 0, 8, 1, 1, 0, 1, 5, 0, 0x3F, 0x80};
    load(&file, "progressive_gray.jpg");
    file.len -= 2;
    for (int i = 0; i < 1000; i++) buf_add(&file, scan, sizeof scan);
    buf_add(&file, "\xFF\xD9", 2);
    expect_status(file.data, file.len, DECODE_TOO_MANY_SCANS);
    buf_deinit(&file);
}

TEST(decode, counts_damage_that_it_passes_over)
{
    UNUSED_STATE;
    struct buf file;
    struct decode_info info;
    load(&file, "restarts.jpg");
    uint8_t *data = (uint8_t *)file.data;
    for (size_t i = file.len / 2; i < file.len - 2; i++)
        if (data[i] == 0xFF && data[i + 1] >= 0xD0 && data[i + 1] <= 0xD7) {
            data[i + 1] = (uint8_t)(data[i + 1] ^ 1);
            break;
        }
    EXPECT_EQ(try(&info, file.data, file.len), DECODE_OK);
    EXPECT(info.warnings > 0);
    buf_deinit(&file);
}

TEST(decode, refuses_kinds_of_jpeg_and_png_that_it_does_not_know)
{
    UNUSED_STATE;
    struct buf file;
    load(&file, "420.jpg");
    const size_t frame = frame_at(&file);
    file.data[frame + 3] = 12; /* bits of a sample */
    expect_status(file.data, file.len, DECODE_UNSUPPORTED_FORMAT);
    file.data[frame + 3] = 8;
    file.data[frame] = (char)0xC3; /* lossless */
    expect_status(file.data, file.len, DECODE_UNSUPPORTED_FORMAT);
    buf_deinit(&file);
    load(&file, "rgb.png");
    memcpy(file.data + 12, "CgBI", 4);
    expect_status(file.data, file.len, DECODE_UNSUPPORTED_FORMAT);
    memcpy(file.data + 12, "IDAT", 4);
    expect_status(file.data, file.len, DECODE_CORRUPT);
    buf_deinit(&file);
}

TEST(decode, refuses_an_animated_webp)
{
    UNUSED_STATE;
    static const uint8_t file[] = "RIFF\x26\0\0\0WEBPVP8X\x0A\0\0\0\x02\0\0\0\x0F\0\0\x0F\0\0"
                                  "ANIM\x06\0\0\0\xFF\xFF\xFF\xFF\0\0";
    struct decode_info info;
    EXPECT_EQ(try(&info, file, sizeof file - 1), DECODE_UNSUPPORTED_FORMAT);
    EXPECT_TEXT(info.message, "animated WebP");
}

#ifdef VLMQ_AVIF
#define AVIF_HEAD DECODE_TRUNCATED /* nothing behind its first box */
#else
#define AVIF_HEAD DECODE_UNSUPPORTED_FORMAT
#endif

TEST(decode, knows_formats_by_their_first_bytes)
{
    UNUSED_STATE;
#define FILE_BYTES(text) (const uint8_t *)(text), sizeof(text) - 1
    static const struct {
        const uint8_t *data;
        size_t bytes;
        enum decode_format format;
        enum decode_status status;
    } cases[] = {
        {FILE_BYTES("GIF89a\1\0\1\0"), DECODE_FORMAT_GIF, DECODE_TRUNCATED},
        {FILE_BYTES("\0\0\0\x1C"
                    "ftypavif\0\0\0\0avifmif1miaf"),
         DECODE_FORMAT_AVIF, AVIF_HEAD},
        {FILE_BYTES("\0\0\0\x1C"
                    "ftypmif1\0\0\0\0mif1avifmiaf"),
         DECODE_FORMAT_AVIF, AVIF_HEAD},
        {FILE_BYTES("\0\0\0\x18"
                    "ftypheic\0\0\0\0mif1heic"),
         DECODE_FORMAT_HEIC, DECODE_UNSUPPORTED_FORMAT},
        {FILE_BYTES("\0\0\0\x18"
                    "ftypmif1\0\0\0\0mif1miaf"),
         DECODE_FORMAT_HEIC, DECODE_UNSUPPORTED_FORMAT},
        {FILE_BYTES("\0\0\0\x18"
                    "ftypisom\0\0\0\0isommp42"),
         DECODE_FORMAT_UNKNOWN, DECODE_UNKNOWN_FORMAT},
        {FILE_BYTES("\xFF\x0A\0\0"), DECODE_FORMAT_JXL, DECODE_UNSUPPORTED_FORMAT},
        {FILE_BYTES("BM\x36\0\0\0\0\0\0\0\x36\0"), DECODE_FORMAT_BMP, DECODE_UNSUPPORTED_FORMAT},
        {FILE_BYTES("BMW is a make of cars"), DECODE_FORMAT_UNKNOWN, DECODE_UNKNOWN_FORMAT},
        {FILE_BYTES("II*\0\x08\0\0\0"), DECODE_FORMAT_TIFF, DECODE_UNSUPPORTED_FORMAT},
        {FILE_BYTES("MM\0*\0\0\0\x08"), DECODE_FORMAT_TIFF, DECODE_UNSUPPORTED_FORMAT},
        {FILE_BYTES("\0\0\1\0\1\0\x10\x10"), DECODE_FORMAT_ICO, DECODE_UNSUPPORTED_FORMAT},
        {FILE_BYTES("<svg xmlns='x'/>"), DECODE_FORMAT_SVG, DECODE_UNSUPPORTED_FORMAT},
        {FILE_BYTES("\xEF\xBB\xBF\n<?xml version='1.0'?> <!-- a --> <SVG/>"), DECODE_FORMAT_SVG,
         DECODE_UNSUPPORTED_FORMAT},
        {FILE_BYTES("<!DOCTYPE html><html>"), DECODE_FORMAT_HTML, DECODE_UNKNOWN_FORMAT},
        {FILE_BYTES(" <html>"), DECODE_FORMAT_HTML, DECODE_UNKNOWN_FORMAT},
        {FILE_BYTES("<?xml version='1.0'"), DECODE_FORMAT_UNKNOWN, DECODE_UNKNOWN_FORMAT},
        {FILE_BYTES("{\"error\":404}"), DECODE_FORMAT_UNKNOWN, DECODE_UNKNOWN_FORMAT},
        {FILE_BYTES("RIFF\0\0\0\0WAVE"), DECODE_FORMAT_UNKNOWN, DECODE_UNKNOWN_FORMAT},
        {FILE_BYTES(" \xFF\xD8\xFF leading"), DECODE_FORMAT_UNKNOWN, DECODE_UNKNOWN_FORMAT},
        {FILE_BYTES(""), DECODE_FORMAT_UNKNOWN, DECODE_UNKNOWN_FORMAT},
        {FILE_BYTES("\xFF\xD8\xFF"), DECODE_FORMAT_JPEG, DECODE_TRUNCATED},
        {FILE_BYTES("\x89PNG\r\n\x1A\n"), DECODE_FORMAT_PNG, DECODE_TRUNCATED},
        {FILE_BYTES("RIFF\x10\0\0\0WEBP"), DECODE_FORMAT_WEBP, DECODE_TRUNCATED},
    };
#undef FILE_BYTES
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct decode_info info;
        if (decode_sniff(cases[i].data, cases[i].bytes) != cases[i].format)
            print_message("case %zu is %s\n", i,
                          decode_format_name(decode_sniff(cases[i].data, cases[i].bytes)));
        EXPECT_EQ(decode_sniff(cases[i].data, cases[i].bytes), cases[i].format);
        expect_status(cases[i].data, cases[i].bytes, cases[i].status);
        (void)try(&info, cases[i].data, cases[i].bytes);
        EXPECT_EQ(info.format, cases[i].format);
    }
    EXPECT_EQ(decode_sniff(NULL, 0), DECODE_FORMAT_UNKNOWN);
}

TEST(decode, survives_every_failed_allocation)
{
    UNUSED_STATE;
    static const char *const names[] = {"exif_6.jpg", "cmyk.jpg", "rgba.png", "lossy_alpha.webp",
                                        "key.gif"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct buf file;
        load(&file, names[i]);
        int64_t after = 0;
        for (;; after++) {
            struct decode_info info;
            (void)mem_fail(after, 1);
            const enum decode_status status = try(&info, file.data, file.len);
            const int64_t calls = mem_fail(-1, 0);
            if (calls <= after) {
                EXPECT_EQ(status, DECODE_OK);
                break;
            }
            EXPECT_EQ(status, DECODE_NO_MEMORY);
        }
        EXPECT(after > 0);
        buf_deinit(&file);
    }
}

TEST(decode, has_a_name_for_everything)
{
    UNUSED_STATE;
    for (int i = 0; i < DECODE_STATUS_COUNT; i++)
        EXPECT(strcmp(decode_status_name((enum decode_status)i), "unknown") != 0);
    for (int i = 1; i < DECODE_FORMAT_COUNT; i++)
        EXPECT(strcmp(decode_format_name((enum decode_format)i), "unknown") != 0);
    EXPECT_TEXT(decode_format_name(DECODE_FORMAT_HTML), "html");
    EXPECT_TEXT(decode_format_name(DECODE_FORMAT_COUNT), "unknown");
    EXPECT_TEXT(decode_status_name(DECODE_STATUS_COUNT), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(decode, equals_pillow_in_every_golden_file),
#ifdef VLMQ_AVIF
        RUN(decode, equals_pillow_in_every_avif),
        RUN(decode, bounds_an_avif),
#endif
        RUN(decode, bounds_a_gif_by_its_screen_and_its_frame),
        RUN(decode, tells_size_before_orientation_and_alpha),
        RUN(decode, leaves_the_orientation_when_asked),
        RUN(decode, calls_every_cut_truncated),
        RUN(decode, calls_a_progressive_jpeg_without_its_last_scans_truncated),
        RUN(decode, survives_every_cut_of_every_file),
        RUN(decode, does_not_need_the_end_mark_nor_mind_what_follows_it),
        RUN(decode, checks_a_jpeg_header_before_anything_is_allocated),
        RUN(decode, checks_a_png_header_before_anything_is_allocated),
        RUN(decode, tells_from_the_header_what_is_not_wanted),
        RUN(decode, reduces_a_jpeg_on_the_way_and_nothing_else),
        RUN(decode, keeps_to_the_limits_it_is_given),
        RUN(decode, bounds_the_tables_of_a_progressive_jpeg),
        RUN(decode, stops_a_jpeg_with_too_many_scans),
        RUN(decode, counts_damage_that_it_passes_over),
        RUN(decode, refuses_kinds_of_jpeg_and_png_that_it_does_not_know),
        RUN(decode, refuses_an_animated_webp),
        RUN(decode, knows_formats_by_their_first_bytes),
        RUN(decode, survives_every_failed_allocation),
        RUN(decode, has_a_name_for_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
