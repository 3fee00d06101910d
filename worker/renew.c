/* renew.c - Renew messages: what the lease table asks for, in as few messages as possible. */
#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "worker/inside.h"

#include <inttypes.h>
#include <string.h>

/* A place for one more message; the oldest is given up for it, because its leases have been asked
 * for again since. */
static struct renewal *place(struct worker *w)
{
    struct renewal *oldest = &w->renewal[0];
    for (uint32_t i = 0; i < RENEWS_MAX; i++) {
        if (!w->renewal[i].request) return &w->renewal[i];
        if (w->renewal[i].asked_at_ms < oldest->asked_at_ms) oldest = &w->renewal[i];
    }
    link_forget(w->link, oldest->request);
    oldest->request = 0;
    return oldest;
}

/* Fills one row. Returns the bytes that its cursor may need. */
static size_t fill(struct worker *w, Vlmq__Renewal *row, struct task *task, uint32_t *version)
{
    struct job_progress progress;
    size_t bytes = 0;
    vlmq__renewal__init(row);
    row->attempt = &task->attempt;
    task->progress_sent = host_progress(&task->host, &progress);
    row->progress = worker_progress(w, &progress);
    *version = 0;
    if (host_cursor_version(&task->host, &bytes) == task->cursor_acked) return 0;
    row->cursor.data = arena_new(&w->scratch, CURSOR_BYTES_MAX);
    *version = host_cursor(&task->host, row->cursor.data, &row->cursor.len);
    row->has_cursor = true;
    return CURSOR_BYTES_MAX;
}

/* Sends one message for keys from `at` on; returns where the next one starts. */
static uint32_t send_some(struct worker *w, uint32_t at, int64_t now_ms)
{
    struct renewal *renewal = place(w);
    struct err err;
    Vlmq__Renew message = VLMQ__RENEW__INIT;
    size_t cursors_bytes = 0;
    message.worker = w->id;
    message.renewals = arena_new(&w->scratch, TASKS_MAX * sizeof(void *));
    renewal->count = 0;
    for (; at < w->work.renew_count && cursors_bytes + CURSOR_BYTES_MAX <= CURSORS_BYTES_MAX;
         at++) {
        struct task *task = tasks_find(w, w->work.renew[at]);
        CHECK(task != NULL);
        const uint32_t i = renewal->count++;
        message.renewals[i] = arena_new(&w->scratch, sizeof *message.renewals[i]);
        renewal->key[i] = task->key;
        cursors_bytes += fill(w, message.renewals[i], task, &renewal->cursor_version[i]);
    }
    message.n_renewals = renewal->count;
    renewal->asked_at_ms = now_ms;
    if (worker_send(w, &renewal->request, VLMQ__TYPE__RENEW, &message.base, LEASE_TTL_MS,
                    ABOUT(ABOUT_RENEW, 0), &err)) {
        renewal->request = 0; /* lease_tick asks again */
        log_error("renew.unsent", "msg=%s", log_quote(err.msg));
    }
    return at;
}

/* Progress that is new and of which nothing is on its way hurries its lease's renewal. Returns
 * when to look again, in ms; -1: no task runs. */
static int64_t hurry_progress(struct worker *w, int64_t now_ms)
{
    int64_t next_ms = INT64_MAX;
    for (uint32_t i = 0; i < w->tasks_count; i++) {
        struct task *task = w->task[i];
        if (task->state != TASK_RUNNING) continue;
        if (now_ms >= task->progress_look_ms) {
            task->progress_look_ms = now_ms + PROGRESS_MS;
            if (task->progress_sent == task->progress_acked &&
                host_progress_version(&task->host) != task->progress_sent)
                lease_hurry(&w->leases, task->key);
        }
        if (task->progress_look_ms < next_ms) next_ms = task->progress_look_ms;
    }
    return next_ms == INT64_MAX ? -1 : next_ms - now_ms;
}

int64_t renew_step(struct worker *w, int64_t now_ms)
{
    const int64_t look_ms = hurry_progress(w, now_ms);
    int64_t sleep_ms = lease_tick(&w->leases, now_ms, &w->work);
    if (look_ms >= 0 && (sleep_ms < 0 || look_ms < sleep_ms)) sleep_ms = look_ms;
    for (uint32_t i = 0; i < w->work.lost_count; i++) {
        struct task *task = tasks_find(w, w->work.lost[i]);
        CHECK(task != NULL);
        host_stop(&task->host, JOB_STOP_LOST);
        log_scope_join(task->scope);
        log_warn("lease.lost", "lease=%s msg=%s", task->attempt.lease,
                 log_quote("no broker has renewed it in time"));
        log_scope_join(NULL);
    }
    for (uint32_t at = 0; at < w->work.renew_count;) at = send_some(w, at, now_ms);
    return sleep_ms;
}

void renew_all(struct worker *w)
{
    for (uint32_t i = 0; i < w->tasks_count; i++) lease_hurry(&w->leases, w->task[i]->key);
}

void renew_notice(struct worker *w, const Vlmq__Notice *notice)
{
    for (uint32_t i = 0; i < w->tasks_count; i++)
        if (!*notice->job || str_eq(notice->job, w->task[i]->env.job))
            lease_hurry(&w->leases, w->task[i]->key);
}

static struct renewal *find(struct worker *w, uint64_t request)
{
    for (uint32_t i = 0; i < RENEWS_MAX; i++)
        if (w->renewal[i].request == request) return &w->renewal[i];
    return NULL;
}

static void stop(struct task *task, enum job_stop reason, const char *event)
{
    if (job_stopping(&task->env) >= reason) return;
    host_stop(&task->host, reason);
    log_scope_join(task->scope);
    log_info(event, "lease=%s", task->attempt.lease);
    log_scope_join(NULL);
}

static void take_result(struct worker *w, struct task *task, Vlmq__Code code, int64_t sent_at_ms,
                        uint32_t cursor_version)
{
    switch (envelope_code(code)) {
    case ERR_OK:
        lease_renewed(&w->leases, task->key, sent_at_ms);
        if (cursor_version > task->cursor_acked) task->cursor_acked = cursor_version;
        task->progress_acked = task->progress_sent;
        break;
    case ERR_CANCELLED:
        /* Ours until its end, so that it can be handed back; Redis has not moved that. */
        stop(task, JOB_STOP_CANCELLED, "lease.cancelled");
        break;
    case ERR_STALE:
    case ERR_NOT_FOUND:
        lease_gone(&w->leases, task->key);
        stop(task, JOB_STOP_LOST, "lease.stale");
        break;
    case ERR_INVALID:
    case ERR_LIMIT:
    case ERR_CORRUPT:
    case ERR_UNAVAILABLE:
    case ERR_TIMEOUT:
    case ERR_DENIED:
    case ERR_VERSION:
    case ERR_INTERNAL:
    case ERR_FULL:
    case ERR_CODES_COUNT:
        break; /* asked for again before its end */
    }
}

void renew_answered(struct worker *w, const struct link_event *event)
{
    const Vlmq__RenewAnswer *answer = (const Vlmq__RenewAnswer *)event->envelope.body;
    struct renewal *renewal = find(w, event->request_id);
    if (!renewal) return;
    renewal->request = 0;
    if (answer->drain) leave_drain(w, "asked by the broker");
    if (answer->n_results != renewal->count) {
        log_error("renew.answer", "msg=%s", log_quote("the broker answered for other leases"));
        return;
    }
    for (uint32_t i = 0; i < renewal->count; i++) {
        struct task *task = tasks_find(w, renewal->key[i]);
        if (task)
            take_result(w, task, answer->results[i]->code, event->sent_at_ms,
                        renewal->cursor_version[i]);
    }
}

void renew_failed(struct worker *w, const struct link_event *event)
{
    struct renewal *renewal = find(w, event->request_id);
    if (!renewal) return;
    renewal->request = 0;
    if (event->err.code == ERR_TIMEOUT || event->err.code == ERR_UNAVAILABLE) return;
    log_warn("renew.refused", "code=%s msg=%s", err_name(event->err.code),
             log_quote(event->err.msg));
}
