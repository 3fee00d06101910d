/* list_row.h - from a record to the fields that a job wants.
 *
 * list_columns says which columns those are and, for csv and tsv, where the header has them. Texts
 * come out as valid UTF-8 without zero bytes: what was not is replaced by U+FFFD, and a URL that
 * had to be mended is no URL. */
#ifndef LIST_ROW_H
#define LIST_ROW_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "worker/list/list_record.h"

#include <stdbool.h>
#include <stdint.h>

#define LIST_EXTRA_MAX   64
#define LIST_WANTED_MAX  (LIST_EXTRA_MAX + LIST_FIRST_EXTRA)
#define LIST_COLUMNS_MAX 16384 /* columns that a header may have */
#define LIST_URL_COLUMN  0     /* in list_columns.wanted and list_row.field */
#define LIST_CAPTION     1
#define LIST_HASH        2 /* what the bytes should hash to */
#define LIST_BOXES       3 /* what to blur, as JSON; see worker/jobs/download/boxes.h */
#define LIST_FIRST_EXTRA 4

struct list_columns {
    enum list_format format;
    const char *wanted[LIST_WANTED_MAX]; /* names; not owned; NULL: not wanted */
    uint32_t wanted_count;
    uint32_t *place; /* csv, tsv: wanted index + 1 of each column of the header; 0: not wanted */
    uint32_t places_count;
};

enum list_problem {
    LIST_ROW_FINE,
    LIST_ROW_TOO_LONG,     /* above LIST_RECORD_BYTES_MAX */
    LIST_ROW_UNTERMINATED, /* a quote is never closed */
    LIST_ROW_NOT_JSON,     /* jsonl: not an object */
};

/* A row's fields: those before LIST_FIRST_EXTRA as text, the others as JSON values. */
struct list_row {
    struct buf text;
    uint32_t field[LIST_WANTED_MAX]; /* offset + 1 in text; 0: the row has no such field */
    enum list_problem problem;
    bool url_mended; /* it had bytes that no URL has */
};

/* Whether the format is one of rows, and not only of lists. */
bool list_format_has_rows(enum list_format format);
/* Whether the format's first record is a header. */
bool list_has_header(enum list_format format);
/* Finds the wanted columns in the first record (header, or jsonl object; may be NULL for txt).
 * ERR_INVALID names the columns that there are. */
CHECKED int list_columns_init(struct list_columns *columns, const struct list_record *first,
                              struct err *err);
void list_columns_deinit(struct list_columns *columns);

void list_row_init(struct list_row *row);
void list_row_deinit(struct list_row *row);
/* Fills row from a record. Bad rows are told by row->problem; only memory makes it fail. */
CHECKED int list_row_parse(struct list_row *row, const struct list_columns *columns,
                           const struct list_record *record, struct err *err);
/* A field, or NULL when the row has none. Good until the row is parsed anew. */
const char *list_row_field(const struct list_row *row, uint32_t index);

/* The part for jsonl; see list_jsonl.c. */
CHECKED int list_jsonl_columns(const struct list_columns *columns, const struct list_record *first,
                               struct err *err);
CHECKED int list_jsonl_parse(struct list_row *row, const struct list_columns *columns,
                             const struct list_record *record, struct err *err);
/* For the parsers: stores a text as the index-th field. */
void list_row_set(struct list_row *row, uint32_t index, const char *data, size_t bytes);
/* "there is no column X in the list; it has: a, b, c" */
int list_no_column(const char *name, const char *columns, struct err *err);

#endif
