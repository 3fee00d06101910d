/* attempt_crash_test.c - commits under failing disks, killed processes and races.
 *
 * The libraries call write, rename, fsync and the like through the functions below, which this
 * program defines: they count, and kill the process with SIGKILL at the chosen call. So every
 * state that a crash can leave behind is visited, one by one. */
#include "common/store/attempt.h"
#include "tests/unit/store/output.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int64_t kill_at = -1; /* the call that is not made any more; -1: none */
static int64_t calls_count;

static void tick(void)
{
    if (kill_at >= 0 && calls_count == kill_at) (void)kill(getpid(), SIGKILL);
    calls_count++;
}

ssize_t write(int fd, const void *data, size_t bytes)
{
    if (fd > 2) tick();
    return (ssize_t)syscall(SYS_write, fd, data, bytes);
}

int fsync(int fd)
{
    tick();
    return (int)syscall(SYS_fsync, fd);
}

int rename(const char *from, const char *to)
{
    tick();
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int link(const char *from, const char *to)
{
    tick();
    return (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlink(const char *path)
{
    tick();
    return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int unlinkat(int dir, const char *path, int flags)
{
    tick();
    return (int)syscall(SYS_unlinkat, dir, path, flags);
}

int rmdir(const char *path)
{
    tick();
    return (int)syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR);
}

int mkdir(const char *path, mode_t mode)
{
    tick();
    return (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

/* Makes an output in a child that is killed at its n-th call; true if it was. */
static bool make_and_die(const char *root, int writer, int64_t n)
{
    const pid_t child = fork();
    EXPECT(child >= 0);
    if (child == 0) {
        struct attempt_manifest manifest;
        struct err err;
        bool adopted;
        calls_count = 0;
        kill_at = n;
        _exit(output_make(root, writer, &manifest, &adopted, &err) ? 1 : 0);
    }
    int status;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) return true;
    EXPECT(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0);
    return false;
}

static void sweep(const char *root)
{
    struct store *store;
    struct err err;
    EXPECT_OK(store_open(&store, root, false, &err), &err);
    EXPECT_OK(attempt_sweep(store, &err), &err);
    store_close(store);
}

/* One published output with the right bytes; after the sweep nothing else at all. */
static void expect_whole(const char *root, const struct attempt_manifest *manifest)
{
    output_check(root, manifest);
    EXPECT_EQ(output_names(root, "_vlmq/attempt"), 0);
    sweep(root);
    output_check(root, manifest);
    EXPECT_EQ(output_names(root, ""), OUTPUT_FILES + 1);
    EXPECT_EQ(output_names(root, "_vlmq/attempt"), 0);
    EXPECT(output_names(root, "_vlmq") <= 2); /* those two */
    EXPECT_EQ(output_names(root, "_vlmq/manifest"), 1);
}

TEST(attempt_crash, next_attempt_mends_a_kill_at_any_step)
{
    UNUSED_STATE;
    int64_t n = 0;
    bool killed = true;
    uint32_t adoptions = 0;
    for (; killed; n++) {
        struct attempt_manifest manifest;
        struct err err;
        bool adopted;
        const char *dir = test_dir_new();
        killed = make_and_die(dir, 1, n);
        EXPECT_OK(output_make(dir, 2, &manifest, &adopted, &err), &err);
        if (adopted) adoptions++;
        expect_whole(dir, &manifest);
        test_dir_remove(dir);
    }
    print_message("killed at %lld calls, adopted after %u of them\n", (long long)n - 1, adoptions);
    EXPECT(n > 30);
    EXPECT(adoptions > 5);
}

TEST(attempt_crash, kills_while_mending_are_mended_too)
{
    UNUSED_STATE;
    /* Each child goes one call further than the one before, over whatever that one left. */
    for (int64_t stride = 1; stride <= 3; stride++) {
        struct attempt_manifest manifest;
        struct err err;
        bool adopted;
        const char *dir = test_dir_new();
        int64_t n = 0;
        while (n < 200 && make_and_die(dir, 1, n)) n += stride;
        EXPECT(n < 200);
        EXPECT_OK(output_make(dir, 2, &manifest, &adopted, &err), &err);
        EXPECT(adopted);
        expect_whole(dir, &manifest);
        test_dir_remove(dir);
    }
}

TEST(attempt_crash, sweep_after_a_kill_leaves_a_whole_output_or_none)
{
    UNUSED_STATE;
    bool killed = true;
    for (int64_t n = 0; killed; n++) {
        struct attempt_manifest manifest;
        struct store *store;
        struct err err;
        const char *dir = test_dir_new();
        killed = make_and_die(dir, 1, n);
        sweep(dir);
        EXPECT_OK(store_open(&store, dir, false, &err), &err);
        const int rc = attempt_manifest_read(store, OUTPUT_TASK, &manifest, &err);
        EXPECT(rc == 0 || rc == ERR_NOT_FOUND);
        if (!rc) expect_whole(dir, &manifest);
        if (rc) EXPECT(output_names(dir, "") <= 1); /* _vlmq at most */
        store_close(store);
        test_dir_remove(dir);
    }
}

TEST(attempt_crash, every_failing_call_is_reported_and_mended)
{
    UNUSED_STATE;
    int64_t after = 0;
    bool failed = true;
    for (; failed; after++) {
        struct attempt_manifest manifest;
        struct err err = {0};
        bool adopted;
        const char *dir = test_dir_new();
        (void)fs_fail(after, 1, after % 2 ? ENOSPC : EIO);
        const int rc = output_make(dir, 1, &manifest, &adopted, &err);
        failed = fs_fail(-1, 0, 0) > after;
        EXPECT_EQ(rc != 0, failed);
        if (failed) {
            EXPECT_EQ(rc, after % 2 ? ERR_FULL : ERR_UNAVAILABLE);
            EXPECT(err.msg[0] != 0);
            /* Known not to be committed: nothing stays behind. Else the private files do. */
            if (!output_names(dir, "_vlmq/manifest"))
                EXPECT_EQ(output_names(dir, "_vlmq/attempt"), 0);
            EXPECT_OK(output_make(dir, 2, &manifest, &adopted, &err), &err);
        }
        expect_whole(dir, &manifest);
        test_dir_remove(dir);
    }
    EXPECT(after > 10);
}

TEST(attempt_crash, a_disk_that_stays_broken_loses_no_committed_bytes)
{
    UNUSED_STATE;
    for (int64_t after = 0; after < 24; after++) {
        struct attempt_manifest manifest;
        struct err err = {0};
        bool adopted;
        const char *dir = test_dir_new();
        (void)fs_fail(after, INT64_MAX / 2, EIO);
        (void)!output_make(dir, 1, &manifest, &adopted, &err);
        (void)!output_make(dir, 2, &manifest, &adopted, &err);
        (void)fs_fail(-1, 0, 0);
        EXPECT_OK(output_make(dir, 3, &manifest, &adopted, &err), &err);
        expect_whole(dir, &manifest);
        test_dir_remove(dir);
    }
}

#define RACERS 6

/* A racer waits until the pipe is closed, makes its output and tells who won. */
static void race_child(const char *root, int writer, int start_fd, int answer_fd)
{
    struct attempt_manifest manifest;
    struct err err;
    bool adopted = false;
    char byte;
    while (read(start_fd, &byte, 1) < 0 && errno == EINTR) continue;
    const int rc = output_make(root, writer, &manifest, &adopted, &err);
    /* Overtaken in the middle of writing: the queue would try again, and then adopt. */
    const bool stale = rc == ERR_STALE;
    if (rc && !stale) (void)fprintf(stderr, "racer %d: %s\n", writer, err.msg);
    const char answer = (char)(stale ? 'S' : rc ? 'E' : adopted ? 'A' : 'W');
    if (write(answer_fd, &answer, 1) != 1) _exit(2);
    _exit(0);
}

TEST(attempt_crash, of_many_processes_exactly_one_wins)
{
    UNUSED_STATE;
    for (int round = 0; round < 20; round++) {
        struct attempt_manifest manifest;
        struct err err;
        bool adopted;
        int start[2], answer[2];
        pid_t child[RACERS];
        const char *dir = test_dir_new();
        EXPECT_EQ(pipe(start), 0);
        EXPECT_EQ(pipe(answer), 0);
        for (int i = 0; i < RACERS; i++) {
            child[i] = fork();
            EXPECT(child[i] >= 0);
            if (child[i]) continue;
            (void)close(start[1]);
            race_child(dir, i, start[0], answer[1]);
        }
        (void)close(start[0]);
        (void)close(start[1]); /* go */
        (void)close(answer[1]);
        uint32_t winners = 0, others = 0;
        char got;
        while (read(answer[0], &got, 1) == 1) {
            EXPECT(got == 'W' || got == 'A' || got == 'S');
            if (got == 'W') winners++;
            if (got != 'W') others++;
        }
        (void)close(answer[0]);
        for (int i = 0; i < RACERS; i++) {
            int status;
            EXPECT_EQ(waitpid(child[i], &status, 0), child[i]);
            EXPECT_EQ(status, 0);
        }
        EXPECT_EQ(winners, 1);
        EXPECT_EQ(others, RACERS - 1);
        EXPECT_OK(output_make(dir, RACERS, &manifest, &adopted, &err), &err);
        EXPECT(adopted);
        expect_whole(dir, &manifest);
        test_dir_remove(dir);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(attempt_crash, next_attempt_mends_a_kill_at_any_step),
        RUN(attempt_crash, kills_while_mending_are_mended_too),
        RUN(attempt_crash, sweep_after_a_kill_leaves_a_whole_output_or_none),
        RUN(attempt_crash, every_failing_call_is_reported_and_mended),
        RUN(attempt_crash, a_disk_that_stays_broken_loses_no_committed_bytes),
        RUN(attempt_crash, of_many_processes_exactly_one_wins),
    };
    return cmocka_run_group_tests_name("attempt_crash", tests, NULL, NULL);
}
