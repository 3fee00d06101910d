/* report_test.c - the page that people see, and the numbers and names it is made of. */
#include "common/base/fs.h"
#include "tests/unit/jobs/job_harness.h"
#include "worker/jobs/download/close.h"
#include "worker/jobs/download/tally.h"
#include "worker/jobs/download/work.h"
#include "worker/report/chart.h"

#include <stdio.h>
#include <string.h>

static const struct download_options options = {.input = "/data/<list> & \"more\".csv",
                                                .shard_rows = 10000,
                                                .image_size = 448,
                                                .picture.encode.quality = 95};

static void add(void *ctx, const char *name, int64_t value)
{
    struct attempt_manifest *manifest = ctx;
    struct attempt_counter *counter = &manifest->counter[manifest->counters_count++];
    EXPECT(str_copy(counter->name, sizeof counter->name, name));
    counter->value = value;
}

/* A thousand rows with every status that counts, and one that counts elsewhere. */
static void fill(struct tally *tally, struct totals *totals)
{
    struct attempt_manifest *manifest = calloc(1, sizeof *manifest);
    EXPECT(manifest != NULL);
    *tally = (struct tally){0};
    *totals = (struct totals){0};
    for (uint32_t i = 0; i < 1000; i++) {
        const uint32_t status = i % 2 ? i % STATUS_CARRIED : STATUS_SUCCESS;
        const struct outcome outcome = {.status = status,
                                        .http_status = (int32_t)(i % 600),
                                        .original_width = 1 + i * 5,
                                        .original_height = 500,
                                        .format = (enum decode_format)(i % DECODE_FORMAT_COUNT),
                                        .resized = true,
                                        .cropped = i % 3 == 0,
                                        .body_bytes = 100,
                                        .sample_bytes = 60};
        tally_add(tally, &outcome);
    }
    const struct outcome carried = {.status = STATUS_CARRIED, .body_bytes = 1, .tries = 1};
    tally_add(tally, &carried);
    tally_each(tally, add, manifest);
    manifest->items = tally->rows;
    manifest->items_ok = tally->in_class[CLASS_SUCCESS];
    totals_add(totals, manifest);
    totals_add(totals, manifest);
    free(manifest);
    static const char stats[] =
        "{\"count\":1000,\"successes\":500,\"start_time\":1000.5,\"end_time\":1020.5,"
        "\"cpu_ms\":{\"fetch\":100,\"resize\":300},"
        "\"hosts\":[{\"host\":\"<b>.example\",\"rows\":7,\"failed\":5,\"status\":\"timeout\","
        "\"status_rows\":4,\"fetched\":2,\"fetch_ms\":3000}]}";
    totals_add_times(totals, stats, strlen(stats));
    totals_add_times(totals, stats, strlen(stats));
    totals_add_times(totals, "{\"start", 7);
}

static void make_page(const struct totals *totals, struct buf *page)
{
    struct strip strip = {.count = 2};
    for (uint32_t i = 0; i < strip.count; i++) {
        buf_init(&strip.picture[i], 0);
        buf_text(&strip.picture[i], i ? "Man" : "Ma");
    }
    buf_init(page, 0);
    report_html(totals, &strip, &options, page);
    EXPECT(!buf_failed(page));
    strip_deinit(&strip);
}

TEST(report, needs_nothing_from_outside)
{
    UNUSED_STATE;
    struct tally tally;
    struct totals totals;
    struct buf page;
    fill(&tally, &totals);
    make_page(&totals, &page);
    static const char *const never[] = {"://",     "href",  "url(",    "@import",
                                        "<script", "<link", "<iframe", "<object",
                                        "src=\"/", "nan",   "inf\""};
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++)
        if (strstr(buf_str(&page), never[i])) fail_msg("the page has %s", never[i]);
    uint32_t sources = 0;
    for (const char *at = buf_str(&page); (at = strstr(at, "src=")) != NULL; at++, sources++)
        EXPECT(str_has_prefix(at, "src=\"data:image/jpeg;base64,"));
    EXPECT_EQ(sources, 2);
    EXPECT(strstr(buf_str(&page), "base64,TWE=\"") != NULL);
    EXPECT(strstr(buf_str(&page), "base64,TWFu\"") != NULL);
    EXPECT(strstr(buf_str(&page), "/data/&lt;list&gt; &amp; &quot;more&quot;.csv") != NULL);
    buf_deinit(&page);
    totals_deinit(&totals);
}

/* Every tag that opens closes, in the right order. */
TEST(report, is_well_formed)
{
    UNUSED_STATE;
    struct tally tally;
    struct totals totals;
    struct buf page;
    char open[32][16];
    uint32_t depth = 0;
    fill(&tally, &totals);
    make_page(&totals, &page);
    for (const char *at = buf_str(&page); (at = strchr(at, '<')) != NULL;) {
        const char *end = strchr(at, '>');
        EXPECT(end != NULL);
        const bool closing = at[1] == '/';
        const char *name = at + 1 + closing;
        const size_t len = strcspn(name, " >/");
        if (closing) {
            EXPECT(depth > 0);
            depth--;
            EXPECT_EQ(strlen(open[depth]), len);
            EXPECT_MEM(open[depth], name, len);
        } else if (end[-1] != '/' && strncmp(name, "img", 3) != 0 &&
                   strncmp(name, "meta", 4) != 0 && name[0] != '!') {
            EXPECT(depth < 32);
            EXPECT(len < sizeof open[0]);
            memcpy(open[depth], name, len);
            open[depth++][len] = 0;
        }
        at = end;
    }
    EXPECT_EQ(depth, 0);
    buf_deinit(&page);
    totals_deinit(&totals);
}

TEST(report, shows_the_sums)
{
    UNUSED_STATE;
    struct tally tally;
    struct totals totals;
    struct buf page;
    char text[64], number[32];
    fill(&tally, &totals);
    totals.dead = 3;
    make_page(&totals, &page);
    EXPECT(strstr(buf_str(&page), "<b>2,000</b><span>rows</span>") != NULL);
    EXPECT(strstr(buf_str(&page), "<b>100.0</b><span>rows / s</span>") != NULL);
    EXPECT(strstr(buf_str(&page), "alarm\"><b>3</b><span>dead tasks</span>") != NULL);
    const int64_t resize = 2 * tally.in_class[CLASS_RESIZE];
    (void)snprintf(text, sizeof text, "failed to resize %s (", report_number(number, resize));
    EXPECT(strstr(buf_str(&page), text) != NULL);
    EXPECT(strstr(buf_str(&page), "&lt;b&gt;.example</td><td class=\"num\">10</td>"
                                  "<td class=\"num\">14</td><td><code>timeout</code> 8</td>"));
    EXPECT(strstr(buf_str(&page), "&lt;b&gt;.example</td><td class=\"num\">1.5s</td>"));
    (void)snprintf(text, sizeof text, "resize 75.0 %%, %.2f ms", 600.0 / (double)totals.items_ok);
    EXPECT(strstr(buf_str(&page), text) != NULL);
    EXPECT(strstr(buf_str(&page), "<b>.example") == NULL);
    buf_deinit(&page);
    totals_deinit(&totals);
}

TEST(report, of_nothing_is_a_page_too)
{
    UNUSED_STATE;
    const struct totals totals = {0};
    const struct strip strip = {0};
    struct buf page;
    buf_init(&page, 0);
    report_html(&totals, &strip, &options, &page);
    EXPECT(strstr(buf_str(&page), "None did.") != NULL);
    EXPECT(strstr(buf_str(&page), "nan") == NULL);
    EXPECT(str_has_suffix(buf_str(&page), "</html>\n"));
    buf_deinit(&page);
}

TEST(report, writes_numbers_for_people)
{
    UNUSED_STATE;
    char text[32], share[16];
    EXPECT_TEXT(report_number(text, 0), "0");
    EXPECT_TEXT(report_number(text, 999), "999");
    EXPECT_TEXT(report_number(text, 1000), "1,000");
    EXPECT_TEXT(report_number(text, -1234567), "-1,234,567");
    EXPECT_TEXT(report_share(share, 0, 0), "0.0 %");
    EXPECT_TEXT(report_share(share, 1, 3), "33.3 %");
    EXPECT_TEXT(report_share(share, 1, 1000000), "< 0.1 %");
    EXPECT_TEXT(report_share(share, 999999, 1000000), "> 99.9 %");
    EXPECT_TEXT(report_share(share, 5, 5), "100.0 %");
}

TEST(tally, puts_every_picture_into_one_bucket_of_each_kind)
{
    UNUSED_STATE;
    struct tally tally = {0};
    static const uint32_t sides[][2] = {{1, 1},       {63, 900},   {64, 64},    {4095, 9999},
                                        {4096, 4096}, {65535, 1},  {1, 65535},  {1000, 1},
                                        {500, 1000},  {666, 1000}, {667, 1000}, {1000, 900}};
    const uint32_t count = sizeof sides / sizeof sides[0];
    for (uint32_t i = 0; i < count; i++) {
        const struct outcome outcome = {.original_width = sides[i][0],
                                        .original_height = sides[i][1]};
        tally_add(&tally, &outcome);
    }
    int64_t in_sides = 0, in_ratios = 0;
    for (uint32_t i = 0; i < TALLY_SIDES; i++) in_sides += tally.side[i];
    for (uint32_t i = 0; i < TALLY_RATIOS; i++) in_ratios += tally.ratio[i];
    EXPECT_EQ(in_sides, count);
    EXPECT_EQ(in_ratios, count);
    EXPECT_EQ(tally.side[0], 5);               /* under 64 */
    EXPECT_EQ(tally.side[1], 1);               /* 64 */
    EXPECT_EQ(tally.side[TALLY_SIDES - 1], 1); /* 4096 */
    EXPECT_EQ(tally.ratio[0], 2);              /* narrower than 1:3 */
    EXPECT_EQ(tally.ratio[2], 2);              /* 1:2 and 0.666 */
    EXPECT_EQ(tally.ratio[3], 1);              /* 2:3 */
    EXPECT_EQ(tally.ratio[TALLY_RATIOS - 1], 2);
}

TEST(tally, counters_have_valid_names_and_add_up)
{
    UNUSED_STATE;
    struct tally tally;
    struct totals totals;
    int64_t statuses = 0, codes = 0;
    fill(&tally, &totals);
    for (uint32_t i = 0; i < totals.counters_count; i++) {
        const struct attempt_counter *counter = &totals.counter[i];
        EXPECT(strlen(counter->name) ==
               strspn(counter->name, "abcdefghijklmnopqrstuvwxyz0123456789_."));
        if (str_has_prefix(counter->name, "status.")) statuses += counter->value;
        if (str_has_prefix(counter->name, "http.")) codes += counter->value;
    }
    EXPECT_EQ(statuses, 2000);
    EXPECT_EQ(totals_get(&totals, "rows"), 2000);
    EXPECT_EQ(codes, totals_get(&totals, "status.http_status"));
    EXPECT_EQ(totals_get(&totals, "success") + totals_get(&totals, "failed_to_download") +
                  totals_get(&totals, "failed_to_resize"),
              2000);
    EXPECT_EQ(totals_get(&totals, "carried_over"), 2);
    EXPECT_EQ(totals_get(&totals, "no.such"), 0);
    totals_deinit(&totals);
}

TEST(status, names_differ_and_are_all_documented)
{
    UNUSED_STATE;
    struct buf page;
    struct err err;
    char row[80], text[STATUS_TEXT_BYTES];
    buf_init(&page, 0);
    EXPECT_OK(fs_read(&page, TESTS_DIR "/../docs/download.md", 1 << 20, &err), &err);
    for (uint32_t i = 0; i < STATUSES_COUNT; i++) {
        if (i == STATUS_DECODE_FIRST) continue; /* the decoder's ok is a success */
        for (uint32_t j = 0; j < i; j++) EXPECT(strcmp(status_name(i), status_name(j)) != 0);
        (void)snprintf(row, sizeof row, "| `%s` |", status_name(i));
        if (!strstr(buf_str(&page), row)) fail_msg("docs/download.md lacks %s", status_name(i));
        status_text(text, i, 404);
        EXPECT(i == STATUS_SUCCESS || text[0]);
    }
    buf_deinit(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(report, needs_nothing_from_outside),
        RUN(report, is_well_formed),
        RUN(report, shows_the_sums),
        RUN(report, of_nothing_is_a_page_too),
        RUN(report, writes_numbers_for_people),
        RUN(tally, puts_every_picture_into_one_bucket_of_each_kind),
        RUN(tally, counters_have_valid_names_and_add_up),
        RUN(status, names_differ_and_are_all_documented),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
