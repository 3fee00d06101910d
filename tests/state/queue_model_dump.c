/* queue_model_dump.c - everything that is kept of a job, or of the fleet, as text: one fact per
 * line, in an order that does not depend on how it is kept. dump.lua prints the same. */
#include "tests/state/queue_model_parts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* --- words ------------------------------------------------------------------------------------ */

/* " name" and the bytes in quotes, those that do not print as \xHH. */
static void put_text(struct buf *out, const char *name, const void *data, size_t len)
{
    buf_printf(out, " %s \"", name);
    const uint8_t *byte = data;
    for (size_t i = 0; i < len; i++) {
        const bool prints = byte[i] >= 0x20 && byte[i] < 0x7f && byte[i] != '"' && byte[i] != '\\';
        if (prints) {
            buf_byte(out, (char)byte[i]);
        } else {
            buf_printf(out, "\\x%02x", byte[i]);
        }
    }
    buf_byte(out, '"');
}

static void put(struct buf *out, const char *name, const struct model_text *text)
{
    put_text(out, name, text->data, text->len);
}

static void put_i64(struct buf *out, const char *name, int64_t value)
{
    buf_printf(out, " %s %" PRId64, name, value);
}

/* --- the job ---------------------------------------------------------------------------------- */

static void dump_numbers(const struct model_numbers *n, struct buf *out)
{
    const struct {
        const char *name;
        int64_t value;
    } numbers[] = {
        {"state", n->state},
        {"paused", n->paused},
        {"priority", n->priority},
        {"submitted", n->submitted},
        {"started", n->started},
        {"ended", n->ended},
        {"version", n->version},
        {"total", n->total},
        {"next", n->next},
        {"leased", n->leased},
        {"waiting", n->waiting},
        {"done", n->done},
        {"dead", n->dead},
        {"cancelled", n->cancelled},
        {"items_total", n->items_total},
        {"items", n->items},
        {"items_ok", n->items_ok},
        {"bytes", n->bytes},
        {"plans", n->plans},
        {"plans_dead", n->plans_dead},
        {"close", n->close},
        {"source", n->source},
        {"position", n->position},
        {"attempts_max", n->attempts_max},
        {"held_failed", n->held_failed},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        buf_printf(out, "job.%s %" PRId64 "\n", numbers[i].name, numbers[i].value);
    }
}

static void dump_texts(const struct model_job *job, struct buf *out)
{
    const struct {
        const char *name;
        const struct model_text *text;
    } texts[] = {{"head", &job->head},
                 {"spec", &job->spec},
                 {"reason", &job->reason},
                 {"dead_why", &job->dead_why},
                 {"source_why", &job->source_why}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        buf_text(out, "job");
        put(out, texts[i].name, texts[i].text);
        buf_byte(out, '\n');
    }
}

/* --- tasks ------------------------------------------------------------------------------------ */

static const char *ending_name(enum model_ending ending)
{
    switch (ending) {
    case ENDING_FAIL:
        return "fail";
    case ENDING_YIELD:
        return "yield";
    case ENDING_LOST:
        return "lost";
    case ENDING_NONE:
    case ENDING_DONE:
        return "";
    default:
        abort();
    }
}

static uint32_t at_most(uint32_t value, uint32_t max)
{
    return value < max ? value : max;
}

/* The record of a done task has a byte for each of failures and losses, and the lease's start. */
static void dump_done(const struct model_task *task, struct buf *out)
{
    put_i64(out, "attempts", at_most(task->attempts, UINT16_MAX));
    put_i64(out, "failures", at_most(task->failures, UINT8_MAX));
    put_i64(out, "losses", at_most(task->losses, UINT8_MAX));
    put_text(out, "lease", task->last_lease, 8);
    put_text(out, "digest", task->digest, sizeof task->digest);
}

static void dump_taken(const struct model_task *task, struct buf *out)
{
    put_i64(out, "attempts", task->attempts);
    put_i64(out, "failures", task->failures);
    put_i64(out, "losses", task->losses);
    put_i64(out, "unstarted", task->unstarted);
    put_text(out, "lease", task->lease, strlen(task->lease));
    put(out, "worker", &task->worker);
    put_i64(out, "renewed", task->renewed);
    put_i64(out, "added", task->added);
    put_i64(out, "items", task->items);
    put_i64(out, "items_ok", task->items_ok);
    put_i64(out, "bytes", task->bytes);
    put(out, "progress", &task->progress);
    put_i64(out, "code", task->code);
    put(out, "why", &task->why);
    put_text(out, "last", task->last_lease, strlen(task->last_lease));
    put_text(out, "ending", ending_name(task->ending), strlen(ending_name(task->ending)));
    put_i64(out, "has_cursor", task->has_cursor);
    put(out, "cursor", &task->cursor);
    put_i64(out, "has_tail", task->has_tail);
    put(out, "tail", &task->tail);
}

static void dump_task(const struct model_task *task, struct buf *out)
{
    buf_printf(out, "task %u phase %d", task->index, (int)task->phase);
    put(out, "name", &task->name);
    put_i64(out, "state", task->state);
    if (task->state == VLMQ__TASK_STATE__TASK_DONE) {
        dump_done(task, out);
    } else {
        put(out, "payload", &task->payload);
        if (task->taken) dump_taken(task, out);
    }
    buf_byte(out, '\n');
}

/* Tasks that are not done, by chunk. */
static void dump_left(const struct model_job *job, struct buf *out)
{
    for (int64_t first = 0; first < job->n.total; first += TASK_CHUNK) {
        uint32_t left = 0;
        for (int64_t i = first; i < first + TASK_CHUNK && i < job->n.total; i++) {
            left += job->task[i]->state != VLMQ__TASK_STATE__TASK_DONE;
        }
        if (left) buf_printf(out, "left %" PRId64 " %u\n", first / TASK_CHUNK, left);
    }
}

static void dump_queue(const char *name, const struct model_queue *queue, struct buf *out)
{
    buf_text(out, name);
    for (uint32_t i = 0; i < queue->count; i++) buf_printf(out, " %u", queue->index[i]);
    buf_byte(out, '\n');
}

/* --- lists ------------------------------------------------------------------------------------ */

static int line_compare(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/* Appends lines in the order of their text, for what is kept in none. */
static void put_sorted(struct buf *out, char *text)
{
    uint32_t count = 0, room = 0;
    char **line = NULL;
    for (char *at = text; *at; at = strchr(at, '\n') + 1) {
        line = model_grow(line, count, &room, sizeof *line);
        line[count++] = at;
    }
    for (char *at = text; *at; at++) {
        if (*at == '\n') *at = 0;
    }
    if (count) qsort(line, count, sizeof *line, line_compare);
    for (uint32_t i = 0; i < count; i++) buf_printf(out, "%s\n", line[i]);
    mem_free(line);
}

static void dump_unordered(const struct model_job *job, struct buf *out)
{
    struct buf lines;
    buf_init(&lines, 0);
    for (uint32_t i = 0; i < job->counter_count; i++) {
        buf_text(&lines, "count");
        put(&lines, "name", &job->counter[i].name);
        put_i64(&lines, "value", job->counter[i].value);
        buf_byte(&lines, '\n');
    }
    for (uint32_t i = 0; i < job->took_count; i++) {
        const struct model_took *took = &job->took[i];
        buf_text(&lines, "took");
        put(&lines, "worker", &took->worker);
        put_text(&lines, "lease", took->lease, strlen(took->lease));
        for (uint32_t k = 0; k < took->count; k++) {
            buf_printf(&lines, " %u%s", took->index[k], took->alone[k] ? "a" : "");
        }
        buf_byte(&lines, '\n');
    }
    if (lines.len) put_sorted(out, lines.data);
    buf_deinit(&lines);
}

static void dump_ordered(const struct model_job *job, struct buf *out)
{
    for (uint32_t i = 0; i < job->due_count; i++) {
        buf_printf(out, "due %" PRId64 " %u\n", job->due[i].at_ms, job->due[i].index);
    }
    for (uint32_t i = 0; i < job->made_count; i++) {
        buf_printf(out, "made %u", job->made[i].index);
        put(out, "name", &job->made[i].name);
        buf_byte(out, '\n');
    }
    for (uint32_t i = 0; i < job->event_count; i++) {
        const struct model_event *event = &job->event[i];
        buf_printf(out, "event %" PRId64 "-%" PRId64, event->ms, event->seq);
        put(out, "n", &event->name);
        put(out, "x", &event->text);
        if (event->of_task) {
            buf_printf(out, " t \"%u\" a \"%u\"", event->task, event->attempt);
            put(out, "w", &event->worker);
        }
        buf_byte(out, '\n');
    }
}

void queue_model_dump(const struct queue_model *model, const char *job_id, struct buf *out)
{
    const struct model_job *job = model_job_find(model, job_id);
    if (!job) {
        buf_text(out, "no job\n");
        return;
    }
    dump_numbers(&job->n, out);
    dump_texts(job, out);
    for (int64_t i = 0; i < job->n.total; i++) dump_task(job->task[i], out);
    dump_left(job, out);
    dump_queue("again", &job->again, out);
    dump_queue("alone", &job->alone, out);
    dump_ordered(job, out);
    dump_unordered(job, out);
}

/* --- the fleet -------------------------------------------------------------------------------- */

void queue_model_dump_fleet(const struct queue_model *model, int64_t now_ms, struct buf *out)
{
    struct buf lines;
    buf_init(&lines, 0);
    for (uint32_t i = 0; i < model->jobs_count; i++) {
        buf_printf(out, "jobs %" PRId64 " %s\n", model->jobs[i].at_ms, model->jobs[i].id);
    }
    for (uint32_t i = 0; i < model->active_count; i++) {
        buf_printf(out, "active %" PRId64 " %s\n", model->active[i].at_ms, model->active[i].id);
    }
    for (uint32_t i = 0; i < model->feed_count; i++) {
        const struct model_feed *entry = &model->feed[i];
        buf_printf(out, "feed %" PRId64 "-%" PRId64 " %s\n", entry->ms, entry->seq, entry->id);
    }
    for (uint32_t i = 0; i < model->worker_count; i++) {
        const struct model_worker *worker = &model->worker[i];
        if (!worker->listed || !worker->known || now_ms > worker->until_ms) continue;
        buf_text(&lines, "worker");
        put(&lines, "id", &worker->id);
        put_i64(&lines, "seen", worker->seen_ms);
        put(&lines, "info", &worker->info);
        put_i64(&lines, "drain", worker->drain);
        buf_byte(&lines, '\n');
    }
    if (lines.len) put_sorted(out, lines.data);
    buf_deinit(&lines);
}
