/* results.c - vlmq results: the shards that a job has committed.
 *
 * The manifests in the output are what counts (common/store/attempt.h), so they are read, not the
 * queue: the list is right also when the fleet has forgotten the job, by --output. Only the
 * manifests of the page are opened. */
#include "client/output/place.h"
#include "client/print.h"
#include "client/verbs.h"
#include "common/base/str.h"
#include "common/base/sum.h"
#include "common/store/attempt.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define ROWS_DEFAULT    50
#define MANIFEST_FOLDER "_vlmq/manifest"
#define SUFFIX          ".json"

struct results {
    struct command *cmd;
    const char *after, *output;
    int64_t rows_max, rows;
    bool all, more;
    struct table table;
    struct store *store;
    struct attempt_manifest manifest;
    char last[TASK_NAME_BYTES];
};

static void json(const struct attempt_manifest *manifest)
{
    struct buf out;
    char hex[65];
    buf_init(&out, 0);
    str_hex(hex, manifest->digest, sizeof manifest->digest);
    buf_text(&out, "{\"task\":");
    str_json(&out, manifest->task, strlen(manifest->task));
    buf_printf(&out,
               ",\"items\":%" PRId64 ",\"items_ok\":%" PRId64 ",\"bytes\":%" PRId64
               ",\"digest\":\"%s\",\"files\":[",
               manifest->items, manifest->items_ok, manifest->bytes, hex);
    for (uint32_t i = 0; i < manifest->files_count; i++) {
        buf_text(&out, i ? ",{\"name\":" : "{\"name\":");
        str_json(&out, manifest->file[i].name, strlen(manifest->file[i].name));
        buf_printf(&out, ",\"bytes\":%" PRId64 ",\"sha256\":\"%s\"}", manifest->file[i].bytes,
                   manifest->file[i].sha256);
    }
    buf_text(&out, "],\"counters\":{");
    for (uint32_t i = 0; i < manifest->counters_count; i++) {
        if (i) buf_byte(&out, ',');
        str_json(&out, manifest->counter[i].name, strlen(manifest->counter[i].name));
        buf_printf(&out, ":%" PRId64, manifest->counter[i].value);
    }
    buf_text(&out, "}}\n");
    print_out(stdout, &out);
    buf_deinit(&out);
}

static void row(struct table *table, const struct attempt_manifest *manifest)
{
    char items[32], ok[32], share[32], bytes[32];
    struct buf files;
    int64_t sum = 0;
    buf_init(&files, 0);
    for (uint32_t i = 0; i < manifest->files_count; i++) {
        buf_printf(&files, "%s%s", i ? " " : "", manifest->file[i].name);
        sum = sum_of(sum, manifest->file[i].bytes);
    }
    table_cell(table, "%s", manifest->task);
    table_cell(table, "%s", print_grouped(items, sizeof items, manifest->items));
    table_cell(table, "%s", print_grouped(ok, sizeof ok, manifest->items_ok));
    table_cell(table, "%s", print_share(share, sizeof share, manifest->items_ok, manifest->items));
    table_cell(table, "%s", str_human_bytes(bytes, sizeof bytes, (double)sum));
    table_cell(table, "%s", buf_str(&files));
    buf_deinit(&files);
}

static int visit(void *ctx, const char *name, struct err *err)
{
    struct results *results = ctx;
    char task[TASK_NAME_BYTES];
    const size_t bytes = strlen(name);
    if (!str_has_suffix(name, SUFFIX) || bytes - strlen(SUFFIX) >= sizeof task) return 0;
    memcpy(task, name, bytes - strlen(SUFFIX));
    task[bytes - strlen(SUFFIX)] = 0;
    if (results->after && strcmp(task, results->after) <= 0) return 0;
    if (!results->all && results->rows == results->rows_max) {
        results->more = true;
        return 0;
    }
    const int rc = attempt_manifest_read(results->store, task, &results->manifest, err);
    if (rc) return rc;
    results->rows++;
    (void)str_copy(results->last, sizeof results->last, task);
    if (results->cmd->json)
        json(&results->manifest);
    else
        row(&results->table, &results->manifest);
    return 0;
}

static int list(struct command *cmd, struct results *results, struct err *err)
{
    Vlmq__Job *job = NULL;
    int rc = 0;
    if (results->output) {
        rc = store_open(&results->store, results->output, false, err);
    } else {
        if (!command_arg(cmd, 0)) return err_set(err, ERR_INVALID, "name a JOB, or --output DIR");
        rc = place_job(cmd, &job, err);
        if (!rc) rc = place_open(&results->store, job, err);
    }
    if (rc) return rc;
    rc = store_list(results->store, MANIFEST_FOLDER, visit, results, err);
    if (rc == ERR_NOT_FOUND) rc = 0; /* nothing is committed yet */
    if (rc || cmd->json) return rc;
    if (!results->rows) {
        print_line("nothing %sis committed in %s", results->after ? "more " : "",
                   store_url(results->store));
        return 0;
    }
    table_print(&results->table);
    print_line("in %s", store_url(results->store));
    if (results->more) print_line("more with --after %s, or --all", results->last);
    return 0;
}

int verb_results(struct command *cmd)
{
    static const struct table_column columns[] = {
        {"SHARD", false, false}, {"ITEMS", true, false}, {"OK", true, false},
        {"SHARE", true, false},  {"SIZE", true, false},  {"FILES", false, true},
    };
    static const struct command_help help = {
        .usage = "JOB | --output DIR [options]",
        .summary = "Lists the shards that a job has committed, with their files and counts; "
                   "with --json also hashes and counters.",
        .example = "vlmq results k3v9 --rows 10 --after 00041",
        .args_max = 1,
    };
    struct results *results = mem_new(sizeof *results);
    results->cmd = cmd;
    results->rows_max = ROWS_DEFAULT;
    const struct conf_option options[] = {
        {"rows", 0, CONF_INT, &results->rows_max, 1, PAGE_ROWS_MAX, "N", "How many at most."},
        {"after", 0, CONF_TEXT, &results->after, 0, 0, "SHARD", "Those behind this one."},
        {"all", 'a', CONF_FLAG, &results->all, 0, 0, NULL, "All of them, however many."},
        {"output", 0, CONF_TEXT, &results->output, 0, 0, "DIR", "Read this folder; no JOB."},
        {0},
    };
    struct err err;
    int status = 0;
    table_init(&results->table, columns, sizeof columns / sizeof columns[0]);
    if (command_begin(cmd, &help, options)) {
        const int rc = list(cmd, results, &err);
        status = command_end(cmd, rc, &err);
    } else {
        status = (int)cmd->status;
    }
    store_close(results->store);
    table_deinit(&results->table);
    mem_free(results);
    return status;
}
