/* encode_list_test.c - whole jobs from a URL list to features, against a real server: what comes
 * out is what the same pictures give out of a tar, whatever happens on the way. */
#include "tests/support/web_server.h"
#include "tests/unit/jobs/encode_job.h"

#include <sys/wait.h>
#include <unistd.h>

#define ROWS       60
#define SHARD_ROWS 25

static struct web_server web;
static const char *files; /* what the server serves */

static void serve(const char *name, const void *data, size_t bytes)
{
    char path[PATH_MAX];
    struct err err;
    EXPECT(fs_join(path, sizeof path, files, name));
    EXPECT_OK(fs_put(path, data, bytes, &err), &err);
}

static uint32_t colour_of(uint32_t number)
{
    return 0x102030u + number * 0x070b0du;
}

static int start(void **state)
{
    struct buf file;
    char name[16];
    (void)state;
    files = test_dir_new();
    buf_init(&file, 0);
    for (uint32_t i = 0; i < 10; i++) {
        buf_clear(&file);
        picture(&file, colour_of(i), 12, 8);
        (void)snprintf(name, sizeof name, "%u.png", i);
        serve(name, file.data, file.len);
    }
    buf_deinit(&file);
    serve("page.png", "<html>", strlen("<html>"));
    web_server_start(&web, TESTS_DIR "/support/web_server.py", files, NULL);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    web_server_stop(&web);
    test_dir_remove(files);
    return 0;
}

/* Which picture a row of the list names; -1: none that can be had. */
static int picture_of(uint32_t row)
{
    return row % 6 == 1 || row % 10 == 3 ? -1 : (int)(row % 10);
}

/* Dead URLs, bad pictures, and each picture's URL more than once. */
static void write_list(struct buf *list)
{
    buf_init(list, 0);
    buf_text(list, "url,text,place\n");
    for (uint32_t i = 0; i < ROWS; i++) {
        buf_printf(list, "http://127.0.0.1:%d/", web.port);
        if (i % 6 == 1)
            buf_printf(list, "status/%u", 404 + i % 7);
        else if (i % 10 == 3)
            buf_text(list, "jitter/page.png");
        else
            buf_printf(list, "jitter/%u.png", i % 10);
        buf_printf(list, ",words of row %u,\"%u, east\"\n", i, i % 4);
    }
}

static void job_init(struct encode_job *job, const char *name)
{
    static char place[] = "place";
    static char *extras[] = {place};
    struct buf list;
    encode_job_init(job);
    write_list(&list);
    put(job, name, list.data, list.len);
    buf_deinit(&list);
    (void)snprintf(job->input, sizeof job->input, "%s/%s", job->dir, name);
    job->spec.shard_rows = SHARD_ROWS;
    job->spec.caption_column = text("text");
    job->spec.extra_columns = extras;
    job->spec.n_extra_columns = 1;
    job->spec.allow_private = true;
    job->spec.no_retries = true;
    job->spec.tokens = text("all");
    job->spec.cls = job->spec.embedding = job->spec.captions = true;
}

/* The public files without times of all three shards. */
static void output_bytes(struct buf *out, const struct encode_job *job)
{
    char name[64];
    buf_init(out, 0);
    for (uint32_t i = 0; i < 3; i++) {
        (void)snprintf(name, sizeof name, "out/%05u.safetensors", i);
        get(out, job, name);
        (void)snprintf(name, sizeof name, "out/%05u.jsonl", i);
        get(out, job, name);
    }
}

/* The same pictures and captions as a folder of tars, by the keys of the list's rows. */
static void write_tars(const struct encode_job *job)
{
    for (uint32_t shard = 0; shard * SHARD_ROWS < ROWS; shard++) {
        struct member member[2 * SHARD_ROWS + 1] = {{NULL, NULL, 0}};
        char name[2 * SHARD_ROWS][32], caption[SHARD_ROWS][32], tar[32];
        uint32_t count = 0;
        for (uint32_t i = 0; i < SHARD_ROWS && shard * SHARD_ROWS + i < ROWS; i++) {
            const uint32_t row = shard * SHARD_ROWS + i;
            if (picture_of(row) < 0) continue;
            (void)snprintf(name[count], sizeof name[count], "%05u%02u.png", shard, i);
            (void)snprintf(name[count + 1], sizeof name[count], "%05u%02u.txt", shard, i);
            (void)snprintf(caption[i], sizeof caption[i], "words of row %u", row);
            member[count] =
                (struct member){name[count], NULL, colour_of((uint32_t)picture_of(row))};
            member[count + 1] = (struct member){name[count + 1], caption[i], 0};
            count += 2;
        }
        (void)snprintf(tar, sizeof tar, "in/%05u.tar", shard);
        encode_job_tar(job, tar, member);
    }
}

TEST(list, gives_the_features_of_the_same_pictures_in_tars)
{
    UNUSED_STATE;
    struct encode_job list, tars;
    struct buf want, got;
    char name[64];
    job_init(&list, "list.csv");
    encode_job_run(&list);
    encode_job_init(&tars);
    write_tars(&tars);
    tars.spec.tokens = text("all");
    tars.spec.cls = tars.spec.embedding = tars.spec.captions = true;
    encode_job_run(&tars);
    buf_init(&want, 0);
    buf_init(&got, 0);
    for (uint32_t i = 0; i < 3; i++) {
        (void)snprintf(name, sizeof name, "out/%05u.safetensors", i);
        buf_clear(&want);
        buf_clear(&got);
        get(&want, &tars, name);
        get(&got, &list, name);
        EXPECT_EQ(got.len, want.len);
        EXPECT_MEM(got.data, want.data, want.len);
    }
    buf_deinit(&want);
    buf_deinit(&got);
    encode_job_deinit(&tars);
    encode_job_deinit(&list);
}

TEST(list, has_a_line_for_every_row)
{
    UNUSED_STATE;
    struct encode_job job;
    char want[64];
    job_init(&job, "list.csv");
    encode_job_run(&job);
    int64_t features = 0;
    uint32_t pictures = 0;
    for (uint32_t row = 0; row < ROWS; row++) {
        char name[32];
        const uint32_t index = row % SHARD_ROWS;
        if (!index) features = 0;
        pictures += picture_of(row) >= 0;
        (void)snprintf(name, sizeof name, "%05u.jsonl", row / SHARD_ROWS);
        json_t *line = encode_row(&job, name, index);
        const json_t *meta = json_object_get(line, "meta");
        (void)snprintf(want, sizeof want, "%05u%02u", row / SHARD_ROWS, index);
        EXPECT_TEXT(json_string_value(json_object_get(line, "key")), want);
        (void)snprintf(want, sizeof want, "words of row %u", row);
        EXPECT_TEXT(json_string_value(json_object_get(line, "caption")), want);
        (void)snprintf(want, sizeof want, "%u, east", row % 4);
        EXPECT_TEXT(json_string_value(json_object_get(meta, "place")), want);
        EXPECT_TEXT(json_string_value(json_object_get(line, "status")),
                    picture_of(row) >= 0 ? "success"
                    : row % 6 == 1       ? "http_status"
                                         : "unknown_format");
        EXPECT_EQ(json_integer_value(json_object_get(meta, "http_status")),
                  row % 6 == 1 ? 404 + row % 7 : 200);
        EXPECT((json_object_get(meta, "sha256") != NULL) == (row % 6 != 1));
        const json_t *place = json_object_get(line, "row");
        EXPECT_EQ(place ? json_integer_value(place) : -1, picture_of(row) >= 0 ? features++ : -1);
        json_decref(line);
    }
    EXPECT_EQ(fake.pictures, pictures); /* and nothing was stored of them */
    EXPECT(!has(&job, "out/00000.tar") && !has(&job, "out/_vlmq/rows"));
    encode_job_deinit(&job);
}

/* Runs the task in a process that is killed when progress is told for the n-th time; false: it came
 * to its end. */
static bool dies(struct encode_job *job, enum job_phase phase, uint32_t task, int64_t at)
{
    int status = 0;
    const pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
        job->harness.host.dies_at = at;
        job->harness.host.told = 0;
        const int rc = phase == JOB_PLAN ? encode_job_plan(job) : encode_job_work(job, task);
        _exit(rc ? 1 : 0);
    }
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    const bool died = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    EXPECT(died || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
    return died;
}

TEST(list, gives_the_same_bytes_whatever_dies_on_the_way)
{
    UNUSED_STATE;
    struct encode_job calm, storm;
    struct buf want, got;
    job_init(&calm, "list.csv");
    calm.spec.transfers = 1;
    encode_job_run(&calm);
    output_bytes(&want, &calm);
    job_init(&storm, "list.csv");
    storm.spec.batch = 3;
    fake.picture_ms = 5;
    encode_job_pack(&storm);
    EXPECT(dies(&storm, JOB_PLAN, 0, 2));
    EXPECT_OK(encode_job_plan(&storm), &storm.harness.err);
    EXPECT_EQ(storm.harness.host.tasks_count, 3);
    uint32_t deaths = 0;
    for (uint32_t i = 0; i < 3; i++) {
        for (int64_t at = 1; at < 4; at++) deaths += dies(&storm, JOB_WORK, 2 - i, at);
        EXPECT_OK(encode_job_work(&storm, 2 - i), &storm.harness.err);
    }
    EXPECT(deaths >= 3);
    EXPECT_OK(harness_run(&storm.harness, JOB_CLOSE, NULL), &storm.harness.err);
    output_bytes(&got, &storm);
    EXPECT_EQ(got.len, want.len);
    EXPECT_MEM(got.data, want.data, want.len);
    buf_deinit(&want);
    buf_deinit(&got);
    encode_job_deinit(&calm);
    encode_job_deinit(&storm);
}

TEST(list, stops_soon_and_goes_on_later)
{
    UNUSED_STATE;
    struct encode_job job;
    job_init(&job, "list.csv");
    encode_job_pack(&job);
    EXPECT_OK(encode_job_plan(&job), &job.harness.err);
    fake.picture_ms = 20;
    job.harness.host.stop_at_items = 5;
    EXPECT_EQ(encode_job_work(&job, 1), ERR_CANCELLED);
    EXPECT(!has(&job, "out/00001.jsonl"));
    job.harness.host.stop_at_items = -1;
    atomic_store(&job.harness.host.stop, (int)JOB_STOP_NONE);
    fake.picture_ms = 0;
    EXPECT_OK(encode_job_work(&job, 1), &job.harness.err);
    EXPECT(has(&job, "out/00001.jsonl"));
    encode_job_deinit(&job);
}

/* The same rows in two files, named by a pattern or by their folder. */
TEST(list, of_many_files_is_one_list)
{
    UNUSED_STATE;
    struct buf want, got, list, half;
    struct encode_job job;
    job_init(&job, "list.csv");
    encode_job_run(&job);
    output_bytes(&want, &job);
    encode_job_deinit(&job);
    for (int way = 0; way < 2; way++) {
        job_init(&job, "other");
        write_list(&list);
        char *middle = list.data + list.len / 2;
        while (*middle != '\n') middle++;
        buf_init(&half, 0);
        buf_add(&half, list.data, (size_t)(middle + 1 - list.data));
        put(&job, "lists/a.csv", half.data, half.len);
        buf_clear(&half);
        buf_text(&half, "url,text,place\n");
        buf_text(&half, middle + 1);
        put(&job, "lists/b.csv", half.data, half.len);
        (void)snprintf(job.input, sizeof job.input, "%s/lists%s", job.dir, way ? "" : "/*.csv");
        if (way) job.spec.input_format = VLMQ__JOBS__ENCODE_INPUT__ENCODE_INPUT_CSV;
        encode_job_run(&job);
        output_bytes(&got, &job);
        EXPECT_EQ(got.len, want.len);
        EXPECT_MEM(got.data, want.data, want.len);
        buf_deinit(&got);
        buf_deinit(&half);
        buf_deinit(&list);
        encode_job_deinit(&job);
    }
    buf_deinit(&want);
}

static void expect_wrong(struct encode_job *job, const char *words)
{
    EXPECT_EQ(encode_job_plan(job), ERR_INVALID);
    if (!strstr(job->harness.err.msg, words))
        fail_msg("%s is not in: %s", words, job->harness.err.msg);
}

TEST(list, options_that_do_not_fit_the_input_are_refused)
{
    UNUSED_STATE;
    struct encode_job job;
    job_init(&job, "list.csv");
    job.spec.url_column = text("link");
    expect_wrong(&job, "\"link\"");
    EXPECT(!has(&job, "out/_vlmq/job.json")); /* the right one may still come */
    job.spec.url_column = text("");
    EXPECT_OK(encode_job_plan(&job), &job.harness.err);
    encode_job_deinit(&job);
    encode_job_init(&job);
    write_tars(&job);
    job.spec.robots = true;
    expect_wrong(&job, "--robots is for URL lists");
    encode_job_deinit(&job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(list, gives_the_features_of_the_same_pictures_in_tars),
        RUN(list, has_a_line_for_every_row),
        RUN(list, gives_the_same_bytes_whatever_dies_on_the_way),
        RUN(list, stops_soon_and_goes_on_later),
        RUN(list, of_many_files_is_one_list),
        RUN(list, options_that_do_not_fit_the_input_are_refused),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
