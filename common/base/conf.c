/* conf.c - options from the command line, the environment and a file. conf_help.c prints them.
 *
 * All three sources end in set_option, which alone knows the types. A source replaces the list
 * that an earlier one left and appends to its own. */
#include "common/base/conf.h"

#include "common/base/check.h"
#include "common/base/fs.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A configuration file is read by people. */
#define FILE_BYTES_MAX ((size_t)1024 * 1024)
/* Options of one program: what --help can show. */
#define OPTIONS_MAX 128

/* A text that conf owns; conf->owned is the newest of a list. */
struct text {
    struct text *next;
    char bytes[];
};

/* One source being read: which lists it has begun. */
struct source {
    struct conf *conf;
    bool began[OPTIONS_MAX];
    bool borrowed; /* values outlive conf: argv */
};

static char *own(struct conf *conf, const char *data, size_t bytes)
{
    struct text *text = mem_new(sizeof *text + bytes + 1);
    memcpy(text->bytes, data, bytes);
    text->next = conf->owned;
    conf->owned = text;
    return text->bytes;
}

void conf_deinit(struct conf *conf)
{
    struct text *text = conf->owned;
    while (text) {
        struct text *next = text->next;
        mem_free(text);
        text = next;
    }
    conf->owned = NULL;
}

static const struct conf_option *by_name(const struct conf *conf, const char *name, size_t bytes)
{
    for (const struct conf_option *at = conf->options; at->name; at++)
        if (strlen(at->name) == bytes && !memcmp(at->name, name, bytes)) return at;
    return NULL;
}

static const struct conf_option *by_letter(const struct conf *conf, char letter)
{
    for (const struct conf_option *at = conf->options; at->name; at++)
        if (letter && at->letter == letter) return at;
    return NULL;
}

static int set_flag(const struct conf_option *option, const char *value, const char *where,
                    struct err *err)
{
    static const char *const yes[] = {"true", "yes", "on", "1"};
    static const char *const no[] = {"false", "no", "off", "0"};
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        if (!str_eq(value, yes[i]) && !str_eq(value, no[i])) continue;
        *(bool *)option->dst = str_eq(value, yes[i]);
        return 0;
    }
    return err_set(err, ERR_INVALID, "%s must be true or false, not '%.40s'", where, value);
}

static int add_items(struct source *source, const struct conf_option *option, const char *value,
                     const char *where, struct err *err)
{
    struct conf_list *list = option->dst;
    const size_t index = (size_t)(option - source->conf->options);
    CHECK(index < OPTIONS_MAX);
    if (!source->began[index]) list->count = 0;
    source->began[index] = true;
    while (*value) {
        const char *start = value + strspn(value, ", ");
        size_t bytes = strcspn(start, ",");
        value = start + bytes;
        while (bytes && start[bytes - 1] == ' ') bytes--;
        if (!bytes) continue;
        if (list->count == CONF_LIST_MAX)
            return err_set(err, ERR_INVALID, "%s takes at most %d items", where, CONF_LIST_MAX);
        list->item[list->count++] = own(source->conf, start, bytes);
    }
    return 0;
}

/* Gives option the value; where is how the person wrote its name. */
static int set_option(struct source *source, const struct conf_option *option, const char *value,
                      const char *where, struct err *err)
{
    int64_t min = option->min, max = option->max;
    switch (option->type) {
    case CONF_FLAG:
        return set_flag(option, value, where, err);
    case CONF_TEXT:
        *(const char **)option->dst =
            source->borrowed ? value : own(source->conf, value, strlen(value));
        return 0;
    case CONF_INT:
        if (!min && !max) {
            min = INT64_MIN;
            max = INT64_MAX;
        }
        return str_to_int(option->dst, value, min, max, where, err);
    case CONF_BYTES:
        return str_to_bytes(option->dst, value, where, err);
    case CONF_MS:
        return str_to_ms(option->dst, value, where, err);
    case CONF_LIST:
        return add_items(source, option, value, where, err);
    }
    return err_set(err, ERR_INTERNAL, "option %s has no type", option->name);
}

/* A value in quotes is taken as it stands; else a # after a space begins a comment. Ends the
 * value in place and returns where it begins, or NULL when the closing quote is missing. */
static char *file_value(char *text)
{
    text += strspn(text, " \t");
    if (*text == '"') {
        char *end = strchr(++text, '"');
        if (!end) return NULL;
        const char *rest = end + 1 + strspn(end + 1, " \t\r");
        if (*rest && *rest != '#') return NULL;
        *end = 0;
        return text;
    }
    for (char *at = text; *at; at++)
        if (*at == '#' && (at == text || at[-1] == ' ' || at[-1] == '\t')) *at = 0;
    size_t bytes = strlen(text);
    while (bytes && strchr(" \t\r", text[bytes - 1])) text[--bytes] = 0;
    return text;
}

static int file_line(struct source *source, char *line, const char *path, uint32_t number,
                     struct err *err)
{
    char *name = line + strspn(line, " \t\r");
    if (!*name || *name == '#') return 0;
    const size_t bytes = strcspn(name, " \t=");
    char *equals = name + bytes + strspn(name + bytes, " \t");
    if (!bytes || *equals != '=')
        return err_set(err, ERR_INVALID, "%s:%u: write 'name = value', not '%.40s'", path, number,
                       name);
    const struct conf_option *option = by_name(source->conf, name, bytes);
    if (!option)
        return err_set(err, ERR_INVALID, "%s:%u: unknown option '%.*s'; see %s --help", path,
                       number, (int)(bytes < 40 ? bytes : 40), name, source->conf->program);
    const char *value = file_value(equals + 1);
    if (!value)
        return err_set(err, ERR_INVALID, "%s:%u: the quotes around the value of %s do not match",
                       path, number, option->name);
    char where[ERR_MSG_BYTES];
    (void)snprintf(where, sizeof where, "%s:%u: %s", path, number, option->name);
    return set_option(source, option, value, where, err);
}

static int load_file(struct conf *conf, const char *path, bool required, struct err *err)
{
    struct source source = {.conf = conf};
    struct buf text;
    struct err local;
    char *line;
    buf_init(&text, FILE_BYTES_MAX);
    int rc = fs_read(&text, path, FILE_BYTES_MAX, &local);
    if (rc == ERR_NOT_FOUND && !required) {
        rc = 0;
        goto out;
    }
    if (rc) {
        rc = err_set(err, local.code, "configuration: %s", local.msg);
        goto out;
    }
    if (text.len && strlen(text.data) != text.len) {
        rc = err_set(err, ERR_INVALID, "%s is not a text file", path);
        goto out;
    }
    line = text.data;
    for (uint32_t number = 1; !rc && line && *line; number++) {
        char *end = strchr(line, '\n');
        if (end) *end = 0;
        rc = file_line(&source, line, path, number, err);
        line = end ? end + 1 : NULL;
    }
out:
    buf_deinit(&text);
    return rc;
}

static void environment_name(char *dst, size_t dst_bytes, const char *name)
{
    (void)snprintf(dst, dst_bytes, "VLMQ_%s", name);
    for (char *at = dst; *at; at++) {
        if (*at == '-') *at = '_';
        if (*at >= 'a' && *at <= 'z') *at = (char)(*at - 'a' + 'A');
    }
}

static int load_environment(struct conf *conf, struct err *err)
{
    struct source source = {.conf = conf};
    for (const struct conf_option *at = conf->options; at->name; at++) {
        char name[96];
        environment_name(name, sizeof name, at->name);
        const char *value = getenv(name);
        if (!value || !*value) continue;
        const int rc = set_option(&source, at, value, name, err);
        if (rc) return rc;
    }
    return 0;
}

int conf_load(struct conf *conf, const char *path, bool required, struct err *err)
{
    const int rc = path ? load_file(conf, path, required, err) : 0;
    return rc ? rc : load_environment(conf, err);
}

/* The command line being read. */
struct line {
    struct source source;
    int argc, at;
    char *const *argv;
};

static int missing(const struct conf *conf, const char *where, struct err *err)
{
    return err_set(err, ERR_INVALID, "%s needs a value; see %s --help", where, conf->program);
}

static int unknown(const struct conf *conf, const char *written, size_t bytes, struct err *err)
{
    char hint[64] = "";
    const char *name = written + strspn(written, "-");
    const char *near = conf_near(conf, name, bytes - (size_t)(name - written));
    if (near) (void)snprintf(hint, sizeof hint, " (did you mean --%.40s?)", near);
    return err_set(err, ERR_INVALID, "unknown option %.*s%s; see %s --help",
                   (int)(bytes < 40 ? bytes : 40), written, hint, conf->program);
}

/* --name, --no-name, --name=value or --name value. */
static int take_long(struct line *line, const char *word, struct err *err)
{
    struct conf *conf = line->source.conf;
    const char *name = word + 2;
    const size_t bytes = strcspn(name, "=");
    const char *value = name[bytes] ? name + bytes + 1 : NULL;
    char where[64];
    (void)snprintf(where, sizeof where, "--%.*s", (int)(bytes < 48 ? bytes : 48), name);
    const struct conf_option *option = by_name(conf, name, bytes);
    if (!option && !value && str_has_prefix(name, "no-")) {
        option = by_name(conf, name + 3, bytes - 3);
        if (option && option->type != CONF_FLAG) option = NULL;
        if (option) value = "false";
    }
    if (!option) return unknown(conf, word, bytes + 2, err);
    if (!value && option->type == CONF_FLAG) value = "true";
    if (!value && line->at + 1 < line->argc) value = line->argv[++line->at];
    if (!value) return missing(conf, where, err);
    return set_option(&line->source, option, value, where, err);
}

/* -v, -vq (flags together), -n value or -nvalue. */
static int take_letters(struct line *line, const char *word, struct err *err)
{
    struct conf *conf = line->source.conf;
    for (const char *at = word + 1; *at; at++) {
        const char where[] = {'-', *at, 0};
        const struct conf_option *option = by_letter(conf, *at);
        if (!option) return unknown(conf, where, 2, err);
        const char *value = "true";
        const bool last = option->type != CONF_FLAG;
        if (last) {
            value = at[1] ? at + 1 : NULL;
            if (!value && line->at + 1 < line->argc) value = line->argv[++line->at];
            if (!value) return missing(conf, where, err);
        }
        const int rc = set_option(&line->source, option, value, where, err);
        if (rc || last) return rc;
    }
    return 0;
}

/* --help counts wherever it stands before --, also beside mistakes. */
static bool asks_help(const struct conf *conf, int argc, char *const *argv)
{
    for (int i = 1; i < argc && !str_eq(argv[i], "--"); i++)
        if (str_eq(argv[i], "--help") || (str_eq(argv[i], "-h") && !by_letter(conf, 'h')))
            return true;
    return false;
}

int conf_parse(struct conf *conf, int argc, char *const *argv, struct err *err)
{
    struct line line = {.source = {.conf = conf, .borrowed = true}, .argc = argc, .argv = argv};
    bool ended = false;
    conf->args_count = 0;
    conf->help_asked = asks_help(conf, argc, argv);
    if (conf->help_asked) return 0;
    for (line.at = 1; line.at < argc; line.at++) {
        const char *word = argv[line.at];
        int rc = 0;
        if (!ended && str_eq(word, "--")) {
            ended = true;
        } else if (!ended && str_has_prefix(word, "--")) {
            rc = take_long(&line, word, err);
        } else if (!ended && word[0] == '-' && word[1]) {
            rc = take_letters(&line, word, err);
        } else if (conf->args_count == CONF_ARGS_MAX) {
            rc = err_set(err, ERR_INVALID, "more than %d arguments", CONF_ARGS_MAX);
        } else {
            conf->arg[conf->args_count++] = word;
        }
        if (rc) return rc;
    }
    return 0;
}

const char *conf_peek(int argc, char *const *argv, const char *name)
{
    const char *found = NULL;
    for (int i = 1; i < argc && !str_eq(argv[i], "--"); i++) {
        if (!str_has_prefix(argv[i], "--") || !str_has_prefix(argv[i] + 2, name)) continue;
        const char *rest = argv[i] + 2 + strlen(name);
        if (*rest == '=') found = rest + 1;
        if (!*rest && i + 1 < argc) found = argv[i + 1];
    }
    return found;
}
