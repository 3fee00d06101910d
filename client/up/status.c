/* status.c - vlmq status: the parts of the fleet and what the broker sees. */
#include "client/print.h"
#include "client/up/fleet.h"
#include "client/verbs.h"
#include "common/base/str.h"
#include "proto/wire/spec.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PING_TIMEOUT_MS 3000

static const char *part_state(const struct part *part)
{
    if (part->state == PIDFILE_ALIVE) return "running";
    if (part->state == PIDFILE_ELSEWHERE) return "on another machine";
    return part->known ? "crashed" : "not running";
}

/* The worker's program version, found by the pid in its id (host/device/pid/nonce). */
static const char *worker_version(const Vlmq__WorkersAnswer *workers, int32_t pid)
{
    char part[24];
    (void)snprintf(part, sizeof part, "/%" PRId32 "/", pid);
    for (size_t i = 0; workers && i < workers->n_workers; i++)
        if (strstr(workers->workers[i]->id, part)) return workers->workers[i]->program;
    return "-";
}

static void parts_table(const struct part *part, uint32_t count, const char *redis_version,
                        const Vlmq__PingAnswer *ping, const Vlmq__WorkersAnswer *workers)
{
    static const struct table_column columns[] = {
        {"PART", false, false}, {"STATE", false, false}, {"PID", true, false},
        {"UP", true, false},    {"MEMORY", true, false}, {"VERSION", false, false},
    };
    struct table table;
    table_init(&table, columns, sizeof columns / sizeof columns[0]);
    for (uint32_t i = 0; i < count; i++) {
        int64_t uptime = 0, rss = 0;
        char up[24] = "-", memory[24] = "-", pid[16] = "-";
        const bool alive = part[i].state == PIDFILE_ALIVE;
        if (alive) {
            pidfile_usage(&part[i].pid, &uptime, &rss);
            (void)str_human_ms(up, sizeof up, uptime);
            (void)str_human_bytes(memory, sizeof memory, (double)rss);
            (void)snprintf(pid, sizeof pid, "%" PRId32, part[i].pid.pid);
        }
        const char *version = "-";
        if (alive && part[i].kind == PART_REDIS && *redis_version) version = redis_version;
        if (alive && part[i].kind == PART_BROKER && ping) version = ping->program;
        if (alive && part[i].kind == PART_WORKER)
            version = worker_version(workers, part[i].pid.pid);
        table_cell(&table, "%s", part[i].name);
        table_cell(&table, "%s", part_state(&part[i]));
        table_cell(&table, "%s", pid);
        table_cell(&table, "%s", up);
        table_cell(&table, "%s", memory);
        table_cell(&table, "%s", version);
    }
    table_print(&table);
    table_deinit(&table);
}

static void parts_json(struct buf *out, const struct part *part, uint32_t count)
{
    buf_text(out, ",\"parts\":[");
    for (uint32_t i = 0; i < count; i++) {
        int64_t uptime = 0, rss = 0;
        if (part[i].state == PIDFILE_ALIVE) pidfile_usage(&part[i].pid, &uptime, &rss);
        buf_printf(out,
                   "%s{\"part\":\"%s\",\"state\":\"%s\",\"pid\":%" PRId32 ",\"uptime_ms\":%" PRId64
                   ",\"memory_bytes\":%" PRId64 "}",
                   i ? "," : "", part[i].name, part_state(&part[i]), part[i].pid.pid, uptime, rss);
    }
    buf_text(out, "]");
}

static void broker_lines(const char *address, const Vlmq__PingAnswer *ping)
{
    char used[24], most[24], up[24];
    print_line("broker %s: version %s, up %s, workers %u, active jobs %u, tasks handed "
               "out %" PRIu64 ", done %" PRIu64,
               address, ping->program, str_human_ms(up, sizeof up, ping->uptime_ms), ping->workers,
               ping->jobs_active, ping->tasks_taken, ping->tasks_done);
    print_line("redis: %s, %s of %s used%s%s", ping->redis_ready ? "ready" : "not ready",
               str_human_bytes(used, sizeof used, (double)ping->redis_bytes),
               ping->redis_bytes_max
                   ? str_human_bytes(most, sizeof most, (double)ping->redis_bytes_max)
                   : "unlimited",
               ping->redis_note[0] ? "; " : "", ping->redis_note);
}

/* What is known of the fleet; the parts are those of the local one only. */
struct standing {
    struct part part[FLEET_PARTS_MAX];
    uint32_t parts;
    char redis_version[32];
    Vlmq__PingAnswer *ping; /* NULL: the broker does not answer */
    Vlmq__WorkersAnswer *workers;
    bool running;
    struct err err; /* why not */
};

static void ask_broker(struct command *cmd, struct standing *now)
{
    if (cmd->timeout_ms > PING_TIMEOUT_MS) cmd->timeout_ms = PING_TIMEOUT_MS;
    if (command_connect_running(cmd, &now->err) ||
        vlmq_ping(cmd->vlmq, &now->ping, &cmd->arena, &now->err) ||
        vlmq_workers(cmd->vlmq, &now->workers, &cmd->arena, &now->err))
        now->workers = NULL;
    now->running = now->ping != NULL;
}

static void look(struct command *cmd, struct standing *now)
{
    if (!cmd->broker || !*cmd->broker) {
        struct fleet *fleet = NULL;
        if (fleet_open(&fleet, cmd->fleet_dir, false, &now->err)) return;
        now->parts = fleet_parts(fleet, now->part);
        (void)fleet_redis_ping(fleet, now->redis_version, sizeof now->redis_version);
        fleet_close(fleet);
        if (now->part[0].state != PIDFILE_ALIVE || now->part[1].state != PIDFILE_ALIVE) return;
    }
    ask_broker(cmd, now);
    for (uint32_t i = 0; i < now->parts; i++)
        if (now->part[i].state != PIDFILE_ALIVE) now->running = false;
}

static void show(const struct command *cmd, const struct standing *now)
{
    if (now->parts) parts_table(now->part, now->parts, now->redis_version, now->ping, now->workers);
    if (now->ping) {
        broker_lines(link_broker(vlmq_link(cmd->vlmq)), now->ping);
    } else if (cmd->broker && *cmd->broker) {
        print_line("%s does not answer: %s", cmd->broker, now->err.msg);
    } else if (!now->parts) {
        print_line("no local fleet in %s; vlmq up starts one", cmd->fleet_dir);
    } else if (now->err.code) {
        print_line("the broker does not answer: %s", now->err.msg);
    } else {
        print_line("the local fleet is not running; vlmq up starts it");
    }
}

static void show_json(const struct command *cmd, const struct standing *now)
{
    struct buf out;
    buf_init(&out, 0);
    buf_printf(&out, "{\"running\":%s", now->running ? "true" : "false");
    if (now->parts) parts_json(&out, now->part, now->parts);
    if (now->ping) {
        const char *address = link_broker(vlmq_link(cmd->vlmq));
        buf_text(&out, ",\"address\":");
        str_json(&out, address, strlen(address));
        buf_text(&out, ",\"broker\":");
        spec_message_json(&out, &now->ping->base);
    }
    buf_text(&out, "}\n");
    print_out(stdout, &out);
    buf_deinit(&out);
}

int verb_status(struct command *cmd)
{
    static const struct command_help help = {
        .usage = "[options]",
        .summary = "Shows the parts of the local fleet, or the brokers that --broker names. "
                   "The exit status is 0 if all of it runs and 3 if not.",
        .example = "vlmq status --json",
    };
    static const struct conf_option options[] = {{0}};
    if (!command_begin(cmd, &help, options)) return (int)cmd->status;
    struct standing *now = arena_new(&cmd->arena, sizeof *now);
    look(cmd, now);
    if (cmd->json)
        show_json(cmd, now);
    else
        show(cmd, now);
    if (!now->running)
        cmd->status = cmd->broker && *cmd->broker ? STATUS_UNREACHABLE : STATUS_NOT_FOUND;
    return command_end(cmd, 0, NULL);
}
