/* encode_webp.c - WebP through libwebp into a buf.
 *
 * libwebp takes whole pictures of its own and calls back with pieces of the file. It converts RGB
 * to its 4:2:0 planes itself, and allocates with malloc, which is why a failure there is told by a
 * code and not by mem_fail. */
#include "common/base/check.h"
#include "worker/pipe/encode.h"

#include <string.h>
#include <webp/encode.h>

#define LEVEL_MAX 9 /* of WebPConfigLosslessPreset */

struct sink {
    struct buf *out;
    bool full;
};

static int on_piece(const uint8_t *data, size_t bytes, const WebPPicture *picture)
{
    struct sink *sink = picture->custom_ptr;
    char *place = buf_reserve(sink->out, bytes);
    if (!place) {
        sink->full = true;
        return 0;
    }
    memcpy(place, data, bytes);
    buf_commit(sink->out, bytes);
    return 1;
}

/* A gray picture has its row repeated thrice; libwebp knows no gray. */
static int import_rows(WebPPicture *picture, const struct image *image)
{
    if (image->channels == 3)
        return WebPPictureImportRGB(picture, image->pixels, (int)image->stride);
    struct image colour;
    if (!image_init(&colour, image->width, image->height, 3)) return 0;
    for (uint32_t y = 0; y < image->height; y++) {
        const uint8_t *src = image_row(image, y);
        uint8_t *dst = image_row(&colour, y);
        for (uint32_t x = 0; x < image->width; x++, dst += 3) dst[0] = dst[1] = dst[2] = src[x];
    }
    const int made = WebPPictureImportRGB(picture, colour.pixels, (int)colour.stride);
    image_deinit(&colour);
    return made;
}

static bool configure(WebPConfig *config, uint32_t quality, bool lossless)
{
    if (!WebPConfigInit(config)) return false; /* another ABI */
    if (lossless) return WebPConfigLosslessPreset(config, (int)(quality * LEVEL_MAX / 100)) != 0;
    config->quality = (float)quality;
    return WebPValidateConfig(config) != 0;
}

static int check(const struct image *image, uint32_t quality, struct err *err)
{
    CHECK(image->pixels != NULL);
    if (image->channels != 1 && image->channels != 3)
        return err_set(err, ERR_INVALID, "encode WebP: %u channels", image->channels);
    if (image->width > WEBP_MAX_DIMENSION || image->height > WEBP_MAX_DIMENSION)
        return err_set(err, ERR_INVALID, "encode WebP: %ux%u is above %d", image->width,
                       image->height, WEBP_MAX_DIMENSION);
    if (quality < 1 || quality > 100)
        return err_set(err, ERR_INVALID, "encode WebP: quality %u", quality);
    return 0;
}

int encode_webp(struct buf *out, const struct image *image, uint32_t quality, bool lossless,
                struct err *err)
{
    WebPConfig config;
    WebPPicture picture;
    struct sink sink = {.out = out};
    const size_t before = out->len;
    int rc = check(image, quality, err);
    if (rc) return rc;
    if (!configure(&config, quality, lossless) || !WebPPictureInit(&picture))
        return err_set(err, ERR_INTERNAL, "encode WebP: libwebp is of another version");
    picture.use_argb = lossless;
    picture.width = (int)image->width;
    picture.height = (int)image->height;
    picture.writer = on_piece;
    picture.custom_ptr = &sink;
    if (!import_rows(&picture, image))
        rc = err_set(err, ERR_LIMIT, "encode WebP: out of memory");
    else if (!WebPEncode(&config, &picture))
        rc = sink.full
                 ? err_set(err, ERR_LIMIT, "encode WebP: no room for more than %zu bytes", out->len)
                 : err_set(err, ERR_LIMIT, "encode WebP: error %d", (int)picture.error_code);
    WebPPictureFree(&picture);
    if (rc) {
        out->len = before;
        if (out->data) out->data[before] = 0;
    }
    return rc;
}
