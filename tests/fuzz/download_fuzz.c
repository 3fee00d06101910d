/* download_fuzz.c - what a download's tasks are given: specs, payloads that name rows of a list,
 * cursors, and the statistics, manifests, rows and journals of shards. The first byte chooses.
 *
 * They were written by a client, by the planner and by another attempt, and have been in Redis or
 * in the output since; nothing of them is believed. */
#include "common/base/check.h"
#include "common/base/str.h"
#include "common/store/manifest.h"
#include "proto/schema/jobs/download.pb-c.h"
#include "tests/unit/jobs/download_slice.h"
#include "worker/jobs/download/close.h"
#include "worker/jobs/download/journal.h"
#include "worker/jobs/download/late.h"
#include "worker/registry.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROWS 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static struct {
    char root[40], list[64];
} world;

static void world_begin(void)
{
    if (world.root[0]) return;
    (void)str_copy(world.root, sizeof world.root, "/tmp/download_fuzz.XXXXXX");
    CHECK(mkdtemp(world.root) != NULL);
    (void)snprintf(world.list, sizeof world.list, "%s/list.csv", world.root);
    FILE *out = fopen(world.list, "we");
    CHECK(out != NULL);
    (void)fputs("url,t\n", out);
    for (int i = 0; i < ROWS; i++) (void)fprintf(out, "http://a/%d.jpg,\"row %d\"\n", i, i);
    CHECK(fclose(out) == 0);
}

static void check_picture(const struct picture_options *options)
{
    const struct picture_encoding *encode = &options->encode;
    CHECK((uint32_t)encode->format < ENCODE_FORMATS_COUNT);
    CHECK(encode->quality >= 1 && encode->quality <= (encode->format == ENCODE_PNG ? 9 : 100));
    CHECK(!encode->lossless || encode->format == ENCODE_WEBP);
    CHECK((uint32_t)options->filter < RESIZE_FILTERS_COUNT);
    CHECK(options->aspect_max == 0 || (options->aspect_max >= 1 && options->aspect_max < INFINITY));
}

static void check_options(const struct download_options *options, struct arena *arena)
{
    struct buf json;
    json_t *object;
    buf_init(&json, 0);
    CHECK(options->shard_rows >= 1 && options->shard_rows <= DOWNLOAD_SHARD_ROWS_MAX);
    CHECK(options->image_size >= 1);
    check_picture(&options->picture);
    CHECK((int)options->resize_mode >= 0 && options->resize_mode < FIT_MODES_COUNT);
    CHECK(options->columns.wanted_count >= LIST_FIRST_EXTRA &&
          options->columns.wanted_count <= LIST_WANTED_MAX);
    CHECK(options->fetch.transfers >= 1 && options->fetch.transfers <= FETCH_TRANSFERS_MAX);
    CHECK(options->fetch.agent && options->fetch.total_ms > 0 && options->fetch.body_bytes > 0);
    download_options_json(options, &json);
    object = json_loadb(buf_str(&json), json.len, JSON_REJECT_DUPLICATES, NULL);
    CHECK(json_is_object(object));
    json_decref(object);
    buf_deinit(&json);
    (void)arena;
}

static void as_spec(const uint8_t *data, size_t bytes)
{
    struct download_options options = {0};
    struct arena arena;
    struct err err = {0};
    arena_init(&arena, 16 << 20);
    const int rc = download_options_init(&options, &arena, data, bytes, &err);
    CHECK(rc == 0 || err.msg[0]);
    if (!rc) check_options(&options, &arena);
    for (uint32_t i = 0; registry_at(i); i++) {
        err = (struct err){0};
        CHECK(registry_at(i)->check(data, bytes, &err) == (int)err.code);
        CHECK(!err.code || err.msg[0]);
    }
    arena_deinit(&arena);
}

static void options_of_list(struct download_options *options, struct arena *arena)
{
    struct err err;
    Vlmq__Jobs__Download spec = VLMQ__JOBS__DOWNLOAD__INIT;
    char caption[] = "t";
    spec.input = world.list;
    spec.output = world.root;
    spec.caption_column = caption;
    uint8_t *packed = arena_new(arena, vlmq__jobs__download__get_packed_size(&spec));
    const size_t bytes = vlmq__jobs__download__pack(&spec, packed);
    CHECK(!download_options_init(options, arena, packed, bytes, &err));
}

/* rows are read to their end, or to a sentence: at most as many as the payload says. */
static void read_slice(struct list_slice *slice, uint32_t rows)
{
    struct list_row row;
    struct err err = {0};
    bool found = true;
    uint32_t count = 0;
    list_row_init(&row);
    for (;;) {
        const int rc = list_slice_next(slice, &row, &found, &err);
        CHECK(rc == 0 || err.msg[0]);
        if (rc || !found || count > ROWS) break;
        count++;
    }
    CHECK(count <= ROWS && count <= rows);
    list_row_deinit(&row);
}

static void as_payload(const uint8_t *data, size_t bytes)
{
    struct download_options options = {0};
    struct list_slice *slice = NULL;
    struct store *store = NULL;
    struct arena arena;
    struct err err = {0};
    struct arena_lender lender = {.arena = &arena};
    arena_init(&arena, 1 << 20);
    ProtobufCAllocator allocator = {arena_lend, arena_take_back, &lender};
    options_of_list(&options, &arena);
    CHECK(!store_open(&store, world.root, false, &err));
    const Vlmq__Jobs__DownloadShard *shard =
        vlmq__jobs__download_shard__unpack(&allocator, bytes, data);
    const int rc = shard ? download_slice(&slice, &options, shard, store, &err) : ERR_INVALID;
    if (shard) CHECK(rc == 0 || err.msg[0]);
    if (!rc) read_slice(slice, shard->rows);
    list_slice_close(slice);
    store_close(store);
    arena_deinit(&arena);
}

/* The rows of a shard, for its late shard. */
static void as_late(const uint8_t *data, size_t bytes)
{
    bool carried[ROWS] = {false};
    uint32_t count, found = 0;
    struct store *store = NULL;
    struct err err = {0};
    CHECK(!store_open(&store, world.root, false, &err));
    CHECK(!store_put(store, "rows", data, bytes, &err));
    const int rc = late_scan(carried, &count, store, "rows", ROWS, &err);
    CHECK(rc == 0 || err.msg[0]);
    for (uint32_t i = 0; i < ROWS; i++) found += carried[i];
    CHECK(found == count);
    store_close(store);
}

/* A cursor, and a row's record behind it. */
static void as_cursor(const uint8_t *data, size_t bytes)
{
    struct journal_cursor cursor, again;
    struct journal_row row;
    struct arena arena;
    uint8_t record[JOURNAL_BYTES];
    arena_init(&arena, 0);
    if (journal_cursor_unpack(&cursor, data, bytes)) {
        size_t size;
        const uint8_t *packed = journal_cursor_pack(&arena, &cursor, &size);
        CHECK(packed && size <= CURSOR_BYTES_MAX && journal_cursor_unpack(&again, packed, size));
        CHECK(!memcmp(&cursor, &again, sizeof cursor));
    }
    if (bytes >= sizeof record && journal_unpack(&row, data + bytes - sizeof record)) {
        struct tally *tally = mem_new(sizeof *tally);
        tally_add(tally, &row.outcome);
        mem_free(tally);
        journal_pack(record, &row);
        CHECK(journal_unpack(&row, record));
    }
    arena_deinit(&arena);
}

/* Statistics or a manifest, three times over, and the report of them. */
static void as_totals(const char *data, size_t bytes, bool stats)
{
    struct totals *totals = mem_new(sizeof *totals);
    struct strip *strip = mem_new(sizeof *strip);
    struct download_options options = {0};
    struct arena arena;
    struct buf page;
    struct err err;
    arena_init(&arena, 1 << 20);
    buf_init(&page, 0);
    options_of_list(&options, &arena);
    struct attempt_manifest *manifest = mem_new(sizeof *manifest);
    const bool whole = !stats && !manifest_decode(manifest, "00042", data, bytes, &err);
    for (int i = 0; i < 3; i++) {
        if (stats) totals_add_times(totals, data, bytes);
        if (whole) totals_add(totals, manifest);
    }
    CHECK(totals->seconds >= 0);
    mem_free(manifest);
    report_html(totals, strip, &options, &page);
    CHECK(!buf_failed(&page) && str_utf8_valid(page.data, page.len) == page.len);
    buf_clear(&page);
    totals_times_json(totals, &page);
    json_t *times = json_loadb(buf_str(&page), page.len, JSON_REJECT_DUPLICATES, NULL);
    CHECK(json_is_object(times));
    json_decref(times);
    buf_deinit(&page);
    arena_deinit(&arena);
    totals_deinit(totals);
    mem_free(strip);
    mem_free(totals);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 1) return 0;
    world_begin();
    /* Of just this size and with the zero behind it that specs have. */
    uint8_t *text = mem_new(bytes);
    memcpy(text, data + 1, bytes - 1);
    const int choice = data[0] % 6;
    if (choice == 0) as_spec(text, bytes - 1);
    if (choice == 1) as_payload(text, bytes - 1);
    if (choice == 2 || choice == 3) as_totals((const char *)text, bytes - 1, choice == 2);
    if (choice == 4) as_late(text, bytes - 1);
    if (choice == 5) as_cursor(text, bytes - 1);
    mem_free(text);
    return 0;
}
