/* completion.c - vlmq completion: the words that may stand next, for the scripts in
 * deploy/completion, which filter them by what is typed already.
 *
 * It never starts a fleet and never waits long: a shell waits for it. */
#include "client/print.h"
#include "client/verbs.h"
#include "common/base/str.h"
#include "common/store/models.h"
#include "proto/wire/field.h"
#include "proto/wire/spec.h"

#include <stdio.h>
#include <string.h>

#define WAIT_MS   700
#define JOBS_MAX  100
#define WORDS_MAX CONF_ARGS_MAX

static void print_kinds(void)
{
    const char *kind;
    for (uint32_t i = 0; (kind = spec_kind(i)); i++) (void)printf("%s\n", kind);
}

static void print_verbs(void)
{
    const struct verb *verb;
    for (uint32_t i = 0; (verb = verb_at(i)); i++)
        if (verb->group != GROUP_HIDDEN) (void)printf("%s\n", verb->name);
    (void)printf("help\n");
}

/* A fleet that cannot be asked offers no ids; that is no error here. */
static void print_jobs(struct command *cmd)
{
    Vlmq__ListAnswer *answer = NULL;
    Vlmq__List request;
    vlmq__list__init(&request);
    struct err err;
    cmd->timeout_ms = WAIT_MS;
    request.rows = JOBS_MAX;
    if (command_connect_running(cmd, &err)) return;
    if (vlmq_list(cmd->vlmq, &answer, &request, &cmd->arena, &err)) return;
    for (size_t i = 0; i < answer->n_jobs; i++) (void)printf("%s\n", answer->jobs[i]->id);
}

/* The option names of a verb, by running it in the mode that prints them. */
static void print_options(const struct verb *verb, const char *const *word, uint32_t count)
{
    char *argv[WORDS_MAX + 1];
    struct arena arena;
    arena_init(&arena, 0);
    for (uint32_t i = 0; i < count; i++) argv[i] = arena_text(&arena, word[i], strlen(word[i]));
    argv[count] = NULL;
    struct command about = {
        .verb = verb->name, .argc = (int)count, .argv = argv, .mode = COMMAND_WORDS};
    (void)verb->run(&about);
    arena_deinit(&arena);
}

/* The kind on the line: the first word that names one. */
static const char *kind_on_line(const char *const *word, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++)
        if (spec_descriptor(word[i])) return word[i];
    return NULL;
}

/* The values of an option whose words are known. Returns whether it takes a value at all. */
static bool print_values(struct command *cmd, const char *option, const char *kind)
{
    if (option[0] != '-' || option[1] != '-') return false;
    const char *name = option + 2;
    if (str_eq(name, "after") || str_eq(name, "from")) {
        print_jobs(cmd);
        return true;
    }
    if (str_eq(name, "kind")) {
        print_kinds();
        return true;
    }
    const ProtobufCFieldDescriptor *field = kind ? field_find(spec_descriptor(kind), name) : NULL;
    if (!field || field->type == PROTOBUF_C_TYPE_BOOL) return false;
    if (field->type == PROTOBUF_C_TYPE_ENUM) {
        const ProtobufCEnumDescriptor *words = field->descriptor;
        for (unsigned i = 0; i < words->n_values; i++) {
            char text[64];
            field_enum_word(text, sizeof text, words, &words->values[i]);
            (void)printf("%s\n", text);
        }
    }
    return true;
}

static int print_model(void *ctx, const char *name, const char *folder, struct err *err)
{
    (void)ctx, (void)folder, (void)err;
    (void)printf("%s\n", name);
    return 0;
}

/* What vlmq model can do, and the models that are here. */
static void print_models(const char *const *word, uint32_t count)
{
    char folder[PATH_MAX];
    struct err err;
    if (count == 2) (void)printf("pull\nls\nshow\nrm\n");
    if (count != 3 || str_eq(word[1], "ls") || models_folder(folder, &err)) return;
    (void)!models_each(folder, print_model, NULL, &err);
}

static void print_next(struct command *cmd, const char *const *word, uint32_t count)
{
    const char *current = count ? word[count - 1] : "";
    if (count < 2) {
        print_verbs();
        return;
    }
    const struct verb *verb = verb_find(word[0]);
    const char *kind = kind_on_line(word, count - 1);
    if (!verb) {
        if (str_eq(word[0], "help")) print_verbs();
        return;
    }
    if (current[0] == '-') {
        print_options(verb, word, count - 1);
        return;
    }
    if (count > 2 && print_values(cmd, word[count - 2], kind)) return;
    if (verb->args == ARGS_KIND && !kind) print_kinds();
    if (verb->args == ARGS_LOG) (void)printf("redis\nbroker\nworker\n");
    if (verb->args == ARGS_LOG || verb->args == ARGS_JOB) print_jobs(cmd);
    if (verb->args == ARGS_MODEL) print_models(word, count);
}

int verb_completion(struct command *cmd)
{
    static const struct command_help help = {
        .usage = "-- [WORD...]",
        .summary = "Prints the words that may stand at the place of the last WORD, for the "
                   "completion of shells; see deploy/completion.",
        .example = "vlmq completion -- run down",
        .args_max = WORDS_MAX,
    };
    static const struct conf_option options[] = {{0}};
    if (!command_begin(cmd, &help, options)) return (int)cmd->status;
    print_next(cmd, cmd->conf.arg, cmd->conf.args_count);
    return command_end(cmd, 0, NULL);
}
