/* encode_test.c - what is encoded decodes to nearly the same, byte for byte the same each time. */
#include "worker/pipe/encode.h"

#include "common/base/mem.h"
#include "tests/support/test.h"
#include "worker/pipe/decode.h"

#include <stdlib.h>
#include <string.h>

/* Smooth, so that JPEG keeps it well. */
static struct image smooth(uint32_t width, uint32_t height, uint32_t channels)
{
    struct image image;
    EXPECT(image_init(&image, width, height, channels));
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++)
            for (uint32_t c = 0; c < channels; c++)
                image_row(&image, y)[x * channels + c] =
                    (uint8_t)(40 + x * (c + 1) / 2 + y + 20 * c);
    return image;
}

static void decode_back(struct image *image, const struct buf *file)
{
    struct decode_info info;
    const struct decode_options options = decode_options_default();
    *image = (struct image){0};
    EXPECT_EQ(decode(image, &info, (const uint8_t *)file->data, file->len, &options), DECODE_OK);
    EXPECT_EQ(info.warnings, 0);
}

TEST(encode, gives_back_nearly_the_same_pixels)
{
    UNUSED_STATE;
    for (uint32_t channels = 1; channels <= 3; channels += 2) {
        struct image image = smooth(61, 47, channels), back;
        struct buf file;
        struct err err;
        buf_init(&file, 0);
        EXPECT_OK(encode_jpeg(&file, &image, 95, &err), &err);
        decode_back(&back, &file);
        EXPECT_EQ(back.width, 61);
        EXPECT_EQ(back.height, 47);
        for (uint32_t y = 0; y < 47; y++)
            for (uint32_t x = 0; x < 61; x++)
                for (uint32_t c = 0; c < 3; c++) {
                    const int was = image_row(&image, y)[x * channels + c % channels];
                    EXPECT(abs(was - image_row(&back, y)[x * 3 + c]) <= 6);
                }
        image_deinit(&image);
        image_deinit(&back);
        buf_deinit(&file);
    }
}

TEST(encode, gives_the_same_bytes_each_time_and_fewer_at_a_lower_quality)
{
    UNUSED_STATE;
    struct image image = smooth(100, 80, 3);
    struct buf first, second, low;
    struct err err;
    buf_init(&first, 0);
    buf_init(&second, 0);
    buf_init(&low, 0);
    EXPECT_OK(encode_jpeg(&first, &image, 90, &err), &err);
    EXPECT_OK(encode_jpeg(&second, &image, 90, &err), &err);
    EXPECT_OK(encode_jpeg(&low, &image, 20, &err), &err);
    EXPECT_EQ(first.len, second.len);
    EXPECT_MEM(first.data, second.data, first.len);
    EXPECT(low.len < first.len);
    image_deinit(&image);
    buf_deinit(&first);
    buf_deinit(&second);
    buf_deinit(&low);
}

/* Noise, so that the file is large. */
static struct image noise(uint32_t width, uint32_t height)
{
    struct image image;
    uint32_t state = 1;
    EXPECT(image_init(&image, width, height, 3));
    for (size_t i = 0; i < image.stride * image.height; i++) {
        state = state * 1664525 + 1013904223;
        image.pixels[i] = (uint8_t)(state >> 24);
    }
    return image;
}

TEST(encode, appends_and_outgrows_its_chunk)
{
    UNUSED_STATE;
    struct image image = noise(300, 200), back;
    struct buf file;
    struct err err;
    buf_init(&file, 0);
    buf_text(&file, "before");
    EXPECT_OK(encode_jpeg(&file, &image, 100, &err), &err);
    EXPECT(file.len > 65536);
    EXPECT_MEM(file.data, "before", 6);
    EXPECT_EQ((uint8_t)file.data[file.len - 1], 0xD9);
    buf_consume(&file, 6);
    decode_back(&back, &file);
    image_deinit(&image);
    image_deinit(&back);
    buf_deinit(&file);
}

TEST(encode, leaves_the_buffer_as_it_was_when_it_is_full)
{
    UNUSED_STATE;
    struct image image = noise(300, 200);
    struct err err;
    static const size_t limits[] = {600, 20000, 40000}; /* none, one, two of its chunks */
    for (int i = 0; i < 3; i++) {
        struct buf file;
        buf_init(&file, limits[i]);
        buf_text(&file, "before");
        EXPECT_EQ(encode_jpeg(&file, &image, 95, &err), ERR_LIMIT);
        EXPECT_TEXT(buf_str(&file), "before");
        EXPECT_EQ(file.len, 6);
        buf_deinit(&file);
    }
    image_deinit(&image);
}

TEST(encode, survives_every_failed_allocation)
{
    UNUSED_STATE;
    struct image image = smooth(60, 50, 3);
    struct buf file;
    struct err err;
    int64_t after = 0;
    for (;; after++) {
        buf_init(&file, 0);
        (void)mem_fail(after, 1);
        const int rc = encode_jpeg(&file, &image, 95, &err);
        const int64_t calls = mem_fail(-1, 0);
        EXPECT_EQ(rc, calls > after ? ERR_LIMIT : 0);
        buf_deinit(&file);
        if (!rc) break;
    }
    EXPECT(after > 0);
    image_deinit(&image);
}

TEST(encode, refuses_what_a_jpeg_cannot_hold)
{
    UNUSED_STATE;
    struct image image;
    struct buf file;
    struct err err;
    buf_init(&file, 0);
    EXPECT(image_init(&image, 4, 4, 4));
    EXPECT_EQ(encode_jpeg(&file, &image, 95, &err), ERR_INVALID);
    image_deinit(&image);
    EXPECT(image_init(&image, 65501, 1, 1));
    EXPECT_EQ(encode_jpeg(&file, &image, 95, &err), ERR_INVALID);
    image.width = 65500;
    EXPECT_EQ(encode_jpeg(&file, &image, 0, &err), ERR_INVALID);
    EXPECT_EQ(encode_jpeg(&file, &image, 101, &err), ERR_INVALID);
    EXPECT_EQ(file.len, 0);
    EXPECT_OK(encode_jpeg(&file, &image, 1, &err), &err);
    image_deinit(&image);
    buf_deinit(&file);
}

static const struct picture_encoding settings[] = {
    {ENCODE_JPEG, 95, false}, {ENCODE_WEBP, 95, false}, {ENCODE_WEBP, 70, true},
    {ENCODE_WEBP, 5, true},   {ENCODE_PNG, 6, false},   {ENCODE_PNG, 1, false},
};
#define SETTINGS (sizeof settings / sizeof settings[0])

static bool keeps_pixels(const struct picture_encoding *options)
{
    return options->format == ENCODE_PNG || options->lossless;
}

static void check_format(const struct picture_encoding *options, uint32_t channels)
{
    static const enum decode_format decoded[] = {DECODE_FORMAT_JPEG, DECODE_FORMAT_WEBP,
                                                 DECODE_FORMAT_PNG};
    struct image image = smooth(61, 47, channels), back;
    struct buf file, again;
    struct err err;
    buf_init(&file, 0);
    buf_init(&again, 0);
    EXPECT_OK(encode(&file, &image, options, &err), &err);
    EXPECT_OK(encode(&again, &image, options, &err), &err);
    EXPECT_EQ(file.len, again.len);
    EXPECT_MEM(file.data, again.data, file.len);
    EXPECT_EQ(decode_sniff((const uint8_t *)file.data, file.len), decoded[options->format]);
    decode_back(&back, &file);
    EXPECT_EQ(back.width, 61);
    EXPECT_EQ(back.height, 47);
    for (uint32_t y = 0; y < 47; y++)
        for (uint32_t i = 0; i < 61 * 3; i++) {
            const int was = image_row(&image, y)[i / 3 * channels + i % 3 % channels];
            EXPECT(abs(was - image_row(&back, y)[i]) <= (keeps_pixels(options) ? 0 : 8));
        }
    image_deinit(&image);
    image_deinit(&back);
    buf_deinit(&file);
    buf_deinit(&again);
}

TEST(encode, every_format_gives_the_picture_back_and_the_same_bytes_each_time)
{
    UNUSED_STATE;
    for (size_t i = 0; i < SETTINGS; i++)
        for (uint32_t channels = 1; channels <= 3; channels += 2)
            check_format(&settings[i], channels);
    EXPECT_TEXT(encode_extension(ENCODE_JPEG), "jpg");
    EXPECT_TEXT(encode_extension(ENCODE_WEBP), "webp");
    EXPECT_TEXT(encode_extension(ENCODE_PNG), "png");
    EXPECT_TEXT(encode_extension(ENCODE_FORMATS_COUNT), "unknown");
}

static size_t bytes_of(const struct image *image, const struct picture_encoding *options)
{
    struct buf file;
    struct err err;
    buf_init(&file, 0);
    EXPECT_OK(encode(&file, image, options, &err), &err);
    const size_t bytes = file.len;
    buf_deinit(&file);
    return bytes;
}

TEST(encode, quality_and_level_count_in_every_format)
{
    UNUSED_STATE;
    struct image image = smooth(100, 80, 3);
    EXPECT(bytes_of(&image, &(struct picture_encoding){ENCODE_WEBP, 20, false}) <
           bytes_of(&image, &(struct picture_encoding){ENCODE_WEBP, 90, false}));
    EXPECT(bytes_of(&image, &(struct picture_encoding){ENCODE_PNG, 9, false}) <
           bytes_of(&image, &(struct picture_encoding){ENCODE_PNG, 1, false}));
    image_deinit(&image);
}

TEST(encode, every_format_leaves_a_full_buffer_as_it_was)
{
    UNUSED_STATE;
    struct image image = noise(300, 200);
    struct err err;
    static const size_t limits[] = {600, 20000, 40000};
    for (size_t i = 0; i < SETTINGS; i++)
        for (int limit = 0; limit < 3; limit++) {
            struct buf file;
            buf_init(&file, limits[limit]);
            buf_text(&file, "before");
            EXPECT_EQ(encode(&file, &image, &settings[i], &err), ERR_LIMIT);
            EXPECT_TEXT(buf_str(&file), "before");
            EXPECT_EQ(file.len, 6);
            buf_deinit(&file);
        }
    image_deinit(&image);
}

TEST(encode, every_format_survives_every_failed_allocation)
{
    UNUSED_STATE;
    for (size_t i = 0; i < SETTINGS; i++)
        for (uint32_t channels = 1; channels <= 3; channels += 2) {
            struct image image = smooth(60, 50, channels);
            struct err err;
            int64_t after = 0;
            for (;; after++) {
                struct buf file;
                buf_init(&file, 0);
                (void)mem_fail(after, 1);
                const int rc = encode(&file, &image, &settings[i], &err);
                const int64_t calls = mem_fail(-1, 0);
                EXPECT_EQ(rc, calls > after ? ERR_LIMIT : 0);
                buf_deinit(&file);
                if (!rc) break;
            }
            EXPECT(after > 0);
            image_deinit(&image);
        }
}

TEST(encode, refuses_what_a_webp_or_a_png_cannot_hold)
{
    UNUSED_STATE;
    struct image image;
    struct buf file;
    struct err err;
    buf_init(&file, 0);
    EXPECT(image_init(&image, 4, 4, 4));
    EXPECT_EQ(encode_webp(&file, &image, 95, false, &err), ERR_INVALID);
    EXPECT_EQ(encode_png(&file, &image, 6, &err), ERR_INVALID);
    image_deinit(&image);
    EXPECT(image_init(&image, 65501, 1, 1));
    EXPECT_EQ(encode_png(&file, &image, 6, &err), ERR_INVALID);
    image.width = 65500;
    EXPECT_EQ(encode_png(&file, &image, 0, &err), ERR_INVALID);
    EXPECT_EQ(encode_png(&file, &image, 10, &err), ERR_INVALID);
    EXPECT_OK(encode_png(&file, &image, 1, &err), &err);
    buf_clear(&file);
    image.width = 16384;
    EXPECT_EQ(encode_webp(&file, &image, 95, false, &err), ERR_INVALID);
    image.width = 16383;
    EXPECT_EQ(encode_webp(&file, &image, 0, false, &err), ERR_INVALID);
    EXPECT_EQ(encode_webp(&file, &image, 101, true, &err), ERR_INVALID);
    EXPECT_EQ(
        encode(&file, &image, &(struct picture_encoding){ENCODE_FORMATS_COUNT, 50, false}, &err),
        ERR_INVALID);
    EXPECT_EQ(file.len, 0);
    EXPECT_OK(encode_webp(&file, &image, 1, false, &err), &err);
    image_deinit(&image);
    buf_deinit(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(encode, gives_back_nearly_the_same_pixels),
        RUN(encode, gives_the_same_bytes_each_time_and_fewer_at_a_lower_quality),
        RUN(encode, appends_and_outgrows_its_chunk),
        RUN(encode, leaves_the_buffer_as_it_was_when_it_is_full),
        RUN(encode, survives_every_failed_allocation),
        RUN(encode, refuses_what_a_jpeg_cannot_hold),
        RUN(encode, every_format_gives_the_picture_back_and_the_same_bytes_each_time),
        RUN(encode, quality_and_level_count_in_every_format),
        RUN(encode, every_format_leaves_a_full_buffer_as_it_was),
        RUN(encode, every_format_survives_every_failed_allocation),
        RUN(encode, refuses_what_a_webp_or_a_png_cannot_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
