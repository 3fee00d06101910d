/* plan_test.c - planning alone: lists are cut in one pass, and outputs change hands in one step. */
#include "worker/jobs/download/plan.h"

#include "common/base/fs_fault.h"
#include "common/base/mem.h"
#include "tests/unit/jobs/download_job.h"
#include "tests/unit/jobs/download_slice.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sys/wait.h>
#include <time.h>
#include <zlib.h>

static void job_init(struct download_job *job, const char *list)
{
    download_job_init(job, list);
    job->spec.shard_rows = 10;
}

static void put_gzip(const struct download_job *job)
{
    gzFile file = gzopen(job->input, "wb1");
    EXPECT(file != NULL);
    EXPECT_EQ(gzwrite(file, buf_str(&job->list), (unsigned int)job->list.len), job->list.len);
    EXPECT_EQ(gzclose(file), Z_OK);
}

/* Puts list and spec where the job finds them. */
static void ready(struct download_job *job)
{
    download_job_ready(job);
    if (str_has_suffix(job->input, ".gz")) put_gzip(job);
}

static void add_rows(struct download_job *job, uint32_t rows)
{
    buf_text(&job->list, "t,url\n");
    for (uint32_t i = 0; i < rows; i++)
        buf_printf(&job->list, "%s%u,http://h/%u\n", i % 7 == 3 ? "\n" : "", i, i);
}

static int plan(struct download_job *job)
{
    job->harness.host.tasks_count = job->harness.added;
    job->harness.host.told = 0;
    return download_job_plan(job);
}

static int count_one(void *ctx, const char *name, struct err *err)
{
    (void)name, (void)err;
    ++*(uint32_t *)ctx;
    return 0;
}

/* Names in _vlmq/rows: slices, and folders of plannings. */
static uint32_t kept(const struct download_job *job)
{
    char path[TEST_PATH_BYTES];
    struct err err;
    uint32_t count = 0;
    output_path(path, job, LIST_SLICE_FOLDER);
    if (fs_exists(path)) EXPECT_OK(fs_list(path, count_one, &count, &err), &err);
    return count;
}

static void put_output(const struct download_job *job, const char *folder, const char *name)
{
    char path[TEST_PATH_BYTES];
    struct err err;
    output_path(path, job, folder);
    EXPECT_OK(fs_mkdirs(path, &err), &err);
    folder_put(path, name, "x", 1);
}

TEST(plan, cuts_rows_into_shards_and_goes_on_where_it_was)
{
    UNUSED_STATE;
    struct download_job job;
    job_init(&job, "list.csv");
    struct job_host *host = &job.harness.host;
    add_rows(&job, 6004);
    ready(&job);
    EXPECT_OK(plan(&job), &job.harness.err);
    EXPECT_EQ(host->tasks_count, 601);
    EXPECT(host->adds >= 3);
    EXPECT_TEXT(host->progress.stage[0].name, "plan");
    EXPECT_EQ(host->progress.stage[0].finished, 6004);
    EXPECT_EQ(host->progress.stage[0].queued, 0);
    uint64_t offset = strlen("t,url\n");
    for (uint32_t i = 0; i < 601; i++) {
        char name[16];
        const struct harness_task *task = &host->tasks[i];
        Vlmq__Jobs__DownloadShard *shard =
            vlmq__jobs__download_shard__unpack(NULL, task->bytes, task->payload);
        (void)snprintf(name, sizeof name, "%05u", i);
        EXPECT_TEXT(task->name, name);
        EXPECT_EQ(shard->row, i * 10);
        EXPECT_EQ(shard->rows, i < 600 ? 10 : 4);
        EXPECT_EQ(task->items, shard->rows);
        EXPECT_EQ(shard->offset, offset);
        offset += shard->bytes;
        vlmq__jobs__download_shard__free_unpacked(shard, NULL);
    }
    EXPECT_EQ(offset, job.list.len);
    /* The planner dies after 300 tasks; the next one adds the same others. */
    struct harness_task *before = mem_new(601 * sizeof *before);
    memcpy(before, host->tasks, 601 * sizeof *before);
    job.harness.added = 300;
    EXPECT_OK(plan(&job), &job.harness.err);
    EXPECT_EQ(host->tasks_count, 601);
    EXPECT_MEM(before, host->tasks, 601 * sizeof *before);
    mem_free(before);
    download_job_deinit(&job);
}

TEST(plan, refuses_a_bad_list_before_the_output_is_made)
{
    UNUSED_STATE;
    static const struct {
        const char *name, *list;
    } cases[] = {
        {"list.csv", ""},
        {"list.csv", "\n\r\n\r"},
        {"list.csv", "url\n\n\r\n"},
        {"list.csv", "link\nhttp://h/\n"},
        {"list.csv.gz", "url\n"},
        {"list.csv.gz", "link\nhttp://h/\n"},
        {"list.txt.gz", "\n"},
        {"list.jsonl", "[1]\n"},
        {"list.jsonl.gz", "\n{\"link\":\"http://h/\"}\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct download_job job;
        job_init(&job, cases[i].name);
        buf_text(&job.list, cases[i].list);
        ready(&job);
        EXPECT_EQ(plan(&job), ERR_INVALID);
        EXPECT_EQ(unlink(job.input), 0);
        EXPECT_EQ(plan(&job), ERR_NOT_FOUND);
        EXPECT_EQ(job.harness.host.tasks_count, 0);
        EXPECT(!output_has(&job, ""));
        download_job_deinit(&job);
    }
}

/* Bytes that this process has read from files and the like; -1: the kernel does not tell. */
static int64_t bytes_read(void)
{
    int64_t bytes = -1;
    FILE *file = fopen("/proc/self/io", "r");
    if (!file) return -1;
    if (fscanf(file, "rchar: %" SCNd64, &bytes) != 1) bytes = -1;
    (void)fclose(file);
    return bytes;
}

TEST(plan, reads_the_list_once)
{
    UNUSED_STATE;
    struct download_job job;
    job_init(&job, "list.csv");
    job.spec.shard_rows = 10000;
    add_rows(&job, 200000);
    ready(&job);
    const int64_t before = bytes_read();
    if (before < 0) skip();
    EXPECT_OK(plan(&job), &job.harness.err);
    const int64_t bytes = bytes_read() - before;
    EXPECT(bytes >= (int64_t)job.list.len);
    EXPECT(bytes < (int64_t)job.list.len + 16 * 1024);
    EXPECT_EQ(job.harness.host.tasks_count, 20);
    EXPECT(job.harness.host.told > 40); /* pieces of the list, and shards */
    download_job_deinit(&job);
}

/* What the work tasks see of a shard. */
static void read_shard(struct download_job *job, const struct harness_task *task, struct buf *out)
{
    struct download_options options;
    struct arena arena;
    struct store *store = NULL;
    struct list_slice *slice = NULL;
    struct list_row row;
    struct err err;
    bool found = true;
    arena_init(&arena, 0);
    list_row_init(&row);
    const struct job_bytes spec = job->harness.spec;
    EXPECT_OK(download_options_init(&options, &arena, spec.data, spec.bytes, &err), &err);
    EXPECT_OK(store_open(&store, options.output, false, &err), &err);
    Vlmq__Jobs__DownloadShard *shard =
        vlmq__jobs__download_shard__unpack(NULL, task->bytes, task->payload);
    EXPECT_OK(download_slice(&slice, &options, shard, store, &err), &err);
    for (;;) {
        EXPECT_OK(list_slice_next(slice, &row, &found, &err), &err);
        if (!found) break;
        const char *url = list_row_field(&row, LIST_URL_COLUMN);
        buf_printf(out, "%s;", url ? url : "-");
    }
    list_slice_close(slice);
    vlmq__jobs__download_shard__free_unpacked(shard, NULL);
    store_close(store);
    list_row_deinit(&row);
    arena_deinit(&arena);
}

TEST(plan, gives_each_row_to_one_shard_in_every_format)
{
    UNUSED_STATE;
    static const struct {
        const char *name, *list;
    } cases[] = {
        {"list.csv", "\xef\xbb\xbf\n\r\nurl\r\n\r\n\na\n\nb\r\n\nc\n\n"},
        {"list.csv", "url\na\nb\nc"},
        {"list.tsv", "t\turl\n\n1\ta\n1\tb\n1\tc\n\n"},
        {"list.txt", "\xef\xbb\xbf"
                     "a\nb\n\nc\n"},
        {"list.txt", "\r\n\na\r\nb\r\nc"},
        {"list.jsonl", "\xef\xbb\xbf\n{\"url\":\"a\"}\r\n\n{\"url\":\"b\"}\n{\"url\":\"c\"}"},
    };
    for (size_t i = 0; i < 2 * sizeof cases / sizeof cases[0]; i++) {
        struct download_job job;
        struct buf text;
        char name[32];
        (void)snprintf(name, sizeof name, "%s%s", cases[i / 2].name, i % 2 ? ".gz" : "");
        job_init(&job, name);
        job.spec.shard_rows = 2;
        buf_text(&job.list, cases[i / 2].list);
        ready(&job);
        EXPECT_OK(plan(&job), &job.harness.err);
        EXPECT_EQ(job.harness.host.tasks_count, 2);
        EXPECT_EQ(kept(&job), i % 2 ? 2 : 0);
        buf_init(&text, 0);
        for (uint32_t j = 0; j < 2; j++) read_shard(&job, &job.harness.host.tasks[j], &text);
        EXPECT_TEXT(buf_str(&text), "a;b;c;");
        buf_deinit(&text);
        download_job_deinit(&job);
    }
}

static int plan_three(struct job_env *env, struct job_result *result, struct err *err)
{
    return download_plan_within(env, 3, result, err);
}

TEST(plan, refuses_more_shards_than_it_can_keep)
{
    UNUSED_STATE;
    static const struct job_kind kind = {.name = "download", .plan = plan_three};
    for (int compressed = 0; compressed < 2; compressed++) {
        struct download_job job;
        job_init(&job, compressed ? "list.csv.gz" : "list.csv");
        job.harness.kind = &kind;
        add_rows(&job, 31);
        ready(&job);
        EXPECT_EQ(plan(&job), ERR_INVALID);
        EXPECT(strstr(job.harness.err.msg, "raise --shard-rows") != NULL);
        EXPECT(!output_has(&job, "_vlmq/job.json"));
        EXPECT_EQ(kept(&job), 0);
        buf_clear(&job.list);
        add_rows(&job, 30);
        ready(&job);
        EXPECT_OK(plan(&job), &job.harness.err);
        EXPECT_EQ(job.harness.host.tasks_count, 3);
        download_job_deinit(&job);
    }
}

TEST(plan, leaves_the_slices_of_the_outputs_owner_alone)
{
    UNUSED_STATE;
    struct download_job job;
    struct buf before, after;
    job_init(&job, "list.csv.gz");
    buf_init(&before, 0);
    buf_init(&after, 0);
    add_rows(&job, 25);
    ready(&job);
    EXPECT_OK(plan(&job), &job.harness.err);
    EXPECT_EQ(kept(&job), 3);
    struct harness_task owned[3];
    memcpy(owned, job.harness.host.tasks, sizeof owned);
    for (int i = 0; i < 3; i++) read_shard(&job, &owned[i], &before);
    /* Another list with more shards, then the same list with other options. */
    buf_clear(&job.list);
    buf_text(&job.list, "url\n");
    for (int i = 0; i < 95; i++) buf_printf(&job.list, "http://other/%d\n", i);
    ready(&job);
    EXPECT_EQ(plan(&job), ERR_INVALID);
    EXPECT_EQ(job.harness.host.tasks_count, 0);
    buf_clear(&job.list);
    add_rows(&job, 25);
    job.spec.shard_rows = 5;
    ready(&job);
    EXPECT_EQ(plan(&job), ERR_INVALID);
    EXPECT(strstr(job.harness.err.msg, "--shard-rows") != NULL);
    EXPECT_EQ(kept(&job), 3);
    for (int i = 0; i < 3; i++) read_shard(&job, &owned[i], &after);
    EXPECT_TEXT(buf_str(&after), buf_str(&before));
    buf_deinit(&before);
    buf_deinit(&after);
    download_job_deinit(&job);
}

/* Plans in a process of its own, which dies when progress is told for the n-th time; false: it
 * lived to the end. */
static bool plan_dies(struct download_job *job, int64_t at)
{
    int status = 0;
    const pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
        job->harness.host.dies_at = at;
        _exit(plan(job) ? 1 : 0);
    }
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    const bool died = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    EXPECT(died || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
    return died;
}

TEST(plan, that_dies_anywhere_is_planned_again_with_the_same_tasks)
{
    UNUSED_STATE;
    struct download_job job;
    struct buf whole, text;
    job_init(&job, "list.csv.gz");
    buf_init(&whole, 0);
    buf_init(&text, 0);
    add_rows(&job, 25);
    ready(&job);
    EXPECT_OK(plan(&job), &job.harness.err);
    struct harness_task made[3];
    memcpy(made, job.harness.host.tasks, sizeof made);
    for (int i = 0; i < 3; i++) read_shard(&job, &made[i], &whole);
    int64_t deaths = 0;
    while (job.harness.host.told && plan_dies(&job, deaths + 1)) {
        struct err err;
        deaths++;
        EXPECT_OK(plan(&job), &job.harness.err);
        EXPECT_EQ(job.harness.host.tasks_count, 3);
        EXPECT_MEM(made, job.harness.host.tasks, sizeof made);
        EXPECT_EQ(kept(&job), 3);
        buf_clear(&text);
        for (int i = 0; i < 3; i++) read_shard(&job, &made[i], &text);
        EXPECT_TEXT(buf_str(&text), buf_str(&whole));
        /* And on an output that nobody has claimed. */
        EXPECT_OK(fs_remove_tree(job.output, &err), &err);
        if (deaths % 2) EXPECT_OK(plan(&job), &job.harness.err);
    }
    EXPECT(deaths >= 8);
    buf_deinit(&whole);
    buf_deinit(&text);
    download_job_deinit(&job);
}

TEST(plan, clears_up_after_its_own_dead_planners_only)
{
    UNUSED_STATE;
    struct download_job job;
    job_init(&job, "list.csv.gz");
    add_rows(&job, 25);
    ready(&job);
    put_output(&job, "_vlmq/rows/test.00112233445566778899aabbccddeeff", "00000");
    put_output(&job, "_vlmq/rows/test2.00112233445566778899aabbccddeeff", "00000");
    EXPECT_OK(plan(&job), &job.harness.err);
    EXPECT(!output_has(&job, "_vlmq/rows/test.00112233445566778899aabbccddeeff"));
    EXPECT(output_has(&job, "_vlmq/rows/test2.00112233445566778899aabbccddeeff/00000"));
    EXPECT_EQ(kept(&job), 4);
    download_job_deinit(&job);
}

TEST(plan, survives_a_full_disk_at_any_write)
{
    UNUSED_STATE;
    int failures = 0;
    bool untouched = false;
    for (int64_t after = 0; !untouched; after++) {
        struct download_job job;
        job_init(&job, "list.csv.gz");
        add_rows(&job, 25);
        ready(&job);
        (void)fs_fail(after, 1, ENOSPC);
        const int rc = plan(&job);
        untouched = fs_fail(-1, 0, 0) <= after;
        if (rc) EXPECT_EQ(rc, ERR_FULL);
        if (rc) failures++;
        if (rc && !output_has(&job, "_vlmq/job.json")) EXPECT_EQ(kept(&job), 0);
        job.harness.added = job.harness.host.tasks_count;
        EXPECT_OK(plan(&job), &job.harness.err);
        EXPECT_EQ(job.harness.host.tasks_count, 3);
        EXPECT_EQ(kept(&job), 3);
        download_job_deinit(&job);
    }
    EXPECT(failures > 5);
}

static void *stop_soon(void *arg)
{
    struct job_host *host = arg;
    const struct timespec pause = {.tv_nsec = 100 * 1000 * 1000};
    (void)nanosleep(&pause, NULL);
    atomic_store(&host->stop, JOB_STOP_CANCELLED);
    return NULL;
}

/* Line ends are no rows, and a thousand of them are one compressed byte: what keeps count of rows
 * only would not look up for long. */
TEST(plan, stops_at_once_wherever_it_is)
{
    UNUSED_STATE;
    struct download_job job;
    pthread_t thread;
    job_init(&job, "list.txt.gz");
    ready(&job);
    gzFile file = gzopen(job.input, "wb1");
    struct buf empty;
    buf_init(&empty, 0);
    while (empty.len < 1 << 20) buf_byte(&empty, '\n');
    EXPECT_EQ(gzwrite(file, "a\n", 2), 2);
    for (int i = 0; i < 200; i++) EXPECT_EQ(gzwrite(file, empty.data, 1 << 20), 1 << 20);
    EXPECT_EQ(gzclose(file), Z_OK);
    EXPECT_EQ(pthread_create(&thread, NULL, stop_soon, &job.harness.host), 0);
    const int64_t start = clock_real.mono_ms(&clock_real);
    EXPECT_EQ(plan(&job), ERR_CANCELLED);
    EXPECT(clock_real.mono_ms(&clock_real) - start < 1000);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    EXPECT_EQ(kept(&job), 0);
    buf_deinit(&empty);
    download_job_deinit(&job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(plan, cuts_rows_into_shards_and_goes_on_where_it_was),
        RUN(plan, refuses_a_bad_list_before_the_output_is_made),
        RUN(plan, reads_the_list_once),
        RUN(plan, gives_each_row_to_one_shard_in_every_format),
        RUN(plan, refuses_more_shards_than_it_can_keep),
        RUN(plan, leaves_the_slices_of_the_outputs_owner_alone),
        RUN(plan, that_dies_anywhere_is_planned_again_with_the_same_tasks),
        RUN(plan, clears_up_after_its_own_dead_planners_only),
        RUN(plan, survives_a_full_disk_at_any_write),
        RUN(plan, stops_at_once_wherever_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
