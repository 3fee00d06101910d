/* image.h - a picture in memory: 8-bit samples, interleaved channels, rows from the top.
 *
 * The struct owns its pixels; image_deinit frees them and accepts a zeroed struct. Sizes come
 * from data, so allocation answers false instead of dying. Channels: 1 gray, 2 gray + alpha,
 * 3 RGB, 4 RGBA. Nothing here has state of its own: any thread, one per image at a time. */
#ifndef PIPE_IMAGE_H
#define PIPE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IMAGE_CHANNELS_MAX 4

struct image {
    uint32_t width, height, channels;
    size_t stride; /* bytes from a row to the next; at least width * channels */
    uint8_t *pixels;
};

/* A zeroed (black) picture with rows close together. False: out of memory, too large for the
 * types, or a zero size; *image is then zeroed. */
bool image_init(struct image *image, uint32_t width, uint32_t height, uint32_t channels);
/* The same with pixels that mean nothing yet: for who writes each of them. */
bool image_init_bare(struct image *image, uint32_t width, uint32_t height, uint32_t channels);
void image_deinit(struct image *image);
void image_move(struct image *dst, struct image *src); /* frees dst's, empties src */
uint8_t *image_row(const struct image *image, uint32_t y);
/* Sets every byte, padding included. */
void image_fill(struct image *image, uint8_t value);
/* Copies a rectangle of src to (x, y) of dst; it lies within both, channels are equal. */
struct image_rect {
    uint32_t x, y, width, height;
};
void image_copy(struct image *dst, uint32_t x, uint32_t y, const struct image *src,
                const struct image_rect *rect);
/* Turns and mirrors as the EXIF orientation (1 to 8; others do nothing) says, so that the picture
 * stands upright. False: out of memory, *image unchanged. */
bool image_orient(struct image *image, uint32_t orientation);
/* Blends alpha on a background, a level for each colour, and drops it: RGBA becomes RGB, gray +
 * alpha becomes gray. In place, keeping the allocation. round((a*p + (255-a)*background) / 255). */
void image_flatten(struct image *image, const uint8_t *background);

#endif
