/* parquet.c - a parquet file: its footer, its row groups in turn, and rows out of their columns. */
#include "worker/parquet/parquet.h"

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/str.h"
#include "worker/parquet/bits.h"
#include "worker/parquet/column.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC_BYTES 4
#define TAIL_BYTES  8 /* the footer's length, and the magic once more */
#define PATH_BYTES  160

struct parquet {
    char path[PATH_BYTES]; /* as much of it as sentences need */
    struct page_file file;
    uint8_t *footer;
    struct meta meta;
    /* The rows. */
    uint32_t wanted_count;
    struct column *column;
    struct meta_chunk *chunk;
    uint32_t *slot;       /* of each leaf: the number of its chunk, plus one */
    struct thrift groups; /* before the next row group */
    uint32_t groups_left;
    int64_t group_rows; /* left in this row group */
};

bool parquet_magic(const void *data, size_t bytes)
{
    return bytes >= MAGIC_BYTES && memcmp(data, "PAR1", MAGIC_BYTES) == 0;
}

static int in_file(const struct parquet *parquet, struct err *err)
{
    return err_wrap(err, "%s", parquet->path);
}

static int in_column(const struct parquet *parquet, const char *name, struct err *err)
{
    return err_wrap(err, "%s: column \"%.60s\"", parquet->path, name);
}

/* Finds the footer; *bytes of it stand before file.end's tail. */
static int find_footer(struct parquet *parquet, size_t *bytes, struct err *err)
{
    struct stat info;
    uint8_t head[MAGIC_BYTES] = {0}, tail[TAIL_BYTES] = {0};
    if (fstat(parquet->file.fd, &info)) return err_errno(err, errno, "look at it");
    if (S_ISDIR(info.st_mode)) return err_set(err, ERR_INVALID, "is a folder");
    if (!S_ISREG(info.st_mode)) return err_set(err, ERR_INVALID, "is not a regular file");
    const int64_t size = (int64_t)info.st_size;
    if (size < MAGIC_BYTES + TAIL_BYTES)
        return err_set(err, ERR_INVALID, "is not a parquet file: it is too short");
    int rc = page_file_read(&parquet->file, head, sizeof head, 0, err);
    if (!rc) rc = page_file_read(&parquet->file, tail, sizeof tail, size - TAIL_BYTES, err);
    if (rc) return rc;
    if (memcmp(tail + 4, "PARE", MAGIC_BYTES) == 0)
        return err_set(err, ERR_INVALID, "is encrypted, which is not supported");
    if (!parquet_magic(head, sizeof head))
        return err_set(err, ERR_INVALID, "is not a parquet file: it does not begin with PAR1");
    if (!parquet_magic(tail + 4, sizeof head))
        return err_set(err, ERR_INVALID, "is cut short: a parquet file ends with PAR1");
    const int64_t length = bits_le32(tail);
    if (length > size - MAGIC_BYTES - TAIL_BYTES)
        return err_set(err, ERR_INVALID, "has a parquet footer that is longer than the file");
    if (length > PARQUET_FOOTER_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "has a parquet footer of more than %lld MiB",
                       (long long)(PARQUET_FOOTER_BYTES_MAX >> 20));
    parquet->file.end = size - TAIL_BYTES - length;
    *bytes = (size_t)length;
    return 0;
}

static int read_footer(struct parquet *parquet, struct err *err)
{
    size_t bytes = 0;
    int rc = find_footer(parquet, &bytes, err);
    if (rc) return rc;
    parquet->footer = mem_try(bytes + 1);
    if (!parquet->footer) return err_set(err, ERR_LIMIT, "no memory for its parquet footer");
    rc = page_file_read(&parquet->file, parquet->footer, bytes, parquet->file.end, err);
    return rc ? rc : meta_init(&parquet->meta, parquet->footer, bytes, err);
}

int parquet_open(struct parquet **parquet_out, const char *path, struct err *err)
{
    struct parquet *parquet = mem_new(sizeof *parquet);
    int rc = 0;
    (void)str_copy(parquet->path, sizeof parquet->path, path);
    parquet->file.allowance = PARQUET_BYTES_MAX;
    parquet->file.fd = open(path, O_RDONLY | O_CLOEXEC);
    if (parquet->file.fd < 0)
        rc = err_errno(err, errno, "open %s", path);
    else if (read_footer(parquet, err))
        rc = in_file(parquet, err);
    if (rc) {
        parquet_close(parquet);
        return rc;
    }
    *parquet_out = parquet;
    return 0;
}

/* Forgets which columns were wanted. */
static void unwant(struct parquet *parquet)
{
    for (uint32_t i = 0; i < parquet->wanted_count; i++) column_deinit(&parquet->column[i]);
    mem_free(parquet->column);
    mem_free(parquet->chunk);
    mem_free(parquet->slot);
    parquet->column = NULL;
    parquet->chunk = NULL;
    parquet->slot = NULL;
    parquet->wanted_count = 0;
}

void parquet_close(struct parquet *parquet)
{
    if (!parquet) return;
    unwant(parquet);
    page_memory_free(&parquet->file.raw, &parquet->file);
    meta_deinit(&parquet->meta);
    mem_free(parquet->footer);
    if (parquet->file.fd >= 0) (void)close(parquet->file.fd);
    mem_free(parquet);
}

uint32_t parquet_columns(const struct parquet *parquet)
{
    return parquet->meta.columns_count;
}

const struct parquet_column *parquet_column(const struct parquet *parquet, uint32_t index)
{
    CHECK(index < parquet->meta.columns_count);
    return &parquet->meta.column[index].shown;
}

int64_t parquet_rows(const struct parquet *parquet)
{
    return parquet->meta.rows;
}

int parquet_want(struct parquet *parquet, const uint32_t *columns, uint32_t count, struct err *err)
{
    CHECK(count <= parquet->meta.columns_count);
    unwant(parquet);
    parquet->groups = parquet->meta.groups;
    parquet->groups_left = parquet->meta.groups_count;
    parquet->group_rows = 0;
    parquet->column = mem_try((count + 1) * sizeof *parquet->column);
    parquet->chunk = mem_try((count + 1) * sizeof *parquet->chunk);
    parquet->slot = mem_try((parquet->meta.leaves_count + 1) * sizeof *parquet->slot);
    if (!parquet->column || !parquet->chunk || !parquet->slot) {
        (void)err_set(err, ERR_LIMIT, "no memory for its columns");
        return in_file(parquet, err);
    }
    for (uint32_t i = 0; i < count; i++) {
        CHECK(columns[i] < parquet->meta.columns_count);
        const struct meta_column *meta = &parquet->meta.column[columns[i]];
        if (meta->shown.fault) {
            (void)err_set(err, ERR_INVALID, "%s, which is not supported", meta->shown.fault);
            return in_column(parquet, meta->shown.name, err);
        }
        CHECK(parquet->slot[meta->leaf] == 0); /* each column once */
        column_init(&parquet->column[i], meta, &parquet->file);
        parquet->slot[meta->leaf] = i + 1;
        parquet->wanted_count++;
    }
    return 0;
}

static int next_group(struct parquet *parquet, struct err *err)
{
    for (uint32_t i = 0; i < parquet->wanted_count; i++) parquet->chunk[i] = (struct meta_chunk){0};
    parquet->groups_left--;
    const int rc = meta_group(&parquet->meta, &parquet->groups, parquet->slot, parquet->chunk,
                              &parquet->group_rows, err);
    if (rc) return in_file(parquet, err);
    for (uint32_t i = 0; i < parquet->wanted_count; i++) {
        struct column *column = &parquet->column[i];
        if (column_begin(column, &parquet->chunk[i], parquet->group_rows, err))
            return in_column(parquet, column->meta->shown.name, err);
    }
    return 0;
}

int parquet_next(struct parquet *parquet, struct parquet_value *values, bool *found,
                 struct err *err)
{
    *found = false;
    while (parquet->group_rows == 0) {
        if (parquet->groups_left == 0) return 0;
        const int rc = next_group(parquet, err);
        if (rc) return rc;
    }
    for (uint32_t i = 0; i < parquet->wanted_count; i++) {
        struct column *column = &parquet->column[i];
        if (column_next(column, &values[i], err))
            return in_column(parquet, column->meta->shown.name, err);
    }
    parquet->group_rows--;
    *found = true;
    return 0;
}
