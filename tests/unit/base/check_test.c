/* check_test.c - a failed CHECK ends the process and says where. */
#include "common/base/check.h"

#include "common/base/str.h"
#include "tests/support/test.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs body in a child; gives its wait status and what it wrote on stderr. */
static int child(void (*body)(void), char *text, size_t text_bytes)
{
    int ends[2], status;
    EXPECT(pipe(ends) == 0);
    (void)fflush(NULL);
    const pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
        (void)signal(SIGABRT, SIG_DFL);
        (void)dup2(ends[1], STDERR_FILENO);
        body();
        _exit(0);
    }
    (void)close(ends[1]);
    size_t used = 0;
    ssize_t got;
    while (used < text_bytes - 1 && (got = read(ends[0], text + used, text_bytes - 1 - used)) > 0)
        used += (size_t)got;
    text[used] = 0;
    (void)close(ends[0]);
    EXPECT(waitpid(pid, &status, 0) == pid);
    return status;
}

static void breaks(void)
{
    const int two = 2;
    CHECK(two == 3);
}

static void holds(void)
{
    const int two = 2;
    CHECK(two == 2);
}

TEST(check, false_aborts_with_file_and_expression)
{
    UNUSED_STATE;
    char text[1024];
    const int status = child(breaks, text, sizeof text);
    EXPECT(WIFSIGNALED(status));
    EXPECT_EQ(WTERMSIG(status), SIGABRT);
    EXPECT(strstr(text, "check_test.c:") != NULL);
    EXPECT(strstr(text, "check failed: two == 3") != NULL);
}

TEST(check, true_does_nothing)
{
    UNUSED_STATE;
    char text[1024];
    EXPECT_EQ(child(holds, text, sizeof text), 0);
    EXPECT_TEXT(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(check, false_aborts_with_file_and_expression),
        RUN(check, true_does_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
