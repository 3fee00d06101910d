/* exif_test.c - the tags of a file, where they belong and where they lie. */
#include "worker/pipe/exif.h"

#include "common/base/buf.h"
#include "common/base/fs.h"
#include "common/base/mem.h"
#include "tests/support/test.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static void number(struct buf *out, uint32_t value, int bytes, bool little)
{
    for (int i = 0; i < bytes; i++)
        buf_byte(out, (char)(value >> 8 * (little ? i : bytes - 1 - i)));
}

struct tag {
    uint32_t tag, type, count, value;
};

/* A TIFF block with one directory at an offset. */
static void tiff(struct buf *out, bool little, uint32_t offset, const struct tag *tag,
                 uint32_t tags)
{
    buf_text(out, little ? "II" : "MM");
    number(out, 42, 2, little);
    number(out, offset, 4, little);
    for (uint32_t i = 8; i < offset && i < 64; i++) buf_byte(out, 'x');
    number(out, tags, 2, little);
    for (uint32_t i = 0; i < tags; i++) {
        number(out, tag[i].tag, 2, little);
        number(out, tag[i].type, 2, little);
        number(out, tag[i].count, 4, little);
        number(out, tag[i].value, 2, little);
        number(out, 0, 2, little);
    }
    number(out, 8, 4, little); /* the next directory: this one again */
}

/* A JPEG with a comment, fill bytes and an APP1 around the block. */
static void jpeg(struct buf *out, const struct buf *block)
{
    buf_add(out, "\xFF\xD8\xFF\xFE\0\4hi\xFF\xFF\xFF\xE1", 12);
    number(out, (uint32_t)(2 + 6 + block->len), 2, false);
    buf_add(out, "Exif\0\0", 6);
    buf_add(out, block->data, block->len);
    buf_add(out, "\xFF\xDA", 2);
}

/* In a copy of exactly this size, so that a byte read too many is noticed. */
static uint32_t ask(const void *data, size_t bytes, enum decode_format format)
{
    uint8_t *exact = mem_new(bytes);
    if (bytes) memcpy(exact, data, bytes);
    const uint32_t orientation = exif_orientation(exact, bytes, format);
    struct buf json;
    buf_init(&json, 0);
    exif_json(&json, exact, bytes, format); /* it reads nothing outside, either */
    EXPECT(json.len >= 2 && json.len <= EXIF_JSON_BYTES_MAX);
    buf_deinit(&json);
    mem_free(exact);
    return orientation;
}

static uint32_t ask_jpeg(bool little, uint32_t offset, const struct tag *tag, uint32_t tags)
{
    struct buf block, file;
    buf_init(&block, 0);
    buf_init(&file, 0);
    tiff(&block, little, offset, tag, tags);
    jpeg(&file, &block);
    const uint32_t orientation = ask(file.data, file.len, DECODE_FORMAT_JPEG);
    buf_deinit(&block);
    buf_deinit(&file);
    return orientation;
}

TEST(exif, reads_both_byte_orders)
{
    UNUSED_STATE;
    for (uint32_t value = 1; value <= 8; value++) {
        const struct tag tags[] = {{0x010F, 2, 4, 0}, {0x0112, 3, 1, value}};
        EXPECT_EQ(ask_jpeg(true, 8, tags, 2), value);
        EXPECT_EQ(ask_jpeg(false, 8, tags, 2), value);
        EXPECT_EQ(ask_jpeg(false, 21, tags, 2), value);
    }
}

TEST(exif, takes_nonsense_for_upright)
{
    UNUSED_STATE;
    EXPECT_EQ(ask_jpeg(true, 8, &(struct tag){0x0112, 3, 1, 0}, 1), 1);
    EXPECT_EQ(ask_jpeg(true, 8, &(struct tag){0x0112, 3, 1, 9}, 1), 1);
    EXPECT_EQ(ask_jpeg(true, 8, &(struct tag){0x0112, 2, 1, 6}, 1), 1); /* text */
    EXPECT_EQ(ask_jpeg(true, 8, &(struct tag){0x0112, 3, 2, 6}, 1), 1); /* two of them */
    EXPECT_EQ(ask_jpeg(true, 8, &(struct tag){0x0113, 3, 1, 6}, 1), 1);
    EXPECT_EQ(ask_jpeg(true, 8, NULL, 0), 1);
    EXPECT_EQ(ask_jpeg(true, 0xFFFFFFFF, &(struct tag){0x0112, 3, 1, 6}, 1), 1);
    EXPECT_EQ(ask_jpeg(true, 70, &(struct tag){0x0112, 3, 1, 6}, 1), 1);
}

TEST(exif, looks_where_png_and_webp_keep_it)
{
    UNUSED_STATE;
    const struct tag tag = {0x0112, 3, 1, 6};
    struct buf block, file;
    buf_init(&block, 0);
    buf_init(&file, 0);
    tiff(&block, false, 8, &tag, 1);
    buf_add(&file, "\x89PNG\r\n\x1A\n\0\0\0\2tEXtab....", 22);
    number(&file, (uint32_t)block.len, 4, false);
    buf_text(&file, "eXIf");
    buf_add(&file, block.data, block.len);
    EXPECT_EQ(ask(file.data, file.len, DECODE_FORMAT_PNG), 6);
    EXPECT_EQ(ask(file.data, file.len - 1, DECODE_FORMAT_PNG), 1); /* longer than the file */
    EXPECT_EQ(ask(file.data, file.len, DECODE_FORMAT_GIF), 1);
    for (int prefix = 0; prefix < 2; prefix++) {
        buf_clear(&file);
        buf_add(&file, "RIFF....WEBPVP8X\1\0\0\0ab", 22); /* an odd chunk and its padding */
        buf_text(&file, "EXIF");
        number(&file, (uint32_t)block.len + (prefix ? 6 : 0), 4, true);
        if (prefix) buf_add(&file, "Exif\0\0", 6);
        buf_add(&file, block.data, block.len);
        EXPECT_EQ(ask(file.data, file.len, DECODE_FORMAT_WEBP), 6);
        EXPECT_EQ(ask(file.data, file.len - 1, DECODE_FORMAT_WEBP), 1);
    }
    buf_deinit(&block);
    buf_deinit(&file);
}

TEST(exif, does_not_believe_lengths)
{
    UNUSED_STATE;
    /* A segment shorter than its own length field, around a block that points far away. */
    static const char lie[] = "\xFF\xD8\xFF\xE1\0\1Exif\0\0II*\0\0\0\1\0";
    EXPECT_EQ(ask(lie, sizeof lie - 1, DECODE_FORMAT_JPEG), 1);
    static const char png[] = "\x89PNG\r\n\x1A\n\xFF\xFF\xFF\xF0tEXtabcd";
    EXPECT_EQ(ask(png, sizeof png - 1, DECODE_FORMAT_PNG), 1);
    static const char webp[] = "RIFF....WEBPVP8X\xFF\xFF\xFF\xFF"
                               "abcd";
    EXPECT_EQ(ask(webp, sizeof webp - 1, DECODE_FORMAT_WEBP), 1);
}

TEST(exif, never_reads_outside_whatever_is_cut_or_changed)
{
    UNUSED_STATE;
    const struct tag tags[] = {{0x010F, 2, 4, 0}, {0x0112, 3, 1, 6}};
    struct buf block, file;
    buf_init(&block, 0);
    buf_init(&file, 0);
    tiff(&block, true, 8, tags, 2);
    jpeg(&file, &block);
    for (size_t bytes = 0; bytes < file.len; bytes++)
        EXPECT(ask(file.data, bytes, DECODE_FORMAT_JPEG) <= 8);
    for (size_t i = 0; i < file.len; i++)
        for (int bit = 0; bit < 8; bit++) {
            file.data[i] = (char)(file.data[i] ^ 1 << bit);
            const uint32_t orientation = ask(file.data, file.len, DECODE_FORMAT_JPEG);
            EXPECT(orientation >= 1 && orientation <= 8);
            file.data[i] = (char)(file.data[i] ^ 1 << bit);
        }
    EXPECT_EQ(ask(file.data, file.len, DECODE_FORMAT_JPEG), 6);
    buf_deinit(&block);
    buf_deinit(&file);
}

static void expect_json(const void *data, size_t bytes, enum decode_format format, const char *want)
{
    struct buf json;
    uint8_t *exact = mem_new(bytes);
    if (bytes) memcpy(exact, data, bytes);
    buf_init(&json, 0);
    exif_json(&json, exact, bytes, format);
    EXPECT_TEXT(buf_str(&json), want);
    buf_deinit(&json);
    mem_free(exact);
}

static void check_golden(const char *name, enum decode_format format)
{
    char path[512];
    struct buf file, json;
    struct err err;
    buf_init(&file, 0);
    buf_init(&json, 0);
    (void)snprintf(path, sizeof path, "%s/golden/exif/%s", TESTS_DIR, name);
    EXPECT_OK(fs_read(&file, path, 1 << 20, &err), &err);
    exif_json(&json, (const uint8_t *)file.data, file.len, format);
    (void)snprintf(path, sizeof path, "%s/golden/exif/%s.json", TESTS_DIR, name);
    json_t *got = json_loadb(json.data, json.len, JSON_REJECT_DUPLICATES, NULL);
    json_t *want = json_load_file(path, 0, NULL);
    EXPECT(want != NULL);
    if (!json_equal(got, want)) fail_msg("%s: %s", name, json.data);
    json_decref(got);
    json_decref(want);
    buf_deinit(&file);
    buf_deinit(&json);
}

TEST(exif, has_the_tags_that_exifread_finds)
{
    UNUSED_STATE;
    check_golden("camera.jpeg", DECODE_FORMAT_JPEG);
    check_golden("camera.png", DECODE_FORMAT_PNG);
    check_golden("camera.webp", DECODE_FORMAT_WEBP);
    check_golden("big_endian.jpeg", DECODE_FORMAT_JPEG);
#ifdef VLMQ_AVIF
    check_golden("camera.avif", DECODE_FORMAT_AVIF);
    check_golden("big_endian.avif", DECODE_FORMAT_AVIF);
#endif
}

#ifdef VLMQ_AVIF
TEST(exif, of_an_avif_is_there_whole_or_not)
{
    UNUSED_STATE;
    struct buf file, whole;
    struct err err;
    buf_init(&file, 0);
    buf_init(&whole, 0);
    EXPECT_OK(fs_read(&file, TESTS_DIR "/golden/exif/camera.avif", 1 << 20, &err), &err);
    exif_json(&whole, (const uint8_t *)file.data, file.len, DECODE_FORMAT_AVIF);
    EXPECT(whole.len > 300);
    /* The file's own rotation is what turns it. */
    EXPECT(strstr(buf_str(&whole), "\"Image Orientation\":6") != NULL);
    EXPECT_EQ(exif_orientation((const uint8_t *)file.data, file.len, DECODE_FORMAT_AVIF), 1);
    uint32_t none = 0;
    for (size_t bytes = 0; bytes < file.len; bytes++) {
        struct buf json;
        uint8_t *exact = mem_new(bytes + 1); /* so that a byte read too many is noticed */
        memcpy(exact + 1, file.data, bytes);
        buf_init(&json, 0);
        exif_json(&json, exact + 1, bytes, DECODE_FORMAT_AVIF);
        if (strcmp(buf_str(&json), "{}") == 0)
            none++;
        else
            EXPECT_TEXT(buf_str(&json), buf_str(&whole));
        buf_deinit(&json);
        mem_free(exact);
    }
    EXPECT(none > 100);
    for (size_t at = 0; at < file.len; at++) {
        struct buf json;
        file.data[at] = (char)(file.data[at] ^ 0x55);
        buf_init(&json, 0);
        exif_json(&json, (const uint8_t *)file.data, file.len, DECODE_FORMAT_AVIF);
        json_t *object = json_loadb(json.data, json.len, JSON_REJECT_DUPLICATES, NULL);
        EXPECT(json_is_object(object));
        json_decref(object);
        buf_deinit(&json);
        file.data[at] = (char)(file.data[at] ^ 0x55);
    }
    buf_deinit(&file);
    buf_deinit(&whole);
}
#endif

/* A JPEG around one directory whose values stand in the entries. */
static void expect_tags(const struct tag *tag, uint32_t tags, const char *want)
{
    struct buf block, file;
    buf_init(&block, 0);
    buf_init(&file, 0);
    tiff(&block, true, 8, tag, tags);
    jpeg(&file, &block);
    expect_json(file.data, file.len, DECODE_FORMAT_JPEG, want);
    buf_deinit(&block);
    buf_deinit(&file);
}

TEST(exif, writes_each_value_as_what_it_is)
{
    UNUSED_STATE;
    expect_json("\xFF\xD8\xFF\xD9", 4, DECODE_FORMAT_JPEG, "{}");
    expect_json("", 0, DECODE_FORMAT_UNKNOWN, "{}");
    /* The first of two counts; unknown types, empty values and those outside are left out. */
    const struct tag twice[] = {{0x0112, 3, 1, 6},
                                {0x0112, 3, 1, 7},
                                {0x0100, 99, 1, 1},
                                {0x0101, 3, 0, 1},
                                {0x010F, 2, 9, 60000}};
    expect_tags(twice, 5, "{\"Image Orientation\":6}");
    const struct tag numbers[] = {{0x0001, 1, 2, 0x0201}, {0x0002, 6, 1, 0xFF},
                                  {0x0003, 8, 1, 0xFFFE}, {0x0004, 7, 2, 0x4241},
                                  {0x0005, 7, 2, 0x0241}, {0x0006, 2, 3, 0xC3E9},
                                  {0x0007, 4, 1, 65000}};
    expect_tags(numbers, 7,
                "{\"Image Tag 0x0001\":[1,2],\"Image Tag 0x0002\":-1,\"Image Tag 0x0003\":-2,"
                "\"Image Tag 0x0004\":\"AB\",\"Image Tag 0x0005\":[65,2],"
                "\"Image Tag 0x0006\":\"\xEF\xBF\xBD\xEF\xBF\xBD\",\"Image Tag 0x0007\":65000}");
    /* Rationals at the start of the block: "II*\0" over 8, which is where the directory stands. */
    const struct tag fraction[] = {{0x829A, 5, 1, 0}, {0x829D, 10, 1, 0}};
    expect_tags(fraction, 2,
                "{\"Image ExposureTime\":\"2771273/8\",\"Image FNumber\":\"2771273/8\"}");
}

TEST(exif, survives_directories_that_point_to_each_other)
{
    UNUSED_STATE;
    const struct tag loop[] = {{0x8769, 4, 1, 8}, {0x8825, 4, 1, 8}, {0x0001, 3, 1, 5}};
    expect_tags(loop, 3, "{\"Image Tag 0x0001\":5,\"EXIF Tag 0x0001\":5,\"GPS GPSLatitudeRef\":5}");
    const struct tag nowhere[] = {{0x8769, 4, 1, 60000}, {0x8825, 3, 1, 8}};
    expect_tags(nowhere, 2, "{}");
}

/* A PNG around a directory and bytes behind it. */
static void expect_behind(const struct tag *tag, uint32_t tags, char byte, size_t bytes,
                          const char *want)
{
    struct buf block, file;
    buf_init(&block, 0);
    buf_init(&file, 0);
    tiff(&block, true, 8, tag, tags);
    for (size_t i = 0; i < bytes; i++) buf_byte(&block, byte);
    buf_add(&file, "\x89PNG\r\n\x1A\n", 8);
    number(&file, (uint32_t)block.len, 4, false);
    buf_text(&file, "eXIf");
    buf_add(&file, block.data, block.len);
    expect_json(file.data, file.len, DECODE_FORMAT_PNG, want);
    buf_deinit(&block);
    buf_deinit(&file);
}

TEST(exif, leaves_out_what_is_large_and_goes_on)
{
    UNUSED_STATE;
    const struct tag tags[] = {{0x0001, 7, 1001, 64},
                               {0x0002, 7, 40000, 64},
                               {0x0003, 3, 1001, 64},
                               {0x0004, 2, 65537, 64},
                               {0x0112, 3, 1, 6}};
    expect_behind(tags, 5, '\1', 70000, "{\"Image Orientation\":6}");
}

TEST(exif, looks_at_so_many_bytes_only)
{
    UNUSED_STATE;
    struct tag tags[40];
    for (uint32_t i = 0; i < 40; i++) tags[i] = (struct tag){i + 1, 2, 65536, 500};
    expect_behind(tags, 40, ' ', 66000,
                  "{\"Image Tag 0x0001\":\"\",\"Image Tag 0x0002\":\"\",\"Image Tag 0x0003\":\"\","
                  "\"Image Tag 0x0004\":\"\"}");
}

TEST(exif, keeps_to_its_size)
{
    UNUSED_STATE;
    struct buf block, file, json;
    buf_init(&block, 0);
    buf_init(&file, 0);
    buf_init(&json, 0);
    static struct tag tags[60000];
    for (uint32_t i = 0; i < 60000; i++) tags[i] = (struct tag){i + 1, 7, 600, 0};
    tiff(&block, true, 8, tags, 60000);
    buf_add(&file, "\x89PNG\r\n\x1A\n", 8);
    number(&file, (uint32_t)block.len, 4, false);
    buf_text(&file, "eXIf");
    buf_add(&file, block.data, block.len);
    buf_text(&json, "before");
    exif_json(&json, (const uint8_t *)file.data, file.len, DECODE_FORMAT_PNG);
    EXPECT(json.len > EXIF_JSON_BYTES_MAX - 4096 && json.len <= EXIF_JSON_BYTES_MAX + 6);
    json_t *object = json_loads(json.data + 6, JSON_REJECT_DUPLICATES, NULL);
    EXPECT(json_object_size(object) > 10);
    json_decref(object);
    buf_deinit(&block);
    buf_deinit(&file);
    buf_deinit(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(exif, reads_both_byte_orders),
        RUN(exif, takes_nonsense_for_upright),
        RUN(exif, looks_where_png_and_webp_keep_it),
        RUN(exif, does_not_believe_lengths),
        RUN(exif, never_reads_outside_whatever_is_cut_or_changed),
        RUN(exif, has_the_tags_that_exifread_finds),
#ifdef VLMQ_AVIF
        RUN(exif, of_an_avif_is_there_whole_or_not),
#endif
        RUN(exif, writes_each_value_as_what_it_is),
        RUN(exif, survives_directories_that_point_to_each_other),
        RUN(exif, leaves_out_what_is_large_and_goes_on),
        RUN(exif, looks_at_so_many_bytes_only),
        RUN(exif, keeps_to_its_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
