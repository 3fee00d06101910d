/* fit_test.c - sizes, crops and bars of every resize mode, and that pixels land where the plan
 * says. */
#include "worker/pipe/fit.h"

#include "common/base/mem.h"
#include "tests/support/test.h"
#include "worker/pipe/resize.h"

#include <string.h>

static struct fit_plan plan_of(enum fit_mode mode, uint32_t width, uint32_t height, uint32_t side)
{
    struct fit_plan plan;
    struct err err;
    EXPECT_OK(fit_plan(&plan, width, height, mode, side, &err), &err);
    return plan;
}

static void expect_sizes(const struct fit_plan *plan, uint32_t scaled_width, uint32_t scaled_height,
                         uint32_t width, uint32_t height)
{
    EXPECT_EQ(plan->scaled_width, scaled_width);
    EXPECT_EQ(plan->scaled_height, scaled_height);
    EXPECT_EQ(plan->width, width);
    EXPECT_EQ(plan->height, height);
}

TEST(fit, adaptive_crops_mild_ratios_and_pads_extreme_ones)
{
    UNUSED_STATE;
    struct fit_plan plan = plan_of(FIT_ADAPTIVE, 640, 480, 448);
    expect_sizes(&plan, 597, 448, 448, 448); /* 597.33 is cut off */
    EXPECT(plan.cropped && !plan.padded && plan.resized);
    EXPECT_EQ(plan.crop_x, 74); /* 74.5 is cut off */
    EXPECT_EQ(plan.crop_y, 0);
    plan = plan_of(FIT_ADAPTIVE, 300, 500, 448); /* exactly 0.6 */
    expect_sizes(&plan, 448, 746, 448, 448);
    EXPECT(plan.cropped);
    plan = plan_of(FIT_ADAPTIVE, 299, 500, 448);
    expect_sizes(&plan, 267, 448, 448, 448);
    EXPECT(plan.padded && !plan.cropped);
    EXPECT_EQ(plan.pad_x, 90); /* of 181; the other 91 stand on the right */
    EXPECT_EQ(plan.pad_y, 0);
    EXPECT_EQ(plan.background, 0);
    plan = plan_of(FIT_ADAPTIVE, 448, 448, 448);
    EXPECT(!plan.cropped && !plan.padded && !plan.resized);
}

TEST(fit, border_pads_with_white)
{
    UNUSED_STATE;
    struct fit_plan plan = plan_of(FIT_BORDER, 640, 480, 448);
    expect_sizes(&plan, 448, 336, 448, 448);
    EXPECT_EQ(plan.pad_y, 56);
    EXPECT_EQ(plan.background, 255);
    plan = plan_of(FIT_BORDER, 10, 100, 200); /* enlarges too */
    expect_sizes(&plan, 20, 200, 200, 200);
    EXPECT_EQ(plan.pad_x, 90);
}

TEST(fit, keep_ratio_and_center_crop_scale_the_shorter_side)
{
    UNUSED_STATE;
    struct fit_plan plan = plan_of(FIT_KEEP_RATIO, 1024, 683, 448);
    expect_sizes(&plan, 671, 448, 671, 448);
    EXPECT(plan.resized && !plan.cropped && !plan.padded);
    plan = plan_of(FIT_CENTER_CROP, 683, 1024, 448);
    expect_sizes(&plan, 448, 671, 448, 448);
    EXPECT_EQ(plan.crop_y, 111);
    plan = plan_of(FIT_NO, 5, 70000 / 2, 448);
    expect_sizes(&plan, 5, 35000, 5, 35000);
    EXPECT(!plan.resized && !plan.cropped && !plan.padded);
}

TEST(fit, keep_ratio_largest_scales_the_longer_side_without_bars)
{
    UNUSED_STATE;
    struct fit_plan plan = plan_of(FIT_KEEP_RATIO_LARGEST, 1024, 683, 448);
    expect_sizes(&plan, 448, 298, 448, 298);
    EXPECT(plan.resized && !plan.cropped && !plan.padded);
    plan = plan_of(FIT_KEEP_RATIO_LARGEST, 30, 60, 448); /* enlarges too */
    expect_sizes(&plan, 224, 448, 224, 448);
    plan = plan_of(FIT_KEEP_RATIO_LARGEST, 448, 5, 448);
    EXPECT(!plan.resized);
}

TEST(fit, only_shrinking_leaves_alone_what_is_small_in_the_side_that_counts)
{
    UNUSED_STATE;
    static const struct {
        enum fit_mode mode, want;
        uint32_t width, height;
    } rows[] = {
        /* the shorter side counts: nothing is cropped either */
        {FIT_KEEP_RATIO, FIT_NO, 300, 100},
        {FIT_KEEP_RATIO, FIT_KEEP_RATIO, 101, 300},
        {FIT_CENTER_CROP, FIT_NO, 300, 100},
        {FIT_CENTER_CROP, FIT_CENTER_CROP, 300, 101},
        /* the longer one: no bars either */
        {FIT_BORDER, FIT_NO, 100, 40},
        {FIT_BORDER, FIT_BORDER, 40, 101},
        {FIT_KEEP_RATIO_LARGEST, FIT_NO, 100, 100},
        {FIT_KEEP_RATIO_LARGEST, FIT_KEEP_RATIO_LARGEST, 101, 9},
        /* as the picture's ratio says */
        {FIT_ADAPTIVE, FIT_NO, 160, 100},
        {FIT_ADAPTIVE, FIT_ADAPTIVE, 160, 101},
        {FIT_ADAPTIVE, FIT_NO, 100, 30},
        {FIT_ADAPTIVE, FIT_ADAPTIVE, 101, 30},
        {FIT_NO, FIT_NO, 500, 500},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        EXPECT_EQ(fit_mode_if_bigger(rows[i].mode, rows[i].width, rows[i].height, 100),
                  rows[i].want);
}

TEST(fit, a_reduced_picture_still_has_what_the_filter_needs)
{
    UNUSED_STATE;
    EXPECT_EQ(fit_reduction(3000, 2000, FIT_KEEP_RATIO, 448), 4);
    EXPECT_EQ(fit_reduction(3584, 4000, FIT_CENTER_CROP, 448), 8);
    EXPECT_EQ(fit_reduction(3583, 4000, FIT_CENTER_CROP, 448), 4);
    EXPECT_EQ(fit_reduction(60000, 60000, FIT_ADAPTIVE, 448), 8);
    EXPECT_EQ(fit_reduction(895, 895, FIT_BORDER, 448), 1);
    EXPECT_EQ(fit_reduction(896, 10, FIT_BORDER, 448), 2);
    EXPECT_EQ(fit_reduction(5000, 5000, FIT_NO, 448), 1);
    EXPECT_EQ(fit_reduction(10, 60000, FIT_KEEP_RATIO, 448), 1);
    for (uint32_t width = 1; width < 400; width += 7)
        for (uint32_t height = 1; height < 400; height += 11)
            for (int mode = 0; mode < FIT_MODES_COUNT; mode++) {
                const struct fit_plan plan = plan_of((enum fit_mode)mode, width, height, 24);
                const uint32_t by = fit_reduction(width, height, (enum fit_mode)mode, 24);
                if (by > 1) EXPECT((width + by - 1) / by >= plan.scaled_width);
                if (by > 1) EXPECT((height + by - 1) / by >= plan.scaled_height);
            }
}

TEST(fit, uses_the_filter_of_the_plan)
{
    UNUSED_STATE;
    struct image src, want, dst;
    struct err err;
    EXPECT(image_init(&src, 9, 6, 1));
    for (uint32_t i = 0; i < 54; i++) src.pixels[i] = (uint8_t)(i * i * 7);
    struct fit_plan plan = plan_of(FIT_KEEP_RATIO, 9, 6, 4);
    EXPECT_EQ(plan.filter, RESIZE_BICUBIC);
    plan.filter = RESIZE_BOX;
    EXPECT_OK(fit_apply(&dst, &src, &plan, &err), &err);
    EXPECT_OK(resize_image(&want, &src, 6, 4, RESIZE_BOX, &err), &err);
    EXPECT_MEM(dst.pixels, want.pixels, 24);
    image_deinit(&src);
    image_deinit(&want);
    image_deinit(&dst);
}

TEST(fit, a_side_never_becomes_zero)
{
    UNUSED_STATE;
    struct fit_plan plan = plan_of(FIT_BORDER, 1, 60000, 448);
    expect_sizes(&plan, 1, 448, 448, 448);
    plan = plan_of(FIT_ADAPTIVE, 60000, 1, 448);
    expect_sizes(&plan, 448, 1, 448, 448);
    EXPECT_EQ(plan.pad_y, 223);
}

TEST(fit, refuses_what_cannot_be_done)
{
    UNUSED_STATE;
    struct fit_plan plan;
    struct err err;
    EXPECT_EQ(fit_plan(&plan, 1, 60000, FIT_KEEP_RATIO, 448, &err), ERR_LIMIT);
    EXPECT_EQ(fit_plan(&plan, 1, 60000, FIT_CENTER_CROP, 448, &err), ERR_LIMIT);
    EXPECT_EQ(fit_plan(&plan, 1, 65501, FIT_NO, 448, &err), ERR_LIMIT);
    EXPECT_EQ(fit_plan(&plan, UINT32_MAX, 1, FIT_KEEP_RATIO, UINT32_MAX, &err), ERR_LIMIT);
    EXPECT_EQ(fit_plan(&plan, 0, 5, FIT_NO, 448, &err), ERR_INVALID);
    EXPECT_EQ(fit_plan(&plan, 5, 0, FIT_BORDER, 448, &err), ERR_INVALID);
    EXPECT_EQ(fit_plan(&plan, 5, 5, FIT_BORDER, 0, &err), ERR_INVALID);
    EXPECT_EQ(fit_plan(&plan, 5, 5, FIT_MODES_COUNT, 448, &err), ERR_INVALID);
}

/* Each pixel tells its place. */
static struct image chart(uint32_t width, uint32_t height)
{
    struct image image;
    EXPECT(image_init(&image, width, height, 3));
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++) {
            uint8_t *pixel = image_row(&image, y) + (size_t)x * 3;
            pixel[0] = (uint8_t)(x + 1);
            pixel[1] = (uint8_t)(y + 1);
            pixel[2] = 100;
        }
    return image;
}

TEST(fit, the_crop_shows_the_middle)
{
    UNUSED_STATE;
    struct image src = chart(9, 6), dst;
    struct err err;
    const struct fit_plan plan = plan_of(FIT_CENTER_CROP, 9, 6, 6);
    EXPECT_OK(fit_apply(&dst, &src, &plan, &err), &err);
    for (uint32_t y = 0; y < 6; y++)
        EXPECT_MEM(image_row(&dst, y), image_row(&src, y) + 3, 18); /* from x = 1 */
    image_deinit(&src);
    image_deinit(&dst);
}

TEST(fit, bars_surround_the_picture)
{
    UNUSED_STATE;
    static const enum fit_mode modes[] = {FIT_ADAPTIVE, FIT_BORDER};
    for (int i = 0; i < 2; i++) {
        struct image src = chart(7, 2), dst;
        struct err err;
        const struct fit_plan plan = plan_of(modes[i], 7, 2, 7);
        EXPECT_OK(fit_apply(&dst, &src, &plan, &err), &err);
        EXPECT_EQ(dst.width, 7);
        EXPECT_EQ(dst.height, 7);
        for (uint32_t y = 0; y < 7; y++) {
            const bool inside = y >= 2 && y < 4; /* five rows of bars: two above, three below */
            uint8_t bar[21];
            memset(bar, i ? 255 : 0, sizeof bar);
            EXPECT_MEM(image_row(&dst, y), inside ? image_row(&src, y - 2) : bar, 21);
        }
        image_deinit(&src);
        image_deinit(&dst);
    }
}

TEST(fit, resizes_before_it_crops)
{
    UNUSED_STATE;
    struct image src = chart(40, 30), scaled, dst;
    struct err err;
    const struct fit_plan plan = plan_of(FIT_ADAPTIVE, 40, 30, 12);
    EXPECT_OK(fit_apply(&dst, &src, &plan, &err), &err);
    EXPECT_OK(resize_bicubic(&scaled, &src, 16, 12, &err), &err);
    for (uint32_t y = 0; y < 12; y++) EXPECT_MEM(image_row(&dst, y), image_row(&scaled, y) + 6, 36);
    image_deinit(&src);
    image_deinit(&scaled);
    image_deinit(&dst);
}

TEST(fit, takes_the_pixels_when_nothing_is_to_do)
{
    UNUSED_STATE;
    struct image src = chart(5, 4), dst = {0};
    struct err err;
    const uint8_t *pixels = src.pixels;
    struct fit_plan plan = plan_of(FIT_NO, 5, 4, 0);
    EXPECT_OK(fit_take(&dst, &src, &plan, &err), &err);
    EXPECT(dst.pixels == pixels);
    EXPECT(src.pixels == NULL);
    plan = plan_of(FIT_BORDER, 5, 4, 8);
    EXPECT_OK(fit_take(&src, &dst, &plan, &err), &err);
    EXPECT(dst.pixels == NULL);
    EXPECT_EQ(src.width, 8);
    plan = plan_of(FIT_NO, 8, 8, 0);
    EXPECT_OK(fit_apply(&dst, &src, &plan, &err), &err); /* a copy */
    EXPECT(dst.pixels != src.pixels);
    EXPECT_MEM(dst.pixels, src.pixels, 8 * 8 * 3);
    image_deinit(&src);
    image_deinit(&dst);
}

TEST(fit, survives_every_failed_allocation)
{
    UNUSED_STATE;
    struct image src = chart(9, 5), dst;
    struct err err;
    const struct fit_plan plan = plan_of(FIT_ADAPTIVE, 9, 5, 7);
    int rc = ERR_LIMIT, failures = 0;
    for (int64_t after = 0; rc; after++) {
        (void)mem_fail(after, 1);
        rc = fit_take(&dst, &src, &plan, &err);
        (void)mem_fail(-1, 0);
        if (!rc) break;
        EXPECT_EQ(rc, ERR_LIMIT);
        EXPECT(dst.pixels == NULL);
        EXPECT(src.pixels != NULL);
        failures++;
    }
    EXPECT_EQ(failures, 6);
    image_deinit(&dst);
}

TEST(fit, has_a_name_for_every_mode)
{
    UNUSED_STATE;
    EXPECT_TEXT(fit_mode_name(FIT_ADAPTIVE), "adaptive");
    EXPECT_TEXT(fit_mode_name(FIT_CENTER_CROP), "center_crop");
    for (int i = 0; i < FIT_MODES_COUNT; i++)
        EXPECT(strcmp(fit_mode_name((enum fit_mode)i), "unknown") != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(fit, adaptive_crops_mild_ratios_and_pads_extreme_ones),
        RUN(fit, border_pads_with_white),
        RUN(fit, keep_ratio_and_center_crop_scale_the_shorter_side),
        RUN(fit, keep_ratio_largest_scales_the_longer_side_without_bars),
        RUN(fit, only_shrinking_leaves_alone_what_is_small_in_the_side_that_counts),
        RUN(fit, a_reduced_picture_still_has_what_the_filter_needs),
        RUN(fit, uses_the_filter_of_the_plan),
        RUN(fit, a_side_never_becomes_zero),
        RUN(fit, refuses_what_cannot_be_done),
        RUN(fit, the_crop_shows_the_middle),
        RUN(fit, bars_surround_the_picture),
        RUN(fit, resizes_before_it_crops),
        RUN(fit, takes_the_pixels_when_nothing_is_to_do),
        RUN(fit, survives_every_failed_allocation),
        RUN(fit, has_a_name_for_every_mode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
