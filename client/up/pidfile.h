/* pidfile.h - which process a file means, so exactly that a recycled number is never killed.
 *
 * A pid file holds `PID START HOST BOOT`: the number, the process' start in clock ticks since the
 * boot, the machine's name and the boot's random id. A process is the one that was meant only if
 * all four agree. */
#ifndef CLIENT_UP_PIDFILE_H
#define CLIENT_UP_PIDFILE_H

#include "common/base/err.h"

#include <stdint.h>

struct pidfile {
    int32_t pid;
    uint64_t start;
    char host[65], boot[40];
};

enum pidfile_state {
    PIDFILE_DEAD, /* that process has ended (also: is a zombie) */
    PIDFILE_ALIVE,
    PIDFILE_ELSEWHERE, /* written on another machine: nothing is known */
};

/* Describes a running process of this machine. ERR_NOT_FOUND: it is not there. */
CHECKED int pidfile_of(struct pidfile *file, int32_t pid, struct err *err);
CHECKED int pidfile_write(const struct pidfile *file, const char *path, struct err *err);
/* ERR_NOT_FOUND: no such file; ERR_CORRUPT: not a pid file. */
CHECKED int pidfile_read(struct pidfile *file, const char *path, struct err *err);
enum pidfile_state pidfile_state(const struct pidfile *file);
/* How long the process has run, and its resident memory; 0 where it cannot be told. */
void pidfile_usage(const struct pidfile *file, int64_t *uptime_ms, int64_t *rss_bytes);

#endif
