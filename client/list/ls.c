/* ls.c - vlmq ls. */
#include "client/print.h"
#include "client/verbs.h"
#include "client/watch/progress.h"
#include "common/base/str.h"

#include <inttypes.h>
#include <stdio.h>

#define ROWS_DEFAULT 50
#define NO_LIMIT     INT64_MAX

struct listing {
    struct command *cmd;
    struct table table;
    int64_t rows, rows_max;
    bool more; /* there are more rows than were asked for */
};

static void cells(struct table *table, const Vlmq__Job *job)
{
    char age[32], items[32];
    const double share = progress_share(job);
    table_cell(table, "%s", job->id);
    table_cell(table, "%s", job->kind);
    table_cell(table, "%s", vlmq_job_state(job));
    if (share < 0)
        table_cell(table, "-");
    else
        table_cell(table, "%d %%", (int)(share * 100));
    table_cell(table, "%" PRIu32 "/%" PRIu32, job->tasks_done, job->tasks_total);
    table_cell(table, "%s",
               job->tasks_dead ? print_grouped(items, sizeof items, job->tasks_dead) : "");
    table_cell(table, "%s",
               job->progress ? print_grouped(items, sizeof items, job->progress->items) : "0");
    table_cell(table, "%" PRId32, job->priority);
    table_cell(table, "%s", job->owner);
    table_cell(table, "%s", print_ago(age, sizeof age, job->submitted_at_ms, job->now_ms));
    table_cell(table, "%s", job->title[0] ? job->title : job->reason);
}

static int visit(void *ctx, const Vlmq__Job *job, struct err *err)
{
    struct listing *listing = ctx;
    if (listing->rows == listing->rows_max) {
        listing->more = true;
        return err_set(err, ERR_LIMIT, "enough"); /* ends the walk */
    }
    listing->rows++;
    if (listing->cmd->json)
        command_json(&job->base);
    else
        cells(&listing->table, job);
    return 0;
}

/* A page of a filtered listing may hold fewer rows than were asked for, or none, and still not be
 * the last; so pages are walked until there are enough. */
static int list(struct command *cmd, struct listing *listing, Vlmq__List *request, bool all,
                struct err *err)
{
    const bool filtered = request->active || request->owner[0] || request->kind[0];
    int rc = command_connect(cmd, err);
    if (rc) return rc;
    if (!all && !filtered) request->rows = (uint32_t)listing->rows_max;
    rc = vlmq_each_job(cmd->vlmq, request, visit, listing, err);
    return listing->more ? 0 : rc;
}

static void print(const struct command *cmd, const struct listing *listing)
{
    if (cmd->json) return;
    if (listing->rows)
        table_print(&listing->table);
    else
        print_line("no jobs; vlmq run --help tells how to make one");
    if (listing->more) (void)fprintf(stderr, "there are more jobs; --all lists all of them\n");
}

int verb_ls(struct command *cmd)
{
    static const struct table_column columns[] = {
        {"JOB", false, false},      {"KIND", false, false}, {"STATE", false, false},
        {"DONE", true, false},      {"TASKS", true, false}, {"DEAD", true, false},
        {"ITEMS", true, false},     {"PRIO", true, false},  {"OWNER", false, false},
        {"SUBMITTED", true, false}, {"TITLE", false, true},
    };
    static const struct command_help help = {
        .usage = "[options]",
        .summary = "Lists jobs, newest first.",
        .example = "vlmq ls --active --kind download",
    };
    struct listing listing = {.cmd = cmd, .rows_max = ROWS_DEFAULT};
    const char *owner = "", *kind = "";
    bool active = false, all = false;
    const struct conf_option options[] = {
        {"active", 0, CONF_FLAG, &active, 0, 0, NULL, "Only jobs that have not ended."},
        {"owner", 0, CONF_TEXT, &owner, 0, 0, "NAME", "Only this owner's."},
        {"kind", 0, CONF_TEXT, &kind, 0, 0, "KIND", "Only of this kind."},
        {"rows", 0, CONF_INT, &listing.rows_max, 1, PAGE_ROWS_MAX, "N", "How many at most."},
        {"all", 'a', CONF_FLAG, &all, 0, 0, NULL, "All of them, however many."},
        {0},
    };
    struct err err;
    if (!command_begin(cmd, &help, options)) return (int)cmd->status;
    Vlmq__List request;
    vlmq__list__init(&request);
    if (all) listing.rows_max = NO_LIMIT;
    request.owner = arena_printf(&cmd->arena, "%s", owner);
    request.kind = arena_printf(&cmd->arena, "%s", kind);
    request.active = active;
    table_init(&listing.table, columns, sizeof columns / sizeof columns[0]);
    const int rc = list(cmd, &listing, &request, all, &err);
    if (!rc) print(cmd, &listing);
    table_deinit(&listing.table);
    return command_end(cmd, rc, &err);
}
