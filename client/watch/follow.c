/* follow.c - watches over the link; a watch is asked for again before its lease is over, and
 * whenever the link moves to another broker. A fleet that does not answer is asked again, with the
 * patience of client/patience.h.
 *
 * The parts of a local fleet are looked after while a person waits: when one has crashed, `vlmq
 * up` is run beside this program, which cannot fork a part itself once ZeroMQ's threads are
 * there. */
#include "client/watch/follow.h"

#include "client/print.h"
#include "client/up/fleet.h"
#include "client/watch/progress.h"
#include "common/base/clock.h"
#include "common/base/stop.h"
#include "common/base/str.h"
#include "proto/wire/spec.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/wait.h>
#include <unistd.h>

#define WATCH_AGAIN_MS (POLL_TTL_MS / 2)
#define DRAW_MS        150  /* a terminal is drawn at most so often */
#define LINE_MS        5000 /* a log gets a line at most so often */
#define TICK_MS        1000
#define LOOK_AFTER_MS  3000
#define UPDATE_BYTES   ((size_t)4 * MESSAGE_BYTES_MAX)

extern char **environ;

/* What is being watched, and what has been shown of it. */
struct watching {
    struct command *cmd;
    struct follow *follow; /* NULL: all jobs */
    const char *id;        /* "" all jobs */
    struct wake wake;
    struct rate rate;
    struct progress_style style;
    int64_t watch_at_ms, drawn_at_ms, looked_at_ms;
    uint64_t request_id;
    Vlmq__JobState state; /* as shown last */
    uint32_t tasks_total;
    bool waiting; /* a WATCH is open */
    bool ended;
    int lines; /* on the terminal, to be drawn over */
};

static int64_t now_ms(void)
{
    return clock_real.mono_ms(&clock_real);
}

static bool is_utf8(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *value = getenv(names[i]);
        if (!value || !*value) continue;
        for (; *value; value++)
            if (!strncasecmp(value, "utf-8", 5) || !strncasecmp(value, "utf8", 4)) return true;
        return false;
    }
    return false;
}

/* Takes the block off the terminal. */
static void erase(struct watching *w)
{
    struct buf out;
    if (!w->lines) return;
    buf_init(&out, 0);
    for (int i = 1; i < w->lines; i++) buf_text(&out, "\r\033[K\033[A");
    buf_text(&out, "\r\033[K");
    print_out(stderr, &out);
    buf_deinit(&out);
    w->lines = 0;
}

static void draw(struct watching *w, const Vlmq__WatchUpdate *update)
{
    struct buf out;
    w->style.width = print_width(STDERR_FILENO);
    erase(w);
    buf_init(&out, 0);
    progress_line(&out, update->job, rate_per_s(&w->rate), &w->style);
    w->lines = 1;
    const size_t before = out.len;
    buf_text(&out, "\n  ");
    progress_stages(&out, update, &w->style);
    if (out.len == before + 3)
        out.len = before;
    else
        w->lines = 2;
    print_out(stderr, &out);
    buf_deinit(&out);
}

static void line(struct watching *w, const Vlmq__WatchUpdate *update)
{
    char at[CLOCK_TEXT_BYTES];
    struct buf out;
    buf_init(&out, 0);
    (void)clock_text(at, clock_real.wall_ms(&clock_real));
    buf_printf(&out, "%.19sZ ", at);
    if (!w->follow) buf_printf(&out, "%s %s ", update->job->id, update->job->kind);
    progress_line(&out, update->job, w->follow ? rate_per_s(&w->rate) : 0, &w->style);
    const size_t before = out.len;
    buf_text(&out, "  ");
    if (w->follow) progress_stages(&out, update, &w->style);
    if (out.len == before + 2) out.len = before;
    buf_byte(&out, '\n');
    print_out(w->follow ? stderr : stdout, &out);
    buf_deinit(&out);
}

/* Whether enough has happened, or enough time has gone by, to show it. */
static bool is_due(const struct watching *w, const Vlmq__Job *job, bool terminal)
{
    if (!w->drawn_at_ms || job->state != w->state) return true;
    if (!terminal && w->tasks_total < 2 && job->tasks_total > 1) return true;
    return now_ms() - w->drawn_at_ms >= (terminal ? DRAW_MS : LINE_MS);
}

static void show(struct watching *w, const Vlmq__WatchUpdate *update)
{
    const bool terminal = isatty(STDERR_FILENO);
    const Vlmq__Job *job = update->job;
    rate_add(&w->rate, now_ms(), job->progress ? job->progress->items : 0);
    if (w->cmd->json) {
        if (!vlmq_job_ended(job->state) || !w->follow) command_json(&update->base);
        return;
    }
    if (w->follow && w->follow->quiet) return;
    if (w->follow && !is_due(w, job, terminal)) return;
    w->drawn_at_ms = now_ms();
    w->state = job->state;
    w->tasks_total = job->tasks_total;
    if (w->follow && terminal)
        draw(w, update);
    else
        line(w, update);
}

static void heard(struct watching *w, const Vlmq__WatchUpdate *update)
{
    if (!update->job || (w->follow && !str_eq(update->job->id, w->id))) return;
    if (w->ended) return;
    w->ended = w->follow && vlmq_job_ended(update->job->state);
    show(w, update);
}

static int ask(struct watching *w, struct err *err)
{
    Vlmq__Watch request;
    vlmq__watch__init(&request);
    char id[JOB_ID_BYTES];
    struct link *link = vlmq_link(w->cmd->vlmq);
    (void)str_copy(id, sizeof id, w->id);
    request.job = id;
    if (w->waiting) link_forget(link, w->request_id);
    w->waiting = false;
    const int rc = link_send(link, &w->request_id, VLMQ__TYPE__WATCH, &request.base,
                             vlmq_timeout_ms(w->cmd->vlmq), 0, err);
    w->waiting = !rc;
    w->watch_at_ms = now_ms() + WATCH_AGAIN_MS;
    return rc;
}

/* A WATCH had no answer in its time, or a bad one. */
static int ask_failed(struct watching *w, const struct err *reason, struct err *err)
{
    w->waiting = false;
    w->watch_at_ms = now_ms() + TICK_MS;
    erase(w);
    if (patience_waits(vlmq_patience(w->cmd->vlmq), reason, now_ms())) return 0;
    *err = *reason;
    return (int)reason->code;
}

/* Something came from the fleet. A watch of all jobs begins without having asked anything else. */
static void sign_of_life(struct watching *w)
{
    struct patience *patience = vlmq_patience(w->cmd->vlmq);
    if (patience->away) erase(w);
    if (patience->begun)
        patience_heard(patience, now_ms());
    else
        patience_begin(patience, false, now_ms());
}

static int on_event(struct watching *w, const struct link_event *event, struct err *err)
{
    Vlmq__WatchUpdate update;
    vlmq__watch_update__init(&update);
    switch (event->kind) {
    case LINK_NOTHING:
        return 0;
    case LINK_MOVED:
        return ask(w, err);
    case LINK_FAILED:
        if (event->request_id != w->request_id) return 0;
        return ask_failed(w, &event->err, err);
    case LINK_PUSH:
        sign_of_life(w);
        if (event->envelope.type == VLMQ__TYPE__WATCH_UPDATE)
            heard(w, (const Vlmq__WatchUpdate *)event->envelope.body);
        return 0;
    case LINK_ANSWER:
        if (event->request_id != w->request_id) return 0;
        w->waiting = false;
        sign_of_life(w);
        update.job = ((const Vlmq__WatchAnswer *)event->envelope.body)->job;
        heard(w, &update);
        return 0;
    }
    return 0;
}

/* Runs `vlmq up` for the fleet and does not mind its outcome: the watch goes on either way, and
 * ends by itself when the broker stays away. */
static void bring_up(const char *dir)
{
    char self[] = "/proc/self/exe", verb[] = "up", option[] = "--fleet", folder[PATH_MAX];
    char *const argv[] = {self, verb, option, folder, NULL};
    posix_spawn_file_actions_t actions;
    pid_t pid;
    (void)str_copy(folder, sizeof folder, dir);
    if (posix_spawn_file_actions_init(&actions)) return;
    (void)posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", 1, 0);
    if (!posix_spawn(&pid, self, &actions, NULL, argv, environ)) {
        int status;
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
    }
    (void)posix_spawn_file_actions_destroy(&actions);
}

static void look_after(struct watching *w)
{
    struct part part[FLEET_PARTS_MAX];
    const int64_t now = now_ms();
    if (!w->cmd->fleet || now - w->looked_at_ms < LOOK_AFTER_MS) return;
    w->looked_at_ms = now;
    const uint32_t count = fleet_parts(w->cmd->fleet, part);
    for (uint32_t i = 0; i < count; i++) {
        /* A part without a pid file was stopped on purpose. */
        if (!part[i].known || part[i].state != PIDFILE_DEAD) continue;
        erase(w);
        (void)fprintf(stderr, "vlmq: the %s of the local fleet has ended; starting it again\n",
                      part[i].name);
        bring_up(fleet_dir(w->cmd->fleet));
        return;
    }
}

static int watch_loop(struct watching *w, struct err *err)
{
    struct link *link = vlmq_link(w->cmd->vlmq);
    int rc = ask(w, err);
    w->looked_at_ms = now_ms();
    while (!rc && !w->ended) {
        struct link_event event;
        link_next(link, &event, &w->wake.fd, 1, TICK_MS);
        if (stop_count()) {
            if (w->follow) w->follow->interrupted = true;
            break;
        }
        rc = on_event(w, &event, err);
        if (!rc && !w->waiting && now_ms() >= w->watch_at_ms) rc = ask(w, err);
        look_after(w);
    }
    erase(w);
    if (w->waiting) link_forget(link, w->request_id);
    return rc;
}

static int watch(struct watching *w, struct err *err)
{
    if (wake_open(&w->wake)) return err_errno(err, errno, "eventfd");
    stop_install(&w->wake);
    w->style.utf8 = is_utf8();
    const int rc = watch_loop(w, err);
    stop_install(NULL);
    wake_close(&w->wake);
    return rc;
}

int follow_job(struct command *cmd, struct follow *follow, const char *id, struct err *err)
{
    struct watching w = {.cmd = cmd, .follow = follow, .id = id};
    follow->job = NULL;
    follow->interrupted = false;
    /* The job was found, or submitted, before. */
    patience_begin(vlmq_patience(cmd->vlmq), follow->quiet, now_ms());
    int rc = watch(&w, err);
    if (!rc && !follow->interrupted) rc = vlmq_get(cmd->vlmq, &follow->job, id, &cmd->arena, err);
    if (rc && stop_count()) {
        follow->interrupted = true;
        return 0;
    }
    if (rc == ERR_UNAVAILABLE || rc == ERR_TIMEOUT)
        return err_wrap(err, "job %s may still go on, but the fleet does not answer", id);
    return rc;
}

int follow_all(struct command *cmd, struct err *err)
{
    struct watching w = {.cmd = cmd, .id = ""};
    const int rc = watch(&w, err);
    if (!rc) cmd->status = STATUS_INTERRUPTED;
    return rc;
}
