/* watch.c - vlmq watch. */
#include "client/verbs.h"
#include "client/watch/follow.h"

static int watch(struct command *cmd, struct follow *follow, struct err *err)
{
    char id[JOB_ID_BYTES];
    int rc = command_connect(cmd, err);
    if (rc) return rc;
    if (!command_arg(cmd, 0)) return follow_all(cmd, err);
    rc = command_job(cmd, id, 0, err);
    if (!rc) rc = follow_job(cmd, follow, id, err);
    if (rc) return rc;
    if (follow->interrupted) {
        follow_left(id);
        cmd->status = STATUS_INTERRUPTED;
    } else {
        follow_summary(cmd, follow->job);
    }
    return 0;
}

int verb_watch(struct command *cmd)
{
    static const struct command_help help = {
        .usage = "[JOB] [options]",
        .summary = "Follows a job until it ends, and exits with its outcome; without a JOB, all "
                   "jobs of the fleet until Ctrl-C. Ctrl-C ends the watching, never a job.",
        .example = "vlmq watch k3v9",
        .args_max = 1,
    };
    struct follow follow = {.quiet = false};
    const struct conf_option options[] = {
        {"quiet", 'q', CONF_FLAG, &follow.quiet, 0, 0, NULL, "Show nothing until the end."},
        {0},
    };
    struct err err;
    if (!command_begin(cmd, &help, options)) return (int)cmd->status;
    const int rc = watch(cmd, &follow, &err);
    return command_end(cmd, rc, &err);
}
