/* resume.c - going on from the rows that an earlier attempt has written, and letting a later one do
 * so: see journal.h. */
#include "common/base/check.h"
#include "common/base/str.h"
#include "worker/jobs/download/work.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define FILES       4
#define PIECE_BYTES ((size_t)1024 * 1024)
/* JSON, EXIF and captions of one row. */
#define TEXTS_BYTES_MAX ((uint64_t)16 * 1024 * 1024)

/* The files in the order of the digest. */
static void files_of(const struct work *work, struct store_file *file[FILES])
{
    file[0] = work->tar;
    file[1] = work->rows;
    file[2] = work->times;
    file[3] = work->journal;
}

int work_checkpoint(struct work *work, struct err *err)
{
    struct store_file *file[FILES];
    struct journal_cursor cursor = {.rows = reorder_next(work->reorder),
                                    .start_at_ms = work->start_at_ms};
    struct arena arena;
    size_t bytes;
    if (cursor.rows == work->checkpoint_rows || cursor.rows == work->rows_before) return 0;
    files_of(work, file);
    const int rc = journal_flush(cursor.digest, file, FILES, err);
    if (rc) return rc;
    CHECK(str_copy(cursor.lease, sizeof cursor.lease, work->env->lease));
    CHECK(str_copy(cursor.before, sizeof cursor.before, work->lease_before));
    arena_init(&arena, 0);
    const uint8_t *packed = journal_cursor_pack(&arena, &cursor, &bytes);
    if (packed) job_checkpoint(work->env, packed, bytes);
    arena_deinit(&arena);
    if (!packed) return err_set(err, ERR_LIMIT, "no memory for a cursor");
    work->checkpoint_rows = cursor.rows;
    return 0;
}

/* ---- the files of the earlier attempt ---- */

struct reader {
    struct store *store;
    char name[ATTEMPT_PATH_BYTES];
    int64_t offset, left; /* of what was not read yet */
    struct buf buf;
    size_t at; /* in the buffer */
};

static int reader_open(struct reader *reader, const struct work *work, const char *lease,
                       const char *suffix, struct err *err)
{
    char name[ATTEMPT_NAME_BYTES];
    const bool journal = !suffix[0];
    (void)snprintf(name, sizeof name, "%s%s", journal ? JOURNAL_NAME : work->name, suffix);
    reader->store = work->store;
    attempt_private(reader->name, work->attempt, lease, name, journal);
    buf_init(&reader->buf, 0);
    return store_size(reader->store, &reader->left, reader->name, err);
}

static int reader_fill(struct reader *reader, size_t bytes, struct err *err)
{
    const size_t kept = reader->buf.len - reader->at;
    const size_t more = bytes - kept < PIECE_BYTES ? PIECE_BYTES : bytes - kept;
    size_t got = 0;
    if (kept) memmove(reader->buf.data, reader->buf.data + reader->at, kept);
    reader->buf.len = kept;
    reader->at = 0;
    char *place = buf_reserve(&reader->buf, more);
    if (!place) return err_set(err, ERR_LIMIT, "no memory for %zu bytes", more);
    const int rc =
        store_get_range(reader->store, place, reader->name, reader->offset, more, &got, err);
    if (rc) return rc;
    buf_commit(&reader->buf, got);
    reader->offset += (int64_t)got;
    reader->left -= (int64_t)got;
    return got + kept >= bytes ? 0 : err_set(err, ERR_CORRUPT, "%s is too short", reader->name);
}

/* The next bytes of the file; they are good until the next call. */
static int reader_take(struct reader *reader, struct reorder_part *part, uint64_t bytes,
                       struct err *err)
{
    const size_t here = reader->buf.len - reader->at;
    int rc = 0;
    if (bytes > here && bytes - here > (uint64_t)(reader->left > 0 ? reader->left : 0))
        return err_set(err, ERR_CORRUPT, "%s is too short", reader->name);
    if (bytes > here) rc = reader_fill(reader, (size_t)bytes, err);
    if (rc) return rc;
    *part = (struct reorder_part){bytes ? reader->buf.data + reader->at : NULL, (size_t)bytes};
    reader->at += (size_t)bytes;
    return 0;
}

/* ---- going on ---- */

enum { TAR, ROWS, TIMES, JOURNAL };

/* The journal has no URL, but the line of rows.jsonl has it. */
static void note_host(struct work *work, const struct reorder_part *line,
                      const struct outcome *outcome)
{
    json_t *row = json_loadb(line->data, line->bytes, JSON_ALLOW_NUL, NULL);
    work_note_host(work, json_string_value(json_object_get(row, "url")), outcome);
    json_decref(row);
}

/* Of bytes that a part of one row may have, whatever the record says: no more than a decoder may
 * have had for it, in pixels of 4 bytes, and the texts. */
static bool parts_fit(const struct download_options *options, const struct journal_row *row)
{
    const uint64_t fitted = (uint64_t)options->image_size * FIT_SIDE_MAX;
    const uint64_t pixels = options->pixels_max > fitted ? options->pixels_max : fitted;
    return row->line_bytes <= TEXTS_BYTES_MAX && row->times_bytes <= TEXTS_BYTES_MAX &&
           row->samples_bytes <= 4 * pixels + (uint64_t)options->fetch.body_bytes + TEXTS_BYTES_MAX;
}

static int copy_row(struct work *work, struct reader reader[FILES], uint32_t place, struct err *err)
{
    struct reorder_part part[PARTS_COUNT] = {0}, record = {0};
    struct journal_row row;
    int rc = reader_take(&reader[JOURNAL], &record, JOURNAL_BYTES, err);
    if (rc) return rc;
    if (!journal_unpack(&row, record.data) || !parts_fit(&work->options, &row))
        return err_set(err, ERR_CORRUPT, "%s is damaged", reader[JOURNAL].name);
    rc = reader_take(&reader[TAR], &part[PART_SAMPLES], row.samples_bytes, err);
    if (!rc) rc = reader_take(&reader[ROWS], &part[PART_LINE], row.line_bytes, err);
    if (!rc) rc = reader_take(&reader[TIMES], &part[PART_TIMES], row.times_bytes, err);
    part[PART_OUTCOME] = (struct reorder_part){&row.outcome, sizeof row.outcome};
    if (!rc && part[PART_LINE].data) note_host(work, &part[PART_LINE], &row.outcome);
    return rc ? rc : work_put(work, place, part, err);
}

static int copy_rows(struct work *work, const struct journal_cursor *cursor,
                     struct reader reader[FILES], struct err *err)
{
    static const char *const suffix[FILES] = {
        [TAR] = ".tar", [ROWS] = ".rows.jsonl", [TIMES] = ".times.jsonl", [JOURNAL] = ""};
    struct store_file *file[FILES];
    uint8_t digest[32];
    int rc = 0;
    for (uint32_t i = 0; i < FILES && !rc; i++)
        rc = reader_open(&reader[i], work, cursor->lease, suffix[i], err);
    for (uint32_t i = 0; i < cursor->rows && !rc; i++) {
        if (job_stopping(work->env)) return err_set(err, ERR_CANCELLED, "it was stopped");
        rc = copy_row(work, reader, i, err);
    }
    if (rc) return rc;
    files_of(work, file);
    rc = journal_flush(digest, file, FILES, err);
    if (!rc && memcmp(digest, cursor->digest, sizeof digest) != 0)
        rc = err_set(err, ERR_CORRUPT, "the files have changed");
    return rc;
}

static int copy_checked(struct work *work, const struct journal_cursor *cursor, struct err *err)
{
    struct reader reader[FILES] = {0};
    if (cursor->rows > work->rows_count || str_eq(cursor->lease, work->env->lease))
        return err_set(err, ERR_INVALID, "the cursor is of another shard");
    const int rc = copy_rows(work, cursor, reader, err);
    for (uint32_t i = 0; i < FILES; i++) buf_deinit(&reader[i].buf);
    return rc;
}

void work_forget(struct work *work, const char *lease)
{
    struct err err;
    if (!lease[0] || str_eq(lease, work->env->lease)) return;
    if (attempt_forget(work->attempt, lease, &err))
        log_info("attempt.left", "msg=%s", log_quote(err.msg));
}

int work_resume(struct work *work, struct err *err)
{
    struct journal_cursor cursor;
    struct err trouble = {0};
    if (!work->env->cursor.bytes) return 0;
    const int rc = journal_cursor_unpack(&cursor, work->env->cursor.data, work->env->cursor.bytes)
                       ? copy_checked(work, &cursor, &trouble)
                       : err_set(&trouble, ERR_INVALID, "the cursor cannot be read");
    if (!str_eq(cursor.lease, work->env->lease))
        (void)str_copy(work->lease_before, sizeof work->lease_before, cursor.lease);
    if (!rc) {
        work->rows_before = cursor.rows;
        if (cursor.start_at_ms && cursor.start_at_ms < work->start_at_ms)
            work->start_at_ms = cursor.start_at_ms;
        work->arrived = work->tally;
        log_info("shard.resumed", "shard=%s rows=%u", work->name, cursor.rows);
        /* What that one went on from is needed no more: the broker has a cursor behind it. */
        work_forget(work, cursor.before);
        return 0;
    }
    if (job_stopping(work->env)) return err_set(err, ERR_CANCELLED, "%s", trouble.msg);
    /* Files that vanish as they are copied may be those of a commit. */
    const int stale = attempt_check(work->attempt, err);
    if (stale) return stale;
    log_info("shard.afresh", "shard=%s msg=%s", work->name, log_quote(trouble.msg));
    work_files_drop(work);
    return work_files_open(work, err);
}
