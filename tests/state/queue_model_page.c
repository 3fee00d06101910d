/* queue_model_page.c - functions that read a job. */
#include "common/base/check.h"
#include "common/base/str.h"
#include "tests/state/queue_model_parts.h"

#include <inttypes.h>
#include <string.h>

/* --- the job with everything ------------------------------------------------------------------ */

void model_get(struct model_turn *turn)
{
    const struct model_job *from = turn->job;
    Vlmq__Job *job = turn->call->job; /* made before */
    job->spec.len = from->spec.len;
    job->spec.data = (uint8_t *)model_text_give(&from->spec, turn->arena);
    job->counters = arena_new(turn->arena, (from->counter_count + 1) * sizeof(Vlmq__Counter *));
    job->n_counters = from->counter_count;
    for (uint32_t i = 0; i < from->counter_count; i++) {
        job->counters[i] = arena_new(turn->arena, sizeof **job->counters);
        vlmq__counter__init(job->counters[i]);
        job->counters[i]->name = model_text_give(&from->counter[i].name, turn->arena);
        job->counters[i]->value = from->counter[i].value;
    }
}

/* --- tasks ------------------------------------------------------------------------------------ */

static Vlmq__Task *task_row(struct model_turn *turn, const struct model_task *task)
{
    struct arena *arena = turn->arena;
    Vlmq__Task *row = arena_new(arena, sizeof *row);
    vlmq__task__init(row);
    row->index = task->index;
    row->name = model_text_give(&task->name, arena);
    row->phase = task->phase;
    row->state = task->state;
    row->attempts = task->attempts;
    row->failures = task->failures;
    row->losses = task->losses;
    row->worker = model_text_give(&task->worker, arena);
    const bool timed = task->state == VLMQ__TASK_STATE__TASK_LEASED ||
                       task->state == VLMQ__TASK_STATE__TASK_WAITING;
    row->due_at_ms = timed ? task->due_ms : 0;
    row->code = (Vlmq__Code)task->code;
    row->reason = model_text_give(&task->why, arena);
    if (task->progress.len) {
        row->progress = model_unpack(&vlmq__progress__descriptor, &task->progress, arena);
    }
    if (turn->call->in.tasks.log_tails) row->log_tail = model_text_give(&task->tail, arena);
    if (task->state == VLMQ__TASK_STATE__TASK_DONE) {
        row->digest.len = sizeof task->digest;
        row->digest.data = arena_copy(arena, task->digest, sizeof task->digest);
    }
    return row;
}

/* A page that is being filled: looks at no more than a bounded number of tasks. */
struct page {
    struct model_turn *turn;
    uint32_t rows;
    int64_t next; /* where the next page begins, or -1 */
};

static bool page_full(const struct page *page)
{
    return page->turn->call->out.tasks.count >= page->rows;
}

static void page_add(struct page *page, const struct model_task *task)
{
    struct state_call *call = page->turn->call;
    call->out.tasks.task[call->out.tasks.count++] = task_row(page->turn, task);
}

static void page_all(struct page *page, int64_t from)
{
    const struct model_job *job = page->turn->job;
    int64_t index = from;
    for (; index < job->n.total && !page_full(page); index++) page_add(page, job->task[index]);
    if (from + page->rows < job->n.total) page->next = from + page->rows;
}

static void page_done(struct page *page, int64_t from)
{
    const struct model_job *job = page->turn->job;
    const int64_t scan = page->turn->model->limits.scan;
    const int64_t last = from + scan < job->n.next ? from + scan : job->n.next;
    for (int64_t index = from; index < last; index++) {
        if (page_full(page)) {
            page->next = index;
            return;
        }
        if (job->task[index]->state == VLMQ__TASK_STATE__TASK_DONE)
            page_add(page, job->task[index]);
    }
    if (last < job->n.next) page->next = last;
}

/* Of the tasks that were taken and are not done a bounded number is looked at; then come those
 * never taken, which are all in the same state. */
static void page_other(struct page *page, int64_t from, Vlmq__TaskState state)
{
    const struct model_job *job = page->turn->job;
    const uint32_t scan = page->turn->model->limits.scan;
    uint32_t looked = 0;
    int64_t index = from;
    for (; index < job->n.next && looked < scan; index++) {
        const struct model_task *task = job->task[index];
        if (task->state == VLMQ__TASK_STATE__TASK_DONE) continue;
        page->next = index;
        if (page_full(page)) return;
        if (task->state == state) page_add(page, task);
        looked++;
        page->next = index + 1;
    }
    if (looked == scan) return;
    page->next = -1;
    for (; index < job->n.total && job->task[index]->state == state; index++) {
        page->next = index;
        if (page_full(page)) return;
        page_add(page, job->task[index]);
        page->next = -1;
    }
}

void model_tasks(struct model_turn *turn)
{
    struct state_call *call = turn->call;
    const char *token = call->in.tasks.page;
    struct page page = {.turn = turn, .rows = call->in.tasks.rows, .next = -1};
    int64_t from = 0;
    if (token && *token) CHECK(str_to_int(&from, token, 0, INT64_MAX, "page", NULL) == 0);
    call->out.tasks.task = arena_new(turn->arena, page.rows * sizeof(Vlmq__Task *));
    if (call->in.tasks.has_index && call->in.tasks.index >= turn->job->n.total) {
        (void)err_set(&call->err, ERR_NOT_FOUND, "the job has no task %u", call->in.tasks.index);
        return;
    }
    if (call->in.tasks.has_index) {
        page_add(&page, turn->job->task[call->in.tasks.index]);
    } else if (call->in.tasks.state == VLMQ__TASK_STATE__TASK_STATE_UNSPECIFIED) {
        page_all(&page, from);
    } else if (call->in.tasks.state == VLMQ__TASK_STATE__TASK_DONE) {
        page_done(&page, from);
    } else {
        page_other(&page, from, call->in.tasks.state);
    }
    call->count = call->out.tasks.count;
    call->out.tasks.page = page.next < 0 ? "" : arena_printf(turn->arena, "%" PRId64, page.next);
}

/* --- events ----------------------------------------------------------------------------------- */

static Vlmq__Event *event_row(struct model_turn *turn, const struct model_event *from)
{
    Vlmq__Event *event = arena_new(turn->arena, sizeof *event);
    vlmq__event__init(event);
    event->id = arena_printf(turn->arena, "%" PRId64 "-%" PRId64, from->ms, from->seq);
    event->at_ms = from->ms;
    event->name = model_text_give(&from->name, turn->arena);
    event->text = model_text_give(&from->text, turn->arena);
    event->task = from->task;
    event->attempt = from->attempt;
    event->worker = model_text_give(&from->worker, turn->arena);
    return event;
}

void model_events(struct model_turn *turn)
{
    struct state_call *call = turn->call;
    const char *asked = call->in.events.after ? call->in.events.after : "";
    int64_t ms = -1, seq = -1;
    if (*asked) CHECK(model_stream_read(&ms, &seq, asked));
    call->out.events.event = arena_new(turn->arena, call->in.events.rows * sizeof(Vlmq__Event *));
    call->out.events.after = arena_text(turn->arena, asked, strlen(asked));
    for (uint32_t i = 0; i < turn->job->event_count; i++) {
        const struct model_event *event = &turn->job->event[i];
        if (call->out.events.count == call->in.events.rows) break;
        if (event->ms < ms || (event->ms == ms && event->seq <= seq)) continue;
        Vlmq__Event *row = event_row(turn, event);
        call->out.events.event[call->out.events.count++] = row;
        call->out.events.after = row->id;
    }
    call->count = call->out.events.count;
}

/* --- shards ----------------------------------------------------------------------------------- */

void model_made(struct model_turn *turn)
{
    struct state_call *call = turn->call;
    const struct model_job *job = turn->job;
    call->out.made.made = arena_new(turn->arena, call->in.made.rows * sizeof(struct state_made));
    call->out.made.total = job->made_count;
    for (uint32_t i = call->in.made.position; i < job->made_count; i++) {
        if (call->out.made.count == call->in.made.rows) break;
        struct state_made *made = &call->out.made.made[call->out.made.count++];
        made->index = job->made[i].index;
        made->name = model_text_give(&job->made[i].name, turn->arena);
        memcpy(made->digest, job->task[made->index]->digest, sizeof made->digest);
    }
}
