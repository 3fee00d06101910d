/* verbs.h - the verbs of vlmq. To add one: a function, and a line in verbs.def. */
#ifndef CLIENT_VERBS_H
#define CLIENT_VERBS_H

#include "client/command.h"
#include "common/base/buf.h"

#include <stdint.h>

enum verb_group { GROUP_JOBS, GROUP_CHANGE, GROUP_RESULTS, GROUP_FLEET, GROUP_HIDDEN };

/* What completion offers for arguments. */
enum verb_args { ARGS_NONE, ARGS_KIND, ARGS_JOB, ARGS_LOG, ARGS_FILE, ARGS_MODEL };

struct verb {
    const char *name;
    int (*run)(struct command *cmd); /* returns the exit status */
    enum verb_group group;
    enum verb_args args;
    const char *help;
};

#define VERB(name, function, group, args, help) int function(struct command *cmd);
#include "client/verbs.def"
#undef VERB

const struct verb *verb_find(const char *name); /* NULL: unknown */
const struct verb *verb_at(uint32_t i);         /* NULL past the last */
/* The name that was probably meant, or NULL. */
const char *verb_near(const char *name);
void verbs_help(struct buf *out);
/* The whole program: argv[0] is the program's name. Returns the exit status. */
int verbs_main(int argc, char *const *argv);

#endif
