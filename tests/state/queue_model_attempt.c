/* queue_model_attempt.c - what workers do: take tasks, and tell what became of the attempts. */
#include "common/base/check.h"
#include "tests/state/queue_model_parts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool cancelling(const struct model_turn *turn)
{
    return turn->job->n.state == VLMQ__JOB_STATE__JOB_CANCELLING;
}

static void refuse_stale(struct model_turn *turn)
{
    (void)err_set(&turn->call->err, ERR_STALE, "the lease is over");
}

static void refuse_cancelled(struct model_turn *turn)
{
    (void)err_set(&turn->call->err, ERR_CANCELLED, "the job was cancelled");
}

/* The same message before: this lease was the task's last, and ended in this way. */
static bool ended_so(const struct model_turn *turn, enum model_ending ending)
{
    const Vlmq__Attempt *attempt = turn->call->attempt;
    if (attempt->index >= turn->job->n.total) return false;
    const struct model_task *task = turn->job->task[attempt->index];
    return task->ending == ending && strcmp(task->last_lease, attempt->lease) == 0;
}

/* --- take ------------------------------------------------------------------------------------- */

static bool takeable(const struct model_job *job)
{
    const bool open = job->n.state == VLMQ__JOB_STATE__JOB_PLANNING ||
                      job->n.state == VLMQ__JOB_STATE__JOB_RUNNING ||
                      job->n.state == VLMQ__JOB_STATE__JOB_CLOSING;
    return open && !job->n.paused && job->n.plans_dead == 0;
}

static void take_give(struct model_turn *turn, const struct model_task *task, bool alone)
{
    struct state_grant *grant = &turn->call->out.take.grant[turn->call->out.take.count++];
    *grant = (struct state_grant){
        .index = task->index,
        .attempt = task->attempts,
        .added = task->added,
        .tasks_dead = (uint32_t)turn->job->n.dead,
        .phase = task->phase,
        .name = model_text_give(&task->name, turn->arena),
        .lease = arena_text(turn->arena, task->lease, strlen(task->lease)),
        .payload = {task->payload.len, (uint8_t *)model_text_give(&task->payload, turn->arena)},
        .cursor = {task->cursor.len, (uint8_t *)model_text_give(&task->cursor, turn->arena)},
        .alone = alone};
}

static struct model_took *took_of(const struct model_job *job, const char *worker)
{
    for (uint32_t i = 0; i < job->took_count; i++) {
        if (strcmp(model_text_str(&job->took[i].worker), worker) == 0) return &job->took[i];
    }
    return NULL;
}

/* The worker's last take again: what of it is still held. */
static bool take_repeated(struct model_turn *turn)
{
    const struct state_call *call = turn->call;
    const struct model_took *took = took_of(turn->job, call->in.take.worker);
    if (!took || strcmp(took->lease, call->in.take.lease[0]) != 0) return false;
    for (uint32_t i = 0; i < took->count && i < call->in.take.count; i++) {
        const struct model_task *task = turn->job->task[took->index[i]];
        if (task->state == VLMQ__TASK_STATE__TASK_LEASED &&
            strcmp(task->lease, call->in.take.lease[i]) == 0) {
            take_give(turn, task, took->alone[i]);
        }
    }
    return true;
}

/* Tasks that must run alone, for an idle worker; then those tried before; then fresh ones. */
static struct model_task *take_next(struct model_turn *turn, bool *alone)
{
    struct model_job *job = turn->job;
    *alone = turn->call->in.take.alone && turn->call->out.take.count == 0 && job->alone.count > 0;
    if (*alone) return job->task[model_queue_pop(&job->alone)];
    if (job->again.count) return job->task[model_queue_pop(&job->again)];
    if (job->n.next == job->n.total) return NULL;
    return job->task[job->n.next++];
}

static void take_lease(struct model_turn *turn, struct model_task *task, const char *lease)
{
    struct model_job *job = turn->job;
    const char *worker = turn->call->in.take.worker;
    CHECK(task->state == VLMQ__TASK_STATE__TASK_READY);
    CHECK(strlen(lease) < sizeof task->lease);
    task->state = VLMQ__TASK_STATE__TASK_LEASED;
    task->taken = true;
    task->renewed = false;
    task->attempts++;
    memcpy(task->lease, lease, strlen(lease) + 1);
    model_text_set(&task->worker, worker, strlen(worker));
    job->n.leased++;
    if (!job->n.started) job->n.started = turn->now_ms;
    model_due_set(job, task, turn->now_ms + LEASE_TTL_MS);
}

static void took_keep(struct model_turn *turn)
{
    struct model_job *job = turn->job;
    const struct state_call *call = turn->call;
    struct model_took *took = took_of(job, call->in.take.worker);
    if (!took) {
        job->took = model_grow(job->took, job->took_count, &job->took_room, sizeof *job->took);
        took = &job->took[job->took_count++];
        *took = (struct model_took){0};
        model_text_set(&took->worker, call->in.take.worker, strlen(call->in.take.worker));
    }
    mem_free(took->index);
    mem_free(took->alone);
    took->count = call->out.take.count;
    took->index = mem_new(took->count * sizeof *took->index);
    took->alone = mem_new(took->count * sizeof *took->alone);
    memcpy(took->lease, call->in.take.lease[0], sizeof took->lease);
    for (uint32_t i = 0; i < took->count; i++) {
        took->index[i] = call->out.take.grant[i].index;
        took->alone[i] = call->out.take.grant[i].alone;
    }
}

void model_take(struct model_turn *turn)
{
    struct state_call *call = turn->call;
    call->out.take.grant = arena_new(turn->arena, call->in.take.count * sizeof(struct state_grant));
    if (!take_repeated(turn) && takeable(turn->job)) {
        for (uint32_t i = 0; i < call->in.take.count; i++) {
            bool alone = false;
            struct model_task *task = take_next(turn, &alone);
            if (!task) break;
            take_lease(turn, task, call->in.take.lease[i]);
            take_give(turn, task, alone);
            if (alone) break;
        }
        if (call->out.take.count) took_keep(turn);
    }
    call->count = call->out.take.count;
}

/* --- while it runs ---------------------------------------------------------------------------- */

static void cursor_keep(struct model_task *task, const ProtobufCBinaryData *cursor)
{
    task->has_cursor = true;
    model_text_set(&task->cursor, cursor->data, cursor->len);
}

void model_renew(struct model_turn *turn)
{
    const Vlmq__Renewal *renewal = turn->call->in.renew.renewal;
    struct model_task *task = model_task_held(turn->job, turn->call->attempt);
    if (!task) {
        refuse_stale(turn);
    } else if (cancelling(turn)) {
        refuse_cancelled(turn);
    } else {
        task->renewed = true;
        task->unstarted = 0;
        model_task_progress(turn->job, task, renewal->progress);
        if (renewal->has_cursor) cursor_keep(task, &renewal->cursor);
        model_due_set(turn->job, task, turn->now_ms + LEASE_TTL_MS);
    }
}

/* How many of the tasks from `offset` on are there already; false: refused. */
static bool add_check(struct model_turn *turn, uint32_t *there, const struct model_task *task,
                      uint32_t offset, size_t count)
{
    struct err *err = &turn->call->err;
    const uint32_t limit = turn->model->limits.tasks;
    if (task->phase == VLMQ__PHASE__PHASE_CLOSE && count > 0) {
        (void)err_set(err, ERR_INVALID, "a closing task cannot add tasks");
    } else if (offset > task->added) {
        (void)err_set(err, ERR_STALE, "tasks from number %u on cannot be added: only %u are there",
                      offset, task->added);
    } else {
        *there = task->added - offset < count ? task->added - offset : (uint32_t)count;
        if (turn->job->n.total + (int64_t)count - *there > limit) {
            (void)err_set(err, ERR_LIMIT, "a job has at most %u tasks", limit);
        }
    }
    return err->code == ERR_OK;
}

static void add_apply(struct model_turn *turn, struct model_task *task, uint32_t there,
                      Vlmq__NewTask *const *tasks, size_t count)
{
    for (size_t i = there; i < count; i++) {
        const Vlmq__NewTask *new = tasks[i];
        (void)model_task_append(turn->job, new->phase, new->name ? new->name : "",
                                new->payload.data, new->payload.len);
        turn->job->n.items_total += new->items;
        task->added++;
    }
}

void model_add(struct model_turn *turn)
{
    struct state_call *call = turn->call;
    struct model_task *task = model_task_held(turn->job, call->attempt);
    uint32_t there = 0;
    if (!task) {
        refuse_stale(turn);
    } else if (cancelling(turn)) {
        refuse_cancelled(turn);
    } else if (add_check(turn, &there, task, call->in.add.offset, call->in.add.count)) {
        add_apply(turn, task, there, call->in.add.tasks, call->in.add.count);
        call->count = task->added;
        model_job_settle(turn);
    }
}

/* --- how it ends ------------------------------------------------------------------------------ */

/* The lease is over, and what it had got through leaves the sums. */
static void lease_end(struct model_job *job, struct model_task *task, enum model_ending ending)
{
    memcpy(task->last_lease, task->lease, sizeof task->last_lease);
    task->ending = ending;
    task->lease[0] = 0;
    model_task_progress(job, task, NULL);
    model_due_unset(job, task);
    job->n.leased--;
}

void model_lease_lost(struct model_job *job, struct model_task *task)
{
    lease_end(job, task, ENDING_LOST);
}

void model_task_cancelled(struct model_job *job, struct model_task *task)
{
    task->state = VLMQ__TASK_STATE__TASK_CANCELLED;
    job->n.cancelled++;
}

void model_yield(struct model_turn *turn)
{
    const Vlmq__Yield *yield = turn->call->in.yield.yield;
    struct model_task *task = model_task_held(turn->job, turn->call->attempt);
    if (!task) {
        if (!ended_so(turn, ENDING_YIELD)) refuse_stale(turn);
        return;
    }
    struct model_text reason = {0};
    model_text_clean(&reason, yield->reason, REASON_BYTES_MAX);
    lease_end(turn->job, task, ENDING_YIELD);
    if (yield->has_cursor) cursor_keep(task, &yield->cursor);
    model_task_event(turn, "task.yielded", task, model_text_str(&reason));
    if (cancelling(turn)) {
        model_task_cancelled(turn->job, task);
    } else {
        model_task_ready(turn->job, task);
    }
    mem_free(reason.data);
    model_job_settle(turn);
}

static void tail_drop(struct model_job *job, struct model_task *task)
{
    if (task->has_tail) job->tail_count--;
    task->has_tail = false;
    model_text_set(&task->tail, NULL, 0);
}

/* A bounded number of tails is kept of a job. */
static void fail_tail(struct model_turn *turn, struct model_task *task, const char *tail)
{
    struct model_job *job = turn->job;
    struct model_text clean = {0};
    model_text_clean(&clean, tail, LOG_TAIL_BYTES_MAX);
    if (!clean.len) {
        tail_drop(job, task);
    } else if (task->has_tail || job->tail_count < turn->model->limits.tails) {
        if (!task->has_tail) job->tail_count++;
        task->has_tail = true;
        model_text_copy(&task->tail, &clean);
    }
    mem_free(clean.data);
}

/* 1 s, 2 s, 4 s … up to 5 min, times a random factor. */
static int64_t fail_delay(uint32_t failures, double jitter)
{
    double span = STATE_BACKOFF_MS * pow(2, failures - 1);
    if (span > STATE_BACKOFF_MAX_MS) span = STATE_BACKOFF_MAX_MS;
    const int64_t delay = (int64_t)floor(jitter * span);
    return delay > STATE_BACKOFF_MIN_MS ? delay : STATE_BACKOFF_MIN_MS;
}

static void fail_task(struct model_turn *turn, struct model_task *task)
{
    const Vlmq__Blame blame = turn->call->in.fail.fail->blame;
    struct model_job *job = turn->job;
    if (cancelling(turn)) {
        model_task_cancelled(job, task);
    } else if (blame == VLMQ__BLAME__BLAME_DEVICE) {
        model_task_ready(job, task);
    } else {
        task->failures++;
        if (blame == VLMQ__BLAME__BLAME_INPUT || task->failures >= job->n.attempts_max) {
            model_task_dead(turn, task);
            return;
        }
        /* The jitter travels with six digits. */
        char digits[32];
        (void)snprintf(digits, sizeof digits, "%.6f", turn->call->in.fail.jitter);
        task->state = VLMQ__TASK_STATE__TASK_WAITING;
        job->n.waiting++;
        model_due_set(job, task, turn->now_ms + fail_delay(task->failures, strtod(digits, NULL)));
    }
}

void model_fail(struct model_turn *turn)
{
    const Vlmq__Fail *fail = turn->call->in.fail.fail;
    struct model_task *task = model_task_held(turn->job, turn->call->attempt);
    if (!task) {
        if (!ended_so(turn, ENDING_FAIL)) refuse_stale(turn);
        return;
    }
    task->code = (uint32_t)fail->code;
    model_text_clean(&task->why,
                     fail->reason && *fail->reason ? fail->reason : "no reason was given",
                     REASON_BYTES_MAX);
    lease_end(turn->job, task, ENDING_FAIL);
    fail_tail(turn, task, fail->log_tail);
    model_task_event(turn, "task.failed", task, model_text_str(&task->why));
    fail_task(turn, task);
    model_job_settle(turn);
}

/* --- done ------------------------------------------------------------------------------------- */

static bool done_repeated(const struct model_turn *turn)
{
    if (!ended_so(turn, ENDING_DONE)) return false;
    const struct model_task *task = turn->job->task[turn->call->attempt->index];
    return memcmp(task->digest, turn->call->in.done.done->digest.data, sizeof task->digest) == 0;
}

static struct model_counter *counter_of(const struct model_job *job, const char *name)
{
    for (uint32_t i = 0; i < job->counter_count; i++) {
        if (strcmp(model_text_str(&job->counter[i].name), name) == 0) return &job->counter[i];
    }
    return NULL;
}

static bool counters_fit(struct model_turn *turn, const Vlmq__Done *done)
{
    uint32_t count = turn->job->counter_count;
    for (size_t i = 0; i < done->n_counters; i++) {
        bool new = counter_of(turn->job, done->counters[i]->name) == NULL;
        for (size_t k = 0; k < i; k++) {
            if (strcmp(done->counters[k]->name, done->counters[i]->name) == 0) new = false;
        }
        if (new) count++;
    }
    if (count <= turn->model->limits.counters) return true;
    (void)err_set(&turn->call->err, ERR_INVALID, "a job has at most %u counters",
                  turn->model->limits.counters);
    return false;
}

/* A sum that leaves 64 bits stays where it is. */
static void counters_add(struct model_job *job, const Vlmq__Done *done)
{
    for (size_t i = 0; i < done->n_counters; i++) {
        const char *name = done->counters[i]->name;
        struct model_counter *counter = counter_of(job, name);
        if (!counter) {
            job->counter = model_grow(job->counter, job->counter_count, &job->counter_room,
                                      sizeof *job->counter);
            counter = &job->counter[job->counter_count++];
            *counter = (struct model_counter){0};
            model_text_set(&counter->name, name, strlen(name));
        }
        int64_t sum = 0;
        if (!__builtin_add_overflow(counter->value, done->counters[i]->value, &sum)) {
            counter->value = sum;
        }
    }
}

static void made_keep(struct model_job *job, const struct model_task *task, const char *name)
{
    if (!name || !*name) return;
    job->made = model_grow(job->made, job->made_count, &job->made_room, sizeof *job->made);
    struct model_made *made = &job->made[job->made_count++];
    *made = (struct model_made){.index = task->index};
    model_text_set(&made->name, name, strlen(name));
}

/* The record of a done task: nothing that was of use to further attempts. */
static void done_record(struct model_job *job, struct model_task *task, const Vlmq__Done *done)
{
    memcpy(task->digest, done->digest.data, sizeof task->digest);
    memcpy(task->last_lease, task->lease, sizeof task->last_lease);
    task->ending = ENDING_DONE;
    task->lease[0] = 0;
    task->state = VLMQ__TASK_STATE__TASK_DONE;
    task->has_cursor = false;
    tail_drop(job, task);
    struct model_text *const text[] = {&task->payload, &task->worker, &task->progress, &task->why,
                                       &task->cursor};
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) model_text_set(text[i], NULL, 0);
    task->code = 0;
    model_due_unset(job, task);
    job->n.leased--;
    job->n.done++;
    if (task->phase == VLMQ__PHASE__PHASE_PLAN) job->n.plans--;
}

void model_done(struct model_turn *turn)
{
    const Vlmq__Done *done = turn->call->in.done.done;
    struct model_job *job = turn->job;
    struct model_task *task = model_task_held(job, turn->call->attempt);
    uint32_t there = 0;
    if (!task) {
        if (!done_repeated(turn)) refuse_stale(turn);
        return;
    }
    if (!counters_fit(turn, done)) return;
    if (!add_check(turn, &there, task, done->offset, done->n_tasks)) return;
    if (!cancelling(turn)) add_apply(turn, task, there, done->tasks, done->n_tasks);
    model_task_progress(job, task, done->progress);
    counters_add(job, done);
    made_keep(job, task, done->made);
    done_record(job, task, done);
    if (job->n.state == VLMQ__JOB_STATE__JOB_CLOSING) {
        model_job_closed(turn);
    } else {
        model_job_settle(turn);
    }
}
