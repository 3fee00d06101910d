/* work_fetch.c - the fetch thread: rows in, bodies out. */
#include "common/base/check.h"
#include "worker/jobs/download/work.h"

#define TURN_MS 100 /* how soon the thread sees that it must stop, if nobody wakes it */

static void to_decode(struct work *work, struct work_item *item)
{
    atomic_fetch_add(&work->bodies_waiting, (int64_t)item->fetch.body.len);
    atomic_fetch_add(&work->fetched, 1);
    CHECK(chan_send(work->decode, item)); /* it has room for all items */
}

/* Reads the next row into the item and starts it. false: there is none. */
static bool start_row(struct work *work, struct work_item *item, int *rc)
{
    bool found = false;
    *rc = list_slice_next(work->slice, &item->row, &found, &work->fetch_err);
    if (*rc || !found) return false;
    item->index = work->rows_read++;
    item->outcome = (struct outcome){0};
    item->fetch.content_type[0] = 0;
    item->fetch.http_status = 0;
    buf_clear(&item->fetch.body);
    const char *url = list_row_field(&item->row, LIST_URL_COLUMN);
    if (item->row.problem) {
        item->outcome.status = STATUS_BAD_ROW;
    } else if (!url || !url[0] || item->row.url_mended) {
        item->outcome.status = status_of_fetch(FETCH_BAD_URL);
    } else {
        item->fetch.url = url;
        work->fetching++;
        fetch_start(work->fetch, &item->fetch);
        return true;
    }
    to_decode(work, item);
    return true;
}

/* Starts as many rows as there is room for. *more: the list may have others. */
static int start_rows(struct work *work, bool *more)
{
    int rc = 0;
    while (*more && !rc && !atomic_load(&work->abort) && fetch_room(work->fetch) > 0 &&
           atomic_load(&work->bodies_waiting) < BODIES_WAITING_MAX) {
        struct work_item *item = chan_try_recv(work->pool);
        if (!item) return 0;
        if (start_row(work, item, &rc)) continue;
        *more = false;
        CHECK(chan_send(work->pool, item));
    }
    return rc;
}

static void take_fetched(struct work *work)
{
    struct fetch_item *fetched;
    while ((fetched = fetch_take(work->fetch)) != NULL) {
        struct work_item *item = (struct work_item *)(void *)fetched;
        work->fetching--;
        item->outcome.status = status_of_fetch(fetched->status);
        item->outcome.http_status = fetched->http_status;
        item->outcome.body_bytes = (int64_t)fetched->body.len;
        to_decode(work, item);
    }
    atomic_store(&work->transfers_running, work->fetching);
}

void work_fetch(void *arg)
{
    struct work *work = arg;
    bool more = true;
    int rc = 0;
    log_scope_join(work->env->scope);
    while (!rc && !atomic_load(&work->abort)) {
        rc = start_rows(work, &more);
        if (rc || (!more && work->fetching == 0)) break;
        fetch_turn(work->fetch, TURN_MS);
        take_fetched(work);
    }
    log_scope_join(NULL);
    chan_close(work->decode);
}
