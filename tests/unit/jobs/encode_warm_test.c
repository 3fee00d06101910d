/* encode_warm_test.c - models that stay from task to task: loaded again only when they must be, and
 * what is made with one is what a fresh one makes. */
#include "tests/unit/jobs/encode_job.h"

static void set_top_k(struct encode_job *job)
{
    job->spec.top_k = 1;
}

static void set_threshold(struct encode_job *job)
{
    job->spec.placeholder_threshold = 0.9;
}

static void set_space(struct encode_job *job)
{
    job->spec.placeholder_space = VLMQ__JOBS__ENCODE_SPACE__ENCODE_SPACE_EMBEDDING;
}

static void set_labels(struct encode_job *job)
{
    static char labels[PATH_MAX];
    static const char set[] = "{\"birds\": {\"owl\": \"an owl\", \"tit\": \"a tit\"}}";
    put(job, "other.json", set, sizeof set - 1);
    EXPECT(fs_join(labels, sizeof labels, job->dir, "other.json"));
    job->spec.labels = labels;
}

static void set_no_filters(struct encode_job *job)
{
    job->spec.labels = job->spec.placeholder = text("");
    job->spec.top_k = 0;
    job->spec.placeholder_threshold = 0;
}

static void set_reference(struct encode_job *job)
{
    static char reference[PATH_MAX];
    struct buf file;
    buf_init(&file, 0);
    picture(&file, 0x203010, 9, 9);
    put(job, "other.png", file.data, file.len);
    buf_deinit(&file);
    EXPECT(fs_join(reference, sizeof reference, job->dir, "other.png"));
    job->spec.placeholder = reference;
}

static void set_no_text(struct encode_job *job)
{
    job->spec.labels = text("");
    job->spec.top_k = 0;
    job->spec.captions = false;
}

static void set_crop(struct encode_job *job)
{
    job->spec.crop = VLMQ__JOBS__ENCODE_CROP__ENCODE_CROP_OPENAI;
}

static void set_state(struct encode_job *job)
{
    job->spec.hidden_state = text("-2");
}

static void set_tokens(struct encode_job *job)
{
    job->spec.tokens = text("all");
}

static void set_dtype(struct encode_job *job)
{
    job->spec.dtype = VLMQ__JOBS__ENCODE_DTYPE__ENCODE_DTYPE_BF16;
}

static void set_batch(struct encode_job *job)
{
    job->spec.batch = 3;
}

/* Two shards of a few pictures, with all that can be asked for. */
static void few_pictures(struct encode_job *job)
{
    static const struct member members[] = {
        {"0.png", NULL, 0x400020u}, {"0.txt", "a red fox", 0},  {"1.png", NULL, 0x00000au},
        {"2.png", NULL, 0x400020u}, {"3.png", "<html>", 0},     {"4.png", NULL, 0x203010u},
        {"4.txt", "an owl", 0},     {"5.png", NULL, 0x102030u}, {NULL, NULL, 0}};
    encode_job_everything(job);
    encode_job_tar(job, "in/00000.tar", members);
    encode_job_tar(job, "in/00001.tar", members + 2);
}

static void expect_same(const struct encode_job *job, const struct buf *want)
{
    struct buf got;
    encode_job_bytes(&got, job);
    EXPECT_EQ(got.len, want->len);
    EXPECT_MEM(got.data, want->data, want->len);
    buf_deinit(&got);
}

static void run_anew(struct encode_job *job)
{
    struct err err;
    EXPECT_OK(fs_remove_tree(job->output, &err), &err);
    job->harness.host.tasks_count = 0;
    encode_job_run(job);
}

TEST(warm, model_makes_what_a_fresh_one_makes)
{
    UNUSED_STATE;
    static const struct {
        void (*change)(struct encode_job *job);
        bool loads; /* the change is one of the model itself */
    } cases[] = {{set_top_k, false},  {set_threshold, false},  {set_space, false},
                 {set_labels, false}, {set_no_filters, false}, {set_reference, false},
                 {set_no_text, true}, {set_crop, true},        {set_state, true},
                 {set_tokens, true},  {set_dtype, true},       {set_batch, true}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct encode_job job;
        struct buf first, fresh;
        encode_job_init(&job);
        few_pictures(&job);
        const Vlmq__Jobs__Encode base = job.spec;
        encode_job_run(&job);
        encode_job_bytes(&first, &job);
        cases[i].change(&job);
        const Vlmq__Jobs__Encode changed = job.spec;
        run_anew(&job);
        encode_job_bytes(&fresh, &job);
        job.harness.host.keeps_warm = true;
        job.spec = base;
        run_anew(&job);
        expect_same(&job, &first);
        fake.loads = 0;
        job.spec = changed;
        run_anew(&job);
        expect_same(&job, &fresh);
        EXPECT_EQ(fake.loads, cases[i].loads);
        job.spec = base; /* and back */
        run_anew(&job);
        expect_same(&job, &first);
        EXPECT_EQ(fake.loads, 2 * cases[i].loads);
        buf_deinit(&first);
        buf_deinit(&fresh);
        encode_job_deinit(&job);
    }
}

struct left {
    struct encode_job *job;
    uint32_t times;
};

/* The model was given back, none of the shard is published, and the next task frees the model. */
static void leave(void *ctx)
{
    struct left *left = ctx;
    struct job_host *host = &left->job->harness.host;
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%05u.safetensors", left->job->output, left->times++);
    EXPECT(host->warm != NULL);
    EXPECT(access(path, F_OK) != 0);
    host->warm_free(host->warm);
    host->warm = NULL;
}

TEST(warm, model_may_be_gone_while_a_shard_is_published)
{
    UNUSED_STATE;
    struct encode_job job;
    struct left left = {.job = &job};
    struct buf first;
    encode_job_init(&job);
    few_pictures(&job);
    encode_job_run(&job);
    encode_job_bytes(&first, &job);
    job.harness.host.keeps_warm = true;
    job.harness.host.on_device_done = leave;
    job.harness.host.on_device_done_ctx = &left;
    run_anew(&job);
    EXPECT_EQ(left.times, 2);
    expect_same(&job, &first);
    buf_deinit(&first);
    encode_job_deinit(&job);
}

/* So that the first piece of a shard need not be a small one again. */
TEST(warm, model_knows_how_much_it_does_in_a_second)
{
    UNUSED_STATE;
    struct encode_job job;
    encode_job_init(&job);
    encode_job_pictures(&job);
    fake.images_batch = job.spec.batch = 32;
    job.harness.host.keeps_warm = true;
    encode_job_run(&job);
    EXPECT(fake.first > 0 && fake.first <= 4);
    for (int i = 0; i < 20 && fake.first <= 4; i++) { /* decoders that pause make it smaller */
        fake.first = 0;
        run_anew(&job);
    }
    EXPECT(fake.first > 4);
    EXPECT_EQ(fake.loads, 1);
    encode_job_deinit(&job);
}

TEST(warm, models_make_room_for_one_that_does_not_fit_beside_them)
{
    UNUSED_STATE;
    struct encode_job job;
    encode_job_init(&job);
    encode_job_pictures(&job);
    job.harness.host.keeps_warm = true;
    EXPECT_OK(encode_job_plan(&job), &job.harness.err);
    EXPECT_OK(encode_job_work(&job, 0), &job.harness.err);
    EXPECT(job.harness.host.warm != NULL);
    set_dtype(&job); /* another model */
    EXPECT_OK(fs_remove_tree(job.output, &job.harness.err), &job.harness.err);
    job.harness.host.tasks_count = 0;
    EXPECT_OK(encode_job_plan(&job), &job.harness.err);
    fake.loads = 0;
    fake.no_room = 1; /* while the first one is there */
    EXPECT_OK(encode_job_work(&job, 0), &job.harness.err);
    EXPECT_EQ(fake.loads, 2);
    job_warm_drop(&(struct job_env){.host = &job.harness.host});
    fake.no_room = 1; /* and there is no other to make room */
    EXPECT_EQ(encode_job_work(&job, 1), ERR_LIMIT);
    EXPECT_EQ(fake.loads, 3);
    encode_job_deinit(&job);
}

TEST(warm, model_on_a_device_that_failed_is_not_kept)
{
    UNUSED_STATE;
    struct encode_job job;
    encode_job_init(&job);
    encode_job_everything(&job);
    job.harness.host.keeps_warm = true;
    EXPECT_OK(encode_job_plan(&job), &job.harness.err);
    EXPECT_OK(encode_job_work(&job, 1), &job.harness.err);
    EXPECT_EQ(fake.loads, 1);
    /* An error of the model alone: it stays. */
    fake.fails_at = fake.pictures + 5;
    EXPECT_EQ(encode_job_work(&job, 0), ERR_UNAVAILABLE);
    EXPECT_EQ(job.harness.result.device, JOB_DEVICE_FINE);
    EXPECT(job.harness.host.warm != NULL);
    fake.device_fails = true;
    fake.fails_at = fake.pictures + 5;
    EXPECT_EQ(encode_job_work(&job, 0), ERR_UNAVAILABLE);
    EXPECT_EQ(job.harness.result.device, JOB_DEVICE_POISONED); /* lost to this process */
    EXPECT(job.harness.host.warm == NULL);
    fake.fails_at = 0;
    EXPECT_OK(encode_job_work(&job, 0), &job.harness.err);
    EXPECT_EQ(fake.loads, 2);
    encode_job_deinit(&job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(warm, model_makes_what_a_fresh_one_makes),
        RUN(warm, model_may_be_gone_while_a_shard_is_published),
        RUN(warm, model_knows_how_much_it_does_in_a_second),
        RUN(warm, models_make_room_for_one_that_does_not_fit_beside_them),
        RUN(warm, model_on_a_device_that_failed_is_not_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
