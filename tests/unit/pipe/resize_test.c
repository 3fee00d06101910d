/* resize_test.c - resizing gives Pillow's pixels: SHA-256 of results against the list that
 * tests/golden/make_resize.py made, a plain second implementation, and failing memory. */
#include "worker/pipe/resize.h"

#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "tests/support/test.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The formula of make_resize.py. */
static void fill(struct image *image, int kind)
{
    const size_t bytes = image->stride * image->height;
    for (size_t i = 0; i < bytes; i++) {
        uint32_t value = (uint32_t)(i * 2654435761u + 12345u);
        value ^= value >> 15;
        value *= 2246822519u;
        value ^= value >> 13;
        const uint8_t noise = (uint8_t)(value >> 8);
        image->pixels[i] = kind == 1 ? (noise & 1 ? 255 : 0) : noise;
    }
}

struct sizes {
    uint32_t width, height, channels, kind, out_width, out_height;
};

static void check_case(const struct sizes *sizes, enum resize_filter filter, const char *want,
                       const char *line)
{
    struct image src, dst;
    struct err err;
    EXPECT(image_init(&src, sizes->width, sizes->height, sizes->channels));
    fill(&src, (int)sizes->kind);
    EXPECT_OK(resize_image(&dst, &src, sizes->out_width, sizes->out_height, filter, &err), &err);
    EXPECT_EQ(dst.width, sizes->out_width);
    EXPECT_EQ(dst.height, sizes->out_height);
    char got[HASH_SHA256_TEXT];
    hash_sha256_text(got, dst.pixels, dst.stride * dst.height);
    if (strcmp(got, want) != 0) print_message("differs: %s", line);
    EXPECT_TEXT(got, want);
    image_deinit(&src);
    image_deinit(&dst);
}

static void check_filter(enum resize_filter filter)
{
    char line[256], path[512];
    (void)snprintf(path, sizeof path, TESTS_DIR "/golden/resize_%s.txt",
                   resize_filter_name(filter));
    FILE *file = fopen(path, "re");
    EXPECT(file != NULL);
    int cases = 0;
    while (fgets(line, sizeof line, file)) {
        struct sizes sizes;
        char want[HASH_SHA256_TEXT];
        if (line[0] == '#') continue;
        EXPECT_EQ(sscanf(line, "%u %u %u %u %u %u %64s", &sizes.width, &sizes.height,
                         &sizes.channels, &sizes.kind, &sizes.out_width, &sizes.out_height, want),
                  7);
        check_case(&sizes, filter, want, line);
        cases++;
    }
    (void)fclose(file);
    EXPECT(cases >= 100);
}

TEST(resize, equals_pillow_in_every_golden_case_of_every_filter)
{
    UNUSED_STATE;
    for (int i = 0; i < RESIZE_FILTERS_COUNT; i++) check_filter((enum resize_filter)i);
    EXPECT_TEXT(resize_filter_name(RESIZE_FILTERS_COUNT), "unknown");
}

TEST(resize, box_is_the_mean_where_the_scale_is_a_whole_number)
{
    UNUSED_STATE;
    struct image src, dst;
    struct err err;
    EXPECT(image_init(&src, 12, 8, 1));
    fill(&src, 0);
    EXPECT_OK(resize_image(&dst, &src, 12, 2, RESIZE_BOX, &err), &err);
    for (uint32_t y = 0; y < 2; y++)
        for (uint32_t x = 0; x < 12; x++) {
            int sum = 0;
            for (uint32_t i = 0; i < 4; i++) sum += image_row(&src, y * 4 + i)[x];
            EXPECT_EQ(image_row(&dst, y)[x], (sum + 2) / 4);
        }
    image_deinit(&src);
    image_deinit(&dst);
}

/* One axis, one sample, straight from the recipe; src is read at a step. */
static uint8_t plain_sample(const uint8_t *src, size_t step, uint32_t inputs, uint32_t outputs,
                            uint32_t output)
{
    const double scale = (double)inputs / outputs, stretch = fmax(scale, 1.0);
    const double centre = (output + 0.5) * scale;
    int low = (int)(centre - 2.0 * stretch + 0.5), high = (int)(centre + 2.0 * stretch + 0.5);
    if (low < 0) low = 0;
    if (high > (int)inputs) high = (int)inputs;
    double weight[1024], total = 0.0;
    for (int i = low; i < high; i++) {
        const double x = fabs((i - centre + 0.5) * (1.0 / stretch));
        double w = 0.0;
        if (x < 1.0)
            w = (1.5 * x - 2.5) * x * x + 1.0;
        else if (x < 2.0)
            w = (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5;
        weight[i - low] = w;
        total += w;
    }
    int64_t sum = 1 << 21;
    for (int i = low; i < high; i++) {
        const double fixed = weight[i - low] / total * 4194304.0;
        sum += (int64_t)(fixed < 0 ? fixed - 0.5 : fixed + 0.5) * src[(size_t)i * step];
    }
    sum >>= 22;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

/* Makes *dst with one axis changed. */
static void plain_axis(struct image *dst, const struct image *src, bool across, uint32_t size)
{
    const size_t c = src->channels;
    const uint32_t width = across ? size : src->width, height = across ? src->height : size;
    EXPECT(image_init(dst, width, height, src->channels));
    for (uint32_t y = 0; y < height; y++)
        for (size_t i = 0; i < width * c; i++)
            image_row(dst, y)[i] =
                across ? plain_sample(image_row(src, y) + i % c, c, src->width, width,
                                      (uint32_t)(i / c))
                       : plain_sample(src->pixels + i, src->stride, src->height, height, y);
}

static void check_plain(const struct image *src, uint32_t width, uint32_t height)
{
    struct image between, want, got;
    struct err err;
    const int less_height = (int)src->height - (int)height;
    const int less_width = (int)src->width - (int)width;
    const bool across = !(less_height > 0 && less_height > 2 * less_width);
    plain_axis(&between, src, across, across ? width : height);
    plain_axis(&want, &between, !across, across ? height : width);
    EXPECT_OK(resize_bicubic(&got, src, width, height, &err), &err);
    EXPECT_MEM(got.pixels, want.pixels, want.stride * height);
    image_deinit(&between);
    image_deinit(&want);
    image_deinit(&got);
}

TEST(resize, equals_a_plain_implementation_for_any_number_of_channels)
{
    UNUSED_STATE;
    struct rng rng;
    rng_seed(&rng, test_seed());
    for (int round = 0; round < 24; round++) {
        struct image src;
        uint32_t side[4];
        for (int i = 0; i < 4; i++) side[i] = (uint32_t)rng_below(&rng, 90) + 1;
        EXPECT(image_init(&src, side[0], side[1], (uint32_t)round % 4 + 1));
        fill(&src, round / 4 % 2);
        check_plain(&src, side[2], side[3]);
        image_deinit(&src);
    }
}

TEST(resize, reads_rows_that_are_farther_apart_than_their_pixels)
{
    UNUSED_STATE;
    struct image whole, part, narrow, from_view, from_copy;
    struct err err;
    EXPECT(image_init(&whole, 40, 30, 3));
    fill(&whole, 0);
    part = whole;
    part.width = 17; /* a view of the left columns */
    EXPECT(image_init(&narrow, 17, 30, 3));
    image_copy(&narrow, 0, 0, &whole, &(struct image_rect){0, 0, 17, 30});
    EXPECT_OK(resize_bicubic(&from_view, &part, 33, 11, &err), &err);
    EXPECT_OK(resize_bicubic(&from_copy, &narrow, 33, 11, &err), &err);
    EXPECT_MEM(from_view.pixels, from_copy.pixels, from_copy.stride * 11);
    image_deinit(&from_view);
    EXPECT_OK(resize_bicubic(&from_view, &part, 17, 30, &err), &err);
    EXPECT_MEM(from_view.pixels, narrow.pixels, narrow.stride * 30);
    image_deinit(&whole);
    image_deinit(&narrow);
    image_deinit(&from_view);
    image_deinit(&from_copy);
}

/* One of both sizes may stay as it was, and the part may be all. */
static void check_part(struct rng *rng, const struct image *src, enum resize_filter filter)
{
    struct image whole, got;
    struct err err;
    const uint32_t width = rng_below(rng, 4) ? (uint32_t)rng_below(rng, 120) + 1 : src->width;
    const uint32_t height = rng_below(rng, 4) ? (uint32_t)rng_below(rng, 120) + 1 : src->height;
    struct image_rect part = {(uint32_t)rng_below(rng, width), (uint32_t)rng_below(rng, height), 0,
                              0};
    part.width = (uint32_t)rng_below(rng, width - part.x) + 1;
    part.height = (uint32_t)rng_below(rng, height - part.y) + 1;
    EXPECT_OK(resize_image(&whole, src, width, height, filter, &err), &err);
    EXPECT_OK(resize_part(&got, src, width, height, &part, filter, &err), &err);
    EXPECT_EQ(got.width, part.width);
    EXPECT_EQ(got.height, part.height);
    for (uint32_t y = 0; y < part.height; y++)
        EXPECT_MEM(image_row(&got, y),
                   image_row(&whole, part.y + y) + (size_t)part.x * whole.channels,
                   (size_t)part.width * whole.channels);
    image_deinit(&whole);
    image_deinit(&got);
}

TEST(resize, a_part_has_the_pixels_of_the_whole)
{
    UNUSED_STATE;
    struct rng rng;
    rng_seed(&rng, test_seed());
    for (int round = 0; round < 60; round++) {
        struct image src;
        const uint32_t width = (uint32_t)rng_below(&rng, 90) + 1;
        const uint32_t height = (uint32_t)rng_below(&rng, 90) + 1;
        EXPECT(image_init(&src, width, height, round % 3 ? 3 : (uint32_t)rng_below(&rng, 4) + 1));
        fill(&src, 0);
        check_part(&rng, &src, (enum resize_filter)(round % RESIZE_FILTERS_COUNT));
        image_deinit(&src);
    }
}

TEST(resize, refuses_a_zero_size)
{
    UNUSED_STATE;
    struct image src, dst;
    struct err err;
    EXPECT(image_init(&src, 2, 2, 3));
    EXPECT_EQ(resize_bicubic(&dst, &src, 0, 5, &err), ERR_INVALID);
    EXPECT_EQ(resize_bicubic(&dst, &src, 5, 0, &err), ERR_INVALID);
    EXPECT(dst.pixels == NULL);
    image_deinit(&src);
}

TEST(resize, survives_every_failed_allocation)
{
    UNUSED_STATE;
    static const uint32_t heights[] = {9, 900}; /* the second goes vertical first */
    for (int i = 0; i < 2; i++) {
        struct image src, dst;
        struct err err;
        EXPECT(image_init(&src, 8, heights[i], 3));
        int rc = ERR_LIMIT, failures = 0;
        for (int64_t after = 0; rc; after++, failures++) {
            (void)mem_fail(after, 1);
            rc = resize_bicubic(&dst, &src, 5, 5, &err);
            (void)mem_fail(-1, 0);
            if (!rc) break;
            EXPECT_EQ(rc, ERR_LIMIT);
            EXPECT(dst.pixels == NULL);
        }
        EXPECT_EQ(failures, 5); /* two tables, two pictures, one block of rows */
        image_deinit(&src);
        image_deinit(&dst);
    }
}

TEST(resize, nearest_survives_every_failed_allocation)
{
    UNUSED_STATE;
    struct image src, dst;
    struct err err;
    EXPECT(image_init(&src, 8, 9, 3));
    for (int after = 0; after < 2; after++) {
        (void)mem_fail(after, 1);
        EXPECT_EQ(resize_image(&dst, &src, 5, 5, RESIZE_NEAREST, &err), ERR_LIMIT);
        (void)mem_fail(-1, 0);
        EXPECT(dst.pixels == NULL);
    }
    image_deinit(&src);
}

/* All of it twice: with what the processor has, and with the plain code. */
int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(resize, equals_pillow_in_every_golden_case_of_every_filter),
        RUN(resize, box_is_the_mean_where_the_scale_is_a_whole_number),
        RUN(resize, equals_a_plain_implementation_for_any_number_of_channels),
        RUN(resize, reads_rows_that_are_farther_apart_than_their_pixels),
        RUN(resize, a_part_has_the_pixels_of_the_whole),
        RUN(resize, refuses_a_zero_size),
        RUN(resize, survives_every_failed_allocation),
        RUN(resize, nearest_survives_every_failed_allocation),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (setenv("VLMQ_CPU", "portable", 1)) return 1;
    return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
