/* strip.c - sample pictures for the report, made small again from the shards. */
#include "common/base/mem.h"
#include "common/base/str.h"
#include "worker/jobs/download/close.h"
#include "worker/pipe/decode.h"
#include "worker/pipe/encode.h"
#include "worker/pipe/fit.h"
#include "worker/pipe/tar.h"

#include <stdio.h>
#include <string.h>

#define THUMBNAIL_SIDE    160
#define THUMBNAIL_QUALITY 70
#define SAMPLE_BYTES_MAX  ((size_t)16 * 1024 * 1024)
#define MEMBERS_MAX       64 /* looked at in one shard */

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

/* Takes the picture's bytes, whether or not it becomes one of the strip. */
static void add_picture(struct strip *strip, const struct buf *file)
{
    struct buf *picture = &strip->picture[strip->count];
    buf_init(picture, 0);
    if (shrink(picture, file))
        strip->count++;
    else
        buf_deinit(picture);
}

static void add_from_tar(struct strip *strip, struct store *store, const char *tar, uint32_t until)
{
    struct tar_object object = {store, tar, 0};
    struct tar_reader reader;
    struct tar_member member;
    bool found = true;
    tar_reader_init(&reader, read_tar, &object);
    for (int i = 0; i < MEMBERS_MAX && strip->count < until; i++) {
        struct buf file;
        if (tar_reader_next(&reader, &member, &found, NULL) || !found) return;
        if (!is_picture(member.name)) continue;
        buf_init(&file, SAMPLE_BYTES_MAX);
        if (!tar_reader_all(&reader, &file, SAMPLE_BYTES_MAX, NULL)) add_picture(strip, &file);
        buf_deinit(&file);
    }
}

struct folder_walk {
    struct strip *strip;
    struct store *store;
    const char *folder;
    uint32_t until;
    int looked_at;
};

/* ERR_CANCELLED ends the walk: there are enough. */
static int add_from_folder(void *ctx, const char *name, struct err *err)
{
    struct folder_walk *walk = ctx;
    char path[ATTEMPT_NAME_BYTES + 256];
    struct buf file;
    if (walk->strip->count >= walk->until || walk->looked_at++ == MEMBERS_MAX)
        return err_set(err, ERR_CANCELLED, "enough");
    const int used = snprintf(path, sizeof path, "%s%s", walk->folder, name);
    if (!is_picture(name) || used >= (int)sizeof path) return 0;
    buf_init(&file, SAMPLE_BYTES_MAX);
    if (!store_get(walk->store, &file, path, SAMPLE_BYTES_MAX, NULL))
        add_picture(walk->strip, &file);
    buf_deinit(&file);
    return 0;
}

void strip_add(struct strip *strip, struct store *store, const char *shard, uint32_t until)
{
    struct folder_walk walk = {strip, store, shard, until, 0};
    char folder[ATTEMPT_NAME_BYTES];
    if (strip->count >= until) return;
    if (!str_has_suffix(shard, "/")) {
        add_from_tar(strip, store, shard, until);
        return;
    }
    (void)str_copy(folder, sizeof folder, shard);
    folder[strlen(folder) - 1] = 0;
    (void)!store_list(store, folder, add_from_folder, &walk, NULL);
}

void strip_deinit(struct strip *strip)
{
    for (uint32_t i = 0; i < strip->count; i++) buf_deinit(&strip->picture[i]);
    strip->count = 0;
}
