/* daemon.c - starting a program that outlives this one. */
#include "client/up/inside.h"
#include "common/base/buf.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/fs.h"
#include "common/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOG_BYTES_MAX ((int64_t)10 * 1024 * 1024)
#define TAIL_BYTES    400
#define EXEC_FAILED   127

/* One old log is kept. */
static int open_log(const struct fleet *fleet, const char *name, struct err *err)
{
    char file[FLEET_NAME_BYTES + 8], path[PATH_MAX], old[PATH_MAX + 4];
    struct stat info;
    (void)snprintf(file, sizeof file, "%s.log", name);
    (void)fleet_path(fleet, path, sizeof path, file);
    (void)snprintf(old, sizeof old, "%s.1", path);
    if (stat(path, &info) == 0 && info.st_size > LOG_BYTES_MAX) (void)rename(path, old);
    const int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) (void)err_errno(err, errno, "log %s", path);
    return fd;
}

__attribute__((noreturn)) static void give_up(const char *what)
{
    char text[256];
    const int bytes = snprintf(text, sizeof text, "%s: %s\n", what, strerror(errno));
    if (bytes > 0 && write(STDERR_FILENO, text, (size_t)bytes) < 0) _exit(EXEC_FAILED);
    _exit(EXEC_FAILED);
}

/* The child's side. It writes its own pid file: were the starter killed between fork and write, a
 * part would run that nobody knows of. Until then it also holds the fleet's lock, by the
 * inherited descriptor. */
__attribute__((noreturn)) static void become(const struct fleet *fleet, const char *name,
                                             const char *const *argv, int log_fd, int ready_fd)
{
    char file[FLEET_NAME_BYTES + 8], path[PATH_MAX];
    struct pidfile self;
    struct err err;
    sigset_t none;
    (void)setsid();
    const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0) _exit(EXEC_FAILED);
    if (dup2(log_fd, STDOUT_FILENO) < 0 || dup2(log_fd, STDERR_FILENO) < 0) _exit(EXEC_FAILED);
    (void)snprintf(file, sizeof file, "%s.pid", name);
    if (pidfile_of(&self, (int32_t)getpid(), &err) ||
        pidfile_write(&self, fleet_path(fleet, path, sizeof path, file), &err)) {
        errno = EIO;
        give_up(err.msg);
    }
    if (chdir(fleet->dir)) give_up(fleet->dir);
    if (ready_fd >= 0) {
        if (ready_fd != READY_FD && dup2(ready_fd, READY_FD) < 0) give_up("dup2");
        if (fcntl(READY_FD, F_SETFD, 0)) give_up("fcntl");
    }
    closefrom(ready_fd >= 0 ? READY_FD + 1 : READY_FD);
    /* Meant for commands that talk to another fleet; the sockets of this one are private. */
    (void)unsetenv("VLMQ_KEY_FILE");
    (void)signal(SIGPIPE, SIG_DFL);
    (void)signal(SIGINT, SIG_DFL);
    (void)signal(SIGTERM, SIG_DFL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    char *args[32];
    size_t count = 0;
    CHECK(argv[0] != NULL);
    for (; argv[count] && count + 1 < sizeof args / sizeof args[0]; count++)
        args[count] = strdup(argv[count]);
    args[count] = NULL;
    (void)execv(argv[0], args);
    give_up(argv[0]);
}

int daemon_start(struct daemon *daemon, const struct fleet *fleet, const char *name,
                 const char *const *argv, bool ready, struct err *err)
{
    int pipe_fd[2] = {-1, -1}, rc = 0;
    pid_t pid;
    daemon->pid = -1;
    daemon->ready_fd = -1;
    const int log_fd = open_log(fleet, name, err);
    if (log_fd < 0) return (int)err->code;
    if (ready && pipe(pipe_fd)) {
        rc = err_errno(err, errno, "pipe");
        goto out;
    }
    /* The parts that are started next must not hold this one's end. */
    for (int i = 0; i < 2; i++)
        if (pipe_fd[i] >= 0) (void)fcntl(pipe_fd[i], F_SETFD, FD_CLOEXEC);
    pid = fork();
    if (pid < 0) {
        rc = err_errno(err, errno, "fork");
        goto out;
    }
    if (pid == 0) become(fleet, name, argv, log_fd, pipe_fd[1]);
    daemon->pid = pid;
    daemon->ready_fd = pipe_fd[0];
    pipe_fd[0] = -1;
out:
    if (pipe_fd[0] >= 0) (void)close(pipe_fd[0]);
    if (pipe_fd[1] >= 0) (void)close(pipe_fd[1]);
    (void)close(log_fd);
    return rc;
}

/* The last line of the part's log: what it had to say. */
static void last_line(char *dst, size_t dst_bytes, const struct fleet *fleet, const char *name)
{
    char file[FLEET_NAME_BYTES + 8], path[PATH_MAX], text[TAIL_BYTES + 1];
    *dst = 0;
    (void)snprintf(file, sizeof file, "%s.log", name);
    const int fd = open(fleet_path(fleet, path, sizeof path, file), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    const off_t size = lseek(fd, 0, SEEK_END);
    const off_t from = size > TAIL_BYTES ? size - TAIL_BYTES : 0;
    ssize_t got = pread(fd, text, TAIL_BYTES, from);
    (void)close(fd);
    while (got > 0 && (text[got - 1] == '\n' || text[got - 1] == ' ')) got--;
    if (got <= 0) return;
    text[got] = 0;
    const char *line = strrchr(text, '\n');
    (void)str_copy(dst, dst_bytes, line ? line + 1 : text);
}

static int ended(const struct fleet *fleet, const char *name, int status, struct err *err)
{
    char said[160];
    last_line(said, sizeof said, fleet, name);
    if (WIFSIGNALED(status))
        (void)err_set(err, ERR_UNAVAILABLE, "%s was ended by signal %d; vlmq logs %s tells: %s",
                      name, WTERMSIG(status), name, said);
    else
        (void)err_set(err, ERR_UNAVAILABLE, "%s ended at its start with status %d: %s", name,
                      WEXITSTATUS(status), said);
    return -1;
}

int daemon_poll(struct daemon *daemon, const struct fleet *fleet, const char *name, struct err *err)
{
    int status;
    if (waitpid(daemon->pid, &status, WNOHANG) == daemon->pid) {
        daemon->pid = -1;
        return ended(fleet, name, status, err);
    }
    if (daemon->ready_fd < 0) return 0;
    char byte;
    struct pollfd wait = {.fd = daemon->ready_fd, .events = POLLIN};
    if (poll(&wait, 1, 0) <= 0) return 0;
    if (read(daemon->ready_fd, &byte, 1) == 1) return 1;
    /* Closed without a word: it is about to end, and the next look will see that. */
    (void)close(daemon->ready_fd);
    daemon->ready_fd = -1;
    return 0;
}

void daemon_close(struct daemon *daemon)
{
    if (daemon->ready_fd >= 0) (void)close(daemon->ready_fd);
    daemon->ready_fd = -1;
}
