/* encode_report_test.c - what rows come to: counters, stats, sums, the page; stats that lie. */
#include "common/base/fs.h"
#include "common/base/id.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "tests/support/test.h"
#include "worker/jobs/encode/report.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char labels_json[] =
    "{\"animals\": {\"fox\": \"a red fox\", \"owl & <b>\": \"an owl on a branch\"},"
    " \"urban\": {\"bridge\": \"a long bridge over a river\"}}";

static const struct encode_times times = {
    .start_at_ms = 1000500,
    .end_at_ms = 1020500,
    .stage = {{"decode", 2, 12, 8000400000}, {"encode", 1, 10, 19000000000}},
    .stages_count = 2,
};

/* Rows 0 to 11: six foxes, two owls, two bridges, a placeholder, one that is no picture. */
static void fill(struct encode_tally *tally, const struct labels *labels)
{
    static const float vector[1] = {1};
    static uint8_t pixels[200 * 200 * 3];
    struct err err;
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(i * 7);
    EXPECT_OK(encode_tally_init(tally, labels, &err), &err);
    struct encode_row *row = mem_new(sizeof *row);
    for (uint32_t i = 0; i < 12; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "0000%02u", i);
        *row = (struct encode_row){.index = i,
                                   .key = key,
                                   .status = ROW_SUCCESS,
                                   .message = "",
                                   .duplicate_of = i == 3 ? 0 : -1};
        if (i == 10) row->status = ROW_PLACEHOLDER;
        if (i == 11) row->status = "no_picture";
        if (i < 10) row->labels_count = labels ? 1 : 0;
        if (i < 5) row->caption_embedding = vector;
        row->label[0] = (struct row_label){i < 6 ? 0 : i < 8 ? 1 : 2, (float)i / 9};
        row->placeholder = 0.5f;
        encode_tally_add(tally, row);
        if (i == 10) encode_tally_picture(tally, row, pixels, 200);
    }
    mem_free(row);
}

static void note(void *ctx, const char *name, int64_t value)
{
    buf_printf(ctx, "%s=%d ", name, (int)value);
}

TEST(tally, counts_what_rows_came_to)
{
    UNUSED_STATE;
    struct labels labels;
    struct encode_tally tally;
    struct buf out;
    struct err err;
    EXPECT_OK(labels_parse(&labels, labels_json, strlen(labels_json), &err), &err);
    fill(&tally, &labels);
    buf_init(&out, 0);
    encode_tally_each(&tally, note, &out);
    EXPECT_TEXT(buf_str(&out),
                "rows=12 success=10 failed=1 placeholder=1 near_duplicate=1 captions=5 "
                "status.success=10 status.placeholder=1 status.no_picture=1 "
                "hist.confidence.00=1 hist.confidence.02=1 hist.confidence.04=1 "
                "hist.confidence.06=1 hist.confidence.08=1 hist.confidence.11=1 "
                "hist.confidence.13=1 hist.confidence.15=1 hist.confidence.17=1 "
                "hist.confidence.19=1 ");
    EXPECT_OK(encode_tally_end(&tally, &err), &err);
    buf_clear(&out);
    encode_stats_json(&tally, &times, &out);
    json_t *stats = json_loadb(out.data, out.len, 0, NULL);
    EXPECT(stats != NULL);
    EXPECT_EQ(json_integer_value(json_object_get(stats, "count")), 12);
    EXPECT_EQ(json_integer_value(json_object_get(stats, "placeholders")), 1);
    json_t *animals = json_object_get(json_object_get(stats, "labels"), "animals");
    EXPECT_EQ(json_integer_value(json_object_get(animals, "fox")), 6);
    EXPECT_EQ(json_integer_value(json_object_get(animals, "owl & <b>")), 2);
    const json_t *filtered = json_array_get(json_object_get(stats, "filtered"), 0);
    EXPECT_TEXT(json_string_value(json_object_get(filtered, "key")), "000010");
    EXPECT(str_has_prefix(json_string_value(json_object_get(filtered, "picture")), "/9j/"));
    EXPECT_EQ(json_array_size(json_object_get(stats, "confidence")), TALLY_BINS);
    json_decref(stats);
    encode_tally_deinit(&tally);
    fill(&tally, &labels);
    (void)mem_fail(0, 1);
    EXPECT_EQ(encode_tally_end(&tally, &err), ERR_LIMIT);
    (void)mem_fail(-1, 0);
    encode_tally_deinit(&tally);
    fill(&tally, NULL);
    EXPECT_OK(encode_tally_end(&tally, &err), &err);
    buf_clear(&out);
    encode_stats_json(&tally, &times, &out);
    EXPECT(strstr(buf_str(&out), "\"labels\": {},"));
    encode_tally_deinit(&tally);
    labels_deinit(&labels);
    buf_deinit(&out);
}

TEST(tally, keeps_its_bounds)
{
    UNUSED_STATE;
    struct encode_tally tally;
    struct buf out;
    struct labels labels;
    struct err err;
    char status[64], key[400];
    struct encode_row *row = mem_new(sizeof *row);
    const uint8_t pixels[3] = {1, 2, 3};
    EXPECT_OK(encode_tally_init(&tally, NULL, &err), &err);
    row->key = key;
    row->duplicate_of = -1;
    row->status = status;
    for (int i = 0; i < 2 * TALLY_STATUSES_MAX; i++) {
        (void)snprintf(status, sizeof status, "status_%d_and_a_name_that_is_far_too_long_for_it",
                       i);
        encode_tally_add(&tally, row);
    }
    EXPECT_EQ(tally.statuses_count, TALLY_STATUSES_MAX);
    EXPECT_TEXT(tally.status[TALLY_STATUSES_MAX - 1].name, "other");
    EXPECT_EQ(tally.status[TALLY_STATUSES_MAX - 1].rows, TALLY_STATUSES_MAX + 1);
    EXPECT_EQ(tally.rows, 2 * TALLY_STATUSES_MAX);
    memset(key, 0, sizeof key);
    key[0] = 'a';
    for (int i = 0; i < 390; i++) key[1 + i] = "\xe2\x82\xac"[i % 3];
    for (int i = 0; i < TALLY_PICTURES_MAX; i++) {
        EXPECT(encode_tally_has_room(&tally));
        encode_tally_picture(&tally, row, pixels, 1);
    }
    EXPECT(!encode_tally_has_room(&tally));
    EXPECT_EQ(strlen(tally.picture[0].key), 253); /* whole characters */
    buf_init(&out, 0);
    EXPECT_OK(encode_tally_end(&tally, &err), &err);
    encode_stats_json(&tally, &(struct encode_times){0}, &out);
    json_t *stats = json_loadb(out.data, out.len, 0, NULL);
    EXPECT_EQ(json_array_size(json_object_get(stats, "filtered")), TALLY_PICTURES_MAX);
    json_decref(stats);
    buf_deinit(&out);
    encode_tally_deinit(&tally);
    mem_free(row);
    EXPECT_OK(labels_parse(&labels, labels_json, strlen(labels_json), &err), &err);
    (void)mem_fail(0, 1);
    EXPECT_EQ(encode_tally_init(&tally, &labels, &err), ERR_LIMIT);
    (void)mem_fail(-1, 0);
    encode_tally_deinit(&tally);
    labels_deinit(&labels);
}

static void shows(const struct buf *page, const char *text)
{
    if (!strstr(buf_str(page), text)) fail_msg("the page lacks: %s", text);
}

static void add_counter(void *ctx, const char *name, int64_t value)
{
    struct attempt_manifest *manifest = ctx;
    struct attempt_counter *counter = &manifest->counter[manifest->counters_count++];
    EXPECT(str_copy(counter->name, sizeof counter->name, name));
    counter->value = value;
}

/* A committed shard with nothing but its stats. */
static void commit(struct store *store, const char *task, const struct encode_tally *tally)
{
    char lease[LEASE_ID_BYTES], name[64];
    struct attempt_manifest *manifest = mem_new(sizeof *manifest);
    struct attempt *attempt;
    struct store_file *file;
    struct buf out;
    struct err err;
    bool adopted;
    id_lease(lease);
    buf_init(&out, 0);
    encode_stats_json(tally, &times, &out);
    EXPECT_OK(attempt_open(&attempt, store, task, lease, &adopted, manifest, &err), &err);
    memset(manifest, 0, sizeof *manifest);
    (void)snprintf(name, sizeof name, "%s_stats.json", task);
    EXPECT_OK(attempt_file_open(attempt, &file, name, &err), &err);
    EXPECT_OK(store_file_write(file, out.data, out.len, &err), &err);
    EXPECT_OK(attempt_file_close(attempt, file, &err), &err);
    encode_tally_each(tally, add_counter, manifest);
    manifest->items = tally->rows;
    manifest->items_ok = tally->success;
    EXPECT_OK(attempt_commit(attempt, manifest, &adopted, &err), &err);
    attempt_close(attempt);
    buf_deinit(&out);
    mem_free(manifest);
}

static const struct encode_report_about about = {.input = "/data/<list> & \"more\"",
                                                 .model = "clip<model>",
                                                 .how = "f16 & more",
                                                 .spec_json = "{\"model\":\"clip\"}"};

static bool stop(void *ctx)
{
    return ++*(int *)ctx > 1;
}

TEST(report, manifest_and_page_are_made_of_committed_shards)
{
    UNUSED_STATE;
    const char *dir = test_dir_new();
    char path[PATH_MAX];
    struct labels labels;
    struct encode_tally tally;
    struct store *store;
    struct buf page, again;
    struct err err;
    int calls = 0;
    EXPECT_OK(labels_parse(&labels, labels_json, strlen(labels_json), &err), &err);
    fill(&tally, &labels);
    EXPECT_OK(encode_tally_end(&tally, &err), &err);
    EXPECT_OK(store_open(&store, dir, true, &err), &err);
    EXPECT_OK(encode_report_write(store, &about, 0, NULL, NULL, &err), &err); /* no shard at all */
    commit(store, "00000", &tally);
    commit(store, "00001", &tally);
    EXPECT_EQ(encode_report_write(store, &about, 1, stop, &calls, &err), ERR_CANCELLED);
    buf_init(&page, 0);
    buf_init(&again, 0);
    EXPECT(fs_join(path, sizeof path, dir, "report.html"));
    for (int i = 0; i < 2; i++) {
        EXPECT_OK(encode_report_write(store, &about, 1, NULL, NULL, &err), &err);
        EXPECT_OK(fs_read(i ? &again : &page, path, 1 << 20, &err), &err);
    }
    EXPECT_EQ(page.len, again.len);
    EXPECT_MEM(page.data, again.data, page.len);
    shows(&page, "/data/&lt;list&gt; &amp; &quot;more&quot;");
    shows(&page, "<b>24</b><span>samples");
    shows(&page, "<b>20</b><span>encoded");
    shows(&page, "<b>1.0</b><span>images / s");
    shows(&page, "alarm\"><b>1</b><span>dead tasks");
    shows(&page, "animals <span class=\"soft\">16 images, 80.0 %, 2 labels");
    shows(&page, "owl &amp; &lt;b&gt;");
    shows(&page, "Confidence of the best label");
    shows(&page, "2 images</text>"); /* the fullest bin */
    shows(&page, "Left out as placeholders: 2");
    shows(&page, "data:image/jpeg;base64,/9j/");
    shows(&page, "000010 <span class=\"soft\">0.500");
    shows(&page, "<td>decode</td><td class=\"num\">2</td><td class=\"num\">24</td>");
    shows(&page, "<td class=\"num\">3.0</td><td class=\"num\">20 %</td>"); /* 24 in 2 * 8 s / 2 */
    EXPECT(!strstr(buf_str(&page), "<b>\"") && !strstr(buf_str(&page), "owl & <b>"));
    buf_clear(&page);
    EXPECT(fs_join(path, sizeof path, dir, "manifest.json"));
    EXPECT_OK(fs_read(&page, path, 1 << 20, &err), &err);
    json_t *manifest = json_loadb(page.data, page.len, 0, NULL);
    EXPECT(manifest != NULL);
    EXPECT_TEXT(json_string_value(json_object_get(manifest, "kind")), "encode");
    EXPECT_EQ(json_array_size(json_object_get(manifest, "shards")), 2);
    const json_t *sums = json_object_get(json_object_get(manifest, "stats"), "labels");
    EXPECT_EQ(json_integer_value(json_object_get(json_object_get(sums, "animals"), "fox")), 12);
    json_decref(manifest);
    buf_deinit(&page);
    buf_deinit(&again);
    encode_tally_deinit(&tally);
    labels_deinit(&labels);
    store_close(store);
    test_dir_remove(dir);
}

TEST(totals, span_from_the_first_start_to_the_last_end)
{
    UNUSED_STATE;
    static const char *const stats[] = {"{\"start_time\": 110, \"end_time\": 150}",
                                        "{\"start_time\": 100, \"end_time\": 200}",
                                        "{\"start_time\": 120, \"end_time\": 130}"};
    struct encode_totals totals = {0};
    for (size_t i = 0; i < sizeof stats / sizeof stats[0]; i++)
        encode_totals_add_stats(&totals, stats[i], strlen(stats[i]));
    EXPECT(totals.start_at_s == 100.0 && totals.end_at_s == 200.0);
    EXPECT(totals.seconds == 150.0);
    encode_totals_deinit(&totals);
}

TEST(totals, stats_that_lie_are_passed_over)
{
    UNUSED_STATE;
    static const char *const lies[] = {
        "",
        "[]",
        "{\"labels\":[1,2],\"stages\":{\"a\":1},\"filtered\":7}",
        "{\"start_time\":5,\"end_time\":1}",
        "{\"start_time\":-1,\"end_time\":1e300}",
        "{\"labels\":{\"a\":{\"b\":-5,\"c\":\"many\",\"d\":null},\"e\":{},\"f\":3}}",
        "{\"stages\":[1,{},{\"name\":\"\"},{\"name\":7}]}",
        ("{\"filtered\":[{\"key\":\"a\",\"cosine\":0.5,\"picture\":\"\\\"><script>\"},"
         "{\"key\":\"a\",\"cosine\":0.5,\"picture\":\"\"},{\"key\":\"a\",\"cosine\":9,"
         "\"picture\":\"AAAA\"},{\"cosine\":0.5,\"picture\":\"AAAA\"}]}"),
    };
    struct encode_totals totals = {0};
    struct buf out;
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++)
        encode_totals_add_stats(&totals, lies[i], strlen(lies[i]));
    EXPECT(totals.end_at_s <= 0 && totals.seconds <= 0);
    EXPECT_EQ(totals.labels_count, 0);
    EXPECT_EQ(totals.stages_count, 0);
    EXPECT_EQ(totals.pictures_count, 0);
    static const char large[] =
        "{\"labels\":{\"a\":{\"b\":9223372036854775807}},\"stages\":[{\"name\":\"<s>\","
        "\"items\":9223372036854775807,\"busy_ms\":9223372036854775807,\"threads\":0}]}";
    encode_totals_add_stats(&totals, large, strlen(large));
    encode_totals_add_stats(&totals, large, strlen(large));
    EXPECT_EQ(json_integer_value(json_object_get(json_object_get(totals.labels, "a"), "b")),
              INT64_MAX);
    EXPECT_EQ(totals.stage[0].items, INT64_MAX);
    buf_init(&out, 0);
    for (int i = 0; i < 40; i++) {
        static const char many[] =
            "{\"filtered\":[{\"key\":\"<k>\",\"cosine\":0.5,\"picture\":\"AAAA\"}]}";
        encode_totals_add_stats(&totals, many, strlen(many));
        buf_clear(&out);
        buf_printf(&out, "{\"stages\":[{\"name\":\"s%d\",\"items\":1}]}", i);
        encode_totals_add_stats(&totals, out.data, out.len);
    }
    EXPECT_EQ(totals.pictures_count, TOTALS_PICTURES_MAX);
    EXPECT_EQ(totals.stages_count, TALLY_STAGES_MAX);
    (void)str_copy(totals.counter[0].name, COUNTER_NAME_BYTES, "placeholder");
    totals.counter[0].value = 3;
    totals.counters_count = 1;
    buf_clear(&out);
    encode_report_html(&totals, &about, &out);
    shows(&out, "&lt;s&gt;");
    shows(&out, "&lt;k&gt;");
    EXPECT(!strstr(buf_str(&out), "<script>") && !strstr(buf_str(&out), "<s>"));
    buf_deinit(&out);
    encode_totals_deinit(&totals);
    encode_totals_deinit(&totals);
}

/* More categories and labels than are shown, with names that are cut between characters. */
TEST(report, long_names_are_cut_and_the_rest_is_left_out)
{
    UNUSED_STATE;
    struct encode_totals totals = {0};
    struct buf stats, out;
    buf_init(&stats, 0);
    buf_init(&out, 0);
    buf_text(&stats, "{\"labels\":{");
    for (int c = 0; c < 30; c++) {
        buf_printf(&stats,
                   "%s\"category %d of \xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac"
                   "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\":{",
                   c ? "," : "", 10 + c);
        for (int i = 0; i < 20; i++)
            buf_printf(&stats, "%s\"label %d\":%d", i ? "," : "", i, i + 1 + c);
        buf_text(&stats, "}");
    }
    buf_text(&stats, "}}");
    encode_totals_add_stats(&totals, stats.data, stats.len);
    EXPECT_EQ(totals.labels_count, 600);
    encode_report_html(&totals, &about, &out);
    EXPECT_EQ(str_utf8_valid(out.data, out.len), out.len);
    shows(&out,
          ">category 39 of \xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x80\xa6</text>");
    EXPECT(!strstr(buf_str(&out), "category 19"));
    shows(&out, ">label 8</text>");
    EXPECT(!strstr(buf_str(&out), ">label 7</text>"));
    buf_deinit(&stats);
    buf_deinit(&out);
    encode_totals_deinit(&totals);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(tally, counts_what_rows_came_to),
        RUN(tally, keeps_its_bounds),
        RUN(report, manifest_and_page_are_made_of_committed_shards),
        RUN(totals, span_from_the_first_start_to_the_last_end),
        RUN(totals, stats_that_lie_are_passed_over),
        RUN(report, long_names_are_cut_and_the_rest_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
