/* request.c - checks a call and writes it as function arguments; lua/ names their order. */
#include "broker/state/request.h"

#include "broker/state/library.h"
#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/id.h"
#include "common/base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ITEMS_MAX_EACH   (INT64_C(1) << 53) /* exact in Lua's doubles */
#define FLEET_KEY        "vlmq:{fleet}:"
#define STAGES_MAX       8
#define KIND_BYTES_MAX   64
#define TITLE_BYTES_MAX  512  /* a line of text */
#define OUTPUT_BYTES_MAX 4096 /* the longest path of a file system */

_Static_assert((int)ERR_STALE == VLMQ__CODE__CODE_STALE, "proto and base agree");
_Static_assert((int)ERR_UNAVAILABLE == VLMQ__CODE__CODE_UNAVAILABLE, "proto and base agree");

/* --- checks ----------------------------------------------------------------------------------- */

static bool text_empty(const char *text)
{
    return !text || !*text;
}

static int check_name(const char *name, const char *what, struct err *err)
{
    const char *allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    if (strlen(name) < TASK_NAME_BYTES && strspn(name, allowed) == strlen(name)) return 0;
    return err_set(err, ERR_INVALID, "%s \"%.80s\" is not [A-Za-z0-9._-]{0,%d}", what, name,
                   TASK_NAME_BYTES - 1);
}

static int check_worker(const char *id, struct err *err)
{
    const size_t bytes = id ? strlen(id) : 0;
    if (bytes && bytes < WORKER_ID_BYTES && str_utf8_valid(id, bytes) == bytes) return 0;
    return err_set(err, ERR_INVALID, "a worker's id has 1 to %d bytes", WORKER_ID_BYTES - 1);
}

static int check_progress(const Vlmq__Progress *progress, struct err *err)
{
    if (!progress) return 0;
    const int64_t values[] = {progress->items, progress->items_ok, progress->bytes};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        if (values[i] < 0 || values[i] > ITEMS_MAX_EACH) {
            return err_set(err, ERR_INVALID, "progress of %" PRId64 " is out of range", values[i]);
        }
    }
    if (progress->n_stages > STAGES_MAX) {
        return err_set(err, ERR_INVALID, "progress has more than %d stages", STAGES_MAX);
    }
    for (size_t i = 0; i < progress->n_stages; i++) {
        const char *name = progress->stages[i]->name;
        if (text_empty(name)) return err_set(err, ERR_INVALID, "a stage has no name");
        if (check_name(name, "stage", err)) return ERR_INVALID;
    }
    return 0;
}

static int check_cursor(const ProtobufCBinaryData *cursor, struct err *err)
{
    if (cursor->len <= CURSOR_BYTES_MAX) return 0;
    return err_set(err, ERR_INVALID, "a cursor of %zu bytes is larger than %d", cursor->len,
                   CURSOR_BYTES_MAX);
}

static int check_rows(uint32_t rows, struct err *err)
{
    if (rows >= 1 && rows <= PAGE_ROWS_MAX) return 0;
    return err_set(err, ERR_INVALID, "a page has 1 to %d rows", PAGE_ROWS_MAX);
}

/* "<digits><separator><more>": positions that were handed out before come back from outside. */
static int check_page(const char *page, char separator, struct err *err)
{
    if (text_empty(page)) return 0;
    const size_t digits = strspn(page, "0123456789");
    const char *rest = page + digits;
    bool good = digits > 0 && digits < 16 && *rest == separator;
    if (good && separator == '-') {
        good = rest[1] && strspn(rest + 1, "0123456789") == strlen(rest + 1) && strlen(rest) < 16;
    } else if (good && separator == ' ') {
        good = id_job_valid(rest + 1);
    }
    return good ? 0 : err_set(err, ERR_INVALID, "\"%.60s\" is not a page of this listing", page);
}

/* --- parts of requests ------------------------------------------------------------------------ */

static int add_attempt(struct args *args, const struct state_call *call, struct err *err)
{
    const Vlmq__Attempt *attempt = call->attempt;
    if (!attempt) return err_set(err, ERR_INVALID, "the message names no attempt");
    if (!attempt->lease || !id_lease_valid(attempt->lease)) {
        return err_set(err, ERR_INVALID, "a lease is 32 hexadecimal digits");
    }
    args_u32(args, attempt->index);
    args_text(args, attempt->lease);
    return 0;
}

static void add_progress(struct args *args, const Vlmq__Progress *progress)
{
    args_i64(args, progress ? progress->items : 0);
    args_i64(args, progress ? progress->items_ok : 0);
    args_i64(args, progress ? progress->bytes : 0);
}

/* An entry as lua/02_task.lua keeps it, and its items. */
static int add_entry(struct args *args, Vlmq__Phase phase, const char *name, const void *payload,
                     size_t bytes, int64_t items, struct err *err)
{
    name = name ? name : "";
    if (phase != VLMQ__PHASE__PHASE_WORK && phase != VLMQ__PHASE__PHASE_PLAN) {
        return err_set(err, ERR_INVALID, "only work and planning tasks can be added");
    }
    if (check_name(name, "task name", err)) return ERR_INVALID;
    if (bytes > PAYLOAD_BYTES_MAX) {
        return err_set(err, ERR_INVALID, "task %s has a payload of %zu bytes, more than %d", name,
                       bytes, PAYLOAD_BYTES_MAX);
    }
    if (items < 0 || items > ITEMS_MAX_EACH) {
        return err_set(err, ERR_INVALID, "task %s has %" PRId64 " items", name, items);
    }
    const size_t name_bytes = strnlen(name, TASK_NAME_BYTES); /* check_name bounds it */
    uint8_t *entry = arena_try(args->arena, 2 + name_bytes + bytes);
    if (!entry) {
        args->failed = true;
        return 0;
    }
    entry[0] = (uint8_t)phase;
    entry[1] = (uint8_t)name_bytes;
    memcpy(entry + 2, name, name_bytes);
    if (bytes) memcpy(entry + 2 + name_bytes, payload, bytes);
    args_bytes(args, entry, 2 + name_bytes + bytes);
    args_i64(args, items);
    return 0;
}

static int add_tasks(struct args *args, Vlmq__NewTask *const *tasks, size_t count, struct err *err)
{
    if (count > TASKS_PER_ADD_MAX) {
        return err_set(err, ERR_INVALID, "%zu tasks at once are more than %d", count,
                       TASKS_PER_ADD_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        const Vlmq__NewTask *task = tasks[i];
        const int rc = add_entry(args, task->phase, task->name, task->payload.data,
                                 task->payload.len, task->items, err);
        if (rc) return rc;
    }
    return 0;
}

static int add_counters(struct args *args, Vlmq__Counter *const *counters, size_t count,
                        struct err *err)
{
    if (count > COUNTERS_MAX) {
        return err_set(err, ERR_INVALID, "%zu counters are more than %d", count, COUNTERS_MAX);
    }
    args_i64(args, (int64_t)count);
    for (size_t i = 0; i < count; i++) {
        const char *name = counters[i]->name ? counters[i]->name : "";
        const size_t bytes = strlen(name);
        if (!bytes || bytes >= COUNTER_NAME_BYTES ||
            strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_.") != bytes) {
            return err_set(err, ERR_INVALID, "counter \"%.60s\" is not [a-z0-9_.]{1,%d}", name,
                           COUNTER_NAME_BYTES - 1);
        }
        args_text(args, name);
        args_i64(args, counters[i]->value);
    }
    return 0;
}

/* --- submit ----------------------------------------------------------------------------------- */

static int check_text(const char *text, size_t bytes_max, const char *what, struct err *err)
{
    const size_t bytes = text ? strlen(text) : 0;
    if (bytes > bytes_max) {
        return err_set(err, ERR_INVALID, "the %s is longer than %zu bytes", what, bytes_max);
    }
    if (!bytes || str_utf8_valid(text, bytes) == bytes) return 0;
    return err_set(err, ERR_INVALID, "the %s is not valid UTF-8", what);
}

static int check_job(const Vlmq__Job *job, struct err *err)
{
    if (check_text(job->kind, KIND_BYTES_MAX, "kind", err)) return ERR_INVALID;
    if (check_text(job->owner, OWNER_BYTES - 1, "owner", err)) return ERR_INVALID;
    if (check_text(job->title, TITLE_BYTES_MAX, "title", err)) return ERR_INVALID;
    if (check_text(job->output, OUTPUT_BYTES_MAX, "output", err)) return ERR_INVALID;
    if (job->spec.len > SPEC_BYTES_MAX) {
        return err_set(err, ERR_INVALID, "a spec of %zu bytes is larger than %d", job->spec.len,
                       SPEC_BYTES_MAX);
    }
    if (text_empty(job->kind)) return err_set(err, ERR_INVALID, "the job has no kind");
    if (!text_empty(job->after) && !id_job_valid(job->after)) {
        return err_set(err, ERR_INVALID, "--after names no job: \"%.60s\"", job->after);
    }
    if (!text_empty(job->from) && !id_job_valid(job->from)) {
        return err_set(err, ERR_INVALID, "--from names no job: \"%.60s\"", job->from);
    }
    if (job->attempts_max > INT32_MAX) {
        return err_set(err, ERR_INVALID, "%u attempts are too many", job->attempts_max);
    }
    return 0;
}

/* What never changes of a job, and what of it makes two submissions the same. */
static Vlmq__Job job_head(const Vlmq__Job *job)
{
    Vlmq__Job head = VLMQ__JOB__INIT;
    head.id = job->id;
    head.kind = job->kind;
    head.needs = job->needs;
    head.after = job->after;
    head.from = job->from;
    head.output = job->output;
    return head;
}

static void add_digest(struct args *args, const Vlmq__Job *job)
{
    Vlmq__Job same = job_head(job);
    same.spec = job->spec;
    const size_t bytes = vlmq__job__get_packed_size(&same);
    uint8_t *packed = arena_try(args->arena, bytes);
    char *digest = arena_try(args->arena, HASH_SHA256_TEXT);
    if (!packed || !digest) {
        args->failed = true;
        return;
    }
    (void)vlmq__job__pack(&same, packed);
    hash_sha256_text(digest, packed, bytes);
    args_text(args, digest);
}

static int encode_submit(struct args *args, const struct state_call *call, struct err *err)
{
    const Vlmq__Job *job = call->in.submit.job;
    CHECK(job);
    if (!str_eq(job->id, call->job_id)) return err_set(err, ERR_INVALID, "two ids for one job");
    if (check_job(job, err)) return ERR_INVALID;
    Vlmq__Job head = job_head(job);
    head.owner = job->owner;
    head.interactive = job->interactive;
    head.title = job->title;
    head.attempts_max = job->attempts_max ? job->attempts_max : STATE_ATTEMPTS_MAX;
    const bool held = !text_empty(job->after);
    add_digest(args, job);
    args_message(args, &head.base);
    args_bytes(args, job->spec.data, job->spec.len);
    args_u32(args, head.attempts_max);
    args_i64(args, job->priority);
    args_flag(args, call->in.submit.paused);
    args_flag(args, held);
    args_flag(args, !text_empty(job->from));
    args_made(args,
              held ? arena_printf(args->arena, "waits for the end of job %s", job->after) : "");
    return 0;
}

/* --- the functions ---------------------------------------------------------------------------- */

static int encode_nothing(struct args *args, const struct state_call *call, struct err *err)
{
    (void)args, (void)call, (void)err;
    return 0;
}

static int encode_add(struct args *args, const struct state_call *call, struct err *err)
{
    const int rc = add_attempt(args, call, err);
    if (rc) return rc;
    args_u32(args, call->in.add.offset);
    return add_tasks(args, call->in.add.tasks, call->in.add.count, err);
}

static int encode_take(struct args *args, const struct state_call *call, struct err *err)
{
    const uint32_t count = call->in.take.count;
    if (!count || count > STATE_TAKE_MAX) {
        return err_set(err, ERR_INVALID, "a worker takes 1 to %d tasks at once", STATE_TAKE_MAX);
    }
    if (check_worker(call->in.take.worker, err)) return ERR_INVALID;
    args_u32(args, count);
    args_text(args, call->in.take.worker);
    args_flag(args, call->in.take.alone);
    for (uint32_t i = 0; i < count; i++) {
        CHECK(id_lease_valid(call->in.take.lease[i]));
        args_text(args, call->in.take.lease[i]);
    }
    return 0;
}

static int encode_renew(struct args *args, const struct state_call *call, struct err *err)
{
    const Vlmq__Renewal *renewal = call->in.renew.renewal;
    CHECK(renewal);
    int rc = add_attempt(args, call, err);
    if (!rc) rc = check_progress(renewal->progress, err);
    if (!rc) rc = check_cursor(&renewal->cursor, err);
    if (rc) return rc;
    add_progress(args, renewal->progress);
    args_message(args, renewal->progress ? &renewal->progress->base : NULL);
    args_flag(args, renewal->has_cursor);
    args_bytes(args, renewal->cursor.data, renewal->cursor.len);
    return 0;
}

static int encode_done(struct args *args, const struct state_call *call, struct err *err)
{
    const Vlmq__Done *done = call->in.done.done;
    CHECK(done);
    int rc = add_attempt(args, call, err);
    if (!rc) rc = check_progress(done->progress, err);
    if (rc) return rc;
    if (done->digest.len != HASH_SHA256_BYTES) {
        return err_set(err, ERR_INVALID, "a digest has %d bytes", HASH_SHA256_BYTES);
    }
    const char *made = done->made ? done->made : "";
    if (check_name(made, "shard", err)) return ERR_INVALID;
    args_bytes(args, done->digest.data, done->digest.len);
    add_progress(args, done->progress);
    args_text(args, made);
    args_u32(args, done->offset);
    rc = add_counters(args, done->counters, done->n_counters, err);
    return rc ? rc : add_tasks(args, done->tasks, done->n_tasks, err);
}

static int encode_fail(struct args *args, const struct state_call *call, struct err *err)
{
    const Vlmq__Fail *fail = call->in.fail.fail;
    CHECK(fail);
    CHECK(call->in.fail.jitter >= 0);
    CHECK(call->in.fail.jitter < 1);
    const int rc = add_attempt(args, call, err);
    if (rc) return rc;
    if (fail->blame != VLMQ__BLAME__BLAME_TASK && fail->blame != VLMQ__BLAME__BLAME_INPUT &&
        fail->blame != VLMQ__BLAME__BLAME_DEVICE) {
        return err_set(err, ERR_INVALID, "blame %d is not known", (int)fail->blame);
    }
    args_i64(args, (int64_t)fail->blame);
    args_i64(args, (int64_t)fail->code);
    args_clean(args, text_empty(fail->reason) ? "no reason was given" : fail->reason,
               REASON_BYTES_MAX);
    args_clean(args, fail->log_tail, LOG_TAIL_BYTES_MAX);
    args_made(args, arena_printf(args->arena, "%.6f", call->in.fail.jitter));
    return 0;
}

static int encode_yield(struct args *args, const struct state_call *call, struct err *err)
{
    const Vlmq__Yield *yield = call->in.yield.yield;
    CHECK(yield);
    int rc = add_attempt(args, call, err);
    if (!rc) rc = check_cursor(&yield->cursor, err);
    if (rc) return rc;
    args_flag(args, yield->has_cursor);
    args_bytes(args, yield->cursor.data, yield->cursor.len);
    args_clean(args, yield->reason, REASON_BYTES_MAX);
    return 0;
}

static int encode_cancel(struct args *args, const struct state_call *call, struct err *err)
{
    (void)err;
    args_clean(args, call->in.cancel.reason, REASON_BYTES_MAX);
    return 0;
}

static int encode_reap(struct args *args, const struct state_call *call, struct err *err)
{
    (void)err;
    args_i64(args, call->in.reap.until_ms);
    return 0;
}

static int encode_retry(struct args *args, const struct state_call *call, struct err *err)
{
    (void)err;
    args_flag(args, call->in.retry.has_index);
    args_u32(args, call->in.retry.index);
    return 0;
}

static int encode_priority(struct args *args, const struct state_call *call, struct err *err)
{
    const int32_t priority = call->in.priority.priority;
    if (priority < -100 || priority > 100) {
        return err_set(err, ERR_INVALID, "a priority lies between -100 and 100, not at %d",
                       priority);
    }
    args_i64(args, priority);
    return 0;
}

static int encode_release(struct args *args, const struct state_call *call, struct err *err)
{
    (void)err;
    args_flag(args, call->in.release.ok);
    args_clean(args, call->in.release.reason, REASON_BYTES_MAX);
    return 0;
}

static int encode_chain(struct args *args, const struct state_call *call, struct err *err)
{
    CHECK(call->in.chain.next >= call->in.chain.position);
    const uint32_t count = call->in.chain.next - call->in.chain.position;
    CHECK(count <= TASKS_PER_ADD_MAX);
    args_u32(args, call->in.chain.position);
    args_u32(args, call->in.chain.next);
    args_flag(args, call->in.chain.source_ended);
    args_flag(args, call->in.chain.source_failed);
    args_clean(args, call->in.chain.reason, REASON_BYTES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        const struct state_made *made = &call->in.chain.made[i];
        const int rc = add_entry(args, VLMQ__PHASE__PHASE_WORK, made->name, made->digest,
                                 sizeof made->digest, 0, err);
        if (rc) return rc;
    }
    return 0;
}

static int encode_tasks(struct args *args, const struct state_call *call, struct err *err)
{
    int rc = check_rows(call->in.tasks.rows, err);
    if (!rc) rc = check_page(call->in.tasks.page, '\0', err);
    if (rc) return rc;
    if (call->in.tasks.state < 0 || call->in.tasks.state > VLMQ__TASK_STATE__TASK_CANCELLED) {
        return err_set(err, ERR_INVALID, "task state %d is not known", (int)call->in.tasks.state);
    }
    args_text(args, text_empty(call->in.tasks.page) ? "0" : call->in.tasks.page);
    args_u32(args, call->in.tasks.rows);
    args_i64(args, (int64_t)call->in.tasks.state);
    args_flag(args, call->in.tasks.log_tails);
    args_flag(args, call->in.tasks.has_index);
    args_u32(args, call->in.tasks.index);
    return 0;
}

static int encode_events(struct args *args, const struct state_call *call, struct err *err)
{
    int rc = check_rows(call->in.events.rows, err);
    if (!rc) rc = check_page(call->in.events.after, '-', err);
    if (rc) return rc;
    args_text(args, call->in.events.after);
    args_u32(args, call->in.events.rows);
    return 0;
}

static int encode_made(struct args *args, const struct state_call *call, struct err *err)
{
    const int rc = check_rows(call->in.made.rows, err);
    if (rc) return rc;
    args_u32(args, call->in.made.position);
    args_u32(args, call->in.made.rows);
    return 0;
}

static int encode_job_id(struct args *args, const struct state_call *call, struct err *err)
{
    if (!call->job_id || !id_job_valid(call->job_id)) {
        return err_set(err, ERR_INVALID, "\"%.60s\" is not a job's id",
                       call->job_id ? call->job_id : "");
    }
    args_text(args, call->job_id);
    if (call->op == STATE_UNINDEX) args_flag(args, call->in.unindex.purged);
    return 0;
}

static int encode_list(struct args *args, const struct state_call *call, struct err *err)
{
    int rc = check_rows(call->in.list.rows, err);
    if (!rc) rc = check_page(call->in.list.page, ' ', err);
    if (rc) return rc;
    args_text(args, call->op == STATE_ACTIVE ? "active" : "jobs");
    args_text(args, call->in.list.page);
    args_u32(args, call->in.list.rows);
    return 0;
}

static int encode_feed(struct args *args, const struct state_call *call, struct err *err)
{
    int rc = check_rows(call->in.feed.rows, err);
    if (!rc) rc = check_page(call->in.feed.after, '-', err);
    if (rc) return rc;
    args_text(args, call->in.feed.after);
    args_u32(args, call->in.feed.rows);
    return 0;
}

static int encode_worker(struct args *args, const struct state_call *call, struct err *err)
{
    const Vlmq__WorkerInfo *info = call->op == STATE_HELLO ? call->in.worker.info : NULL;
    const char *id = info ? info->id : call->in.worker.id;
    if (check_worker(id, err)) return ERR_INVALID;
    args_text(args, id);
    if (info) args_message(args, &info->base);
    return 0;
}

#define JOB(name, encode)                      \
    {                                          \
        LIBRARY_CALL name, false, encode, NULL \
    }
#define FLEET(name, encode)                   \
    {                                         \
        LIBRARY_CALL name, true, encode, NULL \
    }
#define ATTEMPT(call, encode)                       \
    {                                               \
        LIBRARY_CALL "attempt", false, encode, call \
    }

static const struct {
    const char *name;
    bool fleet; /* keys of the fleet, not of a job */
    int (*encode)(struct args *args, const struct state_call *call, struct err *err);
    const char *call; /* its name within the function, where that has calls of several operations */
} functions[] = {
    [STATE_SUBMIT] = JOB("submit", encode_submit),
    [STATE_ADD] = ATTEMPT("add", encode_add),
    [STATE_TAKE] = ATTEMPT("take", encode_take),
    [STATE_RENEW] = ATTEMPT("renew", encode_renew),
    [STATE_DONE] = ATTEMPT("done", encode_done),
    [STATE_FAIL] = ATTEMPT("fail", encode_fail),
    [STATE_YIELD] = ATTEMPT("yield", encode_yield),
    [STATE_REAP] = JOB("reap", encode_reap),
    [STATE_GRACE] = JOB("grace", encode_nothing),
    [STATE_PAUSE] = JOB("pause", encode_nothing),
    [STATE_RESUME] = JOB("resume", encode_nothing),
    [STATE_CANCEL] = JOB("cancel", encode_cancel),
    [STATE_RETRY] = JOB("retry", encode_retry),
    [STATE_PRIORITY] = JOB("priority", encode_priority),
    [STATE_RELEASE] = JOB("release", encode_release),
    [STATE_CHAIN] = JOB("chain", encode_chain),
    [STATE_GET] = JOB("get", encode_nothing),
    [STATE_LOOK] = JOB("look", encode_nothing),
    [STATE_TASKS] = JOB("tasks", encode_tasks),
    [STATE_EVENTS] = JOB("events", encode_events),
    [STATE_MADE] = JOB("made", encode_made),
    [STATE_PURGE] = JOB("purge", encode_nothing),
    [STATE_INDEX] = FLEET("index", encode_job_id),
    [STATE_UNINDEX] = FLEET("unindex", encode_job_id),
    [STATE_LIST] = FLEET("list", encode_list),
    [STATE_ACTIVE] = FLEET("list", encode_list),
    [STATE_FEED] = FLEET("feed", encode_feed),
    [STATE_TOUCH] = FLEET("touch", encode_job_id),
    [STATE_HELLO] = FLEET("hello", encode_worker),
    [STATE_BYE] = FLEET("bye", encode_worker),
    [STATE_WORKERS] = FLEET("workers", encode_nothing),
    [STATE_DRAIN] = FLEET("drain", encode_worker),
};

#undef JOB
#undef FLEET
#undef ATTEMPT

/* Not those of the fleet, nor those that work on a job that need not be there. */
static bool takes_many(enum state_op op)
{
    return !functions[op].fleet && op != STATE_SUBMIT && op != STATE_PURGE;
}

bool request_shares(enum state_op one, enum state_op other)
{
    return takes_many(one) && strcmp(functions[one].name, functions[other].name) == 0;
}

int request_begin(struct args *args, const struct state_call *call, struct arena *arena,
                  struct err *err)
{
    *args = (struct args){.arena = arena};
    CHECK((size_t)call->op < sizeof functions / sizeof *functions);
    args_text(args, "FCALL");
    args_text(args, functions[call->op].name);
    args_text(args, "1");
    if (functions[call->op].fleet) {
        args_text(args, FLEET_KEY);
    } else if (!call->job_id || !id_job_valid(call->job_id)) {
        return err_set(err, ERR_INVALID, "\"%.60s\" is not a job's id",
                       call->job_id ? call->job_id : "");
    } else {
        args_made(args, arena_printf(arena, "vlmq:{%s}:job", call->job_id));
    }
    return args->failed ? err_set(err, ERR_LIMIT, "the request does not fit in memory") : 0;
}

int request_add(struct args *args, const struct state_call *call, struct err *err)
{
    const size_t before = args->count;
    char *count = NULL;
    if (takes_many(call->op)) {
        count = arena_printf(args->arena, "%10u", 0u); /* the number follows when it is known */
        args_made(args, count);
    }
    const size_t first = args->count;
    if (functions[call->op].call) args_text(args, functions[call->op].call);
    int rc = functions[call->op].encode(args, call, err);
    if (!rc && args->failed) rc = err_set(err, ERR_LIMIT, "the request does not fit in memory");
    if (rc) {
        args->count = before;
        args->failed = false;
    } else if (count) {
        args->arg_bytes[before] = (size_t)snprintf(count, 11, "%zu", args->count - first);
    }
    return rc;
}
