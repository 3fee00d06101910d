/* work_decode.c - the threads before the model: samples out of the source, pictures to pixels. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/str.h"
#include "worker/jobs/encode/work.h"
#include "worker/pipe/decode.h"
#include "worker/pipe/preprocess.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define WAIT_NS (5 * 1000 * 1000) /* between two looks at whether decoders have caught up */

/* ---- reading ---- */

static void wait_for_decoders(struct work *work)
{
    const struct timespec pause = {0, WAIT_NS};
    while (atomic_load(&work->waiting_bytes) > PICTURES_WAITING_MAX && !atomic_load(&work->abort))
        (void)nanosleep(&pause, NULL);
}

static void item_clear(struct work_item *item)
{
    struct encode_sample *sample = &item->sample;
    buf_clear(&sample->key);
    buf_clear(&sample->picture);
    buf_clear(&sample->caption);
    buf_clear(&sample->json);
    sample->index = 0;
    sample->has_caption = false;
    sample->status = NULL;
    sample->message[0] = 0;
    item->status = NULL;
    item->message[0] = 0;
    item->width = item->height = 0;
}

/* One sample more; false: there is none, or reading has failed or is to end. */
static bool read_sample(struct work *work, struct source *source)
{
    struct err *err = &work->read_err;
    struct work_item *item = chan_recv(work->pool);
    bool found = false;
    if (!item) return false;
    wait_for_decoders(work);
    item_clear(item);
    const int64_t from_ns = clock_mono_us() * 1000 - source->waited_ns;
    const int rc =
        atomic_load(&work->abort) ? ERR_CANCELLED : source_next(source, &item->sample, &found, err);
    atomic_fetch_add(&work->busy_ns[WORK_READ],
                     clock_mono_us() * 1000 - source->waited_ns - from_ns);
    if (rc || !found) {
        CHECK(chan_send(work->pool, item));
        return false;
    }
    atomic_fetch_add(&work->waiting_bytes, (int64_t)item->sample.picture.len);
    atomic_fetch_add(&work->read, 1);
    CHECK(chan_send(work->decode, item));
    return true;
}

void encode_work_read(void *arg)
{
    struct work *work = arg;
    const struct source_env env = {.env = work->env,
                                   .options = &work->options,
                                   .shard = &work->shard,
                                   .output = work->store,
                                   .scratch = work->scratch,
                                   .abort = &work->abort};
    struct source *source = NULL;
    log_scope_join(work->env->scope);
    if (!source_open(&source, &env, &work->read_err)) {
        atomic_store(&work->source, source);
        while (read_sample(work, source)) continue;
    }
    chan_close(work->decode);
}

/* ---- decoding ---- */

static void make_pixels(struct work *work, struct work_item *item,
                        const struct decode_options *options)
{
    const struct buf *file = &item->sample.picture;
    struct image image = {0};
    struct decode_info info;
    struct err err;
    const enum decode_status status =
        decode(&image, &info, (const uint8_t *)buf_str(file), file->len, options);
    item->width = info.width;
    item->height = info.height;
    if (status != DECODE_OK) {
        item->status = decode_status_name(status);
        (void)str_copy(item->message, sizeof item->message, info.message);
    } else if (preprocess_image(item->pixels, &work->model->preprocess, &image, &err)) {
        item->status = err.code == ERR_LIMIT ? decode_status_name(DECODE_NO_MEMORY) : "wrong_size";
        (void)str_copy(item->message, sizeof item->message, err.msg);
    }
    image_deinit(&image);
}

void encode_work_decode(void *arg)
{
    struct work *work = arg;
    const struct decode_options options = encode_decode_options(&work->options);
    struct work_item *item;
    log_scope_join(work->env->scope);
    while ((item = chan_recv(work->decode))) {
        struct encode_sample *sample = &item->sample;
        const int64_t from_ns = clock_mono_us() * 1000;
        atomic_fetch_add(&work->decoding, 1);
        atomic_fetch_sub(&work->waiting_bytes, (int64_t)sample->picture.len);
        item->status = sample->status;
        if (sample->status)
            (void)str_copy(item->message, sizeof item->message, sample->message);
        else if (!atomic_load(&work->abort))
            make_pixels(work, item, &options);
        atomic_fetch_sub(&work->decoding, 1);
        atomic_fetch_add(&work->decoded, 1);
        atomic_fetch_add(&work->busy_ns[WORK_DECODE], clock_mono_us() * 1000 - from_ns);
        CHECK(chan_send(work->done, item));
    }
    if (atomic_fetch_sub(&work->decoders, 1) == 1) chan_close(work->done);
}
