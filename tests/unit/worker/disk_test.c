/* disk_test.c - the flag follows the disks of the newest outputs. Includes the source for what its
 * thread does at one look. */
#include "worker/disk.c"

#include "tests/support/test.h"

#include <poll.h>
#include <stdio.h>

/* No disk has so many free bytes, so that every output is on a full one. */
#define NONE_HAS INT64_MAX

TEST(disk, output_that_cannot_be_looked_at_is_not_low)
{
    UNUSED_STATE;
    const struct disk disk = {.free_min = NONE_HAS};
    EXPECT(!is_low(&disk, "/no/such/folder"));
    EXPECT(!is_low(&disk, "gopher://x"));
}

TEST(disk, is_low_below_the_limit_only)
{
    UNUSED_STATE;
    const char *dir = test_dir_new();
    EXPECT(is_low(&(struct disk){.free_min = NONE_HAS}, dir));
    EXPECT(!is_low(&(struct disk){.free_min = 1}, dir));
    test_dir_remove(dir);
}

TEST(disk, newest_outputs_push_out_the_oldest)
{
    UNUSED_STATE;
    struct disk disk = {0};
    char text[16];
    for (int i = 0; i < DISKS_MAX + 2; i++) {
        (void)snprintf(text, sizeof text, "%d", i);
        remember(&disk, text_copy(text));
    }
    EXPECT_TEXT(disk.output[0], "9");
    EXPECT_TEXT(disk.output[DISKS_MAX - 1], "2");
    remember(&disk, text_copy("5")); /* known: it moves to the front, and nothing is lost */
    EXPECT_TEXT(disk.output[0], "5");
    EXPECT_TEXT(disk.output[1], "9");
    EXPECT_TEXT(disk.output[DISKS_MAX - 1], "2");
    for (int i = 0; i < DISKS_MAX; i++) mem_free(disk.output[i]);
}

/* Waits for the flag, woken by the thread. */
static bool becomes(struct disk *disk, struct wake *wake, bool low)
{
    for (int i = 0; i < 600 && disk_is_low(disk) != low; i++) {
        struct pollfd fd = {.fd = wake->fd, .events = POLLIN};
        (void)poll(&fd, 1, 100);
        wake_clear(wake);
    }
    return disk_is_low(disk) == low;
}

TEST(disk, flag_rises_with_a_full_output_and_falls_when_it_is_forgotten)
{
    UNUSED_STATE;
    struct wake wake;
    struct disk *disk;
    struct err err;
    char other[64];
    const char *dir = test_dir_new();
    EXPECT_EQ(wake_open(&wake), 0);
    EXPECT_OK(disk_new(&disk, &wake, NONE_HAS, 10, &err), &err);
    disk_watch(disk, "");
    EXPECT(!disk_is_low(disk));
    disk_watch(disk, dir);
    EXPECT(becomes(disk, &wake, true));
    for (int i = 0; i < 1000 && disk_is_low(disk); i++) {
        (void)snprintf(other, sizeof other, "/no/such/folder/%d", i);
        disk_watch(disk, other);
        struct pollfd fd = {.fd = wake.fd, .events = POLLIN};
        (void)poll(&fd, 1, 10);
    }
    EXPECT(becomes(disk, &wake, false));
    disk_free(disk);
    disk_free(NULL);
    wake_close(&wake);
    test_dir_remove(dir);
}

TEST(disk, flag_of_a_task_that_found_no_room_stays_for_some_looks)
{
    UNUSED_STATE;
    struct wake wake;
    const char *dir = test_dir_new();
    EXPECT_EQ(wake_open(&wake), 0);
    struct disk disk = {.free_min = 1, .wake = &wake};
    remember(&disk, text_copy(dir));
    disk_full(&disk, dir);
    look(&disk);
    disk_full(&disk, dir); /* another one: counted anew */
    for (int i = 0; i < DISK_FULL_LOOKS; i++) {
        look(&disk);
        EXPECT(disk_is_low(&disk));
    }
    wake_clear(&wake);
    look(&disk);
    EXPECT(!disk_is_low(&disk));
    struct pollfd fd = {.fd = wake.fd, .events = POLLIN};
    EXPECT_EQ(poll(&fd, 1, 0), 1);
    mem_free(disk.output[0]);
    wake_close(&wake);
    test_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(disk, output_that_cannot_be_looked_at_is_not_low),
        RUN(disk, is_low_below_the_limit_only),
        RUN(disk, newest_outputs_push_out_the_oldest),
        RUN(disk, flag_of_a_task_that_found_no_room_stays_for_some_looks),
        RUN(disk, flag_rises_with_a_full_output_and_falls_when_it_is_forgotten),
    };
    return cmocka_run_group_tests_name("disk", tests, NULL, NULL);
}
