/* source_urls.c - the rows of a URL list: each is fetched, and goes to the pipe without being
 * stored.
 *
 *   thread enc-fetch                          the pipe's reader
 *   rows and transfers ──► in row order ──►   next
 *
 * Rows are fetched as the download kind fetches them (worker/list/list_fetch.h), and have the keys
 * and statuses that they would have there. A finished row is copied into a reorder, from which the
 * reader pulls those whose turn it is: near ones wait in memory, far ones in a scratch file. While
 * the reader has enough to take, no transfer begins. While it waits for a slow row, the rows behind
 * that one go on, until the file is full; then no new rows are started, but that one is, and comes
 * to its end.
 *
 * The reorder is used under a lock; the items are the fetch thread's. */
#include "common/base/chan.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/fs.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/base/thread.h"
#include "worker/jobs/encode/source.h"
#include "worker/jobs/encode/source_index.h"
#include "worker/jobs/encode/source_text.h"
#include "worker/list/list_fetch.h"
#include "worker/list/list_spec.h"
#include "worker/pipe/fetch_spec.h"
#include "worker/pipe/reorder.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>

/* Rows that wait for their turn, before they go to the scratch file; and how many of them are
 * enough for now, with room for those that are on their way. */
#define WAITING_BYTES_MAX ((size_t)256 * 1024 * 1024)
#define ENOUGH_BYTES      (WAITING_BYTES_MAX / 2)
/* Of the scratch file, about; a shard of 10,000 pictures has a tenth of it. */
#define FILE_BYTES_MAX ((int64_t)8 * 1024 * 1024 * 1024)
#define WAIT_MS        50
/* A buffer that one large picture has grown beyond this is given back. */
#define BUFFER_KEPT_MAX ((size_t)256 * 1024)
/* See the download kind, which asks the same of its shards. */
#define DNS_ROWS_MIN 32
#define DNS_ATTEMPTS 3

enum { PART_PICTURE, PART_CAPTION, PART_JSON, PART_HEAD, PARTS_COUNT };
_Static_assert(PARTS_COUNT <= REORDER_PARTS_MAX, "all parts of a row find their place");

struct head {
    enum list_end end;
    enum fetch_status status;
    int32_t http_status;
    bool has_caption;
};

struct urls {
    struct source source;
    struct source_env env;
    struct list_columns columns;
    struct fetch_options options;
    uint32_t key_digits;
    struct list_fetch *fetch;
    struct thread thread;
    atomic_bool stop, ended;
    struct chan *news; /* holds something when a row came; closed behind the last */
    pthread_mutex_t lock;
    struct reorder *reorder;     /* under the lock */
    struct encode_sample *taker; /* of the row that is pulled */
    struct err err;              /* of the thread; under the lock */
    /* The fetch thread's, and the reader's when that has ended. */
    struct list_body *item;
    struct fetch_item *spare; /* of item those that are free, by their next */
    uint32_t items_count;
    struct buf json;
    uint32_t named, unanswered; /* rows with a host's name; those that no name server answered */
};

static void lock(struct urls *urls)
{
    CHECK(pthread_mutex_lock(&urls->lock) == 0);
}

static void unlock(struct urls *urls)
{
    CHECK(pthread_mutex_unlock(&urls->lock) == 0);
}

/* ---- the fetch thread ---- */

static struct list_body *take(void *ctx)
{
    struct urls *urls = ctx;
    lock(urls);
    const bool room = reorder_file_bytes(urls->reorder) < FILE_BYTES_MAX;
    unlock(urls);
    struct fetch_item *spare = room ? urls->spare : NULL;
    if (!spare) return NULL;
    urls->spare = spare->next;
    spare->next = NULL;
    return (struct list_body *)(void *)spare;
}

static void give(void *ctx, struct list_body *body)
{
    struct urls *urls = ctx;
    body->fetch.next = urls->spare;
    urls->spare = &body->fetch;
}

static bool full(void *ctx)
{
    struct urls *urls = ctx;
    lock(urls);
    const bool enough =
        reorder_ready(urls->reorder) && reorder_memory_bytes(urls->reorder) >= ENOUGH_BYTES;
    unlock(urls);
    return enough;
}

static void add_text(struct buf *out, const char *name, const char *value)
{
    if (out->len > 1) buf_byte(out, ',');
    str_json(out, name, strlen(name));
    buf_byte(out, ':');
    if (value)
        str_json(out, value, strlen(value));
    else
        buf_text(out, "null");
}

/* The list's own fields, and what the servers' answers were: nothing that a second run with the
 * same answers would change. */
static void write_json(struct urls *urls, const struct list_body *body)
{
    struct buf *out = &urls->json;
    const struct buf *bytes = &body->fetch.body;
    char hash[HASH_SHA256_TEXT];
    buf_clear(out);
    buf_byte(out, '{');
    for (uint32_t i = LIST_FIRST_EXTRA; i < urls->columns.wanted_count; i++) {
        const char *value = list_row_field(&body->row, i); /* JSON already */
        if (out->len > 1) buf_byte(out, ',');
        str_json(out, urls->columns.wanted[i], strlen(urls->columns.wanted[i]));
        buf_printf(out, ":%s", value ? value : "null");
    }
    add_text(out, "url", list_row_field(&body->row, LIST_URL_COLUMN));
    if (body->final_url.len) add_text(out, "final_url", buf_str(&body->final_url));
    if (body->end == LIST_END_FETCHED && body->fetch.http_status)
        buf_printf(out, ",\"http_status\":%d", body->fetch.http_status);
    if (bytes->len) {
        hash_sha256_text(hash, bytes->data, bytes->len);
        add_text(out, "sha256", hash);
    }
    buf_byte(out, '}');
}

static void count_names(struct urls *urls, const struct list_body *body)
{
    if (body->end != LIST_END_FETCHED || body->copied || !body->fetch.named) return;
    urls->named++;
    urls->unanswered +=
        body->fetch.status == FETCH_DNS_FAILED || body->fetch.status == FETCH_DNS_TIMEOUT;
}

static void put(struct urls *urls, const struct list_body *body)
{
    const bool fetched = body->end == LIST_END_FETCHED && body->fetch.status == FETCH_OK;
    const char *caption =
        urls->columns.wanted[LIST_CAPTION] ? list_row_field(&body->row, LIST_CAPTION) : NULL;
    const struct head head = {.end = body->end,
                              .status = body->fetch.status,
                              .http_status = body->fetch.http_status,
                              .has_caption = caption != NULL};
    const struct reorder_part part[PARTS_COUNT] = {
        [PART_PICTURE] = {body->fetch.body.data, fetched ? body->fetch.body.len : 0},
        [PART_CAPTION] = {caption, caption ? strlen(caption) : 0},
        [PART_JSON] = {urls->json.data, urls->json.len},
        [PART_HEAD] = {&head, sizeof head}};
    struct err *err = &urls->err;
    lock(urls);
    if (!err->code && buf_failed(&urls->json))
        (void)err_set(err, ERR_LIMIT, "no memory for row %u of the shard", body->index);
    /* After an error the reorder is good for nothing. */
    const bool failed =
        err->code || reorder_put(urls->reorder, body->place, part, PARTS_COUNT, err);
    unlock(urls);
    if (failed) atomic_store(&urls->stop, true);
}

static void deliver(void *ctx, struct list_body *body)
{
    struct urls *urls = ctx;
    struct buf *bytes = &body->fetch.body;
    write_json(urls, body);
    count_names(urls, body);
    put(urls, body);
    (void)chan_try_send(urls->news, urls); /* if there is no room, the reader has been told */
    if (bytes->cap > BUFFER_KEPT_MAX) {
        const size_t max = bytes->max;
        buf_deinit(bytes);
        buf_init(bytes, max);
    }
    give(urls, body);
}

static void run(void *arg)
{
    struct urls *urls = arg;
    struct err why = {0};
    log_scope_join(urls->env.env->scope);
    const int rc = list_fetch_run(urls->fetch, &why);
    lock(urls);
    if (rc && !urls->err.code) urls->err = why;
    unlock(urls);
    log_scope_join(NULL);
    atomic_store(&urls->ended, true);
    chan_close(urls->news);
}

/* ---- the reader ---- */

static void tell_end(struct encode_sample *sample, const struct head *head)
{
    switch (head->end) {
    case LIST_END_FETCHED:
        if (head->status == FETCH_HTTP_STATUS)
            source_fail(sample, fetch_status_name(head->status), "%s %d",
                        fetch_status_text(head->status), head->http_status);
        else if (head->status != FETCH_OK)
            source_fail(sample, fetch_status_name(head->status), "%s",
                        fetch_status_text(head->status));
        break;
    case LIST_END_NO_URL:
        source_fail(sample, fetch_status_name(FETCH_BAD_URL), "%s",
                    fetch_status_text(FETCH_BAD_URL));
        break;
    case LIST_END_BAD_ROW:
        source_fail(sample, SOURCE_BAD_ROW, "the row of the list cannot be read");
        break;
    case LIST_END_CARRIED: /* nobody is there to carry it to */
        CHECK(head->end != LIST_END_CARRIED);
        break;
    }
}

static int emit(void *ctx, uint32_t index, const struct reorder_part part[REORDER_PARTS_MAX],
                struct err *err)
{
    struct urls *urls = ctx;
    struct encode_sample *sample = urls->taker;
    char key[LIST_KEY_BYTES];
    struct head head;
    (void)err;
    CHECK(part[PART_HEAD].bytes == sizeof head);
    memcpy(&head, part[PART_HEAD].data, sizeof head);
    list_key(key, urls->env.shard->shard, index, urls->key_digits);
    sample->index = index;
    source_set_key(sample, key);
    if (part[PART_PICTURE].bytes)
        buf_add(&sample->picture, part[PART_PICTURE].data, part[PART_PICTURE].bytes);
    if (head.has_caption)
        source_set_caption(sample, part[PART_CAPTION].data, part[PART_CAPTION].bytes);
    buf_add(&sample->json, part[PART_JSON].data, part[PART_JSON].bytes);
    tell_end(sample, &head);
    return 0;
}

static int pull(struct urls *urls, struct encode_sample *sample, bool *found, struct err *err)
{
    const struct err *why = &urls->err;
    lock(urls);
    urls->taker = sample;
    const bool was = reorder_memory_bytes(urls->reorder) >= ENOUGH_BYTES;
    const int rc = why->code ? err_set(err, why->code, "%s", why->msg)
                             : reorder_pull(urls->reorder, found, err);
    const bool is = reorder_memory_bytes(urls->reorder) >= ENOUGH_BYTES;
    unlock(urls);
    if (was && !is) list_fetch_wake(urls->fetch);
    return rc;
}

/* Behind the last row that came. */
static int end(struct urls *urls, struct err *err)
{
    if (reorder_next(urls->reorder) < urls->source.rows)
        return err_set(err, ERR_INTERNAL, "rows of the shard are missing");
    /* No name server had an answer to any row: more likely this machine's network than the list. */
    if (urls->env.env->attempt >= DNS_ATTEMPTS || urls->named < DNS_ROWS_MIN ||
        urls->unanswered < urls->named)
        return 0;
    return err_set(err, ERR_UNAVAILABLE,
                   "no name server answered for any of %u rows: is this worker's network up?",
                   urls->named);
}

static int urls_next(struct source *source, struct encode_sample *sample, bool *found,
                     struct err *err)
{
    struct urls *urls = (struct urls *)source;
    for (;;) {
        int rc = source_look(&urls->env, err);
        /* Before the last look into the reorder: what came until then is there. */
        const bool ended = atomic_load(&urls->ended);
        if (!rc) rc = pull(urls, sample, found, err);
        if (rc || *found) return rc;
        if (ended) return end(urls, err);
        const int64_t from_us = clock_mono_us();
        (void)chan_recv_for(urls->news, WAIT_MS);
        source->waited_ns += (clock_mono_us() - from_us) * 1000;
    }
}

static void urls_tell(struct source *source, struct job_stage *stage)
{
    struct urls *urls = (struct urls *)source;
    stage->running = list_fetch_running(urls->fetch);
    stage->queued = list_fetch_waiting(urls->fetch);
    stage->full = stage->running >= urls->options.transfers;
}

static void urls_close(struct source *source)
{
    struct urls *urls = (struct urls *)source;
    atomic_store(&urls->stop, true);
    if (urls->thread.running) list_fetch_wake(urls->fetch);
    thread_join(&urls->thread);
    list_fetch_free(urls->fetch);
    reorder_free(urls->reorder);
    for (uint32_t i = 0; i < urls->items_count; i++) list_body_deinit(&urls->item[i]);
    if (urls->news) chan_close(urls->news);
    while (urls->news && chan_try_recv(urls->news)) {
    }
    if (urls->news) chan_free(urls->news);
    CHECK(pthread_mutex_destroy(&urls->lock) == 0);
    buf_deinit(&urls->json);
    mem_free(urls->item);
    mem_free(urls);
}

static int make_items(struct urls *urls, struct err *err)
{
    const uint32_t count = urls->options.transfers * LIST_FETCH_ITEMS;
    urls->item = mem_try(count * sizeof *urls->item);
    if (!urls->item) return err_set(err, ERR_LIMIT, "no memory for %u rows", count);
    urls->items_count = count;
    for (uint32_t i = 0; i < count; i++) {
        list_body_init(&urls->item[i], urls->options.body_bytes);
        give(urls, &urls->item[i]);
    }
    return 0;
}

static int make_order(struct urls *urls, struct err *err)
{
    char path[PATH_MAX];
    if (!fs_join(path, sizeof path, urls->env.scratch, "reorder"))
        return err_set(err, ERR_LIMIT, "%.100s is too long a path", urls->env.scratch);
    const struct reorder_options options = {.rows = urls->source.rows,
                                            .memory_bytes_max = WAITING_BYTES_MAX,
                                            .scratch_path = path,
                                            .emit = emit,
                                            .ctx = urls,
                                            .pull = true};
    return reorder_new(&urls->reorder, &options, err);
}

static int make_fetch(struct urls *urls, struct err *err)
{
    const struct source_env *env = &urls->env;
    const Vlmq__Jobs__EncodeShard *shard = env->shard;
    const struct list_fetch_options options = {.path = env->options->input,
                                               .columns = urls->columns,
                                               .cut = {.shard = shard->shard,
                                                       .rows = shard->rows,
                                                       .offset = shard->offset,
                                                       .bytes = shard->bytes,
                                                       .hash = shard->hash,
                                                       .sliced = shard->sliced,
                                                       .jsonl = shard->jsonl},
                                               .store = env->output,
                                               .rows = shard->rows,
                                               .fetch = &urls->options,
                                               .scratch = env->scratch,
                                               .tail_ms = env->options->urls.tail_ms,
                                               .clock = env->env->clock,
                                               .abort = &urls->stop,
                                               .ctx = urls,
                                               .take = take,
                                               .give = give,
                                               .deliver = deliver,
                                               .full = full};
    return list_fetch_new(&urls->fetch, &options, err);
}

static int urls_open(struct source **source, const struct source_env *env, struct err *err)
{
    const Vlmq__Jobs__EncodeShard *shard = env->shard;
    if (!shard->rows || shard->rows > ENCODE_SHARD_ROWS_MAX)
        return err_set(err, ERR_INVALID, "the task's payload cannot be read");
    struct urls *urls = mem_new(sizeof *urls);
    CHECK(pthread_mutex_init(&urls->lock, NULL) == 0);
    urls->env = *env;
    urls->source.rows = shard->rows;
    urls->options = env->options->urls.fetch;
    urls->columns = env->options->urls.columns;
    urls->columns.format = list_of_input(shard->source);
    urls->key_digits = list_key_digits(env->options->shard_rows);
    urls->news = chan_new(1);
    buf_init(&urls->json, 0);
    fetch_options_fit(&urls->options);
    int rc = make_items(urls, err);
    if (!rc) rc = make_order(urls, err);
    if (!rc) rc = make_fetch(urls, err);
    if (!rc) rc = thread_start(&urls->thread, "enc-fetch", run, urls, err);
    if (rc)
        urls_close(&urls->source);
    else
        *source = &urls->source;
    return rc;
}

const struct source_driver source_urls = {
    .stage = "fetch",
    .open = urls_open,
    .next = urls_next,
    .tell = urls_tell,
    .close = urls_close,
};
