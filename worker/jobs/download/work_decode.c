/* work_decode.c - a decoding thread: a body becomes the members and the line of its row. */
#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/str.h"
#include "worker/jobs/download/work.h"
#include "worker/pipe/decode.h"
#include "worker/pipe/encode.h"
#include "worker/pipe/tar.h"

#include <stdio.h>
#include <string.h>

/* One thread's own memory, used again for each item. */
struct bench {
    const struct work *work;
    struct list_columns columns;
    struct decode_options decode;
    struct image image, result;
    struct buf jpeg, json;
};

uint32_t work_key_digits(uint32_t shard_rows)
{
    uint32_t digits = 0;
    for (uint64_t power = 1; power < shard_rows; power *= 10) digits++;
    return digits;
}

void work_key(char dst[KEY_BYTES], uint32_t shard, uint32_t index, uint32_t key_digits)
{
    /* Shard and index side by side are shard * 10^digits + index, padded. */
    if (key_digits)
        (void)snprintf(dst, KEY_BYTES, "%05u%0*u", shard, (int)key_digits, index);
    else
        (void)snprintf(dst, KEY_BYTES, "%05u", shard);
}

static uint32_t decode_body(struct bench *bench, struct work_item *item)
{
    struct decode_info info;
    const struct buf *body = &item->fetch.body;
    const enum decode_status status =
        decode(&bench->image, &info, (const uint8_t *)buf_str(body), body->len, &bench->decode);
    item->outcome.format = info.format;
    item->outcome.original_width = info.width;
    item->outcome.original_height = info.height;
    item->outcome.warnings = info.warnings;
    return status_of_decode(status);
}

/* Decoded to resized and encoded; the reason is in the status, not in a sentence. */
static uint32_t make_jpeg(struct bench *bench, struct work_item *item)
{
    struct fit_plan plan;
    const struct download_options *options = &bench->work->options;
    struct outcome *outcome = &item->outcome;
    if (fit_plan(&plan, bench->image.width, bench->image.height, options->resize_mode,
                 options->image_size, NULL) ||
        fit_take(&bench->result, &bench->image, &plan, NULL))
        return STATUS_RESIZE;
    outcome->width = bench->result.width;
    outcome->height = bench->result.height;
    outcome->resized = plan.resized;
    outcome->cropped = plan.cropped;
    outcome->padded = plan.padded;
    buf_clear(&bench->jpeg);
    return encode_jpeg(&bench->jpeg, &bench->result, options->quality, NULL) ? STATUS_ENCODE
                                                                             : STATUS_SUCCESS;
}

static int add_member(struct work_item *item, const char *key, const char *extension,
                      const void *data, size_t bytes)
{
    struct tar_writer writer;
    char name[KEY_BYTES + 8];
    (void)snprintf(name, sizeof name, "%s.%s", key, extension);
    tar_writer_init(&writer, tar_write_buf, &item->samples);
    return tar_writer_add(&writer, name, data, bytes, NULL);
}

static void pack(struct bench *bench, struct work_item *item, const struct sample *sample)
{
    buf_clear(&bench->json);
    sample_json(sample, &bench->json);
    int rc = add_member(item, sample->key, "jpg", bench->jpeg.data, bench->jpeg.len);
    if (!rc) rc = add_member(item, sample->key, "json", bench->json.data, bench->json.len);
    if (!rc && bench->columns.wanted[LIST_CAPTION]) {
        const char *caption = list_row_field(&item->row, LIST_CAPTION);
        rc = add_member(item, sample->key, "txt", caption ? caption : "",
                        caption ? strlen(caption) : 0);
    }
    if (rc || buf_failed(&bench->json)) {
        item->outcome.status = STATUS_ENCODE;
        buf_clear(&item->samples);
    }
    item->outcome.sample_bytes = (int64_t)item->samples.len;
}

static void work_on(struct bench *bench, struct work_item *item)
{
    char key[KEY_BYTES], sha256[HASH_SHA256_TEXT] = "";
    struct outcome *outcome = &item->outcome;
    const struct buf *body = &item->fetch.body;
    work_key(key, bench->work->shard->shard, item->index, bench->work->key_digits);
    const struct sample sample = {.row = &item->row,
                                  .columns = &bench->columns,
                                  .outcome = outcome,
                                  .key = key,
                                  .content_type = item->fetch.content_type,
                                  .final_url =
                                      item->final_url.len ? buf_str(&item->final_url) : NULL,
                                  .sha256 = sha256};
    if (body->len) hash_sha256_text(sha256, body->data, body->len);
    if (outcome->status == STATUS_SUCCESS) outcome->status = decode_body(bench, item);
    if (outcome->status == STATUS_SUCCESS) outcome->status = make_jpeg(bench, item);
    if (outcome->status == STATUS_SUCCESS) pack(bench, item, &sample);
    if (outcome->status != STATUS_SUCCESS) outcome->width = outcome->height = 0;
    sample_line(&sample, &item->line);
    image_deinit(&bench->image);
    image_deinit(&bench->result);
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
    buf_init(&bench->jpeg, 0);
    buf_init(&bench->json, 0);
}

void work_decode(void *arg)
{
    struct work *work = arg;
    struct bench bench;
    struct work_item *item;
    log_scope_join(work->env->scope);
    bench_init(&bench, work);
    while ((item = chan_recv(work->decode)) != NULL) {
        const int64_t body_bytes = (int64_t)item->fetch.body.len;
        buf_clear(&item->samples);
        buf_clear(&item->line);
        if (!atomic_load(&work->abort)) work_on(&bench, item);
        shrink(&item->fetch.body);
        shrink(&bench.jpeg);
        atomic_fetch_sub(&work->bodies_waiting, body_bytes);
        atomic_fetch_add(&work->decoded, 1);
        CHECK(chan_send(work->write, item));
    }
    buf_deinit(&bench.jpeg);
    buf_deinit(&bench.json);
    log_scope_join(NULL);
    if (atomic_fetch_sub(&work->decoders, 1) == 1) chan_close(work->write);
}
