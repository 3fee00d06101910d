/* start.c - starts the parts of a local fleet that are missing.
 *
 * The quick way looks at a handful of small files and holds no lock. Only when something is
 * missing the lock is taken, and everything looked at again: of several commands that come at
 * once, one starts the fleet, and the others find it running. */
#include "client/up/inside.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/fs.h"
#include "common/base/str.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define START_MS       20000 /* Redis may have a large log to read */
#define TICK_MS        5
#define REDIS_SHARE    4 /* of the machine's memory, one in so many */
#define REDIS_LEAST    ((int64_t)256 * 1024 * 1024)
#define DEVICE_DEFAULT "cpu"
#define WORKER_DRAIN   "10s" /* who types vlmq down waits for it */

/* "worker-cuda-0" and back: a colon has no place in a file's name. */
static void worker_name(char dst[FLEET_NAME_BYTES], const char *device)
{
    (void)snprintf(dst, FLEET_NAME_BYTES, WORKER_PREFIX "%s", device);
    for (char *at = dst; *at; at++)
        if (*at == ':') *at = '-';
}

static void worker_device(char *dst, size_t dst_bytes, const char *name)
{
    (void)str_copy(dst, dst_bytes, name + sizeof WORKER_PREFIX - 1);
    char *dash = strchr(dst, '-');
    if (dash) *dash = ':';
}

/* Adds workers that are wished for; a fleet without any gets the default one. */
static int add_workers(struct part *part, uint32_t *count, const struct fleet_wish *wish,
                       struct err *err)
{
    static const char *const usual[] = {DEVICE_DEFAULT};
    const char *const *device = wish && wish->devices ? wish->device : usual;
    const uint32_t devices = wish && wish->devices ? wish->devices : 1;
    if ((!wish || !wish->devices) && *count > 2) return 0;
    for (uint32_t i = 0; i < devices; i++) {
        char name[FLEET_NAME_BYTES];
        worker_name(name, device[i]);
        uint32_t at = 2;
        while (at < *count && !str_eq(part[at].name, name)) at++;
        if (at < *count) continue;
        if (*count == FLEET_PARTS_MAX)
            return err_set(err, ERR_LIMIT, "a local fleet has at most %d workers",
                           FLEET_PARTS_MAX - 2);
        memset(&part[*count], 0, sizeof part[0]);
        part[*count].kind = PART_WORKER;
        (void)str_copy(part[*count].name, sizeof part[0].name, name);
        (*count)++;
    }
    return 0;
}

static bool all_alive(const struct part *part, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (part[i].state != PIDFILE_ALIVE) return false;
    return true;
}

static int64_t redis_bytes_max(void)
{
    const int64_t bytes = (int64_t)sysconf(_SC_PHYS_PAGES) * (int64_t)sysconf(_SC_PAGESIZE);
    return bytes / REDIS_SHARE > REDIS_LEAST ? bytes / REDIS_SHARE : REDIS_LEAST;
}

static int write_redis_conf(const struct fleet *fleet, struct err *err)
{
    char path[PATH_MAX], local[PATH_MAX], text[1024];
    const bool more = fs_exists(fleet_path(fleet, local, sizeof local, "redis.local.conf"));
    const int bytes =
        snprintf(text, sizeof text,
                 "# Written by vlmq at each start; put changes into redis.local.conf beside it.\n"
                 "port 0\n"
                 "unixsocket " REDIS_SOCKET "\n"
                 "unixsocketperm 700\n"
                 "daemonize no\n"
                 "dir .\n"
                 "save \"\"\n"
                 "appendonly yes\n"
                 "appendfsync always\n"
                 "maxmemory %" PRId64 "\n"
                 "maxmemory-policy noeviction\n"
                 "loglevel notice\n"
                 "%s",
                 redis_bytes_max(), more ? "include redis.local.conf\n" : "");
    return fs_put(fleet_path(fleet, path, sizeof path, "redis.conf"), text, (size_t)bytes, err);
}

static int64_t now_ms(void)
{
    return clock_real.mono_ms(&clock_real);
}

static int late(const char *name, struct err *err)
{
    return err_set(err, ERR_TIMEOUT, "%s was started but is not ready after %d s; see vlmq logs %s",
                   name, START_MS / 1000, name);
}

static int start_redis(const struct fleet *fleet, struct part *part, struct err *err)
{
    char program[PATH_MAX], path[PATH_MAX];
    struct daemon daemon = {.pid = -1, .ready_fd = -1};
    int rc = fleet_program(program, sizeof program, "redis-server", err);
    if (!rc) rc = write_redis_conf(fleet, err);
    if (rc) return rc;
    (void)unlink(fleet_path(fleet, path, sizeof path, REDIS_SOCKET));
    const char *const argv[] = {program, "redis.conf", NULL};
    rc = daemon_start(&daemon, fleet, part->name, argv, false, err);
    if (rc) return rc;
    part->started = true;
    const int64_t until = now_ms() + START_MS;
    while (!fleet_redis_ping(fleet, NULL, 0)) {
        if (daemon_poll(&daemon, fleet, part->name, err) < 0) return (int)err->code;
        if (now_ms() > until) return late(part->name, err);
        clock_sleep_ms(TICK_MS);
    }
    return 0;
}

/* As the parts see them, from inside the fleet's folder. */
static const char broker_address[] = "ipc://" BROKER_SOCKET;
static const char redis_address[] = "unix:" REDIS_SOCKET;

static int start_broker(const struct fleet *fleet, const struct part *part, struct daemon *daemon,
                        struct err *err)
{
    char program[PATH_MAX], path[PATH_MAX];
    const int rc = fleet_program(program, sizeof program, "vlmq-broker", err);
    if (rc) return rc;
    (void)unlink(fleet_path(fleet, path, sizeof path, BROKER_SOCKET));
    const bool conf = fs_exists(fleet_path(fleet, path, sizeof path, "broker.conf"));
    const char *const argv[] = {
        program,      "--listen",    broker_address,           "--redis",     redis_address,
        "--ready-fd", READY_FD_TEXT, conf ? "--config" : NULL, "broker.conf", NULL};
    return daemon_start(daemon, fleet, part->name, argv, true, err);
}

static int start_worker(const struct fleet *fleet, const struct part *part, int64_t slots,
                        struct daemon *daemon, struct err *err)
{
    char program[PATH_MAX], path[PATH_MAX], device[FLEET_NAME_BYTES], number[24];
    const int rc = fleet_program(program, sizeof program, "vlmq-worker", err);
    if (rc) return rc;
    worker_device(device, sizeof device, part->name);
    (void)snprintf(number, sizeof number, "%" PRId64, slots);
    const char *argv[16] = {program, "--broker",   broker_address, "--device",
                            device,  "--ready-fd", READY_FD_TEXT};
    size_t count = 7;
    /* The file of a user may say otherwise; the command line would win over it. */
    const bool conf = fs_exists(fleet_path(fleet, path, sizeof path, "worker.conf"));
    argv[count++] = conf ? "--config" : "--drain-s";
    argv[count++] = conf ? "worker.conf" : WORKER_DRAIN;
    if (slots) {
        argv[count++] = "--slots";
        argv[count++] = number;
    }
    return daemon_start(daemon, fleet, part->name, argv, true, err);
}

/* Waits until all that were started are ready; the broker and the workers come up together. */
static int wait_ready(const struct fleet *fleet, struct part *part, struct daemon *daemon,
                      uint32_t count, struct err *err)
{
    const int64_t until = now_ms() + START_MS;
    for (;;) {
        struct pollfd fds[FLEET_PARTS_MAX];
        uint32_t waiting = 0, last = 0;
        for (uint32_t i = 0; i < count; i++) {
            if (daemon[i].pid < 0) continue;
            const int state = daemon_poll(&daemon[i], fleet, part[i].name, err);
            if (state < 0) return (int)err->code;
            if (state > 0) {
                daemon[i].pid = -1;
                continue;
            }
            fds[waiting++] = (struct pollfd){.fd = daemon[i].ready_fd, .events = POLLIN};
            last = i;
        }
        if (!waiting) return 0;
        if (now_ms() > until) return late(part[last].name, err);
        (void)poll(fds, waiting, 10 * TICK_MS);
    }
}

static int start_missing(const struct fleet *fleet, struct part *part, uint32_t count,
                         int64_t slots, struct err *err)
{
    struct daemon daemon[FLEET_PARTS_MAX];
    int rc = 0;
    for (uint32_t i = 0; i < count; i++) daemon[i] = (struct daemon){.pid = -1, .ready_fd = -1};
    CHECK(part[0].kind == PART_REDIS);
    if (part[0].state != PIDFILE_ALIVE) rc = start_redis(fleet, &part[0], err);
    for (uint32_t i = 1; !rc && i < count; i++) {
        if (part[i].state == PIDFILE_ALIVE) continue;
        rc = part[i].kind == PART_BROKER ? start_broker(fleet, &part[i], &daemon[i], err)
                                         : start_worker(fleet, &part[i], slots, &daemon[i], err);
        if (!rc) part[i].started = true;
    }
    if (!rc) rc = wait_ready(fleet, part, daemon, count, err);
    for (uint32_t i = 0; i < count; i++) daemon_close(&daemon[i]);
    for (uint32_t i = 0; i < count; i++) part_load(fleet, &part[i]);
    return rc;
}

static int refuse_elsewhere(const struct fleet *fleet, const struct part *part, uint32_t count,
                            struct err *err)
{
    for (uint32_t i = 0; i < count; i++)
        if (part[i].state == PIDFILE_ELSEWHERE)
            return err_set(err, ERR_UNAVAILABLE,
                           "the fleet in %s was started on %s; use it there, choose another "
                           "--fleet folder, or, if that machine is gone, vlmq down --forget",
                           fleet->dir, part[i].pid.host);
    return 0;
}

static int ensure_locked(const struct fleet *fleet, struct part *part, uint32_t *count,
                         const struct fleet_wish *wish, struct err *err)
{
    *count = fleet_parts(fleet, part);
    int rc = refuse_elsewhere(fleet, part, *count, err);
    if (!rc) rc = add_workers(part, count, wish, err);
    if (!rc && !all_alive(part, *count))
        rc = start_missing(fleet, part, *count, wish ? wish->slots : 0, err);
    return rc;
}

int fleet_ensure(struct fleet *fleet, struct fleet_wish *wish, struct err *err)
{
    struct part part[FLEET_PARTS_MAX];
    char path[PATH_MAX];
    int lock = -1;
    uint32_t count = fleet_parts(fleet, part);
    int rc = add_workers(part, &count, wish, err);
    if (!rc && !all_alive(part, count)) {
        rc = fs_lock(&lock, fleet_path(fleet, path, sizeof path, LOCK_FILE), LOCK_WAIT_MS, err);
        if (rc) return err_wrap(err, "another vlmq starts or stops the local fleet");
        rc = ensure_locked(fleet, part, &count, wish, err);
        fs_unlock(lock);
    }
    if (wish) {
        memcpy(wish->part, part, count * sizeof *part);
        wish->parts = count;
    }
    return rc ? err_wrap(err, "local fleet") : 0;
}
