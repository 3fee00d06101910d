/* work_fetch.c - the fetch thread: rows in, bodies out. */
#include "common/base/check.h"
#include "common/base/clock.h"
#include "worker/jobs/download/plan.h"
#include "worker/jobs/download/work.h"

/* A late shard waits so many times as long as the shard did: nothing else is held by it. */
#define LATE_PATIENCE 10

static struct list_body *take(void *ctx)
{
    struct work *work = ctx;
    struct work_item *item = chan_try_recv(work->pool);
    return item ? &item->body : NULL;
}

static struct work_item *item_of(struct list_body *body)
{
    return (struct work_item *)(void *)body;
}

static void give(void *ctx, struct list_body *body)
{
    struct work *work = ctx;
    CHECK(chan_send(work->pool, item_of(body)));
}

static bool full(void *ctx)
{
    struct work *work = ctx;
    return atomic_load(&work->bodies_waiting) >= BODIES_WAITING_MAX;
}

static void note_fetch(struct outcome *outcome, const struct list_body *body)
{
    const struct fetch_item *fetch = &body->fetch;
    outcome->status = status_of_fetch(fetch->status);
    outcome->http_status = fetch->http_status;
    outcome->body_bytes = (int64_t)fetch->body.len;
    outcome->named = !body->copied && fetch->named;
    outcome->tries = body->copied ? 0 : fetch->tries;
    outcome->fetch_ms = body->copied ? 0 : fetch->spent_ms;
}

static void deliver(void *ctx, struct list_body *body)
{
    struct work *work = ctx;
    struct work_item *item = item_of(body);
    item->outcome = (struct outcome){.shared = body->shared};
    switch (body->end) {
    case LIST_END_FETCHED:
        note_fetch(&item->outcome, body);
        break;
    case LIST_END_CARRIED:
        note_fetch(&item->outcome, body);
        item->outcome.status = STATUS_CARRIED;
        break;
    case LIST_END_BAD_ROW:
        item->outcome.status = STATUS_BAD_ROW;
        break;
    case LIST_END_NO_URL:
        item->outcome.status = status_of_fetch(FETCH_BAD_URL);
        break;
    }
    atomic_fetch_add(&work->bodies_waiting, (int64_t)body->fetch.body.len);
    atomic_fetch_add(&work->fetched, 1);
    CHECK(chan_send(work->decode, item)); /* it has room for all items */
}

int work_fetch_new(struct work *work, struct err *err)
{
    char scratch[1024];
    const bool late = work->shard->late > 0;
    const int rc = attempt_scratch(work->attempt, scratch, sizeof scratch, err);
    const struct list_fetch_options options = {.path = work->options.input,
                                               .columns = download_columns(&work->options),
                                               .cut = download_cut(work->shard),
                                               .store = work->store,
                                               .wanted = work->carried,
                                               .rows = work->rows_count,
                                               .fetch = &work->options.fetch,
                                               .scratch = scratch,
                                               .tail_ms = work->options.tail_ms *
                                                          (late ? LATE_PATIENCE : 1),
                                               .carry = !late,
                                               .clock = work->env->clock,
                                               .abort = &work->abort,
                                               .drain = &work->drain,
                                               .ctx = work,
                                               .take = take,
                                               .give = give,
                                               .deliver = deliver,
                                               .full = full};
    return rc ? rc : list_fetch_new(&work->fetch, &options, err);
}

void work_fetch(void *arg)
{
    struct work *work = arg;
    log_scope_join(work->env->scope);
    list_fetch_skip(work->fetch, work->rows_before);
    if (list_fetch_run(work->fetch, &work->fetch_err))
        atomic_store(&work->abort, true); /* what is under way is for nothing */
    log_scope_join(NULL);
    atomic_store(&work->cpu_ns[CPU_FETCH], clock_thread_ns());
    chan_close(work->decode);
}
