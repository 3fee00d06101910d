/* workers.c - many real workers in one process, for the benchmarks: a fleet of 64 or 1,000 workers
 * that fits on one machine.
 *
 * Each worker is the one of worker/worker.h with its own link, leases and task threads, run by a
 * thread of its own. The line "ready N" goes to --ready-fd when every worker is known to a broker.
 * Signals belong to the main thread, which wakes all workers: they see the count of signals and
 * leave in order. */
#include "common/base/chan.h"
#include "common/base/check.h"
#include "common/base/conf.h"
#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/stop.h"
#include "common/base/thread.h"
#include "worker/inside.h"
#include "worker/worker.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench/support/starts.h"

#define DRAIN_MS    1000
#define WORKERS_MAX 1000
#define LINE_BYTES  256

struct options {
    const char *brokers, *log_level;
    int64_t workers, slots, interactive_slots, ready_fd, starts_fd;
};

struct host {
    struct worker *worker;
    struct thread thread;
    int ready[2]; /* where the worker says that it is known */
};

static void run(void *arg)
{
    struct host *host = arg;
    const enum worker_status status = worker_run(host->worker);
    if (stop_count()) return;
    (void)fprintf(stderr, "bench_workers: a worker ended with status %d\n", (int)status);
    _exit(1); /* its broker refused it */
}

static int start(struct host *host, struct worker_options *worker, struct err *err)
{
    if (pipe(host->ready)) return err_set(err, ERR_LIMIT, "no pipe is left");
    worker->ready_fd = host->ready[1];
    const int rc = worker_open(&host->worker, worker, err);
    return rc ? rc : thread_start(&host->thread, "worker", run, host, err);
}

static int wait_ready(const struct host *host, struct err *err)
{
    char line[LINE_BYTES];
    /* The worker writes one line at once and closes its end. */
    if (read(host->ready[0], line, sizeof line) <= 0)
        return err_set(err, ERR_UNAVAILABLE, "a worker was not welcomed");
    (void)close(host->ready[0]);
    return 0;
}

static int tell_ready(const struct options *o, struct err *err)
{
    char line[LINE_BYTES];
    if (o->ready_fd < 0) return 0;
    const int bytes = snprintf(line, sizeof line, "ready %d\n", (int)o->workers);
    const int rc = fs_write_all((int)o->ready_fd, line, (size_t)bytes, "--ready-fd", err);
    (void)close((int)o->ready_fd);
    return rc;
}

/* The handlers of the workers raise the wake-up of the last one that was opened: after this they
 * raise ours. */
static void wait_for_signal(struct wake *wake)
{
    stop_install(wake);
    while (!stop_count()) {
        struct pollfd poller = {.fd = wake->fd, .events = POLLIN};
        (void)poll(&poller, 1, -1);
    }
}

static void leave(struct host *hosts, int64_t count)
{
    for (int64_t i = 0; i < count; i++) wake_raise(&hosts[i].worker->wake);
    for (int64_t i = 0; i < count; i++) {
        thread_join(&hosts[i].thread);
        if (!worker_close(hosts[i].worker)) _exit(1); /* a task did not end in time */
    }
}

/* On failure the process ends with what is open. */
static int serve(const struct options *o, struct err *err)
{
    struct host *hosts = mem_new((size_t)o->workers * sizeof *hosts);
    struct worker_options *options = mem_new((size_t)o->workers * sizeof *options);
    struct wake wake;
    if (wake_open(&wake)) return err_set(err, ERR_LIMIT, "no event descriptor is left");
    for (int64_t i = 0; i < o->workers; i++) {
        options[i] = (struct worker_options){
            .brokers = o->brokers,
            .device = "cpu",
            .slots = (uint32_t)o->slots,
            .interactive_slots = (uint32_t)o->interactive_slots,
            .drain_ms = DRAIN_MS,
        };
        const int rc = start(&hosts[i], &options[i], err);
        if (rc) return rc;
    }
    for (int64_t i = 0; i < o->workers; i++) {
        const int rc = wait_ready(&hosts[i], err);
        if (rc) return rc;
    }
    const int rc = tell_ready(o, err);
    if (rc) return rc;
    wait_for_signal(&wake);
    leave(hosts, o->workers);
    wake_close(&wake);
    mem_free(options);
    mem_free(hosts);
    return 0;
}

static int parse(struct options *o, int argc, char **argv, struct err *err)
{
    const struct conf_option table[] = {
        {"broker", 0, CONF_TEXT, &o->brokers, 0, 0, "LIST", "Addresses of brokers."},
        {"workers", 0, CONF_INT, &o->workers, 1, WORKERS_MAX, "N", "How many."},
        {"slots", 0, CONF_INT, &o->slots, 0, 112, "N", "Slots of each."},
        {"interactive-slots", 0, CONF_INT, &o->interactive_slots, 0, 16, "N", "For interactive."},
        {"log-level", 0, CONF_TEXT, &o->log_level, 0, 0, "LEVEL", "debug, info, warn or error."},
        {"ready-fd", 0, CONF_INT, &o->ready_fd, -1, INT32_MAX, "N", "Told when all are known."},
        {"starts-fd", 0, CONF_INT, &o->starts_fd, -1, INT32_MAX, "N", "Told of each start."},
        {0},
    };
    struct conf conf = {.program = "bench_workers", .options = table};
    const int rc = conf_parse(&conf, argc, argv, err);
    if (!rc && !o->brokers) return err_set(err, ERR_INVALID, "--broker is missing");
    return rc;
}

int main(int argc, char **argv)
{
    struct options options = {
        .workers = 1,
        .slots = 2,
        .interactive_slots = 1,
        .ready_fd = -1,
        .starts_fd = -1,
        .log_level = "info",
    };
    struct err err = {0};
    enum log_level level;
    int rc = parse(&options, argc, argv, &err);
    if (!rc && log_level_parse(&level, options.log_level))
        rc = err_set(&err, ERR_INVALID, "--log-level %s is none", options.log_level);
    if (!rc) {
        log_set_level(level);
        log_set_program("bench-workers");
        starts_tell((int)options.starts_fd);
        rc = serve(&options, &err);
    }
    if (rc) (void)fprintf(stderr, "bench_workers: %s\n", err.msg);
    if (rc) _exit(1); /* workers may run: nothing may be torn down under them */
    return 0;
}
