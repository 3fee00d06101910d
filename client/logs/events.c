/* events.c - vlmq events: the feed of a job as it stands. */
#include "client/logs/feed.h"
#include "client/print.h"
#include "client/verbs.h"
#include "common/base/clock.h"
#include "common/base/str.h"

#include <inttypes.h>
#include <stdio.h>

static int visit(void *ctx, struct command *cmd, const char *job, const Vlmq__Event *event,
                 struct err *err)
{
    char at[CLOCK_TEXT_BYTES], task[48] = "";
    (void)ctx;
    (void)job;
    (void)err;
    if (cmd->json) {
        command_json(&event->base);
        return 0;
    }
    if (str_has_prefix(event->name, "task."))
        (void)snprintf(task, sizeof task, " task %" PRIu32 " attempt %" PRIu32, event->task,
                       event->attempt);
    print_line("%s %s%s%s%s%s%s", clock_text(at, event->at_ms), event->name, task,
               event->worker[0] ? " on " : "", event->worker, event->text[0] ? ": " : "",
               event->text);
    return 0;
}

int verb_events(struct command *cmd)
{
    static const struct command_help help = {
        .usage = "JOB [options]",
        .summary = "Prints the event feed of a job, oldest first: submission, failures, losses, "
                   "pauses, end. The newest 10,000 events are kept.",
        .example = "vlmq events k3v9 --follow --json",
        .args_min = 1,
        .args_max = 1,
    };
    struct feed feed = {.visit = visit};
    const struct conf_option options[] = {
        {"follow", 'f', CONF_FLAG, &feed.follow, 0, 0, NULL, "Go on until the job has ended."},
        {0},
    };
    struct err err;
    char id[JOB_ID_BYTES];
    if (!command_begin(cmd, &help, options)) return (int)cmd->status;
    int rc = command_connect(cmd, &err);
    if (!rc) rc = command_job(cmd, id, 0, &err);
    if (!rc) rc = feed_walk(cmd, &feed, id, &err);
    return command_end(cmd, rc, &err);
}
