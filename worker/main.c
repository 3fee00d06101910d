/* main.c - vlmq-worker: the command line. */
#include "common/base/buf.h"
#include "common/base/conf.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "worker/limits.h"
#include "worker/worker.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* A part of the machine's memory for what is loaded and idle: the rest is for the tasks that run,
 * what they have out of it, and the file cache that weights and shards are read through. */
#define MODEL_MEMORY_PART 2

/* Two: while one shard ends with its slowest downloads and its commit, the next one is at work. A
 * kind uses several processors in one task, so more slots would only share them. */
#define SLOTS_DEFAULT 2

/* Blocks up to this size are used again instead of being given back and asked for anew: a picture
 * of a few megabytes costs hundreds of page faults each time. */
#define BLOCK_KEPT_BYTES (16 * 1024 * 1024)

struct arguments {
    const char *brokers, *key_file, *device, *name, *config, *log_level, *log_format;
    struct conf_list kinds, labels;
    int64_t slots, interactive_slots, drain_ms, model_bytes, ready_fd;
    bool version;
};

static const char summary[] =
    "Takes tasks from a broker, runs them on one device, and reports. The first SIGTERM or SIGINT "
    "drains: no new tasks, running ones may finish for half of --drain-s and are then asked to "
    "yield. The second one hands back what it can and ends at once.\n\n"
    "Exit status: 0 drained, 1 refused by the broker or unable to start, 2 wrong command line, "
    "5 the device works no more in this process (start it again), 6 ended by a second signal.";

static void fill_options(struct conf_option *option, struct arguments *a)
{
    const struct conf_option table[] = {
        {"broker", 'b', CONF_TEXT, &a->brokers, 0, 0, "LIST",
         "Addresses of brokers; one is used at a time, the next when it is silent."},
        {"key-file", 0, CONF_TEXT, &a->key_file, 0, 0, "FILE",
         "This worker's keys and the brokers' public key; without it nothing is encrypted."},
        {"device", 'd', CONF_TEXT, &a->device, 0, 0, "DEVICE",
         "What the tasks run on: cpu, or cuda:0."},
        {"slots", 's', CONF_INT, &a->slots, 0, SLOTS_MAX, "N", "Tasks at a time."},
        {"interactive-slots", 0, CONF_INT, &a->interactive_slots, 0, SLOTS_INTERACTIVE_MAX, "N",
         "Further tasks at a time that only interactive jobs use."},
        {"kinds", 'k', CONF_LIST, &a->kinds, 0, 0, "LIST", "Kinds of jobs to run; all by default."},
        {"label", 'l', CONF_LIST, &a->labels, 0, 0, "TEXT",
         "A label that jobs may ask for; may be repeated."},
        {"drain-s", 0, CONF_MS, &a->drain_ms, 0, 0, "DURATION",
         "How long running tasks may go on after the first signal."},
        {"model-memory", 0, CONF_BYTES, &a->model_bytes, 0, 0, "BYTES",
         "For models that stay loaded between tasks; 0: none does."},
        {"name", 0, CONF_TEXT, &a->name, 0, 0, "TEXT", "Shown instead of the machine's name."},
        {"log-level", 0, CONF_TEXT, &a->log_level, 0, 0, "LEVEL", "debug, info, warn or error."},
        {"log-format", 0, CONF_TEXT, &a->log_format, 0, 0, "FORMAT", "logfmt or json."},
        {"config", 'c', CONF_TEXT, &a->config, 0, 0, "FILE", "A file of `name = value` lines."},
        {"ready-fd", 0, CONF_INT, &a->ready_fd, -1, INT32_MAX, "N",
         "Write the line \"ready ID\" there when a broker has answered."},
        {"version", 0, CONF_FLAG, &a->version, 0, 0, NULL, "Print the version."},
        {0},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) option[i] = table[i];
}

#define OPTIONS_COUNT 16

static int set_log(const struct arguments *a, struct err *err)
{
    enum log_level level;
    if (log_level_parse(&level, a->log_level))
        return err_set(err, ERR_INVALID, "--log-level %s: use debug, info, warn or error",
                       a->log_level);
    if (!str_eq(a->log_format, "json") && !str_eq(a->log_format, "logfmt"))
        return err_set(err, ERR_INVALID, "--log-format %s: use logfmt or json", a->log_format);
    log_set_level(level);
    log_set_json(str_eq(a->log_format, "json"));
    log_set_program("vlmq-worker");
    return 0;
}

static int parse(struct conf *conf, int argc, char *const *argv, struct arguments *a,
                 struct err *err)
{
    const char *config = conf_peek(argc, argv, "config");
    int rc = conf_load(conf, config, config != NULL, err);
    if (!rc) rc = conf_parse(conf, argc, argv, err);
    if (rc || conf->help_asked || a->version) return rc;
    if (conf->args_count)
        return err_set(err, ERR_INVALID, "\"%.60s\": vlmq-worker takes options only", conf->arg[0]);
    return set_log(a, err);
}

/* *must_exit_now: task threads are left, so nothing may be torn down under them. */
static int work(const struct arguments *a, bool *must_exit_now, struct err *err)
{
    struct worker *worker;
    const struct worker_options options = {
        .brokers = a->brokers,
        .key_file = a->key_file,
        .device = a->device,
        .name = a->name,
        .slots = (uint32_t)a->slots,
        .interactive_slots = (uint32_t)a->interactive_slots,
        .kinds = a->kinds,
        .labels = a->labels,
        .drain_ms = a->drain_ms,
        .model_bytes = a->model_bytes,
        .ready_fd = (int)a->ready_fd,
    };
    const int rc = worker_open(&worker, &options, err);
    if (rc) {
        (void)fprintf(stderr, "vlmq-worker: %s\n", err->msg);
        return rc == ERR_INVALID ? WORKER_USAGE : WORKER_FAILED;
    }
    const enum worker_status status = worker_run(worker);
    *must_exit_now = !worker_close(worker);
    return (int)status;
}

/* Sockets of many transfers; none of ours is given to select(). */
static void raise_files_limit(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files)) return;
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files); /* less will do */
}

static int64_t model_memory(void)
{
    const int64_t page = sysconf(_SC_PAGESIZE), pages = sysconf(_SC_PHYS_PAGES);
    return page > 0 && pages > 0 ? pages / MODEL_MEMORY_PART * page : 0;
}

static void print_help(const struct conf *conf)
{
    struct buf text;
    buf_init(&text, 0);
    conf_help(conf, &text);
    (void)fputs(buf_str(&text), stdout);
    buf_deinit(&text);
}

int main(int argc, char **argv)
{
    struct arguments a = {
        .brokers = "tcp://127.0.0.1:5710",
        .device = "cpu",
        .log_level = "info",
        .log_format = "logfmt",
        .slots = SLOTS_DEFAULT,
        .interactive_slots = 1,
        .drain_ms = 60000,
        .model_bytes = model_memory(),
        .ready_fd = -1,
    };
    struct conf_option options[OPTIONS_COUNT];
    struct conf conf = {
        .program = "vlmq-worker",
        .usage = "[options]",
        .summary = summary,
        .example = "vlmq-worker --broker tcp://broker-1:5710,tcp://broker-2:5710 --slots 2",
        .options = options,
    };
    struct err err;
    bool must_exit_now = false;
    (void)mallopt(M_MMAP_THRESHOLD, BLOCK_KEPT_BYTES);
    (void)mallopt(M_TRIM_THRESHOLD, BLOCK_KEPT_BYTES);
    fill_options(options, &a);
    int status = WORKER_DRAINED;
    if (parse(&conf, argc, argv, &a, &err)) {
        (void)fprintf(stderr, "vlmq-worker: %s\n", err.msg);
        status = WORKER_USAGE;
    } else if (conf.help_asked) {
        print_help(&conf);
    } else if (a.version) {
        (void)printf("vlmq-worker %s\n", VLMQ_VERSION);
    } else {
        raise_files_limit();
        status = work(&a, &must_exit_now, &err);
    }
    if (must_exit_now) _exit(status);
    conf_deinit(&conf);
    return status;
}
