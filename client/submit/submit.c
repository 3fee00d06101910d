/* submit.c - vlmq submit and vlmq run. */
#include "client/print.h"
#include "client/submit/args.h"
#include "client/verbs.h"
#include "client/watch/follow.h"
#include "common/base/check.h"
#include "common/base/id.h"
#include "common/base/str.h"
#include "proto/wire/spec.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PRIORITY_MAX 100
#define ATTEMPTS_MAX 1000
/* Of a job that is waited for: a fleet that forgets it more often has another fault. */
#define RESUBMITS_MAX 8

/* The options of a job that are the same for all kinds. */
struct job_options {
    const char *id, *title, *after, *from, *device;
    int64_t priority, attempts;
    struct conf_list labels;
    bool interactive, paused;
    bool quiet; /* run only */
};

/* Sets text to value, where value may be NULL; the message is only read. */
static int set_text(char **text, const char *value, struct arena *arena, struct err *err)
{
    if (!value) return 0;
    *text = arena_text(arena, value, strlen(value));
    return *text ? 0 : err_set(err, ERR_LIMIT, "out of memory");
}

/* --after and --from: the job must be there, and its output is the input of --from. */
static int upstream(struct command *cmd, Vlmq__Job *job, ProtobufCMessage *spec,
                    const struct job_options *options, struct err *err)
{
    char id[JOB_ID_BYTES];
    int rc = 0;
    if (options->after) {
        rc = vlmq_resolve(cmd->vlmq, id, options->after, err);
        if (!rc) rc = set_text(&job->after, id, &cmd->arena, err);
        if (rc) return err_wrap(err, "--after");
    }
    if (options->from) {
        Vlmq__Job *source = NULL;
        rc = vlmq_resolve(cmd->vlmq, id, options->from, err);
        if (!rc) rc = vlmq_get(cmd->vlmq, &source, id, &cmd->arena, err);
        if (!rc) rc = set_text(&job->from, id, &cmd->arena, err);
        if (rc) return err_wrap(err, "--from");
        const bool wants = spec_has_field(spec, "input") && !*spec_text(spec, "input");
        if (wants && source->output[0])
            rc = spec_set(spec, "input", source->output, &cmd->arena, err);
    }
    return rc;
}

/* input, output and other files that are named, made absolute. */
static int places(struct command *cmd, Vlmq__Job *job, ProtobufCMessage *spec, struct err *err)
{
    static const char *const fields[] = {"input", "output", "blocked_hashes", "placeholder"};
    /* A file, if there is one of that name; else a word or a text that means itself. */
    static const char *const maybe[] = {"labels", "templates"};
    const char *positional = command_arg(cmd, 1);
    int rc = 0;
    if (positional && !spec_has_field(spec, "input"))
        return err_set(err, ERR_INVALID, "'%.60s': this kind has no input", positional);
    if (positional && *spec_text(spec, "input"))
        return err_set(err, ERR_INVALID, "the input is given twice: %.80s and %.80s", positional,
                       spec_text(spec, "input"));
    if (positional) rc = spec_set(spec, "input", positional, &cmd->arena, err);
    for (size_t i = 0; !rc && i < sizeof fields / sizeof fields[0]; i++) {
        const char *text = spec_text(spec, fields[i]), *place = NULL;
        if (!text || !*text) continue;
        rc = args_place(&place, text, &cmd->arena, err);
        if (!rc) rc = spec_set(spec, fields[i], place, &cmd->arena, err);
        if (!rc && i == 1) rc = set_text(&job->output, place, &cmd->arena, err);
    }
    for (size_t i = 0; !rc && i < sizeof maybe / sizeof maybe[0]; i++) {
        const char *text = spec_text(spec, maybe[i]), *place = NULL;
        if (!text || !*text || access(text, F_OK)) continue;
        rc = args_place(&place, text, &cmd->arena, err);
        if (!rc) rc = spec_set(spec, maybe[i], place, &cmd->arena, err);
    }
    return rc;
}

/* A field `model` is a name in the workers' model folder or, with a slash or a dot in front, a
 * folder. Workers that have it loaded are preferred, by the very text that they find in the spec.
 */
static int use_model(struct command *cmd, Vlmq__Job *job, ProtobufCMessage *spec, struct err *err)
{
    const char *model = spec_text(spec, "model");
    int rc = 0;
    if (!model || !*model) return 0;
    if (model[0] == '/' || model[0] == '.') {
        rc = args_place(&model, model, &cmd->arena, err);
        if (!rc) rc = spec_set(spec, "model", model, &cmd->arena, err);
    }
    return rc ? rc : set_text(&job->needs->model, model, &cmd->arena, err);
}

static int make_needs(Vlmq__Needs *needs, const struct job_options *options, struct arena *arena,
                      struct err *err)
{
    if (options->labels.count > LABELS_MAX)
        return err_set(err, ERR_INVALID, "at most %d labels", LABELS_MAX);
    needs->labels = arena_new(arena, sizeof *needs->labels * LABELS_MAX);
    needs->n_labels = options->labels.count;
    int rc = set_text(&needs->device, options->device, arena, err);
    for (uint32_t i = 0; !rc && i < options->labels.count; i++)
        rc = set_text(&needs->labels[i], options->labels.item[i], arena, err);
    return rc;
}

/* The options of the verb that go into the job as they are. */
static int make_job(struct command *cmd, Vlmq__Job *job, const char *kind,
                    const struct job_options *options, struct err *err)
{
    char id[JOB_ID_BYTES];
    id_job(id);
    if (options->id && !id_job_valid(options->id))
        return err_set(err, ERR_INVALID,
                       "--id takes 1 to %d of a-z, 0-9 and -, not beginning with -: '%.60s'",
                       JOB_ID_BYTES - 1, options->id);
    if (strlen(cmd->owner) >= OWNER_BYTES)
        return err_set(err, ERR_INVALID, "--owner is longer than %d bytes", OWNER_BYTES - 1);
    job->priority = (int32_t)options->priority;
    job->interactive = options->interactive;
    job->attempts_max = (uint32_t)options->attempts;
    int rc = set_text(&job->id, options->id ? options->id : id, &cmd->arena, err);
    if (!rc) rc = set_text(&job->kind, kind, &cmd->arena, err);
    if (!rc) rc = set_text(&job->owner, cmd->owner, &cmd->arena, err);
    if (!rc) rc = set_text(&job->title, options->title, &cmd->arena, err);
    if (!rc) rc = make_needs(job->needs, options, &cmd->arena, err);
    return rc;
}

/* What is submitted; it is kept, to be submitted again. */
struct submission {
    Vlmq__Job job;
    Vlmq__Needs needs;
    bool paused;
};

static int make(struct command *cmd, struct submission *made, const struct args *args,
                const struct job_options *options, struct err *err)
{
    ProtobufCBinaryData packed;
    vlmq__job__init(&made->job);
    vlmq__needs__init(&made->needs);
    made->job.needs = &made->needs;
    made->paused = options->paused;
    int rc = make_job(cmd, &made->job, args->kind, options, err);
    if (!rc) rc = command_connect(cmd, err);
    if (!rc) rc = upstream(cmd, &made->job, args->spec, options, err);
    if (!rc) rc = places(cmd, &made->job, args->spec, err);
    if (!rc) rc = use_model(cmd, &made->job, args->spec, err);
    if (!rc) rc = spec_pack(&packed, args->spec, &cmd->arena, err);
    if (!rc) made->job.spec = packed;
    return rc;
}

static int submit(struct command *cmd, Vlmq__Job **stored, struct submission *submission,
                  struct err *err)
{
    bool created;
    const int rc = vlmq_submit(cmd->vlmq, stored, &created, &submission->job, submission->paused,
                               &cmd->arena, err);
    if (!rc && !created)
        (void)fprintf(stderr, "vlmq: job %s was there already; it is the same job\n",
                      (*stored)->id);
    return rc;
}

/* Waits for the end. A job that is gone meanwhile was forgotten by Redis with its last second, or
 * purged: under its id it is the same job, and what it has committed is adopted. */
static int follow_through(struct command *cmd, struct follow *follow, struct submission *submission,
                          struct err *err)
{
    Vlmq__Job *job;
    int rc = follow_job(cmd, follow, submission->job.id, err);
    for (int i = 0; rc == ERR_NOT_FOUND && i < RESUBMITS_MAX; i++) {
        (void)fprintf(stderr, "vlmq: the fleet has forgotten job %s; submitting it again\n",
                      submission->job.id);
        rc = submit(cmd, &job, submission, err);
        if (!rc) rc = follow_job(cmd, follow, submission->job.id, err);
    }
    return rc;
}

static void print_submitted(const struct command *cmd, const Vlmq__Job *job)
{
    struct buf out;
    if (!cmd->json) {
        print_line("%s", job->id);
        return;
    }
    buf_init(&out, 0);
    spec_message_json(&out, &job->base);
    buf_byte(&out, '\n');
    print_out(stdout, &out);
    buf_deinit(&out);
}

static int run(struct command *cmd, const struct args *args, const struct job_options *options,
               bool wait, struct err *err)
{
    struct follow follow = {.quiet = options->quiet};
    struct submission submission;
    Vlmq__Job *job = NULL;
    int rc = make(cmd, &submission, args, options, err);
    if (!rc) rc = submit(cmd, &job, &submission, err);
    if (rc) return rc;
    if (!wait) {
        print_submitted(cmd, job);
        return 0;
    }
    if (!cmd->json && !follow.quiet)
        (void)fprintf(stderr, "job %s (%s); Ctrl-C stops the waiting, not the job\n", job->id,
                      job->kind);
    rc = follow_through(cmd, &follow, &submission, err);
    if (rc) return rc;
    if (follow.interrupted) {
        follow_left(job->id);
        cmd->status = STATUS_INTERRUPTED;
    } else {
        follow_summary(cmd, follow.job);
    }
    return 0;
}

static bool asks_help(const struct command *cmd)
{
    for (int i = 1; i < cmd->argc && !str_eq(cmd->argv[i], "--"); i++)
        if (str_eq(cmd->argv[i], "--help") || str_eq(cmd->argv[i], "-h")) return true;
    return false;
}

/* --help: the verb's own text and the kinds; or that of the kind that is named, its own options
 * before those that all jobs have. */
static int show_help(struct command *cmd, const char *kind, const struct command_help *help,
                     const struct conf_option *options)
{
    char usage[64];
    struct command_help shown = *help;
    struct buf more;
    buf_init(&more, 0);
    if (kind) {
        (void)snprintf(usage, sizeof usage, "%s %s[options]", kind,
                       spec_has_field(spec_new(kind, &cmd->arena), "input") ? "INPUT " : "");
        args_kind_help(&more, kind, &cmd->arena);
        shown.usage = usage;
        shown.summary = spec_help(kind, NULL, &cmd->arena);
        shown.example = spec_example(kind, &cmd->arena);
    } else {
        args_kinds_help(&more, &cmd->arena);
    }
    shown.middle = buf_str(&more);
    (void)command_begin(cmd, &shown, options);
    buf_deinit(&more);
    return (int)cmd->status;
}

/* For completion: the options of the kind, behind those of the verb. */
static int show_words(struct command *cmd, const char *kind, const struct command_help *help,
                      const struct conf_option *options)
{
    const ProtobufCMessageDescriptor *descriptor = kind ? spec_descriptor(kind) : NULL;
    (void)command_begin(cmd, help, options);
    for (unsigned i = 0; descriptor && i < descriptor->n_fields; i++) {
        (void)printf("--");
        for (const char *at = descriptor->fields[i].name; *at; at++)
            (void)putchar(*at == '_' ? '-' : *at);
        (void)putchar('\n');
    }
    return (int)cmd->status;
}

static int submit_or_run(struct command *cmd, bool wait, const struct command_help *help)
{
    struct job_options o = {.id = NULL};
    const struct conf_option options[] = {
        {"id", 0, CONF_TEXT, &o.id, 0, 0, "ID",
         "The job's id; submitting the same id again is the same job."},
        {"owner", 0, CONF_TEXT, &cmd->owner, 0, 0, "NAME",
         "Whose job it is: owners get fair shares."},
        {"priority", 0, CONF_INT, &o.priority, -PRIORITY_MAX, PRIORITY_MAX, "N",
         "Higher goes first."},
        {"interactive", 0, CONF_FLAG, &o.interactive, 0, 0, NULL, "Go ahead of batch jobs."},
        {"title", 0, CONF_TEXT, &o.title, 0, 0, "TEXT", "A text for people."},
        {"after", 0, CONF_TEXT, &o.after, 0, 0, "JOB", "Begin when that job has ended."},
        {"from", 0, CONF_TEXT, &o.from, 0, 0, "JOB",
         "Take that job's shards as input, as they are committed."},
        {"attempts", 0, CONF_INT, &o.attempts, 0, ATTEMPTS_MAX, "N",
         "Failures of a task before it is dead; 0: the usual number."},
        {"label", 0, CONF_LIST, &o.labels, 0, 0, "LIST", "Labels that workers must carry."},
        {"device", 0, CONF_TEXT, &o.device, 0, 0, "TYPE", "Only workers on such: cpu or cuda."},
        {"paused", 0, CONF_FLAG, &o.paused, 0, 0, NULL, "Wait for vlmq resume."},
        {"quiet", 'q', CONF_FLAG, &o.quiet, 0, 0, NULL, "Show nothing until the end."},
        {0},
    };
    struct args *args;
    struct err err;
    const char *kind = NULL;
    command_prepare(cmd, options);
    int rc = args_kind(&kind, cmd->argc, cmd->argv, cmd->options, &err);
    if (cmd->mode == COMMAND_WORDS) return show_words(cmd, kind, help, options);
    if (asks_help(cmd)) return show_help(cmd, kind, help, options);
    args = arena_new(&cmd->arena, sizeof *args);
    if (!rc) rc = args_split(args, cmd->argc, cmd->argv, cmd->options, &cmd->arena, &err);
    if (rc) return command_end(cmd, rc, &err);
    cmd->argc = args->words;
    cmd->argv = args->word;
    if (!command_begin(cmd, help, options)) return (int)cmd->status;
    rc = run(cmd, args, &o, wait, &err);
    return command_end(cmd, rc, &err);
}

int verb_run(struct command *cmd)
{
    static const struct command_help help = {
        .usage = "KIND [INPUT] [options]",
        .summary = "Submits a job, shows how it goes on, and exits with its outcome: 0 done, "
                   "1 failed, 5 cancelled. Ctrl-C ends the waiting, not the job.",
        .example = "vlmq run download urls.csv --output shards --caption-column caption",
        .args_min = 1,
        .args_max = 2,
    };
    return submit_or_run(cmd, true, &help);
}

int verb_submit(struct command *cmd)
{
    static const struct command_help help = {
        .usage = "KIND [INPUT] [options]",
        .summary = "Submits a job and prints its id. Nothing waits for it; vlmq watch does.",
        .example = "vlmq submit download urls.csv --output shards --priority 10",
        .args_min = 1,
        .args_max = 2,
    };
    return submit_or_run(cmd, false, &help);
}
