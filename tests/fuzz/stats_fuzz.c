/* stats_fuzz.c - any bytes as the NNNNN_stats.json of a shard, for the report of an encode job and
 * for vlmq label-stats.
 *
 * What is taken keeps its limits, gives JSON that can be read and a page of valid UTF-8 with
 * nothing in it that a browser would run; client and worker count the same. */
#include "client/output/label_sums.h"
#include "common/base/check.h"
#include "common/base/str.h"
#include "worker/jobs/encode/report.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static const struct encode_report_about about = {
    .input = "in", .model = "m", .how = "h", .spec_json = "{}"};

static void check_page(const struct encode_totals *totals)
{
    struct buf page;
    buf_init(&page, 0);
    encode_report_html(totals, &about, &page);
    CHECK(!buf_failed(&page));
    CHECK(str_utf8_valid(page.data, page.len) == page.len);
    CHECK(!strstr(page.data, "<script"));
    CHECK(!strstr(page.data, "<img alt=\"\" src=\"data:image/jpeg;base64,\""));
    buf_deinit(&page);
}

static void check_sums(const struct encode_totals *totals, const struct label_sums *sums)
{
    struct buf ours;
    buf_init(&ours, 0);
    label_sums_json(sums, &ours, NULL, 0);
    json_t *object = json_loadb(ours.data, ours.len, 0, NULL);
    CHECK(object != NULL);
    json_decref(object);
    CHECK(sums->labels_count == totals->labels_count);
    CHECK(totals->labels_count <= LABELS_COUNT_MAX);
    if (totals->labels)
        CHECK(json_equal(totals->labels, sums->categories));
    else
        CHECK(json_object_size(sums->categories) == 0);
    buf_clear(&ours);
    encode_totals_json(totals, &ours);
    object = json_loadb(ours.data, ours.len, 0, NULL);
    CHECK(object != NULL);
    json_decref(object);
    buf_deinit(&ours);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct encode_totals totals = {.items = 100, .items_ok = 90};
    struct label_sums sums;
    label_sums_init(&sums);
    (void)str_copy(totals.counter[0].name, COUNTER_NAME_BYTES, "placeholder");
    totals.counter[0].value = 3;
    totals.counters_count = 1;
    for (int i = 0; i < 2; i++) {
        encode_totals_add_stats(&totals, (const char *)data, bytes);
        label_sums_add(&sums, (const char *)data, bytes);
    }
    check_page(&totals);
    check_sums(&totals, &sums);
    label_sums_deinit(&sums);
    encode_totals_deinit(&totals);
    return 0;
}
