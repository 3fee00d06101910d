/* download_fetch_test.c - the options of the fetch, through whole jobs against a real server. */
#include "common/store/store.h"
#include "tests/unit/jobs/download_job.h"
#include "worker/jobs/download/late.h"

#include <errno.h>
#include <sys/resource.h>

#define ROWS_MAX 64

static void put(const char *name, const char *words)
{
    folder_put(web_files, name, words, strlen(words));
}

static int start(void **state)
{
    (void)state;
    web_files = test_dir_new();
    put("a", "no picture: fetched, if it ends as unknown_format");
    put("b", "another one");
    put("c", "one that is fetched twice");
    put("d", "one that is fetched four times");
    web_start();
    return 0;
}

/* A job over a list of paths of the server. */
struct run {
    struct download_job job;
    json_t *row[ROWS_MAX]; /* what became of them */
};

static void run_init(struct run *run)
{
    *run = (struct run){0};
    download_job_init_web(&run->job, "list.csv");
    run->job.spec.caption_column = text("text");
    buf_text(&run->job.list, "url,text\n");
}

static void run_deinit(struct run *run)
{
    for (uint32_t i = 0; i < ROWS_MAX; i++) json_decref(run->row[i]);
    download_job_deinit(&run->job);
}

static void add(struct run *run, const char *path, uint32_t row)
{
    add_url(&run->job, "%s,text %u\n", path, row);
}

static void read_rows(struct run *run, const char *name)
{
    struct buf lines;
    buf_init(&lines, 0);
    for (uint32_t i = 0; i < ROWS_MAX; i++) json_decref(run->row[i]);
    memset(run->row, 0, sizeof run->row);
    output_read(&lines, &run->job, name);
    const char *line = buf_str(&lines);
    for (uint32_t i = 0; *line; i++) {
        EXPECT(i < ROWS_MAX);
        run->row[i] = json_of(line, strcspn(line, "\n"));
        line += strcspn(line, "\n") + 1;
    }
    buf_deinit(&lines);
}

static void run_job(struct run *run)
{
    download_job_run(&run->job);
    read_rows(run, "00000.rows.jsonl");
}

/* A number of a row in times.jsonl. */
static int64_t cost(const struct run *run, uint32_t row, const char *name)
{
    json_t *object = output_row(&run->job, "00000.times.jsonl", row);
    EXPECT_TEXT(field(object, "key"), field(run->row[row], "key"));
    EXPECT(json_is_integer(json_object_get(object, name)));
    const int64_t value = number(object, name);
    json_decref(object);
    return value;
}

TEST(download, asks_once_for_a_url_of_many_rows)
{
    UNUSED_STATE;
    struct run run;
    run_init(&run);
    run.job.spec.transfers = 2;
    for (uint32_t i = 0; i < 60; i++)
        add(&run,
            i % 3 == 0   ? "jitter/a?same=1"
            : i % 3 == 1 ? "status/418"
                         : "jitter/b?same=1",
            i);
    buf_text(&run.job.list, ",none\n,none\n");
    run_job(&run);
    EXPECT_EQ(web_requests("/jitter/a"), 1);
    EXPECT_EQ(web_requests("/jitter/b"), 1);
    EXPECT_EQ(web_requests("/status/418"), 1);
    for (uint32_t i = 0; i < 60; i++) {
        char caption[32];
        (void)snprintf(caption, sizeof caption, "text %u", i);
        EXPECT_TEXT(field(run.row[i], "caption"), caption);
        EXPECT_TEXT(field(run.row[i], "status"), i % 3 == 1 ? "http_status" : "unknown_format");
        EXPECT_TEXT(field(run.row[i], "content_type"), i % 3 == 1 ? "(none)" : "image/jpeg");
        EXPECT_TEXT(field(run.row[i], "sha256"), field(run.row[i % 3], "sha256"));
    }
    EXPECT(strcmp(field(run.row[0], "sha256"), field(run.row[2], "sha256")) != 0);
    EXPECT_EQ(output_counter(&run.job, "fetch.shared"), 57);
    EXPECT_EQ(output_counter(&run.job, "status.bad_url"), 2);
    run_deinit(&run);
}

/* A body that the scratch file did not take is asked for again, by one row after another. */
TEST(download, asks_again_for_what_a_full_disk_did_not_keep)
{
    UNUSED_STATE;
    for (int64_t fails = 1; fails <= 3; fails += 2) {
        struct run run;
        char path[64], asked[64];
        run_init(&run);
        (void)snprintf(path, sizeof path, "jitter/%s?same=full", fails == 1 ? "c" : "d");
        (void)snprintf(asked, sizeof asked, "/jitter/%s", fails == 1 ? "c" : "d");
        for (uint32_t i = 0; i < 5; i++) add(&run, path, i);
        download_job_ready(&run.job);
        EXPECT_OK(download_job_plan(&run.job), &run.job.harness.err);
        (void)fs_fail(0, fails, ENOSPC); /* the first writes of a task are those of these bodies */
        EXPECT_OK(download_job_work(&run.job, 0), &run.job.harness.err);
        EXPECT(fs_fail(-1, 0, 0) > fails);
        EXPECT_EQ(harness_counter(&run.job.harness, "status.unknown_format"), 5);
        EXPECT_EQ(harness_counter(&run.job.harness, "fetch.shared"), 4); /* whatever the disk did */
        EXPECT_EQ(web_requests(asked), 1 + fails);
        run_deinit(&run);
    }
}

TEST(download, keeps_to_opt_outs_unless_told_otherwise)
{
    UNUSED_STATE;
    char *words[] = {text("NoArchive")};
    /* The status of a row that says noai, and of one that says noarchive. */
    const char *const ends[][2] = {
        {"opted_out", "unknown_format"},
        {"unknown_format", "opted_out"},
        {"unknown_format", "unknown_format"},
    };
    for (uint32_t i = 0; i < 3; i++) {
        struct run run;
        run_init(&run);
        run.job.spec.opt_out_directives = words;
        run.job.spec.n_opt_out_directives = i == 1;
        run.job.spec.ignore_opt_out = i == 2;
        add(&run, "robots-tag/noai", 0);
        add(&run, "robots-tag/noarchive", 1);
        run_job(&run);
        for (uint32_t k = 0; k < 2; k++) EXPECT_TEXT(field(run.row[k], "status"), ends[i][k]);
        /* Another choice over the same output is refused. */
        run.job.spec.n_opt_out_directives = i == 0;
        run.job.spec.ignore_opt_out = false;
        download_job_ready(&run.job);
        EXPECT_EQ(download_job_plan(&run.job), ERR_INVALID);
        run_deinit(&run);
    }
}

TEST(download, asks_a_host_for_few_at_a_time)
{
    UNUSED_STATE;
    struct run run;
    run_init(&run);
    run.job.spec.per_host = 2;
    for (uint32_t i = 0; i < 20; i++) {
        char path[64];
        (void)snprintf(path, sizeof path, "crowd/16?delay_ms=10&row=%u", i);
        add(&run, path, i);
    }
    run_job(&run);
    EXPECT_EQ(web_requests("/crowd/16"), 20);
    EXPECT(web_requests("crowd most") >= 1);
    EXPECT(web_requests("crowd most") <= 2);
    run_deinit(&run);
}

TEST(download, cuts_transfers_to_the_limit_of_open_files)
{
    UNUSED_STATE;
    struct rlimit before, few;
    struct run run;
    run_init(&run);
    run.job.spec.transfers = 60;
    run.job.spec.per_host = 60;
    for (uint32_t i = 0; i < 60; i++) {
        char path[64];
        (void)snprintf(path, sizeof path, "crowd/17?delay_ms=50&row=%u", i);
        add(&run, path, i);
    }
    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = 80;
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
    run_job(&run);
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    for (uint32_t i = 0; i < 60; i++) EXPECT_TEXT(field(run.row[i], "status"), "unknown_format");
    EXPECT(web_requests("crowd most") > 2);
    EXPECT(web_requests("crowd most") <= 20);
    run_deinit(&run);
}

TEST(download, tells_where_redirects_ended)
{
    UNUSED_STATE;
    struct run run;
    char url[64];
    run_init(&run);
    add(&run, "redirect/2", 0);
    add(&run, "redirect/2", 1);
    add(&run, "redirect/1?to=/status/404", 2);
    add(&run, "files/a", 3);
    run_job(&run);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/big/16", web.port);
    EXPECT_TEXT(field(run.row[0], "final_url"), url);
    EXPECT_TEXT(field(run.row[1], "final_url"), url);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/status/404", web.port);
    EXPECT_TEXT(field(run.row[2], "final_url"), url);
    EXPECT_TEXT(field(run.row[3], "final_url"), "(none)");
    json_t *stats = output_json(&run.job, "00000_stats.json");
    EXPECT_EQ(number(stats, "fetch_tries"), 3);
    EXPECT(number(stats, "fetch_ms") >= 0);
    json_decref(stats);
    run_deinit(&run);
}

TEST(download, tells_what_each_row_cost)
{
    UNUSED_STATE;
    struct run run;
    run_init(&run);
    run.job.spec.no_retries = false;
    run.job.spec.retries = 1;
    add(&run, "status/503?cost=1", 0);
    add(&run, "files/a?cost=1", 1);
    add(&run, "files/a?cost=1", 2); /* comes with the one before */
    buf_text(&run.job.list, ",none\n");
    run_job(&run);
    const int64_t tries[] = {2, 1, 0, 0};
    for (uint32_t i = 0; i < 4; i++) {
        EXPECT_EQ(cost(&run, i, "tries"), tries[i]);
        EXPECT(i < 2 ? cost(&run, i, "ms") >= 0 : cost(&run, i, "ms") == 0);
    }
    EXPECT(cost(&run, 0, "ms") > 0); /* there was a pause between the two */
    run_deinit(&run);
}

static void take_away(const struct run *run, const char *name)
{
    char path[TEST_PATH_BYTES];
    output_path(path, &run->job, name);
    EXPECT_EQ(remove(path), 0);
}

static void make_slow(struct run *run)
{
    run_init(run);
    run->job.spec.timeout_ms = 3600 * 1000;
    run->job.spec.tail_timeout_ms = 200;
    run->job.spec.per_host = 1;
    add(run, "hang", 0);
    add(run, "hang", 1);           /* waits for the first one's body */
    add(run, "files/a?late=1", 2); /* waits for its host's turn */
    buf_text(&run->job.list, "\"data:a/b,hello\",three\n");
}

TEST(download, carries_the_last_rows_over_to_a_late_shard)
{
    UNUSED_STATE;
    struct run run;
    make_slow(&run);
    run_job(&run);
    EXPECT_EQ(run.job.harness.host.tasks_count, 2); /* the second came with the end of the first */
    EXPECT_TEXT(run.job.harness.host.tasks[1].name, "00000_late");
    EXPECT_EQ(run.job.harness.host.tasks[1].items, 0);
    Vlmq__Jobs__DownloadShard *late = vlmq__jobs__download_shard__unpack(
        NULL, run.job.harness.host.tasks[1].bytes, run.job.harness.host.tasks[1].payload);
    EXPECT(late != NULL);
    EXPECT_EQ(late->late, 4);
    EXPECT_EQ(late->rows, 0); /* which a worker that knows no late shards does not take */
    vlmq__jobs__download_shard__free_unpacked(late, NULL);
    for (uint32_t i = 0; i < 3; i++) {
        EXPECT_TEXT(field(run.row[i], "status"), "carried_over");
        EXPECT_TEXT(field(run.row[i], "class"), "carried_over");
    }
    EXPECT_TEXT(field(run.row[3], "status"), "unknown_format");
    EXPECT_TEXT(field(run.row[3], "key"), "000000003");
    EXPECT_EQ(output_counter(&run.job, "rows"), 1);
    EXPECT_EQ(output_counter(&run.job, "carried_over"), 3);

    EXPECT_OK(download_job_work(&run.job, 1), &run.job.harness.err);
    EXPECT_EQ(run.job.harness.host.tasks_count, 2); /* once only */
    EXPECT_TEXT(run.job.harness.result.made, "00000_late.tar");
    EXPECT_OK(harness_run(&run.job.harness, JOB_CLOSE, NULL), &run.job.harness.err);
    EXPECT_EQ(output_counter(&run.job, "rows"), 4);
    EXPECT_EQ(output_counter(&run.job, "failed_to_download") +
                  output_counter(&run.job, "failed_to_resize"),
              4);
    EXPECT_EQ(output_counter(&run.job, "status.shard_timeout"), 3);
    read_rows(&run, "00000_late.rows.jsonl");
    for (uint32_t i = 0; i < 3; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "00000000%u", i);
        EXPECT_TEXT(field(run.row[i], "status"), "shard_timeout");
        EXPECT_TEXT(field(run.row[i], "key"), key);
    }
    EXPECT(run.row[3] == NULL);
    run_deinit(&run);
}

TEST(download, finds_carried_rows_whatever_else_is_in_them)
{
    UNUSED_STATE;
    static const char lines[] = "{\"n\":\"a\\u0000b\",\"status\":\"carried_over\"}\n"
                                "{\"n\":\"carried_over\",\"status\":\"success\"}\n";
    struct store *store;
    struct err err;
    bool carried[2];
    uint32_t count;
    const char *folder = test_dir_new();
    EXPECT_OK(store_open(&store, folder, true, &err), &err);
    EXPECT_OK(store_put(store, "rows", lines, strlen(lines), &err), &err);
    EXPECT_OK(late_scan(carried, &count, store, "rows", 2, &err), &err);
    EXPECT(count == 1 && carried[0] && !carried[1]);
    EXPECT_EQ(late_scan(carried, &count, store, "rows", 1, &err), ERR_CORRUPT);
    store_close(store);
    test_dir_remove(folder);
}

TEST(download, makes_no_shard_beside_the_late_shard_of_another)
{
    UNUSED_STATE;
    static const char *const late[] = {".tar", ".idx", ".rows.jsonl", ".times.jsonl",
                                       "_stats.json"};
    struct run run;
    make_slow(&run);
    run_job(&run);
    EXPECT_OK(download_job_work(&run.job, 1), &run.job.harness.err);
    take_away(&run, "_vlmq/manifest/00000.json");
    EXPECT_EQ(download_job_work(&run.job, 0), ERR_CORRUPT);
    EXPECT(
        strstr(run.job.harness.err.msg, "remove _vlmq/manifest/00000_late.json and 00000_late*"));
    take_away(&run, "_vlmq/manifest/00000_late.json");
    for (uint32_t i = 0; i < sizeof late / sizeof *late; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "00000_late%s", late[i]);
        take_away(&run, name);
    }
    run.job.harness.host.tasks_count = 1;
    EXPECT_OK(download_job_work(&run.job, 0), &run.job.harness.err);
    EXPECT_EQ(run.job.harness.host.tasks_count, 2);
    EXPECT_OK(download_job_work(&run.job, 1), &run.job.harness.err);
    EXPECT_EQ(harness_counter(&run.job.harness, "rows"), 3);
    run_deinit(&run);
}

TEST(download, adds_the_late_shard_again_when_it_adopts)
{
    UNUSED_STATE;
    struct run run;
    make_slow(&run);
    run_job(&run);
    const struct harness_task first = run.job.harness.host.tasks[1];
    for (uint32_t i = 0; i < 2; i++) { /* a shard that was committed, and another job's */
        run.job.harness.host.tasks_count = 1;
        EXPECT_OK(download_job_work(&run.job, 0), &run.job.harness.err);
        EXPECT_EQ(run.job.harness.host.tasks_count, 2);
        EXPECT_TEXT(run.job.harness.host.tasks[1].name, first.name);
        EXPECT_EQ(run.job.harness.host.tasks[1].bytes, first.bytes);
        EXPECT(!memcmp(run.job.harness.host.tasks[1].payload, first.payload, first.bytes));
    }
    /* Rows that somebody has changed are not guessed at. */
    folder_put(run.job.output, "00000.rows.jsonl", "{}\n{}\n{}\n{}\n", 12);
    EXPECT_EQ(harness_run(&run.job.harness, JOB_WORK, &first), ERR_CORRUPT);
    folder_put(run.job.output, "00000.rows.jsonl", "{}\n", 3);
    EXPECT_EQ(harness_run(&run.job.harness, JOB_WORK, &first), ERR_CORRUPT);
    run_deinit(&run);
}

TEST(download, carries_cookies_if_asked_to)
{
    UNUSED_STATE;
    for (uint32_t i = 0; i < 2; i++) {
        struct run run;
        run_init(&run);
        run.job.spec.cookies = i == 1;
        add(&run, "gate/open", 0);
        run_job(&run);
        EXPECT_TEXT(field(run.row[0], "status"), i ? "unknown_format" : "too_many_redirects");
        run_deinit(&run);
    }
}

TEST(download, keeps_to_robots_txt_if_asked_to)
{
    UNUSED_STATE;
    put("robots.txt", "User-agent: *\nDisallow: /files/a\n");
    for (uint32_t i = 0; i < 2; i++) {
        struct run run;
        run_init(&run);
        run.job.spec.robots = i == 1;
        add(&run, "files/a", 0);
        add(&run, "files/b", 1);
        run_job(&run);
        EXPECT_TEXT(field(run.row[0], "status"), i ? "robots_denied" : "unknown_format");
        EXPECT_TEXT(field(run.row[1], "status"), "unknown_format");
        run_deinit(&run);
    }
}

TEST(download, decodes_data_urls)
{
    UNUSED_STATE;
    struct run run;
    run_init(&run);
    buf_text(&run.job.list, "\"data:a/b,hello\",one\nfile:///etc/passwd,two\n");
    buf_text(&run.job.list, "\"data:a/b,hello\",three\n");
    run_job(&run);
    EXPECT_EQ(output_counter(&run.job, "fetch.shared"), 0); /* it has nothing to wait for */
    EXPECT_TEXT(field(run.row[2], "sha256"), field(run.row[0], "sha256"));
    EXPECT_TEXT(field(run.row[0], "status"), "unknown_format");
    EXPECT_TEXT(field(run.row[0], "content_type"), "a/b");
    EXPECT_TEXT(field(run.row[1], "status"), "bad_url");
    run_deinit(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(download, asks_once_for_a_url_of_many_rows),
        RUN(download, asks_again_for_what_a_full_disk_did_not_keep),
        RUN(download, keeps_to_opt_outs_unless_told_otherwise),
        RUN(download, asks_a_host_for_few_at_a_time),
        RUN(download, cuts_transfers_to_the_limit_of_open_files),
        RUN(download, tells_where_redirects_ended),
        RUN(download, tells_what_each_row_cost),
        RUN(download, carries_the_last_rows_over_to_a_late_shard),
        RUN(download, finds_carried_rows_whatever_else_is_in_them),
        RUN(download, makes_no_shard_beside_the_late_shard_of_another),
        RUN(download, adds_the_late_shard_again_when_it_adopts),
        RUN(download, carries_cookies_if_asked_to),
        RUN(download, keeps_to_robots_txt_if_asked_to),
        RUN(download, decodes_data_urls),
    };
    return cmocka_run_group_tests(tests, start, web_stop);
}
