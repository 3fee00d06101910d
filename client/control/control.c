/* control.c - vlmq cancel, pause, resume, retry, priority and purge: one change to some jobs.
 *
 * All ids are resolved before the first change, so that a misspelt one changes nothing. */
#include "client/control/archive.h"
#include "client/print.h"
#include "client/verbs.h"
#include "common/base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct change {
    Vlmq__Verb verb;
    const char *done; /* "cancelled" */
    const char *reason;
    int32_t priority;
    bool archive; /* keep the job's record beside its output first */
};

struct target {
    char id[JOB_ID_BYTES];
    int64_t task; /* -1: the job */
};

/* JOB, or JOB/TASK where the verb knows tasks. */
static int find_target(struct command *cmd, struct target *target, const char *arg, bool tasks,
                       struct err *err)
{
    char text[128];
    target->task = -1;
    (void)str_copy(text, sizeof text, arg);
    char *slash = tasks ? strchr(text, '/') : NULL;
    if (slash) {
        *slash = 0;
        const int rc =
            str_to_int(&target->task, slash + 1, 0, TASKS_PER_JOB_MAX, "the task's number", err);
        if (rc) return rc;
    }
    return vlmq_resolve(cmd->vlmq, target->id, text, err);
}

static void print_change(const struct command *cmd, const struct change *change,
                         const Vlmq__ControlAnswer *answer)
{
    const Vlmq__Job *job = answer->job;
    if (cmd->json)
        command_json(&answer->base);
    else if (change->verb == VLMQ__VERB__VERB_RETRY)
        print_line("%s: %" PRIu32 " %s revived", job->id, answer->count,
                   answer->count == 1 ? "task" : "tasks");
    else if (change->verb == VLMQ__VERB__VERB_PRIORITY)
        print_line("%s: priority %" PRId32, job->id, job->priority);
    else if (change->verb == VLMQ__VERB__VERB_PURGE)
        print_line("%s: %s", job->id, change->done);
    else
        print_line("%s: %s", job->id, vlmq_job_state(job));
}

static int apply(struct command *cmd, const struct change *change, const struct target *target,
                 struct err *err)
{
    Vlmq__Control request;
    vlmq__control__init(&request);
    Vlmq__ControlAnswer *answer = NULL;
    request.job = arena_printf(&cmd->arena, "%s", target->id);
    request.verb = change->verb;
    request.priority = change->priority;
    if (change->reason) request.reason = arena_printf(&cmd->arena, "%s", change->reason);
    request.has_task = target->task >= 0;
    request.task = request.has_task ? (uint32_t)target->task : 0;
    int rc = change->archive ? archive_job(cmd, target->id, err) : 0;
    if (rc) return rc;
    rc = vlmq_control(cmd->vlmq, &answer, &request, &cmd->arena, err);
    if (rc) return err_wrap(err, "%s", target->id);
    print_change(cmd, change, answer);
    return 0;
}

static int change_jobs(struct command *cmd, const struct change *change, struct err *err)
{
    struct target target[CONF_ARGS_MAX];
    const bool tasks = change->verb == VLMQ__VERB__VERB_RETRY;
    int rc = command_connect(cmd, err);
    for (uint32_t i = 0; !rc && i < cmd->conf.args_count; i++)
        rc = find_target(cmd, &target[i], cmd->conf.arg[i], tasks, err);
    for (uint32_t i = 0; !rc && i < cmd->conf.args_count; i++)
        rc = apply(cmd, change, &target[i], err);
    return rc;
}

static int plain(struct command *cmd, const struct command_help *help, Vlmq__Verb verb,
                 const char *done)
{
    static const struct conf_option options[] = {{0}};
    const struct change change = {.verb = verb, .done = done};
    struct err err;
    if (!command_begin(cmd, help, options)) return (int)cmd->status;
    const int rc = change_jobs(cmd, &change, &err);
    return command_end(cmd, rc, &err);
}

int verb_cancel(struct command *cmd)
{
    static const struct command_help help = {
        .usage = "JOB... [options]",
        .summary = "Ends jobs. What is committed stays; running attempts are told to stop and "
                   "drop what they have.",
        .example = "vlmq cancel k3v9 --reason 'wrong list'",
        .args_min = 1,
        .args_max = CONF_ARGS_MAX,
    };
    struct change change = {.verb = VLMQ__VERB__VERB_CANCEL, .done = "cancelled"};
    const struct conf_option options[] = {
        {"reason", 0, CONF_TEXT, &change.reason, 0, 0, "TEXT", "Kept with the job."},
        {0},
    };
    struct err err;
    if (!command_begin(cmd, &help, options)) return (int)cmd->status;
    const int rc = change_jobs(cmd, &change, &err);
    return command_end(cmd, rc, &err);
}

int verb_pause(struct command *cmd)
{
    static const struct command_help help = {
        .usage = "JOB... [options]",
        .summary = "Starts no more tasks of the jobs until vlmq resume; running ones go on.",
        .example = "vlmq pause k3v9",
        .args_min = 1,
        .args_max = CONF_ARGS_MAX,
    };
    return plain(cmd, &help, VLMQ__VERB__VERB_PAUSE, "paused");
}

int verb_resume(struct command *cmd)
{
    static const struct command_help help = {
        .usage = "JOB... [options]",
        .summary = "Lets paused jobs go on.",
        .example = "vlmq resume k3v9",
        .args_min = 1,
        .args_max = CONF_ARGS_MAX,
    };
    return plain(cmd, &help, VLMQ__VERB__VERB_RESUME, "resumed");
}

int verb_retry(struct command *cmd)
{
    static const struct command_help help = {
        .usage = "JOB[/TASK]... [options]",
        .summary = "Revives the dead tasks of jobs, or one task, with all their attempts anew. A "
                   "failed job goes on.",
        .example = "vlmq retry k3v9",
        .args_min = 1,
        .args_max = CONF_ARGS_MAX,
    };
    return plain(cmd, &help, VLMQ__VERB__VERB_RETRY, "revived");
}

int verb_purge(struct command *cmd)
{
    static const struct command_help help = {
        .usage = "JOB... [options]",
        .summary = "Forgets ended jobs in the fleet's memory. Their output stays where it is.",
        .example = "vlmq purge k3v9 --archive",
        .args_min = 1,
        .args_max = CONF_ARGS_MAX,
    };
    struct change change = {.verb = VLMQ__VERB__VERB_PURGE, .done = "forgotten; its output stays"};
    const struct conf_option options[] = {
        {"archive", 0, CONF_FLAG, &change.archive, 0, 0, NULL,
         "First write job, events and tasks into _vlmq/jobs/JOB.jsonl of its output."},
        {0},
    };
    struct err err;
    if (!command_begin(cmd, &help, options)) return (int)cmd->status;
    const int rc = change_jobs(cmd, &change, &err);
    return command_end(cmd, rc, &err);
}

int verb_priority(struct command *cmd)
{
    static const struct command_help help = {
        .usage = "JOB... --to N [options]",
        .summary = "Sets the priority of jobs, -100 to 100; higher goes first, 0 is usual.",
        .example = "vlmq priority k3v9 --to 10",
        .args_min = 1,
        .args_max = CONF_ARGS_MAX,
    };
    struct change change = {.verb = VLMQ__VERB__VERB_PRIORITY};
    int64_t priority = 0;
    const char *text = NULL;
    const struct conf_option options[] = {
        {"to", 0, CONF_TEXT, &text, 0, 0, "N", "The new priority, -100 to 100."},
        {0},
    };
    struct err err;
    if (!command_begin(cmd, &help, options)) return (int)cmd->status;
    int rc = text ? str_to_int(&priority, text, -100, 100, "--to", &err)
                  : err_set(&err, ERR_INVALID, "--to N is missing; see vlmq priority --help");
    if (!rc) {
        change.priority = (int32_t)priority;
        rc = change_jobs(cmd, &change, &err);
    }
    return command_end(cmd, rc, &err);
}
