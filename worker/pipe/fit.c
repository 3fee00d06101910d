/* fit.c - the sizes of the resize modes, and carrying them out. */
#include "worker/pipe/fit.h"

#include "common/base/check.h"

/* shorter/longer at which adaptive begins to crop, as a fraction of whole numbers. */
#define ADAPTIVE_NUMERATOR   3
#define ADAPTIVE_DENOMINATOR 5

#define WHITE 255
#define BLACK 0

/* size * side / reference, truncated, at least 1. */
static uint32_t scaled(uint32_t size, uint32_t side, uint32_t reference)
{
    const uint64_t value = (uint64_t)size * side / reference;
    if (value > UINT32_MAX) return UINT32_MAX;
    return value ? (uint32_t)value : 1;
}

static void scale_shorter(struct fit_plan *plan, uint32_t width, uint32_t height, uint32_t side)
{
    const uint32_t shorter = width < height ? width : height;
    plan->scaled_width = width == shorter ? side : scaled(width, side, shorter);
    plan->scaled_height = height == shorter ? side : scaled(height, side, shorter);
}

static void scale_longer(struct fit_plan *plan, uint32_t width, uint32_t height, uint32_t side)
{
    const uint32_t longer = width > height ? width : height;
    plan->scaled_width = width == longer ? side : scaled(width, side, longer);
    plan->scaled_height = height == longer ? side : scaled(height, side, longer);
}

static void plan_crop(struct fit_plan *plan, uint32_t width, uint32_t height, uint32_t side)
{
    scale_shorter(plan, width, height, side);
    plan->width = plan->height = side;
    plan->crop_x = (plan->scaled_width - side) / 2;
    plan->crop_y = (plan->scaled_height - side) / 2;
    plan->cropped = plan->scaled_width != side || plan->scaled_height != side;
}

static void plan_bars(struct fit_plan *plan, uint32_t width, uint32_t height, uint32_t side,
                      uint8_t background)
{
    scale_longer(plan, width, height, side);
    plan->width = plan->height = side;
    plan->pad_x = (side - plan->scaled_width) / 2;
    plan->pad_y = (side - plan->scaled_height) / 2;
    plan->background = background;
    plan->padded = plan->scaled_width != side || plan->scaled_height != side;
}

static bool is_mild(uint32_t width, uint32_t height)
{
    const uint64_t shorter = width < height ? width : height;
    const uint64_t longer = width < height ? height : width;
    return shorter * ADAPTIVE_DENOMINATOR >= longer * ADAPTIVE_NUMERATOR;
}

int fit_plan(struct fit_plan *plan, uint32_t width, uint32_t height, enum fit_mode mode,
             uint32_t side, struct err *err)
{
    *plan = (struct fit_plan){.scaled_width = width, .scaled_height = height};
    if (!width || !height || (!side && mode != FIT_NO))
        return err_set(err, ERR_INVALID, "fit %ux%u to %u", width, height, side);
    switch (mode) {
    case FIT_ADAPTIVE:
        if (is_mild(width, height))
            plan_crop(plan, width, height, side);
        else
            plan_bars(plan, width, height, side, BLACK);
        break;
    case FIT_NO:
        plan->width = width;
        plan->height = height;
        break;
    case FIT_BORDER:
        plan_bars(plan, width, height, side, WHITE);
        break;
    case FIT_KEEP_RATIO:
        scale_shorter(plan, width, height, side);
        plan->width = plan->scaled_width;
        plan->height = plan->scaled_height;
        break;
    case FIT_CENTER_CROP:
        plan_crop(plan, width, height, side);
        break;
    case FIT_KEEP_RATIO_LARGEST:
        scale_longer(plan, width, height, side);
        plan->width = plan->scaled_width;
        plan->height = plan->scaled_height;
        break;
    case FIT_MODES_COUNT:
    default:
        return err_set(err, ERR_INVALID, "unknown resize mode %d", (int)mode);
    }
    if (plan->scaled_width > FIT_SIDE_MAX || plan->scaled_height > FIT_SIDE_MAX)
        return err_set(err, ERR_LIMIT, "%ux%u would become %ux%u", width, height,
                       plan->scaled_width, plan->scaled_height);
    plan->resized = plan->scaled_width != width || plan->scaled_height != height;
    return 0;
}

static bool scales_shorter(enum fit_mode mode, uint32_t width, uint32_t height)
{
    if (mode == FIT_ADAPTIVE) return is_mild(width, height);
    return mode == FIT_KEEP_RATIO || mode == FIT_CENTER_CROP;
}

enum fit_mode fit_mode_if_bigger(enum fit_mode mode, uint32_t width, uint32_t height, uint32_t side)
{
    const uint32_t shorter = width < height ? width : height;
    const uint32_t longer = width < height ? height : width;
    return (scales_shorter(mode, width, height) ? shorter : longer) > side ? mode : FIT_NO;
}

uint32_t fit_reduction(uint32_t width, uint32_t height, enum fit_mode mode, uint32_t side)
{
    struct fit_plan plan;
    if (fit_plan(&plan, width, height, mode, side, NULL)) return 1;
    const uint32_t across = width / plan.scaled_width, down = height / plan.scaled_height;
    const uint32_t times = across < down ? across : down;
    return times >= 8 ? 8 : times >= 4 ? 4 : times >= 2 ? 2 : 1;
}

/* Crop and bars of a picture that has its scaled size. */
static int frame(struct image *dst, const struct image *scaled_image, const struct fit_plan *plan,
                 struct err *err)
{
    CHECK(scaled_image->width == plan->scaled_width);
    CHECK(scaled_image->height == plan->scaled_height);
    if (!image_init(dst, plan->width, plan->height, scaled_image->channels))
        return err_set(err, ERR_LIMIT, "out of memory for a picture of %ux%u", plan->width,
                       plan->height);
    if (plan->padded && plan->background) image_fill(dst, plan->background);
    struct image_rect rect = {plan->crop_x, plan->crop_y, plan->scaled_width, plan->scaled_height};
    if (rect.width > plan->width) rect.width = plan->width;
    if (rect.height > plan->height) rect.height = plan->height;
    image_copy(dst, plan->pad_x, plan->pad_y, scaled_image, &rect);
    return 0;
}

int fit_apply(struct image *dst, const struct image *src, const struct fit_plan *plan,
              struct err *err)
{
    *dst = (struct image){0};
    if (!plan->resized) return frame(dst, src, plan, err);
    struct image between = {0};
    int rc =
        resize_image(&between, src, plan->scaled_width, plan->scaled_height, plan->filter, err);
    if (rc) return rc;
    if (plan->cropped || plan->padded)
        rc = frame(dst, &between, plan, err);
    else
        image_move(dst, &between);
    image_deinit(&between);
    return rc;
}

int fit_take(struct image *dst, struct image *src, const struct fit_plan *plan, struct err *err)
{
    if (!plan->resized && !plan->cropped && !plan->padded) {
        *dst = *src;
        *src = (struct image){0};
        return 0;
    }
    const int rc = fit_apply(dst, src, plan, err);
    if (!rc) image_deinit(src);
    return rc;
}

const char *fit_mode_name(enum fit_mode mode)
{
    switch (mode) {
    case FIT_ADAPTIVE:
        return "adaptive";
    case FIT_NO:
        return "no";
    case FIT_BORDER:
        return "border";
    case FIT_KEEP_RATIO:
        return "keep_ratio";
    case FIT_CENTER_CROP:
        return "center_crop";
    case FIT_KEEP_RATIO_LARGEST:
        return "keep_ratio_largest";
    case FIT_MODES_COUNT:
        break;
    }
    return "unknown";
}
