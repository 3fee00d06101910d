/* decode_webp.c - still WebP pictures, lossy and lossless, through libwebp. */
#include "worker/pipe/decode_codec.h"

#include <webp/decode.h>

/* The result, and at worst as much again in libwebp. */
#define PIXEL_BYTES 8

static enum decode_status status_of(VP8StatusCode code)
{
    switch (code) {
    case VP8_STATUS_OK:
        return DECODE_OK;
    case VP8_STATUS_OUT_OF_MEMORY:
        return DECODE_NO_MEMORY;
    case VP8_STATUS_NOT_ENOUGH_DATA:
    case VP8_STATUS_SUSPENDED:
        return DECODE_TRUNCATED;
    case VP8_STATUS_UNSUPPORTED_FEATURE:
        return DECODE_UNSUPPORTED_FORMAT;
    case VP8_STATUS_INVALID_PARAM:
    case VP8_STATUS_BITSTREAM_ERROR:
    case VP8_STATUS_USER_ABORT:
    default:
        return DECODE_CORRUPT;
    }
}

static enum decode_status fill(struct image *image, WebPDecoderConfig *config, const uint8_t *data,
                               size_t bytes)
{
    config->output.colorspace = image->channels == 4 ? MODE_RGBA : MODE_RGB;
    config->output.is_external_memory = 1;
    config->output.u.RGBA.rgba = image->pixels;
    config->output.u.RGBA.stride = (int)image->stride; /* sides are below 16384 */
    config->output.u.RGBA.size = image->stride * image->height;
    const VP8StatusCode code = WebPDecode(data, bytes, config);
    WebPFreeDecBuffer(&config->output);
    return status_of(code);
}

enum decode_status decode_webp(struct image *image, struct decode_info *info, const uint8_t *data,
                               size_t bytes, const struct decode_options *options)
{
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config)) return DECODE_UNSUPPORTED_FORMAT; /* another ABI */
    enum decode_status status = status_of(WebPGetFeatures(data, bytes, &config.input));
    if (status) {
        decode_message(info, "WebP header");
        return status;
    }
    if (config.input.has_animation) {
        decode_message(info, "animated WebP");
        return DECODE_UNSUPPORTED_FORMAT;
    }
    status = decode_admit(info, (uint32_t)config.input.width, (uint32_t)config.input.height,
                          PIXEL_BYTES, options);
    if (status) return status;
    info->has_alpha = config.input.has_alpha != 0;
    struct image made;
    if (!image_init(&made, info->width, info->height, info->has_alpha ? 4 : 3))
        return DECODE_NO_MEMORY;
    status = fill(&made, &config, data, bytes);
    if (status) {
        decode_message(info, "WebP data");
        image_deinit(&made);
        return status;
    }
    image_move(image, &made);
    return DECODE_OK;
}
