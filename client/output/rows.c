/* rows.c - failed rows of shards.
 *
 * Each line of a rows file is an object with at least "status"; rows of success are passed over.
 * A file is read in pieces, so its size does not matter. */
#include "client/output/rows.h"

#include "client/print.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define SUFFIX     ".rows.jsonl"
#define READ_BYTES ((size_t)256 * 1024)
/* A row with its columns; what is longer is no row of ours. */
#define LINE_BYTES_MAX ((size_t)4 * 1024 * 1024)

struct scan {
    struct store *store;
    struct rows_query *query;
    const char *name;
    char *piece;
    struct buf line;
};

static const char *text_of(const json_t *row, const char *key)
{
    const char *text = json_string_value(json_object_get(row, key));
    return text ? text : "";
}

static void print_row(const json_t *row)
{
    const char *message = text_of(row, "error_message");
    struct buf out;
    buf_init(&out, 0);
    print_clean(&out, text_of(row, "key"));
    buf_text(&out, "  ");
    print_clean(&out, text_of(row, "status"));
    buf_text(&out, "  ");
    print_clean(&out, text_of(row, "url"));
    if (*message) {
        buf_text(&out, "  ");
        print_clean(&out, message);
    }
    buf_byte(&out, '\n');
    print_out(stdout, &out);
    buf_deinit(&out);
}

static void on_line(struct scan *scan)
{
    struct rows_query *query = scan->query;
    json_t *row = json_loadb(buf_str(&scan->line), scan->line.len, JSON_ALLOW_NUL, NULL);
    const char *status = text_of(row, "status"), *class = text_of(row, "class");
    /* A row that was carried over has its end in the late shard's file. */
    const bool failed = *status && !str_eq(status, "success") && !str_eq(status, "carried_over");
    const bool wanted =
        !query->class || str_eq(query->class, class) || str_eq(query->class, status);
    if (failed && wanted) {
        if (query->count == query->limit) {
            query->more = true;
        } else {
            query->count++;
            if (query->json) {
                buf_byte(&scan->line, '\n');
                print_out(stdout, &scan->line);
            } else {
                print_row(row);
            }
        }
    }
    json_decref(row);
}

static int scan_file(struct scan *scan, struct err *err)
{
    int64_t offset = 0;
    size_t got = READ_BYTES;
    buf_clear(&scan->line);
    while (got == READ_BYTES && !scan->query->more) {
        const int rc =
            store_get_range(scan->store, scan->piece, scan->name, offset, READ_BYTES, &got, err);
        if (rc) return rc;
        offset += (int64_t)got;
        const char *at = scan->piece, *end = scan->piece + got;
        while (at < end && !scan->query->more) {
            const char *stop = memchr(at, '\n', (size_t)(end - at));
            buf_add(&scan->line, at, (size_t)((stop ? stop : end) - at));
            if (buf_failed(&scan->line))
                return err_set(err, ERR_CORRUPT, "%s has a line of more than %zu bytes", scan->name,
                               LINE_BYTES_MAX);
            if (!stop) break;
            on_line(scan);
            buf_clear(&scan->line);
            at = stop + 1;
        }
    }
    return 0;
}

static int visit(void *ctx, const char *name, struct err *err)
{
    struct scan *scan = ctx;
    if (!str_has_suffix(name, SUFFIX) || scan->query->more) return 0;
    scan->name = name;
    return scan_file(scan, err);
}

int rows_print(struct store *store, struct rows_query *query, struct err *err)
{
    struct scan scan = {.store = store, .query = query};
    query->count = 0;
    query->more = false;
    scan.piece = mem_new(READ_BYTES);
    buf_init(&scan.line, LINE_BYTES_MAX);
    const int rc = store_list(store, "", visit, &scan, err);
    buf_deinit(&scan.line);
    mem_free(scan.piece);
    return rc;
}
