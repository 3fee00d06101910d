/* attempt_test.c - one attempt at a time: what is committed, adopted, refused and removed. */
#include "common/store/attempt.h"

#include "common/base/buf.h"
#include "tests/unit/store/output.h"

#include <limits.h>
#include <unistd.h>

static void names_are(const char *root, const char *folder, uint32_t count)
{
    EXPECT_EQ(output_names(root, folder), count);
}

TEST(attempt, commit_publishes_and_clears_up)
{
    UNUSED_STATE;
    struct attempt_manifest manifest;
    struct err err;
    bool adopted;
    const char *dir = test_dir_new();
    EXPECT_OK(output_make(dir, 1, &manifest, &adopted, &err), &err);
    EXPECT(!adopted);
    output_check(dir, &manifest);
    names_are(dir, "", OUTPUT_FILES + 1); /* and _vlmq */
    names_are(dir, "_vlmq/manifest", 1);
    names_are(dir, "_vlmq/attempt", 0);
    test_dir_remove(dir);
}

TEST(attempt, second_attempt_adopts_and_writes_nothing)
{
    UNUSED_STATE;
    struct attempt_manifest first, second;
    struct err err;
    bool adopted;
    const char *dir = test_dir_new();
    EXPECT_OK(output_make(dir, 1, &first, &adopted, &err), &err);
    EXPECT_OK(output_make(dir, 2, &second, &adopted, &err), &err);
    EXPECT(adopted);
    EXPECT_TEXT(second.lease, first.lease);
    EXPECT_MEM(second.digest, first.digest, 32);
    EXPECT_EQ(second.items, 2);
    EXPECT_EQ(second.counters_count, 1);
    EXPECT_TEXT(second.counter[0].name, "status.success");
    output_check(dir, &first);
    test_dir_remove(dir);
}

TEST(attempt, digest_depends_on_the_output_alone)
{
    UNUSED_STATE;
    struct attempt_manifest a, b, c;
    struct err err;
    bool adopted;
    const char *one = test_dir_new(), *two = test_dir_new(), *three = test_dir_new();
    EXPECT_OK(output_make(one, 1, &a, &adopted, &err), &err);
    EXPECT_OK(output_make(two, 1, &b, &adopted, &err), &err);
    EXPECT_OK(output_make(three, 2, &c, &adopted, &err), &err);
    EXPECT(strcmp(a.lease, b.lease) != 0);
    EXPECT_MEM(a.digest, b.digest, 32);
    EXPECT(memcmp(a.digest, c.digest, 32) != 0);
    test_dir_remove(one);
    test_dir_remove(two);
    test_dir_remove(three);
}

TEST(attempt, closing_without_commit_removes_its_files)
{
    UNUSED_STATE;
    struct attempt_manifest manifest;
    struct store *store;
    struct attempt *attempt;
    struct store_file *closed, *open;
    struct err err;
    bool adopted;
    char lease[LEASE_ID_BYTES], path[PATH_MAX];
    const char *dir = test_dir_new();
    id_lease(lease);
    EXPECT_OK(store_open(&store, dir, false, &err), &err);
    EXPECT_OK(attempt_open(&attempt, store, "t", lease, &adopted, &manifest, &err), &err);
    EXPECT_OK(attempt_scratch(attempt, path, sizeof path, &err), &err);
    EXPECT(fs_exists(path));
    EXPECT_OK(attempt_file_open(attempt, &closed, "a", &err), &err);
    EXPECT_OK(attempt_file_close(attempt, closed, &err), &err);
    EXPECT_OK(attempt_file_open(attempt, &open, "b", &err), &err);
    EXPECT_EQ(attempt_commit(attempt, &manifest, &adopted, &err), ERR_INTERNAL); /* b is open */
    attempt_close(attempt);
    attempt_close(NULL);
    names_are(dir, "_vlmq/attempt", 0);
    names_are(dir, "", 1);
    store_close(store);
    test_dir_remove(dir);
}

TEST(attempt, left_files_are_there_for_the_next_one)
{
    UNUSED_STATE;
    struct attempt_manifest manifest;
    struct store *store;
    struct attempt *first, *second;
    struct store_file *file;
    struct buf text;
    struct err err;
    bool adopted;
    char lease[2][LEASE_ID_BYTES], path[ATTEMPT_PATH_BYTES];
    const char *dir = test_dir_new();
    buf_init(&text, 0);
    id_lease(lease[0]);
    id_lease(lease[1]);
    EXPECT_OK(store_open(&store, dir, false, &err), &err);
    EXPECT_OK(attempt_open(&first, store, "t", lease[0], &adopted, &manifest, &err), &err);
    EXPECT_OK(attempt_file_grow(first, &file, "a", &err), &err);
    EXPECT_OK(store_file_write(file, "abc", 3, &err), &err);
    EXPECT_OK(attempt_open(&second, store, "t", lease[1], &adopted, &manifest, &err), &err);
    EXPECT(!adopted);
    EXPECT_OK(attempt_forget(second, lease[0], &err), &err); /* it may still commit */
    names_are(dir, "_vlmq/attempt", 1);
    attempt_leave(first);
    attempt_leave(NULL);

    attempt_private(path, second, lease[0], "a", false);
    EXPECT_OK(store_get(store, &text, path, 100, &err), &err);
    EXPECT_TEXT(buf_str(&text), "abc");
    EXPECT_OK(attempt_forget(second, lease[0], &err), &err);
    EXPECT_EQ(store_get(store, &text, path, 100, &err), ERR_NOT_FOUND);
    EXPECT_OK(attempt_forget(second, lease[0], &err), &err);

    EXPECT_OK(attempt_file_grow(second, &file, "a", &err), &err);
    attempt_file_drop(second, file); /* the name is free again */
    EXPECT_OK(attempt_file_grow(second, &file, "a", &err), &err);
    EXPECT_OK(attempt_file_close(second, file, &err), &err);
    EXPECT_OK(attempt_commit(second, &manifest, &adopted, &err), &err);
    attempt_close(second);
    names_are(dir, "_vlmq/attempt", 0);
    names_are(dir, "", 2);
    buf_deinit(&text);
    store_close(store);
    test_dir_remove(dir);
}

TEST(attempt, who_leaves_after_another_has_committed_leaves_nothing)
{
    UNUSED_STATE;
    struct attempt_manifest manifest = {0};
    struct store *store;
    struct attempt *zombie, *winner;
    struct store_file *file;
    struct err err;
    bool adopted;
    char lease[2][LEASE_ID_BYTES];
    const char *dir = test_dir_new();
    id_lease(lease[0]);
    id_lease(lease[1]);
    EXPECT_OK(store_open(&store, dir, false, &err), &err);
    EXPECT_OK(attempt_open(&zombie, store, "t", lease[0], &adopted, &manifest, &err), &err);
    EXPECT_OK(attempt_file_grow(zombie, &file, "a", &err), &err);
    EXPECT_OK(attempt_open(&winner, store, "t", lease[1], &adopted, &manifest, &err), &err);
    EXPECT_OK(attempt_commit(winner, &manifest, &adopted, &err), &err);
    attempt_close(winner);
    attempt_leave(zombie);
    names_are(dir, "_vlmq/attempt", 0);
    store_close(store);
    test_dir_remove(dir);
}

TEST(attempt, names_and_numbers_of_files_are_bounded)
{
    UNUSED_STATE;
    struct attempt_manifest manifest;
    struct store *store;
    struct attempt *attempt;
    struct store_file *file;
    struct err err;
    bool adopted;
    char lease[LEASE_ID_BYTES], name[32];
    const char *dir = test_dir_new();
    id_lease(lease);
    EXPECT_OK(store_open(&store, dir, false, &err), &err);
    EXPECT_EQ(attempt_open(&attempt, store, "", lease, &adopted, &manifest, &err), ERR_INVALID);
    EXPECT_EQ(attempt_open(&attempt, store, "a/b", lease, &adopted, &manifest, &err), ERR_INVALID);
    EXPECT_EQ(attempt_open(&attempt, store, ".a", lease, &adopted, &manifest, &err), ERR_INVALID);
    EXPECT_EQ(attempt_open(&attempt, store, "a", "beef", &adopted, &manifest, &err), ERR_INVALID);
    EXPECT_OK(attempt_open(&attempt, store, "a", lease, &adopted, &manifest, &err), &err);
    EXPECT_EQ(attempt_file_open(attempt, &file, "_vlmq/x", &err), ERR_INVALID);
    EXPECT_EQ(attempt_file_open(attempt, &file, "scratch", &err), ERR_INVALID);
    EXPECT_EQ(attempt_file_open(attempt, &file, "../x", &err), ERR_INVALID);
    for (int i = 0; i < ATTEMPT_FILES_MAX; i++) {
        (void)snprintf(name, sizeof name, "sub/%02d", ATTEMPT_FILES_MAX - i);
        EXPECT_OK(attempt_file_open(attempt, &file, name, &err), &err);
        EXPECT_OK(attempt_file_close(attempt, file, &err), &err);
    }
    EXPECT_EQ(attempt_file_open(attempt, &file, name, &err), ERR_INVALID); /* twice */
    EXPECT_EQ(attempt_file_open(attempt, &file, "more", &err), ERR_LIMIT);
    memset(&manifest, 0, sizeof manifest);
    EXPECT_OK(attempt_commit(attempt, &manifest, &adopted, &err), &err);
    EXPECT_TEXT(manifest.file[0].name, "sub/01"); /* in the order of names */
    names_are(dir, "sub", ATTEMPT_FILES_MAX);
    attempt_close(attempt);
    store_close(store);
    test_dir_remove(dir);
}

TEST(attempt, overtaken_attempt_adopts_at_its_commit)
{
    UNUSED_STATE;
    struct attempt_manifest mine, winner;
    struct store *store;
    struct attempt *attempt;
    struct store_file *file;
    struct err err;
    bool adopted;
    char lease[LEASE_ID_BYTES];
    const char *dir = test_dir_new();
    id_lease(lease);
    EXPECT_OK(store_open(&store, dir, false, &err), &err);
    EXPECT_OK(attempt_open(&attempt, store, OUTPUT_TASK, lease, &adopted, &mine, &err), &err);
    memset(&mine, 0, sizeof mine);
    EXPECT_OK(attempt_file_open(attempt, &file, OUTPUT_TASK ".tar", &err), &err);
    EXPECT_OK(store_file_write(file, "slow", 4, &err), &err);
    EXPECT_OK(attempt_file_close(attempt, file, &err), &err);
    EXPECT_OK(output_make(dir, 1, &winner, &adopted, &err), &err);
    EXPECT_OK(attempt_commit(attempt, &mine, &adopted, &err), &err);
    EXPECT(adopted);
    EXPECT_TEXT(mine.lease, winner.lease);
    attempt_close(attempt);
    output_check(dir, &winner);
    names_are(dir, "_vlmq/attempt", 0);
    store_close(store);
    test_dir_remove(dir);
}

TEST(attempt, overtaken_attempt_that_misses_its_folder_is_stale)
{
    UNUSED_STATE;
    struct attempt_manifest mine, winner;
    struct store *store;
    struct attempt *attempt;
    struct store_file *file;
    struct err err;
    bool adopted;
    char lease[LEASE_ID_BYTES];
    const char *dir = test_dir_new();
    id_lease(lease);
    EXPECT_OK(store_open(&store, dir, false, &err), &err);
    EXPECT_OK(attempt_open(&attempt, store, OUTPUT_TASK, lease, &adopted, &mine, &err), &err);
    EXPECT_OK(attempt_file_open(attempt, &file, OUTPUT_TASK ".tar", &err), &err);
    EXPECT_OK(store_file_write(file, "slow", 4, &err), &err);
    EXPECT_OK(attempt_check(attempt, &err), &err);
    EXPECT_OK(output_make(dir, 1, &winner, &adopted, &err), &err);
    EXPECT_EQ(attempt_check(attempt, &err), ERR_STALE);
    EXPECT_EQ(attempt_file_close(attempt, file, &err), ERR_STALE);
    attempt_close(attempt);
    output_check(dir, &winner);
    store_close(store);
    test_dir_remove(dir);
}

TEST(attempt, error_of_a_step_is_explained_by_what_became_of_the_private_files)
{
    UNUSED_STATE;
    struct attempt_manifest mine, winner;
    struct store *store;
    struct attempt *attempt;
    struct err err;
    bool adopted;
    char lease[LEASE_ID_BYTES], scratch[512];
    const char *dir = test_dir_new();
    id_lease(lease);
    EXPECT_OK(store_open(&store, dir, false, &err), &err);
    EXPECT_OK(attempt_open(&attempt, store, OUTPUT_TASK, lease, &adopted, &mine, &err), &err);
    /* Another error, and what is missing somewhere else: nothing of this attempt was there. */
    err_set(&err, ERR_LIMIT, "full");
    EXPECT_EQ(attempt_explain(attempt, ERR_LIMIT, &err), ERR_LIMIT);
    err_set(&err, ERR_NOT_FOUND, "no input");
    EXPECT_EQ(attempt_explain(attempt, ERR_NOT_FOUND, &err), ERR_NOT_FOUND);
    EXPECT_OK(attempt_scratch(attempt, scratch, sizeof scratch, &err), &err);
    err_set(&err, ERR_NOT_FOUND, "no input");
    EXPECT_EQ(attempt_explain(attempt, ERR_NOT_FOUND, &err), ERR_NOT_FOUND);
    EXPECT_TEXT(err.msg, "no input");
    /* Somebody has removed them. */
    EXPECT_OK(store_remove_tree(store, "_vlmq/attempt", &err), &err);
    err_set(&err, ERR_NOT_FOUND, "no scratch file");
    EXPECT_EQ(attempt_explain(attempt, ERR_NOT_FOUND, &err), ERR_UNAVAILABLE);
    EXPECT(strstr(err.msg, "vanished") != NULL);
    /* A commit has. */
    EXPECT_OK(output_make(dir, 1, &winner, &adopted, &err), &err);
    err_set(&err, ERR_NOT_FOUND, "no scratch file");
    EXPECT_EQ(attempt_explain(attempt, ERR_NOT_FOUND, &err), ERR_STALE);
    attempt_close(attempt);
    store_close(store);
    test_dir_remove(dir);
}

TEST(attempt, tasks_with_a_common_beginning_do_not_touch_each_other)
{
    UNUSED_STATE;
    struct attempt_manifest manifest;
    struct store *store;
    struct attempt *other;
    struct store_file *file;
    struct err err;
    bool adopted;
    char lease[LEASE_ID_BYTES];
    const char *dir = test_dir_new();
    id_lease(lease);
    EXPECT_OK(store_open(&store, dir, false, &err), &err);
    EXPECT_OK(attempt_open(&other, store, OUTPUT_TASK ".1", lease, &adopted, &manifest, &err),
              &err);
    EXPECT_OK(attempt_file_open(other, &file, "x", &err), &err);
    EXPECT_OK(attempt_file_close(other, file, &err), &err);
    EXPECT_OK(output_make(dir, 1, &manifest, &adopted, &err), &err);
    names_are(dir, "_vlmq/attempt", 1);
    memset(&manifest, 0, sizeof manifest);
    EXPECT_OK(attempt_commit(other, &manifest, &adopted, &err), &err);
    attempt_close(other);
    store_close(store);
    test_dir_remove(dir);
}

static void remove_below(const char *root, const char *name)
{
    char path[PATH_MAX];
    EXPECT(fs_join(path, sizeof path, root, name));
    EXPECT_EQ(unlink(path), 0);
}

static void move_below(const char *root, const char *from, const char *to)
{
    char from_path[PATH_MAX], to_path[PATH_MAX];
    EXPECT(fs_join(from_path, sizeof from_path, root, from));
    EXPECT(fs_join(to_path, sizeof to_path, root, to));
    EXPECT_EQ(rename(from_path, to_path), 0);
}

static void replace_below(const char *root, const char *name, const char *text)
{
    char path[PATH_MAX];
    struct err err;
    EXPECT(fs_join(path, sizeof path, root, name));
    EXPECT_OK(fs_put(path, text, strlen(text), &err), &err);
}

TEST(attempt, overtaken_attempt_removes_its_files_also_when_publishing_fails)
{
    UNUSED_STATE;
    struct attempt_manifest mine = {0}, winner;
    struct store *store;
    struct attempt *attempt;
    struct store_file *file;
    struct err err;
    bool adopted;
    char lease[LEASE_ID_BYTES];
    const char *dir = test_dir_new();
    id_lease(lease);
    EXPECT_OK(store_open(&store, dir, false, &err), &err);
    EXPECT_OK(attempt_open(&attempt, store, OUTPUT_TASK, lease, &adopted, &mine, &err), &err);
    EXPECT_OK(output_make(dir, 1, &winner, &adopted, &err), &err);
    EXPECT_OK(attempt_file_open(attempt, &file, OUTPUT_TASK ".tar", &err), &err);
    EXPECT_OK(attempt_file_close(attempt, file, &err), &err);
    remove_below(dir, OUTPUT_TASK ".tar");
    EXPECT_EQ(attempt_commit(attempt, &mine, &adopted, &err), ERR_CORRUPT);
    names_are(dir, "_vlmq/attempt", 1);
    attempt_close(attempt);
    names_are(dir, "_vlmq/attempt", 0);
    store_close(store);
    test_dir_remove(dir);
}

TEST(attempt, manifest_without_its_files_is_corrupt)
{
    UNUSED_STATE;
    struct attempt_manifest manifest;
    struct err err;
    bool adopted;
    const char *dir = test_dir_new();
    EXPECT_OK(output_make(dir, 1, &manifest, &adopted, &err), &err);
    replace_below(dir, OUTPUT_TASK ".tar", "cut");
    EXPECT_EQ(output_make(dir, 2, &manifest, &adopted, &err), ERR_CORRUPT);
    EXPECT(strstr(err.msg, OUTPUT_TASK ".tar") != NULL);
    EXPECT(strstr(err.msg, "of another size") != NULL);
    remove_below(dir, OUTPUT_TASK ".tar");
    EXPECT_EQ(output_make(dir, 2, &manifest, &adopted, &err), ERR_CORRUPT);
    EXPECT(strstr(err.msg, "missing") != NULL);
    remove_below(dir, "_vlmq/manifest/" OUTPUT_TASK ".json");
    /* The folder is not replaced: it is not known whose it is. */
    EXPECT_EQ(output_make(dir, 2, &manifest, &adopted, &err), ERR_INVALID);
    EXPECT(strstr(err.msg, OUTPUT_TASK "/ is there already") != NULL);
    move_below(dir, OUTPUT_TASK, "away");
    EXPECT_OK(output_make(dir, 2, &manifest, &adopted, &err), &err);
    EXPECT(!adopted);
    output_check(dir, &manifest);
    test_dir_remove(dir);
}

TEST(attempt, manifest_without_its_folder_is_corrupt)
{
    UNUSED_STATE;
    struct attempt_manifest manifest;
    struct err err;
    bool adopted;
    const char *dir = test_dir_new();
    EXPECT_OK(output_make(dir, 1, &manifest, &adopted, &err), &err);
    move_below(dir, OUTPUT_TASK, "away");
    EXPECT_EQ(output_make(dir, 2, &manifest, &adopted, &err), ERR_CORRUPT);
    EXPECT(strstr(err.msg, OUTPUT_TASK "/, committed") != NULL);
    EXPECT(strstr(err.msg, "missing") != NULL);
    move_below(dir, "away", OUTPUT_TASK);
    EXPECT_OK(output_make(dir, 2, &manifest, &adopted, &err), &err);
    EXPECT(adopted);
    output_check(dir, &manifest);
    test_dir_remove(dir);
}

/* The commit stands; the folder that came in between is told of, and the next one publishes. */
TEST(attempt, folder_in_the_way_is_not_replaced)
{
    UNUSED_STATE;
    struct attempt_manifest manifest = {0}, later;
    struct attempt *attempt;
    struct store *store;
    struct store_file *file;
    struct err err;
    bool adopted;
    char lease[LEASE_ID_BYTES], path[PATH_MAX];
    const char *dir = test_dir_new();
    id_lease(lease);
    EXPECT_OK(store_open(&store, dir, false, &err), &err);
    EXPECT_OK(attempt_open(&attempt, store, "t", lease, &adopted, &later, &err), &err);
    EXPECT_OK(attempt_folder_check(attempt, "f", &err), &err);
    EXPECT_OK(attempt_file_open(attempt, &file, "x", &err), &err);
    EXPECT_EQ(attempt_unpack(attempt, "x", "f", output_fill, NULL, &err), ERR_INTERNAL);
    EXPECT_OK(attempt_file_close(attempt, file, &err), &err);
    EXPECT_EQ(attempt_unpack(attempt, "y", "f", output_fill, NULL, &err), ERR_INTERNAL);
    EXPECT_EQ(attempt_unpack(attempt, "x", "_vlmq", output_fill, NULL, &err), ERR_INVALID);
    EXPECT_EQ(attempt_unpack(attempt, "x", "../f", output_fill, NULL, &err), ERR_INVALID);
    EXPECT_OK(attempt_unpack(attempt, "x", "f", output_fill, NULL, &err), &err);
    EXPECT_OK(store_put(store, "f/foreign", "x", 1, &err), &err);
    EXPECT_EQ(attempt_commit(attempt, &manifest, &adopted, &err), ERR_CORRUPT);
    EXPECT(strstr(err.msg, "f/ is in the way") != NULL);
    attempt_close(attempt);
    EXPECT_OK(store_remove_tree(store, "f", &err), &err);
    EXPECT_OK(attempt_sweep(store, &err), &err);
    EXPECT(fs_join(path, sizeof path, dir, "f/a"));
    EXPECT(fs_exists(path));
    names_are(dir, "_vlmq/attempt", 0);
    store_close(store);
    test_dir_remove(dir);
}

TEST(attempt, damaged_manifests_are_told_apart_from_missing_ones)
{
    UNUSED_STATE;
    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        "nonsense",
        "{\"version\":2}",
        "{\"version\":1,\"task\":\"00042\",\"lease\":\"00112233445566778899aabbccddeeff\","
        "\"files\":[{\"name\":\"x\",\"bytes\":-1,\"sha256\":\"\"}],\"counters\":{},\"items\":0,"
        "\"items_ok\":0,\"bytes\":0}",
        "{\"version\":1,\"task\":\"00043\",\"lease\":\"00112233445566778899aabbccddeeff\","
        "\"files\":[],\"counters\":{},\"items\":0,\"items_ok\":0,\"bytes\":0}",
        "{\"version\":1,\"task\":\"00042\",\"lease\":\"00112233445566778899aabbccddeeff\","
        "\"files\":[],\"counters\":{\"a\":1.5},\"items\":0,\"items_ok\":0,\"bytes\":0}",
        "{\"version\":1,\"task\":\"00042\",\"lease\":\"../../x\","
        "\"files\":[],\"counters\":{},\"items\":0,\"items_ok\":0,\"bytes\":0}",
    };
    struct attempt_manifest manifest;
    struct store *store;
    struct err err;
    const char *dir = test_dir_new();
    EXPECT_OK(store_open(&store, dir, false, &err), &err);
    EXPECT_EQ(attempt_manifest_read(store, "00042", &manifest, &err), ERR_NOT_FOUND);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        EXPECT_OK(store_put(store, "_vlmq/manifest/00042.json", bad[i], strlen(bad[i]), &err),
                  &err);
        EXPECT_EQ(attempt_manifest_read(store, "00042", &manifest, &err), ERR_CORRUPT);
    }
    store_close(store);
    test_dir_remove(dir);
}

/* A manifest that names a file outside of the output must not move anything there. */
TEST(attempt, manifest_with_a_name_that_leaves_the_output_is_refused)
{
    UNUSED_STATE;
    static const char evil[] =
        "{\"version\":1,\"task\":\"00042\",\"lease\":\"00112233445566778899aabbccddeeff\","
        "\"files\":[{\"name\":\"../x\",\"bytes\":1,\"sha256\":"
        "\"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\"}],\"counters\":{},"
        "\"items\":0,\"items_ok\":0,\"bytes\":0}";
    struct attempt_manifest manifest;
    struct store *store;
    struct err err;
    bool adopted;
    const char *dir = test_dir_new();
    EXPECT_OK(store_open(&store, dir, false, &err), &err);
    EXPECT_OK(store_put(store, "_vlmq/manifest/00042.json", evil, strlen(evil), &err), &err);
    EXPECT_EQ(output_make(dir, 1, &manifest, &adopted, &err), ERR_INVALID);
    store_close(store);
    test_dir_remove(dir);
}

static int count_manifest(void *ctx, const struct attempt_manifest *manifest, struct err *err)
{
    (void)err;
    buf_printf(ctx, "%s ", manifest->task);
    return 0;
}

static void make_named(struct store *store, const char *task)
{
    struct attempt_manifest manifest;
    struct attempt *attempt;
    struct store_file *file;
    struct err err;
    bool adopted;
    char lease[LEASE_ID_BYTES];
    id_lease(lease);
    memset(&manifest, 0, sizeof manifest);
    EXPECT_OK(attempt_open(&attempt, store, task, lease, &adopted, &manifest, &err), &err);
    EXPECT_OK(attempt_file_open(attempt, &file, task, &err), &err);
    EXPECT_OK(attempt_file_close(attempt, file, &err), &err);
    EXPECT_OK(attempt_commit(attempt, &manifest, &adopted, &err), &err);
    attempt_close(attempt);
}

TEST(attempt, each_visits_in_the_order_of_names)
{
    UNUSED_STATE;
    struct store *store;
    struct err err;
    struct buf seen;
    const char *dir = test_dir_new();
    buf_init(&seen, 0);
    EXPECT_OK(store_open(&store, dir, false, &err), &err);
    EXPECT_OK(attempt_each(store, count_manifest, &seen, &err), &err);
    EXPECT_TEXT(buf_str(&seen), "");
    make_named(store, "00002");
    make_named(store, "00000");
    make_named(store, "00001");
    EXPECT_OK(attempt_each(store, count_manifest, &seen, &err), &err);
    EXPECT_TEXT(buf_str(&seen), "00000 00001 00002 ");
    EXPECT_OK(attempt_sweep(store, &err), &err);
    buf_deinit(&seen);
    store_close(store);
    test_dir_remove(dir);
}

TEST(attempt, sweep_of_another_job_leaves_a_live_attempt_its_files)
{
    UNUSED_STATE;
    struct attempt *attempt;
    struct attempt_manifest manifest;
    struct store *store;
    struct store_file *file;
    struct err err;
    bool adopted;
    char lease[LEASE_ID_BYTES];
    const char *dir = test_dir_new();
    EXPECT_OK(store_open(&store, dir, false, &err), &err);
    make_named(store, "00000");
    id_lease(lease);
    memset(&manifest, 0, sizeof manifest);
    EXPECT_OK(attempt_open(&attempt, store, "00001", lease, &adopted, &manifest, &err), &err);
    EXPECT_OK(attempt_file_open(attempt, &file, "00001", &err), &err);
    EXPECT_OK(store_file_write(file, "whole", 5, &err), &err);
    EXPECT_OK(attempt_file_close(attempt, file, &err), &err);
    EXPECT_OK(attempt_sweep(store, &err), &err);
    EXPECT_OK(attempt_commit(attempt, &manifest, &adopted, &err), &err);
    attempt_close(attempt);
    int64_t bytes = 0;
    EXPECT_OK(store_size(store, &bytes, "00001", &err), &err);
    EXPECT_EQ(bytes, 5);
    names_are(dir, "_vlmq/attempt", 0);
    store_close(store);
    test_dir_remove(dir);
}

TEST(attempt, claim_holds_for_the_same_input_and_spec_only)
{
    UNUSED_STATE;
    static const char spec[] = "{\"image_size\":448,\"input\":\"/a\",\"extra\":[\"x\"]}";
    struct store *store;
    struct err err;
    const char *dir = test_dir_new();
    EXPECT_OK(store_open(&store, dir, false, &err), &err);
    EXPECT_OK(attempt_claim_output(store, "download", "f1", spec, &err), &err);
    EXPECT_OK(attempt_claim_output(store, "download", "f1", spec, &err), &err);
    EXPECT_OK(attempt_claim_output(store, "download", "f1",
                                   "{\"image_size\":448,\"input\":\"/b\",\"extra\":[\"x\"]}", &err),
              &err);
    EXPECT_EQ(attempt_claim_output(store, "encode", "f1", spec, &err), ERR_INVALID);
    EXPECT(strstr(err.msg, "download") != NULL);
    EXPECT_EQ(attempt_claim_output(store, "download", "f2", spec, &err), ERR_INVALID);
    EXPECT(strstr(err.msg, "another input") != NULL);
    EXPECT_EQ(attempt_claim_output(store, "download", "f1",
                                   "{\"image_size\":256,\"extra\":[\"x\"]}", &err),
              ERR_INVALID);
    EXPECT(strstr(err.msg, "--image-size 448, this job has 256") != NULL);
    EXPECT_EQ(attempt_claim_output(store, "download", "f1", "{\"extra\":[\"x\"]}", &err),
              ERR_INVALID);
    EXPECT(strstr(err.msg, "this job has the default") != NULL);
    EXPECT_EQ(attempt_claim_output(store, "download", "f1",
                                   "{\"image_size\":448,\"extra\":[\"x\"],\"url_column\":\"u\"}",
                                   &err),
              ERR_INVALID);
    EXPECT(strstr(err.msg, "--url-column the default, this job has u") != NULL);
    store_close(store);
    test_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(attempt, commit_publishes_and_clears_up),
        RUN(attempt, second_attempt_adopts_and_writes_nothing),
        RUN(attempt, digest_depends_on_the_output_alone),
        RUN(attempt, closing_without_commit_removes_its_files),
        RUN(attempt, left_files_are_there_for_the_next_one),
        RUN(attempt, who_leaves_after_another_has_committed_leaves_nothing),
        RUN(attempt, names_and_numbers_of_files_are_bounded),
        RUN(attempt, overtaken_attempt_adopts_at_its_commit),
        RUN(attempt, overtaken_attempt_that_misses_its_folder_is_stale),
        RUN(attempt, error_of_a_step_is_explained_by_what_became_of_the_private_files),
        RUN(attempt, tasks_with_a_common_beginning_do_not_touch_each_other),
        RUN(attempt, overtaken_attempt_removes_its_files_also_when_publishing_fails),
        RUN(attempt, manifest_without_its_files_is_corrupt),
        RUN(attempt, manifest_without_its_folder_is_corrupt),
        RUN(attempt, folder_in_the_way_is_not_replaced),
        RUN(attempt, damaged_manifests_are_told_apart_from_missing_ones),
        RUN(attempt, manifest_with_a_name_that_leaves_the_output_is_refused),
        RUN(attempt, each_visits_in_the_order_of_names),
        RUN(attempt, sweep_of_another_job_leaves_a_live_attempt_its_files),
        RUN(attempt, claim_holds_for_the_same_input_and_spec_only),
    };
    return cmocka_run_group_tests_name("attempt", tests, NULL, NULL);
}
