/* queue_model_fleet.c - the index of jobs, the feed between brokers, and the workers. */
#include "common/base/check.h"
#include "common/base/str.h"
#include "tests/state/queue_model_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- the index -------------------------------------------------------------------------------- */

static int entry_compare(const void *left, const void *right)
{
    const struct model_entry *a = left, *b = right;
    if (a->at_ms != b->at_ms) return a->at_ms < b->at_ms ? -1 : 1;
    return strcmp(a->id, b->id);
}

static struct model_entry *entry_find(struct model_entry *list, uint32_t count, const char *id)
{
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(list[i].id, id) == 0) return &list[i];
    }
    return NULL;
}

static struct model_entry *entry_put(struct model_entry *list, uint32_t *count, uint32_t *room,
                                     const char *id, int64_t at_ms)
{
    struct model_entry *there = entry_find(list, *count, id);
    if (!there) {
        list = model_grow(list, *count, room, sizeof *list);
        there = &list[(*count)++];
        CHECK(str_copy(there->id, sizeof there->id, id));
    }
    there->at_ms = at_ms;
    qsort(list, *count, sizeof *list, entry_compare);
    return list;
}

static void entry_remove(struct model_entry *list, uint32_t *count, const char *id)
{
    struct model_entry *there = entry_find(list, *count, id);
    if (!there) return;
    (*count)--;
    memmove(there, there + 1, (*count - (size_t)(there - list)) * sizeof *list);
}

/* A job that is in the index keeps its time. */
static void fleet_index(struct model_turn *turn)
{
    struct queue_model *model = turn->model;
    const char *id = turn->call->job_id;
    if (!entry_find(model->jobs, model->jobs_count, id)) {
        model->jobs =
            entry_put(model->jobs, &model->jobs_count, &model->jobs_room, id, turn->now_ms);
    }
    const int64_t at_ms = entry_find(model->jobs, model->jobs_count, id)->at_ms;
    model->active = entry_put(model->active, &model->active_count, &model->active_room, id, at_ms);
}

static void fleet_unindex(struct model_turn *turn)
{
    struct queue_model *model = turn->model;
    entry_remove(model->active, &model->active_count, turn->call->job_id);
    if (turn->call->in.unindex.purged) {
        entry_remove(model->jobs, &model->jobs_count, turn->call->job_id);
    }
}

/* How many entries, from the oldest, are still to come after this page: the one it names and what
 * is newer is past, or what is newer than its time where it is gone. */
static uint32_t list_left(const struct model_entry *list, uint32_t count, const char *page)
{
    if (!page || !*page) return count;
    const char *id = strchr(page, ' ') + 1;
    uint32_t left = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(list[i].id, id) == 0) return i;
        if (list[i].at_ms <= strtoll(page, NULL, 10)) left = i + 1;
    }
    return left;
}

static void fleet_list(struct model_turn *turn)
{
    struct state_call *call = turn->call;
    const bool active = call->op == STATE_ACTIVE;
    const struct model_entry *list = active ? turn->model->active : turn->model->jobs;
    const uint32_t count = active ? turn->model->active_count : turn->model->jobs_count;
    uint32_t left = list_left(list, count, call->in.list.page);
    call->out.ids.id = arena_new(turn->arena, call->in.list.rows * sizeof(char *));
    call->out.ids.page = "";
    while (left && call->out.ids.count < call->in.list.rows) {
        const struct model_entry *entry = &list[--left];
        call->out.ids.id[call->out.ids.count++] =
            arena_text(turn->arena, entry->id, strlen(entry->id));
        if (call->out.ids.count < call->in.list.rows) continue;
        call->out.ids.page = arena_printf(turn->arena, "%" PRId64 " %s", entry->at_ms, entry->id);
    }
    call->count = call->out.ids.count;
}

/* --- the feed --------------------------------------------------------------------------------- */

static void fleet_touch(struct model_turn *turn)
{
    struct queue_model *model = turn->model;
    if (model->feed_count == model->limits.events) {
        model->feed_count--;
        memmove(model->feed, model->feed + 1, model->feed_count * sizeof *model->feed);
    }
    model->feed =
        model_grow(model->feed, model->feed_count, &model->feed_room, sizeof *model->feed);
    model_stream_next(&model->feed_ms, &model->feed_seq, turn->now_ms);
    struct model_feed *entry = &model->feed[model->feed_count++];
    *entry = (struct model_feed){.ms = model->feed_ms, .seq = model->feed_seq};
    CHECK(str_copy(entry->id, sizeof entry->id, turn->call->job_id));
}

static char *feed_position(const struct model_feed *entry, struct arena *arena)
{
    return arena_printf(arena, "%" PRId64 "-%" PRId64, entry->ms, entry->seq);
}

static void feed_read(struct model_turn *turn, int64_t ms, int64_t seq)
{
    struct state_call *call = turn->call;
    const struct queue_model *model = turn->model;
    bool kept = false; /* something at or before the position */
    for (uint32_t i = 0; i < model->feed_count; i++) {
        const struct model_feed *entry = &model->feed[i];
        if (entry->ms < ms || (entry->ms == ms && entry->seq <= seq)) {
            kept = true;
        } else if (call->out.ids.count < call->in.feed.rows) {
            call->out.ids.id[call->out.ids.count++] =
                arena_text(turn->arena, entry->id, strlen(entry->id));
            call->out.ids.page = feed_position(entry, turn->arena);
        }
    }
    call->count = !kept && model->feed_count >= model->limits.events ? 1 : 0;
}

static void fleet_feed(struct model_turn *turn)
{
    struct state_call *call = turn->call;
    const struct queue_model *model = turn->model;
    const char *after = call->in.feed.after;
    int64_t ms = 0, seq = 0;
    call->out.ids.id = arena_new(turn->arena, call->in.feed.rows * sizeof(char *));
    if (after && *after) {
        CHECK(model_stream_read(&ms, &seq, after));
        call->out.ids.page = arena_text(turn->arena, after, strlen(after));
        feed_read(turn, ms, seq);
    } else if (model->feed_count) {
        call->out.ids.page = feed_position(&model->feed[model->feed_count - 1], turn->arena);
    } else {
        call->out.ids.page = "0-0";
    }
}

/* --- workers ---------------------------------------------------------------------------------- */

static struct model_worker *worker_find(const struct queue_model *model, const char *id)
{
    for (uint32_t i = 0; i < model->worker_count; i++) {
        if (strcmp(model_text_str(&model->worker[i].id), id) == 0) return &model->worker[i];
    }
    return NULL;
}

/* A worker is forgotten when it has been silent for too long. */
static bool worker_known(const struct model_worker *worker, int64_t now_ms)
{
    return worker->known && now_ms <= worker->until_ms;
}

static void fleet_hello(struct model_turn *turn)
{
    struct queue_model *model = turn->model;
    const Vlmq__WorkerInfo *info = turn->call->in.worker.info;
    for (uint32_t i = 0; i < model->worker_count; i++) {
        if (model->worker[i].seen_ms <= turn->now_ms - STATE_WORKER_TTL_MS) {
            model->worker[i].listed = false;
        }
    }
    struct model_worker *worker = worker_find(model, info->id);
    if (!worker) {
        model->worker = model_grow(model->worker, model->worker_count, &model->worker_room,
                                   sizeof *model->worker);
        worker = &model->worker[model->worker_count++];
        *worker = (struct model_worker){0};
        model_text_set(&worker->id, info->id, strlen(info->id));
    }
    if (!worker_known(worker, turn->now_ms)) worker->drain = false;
    worker->listed = worker->known = true;
    worker->seen_ms = turn->now_ms;
    worker->until_ms = turn->now_ms + STATE_WORKER_TTL_MS;
    model_text_message(&worker->info, &info->base);
    turn->call->drain = worker->drain;
}

static void fleet_bye(struct model_turn *turn)
{
    struct model_worker *worker = worker_find(turn->model, turn->call->in.worker.id);
    if (!worker) return;
    worker->listed = worker->known = worker->drain = false;
    model_text_set(&worker->info, NULL, 0);
}

static void fleet_drain(struct model_turn *turn)
{
    struct model_worker *worker = worker_find(turn->model, turn->call->in.worker.id);
    if (worker && worker_known(worker, turn->now_ms)) {
        worker->drain = true;
    } else {
        (void)err_set(&turn->call->err, ERR_NOT_FOUND, "no such worker");
    }
}

static int worker_compare(const void *left, const void *right)
{
    const struct model_worker *a = left, *b = right;
    if (a->seen_ms != b->seen_ms) return a->seen_ms < b->seen_ms ? -1 : 1;
    return strcmp(model_text_str(&a->id), model_text_str(&b->id));
}

static void fleet_workers(struct model_turn *turn)
{
    struct queue_model *model = turn->model;
    struct state_call *call = turn->call;
    if (model->worker_count) {
        qsort(model->worker, model->worker_count, sizeof *model->worker, worker_compare);
    }
    call->out.workers.worker =
        arena_new(turn->arena, (model->worker_count + 1) * sizeof(Vlmq__WorkerInfo *));
    for (uint32_t i = 0; i < model->worker_count; i++) {
        const struct model_worker *worker = &model->worker[i];
        if (!worker->listed || !worker_known(worker, turn->now_ms)) continue;
        if (worker->seen_ms < turn->now_ms - STATE_WORKER_TTL_MS) continue;
        Vlmq__WorkerInfo *info =
            model_unpack(&vlmq__worker_info__descriptor, &worker->info, turn->arena);
        info->seen_at_ms = worker->seen_ms;
        if (worker->drain) info->draining = true;
        call->out.workers.worker[call->out.workers.count++] = info;
    }
    call->count = call->out.workers.count;
}

/* --- all of them ------------------------------------------------------------------------------ */

void model_fleet(struct model_turn *turn)
{
    switch ((int)turn->call->op) {
    case STATE_INDEX:
        fleet_index(turn);
        break;
    case STATE_UNINDEX:
        fleet_unindex(turn);
        break;
    case STATE_LIST:
    case STATE_ACTIVE:
        fleet_list(turn);
        break;
    case STATE_FEED:
        fleet_feed(turn);
        break;
    case STATE_TOUCH:
        fleet_touch(turn);
        break;
    case STATE_HELLO:
        fleet_hello(turn);
        break;
    case STATE_BYE:
        fleet_bye(turn);
        break;
    case STATE_WORKERS:
        fleet_workers(turn);
        break;
    default:
        CHECK(turn->call->op == STATE_DRAIN);
        fleet_drain(turn);
    }
}

void model_fleet_deinit(struct queue_model *model)
{
    for (uint32_t i = 0; i < model->worker_count; i++) {
        mem_free(model->worker[i].id.data);
        mem_free(model->worker[i].info.data);
    }
    mem_free(model->worker);
    mem_free(model->jobs);
    mem_free(model->active);
    mem_free(model->feed);
}
