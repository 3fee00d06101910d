/* decode_fuzz.c - any bytes become a picture or a status, under small limits; pictures then go
 * through the rest of the pipe. Seeds: tests/golden/images. */
#include "common/base/buf.h"
#include "common/base/check.h"
#include "worker/pipe/decode.h"
#include "worker/pipe/encode.h"
#include "worker/pipe/exif.h"
#include "worker/pipe/fit.h"

#define SIDE 24

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void go_on(struct image *image, uint32_t choice)
{
    struct fit_plan plan;
    struct image fitted = {0};
    struct buf file;
    struct err err;
    struct picture_encoding options = {.format =
                                           (enum encode_format)(choice / 8 % ENCODE_FORMATS_COUNT)};
    const enum fit_mode mode =
        fit_mode_if_bigger((enum fit_mode)(choice % FIT_MODES_COUNT), image->width, image->height,
                           choice & 64 ? SIDE : 0);
    options.quality = choice % (options.format == ENCODE_PNG ? 9 : 100) + 1;
    options.lossless = options.format == ENCODE_WEBP && choice & 4;
    buf_init(&file, 1 << 20);
    if (fit_plan(&plan, image->width, image->height, mode, SIDE, &err)) return;
    plan.filter = (enum resize_filter)(choice / 4 % RESIZE_FILTERS_COUNT);
    if ((uint64_t)plan.scaled_width * plan.scaled_height > 1 << 16) return; /* only slow */
    CHECK(fit_take(&fitted, image, &plan, &err) == 0);
    CHECK(encode(&file, &fitted, &options, &err) == 0);
    image_deinit(&fitted);
    buf_deinit(&file);
}

static uint32_t reduction(const void *ctx, uint32_t width, uint32_t height)
{
    CHECK(width > 0 && height > 0);
    return 1U << *(const uint32_t *)ctx % 4;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct image image = {0};
    struct decode_info info;
    struct decode_options options = decode_options_default();
    const uint32_t choice = size ? data[size - 1] : 0;
    options.pixels_max = 1 << 16;
    options.side_max = 4096;
    options.scans_max = 12;
    options.memory_bytes_max = 8 << 20;
    options.alpha = choice & 1 ? DECODE_ALPHA_DROP : DECODE_ALPHA_BLEND;
    if (choice & 2) {
        options.reduction = reduction;
        options.reduction_ctx = &choice;
    }
    if (choice & 32) {
        options.side_min = 4;
        options.area_max = 1 << 14;
        options.aspect_max = 9.5;
    }
    const enum decode_status status = decode(&image, &info, data, size, &options);
    CHECK(info.orientation >= 1 && info.orientation <= 8);
    /* The tag is looked for also in what no decoder takes. */
    for (int format = 0; format < DECODE_FORMAT_COUNT; format++) {
        const uint32_t found = exif_orientation(data, size, (enum decode_format)format);
        CHECK(found >= 1 && found <= 8);
    }
    CHECK((status == DECODE_OK) == (image.pixels != NULL));
    if (status == DECODE_OK) {
        CHECK(image.channels == 3);
        CHECK((uint64_t)image.width * image.height <= options.pixels_max);
        const uint32_t shorter = info.width < info.height ? info.width : info.height;
        CHECK(shorter >= options.side_min);
        uint32_t sum = 0; /* every byte is there */
        for (uint32_t y = 0; y < image.height; y++)
            for (uint32_t i = 0; i < image.width * 3; i++) sum += image_row(&image, y)[i];
        go_on(&image, choice + sum);
    } else {
        CHECK(info.message[0]);
    }
    image_deinit(&image);
    return 0;
}
