/* times_test.c - rows over time, and hosts, in tables that do not grow. */
#include "tests/unit/jobs/job_harness.h"
#include "worker/jobs/download/close.h"
#include "worker/jobs/download/hosts.h"
#include "worker/jobs/download/timeline.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static double sum(const double *value, uint32_t count)
{
    double all = 0;
    for (uint32_t i = 0; i < count; i++) all += value[i];
    return all;
}

static void expect_near(double value, double expected)
{
    if (fabs(value - expected) > 1e-6 * fabs(expected) + 1e-6)
        fail_msg("%.9f instead of %.9f", value, expected);
}

TEST(timeline, spreads_a_span_evenly)
{
    UNUSED_STATE;
    struct timeline line = {0};
    timeline_add(&line, 100, 104, 64, 32);
    expect_near(line.seconds, 0.0625);
    EXPECT_EQ(line.first, 1600);
    EXPECT_EQ(line.count, 65); /* the last one's first moment is the end */
    for (uint32_t i = 0; i < 64; i++) expect_near(line.rows[i], 1);
    for (uint32_t i = 0; i < 64; i++) expect_near(line.ok[i], 0.5);
    expect_near(line.rows[64], 0);
}

TEST(timeline, widens_to_either_side_and_loses_nothing)
{
    UNUSED_STATE;
    struct timeline line = {0};
    uint64_t random = 1;
    double rows = 0, ok = 0;
    for (int i = 0; i < 2000; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        /* Starts come earlier and later than all before, over weeks. */
        const double start = 1795366275 + (double)(random >> 40) / 16 - 500000;
        timeline_add(&line, start, start + (double)(random >> 33 & 1023), i, i / 4.0);
        rows += i;
        ok += i / 4.0;
        EXPECT(line.count >= 1 && line.count <= TIMELINE_BUCKETS);
        expect_near(sum(line.rows, line.count), rows);
        expect_near(sum(line.ok, line.count), ok);
    }
    EXPECT(line.count > TIMELINE_BUCKETS / 2 - 1);
    EXPECT((double)line.first * line.seconds < 1795366275 - 400000);
}

TEST(timeline, takes_a_moment_and_an_age)
{
    UNUSED_STATE;
    struct timeline line = {0};
    timeline_add(&line, 5, 5, 3, 3);
    EXPECT_EQ(line.count, 1);
    expect_near(line.rows[0], 3);
    timeline_add(&line, 0.001, 253402300799.0, 1000, 0);
    EXPECT(line.count <= TIMELINE_BUCKETS);
    expect_near(sum(line.rows, line.count), 1003);
    expect_near(sum(line.ok, line.count), 3);
}

TEST(hosts, are_named_as_in_the_list)
{
    UNUSED_STATE;
    char name[FETCH_HOST_BYTES], url[FETCH_HOST_BYTES + 64];
    static const char *const cases[][2] = {
        {"http://A.example/b", "a.example"},
        {"HTTPS://a.example:443?x", "a.example"},
        {"https://a.example:80#x", "a.example:80"},
        {"http://a.example:80", "a.example"},
        {"http://u:p@w@a.example:8080/@b", "a.example:8080"},
        {"http://[::1]:81/", "[::1]:81"},
        {"http://\xc3\xa9.example/", "\xc3\xa9.example"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        EXPECT(hosts_name(name, cases[i][0]));
        EXPECT_TEXT(name, cases[i][1]);
    }
    static const char *const nameless[] = {"",          "a",          "data:,x",  "ftp://a/b",
                                           "http:///a", "http://:80", "http://u@"};
    for (size_t i = 0; i < sizeof nameless / sizeof nameless[0]; i++)
        EXPECT(!hosts_name(name, nameless[i]));
    for (int len = FETCH_HOST_BYTES - 1; len <= FETCH_HOST_BYTES; len++) {
        (void)snprintf(url, sizeof url, "http://%0*d/", len, 0);
        EXPECT_EQ(hosts_name(name, url), len < FETCH_HOST_BYTES);
    }
}

static void add(struct hosts *hosts, const char *url, uint32_t status, int64_t ms, int times)
{
    for (int i = 0; i < times; i++) hosts_add(hosts, url, status, ms > 0, ms);
}

TEST(hosts, are_told_by_failures_and_by_time)
{
    UNUSED_STATE;
    const struct host_sum *host[8];
    struct hosts *hosts = hosts_new();
    add(hosts, "http://bad/1", FETCH_TIMEOUT, 900, 3);
    add(hosts, "http://bad/2", FETCH_DNS_FAILED, 10, 5);
    add(hosts, "http://bad/3", STATUS_SUCCESS, 10, 1);
    add(hosts, "http://bad/3", STATUS_SUCCESS, 0, 4); /* with another row */
    add(hosts, "http://slow/", STATUS_SUCCESS, 5000, 1);
    add(hosts, "http://good/", STATUS_SUCCESS, 1, 50);
    add(hosts, "not a url", FETCH_BAD_URL, 0, 9);
    add(hosts, "http://x y/", FETCH_BAD_URL, 0, 9);
    EXPECT_EQ(hosts_worst(hosts, host, 8), 1);
    EXPECT_TEXT(host[0]->name, "bad");
    EXPECT_EQ(host[0]->rows, 13);
    EXPECT_EQ(host[0]->failed, 8);
    EXPECT_EQ(hosts_status(host[0]), FETCH_DNS_FAILED);
    EXPECT_EQ(hosts_slowest(hosts, host, 8), 3);
    EXPECT_TEXT(host[0]->name, "slow");
    EXPECT_TEXT(host[1]->name, "bad");
    EXPECT_EQ(host[1]->fetched, 9);
    EXPECT_EQ(host[1]->fetch_ms, 2760);
    EXPECT_EQ(hosts_status(host[0]), STATUS_SUCCESS);
    EXPECT_EQ(hosts_slowest(hosts, host, 1), 1);
    EXPECT_EQ(hosts_slowest(NULL, host, 1), 0);
    hosts_free(hosts);
}

TEST(hosts, keep_what_matters_when_there_are_too_many)
{
    UNUSED_STATE;
    const struct host_sum *host[8];
    char url[64];
    struct hosts *hosts = hosts_new();
    add(hosts, "http://worst/", FETCH_TIMEOUT, 1, 1000);
    add(hosts, "http://slowest/", STATUS_SUCCESS, 1000000, 1);
    for (int i = 0; i < 5 * HOSTS_MAX; i++) {
        (void)snprintf(url, sizeof url, "http://h%d/", i);
        add(hosts, url, i % 2 ? STATUS_SUCCESS : FETCH_TIMEOUT, 7, 1);
    }
    EXPECT_EQ(hosts_worst(hosts, host, 8), 8);
    EXPECT_TEXT(host[0]->name, "worst");
    EXPECT_EQ(host[0]->failed, 1000);
    EXPECT_EQ(hosts_slowest(hosts, host, 8), 8);
    EXPECT_TEXT(host[0]->name, "slowest");
    hosts_free(hosts);
}

TEST(hosts, are_read_as_they_were_written)
{
    UNUSED_STATE;
    const struct host_sum *host[4];
    struct buf text, again;
    char url[64];
    struct hosts *hosts = hosts_new(), *sums = hosts_new();
    buf_init(&text, 0);
    buf_init(&again, 0);
    hosts_json(hosts, &text);
    EXPECT_TEXT(buf_str(&text), "[]");
    for (int i = 0; i < 3 * HOSTS_TOLD; i++) {
        (void)snprintf(url, sizeof url, "http://h%d/", i);
        add(hosts, url, i < HOSTS_TOLD ? FETCH_TIMEOUT : STATUS_SUCCESS, i + 1, 2);
    }
    buf_clear(&text);
    hosts_json(hosts, &text);
    json_t *list = json_loadb(buf_str(&text), text.len, JSON_REJECT_DUPLICATES, NULL);
    EXPECT_EQ(json_array_size(list), 2 * HOSTS_TOLD);
    hosts_add_json(sums, list);
    hosts_json(sums, &again);
    EXPECT_TEXT(buf_str(&again), buf_str(&text));
    hosts_add_json(sums, list);
    EXPECT_EQ(hosts_worst(sums, host, 4), 4);
    EXPECT_EQ(host[0]->failed, 4);
    EXPECT_EQ(host[0]->status[FETCH_TIMEOUT], 4);
    EXPECT_EQ(hosts_slowest(sums, host, 4), 4);
    EXPECT_TEXT(host[0]->name, "h383");
    EXPECT_EQ(host[0]->fetch_ms, 4 * 384);
    json_decref(list);
    buf_deinit(&text);
    buf_deinit(&again);
    hosts_free(hosts);
    hosts_free(sums);
}

TEST(times, of_shards_are_summed)
{
    UNUSED_STATE;
    struct totals totals = {0};
    struct tally tally = {0};
    struct hosts *hosts = hosts_new();
    struct buf text;
    buf_init(&text, 0);
    hosts_add(hosts, "http://a/1", FETCH_TIMEOUT, 2, 30);
    const struct shard_times times = {
        1000, 3000, {1000000, 2000000, 3000000, 4000000, 499999}, hosts};
    tally_stats_json(&tally, &times, &text);
    totals_add_times(&totals, buf_str(&text), text.len);
    totals_add_times(&totals, buf_str(&text), text.len);
    buf_clear(&text);
    totals_times_json(&totals, &text);
    json_t *object = json_loadb(buf_str(&text), text.len, JSON_REJECT_DUPLICATES, NULL);
    EXPECT(json_is_object(object));
    const json_t *cpu = json_object_get(object, "cpu_ms");
    EXPECT_EQ(json_integer_value(json_object_get(cpu, "fetch")), 2);
    EXPECT_EQ(json_integer_value(json_object_get(cpu, "encode")), 8);
    EXPECT_EQ(json_integer_value(json_object_get(cpu, "write")), 0);
    const json_t *rate = json_object_get(object, "rate");
    EXPECT_EQ(json_array_size(json_object_get(rate, "rows")), 33);
    const json_t *host = json_array_get(json_object_get(object, "hosts"), 0);
    EXPECT_TEXT(json_string_value(json_object_get(host, "host")), "a");
    EXPECT_TEXT(json_string_value(json_object_get(host, "status")), "timeout");
    EXPECT_EQ(json_integer_value(json_object_get(host, "fetch_ms")), 60);
    expect_near(json_real_value(json_object_get(object, "shard_seconds")), 4);
    json_decref(object);
    buf_deinit(&text);
    hosts_free(hosts);
    totals_deinit(&totals);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(timeline, spreads_a_span_evenly),
        RUN(timeline, widens_to_either_side_and_loses_nothing),
        RUN(timeline, takes_a_moment_and_an_age),
        RUN(hosts, are_named_as_in_the_list),
        RUN(hosts, are_told_by_failures_and_by_time),
        RUN(hosts, keep_what_matters_when_there_are_too_many),
        RUN(hosts, are_read_as_they_were_written),
        RUN(times, of_shards_are_summed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
