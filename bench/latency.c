/* latency.c - from the submission of an interactive job to the start of its task, many times.
 *
 * Each time: the clock is read, the job is submitted, and the worker (bench_workers --starts-fd)
 * tells the moment of the first instruction of the planning task and of the work task by the same
 * clock, as lines on standard input (bench/support/starts.h). Then the job's end is asked for until
 * it has come, and a random pause keeps the samples out of step with any timer. Prints one line of
 * JSON with all samples in microseconds; fails unless every job is done at its first attempt. */
#include "common/base/check.h"
#include "common/base/conf.h"
#include "common/base/id.h"
#include "common/base/rng.h"
#include "common/base/stop.h"
#include "proto/schema/jobs/probe.pb-c.h"
#include "proto/wire/call.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define RUNS_MAX   100000
#define REQUEST_MS 30000
#define WAIT_MS    60000 /* for one start; then something is broken */
#define LOOK_MS    1     /* between two looks whether the job has ended */
#define LINE_BYTES 4096

struct options {
    const char *broker;
    int64_t runs, pause_ms, batch;
};

/* One sample: spans since the submission. */
struct sample {
    int64_t answered_us, plan_us, start_us, done_us;
};

struct program {
    const struct options *options;
    struct link *link;
    struct arena arena;
    struct rng rng;
    char line[LINE_BYTES]; /* what was read and is not a whole line yet */
    size_t line_bytes;
    char job[JOB_ID_BYTES];
    int64_t submitted_us;
    struct sample *sample;
};

static int send_submit(struct program *p, struct err *err)
{
    static char kind[] = "probe", owner[] = "bench";
    uint8_t spec[64];
    Vlmq__Jobs__Probe probe = VLMQ__JOBS__PROBE__INIT;
    Vlmq__Job job = VLMQ__JOB__INIT;
    Vlmq__Submit submit = VLMQ__SUBMIT__INIT;
    probe.tasks = 1;
    CHECK(vlmq__jobs__probe__get_packed_size(&probe) <= sizeof spec);
    id_job(p->job);
    job.id = p->job;
    job.kind = kind;
    job.owner = owner;
    job.interactive = !p->options->batch;
    job.spec.len = vlmq__jobs__probe__pack(&probe, spec);
    job.spec.data = spec;
    submit.job = &job;
    p->submitted_us = clock_mono_us();
    return link_send(p->link, NULL, VLMQ__TYPE__SUBMIT, &submit.base, REQUEST_MS, 0, err);
}

/* Other jobs' starts are no concern of ours. */
static int take_line(struct program *p, const char *line, struct err *err)
{
    char job[JOB_ID_BYTES];
    int phase;
    uint32_t index, attempt;
    int64_t at_us;
    if (sscanf(line, "%40s %d %" SCNu32 " %" SCNu32 " %*d %" SCNd64, job, &phase, &index, &attempt,
               &at_us) != 5)
        return err_set(err, ERR_CORRUPT, "\"%.60s\" is no start", line);
    if (strcmp(job, p->job) != 0) return 0;
    if (attempt != 1) return err_set(err, ERR_INTERNAL, "attempt %u of an idle worker", attempt);
    *(phase ? &p->sample->plan_us : &p->sample->start_us) = at_us - p->submitted_us;
    return 0;
}

static int read_starts(struct program *p, struct err *err)
{
    const ssize_t got =
        read(STDIN_FILENO, p->line + p->line_bytes, sizeof p->line - 1 - p->line_bytes);
    if (got <= 0) return err_set(err, ERR_UNAVAILABLE, "nobody tells starts any more");
    p->line_bytes += (size_t)got;
    p->line[p->line_bytes] = 0;
    char *from = p->line;
    int rc = 0;
    for (char *end; !rc && (end = strchr(from, '\n')); from = end + 1) {
        *end = 0;
        rc = take_line(p, from, err);
    }
    p->line_bytes -= (size_t)(from - p->line);
    memmove(p->line, from, p->line_bytes);
    return rc;
}

/* Until the submission is answered and the work task has started. */
static int wait_start(struct program *p, struct err *err)
{
    static const int starts = STDIN_FILENO;
    const int64_t end_us = p->submitted_us + WAIT_MS * 1000;
    while (!p->sample->answered_us || !p->sample->start_us) {
        struct link_event event;
        const int64_t left_ms = (end_us - clock_mono_us()) / 1000;
        if (left_ms <= 0) return err_set(err, ERR_TIMEOUT, "job %s did not start", p->job);
        link_next(p->link, &event, &starts, 1, left_ms);
        if (event.kind == LINK_FAILED) {
            *err = event.err;
            return (int)err->code;
        }
        if (event.kind == LINK_ANSWER) p->sample->answered_us = clock_mono_us() - p->submitted_us;
        if (event.kind == LINK_NOTHING && event.fds) {
            const int rc = read_starts(p, err);
            if (rc) return rc;
        }
    }
    return 0;
}

static int wait_done(struct program *p, struct err *err)
{
    for (;;) {
        Vlmq__Get get = VLMQ__GET__INIT;
        ProtobufCMessage *message;
        get.job = p->job;
        arena_reset(&p->arena);
        const int rc =
            link_call(p->link, &message, VLMQ__TYPE__GET, &get.base, REQUEST_MS, &p->arena, err);
        if (rc) return rc;
        const Vlmq__Job *job = ((const Vlmq__GetAnswer *)message)->job;
        if (job->state == VLMQ__JOB_STATE__JOB_DONE) break;
        if (job->state == VLMQ__JOB_STATE__JOB_FAILED ||
            job->state == VLMQ__JOB_STATE__JOB_CANCELLED)
            return err_set(err, ERR_INTERNAL, "job %s: %.200s", p->job, job->reason);
        clock_sleep_ms(LOOK_MS);
    }
    p->sample->done_us = clock_mono_us() - p->submitted_us;
    return 0;
}

static int run(struct program *p, struct err *err)
{
    const struct link_options link = {.brokers = p->options->broker};
    int rc = link_open(&p->link, &link, err);
    for (int64_t i = 0; i < p->options->runs && !rc; i++) {
        struct sample sample = {0};
        p->sample = &sample;
        rc = send_submit(p, err);
        if (!rc) rc = wait_start(p, err);
        if (!rc) rc = wait_done(p, err);
        if (rc) break;
        (void)printf("%s[%" PRId64 ", %" PRId64 ", %" PRId64 ", %" PRId64 "]",
                     i ? ", " : "{\"samples\": [", sample.answered_us, sample.plan_us,
                     sample.start_us, sample.done_us);
        clock_sleep_ms((int64_t)rng_below(&p->rng, (uint64_t)(2 * p->options->pause_ms) + 1));
    }
    if (!rc) (void)puts("]}");
    return rc;
}

static int parse(struct options *o, int argc, char **argv, struct err *err)
{
    const struct conf_option table[] = {
        {"broker", 0, CONF_TEXT, &o->broker, 0, 0, "ADDRESS", "The broker."},
        {"runs", 0, CONF_INT, &o->runs, 1, RUNS_MAX, "N", "Samples."},
        {"pause", 0, CONF_INT, &o->pause_ms, 0, 10000, "MS", "Mean pause between them."},
        {"batch", 0, CONF_INT, &o->batch, 0, 1, "N", "1: no interactive jobs."},
        {0},
    };
    struct conf conf = {.program = "bench_latency", .options = table};
    const int rc = conf_parse(&conf, argc, argv, err);
    if (!rc && !o->broker) return err_set(err, ERR_INVALID, "--broker is missing");
    return rc;
}

int main(int argc, char **argv)
{
    static struct program program;
    static struct options options = {.runs = 500, .pause_ms = 10};
    struct err err = {0};
    uint64_t seed;
    stop_install(NULL);
    program.options = &options;
    arena_init(&program.arena, 0);
    rng_secure(&seed, sizeof seed);
    rng_seed(&program.rng, seed);
    int rc = parse(&options, argc, argv, &err);
    if (!rc) rc = run(&program, &err);
    if (rc) (void)fprintf(stderr, "bench_latency: %s\n", err.msg);
    link_close(program.link);
    arena_deinit(&program.arena);
    return rc ? 1 : 0;
}
