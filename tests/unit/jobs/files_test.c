/* files_test.c - --output-format files: the folder of a shard is its tar, member by member. */
#include "common/base/fs.h"
#include "common/base/hash.h"
#include "proto/schema/jobs/download.pb-c.h"
#include "tests/unit/jobs/job_harness.h"
#include "worker/jobs/download/unpack.h"
#include "worker/pipe/tar.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>

#define GOOD_ROWS 3

extern const struct job_kind job_download;

static const char *const pictures[GOOD_ROWS] = {"rgb.jpg", "palette.png", "lossy.webp"};

/* A job over pictures that stand in the list itself. */
struct trial {
    struct harness harness;
    const char *dir;
    char input[300], output[300];
    struct buf list;
    Vlmq__Jobs__Download spec;
    uint8_t packed[512];
};

static char *text(const char *value)
{
    return (char *)(uintptr_t)value; /* the fields of a message are not const */
}

static void add_picture(struct buf *list, const char *name)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct buf file;
    struct err err;
    char path[600];
    buf_init(&file, 0);
    EXPECT(fs_join(path, sizeof path, TESTS_DIR "/golden/images", name));
    EXPECT_OK(fs_read(&file, path, 1 << 20, &err), &err);
    while (file.len % 3) buf_byte(&file, 0); /* no decoder minds */
    buf_text(list, "\"data:image/x;base64,");
    for (size_t i = 0; i < file.len; i += 3) {
        const uint8_t *in = (const uint8_t *)file.data + i;
        const uint32_t bits = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
        for (int shift = 18; shift >= 0; shift -= 6) buf_byte(list, digits[bits >> shift & 63]);
    }
    buf_text(list, "\",a caption\n");
    buf_deinit(&file);
}

static void trial_init(struct trial *trial, bool as_files)
{
    struct err err;
    *trial = (struct trial){.dir = test_dir_new()};
    harness_init(&trial->harness, &job_download);
    (void)snprintf(trial->input, sizeof trial->input, "%s/list.csv", trial->dir);
    (void)snprintf(trial->output, sizeof trial->output, "%s/out", trial->dir);
    buf_init(&trial->list, 0);
    buf_text(&trial->list, "url,text\n");
    for (int i = 0; i < GOOD_ROWS; i++) add_picture(&trial->list, pictures[i]);
    buf_text(&trial->list, "no url,a caption\n");
    EXPECT_OK(fs_put(trial->input, trial->list.data, trial->list.len, &err), &err);
    vlmq__jobs__download__init(&trial->spec);
    trial->spec.input = trial->input;
    trial->spec.output = trial->output;
    trial->spec.caption_column = text("text");
    trial->spec.image_size = 48;
    trial->spec.output_format = as_files;
}

static void ready(struct trial *trial)
{
    EXPECT(vlmq__jobs__download__get_packed_size(&trial->spec) <= sizeof trial->packed);
    const size_t bytes = vlmq__jobs__download__pack(&trial->spec, trial->packed);
    trial->harness.spec = (struct job_bytes){trial->packed, bytes};
}

static void trial_deinit(struct trial *trial)
{
    buf_deinit(&trial->list);
    harness_deinit(&trial->harness);
    test_dir_remove(trial->dir);
}

static void read_output(const struct trial *trial, const char *name, struct buf *out)
{
    char path[700];
    struct err err;
    EXPECT(fs_join(path, sizeof path, trial->output, name));
    buf_clear(out);
    EXPECT_OK(fs_read(out, path, 64 << 20, &err), &err);
}

static bool output_has(const struct trial *trial, const char *name)
{
    char path[700];
    EXPECT(fs_join(path, sizeof path, trial->output, name));
    return fs_exists(path);
}

struct tar_bytes {
    struct buf text;
    size_t at;
};

static int read_bytes(void *ctx, void *dst, size_t bytes, size_t *got, struct err *err)
{
    struct tar_bytes *tar = ctx;
    (void)err;
    const size_t left = tar->text.len - tar->at;
    *got = left < bytes ? left : bytes;
    memcpy(dst, tar->text.data + tar->at, *got);
    tar->at += *got;
    return 0;
}

static int count_name(void *ctx, const char *name, struct err *err)
{
    (void)name, (void)err;
    ++*(uint32_t *)ctx;
    return 0;
}

/* Names in a folder of the output. */
static uint32_t names_in(const struct trial *trial, const char *folder)
{
    char path[700];
    struct err err;
    uint32_t count = 0;
    EXPECT(fs_join(path, sizeof path, trial->output, folder));
    if (fs_exists(path)) EXPECT_OK(fs_list(path, count_name, &count, &err), &err);
    return count;
}

/* The folder of one job against the tar of another. Returns the bytes of the files. */
static int64_t compare_members(const struct trial *files, struct tar_bytes *tar)
{
    struct tar_reader reader;
    struct tar_member member;
    struct buf inside, file;
    struct err err;
    bool found = true;
    uint32_t members = 0;
    int64_t bytes = 0;
    buf_init(&inside, 0);
    buf_init(&file, 0);
    tar_reader_init(&reader, read_bytes, tar);
    for (;; members++) {
        char name[TAR_MEMBER_NAME_BYTES + 8];
        EXPECT_OK(tar_reader_next(&reader, &member, &found, &err), &err);
        if (!found) break;
        buf_clear(&inside);
        EXPECT_OK(tar_reader_all(&reader, &inside, 1 << 20, &err), &err);
        (void)snprintf(name, sizeof name, "00000/%s", member.name);
        read_output(files, name, &file);
        EXPECT_EQ(file.len, inside.len);
        EXPECT_MEM(file.data, inside.data, inside.len);
        bytes += (int64_t)file.len;
    }
    EXPECT_EQ(members, 3 * GOOD_ROWS);
    EXPECT_EQ(names_in(files, "00000"), members);
    buf_deinit(&inside);
    buf_deinit(&file);
    return bytes;
}

static uint32_t pictures_of_report(const struct trial *trial)
{
    struct buf page;
    uint32_t count = 0;
    buf_init(&page, 0);
    read_output(trial, "report.html", &page);
    for (const char *at = buf_str(&page); (at = strstr(at, "data:image/jpeg")); at++) count++;
    buf_deinit(&page);
    return count;
}

TEST(files, are_the_members_of_the_tar)
{
    UNUSED_STATE;
    struct trial tars, files;
    struct tar_bytes tar = {0};
    struct buf rows, other;
    char sha256[HASH_SHA256_TEXT];
    buf_init(&rows, 0);
    buf_init(&other, 0);
    buf_init(&tar.text, 0);
    trial_init(&tars, false);
    trial_init(&files, true);
    ready(&tars);
    ready(&files);
    harness_job(&tars.harness, false);
    harness_job(&files.harness, false);
    read_output(&tars, "00000.tar", &tar.text);
    const int64_t bytes = compare_members(&files, &tar);
    EXPECT(!output_has(&files, "00000.tar"));
    EXPECT(!output_has(&files, "00000.idx"));
    read_output(&tars, "00000.rows.jsonl", &rows);
    read_output(&files, "00000.rows.jsonl", &other);
    EXPECT_TEXT(buf_str(&rows), buf_str(&other));
    EXPECT_EQ(pictures_of_report(&tars), GOOD_ROWS);
    EXPECT_EQ(pictures_of_report(&files), GOOD_ROWS);
    read_output(&files, "manifest.json", &other);
    json_t *manifest = json_loadb(other.data, other.len, 0, NULL);
    json_t *shard = json_array_get(json_object_get(manifest, "shards"), 0);
    /* After 00000.rows.jsonl and 00000.times.jsonl. */
    json_t *file = json_array_get(json_object_get(shard, "files"), 2);
    EXPECT_TEXT(json_string_value(json_object_get(file, "name")), "00000/");
    EXPECT_EQ(json_integer_value(json_object_get(file, "bytes")), bytes);
    hash_sha256_text(sha256, tar.text.data, tar.text.len);
    EXPECT_TEXT(json_string_value(json_object_get(file, "sha256")), sha256);
    json_decref(manifest);
    buf_deinit(&tar.text);
    buf_deinit(&rows);
    buf_deinit(&other);
    trial_deinit(&tars);
    trial_deinit(&files);
}

TEST(files, are_adopted_and_belong_to_their_format)
{
    UNUSED_STATE;
    struct trial trial;
    trial_init(&trial, true);
    ready(&trial);
    EXPECT_OK(harness_run(&trial.harness, JOB_PLAN, NULL), &trial.harness.err);
    for (int i = 0; i < 2; i++) {
        EXPECT_OK(harness_run(&trial.harness, JOB_WORK, trial.harness.host.tasks),
                  &trial.harness.err);
        EXPECT_TEXT(trial.harness.result.made, "00000");
        EXPECT_EQ(harness_counter(&trial.harness, "success"), GOOD_ROWS);
    }
    trial.spec.output_format = 0;
    ready(&trial);
    EXPECT_EQ(harness_run(&trial.harness, JOB_PLAN, NULL), ERR_INVALID);
    EXPECT(strstr(trial.harness.err.msg, "--output-format") != NULL);
    trial.spec.output_format = 2;
    ready(&trial);
    EXPECT_EQ(harness_run(&trial.harness, JOB_PLAN, NULL), ERR_INVALID);
    EXPECT(strstr(trial.harness.err.msg, "--output-format has no format number 2") != NULL);
    trial_deinit(&trial);
}

TEST(files, are_refused_where_a_folder_is_in_the_way)
{
    UNUSED_STATE;
    struct trial trial;
    struct err err;
    char path[700];
    trial_init(&trial, true);
    ready(&trial);
    EXPECT_OK(harness_run(&trial.harness, JOB_PLAN, NULL), &trial.harness.err);
    EXPECT(fs_join(path, sizeof path, trial.output, "00000"));
    EXPECT_OK(fs_mkdirs(path, &err), &err);
    EXPECT_EQ(harness_run(&trial.harness, JOB_WORK, trial.harness.host.tasks), ERR_INVALID);
    EXPECT(strstr(trial.harness.err.msg, "00000/ is there already") != NULL);
    EXPECT_EQ(names_in(&trial, "_vlmq/attempt"), 0);
    trial_deinit(&trial);
}

TEST(files, come_whole_or_not_at_all)
{
    UNUSED_STATE;
    int failures = 0;
    bool untouched = false;
    for (int64_t after = 0; !untouched; after++) {
        struct trial trial;
        trial_init(&trial, true);
        ready(&trial);
        EXPECT_OK(harness_run(&trial.harness, JOB_PLAN, NULL), &trial.harness.err);
        (void)fs_fail(after, 1, ENOSPC);
        const int rc = harness_run(&trial.harness, JOB_WORK, trial.harness.host.tasks);
        untouched = fs_fail(-1, 0, 0) <= after;
        if (rc) {
            failures++;
            EXPECT_EQ(rc, ERR_LIMIT);
            const uint32_t names = names_in(&trial, "00000");
            EXPECT(names == 0 || names == 3 * GOOD_ROWS);
            EXPECT_OK(harness_run(&trial.harness, JOB_WORK, trial.harness.host.tasks),
                      &trial.harness.err);
        }
        EXPECT_EQ(names_in(&trial, "00000"), 3 * GOOD_ROWS);
        EXPECT_EQ(names_in(&trial, "_vlmq/attempt"), 0);
        trial_deinit(&trial);
    }
    EXPECT(failures > 3 * GOOD_ROWS);
}

TEST(files, stop_when_their_task_does)
{
    UNUSED_STATE;
    struct trial trial;
    trial_init(&trial, true);
    ready(&trial);
    EXPECT_OK(harness_run(&trial.harness, JOB_PLAN, NULL), &trial.harness.err);
    trial.harness.host.stop_at_items = GOOD_ROWS + 1; /* all rows are done: what is left is these */
    EXPECT_EQ(harness_run(&trial.harness, JOB_WORK, trial.harness.host.tasks), ERR_CANCELLED);
    EXPECT_EQ(names_in(&trial, "00000"), 0);
    EXPECT_EQ(names_in(&trial, "_vlmq/attempt"), 0);
    trial_deinit(&trial);
}

static void stop_behind_the_rows(struct trial *trial, enum job_stop how)
{
    trial_init(trial, true);
    ready(trial);
    EXPECT_OK(harness_run(&trial->harness, JOB_PLAN, NULL), &trial->harness.err);
    trial->harness.host.stop_at_items = GOOD_ROWS + 1;
    trial->harness.host.stop_as = how;
}

TEST(files, come_to_their_end_when_the_worker_leaves)
{
    UNUSED_STATE;
    struct trial trial;
    stop_behind_the_rows(&trial, JOB_STOP_DRAIN);
    EXPECT_OK(harness_run(&trial.harness, JOB_WORK, trial.harness.host.tasks), &trial.harness.err);
    EXPECT_EQ(names_in(&trial, "00000"), 3 * GOOD_ROWS);
    EXPECT_EQ(names_in(&trial, "_vlmq/attempt"), 0);
    trial_deinit(&trial);
}

TEST(files, are_made_of_the_rows_of_an_attempt_that_was_stopped)
{
    UNUSED_STATE;
    struct trial trial;
    struct job_host *host = &trial.harness.host;
    stop_behind_the_rows(&trial, JOB_STOP_LOST);
    EXPECT_EQ(harness_run(&trial.harness, JOB_WORK, host->tasks), ERR_CANCELLED);
    EXPECT_EQ(names_in(&trial, "00000"), 0);
    EXPECT_EQ(names_in(&trial, "_vlmq/attempt"), host->cursor_bytes > 0);
    host->stop_at_items = -1;
    atomic_store(&host->stop, JOB_STOP_NONE);
    EXPECT_OK(harness_run(&trial.harness, JOB_WORK, host->tasks), &trial.harness.err);
    EXPECT_EQ(harness_counter(&trial.harness, "success"), GOOD_ROWS);
    EXPECT_EQ(names_in(&trial, "00000"), 3 * GOOD_ROWS);
    EXPECT_EQ(names_in(&trial, "_vlmq/attempt"), 0);
    trial_deinit(&trial);
}

/* Unpacks one archive into a folder of its own. */
static int unpack(const char *dir, const struct buf *archive, size_t bytes, struct err *err)
{
    struct job_host host = {0};
    struct job_env env = {.host = &host};
    char tar[600], folder[600];
    int64_t written;
    EXPECT(fs_join(tar, sizeof tar, dir, "a.tar"));
    EXPECT(fs_join(folder, sizeof folder, dir, "a/b"));
    EXPECT_OK(fs_remove_tree(folder, err), err);
    EXPECT_OK(fs_mkdirs(folder, err), err);
    EXPECT_OK(fs_put(tar, archive->data, bytes, err), err);
    return unpack_tar(&env, &written, tar, folder, err);
}

TEST(files, are_not_made_of_a_damaged_tar)
{
    UNUSED_STATE;
    static const char *const names[][2] = {
        {"../x", "x"}, {"a/b", "a/b"}, {".hidden", "hidden"}, {"same", "same"}};
    const char *dir = test_dir_new();
    char path[600];
    struct err err = {0};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct tar_writer writer;
        struct buf archive;
        buf_init(&archive, 0);
        tar_writer_init(&writer, tar_write_buf, &archive);
        EXPECT_OK(tar_writer_add(&writer, names[i][0], "one", 3, &err), &err);
        if (i == 3) EXPECT_OK(tar_writer_add(&writer, names[i][1], "two", 3, &err), &err);
        EXPECT_OK(tar_writer_end(&writer, &err), &err);
        EXPECT(unpack(dir, &archive, archive.len, &err) != 0);
        EXPECT(err.msg[0] != 0);
        buf_deinit(&archive);
    }
    EXPECT(fs_join(path, sizeof path, dir, "a/x"));
    EXPECT(!fs_exists(path));
    struct tar_writer writer;
    struct buf archive;
    buf_init(&archive, 0);
    tar_writer_init(&writer, tar_write_buf, &archive);
    EXPECT_OK(tar_writer_add(&writer, "x", "one", 3, &err), &err);
    EXPECT_EQ(unpack(dir, &archive, archive.len, &err), ERR_CORRUPT); /* without its end */
    EXPECT(strstr(err.msg, "cut short") != NULL);
    EXPECT_EQ(unpack(dir, &archive, 513, &err), ERR_CORRUPT);
    EXPECT_OK(tar_writer_end(&writer, &err), &err);
    EXPECT_OK(unpack(dir, &archive, archive.len, &err), &err);
    buf_deinit(&archive);
    test_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(files, are_the_members_of_the_tar),
        RUN(files, are_adopted_and_belong_to_their_format),
        RUN(files, are_refused_where_a_folder_is_in_the_way),
        RUN(files, come_whole_or_not_at_all),
        RUN(files, stop_when_their_task_does),
        RUN(files, come_to_their_end_when_the_worker_leaves),
        RUN(files, are_made_of_the_rows_of_an_attempt_that_was_stopped),
        RUN(files, are_not_made_of_a_damaged_tar),
    };
    return cmocka_run_group_tests_name("files", tests, NULL, NULL);
}
