/* args.c - splits the command line of submit and run. */
#include "client/submit/args.h"

#include "common/base/check.h"
#include "common/base/str.h"
#include "proto/wire/spec.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OPTION_BYTES 64
#define KINDS_MAX    32

/* One word of the line, as an option of the verb. */
struct verb_word {
    bool known;      /* it is the verb's own */
    bool takes_next; /* and its value is the next word */
};

static bool in_table(const struct conf_option *table, const char *name, size_t bytes, bool flags,
                     bool *is_flag)
{
    for (; table->name; table++) {
        if (strlen(table->name) != bytes || memcmp(table->name, name, bytes) != 0) continue;
        if (flags && table->type != CONF_FLAG) continue;
        *is_flag = table->type == CONF_FLAG;
        return true;
    }
    return false;
}

static struct verb_word classify(const char *word, const struct conf_option *table)
{
    struct verb_word result = {false, false};
    bool is_flag = false;
    if (word[0] != '-' || !word[1]) return result;
    if (word[1] != '-') {
        /* Single letters are the verb's: kinds have none. */
        result.known = true;
        for (; table->name; table++)
            if (table->letter == word[1]) result.takes_next = table->type != CONF_FLAG && !word[2];
        return result;
    }
    const char *name = word + 2;
    const size_t bytes = strcspn(name, "=");
    if (in_table(table, name, bytes, false, &is_flag)) {
        result.known = true;
        result.takes_next = !is_flag && !name[bytes];
    } else {
        const bool negated =
            str_has_prefix(name, "no-") && in_table(table, name + 3, bytes - 3, true, &is_flag);
        result.known = negated || (bytes == 4 && !memcmp(name, "help", 4));
    }
    return result;
}

static int unknown_kind(const char *kind, struct err *err)
{
    struct conf_option table[KINDS_MAX] = {{0}};
    struct buf list;
    const char *name;
    buf_init(&list, 0);
    for (uint32_t i = 0; i + 1 < KINDS_MAX && (name = spec_kind(i)); i++) {
        table[i].name = name;
        buf_printf(&list, "%s%s", i ? ", " : "", name);
    }
    const struct conf conf = {.options = table};
    const char *near = kind ? conf_near(&conf, kind, strlen(kind)) : NULL;
    int rc;
    if (!kind)
        rc = err_set(err, ERR_INVALID, "name the kind of the job: %s", buf_str(&list));
    else if (near)
        rc = err_set(err, ERR_INVALID, "there is no kind '%.40s'; did you mean %s?", kind, near);
    else
        rc = err_set(err, ERR_INVALID, "there is no kind '%.40s'; kinds are %s", kind,
                     buf_str(&list));
    buf_deinit(&list);
    return rc;
}

int args_kind(const char **kind, int argc, char *const *argv, const struct conf_option *table,
              struct err *err)
{
    for (int i = 1; i < argc; i++) {
        const struct verb_word word = classify(argv[i], table);
        if (word.takes_next) i++;
        /* Before the kind only the verb's options can be told from their values. */
        if (word.known || (argv[i][0] == '-' && argv[i][1])) continue;
        if (!spec_descriptor(argv[i])) return unknown_kind(argv[i], err);
        *kind = argv[i];
        return 0;
    }
    return unknown_kind(NULL, err);
}

/* In a message 0 is what nobody has set, so it would become the default. Who types it means 0. */
static int check_zero(const struct args *args, const char *option, const char *value,
                      struct arena *arena, struct err *err)
{
    static const char stands[] = "(default ";
    char field[OPTION_BYTES], off[OPTION_BYTES + 3];
    char *end;
    if (strtod(value, &end) != 0 || end == value) return 0;
    (void)snprintf(field, sizeof field, "%s", option);
    for (char *c = field; *c; c++)
        if (*c == '-') *c = '_';
    const char *said = strstr(spec_help(args->kind, field, arena), stands);
    if (!said || strtod(said + sizeof stands - 1, NULL) == 0) return 0;
    (void)snprintf(off, sizeof off, "no-%s", option);
    if (spec_is_flag(args->spec, off))
        return err_set(err, ERR_INVALID, "--%s 0: use --%s", option, off);
    return err_set(err, ERR_INVALID, "--%s must be above 0; see vlmq run %s --help", option,
                   args->kind);
}

/* Sets the spec from the option at *i and moves *i over its value. */
static int spec_word(struct args *args, int argc, char *const *argv, int *i, struct arena *arena,
                     struct err *err)
{
    char option[OPTION_BYTES];
    const char *name = argv[*i] + 2;
    const size_t bytes = strcspn(name, "=");
    if (bytes >= sizeof option) return err_set(err, ERR_INVALID, "unknown option %.60s", argv[*i]);
    memcpy(option, name, bytes);
    option[bytes] = 0;
    const char *value = name[bytes] ? name + bytes + 1 : NULL;
    const bool off = !value && str_has_prefix(option, "no-");
    if (!value && spec_is_flag(args->spec, option))
        return spec_set(args->spec, option, NULL, arena, err);
    if (off && spec_is_flag(args->spec, option + 3))
        return spec_set(args->spec, option + 3, "false", arena, err);
    if (!value) {
        /* An unknown name is a better message than a missing value. */
        struct err unknown;
        ProtobufCMessage *probe = spec_new(args->kind, arena);
        if (spec_set(probe, option, "", arena, &unknown) == ERR_NOT_FOUND)
            return err_set(err, ERR_INVALID, "%s; see vlmq run %s --help", unknown.msg, args->kind);
        if (*i + 1 >= argc) return err_set(err, ERR_INVALID, "--%s needs a value", option);
        value = argv[++*i];
    }
    int rc = spec_set(args->spec, option, value, arena, err);
    if (!rc) rc = check_zero(args, option, value, arena, err);
    if (rc == ERR_NOT_FOUND) err->code = ERR_INVALID;
    return rc ? (int)err->code : 0;
}

int args_split(struct args *args, int argc, char *const *argv, const struct conf_option *table,
               struct arena *arena, struct err *err)
{
    bool ended = false;
    args->words = 0;
    CHECK(argc >= 1);
    int rc = args_kind(&args->kind, argc, argv, table, err);
    if (rc) return rc;
    args->spec = spec_new(args->kind, arena);
    for (int i = 0; i < argc; i++) {
        struct verb_word word = {false, false};
        if (!ended) word = classify(argv[i], table);
        const bool option = !ended && i && str_has_prefix(argv[i], "--") && argv[i][2];
        if (str_eq(argv[i], "--")) ended = true;
        if (option && !word.known) {
            rc = spec_word(args, argc, argv, &i, arena, err);
            if (rc) return rc;
            continue;
        }
        for (int take = 0; take < (word.takes_next && i + 1 < argc ? 2 : 1); take++) {
            if (args->words == ARGS_WORDS_MAX)
                return err_set(err, ERR_INVALID, "more than %d words", ARGS_WORDS_MAX);
            args->word[args->words++] = argv[i + take];
        }
        if (word.takes_next) i++;
    }
    args->word[args->words] = NULL;
    return 0;
}

/* "/a/./b/../c//" to "/a/c", by text alone: links are the workers' to follow. */
static void tidy_path(char *path)
{
    char *to = path;
    const char *at = path;
    while (*at) {
        while (*at == '/') at++;
        const size_t bytes = strcspn(at, "/");
        if (!bytes) break;
        if (bytes == 2 && at[0] == '.' && at[1] == '.') {
            while (to > path && *--to != '/') continue;
        } else if (bytes != 1 || at[0] != '.') {
            *to++ = '/';
            memmove(to, at, bytes);
            to += bytes;
        }
        at += bytes;
    }
    if (to == path) *to++ = '/';
    *to = 0;
}

int args_place(const char **place, const char *text, struct arena *arena, struct err *err)
{
    char here[PATH_MAX];
    const char *scheme = strstr(text, "://");
    const char *slash = strchr(text, '/');
    if (!*text || (scheme && scheme < slash)) {
        *place = text;
        return 0;
    }
    if (text[0] != '/' && !getcwd(here, sizeof here))
        return err_errno(err, errno, "current folder");
    char *path = text[0] == '/' ? arena_text(arena, text, strlen(text))
                                : arena_printf(arena, "%s/%s", here, text);
    if (!path) return err_set(err, ERR_LIMIT, "out of memory");
    tidy_path(path);
    *place = path;
    return 0;
}
