/* list_input.c - see list_input.h. */
#include "worker/list/list_input.h"

#include "common/base/check.h"
#include "common/base/str.h"
#include "worker/list/list_files.h"
#include "worker/list/list_json.h"
#include "worker/list/list_parquet.h"
#include "worker/parquet/parquet.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define MAGIC_BYTES 4

static const char *const format_names[LIST_FORMATS_COUNT] = {
    [LIST_AUTO] = "auto",   [LIST_TXT] = "txt",   [LIST_CSV] = "csv",        [LIST_TSV] = "tsv",
    [LIST_JSONL] = "jsonl", [LIST_JSON] = "json", [LIST_PARQUET] = "parquet"};

const char *list_format_name(enum list_format format)
{
    CHECK(format < LIST_FORMATS_COUNT);
    return format_names[format];
}

static bool ends_with(const char *name, size_t bytes, const char *extension)
{
    const size_t tail = strlen(extension);
    return bytes >= tail && memcmp(name + bytes - tail, extension, tail) == 0;
}

enum list_format list_format_of_name(const char *path)
{
    static const struct {
        const char *extension;
        enum list_format format;
    } known[] = {{".txt", LIST_TXT},         {".csv", LIST_CSV},      {".tsv", LIST_TSV},
                 {".jsonl", LIST_JSONL},     {".ndjson", LIST_JSONL}, {".json", LIST_JSON},
                 {".parquet", LIST_PARQUET}, {".pq", LIST_PARQUET}};
    size_t bytes = strlen(path);
    if (str_has_suffix(path, ".gz")) bytes -= 3;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (ends_with(path, bytes, known[i].extension)) return known[i].format;
    return LIST_AUTO;
}

/* Whether a file begins as parquet files do. One that cannot be opened does not; whoever opens it
 * for good says why. */
static bool looks_like_parquet(const char *path)
{
    char head[MAGIC_BYTES];
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return false;
    const ssize_t got = pread(fd, head, sizeof head, 0);
    (void)close(fd);
    return got == (ssize_t)sizeof head && parquet_magic(head, sizeof head);
}

static int choose_format(struct list_shape *shape, const struct list_input *input, struct err *err)
{
    const bool parquet = looks_like_parquet(input->path);
    shape->format = input->format == LIST_AUTO ? list_format_of_name(input->path) : input->format;
    if (shape->format == LIST_AUTO && parquet) shape->format = LIST_PARQUET;
    if (shape->format == LIST_AUTO)
        return err_set(err, ERR_INVALID,
                       "the name of %.120s does not tell its format: use --input-format with csv, "
                       "tsv, txt, jsonl, json or parquet",
                       input->path);
    if (parquet && shape->format != LIST_PARQUET)
        return err_set(err, ERR_INVALID, "%.150s is a parquet file: use --input-format parquet",
                       input->path);
    return 0;
}

int list_input_open_file(struct list_source **source, struct list_shape *shape,
                         const struct list_input *input, struct err *err)
{
    int rc = choose_format(shape, input, err);
    if (rc) return rc;
    shape->columns_known = shape->format == LIST_PARQUET;
    shape->rows = shape->format < LIST_JSON ? shape->format : LIST_JSONL;
    if (shape->format == LIST_PARQUET) return list_parquet_open(source, input, err);
    rc = list_source_open(source, input->path, err);
    if (rc) return rc;
    list_source_hash(*source, input->hash);
    list_source_watch(*source, input->look, input->look_ctx);
    if (shape->format == LIST_JSON) *source = list_json_lines(*source);
    return 0;
}

int list_input_open(struct list_source **source, struct list_shape *shape,
                    const struct list_input *input, struct err *err)
{
    if (list_files_named(input->path)) return list_files_open(source, shape, input, err);
    return list_input_open_file(source, shape, input, err);
}
