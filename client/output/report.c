/* report.c - vlmq report: where a job's report is. */
#include "client/output/place.h"
#include "client/print.h"
#include "client/verbs.h"
#include "common/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define REPORT_NAME   "report.html"
#define MANIFEST_NAME "manifest.json"

extern char **environ;

/* The desktop's opener goes on by itself; what it says does not belong on this terminal. */
static int open_file(const char *path, struct err *err)
{
    char opener[] = "xdg-open", file[4096];
    char *const argv[] = {opener, file, NULL};
    posix_spawn_file_actions_t actions;
    pid_t pid;
    if (!str_copy(file, sizeof file, path)) return err_set(err, ERR_LIMIT, "the path is too long");
    int rc = posix_spawn_file_actions_init(&actions);
    if (rc) return err_errno(err, rc, "open %s", path);
    for (int fd = 0; fd <= 2 && !rc; fd++)
        rc = posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", fd ? O_WRONLY : O_RDONLY,
                                              0);
    if (!rc) rc = posix_spawnp(&pid, opener, &actions, NULL, argv, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    if (rc == ENOENT)
        return err_set(err, ERR_NOT_FOUND, "xdg-open is not installed; open %s yourself", path);
    return rc ? err_errno(err, rc, "xdg-open %s", path) : 0;
}

static void add_path(struct buf *out, const char *name, const char *folder, const char *file)
{
    struct buf path;
    buf_init(&path, 0);
    buf_printf(&path, "%s/%s", folder, file);
    buf_printf(out, "\"%s\":", name);
    str_json(out, buf_str(&path), path.len);
    buf_deinit(&path);
}

static int report(struct command *cmd, bool open, struct err *err)
{
    Vlmq__Job *job = NULL;
    struct store *store = NULL;
    int64_t bytes;
    int rc = place_job(cmd, &job, err);
    if (!rc) rc = place_open(&store, job, err);
    if (rc) return rc;
    rc = store_size(store, &bytes, REPORT_NAME, err);
    if (rc == ERR_NOT_FOUND && !vlmq_job_ended(job->state))
        rc = err_set(err, ERR_NOT_FOUND, "job %s is %s; its report is written at its end", job->id,
                     vlmq_job_state(job));
    else if (rc == ERR_NOT_FOUND)
        rc = err_set(err, ERR_NOT_FOUND, "job %s has left no report in %s", job->id, job->output);
    /* The report's numbers, for programs. */
    const bool has_manifest = !rc && !store_size(store, &bytes, MANIFEST_NAME, NULL);
    store_close(store);
    if (rc) return rc;
    const char *output = job->output;
    if (str_has_prefix(output, "file://")) output += strlen("file://");
    const char *path = arena_printf(&cmd->arena, "%s/" REPORT_NAME, output);
    if (cmd->json) {
        struct buf out;
        buf_init(&out, 0);
        buf_byte(&out, '{');
        add_path(&out, "report", output, REPORT_NAME);
        if (has_manifest) buf_byte(&out, ',');
        if (has_manifest) add_path(&out, "manifest", output, MANIFEST_NAME);
        buf_text(&out, "}\n");
        print_out(stdout, &out);
        buf_deinit(&out);
    } else {
        print_line("%s", path);
    }
    return open ? open_file(path, err) : 0;
}

int verb_report(struct command *cmd)
{
    static const struct command_help help = {
        .usage = "JOB [options]",
        .summary = "Prints the path of a job's report, which its closing task writes.",
        .example = "vlmq report k3v9 --open",
        .args_min = 1,
        .args_max = 1,
    };
    bool open = false;
    const struct conf_option options[] = {
        {"open", 0, CONF_FLAG, &open, 0, 0, NULL, "Open it with xdg-open."},
        {0},
    };
    struct err err;
    if (!command_begin(cmd, &help, options)) return (int)cmd->status;
    const int rc = report(cmd, open, &err);
    return command_end(cmd, rc, &err);
}
