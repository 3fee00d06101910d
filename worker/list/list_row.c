/* list_row.c - fields of txt, csv and tsv records.
 *
 * The csv rules are those of list_record.c, which found the record's end. In tsv a field that
 * begins and ends with a quote loses them and has its doubled quotes joined, as spreadsheets and
 * data frames write such fields; a tab or a line end inside is not possible. */
#include "worker/list/list_row.h"

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/str.h"

#include <string.h>

#define MENDED "\xef\xbf\xbd" /* U+FFFD */

/* A field at its rawest, and what is left behind it. */
struct cut {
    const char *at, *end; /* what is left of the record */
    bool done;
    struct buf field; /* without quotes */
};

bool list_format_has_rows(enum list_format format)
{
    return format > LIST_AUTO && format < LIST_JSON;
}

bool list_has_header(enum list_format format)
{
    return format == LIST_CSV || format == LIST_TSV;
}

static void cut_init(struct cut *cut, const struct list_record *record)
{
    const char *data = record->data;
    size_t bytes = record->bytes;
    *cut = (struct cut){.at = data, .end = data + bytes};
    buf_init(&cut->field, LIST_RECORD_BYTES_MAX + 1);
}

/* As far as the next separator or the end. */
static void cut_plain(struct cut *cut, char separator)
{
    const size_t left = (size_t)(cut->end - cut->at);
    const char *end = left ? memchr(cut->at, separator, left) : NULL;
    const char *stop = end ? end : cut->end;
    buf_add(&cut->field, cut->at, (size_t)(stop - cut->at));
    cut->done = end == NULL;
    cut->at = end ? end + 1 : cut->end;
}

/* Behind an opening quote. What stands between the closing quote and the comma is kept. */
static void cut_quoted(struct cut *cut)
{
    while (cut->at < cut->end) {
        const char *quote = memchr(cut->at, '"', (size_t)(cut->end - cut->at));
        const char *stop = quote ? quote : cut->end;
        buf_add(&cut->field, cut->at, (size_t)(stop - cut->at));
        cut->at = quote ? quote + 1 : cut->end;
        if (!quote || cut->at == cut->end || *cut->at != '"') break;
        buf_byte(&cut->field, '"');
        cut->at++;
    }
    cut_plain(cut, ',');
}

static void unquote_tsv(struct buf *field)
{
    if (field->len < 2 || field->data[0] != '"' || field->data[field->len - 1] != '"') return;
    size_t to = 0;
    for (size_t from = 1; from + 1 < field->len; from++) {
        field->data[to++] = field->data[from];
        if (field->data[from] == '"' && from + 2 < field->len && field->data[from + 1] == '"')
            from++;
    }
    field->data[to] = 0;
    field->len = to;
}

static void cut_next(struct cut *cut, enum list_format format)
{
    buf_clear(&cut->field);
    if (format == LIST_CSV && cut->at < cut->end && *cut->at == '"') {
        cut->at++;
        cut_quoted(cut);
        return;
    }
    cut_plain(cut, format == LIST_CSV ? ',' : '\t');
    if (format == LIST_TSV) unquote_tsv(&cut->field);
}

int list_no_column(const char *name, const char *columns, struct err *err)
{
    return err_set(err, ERR_INVALID, "there is no column \"%.60s\" in the list; it has: %.140s",
                   name, columns);
}

static int all_found(const struct list_columns *columns, const bool *found, const char *names,
                     struct err *err)
{
    for (uint32_t i = 0; i < columns->wanted_count; i++)
        if (columns->wanted[i] && !found[i]) return list_no_column(columns->wanted[i], names, err);
    return 0;
}

static void place_column(struct list_columns *columns, uint32_t at, const char *name, bool *found)
{
    for (uint32_t i = 0; i < columns->wanted_count; i++) {
        if (!columns->wanted[i] || found[i] || strcmp(columns->wanted[i], name) != 0) continue;
        found[i] = true;
        /* Two uses of one column, such as url as an extra column, are refused before. */
        columns->place[at] = i + 1;
        return;
    }
}

static int read_header(struct list_columns *columns, const struct list_record *header,
                       struct buf *names, struct err *err)
{
    struct cut cut;
    bool found[LIST_WANTED_MAX] = {false};
    cut_init(&cut, header);
    int rc = 0;
    while (!cut.done && !rc) {
        cut_next(&cut, columns->format);
        if (buf_failed(&cut.field))
            rc = err_set(err, ERR_LIMIT, "no memory for the list's header");
        else if (columns->places_count == LIST_COLUMNS_MAX)
            rc = err_set(err, ERR_INVALID, "the list has more than %d columns", LIST_COLUMNS_MAX);
        else
            place_column(columns, columns->places_count++, buf_str(&cut.field), found);
        if (names->len < ERR_MSG_BYTES && names->len) buf_text(names, ", ");
        if (names->len < ERR_MSG_BYTES) str_utf8_clean(names, buf_str(&cut.field), cut.field.len);
    }
    buf_deinit(&cut.field);
    return rc ? rc : all_found(columns, found, buf_str(names), err);
}

static int txt_columns(const struct list_columns *columns, struct err *err)
{
    for (uint32_t i = LIST_CAPTION; i < columns->wanted_count; i++)
        if (columns->wanted[i]) return list_no_column(columns->wanted[i], "url (a txt list)", err);
    return 0;
}

int list_columns_init(struct list_columns *columns, const struct list_record *first,
                      struct err *err)
{
    CHECK(columns->wanted_count <= LIST_WANTED_MAX);
    if (columns->format == LIST_TXT) return txt_columns(columns, err);
    if (first->too_long || first->unterminated)
        return err_set(err, ERR_INVALID,
                       "the list's first line is too long, or has a quote that is never closed");
    if (columns->format == LIST_JSONL) return list_jsonl_columns(columns, first, err);
    struct buf names;
    buf_init(&names, 0);
    columns->place = mem_try(LIST_COLUMNS_MAX * sizeof *columns->place);
    int rc = columns->place ? read_header(columns, first, &names, err)
                            : err_set(err, ERR_LIMIT, "no memory for the list's columns");
    buf_deinit(&names);
    return rc;
}

void list_columns_deinit(struct list_columns *columns)
{
    mem_free(columns->place);
    columns->place = NULL;
}

void list_row_init(struct list_row *row)
{
    *row = (struct list_row){0};
    /* JSON escapes make six bytes of one, U+FFFD three. */
    buf_init(&row->text, (size_t)LIST_RECORD_BYTES_MAX * 8);
}

void list_row_deinit(struct list_row *row)
{
    buf_deinit(&row->text);
}

const char *list_row_field(const struct list_row *row, uint32_t index)
{
    CHECK(index < LIST_WANTED_MAX);
    return row->field[index] ? row->text.data + row->field[index] - 1 : NULL;
}

/* Zeros are valid UTF-8, but end texts. */
static void add_clean(struct buf *out, const char *data, size_t bytes)
{
    while (bytes) {
        const char *zero = memchr(data, 0, bytes);
        const size_t part = zero ? (size_t)(zero - data) : bytes;
        str_utf8_clean(out, data, part);
        if (!zero) return;
        buf_text(out, MENDED);
        data += part + 1;
        bytes -= part + 1;
    }
}

/* As a JSON text, with no zero in it either. */
static void add_json(struct buf *out, const char *data, size_t bytes)
{
    struct buf clean;
    buf_init(&clean, 0);
    add_clean(&clean, data, bytes);
    str_json(out, buf_str(&clean), clean.len);
    if (buf_failed(&clean)) out->failed = true;
    buf_deinit(&clean);
}

void list_row_set(struct list_row *row, uint32_t index, const char *data, size_t bytes)
{
    CHECK(index < LIST_WANTED_MAX);
    const size_t start = row->text.len;
    if (index < LIST_FIRST_EXTRA)
        add_clean(&row->text, data, bytes);
    else
        add_json(&row->text, data, bytes);
    buf_byte(&row->text, 0);
    row->field[index] = (uint32_t)start + 1;
    /* Whoever mended it: what was read before may have been made of a list of another format. */
    if (index == LIST_URL_COLUMN && !buf_failed(&row->text))
        row->url_mended = strstr(row->text.data + start, MENDED) != NULL;
}

static void parse_fields(struct list_row *row, const struct list_columns *columns,
                         const struct list_record *record)
{
    struct cut cut;
    cut_init(&cut, record);
    for (uint32_t at = 0; !cut.done && at < columns->places_count; at++) {
        cut_next(&cut, columns->format);
        const uint32_t wanted = columns->place[at];
        if (wanted) list_row_set(row, wanted - 1, buf_str(&cut.field), cut.field.len);
    }
    if (buf_failed(&cut.field)) row->text.failed = true;
    buf_deinit(&cut.field);
}

int list_row_parse(struct list_row *row, const struct list_columns *columns,
                   const struct list_record *record, struct err *err)
{
    buf_clear(&row->text);
    memset(row->field, 0, sizeof row->field);
    row->problem = LIST_ROW_FINE;
    row->url_mended = false;
    if (record->too_long)
        row->problem = LIST_ROW_TOO_LONG;
    else if (record->unterminated)
        row->problem = LIST_ROW_UNTERMINATED;
    if (row->problem) return 0;
    int rc = 0;
    switch (columns->format) {
    case LIST_TXT:
        list_row_set(row, LIST_URL_COLUMN, record->data, record->bytes);
        break;
    case LIST_CSV:
    case LIST_TSV:
        parse_fields(row, columns, record);
        break;
    case LIST_JSONL:
        rc = list_jsonl_parse(row, columns, record, err);
        break;
    case LIST_AUTO:
    case LIST_JSON:
    case LIST_PARQUET:
    case LIST_FORMATS_COUNT:
        CHECK(false); /* formats of lists, not of rows */
    }
    if (!rc && buf_failed(&row->text)) rc = err_set(err, ERR_LIMIT, "no memory for a row");
    return rc;
}
