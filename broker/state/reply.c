/* reply.c - {job, {code, text, count, rows}, ...}: the order of each part is that of lua/. */
#include "broker/state/reply.h"

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/id.h"
#include "common/base/str.h"

#include <string.h>

static int corrupt(struct err *err, const char *what)
{
    (void)err_set(err, ERR_CORRUPT, "the reply of Redis has no proper %s", what);
    return ERR_CORRUPT;
}

static int full(struct err *err)
{
    (void)err_set(err, ERR_LIMIT, "the reply of Redis does not fit in memory");
    return ERR_LIMIT;
}

/* --- values ----------------------------------------------------------------------------------- */

static bool is_array(const struct reply *reply, size_t count)
{
    return reply->type == REPLY_ARRAY && reply->count == count;
}

static int read_i64(int64_t *out, const struct reply *reply, int64_t min, int64_t max,
                    struct err *err)
{
    if (reply->type != REPLY_INTEGER || reply->integer < min || reply->integer > max) {
        return corrupt(err, "number");
    }
    *out = reply->integer;
    return 0;
}

static int read_u32(uint32_t *out, const struct reply *reply, struct err *err)
{
    int64_t value = 0;
    const int rc = read_i64(&value, reply, 0, UINT32_MAX, err);
    *out = (uint32_t)value;
    return rc;
}

/* A terminated text of valid UTF-8, which the tree keeps. */
static int read_text(char **out, const struct reply *reply, struct err *err)
{
    if (reply->type != REPLY_TEXT || memchr(reply->text, 0, reply->bytes) ||
        str_utf8_valid(reply->text, reply->bytes) != reply->bytes) {
        return corrupt(err, "text");
    }
    *out = reply->text;
    return 0;
}

static int read_bytes(ProtobufCBinaryData *out, const struct reply *reply, struct err *err)
{
    if (reply->type != REPLY_TEXT) return corrupt(err, "bytes");
    *out = (ProtobufCBinaryData){.len = reply->bytes, .data = (uint8_t *)reply->text};
    return 0;
}

static void *arena_alloc(void *arena, size_t bytes)
{
    return arena_try(arena, bytes);
}

static void arena_keep(void *arena, void *block)
{
    (void)arena, (void)block; /* dropped with the arena */
}

static ProtobufCMessage *unpack(const ProtobufCMessageDescriptor *type, const struct reply *reply,
                                struct arena *arena)
{
    ProtobufCAllocator allocator = {arena_alloc, arena_keep, arena};
    if (reply->type != REPLY_TEXT) return NULL;
    return protobuf_c_message_unpack(type, &allocator, reply->bytes, (const uint8_t *)reply->text);
}

/* --- the job ---------------------------------------------------------------------------------- */

enum { /* job_view in lua/01_job.lua */
       JOB_HEAD,
       JOB_REASON,
       JOB_STATE,
       JOB_PAUSED,
       JOB_PRIORITY,
       JOB_SUBMITTED,
       JOB_STARTED,
       JOB_ENDED,
       JOB_NOW,
       JOB_VERSION,
       JOB_TOTAL,
       JOB_READY,
       JOB_LEASED,
       JOB_WAITING,
       JOB_DONE,
       JOB_DEAD,
       JOB_CANCELLED,
       JOB_ITEMS_TOTAL,
       JOB_ITEMS,
       JOB_ITEMS_OK,
       JOB_BYTES,
       JOB_DUE,
       JOB_VIEW_COUNT,
};

static int read_job_counts(Vlmq__Job *job, const struct reply *view, struct err *err)
{
    const struct {
        int at;
        uint32_t *field;
    } counts[] = {
        {JOB_TOTAL, &job->tasks_total},         {JOB_READY, &job->tasks_ready},
        {JOB_LEASED, &job->tasks_leased},       {JOB_WAITING, &job->tasks_waiting},
        {JOB_DONE, &job->tasks_done},           {JOB_DEAD, &job->tasks_dead},
        {JOB_CANCELLED, &job->tasks_cancelled},
    };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        if (read_u32(counts[i].field, &view[counts[i].at], err)) return ERR_CORRUPT;
    }
    return 0;
}

static int read_job_numbers(Vlmq__Job *job, const struct reply *view, struct err *err)
{
    const struct {
        int at;
        int64_t *field;
    } numbers[] = {
        {JOB_SUBMITTED, &job->submitted_at_ms},
        {JOB_STARTED, &job->started_at_ms},
        {JOB_ENDED, &job->ended_at_ms},
        {JOB_NOW, &job->now_ms},
        {JOB_ITEMS_TOTAL, &job->items_total},
        {JOB_ITEMS, &job->progress->items},
        {JOB_ITEMS_OK, &job->progress->items_ok},
        {JOB_BYTES, &job->progress->bytes},
        {JOB_DUE, &job->due_at_ms},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (read_i64(numbers[i].field, &view[numbers[i].at], 0, INT64_MAX, err)) return ERR_CORRUPT;
    }
    return 0;
}

static int read_job(Vlmq__Job **out, const struct reply *reply, struct arena *arena,
                    struct err *err)
{
    if (!is_array(reply, JOB_VIEW_COUNT)) return corrupt(err, "job");
    const struct reply *view = reply->item;
    Vlmq__Job *job = (Vlmq__Job *)unpack(&vlmq__job__descriptor, &view[JOB_HEAD], arena);
    if (!job || !id_job_valid(job->id)) return corrupt(err, "job head");
    Vlmq__Progress *progress = arena_try(arena, sizeof *progress);
    if (!progress) return full(err);
    vlmq__progress__init(progress);
    job->progress = progress;
    int64_t state = 0, paused = 0, priority = 0, version = 0;
    if (read_i64(&state, &view[JOB_STATE], VLMQ__JOB_STATE__JOB_HELD,
                 VLMQ__JOB_STATE__JOB_CANCELLED, err) ||
        read_i64(&paused, &view[JOB_PAUSED], 0, 1, err) ||
        read_i64(&priority, &view[JOB_PRIORITY], INT32_MIN, INT32_MAX, err) ||
        read_i64(&version, &view[JOB_VERSION], 0, INT64_MAX, err) ||
        read_text(&job->reason, &view[JOB_REASON], err) || read_job_counts(job, view, err) ||
        read_job_numbers(job, view, err)) {
        return ERR_CORRUPT;
    }
    job->state = (Vlmq__JobState)state;
    job->paused = paused == 1;
    job->priority = (int32_t)priority;
    job->version = (uint64_t)version;
    *out = job;
    return 0;
}

/* --- rows ------------------------------------------------------------------------------------- */

static int read_get(struct state_call *call, const struct reply *rows, struct arena *arena)
{
    struct err *err = &call->err;
    if (!call->job) return corrupt(err, "job");
    if (!is_array(rows, 2) || rows->item[1].type != REPLY_ARRAY || rows->item[1].count % 2) {
        return corrupt(err, "spec");
    }
    if (read_bytes(&call->job->spec, &rows->item[0], err)) return ERR_CORRUPT;
    const struct reply *counters = &rows->item[1];
    const size_t count = counters->count / 2;
    if (count > COUNTERS_MAX) return corrupt(err, "counters");
    call->job->counters = arena_try(arena, count * sizeof(Vlmq__Counter *));
    Vlmq__Counter *counter = arena_try(arena, count * sizeof *counter);
    if (!call->job->counters || !counter) return full(err);
    for (size_t i = 0; i < count; i++) {
        vlmq__counter__init(&counter[i]);
        char *value = NULL;
        if (read_text(&counter[i].name, &counters->item[2 * i], err) ||
            read_text(&value, &counters->item[2 * i + 1], err) ||
            str_to_int(&counter[i].value, value, INT64_MIN, INT64_MAX, "counter", err)) {
            return corrupt(err, "counter");
        }
        call->job->counters[i] = &counter[i];
    }
    call->job->n_counters = count;
    return 0;
}

static int read_grant(struct state_grant *grant, const struct reply *row, struct err *err)
{
    if (!is_array(row, 10)) return corrupt(err, "grant");
    const struct reply *item = row->item;
    uint32_t phase = 0, alone = 0;
    char *name = NULL, *lease = NULL;
    if (read_u32(&grant->index, &item[0], err) || read_u32(&grant->attempt, &item[1], err) ||
        read_u32(&grant->added, &item[2], err) || read_u32(&grant->tasks_dead, &item[3], err) ||
        read_u32(&phase, &item[4], err) || read_u32(&alone, &item[5], err) ||
        read_text(&name, &item[6], err) || read_text(&lease, &item[7], err) ||
        read_bytes(&grant->payload, &item[8], err) || read_bytes(&grant->cursor, &item[9], err)) {
        return ERR_CORRUPT;
    }
    if (phase > VLMQ__PHASE__PHASE_CLOSE || !id_lease_valid(lease)) return corrupt(err, "grant");
    grant->phase = (Vlmq__Phase)phase;
    grant->alone = alone == 1;
    grant->name = name;
    grant->lease = lease;
    return 0;
}

static int read_take(struct state_call *call, const struct reply *rows, struct arena *arena)
{
    if (rows->count > call->in.take.count) return corrupt(&call->err, "number of grants");
    struct state_grant *grant = arena_try(arena, rows->count * sizeof *grant);
    if (!grant) return full(&call->err);
    for (size_t i = 0; i < rows->count; i++) {
        if (read_grant(&grant[i], &rows->item[i], &call->err)) return ERR_CORRUPT;
    }
    call->out.take.grant = grant;
    call->out.take.count = (uint32_t)rows->count;
    return 0;
}

static int read_task(Vlmq__Task *task, const struct reply *row, struct arena *arena,
                     struct err *err)
{
    if (!is_array(row, 14)) return corrupt(err, "task");
    const struct reply *item = row->item;
    uint32_t phase = 0, state = 0, code = 0;
    if (read_u32(&task->index, &item[0], err) || read_u32(&phase, &item[1], err) ||
        read_u32(&state, &item[2], err) || read_u32(&task->attempts, &item[3], err) ||
        read_u32(&task->failures, &item[4], err) || read_u32(&task->losses, &item[5], err) ||
        read_i64(&task->due_at_ms, &item[6], 0, INT64_MAX, err) || read_u32(&code, &item[7], err) ||
        read_text(&task->name, &item[8], err) || read_text(&task->worker, &item[9], err) ||
        read_text(&task->reason, &item[10], err) || read_bytes(&task->digest, &item[13], err)) {
        return ERR_CORRUPT;
    }
    if (item[11].bytes) {
        task->progress = (Vlmq__Progress *)unpack(&vlmq__progress__descriptor, &item[11], arena);
        if (!task->progress) return corrupt(err, "progress");
    }
    if (item[12].type == REPLY_TEXT && read_text(&task->log_tail, &item[12], err))
        return ERR_CORRUPT;
    if (phase > VLMQ__PHASE__PHASE_CLOSE || state > VLMQ__TASK_STATE__TASK_CANCELLED) {
        return corrupt(err, "task");
    }
    task->phase = (Vlmq__Phase)phase;
    task->state = (Vlmq__TaskState)state;
    task->code = (Vlmq__Code)code;
    return 0;
}

/* {page, {row, ...}} */
static int read_page(char **page, const struct reply **list, const struct reply *rows,
                     struct err *err)
{
    if (!is_array(rows, 2) || rows->item[1].type != REPLY_ARRAY) return corrupt(err, "page");
    *list = &rows->item[1];
    return read_text(page, &rows->item[0], err);
}

static int read_tasks(struct state_call *call, const struct reply *rows, struct arena *arena)
{
    char *page = NULL;
    const struct reply *list = NULL;
    if (read_page(&page, &list, rows, &call->err)) return ERR_CORRUPT;
    Vlmq__Task **pointer = arena_try(arena, list->count * sizeof(Vlmq__Task *));
    Vlmq__Task *task = arena_try(arena, list->count * sizeof *task);
    if (!pointer || !task) return full(&call->err);
    for (size_t i = 0; i < list->count; i++) {
        vlmq__task__init(&task[i]);
        if (read_task(&task[i], &list->item[i], arena, &call->err)) return ERR_CORRUPT;
        pointer[i] = &task[i];
    }
    call->out.tasks.task = pointer;
    call->out.tasks.count = (uint32_t)list->count;
    call->out.tasks.page = page;
    return 0;
}

/* n name, x text and, for tasks, t index, a attempt, w worker. */
static int read_event_field(Vlmq__Event *event, const char *name, const struct reply *value,
                            struct err *err)
{
    char *text = NULL;
    int64_t number = 0;
    if (read_text(&text, value, err)) return ERR_CORRUPT;
    switch (*name) {
    case 'n':
        event->name = text;
        return 0;
    case 'x':
        event->text = text;
        return 0;
    case 'w':
        event->worker = text;
        return 0;
    case 't':
    case 'a':
        if (str_to_int(&number, text, 0, UINT32_MAX, "event", err)) return corrupt(err, "event");
        *(*name == 't' ? &event->task : &event->attempt) = (uint32_t)number;
        return 0;
    default:
        return 0; /* of a later version */
    }
}

static int read_event(Vlmq__Event *event, const struct reply *row, struct err *err)
{
    if (!is_array(row, 2) || row->item[1].type != REPLY_ARRAY || row->item[1].count % 2) {
        return corrupt(err, "event");
    }
    if (read_text(&event->id, &row->item[0], err)) return ERR_CORRUPT;
    for (const char *digit = event->id; *digit >= '0' && *digit <= '9'; digit++) {
        if (event->at_ms > INT64_MAX / 10 - 9) return corrupt(err, "event");
        event->at_ms = event->at_ms * 10 + (*digit - '0');
    }
    for (size_t i = 0; i < row->item[1].count; i += 2) {
        char *name = NULL;
        if (read_text(&name, &row->item[1].item[i], err) ||
            read_event_field(event, name, &row->item[1].item[i + 1], err)) {
            return ERR_CORRUPT;
        }
    }
    return 0;
}

static int read_events(struct state_call *call, const struct reply *rows, struct arena *arena)
{
    Vlmq__Event **pointer = arena_try(arena, rows->count * sizeof(Vlmq__Event *));
    Vlmq__Event *event = arena_try(arena, rows->count * sizeof *event);
    const char *asked = call->in.events.after ? call->in.events.after : "";
    const char *after = arena_text(arena, asked, strlen(asked));
    if (!pointer || !event || !after) return full(&call->err);
    for (size_t i = 0; i < rows->count; i++) {
        vlmq__event__init(&event[i]);
        if (read_event(&event[i], &rows->item[i], &call->err)) return ERR_CORRUPT;
        pointer[i] = &event[i];
        after = event[i].id;
    }
    call->out.events.event = pointer;
    call->out.events.count = (uint32_t)rows->count;
    call->out.events.after = after;
    return 0;
}

static int read_made(struct state_call *call, const struct reply *rows, struct arena *arena)
{
    struct state_made *made = arena_try(arena, rows->count * sizeof *made);
    if (!made) return full(&call->err);
    for (size_t i = 0; i < rows->count; i++) {
        char *name = NULL;
        ProtobufCBinaryData digest = {0};
        const struct reply *row = &rows->item[i];
        if (!is_array(row, 3)) return corrupt(&call->err, "shard");
        if (read_u32(&made[i].index, &row->item[0], &call->err) ||
            read_text(&name, &row->item[1], &call->err) ||
            read_bytes(&digest, &row->item[2], &call->err)) {
            return ERR_CORRUPT;
        }
        if (digest.len != sizeof made[i].digest) return corrupt(&call->err, "digest");
        memcpy(made[i].digest, digest.data, digest.len);
        made[i].name = name;
    }
    call->out.made.made = made;
    call->out.made.count = (uint32_t)rows->count;
    call->out.made.total = call->count;
    call->count = 0;
    return 0;
}

static int read_ids(struct state_call *call, const struct reply *rows, struct arena *arena)
{
    char *page = NULL;
    const struct reply *list = NULL;
    if (read_page(&page, &list, rows, &call->err)) return ERR_CORRUPT;
    const char **id = arena_try(arena, list->count * sizeof *id);
    if (!id) return full(&call->err);
    for (size_t i = 0; i < list->count; i++) {
        char *text = NULL;
        if (read_text(&text, &list->item[i], &call->err)) return ERR_CORRUPT;
        if (!id_job_valid(text)) return corrupt(&call->err, "job id");
        id[i] = text;
    }
    call->out.ids.id = id;
    call->out.ids.count = (uint32_t)list->count;
    call->out.ids.page = page;
    return 0;
}

static int read_workers(struct state_call *call, const struct reply *rows, struct arena *arena)
{
    Vlmq__WorkerInfo **worker = arena_try(arena, rows->count * sizeof(Vlmq__WorkerInfo *));
    if (!worker) return full(&call->err);
    for (size_t i = 0; i < rows->count; i++) {
        const struct reply *row = &rows->item[i];
        uint32_t drain = 0;
        if (!is_array(row, 3)) return corrupt(&call->err, "worker");
        worker[i] =
            (Vlmq__WorkerInfo *)unpack(&vlmq__worker_info__descriptor, &row->item[0], arena);
        if (!worker[i]) return corrupt(&call->err, "worker");
        if (read_i64(&worker[i]->seen_at_ms, &row->item[1], 0, INT64_MAX, &call->err) ||
            read_u32(&drain, &row->item[2], &call->err)) {
            return ERR_CORRUPT;
        }
        if (drain) worker[i]->draining = true;
    }
    call->out.workers.worker = worker;
    call->out.workers.count = (uint32_t)rows->count;
    return 0;
}

static int read_rows(struct state_call *call, const struct reply *rows, struct arena *arena)
{
    if (rows->type != REPLY_ARRAY) return corrupt(&call->err, "rows");
    switch ((int)call->op) {
    case STATE_GET:
        return read_get(call, rows, arena);
    case STATE_TAKE:
        return read_take(call, rows, arena);
    case STATE_TASKS:
        return read_tasks(call, rows, arena);
    case STATE_EVENTS:
        return read_events(call, rows, arena);
    case STATE_MADE:
        return read_made(call, rows, arena);
    case STATE_LIST:
    case STATE_ACTIVE:
    case STATE_FEED:
        return read_ids(call, rows, arena);
    case STATE_WORKERS:
        return read_workers(call, rows, arena);
    case STATE_HELLO:
        call->drain = call->count > 0;
        call->count = 0;
        return 0;
    default:
        return 0;
    }
}

/* {code, text, count, rows} */
static void read_answer(struct state_call *call, const struct reply *answer, struct arena *arena)
{
    struct err *err = &call->err;
    if (!is_array(answer, 4)) {
        (void)corrupt(err, "form");
        return;
    }
    int64_t code = 0;
    char *text = NULL;
    if (read_i64(&code, &answer->item[0], 0, ERR_CODES_COUNT - 1, err) ||
        read_text(&text, &answer->item[1], err) || read_u32(&call->count, &answer->item[2], err)) {
        return;
    }
    if (code) {
        (void)err_set(err, (enum err_code)code, "%s", text);
    } else {
        (void)read_rows(call, &answer->item[3], arena);
    }
}

void reply_read(struct state_call *const *call, uint32_t count, const struct reply *reply,
                struct arena *arena)
{
    struct err err = {0};
    Vlmq__Job *job = NULL;
    if (!is_array(reply, (size_t)count + 1)) {
        (void)corrupt(&err, "form");
    } else if (reply->item[0].type != REPLY_NIL) {
        (void)read_job(&job, &reply->item[0], arena, &err);
    }
    for (uint32_t i = 0; i < count; i++) {
        call[i]->err = err;
        call[i]->job = job;
        if (!err.code) read_answer(call[i], &reply->item[1 + i], arena);
    }
}
