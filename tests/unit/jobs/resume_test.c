/* resume_test.c - a shard whose attempt was interrupted is gone on with, and comes out as if it had
 * not been. */
#include "common/base/hash.h"
#include "tests/unit/jobs/download_job.h"
#include "worker/jobs/download/journal.h"

#include <dirent.h>
#include <math.h>

#define ROWS 120

/* Pictures, pages that are none, and rows that share a URL with one far before them. */
static void add_rows(struct download_job *run)
{
    buf_text(&run->list, "url\n");
    for (uint32_t i = 0; i < ROWS; i++) {
        if (i % 10 == 3)
            buf_printf(&run->list, "not a url %u\n", i);
        else if (i % 10 == 7)
            add_url(run, "jitter/gray2.png?same=%u\n", i % 3);
        else
            add_url(run, "jitter/%s?row=%u\n", i % 4 ? "palette.png" : "gone.png", i);
    }
}

static void run_init(struct download_job *run)
{
    download_job_init(run, "list.csv");
    add_rows(run);
    run->spec.image_size = 16;
    run->spec.transfers = 4;
    run->spec.allow_private = true;
    download_job_ready(run);
    EXPECT_OK(download_job_plan(run), &run->harness.err);
}

static int work(struct download_job *run)
{
    return download_job_work(run, 0);
}

/* Until the worker leaves after so many rows. */
static void interrupt(struct download_job *run, int64_t items)
{
    struct job_host *host = &run->harness.host;
    host->stop_at_items = items;
    host->stop_as = JOB_STOP_DRAIN;
    EXPECT_EQ(work(run), ERR_CANCELLED);
    EXPECT(host->cursor_bytes > 0);
    host->stop_at_items = -1;
    atomic_store(&host->stop, JOB_STOP_NONE);
}

/* How often the server was asked for pictures, by all runs so far. */
static int64_t requests(void)
{
    json_t *counts = web_counts(), *count;
    const char *path;
    int64_t sum = 0;
    json_object_foreach(counts, path, count)
    {
        if (strstr(path, "jitter")) sum += json_integer_value(count);
    }
    json_decref(counts);
    return sum;
}

static void digest_of(char digest[HASH_SHA256_TEXT], const struct download_job *run,
                      const char *suffix)
{
    struct buf file;
    char name[64];
    (void)snprintf(name, sizeof name, "00000%s", suffix);
    buf_init(&file, 0);
    output_read(&file, run, name);
    EXPECT(file.len > 0);
    hash_sha256_text(digest, file.data, file.len);
    buf_deinit(&file);
}

/* The list has one host; its rows and failures, as the statistics tell them. */
static void host_of(int64_t counts[2], const struct download_job *run)
{
    json_t *stats = output_json(run, "00000_stats.json");
    const json_t *hosts = json_object_get(stats, "hosts");
    EXPECT_EQ(json_array_size(hosts), 1);
    counts[0] = number(json_array_get(hosts, 0), "rows");
    counts[1] = number(json_array_get(hosts, 0), "failed");
    json_decref(stats);
}

static int64_t start_ms_of(const struct download_job *run)
{
    json_t *stats = output_json(run, "00000_stats.json");
    const double start = json_number_value(json_object_get(stats, "start_time"));
    json_decref(stats);
    return llround(start * 1000);
}

/* The files and the counters are those of the calm run. */
static void is_as(const struct download_job *run, const struct download_job *calm)
{
    static const char *const suffix[] = {".tar", ".idx", ".rows.jsonl"};
    char made[HASH_SHA256_TEXT], expected[HASH_SHA256_TEXT];
    const struct job_result *result = &run->harness.result, *wanted = &calm->harness.result;
    for (uint32_t i = 0; i < 3; i++) {
        digest_of(made, run, suffix[i]);
        digest_of(expected, calm, suffix[i]);
        EXPECT_TEXT(made, expected);
    }
    int64_t host[2], wanted_host[2];
    host_of(host, run);
    host_of(wanted_host, calm);
    EXPECT_EQ(host[0], ROWS - ROWS / 10);
    EXPECT_EQ(host[0], wanted_host[0]);
    EXPECT_EQ(host[1], wanted_host[1]);
    EXPECT_EQ(result->counters_count, wanted->counters_count);
    for (uint32_t i = 0; i < result->counters_count; i++) {
        EXPECT_TEXT(result->counter[i].name, wanted->counter[i].name);
        EXPECT_EQ(result->counter[i].value, wanted->counter[i].value);
    }
    EXPECT_EQ(result->progress.items, ROWS);
    EXPECT_EQ(result->progress.items_ok, wanted->progress.items_ok);
    EXPECT_EQ(result->progress.bytes, wanted->progress.bytes);
}

/* Names in the folder of the attempts; the last one is kept. */
static uint32_t attempts(const struct download_job *run, char last[256])
{
    char path[TEST_PATH_BYTES];
    uint32_t count = 0;
    output_path(path, run, "_vlmq/attempt");
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.') continue;
        count++;
        if (last) EXPECT(str_copy(last, 256, entry->d_name));
    }
    if (dir) (void)closedir(dir);
    return count;
}

static void calm_init(struct download_job *calm)
{
    run_init(calm);
    EXPECT_OK(work(calm), &calm->harness.err);
    EXPECT(harness_counter(&calm->harness, "success") > ROWS / 3);
    EXPECT(harness_counter(&calm->harness, "fetch.shared") > 3);
}

TEST(resume, goes_on_behind_the_rows_that_are_written)
{
    UNUSED_STATE;
    struct download_job calm, run;
    struct journal_cursor cursor;
    int64_t start_ms = 0;
    const int64_t before = requests();
    calm_init(&calm);
    const int64_t asked = requests() - before;
    run_init(&run);
    for (int64_t items = 20; items <= 80; items += 30) {
        interrupt(&run, items);
        const struct job_host *host = &run.harness.host;
        EXPECT(journal_cursor_unpack(&cursor, host->cursor, host->cursor_bytes));
        if (items == 20) start_ms = cursor.start_at_ms;
        /* It went on from the one before, and what that one went on from is gone. */
        EXPECT(attempts(&run, NULL) == (items == 20 ? 1 : 2));
    }
    EXPECT_OK(work(&run), &run.harness.err);
    is_as(&run, &calm);
    EXPECT(start_ms > 0);
    EXPECT_EQ(start_ms_of(&run), start_ms);
    EXPECT_EQ(attempts(&run, NULL), 0);
    /* What ran came to its end each time; three URLs have rows on both sides of three cuts. */
    EXPECT(requests() - before - 2 * asked <= 9);
    download_job_deinit(&run);
    download_job_deinit(&calm);
}

static void flip(const char *path)
{
    FILE *file = fopen(path, "r+e");
    EXPECT(file != NULL);
    EXPECT_EQ(fseek(file, 100, SEEK_SET), 0);
    const int byte = fgetc(file);
    EXPECT(byte != EOF);
    EXPECT_EQ(fseek(file, 100, SEEK_SET), 0);
    EXPECT(fputc(byte ^ 1, file) != EOF);
    EXPECT_EQ(fclose(file), 0);
}

TEST(resume, begins_anew_where_the_files_are_not_what_they_were)
{
    UNUSED_STATE;
    static const char *const name[] = {"00000.tar", "00000.rows.jsonl", "00000.times.jsonl",
                                       "scratch/journal"};
    struct download_job calm;
    calm_init(&calm);
    for (uint32_t i = 0; i < 12; i++) {
        struct download_job run;
        char folder[256], path[900];
        run_init(&run);
        interrupt(&run, 40);
        EXPECT_EQ(attempts(&run, folder), 1);
        (void)snprintf(path, sizeof path, "%s/_vlmq/attempt/%s/%s", run.output, folder,
                       name[i % 4]);
        if (i < 4)
            flip(path);
        else if (i < 8)
            EXPECT_EQ(truncate(path, 150), 0);
        else
            EXPECT_EQ(remove(path), 0);
        EXPECT_OK(work(&run), &run.harness.err);
        is_as(&run, &calm);
        EXPECT_EQ(attempts(&run, NULL), 0);
        download_job_deinit(&run);
    }
    download_job_deinit(&calm);
}

/* A number that a disk has changed does not make the worker fetch all of a file into memory. */
TEST(resume, does_not_believe_a_size)
{
    UNUSED_STATE;
    struct download_job calm, run;
    struct journal_row row;
    uint8_t record[JOURNAL_BYTES];
    char folder[256], path[900];
    calm_init(&calm);
    run_init(&run);
    interrupt(&run, 40);
    EXPECT_EQ(attempts(&run, folder), 1);
    (void)snprintf(path, sizeof path, "%s/_vlmq/attempt/%s/00000.tar", run.output, folder);
    EXPECT_EQ(truncate(path, (off_t)1 << 36), 0); /* takes no space */
    (void)snprintf(path, sizeof path, "%s/_vlmq/attempt/%s/scratch/journal", run.output, folder);
    FILE *file = fopen(path, "r+e");
    EXPECT(file != NULL);
    EXPECT_EQ(fread(record, sizeof record, 1, file), 1);
    EXPECT(journal_unpack(&row, record));
    row.samples_bytes = (uint64_t)1 << 35;
    journal_pack(record, &row);
    EXPECT_EQ(fseek(file, 0, SEEK_SET), 0);
    EXPECT_EQ(fwrite(record, sizeof record, 1, file), 1);
    EXPECT_EQ(fclose(file), 0);
    EXPECT_OK(work(&run), &run.harness.err);
    is_as(&run, &calm);
    download_job_deinit(&run);
    download_job_deinit(&calm);
}

TEST(resume, does_not_believe_a_cursor)
{
    UNUSED_STATE;
    struct download_job calm, run;
    calm_init(&calm);
    for (uint32_t i = 0; i < 3; i++) {
        run_init(&run);
        if (i == 0) interrupt(&run, 40);
        struct job_host *host = &run.harness.host;
        if (i == 0) host->cursor[host->cursor_bytes - 1] ^= 1; /* of the digest */
        if (i == 1) host->cursor_bytes = 17;                   /* zeroes */
        if (i == 2) {                                          /* an attempt that never was */
            struct journal_cursor cursor = {.rows = 50};
            struct arena arena;
            id_lease(cursor.lease);
            arena_init(&arena, 0);
            const uint8_t *packed = journal_cursor_pack(&arena, &cursor, &host->cursor_bytes);
            memcpy(host->cursor, packed, host->cursor_bytes);
            arena_deinit(&arena);
        }
        EXPECT_OK(work(&run), &run.harness.err);
        is_as(&run, &calm);
        download_job_deinit(&run);
    }
    download_job_deinit(&calm);
}

TEST(resume, keeps_nothing_of_a_cancelled_job)
{
    UNUSED_STATE;
    struct download_job run;
    run_init(&run);
    interrupt(&run, 40);
    run.harness.host.stop_as = JOB_STOP_CANCELLED;
    run.harness.host.stop_at_items = 80;
    EXPECT_EQ(work(&run), ERR_CANCELLED);
    EXPECT_EQ(attempts(&run, NULL), 0);
    download_job_deinit(&run);
}

TEST(journal, records_hold_every_field)
{
    UNUSED_STATE;
    uint8_t record[JOURNAL_BYTES], again[JOURNAL_BYTES];
    const struct journal_row row = {.outcome = {.status = 1,
                                                .http_status = 2,
                                                .format = (enum decode_format)3,
                                                .original_width = 4,
                                                .original_height = 5,
                                                .width = 6,
                                                .height = 7,
                                                .warnings = 8,
                                                .reduced = 9,
                                                .resized = true,
                                                .cropped = true,
                                                .padded = true,
                                                .blurred = true,
                                                .kept = true,
                                                .shared = true,
                                                .body_bytes = 16,
                                                .sample_bytes = 17,
                                                .tries = 18,
                                                .fetch_ms = (int64_t)1 << 40},
                                    .samples_bytes = 20,
                                    .line_bytes = 21,
                                    .times_bytes = 22};
    struct journal_row read;
    journal_pack(record, &row);
    EXPECT(journal_unpack(&read, record));
    EXPECT_EQ(read.outcome.fetch_ms, (int64_t)1 << 40);
    EXPECT_EQ(read.outcome.sample_bytes, 17);
    EXPECT_EQ(read.times_bytes, 22);
    journal_pack(again, &read);
    EXPECT_MEM(record, again, sizeof record);
    record[0] = STATUSES_COUNT;
    EXPECT(!journal_unpack(&read, record));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(resume, goes_on_behind_the_rows_that_are_written),
        RUN(resume, begins_anew_where_the_files_are_not_what_they_were),
        RUN(resume, does_not_believe_a_size),
        RUN(resume, does_not_believe_a_cursor),
        RUN(resume, keeps_nothing_of_a_cancelled_job),
        RUN(journal, records_hold_every_field),
    };
    return cmocka_run_group_tests(tests, web_start_images, web_stop);
}
