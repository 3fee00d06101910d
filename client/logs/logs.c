/* logs.c - vlmq logs: a job's log, or that of a part of the local fleet. */
#include "client/logs/feed.h"
#include "client/logs/tail.h"
#include "client/print.h"
#include "client/up/fleet.h"
#include "client/verbs.h"
#include "common/base/clock.h"
#include "common/base/str.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define LINES_DEFAULT 100

/* The lines that the attempt wrote, if they are still the newest of the task. */
static int print_tail(struct command *cmd, const char *job, const Vlmq__Event *event,
                      struct err *err)
{
    Vlmq__TasksAnswer *answer = NULL;
    Vlmq__Tasks request;
    vlmq__tasks__init(&request);
    struct arena arena;
    arena_init(&arena, (size_t)4 * MESSAGE_BYTES_MAX);
    request.job = arena_printf(&arena, "%s", job);
    request.rows = 1;
    request.index = event->task;
    request.has_index = true;
    request.log_tails = true;
    const int rc = vlmq_tasks(cmd->vlmq, &answer, &request, &arena, err);
    if (!rc && answer->n_tasks && answer->tasks[0]->attempts == event->attempt) {
        const char *at = answer->tasks[0]->log_tail;
        while (*at) {
            const size_t bytes = strcspn(at, "\n");
            print_line("    %.*s", (int)(bytes < 4000 ? bytes : 4000), at);
            at += bytes + (at[bytes] == '\n');
        }
    }
    arena_deinit(&arena);
    /* The job may be purged meanwhile; its feed was still worth printing. */
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

static int visit(void *ctx, struct command *cmd, const char *job, const Vlmq__Event *event,
                 struct err *err)
{
    (void)ctx;
    char at[CLOCK_TEXT_BYTES];
    struct buf line;
    if (cmd->json) {
        command_json(&event->base);
        return 0;
    }
    const bool bad = str_eq(event->name, "task.failed") || str_eq(event->name, "task.dead") ||
                     str_eq(event->name, "task.lost") || str_eq(event->name, "job.failed");
    buf_init(&line, 0);
    buf_printf(&line, "%s %s %s job=%s", clock_text(at, event->at_ms), bad ? "warn" : "info",
               event->name, job);
    if (str_has_prefix(event->name, "task."))
        buf_printf(&line, " task=%" PRIu32 " attempt=%" PRIu32, event->task, event->attempt);
    if (event->worker[0]) buf_printf(&line, " worker=%s", event->worker);
    if (event->text[0]) {
        buf_text(&line, " msg=");
        str_json(&line, event->text, strlen(event->text));
    }
    print_line("%s", buf_str(&line));
    buf_deinit(&line);
    return str_eq(event->name, "task.failed") ? print_tail(cmd, job, event, err) : 0;
}

/* The log file of a part: its name, or "worker" for the first worker there is. */
static int part_log(struct command *cmd, const char *name, const struct tail *tail, struct err *err)
{
    struct part part[FLEET_PARTS_MAX];
    char file[FLEET_NAME_BYTES + 8], path[PATH_MAX];
    int rc = fleet_open(&cmd->fleet, cmd->fleet_dir, false, err);
    if (rc == ERR_NOT_FOUND)
        return err_set(err, ERR_NOT_FOUND, "there is no local fleet in %s", cmd->fleet_dir);
    if (rc) return rc;
    const uint32_t count = fleet_parts(cmd->fleet, part);
    const char *found = str_eq(name, "worker") ? "worker-cpu" : name;
    for (uint32_t i = count; i-- > 0;)
        if (str_eq(name, "worker") && part[i].kind == PART_WORKER) found = part[i].name;
    (void)snprintf(file, sizeof file, "%s.log", found);
    rc = tail_print(tail, fleet_path(cmd->fleet, path, sizeof path, file), &cmd->status, err);
    if (rc == ERR_NOT_FOUND)
        return err_set(err, ERR_NOT_FOUND, "%s has no log in %s", name, cmd->fleet_dir);
    return rc;
}

static bool is_part(const char *name)
{
    return str_eq(name, "redis") || str_eq(name, "broker") || str_eq(name, "worker") ||
           (str_has_prefix(name, "worker-") && !strchr(name, '/') &&
            strlen(name) < FLEET_NAME_BYTES);
}

static int logs(struct command *cmd, const struct tail *tail, struct err *err)
{
    const struct feed feed = {.follow = tail->follow, .visit = visit};
    char id[JOB_ID_BYTES];
    if (is_part(command_arg(cmd, 0))) return part_log(cmd, command_arg(cmd, 0), tail, err);
    int rc = command_connect(cmd, err);
    if (!rc) rc = command_job(cmd, id, 0, err);
    return rc ? rc : feed_walk(cmd, &feed, id, err);
}

int verb_logs(struct command *cmd)
{
    static const struct command_help help = {
        .usage = "JOB|redis|broker|worker [options]",
        .summary = "Prints the log of a job: its events, and the last lines of attempts that "
                   "failed. Or the log file of a part of the local fleet.",
        .example = "vlmq logs worker --follow",
        .args_min = 1,
        .args_max = 1,
    };
    struct tail tail = {.lines = LINES_DEFAULT};
    const struct conf_option options[] = {
        {"follow", 'f', CONF_FLAG, &tail.follow, 0, 0, NULL, "Go on as it grows."},
        {"lines", 'n', CONF_INT, &tail.lines, 0, 1000000, "N", "Last lines of a log file."},
        {0},
    };
    struct err err;
    if (!command_begin(cmd, &help, options)) return (int)cmd->status;
    const int rc = logs(cmd, &tail, &err);
    return command_end(cmd, rc, &err);
}
