/* preprocess.c - the place of the crop in the resized picture first, then those pixels alone. */
#include "worker/pipe/preprocess.h"

#include "common/base/check.h"

#include <inttypes.h>
#include <string.h>

static int find_filter(enum resize_filter *filter, enum preprocessor_filter number, struct err *err)
{
    switch (number) {
    case PREPROCESSOR_NEAREST:
        *filter = RESIZE_NEAREST;
        return 0;
    case PREPROCESSOR_LANCZOS:
        *filter = RESIZE_LANCZOS;
        return 0;
    case PREPROCESSOR_BILINEAR:
        *filter = RESIZE_BILINEAR;
        return 0;
    case PREPROCESSOR_BICUBIC:
        *filter = RESIZE_BICUBIC;
        return 0;
    case PREPROCESSOR_BOX:
        *filter = RESIZE_BOX;
        return 0;
    case PREPROCESSOR_HAMMING:
        break;
    }
    return err_set(
        err, ERR_INVALID,
        "resample is %d; nearest (0), lanczos (1), bilinear (2), bicubic (3) and box (4) "
        "are supported",
        (int)number);
}

static int check_side(int64_t height, int64_t width, const char *name, uint32_t side,
                      struct err *err)
{
    if (height == side && width == side) return 0;
    return err_set(err, ERR_INVALID,
                   "%s is %" PRId64 " x %" PRId64 "; the model takes pictures of %u x %u", name,
                   height, width, side, side);
}

int preprocess_init(struct preprocess *preprocess, const struct preprocessor_config *config,
                    uint32_t side, enum preprocess_crop crop, struct err *err)
{
    *preprocess = (struct preprocess){.resizes = config->resizes,
                                      .crops = config->crops,
                                      .side = side,
                                      .shortest_edge = (uint32_t)config->shortest_edge,
                                      .resize_width = (uint32_t)config->resize_width,
                                      .resize_height = (uint32_t)config->resize_height,
                                      .crop = crop};
    int rc = config->resizes ? find_filter(&preprocess->filter, config->filter, err) : 0;
    if (!rc && config->crops)
        rc = check_side(config->crop_height, config->crop_width, "crop_size", side, err);
    else if (!rc && config->resizes && config->shortest_edge)
        rc = check_side(config->shortest_edge, config->shortest_edge, "size", side, err);
    else if (!rc && config->resizes)
        rc = check_side(config->resize_height, config->resize_width, "size", side, err);
    return rc ? err_wrap(err, "preprocessor_config.json") : 0;
}

/* Width and height of the whole picture when it is resized. */
static int find_size(uint32_t size[2], const struct preprocess *preprocess, const struct image *src,
                     struct err *err)
{
    size[0] = src->width;
    size[1] = src->height;
    if (!preprocess->resizes) return 0;
    if (!preprocess->shortest_edge) {
        size[0] = preprocess->resize_width;
        size[1] = preprocess->resize_height;
        return 0;
    }
    const int shorter = src->width <= src->height ? 0 : 1;
    const uint64_t longer = (uint64_t)preprocess->shortest_edge * size[1 - shorter] / size[shorter];
    if (longer > INT32_MAX)
        return err_set(err, ERR_INVALID, "a picture of %u x %u is too narrow to be resized",
                       src->width, src->height);
    size[1 - shorter] = (uint32_t)longer;
    size[shorter] = preprocess->shortest_edge;
    return 0;
}

/* Where in a row of `size` pixels the crop begins; below 0: it begins before them. */
static int64_t crop_begin(uint32_t size, uint32_t side, enum preprocess_crop crop)
{
    const int64_t over = (int64_t)size - side;
    if (crop == PREPROCESS_CROP_OPENAI) {
        if (over < 0) return -(-over / 2);
        const int64_t half = over / 2;
        return over % 2 ? half + half % 2 : half;
    }
    return over >= 0 ? over / 2 : -((1 - over) / 2);
}

/* One axis: count pixels from `from` on of the resized picture stand at `to` of the square. */
struct window {
    uint32_t from, to, count;
};

static struct window find_window(uint32_t size, const struct preprocess *preprocess)
{
    const int64_t begin = crop_begin(size, preprocess->side, preprocess->crop);
    if (begin < 0) return (struct window){0, (uint32_t)-begin, size};
    const uint32_t count = size < preprocess->side ? size : preprocess->side;
    return (struct window){(uint32_t)begin, 0, count};
}

static void copy_row(uint8_t *dst, const uint8_t *src, uint32_t width, uint32_t channels)
{
    if (channels == 3)
        memcpy(dst, src, (size_t)width * 3);
    else
        for (uint32_t x = 0; x < width; x++) memset(dst + (size_t)x * 3, src[x], 3);
}

int preprocess_image(uint8_t *dst, const struct preprocess *preprocess, const struct image *src,
                     struct err *err)
{
    const uint32_t side = preprocess->side;
    struct image part = {0};
    uint32_t size[2];
    CHECK(src->channels == 1 || src->channels == 3);
    int rc = find_size(size, preprocess, src, err);
    if (rc) return rc;
    if (!preprocess->crops && (size[0] != side || size[1] != side))
        return err_set(err, ERR_INVALID,
                       "a picture of %u x %u, where the model takes %u x %u and "
                       "preprocessor_config.json crops nothing",
                       size[0], size[1], side, side);
    const struct window columns = find_window(size[0], preprocess);
    const struct window rows = find_window(size[1], preprocess);
    const struct image_rect rect = {columns.from, rows.from, columns.count, rows.count};
    rc = resize_part(&part, src, size[0], size[1], &rect, preprocess->filter, err);
    if (rc) return rc;
    if (rows.count < side || columns.count < side) memset(dst, 0, (size_t)side * side * 3);
    for (uint32_t y = 0; y < rows.count; y++)
        copy_row(dst + ((size_t)(rows.to + y) * side + columns.to) * 3, image_row(&part, y),
                 columns.count, part.channels);
    image_deinit(&part);
    return 0;
}
