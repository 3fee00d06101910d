/* sums.c - adding and writing counters. */
#include "worker/report/sums.h"

#include "common/base/str.h"
#include "common/base/sum.h"

#include <inttypes.h>
#include <string.h>

static struct attempt_counter *find(struct attempt_counter *counter, uint32_t count,
                                    const char *name)
{
    for (uint32_t i = 0; i < count; i++)
        if (!strcmp(counter[i].name, name)) return &counter[i];
    return NULL;
}

int64_t sums_get(const struct attempt_counter *counter, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++)
        if (!strcmp(counter[i].name, name)) return counter[i].value;
    return 0;
}

void sums_add(struct attempt_counter counter[COUNTERS_MAX], uint32_t *count,
              const struct attempt_manifest *manifest)
{
    for (uint32_t i = 0; i < manifest->counters_count; i++) {
        struct attempt_counter *sum = find(counter, *count, manifest->counter[i].name);
        if (sum)
            sum->value = sum_of(sum->value, manifest->counter[i].value);
        else if (*count < COUNTERS_MAX)
            counter[(*count)++] = manifest->counter[i];
    }
}

static void add_text(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, "\"%s\":", name);
    str_json(out, value, strlen(value));
}

void sums_counters_json(struct buf *out, const struct attempt_counter *counter, uint32_t count)
{
    buf_text(out, "\"counters\":{");
    for (uint32_t i = 0; i < count; i++)
        buf_printf(out, "%s\"%s\":%" PRId64, i ? "," : "", counter[i].name, counter[i].value);
    buf_byte(out, '}');
}

void sums_shard_json(struct buf *out, const struct attempt_manifest *manifest)
{
    buf_text(out, out->len ? ",\n  {" : "\n  {");
    add_text(out, "name", manifest->task);
    buf_printf(out, ",\"rows\":%" PRId64 ",\"success\":%" PRId64 ",\"files\":[", manifest->items,
               manifest->items_ok);
    for (uint32_t i = 0; i < manifest->files_count; i++) {
        const struct attempt_file *file = &manifest->file[i];
        buf_text(out, i ? ",{" : "{");
        add_text(out, "name", file->name);
        buf_printf(out, ",\"bytes\":%" PRId64 ",\"sha256\":\"%s\"}", file->bytes, file->sha256);
    }
    buf_text(out, "],");
    sums_counters_json(out, manifest->counter, manifest->counters_count);
    buf_byte(out, '}');
}
