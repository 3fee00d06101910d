/* list_slice.c - see list_slice.h; the header is read first, then the range of the rows. */
#include "worker/list/list_slice.h"

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/mem.h"

#include <stdio.h>
#include <string.h>

#define CHUNK_BYTES (256 * 1024)

struct list_slice {
    struct list_source *source;
    struct list_records *records;
    struct list_columns columns;
    struct hash *hash;
    struct buf header;
    uint64_t start; /* of the rows, in the source */
    uint64_t bytes, expected;
    uint32_t rows, given;
};

void list_slice_name(char dst[LIST_SLICE_NAME_BYTES], uint32_t shard)
{
    (void)snprintf(dst, LIST_SLICE_NAME_BYTES, LIST_SLICE_FOLDER "/%05u", shard);
}

uint64_t list_slice_hash(const uint8_t digest[32])
{
    uint64_t value = 0;
    for (int i = 0; i < 8; i++) value = value << 8 | digest[i];
    return value;
}

int list_header(struct list_columns *columns, struct buf *header, const struct list_record *first,
                struct err *err)
{
    const int rc = list_columns_init(columns, first, err);
    if (rc) return rc;
    buf_add(header, first->data, first->bytes);
    buf_byte(header, '\n');
    return buf_failed(header) ? err_set(err, ERR_LIMIT, "no memory for the list's header") : 0;
}

static int changed(struct err *err)
{
    return err_set(err, ERR_INVALID,
                   "the list changed while the job ran: submit it again with another --output");
}

static int begin(struct list_slice *slice, struct err *err)
{
    hash_add(slice->hash, buf_str(&slice->header), slice->header.len);
    return list_source_seek(slice->source, slice->start, err);
}

static int end(struct list_slice *slice, struct err *err)
{
    uint8_t digest[HASH_SHA256_BYTES];
    hash_end(slice->hash, digest);
    return list_slice_hash(digest) == slice->expected ? 0 : changed(err);
}

/* Reads the rows once for their hash: a changed list must not cost ten thousand requests. */
static int verify(struct list_slice *slice, struct err *err)
{
    uint8_t *chunk = mem_try(CHUNK_BYTES);
    if (!chunk) return err_set(err, ERR_LIMIT, "no memory to read the list");
    int rc = begin(slice, err);
    uint64_t left = slice->bytes;
    size_t got = 1;
    while (!rc && left && got) {
        const size_t want = left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES;
        rc = list_source_read(slice->source, chunk, want, &got, err);
        if (!rc) hash_add(slice->hash, chunk, got);
        left -= rc ? 0 : got;
    }
    mem_free(chunk);
    return rc ? rc : end(slice, err);
}

static int open_source(struct list_slice *slice, const char *path, const struct list_cut *cut,
                       struct store *store, struct err *err)
{
    char name[LIST_SLICE_NAME_BYTES];
    list_slice_name(name, cut->shard);
    int rc = cut->sliced ? list_source_open_object(&slice->source, store, name, err)
                         : list_source_open(&slice->source, path, err);
    /* It was there when the job was planned: another machine may see it. */
    if (rc == ERR_NOT_FOUND || rc == ERR_DENIED)
        rc = err_set(err, ERR_UNAVAILABLE, "this worker cannot read the list %.150s",
                     cut->sliced ? name : path);
    if (!rc && list_source_is_stream(slice->source) && !cut->sliced) rc = changed(err);
    return rc;
}

static int read_header(struct list_slice *slice, struct err *err)
{
    struct list_records *records = NULL;
    struct list_record first;
    bool found = false;
    const enum list_format format = slice->columns.format;
    int rc = list_records_new(&records, slice->source, format, 0, UINT64_MAX, err);
    if (!rc) rc = list_records_next(records, &first, &found, err);
    if (!rc) rc = found ? list_header(&slice->columns, &slice->header, &first, err) : changed(err);
    list_records_free(records);
    return rc;
}

static int open_rows(struct list_slice *slice, const struct list_cut *cut, struct err *err)
{
    /* A jsonl list's first record is a row that only the planner looks at, and not in every slice;
     * the columns of its rows are looked up one by one. */
    int rc = 0;
    if (list_has_header(slice->columns.format)) rc = read_header(slice, err);
    slice->start = cut->sliced ? slice->header.len : cut->offset;
    if (!rc) rc = verify(slice, err);
    if (!rc) rc = begin(slice, err);
    if (rc) return rc;
    rc = list_records_new(&slice->records, slice->source, slice->columns.format, cut->offset,
                          slice->bytes, err);
    if (!rc) list_records_tap(slice->records, slice->hash, NULL);
    return rc;
}

int list_slice_open(struct list_slice **slice_out, const char *path,
                    const struct list_columns *columns, const struct list_cut *cut,
                    struct store *store, struct err *err)
{
    struct list_slice *slice = mem_new(sizeof *slice);
    slice->columns = *columns;
    if (cut->jsonl) slice->columns.format = LIST_JSONL;
    slice->hash = hash_new();
    slice->bytes = cut->bytes;
    slice->expected = cut->hash;
    slice->rows = cut->rows;
    buf_init(&slice->header, 0);
    int rc = list_format_has_rows(slice->columns.format)
                 ? open_source(slice, path, cut, store, err)
                 : err_set(err, ERR_INVALID, "the task's payload lacks the format of its rows");
    if (!rc) rc = open_rows(slice, cut, err);
    if (rc) {
        list_slice_close(slice);
        return rc;
    }
    *slice_out = slice;
    return 0;
}

void list_slice_close(struct list_slice *slice)
{
    if (!slice) return;
    list_records_free(slice->records);
    list_source_close(slice->source);
    list_columns_deinit(&slice->columns);
    hash_free(slice->hash);
    buf_deinit(&slice->header);
    mem_free(slice);
}

int list_slice_next(struct list_slice *slice, struct list_row *row, bool *found, struct err *err)
{
    struct list_record record;
    int rc = list_records_next(slice->records, &record, found, err);
    if (rc) return rc;
    if (*found && slice->given == slice->rows) return changed(err);
    if (!*found) return slice->given == slice->rows ? end(slice, err) : changed(err);
    slice->given++;
    return list_row_parse(row, &slice->columns, &record, err);
}
