/* plan_test.c - planning alone: lists are cut in one pass, and outputs change hands in one step. */
#include "worker/jobs/download/plan.h"

#include "common/base/fs.h"
#include "common/base/fs_fault.h"
#include "common/base/mem.h"
#include "proto/schema/jobs/download.pb-c.h"
#include "tests/unit/jobs/job_harness.h"
#include "worker/jobs/download/list_slice.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <zlib.h>

extern const struct job_kind job_download;

/* One test's list, output and spec. */
struct fixture {
    struct harness harness;
    const char *dir;
    char input[300], output[300];
    struct buf list;
    Vlmq__Jobs__Download spec;
    uint8_t packed[2048];
};

static void fixture_init(struct fixture *fixture, const char *name)
{
    *fixture = (struct fixture){.dir = test_dir_new()};
    harness_init(&fixture->harness, &job_download);
    (void)snprintf(fixture->input, sizeof fixture->input, "%s/%s", fixture->dir, name);
    (void)snprintf(fixture->output, sizeof fixture->output, "%s/out", fixture->dir);
    buf_init(&fixture->list, 0);
    vlmq__jobs__download__init(&fixture->spec);
    fixture->spec.input = fixture->input;
    fixture->spec.output = fixture->output;
    fixture->spec.shard_rows = 10;
}

static void fixture_deinit(struct fixture *fixture)
{
    buf_deinit(&fixture->list);
    harness_deinit(&fixture->harness);
    test_dir_remove(fixture->dir);
}

static void put_gzip(const struct fixture *fixture)
{
    gzFile file = gzopen(fixture->input, "wb1");
    EXPECT(file != NULL);
    EXPECT_EQ(gzwrite(file, buf_str(&fixture->list), (unsigned int)fixture->list.len),
              fixture->list.len);
    EXPECT_EQ(gzclose(file), Z_OK);
}

/* Puts list and spec where the job finds them. */
static void ready(struct fixture *fixture)
{
    struct err err;
    EXPECT(vlmq__jobs__download__get_packed_size(&fixture->spec) <= sizeof fixture->packed);
    const size_t bytes = vlmq__jobs__download__pack(&fixture->spec, fixture->packed);
    fixture->harness.spec = (struct job_bytes){fixture->packed, bytes};
    if (str_has_suffix(fixture->input, ".gz"))
        put_gzip(fixture);
    else
        EXPECT_OK(fs_put(fixture->input, buf_str(&fixture->list), fixture->list.len, &err), &err);
}

static void add_rows(struct fixture *fixture, uint32_t rows)
{
    buf_text(&fixture->list, "t,url\n");
    for (uint32_t i = 0; i < rows; i++)
        buf_printf(&fixture->list, "%s%u,http://h/%u\n", i % 7 == 3 ? "\n" : "", i, i);
}

static int plan(struct fixture *fixture)
{
    fixture->harness.host.tasks_count = fixture->harness.added;
    fixture->harness.host.told = 0;
    return harness_run(&fixture->harness, JOB_PLAN, NULL);
}

static bool output_has(const struct fixture *fixture, const char *name)
{
    char path[600];
    EXPECT(fs_join(path, sizeof path, fixture->output, name));
    return fs_exists(path);
}

static int count_one(void *ctx, const char *name, struct err *err)
{
    (void)name, (void)err;
    ++*(uint32_t *)ctx;
    return 0;
}

/* Names in _vlmq/rows: slices, and folders of plannings. */
static uint32_t kept(const struct fixture *fixture)
{
    char path[600];
    struct err err;
    uint32_t count = 0;
    EXPECT(fs_join(path, sizeof path, fixture->output, LIST_SLICE_FOLDER));
    if (fs_exists(path)) EXPECT_OK(fs_list(path, count_one, &count, &err), &err);
    return count;
}

static void put_output(const struct fixture *fixture, const char *folder, const char *name)
{
    char path[600], file[700];
    struct err err;
    EXPECT(fs_join(path, sizeof path, fixture->output, folder));
    EXPECT_OK(fs_mkdirs(path, &err), &err);
    EXPECT(fs_join(file, sizeof file, path, name));
    EXPECT_OK(fs_put(file, "x", 1, &err), &err);
}

TEST(plan, cuts_rows_into_shards_and_goes_on_where_it_was)
{
    UNUSED_STATE;
    struct fixture fixture;
    fixture_init(&fixture, "list.csv");
    struct job_host *host = &fixture.harness.host;
    add_rows(&fixture, 6004);
    ready(&fixture);
    EXPECT_OK(plan(&fixture), &fixture.harness.err);
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
    EXPECT_EQ(offset, fixture.list.len);
    /* The planner dies after 300 tasks; the next one adds the same others. */
    struct harness_task *before = mem_new(601 * sizeof *before);
    memcpy(before, host->tasks, 601 * sizeof *before);
    fixture.harness.added = 300;
    EXPECT_OK(plan(&fixture), &fixture.harness.err);
    EXPECT_EQ(host->tasks_count, 601);
    EXPECT_MEM(before, host->tasks, 601 * sizeof *before);
    mem_free(before);
    fixture_deinit(&fixture);
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
        struct fixture fixture;
        fixture_init(&fixture, cases[i].name);
        buf_text(&fixture.list, cases[i].list);
        ready(&fixture);
        EXPECT_EQ(plan(&fixture), ERR_INVALID);
        EXPECT_EQ(unlink(fixture.input), 0);
        EXPECT_EQ(plan(&fixture), ERR_NOT_FOUND);
        EXPECT_EQ(fixture.harness.host.tasks_count, 0);
        EXPECT(!output_has(&fixture, ""));
        fixture_deinit(&fixture);
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
    struct fixture fixture;
    fixture_init(&fixture, "list.csv");
    fixture.spec.shard_rows = 10000;
    add_rows(&fixture, 200000);
    ready(&fixture);
    const int64_t before = bytes_read();
    if (before < 0) skip();
    EXPECT_OK(plan(&fixture), &fixture.harness.err);
    const int64_t bytes = bytes_read() - before;
    EXPECT(bytes >= (int64_t)fixture.list.len);
    EXPECT(bytes < (int64_t)fixture.list.len + 16 * 1024);
    EXPECT_EQ(fixture.harness.host.tasks_count, 20);
    EXPECT(fixture.harness.host.told > 40); /* pieces of the list, and shards */
    fixture_deinit(&fixture);
}

/* What the work tasks see of a shard. */
static void read_shard(struct fixture *fixture, const struct harness_task *task, struct buf *out)
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
    const struct job_bytes spec = fixture->harness.spec;
    EXPECT_OK(download_options_init(&options, &arena, spec.data, spec.bytes, &err), &err);
    EXPECT_OK(store_open(&store, options.output, false, &err), &err);
    Vlmq__Jobs__DownloadShard *shard =
        vlmq__jobs__download_shard__unpack(NULL, task->bytes, task->payload);
    EXPECT_OK(list_slice_open(&slice, &options, shard, store, &err), &err);
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
        struct fixture fixture;
        struct buf text;
        char name[32];
        (void)snprintf(name, sizeof name, "%s%s", cases[i / 2].name, i % 2 ? ".gz" : "");
        fixture_init(&fixture, name);
        fixture.spec.shard_rows = 2;
        buf_text(&fixture.list, cases[i / 2].list);
        ready(&fixture);
        EXPECT_OK(plan(&fixture), &fixture.harness.err);
        EXPECT_EQ(fixture.harness.host.tasks_count, 2);
        EXPECT_EQ(kept(&fixture), i % 2 ? 2 : 0);
        buf_init(&text, 0);
        for (uint32_t j = 0; j < 2; j++)
            read_shard(&fixture, &fixture.harness.host.tasks[j], &text);
        EXPECT_TEXT(buf_str(&text), "a;b;c;");
        buf_deinit(&text);
        fixture_deinit(&fixture);
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
        struct fixture fixture;
        fixture_init(&fixture, compressed ? "list.csv.gz" : "list.csv");
        fixture.harness.kind = &kind;
        add_rows(&fixture, 31);
        ready(&fixture);
        EXPECT_EQ(plan(&fixture), ERR_INVALID);
        EXPECT(strstr(fixture.harness.err.msg, "raise --shard-rows") != NULL);
        EXPECT(!output_has(&fixture, "_vlmq/job.json"));
        EXPECT_EQ(kept(&fixture), 0);
        buf_clear(&fixture.list);
        add_rows(&fixture, 30);
        ready(&fixture);
        EXPECT_OK(plan(&fixture), &fixture.harness.err);
        EXPECT_EQ(fixture.harness.host.tasks_count, 3);
        fixture_deinit(&fixture);
    }
}

TEST(plan, leaves_the_slices_of_the_outputs_owner_alone)
{
    UNUSED_STATE;
    struct fixture fixture;
    struct buf before, after;
    fixture_init(&fixture, "list.csv.gz");
    buf_init(&before, 0);
    buf_init(&after, 0);
    add_rows(&fixture, 25);
    ready(&fixture);
    EXPECT_OK(plan(&fixture), &fixture.harness.err);
    EXPECT_EQ(kept(&fixture), 3);
    struct harness_task owned[3];
    memcpy(owned, fixture.harness.host.tasks, sizeof owned);
    for (int i = 0; i < 3; i++) read_shard(&fixture, &owned[i], &before);
    /* Another list with more shards, then the same list with other options. */
    buf_clear(&fixture.list);
    buf_text(&fixture.list, "url\n");
    for (int i = 0; i < 95; i++) buf_printf(&fixture.list, "http://other/%d\n", i);
    ready(&fixture);
    EXPECT_EQ(plan(&fixture), ERR_INVALID);
    EXPECT_EQ(fixture.harness.host.tasks_count, 0);
    buf_clear(&fixture.list);
    add_rows(&fixture, 25);
    fixture.spec.shard_rows = 5;
    ready(&fixture);
    EXPECT_EQ(plan(&fixture), ERR_INVALID);
    EXPECT(strstr(fixture.harness.err.msg, "--shard-rows") != NULL);
    EXPECT_EQ(kept(&fixture), 3);
    for (int i = 0; i < 3; i++) read_shard(&fixture, &owned[i], &after);
    EXPECT_TEXT(buf_str(&after), buf_str(&before));
    buf_deinit(&before);
    buf_deinit(&after);
    fixture_deinit(&fixture);
}

/* Plans in a process of its own, which dies when progress is told for the n-th time; false: it
 * lived to the end. */
static bool plan_dies(struct fixture *fixture, int64_t at)
{
    int status = 0;
    const pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
        fixture->harness.host.dies_at = at;
        _exit(plan(fixture) ? 1 : 0);
    }
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT(WIFEXITED(status));
    EXPECT(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == HARNESS_DIED);
    return WEXITSTATUS(status) == HARNESS_DIED;
}

TEST(plan, that_dies_anywhere_is_planned_again_with_the_same_tasks)
{
    UNUSED_STATE;
    struct fixture fixture;
    struct buf whole, text;
    fixture_init(&fixture, "list.csv.gz");
    buf_init(&whole, 0);
    buf_init(&text, 0);
    add_rows(&fixture, 25);
    ready(&fixture);
    EXPECT_OK(plan(&fixture), &fixture.harness.err);
    struct harness_task made[3];
    memcpy(made, fixture.harness.host.tasks, sizeof made);
    for (int i = 0; i < 3; i++) read_shard(&fixture, &made[i], &whole);
    int64_t deaths = 0;
    while (fixture.harness.host.told && plan_dies(&fixture, deaths + 1)) {
        struct err err;
        deaths++;
        EXPECT_OK(plan(&fixture), &fixture.harness.err);
        EXPECT_EQ(fixture.harness.host.tasks_count, 3);
        EXPECT_MEM(made, fixture.harness.host.tasks, sizeof made);
        EXPECT_EQ(kept(&fixture), 3);
        buf_clear(&text);
        for (int i = 0; i < 3; i++) read_shard(&fixture, &made[i], &text);
        EXPECT_TEXT(buf_str(&text), buf_str(&whole));
        /* And on an output that nobody has claimed. */
        EXPECT_OK(fs_remove_tree(fixture.output, &err), &err);
        if (deaths % 2) EXPECT_OK(plan(&fixture), &fixture.harness.err);
    }
    EXPECT(deaths >= 8);
    buf_deinit(&whole);
    buf_deinit(&text);
    fixture_deinit(&fixture);
}

TEST(plan, clears_up_after_its_own_dead_planners_only)
{
    UNUSED_STATE;
    struct fixture fixture;
    fixture_init(&fixture, "list.csv.gz");
    add_rows(&fixture, 25);
    ready(&fixture);
    put_output(&fixture, "_vlmq/rows/test.00112233445566778899aabbccddeeff", "00000");
    put_output(&fixture, "_vlmq/rows/test2.00112233445566778899aabbccddeeff", "00000");
    EXPECT_OK(plan(&fixture), &fixture.harness.err);
    EXPECT(!output_has(&fixture, "_vlmq/rows/test.00112233445566778899aabbccddeeff"));
    EXPECT(output_has(&fixture, "_vlmq/rows/test2.00112233445566778899aabbccddeeff/00000"));
    EXPECT_EQ(kept(&fixture), 4);
    fixture_deinit(&fixture);
}

TEST(plan, survives_a_full_disk_at_any_write)
{
    UNUSED_STATE;
    int failures = 0;
    bool untouched = false;
    for (int64_t after = 0; !untouched; after++) {
        struct fixture fixture;
        fixture_init(&fixture, "list.csv.gz");
        add_rows(&fixture, 25);
        ready(&fixture);
        (void)fs_fail(after, 1, ENOSPC);
        const int rc = plan(&fixture);
        untouched = fs_fail(-1, 0, 0) <= after;
        if (rc) EXPECT_EQ(rc, ERR_LIMIT);
        if (rc) failures++;
        if (rc && !output_has(&fixture, "_vlmq/job.json")) EXPECT_EQ(kept(&fixture), 0);
        fixture.harness.added = fixture.harness.host.tasks_count;
        EXPECT_OK(plan(&fixture), &fixture.harness.err);
        EXPECT_EQ(fixture.harness.host.tasks_count, 3);
        EXPECT_EQ(kept(&fixture), 3);
        fixture_deinit(&fixture);
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
    struct fixture fixture;
    pthread_t thread;
    fixture_init(&fixture, "list.txt.gz");
    ready(&fixture);
    gzFile file = gzopen(fixture.input, "wb1");
    struct buf empty;
    buf_init(&empty, 0);
    while (empty.len < 1 << 20) buf_byte(&empty, '\n');
    EXPECT_EQ(gzwrite(file, "a\n", 2), 2);
    for (int i = 0; i < 200; i++) EXPECT_EQ(gzwrite(file, empty.data, 1 << 20), 1 << 20);
    EXPECT_EQ(gzclose(file), Z_OK);
    EXPECT_EQ(pthread_create(&thread, NULL, stop_soon, &fixture.harness.host), 0);
    const int64_t start = clock_real.mono_ms(&clock_real);
    EXPECT_EQ(plan(&fixture), ERR_CANCELLED);
    EXPECT(clock_real.mono_ms(&clock_real) - start < 1000);
    EXPECT_EQ(pthread_join(thread, NULL), 0);
    EXPECT_EQ(kept(&fixture), 0);
    buf_deinit(&empty);
    fixture_deinit(&fixture);
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
