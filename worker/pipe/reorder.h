/* reorder.h - items finished in any order leave in row order, in bounded memory.
 *
 * reorder_put hands in one row's result: up to REORDER_PARTS_MAX pieces of bytes (a row that failed
 * has none, or empty ones). If it is that row's turn, it is emitted at once, from the caller's
 * memory, and so is everything that waited for it. Otherwise it is copied: into memory, up to
 * memory_bytes_max; above that the rows whose turn is farthest away go to a scratch file. A put
 * never waits, so nothing can deadlock; what bounds the file is that each row is put once.
 * Or, with `pull`, nothing is emitted by a put: rows leave one by one when reorder_pull asks.
 * The scratch file has no name once it is open, so a crash leaves nothing behind.
 * One thread at a time. After an error the object is only good for reorder_free. */
#ifndef PIPE_REORDER_H
#define PIPE_REORDER_H

#include "common/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REORDER_PARTS_MAX 4

struct reorder_part {
    const void *data; /* may be NULL when bytes is 0 */
    size_t bytes;
};

/* part always has REORDER_PARTS_MAX entries, the missing ones empty; valid during the call. */
typedef int reorder_emit(void *ctx, uint32_t index,
                         const struct reorder_part part[REORDER_PARTS_MAX], struct err *err);

struct reorder;

struct reorder_options {
    uint32_t rows;           /* indices are 0 to rows - 1 */
    size_t memory_bytes_max; /* of copies that wait */
    const char
        *scratch_path; /* a file that is created when first needed; NULL: ERR_LIMIT instead */
    reorder_emit *emit;
    void *ctx;
    bool pull;
};

CHECKED int reorder_new(struct reorder **reorder, const struct reorder_options *options,
                        struct err *err);
/* Each index once: a second time is ERR_INVALID. The caller keeps its bytes. An error of emit is
 * passed on. */
CHECKED int reorder_put(struct reorder *reorder, uint32_t index, const struct reorder_part *part,
                        uint32_t parts_count, struct err *err);
/* With `pull`: emits the row whose turn it is, if it has been put. */
CHECKED int reorder_pull(struct reorder *reorder, bool *found, struct err *err);
bool reorder_ready(const struct reorder *reorder);       /* whether it has been put */
uint32_t reorder_next(const struct reorder *reorder);    /* whose turn it is; rows: all are out */
uint32_t reorder_waiting(const struct reorder *reorder); /* rows that wait, in memory and file */
int64_t reorder_spilled(const struct reorder *reorder);  /* rows that ever went to the file */
size_t reorder_memory_bytes(const struct reorder *reorder); /* of copies that wait */
int64_t reorder_file_bytes(const struct reorder *reorder);  /* that the scratch file has */
void reorder_free(struct reorder *reorder);                 /* accepts NULL */

#endif
