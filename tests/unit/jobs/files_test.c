/* files_test.c - --output-format files: the folder of a shard is its tar, member by member. */
#include "common/base/hash.h"
#include "tests/unit/jobs/download_job.h"
#include "worker/jobs/download/unpack.h"

#include <errno.h>

#define GOOD_ROWS 3

static const char *const pictures[GOOD_ROWS] = {"rgb.jpg", "palette.png", "lossy.webp"};

static void add_picture(struct buf *list, const char *name)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct buf file;
    buf_init(&file, 0);
    folder_read(&file, IMAGES, name);
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

/* A job over pictures that stand in the list itself. */
static void job_init(struct download_job *job, bool as_files)
{
    download_job_init(job, "list.csv");
    buf_text(&job->list, "url,text\n");
    for (int i = 0; i < GOOD_ROWS; i++) add_picture(&job->list, pictures[i]);
    buf_text(&job->list, "no url,a caption\n");
    job->spec.caption_column = text("text");
    job->spec.image_size = 48;
    job->spec.output_format = as_files;
    download_job_ready(job);
}

static int count_name(void *ctx, const char *name, struct err *err)
{
    (void)name, (void)err;
    ++*(uint32_t *)ctx;
    return 0;
}

/* Names in a folder of the output. */
static uint32_t names_in(const struct download_job *job, const char *folder)
{
    char path[TEST_PATH_BYTES];
    struct err err;
    uint32_t count = 0;
    output_path(path, job, folder);
    if (fs_exists(path)) EXPECT_OK(fs_list(path, count_name, &count, &err), &err);
    return count;
}

/* The folder of one job against the tar of another. Returns the bytes of the files. */
static int64_t compare_members(const struct download_job *files, struct output_tar *tar)
{
    struct tar_member member;
    struct buf inside, file;
    uint32_t members = 0;
    int64_t bytes = 0;
    buf_init(&inside, 0);
    buf_init(&file, 0);
    for (; output_tar_next(tar, &member); members++) {
        char name[TAR_MEMBER_NAME_BYTES + 8];
        buf_clear(&inside);
        buf_clear(&file);
        output_tar_member(tar, &inside);
        (void)snprintf(name, sizeof name, "00000/%s", member.name);
        output_read(&file, files, name);
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

static uint32_t pictures_of_report(const struct download_job *job)
{
    struct buf page;
    uint32_t count = 0;
    buf_init(&page, 0);
    output_read(&page, job, "report.html");
    for (const char *at = buf_str(&page); (at = strstr(at, "data:image/jpeg")); at++) count++;
    buf_deinit(&page);
    return count;
}

TEST(files, are_the_members_of_the_tar)
{
    UNUSED_STATE;
    struct download_job tars, files;
    struct output_tar tar;
    struct buf rows, other;
    char sha256[HASH_SHA256_TEXT];
    buf_init(&rows, 0);
    buf_init(&other, 0);
    job_init(&tars, false);
    job_init(&files, true);
    harness_job(&tars.harness, false);
    harness_job(&files.harness, false);
    output_tar_open(&tar, &tars, "00000.tar");
    const int64_t bytes = compare_members(&files, &tar);
    EXPECT(!output_has(&files, "00000.tar"));
    EXPECT(!output_has(&files, "00000.idx"));
    output_read(&rows, &tars, "00000.rows.jsonl");
    output_read(&other, &files, "00000.rows.jsonl");
    EXPECT_TEXT(buf_str(&rows), buf_str(&other));
    EXPECT_EQ(pictures_of_report(&tars), GOOD_ROWS);
    EXPECT_EQ(pictures_of_report(&files), GOOD_ROWS);
    json_t *manifest = output_json(&files, "manifest.json");
    json_t *shard = json_array_get(json_object_get(manifest, "shards"), 0);
    /* After 00000.rows.jsonl and 00000.times.jsonl. */
    json_t *file = json_array_get(json_object_get(shard, "files"), 2);
    EXPECT_TEXT(field(file, "name"), "00000/");
    EXPECT_EQ(number(file, "bytes"), bytes);
    hash_sha256_text(sha256, tar.bytes.data, tar.bytes.len);
    EXPECT_TEXT(field(file, "sha256"), sha256);
    json_decref(manifest);
    output_tar_close(&tar);
    buf_deinit(&rows);
    buf_deinit(&other);
    download_job_deinit(&tars);
    download_job_deinit(&files);
}

TEST(files, are_adopted_and_belong_to_their_format)
{
    UNUSED_STATE;
    struct download_job job;
    job_init(&job, true);
    EXPECT_OK(download_job_plan(&job), &job.harness.err);
    for (int i = 0; i < 2; i++) {
        EXPECT_OK(download_job_work(&job, 0), &job.harness.err);
        EXPECT_TEXT(job.harness.result.made, "00000");
        EXPECT_EQ(harness_counter(&job.harness, "success"), GOOD_ROWS);
    }
    job.spec.output_format = 0;
    (void)download_job_pack(&job);
    EXPECT_EQ(download_job_plan(&job), ERR_INVALID);
    EXPECT(strstr(job.harness.err.msg, "--output-format") != NULL);
    job.spec.output_format = 2;
    (void)download_job_pack(&job);
    EXPECT_EQ(download_job_plan(&job), ERR_INVALID);
    EXPECT(strstr(job.harness.err.msg, "--output-format has no format number 2") != NULL);
    download_job_deinit(&job);
}

TEST(files, are_refused_where_a_folder_is_in_the_way)
{
    UNUSED_STATE;
    struct download_job job;
    struct err err;
    char path[TEST_PATH_BYTES];
    job_init(&job, true);
    EXPECT_OK(download_job_plan(&job), &job.harness.err);
    output_path(path, &job, "00000");
    EXPECT_OK(fs_mkdirs(path, &err), &err);
    EXPECT_EQ(download_job_work(&job, 0), ERR_INVALID);
    EXPECT(strstr(job.harness.err.msg, "00000/ is there already") != NULL);
    EXPECT_EQ(names_in(&job, "_vlmq/attempt"), 0);
    download_job_deinit(&job);
}

TEST(files, come_whole_or_not_at_all)
{
    UNUSED_STATE;
    int failures = 0;
    bool untouched = false;
    for (int64_t after = 0; !untouched; after++) {
        struct download_job job;
        job_init(&job, true);
        EXPECT_OK(download_job_plan(&job), &job.harness.err);
        (void)fs_fail(after, 1, ENOSPC);
        const int rc = download_job_work(&job, 0);
        untouched = fs_fail(-1, 0, 0) <= after;
        if (rc) {
            failures++;
            EXPECT_EQ(rc, ERR_FULL);
            const uint32_t names = names_in(&job, "00000");
            EXPECT(names == 0 || names == 3 * GOOD_ROWS);
            EXPECT_OK(download_job_work(&job, 0), &job.harness.err);
        }
        EXPECT_EQ(names_in(&job, "00000"), 3 * GOOD_ROWS);
        EXPECT_EQ(names_in(&job, "_vlmq/attempt"), 0);
        download_job_deinit(&job);
    }
    EXPECT(failures > 3 * GOOD_ROWS);
}

TEST(files, stop_when_their_task_does)
{
    UNUSED_STATE;
    struct download_job job;
    job_init(&job, true);
    EXPECT_OK(download_job_plan(&job), &job.harness.err);
    job.harness.host.stop_at_items = GOOD_ROWS + 1; /* all rows are done: what is left is these */
    EXPECT_EQ(download_job_work(&job, 0), ERR_CANCELLED);
    EXPECT_EQ(names_in(&job, "00000"), 0);
    EXPECT_EQ(names_in(&job, "_vlmq/attempt"), 0);
    download_job_deinit(&job);
}

static void stop_behind_the_rows(struct download_job *job, enum job_stop how)
{
    job_init(job, true);
    EXPECT_OK(download_job_plan(job), &job->harness.err);
    job->harness.host.stop_at_items = GOOD_ROWS + 1;
    job->harness.host.stop_as = how;
}

TEST(files, come_to_their_end_when_the_worker_leaves)
{
    UNUSED_STATE;
    struct download_job job;
    stop_behind_the_rows(&job, JOB_STOP_DRAIN);
    EXPECT_OK(download_job_work(&job, 0), &job.harness.err);
    EXPECT_EQ(names_in(&job, "00000"), 3 * GOOD_ROWS);
    EXPECT_EQ(names_in(&job, "_vlmq/attempt"), 0);
    download_job_deinit(&job);
}

TEST(files, are_made_of_the_rows_of_an_attempt_that_was_stopped)
{
    UNUSED_STATE;
    struct download_job job;
    struct job_host *host = &job.harness.host;
    stop_behind_the_rows(&job, JOB_STOP_LOST);
    EXPECT_EQ(harness_run(&job.harness, JOB_WORK, host->tasks), ERR_CANCELLED);
    EXPECT_EQ(names_in(&job, "00000"), 0);
    EXPECT_EQ(names_in(&job, "_vlmq/attempt"), host->cursor_bytes > 0);
    host->stop_at_items = -1;
    atomic_store(&host->stop, JOB_STOP_NONE);
    EXPECT_OK(harness_run(&job.harness, JOB_WORK, host->tasks), &job.harness.err);
    EXPECT_EQ(harness_counter(&job.harness, "success"), GOOD_ROWS);
    EXPECT_EQ(names_in(&job, "00000"), 3 * GOOD_ROWS);
    EXPECT_EQ(names_in(&job, "_vlmq/attempt"), 0);
    download_job_deinit(&job);
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
