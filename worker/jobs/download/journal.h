/* journal.h - what a later attempt of a shard's task needs to go on from this one's rows.
 *
 * An attempt's tar, rows.jsonl and times.jsonl grow in row order. Beside them it writes a journal:
 * for each row a record of JOURNAL_BYTES with its outcome and the bytes that it has in each file.
 * Every few seconds the files are flushed, and a cursor goes to the broker: the attempt's lease,
 * the number of rows, and a digest of the files up to there. The next attempt writes the same rows
 * from the old files into its own (an attempt that has lost its lease may still be writing the old
 * ones), compares the digest, and goes on behind them: its output is that of an attempt that was
 * never interrupted. Whatever is missing or wrong makes it begin at the first row.
 *
 * A record is JOURNAL_NUMBERS unsigned 64-bit numbers, the lowest byte first. Records and cursors
 * are read as bytes from outside. */
#ifndef DOWNLOAD_JOURNAL_H
#define DOWNLOAD_JOURNAL_H

#include "common/base/limits.h"
#include "common/store/store.h"
#include "worker/job.h"
#include "worker/jobs/download/tally.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOURNAL_NUMBERS 24
#define JOURNAL_BYTES   ((size_t)JOURNAL_NUMBERS * 8)

struct journal_row {
    struct outcome outcome;
    uint64_t samples_bytes, line_bytes, times_bytes;
};

void journal_pack(uint8_t dst[JOURNAL_BYTES], const struct journal_row *row);
/* false: no row ends like that. */
bool journal_unpack(struct journal_row *row, const uint8_t src[JOURNAL_BYTES]);

struct journal_cursor {
    int64_t start_at_ms; /* since 1970, of the first attempt; 0: not known */
    char lease[LEASE_ID_BYTES];
    char before[LEASE_ID_BYTES]; /* "": none */
    uint32_t rows;
    uint8_t digest[32];
};

/* As job_checkpoint takes it, in memory of the arena; NULL: there is none. */
const uint8_t *journal_cursor_pack(struct arena *arena, const struct journal_cursor *cursor,
                                   size_t *bytes);
/* false: it is none. */
bool journal_cursor_unpack(struct journal_cursor *cursor, const uint8_t *data, size_t bytes);

/* Flushes the files; the digest is over the program's version, the records' format, and the files'
 * sizes and hashes, in that order: another version begins anew. */
CHECKED int journal_flush(uint8_t digest[32], struct store_file *const *file, uint32_t count,
                          struct err *err);

#endif
