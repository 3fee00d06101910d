/* list_parquet.c - see list_parquet.h. */
#include "worker/list/list_parquet.h"

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "worker/parquet/parquet.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Lines are made so many bytes at a time. */
#define LINES_BYTES ((size_t)64 * 1024)
/* What one value can add to a line before its length is looked at: JSON escapes make six of one. */
#define LINES_BYTES_MAX (LINES_BYTES + (size_t)LIST_RECORD_BYTES_MAX * 8)

struct rows {
    struct parquet *parquet;
    uint32_t count; /* wanted columns that there are */
    const char *name[LIST_WANTED_MAX];
    struct parquet_value value[LIST_WANTED_MAX];
    struct buf lines;
    size_t given; /* bytes of lines */
    bool ended;
    struct stat before; /* the file, when its rows began to be read */
    char *path;
    struct hash *hash;
    int (*look)(void *ctx, struct err *err);
    void *look_ctx;
};

static bool in_json(const struct parquet_value *value)
{
    if (value->type == PARQUET_FLOAT || value->type == PARQUET_DOUBLE)
        return isfinite(value->number);
    return value->type != PARQUET_NULL;
}

static void add_value(struct buf *out, const struct parquet_value *value)
{
    switch (value->type) {
    case PARQUET_NULL:
        CHECK(false);
        break;
    case PARQUET_BOOL:
        buf_text(out, value->truth ? "true" : "false");
        break;
    case PARQUET_INT:
        buf_printf(out, "%" PRId64, value->integer);
        break;
    case PARQUET_UNSIGNED:
        buf_printf(out, value->natural > INT64_MAX ? "\"%" PRIu64 "\"" : "%" PRIu64,
                   value->natural);
        break;
    case PARQUET_FLOAT:
    case PARQUET_DOUBLE:
        str_json_real(out, value->number, value->type == PARQUET_FLOAT);
        break;
    case PARQUET_TEXT:
        str_json(out, value->text.data, value->text.bytes);
        break;
    }
}

static void add_row(struct rows *rows)
{
    struct buf *out = &rows->lines;
    const size_t start = out->len;
    bool fits = true;
    buf_byte(out, '{');
    for (uint32_t i = 0; i < rows->count && fits; i++) {
        const struct parquet_value *value = &rows->value[i];
        if (!in_json(value)) continue;
        fits = value->type != PARQUET_TEXT || value->text.bytes <= LIST_RECORD_BYTES_MAX;
        if (!fits) break;
        if (out->len > start + 1) buf_byte(out, ',');
        str_json(out, rows->name[i], strlen(rows->name[i]));
        buf_byte(out, ':');
        add_value(out, value);
        fits = out->len - start < LIST_RECORD_BYTES_MAX;
    }
    if (!fits) out->len = start;
    buf_text(out, fits ? "}\n" : "null\n");
}

static int fill(struct rows *rows, struct err *err)
{
    bool found = true;
    buf_clear(&rows->lines);
    rows->given = 0;
    while (found && rows->lines.len < LINES_BYTES) {
        const int rc = parquet_next(rows->parquet, rows->value, &found, err);
        if (rc) return rc;
        if (found) add_row(rows);
        if (buf_failed(&rows->lines)) return err_set(err, ERR_LIMIT, "no memory for a row");
    }
    return 0;
}

/* Whether the file is still the one whose rows were read. */
static int check_same(const struct rows *rows, struct err *err)
{
    struct stat now;
    const struct stat *before = &rows->before;
    if (stat(rows->path, &now)) return err_errno(err, errno, "look at the list %s", rows->path);
    if (now.st_ino == before->st_ino && now.st_dev == before->st_dev &&
        now.st_size == before->st_size && now.st_mtim.tv_sec == before->st_mtim.tv_sec &&
        now.st_mtim.tv_nsec == before->st_mtim.tv_nsec)
        return 0;
    return err_set(err, ERR_INVALID, "the list %.150s changed while it was read: submit it again",
                   rows->path);
}

static int hash_file(struct rows *rows, struct err *err)
{
    struct list_source *file = NULL;
    char bytes[16 * 1024];
    size_t got = 1;
    int rc = list_source_open(&file, rows->path, err);
    if (rc) return rc;
    list_source_hash(file, rows->hash);
    if (rows->look) list_source_watch(file, rows->look, rows->look_ctx);
    while (!rc && got) rc = list_source_read(file, bytes, sizeof bytes, &got, err);
    list_source_close(file);
    return rc ? rc : check_same(rows, err);
}

static int read_rows(void *ctx, void *dst, size_t bytes, size_t *got, struct err *err)
{
    struct rows *rows = ctx;
    *got = 0;
    if (rows->given == rows->lines.len && !rows->ended) {
        int rc = fill(rows, err);
        rows->ended = rows->lines.len == 0;
        if (!rc && rows->ended) rc = hash_file(rows, err);
        if (rc) return rc;
    }
    const size_t left = rows->lines.len - rows->given;
    *got = left < bytes ? left : bytes;
    if (*got) memcpy(dst, rows->lines.data + rows->given, *got);
    rows->given += *got;
    return 0;
}

static void close_rows(void *ctx)
{
    struct rows *rows = ctx;
    parquet_close(rows->parquet);
    buf_deinit(&rows->lines);
    mem_free(rows->path);
    mem_free(rows);
}

static int no_column(const struct rows *rows, const char *name, struct err *err)
{
    struct buf names;
    buf_init(&names, 0);
    for (uint32_t i = 0; i < parquet_columns(rows->parquet) && names.len < ERR_MSG_BYTES; i++) {
        if (names.len) buf_text(&names, ", ");
        buf_text(&names, parquet_column(rows->parquet, i)->name);
    }
    const int rc = list_no_column(name, buf_str(&names), err);
    buf_deinit(&names);
    return rc;
}

/* Finds the wanted columns, the first of each name, and chooses them. */
static int choose_columns(struct rows *rows, const struct list_columns *columns, struct err *err)
{
    uint32_t chosen[LIST_WANTED_MAX];
    for (uint32_t i = 0; i < columns->wanted_count; i++) {
        uint32_t at = 0;
        if (!columns->wanted[i]) continue;
        while (at < parquet_columns(rows->parquet) &&
               strcmp(parquet_column(rows->parquet, at)->name, columns->wanted[i]) != 0)
            at++;
        if (at == parquet_columns(rows->parquet)) return no_column(rows, columns->wanted[i], err);
        const struct parquet_column *column = parquet_column(rows->parquet, at);
        if (i < LIST_FIRST_EXTRA && !column->fault && column->type != PARQUET_TEXT)
            return err_set(
                err, ERR_INVALID,
                "the column \"%.60s\" has no texts, as URLs, captions, hashes and boxes must be",
                column->name);
        rows->name[rows->count] = columns->wanted[i];
        chosen[rows->count++] = at;
    }
    return parquet_want(rows->parquet, chosen, rows->count, err);
}

int list_parquet_open(struct list_source **source, const struct list_input *input, struct err *err)
{
    struct rows *rows = mem_new(sizeof *rows);
    const size_t path_bytes = strlen(input->path) + 1;
    rows->path = mem_new(path_bytes);
    memcpy(rows->path, input->path, path_bytes);
    rows->hash = input->hash;
    rows->look = input->look;
    rows->look_ctx = input->look_ctx;
    buf_init(&rows->lines, LINES_BYTES_MAX);
    int rc = stat(rows->path, &rows->before) ? err_errno(err, errno, "open the list %s", rows->path)
                                             : parquet_open(&rows->parquet, rows->path, err);
    if (!rc) rc = choose_columns(rows, &input->columns, err);
    if (rc) {
        close_rows(rows);
        return rc;
    }
    *source = list_source_of_feed((struct list_feed){rows, read_rows, close_rows});
    if (rows->look) list_source_watch(*source, rows->look, rows->look_ctx);
    return 0;
}
