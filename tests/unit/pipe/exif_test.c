/* exif_test.c - the orientation tag, where it belongs and where it lies. */
#include "worker/pipe/exif.h"

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "tests/support/test.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(exif, reads_both_byte_orders),
        RUN(exif, takes_nonsense_for_upright),
        RUN(exif, looks_where_png_and_webp_keep_it),
        RUN(exif, does_not_believe_lengths),
        RUN(exif, never_reads_outside_whatever_is_cut_or_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
