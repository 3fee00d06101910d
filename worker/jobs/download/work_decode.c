/* work_decode.c - a decoding thread: a body becomes the members and the line of its row. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/str.h"
#include "worker/jobs/download/boxes.h"
#include "worker/jobs/download/work.h"
#include "worker/pipe/decode.h"
#include "worker/pipe/encode.h"
#include "worker/pipe/exif.h"
#include "worker/pipe/phash.h"
#include "worker/pipe/tar.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* One thread's own memory, used again for each item. */
struct bench {
    const struct work *work;
    struct list_columns columns;
    struct decode_options decode;
    struct decode_info info; /* of the item at hand */
    struct image image, result;
    struct buf encoded, json, exif;
    struct blur_box box[BOXES_MAX];
    int64_t spent_us[CPU_PARTS_COUNT], at_us; /* see spent() */
};

/* What went by since the last call, or since the item was taken, was spent on this. It is measured
 * by the clock that costs least to read; a thread's own processor clock is a system call, and is
 * read once, at the thread's end. */
static void spent(struct bench *bench, enum cpu_part part)
{
    const int64_t now_us = clock_mono_us();
    bench->spent_us[part] += now_us - bench->at_us;
    bench->at_us = now_us;
}

/* The thread's processor time, in the proportions of what was spent. */
static void share_out(const struct bench *bench, _Atomic int64_t cpu_ns[CPU_PARTS_COUNT])
{
    const double all_ns = (double)clock_thread_ns();
    int64_t whole_us = 0;
    for (uint32_t i = 0; i < CPU_PARTS_COUNT; i++) whole_us += bench->spent_us[i];
    for (uint32_t i = 0; i < CPU_PARTS_COUNT && whole_us > 0; i++)
        atomic_fetch_add(&cpu_ns[i],
                         (int64_t)(all_ns * (double)bench->spent_us[i] / (double)whole_us));
}

static uint32_t decode_body(struct bench *bench, struct work_item *item)
{
    struct decode_info *info = &bench->info;
    const struct buf *body = &item->body.fetch.body;
    const enum decode_status status =
        decode(&bench->image, info, (const uint8_t *)buf_str(body), body->len, &bench->decode);
    item->outcome.format = info->format;
    item->outcome.original_width = info->width;
    item->outcome.original_height = info->height;
    item->outcome.warnings = info->warnings;
    if (bench->work->options.picture.fast) item->outcome.reduced = info->reduced;
    return status_of_decode(status);
}

/* Of the whole picture, upright and without alpha, before anything is done to it. */
static uint32_t look_at(const struct bench *bench, char text[PHASH_TEXT_BYTES])
{
    uint64_t hash;
    if (!bench->work->options.phash) return STATUS_SUCCESS;
    if (phash(&hash, &bench->image, NULL)) return status_of_decode(DECODE_NO_MEMORY);
    phash_text(text, hash);
    return STATUS_SUCCESS;
}

/* The boxes of the row, if there are any. */
static uint32_t blur(struct bench *bench, struct work_item *item)
{
    uint32_t boxes;
    if (!bench->columns.wanted[LIST_BOXES]) return STATUS_SUCCESS;
    if (!boxes_read(bench->box, &boxes, list_row_field(&item->body.row, LIST_BOXES)))
        return STATUS_BOXES;
    if (blur_boxes(&bench->image, bench->box, boxes, NULL))
        return status_of_decode(DECODE_NO_MEMORY);
    item->outcome.blurred = boxes > 0;
    return STATUS_SUCCESS;
}

static enum fit_mode mode_for(const struct download_options *options, uint32_t width,
                              uint32_t height)
{
    if (!options->picture.only_if_bigger) return options->resize_mode;
    return fit_mode_if_bigger(options->resize_mode, width, height, options->image_size);
}

/* decode_options.reduction of --fast. Modes do not change when both sides change places. */
static uint32_t reduction(const void *ctx, uint32_t width, uint32_t height)
{
    const struct download_options *options = ctx;
    return fit_reduction(width, height, mode_for(options, width, height), options->image_size);
}

static bool is_turned(const struct bench *bench)
{
    return bench->info.orientation > 1 && !bench->decode.ignore_orientation;
}

/* The plan for the picture as it would be if it had not been reduced. */
static int plan_fit(const struct bench *bench, struct fit_plan *plan)
{
    const struct download_options *options = &bench->work->options;
    uint32_t width = bench->image.width, height = bench->image.height;
    if (bench->info.reduced > 1) {
        const bool sideways = is_turned(bench) && bench->info.orientation > 4;
        width = sideways ? bench->info.height : bench->info.width;
        height = sideways ? bench->info.width : bench->info.height;
    }
    const int rc =
        fit_plan(plan, width, height, mode_for(options, width, height), options->image_size, NULL);
    plan->filter = options->picture.filter;
    return rc;
}

/* Would encoding give another copy of what was received? */
static bool may_keep(const struct bench *bench, const struct fit_plan *plan, bool blurred)
{
    const struct picture_options *options = &bench->work->options.picture;
    const char *extension = decode_format_extension(bench->info.format);
    return options->skip_reencode && !plan->resized && !plan->cropped && !plan->padded &&
           !blurred && !is_turned(bench) && !bench->info.has_alpha && extension &&
           !strcmp(extension, encode_extension(options->encode.format));
}

/* Decoded to resized and encoded; the reason is in the status, not in a sentence. */
static uint32_t make_picture(struct bench *bench, struct work_item *item)
{
    struct fit_plan plan;
    struct outcome *outcome = &item->outcome;
    const bool fits =
        !plan_fit(bench, &plan) && !fit_take(&bench->result, &bench->image, &plan, NULL);
    spent(bench, CPU_RESIZE);
    if (!fits) return STATUS_RESIZE;
    outcome->width = bench->result.width;
    outcome->height = bench->result.height;
    outcome->resized = plan.resized;
    outcome->cropped = plan.cropped;
    outcome->padded = plan.padded;
    outcome->kept = may_keep(bench, &plan, outcome->blurred);
    if (outcome->kept) return STATUS_SUCCESS;
    buf_clear(&bench->encoded);
    return encode(&bench->encoded, &bench->result, &bench->work->options.picture.encode, NULL)
               ? STATUS_ENCODE
               : STATUS_SUCCESS;
}

/* --no-reencode: the bytes are looked at no further than to name them. */
static uint32_t keep_raw(struct work_item *item)
{
    const struct buf *body = &item->body.fetch.body;
    struct outcome *outcome = &item->outcome;
    outcome->format = decode_sniff((const uint8_t *)buf_str(body), body->len);
    outcome->kept = decode_format_extension(outcome->format) != NULL;
    return outcome->kept ? STATUS_SUCCESS : status_of_decode(DECODE_UNKNOWN_FORMAT);
}

static int add_member(struct work_item *item, const char *key, const char *extension,
                      const void *data, size_t bytes)
{
    struct tar_writer writer;
    char name[LIST_KEY_BYTES + 8];
    (void)snprintf(name, sizeof name, "%s.%s", key, extension);
    tar_writer_init(&writer, tar_write_buf, &item->samples);
    return tar_writer_add(&writer, name, data, bytes, NULL);
}

static const char *read_exif(struct bench *bench, const struct work_item *item)
{
    const struct buf *body = &item->body.fetch.body;
    buf_clear(&bench->exif);
    if (bench->work->options.no_exif) return NULL;
    exif_json(&bench->exif, (const uint8_t *)buf_str(body), body->len, item->outcome.format);
    return buf_str(&bench->exif);
}

/* In the order of their names, which is that of webdataset's own writer: 1.jpg, 1.json, but 1.json,
 * 1.png. */
static int add_members(const struct bench *bench, struct work_item *item, const char *key)
{
    const bool kept = item->outcome.kept;
    const struct buf *file = kept ? &item->body.fetch.body : &bench->encoded;
    const char *extension = kept ? decode_format_extension(item->outcome.format)
                                 : encode_extension(bench->work->options.picture.encode.format);
    const char *caption = list_row_field(&item->body.row, LIST_CAPTION);
    int rc = 0;
    if (!caption) caption = "";
    const bool first = strcmp(extension, "json") < 0;
    const bool last = strcmp(extension, "txt") > 0;
    if (first) rc = add_member(item, key, extension, file->data, file->len);
    if (!rc) rc = add_member(item, key, "json", bench->json.data, bench->json.len);
    if (!rc && !first && !last) rc = add_member(item, key, extension, file->data, file->len);
    if (!rc && bench->columns.wanted[LIST_CAPTION])
        rc = add_member(item, key, "txt", caption, strlen(caption));
    if (!rc && last) rc = add_member(item, key, extension, file->data, file->len);
    return rc;
}

static void pack(struct bench *bench, struct work_item *item, struct sample *sample)
{
    buf_clear(&bench->json);
    sample->exif = read_exif(bench, item);
    sample_json(sample, &bench->json);
    const int rc = add_members(bench, item, sample->key);
    if (rc || buf_failed(&bench->json) || buf_failed(&bench->exif)) {
        item->outcome.status = STATUS_ENCODE;
        buf_clear(&item->samples);
    }
    item->outcome.sample_bytes = (int64_t)item->samples.len;
}

/* Whether the list promises this hash, or nothing; and nobody has blocked it. */
static uint32_t judge_hash(const struct bench *bench, const struct work_item *item,
                           const char *hash)
{
    const struct blocked *blocked = bench->work->blocked;
    const char *wanted = list_row_field(&item->body.row, LIST_HASH);
    if (blocked && blocked_has(blocked, hash)) return STATUS_BLOCKED;
    if (!bench->columns.wanted[LIST_HASH]) return STATUS_SUCCESS;
    return hash[0] && wanted && strcasecmp(hash, wanted) == 0 ? STATUS_SUCCESS : STATUS_HASH;
}

static void hash_body(struct bench *bench, struct work_item *item, char hash[HASH_TEXT_MAX])
{
    const struct buf *body = &item->body.fetch.body;
    if (!hash_text(hash, bench->work->options.hash, body->data, body->len)) hash[0] = 0;
    if (item->outcome.status != STATUS_SUCCESS) return;
    item->outcome.status = judge_hash(bench, item, hash);
    if (item->outcome.status != STATUS_SUCCESS)
        item->outcome.format = decode_sniff((const uint8_t *)body->data, body->len);
}

static void work_on(struct bench *bench, struct work_item *item)
{
    char key[LIST_KEY_BYTES], hash[HASH_TEXT_MAX] = "", look[PHASH_TEXT_BYTES] = "";
    struct outcome *outcome = &item->outcome;
    const struct buf *body = &item->body.fetch.body;
    const struct download_options *options = &bench->work->options;
    list_key(key, bench->work->shard->shard, item->body.index, bench->work->key_digits);
    struct sample sample = {.row = &item->body.row,
                            .columns = &bench->columns,
                            .outcome = outcome,
                            .key = key,
                            .content_type = item->body.fetch.content_type,
                            .final_url =
                                item->body.final_url.len ? buf_str(&item->body.final_url) : NULL,
                            .hash_name = options->no_hash ? NULL : hash_kind_name(options->hash),
                            .hash = hash,
                            .phash = options->phash ? look : NULL};
    if (body->len && !options->no_hash) hash_body(bench, item, hash);
    if (options->picture.no_reencode) {
        if (outcome->status == STATUS_SUCCESS) outcome->status = keep_raw(item);
        spent(bench, CPU_DECODE);
    } else {
        if (outcome->status == STATUS_SUCCESS) outcome->status = decode_body(bench, item);
        if (outcome->status == STATUS_SUCCESS) outcome->status = look_at(bench, look);
        if (outcome->status == STATUS_SUCCESS) outcome->status = blur(bench, item);
        spent(bench, CPU_DECODE);
        if (outcome->status == STATUS_SUCCESS) outcome->status = make_picture(bench, item);
    }
    if (outcome->status == STATUS_SUCCESS) pack(bench, item, &sample);
    if (outcome->status != STATUS_SUCCESS) outcome->width = outcome->height = outcome->reduced = 0;
    sample_line(&sample, &item->line);
    image_deinit(&bench->image);
    image_deinit(&bench->result);
    spent(bench, CPU_ENCODE);
}

static void shrink(struct buf *buf)
{
    const size_t max = buf->max;
    if (buf->cap > BUFFER_KEPT_MAX) {
        buf_deinit(buf);
        buf_init(buf, max);
    }
    buf_clear(buf);
}

static void bench_init(struct bench *bench, const struct work *work)
{
    const struct download_options *options = &work->options;
    *bench = (struct bench){.work = work, .columns = download_columns(options)};
    bench->decode = decode_options_default();
    CHECK(bench->decode.pixels_max > 0);
    /* The decoder's bound on memory is for its own bound on pixels. */
    if (options->pixels_max > bench->decode.pixels_max)
        bench->decode.memory_bytes_max =
            bench->decode.memory_bytes_max * (options->pixels_max / bench->decode.pixels_max + 1);
    bench->decode.pixels_max = options->pixels_max;
    bench->decode.alpha = options->alpha;
    memcpy(bench->decode.background, options->background, sizeof bench->decode.background);
    bench->decode.ignore_orientation = options->ignore_orientation;
    bench->decode.side_min = options->picture.side_min;
    bench->decode.area_max = options->picture.area_max;
    bench->decode.aspect_max = options->picture.aspect_max;
    if (options->picture.fast) {
        bench->decode.reduction = reduction;
        bench->decode.reduction_ctx = options;
    }
    buf_init(&bench->encoded, 0);
    buf_init(&bench->json, 0);
    buf_init(&bench->exif, 0);
}

void work_decode(void *arg)
{
    struct work *work = arg;
    struct bench bench;
    struct work_item *item;
    log_scope_join(work->env->scope);
    bench_init(&bench, work);
    while ((item = chan_recv(work->decode)) != NULL) {
        const int64_t body_bytes = (int64_t)item->body.fetch.body.len;
        bench.at_us = clock_mono_us();
        buf_clear(&item->samples);
        buf_clear(&item->line);
        atomic_fetch_add(&work->decoding, 1);
        if (!atomic_load(&work->abort)) work_on(&bench, item);
        atomic_fetch_sub(&work->decoding, 1);
        shrink(&item->body.fetch.body);
        shrink(&bench.encoded);
        atomic_fetch_sub(&work->bodies_waiting, body_bytes);
        atomic_fetch_add(&work->decoded, 1);
        CHECK(chan_send(work->write, item));
    }
    buf_deinit(&bench.encoded);
    buf_deinit(&bench.json);
    buf_deinit(&bench.exif);
    log_scope_join(NULL);
    share_out(&bench, work->cpu_ns);
    if (atomic_fetch_sub(&work->decoders, 1) == 1) chan_close(work->write);
}
