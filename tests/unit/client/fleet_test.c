/* Pid files, the folder of a local fleet, and its log files. Processes are this one's children. */
#include "client/up/fleet.h"

#include "client/logs/tail.h"
#include "common/base/clock.h"
#include "common/base/fs.h"
#include "common/base/str.h"
#include "tests/support/test.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* A child that waits to be ended. */
static pid_t child(void)
{
    const pid_t pid = fork();
    if (pid == 0)
        for (;;) (void)pause();
    EXPECT(pid > 0);
    return pid;
}

static void end(pid_t pid)
{
    EXPECT_EQ(kill(pid, SIGKILL), 0);
    EXPECT_EQ(waitpid(pid, NULL, 0), pid);
}

TEST(pidfile, tells_a_living_process_from_one_that_has_ended)
{
    const char *dir = test_dir_new();
    char path[PATH_MAX];
    struct pidfile file, back;
    struct err err;
    UNUSED_STATE;
    EXPECT(fs_join(path, sizeof path, dir, "x.pid"));
    const pid_t pid = child();
    EXPECT_OK(pidfile_of(&file, pid, &err), &err);
    EXPECT_OK(pidfile_write(&file, path, &err), &err);
    EXPECT_OK(pidfile_read(&back, path, &err), &err);
    EXPECT_EQ(back.pid, pid);
    EXPECT_EQ(back.start, file.start);
    EXPECT_EQ(pidfile_state(&back), PIDFILE_ALIVE);
    end(pid);
    EXPECT_EQ(pidfile_state(&back), PIDFILE_DEAD);
    test_dir_remove(dir);
}

TEST(pidfile, a_recycled_number_is_not_the_process_that_was_meant)
{
    struct pidfile file;
    struct err err;
    UNUSED_STATE;
    EXPECT_OK(pidfile_of(&file, getpid(), &err), &err);
    EXPECT_EQ(pidfile_state(&file), PIDFILE_ALIVE);
    file.start++;
    EXPECT_EQ(pidfile_state(&file), PIDFILE_DEAD);
}

TEST(pidfile, another_boot_is_dead_and_another_machine_unknown)
{
    struct pidfile file;
    struct err err;
    UNUSED_STATE;
    EXPECT_OK(pidfile_of(&file, getpid(), &err), &err);
    struct pidfile boot = file, host = file;
    (void)str_copy(boot.boot, sizeof boot.boot, "00000000-0000-0000-0000-000000000000");
    (void)str_copy(host.host, sizeof host.host, "some-other-machine");
    EXPECT_EQ(pidfile_state(&boot), PIDFILE_DEAD);
    EXPECT_EQ(pidfile_state(&host), PIDFILE_ELSEWHERE);
}

TEST(pidfile, a_zombie_is_dead)
{
    struct pidfile file;
    struct err err;
    UNUSED_STATE;
    const pid_t pid = child();
    EXPECT_OK(pidfile_of(&file, pid, &err), &err);
    EXPECT_EQ(kill(pid, SIGKILL), 0);
    /* WNOWAIT: it has ended, and stays a zombie. */
    siginfo_t info;
    EXPECT_EQ(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    EXPECT_EQ(pidfile_state(&file), PIDFILE_DEAD);
    EXPECT_EQ(waitpid(pid, NULL, 0), pid);
}

TEST(pidfile, anything_else_in_the_file_is_refused)
{
    const char *dir = test_dir_new();
    static const char *const texts[] = {"", "12\n", "x 1 h b\n", "-5 1 h b\n", "0 1 h b\n"};
    char path[PATH_MAX];
    struct pidfile file;
    struct err err;
    UNUSED_STATE;
    EXPECT(fs_join(path, sizeof path, dir, "x.pid"));
    EXPECT_EQ(pidfile_read(&file, path, &err), ERR_NOT_FOUND);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        EXPECT_OK(fs_put(path, texts[i], strlen(texts[i]), &err), &err);
        EXPECT_EQ(pidfile_read(&file, path, &err), ERR_CORRUPT);
    }
    test_dir_remove(dir);
}

TEST(fleet, a_folder_that_is_not_there_is_not_found_and_can_be_made)
{
    const char *dir = test_dir_new();
    char path[PATH_MAX];
    struct fleet *fleet = NULL;
    struct stat info;
    struct err err;
    UNUSED_STATE;
    EXPECT(fs_join(path, sizeof path, dir, "fleet"));
    EXPECT_EQ(fleet_open(&fleet, path, false, &err), ERR_NOT_FOUND);
    EXPECT_OK(fleet_open(&fleet, path, true, &err), &err);
    EXPECT_EQ(stat(path, &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0700);
    EXPECT_EQ(fleet_check(fleet, &err), ERR_UNAVAILABLE);
    fleet_close(fleet);
    test_dir_remove(dir);
}

TEST(fleet, parts_are_found_by_their_pid_files)
{
    const char *dir = test_dir_new();
    struct fleet *fleet = NULL;
    struct part part[FLEET_PARTS_MAX];
    struct pidfile file;
    char path[PATH_MAX];
    struct err err;
    UNUSED_STATE;
    EXPECT_OK(fleet_open(&fleet, dir, false, &err), &err);
    EXPECT_EQ(fleet_parts(fleet, part), 2);
    EXPECT(!part[0].known);
    EXPECT_OK(pidfile_of(&file, getpid(), &err), &err);
    EXPECT_OK(pidfile_write(&file, fleet_path(fleet, path, sizeof path, "redis.pid"), &err), &err);
    EXPECT_OK(pidfile_write(&file, fleet_path(fleet, path, sizeof path, "worker-cuda-0.pid"), &err),
              &err);
    EXPECT_OK(fs_put(fleet_path(fleet, path, sizeof path, "worker-cpu.log"), "x", 1, &err), &err);
    EXPECT_EQ(fleet_parts(fleet, part), 3);
    EXPECT_EQ(part[0].state, PIDFILE_ALIVE);
    EXPECT_EQ(part[1].state, PIDFILE_DEAD);
    EXPECT_TEXT(part[2].name, "worker-cuda-0");
    EXPECT_EQ(part[2].kind, PART_WORKER);
    EXPECT_EQ(part[2].state, PIDFILE_ALIVE);
    fleet_close(fleet);
    test_dir_remove(dir);
}

TEST(fleet, the_brokers_address_is_short_however_deep_the_folder)
{
    const char *dir = test_dir_new();
    char deep[PATH_MAX], address[FLEET_ADDRESS_BYTES];
    struct fleet *fleet = NULL;
    struct err err;
    UNUSED_STATE;
    (void)snprintf(deep, sizeof deep, "%s/%0120d/%0120d", dir, 1, 2);
    EXPECT_OK(fleet_open(&fleet, deep, true, &err), &err);
    fleet_broker_address(fleet, address);
    EXPECT(str_has_prefix(address, "ipc:///proc/self/fd/"));
    EXPECT(strlen(address) < 100);
    fleet_close(fleet);
    test_dir_remove(dir);
}

TEST(fleet, stopping_one_that_does_not_run_is_fine)
{
    const char *dir = test_dir_new();
    struct fleet *fleet = NULL;
    struct fleet_stop stop = {.drain_ms = 1000};
    struct pidfile file;
    char path[PATH_MAX];
    struct err err;
    UNUSED_STATE;
    EXPECT_OK(fleet_open(&fleet, dir, false, &err), &err);
    EXPECT_OK(fleet_stop(fleet, &stop, &err), &err);
    EXPECT_EQ(stop.stopped, 0);
    /* A process that is not ours although the number is: it lives on. */
    const pid_t pid = child();
    EXPECT_OK(pidfile_of(&file, pid, &err), &err);
    file.start++;
    EXPECT_OK(pidfile_write(&file, fleet_path(fleet, path, sizeof path, "broker.pid"), &err), &err);
    EXPECT_OK(fleet_stop(fleet, &stop, &err), &err);
    EXPECT_EQ(stop.stopped, 0);
    EXPECT(!fs_exists(path));
    EXPECT_EQ(waitpid(pid, NULL, WNOHANG), 0);
    end(pid);
    fleet_close(fleet);
    test_dir_remove(dir);
}

static int64_t offset_of(const char *text, int64_t lines)
{
    const char *dir = test_dir_new();
    char path[PATH_MAX];
    int64_t offset = -1;
    struct err err;
    EXPECT(fs_join(path, sizeof path, dir, "log"));
    EXPECT_OK(fs_put(path, text, strlen(text), &err), &err);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    EXPECT(fd >= 0);
    EXPECT_OK(tail_offset(&offset, fd, lines, path, &err), &err);
    (void)close(fd);
    test_dir_remove(dir);
    return offset;
}

TEST(tail, the_last_lines_begin_where_they_should)
{
    UNUSED_STATE;
    EXPECT_EQ(offset_of("", 3), 0);
    EXPECT_EQ(offset_of("one\n", 1), 0);
    EXPECT_EQ(offset_of("one\ntwo\n", 1), 4);
    EXPECT_EQ(offset_of("one\ntwo\nthree", 1), 8);
    EXPECT_EQ(offset_of("one\ntwo\nthree\n", 2), 4);
    EXPECT_EQ(offset_of("one\ntwo\n", 9), 0);
    EXPECT_EQ(offset_of("\n\n\n", 2), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(pidfile, tells_a_living_process_from_one_that_has_ended),
        RUN(pidfile, a_recycled_number_is_not_the_process_that_was_meant),
        RUN(pidfile, another_boot_is_dead_and_another_machine_unknown),
        RUN(pidfile, a_zombie_is_dead),
        RUN(pidfile, anything_else_in_the_file_is_refused),
        RUN(fleet, a_folder_that_is_not_there_is_not_found_and_can_be_made),
        RUN(fleet, parts_are_found_by_their_pid_files),
        RUN(fleet, the_brokers_address_is_short_however_deep_the_folder),
        RUN(fleet, stopping_one_that_does_not_run_is_fine),
        RUN(tail, the_last_lines_begin_where_they_should),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
