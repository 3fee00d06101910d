/* web_server.c - a child process with a pipe at each end. */
#include "tests/support/web_server.h"

#include "tests/support/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static void run(const char *script, const char *folder, const char *pem, int in, int out)
{
    if (dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0)
        (void)execlp("python3", "python3", script, folder, pem, (char *)NULL);
    _exit(127);
}

void web_server_start(struct web_server *server, const char *script, const char *folder,
                      const char *pem)
{
    int in[2], out[2];
    char line[32] = "";
    size_t len = 0;
    EXPECT_EQ(pipe(in), 0);
    EXPECT_EQ(pipe(out), 0);
    /* No other child of the test may hold the end whose closing stops the server. */
    EXPECT_EQ(fcntl(in[1], F_SETFD, FD_CLOEXEC), 0);
    server->pid = fork();
    EXPECT(server->pid >= 0);
    if (server->pid == 0) run(script, folder, pem, in[0], out[1]);
    (void)close(in[0]);
    (void)close(out[1]);
    while (len + 1 < sizeof line && read(out[0], line + len, 1) == 1 && line[len] != '\n') len++;
    (void)close(out[0]);
    server->stdin_fd = in[1];
    server->port = server->tls_port = 0;
    EXPECT_EQ(sscanf(line, "%d %d", &server->port, &server->tls_port), pem ? 2 : 1);
}

void web_server_stop(struct web_server *server)
{
    int status;
    (void)close(server->stdin_fd);
    EXPECT_EQ(waitpid(server->pid, &status, 0), server->pid);
}
