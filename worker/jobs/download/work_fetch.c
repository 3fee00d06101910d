/* work_fetch.c - the fetch thread: rows in, bodies out. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/fs.h"
#include "worker/jobs/download/plan.h"
#include "worker/jobs/download/work.h"
#include "worker/pipe/fetch_data.h"

/* A late shard waits so many times as long as the shard did: nothing else is held by it. */
#define LATE_PATIENCE 10
#define DRAIN_MS      5000 /* rows that run when the worker leaves have so long */
#define TURN_MS       100  /* how soon the thread sees that it must stop, if nobody wakes it */

static void to_decode(struct work *work, struct work_item *item)
{
    atomic_fetch_add(&work->bodies_waiting, (int64_t)item->fetch.body.len);
    atomic_fetch_add(&work->fetched, 1);
    CHECK(chan_send(work->decode, item)); /* it has room for all items */
}

int work_next_row(struct work *work, struct list_slice *slice, struct list_row *row, uint32_t *read,
                  bool *found, struct err *err)
{
    for (;;) {
        const int rc = list_slice_next(slice, row, found, err);
        if (rc || !*found) return rc;
        const uint32_t index = (*read)++; /* the slice gives no more rows than the shard has */
        if (!work->carried || work->carried[index]) return 0;
    }
}

/* NULL: there is nothing to ask for. */
static const char *url_of(const struct list_row *row)
{
    const char *url = list_row_field(row, LIST_URL_COLUMN);
    return !row->problem && url && url[0] && !row->url_mended ? url : NULL;
}

int work_note_urls(struct work *work, struct err *err)
{
    char folder[1024], path[sizeof folder + 16];
    struct list_slice *slice = NULL;
    struct list_row row;
    uint32_t read = 0;
    bool found = true;
    list_row_init(&row);
    int rc = attempt_scratch(work->attempt, folder, sizeof folder, err);
    if (!rc) {
        CHECK(fs_join(path, sizeof path, folder, "same"));
        rc = same_new(&work->same, work->rows_count, path, SAME_BYTES_MAX, err);
    }
    if (!rc) rc = download_slice(&slice, &work->options, work->shard, work->store, err);
    while (!rc && found) {
        rc = work_next_row(work, slice, &row, &read, &found, err);
        const char *url = !rc && found ? url_of(&row) : NULL;
        /* A data: URL is its own body. */
        if (url && !fetch_data_is(url)) same_note(work->same, url);
    }
    if (!rc) same_seal(work->same);
    list_slice_close(slice);
    list_row_deinit(&row);
    return rc;
}

static void fetched(struct work *work, struct work_item *item)
{
    item->outcome.status = item->fetch.status == FETCH_SHARD_TIMEOUT && !work->shard->late
                               ? STATUS_CARRIED
                               : status_of_fetch(item->fetch.status);
    item->outcome.http_status = item->fetch.http_status;
    item->outcome.body_bytes = (int64_t)item->fetch.body.len;
    item->outcome.named = !item->copied && item->fetch.named;
    item->outcome.tries = item->copied ? 0 : item->fetch.tries;
    item->outcome.fetch_ms = item->copied ? 0 : item->fetch.spent_ms;
    to_decode(work, item);
}

/* For a URL that is, or was, fetched for an earlier row. */
static int share(struct work *work, struct work_item *item)
{
    item->copied = true;
    if (item->same->done) {
        const int rc = same_copy(work->same, item->same, &item->fetch, &work->fetch_err);
        if (!rc) fetched(work, item);
        return rc;
    }
    work->waiting++;
    item->fetch.next = item->same->waiting;
    item->same->waiting = &item->fetch;
    return 0;
}

static int start_url(struct work *work, struct work_item *item, const char *url)
{
    item->same = same_find(work->same, url);
    if (item->same) {
        item->same->rows_left--;
        item->outcome.shared = item->same->seen;
        item->same->seen = true;
        if (item->same->started) return share(work, item);
        item->same->started = true;
    }
    item->fetch.url = url;
    work->fetching++;
    fetch_start(work->fetch, &item->fetch);
    return 0;
}

/* Passes over those that an earlier attempt has written. */
static int skip_rows(struct work *work)
{
    struct list_row row;
    bool found = true;
    int rc = 0;
    list_row_init(&row);
    while (!rc && found && work->rows_started < work->rows_before) {
        rc = work_next_row(work, work->slice, &row, &work->rows_read, &found, &work->fetch_err);
        const char *url = !rc && found ? url_of(&row) : NULL;
        struct same_url *same = url ? same_find(work->same, url) : NULL;
        if (same) same->rows_left--;
        if (same) same->seen = true;
        work->rows_started++;
    }
    list_row_deinit(&row);
    return rc;
}

/* Reads the next row into the item and starts it. false: there is none. */
static bool start_row(struct work *work, struct work_item *item, int *rc)
{
    bool found = false;
    *rc = work_next_row(work, work->slice, &item->row, &work->rows_read, &found, &work->fetch_err);
    if (*rc || !found) return false;
    item->index = work->rows_read - 1;
    item->place = work->rows_started++;
    item->outcome = (struct outcome){0};
    item->same = NULL;
    item->copied = false;
    item->fetch.content_type[0] = 0;
    item->fetch.http_status = 0;
    buf_clear(&item->final_url);
    buf_clear(&item->fetch.body);
    const char *url = url_of(&item->row);
    if (url) {
        *rc = start_url(work, item, url);
        return true;
    }
    item->outcome.status = item->row.problem ? STATUS_BAD_ROW : status_of_fetch(FETCH_BAD_URL);
    to_decode(work, item);
    return true;
}

/* Starts as many rows as there is room for. *more: the list may have others. */
static int start_rows(struct work *work, bool *more)
{
    int rc = 0;
    while (*more && !rc && !atomic_load(&work->abort) && fetch_room(work->fetch) > 0 &&
           !fetch_has_ended(work->fetch)) { /* such as a data: URL: its body is not counted yet */
        struct work_item *item = chan_try_recv(work->pool);
        if (!item) return 0;
        if (start_row(work, item, &rc)) continue;
        *more = false;
        CHECK(chan_send(work->pool, item));
    }
    return rc;
}

/* Fetches the URL for one of the rows that wait for it, or else for the next that comes. */
static void fetch_again(struct work *work, struct same_url *same)
{
    struct work_item *item = (struct work_item *)(void *)same->waiting;
    same->started = item != NULL;
    if (!item) return;
    same->waiting = item->fetch.next;
    item->fetch.next = NULL;
    item->copied = false;
    item->fetch.url = list_row_field(&item->row, LIST_URL_COLUMN);
    work->waiting--;
    work->fetching++;
    fetch_start(work->fetch, &item->fetch);
}

/* The rows that waited for this one are ready. */
static int keep_for_others(struct work *work, struct work_item *item)
{
    struct same_url *same = item->same;
    bool kept = false;
    if (!same->rows_left && !same->waiting) return 0;
    const int rc = same_keep(work->same, same, &item->fetch, &kept, &work->fetch_err);
    if (!rc && !kept) fetch_again(work, same);
    while (!rc && kept && same->waiting) {
        struct fetch_item *next = same->waiting;
        same->waiting = next->next;
        next->next = NULL;
        if (work->ready_last)
            work->ready_last->next = next;
        else
            work->ready_first = next;
        work->ready_last = next;
    }
    return rc;
}

/* As many as the decoders' memory has room for. */
static int serve_ready(struct work *work)
{
    int rc = 0;
    while (!rc && work->ready_first && atomic_load(&work->bodies_waiting) < BODIES_WAITING_MAX) {
        struct work_item *item = (struct work_item *)(void *)work->ready_first;
        work->ready_first = item->fetch.next;
        if (!work->ready_first) work->ready_last = NULL;
        work->waiting--;
        rc = same_copy(work->same, item->same, &item->fetch, &work->fetch_err);
        if (!rc) fetched(work, item);
    }
    return rc;
}

/* Nothing is known of a row that is carried over, whatever its tries so far came to. */
static void carry(struct fetch_item *fetch, struct buf *final_url)
{
    fetch->status = FETCH_SHARD_TIMEOUT;
    fetch->http_status = 0;
    fetch->content_type[0] = 0;
    buf_clear(&fetch->body);
    buf_clear(final_url);
}

static int take_fetched(struct work *work)
{
    int rc = 0;
    struct fetch_item *taken;
    while (!rc && (taken = fetch_take(work->fetch)) != NULL) {
        struct work_item *item = (struct work_item *)(void *)taken;
        work->fetching--;
        if (work->abandoned && !work->shard->late) carry(taken, &item->final_url);
        if (item->same) rc = keep_for_others(work, item);
        if (!rc) fetched(work, item);
    }
    const uint32_t running = fetch_running(work->fetch);
    atomic_store(&work->transfers_running, running);
    atomic_store(&work->transfers_waiting, work->fetching > running ? work->fetching - running : 0);
    return rc ? rc : serve_ready(work);
}

/* The last slow rows of a shard do not hold the others for ever. */
static int check_tail(struct work *work)
{
    const struct clock *clock = work->env->clock;
    const int64_t now_ms = clock->mono_ms(clock);
    const int64_t patience_ms = work->options.tail_ms * (work->shard->late ? LATE_PATIENCE : 1);
    if (!work->tail_until_ms) work->tail_until_ms = now_ms + patience_ms;
    if (now_ms < work->tail_until_ms) return 0;
    const int rc = take_fetched(work); /* those that are done are not carried over */
    fetch_abandon(work->fetch);
    work->abandoned = true;
    return rc;
}

/* The worker leaves: no row is started any more. Those that were may come to their end, since an
 * early one that is missing would cost all that are done behind it; true: that takes too long. */
static bool drained(struct work *work, bool *more)
{
    const struct clock *clock = work->env->clock;
    const int64_t now_ms = clock->mono_ms(clock);
    if (!atomic_load(&work->drain)) return false;
    *more = false;
    if (!work->drain_until_ms) work->drain_until_ms = now_ms + DRAIN_MS;
    return now_ms >= work->drain_until_ms;
}

void work_fetch(void *arg)
{
    struct work *work = arg;
    bool more = true;
    log_scope_join(work->env->scope);
    int rc = skip_rows(work);
    while (!rc && !atomic_load(&work->abort) && !drained(work, &more)) {
        fetch_hold(work->fetch, atomic_load(&work->bodies_waiting) >= BODIES_WAITING_MAX);
        rc = start_rows(work, &more);
        if (rc || (!more && work->fetching == 0 && work->waiting == 0)) break;
        if (!more && !work->drain_until_ms) rc = check_tail(work);
        if (rc) break;
        fetch_turn(work->fetch, TURN_MS);
        rc = take_fetched(work);
    }
    if (rc) atomic_store(&work->abort, true); /* what is under way is for nothing */
    log_scope_join(NULL);
    atomic_store(&work->cpu_ns[CPU_FETCH], clock_thread_ns());
    chan_close(work->decode);
}
