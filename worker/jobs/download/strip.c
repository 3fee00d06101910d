/* strip.c - sample pictures for the report, made small again from the shards. */
#include "common/base/mem.h"
#include "common/base/str.h"
#include "worker/jobs/download/close.h"
#include "worker/pipe/decode.h"
#include "worker/pipe/encode.h"
#include "worker/pipe/fit.h"
#include "worker/pipe/tar.h"

#define THUMBNAIL_SIDE    160
#define THUMBNAIL_QUALITY 70
#define SAMPLE_BYTES_MAX  ((size_t)16 * 1024 * 1024)
#define MEMBERS_MAX       64 /* looked at in one tar */

struct tar_object {
    struct store *store;
    const char *name;
    int64_t offset;
};

static int read_tar(void *ctx, void *dst, size_t bytes, size_t *got, struct err *err)
{
    struct tar_object *object = ctx;
    const int rc =
        store_get_range(object->store, dst, object->name, object->offset, bytes, got, err);
    if (!rc) object->offset += (int64_t)*got;
    return rc;
}

static bool shrink(struct buf *out, const struct buf *file)
{
    struct image image = {0}, small = {0};
    struct decode_info info;
    struct fit_plan plan;
    const struct decode_options options = decode_options_default();
    bool ok =
        decode(&image, &info, (const uint8_t *)buf_str(file), file->len, &options) == DECODE_OK &&
        !fit_plan(&plan, image.width, image.height, FIT_CENTER_CROP, THUMBNAIL_SIDE, NULL) &&
        !fit_take(&small, &image, &plan, NULL) &&
        !encode_jpeg(out, &small, THUMBNAIL_QUALITY, NULL);
    image_deinit(&image);
    image_deinit(&small);
    return ok;
}

/* A picture of a sample, by its name: everything but the two texts. */
static bool is_picture(const char *name)
{
    return !str_has_suffix(name, ".json") && !str_has_suffix(name, ".txt");
}

static void add_picture(struct strip *strip, struct tar_reader *reader)
{
    struct buf file;
    struct buf *picture = &strip->picture[strip->count];
    buf_init(&file, SAMPLE_BYTES_MAX);
    buf_init(picture, 0);
    if (!tar_reader_all(reader, &file, SAMPLE_BYTES_MAX, NULL) && shrink(picture, &file))
        strip->count++;
    else
        buf_deinit(picture);
    buf_deinit(&file);
}

void strip_add(struct strip *strip, struct store *store, const char *tar, uint32_t until)
{
    struct tar_object object = {store, tar, 0};
    struct tar_reader reader;
    struct tar_member member;
    bool found = true;
    tar_reader_init(&reader, read_tar, &object);
    for (int i = 0; i < MEMBERS_MAX && strip->count < until; i++) {
        if (tar_reader_next(&reader, &member, &found, NULL) || !found) return;
        if (is_picture(member.name)) add_picture(strip, &reader);
    }
}

void strip_deinit(struct strip *strip)
{
    for (uint32_t i = 0; i < strip->count; i++) buf_deinit(&strip->picture[i]);
    strip->count = 0;
}
