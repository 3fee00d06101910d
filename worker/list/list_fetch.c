/* list_fetch.c - see list_fetch.h. */
#include "worker/list/list_fetch.h"

#include "common/base/check.h"
#include "common/base/fs.h"
#include "common/base/mem.h"
#include "worker/pipe/fetch_data.h"

#define DRAIN_MS 5000 /* rows that run when the worker leaves have so long */
#define TURN_MS  100  /* how soon the thread sees that it must stop, if nobody wakes it */

struct list_fetch {
    struct list_fetch_options options;
    struct list_slice *slice;
    struct fetch *fetch;
    struct same *same;
    uint32_t rows_before; /* to pass over */
    uint32_t rows_read, rows_started, fetching;
    int64_t tail_until_ms;                       /* 0: there are rows to start */
    bool abandoned;                              /* the rows that are not done */
    int64_t drain_until_ms;                      /* 0: not asked to */
    uint32_t waiting;                            /* rows that are not asked for: */
    struct fetch_item *ready_first, *ready_last; /* those whose URL was fetched for another row */
    struct err *err;                             /* of list_fetch_run */
    atomic_uint transfers_running, transfers_waiting;
};

void list_body_init(struct list_body *body, int64_t body_bytes)
{
    *body = (struct list_body){0};
    list_row_init(&body->row);
    buf_init(&body->fetch.body, (size_t)body_bytes);
    buf_init(&body->final_url, 0);
    body->fetch.final_url = &body->final_url;
}

void list_body_deinit(struct list_body *body)
{
    list_row_deinit(&body->row);
    buf_deinit(&body->fetch.body);
    buf_deinit(&body->final_url);
}

static struct list_body *body_of(struct fetch_item *item)
{
    return (struct list_body *)(void *)item;
}

/* The next row that is wanted. */
static int next_row(const struct list_fetch_options *options, struct list_slice *slice,
                    struct list_row *row, uint32_t *read, bool *found, struct err *err)
{
    for (;;) {
        const int rc = list_slice_next(slice, row, found, err);
        if (rc || !*found) return rc;
        const uint32_t index = (*read)++; /* the slice gives no more rows than the shard has */
        if (!options->wanted || options->wanted[index]) return 0;
    }
}

/* NULL: there is nothing to ask for. */
static const char *url_of(const struct list_row *row)
{
    const char *url = list_row_field(row, LIST_URL_COLUMN);
    return !row->problem && url && url[0] && !row->url_mended ? url : NULL;
}

static int open_slice(struct list_slice **slice, const struct list_fetch_options *options,
                      struct err *err)
{
    return list_slice_open(slice, options->path, &options->columns, &options->cut, options->store,
                           err);
}

static int note_urls(struct list_fetch *fetch, struct err *err)
{
    const struct list_fetch_options *options = &fetch->options;
    char path[1024];
    struct list_slice *slice = NULL;
    struct list_row row;
    uint32_t read = 0;
    bool found = true;
    list_row_init(&row);
    int rc = fs_join(path, sizeof path, options->scratch, "same")
                 ? same_new(&fetch->same, options->rows, path, SAME_BYTES_MAX, err)
                 : err_set(err, ERR_LIMIT, "%s is too long a path", options->scratch);
    if (!rc) rc = open_slice(&slice, options, err);
    while (!rc && found) {
        rc = next_row(options, slice, &row, &read, &found, err);
        const char *url = !rc && found ? url_of(&row) : NULL;
        /* A data: URL is its own body. */
        if (url && !fetch_data_is(url)) same_note(fetch->same, url);
    }
    if (!rc) same_seal(fetch->same);
    list_slice_close(slice);
    list_row_deinit(&row);
    return rc;
}

int list_fetch_new(struct list_fetch **fetch_out, const struct list_fetch_options *options,
                   struct err *err)
{
    struct list_fetch *fetch = mem_new(sizeof *fetch);
    fetch->options = *options;
    int rc = note_urls(fetch, err);
    if (!rc) rc = open_slice(&fetch->slice, options, err);
    if (!rc) rc = fetch_new(&fetch->fetch, options->fetch, err);
    fetch->options.fetch = NULL;
    fetch->options.scratch = NULL;
    if (rc) {
        list_fetch_free(fetch);
        return rc;
    }
    *fetch_out = fetch;
    return 0;
}

void list_fetch_free(struct list_fetch *fetch)
{
    if (!fetch) return;
    fetch_free(fetch->fetch);
    list_slice_close(fetch->slice);
    same_free(fetch->same);
    mem_free(fetch);
}

void list_fetch_skip(struct list_fetch *fetch, uint32_t rows)
{
    fetch->rows_before = rows;
}

void list_fetch_wake(struct list_fetch *fetch)
{
    fetch_wake(fetch->fetch);
}

uint32_t list_fetch_running(const struct list_fetch *fetch)
{
    return atomic_load(&fetch->transfers_running);
}

uint32_t list_fetch_waiting(const struct list_fetch *fetch)
{
    return atomic_load(&fetch->transfers_waiting);
}

static void deliver(struct list_fetch *fetch, struct list_body *body, enum list_end end)
{
    const bool late = end == LIST_END_FETCHED && body->fetch.status == FETCH_SHARD_TIMEOUT;
    body->end = late && fetch->options.carry ? LIST_END_CARRIED : end;
    fetch->options.deliver(fetch->options.ctx, body);
}

static void deliver_fetched(struct list_fetch *fetch, struct list_body *body)
{
    deliver(fetch, body, LIST_END_FETCHED);
}

static void start(struct list_fetch *fetch, struct list_body *body, const char *url)
{
    body->fetch.url = url;
    fetch->fetching++;
    fetch_start(fetch->fetch, &body->fetch);
}

/* For a URL that is, or was, fetched for an earlier row. */
static int share(struct list_fetch *fetch, struct list_body *body)
{
    body->copied = true;
    if (body->same->done) {
        const int rc = same_copy(fetch->same, body->same, &body->fetch, fetch->err);
        if (!rc) deliver_fetched(fetch, body);
        return rc;
    }
    fetch->waiting++;
    body->fetch.next = body->same->waiting;
    body->same->waiting = &body->fetch;
    return 0;
}

static int start_url(struct list_fetch *fetch, struct list_body *body, const char *url)
{
    body->same = same_find(fetch->same, url);
    if (body->same) {
        body->same->rows_left--;
        body->shared = body->same->seen;
        body->same->seen = true;
        if (body->same->started) return share(fetch, body);
        body->same->started = true;
    }
    start(fetch, body, url);
    return 0;
}

/* Passes over those that an earlier attempt has done. */
static int skip_rows(struct list_fetch *fetch)
{
    struct list_row row;
    bool found = true;
    int rc = 0;
    list_row_init(&row);
    while (!rc && found && fetch->rows_started < fetch->rows_before) {
        rc = next_row(&fetch->options, fetch->slice, &row, &fetch->rows_read, &found, fetch->err);
        const char *url = !rc && found ? url_of(&row) : NULL;
        struct same_url *same = url ? same_find(fetch->same, url) : NULL;
        if (same) same->rows_left--;
        if (same) same->seen = true;
        fetch->rows_started++;
    }
    list_row_deinit(&row);
    return rc;
}

/* Reads the next row into the body and starts it. false: there is none. */
static bool start_row(struct list_fetch *fetch, struct list_body *body, int *rc)
{
    bool found = false;
    *rc =
        next_row(&fetch->options, fetch->slice, &body->row, &fetch->rows_read, &found, fetch->err);
    if (*rc || !found) return false;
    body->index = fetch->rows_read - 1;
    body->place = fetch->rows_started++;
    body->same = NULL;
    body->shared = body->copied = false;
    body->fetch.content_type[0] = 0;
    body->fetch.http_status = 0;
    buf_clear(&body->final_url);
    buf_clear(&body->fetch.body);
    const char *url = url_of(&body->row);
    if (url)
        *rc = start_url(fetch, body, url);
    else
        deliver(fetch, body, body->row.problem ? LIST_END_BAD_ROW : LIST_END_NO_URL);
    return true;
}

/* Starts as many rows as there is room for. *more: the list may have others. */
static int start_rows(struct list_fetch *fetch, bool *more)
{
    const struct list_fetch_options *options = &fetch->options;
    int rc = 0;
    while (*more && !rc && !atomic_load(options->abort) && fetch_room(fetch->fetch) > 0 &&
           !fetch_has_ended(fetch->fetch)) { /* such as a data: URL: its body is not counted yet */
        struct list_body *body = options->take(options->ctx);
        if (!body) return 0;
        if (start_row(fetch, body, &rc)) continue;
        *more = false;
        options->give(options->ctx, body);
    }
    return rc;
}

/* Fetches the URL for one of the rows that wait for it, or else for the next that comes. */
static void fetch_again(struct list_fetch *fetch, struct same_url *same)
{
    struct list_body *body = same->waiting ? body_of(same->waiting) : NULL;
    same->started = body != NULL;
    if (!body) return;
    same->waiting = body->fetch.next;
    body->fetch.next = NULL;
    body->copied = false;
    fetch->waiting--;
    start(fetch, body, list_row_field(&body->row, LIST_URL_COLUMN));
}

/* The rows that waited for this one are ready. */
static int keep_for_others(struct list_fetch *fetch, struct list_body *body)
{
    struct same_url *same = body->same;
    bool kept = false;
    if (!same->rows_left && !same->waiting) return 0;
    const int rc = same_keep(fetch->same, same, &body->fetch, &kept, fetch->err);
    if (!rc && !kept) fetch_again(fetch, same);
    while (!rc && kept && same->waiting) {
        struct fetch_item *next = same->waiting;
        same->waiting = next->next;
        next->next = NULL;
        if (fetch->ready_last)
            fetch->ready_last->next = next;
        else
            fetch->ready_first = next;
        fetch->ready_last = next;
    }
    return rc;
}

/* As many as there is memory for. */
static int serve_ready(struct list_fetch *fetch)
{
    int rc = 0;
    while (!rc && fetch->ready_first && !fetch->options.full(fetch->options.ctx)) {
        struct list_body *body = body_of(fetch->ready_first);
        fetch->ready_first = body->fetch.next;
        if (!fetch->ready_first) fetch->ready_last = NULL;
        fetch->waiting--;
        rc = same_copy(fetch->same, body->same, &body->fetch, fetch->err);
        if (!rc) deliver_fetched(fetch, body);
    }
    return rc;
}

/* Nothing is known of a row that is carried over, whatever its tries so far came to. */
static void carry(struct list_body *body)
{
    body->fetch.status = FETCH_SHARD_TIMEOUT;
    body->fetch.http_status = 0;
    body->fetch.content_type[0] = 0;
    buf_clear(&body->fetch.body);
    buf_clear(&body->final_url);
}

static int take_fetched(struct list_fetch *fetch)
{
    int rc = 0;
    struct fetch_item *taken;
    while (!rc && (taken = fetch_take(fetch->fetch)) != NULL) {
        struct list_body *body = body_of(taken);
        fetch->fetching--;
        if (fetch->abandoned && fetch->options.carry) carry(body);
        if (body->same) rc = keep_for_others(fetch, body);
        if (!rc) deliver_fetched(fetch, body);
    }
    const uint32_t running = fetch_running(fetch->fetch);
    atomic_store(&fetch->transfers_running, running);
    atomic_store(&fetch->transfers_waiting,
                 fetch->fetching > running ? fetch->fetching - running : 0);
    return rc ? rc : serve_ready(fetch);
}

/* The last slow rows of a shard do not hold the others for ever. */
static int check_tail(struct list_fetch *fetch)
{
    const struct clock *clock = fetch->options.clock;
    const int64_t now_ms = clock->mono_ms(clock);
    if (!fetch->tail_until_ms) fetch->tail_until_ms = now_ms + fetch->options.tail_ms;
    if (now_ms < fetch->tail_until_ms) return 0;
    const int rc = take_fetched(fetch); /* those that are done are not carried over */
    fetch_abandon(fetch->fetch);
    fetch->abandoned = true;
    return rc;
}

/* No row is started any more. Those that were may come to their end, since an early one that is
 * missing would cost all that are done behind it; true: that takes too long. */
static bool drained(struct list_fetch *fetch, bool *more)
{
    const struct clock *clock = fetch->options.clock;
    const int64_t now_ms = clock->mono_ms(clock);
    if (!fetch->options.drain || !atomic_load(fetch->options.drain)) return false;
    *more = false;
    if (!fetch->drain_until_ms) fetch->drain_until_ms = now_ms + DRAIN_MS;
    return now_ms >= fetch->drain_until_ms;
}

int list_fetch_run(struct list_fetch *fetch, struct err *err)
{
    const struct list_fetch_options *options = &fetch->options;
    bool more = true;
    fetch->err = err;
    int rc = skip_rows(fetch);
    while (!rc && !atomic_load(options->abort) && !drained(fetch, &more)) {
        fetch_hold(fetch->fetch, options->full(options->ctx));
        rc = start_rows(fetch, &more);
        if (rc || (!more && fetch->fetching == 0 && fetch->waiting == 0)) break;
        if (!more && !fetch->drain_until_ms) rc = check_tail(fetch);
        if (rc) break;
        fetch_turn(fetch->fetch, TURN_MS);
        rc = take_fetched(fetch);
    }
    return rc;
}
