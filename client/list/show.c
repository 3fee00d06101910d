/* show.c - vlmq show: a job, or one task of it, in full. */
#include "client/print.h"
#include "client/verbs.h"
#include "client/watch/progress.h"
#include "common/base/clock.h"
#include "common/base/str.h"
#include "proto/wire/spec.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TASKS_SHOWN 20

static void moment(const char *name, int64_t at_ms, int64_t now_ms)
{
    char at[CLOCK_TEXT_BYTES], ago[32];
    if (at_ms)
        print_line("%-11s %s (%s)", name, clock_text(at, at_ms),
                   print_ago(ago, sizeof ago, at_ms, now_ms));
}

static void text_line(const char *name, const char *text)
{
    if (text && *text) print_line("%-11s %s", name, text);
}

static void counters(const Vlmq__Job *job)
{
    static const struct table_column columns[] = {{"COUNTER", false, true}, {"SUM", true, false}};
    struct table table;
    if (!job->n_counters) return;
    table_init(&table, columns, 2);
    for (size_t i = 0; i < job->n_counters; i++) {
        char value[32];
        table_cell(&table, "%s", job->counters[i]->name);
        table_cell(&table, "%s", print_grouped(value, sizeof value, job->counters[i]->value));
    }
    print_line("%s", "");
    table_print(&table);
    table_deinit(&table);
}

static void spec(const Vlmq__Job *job, struct arena *arena)
{
    ProtobufCMessage *message = NULL;
    struct buf out;
    struct err err;
    if (!job->spec.len ||
        spec_unpack(&message, job->kind, job->spec.data, job->spec.len, arena, &err))
        return;
    buf_init(&out, 0);
    buf_text(&out, "spec        ");
    spec_json(&out, message);
    buf_byte(&out, '\n');
    print_out(stdout, &out);
    buf_deinit(&out);
}

static void job_lines(const Vlmq__Job *job, struct arena *arena)
{
    const struct progress_style style = {.width = 0};
    struct buf line;
    buf_init(&line, 0);
    progress_line(&line, job, 0, &style);
    print_line("job         %s", job->id);
    print_line("kind        %s", job->kind);
    print_line("state       %s", buf_str(&line));
    buf_deinit(&line);
    text_line("reason", job->reason);
    text_line("title", job->title);
    print_line("owner       %s, priority %" PRId32 "%s, %" PRIu32 " attempts", job->owner,
               job->priority, job->interactive ? ", interactive" : "", job->attempts_max);
    text_line("after", job->after);
    text_line("from", job->from);
    text_line("output", job->output);
    moment("submitted", job->submitted_at_ms, job->now_ms);
    moment("started", job->started_at_ms, job->now_ms);
    moment("ended", job->ended_at_ms, job->now_ms);
    print_line("tasks       %" PRIu32 ": %" PRIu32 " ready, %" PRIu32 " leased, %" PRIu32
               " waiting, %" PRIu32 " done, %" PRIu32 " dead, %" PRIu32 " cancelled",
               job->tasks_total, job->tasks_ready, job->tasks_leased, job->tasks_waiting,
               job->tasks_done, job->tasks_dead, job->tasks_cancelled);
    spec(job, arena);
    counters(job);
}

static const char *phase(Vlmq__Phase phase)
{
    if (phase == VLMQ__PHASE__PHASE_PLAN) return "plan";
    return phase == VLMQ__PHASE__PHASE_CLOSE ? "close" : "work";
}

static void tasks_table(const Vlmq__TasksAnswer *answer, const char *job)
{
    static const struct table_column columns[] = {
        {"TASK", true, false},    {"NAME", false, false},        {"PHASE", false, false},
        {"STATE", false, false},  {"TRIES", true, false},        {"ITEMS", true, false},
        {"WORKER", false, false}, {"LAST FAILURE", false, true},
    };
    struct table table;
    if (!answer->n_tasks) return;
    table_init(&table, columns, sizeof columns / sizeof columns[0]);
    for (size_t i = 0; i < answer->n_tasks; i++) {
        const Vlmq__Task *task = answer->tasks[i];
        char items[32];
        table_cell(&table, "%" PRIu32, task->index);
        table_cell(&table, "%s", task->name);
        table_cell(&table, "%s", phase(task->phase));
        table_cell(&table, "%s", vlmq_task_state(task->state));
        table_cell(&table, "%" PRIu32, task->attempts);
        table_cell(&table, "%s",
                   print_grouped(items, sizeof items, task->progress ? task->progress->items : 0));
        table_cell(&table, "%s", task->worker);
        table_cell(&table, "%s", task->reason);
    }
    print_line("%s", "");
    table_print(&table);
    table_deinit(&table);
    if (answer->page[0]) print_line("more with: vlmq show %s --tasks", job);
}

static int show_job(struct command *cmd, const char *id, struct err *err)
{
    Vlmq__Job *job = NULL;
    Vlmq__TasksAnswer *tasks = NULL;
    Vlmq__Tasks request;
    vlmq__tasks__init(&request);
    request.job = arena_printf(&cmd->arena, "%s", id);
    request.rows = TASKS_SHOWN;
    int rc = vlmq_get(cmd->vlmq, &job, id, &cmd->arena, err);
    if (rc) return rc;
    if (cmd->json) {
        struct buf out;
        buf_init(&out, 0);
        command_job_json(&out, job, &cmd->arena);
        buf_byte(&out, '\n');
        print_out(stdout, &out);
        buf_deinit(&out);
        return 0;
    }
    rc = vlmq_tasks(cmd->vlmq, &tasks, &request, &cmd->arena, err);
    if (rc) return rc;
    job_lines(job, &cmd->arena);
    tasks_table(tasks, id);
    return 0;
}

static void task_lines(const Vlmq__Task *task)
{
    char hex[72] = "", items[32], ok[32];
    print_line("task        %" PRIu32 " %s", task->index, task->name);
    print_line("phase       %s", phase(task->phase));
    print_line("state       %s", vlmq_task_state(task->state));
    print_line("attempts    %" PRIu32 ", %" PRIu32 " failed, %" PRIu32 " lost", task->attempts,
               task->failures, task->losses);
    text_line("worker", task->worker);
    if (task->code)
        print_line("failure     %s: %s", err_name((enum err_code)task->code), task->reason);
    if (task->progress)
        print_line("items       %s, %s ok",
                   print_grouped(items, sizeof items, task->progress->items),
                   print_grouped(ok, sizeof ok, task->progress->items_ok));
    if (task->digest.len && task->digest.len <= 32) {
        str_hex(hex, task->digest.data, task->digest.len);
        text_line("digest", hex);
    }
    const char *at = task->log_tail;
    if (*at) print_line("log of the last failed attempt:");
    while (*at) {
        const size_t bytes = strcspn(at, "\n");
        print_line("  %.*s", (int)(bytes < 4000 ? bytes : 4000), at);
        at += bytes + (at[bytes] == '\n');
    }
}

static int show_task(struct command *cmd, const char *id, uint32_t index, struct err *err)
{
    Vlmq__TasksAnswer *answer = NULL;
    Vlmq__Tasks request;
    vlmq__tasks__init(&request);
    request.job = arena_printf(&cmd->arena, "%s", id);
    request.rows = 1;
    request.index = index;
    request.has_index = true;
    request.log_tails = true;
    const int rc = vlmq_tasks(cmd->vlmq, &answer, &request, &cmd->arena, err);
    if (rc) return rc;
    if (!answer->n_tasks)
        return err_set(err, ERR_NOT_FOUND, "job %s has no task %" PRIu32, id, index);
    if (cmd->json)
        command_json(&answer->tasks[0]->base);
    else
        task_lines(answer->tasks[0]);
    return 0;
}

static int each_task(void *ctx, const Vlmq__Task *task, struct err *err)
{
    const struct command *cmd = ctx;
    (void)err;
    if (cmd->json)
        command_json(&task->base);
    else
        print_line("%6" PRIu32 "  %-12s %-6s %-10s %2" PRIu32 " tries%s%s", task->index, task->name,
                   phase(task->phase), vlmq_task_state(task->state), task->attempts,
                   task->reason[0] ? "  " : "", task->reason);
    return 0;
}

static int show(struct command *cmd, bool tasks, struct err *err)
{
    char id[JOB_ID_BYTES], text[128];
    int64_t index = 0;
    (void)str_copy(text, sizeof text, command_arg(cmd, 0));
    char *slash = strchr(text, '/');
    if (slash) *slash = 0;
    int rc =
        slash ? str_to_int(&index, slash + 1, 0, TASKS_PER_JOB_MAX, "the task's number", err) : 0;
    if (!rc) rc = command_connect(cmd, err);
    if (!rc) rc = vlmq_resolve(cmd->vlmq, id, text, err);
    if (rc) return rc;
    if (slash) return show_task(cmd, id, (uint32_t)index, err);
    if (!tasks) return show_job(cmd, id, err);
    Vlmq__Tasks request;
    vlmq__tasks__init(&request);
    request.job = arena_printf(&cmd->arena, "%s", id);
    return vlmq_each_task(cmd->vlmq, &request, each_task, cmd, err);
}

int verb_show(struct command *cmd)
{
    static const struct command_help help = {
        .usage = "JOB[/TASK] [options]",
        .summary = "Shows a job with its options, counters and first tasks, or one task with the "
                   "log of its last failure. An id may be shortened as long as it is unique.",
        .example = "vlmq show k3v9/17",
        .args_min = 1,
        .args_max = 1,
    };
    bool tasks = false;
    const struct conf_option options[] = {
        {"tasks", 0, CONF_FLAG, &tasks, 0, 0, NULL, "All tasks, one in a line."},
        {0},
    };
    struct err err;
    if (!command_begin(cmd, &help, options)) return (int)cmd->status;
    const int rc = show(cmd, tasks, &err);
    return command_end(cmd, rc, &err);
}
