/* jpeg_kinds_test.c - kinds of JPEG that Pillow does not write: samplings, arithmetic coding, RGB
 * without a change of colours. Made here by libjpeg itself. */
#include "common/base/buf.h"
#include "tests/support/test.h"
#include "worker/pipe/decode.h"

#include <stdlib.h>
#include <string.h>

/* In this order: jpeglib.h needs FILE. */
/* clang-format off */
#include <stdio.h>
#include <jpeglib.h>
/* clang-format on */

#define WIDTH  67
#define HEIGHT 45

struct kind {
    int h, v; /* of the luminance, over those of the colours */
    bool arithmetic, rgb, progressive;
};

/* Soft colours, which no sampling changes much. */
static uint8_t source(uint32_t x, uint32_t y, int c)
{
    return (uint8_t)(c == 0 ? 40 + x * 2 : c == 1 ? 60 + y * 3 : 200 - x - y);
}

static void make(struct buf *file, const struct kind *kind)
{
    struct jpeg_compress_struct cinfo;
    struct jpeg_error_mgr errors;
    unsigned char *bytes = NULL;
    unsigned long count = 0;
    cinfo.err = jpeg_std_error(&errors);
    jpeg_create_compress(&cinfo);
    jpeg_mem_dest(&cinfo, &bytes, &count);
    cinfo.image_width = WIDTH;
    cinfo.image_height = HEIGHT;
    cinfo.input_components = 3;
    cinfo.in_color_space = JCS_RGB;
    jpeg_set_defaults(&cinfo);
    if (kind->rgb) jpeg_set_colorspace(&cinfo, JCS_RGB);
    jpeg_set_quality(&cinfo, 95, TRUE);
    cinfo.comp_info[0].h_samp_factor = kind->h;
    cinfo.comp_info[0].v_samp_factor = kind->v;
    cinfo.arith_code = kind->arithmetic;
    if (kind->progressive) jpeg_simple_progression(&cinfo);
    jpeg_start_compress(&cinfo, TRUE);
    for (uint32_t y = 0; y < HEIGHT; y++) {
        JSAMPLE row[WIDTH * 3];
        JSAMPROW rows = row;
        for (uint32_t x = 0; x < WIDTH; x++)
            for (int c = 0; c < 3; c++) row[x * 3 + (uint32_t)c] = source(x, y, c);
        EXPECT_EQ(jpeg_write_scanlines(&cinfo, &rows, 1), 1);
    }
    jpeg_finish_compress(&cinfo);
    jpeg_destroy_compress(&cinfo);
    buf_init(file, 0);
    buf_add(file, bytes, count);
    free(bytes);
}

static void decode_kind(struct image *image, const struct kind *kind)
{
    struct buf file;
    struct decode_info info;
    const struct decode_options options = decode_options_default();
    make(&file, kind);
    *image = (struct image){0};
    EXPECT_EQ(decode(image, &info, (const uint8_t *)file.data, file.len, &options), DECODE_OK);
    EXPECT_EQ(image->width, WIDTH);
    EXPECT_EQ(image->height, HEIGHT);
    EXPECT_EQ(info.warnings, 0);
    /* Cut in the middle, each is truncated. */
    struct image cut = {0};
    EXPECT_EQ(decode(&cut, &info, (const uint8_t *)file.data, file.len / 2, &options),
              DECODE_TRUNCATED);
    buf_deinit(&file);
}

TEST(jpeg, of_any_sampling_has_the_colours_it_was_made_of)
{
    UNUSED_STATE;
    static const struct kind kinds[] = {
        {.h = 1, .v = 1}, {.h = 2, .v = 1}, {.h = 2, .v = 2}, {.h = 1, .v = 2},
        {.h = 4, .v = 1}, {.h = 1, .v = 4}, {.h = 4, .v = 2}, {.h = 1, .v = 1, .rgb = true},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct image image;
        int64_t off = 0;
        decode_kind(&image, &kinds[i]);
        for (uint32_t y = 0; y < HEIGHT; y++)
            for (uint32_t x = 0; x < WIDTH; x++)
                for (int c = 0; c < 3; c++)
                    off += abs(image_row(&image, y)[x * 3 + (uint32_t)c] - source(x, y, c));
        if (off > 4 * WIDTH * HEIGHT * 3)
            fail_msg("%d x %d: %lld", kinds[i].h, kinds[i].v, (long long)off);
        image_deinit(&image);
    }
}

TEST(jpeg, with_arithmetic_coding_has_the_pixels_of_huffmans)
{
    UNUSED_STATE;
    for (int progressive = 0; progressive < 2; progressive++) {
        struct kind kind = {.h = 2, .v = 2, .progressive = progressive};
        struct image huffman, arithmetic;
        decode_kind(&huffman, &kind);
        kind.arithmetic = true;
        decode_kind(&arithmetic, &kind);
        EXPECT_MEM(arithmetic.pixels, huffman.pixels, huffman.stride * HEIGHT);
        image_deinit(&huffman);
        image_deinit(&arithmetic);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(jpeg, of_any_sampling_has_the_colours_it_was_made_of),
        RUN(jpeg, with_arithmetic_coding_has_the_pixels_of_huffmans),
    };
    return cmocka_run_group_tests_name("jpeg", tests, NULL, NULL);
}
