/* inside.h - what the files of the local fleet share among themselves. */
#ifndef CLIENT_UP_INSIDE_H
#define CLIENT_UP_INSIDE_H

#include "client/up/fleet.h"

#include <limits.h>
#include <sys/types.h>

#define REDIS_SOCKET  "redis.sock"
#define BROKER_SOCKET "broker.sock"
#define WORKER_PREFIX "worker-"
#define LOCK_FILE     "lock"
#define LOCK_WAIT_MS  60000 /* a stop may take its drain time */

struct fleet {
    char dir[PATH_MAX]; /* absolute */
    char reach[128];    /* for socket paths */
    int fd;             /* the folder */
};

/* Reads the part's pid file. */
void part_load(const struct fleet *fleet, struct part *part);

/* A program being started as a daemon of its own. */
struct daemon {
    pid_t pid;
    int ready_fd; /* readable when it is ready, or gone; -1: it has no such thing */
};
/* Starts argv[0] in the fleet's folder, detached: its own session, no terminal, output to
 * NAME.log, its pid file written before it runs. With ready, it gets a pipe as fd READY_FD. */
#define READY_FD      3
#define READY_FD_TEXT "3"
CHECKED int daemon_start(struct daemon *daemon, const struct fleet *fleet, const char *name,
                         const char *const *argv, bool ready, struct err *err);
/* 1: ready; 0: not yet; -1: it has ended, and err says why as far as its log tells. */
int daemon_poll(struct daemon *daemon, const struct fleet *fleet, const char *name,
                struct err *err);
void daemon_close(struct daemon *daemon);

#endif
