/* label_stats.c - vlmq label-stats: what the images of an encode job show.
 *
 * The stats files in the output are read, not the queue: it works while the job runs, and on a
 * folder that no fleet knows. */
#include "client/output/label_sums.h"
#include "client/output/place.h"
#include "client/verbs.h"
#include "common/base/str.h"

#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>

#define TOP_DEFAULT 10

struct label_stats {
    const char *category;
    int64_t top;
    bool all;
};

static bool is_folder(const char *path)
{
    struct stat info;
    return str_has_prefix(path, "file://") || (stat(path, &info) == 0 && S_ISDIR(info.st_mode));
}

static int open_output(struct command *cmd, struct store **store, struct err *err)
{
    Vlmq__Job *job = NULL;
    if (is_folder(command_arg(cmd, 0))) return store_open(store, command_arg(cmd, 0), false, err);
    const int rc = place_job(cmd, &job, err);
    return rc ? rc : place_open(store, job, err);
}

static int print(const struct label_sums *sums, const struct label_stats *query, struct err *err)
{
    struct table table;
    char images[32];
    const bool one = query->category != NULL;
    const uint32_t top = query->all ? 0 : (uint32_t)query->top;
    int rc = 0;
    if (one)
        table_init(&table, label_sums_label_columns, 3);
    else
        table_init(&table, label_sums_category_columns, 4);
    if (one)
        rc = label_sums_labels(sums, &table, query->category, top, err);
    else
        label_sums_categories(sums, &table, top);
    if (!rc) table_print(&table);
    if (!rc)
        print_line("%s labelled images in %u shards",
                   print_grouped(images, sizeof images, sums->images), sums->shards);
    table_deinit(&table);
    return rc;
}

static int stats(struct command *cmd, const struct label_stats *query, struct err *err)
{
    struct store *store = NULL;
    struct label_sums sums;
    label_sums_init(&sums);
    int rc = open_output(cmd, &store, err);
    if (!rc) rc = label_sums_read(&sums, store, err);
    if (!rc && cmd->json) {
        struct buf out;
        buf_init(&out, 0);
        label_sums_json(&sums, &out, query->category, query->all ? 0 : (uint32_t)query->top);
        print_out(stdout, &out);
        buf_deinit(&out);
    } else if (!rc && sums.images == 0) {
        rc = err_set(err, ERR_NOT_FOUND,
                     "no shard in %.120s has labels (yet); vlmq run encode --labels default makes "
                     "them",
                     store_url(store));
    } else if (!rc) {
        rc = print(&sums, query, err);
    }
    store_close(store);
    label_sums_deinit(&sums);
    return rc;
}

int verb_label_stats(struct command *cmd)
{
    static const struct command_help help = {
        .usage = "JOB | FOLDER [options]",
        .summary = "Counts the images of an encode job, or of its output folder, by category and "
                   "label: each image counts for its best label. Works while the job runs.",
        .example = "vlmq label-stats features --category animals --top 30",
        .args_min = 1,
        .args_max = 1,
    };
    struct label_stats query = {.top = TOP_DEFAULT};
    const struct conf_option options[] = {
        {"category", 0, CONF_TEXT, &query.category, 0, 0, "NAME", "The labels of this one only."},
        {"top", 0, CONF_INT, &query.top, 1, 100000, "N",
         "Labels that are shown of a category, the most frequent ones."},
        {"all", 'a', CONF_FLAG, &query.all, 0, 0, NULL, "All labels."},
        {0},
    };
    struct err err;
    if (!command_begin(cmd, &help, options)) return (int)cmd->status;
    const int rc = stats(cmd, &query, &err);
    return command_end(cmd, rc, &err);
}
