/* jobs.c - submits many jobs of one no-op task each, with a number of submissions in flight: the
 * dearest way to use the queue, and that of queues which know single tasks only.
 *
 * Prints one line of JSON when all are accepted; whoever started it waits for their end. */
#include "common/base/check.h"
#include "common/base/conf.h"
#include "common/base/id.h"
#include "common/base/stop.h"
#include "proto/schema/jobs/probe.pb-c.h"
#include "proto/wire/call.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>

#define REQUEST_MS 60000

struct options {
    const char *broker;
    int64_t jobs, in_flight;
};

static int submit(struct link *link, struct err *err)
{
    static char kind[] = "probe", owner[] = "bench";
    char id[JOB_ID_BYTES];
    uint8_t spec[64];
    Vlmq__Jobs__Probe probe = VLMQ__JOBS__PROBE__INIT;
    Vlmq__Job job = VLMQ__JOB__INIT;
    Vlmq__Submit message = VLMQ__SUBMIT__INIT;
    probe.tasks = 1;
    CHECK(vlmq__jobs__probe__get_packed_size(&probe) <= sizeof spec);
    id_job(id);
    job.id = id;
    job.kind = kind;
    job.owner = owner;
    job.spec.len = vlmq__jobs__probe__pack(&probe, spec);
    job.spec.data = spec;
    message.job = &job;
    return link_send(link, NULL, VLMQ__TYPE__SUBMIT, &message.base, REQUEST_MS, 0, err);
}

static int run(const struct options *o, struct link *link, struct err *err)
{
    int64_t sent = 0, answered = 0;
    while (answered < o->jobs) {
        for (; sent < o->jobs && sent - answered < o->in_flight; sent++) {
            const int rc = submit(link, err);
            if (rc) return rc;
        }
        struct link_event event;
        link_next(link, &event, NULL, 0, REQUEST_MS);
        if (event.kind == LINK_ANSWER) answered++;
        if (event.kind == LINK_FAILED) {
            *err = event.err;
            return (int)err->code;
        }
    }
    return 0;
}

static int measure(const struct options *o, struct link **link, struct err *err)
{
    struct rusage usage;
    const struct link_options options = {.brokers = o->broker};
    int rc = link_open(link, &options, err);
    const int64_t from_us = clock_mono_us();
    if (!rc) rc = run(o, *link, err);
    const int64_t wall_us = clock_mono_us() - from_us;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
    if (rc) return rc;
    (void)printf("{\"jobs\": %" PRId64 ", \"wall_us\": %" PRId64 ", \"cpu_us\": %" PRId64 "}\n",
                 o->jobs, wall_us,
                 (int64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
                     usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    return 0;
}

int main(int argc, char **argv)
{
    struct options o = {.jobs = 1000, .in_flight = 64};
    const struct conf_option table[] = {
        {"broker", 0, CONF_TEXT, &o.broker, 0, 0, "ADDRESS", "The broker."},
        {"jobs", 0, CONF_INT, &o.jobs, 1, INT32_MAX, "N", "How many."},
        {"in-flight", 0, CONF_INT, &o.in_flight, 1, LINK_REQUESTS_MAX, "N", "At a time."},
        {0},
    };
    struct conf conf = {.program = "bench_jobs", .options = table};
    struct err err = {0};
    struct link *link = NULL;
    stop_install(NULL);
    int rc = conf_parse(&conf, argc, argv, &err);
    if (!rc && !o.broker) rc = err_set(&err, ERR_INVALID, "--broker is missing");
    if (!rc) rc = measure(&o, &link, &err);
    if (rc) (void)fprintf(stderr, "bench_jobs: %s\n", err.msg);
    link_close(link);
    return rc ? 1 : 0;
}
