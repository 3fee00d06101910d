/* same_test.c - the scratch file of URLs that many rows have: what it keeps, gives back, and does
 * not take. */
#include "worker/list/same.h"

#include "common/base/fs.h"
#include "common/base/str.h"
#include "tests/support/test.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define URLS       3
#define ROWS       4 /* of each URL */
#define BODY_BYTES 100000
#define BLOCKS     102400 /* those bytes in whole blocks */

struct fixture {
    const char *dir;
    struct same *same;
    struct fetch_item item;
    struct buf final_url;
};

static const char *url_of(uint32_t i)
{
    static const char *const urls[URLS] = {"http://a/", "http://b/", "http://c/"};
    return urls[i];
}

static void fixture_init(struct fixture *fixture, int64_t bytes_max)
{
    char path[PATH_MAX];
    struct err err;
    *fixture = (struct fixture){.dir = test_dir_new()};
    EXPECT(fs_join(path, sizeof path, fixture->dir, "same"));
    EXPECT_OK(same_new(&fixture->same, URLS * ROWS + 1, path, bytes_max, &err), &err);
    for (uint32_t i = 0; i < URLS * ROWS; i++) same_note(fixture->same, url_of(i % URLS));
    same_note(fixture->same, "http://once/");
    same_seal(fixture->same);
    EXPECT(same_find(fixture->same, "http://once/") == NULL);
    buf_init(&fixture->item.body, 0);
    buf_init(&fixture->final_url, 0);
    fixture->item.final_url = &fixture->final_url;
}

static void fixture_deinit(struct fixture *fixture)
{
    same_free(fixture->same);
    buf_deinit(&fixture->item.body);
    buf_deinit(&fixture->final_url);
    test_dir_remove(fixture->dir);
}

/* A row of the URL is started, as work_fetch.c does it. */
static struct same_url *take(struct fixture *fixture, uint32_t i)
{
    struct same_url *url = same_find(fixture->same, url_of(i));
    EXPECT(url != NULL);
    EXPECT(url->rows_left > 0);
    url->rows_left--;
    return url;
}

static void fill(struct fixture *fixture, uint32_t i, size_t bytes)
{
    buf_clear(&fixture->item.body);
    for (size_t k = 0; k < bytes; k++)
        buf_byte(&fixture->item.body, (char)('a' + (k + i * 7) % 26));
    buf_clear(&fixture->final_url);
    buf_printf(&fixture->final_url, "http://final/%u", i);
    fixture->item.status = FETCH_OK;
    fixture->item.http_status = 200 + (int32_t)i;
}

static bool keep(struct fixture *fixture, uint32_t i, size_t bytes)
{
    struct err err;
    bool kept;
    struct same_url *url = same_find(fixture->same, url_of(i));
    fill(fixture, i, bytes);
    EXPECT_OK(same_keep(fixture->same, url, &fixture->item, &kept, &err), &err);
    EXPECT_EQ(url->done, kept);
    return kept;
}

static void expect_copy(struct fixture *fixture, uint32_t i, size_t bytes)
{
    char final_url[32];
    struct err err;
    struct same_url *url = take(fixture, i);
    fixture->item.status = FETCH_TIMEOUT;
    EXPECT_OK(same_copy(fixture->same, url, &fixture->item, &err), &err);
    EXPECT_EQ(fixture->item.status, FETCH_OK);
    EXPECT_EQ(fixture->item.http_status, 200 + (int32_t)i);
    (void)snprintf(final_url, sizeof final_url, "http://final/%u", i);
    EXPECT_TEXT(buf_str(&fixture->final_url), final_url);
    EXPECT_EQ(fixture->item.body.len, bytes);
    for (size_t k = 0; k < bytes; k++)
        EXPECT_EQ(fixture->item.body.data[k], (char)('a' + (k + i * 7) % 26));
}

/* What the file, which has no name, takes of the disk. */
static int64_t disk_bytes(const char *dir)
{
    int64_t bytes = -1;
    DIR *fds = opendir("/proc/self/fd");
    EXPECT(fds != NULL);
    for (const struct dirent *entry; (entry = readdir(fds));) {
        char target[PATH_MAX];
        struct stat info;
        const ssize_t len = readlinkat(dirfd(fds), entry->d_name, target, sizeof target - 1);
        if (len < 0) continue;
        target[len] = 0;
        if (!str_has_prefix(target, dir)) continue;
        EXPECT_EQ(fstatat(dirfd(fds), entry->d_name, &info, 0), 0);
        bytes = (int64_t)info.st_blocks * 512;
    }
    (void)closedir(fds);
    return bytes;
}

TEST(same, gives_the_disk_back_with_the_last_copy)
{
    UNUSED_STATE;
    struct fixture fixture;
    fixture_init(&fixture, 1 << 20);
    for (uint32_t i = 0; i < URLS; i++) {
        (void)take(&fixture, i);
        EXPECT(keep(&fixture, i, BODY_BYTES));
    }
    EXPECT_EQ(same_bytes(fixture.same), URLS * BLOCKS);
    const int64_t full = disk_bytes(fixture.dir);
    EXPECT(full >= URLS * BODY_BYTES);
    for (uint32_t row = 1; row < ROWS; row++)
        for (uint32_t i = 0; i < URLS; i++) {
            expect_copy(&fixture, i, BODY_BYTES);
            if (row < ROWS - 1) EXPECT_EQ(same_bytes(fixture.same), URLS * BLOCKS);
        }
    EXPECT_EQ(same_bytes(fixture.same), 0);
    EXPECT(disk_bytes(fixture.dir) < full - (URLS - 1) * BODY_BYTES);
    fixture_deinit(&fixture);
}

TEST(same, keeps_no_more_than_it_may_and_goes_on_when_there_is_room)
{
    UNUSED_STATE;
    struct fixture fixture;
    fixture_init(&fixture, 2 * BLOCKS);
    for (uint32_t i = 0; i < URLS; i++) {
        (void)take(&fixture, i);
        EXPECT_EQ(keep(&fixture, i, BODY_BYTES), i < 2);
    }
    EXPECT_EQ(same_bytes(fixture.same), 2 * BLOCKS);
    for (uint32_t row = 1; row < ROWS; row++) expect_copy(&fixture, 0, BODY_BYTES);
    EXPECT_EQ(same_bytes(fixture.same), BLOCKS);
    (void)take(&fixture, 2); /* the next row of it fetches it, and leaves it for the others */
    EXPECT(keep(&fixture, 2, BODY_BYTES));
    for (uint32_t row = 2; row < ROWS; row++) expect_copy(&fixture, 2, BODY_BYTES);
    for (uint32_t row = 1; row < ROWS; row++) expect_copy(&fixture, 1, BODY_BYTES);
    EXPECT_EQ(same_bytes(fixture.same), 0);
    fixture_deinit(&fixture);
}

TEST(same, counts_the_rows_that_wait)
{
    UNUSED_STATE;
    struct fixture fixture;
    struct fetch_item waiting[ROWS - 1] = {0};
    struct err err;
    fixture_init(&fixture, 1 << 20);
    struct same_url *url = take(&fixture, 0);
    for (uint32_t i = 0; i < ROWS - 1; i++) {
        (void)take(&fixture, 0);
        waiting[i].next = url->waiting;
        url->waiting = &waiting[i];
    }
    EXPECT(keep(&fixture, 0, 10));
    for (uint32_t i = 0; i < ROWS - 1; i++) {
        EXPECT_EQ(same_bytes(fixture.same), 4096);
        EXPECT_OK(same_copy(fixture.same, url, &fixture.item, &err), &err);
    }
    EXPECT_EQ(same_bytes(fixture.same), 0);
    fixture_deinit(&fixture);
}

TEST(same, needs_no_disk_for_what_has_no_body)
{
    UNUSED_STATE;
    struct fixture fixture;
    fixture_init(&fixture, 0);
    for (uint32_t i = 0; i < URLS; i++) {
        (void)take(&fixture, i);
        EXPECT(keep(&fixture, i, 0));
        for (uint32_t row = 1; row < ROWS; row++) expect_copy(&fixture, i, 0);
    }
    EXPECT_EQ(disk_bytes(fixture.dir), -1);
    fixture_deinit(&fixture);
}

/* The disk of each of these is full in its own way; none of them ends a task. */
TEST(same, does_without_what_a_full_disk_does_not_take)
{
    UNUSED_STATE;
    static const int errnums[] = {ENOSPC, EDQUOT, EIO};
    for (size_t i = 0; i < sizeof errnums / sizeof errnums[0]; i++) {
        struct fixture fixture;
        fixture_init(&fixture, 1 << 20);
        (void)take(&fixture, 0);
        (void)fs_fail(0, 1, errnums[i]);
        EXPECT(!keep(&fixture, 0, BODY_BYTES));
        (void)fs_fail(-1, 0, 0);
        EXPECT_EQ(same_bytes(fixture.same), 0);
        (void)take(&fixture, 0);
        EXPECT(keep(&fixture, 0, BODY_BYTES));
        expect_copy(&fixture, 0, BODY_BYTES);
        fixture_deinit(&fixture);
    }
}

TEST(same, leaves_nothing_of_a_body_that_was_cut_off)
{
    UNUSED_STATE;
    struct fixture fixture;
    struct rlimit before, small;
    EXPECT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = BLOCKS + BODY_BYTES / 2;
    fixture_init(&fixture, 1 << 20);
    (void)take(&fixture, 0);
    (void)take(&fixture, 1);
    EXPECT(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
    EXPECT(keep(&fixture, 0, BODY_BYTES));
    const int64_t first = disk_bytes(fixture.dir);
    EXPECT(!keep(&fixture, 1, BODY_BYTES)); /* half of it fits */
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
    EXPECT(disk_bytes(fixture.dir) <= first);
    EXPECT_EQ(same_bytes(fixture.same), BLOCKS);
    (void)take(&fixture, 1);
    EXPECT(keep(&fixture, 1, BODY_BYTES));
    expect_copy(&fixture, 1, BODY_BYTES);
    expect_copy(&fixture, 0, BODY_BYTES);
    fixture_deinit(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(same, gives_the_disk_back_with_the_last_copy),
        RUN(same, keeps_no_more_than_it_may_and_goes_on_when_there_is_room),
        RUN(same, counts_the_rows_that_wait),
        RUN(same, needs_no_disk_for_what_has_no_body),
        RUN(same, does_without_what_a_full_disk_does_not_take),
        RUN(same, leaves_nothing_of_a_body_that_was_cut_off),
    };
    return cmocka_run_group_tests_name("same", tests, NULL, NULL);
}
