/* report_files.c - manifest.json and report.html from what the shards have left. */
#include "common/base/mem.h"
#include "common/base/str.h"
#include "common/store/attempt.h"
#include "worker/jobs/encode/report.h"
#include "worker/report/sums.h"

#include <inttypes.h>
#include <string.h>

struct reporting {
    struct store *store;
    bool (*stopping)(void *ctx);
    void *ctx;
    struct encode_totals totals;
    struct buf shards; /* the manifest's list */
};

static int visit(void *ctx, const struct attempt_manifest *manifest, struct err *err)
{
    struct reporting *reporting = ctx;
    struct buf stats;
    if (reporting->stopping && reporting->stopping(reporting->ctx))
        return err_set(err, ERR_CANCELLED, "closing was stopped");
    encode_totals_add(&reporting->totals, manifest);
    sums_shard_json(&reporting->shards, manifest);
    int rc =
        buf_failed(&reporting->shards) ? err_set(err, ERR_LIMIT, "no memory for the manifest") : 0;
    for (uint32_t i = 0; i < manifest->files_count && !rc; i++) {
        if (!str_has_suffix(manifest->file[i].name, "_stats.json")) continue;
        buf_init(&stats, TOTALS_STATS_BYTES_MAX);
        rc = store_get(reporting->store, &stats, manifest->file[i].name, TOTALS_STATS_BYTES_MAX,
                       err);
        if (!rc) encode_totals_add_stats(&reporting->totals, buf_str(&stats), stats.len);
        buf_deinit(&stats);
    }
    return rc;
}

static int put(struct store *store, const char *name, const struct buf *text, struct err *err)
{
    if (buf_failed(text)) return err_set(err, ERR_LIMIT, "no memory for %s", name);
    return store_put(store, name, text->data, text->len, err);
}

static int write_manifest(const struct reporting *reporting,
                          const struct encode_report_about *about, struct err *err)
{
    struct buf out;
    const struct encode_totals *totals = &reporting->totals;
    buf_init(&out, 0);
    buf_printf(&out,
               "{\"kind\":\"encode\",\"version\":1,\n\"spec\":%s,\n\"input\":", about->spec_json);
    str_json(&out, about->input, strlen(about->input));
    buf_text(&out, ",\n\"model\":");
    str_json(&out, about->model, strlen(about->model));
    buf_printf(&out,
               ",\n\"totals\":{\"shards\":%u,\"dead\":%u,\"rows\":%" PRId64 ",\"success\":%" PRId64
               ",\"file_bytes\":%" PRId64 ",",
               totals->shards, totals->dead, totals->items, totals->items_ok, totals->file_bytes);
    sums_counters_json(&out, totals->counter, totals->counters_count);
    buf_text(&out, "},\n\"stats\":");
    encode_totals_json(totals, &out);
    buf_text(&out, ",\n\"shards\":[");
    buf_add(&out, buf_str(&reporting->shards), reporting->shards.len);
    buf_text(&out, "\n]}\n");
    const int rc = put(reporting->store, "manifest.json", &out, err);
    buf_deinit(&out);
    return rc;
}

int encode_report_write(struct store *store, const struct encode_report_about *about,
                        uint32_t tasks_dead, bool (*stopping)(void *ctx), void *ctx,
                        struct err *err)
{
    struct reporting *reporting = mem_new(sizeof *reporting);
    struct buf page;
    *reporting = (struct reporting){.store = store, .stopping = stopping, .ctx = ctx};
    reporting->totals.dead = tasks_dead;
    buf_init(&reporting->shards, 0);
    buf_init(&page, 0);
    int rc = attempt_each(store, visit, reporting, err);
    if (!rc) rc = write_manifest(reporting, about, err);
    if (!rc) encode_report_html(&reporting->totals, about, &page);
    if (!rc) rc = put(store, "report.html", &page, err);
    buf_deinit(&page);
    buf_deinit(&reporting->shards);
    encode_totals_deinit(&reporting->totals);
    mem_free(reporting);
    return rc;
}
