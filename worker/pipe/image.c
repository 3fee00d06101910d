/* image.c - allocation, copies and the few whole-picture moves that decoding needs. */
#include "worker/pipe/image.h"

#include "common/base/check.h"
#include "common/base/mem.h"

#include <string.h>

bool image_init_bare(struct image *image, uint32_t width, uint32_t height, uint32_t channels)
{
    CHECK(channels >= 1 && channels <= IMAGE_CHANNELS_MAX);
    *image = (struct image){0};
    if (!width || !height) return false;
    size_t stride, bytes;
    if (__builtin_mul_overflow((size_t)width, (size_t)channels, &stride) ||
        __builtin_mul_overflow(stride, (size_t)height, &bytes))
        return false;
    uint8_t *pixels = mem_resize(NULL, bytes);
    if (!pixels) return false;
    *image = (struct image){width, height, channels, stride, pixels};
    return true;
}

bool image_init(struct image *image, uint32_t width, uint32_t height, uint32_t channels)
{
    if (!image_init_bare(image, width, height, channels)) return false;
    image_fill(image, 0);
    return true;
}

void image_deinit(struct image *image)
{
    mem_free(image->pixels);
    *image = (struct image){0};
}

void image_move(struct image *dst, struct image *src)
{
    if (dst == src) return;
    image_deinit(dst);
    *dst = *src;
    *src = (struct image){0};
}

uint8_t *image_row(const struct image *image, uint32_t y)
{
    CHECK(y < image->height);
    return image->pixels + y * image->stride;
}

void image_fill(struct image *image, uint8_t value)
{
    memset(image->pixels, value, image->stride * image->height);
}

void image_copy(struct image *dst, uint32_t x, uint32_t y, const struct image *src,
                const struct image_rect *rect)
{
    CHECK(dst->channels == src->channels);
    CHECK(rect->x <= src->width && rect->width <= src->width - rect->x);
    CHECK(rect->y <= src->height && rect->height <= src->height - rect->y);
    CHECK(x <= dst->width && rect->width <= dst->width - x);
    CHECK(y <= dst->height && rect->height <= dst->height - y);
    const size_t pixel = src->channels;
    for (uint32_t row = 0; row < rect->height; row++)
        memcpy(image_row(dst, y + row) + x * pixel, image_row(src, rect->y + row) + rect->x * pixel,
               rect->width * pixel);
}

static void swap_pixels(uint8_t *a, uint8_t *b, uint32_t channels)
{
    for (uint32_t c = 0; c < channels; c++) {
        const uint8_t kept = a[c];
        a[c] = b[c];
        b[c] = kept;
    }
}

static void mirror(struct image *image)
{
    const uint32_t channels = image->channels;
    for (uint32_t y = 0; y < image->height; y++) {
        uint8_t *left = image_row(image, y);
        uint8_t *right = left + (size_t)(image->width - 1) * channels;
        for (; left < right; left += channels, right -= channels)
            swap_pixels(left, right, channels);
    }
}

static void flip(struct image *image)
{
    const size_t bytes = (size_t)image->width * image->channels;
    for (uint32_t y = 0; y < image->height / 2; y++) {
        uint8_t *top = image_row(image, y);
        uint8_t *bottom = image_row(image, image->height - 1 - y);
        for (size_t i = 0; i < bytes; i++) {
            const uint8_t kept = top[i];
            top[i] = bottom[i];
            bottom[i] = kept;
        }
    }
}

/* Rows become columns; mirroring before or after gives the other three quarter turns. */
static bool transpose(struct image *image)
{
    struct image turned;
    if (!image_init(&turned, image->height, image->width, image->channels)) return false;
    const uint32_t channels = image->channels;
    for (uint32_t y = 0; y < image->height; y++) {
        const uint8_t *src = image_row(image, y);
        uint8_t *dst = turned.pixels + (size_t)y * channels;
        for (uint32_t x = 0; x < image->width; x++) {
            for (uint32_t c = 0; c < channels; c++) dst[c] = src[c];
            src += channels;
            dst += turned.stride;
        }
    }
    image_move(image, &turned);
    return true;
}

bool image_orient(struct image *image, uint32_t orientation)
{
    if (orientation >= 5 && orientation <= 8 && !transpose(image)) return false;
    switch (orientation) {
    case 2:
    case 6:
        mirror(image);
        break; /* 6: a quarter turn to the right */
    case 4:
    case 8:
        flip(image);
        break; /* 8: to the left */
    case 3:
    case 7:
        mirror(image);
        flip(image);
        break;
    default:
        break; /* 1 and 5 are done */
    }
    return true;
}

void image_flatten(struct image *image, const uint8_t *background)
{
    CHECK(image->channels == 2 || image->channels == 4);
    const uint32_t colours = image->channels - 1;
    const size_t stride = (size_t)image->width * colours;
    for (uint32_t y = 0; y < image->height; y++) {
        const uint8_t *src = image_row(image, y);
        uint8_t *dst = image->pixels + y * stride; /* never ahead of src */
        for (uint32_t x = 0; x < image->width; x++) {
            const uint32_t alpha = src[colours];
            for (uint32_t c = 0; c < colours; c++)
                dst[c] = (uint8_t)((alpha * src[c] + (255 - alpha) * background[c] + 127) / 255);
            src += image->channels;
            dst += colours;
        }
    }
    image->channels = colours;
    image->stride = stride;
}
