/* bare_loop.c - the life of tasks with nothing but Redis and its functions: the limit that
 * client, broker, worker and network are measured against.
 *
 * One thread, one connection: a job is submitted, its planning task adds the tasks, and then every
 * commit ends the tasks that the one before took and takes as many again. The calls carry what the
 * probe kind's carry. Prints one line of JSON; fails unless every task is done and counted.
 *
 * --plan-only leaves the tasks queued and tells brokers of the job. --job ID goes on with such a
 * job, and --stop-after N leaves it again when so many of its tasks are done. --jobs N does it all
 * so many times, with a short pause between two whole lives. start_us: from each submission until
 * the first work tasks were taken. */
#include "broker/state/state.h"
#include "common/base/check.h"
#include "common/base/conf.h"
#include "common/base/hash.h"
#include "common/base/id.h"
#include "common/base/rng.h"
#include "common/base/stop.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define REDIS_TIMEOUT_MS 60000
#define PAUSE_MS_MAX     20
#define ADD_TASKS        1000 /* as the probe kind plans */
#define CREDITS_MAX      STATE_TAKE_MAX
#define BATCH_MAX        (STATE_CALLS_MAX / 2)

struct options {
    const char *redis, *job; /* job: NULL makes one */
    int64_t tasks, jobs, batch, take, stop_after;
    bool plan_only;
};

struct held {
    char lease[LEASE_ID_BYTES];
    uint32_t index;
    char name[TASK_NAME_BYTES];
};

struct loop {
    const struct options *options;
    struct state *state;
    struct arena arena;
    struct rng rng;
    char job[JOB_ID_BYTES];
    struct state_call call[STATE_CALLS_MAX];
    uint32_t calls_count;
    struct held held[BATCH_MAX];
    uint32_t held_count;
    char lease[BATCH_MAX][LEASE_ID_BYTES];
    int64_t plan_us, start_us;
    uint64_t commits, tasks_done;
    bool ended;
};

static char *text_of(struct loop *l, const char *text)
{
    return arena_text(&l->arena, text, strlen(text));
}

static struct state_call *plan(struct loop *l, enum state_op op)
{
    CHECK(l->calls_count < STATE_CALLS_MAX);
    struct state_call *call = &l->call[l->calls_count++];
    *call = (struct state_call){.op = op, .job_id = l->job};
    return call;
}

/* Sends what was planned; every call must succeed. */
static int commit(struct loop *l, struct err *err)
{
    int rc = state_commit(l->state, l->call, l->calls_count, &l->arena, err);
    for (uint32_t i = 0; i < l->calls_count && !rc; i++) {
        if (!l->call[i].err.code) continue;
        *err = l->call[i].err;
        rc = (int)err->code;
    }
    l->commits++;
    return rc;
}

static void plan_take(struct loop *l, uint32_t first, uint32_t count)
{
    static char worker[] = "bench/cpu/1/bare";
    const char **lease = arena_new(&l->arena, count * sizeof(void *));
    for (uint32_t i = 0; i < count; i++) {
        id_lease(l->lease[first + i]);
        lease[i] = l->lease[first + i];
    }
    struct state_call *call = plan(l, STATE_TAKE);
    call->in.take.count = count;
    call->in.take.worker = worker;
    call->in.take.lease = lease;
}

static Vlmq__Attempt *attempt_of(struct loop *l, const struct held *held)
{
    Vlmq__Attempt *attempt = arena_new(&l->arena, sizeof *attempt);
    vlmq__attempt__init(attempt);
    attempt->job = l->job;
    attempt->lease = text_of(l, held->lease);
    attempt->index = held->index;
    return attempt;
}

/* What the probe kind reports of a task; added: of the planning task. */
static void plan_done(struct loop *l, const struct held *held, uint32_t added)
{
    static char counter_name[] = "probe.items";
    Vlmq__Done *done = arena_new(&l->arena, sizeof *done);
    Vlmq__Progress *progress = arena_new(&l->arena, sizeof *progress);
    Vlmq__Counter *counter = arena_new(&l->arena, sizeof *counter);
    vlmq__done__init(done);
    vlmq__progress__init(progress);
    vlmq__counter__init(counter);
    done->attempt = attempt_of(l, held);
    done->digest.data = arena_new(&l->arena, HASH_SHA256_BYTES);
    done->digest.len = HASH_SHA256_BYTES;
    hash_sha256(done->digest.data, held->name, strlen(held->name));
    done->offset = added;
    done->progress = progress;
    if (*held->name) {
        progress->items = progress->items_ok = 1;
        counter->name = counter_name;
        counter->value = 1;
        done->counters = arena_new(&l->arena, sizeof(void *));
        done->counters[0] = counter;
        done->n_counters = 1;
    }
    struct state_call *call = plan(l, STATE_DONE);
    call->attempt = done->attempt;
    call->in.done.done = done;
}

static void plan_add(struct loop *l, const struct held *planner, uint32_t from, uint32_t count)
{
    Vlmq__NewTask **list = arena_new(&l->arena, count * sizeof(void *));
    for (uint32_t i = 0; i < count; i++) {
        list[i] = arena_new(&l->arena, sizeof **list);
        vlmq__new_task__init(list[i]);
        list[i]->name = arena_printf(&l->arena, "%05" PRIu32, from + i);
        list[i]->items = 1;
    }
    struct state_call *call = plan(l, STATE_ADD);
    call->attempt = attempt_of(l, planner);
    call->in.add.offset = from;
    call->in.add.tasks = list;
    call->in.add.count = count;
}

static int submit(struct loop *l, struct err *err)
{
    static char kind[] = "probe", owner[] = "bench";
    Vlmq__Job job = VLMQ__JOB__INIT;
    id_job(l->job);
    job.id = l->job;
    job.kind = kind;
    job.owner = owner;
    (void)plan(l, STATE_INDEX);
    plan(l, STATE_SUBMIT)->in.submit.job = &job;
    return commit(l, err);
}

/* Keeps what the TAKE calls of the last commit gave. */
static int keep(struct loop *l, struct err *err)
{
    for (uint32_t c = 0; c < l->calls_count; c++) {
        const struct state_call *call = &l->call[c];
        if (call->job)
            l->ended = call->job->state == VLMQ__JOB_STATE__JOB_DONE ||
                       call->job->state == VLMQ__JOB_STATE__JOB_FAILED;
        if (call->op != STATE_TAKE) continue;
        for (uint32_t i = 0; i < call->out.take.count; i++) {
            const struct state_grant *grant = &call->out.take.grant[i];
            CHECK(l->held_count < BATCH_MAX);
            struct held *held = &l->held[l->held_count++];
            held->index = grant->index;
            (void)snprintf(held->lease, sizeof held->lease, "%s", grant->lease);
            (void)snprintf(held->name, sizeof held->name, "%s", grant->name);
        }
    }
    if (!l->held_count && !l->ended)
        return err_set(err, ERR_INTERNAL, "nothing to take, but the job has not ended");
    return 0;
}

static void begin(struct loop *l)
{
    arena_reset(&l->arena);
    l->calls_count = 0;
}

static int run_plan(struct loop *l, struct err *err)
{
    const uint32_t tasks = (uint32_t)l->options->tasks;
    begin(l);
    plan_take(l, 0, 1);
    int rc = commit(l, err);
    if (!rc) rc = keep(l, err);
    for (uint32_t from = 0; from < tasks && !rc; from += ADD_TASKS) {
        begin(l);
        plan_add(l, &l->held[0], from, tasks - from < ADD_TASKS ? tasks - from : ADD_TASKS);
        rc = commit(l, err);
    }
    if (rc) return rc;
    begin(l);
    plan_done(l, &l->held[0], tasks);
    l->held_count = 0;
    if (l->options->plan_only) (void)plan(l, STATE_TOUCH);
    return commit(l, err);
}

/* One commit: the end of what is held, and the next tasks. */
static int turn(struct loop *l, struct err *err)
{
    begin(l);
    for (uint32_t i = 0; i < l->held_count; i++) plan_done(l, &l->held[i], 0);
    l->tasks_done += l->held_count;
    l->held_count = 0;
    const uint32_t batch = (uint32_t)l->options->batch;
    for (uint32_t first = 0; first < batch; first += (uint32_t)l->options->take) {
        const uint32_t left = batch - first;
        plan_take(l, first, left < (uint32_t)l->options->take ? left : (uint32_t)l->options->take);
    }
    const int rc = commit(l, err);
    return rc ? rc : keep(l, err);
}

/* Every task must be done and its counter counted. */
static int verify(struct loop *l, struct err *err)
{
    begin(l);
    struct state_call *call = plan(l, STATE_GET);
    const int rc = commit(l, err);
    if (rc) return rc;
    const Vlmq__Job *job = call->job;
    const uint32_t tasks = (uint32_t)l->options->tasks;
    /* The planning and the closing task are tasks too. */
    if (job->state != VLMQ__JOB_STATE__JOB_DONE || job->tasks_done != tasks + 2 ||
        job->progress->items_ok != (int64_t)tasks || job->n_counters != 1 ||
        job->counters[0]->value != (int64_t)tasks)
        return err_set(err, ERR_INTERNAL, "state %d, %u of %u tasks done, %" PRId64 " items",
                       (int)job->state, job->tasks_done, tasks + 2, job->progress->items_ok);
    return 0;
}

static int64_t cpu_us(void)
{
    struct rusage usage;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
    return (int64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
           usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

static bool is_over(const struct loop *l)
{
    const int64_t stop_after = l->options->stop_after;
    return l->ended || (stop_after && (int64_t)l->tasks_done >= stop_after);
}

/* One job. */
static int live(struct loop *l, struct err *err)
{
    int rc = 0;
    const int64_t from_us = clock_mono_us();
    l->ended = false;
    l->start_us = 0;
    begin(l);
    if (l->options->job)
        (void)snprintf(l->job, sizeof l->job, "%s", l->options->job);
    else
        rc = submit(l, err);
    if (!rc && !l->options->job) rc = run_plan(l, err);
    l->plan_us += clock_mono_us() - from_us;
    if (rc || l->options->plan_only) return rc;
    while (!rc && !is_over(l)) {
        rc = turn(l, err);
        if (!l->start_us) l->start_us = clock_mono_us() - from_us;
    }
    return rc || !l->ended ? rc : verify(l, err);
}

static int run(struct loop *l, struct err *err)
{
    const struct options *o = l->options;
    const struct state_options state = {
        .address = o->redis, .timeout_ms = REDIS_TIMEOUT_MS, .allow_volatile = true};
    int rc = state_open(&l->state, &state, err);
    if (rc) return rc;
    const int64_t cpu_from_us = cpu_us(), from_us = clock_mono_us();
    (void)printf("{\"start_us\": [");
    for (int64_t i = 0; i < o->jobs && !rc; i++) {
        rc = live(l, err);
        (void)printf("%s%" PRId64, i ? ", " : "", l->start_us);
        if (!o->plan_only && i + 1 < o->jobs)
            clock_sleep_ms((int64_t)rng_below(&l->rng, PAUSE_MS_MAX + 1));
    }
    (void)printf("], \"job\": \"%s\", \"tasks_done\": %" PRIu64 ", \"wall_us\": %" PRId64
                 ", \"plan_us\": %" PRId64 ", \"cpu_us\": %" PRId64 ", \"commits\": %" PRIu64 "}\n",
                 l->job, l->tasks_done, clock_mono_us() - from_us, l->plan_us,
                 cpu_us() - cpu_from_us, l->commits);
    return rc;
}

static int parse(struct options *o, int argc, char **argv, struct err *err)
{
    const struct conf_option table[] = {
        {"redis", 0, CONF_TEXT, &o->redis, 0, 0, "ADDRESS", "unix:PATH."},
        {"tasks", 0, CONF_INT, &o->tasks, 1, TASKS_PER_JOB_MAX - 2, "N", "Tasks of a job."},
        {"jobs", 0, CONF_INT, &o->jobs, 1, TASKS_PER_JOB_MAX, "N", "How often."},
        {"batch", 0, CONF_INT, &o->batch, 1, BATCH_MAX, "N", "Tasks in one commit."},
        {"take", 0, CONF_INT, &o->take, 1, BATCH_MAX, "N", "Tasks in one TAKE."},
        {"job", 0, CONF_TEXT, &o->job, 0, 0, "ID", "A job that is planned already."},
        {"stop-after", 0, CONF_INT, &o->stop_after, 0, TASKS_PER_JOB_MAX, "N", "0: at the end."},
        {"plan-only", 0, CONF_FLAG, &o->plan_only, 0, 0, NULL, "Take nothing."},
        {0},
    };
    struct conf conf = {.program = "bench_bare_loop", .options = table};
    const int rc = conf_parse(&conf, argc, argv, err);
    if (!rc && !o->redis) return err_set(err, ERR_INVALID, "--redis is missing");
    return rc;
}

int main(int argc, char **argv)
{
    static struct loop loop;
    static struct options options = {.tasks = 10000, .jobs = 1, .batch = 64, .take = 64};
    struct err err = {0};
    stop_install(NULL);
    arena_init(&loop.arena, 0);
    uint64_t seed;
    rng_secure(&seed, sizeof seed);
    rng_seed(&loop.rng, seed);
    loop.options = &options;
    int rc = parse(&options, argc, argv, &err);
    if (!rc) rc = run(&loop, &err);
    if (rc) (void)fprintf(stderr, "bench_bare_loop: %s\n", err.msg);
    state_close(loop.state);
    arena_deinit(&loop.arena);
    return rc ? 1 : 0;
}
