/* redis_server.h - a real redis-server for tests: on a unix socket in a folder of its own, with an
 * append-only file, and killed and started again as a test likes. */
#ifndef TESTS_SUPPORT_REDIS_SERVER_H
#define TESTS_SUPPORT_REDIS_SERVER_H

#include <stddef.h>
#include <sys/types.h>

struct redis_server {
    char dir[192], socket[224], address[240];
    pid_t pid; /* 0: not running */
};

/* Makes the folder and starts the server in it; dies if it does not answer within 20 s. options are
 * more arguments of redis-server, separated by blanks: "--requirepass secret". */
void redis_server_start(struct redis_server *server, const char *options);
/* SIGKILL, as a crash. */
void redis_server_kill(struct redis_server *server);
/* Starts again in the same folder; options as for start. */
void redis_server_restart(struct redis_server *server, const char *options);
/* Kills it and removes the folder. */
void redis_server_stop(struct redis_server *server);
/* Runs redis-cli with these arguments (a shell line) and returns what it prints, without the last
 * line's end. The caller frees it with free. */
char *redis_server_cli(const struct redis_server *server, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
