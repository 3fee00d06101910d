/* features.c - rows to scratch files, scratch files to safetensors and .npy. */
#include "worker/jobs/encode/features.h"

#include "common/base/check.h"
#include "common/base/fs.h"
#include "common/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ROW_BYTES_MAX ((int64_t)256 * 1024 * 1024) /* all tokens of the largest models: 10 MB */
#define NPY_ALIGN     64
#define NPY_SHAPE_MAX 96
#define TURN_NUMBERS  4096

struct column {
    char *name;
    uint32_t rank;
    int64_t shape[FEATURES_ROW_RANK_MAX];
    int64_t numbers; /* of a row */
    int fd;
};

struct features {
    struct column column[FEATURES_COLUMNS_MAX];
    uint32_t count;
    enum dtype dtype;
    size_t element;
    int64_t rows;
    void *block; /* FEATURES_BLOCK_BYTES */
};

static int check_column(struct column *to, const struct features_column *column, struct err *err)
{
    CHECK(column->rank <= FEATURES_ROW_RANK_MAX);
    to->numbers = 1;
    to->rank = column->rank;
    for (uint32_t i = 0; i < column->rank; i++) {
        to->shape[i] = column->shape[i];
        if (column->shape[i] < 1 || column->shape[i] > ROW_BYTES_MAX / 4 / to->numbers)
            return err_set(err, ERR_INVALID,
                           "the rows of %.60s would have a side of %" PRId64
                           " numbers; at most %" PRId64 " MiB fit a row",
                           column->name, column->shape[i], ROW_BYTES_MAX / 1024 / 1024);
        to->numbers *= column->shape[i];
    }
    const size_t bytes = strlen(column->name) + 1;
    to->name = mem_new(bytes);
    memcpy(to->name, column->name, bytes);
    return 0;
}

/* A file of the attempt without a name: gone when it is closed, also by a crash. */
static int open_scratch(struct column *column, const char *folder, struct err *err)
{
    char path[PATH_MAX];
    if (!fs_join(path, sizeof path, folder, column->name))
        return err_set(err, ERR_INVALID, "the path %.80s is too long", folder);
    column->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (column->fd < 0) return err_errno(err, errno, "open %s", path);
    return unlink(path) ? err_errno(err, errno, "remove %s", path) : 0;
}

int features_new(struct features **features, const struct features_options *options,
                 struct err *err)
{
    *features = NULL;
    CHECK(options->columns_count >= 1 && options->columns_count <= FEATURES_COLUMNS_MAX);
    if (!dtype_is_real(options->dtype))
        return err_set(err, ERR_INVALID, "features are written as f32, f16 or bf16, not %s",
                       dtype_name(options->dtype));
    struct features *made = mem_new(sizeof *made);
    made->dtype = options->dtype;
    made->element = dtype_bytes(options->dtype);
    for (uint32_t i = 0; i < FEATURES_COLUMNS_MAX; i++) made->column[i].fd = -1;
    made->count = options->columns_count;
    made->block = mem_try(FEATURES_BLOCK_BYTES);
    int rc = made->block ? 0 : err_set(err, ERR_LIMIT, "out of memory for features");
    for (uint32_t i = 0; i < made->count && !rc; i++) {
        rc = check_column(&made->column[i], &options->column[i], err);
        if (!rc) rc = open_scratch(&made->column[i], options->scratch_folder, err);
    }
    if (rc) {
        features_free(made);
        return rc;
    }
    *features = made;
    return 0;
}

void features_free(struct features *features)
{
    if (!features) return;
    for (uint32_t i = 0; i < features->count; i++) {
        if (features->column[i].fd >= 0) (void)close(features->column[i].fd);
        mem_free(features->column[i].name);
    }
    mem_free(features->block);
    mem_free(features);
}

int64_t features_rows(const struct features *features)
{
    return features->rows;
}

static int add_numbers(struct features *features, struct column *column, const float *data,
                       size_t count, struct err *err)
{
    const size_t step = FEATURES_BLOCK_BYTES / features->element;
    for (size_t at = 0; at < count; at += step) {
        const size_t part = count - at < step ? count - at : step;
        const void *bytes = data + at;
        if (features->dtype != DTYPE_F32) {
            dtype_narrow(features->block, features->dtype, data + at, part);
            bytes = features->block;
        }
        const int rc = fs_write_all(column->fd, bytes, part * features->element, column->name, err);
        if (rc) return rc;
    }
    return 0;
}

int features_add(struct features *features, const float *const *data, uint32_t count,
                 struct err *err)
{
    for (uint32_t i = 0; i < features->count; i++) {
        struct column *column = &features->column[i];
        const int rc =
            add_numbers(features, column, data[i], (size_t)(count * column->numbers), err);
        if (rc) return err_wrap(err, "scratch file of the features");
    }
    features->rows += count;
    return 0;
}

static int read_bytes(const struct column *column, void *dst, size_t bytes, int64_t offset,
                      struct err *err)
{
    char *to = dst;
    while (bytes) {
        const ssize_t got = pread(column->fd, to, bytes, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return err_errno(err, errno, "read the scratch file of %s", column->name);
        if (got == 0)
            return err_set(err, ERR_CORRUPT, "the scratch file of %s lost its end", column->name);
        to += got;
        offset += got;
        bytes -= (size_t)got;
    }
    return 0;
}

/* Hands a column to put, block by block, at the speed of the disk. */
static int each_block(struct features *features, const struct column *column,
                      int (*put)(void *ctx, const void *data, size_t bytes, struct err *err),
                      void *ctx, struct err *err)
{
    const int64_t bytes = features->rows * column->numbers * (int64_t)features->element;
    for (int64_t at = 0; at < bytes;) {
        const int64_t left = bytes - at;
        const size_t part =
            left < (int64_t)FEATURES_BLOCK_BYTES ? (size_t)left : FEATURES_BLOCK_BYTES;
        int rc = read_bytes(column, features->block, part, at, err);
        if (!rc) rc = put(ctx, features->block, part, err);
        if (rc) return rc;
        at += (int64_t)part;
    }
    return 0;
}

static int put_tensor(void *ctx, const void *data, size_t bytes, struct err *err)
{
    return safetensors_writer_add(ctx, data, bytes, err);
}

static const struct column *by_name(const struct features *features, const char *name)
{
    uint32_t i = 0;
    while (i < features->count && !str_eq(features->column[i].name, name)) i++;
    CHECK(i < features->count);
    return &features->column[i];
}

static int describe(const struct features *features, struct safetensors_entry *entry,
                    struct err *err)
{
    for (uint32_t i = 0; i < features->count; i++) {
        const struct column *column = &features->column[i];
        int64_t shape[FEATURES_ROW_RANK_MAX + 1] = {features->rows};
        for (uint32_t k = 0; k < column->rank; k++) shape[k + 1] = column->shape[k];
        entry[i] = (struct safetensors_entry){.name = column->name};
        const int rc =
            tensor_init(&entry[i].tensor, features->dtype, shape, column->rank + 1, NULL, err);
        if (rc) return err_wrap(err, "%s", column->name);
    }
    return 0;
}

int features_write(struct features *features, const struct safetensors_pair *pairs,
                   uint32_t pairs_count, safetensors_sink *sink, void *ctx, struct err *err)
{
    struct safetensors_entry entry[FEATURES_COLUMNS_MAX];
    const struct safetensors_entry *next;
    struct safetensors_writer *writer = NULL;
    int rc = describe(features, entry, err);
    if (!rc)
        rc = safetensors_writer_new(&writer, entry, features->count, pairs, pairs_count, sink, ctx,
                                    err);
    while (!rc && (next = safetensors_writer_next(writer)))
        rc = each_block(features, by_name(features, next->name), put_tensor, writer, err);
    safetensors_writer_free(writer);
    return rc;
}

/* As numpy writes it: magic, version 1.0, bytes of the text, the text with blanks and a line's end
 * so that the numbers begin at a multiple of 64. */
static int write_npy_header(const struct features *features, const struct column *column,
                            enum dtype dtype, safetensors_sink *sink, void *ctx, struct err *err)
{
    struct buf out;
    char shape[NPY_SHAPE_MAX];
    int used = snprintf(shape, sizeof shape, "%" PRId64 ",", features->rows);
    for (uint32_t i = 0; i < column->rank; i++)
        used += snprintf(shape + used, sizeof shape - (size_t)used, "%s%" PRId64, i ? ", " : " ",
                         column->shape[i]);
    CHECK(used < (int)sizeof shape);
    buf_init(&out, 0);
    buf_add(&out, "\x93NUMPY\x01\x00\x00\x00", 10);
    buf_printf(&out, "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }",
               dtype == DTYPE_F16 ? "<f2" : "<f4", shape);
    while ((out.len + 1) % NPY_ALIGN && !buf_failed(&out)) buf_byte(&out, ' ');
    buf_byte(&out, '\n');
    int rc = buf_failed(&out) ? err_set(err, ERR_LIMIT, "no memory for the header of a .npy") : 0;
    if (!rc) {
        out.data[8] = (char)(uint8_t)((out.len - 10) & 0xff);
        out.data[9] = (char)(uint8_t)((out.len - 10) >> 8);
        rc = sink(ctx, out.data, out.len, err);
    }
    buf_deinit(&out);
    return rc;
}

struct turn {
    struct features *features;
    enum dtype dtype;
    safetensors_sink *sink;
    void *ctx;
};

/* From the type of the rows by way of f32. */
static int put_turned(void *ctx, const void *data, size_t bytes, struct err *err)
{
    const struct turn *turn = ctx;
    const struct features *features = turn->features;
    float number[TURN_NUMBERS];
    uint16_t half[TURN_NUMBERS];
    if (turn->dtype == features->dtype) return turn->sink(turn->ctx, data, bytes, err);
    const char *from = data;
    const size_t count = bytes / features->element, step = TURN_NUMBERS;
    for (size_t at = 0; at < count; at += step) {
        const size_t part = count - at < step ? count - at : step;
        const void *out = number;
        if (features->dtype == DTYPE_F32)
            memcpy(number, from + at * sizeof(float), part * sizeof(float));
        else
            dtype_widen(number, from + at * features->element, features->dtype, part);
        if (turn->dtype != DTYPE_F32) {
            dtype_narrow(half, turn->dtype, number, part);
            out = half;
        }
        const int rc = turn->sink(turn->ctx, out, part * dtype_bytes(turn->dtype), err);
        if (rc) return rc;
    }
    return 0;
}

int features_write_npy(struct features *features, uint32_t column, enum dtype dtype,
                       safetensors_sink *sink, void *ctx, struct err *err)
{
    CHECK(column < features->count);
    struct turn turn = {features, dtype, sink, ctx};
    if (dtype != DTYPE_F32 && dtype != DTYPE_F16)
        return err_set(err, ERR_INVALID, "a .npy file holds f32 or f16: numpy has no %s",
                       dtype_name(dtype));
    const struct column *from = &features->column[column];
    const int rc = write_npy_header(features, from, dtype, sink, ctx, err);
    return rc ? rc : each_block(features, from, put_turned, &turn, err);
}

static int to_store(void *ctx, const void *data, size_t bytes, struct err *err)
{
    return store_file_write(ctx, data, bytes, err);
}

int features_publish(struct features *features, struct attempt *attempt, const char *name,
                     const struct safetensors_pair *pairs, uint32_t pairs_count, struct err *err)
{
    struct store_file *file;
    int rc = attempt_file_open(attempt, &file, name, err);
    if (rc) return rc;
    rc = features_write(features, pairs, pairs_count, to_store, file, err);
    if (!rc) return attempt_file_close(attempt, file, err);
    attempt_file_drop(attempt, file);
    return rc;
}

int features_publish_npy(struct features *features, struct attempt *attempt, const char *name,
                         uint32_t column, enum dtype dtype, struct err *err)
{
    struct store_file *file;
    int rc = attempt_file_open(attempt, &file, name, err);
    if (rc) return rc;
    rc = features_write_npy(features, column, dtype, to_store, file, err);
    if (!rc) return attempt_file_close(attempt, file, err);
    attempt_file_drop(attempt, file);
    return rc;
}

uint32_t features_pairs(struct safetensors_pair pair[FEATURES_PAIRS_MAX], struct arena *arena,
                        const struct features_about *about, enum dtype dtype)
{
    const struct safetensors_pair all[] = {
        {"arithmetic", about->arithmetic},
        {"dtype", dtype_name(dtype)},
        {"format_version", FEATURES_FORMAT_VERSION},
        {"hidden_state",
         about->has_tokens ? arena_printf(arena, "%" PRId32, about->hidden_state) : NULL},
        {"model", about->model},
        {"model_hash", about->model_hash},
        {"pooling", !about->has_tokens   ? NULL
                    : about->window <= 1 ? "none"
                                         : arena_printf(arena, "mean %ux%u of %ux%u", about->window,
                                                        about->window, about->grid, about->grid)},
        {"preprocess", about->preprocess},
        {"vlmq_version", VLMQ_VERSION},
    };
    uint32_t count = 0;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i].value && all[i].value[0]) pair[count++] = all[i];
    return count;
}
