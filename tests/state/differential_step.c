/* differential_step.c - a step as a call, and as a line of text. All names, payloads and numbers of
 * a call come from the step alone. */
#include "common/base/check.h"
#include "common/base/id.h"
#include "tests/state/differential.h"
#include "tests/state/queue_model_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* --- scripts and leases ----------------------------------------------------------------------- */

static void *grow(void *array, uint32_t count, uint32_t *room, size_t bytes)
{
    if (count < *room) return array;
    const uint32_t more = count < 8 ? 16 : 2 * count;
    uint8_t *grown = mem_resize(array, more * bytes);
    CHECK(grown);
    memset(grown + *room * bytes, 0, (more - *room) * bytes);
    *room = more;
    return grown;
}

void script_add(struct script *script, const struct step *step)
{
    script->step = grow(script->step, script->count, &script->room, sizeof *script->step);
    script->step[script->count++] = *step;
}

void script_deinit(struct script *script)
{
    mem_free(script->step);
    *script = (struct script){0};
}

void leases_add(struct leases *leases, uint32_t slot, uint32_t task, const char *lease)
{
    leases->task[slot] =
        grow(leases->task[slot], task, &leases->room[slot], sizeof *leases->task[slot]);
    struct lease_list *list = &leases->task[slot][task];
    list->lease = grow(list->lease, list->count, &list->room, sizeof *list->lease);
    CHECK(strlen(lease) == LEASE_ID_BYTES - 1);
    memcpy(list->lease[list->count++], lease, LEASE_ID_BYTES);
}

uint32_t leases_count(const struct leases *leases, uint32_t slot, uint32_t task)
{
    return task < leases->room[slot] ? leases->task[slot][task].count : 0;
}

void leases_deinit(struct leases *leases)
{
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        for (uint32_t i = 0; i < leases->room[slot]; i++) mem_free(leases->task[slot][i].lease);
        mem_free(leases->task[slot]);
    }
    *leases = (struct leases){0};
}

/* --- names and texts -------------------------------------------------------------------------- */

const char *slot_id(uint32_t slot)
{
    static const char *const ids[SLOTS] = {"job-a", "job-b", "job-c", "job-d", "job-e", "job-f"};
    CHECK(slot < SLOTS);
    return ids[slot];
}

const char *worker_name(uint32_t worker)
{
    static const char *const names[WORKERS] = {"host/cpu/1/a", "host/cpu/2/b", "host/cuda:0/3/c",
                                               "w", "größe/cpu/4/d"};
    CHECK(worker < WORKERS);
    return names[worker];
}

static char *text_repeat(struct arena *arena, const char *piece, size_t times)
{
    const size_t bytes = strlen(piece);
    char *text = arena_new(arena, bytes * times + 1);
    for (size_t i = 0; i < times; i++) memcpy(text + i * bytes, piece, bytes);
    return text;
}

/* A sentence of a worker or a person: none, short, odd, too long, not UTF-8. */
static char *text_of(struct arena *arena, uint32_t which)
{
    static const char *const texts[] = {"",
                                        "it broke",
                                        "zu groß – 東京",
                                        "quotes \" and \\ and\na line",
                                        "bad \xff\xc3 bytes \xe2\x82",
                                        "100% %d %s"};
    const uint32_t count = sizeof texts / sizeof *texts;
    if (which % (count + 2) == count) return text_repeat(arena, "ä€x", 400);
    if (which % (count + 2) == count + 1) return text_repeat(arena, "line ü\n", 900);
    const char *text = texts[which % (count + 2)];
    return arena_text(arena, text, strlen(text));
}

/* Bytes of any kind: none, few, the most. */
static ProtobufCBinaryData bytes_of(struct arena *arena, uint32_t which, size_t max)
{
    const size_t len = which % 64 == 63 ? max : which % 8 * 5;
    uint8_t *data = arena_new(arena, len + 1);
    for (size_t i = 0; i < len; i++) data[i] = (uint8_t)(which * 7 + i * 13);
    return (ProtobufCBinaryData){len, data};
}

static uint32_t mix(uint32_t a, uint32_t b)
{
    uint64_t x = ((uint64_t)a << 32 | b) * UINT64_C(0x9E3779B97F4A7C15);
    x ^= x >> 29;
    x *= UINT64_C(0xBF58476D1CE4E5B9);
    return (uint32_t)(x >> 32);
}

void step_digest(uint8_t digest[32], uint32_t slot, uint32_t task, uint32_t variant)
{
    for (uint32_t i = 0; i < 32; i++) digest[i] = (uint8_t)mix(slot * 97 + variant, task * 32 + i);
}

/* --- parts of calls --------------------------------------------------------------------------- */

static Vlmq__Attempt *attempt_of(const struct step *step, const struct leases *leases,
                                 struct arena *arena)
{
    Vlmq__Attempt *attempt = arena_new(arena, sizeof *attempt);
    vlmq__attempt__init(attempt);
    attempt->job = arena_text(arena, slot_id(step->slot), strlen(slot_id(step->slot)));
    attempt->index = step->task;
    const char *lease = "ffffffffffffffffffffffffffffffff"; /* nobody's */
    const uint32_t count = leases_count(leases, step->slot, step->task);
    if (step->lease < count) {
        lease = leases->task[step->slot][step->task].lease[count - 1 - step->lease];
    }
    attempt->lease = arena_text(arena, lease, strlen(lease));
    return attempt;
}

static Vlmq__Progress *progress_of(const struct step *step, struct arena *arena)
{
    if (step->chance % 8 == 0) return NULL;
    Vlmq__Progress *progress = arena_new(arena, sizeof *progress);
    vlmq__progress__init(progress);
    progress->items = step->chance % 100;
    progress->items_ok = step->chance % 50;
    progress->bytes = step->chance % 100000;
    progress->n_stages = step->chance % 3;
    progress->stages = arena_new(arena, 3 * sizeof(Vlmq__Stage *));
    for (size_t i = 0; i < progress->n_stages; i++) {
        Vlmq__Stage *stage = arena_new(arena, sizeof *stage);
        vlmq__stage__init(stage);
        stage->name = arena_text(arena, i ? "write" : "fetch", 5);
        stage->finished = step->chance % 1000;
        stage->running = step->chance % 7;
        stage->full = step->chance % 3 == 0;
        progress->stages[i] = stage;
    }
    return progress;
}

/* Tasks from number `first` on of those that a task adds: the same names whenever it does. */
static Vlmq__NewTask **new_tasks(const struct step *step, uint32_t first, uint32_t count,
                                 struct arena *arena)
{
    Vlmq__NewTask **list = arena_new(arena, (count + 1) * sizeof *list);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t chance = mix(step->chance, first + i);
        list[i] = arena_new(arena, sizeof **list);
        vlmq__new_task__init(list[i]);
        if (chance % 16) list[i]->name = arena_printf(arena, "t%u-%u", step->task, first + i);
        list[i]->payload = bytes_of(arena, chance >> 8, PAYLOAD_BYTES_MAX);
        list[i]->items = chance % 7;
        list[i]->phase =
            step->flag[3] && i == 0 ? VLMQ__PHASE__PHASE_PLAN : VLMQ__PHASE__PHASE_WORK;
    }
    return list;
}

static char *shard_name(const struct step *step, struct arena *arena)
{
    if (step->kind_of % 3 == 0) return arena_text(arena, "", 0);
    if (step->kind_of % 3 == 1) return arena_printf(arena, "t0-%u", step->task - 1);
    return arena_printf(arena, "shard.%u_%u", step->slot, step->task);
}

static const char *const *take_leases(const struct step *step, struct arena *arena)
{
    const char **lease = arena_new(arena, step->count * sizeof *lease);
    for (uint32_t i = 0; i < step->count; i++) {
        lease[i] = arena_printf(arena, "%08x%08x%016x", mix(step->serial, i), step->serial, i);
    }
    return lease;
}

static Vlmq__Counter **counters_of(const struct step *step, struct arena *arena)
{
    Vlmq__Counter **list = arena_new(arena, (step->count + 1) * sizeof *list);
    for (uint32_t i = 0; i < step->count; i++) {
        const uint32_t chance = mix(step->chance, 1000 + i);
        list[i] = arena_new(arena, sizeof **list);
        vlmq__counter__init(list[i]);
        list[i]->name = arena_printf(arena, "c.%u", chance % (step->count > 8 ? 160 : 7));
        list[i]->value = (int64_t)(chance >> 16) - 1000;
        if (chance % 20 == 0) list[i]->value += INT64_C(1) << (50 + chance % 8); /* not exact */
    }
    return list;
}

/* --- calls ------------------------------------------------------------------------------------ */

static uint32_t attempts_of(const struct step *step)
{
    static const uint32_t choices[] = {0, 1, 2, 30};
    return choices[step->chance % 4];
}

static void call_submit(struct state_call *call, const struct step *step, struct arena *arena)
{
    Vlmq__Job *job = arena_new(arena, sizeof *job);
    vlmq__job__init(job);
    job->id = arena_text(arena, call->job_id, strlen(call->job_id));
    job->kind = arena_text(arena, "probe", 5);
    job->owner = arena_text(arena, step->chance % 2 ? "ada" : "bob", 3);
    job->title = text_of(arena, step->chance % 3);
    job->output = arena_text(arena, "dir:/out", 8);
    job->interactive = step->chance % 5 == 0;
    job->priority = step->priority;
    job->attempts_max = attempts_of(step);
    job->spec = bytes_of(arena, step->kind_of, 1000);
    const char *other = slot_id((step->slot + 1 + step->chance % (SLOTS - 1)) % SLOTS);
    if (step->flag[1]) job->after = arena_text(arena, other, strlen(other));
    if (step->flag[2]) job->from = arena_text(arena, other, strlen(other));
    call->in.submit.job = job;
    call->in.submit.paused = step->flag[0];
}

static void call_renew(struct state_call *call, const struct step *step, struct arena *arena)
{
    Vlmq__Renewal *renewal = arena_new(arena, sizeof *renewal);
    vlmq__renewal__init(renewal);
    renewal->progress = progress_of(step, arena);
    renewal->has_cursor = step->flag[0];
    if (step->flag[0]) renewal->cursor = bytes_of(arena, step->kind_of, CURSOR_BYTES_MAX);
    call->in.renew.renewal = renewal;
}

static void call_done(struct state_call *call, const struct step *step, uint32_t at,
                      struct arena *arena)
{
    Vlmq__Done *done = arena_new(arena, sizeof *done);
    vlmq__done__init(done);
    done->digest.len = 32;
    done->digest.data = arena_new(arena, 32);
    step_digest(done->digest.data, step->slot, step->task, step->flag[0] ? 1 : 0);
    done->progress = progress_of(step, arena);
    done->made = shard_name(step, arena);
    done->counters = counters_of(step, arena);
    done->n_counters = step->count;
    done->offset = at;
    done->tasks = new_tasks(step, at, step->more, arena);
    done->n_tasks = step->more;
    call->in.done.done = done;
}

static void call_fail(struct state_call *call, const struct step *step, struct arena *arena)
{
    Vlmq__Fail *fail = arena_new(arena, sizeof *fail);
    vlmq__fail__init(fail);
    fail->blame = (Vlmq__Blame)(step->kind_of % 3);
    fail->code = (Vlmq__Code)(step->chance % 12);
    fail->reason = text_of(arena, step->chance / 12);
    fail->log_tail = text_of(arena, step->chance / 144);
    call->in.fail.fail = fail;
    call->in.fail.jitter = step->chance % 1000 / 1000.0;
}

static void call_yield(struct state_call *call, const struct step *step, struct arena *arena)
{
    Vlmq__Yield *yield = arena_new(arena, sizeof *yield);
    vlmq__yield__init(yield);
    yield->has_cursor = step->flag[0];
    if (step->flag[0]) yield->cursor = bytes_of(arena, step->kind_of, CURSOR_BYTES_MAX);
    yield->reason = text_of(arena, step->chance);
    call->in.yield.yield = yield;
}

static void call_chain(struct state_call *call, const struct step *step, uint32_t at,
                       struct arena *arena)
{
    struct state_made *made = arena_new(arena, (step->count + 1) * sizeof *made);
    for (uint32_t i = 0; i < step->count; i++) {
        uint8_t digest[32];
        step_digest(digest, step->slot, at + i, 2);
        memcpy(made[i].digest, digest, sizeof made[i].digest);
        made[i].index = at + i;
        made[i].name = arena_printf(arena, "s%u", at + i);
    }
    call->in.chain.made = made;
    call->in.chain.position = at;
    call->in.chain.next = at + step->count;
    call->in.chain.source_ended = step->flag[0];
    call->in.chain.source_failed = step->flag[1];
    call->in.chain.reason = text_of(arena, step->kind_of);
}

static void call_hello(struct state_call *call, const struct step *step, struct arena *arena)
{
    Vlmq__WorkerInfo *info = arena_new(arena, sizeof *info);
    vlmq__worker_info__init(info);
    info->id = arena_text(arena, worker_name(step->worker), strlen(worker_name(step->worker)));
    info->host = arena_text(arena, "host", 4);
    info->slots = step->chance % 10;
    info->draining = step->chance % 7 == 0;
    info->tasks_done = step->chance;
    call->in.worker.info = info;
}

static void call_page(struct state_call *call, const struct step *step)
{
    switch ((int)step->op) {
    case STATE_TASKS:
        call->in.tasks.page = step->text;
        call->in.tasks.rows = step->count;
        call->in.tasks.state = (Vlmq__TaskState)(step->kind_of % 7);
        call->in.tasks.log_tails = step->flag[0];
        call->in.tasks.has_index = step->flag[1];
        call->in.tasks.index = step->task;
        break;
    case STATE_EVENTS:
        call->in.events.after = step->text;
        call->in.events.rows = step->count;
        break;
    case STATE_MADE:
        call->in.made.position = (uint32_t)step->at;
        call->in.made.rows = step->count;
        break;
    case STATE_FEED:
        call->in.feed.after = step->text;
        call->in.feed.rows = step->count;
        break;
    default:
        call->in.list.page = step->text;
        call->in.list.rows = step->count;
    }
}

static void call_verb(struct state_call *call, const struct step *step, struct arena *arena)
{
    switch ((int)step->op) {
    case STATE_REAP:
        call->in.reap.until_ms = step->ms;
        break;
    case STATE_CANCEL:
        call->in.cancel.reason = text_of(arena, step->kind_of);
        break;
    case STATE_RETRY:
        call->in.retry.has_index = step->flag[0];
        call->in.retry.index = step->task;
        break;
    case STATE_PRIORITY:
        call->in.priority.priority = step->priority;
        break;
    case STATE_RELEASE:
        call->in.release.ok = step->flag[0];
        call->in.release.reason = text_of(arena, step->kind_of);
        break;
    case STATE_UNINDEX:
        call->in.unindex.purged = step->flag[0];
        break;
    case STATE_BYE:
    case STATE_DRAIN:
        call->in.worker.id = worker_name(step->worker);
        break;
    default: /* nothing but the job */
        break;
    }
}

uint32_t step_base(const struct step *step, const struct world *world)
{
    const struct model_job *job = model_job_find(world->model, slot_id(step->slot));
    if (!job) return 0;
    if (step->op == STATE_CHAIN) return (uint32_t)job->n.position;
    if (step->op != STATE_ADD && step->op != STATE_DONE) return 0;
    return step->task < job->n.total ? job->task[step->task]->added : 0;
}

void step_call(struct state_call *call, const struct step *step, const struct world *world,
               struct arena *arena)
{
    const bool of_fleet = step->op > STATE_UNINDEX && step->op != STATE_TOUCH;
    *call = (struct state_call){.op = step->op, .job_id = of_fleet ? NULL : slot_id(step->slot)};
    const int64_t ahead = (int64_t)step_base(step, world) + step->at;
    const uint32_t at = ahead > 0 ? (uint32_t)ahead : 0;
    switch ((int)step->op) {
    case STATE_SUBMIT:
        call_submit(call, step, arena);
        return;
    case STATE_TAKE:
        call->in.take.count = step->count;
        call->in.take.worker = worker_name(step->worker);
        call->in.take.alone = step->flag[0];
        call->in.take.lease = take_leases(step, arena);
        return;
    case STATE_CHAIN:
        call_chain(call, step, at, arena);
        return;
    case STATE_HELLO:
        call_hello(call, step, arena);
        return;
    case STATE_TASKS:
    case STATE_EVENTS:
    case STATE_MADE:
    case STATE_LIST:
    case STATE_ACTIVE:
    case STATE_FEED:
        call_page(call, step);
        return;
    case STATE_ADD:
    case STATE_RENEW:
    case STATE_DONE:
    case STATE_FAIL:
    case STATE_YIELD:
        break;
    default:
        call_verb(call, step, arena);
        return;
    }
    call->attempt = attempt_of(step, world->leases, arena);
    if (step->op == STATE_ADD) {
        call->in.add.offset = at;
        call->in.add.tasks = new_tasks(step, at, step->more, arena);
        call->in.add.count = step->more;
    } else if (step->op == STATE_RENEW) {
        call_renew(call, step, arena);
    } else if (step->op == STATE_DONE) {
        call_done(call, step, at, arena);
    } else if (step->op == STATE_FAIL) {
        call_fail(call, step, arena);
    } else {
        call_yield(call, step, arena);
    }
}

/* --- a line ----------------------------------------------------------------------------------- */

static const char *const op_names[] = {
    [STATE_SUBMIT] = "submit",   [STATE_ADD] = "add",           [STATE_TAKE] = "take",
    [STATE_RENEW] = "renew",     [STATE_DONE] = "done",         [STATE_FAIL] = "fail",
    [STATE_YIELD] = "yield",     [STATE_REAP] = "reap",         [STATE_GRACE] = "grace",
    [STATE_PAUSE] = "pause",     [STATE_RESUME] = "resume",     [STATE_CANCEL] = "cancel",
    [STATE_RETRY] = "retry",     [STATE_PRIORITY] = "priority", [STATE_RELEASE] = "release",
    [STATE_CHAIN] = "chain",     [STATE_GET] = "get",           [STATE_LOOK] = "look",
    [STATE_TASKS] = "tasks",     [STATE_EVENTS] = "events",     [STATE_MADE] = "made",
    [STATE_PURGE] = "purge",     [STATE_INDEX] = "index",       [STATE_UNINDEX] = "unindex",
    [STATE_LIST] = "list",       [STATE_ACTIVE] = "active",     [STATE_FEED] = "feed",
    [STATE_TOUCH] = "touch",     [STATE_HELLO] = "hello",       [STATE_BYE] = "bye",
    [STATE_WORKERS] = "workers", [STATE_DRAIN] = "drain",
};

static void print_attempt(const struct step *step, struct buf *out)
{
    static const char *const blames[] = {"task", "input", "device"};
    buf_printf(out, ", task %u", step->task);
    if (step->lease) buf_printf(out, " by its lease %u before the last", step->lease);
    if (step->at) buf_printf(out, ", offset %+d", step->at);
    if (step->more) buf_printf(out, ", %u tasks", step->more);
    if (step->more && step->flag[3]) buf_text(out, " (the first plans)");
    if (step->op == STATE_DONE && step->count) buf_printf(out, ", %u counters", step->count);
    if (step->op == STATE_DONE && step->flag[0]) buf_text(out, ", another digest");
    if (step->op == STATE_FAIL) buf_printf(out, ", blames the %s", blames[step->kind_of % 3]);
    if ((step->op == STATE_RENEW || step->op == STATE_YIELD) && step->flag[0]) {
        buf_text(out, ", with a cursor");
    }
}

static void print_rest(const struct step *step, struct buf *out)
{
    switch ((int)step->op) {
    case STATE_SUBMIT:
        buf_printf(out, "%s%s%s, attempts %u", step->flag[0] ? ", paused" : "",
                   step->flag[1] ? ", after another" : "", step->flag[2] ? ", from another" : "",
                   attempts_of(step));
        break;
    case STATE_TAKE:
        buf_printf(out, ", %u for worker %u%s", step->count, step->worker,
                   step->flag[0] ? ", idle" : "");
        break;
    case STATE_REAP:
        if (step->ms) buf_printf(out, ", until %" PRId64, step->ms);
        break;
    case STATE_RETRY:
        if (step->flag[0]) buf_printf(out, ", task %u", step->task);
        break;
    case STATE_PRIORITY:
        buf_printf(out, ", %d", step->priority);
        break;
    case STATE_RELEASE:
        buf_text(out, step->flag[0] ? ", ok" : ", failed");
        break;
    case STATE_CHAIN:
        buf_printf(out, ", %u shards", step->count);
        if (step->at) buf_printf(out, ", position %+d", step->at);
        if (step->flag[0]) buf_printf(out, ", source %s", step->flag[1] ? "failed" : "ended");
        break;
    case STATE_TASKS:
        buf_printf(out, ", %u rows of state %u", step->count, step->kind_of % 7);
        if (step->flag[1]) buf_printf(out, ", only task %u", step->task);
        break;
    default:
        if (step->op >= STATE_HELLO) buf_printf(out, ", worker %u", step->worker);
        if (step->count) buf_printf(out, ", %u rows", step->count);
    }
    if (step->text[0]) buf_printf(out, ", page \"%s\"", step->text);
}

void step_print(const struct step *step, struct buf *out)
{
    const bool of_attempt = step->op == STATE_ADD || step->op == STATE_RENEW ||
                            step->op == STATE_DONE || step->op == STATE_FAIL ||
                            step->op == STATE_YIELD;
    if (step->kind == STEP_CRASH) {
        buf_text(out, "the server crashes and comes back\n");
        return;
    }
    if (step->kind == STEP_CLOCK) {
        buf_printf(out, "the clock moves by %" PRId64 " ms\n", step->ms);
        return;
    }
    buf_printf(out, "#%u %s %s", step->serial, slot_id(step->slot), op_names[step->op]);
    if (of_attempt) {
        print_attempt(step, out);
    } else {
        print_rest(step, out);
    }
    buf_byte(out, '\n');
}
