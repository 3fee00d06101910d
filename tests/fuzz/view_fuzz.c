/* view_fuzz.c - files that vlmq shows to people: rows of an output, and logs. Whatever stands in
 * them, what goes to the terminal is UTF-8 without control characters.
 *
 * The first byte: rows as people read them, rows as JSON, or a log and how many of its lines. */
#include <stdio.h>

struct buf;
static void shown(FILE *stream, const struct buf *out);
#define print_out shown
#include "client/logs/tail.c"
#undef PIECE_BYTES
#include "client/output/rows.c"
#undef print_out

#include "common/base/check.h"
#include "common/base/fs.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static struct {
    char root[32], path[64];
    bool json;
    int64_t lines; /* shown */
} world;

static void shown(FILE *stream, const struct buf *out)
{
    CHECK(stream == stdout);
    for (size_t i = 0; i < out->len; i++) {
        const uint8_t byte = (uint8_t)out->data[i];
        if (byte == '\n') world.lines++;
        if (!world.json) CHECK(byte == '\n' || (byte >= 0x20 && byte != 0x7f));
    }
    if (!world.json && out->len) CHECK(str_utf8_valid(out->data, out->len) == out->len);
}

static void show_rows(void)
{
    struct rows_query query = {.limit = 3, .json = world.json};
    struct store *store = NULL;
    struct err err = {0};
    CHECK(!store_open(&store, world.root, false, &err));
    const int rc = rows_print(store, &query, &err);
    CHECK(rc == 0 || (rc == ERR_CORRUPT && err.msg[0]));
    CHECK(query.count <= query.limit);
    CHECK(world.lines == query.count);
    query.class = "http_status";
    query.limit = 0;
    (void)!rows_print(store, &query, &err);
    CHECK(query.count == 0);
    store_close(store);
}

static void show_log(int64_t lines)
{
    const struct tail tail = {.lines = lines};
    enum exit_status status = STATUS_OK;
    struct err err = {0};
    CHECK(!tail_print(&tail, world.path, &status, &err));
    CHECK(status == STATUS_OK);
    CHECK(world.lines <= lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct err err;
    if (bytes < 1) return 0;
    if (!world.root[0]) {
        (void)str_copy(world.root, sizeof world.root, "/tmp/view_fuzz.XXXXXX");
        CHECK(mkdtemp(world.root) != NULL);
        CHECK(fs_join(world.path, sizeof world.path, world.root, "00000.rows.jsonl"));
    }
    const uint8_t choice = data[0];
    world.json = choice == 1;
    world.lines = 0;
    CHECK(!fs_put(world.path, data + 1, bytes - 1, &err));
    if (choice < 2)
        show_rows();
    else
        show_log(choice - 1);
    return 0;
}
