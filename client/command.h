/* command.h - one run of a verb: its options, its connection and its exit status.
 *
 * A verb's function begins with command_begin, does its work, and ends with command_end:
 *
 *   int verb_show(struct command *cmd)
 *   {
 *       struct err err;
 *       if (!command_begin(cmd, &help, options)) return cmd->status;
 *       int rc = command_connect(cmd, &err);
 *       if (!rc) rc = show(cmd, &err);
 *       return command_end(cmd, rc, &err);
 *   }
 *
 * command_begin answers false when there is nothing to do but leave: help was asked for, the
 * command line is wrong, or only the option names were wanted (completion). The options that all
 * verbs accept are added here. */
#ifndef CLIENT_COMMAND_H
#define CLIENT_COMMAND_H

#include "client/exit.h"
#include "client/vlmq.h"
#include "common/base/conf.h"
#include "common/base/mem.h"

#include <stdbool.h>
#include <stdint.h>

#define COMMAND_OPTIONS_MAX 48

struct fleet;

enum command_mode {
    COMMAND_RUN,
    COMMAND_WORDS, /* print the option names, one in a line, and leave */
};

struct command {
    /* Set by the dispatcher. */
    const char *verb;
    int argc; /* argv[0] is the verb */
    char *const *argv;
    enum command_mode mode;

    /* Options of all verbs, and what the configuration adds. */
    const char *broker, *key_file, *fleet_dir, *config, *owner;
    bool json;
    int64_t timeout_ms;

    /* While it runs. */
    bool prepared;
    struct conf conf, defaults;
    struct conf_option options[COMMAND_OPTIONS_MAX];
    struct arena arena; /* dropped by command_end */
    struct vlmq *vlmq;
    struct fleet *fleet; /* the local one, if that is what it talks to */
    char user[OWNER_BYTES];
    char program[64];
    char config_path[512];
    enum exit_status status;
};

/* What --help shows of a verb besides its options. */
struct command_help {
    const char *usage, *summary, *example;
    const char *middle;          /* stands before the options; may be NULL */
    uint32_t args_min, args_max; /* how many arguments it takes; both 0: none */
};

/* Fills cmd->options with the verb's own (ended by a NULL name) and those of all verbs, and makes
 * cmd->arena. command_begin does it too; a verb that looks at its line before that comes here. */
void command_prepare(struct command *cmd, const struct conf_option *options);
bool command_begin(struct command *cmd, const struct command_help *help,
                   const struct conf_option *options);
/* Prints the sentence, if rc is not 0, closes everything, and returns the exit status: the one
 * that belongs to rc, or cmd->status when rc is 0. */
int command_end(struct command *cmd, int rc, const struct err *err);
/* The i-th argument, or NULL. */
const char *command_arg(const struct command *cmd, uint32_t i);

/* Opens the link: to the brokers that are configured, else to the local fleet, which is started
 * if it does not run. */
CHECKED int command_connect(struct command *cmd, struct err *err);
/* The same, but a local fleet that does not run is ERR_UNAVAILABLE. */
CHECKED int command_connect_running(struct command *cmd, struct err *err);
/* The i-th argument as the full id of a job that exists. */
CHECKED int command_job(struct command *cmd, char id[JOB_ID_BYTES], uint32_t i, struct err *err);

/* A message of ours as one line of JSON on stdout. */
void command_json(const ProtobufCMessage *message);
/* A job as one JSON object, its spec as options instead of bytes; no line's end. */
void command_job_json(struct buf *out, const Vlmq__Job *job, struct arena *arena);

#endif
