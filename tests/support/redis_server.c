/* redis_server.c - starts redis-server as a child and asks it for a PONG until it gives one. */
#include "tests/support/redis_server.h"

#include "common/base/buf.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "tests/support/test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define READY_MS   20000
#define ARGS_COUNT 32

static void write_conf(const struct redis_server *server)
{
    char path[sizeof server->dir + 16];
    (void)snprintf(path, sizeof path, "%s/redis.conf", server->dir);
    FILE *file = fopen(path, "w");
    CHECK(file);
    CHECK(fputs("port 0\nunixsocket redis.sock\nsave \"\"\nappendonly yes\nappendfsync always\n",
                file) >= 0);
    CHECK(fclose(file) == 0);
}

/* In the child: never returns. */
__attribute__((noreturn)) static void become_server(const struct redis_server *server,
                                                    char *options)
{
    char program[] = "redis-server", conf[] = "redis.conf";
    char *arg[ARGS_COUNT] = {program, conf};
    size_t count = 2;
    char *rest = NULL;
    for (char *word = strtok_r(options, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        CHECK(count + 1 < ARGS_COUNT);
        arg[count++] = word;
    }
    CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0); /* a failed test leaves no server behind */
    CHECK(chdir(server->dir) == 0);
    const int log = open("redis.log", O_WRONLY | O_CREAT | O_APPEND, 0600);
    CHECK(log >= 0);
    CHECK(dup2(log, 1) == 1);
    CHECK(dup2(log, 2) == 2);
    execvp(arg[0], arg);
    _exit(127);
}

/* Loading, asking for a password and PONG are all answers of a server that is there; loading is
 * waited for. */
static int is_ready(const struct redis_server *server)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    CHECK(strlen(server->socket) < sizeof address.sun_path);
    memcpy(address.sun_path, server->socket, strlen(server->socket));
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    char answer[64] = {0};
    int ready = 0;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
        send(fd, "PING\r\n", 6, MSG_NOSIGNAL) == 6 && read(fd, answer, sizeof answer - 1) > 0) {
        ready = strncmp(answer, "+PONG", 5) == 0 || strncmp(answer, "-NOAUTH", 7) == 0;
    }
    (void)close(fd);
    return ready;
}

void redis_server_restart(struct redis_server *server, const char *options)
{
    CHECK(server->pid == 0);
    char line[512] = "";
    if (options) CHECK(snprintf(line, sizeof line, "%s", options) < (int)sizeof line);
    (void)unlink(server->socket);
    const pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) become_server(server, line);
    server->pid = pid;
    const int64_t end_ms = clock_real.mono_ms(&clock_real) + READY_MS;
    while (!is_ready(server)) {
        CHECK(waitpid(pid, NULL, WNOHANG) == 0); /* it has died: see redis.log */
        CHECK(clock_real.mono_ms(&clock_real) < end_ms);
        clock_sleep_ms(5);
    }
}

void redis_server_start(struct redis_server *server, const char *options)
{
    *server = (struct redis_server){0};
    const char *dir = test_dir_new();
    CHECK(snprintf(server->dir, sizeof server->dir, "%s", dir) < (int)sizeof server->dir);
    (void)snprintf(server->socket, sizeof server->socket, "%s/redis.sock", server->dir);
    (void)snprintf(server->address, sizeof server->address, "unix:%s", server->socket);
    write_conf(server);
    redis_server_restart(server, options);
}

void redis_server_kill(struct redis_server *server)
{
    if (!server->pid) return;
    CHECK(kill(server->pid, SIGKILL) == 0);
    CHECK(waitpid(server->pid, NULL, 0) == server->pid);
    server->pid = 0;
}

void redis_server_stop(struct redis_server *server)
{
    redis_server_kill(server);
    if (server->dir[0]) test_dir_remove(server->dir);
    *server = (struct redis_server){0};
}

char *redis_server_cli(const struct redis_server *server, const char *fmt, ...)
{
    struct buf line, output;
    buf_init(&line, 0);
    buf_init(&output, 0);
    buf_printf(&line, "redis-cli -s %s ", server->socket);
    char arguments[2048];
    va_list args;
    va_start(args, fmt);
    CHECK(vsnprintf(arguments, sizeof arguments, fmt, args) < (int)sizeof arguments);
    va_end(args);
    buf_text(&line, arguments);
    FILE *pipe = popen(buf_str(&line), "r");
    CHECK(pipe);
    char block[4096];
    size_t bytes;
    while ((bytes = fread(block, 1, sizeof block, pipe)) > 0) buf_add(&output, block, bytes);
    CHECK(pclose(pipe) == 0);
    size_t keep = output.len;
    while (keep && output.data[keep - 1] == '\n') keep--;
    char *text = strndup(buf_str(&output), keep);
    CHECK(text);
    buf_deinit(&line);
    buf_deinit(&output);
    return text;
}
