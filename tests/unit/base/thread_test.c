/* thread_test.c - what a started thread finds, and the count of processors. */
#include "common/base/thread.h"

#include "tests/support/test.h"

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

struct seen {
    char name[16];
    sigset_t blocked;
};

static void look(void *arg)
{
    struct seen *seen = arg;
    (void)prctl(PR_GET_NAME, seen->name);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &seen->blocked);
}

TEST(thread, has_its_clipped_name_and_no_signals)
{
    UNUSED_STATE;
    struct err err;
    struct thread thread = {0};
    struct seen seen = {0};
    sigset_t mine;
    EXPECT_OK(thread_start(&thread, "a-name-that-is-too-long", look, &seen, &err), &err);
    EXPECT(thread.running);
    thread_join(&thread);
    EXPECT(!thread.running);
    thread_join(&thread);
    EXPECT_TEXT(seen.name, "a-name-that-is-");
    EXPECT_EQ(sigismember(&seen.blocked, SIGTERM), 1);
    EXPECT_EQ(sigismember(&seen.blocked, SIGINT), 1);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &mine);
    EXPECT_EQ(sigismember(&mine, SIGTERM), 0); /* the starter's mask is as it was */
}

TEST(thread, cpus_is_within_what_the_machine_has)
{
    UNUSED_STATE;
    EXPECT(thread_cpus() >= 1);
    EXPECT(thread_cpus() <= (int)sysconf(_SC_NPROCESSORS_CONF));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(thread, has_its_clipped_name_and_no_signals),
        RUN(thread, cpus_is_within_what_the_machine_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
