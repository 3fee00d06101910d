/* tally.c - counting rows, and the names of the counters. */
#include "worker/jobs/download/tally.h"

#include "common/base/check.h"
#include "common/base/str.h"
#include "worker/jobs/download/hosts.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Codes with a counter of their own; the others share one per hundred. */
static const int http_named[] = {400, 401, 403, 404, 406, 410, 418, 429, 451,
                                 500, 502, 503, 504, 520, 521, 522, 523, 530};
#define HTTP_NAMED (sizeof http_named / sizeof http_named[0])
#define HTTP_REST  6 /* http.0xx to http.5xx and above */

static const uint32_t side_edges[TALLY_SIDES] = {0,   64,  128,  192,  256,  384,
                                                 512, 768, 1024, 1536, 2048, 4096};

/* Upper edges of width / height in thousandths, and what a person calls the bucket. */
static const struct {
    uint64_t below;
    const char *label;
} ratios[TALLY_RATIOS] = {
    {333, "under 1:3"},
    {500, "1:3"},
    {667, "1:2"},
    {750, "2:3"},
    {900, "3:4"},
    {1111, "1:1"},
    {1333, "10:9"},
    {1500, "4:3"},
    {2000, "3:2"},
    {3000, "2:1"},
    {UINT64_MAX, "3:1 and over"},
};

/* The most that tally_each can name: classes and rows, statuses, codes, formats, buckets, sums.
 */
_Static_assert(CLASSES_COUNT + 1 + STATUSES_COUNT + HTTP_NAMED + HTTP_REST + DECODE_FORMAT_COUNT +
                       TALLY_SIDES + TALLY_RATIOS + 10 <=
                   COUNTERS_MAX,
               "the counters of a shard fit a manifest");

uint32_t tally_side_edge(uint32_t bucket)
{
    CHECK(bucket < TALLY_SIDES);
    return side_edges[bucket];
}

const char *tally_ratio_label(uint32_t bucket)
{
    CHECK(bucket < TALLY_RATIOS);
    return ratios[bucket].label;
}

static void add_sizes(struct tally *tally, uint32_t width, uint32_t height)
{
    const uint32_t shorter = width < height ? width : height;
    uint32_t side = TALLY_SIDES - 1, ratio = 0;
    while (side > 0 && shorter < side_edges[side]) side--;
    while ((uint64_t)width * 1000 / height >= ratios[ratio].below) ratio++;
    tally->side[side]++;
    tally->ratio[ratio]++;
}

void tally_add(struct tally *tally, const struct outcome *outcome)
{
    CHECK(outcome->status < STATUSES_COUNT);
    if (outcome->status == STATUS_CARRIED) { /* all else is counted where it ends */
        tally->in_class[CLASS_CARRIED]++;
        return;
    }
    tally->rows++;
    tally->named += outcome->named;
    tally->unanswered += outcome->named && (outcome->status == (uint32_t)FETCH_DNS_FAILED ||
                                            outcome->status == (uint32_t)FETCH_DNS_TIMEOUT);
    tally->status[outcome->status]++;
    tally->in_class[status_class(outcome->status)]++;
    if (outcome->status == (uint32_t)FETCH_HTTP_STATUS && outcome->http_status >= 0 &&
        outcome->http_status < TALLY_HTTP_MAX)
        tally->http[outcome->http_status]++;
    tally->tries += outcome->tries;
    tally->fetch_ms += outcome->fetch_ms;
    tally->shared += outcome->shared;
    tally->body_bytes += outcome->body_bytes;
    if (outcome->body_bytes) tally->format[outcome->format]++;
    if (outcome->status != STATUS_SUCCESS) return;
    if (outcome->original_height > 0) /* with --no-reencode nobody looked */
        add_sizes(tally, outcome->original_width, outcome->original_height);
    tally->resized += outcome->resized;
    tally->cropped += outcome->cropped;
    tally->padded += outcome->padded;
    tally->blurred += outcome->blurred;
    tally->warned += outcome->warnings > 0;
    tally->reduced += outcome->reduced > 1;
    tally->kept += outcome->kept;
    tally->sample_bytes += outcome->sample_bytes;
}

struct visitor {
    void (*visit)(void *ctx, const char *name, int64_t value);
    void *ctx;
};

__attribute__((format(printf, 3, 4))) static void tell(const struct visitor *to, int64_t value,
                                                       const char *fmt, ...)
{
    char name[COUNTER_NAME_BYTES];
    va_list args;
    if (value == 0) return;
    va_start(args, fmt);
    (void)vsnprintf(name, sizeof name, fmt, args);
    va_end(args);
    to->visit(to->ctx, name, value);
}

static void each_http(const struct tally *tally, const struct visitor *to)
{
    int64_t rest[HTTP_REST] = {0};
    size_t at = 0;
    for (int code = 0; code < TALLY_HTTP_MAX; code++) {
        if (at < HTTP_NAMED && http_named[at] == code) {
            tell(to, tally->http[code], "http.%d", code);
            at++;
            continue;
        }
        rest[code / 100 < HTTP_REST ? code / 100 : HTTP_REST - 1] += tally->http[code];
    }
    for (int i = 0; i < HTTP_REST; i++) tell(to, rest[i], "http.%dxx", i);
}

void tally_each(const struct tally *tally,
                void (*visit)(void *ctx, const char *name, int64_t value), void *ctx)
{
    const struct visitor to = {visit, ctx};
    tell(&to, tally->rows, "rows");
    for (uint32_t i = 0; i < CLASSES_COUNT; i++)
        tell(&to, tally->in_class[i], "%s", status_class_name((enum status_class)i));
    for (uint32_t i = 0; i < STATUSES_COUNT; i++)
        tell(&to, tally->status[i], "status.%s", status_name(i));
    each_http(tally, &to);
    for (uint32_t i = 0; i < DECODE_FORMAT_COUNT; i++)
        tell(&to, tally->format[i], "format.%s", decode_format_name((enum decode_format)i));
    for (uint32_t i = 0; i < TALLY_SIDES; i++) tell(&to, tally->side[i], "hist.side.%02u", i);
    for (uint32_t i = 0; i < TALLY_RATIOS; i++) tell(&to, tally->ratio[i], "hist.ratio.%02u", i);
    tell(&to, tally->resized, "fit.resized");
    tell(&to, tally->cropped, "fit.cropped");
    tell(&to, tally->padded, "fit.padded");
    tell(&to, tally->blurred, "blurred");
    tell(&to, tally->warned, "decode.warned");
    tell(&to, tally->reduced, "decode.reduced");
    tell(&to, tally->kept, "encode.kept");
    tell(&to, tally->shared, "fetch.shared");
    tell(&to, tally->body_bytes, "bytes.bodies");
    tell(&to, tally->sample_bytes, "bytes.samples");
}

static void add_class(struct buf *out, uint32_t status, int32_t http_status, int64_t value,
                      bool *first)
{
    char text[STATUS_TEXT_BYTES];
    if (value == 0) return;
    status_text(text, status, http_status);
    if (!*first) buf_byte(out, ',');
    buf_text(out, "\n        ");
    const char *name = status == STATUS_SUCCESS ? "success" : text;
    str_json(out, name, strlen(name));
    buf_printf(out, ": %" PRId64, value);
    *first = false;
}

const char *cpu_part_name(enum cpu_part part)
{
    static const char *const names[CPU_PARTS_COUNT] = {"fetch", "decode", "resize", "encode",
                                                       "write"};
    CHECK(part < CPU_PARTS_COUNT);
    return names[part];
}

static void add_times(const struct tally *tally, const struct shard_times *times, struct buf *out)
{
    const int64_t span_ms = times->end_at_ms - times->start_at_ms;
    buf_printf(out, "    \"duration\": %.3f,\n", (double)span_ms / 1000);
    buf_printf(out, "    \"start_time\": %.3f,\n", (double)times->start_at_ms / 1000);
    buf_printf(out, "    \"end_time\": %.3f,\n", (double)times->end_at_ms / 1000);
    buf_printf(out, "    \"fetch_tries\": %" PRId64 ",\n", tally->tries);
    buf_printf(out, "    \"fetch_ms\": %" PRId64 ",\n", tally->fetch_ms);
    buf_text(out, "    \"cpu_ms\": {");
    for (uint32_t i = 0; i < CPU_PARTS_COUNT; i++)
        buf_printf(out, "%s\"%s\": %" PRId64, i ? ", " : "", cpu_part_name((enum cpu_part)i),
                   (times->cpu_ns[i] + 500000) / 1000000);
    buf_text(out, "},\n    \"hosts\": ");
    if (times->hosts)
        hosts_json(times->hosts, out);
    else
        buf_text(out, "[]");
    buf_text(out, ",\n");
}

void tally_stats_json(const struct tally *tally, const struct shard_times *times, struct buf *out)
{
    bool first = true;
    buf_printf(out, "{\n    \"count\": %" PRId64 ",\n", tally->rows);
    buf_printf(out, "    \"successes\": %" PRId64 ",\n", tally->in_class[CLASS_SUCCESS]);
    buf_printf(out, "    \"failed_to_download\": %" PRId64 ",\n", tally->in_class[CLASS_DOWNLOAD]);
    buf_printf(out, "    \"failed_to_resize\": %" PRId64 ",\n", tally->in_class[CLASS_RESIZE]);
    add_times(tally, times, out);
    buf_text(out, "    \"status_dict\": {");
    for (uint32_t i = 0; i < STATUSES_COUNT; i++)
        if (i != (uint32_t)FETCH_HTTP_STATUS) add_class(out, i, 0, tally->status[i], &first);
    for (int code = 0; code < TALLY_HTTP_MAX; code++)
        add_class(out, (uint32_t)FETCH_HTTP_STATUS, code, tally->http[code], &first);
    buf_text(out, "\n    }\n}\n");
}
