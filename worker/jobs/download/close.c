/* close.c - rolls every shard forward, then writes manifest.json and report.html. */
#include "worker/jobs/download/close.h"

#include "common/base/mem.h"
#include "common/base/str.h"
#include "worker/jobs/download/blocked.h"
#include "worker/list/list_slice.h"
#include "worker/report/sums.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define STATS_BYTES_MAX ((size_t)4 * 1024 * 1024)

struct closing {
    struct job_env *env;
    struct download_options options;
    struct store *store;
    struct totals totals;
    struct strip strip;
    struct blocked *blocked; /* for the spec alone */
    struct buf shards;       /* the manifest's list */
    char tar[STRIP_SHARDS][ATTEMPT_NAME_BYTES];
    uint32_t tars_count;
};

static void add_text(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, "\"%s\":", name);
    str_json(out, value, strlen(value));
}

/* The pictures come from the first shards, the same number from each. */
static void add_pictures(struct closing *closing)
{
    const uint32_t shards = closing->tars_count;
    for (uint32_t i = 0; i < shards; i++) {
        const uint32_t left = STRIP_PICTURES - closing->strip.count;
        const uint32_t share = (left + shards - i - 1) / (shards - i);
        strip_add(&closing->strip, closing->store, closing->tar[i], closing->strip.count + share);
    }
}

static void note_tar(struct closing *closing, const char *name)
{
    if (closing->tars_count == STRIP_SHARDS) return;
    (void)str_copy(closing->tar[closing->tars_count++], ATTEMPT_NAME_BYTES, name);
}

static int visit(void *ctx, const struct attempt_manifest *manifest, struct err *err)
{
    struct closing *closing = ctx;
    struct buf stats;
    if (job_stopping(closing->env)) return err_set(err, ERR_CANCELLED, "closing was stopped");
    totals_add(&closing->totals, manifest);
    sums_shard_json(&closing->shards, manifest);
    int rc =
        buf_failed(&closing->shards) ? err_set(err, ERR_LIMIT, "no memory for the manifest") : 0;
    for (uint32_t i = 0; i < manifest->files_count && !rc; i++) {
        const char *name = manifest->file[i].name;
        if (str_has_suffix(name, ".tar") || str_has_suffix(name, "/")) note_tar(closing, name);
        if (!str_has_suffix(name, "_stats.json")) continue;
        buf_init(&stats, STATS_BYTES_MAX);
        rc = store_get(closing->store, &stats, name, STATS_BYTES_MAX, err);
        if (!rc) totals_add_times(&closing->totals, buf_str(&stats), stats.len);
        buf_deinit(&stats);
    }
    return rc;
}

static int put(struct closing *closing, const char *name, const struct buf *text, struct err *err)
{
    if (buf_failed(text)) return err_set(err, ERR_LIMIT, "no memory for %s", name);
    return store_put(closing->store, name, text->data, text->len, err);
}

static int write_manifest(struct closing *closing, struct err *err)
{
    struct buf out;
    const struct totals *totals = &closing->totals;
    buf_init(&out, 0);
    buf_text(&out, "{\"kind\":\"download\",\"version\":1,\n\"spec\":");
    download_options_json(&closing->options, &out);
    buf_text(&out, ",\n");
    add_text(&out, "input", closing->options.input);
    buf_printf(&out,
               ",\n\"totals\":{\"shards\":%u,\"late\":%u,\"dead\":%u,\"rows\":%" PRId64
               ",\"success\":%" PRId64 ",\"file_bytes\":%" PRId64 ",",
               totals->shards, totals->late, totals->dead, totals->items, totals->items_ok,
               totals->file_bytes);
    sums_counters_json(&out, totals->counter, totals->counters_count);
    buf_text(&out, "},\n\"times\":");
    totals_times_json(totals, &out);
    buf_text(&out, ",\n\"shards\":[");
    buf_add(&out, buf_str(&closing->shards), closing->shards.len);
    buf_text(&out, "\n]}\n");
    const int rc = put(closing, "manifest.json", &out, err);
    buf_deinit(&out);
    return rc;
}

static int write_report(struct closing *closing, struct err *err)
{
    struct buf out;
    buf_init(&out, 0);
    report_html(&closing->totals, &closing->strip, &closing->options, &out);
    const int rc = put(closing, "report.html", &out, err);
    buf_deinit(&out);
    return rc;
}

static int close_run(struct closing *closing, struct err *err)
{
    const struct job_env *env = closing->env;
    int rc =
        download_options_init(&closing->options, env->arena, env->spec.data, env->spec.bytes, err);
    if (!rc) rc = store_open(&closing->store, closing->options.output, true, err);
    if (!rc) rc = blocked_open(&closing->blocked, closing->store, &closing->options, err);
    if (!rc) rc = attempt_sweep(closing->store, err);
    if (!rc) rc = attempt_each(closing->store, visit, closing, err);
    if (!rc) add_pictures(closing);
    if (!rc) rc = write_manifest(closing, err);
    if (!rc) rc = write_report(closing, err);
    /* A dead task may be revived, and will want its rows. */
    if (!rc && env->tasks_dead == 0) rc = store_remove_tree(closing->store, LIST_SLICE_FOLDER, err);
    return rc;
}

int download_close(struct job_env *env, struct job_result *result, struct err *err)
{
    (void)result; /* a report is no shard: jobs that follow this one are not told of it */
    struct closing *closing = mem_new(sizeof *closing);
    closing->env = env;
    closing->totals.dead = env->tasks_dead;
    buf_init(&closing->shards, 0);
    const int rc = close_run(closing, err);
    strip_deinit(&closing->strip);
    blocked_free(closing->blocked);
    totals_deinit(&closing->totals);
    buf_deinit(&closing->shards);
    store_close(closing->store);
    mem_free(closing);
    return rc;
}
