/* verbs.c - the registry of verbs and the dispatch to them. */
#include "client/verbs.h"

#include "client/print.h"
#include "common/base/conf.h"
#include "common/base/log.h"
#include "common/base/str.h"

#include <stdio.h>
#include <string.h>

#define VERBS_MAX 64

static const struct verb verbs[] = {
#define VERB(name, function, group, args, help) {name, function, group, args, help},
#include "client/verbs.def"
#undef VERB
};
#define VERBS_COUNT (sizeof verbs / sizeof verbs[0])
_Static_assert(VERBS_COUNT < VERBS_MAX, "the table for suggestions holds all verbs");

const struct verb *verb_find(const char *name)
{
    for (size_t i = 0; i < VERBS_COUNT; i++)
        if (str_eq(verbs[i].name, name)) return &verbs[i];
    return NULL;
}

const struct verb *verb_at(uint32_t i)
{
    return i < VERBS_COUNT ? &verbs[i] : NULL;
}

const char *verb_near(const char *name)
{
    /* The names as a table of options, so that one function knows what "near" means. */
    struct conf_option table[VERBS_MAX] = {{0}};
    for (size_t i = 0; i < VERBS_COUNT; i++) {
        if (verbs[i].group == GROUP_HIDDEN) continue;
        if (strlen(name) >= 2 && str_has_prefix(verbs[i].name, name)) return verbs[i].name;
    }
    for (size_t i = 0; i < VERBS_COUNT; i++) table[i].name = verbs[i].name;
    const struct conf conf = {.options = table};
    return conf_near(&conf, name, strlen(name));
}

void verbs_help(struct buf *out)
{
    static const char *const titles[] = {"Jobs", "Changing jobs", "What came of them", "The fleet"};
    buf_text(out, "vlmq turns image-text data into vision-language models: jobs, cut into tasks,\n"
                  "run by workers, from one command line.\n\nUsage: vlmq VERB [arguments]\n");
    for (size_t group = 0; group < sizeof titles / sizeof titles[0]; group++) {
        buf_printf(out, "\n%s:\n", titles[group]);
        for (size_t i = 0; i < VERBS_COUNT; i++)
            if ((size_t)verbs[i].group == group)
                buf_printf(out, "  %-10s %s\n", verbs[i].name, verbs[i].help);
    }
    buf_text(out, "\nvlmq VERB --help tells more of each; vlmq --version prints the version.\n"
                  "Without --broker, commands use a fleet of their own under ./.vlmq and start it\n"
                  "when needed.\n\n"
                  "Exit status: 0 ok, 1 failed, 2 wrong usage, 3 not found, 4 fleet unreachable,\n"
                  "5 job cancelled, 6 denied, 7 timeout, 130 interrupted.\n\n"
                  "First steps:\n"
                  "  vlmq run probe --tasks 20\n"
                  "  vlmq run download urls.csv --output shards --caption-column caption\n");
}

static int print_help(FILE *stream, int status)
{
    struct buf out;
    buf_init(&out, 0);
    verbs_help(&out);
    print_out(stream, &out);
    buf_deinit(&out);
    return status;
}

static int unknown_verb(const char *name)
{
    const char *near = verb_near(name);
    struct buf out;
    buf_init(&out, 0);
    buf_text(&out, "vlmq: there is no verb '");
    print_clean(&out, name);
    if (near)
        buf_printf(&out, "'; did you mean vlmq %s?\n", near);
    else
        buf_text(&out, "'; vlmq --help lists them\n");
    print_out(stderr, &out);
    buf_deinit(&out);
    return STATUS_USAGE;
}

int verbs_main(int argc, char *const *argv)
{
    log_set_program("vlmq");
    log_set_level(LOG_WARN);
    const char *name = argc > 1 ? argv[1] : "--help";
    if (str_eq(name, "--version") || str_eq(name, "-V")) {
        (void)printf("vlmq %s\n", VLMQ_VERSION);
        return STATUS_OK;
    }
    if (str_eq(name, "--help") || str_eq(name, "-h")) return print_help(stdout, STATUS_OK);
    struct command cmd = {.verb = name, .argc = argc - 1, .argv = argv + 1};
    if (str_eq(name, "help")) {
        if (argc < 3) return print_help(stdout, STATUS_OK);
        char help[] = "--help";
        char *const words[] = {argv[2], help, NULL};
        const struct verb *about = verb_find(argv[2]);
        if (!about) return unknown_verb(argv[2]);
        cmd = (struct command){.verb = about->name, .argc = 2, .argv = words};
        return about->run(&cmd);
    }
    const struct verb *verb = verb_find(name);
    if (!verb) return unknown_verb(name);
    return verb->run(&cmd);
}
