/* decode_avif.c - AVIF pictures, 8, 10 and 12 bits, through libavif; of a sequence the first one.
 *
 * CMake leaves this file out where the library is missing. The header is parsed first, which
 * allocates no pixels; limits are checked on what it says, and the AV1 decoder is held to them when
 * the coded picture is larger. Rotation and mirroring of the file (irot, imir) take the place of
 * EXIF's orientation, which AVIF readers must ignore; as in Pillow, a clean aperture does not crop
 * and ICC profiles are ignored. */
#include "worker/pipe/decode_codec.h"
#include "worker/pipe/exif_tiff.h"

#include <avif/avif.h>
#include <string.h>

/* The result, planes of 16 bits with alpha, and as many again in the AV1 decoder. */
#define PIXEL_BYTES 20

static enum decode_status status_of(avifResult result)
{
    switch ((int)result) {
    case AVIF_RESULT_OK:
        return DECODE_OK;
    case AVIF_RESULT_TRUNCATED_DATA:
    case AVIF_RESULT_IO_ERROR:
    case AVIF_RESULT_WAITING_ON_IO:
        return DECODE_TRUNCATED;
    case AVIF_RESULT_OUT_OF_MEMORY:
        return DECODE_NO_MEMORY;
    case AVIF_RESULT_NO_CODEC_AVAILABLE:
    case AVIF_RESULT_NOT_IMPLEMENTED:
    case AVIF_RESULT_UNSUPPORTED_DEPTH:
        return DECODE_UNSUPPORTED_FORMAT;
    default:
        return DECODE_CORRUPT;
    }
}

static enum decode_status failed(struct decode_info *info, const avifDecoder *decoder,
                                 avifResult result)
{
    const char *detail = decoder->diag.error;
    decode_message(info, "%s%s%s", avifResultToString(result), detail[0] ? ": " : "", detail);
    /* Sizes above libavif's own limits fail in the parser, which tells so in words only. */
    if (strstr(detail, "too large")) return DECODE_TOO_MANY_PIXELS;
    /* A place behind the file's end, where its boxes say that data stands. */
    if (strstr(detail, "truncated")) return DECODE_TRUNCATED;
    return status_of(result);
}

/* The EXIF orientation that does the same: the file rotates (to the left) before it mirrors. */
static uint32_t orientation_of(const avifImage *picture)
{
    static const uint32_t rotated[4] = {1, 8, 3, 6};
    static const uint32_t top_bottom[4] = {4, 5, 2, 7}, left_right[4] = {2, 7, 4, 5};
    const bool turns = (picture->transformFlags & AVIF_TRANSFORM_IROT) != 0;
    const uint32_t angle = turns ? picture->irot.angle & 3 : 0;
    if (!(picture->transformFlags & AVIF_TRANSFORM_IMIR)) return rotated[angle];
#if AVIF_VERSION >= 1000000
    const bool sideways = picture->imir.axis != 0;
#else
    const bool sideways = picture->imir.mode != 0;
#endif
    return sideways ? left_right[angle] : top_bottom[angle];
}

static enum decode_status make_picture(struct image *image, struct decode_info *info,
                                       const avifDecoder *decoder)
{
    const avifImage *picture = decoder->image;
    if (picture->width != info->width || picture->height != info->height) {
        decode_message(info, "the picture has another size than the header");
        return DECODE_CORRUPT;
    }
    struct image made;
    info->has_alpha = picture->alphaPlane != NULL;
    if (!image_init(&made, info->width, info->height, info->has_alpha ? 4 : 3))
        return DECODE_NO_MEMORY;
    avifRGBImage rgb;
    avifRGBImageSetDefaults(&rgb, picture);
    rgb.depth = 8;
    rgb.format = info->has_alpha ? AVIF_RGB_FORMAT_RGBA : AVIF_RGB_FORMAT_RGB;
    rgb.pixels = made.pixels;
    rgb.rowBytes = (uint32_t)made.stride; /* sides are below 65536 */
    const avifResult result = avifImageYUVToRGB(picture, &rgb);
    if (result != AVIF_RESULT_OK) {
        image_deinit(&made);
        return failed(info, decoder, result);
    }
    image_move(image, &made);
    return DECODE_OK;
}

static enum decode_status run(avifDecoder *decoder, struct image *image, struct decode_info *info,
                              const struct decode_options *options)
{
    avifResult result = avifDecoderParse(decoder);
    if (result != AVIF_RESULT_OK) return failed(info, decoder, result);
    const enum decode_status status =
        decode_admit(info, decoder->image->width, decoder->image->height, PIXEL_BYTES, options);
    if (status) return status;
    info->orientation = orientation_of(decoder->image);
    /* The AV1 data has sizes of its own; a grid's tiles and padding are a little larger. */
    uint64_t pixels_max = options->memory_bytes_max / PIXEL_BYTES;
    if (pixels_max > decoder->imageSizeLimit) pixels_max = decoder->imageSizeLimit;
    decoder->imageSizeLimit = pixels_max ? (uint32_t)pixels_max : 1;
    result = avifDecoderNextImage(decoder);
    if (result != AVIF_RESULT_OK) return failed(info, decoder, result);
    return make_picture(image, info, decoder);
}

static avifDecoder *open_file(const uint8_t *data, size_t bytes)
{
    avifDecoder *decoder = avifDecoderCreate();
    if (!decoder) return NULL;
    decoder->maxThreads = 1; /* the pictures of a shard are the parallel part */
    decoder->ignoreExif = AVIF_TRUE;
    decoder->ignoreXMP = AVIF_TRUE;
    /* Encoders in the wild forget these boxes; Pillow takes their files, too. */
    decoder->strictFlags &= ~(avifStrictFlags)(AVIF_STRICT_PIXI_REQUIRED | AVIF_STRICT_CLAP_VALID);
    if (avifDecoderSetIOMemory(decoder, data, bytes) == AVIF_RESULT_OK) return decoder;
    avifDecoderDestroy(decoder);
    return NULL;
}

bool exif_of_avif(struct buf *out, const uint8_t *data, size_t bytes)
{
    avifDecoder *decoder = open_file(data, bytes);
    if (!decoder) return false;
    decoder->ignoreExif = AVIF_FALSE;
    const bool found = avifDecoderParse(decoder) == AVIF_RESULT_OK && decoder->image->exif.size > 0;
    if (found) buf_add(out, decoder->image->exif.data, decoder->image->exif.size);
    avifDecoderDestroy(decoder);
    return found && !buf_failed(out);
}

enum decode_status decode_avif(struct image *image, struct decode_info *info, const uint8_t *data,
                               size_t bytes, const struct decode_options *options)
{
    avifDecoder *decoder = open_file(data, bytes);
    if (!decoder) return DECODE_NO_MEMORY;
    const enum decode_status status = run(decoder, image, info, options);
    avifDecoderDestroy(decoder);
    return status;
}
