/* command.c - what the verbs have in common.
 *
 * The configuration file and the environment may set what concerns the fleet and the person
 * (broker, key-file, fleet, timeout, owner), not the options of single verbs: those come from
 * the command line alone. */
#include "client/command.h"

#include "client/print.h"
#include "client/up/fleet.h"
#include "common/base/check.h"
#include "common/base/fs.h"
#include "common/base/str.h"
#include "proto/wire/spec.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TIMEOUT_MS 15000
#define ARENA_BYTES_MAX                                                      \
    ((size_t)256 * 1024 * 1024) /* a page of the largest answers, many times \
                                 */

enum exit_status exit_of(enum err_code code)
{
    switch (code) {
    case ERR_OK:
        return STATUS_OK;
    case ERR_INVALID:
        return STATUS_USAGE;
    case ERR_NOT_FOUND:
        return STATUS_NOT_FOUND;
    case ERR_UNAVAILABLE:
        return STATUS_UNREACHABLE;
    case ERR_CANCELLED:
        return STATUS_CANCELLED;
    case ERR_DENIED:
        return STATUS_DENIED;
    case ERR_TIMEOUT:
        return STATUS_TIMEOUT;
    case ERR_STALE:
    case ERR_LIMIT:
    case ERR_CORRUPT:
    case ERR_VERSION:
    case ERR_INTERNAL:
    case ERR_FULL:
    case ERR_CODES_COUNT:
        break;
    }
    return STATUS_FAILED;
}

static void add_options(struct command *cmd, const struct conf_option *more, uint32_t *count)
{
    for (; more->name; more++) {
        CHECK(*count + 1 < COMMAND_OPTIONS_MAX);
        cmd->options[(*count)++] = *more;
    }
    cmd->options[*count] = (struct conf_option){0};
}

/* Verb options first: they are what a person looks for under --help. */
static void make_options(struct command *cmd, const struct conf_option *own)
{
    const struct conf_option shared[] = {
        {"broker", 0, CONF_TEXT, &cmd->broker, 0, 0, "LIST",
         "Brokers, such as tcp://host:5710; without one the local fleet is used."},
        {"key-file", 0, CONF_TEXT, &cmd->key_file, 0, 0, "FILE",
         "Key file of this client, made by vlmq keygen."},
        {"fleet", 0, CONF_TEXT, &cmd->fleet_dir, 0, 0, "DIR", "Folder of the local fleet."},
        {"config", 0, CONF_TEXT, &cmd->config, 0, 0, "FILE", "Configuration file."},
        {"timeout", 0, CONF_MS, &cmd->timeout_ms, 0, 0, "TIME",
         "How long to try each request before giving up."},
        {"json", 0, CONF_FLAG, &cmd->json, 0, 0, NULL, "Print JSON, one object in a line."},
        {0},
    };
    uint32_t count = 0;
    add_options(cmd, own, &count);
    add_options(cmd, shared, &count);
}

static void user_name(struct command *cmd)
{
    const struct passwd *entry = getpwuid(geteuid());
    const char *name = entry ? entry->pw_name : getenv("USER");
    (void)str_copy(cmd->user, sizeof cmd->user, name && *name ? name : "unknown");
    cmd->owner = cmd->user;
}

/* The file that --config or VLMQ_CONFIG names must be there; the usual one may be missing. */
static int load_defaults(struct command *cmd, struct err *err)
{
    struct conf_option table[] = {
        {"broker", 0, CONF_TEXT, &cmd->broker, 0, 0, "LIST", ""},
        {"key-file", 0, CONF_TEXT, &cmd->key_file, 0, 0, "FILE", ""},
        {"fleet", 0, CONF_TEXT, &cmd->fleet_dir, 0, 0, "DIR", ""},
        {"timeout", 0, CONF_MS, &cmd->timeout_ms, 0, 0, "TIME", ""},
        {"owner", 0, CONF_TEXT, &cmd->owner, 0, 0, "NAME", ""},
        {0},
    };
    const char *asked = conf_peek(cmd->argc, cmd->argv, "config");
    if (!asked) asked = getenv("VLMQ_CONFIG");
    const char *home = getenv("HOME"), *base = getenv("XDG_CONFIG_HOME");
    if (asked && *asked)
        (void)str_copy(cmd->config_path, sizeof cmd->config_path, asked);
    else if (base && *base)
        (void)snprintf(cmd->config_path, sizeof cmd->config_path, "%s/vlmq/vlmq.conf", base);
    else if (home && *home)
        (void)snprintf(cmd->config_path, sizeof cmd->config_path, "%s/.config/vlmq/vlmq.conf",
                       home);
    cmd->config = cmd->config_path[0] ? cmd->config_path : NULL;
    cmd->defaults.program = "vlmq";
    cmd->defaults.options = table;
    const int rc = conf_load(&cmd->defaults, cmd->config, asked && *asked, err);
    cmd->defaults.options = NULL;
    return rc;
}

static void print_words(const struct command *cmd)
{
    for (const struct conf_option *at = cmd->options; at->name; at++)
        (void)printf("--%s\n", at->name);
    (void)printf("--help\n");
}

static int check_args(const struct command *cmd, const struct command_help *help, struct err *err)
{
    const uint32_t count = cmd->conf.args_count;
    if (count < help->args_min)
        return err_set(err, ERR_INVALID, "usage: %s %s; see %s --help", cmd->program, help->usage,
                       cmd->program);
    if (count > help->args_max)
        return err_set(err, ERR_INVALID, "'%.60s' is one argument too many; usage: %s %s",
                       cmd->conf.arg[help->args_max], cmd->program, help->usage);
    return 0;
}

void command_prepare(struct command *cmd, const struct conf_option *options)
{
    if (cmd->prepared) return;
    cmd->prepared = true;
    arena_init(&cmd->arena, ARENA_BYTES_MAX);
    cmd->fleet_dir = FLEET_DIR;
    cmd->timeout_ms = TIMEOUT_MS;
    user_name(cmd);
    (void)snprintf(cmd->program, sizeof cmd->program, "vlmq %s", cmd->verb);
    make_options(cmd, options);
}

static void print_help(const struct conf *conf, const struct command_help *help)
{
    static const char title[] = "\nOptions:\n";
    struct buf text, out;
    buf_init(&text, 0);
    buf_init(&out, 0);
    conf_help(conf, &text);
    const char *at = help->middle ? strstr(buf_str(&text), title) : NULL;
    if (at) {
        buf_add(&out, text.data, (size_t)(at - text.data));
        buf_text(&out, help->middle);
        buf_text(&out, at);
    } else {
        buf_text(&out, buf_str(&text));
    }
    print_out(stdout, &out);
    buf_deinit(&text);
    buf_deinit(&out);
}

bool command_begin(struct command *cmd, const struct command_help *help,
                   const struct conf_option *options)
{
    struct err err;
    command_prepare(cmd, options);
    cmd->conf.program = cmd->program;
    cmd->conf.usage = help->usage;
    cmd->conf.summary = help->summary;
    cmd->conf.example = help->example;
    cmd->conf.options = cmd->options;
    if (cmd->mode == COMMAND_WORDS) {
        print_words(cmd);
        (void)command_end(cmd, 0, NULL);
        return false;
    }
    int rc = load_defaults(cmd, &err);
    if (!rc) rc = conf_parse(&cmd->conf, cmd->argc, cmd->argv, &err);
    if (!rc && cmd->conf.help_asked) {
        print_help(&cmd->conf, help);
        (void)command_end(cmd, 0, NULL);
        return false;
    }
    if (!rc) rc = check_args(cmd, help, &err);
    if (!rc && (cmd->timeout_ms < 1 || cmd->timeout_ms > INT32_MAX))
        rc = err_set(&err, ERR_INVALID, "--timeout must be between 1ms and 24 days");
    if (!rc) return true;
    (void)command_end(cmd, rc, &err);
    cmd->status = STATUS_USAGE;
    return false;
}

static void print_error(const struct command *cmd, const struct err *err)
{
    struct buf out;
    buf_init(&out, 0);
    if (cmd->json) {
        buf_printf(&out, "{\"error\":{\"code\":\"%s\",\"message\":", err_name(err->code));
        str_json(&out, err->msg, strlen(err->msg));
        buf_text(&out, "}}\n");
        print_out(stdout, &out);
    } else {
        buf_text(&out, "vlmq: ");
        print_clean(&out, err->msg);
        buf_byte(&out, '\n');
        print_out(stderr, &out);
    }
    buf_deinit(&out);
}

int command_end(struct command *cmd, int rc, const struct err *err)
{
    if (rc) {
        print_error(cmd, err);
        cmd->status = exit_of((enum err_code)rc);
    }
    vlmq_close(cmd->vlmq);
    cmd->vlmq = NULL;
    fleet_close(cmd->fleet);
    cmd->fleet = NULL;
    conf_deinit(&cmd->conf);
    conf_deinit(&cmd->defaults);
    arena_deinit(&cmd->arena);
    return (int)cmd->status;
}

const char *command_arg(const struct command *cmd, uint32_t i)
{
    return i < cmd->conf.args_count ? cmd->conf.arg[i] : NULL;
}

static int connect_to(struct command *cmd, bool start, struct err *err)
{
    char address[FLEET_ADDRESS_BYTES];
    struct link_options options = {.brokers = cmd->broker, .key_file = cmd->key_file};
    if (!cmd->broker || !*cmd->broker) {
        int rc = fleet_open(&cmd->fleet, cmd->fleet_dir, start, err);
        if (rc == ERR_NOT_FOUND)
            return err_set(err, ERR_UNAVAILABLE, "no local fleet runs in %s; vlmq up starts one",
                           cmd->fleet_dir);
        if (rc) return rc;
        rc = start ? fleet_ensure(cmd->fleet, NULL, err) : fleet_check(cmd->fleet, err);
        if (rc) return rc;
        fleet_broker_address(cmd->fleet, address);
        options.brokers = address;
        options.key_file = NULL;
    }
    return vlmq_open(&cmd->vlmq, &options, (uint32_t)cmd->timeout_ms, err);
}

int command_connect(struct command *cmd, struct err *err)
{
    return connect_to(cmd, true, err);
}

int command_connect_running(struct command *cmd, struct err *err)
{
    return connect_to(cmd, false, err);
}

int command_job(struct command *cmd, char id[JOB_ID_BYTES], uint32_t i, struct err *err)
{
    CHECK(i < cmd->conf.args_count);
    return vlmq_resolve(cmd->vlmq, id, cmd->conf.arg[i], err);
}

void command_json(const ProtobufCMessage *message)
{
    struct buf out;
    buf_init(&out, 0);
    spec_message_json(&out, message);
    buf_byte(&out, '\n');
    print_out(stdout, &out);
    buf_deinit(&out);
}

void command_job_json(struct buf *out, const Vlmq__Job *job, struct arena *arena)
{
    static const char empty[] = "\"spec\":\"\"";
    Vlmq__Job shown = *job;
    struct buf text;
    struct err err;
    ProtobufCMessage *spec = NULL;
    shown.spec.len = 0;
    shown.spec.data = NULL;
    buf_init(&text, 0);
    spec_message_json(&text, &shown.base);
    /* Quotes inside of values are escaped, so the first match is the field. */
    const char *at = strstr(buf_str(&text), empty);
    if (at && job->spec.len &&
        !spec_unpack(&spec, job->kind, job->spec.data, job->spec.len, arena, &err)) {
        buf_add(out, text.data, (size_t)(at - text.data));
        buf_text(out, "\"spec\":");
        spec_json(out, spec);
        buf_text(out, at + sizeof empty - 1);
    } else {
        buf_text(out, buf_str(&text));
    }
    buf_deinit(&text);
}
