/* push.c - updates for watchers: one read of a job serves all who watch it. */
#include "broker/push.h"

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#include <string.h>

/* ---- planning ---- */

static struct push_read *add_read(struct broker *b, enum push_kind kind, uint32_t slot,
                                  const char *job)
{
    struct turn *t = &b->turn;
    struct push_read *read = &t->push[t->push_count++];
    *read = (struct push_read){.kind = kind, .slot = slot, .rows = INDEX_END};
    (void)str_copy(read->job, sizeof read->job, job);
    (void)turn_call(b, STATE_GET, read->job);
    read->call = t->calls_count - 1;
    return read;
}

static bool full(const struct broker *b)
{
    return b->turn.push_count == WATCH_CALLS_MAX || turn_room(b) < 2;
}

static void plan_topic(struct broker *b, uint32_t slot)
{
    struct topic *topic = &b->watches.topic[slot];
    const int64_t now = b->turn.now_ms;
    const struct job *job = jobs_find(&b->jobs, topic->job);
    if (!watch_wants(topic, job ? job->version : 0, now)) return;
    topic->next_read_at_ms = now + WATCH_SPACING_MS;
    struct push_read *read = add_read(b, PUSH_TOPIC, slot, topic->job);
    if (topic->rows_at_ms && now - topic->rows_at_ms < WATCH_REFRESH_MS) return;
    struct state_call *call = turn_call(b, STATE_TASKS, read->job);
    call->in.tasks.page = "";
    call->in.tasks.rows = WATCH_TASKS_MAX;
    call->in.tasks.state = VLMQ__TASK_STATE__TASK_LEASED;
    read->rows = b->turn.calls_count - 1;
}

static void plan_all(struct broker *b)
{
    const int64_t now = b->turn.now_ms;
    for (uint32_t i = 0; i < b->jobs.high && !full(b); i++) {
        struct job *job = &b->jobs.job[i];
        if (!job->used || !job->show || now - job->shown_at_ms < WATCH_SPACING_MS) continue;
        job->show = false; /* set again by whatever changes from here on */
        job->shown_at_ms = now;
        (void)add_read(b, PUSH_ALL, 0, job->id);
    }
    for (uint32_t i = 0; i < b->watches.watchers_high && !full(b); i++) {
        struct watcher *w = &b->watches.watcher[i];
        if (!w->used || !w->missed_count || now < w->next_at_ms) continue;
        w->next_at_ms = now + WATCH_SPACING_MS;
        (void)add_read(b, PUSH_MISSED, i, w->missed[0]);
    }
}

void push_plan(struct broker *b)
{
    for (uint32_t i = 0; i < b->watches.topics_high && !full(b); i++) {
        if (b->watches.topic[i].used) plan_topic(b, i);
    }
    if (b->watches.all_count) plan_all(b);
}

/* ---- sending ---- */

static void remove_watcher(struct broker *b, struct watcher *w)
{
    struct peer *peer = peers_find(&b->peers, &w->peer);
    if (peer && peer->watches) peer->watches--;
    watch_remove(&b->watches, w);
}

static bool send_update(struct broker *b, const struct watcher *w, const Vlmq__Job *job,
                        const Vlmq__WatchUpdate *rows)
{
    Vlmq__Job shown = *job;
    shown.spec = (ProtobufCBinaryData){0};
    Vlmq__WatchUpdate update;
    vlmq__watch_update__init(&update);
    update.job = &shown;
    if (rows) {
        update.tasks = rows->tasks;
        update.n_tasks = rows->n_tasks;
    }
    return broker_send(b, &w->peer, VLMQ__TYPE__WATCH_UPDATE, 0, &update.base);
}

/* Keeps the page of leased tasks with the topic: reads of the job alone go out with it, too. */
static void keep_rows(struct broker *b, struct topic *topic, const struct state_call *call)
{
    Vlmq__WatchUpdate rows;
    vlmq__watch_update__init(&rows);
    if (call->err.code) return;
    rows.tasks = call->out.tasks.task;
    rows.n_tasks = call->out.tasks.count;
    const size_t bytes = vlmq__watch_update__get_packed_size(&rows);
    uint8_t *packed = mem_try(bytes + 1);
    if (!packed) return;
    (void)vlmq__watch_update__pack(&rows, packed);
    mem_free(topic->rows);
    topic->rows = packed;
    topic->rows_bytes = bytes;
    topic->rows_at_ms = b->turn.now_ms;
    topic->rows_print = watch_print(packed, bytes);
}

static const Vlmq__WatchUpdate *rows_of(struct broker *b, const struct topic *topic)
{
    if (!topic->rows) return NULL;
    ProtobufCAllocator allocator = envelope_allocator(&b->turn.arena);
    return vlmq__watch_update__unpack(&allocator, topic->rows_bytes, topic->rows);
}

/* The job is gone from Redis: there is nothing more to say about it. */
static void end_topic(struct broker *b, uint32_t slot)
{
    for (uint32_t i = 0; i < b->watches.watchers_high; i++) {
        struct watcher *w = &b->watches.watcher[i];
        if (w->used && w->topic == slot) remove_watcher(b, w);
    }
}

static void finish_topic(struct broker *b, const struct push_read *read)
{
    struct topic *topic = &b->watches.topic[read->slot];
    const struct state_call *call = &b->turn.call[read->call];
    const int64_t now = b->turn.now_ms;
    if (!topic->used || strcmp(topic->job, read->job) != 0) return;
    if (call->err.code == ERR_NOT_FOUND) end_topic(b, read->slot);
    if (call->err.code) return;
    const Vlmq__Job *job = call->job;
    const bool final = job_state_ended(job->state);
    topic->version_read = job->version;
    topic->read_at_ms = now;
    if (read->rows != INDEX_END) keep_rows(b, topic, &b->turn.call[read->rows]);
    const Vlmq__WatchUpdate *rows = job->tasks_leased ? rows_of(b, topic) : NULL;
    const uint64_t fingerprint = watch_fingerprint(job) ^ (rows ? topic->rows_print : 0);
    for (uint32_t i = 0; i < b->watches.watchers_high; i++) {
        struct watcher *w = &b->watches.watcher[i];
        if (!w->used || w->topic != read->slot || !watch_due(w, fingerprint, now)) continue;
        const bool sent = send_update(b, w, job, rows);
        if (watch_sent(w, fingerprint, sent, final, now)) remove_watcher(b, w);
    }
}

static void finish_all(struct broker *b, const struct push_read *read)
{
    const struct state_call *call = &b->turn.call[read->call];
    if (call->err.code) {
        struct job *job = jobs_find(&b->jobs, read->job);
        if (job && call->err.code != ERR_NOT_FOUND) job->show = true;
        return;
    }
    const bool final = job_state_ended(call->job->state);
    for (uint32_t i = 0; i < b->watches.watchers_high; i++) {
        struct watcher *w = &b->watches.watcher[i];
        if (!w->used || w->topic != WATCH_ALL) continue;
        if (send_update(b, w, call->job, NULL) || !final) continue;
        /* Too many final states behind: it must list again, and watch anew. */
        if (!watch_miss(w, read->job)) remove_watcher(b, w);
    }
}

static void finish_missed(struct broker *b, const struct push_read *read)
{
    struct watcher *w = &b->watches.watcher[read->slot];
    const struct state_call *call = &b->turn.call[read->call];
    if (!w->used || !w->missed_count || strcmp(w->missed[0], read->job) != 0) return;
    const bool gone = call->err.code == ERR_NOT_FOUND;
    if (call->err.code && !gone) return;
    if (!gone && !send_update(b, w, call->job, NULL)) return;
    w->missed_count--;
    memmove(w->missed[0], w->missed[1], sizeof *w->missed * w->missed_count);
}

void push_finish(struct broker *b)
{
    for (uint32_t i = 0; i < b->turn.push_count; i++) {
        const struct push_read *read = &b->turn.push[i];
        switch (read->kind) {
        case PUSH_TOPIC:
            finish_topic(b, read);
            break;
        case PUSH_ALL:
            finish_all(b, read);
            break;
        case PUSH_MISSED:
            finish_missed(b, read);
            break;
        }
    }
}

void push_expire(struct broker *b)
{
    uint32_t at = 0;
    for (struct watcher *w; (w = watch_expired(&b->watches, &at, b->turn.now_ms));) {
        struct peer *peer = peers_find(&b->peers, &w->peer);
        if (peer && peer->watches) peer->watches--;
    }
}
