/* workers.c - vlmq workers. */
#include "client/print.h"
#include "client/verbs.h"
#include "common/base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MEMORY_BYTES 56

/* Words with commas between. */
static const char *joined(struct arena *arena, char *const *word, size_t count)
{
    struct buf out;
    buf_init(&out, 0);
    for (size_t i = 0; i < count; i++) buf_printf(&out, "%s%s", i ? "," : "", word[i]);
    const char *text = arena_printf(arena, "%s", buf_str(&out));
    buf_deinit(&out);
    return text;
}

/* "12.5 GB of 139 GB", of the device: what is not free, and all. */
static const char *memory_of(char dst[MEMORY_BYTES], const Vlmq__WorkerInfo *worker)
{
    char used[24], all[24];
    if (worker->device_bytes <= 0) return "-";
    const int64_t taken = worker->device_bytes - worker->device_bytes_free;
    (void)snprintf(dst, MEMORY_BYTES, "%s of %s", str_human_bytes(used, sizeof used, (double)taken),
                   str_human_bytes(all, sizeof all, (double)worker->device_bytes));
    return dst;
}

static void print_workers(struct command *cmd, const Vlmq__WorkersAnswer *answer)
{
    static const struct table_column columns[] = {
        {"WORKER", false, true},   {"DEVICE", false, false}, {"MEMORY", true, false},
        {"USE", true, false},      {"ITEMS/S", true, false}, {"STATE", false, false},
        {"SLOTS", true, false},    {"DONE", true, false},    {"FAILED", true, false},
        {"KINDS", false, false},   {"LABELS", false, false}, {"MODELS", false, false},
        {"VERSION", false, false},
    };
    char memory[MEMORY_BYTES];
    struct table table;
    if (!answer->n_workers) {
        print_line("no workers; vlmq-worker --broker ADDRESS starts one");
        return;
    }
    table_init(&table, columns, sizeof columns / sizeof columns[0]);
    for (size_t i = 0; i < answer->n_workers; i++) {
        const Vlmq__WorkerInfo *worker = answer->workers[i];
        table_cell(&table, "%s", worker->id);
        table_cell(&table, "%s", worker->device);
        table_cell(&table, "%s", memory_of(memory, worker));
        table_cell(&table, "%" PRIu32 " %%", worker->device_busy_percent);
        table_cell(&table, "%" PRIu32, worker->device_items_per_s);
        table_cell(&table, "%s",
                   worker->draining ? "draining" : (worker->slots_busy ? "busy" : "idle"));
        table_cell(&table, "%" PRIu32 "/%" PRIu32, worker->slots_busy, worker->slots);
        table_cell(&table, "%" PRIu64, worker->tasks_done);
        table_cell(&table, "%" PRIu64, worker->tasks_failed);
        table_cell(&table, "%s", joined(&cmd->arena, worker->kinds, worker->n_kinds));
        table_cell(&table, "%s", joined(&cmd->arena, worker->labels, worker->n_labels));
        table_cell(&table, "%s", joined(&cmd->arena, worker->models, worker->n_models));
        table_cell(&table, "%s", worker->program);
    }
    table_print(&table);
    table_deinit(&table);
}

/* The one worker whose id begins with text. */
static int find(const char **id, const Vlmq__WorkersAnswer *answer, const char *text,
                struct err *err)
{
    uint32_t found = 0;
    for (size_t i = 0; i < answer->n_workers; i++) {
        if (!str_has_prefix(answer->workers[i]->id, text)) continue;
        *id = answer->workers[i]->id;
        found++;
    }
    if (found == 1) return 0;
    if (!found)
        return err_set(err, ERR_NOT_FOUND, "no worker's id begins with '%.80s'; see vlmq workers",
                       text);
    return err_set(err, ERR_INVALID, "'%.80s' is the beginning of %" PRIu32 " workers' ids", text,
                   found);
}

static int workers(struct command *cmd, const char *drain, struct err *err)
{
    Vlmq__WorkersAnswer *answer = NULL;
    const char *id = NULL;
    int rc = command_connect(cmd, err);
    if (!rc) rc = vlmq_workers(cmd->vlmq, &answer, &cmd->arena, err);
    if (rc) return rc;
    if (drain) {
        rc = find(&id, answer, drain, err);
        if (!rc) rc = vlmq_drain(cmd->vlmq, id, &cmd->arena, err);
        if (!rc && !cmd->json) print_line("%s takes no new tasks and leaves when it has none", id);
        return rc;
    }
    if (!cmd->json) {
        print_workers(cmd, answer);
        return 0;
    }
    for (size_t i = 0; i < answer->n_workers; i++) command_json(&answer->workers[i]->base);
    return 0;
}

int verb_workers(struct command *cmd)
{
    static const struct command_help help = {
        .usage = "[options]",
        .summary = "Lists the workers that the fleet has heard of lately, or drains one: it takes "
                   "no new tasks and leaves when it has none.",
        .example = "vlmq workers --drain node7/cuda:0",
    };
    const char *drain = NULL;
    const struct conf_option options[] = {
        {"drain", 0, CONF_TEXT, &drain, 0, 0, "WORKER", "Drain it; the id may be shortened."},
        {0},
    };
    struct err err;
    if (!command_begin(cmd, &help, options)) return (int)cmd->status;
    const int rc = workers(cmd, drain, &err);
    return command_end(cmd, rc, &err);
}
