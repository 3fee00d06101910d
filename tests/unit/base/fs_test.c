/* fs_test.c - whole and durable files, also when calls fail and when many race for a name. */
#include "common/base/fs.h"

#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/base/thread.h"
#include "tests/support/test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* dir/name in a few turning buffers. */
static const char *in(const char *dir, const char *name)
{
    static char paths[4][PATH_MAX];
    static int turn;
    char *path = paths[turn++ % 4];
    EXPECT(fs_join(path, PATH_MAX, dir, name));
    return path;
}

static void expect_content(const char *path, const char *content)
{
    struct err err;
    struct buf text;
    buf_init(&text, 0);
    EXPECT_OK(fs_read(&text, path, 1 << 20, &err), &err);
    EXPECT_TEXT(buf_str(&text), content);
    buf_deinit(&text);
}

static int count_name(void *ctx, const char *name, struct err *err)
{
    (void)name;
    (void)err;
    ++*(int *)ctx;
    return 0;
}

static int count_names(const char *dir)
{
    struct err err;
    int count = 0;
    EXPECT_OK(fs_list(dir, count_name, &count, &err), &err);
    return count;
}

TEST(fs, put_replaces_whole_and_leaves_nothing_else)
{
    UNUSED_STATE;
    struct err err;
    const char *dir = test_dir_new();
    EXPECT_OK(fs_put(in(dir, "a"), "one", 3, &err), &err);
    expect_content(in(dir, "a"), "one");
    EXPECT_OK(fs_put(in(dir, "a"), "", 0, &err), &err);
    expect_content(in(dir, "a"), "");
    EXPECT_EQ(count_names(dir), 1);
    test_dir_remove(dir);
}

TEST(fs, put_that_fails_anywhere_leaves_old_or_new_and_no_private_file)
{
    UNUSED_STATE;
    static const struct {
        int errnum;
        enum err_code code;
    } rows[] = {{ENOSPC, ERR_FULL}, {EIO, ERR_UNAVAILABLE}, {EACCES, ERR_DENIED}};
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        const char *dir = test_dir_new();
        struct err err;
        int64_t after = 0;
        int rc = 1;
        for (; rc; after++) {
            EXPECT(after < 10);
            EXPECT_OK(fs_put(in(dir, "a"), "old", 3, &err), &err);
            (void)fs_fail(after, 1, rows[row].errnum);
            rc = fs_put(in(dir, "a"), "new", 3, &err);
            const bool fired = fs_fail(-1, 0, 0) > after;
            EXPECT_EQ(rc, fired ? (int)rows[row].code : 0);
            if (rc) EXPECT(strstr(err.msg, dir) != NULL);
            /* After the rename only the folder's fsync can fail. */
            expect_content(in(dir, "a"), after < 3 ? "old" : "new");
            EXPECT_EQ(count_names(dir), 1);
        }
        EXPECT_EQ(after, 5); /* write, fsync, rename, fsync of the folder, none */
        test_dir_remove(dir);
    }
}

TEST(fs, put_new_creates_once_and_never_replaces)
{
    UNUSED_STATE;
    struct err err;
    bool created = false;
    const char *dir = test_dir_new();
    EXPECT_OK(fs_put_new(in(dir, "a"), "one", 3, &created, &err), &err);
    EXPECT(created);
    EXPECT_OK(fs_put_new(in(dir, "a"), "two", 3, &created, &err), &err);
    EXPECT(!created);
    expect_content(in(dir, "a"), "one");
    EXPECT_EQ(count_names(dir), 1);
    EXPECT_EQ(fs_put_new(in(dir, "none/a"), "one", 3, &created, &err), ERR_NOT_FOUND);
    EXPECT(!created);
    test_dir_remove(dir);
}

TEST(fs, put_new_that_fails_anywhere_can_be_repeated)
{
    UNUSED_STATE;
    int64_t after = 0;
    int rc = 1;
    for (; rc; after++) {
        struct err err;
        bool created = true;
        const char *dir = test_dir_new();
        EXPECT(after < 10);
        (void)fs_fail(after, 1, EIO);
        rc = fs_put_new(in(dir, "a"), "new", 3, &created, &err);
        const bool fired = fs_fail(-1, 0, 0) > after;
        EXPECT_EQ(rc, fired ? ERR_UNAVAILABLE : 0);
        EXPECT_EQ(created, !fired);
        EXPECT_EQ(count_names(dir), after < 3 ? 0 : 1); /* never a private file */
        EXPECT_OK(fs_put_new(in(dir, "a"), "new", 3, &created, &err), &err);
        EXPECT_EQ(created, after < 3);
        expect_content(in(dir, "a"), "new");
        test_dir_remove(dir);
    }
    EXPECT_EQ(after, 5);
}

TEST(fs, put_new_works_where_there_are_no_hard_links)
{
    UNUSED_STATE;
    struct err err;
    bool created = false;
    const char *dir = test_dir_new();
    (void)fs_fail(2, 1, EPERM); /* what link answers there */
    EXPECT_OK(fs_put_new(in(dir, "a"), "one", 3, &created, &err), &err);
    EXPECT_EQ(fs_fail(2, 1, EPERM), 4);
    EXPECT(created);
    EXPECT_OK(fs_put_new(in(dir, "a"), "two", 3, &created, &err), &err);
    EXPECT_EQ(fs_fail(-1, 0, 0), 4);
    EXPECT(!created);
    expect_content(in(dir, "a"), "one");
    EXPECT_EQ(count_names(dir), 1);
    test_dir_remove(dir);
}

#define RACERS 8
#define ROUNDS 40

struct race {
    const char *dir;
    int index;
    int won[ROUNDS];
    bool seen_partial;
};

/* Each racer's content names it and fills more than one page. */
static void content_of(char content[9000], int index, int round)
{
    for (size_t i = 0; i < 8999; i++) content[i] = (char)('a' + (index + round) % 26);
    content[0] = (char)('A' + index);
    content[8999] = 0;
}

static void race_run(void *arg)
{
    struct race *race = arg;
    for (int round = 0; round < ROUNDS; round++) {
        char content[9000], expected[9000], path[PATH_MAX], name[16];
        struct err err;
        struct buf text;
        bool created;
        content_of(content, race->index, round);
        (void)snprintf(name, sizeof name, "%05d", round);
        if (!fs_join(path, sizeof path, race->dir, name)) continue;
        if (fs_put_new(path, content, 8999, &created, &err)) created = false;
        race->won[round] = created;
        /* Who lost reads the winner's file at once: it must be whole. */
        buf_init(&text, 0);
        if (fs_read(&text, path, 9000, &err) || text.len != 8999) {
            race->seen_partial = true;
        } else {
            content_of(expected, text.data[0] - 'A', round);
            if (!str_eq(expected, text.data)) race->seen_partial = true;
        }
        buf_deinit(&text);
    }
}

TEST(fs, put_new_has_one_winner_among_threads_and_its_file_is_whole)
{
    UNUSED_STATE;
    struct err err;
    struct thread thread[RACERS] = {0};
    struct race race[RACERS];
    const char *dir = test_dir_new();
    for (int i = 0; i < RACERS; i++) {
        race[i] = (struct race){.dir = dir, .index = i};
        EXPECT_OK(thread_start(&thread[i], "racer", race_run, &race[i], &err), &err);
    }
    for (int i = 0; i < RACERS; i++) thread_join(&thread[i]);
    for (int round = 0; round < ROUNDS; round++) {
        int winners = 0, winner = 0;
        char content[9000], name[16];
        for (int i = 0; i < RACERS; i++) {
            EXPECT(!race[i].seen_partial);
            winners += race[i].won[round];
            if (race[i].won[round]) winner = i;
        }
        EXPECT_EQ(winners, 1);
        content_of(content, winner, round);
        (void)snprintf(name, sizeof name, "%05d", round);
        expect_content(in(dir, name), content);
    }
    EXPECT_EQ(count_names(dir), ROUNDS);
    test_dir_remove(dir);
}

TEST(fs, read_appends_up_to_its_bound)
{
    UNUSED_STATE;
    struct err err;
    struct buf text;
    const char *dir = test_dir_new();
    EXPECT_OK(fs_put(in(dir, "a"), "12345", 5, &err), &err);
    buf_init(&text, 0);
    buf_text(&text, "x");
    EXPECT_OK(fs_read(&text, in(dir, "a"), 5, &err), &err);
    EXPECT_TEXT(buf_str(&text), "x12345");
    buf_clear(&text);
    EXPECT_EQ(fs_read(&text, in(dir, "a"), 4, &err), ERR_LIMIT);
    EXPECT_EQ(fs_read(&text, in(dir, "none"), 4, &err), ERR_NOT_FOUND);
    EXPECT_EQ(fs_read(&text, dir, 4, &err), ERR_INVALID);
    buf_deinit(&text);
    test_dir_remove(dir);
}

TEST(fs, read_into_a_small_buffer_works_when_the_file_fits)
{
    UNUSED_STATE;
    struct err err;
    struct buf text;
    const char *dir = test_dir_new();
    EXPECT_OK(fs_put(in(dir, "a"), "12345", 5, &err), &err);
    buf_init(&text, 5);
    EXPECT_OK(fs_read(&text, in(dir, "a"), 100, &err), &err);
    EXPECT(!buf_failed(&text));
    EXPECT_TEXT(buf_str(&text), "12345");
    buf_deinit(&text);
    buf_init(&text, 4);
    EXPECT_EQ(fs_read(&text, in(dir, "a"), 100, &err), ERR_LIMIT);
    buf_deinit(&text);
    test_dir_remove(dir);
}

TEST(fs, read_without_memory_is_a_limit)
{
    UNUSED_STATE;
    struct err err;
    struct buf text;
    const char *dir = test_dir_new();
    EXPECT_OK(fs_put(in(dir, "a"), "12345", 5, &err), &err);
    buf_init(&text, 0);
    (void)mem_fail(0, 100);
    const int rc = fs_read(&text, in(dir, "a"), 100, &err);
    (void)mem_fail(-1, 0);
    EXPECT_EQ(rc, ERR_LIMIT);
    buf_deinit(&text);
    test_dir_remove(dir);
}

TEST(fs, mkdirs_makes_all_and_accepts_what_is_there)
{
    UNUSED_STATE;
    struct err err;
    const char *dir = test_dir_new();
    EXPECT_OK(fs_mkdirs(in(dir, "a/b//c/"), &err), &err);
    EXPECT_OK(fs_mkdirs(in(dir, "a/b/c"), &err), &err);
    EXPECT(fs_exists(in(dir, "a/b/c")));
    EXPECT_OK(fs_put(in(dir, "file"), "", 0, &err), &err);
    EXPECT_EQ(fs_mkdirs(in(dir, "file/x"), &err), ERR_INVALID);
    EXPECT_EQ(fs_mkdirs("", &err), ERR_INVALID);
    test_dir_remove(dir);
}

TEST(fs, remove_tree_takes_all_below_and_follows_no_link)
{
    UNUSED_STATE;
    struct err err;
    const char *dir = test_dir_new();
    EXPECT_OK(fs_mkdirs(in(dir, "keep"), &err), &err);
    EXPECT_OK(fs_put(in(dir, "keep/file"), "x", 1, &err), &err);
    EXPECT_OK(fs_mkdirs(in(dir, "tree/a/b/c"), &err), &err);
    EXPECT_OK(fs_mkdirs(in(dir, "tree/d"), &err), &err);
    EXPECT_OK(fs_put(in(dir, "tree/a/b/file"), "x", 1, &err), &err);
    EXPECT_EQ(symlink(in(dir, "keep"), in(dir, "tree/a/link")), 0);
    EXPECT_EQ(symlink(in(dir, "keep"), in(dir, "link")), 0);
    EXPECT_OK(fs_remove_tree(in(dir, "tree/"), &err), &err);
    EXPECT(!fs_exists(in(dir, "tree")));
    EXPECT_OK(fs_remove_tree(in(dir, "link"), &err), &err);
    expect_content(in(dir, "keep/file"), "x");
    EXPECT_EQ(count_names(dir), 1);
    EXPECT_OK(fs_remove_tree(in(dir, "never-was"), &err), &err);
    test_dir_remove(dir);
}

TEST(fs, remove_tree_manages_depth_and_breadth)
{
    UNUSED_STATE;
    struct err err;
    const char *dir = test_dir_new();
    char deep[3000];
    size_t used = 0;
    for (int i = 0; i < 400; i++) used += (size_t)snprintf(deep + used, sizeof deep - used, "t/d/");
    EXPECT_OK(fs_mkdirs(in(dir, deep), &err), &err);
    for (int i = 0; i < 300; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "t/d/%d", i);
        EXPECT_OK(fs_mkdirs(in(dir, name), &err), &err);
        EXPECT_EQ(close(open(in(in(dir, name), "f"), O_CREAT | O_WRONLY, 0600)), 0);
    }
    EXPECT_OK(fs_remove_tree(in(dir, "t"), &err), &err);
    EXPECT_EQ(count_names(dir), 0);
    test_dir_remove(dir);
}

static int join_name(void *ctx, const char *name, struct err *err)
{
    struct buf *buf = ctx;
    if (str_eq(name, "stop")) return err_set(err, ERR_CANCELLED, "stopped");
    buf_text(buf, name);
    buf_byte(buf, ' ');
    return 0;
}

TEST(fs, list_is_sorted_and_stops_when_asked)
{
    UNUSED_STATE;
    struct err err;
    struct buf names;
    const char *dir = test_dir_new();
    static const char *const made[] = {"b", "a", "stop", "c", ".hidden", "zz"};
    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++)
        EXPECT_OK(fs_put(in(dir, made[i]), "", 0, &err), &err);
    buf_init(&names, 0);
    EXPECT_EQ(fs_list(dir, join_name, &names, &err), ERR_CANCELLED);
    EXPECT_TEXT(buf_str(&names), ".hidden a b c ");
    EXPECT_EQ(fs_list(in(dir, "none"), join_name, &names, &err), ERR_NOT_FOUND);
    for (int64_t after = 0, calls = 1; calls > after; after++) {
        int count = 0;
        (void)mem_fail(after, 1);
        const int rc = fs_list(dir, count_name, &count, &err);
        calls = mem_fail(-1, 0);
        EXPECT_EQ(rc, calls > after ? ERR_LIMIT : 0);
        EXPECT_EQ(count, calls > after ? 0 : 6);
    }
    buf_deinit(&names);
    test_dir_remove(dir);
}

TEST(fs, sizes_are_told)
{
    UNUSED_STATE;
    struct err err;
    int64_t bytes = -1;
    const char *dir = test_dir_new();
    EXPECT_OK(fs_put(in(dir, "a"), "12345", 5, &err), &err);
    EXPECT_OK(fs_size(&bytes, in(dir, "a"), &err), &err);
    EXPECT_EQ(bytes, 5);
    EXPECT_EQ(fs_size(&bytes, in(dir, "none"), &err), ERR_NOT_FOUND);
    EXPECT_OK(fs_free_bytes(&bytes, dir, &err), &err);
    EXPECT(bytes > 0);
    EXPECT_EQ(fs_free_bytes(&bytes, in(dir, "none"), &err), ERR_NOT_FOUND);
    test_dir_remove(dir);
}

TEST(fs, lock_excludes_another_process_until_unlocked_or_dead)
{
    UNUSED_STATE;
    struct err err;
    int fd = -1, other = -1, status;
    int ready[2], go[2];
    char byte;
    const char *dir = test_dir_new();
    const char *path = in(dir, "lock");
    EXPECT_EQ(pipe(ready), 0);
    EXPECT_EQ(pipe(go), 0);
    (void)fflush(NULL);
    const pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
        const int rc = fs_lock(&fd, path, 0, &err);
        if (write(ready[1], rc ? "n" : "y", 1) != 1 || read(go[0], &byte, 1) != 1) _exit(1);
        _exit(rc); /* dies holding the lock */
    }
    EXPECT_EQ(read(ready[0], &byte, 1), 1);
    EXPECT_EQ(byte, 'y');
    EXPECT_EQ(fs_lock(&fd, path, 0, &err), ERR_TIMEOUT);
    EXPECT_EQ(fs_lock(&fd, path, 30, &err), ERR_TIMEOUT);
    EXPECT_EQ(write(go[1], "x", 1), 1);
    EXPECT_OK(fs_lock(&fd, path, 60000, &err), &err);
    EXPECT(waitpid(pid, &status, 0) == pid);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(fs_lock(&other, path, 0, &err), ERR_TIMEOUT);
    fs_unlock(fd);
    EXPECT_OK(fs_lock(&other, path, 0, &err), &err);
    fs_unlock(other);
    fs_unlock(-1);
    for (int i = 0; i < 2; i++) {
        (void)close(ready[i]);
        (void)close(go[i]);
    }
    test_dir_remove(dir);
}

TEST(fs, join_puts_one_slash_and_tells_when_it_does_not_fit)
{
    UNUSED_STATE;
    char dst[8];
    EXPECT(fs_join(dst, sizeof dst, "a/b", "c"));
    EXPECT_TEXT(dst, "a/b/c");
    EXPECT(fs_join(dst, sizeof dst, "/", "c"));
    EXPECT_TEXT(dst, "/c");
    EXPECT(fs_join(dst, sizeof dst, "", "c"));
    EXPECT_TEXT(dst, "c");
    EXPECT(!fs_join(dst, sizeof dst, "abcd", "efg"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(fs, put_replaces_whole_and_leaves_nothing_else),
        RUN(fs, put_that_fails_anywhere_leaves_old_or_new_and_no_private_file),
        RUN(fs, put_new_creates_once_and_never_replaces),
        RUN(fs, put_new_that_fails_anywhere_can_be_repeated),
        RUN(fs, put_new_works_where_there_are_no_hard_links),
        RUN(fs, put_new_has_one_winner_among_threads_and_its_file_is_whole),
        RUN(fs, read_appends_up_to_its_bound),
        RUN(fs, read_into_a_small_buffer_works_when_the_file_fits),
        RUN(fs, read_without_memory_is_a_limit),
        RUN(fs, mkdirs_makes_all_and_accepts_what_is_there),
        RUN(fs, remove_tree_takes_all_below_and_follows_no_link),
        RUN(fs, remove_tree_manages_depth_and_breadth),
        RUN(fs, list_is_sorted_and_stops_when_asked),
        RUN(fs, sizes_are_told),
        RUN(fs, lock_excludes_another_process_until_unlocked_or_dead),
        RUN(fs, join_puts_one_slash_and_tells_when_it_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
