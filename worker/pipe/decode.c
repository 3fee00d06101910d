/* decode.c - what all formats share: limits, alpha, orientation, names. */
#include "worker/pipe/decode.h"

#include "common/base/check.h"
#include "common/base/mem.h"
#include "worker/pipe/decode_codec.h"
#include "worker/pipe/exif.h"

#include <stdarg.h>
#include <stdio.h>

#define WHITE 255

struct decode_options decode_options_default(void)
{
    return (struct decode_options){
        .pixels_max = 100000000, /* above what cameras make; Pillow warns at 89 million */
        .side_max = 65535,
        .scans_max = 64,                                /* encoders write up to about 12 */
        .memory_bytes_max = (size_t)1024 * 1024 * 1024, /* 100 million pixels, progressive too */
        .background = {WHITE, WHITE, WHITE},
    };
}

void decode_message(struct decode_info *info, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(info->message, sizeof info->message, fmt, args);
    va_end(args);
}

static enum decode_status check_wanted(uint32_t width, uint32_t height,
                                       const struct decode_options *options)
{
    const uint32_t shorter = width < height ? width : height;
    const uint32_t longer = width < height ? height : width;
    if (shorter < options->side_min) return DECODE_TOO_SMALL;
    if (options->area_max > 0 && (uint64_t)width * height > options->area_max)
        return DECODE_TOO_LARGE_AREA;
    if (options->aspect_max > 0 && longer > options->aspect_max * shorter)
        return DECODE_TOO_LARGE_ASPECT;
    return DECODE_OK;
}

enum decode_status decode_admit(struct decode_info *info, uint32_t width, uint32_t height,
                                uint64_t need_per_pixel, const struct decode_options *options)
{
    info->width = width;
    info->height = height;
    enum decode_status status = DECODE_OK;
    const uint64_t pixels = (uint64_t)width * height;
    if (!pixels)
        status = DECODE_ZERO_SIZE;
    else if (width > options->side_max || height > options->side_max)
        status = DECODE_TOO_LARGE_SIDE;
    else if (pixels > options->pixels_max)
        status = DECODE_TOO_MANY_PIXELS;
    else if (pixels > options->memory_bytes_max / need_per_pixel)
        status = DECODE_NO_MEMORY;
    else
        status = check_wanted(width, height, options);
    if (status) decode_message(info, "%u x %u pixels", width, height);
    return status;
}

/* Keeps the colours under the alpha. */
static void drop_alpha(struct image *image)
{
    const size_t stride = (size_t)image->width * 3;
    for (uint32_t y = 0; y < image->height; y++) {
        const uint8_t *src = image_row(image, y);
        uint8_t *dst = image->pixels + y * stride; /* never ahead of src */
        for (uint32_t x = 0; x < image->width; x++, src += 4, dst += 3)
            for (int c = 0; c < 3; c++) dst[c] = src[c];
    }
    image->channels = 3;
    image->stride = stride;
}

static enum decode_status finish(struct image *image, const struct decode_info *info,
                                 const struct decode_options *options)
{
    if (image->channels == 4 && options->alpha == DECODE_ALPHA_DROP)
        drop_alpha(image);
    else if (image->channels == 4)
        image_flatten(image, options->background);
    CHECK(image->channels == 3);
    if (options->ignore_orientation || image_orient(image, info->orientation)) return DECODE_OK;
    return DECODE_NO_MEMORY;
}

enum decode_status decode(struct image *image, struct decode_info *info, const uint8_t *data,
                          size_t bytes, const struct decode_options *options)
{
    static decode_codec *const codecs[DECODE_FORMAT_COUNT] = {
        [DECODE_FORMAT_JPEG] = decode_jpeg, [DECODE_FORMAT_PNG] = decode_png,
        [DECODE_FORMAT_WEBP] = decode_webp, [DECODE_FORMAT_GIF] = decode_gif,
#ifdef VLMQ_AVIF
        [DECODE_FORMAT_AVIF] = decode_avif,
#endif
    };
    CHECK(!image->pixels);
    *info =
        (struct decode_info){.format = decode_sniff(data, bytes), .orientation = 1, .reduced = 1};
    if (info->format == DECODE_FORMAT_UNKNOWN || info->format == DECODE_FORMAT_HTML) {
        decode_message(info, bytes ? "no picture format" : "empty");
        return DECODE_UNKNOWN_FORMAT;
    }
    decode_codec *codec = codecs[info->format];
    if (!codec) {
        decode_message(info, "%s is not decoded", decode_format_name(info->format));
        return DECODE_UNSUPPORTED_FORMAT;
    }
    info->orientation = exif_orientation(data, bytes, info->format);
    enum decode_status status = codec(image, info, data, bytes, options);
    if (!status) status = finish(image, info, options);
    if (status == DECODE_NO_MEMORY && !info->message[0]) decode_message(info, "out of memory");
    if (status) image_deinit(image);
    return status;
}

const char *decode_status_name(enum decode_status status)
{
    switch (status) {
    case DECODE_OK:
        return "ok";
    case DECODE_UNKNOWN_FORMAT:
        return "unknown_format";
    case DECODE_UNSUPPORTED_FORMAT:
        return "unsupported_format";
    case DECODE_TRUNCATED:
        return "truncated";
    case DECODE_CORRUPT:
        return "corrupt";
    case DECODE_TOO_MANY_PIXELS:
        return "too_many_pixels";
    case DECODE_TOO_LARGE_SIDE:
        return "too_large_side";
    case DECODE_ZERO_SIZE:
        return "zero_size";
    case DECODE_TOO_MANY_SCANS:
        return "too_many_scans";
    case DECODE_NO_MEMORY:
        return "no_memory";
    case DECODE_TOO_SMALL:
        return "too_small";
    case DECODE_TOO_LARGE_AREA:
        return "too_large_area";
    case DECODE_TOO_LARGE_ASPECT:
        return "too_large_aspect";
    case DECODE_STATUS_COUNT:
        break;
    }
    return "unknown";
}

const char *decode_format_name(enum decode_format format)
{
    static const char *const names[DECODE_FORMAT_COUNT] = {
        "unknown", "jpeg", "png",  "webp", "gif", "avif", "heic",
        "jxl",     "bmp",  "tiff", "ico",  "svg", "html",
    };
    return (uint32_t)format < DECODE_FORMAT_COUNT ? names[format] : "unknown";
}

const char *decode_format_extension(enum decode_format format)
{
    if (format == DECODE_FORMAT_JPEG) return "jpg";
    if (format == DECODE_FORMAT_UNKNOWN || format == DECODE_FORMAT_HTML ||
        (uint32_t)format >= DECODE_FORMAT_COUNT)
        return NULL;
    return decode_format_name(format);
}
