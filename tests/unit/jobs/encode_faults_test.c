/* encode_faults_test.c - disks, memory and files that fail under an encode task, and stops at bad
 * moments: told in a sentence, nothing half made, and the next attempt makes the same bytes. */
#include "common/base/rng.h"
#include "tests/unit/jobs/encode_job.h"

#include <errno.h>
#include <unistd.h>

/* Few pictures of each kind, with all that can be asked for. */
static void few_pictures(struct encode_job *job)
{
    static const struct member members[] = {{"0.png", NULL, 0xff0000u}, {"0.txt", "a red fox", 0},
                                            {"1.png", NULL, 0x00000au}, {"2.png", NULL, 0xff0000u},
                                            {"3.png", "<html>", 0},     {"4.png", NULL, 0x00ff00u},
                                            {"4.txt", "an owl", 0},     {NULL, NULL, 0}};
    encode_job_everything(job);
    encode_job_tar(job, "in/00000.tar", members);
}

static const char *const names[] = {"out/00000.safetensors", "out/00000.jsonl",
                                    "out/img_emb/img_emb_00000.npy",
                                    "out/text_emb/text_emb_00000.npy"};

static void shard_bytes(struct buf *out, const struct encode_job *job)
{
    buf_clear(out);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) get(out, job, names[i]);
}

static int nothing_there(void *ctx, const char *name, struct err *err)
{
    (void)ctx;
    return err_set(err, ERR_INVALID, "%s", name);
}

/* A folder has no files, private ones included, or is not there. */
static void expect_empty(const char *folder)
{
    struct err err;
    if (fs_exists(folder)) EXPECT_OK(fs_list(folder, nothing_there, NULL, &err), &err);
}

/* Whatever fails, all of a shard's files are published or none is, and the task's own are gone. */
static void check_after(const struct encode_job *job, int rc)
{
    char path[PATH_MAX];
    const bool committed = has(job, "out/_vlmq/manifest/00000.json");
    if (!rc) EXPECT(committed);
    for (size_t i = 0; i < sizeof names / sizeof names[0] && !committed; i++)
        EXPECT(!has(job, names[i]));
    EXPECT(fs_join(path, sizeof path, job->output, "_vlmq/attempt"));
    if (!committed) expect_empty(path);
}

/* The n-th write fails, alone or with all behind it; the next attempt finds room. n grows in steps
 * up to step_max. */
static void fail_writes(bool stays_full, uint32_t step_max)
{
    struct rng rng;
    struct encode_job job;
    struct buf want, got;
    char path[PATH_MAX];
    bool untouched = false;
    int failures = 0;
    rng_seed(&rng, test_seed());
    encode_job_init(&job);
    few_pictures(&job);
    buf_init(&want, 0);
    buf_init(&got, 0);
    EXPECT_OK(encode_job_plan(&job), &job.harness.err);
    EXPECT_OK(encode_job_work(&job, 0), &job.harness.err);
    shard_bytes(&want, &job);
    for (int64_t after = 0; !untouched; after += 1 + (int64_t)rng_below(&rng, step_max)) {
        struct err err;
        EXPECT_OK(fs_remove_tree(job.output, &err), &err);
        EXPECT_OK(fs_remove_tree(job.models, &err), &err);
        job.harness.host.tasks_count = 0;
        EXPECT_OK(encode_job_plan(&job), &job.harness.err);
        (void)fs_fail(after, stays_full ? INT32_MAX : 1, ENOSPC);
        const int rc = encode_job_work(&job, 0);
        untouched = fs_fail(-1, 0, 0) <= after;
        if (rc) EXPECT_EQ(rc, ERR_FULL);
        if (rc) EXPECT(strstr(job.harness.err.msg, "No space left") != NULL);
        failures += rc != 0;
        check_after(&job, rc);
        EXPECT_OK(encode_job_work(&job, 0), &job.harness.err);
        shard_bytes(&got, &job);
        EXPECT_EQ(got.len, want.len);
        EXPECT_MEM(got.data, want.data, want.len);
        EXPECT(fs_join(path, sizeof path, job.output, "_vlmq/attempt"));
        expect_empty(path);
    }
    /* Columns of rows, their files, the lines, the manifest … */
    EXPECT(failures > 30 / (int)step_max);
    buf_deinit(&want);
    buf_deinit(&got);
    encode_job_deinit(&job);
}

TEST(encode, full_disk_is_told_at_any_write_and_costs_nothing)
{
    UNUSED_STATE;
    fail_writes(false, 2);
}

TEST(encode, disk_that_stays_full_is_told_and_costs_nothing)
{
    UNUSED_STATE;
    fail_writes(true, 6);
}

/* One of some tens is tried. Which fails differs from run to run; whatever it is, the task ends
 * with a sentence, or with a row that says so, and nothing is lost or used after it is freed. */
TEST(encode, failed_allocation_anywhere_is_told_and_costs_nothing)
{
    UNUSED_STATE;
    struct encode_job job;
    bool untouched = false;
    int failures = 0;
    struct rng rng;
    rng_seed(&rng, test_seed());
    encode_job_init(&job);
    few_pictures(&job);
    job.spec.decode_threads = 2;
    for (int64_t after = 0; !untouched; after += 1 + (int64_t)rng_below(&rng, 80)) {
        struct err err;
        EXPECT_OK(fs_remove_tree(job.output, &err), &err);
        EXPECT_OK(fs_remove_tree(job.models, &err), &err);
        job.harness.host.tasks_count = 0;
        EXPECT_OK(encode_job_plan(&job), &job.harness.err);
        (void)mem_fail(after, 1);
        const int rc = encode_job_work(&job, 0);
        untouched = mem_fail(-1, 0) <= after;
        if (rc) EXPECT_EQ(rc, ERR_LIMIT);
        failures += rc != 0;
        check_after(&job, rc);
        EXPECT_OK(encode_job_work(&job, 0), &job.harness.err);
        EXPECT_EQ(job.harness.result.progress.items, 5);
    }
    EXPECT(failures > 10);
    encode_job_deinit(&job);
}

/* Takes the private files away when so many rows are done. */
struct thief {
    struct encode_job *job;
    int64_t at;
    bool done;
};

static void steal(void *ctx)
{
    struct thief *thief = ctx;
    char path[PATH_MAX];
    struct err err;
    if (thief->done || thief->job->harness.host.progress.items < thief->at) return;
    thief->done = true;
    EXPECT(fs_join(path, sizeof path, thief->job->output, "_vlmq/attempt"));
    EXPECT(fs_exists(path));
    EXPECT_OK(fs_remove_tree(path, &err), &err);
}

TEST(encode, private_files_that_vanish_are_told_and_made_again)
{
    UNUSED_STATE;
    struct encode_job job;
    struct buf want, got;
    buf_init(&want, 0);
    buf_init(&got, 0);
    encode_job_init(&job);
    encode_job_everything(&job);
    encode_job_run(&job);
    encode_job_bytes(&want, &job);
    for (int64_t at = 0; at <= 60; at += 20) {
        struct thief thief = {.job = &job, .at = at};
        struct err err;
        EXPECT_OK(fs_remove_tree(job.output, &err), &err);
        job.harness.host.tasks_count = 0;
        EXPECT_OK(encode_job_plan(&job), &job.harness.err);
        fake.picture_ms = 10; /* so that progress is told in the middle */
        job.harness.host.on_told = steal;
        job.harness.host.on_told_ctx = &thief;
        EXPECT_EQ(encode_job_work(&job, 0), ERR_UNAVAILABLE);
        EXPECT(thief.done && strstr(job.harness.err.msg, "vanished"));
        EXPECT(!has(&job, "out/_vlmq/manifest/00000.json"));
        job.harness.host.on_told = NULL;
        fake.picture_ms = 0;
        EXPECT_OK(encode_job_work(&job, 0), &job.harness.err);
        EXPECT_OK(encode_job_work(&job, 1), &job.harness.err);
        buf_deinit(&got);
        encode_job_bytes(&got, &job);
        EXPECT_EQ(got.len, want.len);
        EXPECT_MEM(got.data, want.data, want.len);
    }
    buf_deinit(&want);
    buf_deinit(&got);
    encode_job_deinit(&job);
}

/* A job's labels, more than are encoded at once. */
static const char *put_labels(const struct encode_job *job, char path[PATH_MAX])
{
    struct buf set;
    buf_init(&set, 0);
    buf_text(&set, "{\"signs\": {");
    for (int i = 0; i < 200; i++) buf_printf(&set, "%s\"%d\": \"sign %d\"", i ? "," : "", i, i);
    buf_text(&set, "}}");
    put(job, "signs.json", set.data, set.len);
    buf_deinit(&set);
    EXPECT(fs_join(path, PATH_MAX, job->dir, "signs.json"));
    return path;
}

struct stopper {
    struct encode_job *job;
    enum job_stop stop;
};

/* Stops the task when some of the labels are encoded, and not all. */
static void stop_in_labels(void *ctx)
{
    const struct stopper *stopper = ctx;
    struct job_host *host = &stopper->job->harness.host;
    const struct job_stage *stage = &host->progress.stage[0];
    if (stage->name && !strcmp(stage->name, "labels") && stage->finished > 0)
        atomic_store(&host->stop, (int)stopper->stop);
}

TEST(encode, stop_between_prompts_keeps_no_half_of_the_labels)
{
    UNUSED_STATE;
    static const enum job_stop stops[] = {JOB_STOP_CANCELLED, JOB_STOP_LOST};
    for (size_t i = 0; i < sizeof stops / sizeof stops[0]; i++) {
        struct encode_job job;
        char labels[PATH_MAX], cache[PATH_MAX];
        struct stopper stopper = {.job = &job, .stop = stops[i]};
        encode_job_init(&job);
        few_pictures(&job);
        job.spec.labels = text(put_labels(&job, labels));
        EXPECT(fs_join(cache, sizeof cache, job.models, ".labels"));
        EXPECT_OK(encode_job_plan(&job), &job.harness.err);
        job.harness.host.on_told = stop_in_labels;
        job.harness.host.on_told_ctx = &stopper;
        EXPECT_EQ(encode_job_work(&job, 0), ERR_CANCELLED);
        EXPECT(strstr(job.harness.err.msg, "labels"));
        EXPECT(fake.texts > 0 && fake.texts < 200 && fake.pictures == 0);
        expect_empty(cache);
        /* The next attempt encodes all, and the one behind it none of them. */
        job.harness.host.on_told = NULL;
        atomic_store(&job.harness.host.stop, (int)JOB_STOP_NONE);
        fake.texts = 0;
        EXPECT_OK(encode_job_work(&job, 0), &job.harness.err);
        EXPECT(fake.texts >= 200);
        fake.texts = 0;
        EXPECT_OK(encode_job_work(&job, 1), &job.harness.err);
        EXPECT(fake.texts < 200);
        encode_job_deinit(&job);
    }
}

TEST(encode, drained_worker_may_finish_the_labels)
{
    UNUSED_STATE;
    struct encode_job job;
    char labels[PATH_MAX];
    struct stopper stopper = {.job = &job, .stop = JOB_STOP_DRAIN};
    encode_job_init(&job);
    few_pictures(&job);
    job.spec.labels = text(put_labels(&job, labels));
    EXPECT_OK(encode_job_plan(&job), &job.harness.err);
    job.harness.host.on_told = stop_in_labels;
    job.harness.host.on_told_ctx = &stopper;
    EXPECT_OK(encode_job_work(&job, 0), &job.harness.err);
    EXPECT(fake.texts >= 200 && has(&job, "out/00000.jsonl"));
    encode_job_deinit(&job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(encode, full_disk_is_told_at_any_write_and_costs_nothing),
        RUN(encode, disk_that_stays_full_is_told_and_costs_nothing),
        RUN(encode, failed_allocation_anywhere_is_told_and_costs_nothing),
        RUN(encode, private_files_that_vanish_are_told_and_made_again),
        RUN(encode, stop_between_prompts_keeps_no_half_of_the_labels),
        RUN(encode, drained_worker_may_finish_the_labels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
