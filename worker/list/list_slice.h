/* list_slice.h - one shard's rows of a list, read back.
 *
 * A slice is named by its cut, which the planner hands on in the task's payload. Its bytes stand in
 * the list itself or, where that cannot be entered midway, in a file of their own in the output,
 * behind a copy of the header. The planner's hash covers the header and the rows, so a list that
 * changed is noticed: before the first row is given, and once more behind the last. One thread. */
#ifndef LIST_SLICE_H
#define LIST_SLICE_H

#include "common/base/err.h"
#include "common/store/store.h"
#include "worker/list/list_row.h"

#include <stdbool.h>
#include <stdint.h>

/* Where the planner puts the rows of a compressed list. */
#define LIST_SLICE_PARENT     "_vlmq"
#define LIST_SLICE_FOLDER     LIST_SLICE_PARENT "/rows"
#define LIST_SLICE_NAME_BYTES 64

/* Where one shard's rows are. */
struct list_cut {
    uint32_t shard, rows;
    uint64_t offset, bytes; /* in the list, after decompression */
    uint64_t hash;          /* list_slice_hash of the header and the rows */
    bool sliced;            /* they have a file of their own */
    bool jsonl;             /* and are lines of jsonl, whatever format the list has */
};

struct list_slice;

void list_slice_name(char dst[LIST_SLICE_NAME_BYTES], uint32_t shard);
/* The first 8 bytes of a digest, as the payload holds them. */
uint64_t list_slice_hash(const uint8_t digest[32]);
/* path: of the list; columns: its format and the wanted ones, not looked up yet; store: the output.
 * The names of the columns and the store outlive the slice. ERR_UNAVAILABLE: the list cannot be
 * read from this machine. ERR_INVALID: it changed. */
CHECKED int list_slice_open(struct list_slice **slice, const char *path,
                            const struct list_columns *columns, const struct list_cut *cut,
                            struct store *store, struct err *err);
void list_slice_close(struct list_slice *slice);
/* *found false: all rows were given. */
CHECKED int list_slice_next(struct list_slice *slice, struct list_row *row, bool *found,
                            struct err *err);
/* Takes a header as the list's first record: finds the columns, and puts the line into header as it
 * is hashed and copied, without a byte order mark and with a plain line end. */
CHECKED int list_header(struct list_columns *columns, struct buf *header,
                        const struct list_record *first, struct err *err);

#endif
