/* blur.c - see blur.h. Means are running sums: a step adds the pixel that enters the window and
 * takes away the one that leaves. Picture and mask are blurred together, as one picture of four
 * channels.
 *
 * Only the area around the boxes is copied: the mask ends three radii from them, and what is
 * blurred there looks three radii further. */
#include "worker/pipe/blur.h"

#include "common/base/check.h"
#include "common/base/mem.h"

#include <math.h>
#include <string.h>

#define PASSES   3
#define CHANNELS 4  /* red, green, blue, mask */
#define STRIP    16 /* columns that are blurred side by side */
#define LANES    (STRIP * CHANNELS)

/* Pixels from (x0, y0) up to, not with, (x1, y1). */
struct area {
    uint32_t x0, y0, x1, y1;
};

static uint32_t clip(double value, uint32_t max)
{
    if (!(value > 0.0)) return 0;
    return value < (double)max ? (uint32_t)value : max;
}

/* The pixels that a box covers; false: none. */
static bool to_pixels(struct area *area, const struct image *image, const struct blur_box *box)
{
    area->x0 = clip(floor(box->x0 * image->width), image->width);
    area->y0 = clip(floor(box->y0 * image->height), image->height);
    area->x1 = clip(ceil(box->x1 * image->width), image->width);
    area->y1 = clip(ceil(box->y1 * image->height), image->height);
    return area->x0 < area->x1 && area->y0 < area->y1;
}

static uint32_t longer_side(const struct area *area)
{
    const uint32_t width = area->x1 - area->x0, height = area->y1 - area->y0;
    return width > height ? width : height;
}

static uint32_t tenth(uint32_t value)
{
    return (value + 5) / 10;
}

static void widen(struct area *area, const struct image *image, uint32_t by)
{
    area->x0 = area->x0 > by ? area->x0 - by : 0;
    area->y0 = area->y0 > by ? area->y0 - by : 0;
    area->x1 = image->width - area->x1 > by ? area->x1 + by : image->width;
    area->y1 = image->height - area->y1 > by ? area->y1 + by : image->height;
}

static void join(struct area *all, const struct area *one)
{
    if (one->x0 < all->x0) all->x0 = one->x0;
    if (one->y0 < all->y0) all->y0 = one->y0;
    if (one->x1 > all->x1) all->x1 = one->x1;
    if (one->y1 > all->y1) all->y1 = one->y1;
}

/* Blurs `count` pixels of `lanes` bytes each that stand one after the other in line, which has room
 * for as many again. */
static void blur_line(uint8_t *line, size_t count, size_t lanes, uint32_t radius)
{
    uint32_t sum[LANES];
    const uint32_t window = 2 * radius + 1;
    const uint8_t *src = line;
    uint8_t *dst = line + count * lanes;
    const uint8_t *last = src + (count - 1) * lanes;
    CHECK(lanes <= LANES);
    for (size_t lane = 0; lane < lanes; lane++) sum[lane] = (radius + 1) * src[lane];
    for (uint32_t i = 1; i <= radius; i++) {
        const uint8_t *pixel = i < count ? src + i * lanes : last;
        for (size_t lane = 0; lane < lanes; lane++) sum[lane] += pixel[lane];
    }
    for (size_t i = 0; i < count; i++, dst += lanes) {
        const uint8_t *leaves = i > radius ? src + (i - radius) * lanes : src;
        const uint8_t *enters = count - i > radius + 1 ? src + (i + radius + 1) * lanes : last;
        for (size_t lane = 0; lane < lanes; lane++) {
            dst[lane] = (uint8_t)((sum[lane] + radius) / window);
            sum[lane] = sum[lane] + enters[lane] - leaves[lane];
        }
    }
    memcpy(line, line + count * lanes, count * lanes);
}

static void blur_rows(struct image *image, uint8_t *line, uint32_t radius)
{
    const size_t bytes = (size_t)image->width * CHANNELS;
    for (uint32_t y = 0; y < image->height; y++) {
        memcpy(line, image_row(image, y), bytes);
        blur_line(line, image->width, CHANNELS, radius);
        memcpy(image_row(image, y), line, bytes);
    }
}

static void blur_columns(struct image *image, uint8_t *line, uint32_t radius)
{
    for (uint32_t x = 0; x < image->width; x += STRIP) {
        const uint32_t columns = image->width - x < STRIP ? image->width - x : STRIP;
        const size_t lanes = (size_t)columns * CHANNELS;
        for (uint32_t y = 0; y < image->height; y++)
            memcpy(line + y * lanes, image_row(image, y) + (size_t)x * CHANNELS, lanes);
        blur_line(line, image->height, lanes, radius);
        for (uint32_t y = 0; y < image->height; y++)
            memcpy(image_row(image, y) + (size_t)x * CHANNELS, line + y * lanes, lanes);
    }
}

static void copy_out(struct image *part, const struct image *image, const struct area *area)
{
    for (uint32_t y = 0; y < part->height; y++) {
        const uint8_t *src = image_row(image, area->y0 + y) + (size_t)area->x0 * 3;
        uint8_t *dst = image_row(part, y);
        for (uint32_t x = 0; x < part->width; x++, src += 3, dst += CHANNELS) memcpy(dst, src, 3);
    }
}

static void blend_in(struct image *image, const struct image *part, const struct area *area)
{
    for (uint32_t y = 0; y < part->height; y++) {
        const uint8_t *src = image_row(part, y);
        uint8_t *dst = image_row(image, area->y0 + y) + (size_t)area->x0 * 3;
        for (uint32_t x = 0; x < part->width; x++, src += CHANNELS, dst += 3)
            for (int c = 0; c < 3; c++) {
                const uint32_t mask = src[3];
                dst[c] = (uint8_t)((mask * src[c] + (255 - mask) * dst[c] + 127) / 255);
            }
    }
}

static void mark(struct image *part, const struct area *area, const struct area *box)
{
    for (uint32_t y = box->y0; y < box->y1; y++) {
        uint8_t *row = image_row(part, y - area->y0);
        for (uint32_t x = box->x0; x < box->x1; x++)
            row[(size_t)(x - area->x0) * CHANNELS + 3] = 255;
    }
}

static void mark_boxes(struct image *part, const struct area *area, const struct image *image,
                       const struct blur_box *box, uint32_t boxes)
{
    for (uint32_t i = 0; i < boxes; i++) {
        struct area one;
        if (!to_pixels(&one, image, &box[i])) continue;
        widen(&one, image, tenth(longer_side(&one)));
        mark(part, area, &one);
    }
}

int blur_boxes(struct image *image, const struct blur_box *box, uint32_t boxes, struct err *err)
{
    struct area all = {image->width, image->height, 0, 0};
    uint32_t longest = 0;
    CHECK(image->channels == 3);
    for (uint32_t i = 0; i < boxes; i++) {
        struct area one;
        if (!to_pixels(&one, image, &box[i])) continue;
        const uint32_t side = longer_side(&one);
        if (side > longest) longest = side;
        widen(&one, image, tenth(side));
        join(&all, &one);
    }
    if (!longest) return 0;
    const uint32_t radius = tenth(longest) ? tenth(longest) : 1;
    widen(&all, image, 2 * PASSES * radius);
    struct image part;
    const uint32_t width = all.x1 - all.x0, height = all.y1 - all.y0;
    const size_t across = (size_t)width * CHANNELS, down = (size_t)height * LANES;
    uint8_t *line = mem_try(2 * (across > down ? across : down));
    if (!line || !image_init(&part, width, height, CHANNELS)) {
        mem_free(line);
        return err_set(err, ERR_LIMIT, "no memory to blur %u x %u pixels", width, height);
    }
    copy_out(&part, image, &all);
    mark_boxes(&part, &all, image, box, boxes);
    for (int pass = 0; pass < PASSES; pass++) {
        blur_rows(&part, line, radius);
        blur_columns(&part, line, radius);
    }
    blend_in(image, &part, &all);
    image_deinit(&part);
    mem_free(line);
    return 0;
}
