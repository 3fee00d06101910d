/* list_record.c - a state machine over chunks; nothing is looked at twice. */
#include "worker/list/list_record.h"

#include "common/base/buf.h"
#include "common/base/check.h"
#include "common/base/mem.h"

#include <string.h>

#define CHUNK_BYTES (64 * 1024)

enum csv_state {
    CSV_FIELD_START,
    CSV_PLAIN,
    CSV_QUOTED,
    CSV_QUOTE_SEEN, /* inside quotes: the end, or the first of two */
};

struct list_records {
    struct list_source *source;
    enum list_format format;
    enum csv_state state;
    uint64_t offset; /* of the next byte to look at */
    uint64_t left;   /* bytes that may still be read from the source */
    struct hash *hash;
    struct store_file *copy;
    struct buf text; /* the record so far */
    bool too_long;
    char *chunk;
    size_t pos, len;
};

int list_records_new(struct list_records **records_out, struct list_source *source,
                     enum list_format format, uint64_t offset, uint64_t bytes, struct err *err)
{
    struct list_records *records = mem_new(sizeof *records);
    records->source = source;
    records->format = format;
    records->offset = offset;
    records->left = bytes;
    buf_init(&records->text, LIST_RECORD_BYTES_MAX + 2); /* and the line end */
    records->chunk = mem_try(CHUNK_BYTES);
    if (!records->chunk) {
        list_records_free(records);
        return err_set(err, ERR_LIMIT, "no memory to read the list");
    }
    *records_out = records;
    return 0;
}

void list_records_free(struct list_records *records)
{
    if (!records) return;
    buf_deinit(&records->text);
    mem_free(records->chunk);
    mem_free(records);
}

void list_records_tap(struct list_records *records, struct hash *hash, struct store_file *copy)
{
    records->hash = hash;
    records->copy = copy;
}

static int fill(struct list_records *records, struct err *err)
{
    if (records->pos < records->len) return 0;
    records->pos = records->len = 0;
    if (records->left == 0) return 0;
    const size_t want = records->left < CHUNK_BYTES ? (size_t)records->left : CHUNK_BYTES;
    const int rc = list_source_read(records->source, records->chunk, want, &records->len, err);
    if (!rc) records->left -= records->len;
    return rc;
}

/* Moves on by bytes of the chunk, which the taps see. */
static int pass(struct list_records *records, size_t bytes, struct err *err)
{
    const char *data = records->chunk + records->pos;
    records->pos += bytes;
    records->offset += bytes;
    if (records->hash) hash_add(records->hash, data, bytes);
    return records->copy ? store_file_write(records->copy, data, bytes, err) : 0;
}

/* Gets at least so many bytes into the chunk, fewer only at the end. */
static int gather(struct list_records *records, size_t bytes, struct err *err)
{
    size_t got = 1;
    if (records->len - records->pos >= bytes) return 0;
    memmove(records->chunk, records->chunk + records->pos, records->len - records->pos);
    records->len -= records->pos;
    records->pos = 0;
    while (records->len < bytes && got && records->left) {
        const size_t room = CHUNK_BYTES - records->len;
        const size_t want = records->left < room ? (size_t)records->left : room;
        const int rc =
            list_source_read(records->source, records->chunk + records->len, want, &got, err);
        if (rc) return rc;
        records->len += got;
        records->left -= got;
    }
    return 0;
}

/* A byte order mark is no part of the first record. */
static int skip_mark(struct list_records *records, struct err *err)
{
    static const char mark[3] = {'\xef', '\xbb', '\xbf'};
    if (records->offset) return 0;
    const int rc = gather(records, sizeof mark, err);
    if (rc) return rc;
    if (records->len < sizeof mark || memcmp(records->chunk, mark, sizeof mark) != 0) return 0;
    return pass(records, sizeof mark, err);
}

uint64_t list_records_offset(const struct list_records *records)
{
    return records->offset;
}

/* The bytes of an empty line at the start of data, which ends with the list if it is shorter than
 * two; 0: a record begins here. */
static size_t empty_line(const char *data, size_t bytes)
{
    if (data[0] == '\n') return 1;
    if (data[0] != '\r') return 0;
    if (bytes == 1) return 1;
    return data[1] == '\n' ? 2 : 0;
}

int list_records_peek(struct list_records *records, bool *found, struct err *err)
{
    *found = false;
    int rc = skip_mark(records, err);
    while (!rc) {
        rc = gather(records, 2, err);
        const size_t left = records->len - records->pos;
        if (rc || left == 0) break;
        const size_t empty = empty_line(records->chunk + records->pos, left);
        *found = empty == 0;
        if (*found) break;
        rc = pass(records, empty, err);
    }
    return rc;
}

static enum csv_state csv_next(enum csv_state state, char c)
{
    switch (state) {
    case CSV_FIELD_START:
        if (c == '"') return CSV_QUOTED;
        return c == ',' ? CSV_FIELD_START : CSV_PLAIN;
    case CSV_PLAIN:
        return c == ',' ? CSV_FIELD_START : CSV_PLAIN;
    case CSV_QUOTED:
        return c == '"' ? CSV_QUOTE_SEEN : CSV_QUOTED;
    case CSV_QUOTE_SEEN:
        if (c == '"') return CSV_QUOTED;
        return c == ',' ? CSV_FIELD_START : CSV_PLAIN;
    }
    CHECK(false);
    return CSV_PLAIN;
}

/* How many of the bytes belong to this record; *ended when its line end is among them. */
static size_t scan_csv(struct list_records *records, const char *data, size_t bytes, bool *ended)
{
    enum csv_state state = records->state;
    size_t i = 0;
    *ended = false;
    while (i < bytes && !*ended) {
        const char c = data[i++];
        if (state == CSV_QUOTED) {
            const char *quote = c == '"' ? NULL : memchr(data + i, '"', bytes - i);
            if (quote) i = (size_t)(quote - data);
            if (!quote && c != '"') i = bytes;
        }
        *ended = c == '\n' && state != CSV_QUOTED;
        state = *ended ? CSV_FIELD_START : csv_next(state, c);
    }
    records->state = state;
    return i;
}

static size_t scan(struct list_records *records, const char *data, size_t bytes, bool *ended)
{
    if (records->format == LIST_CSV) return scan_csv(records, data, bytes, ended);
    const char *end = memchr(data, '\n', bytes);
    *ended = end != NULL;
    return end ? (size_t)(end - data) + 1 : bytes;
}

/* Takes the rest of the record out of the chunk. */
static int take(struct list_records *records, bool *ended, struct err *err)
{
    const char *data = records->chunk + records->pos;
    const size_t bytes = scan(records, data, records->len - records->pos, ended);
    if (bytes > records->text.max - records->text.len) {
        records->too_long = true;
        buf_clear(&records->text);
    }
    if (!records->too_long) buf_add(&records->text, data, bytes);
    if (buf_failed(&records->text)) return err_set(err, ERR_LIMIT, "no memory for a row");
    return pass(records, bytes, err);
}

/* What is in text as a record; false: an empty line. */
static bool give(struct list_records *records, struct list_record *record)
{
    size_t bytes = records->text.len;
    const char *data = buf_str(&records->text);
    const bool unterminated = records->state == CSV_QUOTED;
    if (bytes && data[bytes - 1] == '\n' && !unterminated) bytes--;
    if (bytes && data[bytes - 1] == '\r' && !unterminated) bytes--;
    const bool too_long = records->too_long || bytes > LIST_RECORD_BYTES_MAX;
    *record = (struct list_record){.data = too_long ? "" : data,
                                   .bytes = too_long ? 0 : bytes,
                                   .whole_bytes = too_long ? 0 : records->text.len,
                                   .too_long = too_long,
                                   .unterminated = unterminated,
                                   .end = records->offset};
    return bytes || too_long;
}

int list_records_next(struct list_records *records, struct list_record *record, bool *found,
                      struct err *err)
{
    *found = false;
    int rc = skip_mark(records, err);
    if (rc) return rc;
    while (!*found) {
        buf_clear(&records->text);
        records->too_long = false;
        bool ended = false, any = false;
        while (!ended) {
            rc = fill(records, err);
            if (rc) return rc;
            if (records->pos == records->len) break;
            any = true;
            rc = take(records, &ended, err);
            if (rc) return rc;
        }
        record->end = records->offset;
        if (!any) return 0;
        *found = give(records, record);
    }
    return 0;
}
