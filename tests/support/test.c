/* test.c - folders and seeds for the tests. */
#include "tests/support/test.h"

#include "common/base/check.h"
#include "common/base/fs.h"
#include "common/base/rng.h"
#include "common/base/str.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* More folders than a test program holds at once. */
#define DIRS_MAX 64

static char dirs[DIRS_MAX][PATH_MAX]; /* "": free */
static pid_t owner;

/* A test that failed did not reach its test_dir_remove. A forked child must not clean up. */
static void remove_left(void)
{
    if (getpid() != owner) return;
    for (int i = 0; i < DIRS_MAX; i++)
        if (dirs[i][0]) test_dir_remove(dirs[i]);
}

const char *test_dir_new(void)
{
    const char *base = getenv("TMPDIR");
    if (!base || !*base) base = "/tmp";
    if (!owner) {
        owner = getpid();
        CHECK(atexit(remove_left) == 0);
    }
    int slot = 0;
    while (slot < DIRS_MAX && dirs[slot][0]) slot++;
    CHECK(slot < DIRS_MAX);
    CHECK(fs_join(dirs[slot], sizeof dirs[slot], base, "vlmq-test-XXXXXX"));
    CHECK(mkdtemp(dirs[slot]) != NULL);
    return dirs[slot];
}

void test_dir_remove(const char *path)
{
    struct err err;
    if (!path || !*path) return;
    if (fs_remove_tree(path, &err)) print_error("%s\n", err.msg);
    for (int i = 0; i < DIRS_MAX; i++)
        if (str_eq(dirs[i], path)) dirs[i][0] = 0;
}

uint64_t test_seed(void)
{
    uint64_t seed;
    const char *text = getenv("VLMQ_SEED");
    if (text && *text) {
        char *end;
        seed = strtoull(text, &end, 10);
        CHECK(*end == 0);
    } else {
        rng_secure(&seed, sizeof seed);
    }
    print_message("VLMQ_SEED=%" PRIu64 "\n", seed);
    return seed;
}
