/* encode.c - the format that is asked for, by its number. */
#include "worker/pipe/encode.h"

int encode(struct buf *out, const struct image *image, const struct picture_encoding *options,
           struct err *err)
{
    switch (options->format) {
    case ENCODE_JPEG:
        return encode_jpeg(out, image, options->quality, err);
    case ENCODE_WEBP:
        return encode_webp(out, image, options->quality, options->lossless, err);
    case ENCODE_PNG:
        return encode_png(out, image, options->quality, err);
    case ENCODE_FORMATS_COUNT:
        break;
    }
    return err_set(err, ERR_INVALID, "encode: no format %d", (int)options->format);
}

const char *encode_extension(enum encode_format format)
{
    static const char *const names[ENCODE_FORMATS_COUNT] = {"jpg", "webp", "png"};
    return (uint32_t)format < ENCODE_FORMATS_COUNT ? names[format] : "unknown";
}
