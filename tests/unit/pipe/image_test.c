/* image_test.c - copies, orientation and alpha of pictures of a few pixels. */
#include "worker/pipe/image.h"

#include "common/base/mem.h"
#include "tests/support/test.h"

#include <string.h>

/* One channel, rows one after the other. */
static struct image gray(uint32_t width, uint32_t height, const char *pixels)
{
    struct image image;
    EXPECT(image_init(&image, width, height, 1));
    memcpy(image.pixels, pixels, (size_t)width * height);
    return image;
}

TEST(image, stands_upright_for_every_orientation)
{
    UNUSED_STATE;
    /* abc
       def */
    static const struct {
        uint32_t orientation, width;
        const char *pixels;
    } cases[] = {{0, 3, "abcdef"}, {1, 3, "abcdef"}, {2, 3, "cbafed"}, {3, 3, "fedcba"},
                 {4, 3, "defabc"}, {5, 2, "adbecf"}, {6, 2, "daebfc"}, {7, 2, "fcebda"},
                 {8, 2, "cfbead"}, {9, 3, "abcdef"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct image image = gray(3, 2, "abcdef");
        EXPECT(image_orient(&image, cases[i].orientation));
        EXPECT_EQ(image.width, cases[i].width);
        EXPECT_EQ(image.width * image.height, 6);
        EXPECT_MEM(image.pixels, cases[i].pixels, 6);
        image_deinit(&image);
    }
}

TEST(image, moves_whole_pixels_when_it_turns)
{
    UNUSED_STATE;
    struct image image;
    EXPECT(image_init(&image, 3, 1, 3));
    memcpy(image.pixels, "RGBrgbXYZ", 9);
    EXPECT(image_orient(&image, 2));
    EXPECT_MEM(image.pixels, "XYZrgbRGB", 9);
    EXPECT(image_orient(&image, 6));
    EXPECT_EQ(image.height, 3);
    EXPECT_MEM(image.pixels, "XYZrgbRGB", 9);
    image_deinit(&image);
}

TEST(image, stays_as_it_is_when_turning_finds_no_memory)
{
    UNUSED_STATE;
    struct image image = gray(3, 2, "abcdef");
    (void)mem_fail(0, 1);
    EXPECT(!image_orient(&image, 6));
    (void)mem_fail(-1, 0);
    EXPECT_EQ(image.width, 3);
    EXPECT_MEM(image.pixels, "abcdef", 6);
    image_deinit(&image);
}

TEST(image, blends_alpha_to_the_nearest_level)
{
    UNUSED_STATE;
    struct image image;
    EXPECT(image_init(&image, 256, 256, 2));
    for (uint32_t y = 0; y < 256; y++)
        for (uint32_t x = 0; x < 256; x++) {
            image_row(&image, y)[2 * x] = (uint8_t)x;
            image_row(&image, y)[2 * x + 1] = (uint8_t)y;
        }
    image_flatten(&image, (const uint8_t[]){255});
    EXPECT_EQ(image.channels, 1);
    EXPECT_EQ(image.stride, 256);
    for (uint32_t alpha = 0; alpha < 256; alpha++)
        for (uint32_t value = 0; value < 256; value++) {
            const double exact = (alpha * value + (255.0 - alpha) * 255.0) / 255.0;
            EXPECT_EQ(image_row(&image, alpha)[value], (int)(exact + 0.5));
        }
    image_deinit(&image);
}

TEST(image, blends_colours_one_by_one)
{
    UNUSED_STATE;
    static const uint8_t pixels[] = {10, 20, 30, 255, 10, 20, 30, 0, 0, 100, 200, 128};
    static const uint8_t want[] = {10, 20, 30, 7, 8, 9, 3, 54, 105};
    struct image image;
    EXPECT(image_init(&image, 3, 1, 4));
    memcpy(image.pixels, pixels, sizeof pixels);
    image_flatten(&image, (const uint8_t[]){7, 8, 9});
    EXPECT_EQ(image.channels, 3);
    EXPECT_MEM(image.pixels, want, sizeof want);
    image_deinit(&image);
}

TEST(image, copies_a_rectangle)
{
    UNUSED_STATE;
    struct image src = gray(4, 3, "abcdefghijkl");
    struct image dst = gray(3, 3, ".........");
    image_copy(&dst, 1, 0, &src, &(struct image_rect){2, 1, 2, 2});
    EXPECT_MEM(dst.pixels, ".gh.kl...", 9);
    image_copy(&dst, 0, 0, &src, &(struct image_rect){4, 3, 0, 0}); /* nothing, at the very end */
    EXPECT_MEM(dst.pixels, ".gh.kl...", 9);
    image_deinit(&src);
    image_deinit(&dst);
}

TEST(image, refuses_sizes_that_cannot_be)
{
    UNUSED_STATE;
    struct image image;
    EXPECT(!image_init(&image, 0, 5, 3));
    EXPECT(!image_init(&image, 5, 0, 3));
    EXPECT(!image_init(&image, UINT32_MAX, UINT32_MAX, 4)); /* more than 64 bits */
    EXPECT(image.pixels == NULL);
    image_deinit(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(image, stands_upright_for_every_orientation),
        RUN(image, moves_whole_pixels_when_it_turns),
        RUN(image, stays_as_it_is_when_turning_finds_no_memory),
        RUN(image, blends_alpha_to_the_nearest_level),
        RUN(image, blends_colours_one_by_one),
        RUN(image, copies_a_rectangle),
        RUN(image, refuses_sizes_that_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
