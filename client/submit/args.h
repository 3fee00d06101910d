/* args.h - the command line of submit and run: options of the job, and options of its kind.
 *
 * The options of the kind come from its schema (proto/wire/spec.h), so the line is split first:
 * what the verb knows goes to its own parser, the rest sets fields of the spec. An option that
 * both know is the verb's. */
#ifndef CLIENT_SUBMIT_ARGS_H
#define CLIENT_SUBMIT_ARGS_H

#include "common/base/conf.h"
#include "common/base/err.h"
#include "common/base/mem.h"

#include <protobuf-c/protobuf-c.h>

/* More words than anybody types; a shell's glob that went wrong ends here. */
#define ARGS_WORDS_MAX 256

struct args {
    const char *kind;       /* "download" */
    ProtobufCMessage *spec; /* with the options set; in the arena */
    /* What is left for the verb: argv[0] and the words that it knows. */
    char *word[ARGS_WORDS_MAX + 1];
    int words;
};

/* The kind: the first word that is no option. ERR_INVALID: there is none, or an unknown one
 * (the sentence lists or suggests). table: the verb's options. */
CHECKED int args_kind(const char **kind, int argc, char *const *argv,
                      const struct conf_option *table, struct err *err);
/* Splits argv and sets the spec. */
CHECKED int args_split(struct args *args, int argc, char *const *argv,
                       const struct conf_option *table, struct arena *arena, struct err *err);

/* An input or output as every machine of the fleet must read it: URLs as they stand, paths
 * absolute and without . and .. parts. */
CHECKED int args_place(const char **place, const char *text, struct arena *arena, struct err *err);

/* Appends the options of a kind as --help shows them. */
void args_kind_help(struct buf *out, const char *kind, struct arena *arena);
/* Appends the list of kinds with what they do. */
void args_kinds_help(struct buf *out, struct arena *arena);

#endif
