/* errors.c - vlmq errors: classes of failed items, dead tasks, and failed rows. */
#include "client/output/classes.h"
#include "client/output/place.h"
#include "client/output/rows.h"
#include "client/print.h"
#include "client/verbs.h"
#include "common/base/str.h"
#include "proto/wire/spec.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define DEAD_SHOWN  50
#define HTTP_PREFIX "http."

static void print_classes(const struct class_list *classes)
{
    static const struct table_column columns[] = {{"CLASS", false, true},
                                                  {"ITEMS", true, false},
                                                  {"OF FAILED", true, false},
                                                  {"OF ALL", true, false}};
    struct table table;
    char value[32], all[32];
    if (!classes->all) return;
    if (!classes->count) {
        print_line("no failed items among %s", print_grouped(all, sizeof all, classes->all));
        return;
    }
    table_init(&table, columns, 4);
    for (uint32_t i = 0; i < classes->count; i++) {
        const struct class_count *item = &classes->item[i];
        table_cell(&table, "%s", item->name);
        table_cell(&table, "%s", print_grouped(value, sizeof value, item->value));
        table_cell(&table, "%s", print_share(value, sizeof value, item->value, classes->failed));
        table_cell(&table, "%s", print_share(value, sizeof value, item->value, classes->all));
    }
    table_print(&table);
    table_deinit(&table);
    print_line("%s failed of %s", print_grouped(value, sizeof value, classes->failed),
               print_grouped(all, sizeof all, classes->all));
}

/* What servers answered, where the kind counts that: "http.404". */
static void print_answers(const Vlmq__Job *job)
{
    struct buf line;
    char value[32];
    buf_init(&line, 0);
    for (size_t i = 0; i < job->n_counters; i++) {
        const Vlmq__Counter *counter = job->counters[i];
        if (!str_has_prefix(counter->name, HTTP_PREFIX) || counter->value <= 0) continue;
        buf_printf(&line, "%s%s: %s", line.len ? ", " : "", counter->name + sizeof HTTP_PREFIX - 1,
                   print_grouped(value, sizeof value, counter->value));
    }
    if (line.len) print_line("HTTP status %s", buf_str(&line));
    buf_deinit(&line);
}

static void print_dead(const Vlmq__Job *job, const Vlmq__TasksAnswer *dead)
{
    static const struct table_column columns[] = {{"TASK", true, false},   {"NAME", false, false},
                                                  {"FAILED", true, false}, {"LOST", true, false},
                                                  {"CODE", false, false},  {"REASON", false, true}};
    struct table table;
    if (!dead->n_tasks) return;
    print_line("%" PRIu32 " dead %s:", job->tasks_dead, job->tasks_dead == 1 ? "task" : "tasks");
    table_init(&table, columns, 6);
    for (size_t i = 0; i < dead->n_tasks; i++) {
        const Vlmq__Task *task = dead->tasks[i];
        table_cell(&table, "%" PRIu32, task->index);
        table_cell(&table, "%s", task->name);
        table_cell(&table, "%" PRIu32, task->failures);
        table_cell(&table, "%" PRIu32, task->losses);
        table_cell(&table, "%s", err_name((enum err_code)task->code));
        table_cell(&table, "%s", task->reason);
    }
    table_print(&table);
    table_deinit(&table);
    if (dead->page[0]) print_line("and more; vlmq show %s --tasks lists all tasks", job->id);
    print_line("vlmq show %s/TASK shows a task's log; vlmq retry %s tries them again", job->id,
               job->id);
}

static void print_json(const Vlmq__Job *job, const struct class_list *classes,
                       const Vlmq__TasksAnswer *dead)
{
    struct buf out;
    buf_init(&out, 0);
    buf_printf(&out, "{\"job\":\"%s\",\"failed\":%" PRId64 ",\"all\":%" PRId64 ",\"classes\":{",
               job->id, classes->failed, classes->all);
    for (uint32_t i = 0; i < classes->count; i++) {
        if (i) buf_byte(&out, ',');
        str_json(&out, classes->item[i].name, strlen(classes->item[i].name));
        buf_printf(&out, ":%" PRId64, classes->item[i].value);
    }
    buf_printf(&out, "},\"tasks_dead\":%" PRIu32 ",\"dead\":[", job->tasks_dead);
    for (size_t i = 0; i < dead->n_tasks; i++) {
        if (i) buf_byte(&out, ',');
        spec_message_json(&out, &dead->tasks[i]->base);
    }
    buf_text(&out, "]}\n");
    print_out(stdout, &out);
    buf_deinit(&out);
}

static int print_rows(const struct command *cmd, const Vlmq__Job *job, struct rows_query *query,
                      struct err *err)
{
    struct store *store = NULL;
    int rc = place_open(&store, job, err);
    if (rc) return rc;
    query->json = cmd->json;
    rc = rows_print(store, query, err);
    if (!rc && !query->count && !cmd->json)
        print_line("no failed rows%s%s", query->class ? " of class " : "",
                   query->class ? query->class : "");
    if (!rc && query->more)
        (void)fprintf(stderr, "the first %" PRId64 " rows; --rows N shows more\n", query->limit);
    store_close(store);
    return rc;
}

static int errors(struct command *cmd, struct rows_query *query, struct err *err)
{
    Vlmq__Job *job = NULL;
    Vlmq__TasksAnswer *dead = NULL;
    Vlmq__Tasks request;
    vlmq__tasks__init(&request);
    struct class_list *classes = arena_new(&cmd->arena, sizeof *classes);
    int rc = place_job(cmd, &job, err);
    if (rc) return rc;
    if (query->limit || query->class) {
        if (!query->limit) query->limit = DEAD_SHOWN;
        return print_rows(cmd, job, query, err);
    }
    request.job = job->id;
    request.state = VLMQ__TASK_STATE__TASK_DEAD;
    request.rows = DEAD_SHOWN;
    rc = vlmq_tasks(cmd->vlmq, &dead, &request, &cmd->arena, err);
    if (rc) return rc;
    classes_of(classes, job);
    if (cmd->json) {
        print_json(job, classes, dead);
        return 0;
    }
    if (job->reason[0]) print_line("%s: %s", vlmq_job_state(job), job->reason);
    print_classes(classes);
    print_answers(job);
    print_dead(job, dead);
    if (!classes->all && !job->tasks_dead) print_line("nothing has failed");
    if (classes->failed && job->output[0])
        print_line("vlmq errors %s --rows 20 prints failed rows", job->id);
    return 0;
}

int verb_errors(struct command *cmd)
{
    static const struct command_help help = {
        .usage = "JOB [options]",
        .summary = "What went wrong: classes of failed items with their shares, and dead tasks "
                   "with their reasons. With --rows or --class, the failed rows themselves, from "
                   "the job's output.",
        .example = "vlmq errors k3v9 --class http_status --rows 100",
        .args_min = 1,
        .args_max = 1,
    };
    struct rows_query query = {.limit = 0};
    const struct conf_option options[] = {
        {"rows", 0, CONF_INT, &query.limit, 0, INT64_MAX, "N", "Print up to N failed rows."},
        {"class", 0, CONF_TEXT, &query.class, 0, 0, "CLASS", "Only rows of this class."},
        {0},
    };
    struct err err;
    if (!command_begin(cmd, &help, options)) return (int)cmd->status;
    const int rc = errors(cmd, &query, &err);
    return command_end(cmd, rc, &err);
}
