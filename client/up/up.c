/* up.c - vlmq up and vlmq down. */
#include "client/print.h"
#include "client/up/fleet.h"
#include "client/verbs.h"
#include "common/base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define DRAIN_MS 15000 /* more than workers allow themselves */

static void print_part_json(const struct part *part)
{
    (void)printf("{\"part\":\"%s\",\"pid\":%" PRId32 ",\"started\":%s}\n", part->name,
                 part->pid.pid, part->started ? "true" : "false");
}

static int up(struct command *cmd, struct fleet_wish *wish, struct err *err)
{
    if (cmd->broker && *cmd->broker)
        (void)fprintf(stderr,
                      "vlmq: --broker (or the configuration) names a fleet; commands will use that "
                      "one, not the local fleet\n");
    int rc = fleet_open(&cmd->fleet, cmd->fleet_dir, true, err);
    if (!rc) rc = fleet_ensure(cmd->fleet, wish, err);
    if (rc) return rc;
    uint32_t started = 0;
    for (uint32_t i = 0; i < wish->parts; i++) {
        const struct part *part = &wish->part[i];
        started += part->started;
        if (cmd->json)
            print_part_json(part);
        else if (part->started)
            print_line("started %s (pid %" PRId32 ")", part->name, part->pid.pid);
    }
    if (!cmd->json)
        print_line("the local fleet %s in %s", started ? "is up" : "is up already",
                   fleet_dir(cmd->fleet));
    return 0;
}

int verb_up(struct command *cmd)
{
    static const struct command_help help = {
        .usage = "[options]",
        .summary = "Starts the local fleet: a Redis, a broker and a worker for each device, which "
                   "run on until vlmq down. Other commands do the same when they need it. "
                   "Doing it again starts what is missing.",
        .example = "vlmq up --device cpu && vlmq status",
    };
    struct conf_list devices = {.count = 0};
    struct fleet_wish wish = {.device = devices.item};
    const struct conf_option options[] = {
        {"device", 0, CONF_LIST, &devices, 0, 0, "LIST",
         "Devices that get a worker each, such as cpu or cuda:0; cpu if none is named."},
        {"slots", 0, CONF_INT, &wish.slots, 0, 1024, "N",
         "Tasks that a new worker runs at a time; 0: its own choice."},
        {0},
    };
    struct err err;
    if (!command_begin(cmd, &help, options)) return (int)cmd->status;
    wish.devices = devices.count;
    int rc = 0;
    for (uint32_t i = 0; !rc && i < devices.count; i++)
        if (strspn(devices.item[i], "abcdefghijklmnopqrstuvwxyz0123456789:") !=
                strlen(devices.item[i]) ||
            strlen(devices.item[i]) > 15)
            rc = err_set(&err, ERR_INVALID, "'%.40s' is no device; cpu and cuda:0 are",
                         devices.item[i]);
    if (!rc) rc = up(cmd, &wish, &err);
    return command_end(cmd, rc, &err);
}

static void tell(void *ctx, const char *part, const char *what)
{
    const struct command *cmd = ctx;
    if (cmd->json) {
        if (str_eq(what, "stopped")) (void)printf("{\"part\":\"%s\",\"stopped\":true}\n", part);
    } else {
        print_line("%s %s", part, what);
    }
}

int verb_down(struct command *cmd)
{
    static const struct command_help help = {
        .usage = "[options]",
        .summary = "Stops the local fleet. Workers hand back the tasks they are at; jobs and "
                   "results stay, and go on with the next vlmq up. Stopping a fleet that does not "
                   "run is fine.",
        .example = "vlmq down --drain 5s",
    };
    struct fleet_stop stop = {.drain_ms = DRAIN_MS, .tell = tell, .ctx = cmd};
    const struct conf_option options[] = {
        {"drain", 0, CONF_MS, &stop.drain_ms, 0, 0, "TIME",
         "How long workers may take to hand back their tasks before they must drop them."},
        {"forget", 0, CONF_FLAG, &stop.forget, 0, 0, NULL,
         "Forget parts that were started on another machine, which is gone."},
        {0},
    };
    struct err err;
    if (!command_begin(cmd, &help, options)) return (int)cmd->status;
    int rc = fleet_open(&cmd->fleet, cmd->fleet_dir, false, &err);
    if (rc == ERR_NOT_FOUND) {
        if (!cmd->json) print_line("no local fleet runs in %s", cmd->fleet_dir);
        return command_end(cmd, 0, NULL);
    }
    if (!rc) rc = fleet_stop(cmd->fleet, &stop, &err);
    if (!rc && !cmd->json) {
        if (stop.stopped)
            print_line("the local fleet is down; its jobs are kept in %s", fleet_dir(cmd->fleet));
        else
            print_line("no local fleet runs in %s", fleet_dir(cmd->fleet));
    }
    return command_end(cmd, rc, &err);
}
