/* fleet.c - the folder of a local fleet and what stands in it. start.c and stop.c change it. */
#include "client/up/fleet.h"

#include "client/up/inside.h"
#include "common/base/check.h"
#include "common/base/fs.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Sockets have short names: sun_path ends here, and ZeroMQ wants a byte as well. */
#define SOCKET_PATH_MAX 100
#define PING_MS         1000

int fleet_open(struct fleet **fleet, const char *dir, bool create, struct err *err)
{
    static const char ignore[] = "*\n";
    struct fleet *made = NULL;
    char path[PATH_MAX];
    int fd = -1, rc = 0;
    if (create && !fs_exists(dir)) {
        rc = fs_mkdirs(dir, err);
        if (rc) return err_wrap(err, "folder of the local fleet");
        /* Logs and data are the owner's business; the socket is a way in. */
        if (chmod(dir, 0700)) return err_errno(err, errno, "chmod %s", dir);
        if (fs_join(path, sizeof path, dir, ".gitignore"))
            rc = fs_put(path, ignore, sizeof ignore - 1, err);
        if (rc) return rc;
    }
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return err_errno(err, errno, "folder of the local fleet %s", dir);
    if (!realpath(dir, path) || strlen(path) + FLEET_NAME_BYTES >= sizeof made->dir) {
        rc = err_set(err, ERR_INVALID, "the path of the fleet's folder %s is too long", dir);
        (void)close(fd);
        return rc;
    }
    made = mem_new(sizeof *made);
    made->fd = fd;
    (void)str_copy(made->dir, sizeof made->dir, path);
    /* What the sockets are reached through: the folder as it was named, if that is short. */
    if (strlen(dir) + FLEET_NAME_BYTES < SOCKET_PATH_MAX)
        (void)str_copy(made->reach, sizeof made->reach, dir);
    else
        (void)snprintf(made->reach, sizeof made->reach, "/proc/self/fd/%d", fd);
    *fleet = made;
    return 0;
}

void fleet_close(struct fleet *fleet)
{
    if (!fleet) return;
    (void)close(fleet->fd);
    mem_free(fleet);
}

const char *fleet_dir(const struct fleet *fleet)
{
    return fleet->dir;
}

const char *fleet_path(const struct fleet *fleet, char *dst, size_t dst_bytes, const char *name)
{
    CHECK(fs_join(dst, dst_bytes, fleet->dir, name));
    return dst;
}

void fleet_broker_address(const struct fleet *fleet, char dst[FLEET_ADDRESS_BYTES])
{
    (void)snprintf(dst, FLEET_ADDRESS_BYTES, "ipc://%s/%s", fleet->reach, BROKER_SOCKET);
}

void part_load(const struct fleet *fleet, struct part *part)
{
    char file[FLEET_NAME_BYTES + 8], path[PATH_MAX];
    struct err err;
    (void)snprintf(file, sizeof file, "%s.pid", part->name);
    part->known = !pidfile_read(&part->pid, fleet_path(fleet, path, sizeof path, file), &err);
    part->state = part->known ? pidfile_state(&part->pid) : PIDFILE_DEAD;
}

/* A folder being listed for the pid files of workers. */
struct finding {
    struct part *part;
    uint32_t count;
};

static int find_worker(void *ctx, const char *name, struct err *err)
{
    struct finding *finding = ctx;
    (void)err;
    const size_t bytes = strlen(name);
    if (!str_has_prefix(name, WORKER_PREFIX) || !str_has_suffix(name, ".pid")) return 0;
    if (bytes - 4 >= FLEET_NAME_BYTES || finding->count == FLEET_PARTS_MAX) return 0;
    struct part *part = &finding->part[finding->count++];
    memset(part, 0, sizeof *part);
    part->kind = PART_WORKER;
    memcpy(part->name, name, bytes - 4);
    return 0;
}

uint32_t fleet_parts(const struct fleet *fleet, struct part part[FLEET_PARTS_MAX])
{
    struct finding finding = {.part = part, .count = 2};
    struct err err;
    memset(part, 0, 2 * sizeof *part);
    part[0].kind = PART_REDIS;
    (void)str_copy(part[0].name, sizeof part[0].name, "redis");
    part[1].kind = PART_BROKER;
    (void)str_copy(part[1].name, sizeof part[1].name, "broker");
    /* A folder that cannot be listed has no workers that we know of. */
    if (fs_list(fleet->dir, find_worker, &finding, &err)) finding.count = 2;
    for (uint32_t i = 0; i < finding.count; i++) part_load(fleet, &part[i]);
    return finding.count;
}

int fleet_check(const struct fleet *fleet, struct err *err)
{
    struct part part[FLEET_PARTS_MAX];
    (void)fleet_parts(fleet, part);
    for (uint32_t i = 0; i < 2; i++)
        if (part[i].state != PIDFILE_ALIVE)
            return err_set(err, ERR_UNAVAILABLE,
                           "the %s of the local fleet in %s does not run; vlmq up starts it",
                           part[i].name, fleet->dir);
    return 0;
}

/* One request and the first bytes of its answer; false when there is none in time. */
static bool redis_ask(const struct fleet *fleet, const char *request, char *answer, size_t bytes)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval wait = {.tv_sec = PING_MS / 1000};
    bool ok = false;
    ssize_t got;
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return false;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", fleet->reach, REDIS_SOCKET);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address)) goto out;
    if (send(fd, request, strlen(request), MSG_NOSIGNAL) != (ssize_t)strlen(request)) goto out;
    got = recv(fd, answer, bytes - 1, 0);
    if (got <= 0) goto out;
    answer[got] = 0;
    ok = true;
out:
    (void)close(fd);
    return ok;
}

bool fleet_redis_ping(const struct fleet *fleet, char *version, size_t version_bytes)
{
    char answer[4096];
    if (version_bytes) *version = 0;
    if (!redis_ask(fleet, "PING\r\n", answer, sizeof answer) || !str_has_prefix(answer, "+PONG"))
        return false;
    if (!version_bytes || !redis_ask(fleet, "INFO server\r\n", answer, sizeof answer)) return true;
    const char *at = strstr(answer, "redis_version:");
    if (at) {
        at += sizeof "redis_version:" - 1;
        (void)snprintf(version, version_bytes, "%.*s", (int)strcspn(at, "\r\n"), at);
    }
    return true;
}

static bool program_in(char *dst, size_t dst_bytes, const char *dir, const char *name)
{
    return fs_join(dst, dst_bytes, dir, name) && access(dst, X_OK) == 0;
}

static bool program_by_path(char *dst, size_t dst_bytes, const char *name)
{
    const char *at = getenv("PATH");
    while (at && *at) {
        char dir[PATH_MAX];
        const size_t bytes = strcspn(at, ":");
        if (bytes && bytes < sizeof dir) {
            memcpy(dir, at, bytes);
            dir[bytes] = 0;
            if (program_in(dst, dst_bytes, dir, name)) return true;
        }
        at += bytes;
        if (*at == ':') at++;
    }
    return false;
}

int fleet_program(char *dst, size_t dst_bytes, const char *name, struct err *err)
{
    char here[PATH_MAX], dir[PATH_MAX + 32];
    const char *told = getenv("VLMQ_BIN");
    if (told && *told && program_in(dst, dst_bytes, told, name)) return 0;
    const ssize_t bytes = readlink("/proc/self/exe", here, sizeof here - 1);
    if (bytes > 0) {
        here[bytes] = 0;
        char *slash = strrchr(here, '/');
        if (slash) *slash = 0;
        if (program_in(dst, dst_bytes, here, name)) return 0;
        (void)snprintf(dir, sizeof dir, "%s/../libexec/vlmq", here);
        if (program_in(dst, dst_bytes, dir, name)) return 0;
    }
    if (program_by_path(dst, dst_bytes, name)) return 0;
    if (str_eq(name, "redis-server"))
        return err_set(err, ERR_UNAVAILABLE,
                       "the local fleet needs redis-server, which is not installed: "
                       "apt install redis-server, or name brokers with --broker");
    return err_set(err, ERR_UNAVAILABLE,
                   "%s is neither beside vlmq nor in PATH; set VLMQ_BIN to its folder", name);
}
