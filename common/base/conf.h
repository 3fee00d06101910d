/* conf.h - one table of options serves the command line, the environment, the
 * configuration file, --help and the completion of a program.
 *
 * Precedence: built-in value < configuration file < environment (VLMQ_ + NAME in upper case,
 * - as _; empty counts as unset) < command line. A source that gives a list replaces the list of
 * the sources before it. A file holds `name = value` lines; # at the start of a line or after a
 * space starts a comment, and a value in double quotes is taken as it stands. Unknown names in
 * a file are an error that names the line. */
#ifndef BASE_CONF_H
#define BASE_CONF_H

#include "common/base/buf.h"
#include "common/base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum conf_type {
    CONF_FLAG,  /* bool *; --name, --no-name */
    CONF_TEXT,  /* const char **; borrowed from argv, or owned by conf */
    CONF_INT,   /* int64_t *, within [min, max] */
    CONF_BYTES, /* int64_t *, "64M" */
    CONF_MS,    /* int64_t *, "10s" */
    CONF_LIST,  /* struct conf_list *; the option may be repeated, or comma separated */
};

#define CONF_LIST_MAX 64
struct conf_list {
    const char *item[CONF_LIST_MAX];
    uint32_t count;
};

struct conf_option {
    const char *name; /* without dashes; NULL ends a table */
    char letter;      /* 0: none */
    enum conf_type type;
    void *dst;
    int64_t min, max;    /* CONF_INT only; both 0: any */
    const char *metavar; /* "DIR" */
    const char *help;    /* one sentence */
};

#define CONF_ARGS_MAX 64
struct conf {
    const char *program; /* "vlmq run" */
    const char *usage;   /* "KIND INPUT [options]" */
    const char *summary; /* what it does, one or two sentences */
    const char *example; /* printed under --help */
    const struct conf_option *options;
    bool help_asked;                /* out: --help or -h was given; nothing else is checked */
    const char *arg[CONF_ARGS_MAX]; /* out: what is not an option, in order */
    uint32_t args_count;
    void *owned; /* texts from files and the environment; freed by conf_deinit */
};

/* argv[0] is skipped. "--" ends options. Errors are ERR_INVALID and say what to do. */
CHECKED int conf_parse(struct conf *conf, int argc, char *const *argv, struct err *err);
/* The environment and the file at path (NULL, or missing and not required: none); call before
 * conf_parse. */
CHECKED int conf_load(struct conf *conf, const char *path, bool required, struct err *err);
void conf_deinit(struct conf *conf);
/* Usage, summary, the options aligned with the values that hold now, and the example. */
void conf_help(const struct conf *conf, struct buf *out);
/* The value of --name on a command line that is not parsed yet (the last one), or NULL: finds
 * --config before conf_load. */
const char *conf_peek(int argc, char *const *argv, const char *name);
/* The option whose name is at most two slips away from the first bytes of name, or NULL. */
const char *conf_near(const struct conf *conf, const char *name, size_t bytes);

#endif
