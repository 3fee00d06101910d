/* stop.c - stops the parts of a local fleet: the workers, then the broker, then Redis.
 *
 * Each gets SIGTERM, which they take for an orderly end; a worker that is not gone within the
 * drain time gets a second one, which aborts; what remains after a bound is killed. */
#include "client/up/inside.h"
#include "common/base/clock.h"
#include "common/base/fs.h"
#include "common/base/str.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/types.h>
#include <unistd.h>

#define TICK_MS  10
#define ABORT_MS 3000
#define STOP_MS  10000
#define KILL_MS  5000
#define TELL_MS  1000 /* after so long a person wants to know what is waited for */

static void tell(const struct fleet_stop *stop, const struct part *part, const char *what)
{
    if (stop->tell) stop->tell(stop->ctx, part->name, what);
}

static void send_signal(const struct part *part, int number)
{
    if (pidfile_state(&part->pid) == PIDFILE_ALIVE) (void)kill((pid_t)part->pid.pid, number);
}

/* Waits until all parts of the kind are gone; true when they are. */
static bool wait_gone(const struct fleet_stop *stop, const struct part *part, uint32_t count,
                      enum part_kind kind, int64_t wait_ms)
{
    const int64_t start = clock_real.mono_ms(&clock_real);
    bool told = false;
    for (;;) {
        const struct part *left = NULL;
        for (uint32_t i = 0; i < count; i++)
            if (part[i].kind == kind && part[i].known &&
                pidfile_state(&part[i].pid) == PIDFILE_ALIVE)
                left = &part[i];
        const int64_t waited = clock_real.mono_ms(&clock_real) - start;
        if (!left) return true;
        if (waited >= wait_ms) return false;
        if (!told && waited > TELL_MS) {
            tell(stop, left, "is still finishing");
            told = true;
        }
        clock_sleep_ms(TICK_MS);
    }
}

static void signal_kind(const struct part *part, uint32_t count, enum part_kind kind, int number)
{
    for (uint32_t i = 0; i < count; i++)
        if (part[i].kind == kind && part[i].known) send_signal(&part[i], number);
}

static int stop_kind(const struct fleet *fleet, struct fleet_stop *stop, struct part *part,
                     uint32_t count, enum part_kind kind, struct err *err)
{
    char file[FLEET_NAME_BYTES + 8], path[PATH_MAX];
    signal_kind(part, count, kind, SIGTERM);
    bool gone =
        wait_gone(stop, part, count, kind, kind == PART_WORKER ? stop->drain_ms : (int64_t)STOP_MS);
    if (!gone && kind == PART_WORKER) {
        signal_kind(part, count, kind, SIGTERM);
        gone = wait_gone(stop, part, count, kind, ABORT_MS);
    }
    if (!gone) {
        signal_kind(part, count, kind, SIGKILL);
        (void)wait_gone(stop, part, count, kind, KILL_MS);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (part[i].kind != kind || !part[i].known) continue;
        if (part[i].state == PIDFILE_ALIVE && pidfile_state(&part[i].pid) == PIDFILE_ALIVE)
            return err_set(err, ERR_UNAVAILABLE, "%s (pid %d) cannot be ended", part[i].name,
                           (int)part[i].pid.pid);
        if (part[i].state == PIDFILE_ALIVE) {
            stop->stopped++;
            tell(stop, &part[i], "stopped");
        }
        (void)snprintf(file, sizeof file, "%s.pid", part[i].name);
        (void)unlink(fleet_path(fleet, path, sizeof path, file));
    }
    return 0;
}

int fleet_stop(struct fleet *fleet, struct fleet_stop *stop, struct err *err)
{
    static const enum part_kind order[] = {PART_WORKER, PART_BROKER, PART_REDIS};
    struct part part[FLEET_PARTS_MAX];
    char path[PATH_MAX];
    int lock = -1;
    stop->stopped = 0;
    int rc = fs_lock(&lock, fleet_path(fleet, path, sizeof path, LOCK_FILE), LOCK_WAIT_MS, err);
    if (rc) return err_wrap(err, "another vlmq starts or stops the local fleet");
    const uint32_t count = fleet_parts(fleet, part);
    for (uint32_t i = 0; !rc && !stop->forget && i < count; i++)
        if (part[i].state == PIDFILE_ELSEWHERE)
            rc = err_set(err, ERR_UNAVAILABLE,
                         "%s was started on %s: stop it there, or, if that machine is gone, "
                         "vlmq down --forget",
                         part[i].name, part[i].pid.host);
    for (uint32_t i = 0; !rc && i < sizeof order / sizeof order[0]; i++)
        rc = stop_kind(fleet, stop, part, count, order[i], err);
    if (!rc) {
        (void)unlink(fleet_path(fleet, path, sizeof path, BROKER_SOCKET));
        (void)unlink(fleet_path(fleet, path, sizeof path, REDIS_SOCKET));
    }
    fs_unlock(lock);
    return rc;
}
