/* blur_test.c - the fast way gives the bytes of the definition in blur.h, and hides what it should.
 */
#include "worker/pipe/blur.h"

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "tests/support/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PASSES 3

static int inside(int value, int max)
{
    return value < 0 ? 0 : value > max ? max : value;
}

/* The mean along rows or columns, by the definition. */
static void blur_plainly(uint8_t *plane, int width, int height, int radius, bool down)
{
    uint8_t *made = mem_new((size_t)(width * height));
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            int sum = 0;
            for (int i = -radius; i <= radius; i++)
                sum += down ? plane[inside(y + i, height - 1) * width + x]
                            : plane[y * width + inside(x + i, width - 1)];
            made[y * width + x] = (uint8_t)((sum + radius) / (2 * radius + 1));
        }
    memcpy(plane, made, (size_t)(width * height));
    mem_free(made);
}

/* The whole definition, pixel by pixel, over the whole picture. */
static void expected(uint8_t *pixels, int width, int height, const struct blur_box *box, int boxes)
{
    uint8_t *plane[4];
    int longest = 0;
    for (int c = 0; c < 4; c++) plane[c] = mem_new((size_t)(width * height));
    for (int i = 0; i < width * height; i++)
        for (int c = 0; c < 3; c++) plane[c][i] = pixels[i * 3 + c];
    for (int i = 0; i < boxes; i++) {
        const int x0 = inside((int)floor(box[i].x0 * width), width);
        const int y0 = inside((int)floor(box[i].y0 * height), height);
        const int x1 = inside((int)ceil(box[i].x1 * width), width);
        const int y1 = inside((int)ceil(box[i].y1 * height), height);
        const int side = x1 - x0 > y1 - y0 ? x1 - x0 : y1 - y0, by = (side + 5) / 10;
        if (x0 >= x1 || y0 >= y1) continue;
        if (side > longest) longest = side;
        for (int y = inside(y0 - by, height); y < inside(y1 + by, height); y++)
            for (int x = inside(x0 - by, width); x < inside(x1 + by, width); x++)
                plane[3][y * width + x] = 255;
    }
    const int radius = (longest + 5) / 10 ? (longest + 5) / 10 : 1;
    for (int pass = 0; pass < PASSES && longest; pass++)
        for (int c = 0; c < 4; c++) {
            blur_plainly(plane[c], width, height, radius, false);
            blur_plainly(plane[c], width, height, radius, true);
        }
    for (int i = 0; i < width * height; i++)
        for (int c = 0; c < 3; c++) {
            const int mask = plane[3][i], was = pixels[i * 3 + c];
            pixels[i * 3 + c] = (uint8_t)((mask * plane[c][i] + (255 - mask) * was + 127) / 255);
        }
    for (int c = 0; c < 4; c++) mem_free(plane[c]);
}

static void noise(struct image *image, struct rng *rng, uint32_t width, uint32_t height)
{
    EXPECT(image_init(image, width, height, 3));
    for (size_t i = 0; i < (size_t)width * height * 3; i++)
        image->pixels[i] = (uint8_t)rng_next(rng);
}

static void compare(struct rng *rng, uint32_t width, uint32_t height, const struct blur_box *box,
                    uint32_t boxes)
{
    struct image image;
    struct err err;
    noise(&image, rng, width, height);
    const size_t bytes = (size_t)width * height * 3;
    uint8_t *want = mem_new(bytes);
    memcpy(want, image.pixels, bytes);
    expected(want, (int)width, (int)height, box, (int)boxes);
    EXPECT_OK(blur_boxes(&image, box, boxes, &err), &err);
    EXPECT_MEM(image.pixels, want, bytes);
    mem_free(want);
    image_deinit(&image);
}

static double part(struct rng *rng)
{
    return (double)rng_below(rng, 1201) / 1000.0 - 0.1;
}

TEST(blur, gives_the_bytes_of_its_definition)
{
    UNUSED_STATE;
    struct rng rng;
    rng_seed(&rng, test_seed());
    for (int round = 0; round < 150; round++) {
        struct blur_box box[4];
        const uint32_t boxes = (uint32_t)rng_below(&rng, 4) + 1;
        for (uint32_t i = 0; i < boxes; i++) {
            const double x = part(&rng), y = part(&rng);
            box[i] = (struct blur_box){x, y, x + 0.02 + part(&rng) / 3, y + 0.02 + part(&rng) / 3};
        }
        compare(&rng, (uint32_t)rng_below(&rng, 70) + 1, (uint32_t)rng_below(&rng, 70) + 1, box,
                boxes);
    }
    const struct blur_box whole = {0, 0, 1, 1}, corner = {0.9, 0.9, 1.2, 1.2};
    compare(&rng, 1, 1, &whole, 1);
    compare(&rng, 300, 2, &whole, 1);
    compare(&rng, 2, 300, &corner, 1);
    compare(&rng, 200, 150, &corner, 1);
}

TEST(blur, leaves_what_is_far_from_the_boxes)
{
    UNUSED_STATE;
    struct rng rng;
    struct image image, kept;
    struct err err;
    rng_seed(&rng, 1);
    noise(&image, &rng, 100, 100);
    EXPECT(image_init(&kept, 100, 100, 3));
    memcpy(kept.pixels, image.pixels, 30000);
    const struct blur_box outside[] = {{1.1, 0, 1.2, 1}, {-0.5, -0.5, -0.1, -0.1}};
    EXPECT_OK(blur_boxes(&image, outside, 2, &err), &err);
    EXPECT_OK(blur_boxes(&image, outside, 0, &err), &err);
    EXPECT_MEM(image.pixels, kept.pixels, 30000);
    /* 20 pixels, widened by 2, and 3 times the radius of 2 around them. */
    const struct blur_box box = {0.4, 0.4, 0.6, 0.6};
    EXPECT_OK(blur_boxes(&image, &box, 1, &err), &err);
    int64_t spread = 0;
    for (uint32_t y = 0; y < 100; y++)
        for (uint32_t x = 0; x < 100; x++) {
            const uint8_t *now = image_row(&image, y) + (size_t)x * 3;
            const bool far = x < 32 || x >= 68 || y < 32 || y >= 68;
            if (far) EXPECT_MEM(now, image_row(&kept, y) + (size_t)x * 3, 3);
            if (x >= 42 && x < 58 && y >= 42 && y < 58) spread += abs(now[0] - 128);
        }
    EXPECT(spread / 256 < 25); /* noise has 64 */
    image_deinit(&image);
    image_deinit(&kept);
}

TEST(blur, fails_without_memory_and_changes_nothing)
{
    UNUSED_STATE;
    struct rng rng;
    struct image image;
    struct err err;
    uint8_t kept[30];
    const struct blur_box whole = {0, 0, 1, 1};
    rng_seed(&rng, 2);
    noise(&image, &rng, 5, 2);
    memcpy(kept, image.pixels, sizeof kept);
    for (int64_t after = 0; after < 2; after++) {
        (void)mem_fail(after, 1);
        EXPECT_EQ(blur_boxes(&image, &whole, 1, &err), ERR_LIMIT);
        (void)mem_fail(-1, 0);
        EXPECT_MEM(image.pixels, kept, sizeof kept);
    }
    image_deinit(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(blur, gives_the_bytes_of_its_definition),
        RUN(blur, leaves_what_is_far_from_the_boxes),
        RUN(blur, fails_without_memory_and_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
