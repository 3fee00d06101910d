/* late.c - see late.h; the lines are read in pieces, so that a shard's size does not matter. */
#include "worker/jobs/download/late.h"

#include "common/base/buf.h"
#include "common/base/str.h"
#include "worker/jobs/download/status.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define PIECE_BYTES ((size_t)64 * 1024)
/* A row of the list has a mebibyte at most; JSON needs up to six bytes for one of them. */
#define LINE_BYTES_MAX ((size_t)8 * 1024 * 1024)

bool late_is(const char *task)
{
    return str_has_suffix(task, LATE_SUFFIX);
}

static int64_t carried_rows(const struct attempt_manifest *manifest)
{
    for (uint32_t i = 0; i < manifest->counters_count; i++)
        if (str_eq(manifest->counter[i].name, LATE_COUNTER)) return manifest->counter[i].value;
    return 0;
}

int late_check(const struct attempt *attempt, struct store *store, const char *shard,
               struct err *err)
{
    char late[TASK_NAME_BYTES];
    struct attempt_manifest *manifest = mem_new(sizeof *manifest);
    (void)snprintf(late, sizeof late, "%s" LATE_SUFFIX, shard);
    const int rc = attempt_manifest_read(store, late, manifest, err);
    mem_free(manifest);
    if (rc) return rc == ERR_NOT_FOUND ? 0 : rc;
    const int stale = attempt_check(attempt, err);
    if (stale) return stale;
    return err_set(err, ERR_CORRUPT,
                   "%s was made for another %s, which was removed: remove "
                   "_vlmq/manifest/%s.json and %s* to have both made again",
                   late, shard, late, late);
}

int late_add(struct job_env *env, struct job_result *result,
             const struct attempt_manifest *manifest, const Vlmq__Jobs__DownloadShard *shard,
             struct err *err)
{
    if (shard->late || carried_rows(manifest) == 0) return 0;
    Vlmq__Jobs__DownloadShard late = *shard;
    late.late = shard->rows;
    late.rows = 0;
    const size_t bytes = vlmq__jobs__download_shard__get_packed_size(&late);
    uint8_t *payload = arena_try(env->arena, bytes);
    struct job_new_task *task = arena_try(env->arena, sizeof *task);
    char *name = arena_printf(env->arena, "%s" LATE_SUFFIX, manifest->task);
    if (!payload || !task || !name)
        return err_set(err, ERR_LIMIT, "no memory for the task of the late rows");
    (void)vlmq__jobs__download_shard__pack(&late, payload);
    /* Its rows are among the items that the shard's task announced. */
    *task = (struct job_new_task){.name = name, .payload = {payload, bytes}, .phase = JOB_WORK};
    result->tasks = task;
    result->tasks_count = 1;
    return 0;
}

static bool line_is_carried(const struct buf *line)
{
    const char *carried = status_name(STATUS_CARRIED);
    if (!strstr(buf_str(line), carried)) return false; /* spares most lines the parser */
    json_t *row = json_loadb(buf_str(line), line->len, JSON_ALLOW_NUL, NULL);
    const char *status = json_string_value(json_object_get(row, "status"));
    const bool is = status && str_eq(status, carried);
    json_decref(row);
    return is;
}

struct scan {
    bool *carried;
    uint32_t *count, rows, at;
    struct buf line;
};

static int take_piece(struct scan *scan, const char *piece, size_t bytes, struct err *err)
{
    const char *at = piece, *end = piece + bytes;
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        buf_add(&scan->line, at, (size_t)((stop ? stop : end) - at));
        if (buf_failed(&scan->line) || scan->at == scan->rows)
            return err_set(err, ERR_CORRUPT, "it has lines that no shard has");
        if (!stop) return 0;
        scan->carried[scan->at] = line_is_carried(&scan->line);
        *scan->count += scan->carried[scan->at++];
        buf_clear(&scan->line);
        at = stop + 1;
    }
    return 0;
}

int late_scan(bool *carried, uint32_t *count, struct store *store, const char *name, uint32_t rows,
              struct err *err)
{
    struct scan scan = {.carried = carried, .count = count, .rows = rows};
    char piece[PIECE_BYTES];
    size_t got = sizeof piece;
    int rc = 0;
    *count = 0;
    buf_init(&scan.line, LINE_BYTES_MAX);
    for (int64_t offset = 0; !rc && got == sizeof piece; offset += (int64_t)got) {
        rc = store_get_range(store, piece, name, offset, sizeof piece, &got, err);
        if (!rc) rc = take_piece(&scan, piece, got, err);
    }
    if (!rc && (scan.at != rows || scan.line.len))
        rc = err_set(err, ERR_CORRUPT, "it has other rows than the shard");
    buf_deinit(&scan.line);
    return rc ? err_wrap(err, "%s", name) : 0;
}

int late_rows(bool *carried, uint32_t *count, struct store *store, const char *shard, uint32_t rows,
              struct err *err)
{
    char name[ATTEMPT_NAME_BYTES];
    struct attempt_manifest *manifest = mem_new(sizeof *manifest);
    int rc = attempt_manifest_read(store, shard, manifest, err);
    (void)snprintf(name, sizeof name, "%s.rows.jsonl", shard);
    if (!rc) rc = late_scan(carried, count, store, name, rows, err);
    if (!rc && (*count == 0 || *count != carried_rows(manifest)))
        rc =
            err_set(err, ERR_CORRUPT,
                    "%s has %u rows that were carried over, its manifest says other", name, *count);
    mem_free(manifest);
    return rc ? err_wrap(err, "the late rows of %s", shard) : 0;
}
