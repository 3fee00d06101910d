/* weights.c - first every name and shape, then one allocation, then the data. */
#include "worker/nn/load/weights.h"

#include "common/base/check.h"
#include "common/base/thread.h"

#include <stdbool.h>
#include <string.h>

#define BLOCK           1024          /* numbers that are looked at together */
#define CHECKERS_MAX    4             /* threads; memory gives no more */
#define CHECKER_NUMBERS (128 * BLOCK) /* of a tensor at least, for a thread has its price */

void weight_table_add(struct weight_table *table, const struct weight_row *row)
{
    if (table->count == table->room) {
        const uint32_t room = table->room ? table->room * 2 : 64;
        struct weight_row *grown = arena_new(table->arena, room * sizeof *grown);
        if (table->count) memcpy(grown, table->row, table->count * sizeof *grown);
        table->row = grown;
        table->room = room;
    }
    struct weight_row *added = &table->row[table->count++];
    *added = *row;
    for (uint32_t i = 0; i < WEIGHT_PARTS_MAX && row->name[i]; i++)
        added->name[i] = arena_printf(table->arena, "%s%s", table->prefix, row->name[i]);
    added->dtype = table->dtype;
}

static uint32_t parts_count(const struct weight_row *row)
{
    uint32_t count = 0;
    while (count < WEIGHT_PARTS_MAX && row->name[count]) count++;
    return count;
}

static uint32_t rank_of(const struct weight_row *row)
{
    uint32_t rank = 0;
    while (rank < WEIGHT_RANK_MAX && row->shape[rank]) rank++;
    return rank;
}

static int check_tensor(const struct safetensors *file, const struct weight_row *row,
                        const char *name, struct err *err)
{
    char have[TENSOR_SHAPE_BYTES], want[TENSOR_SHAPE_BYTES];
    const struct safetensors_entry *entry = safetensors_find(file, name);
    if (!entry) return err_set(err, ERR_NOT_FOUND, "tensor %s is missing", name);
    if (!dtype_is_real(entry->tensor.dtype))
        return err_set(err, ERR_INVALID, "tensor %s is of type %s; F32, BF16 and F16 are supported",
                       name, dtype_name(entry->tensor.dtype));
    if (tensor_has_shape(&entry->tensor, row->shape, rank_of(row))) return 0;
    const struct tensor wanted = tensor_over(NULL, DTYPE_U8, row->shape, rank_of(row));
    return err_set(err, ERR_INVALID, "tensor %s has the shape %.60s; config.json makes it %.60s",
                   name, tensor_shape_text(have, &entry->tensor), tensor_shape_text(want, &wanted));
}

/* The tensor that the parts of a row make, without data. */
static int describe(struct tensor *whole, const struct safetensors *file,
                    const struct weight_row *row, struct err *err)
{
    int64_t shape[WEIGHT_RANK_MAX];
    const enum dtype dtype =
        row->kind == WEIGHT_STORED ? safetensors_find(file, row->name[0])->tensor.dtype : DTYPE_F32;
    memcpy(shape, row->shape, sizeof shape);
    if (__builtin_mul_overflow(shape[0], (int64_t)parts_count(row), &shape[0]))
        return err_set(err, ERR_LIMIT, "tensor %s is too large", row->name[0]);
    const int rc = tensor_init(whole, dtype, shape, rank_of(row), NULL, err);
    return rc ? err_wrap(err, "tensor %s", row->name[0]) : 0;
}

static size_t aligned(size_t bytes)
{
    return (bytes + BACKEND_ALIGNMENT - 1) / BACKEND_ALIGNMENT * BACKEND_ALIGNMENT;
}

/* Every tensor is there and right, and the fields of F32 and STORED have their shapes. *f32_bytes
 * is where those STORED begin in the memory of all. */
static int check_all(struct weights *weights, const struct safetensors *file,
                     const struct weight_table *table, size_t *f32_bytes, struct err *err)
{
    size_t bytes[] = {[WEIGHT_F32] = 0, [WEIGHT_STORED] = 0};
    for (uint32_t i = 0; i < table->count; i++) {
        const struct weight_row *row = &table->row[i];
        int rc = 0;
        for (uint32_t part = 0; !rc && part < parts_count(row); part++)
            rc = check_tensor(file, row, row->name[part], err);
        if (rc) return rc;
        if (row->kind == WEIGHT_MATRIX) continue;
        struct tensor *field = row->field;
        rc = describe(field, file, row, err);
        if (rc) return rc;
        if (__builtin_add_overflow(bytes[row->kind], aligned(tensor_bytes(field)),
                                   &bytes[row->kind]))
            return err_set(err, ERR_LIMIT, "its tensors are too large together");
    }
    *f32_bytes = bytes[WEIGHT_F32];
    if (__builtin_add_overflow(bytes[WEIGHT_F32], bytes[WEIGHT_STORED], &weights->bytes))
        return err_set(err, ERR_LIMIT, "its tensors are too large together");
    return 0;
}

/* One behind the other in the memory of all. */
static void place_fields(const struct weight_table *table, enum weight_kind kind, char *at)
{
    for (uint32_t i = 0; i < table->count; i++) {
        if (table->row[i].kind != kind) continue;
        struct tensor *field = table->row[i].field;
        field->data = at;
        at += aligned(tensor_bytes(field));
    }
}

/* Whether no exponent is all ones: neither infinite nor NaN. Such a one carries into the highest
 * bit. A block's length is known here, so that a compiler takes vectors: as fast as memory. */
static bool is_finite_32(const uint32_t bits[BLOCK])
{
    uint32_t sums = 0;
    for (size_t i = 0; i < BLOCK; i++) sums |= (bits[i] & 0x7fffffffu) + 0x00800000u;
    return !(sums & 0x80000000u);
}

static bool is_finite_16(const uint16_t bits[BLOCK], uint16_t infinite)
{
    const uint16_t lacks = (uint16_t)(0x8000u - infinite);
    uint16_t sums = 0;
    for (size_t i = 0; i < BLOCK; i++)
        sums = (uint16_t)(sums | (uint16_t)((bits[i] & 0x7fffu) + lacks));
    return !(sums & 0x8000u);
}

static bool is_finite(const void *block, enum dtype dtype)
{
    if (dtype == DTYPE_F32) return is_finite_32(block);
    return is_finite_16(block, dtype == DTYPE_F16 ? 0x7c00u : 0x7f80u);
}

/* A part of a tensor, and the thread that looks at it. */
struct checker {
    struct thread thread;
    const char *data;
    size_t count;
    enum dtype dtype;
    bool finite;
};

static void check_part(void *arg)
{
    struct checker *part = arg;
    const size_t bytes = dtype_bytes(part->dtype);
    uint32_t rest[BLOCK] = {0};
    size_t at = 0;
    part->finite = true;
    for (; part->finite && part->count - at >= BLOCK; at += BLOCK)
        part->finite = is_finite(part->data + at * bytes, part->dtype);
    if (!part->finite || at == part->count) return;
    memcpy(rest, part->data + at * bytes, (part->count - at) * bytes);
    part->finite = is_finite(rest, part->dtype);
}

/* On as many threads as the backend has: most of the time goes into the pages of the map. A part
 * for which there is no thread is looked at here. */
static int check_finite(const char *name, const struct tensor *tensor, uint32_t threads,
                        struct err *err)
{
    struct checker part[CHECKERS_MAX] = {0};
    const size_t bytes = dtype_bytes(tensor->dtype), all = (size_t)tensor_count(tensor);
    size_t count = all / CHECKER_NUMBERS, at = 0;
    bool finite = true;
    if (count > threads) count = threads;
    if (count > CHECKERS_MAX) count = CHECKERS_MAX;
    if (count < 1) count = 1;
    for (size_t i = 0; i < count; i++) {
        const size_t some = i + 1 < count ? all / count : all - at;
        part[i].data = (const char *)tensor->data + at * bytes;
        part[i].count = some;
        part[i].dtype = tensor->dtype;
        if (i + 1 == count || thread_start(&part[i].thread, "nn-check", check_part, &part[i], err))
            check_part(&part[i]);
        at += some;
    }
    for (size_t i = 0; i < count; i++) {
        thread_join(&part[i].thread);
        finite = finite && part[i].finite;
    }
    if (finite) return 0;
    return err_set(err, ERR_CORRUPT, "tensor %s has a number that is infinite or none", name);
}

/* The parts of a row as they lie in the map, looked at: they are in the processor's cache then. */
static int find_parts(struct tensor part[WEIGHT_PARTS_MAX], const struct backend *backend,
                      const struct safetensors *file, const struct weight_row *row, struct err *err)
{
    for (uint32_t i = 0; i < parts_count(row); i++) {
        part[i] = safetensors_find(file, row->name[i])->tensor;
        const int rc = check_finite(row->name[i], &part[i], backend->threads, err);
        if (rc) return rc;
    }
    return 0;
}

/* The device has them: a worker needs memory for one of them beside the weights. */
static void release_parts(const struct safetensors *file, const struct weight_row *row)
{
    for (uint32_t i = 0; i < parts_count(row); i++)
        safetensors_release(file, safetensors_find(file, row->name[i]));
}

/* All F32 tensors, converted in memory of ours and sent together. */
static int load_f32(struct weights *weights, struct backend *backend,
                    const struct safetensors *file, const struct weight_table *table,
                    size_t f32_bytes, struct err *err)
{
    struct tensor part[WEIGHT_PARTS_MAX];
    int rc = 0;
    char *host = f32_bytes ? mem_try(f32_bytes) : NULL;
    if (f32_bytes && !host)
        return err_set(err, ERR_LIMIT, "out of memory for %zu bytes of weights", f32_bytes);
    for (uint32_t i = 0; !rc && i < table->count; i++) {
        const struct weight_row *row = &table->row[i];
        if (row->kind != WEIGHT_F32) continue;
        rc = find_parts(part, backend, file, row, err);
        const struct tensor *field = row->field;
        char *at = host + ((const char *)field->data - (const char *)weights->memory);
        for (uint32_t k = 0; !rc && k < parts_count(row); k++) {
            const size_t count = (size_t)tensor_count(&part[k]);
            dtype_widen((float *)(void *)at, part[k].data, part[k].dtype, count);
            at += count * sizeof(float);
        }
    }
    if (!rc && f32_bytes) backend_write(backend, weights->memory, host, f32_bytes);
    if (!rc) rc = backend_sync(backend, err);
    mem_free(host);
    return rc;
}

static int load_matrix(struct weights *weights, struct backend *backend,
                       const struct safetensors *file, const struct weight_row *row,
                       struct err *err)
{
    struct tensor part[WEIGHT_PARTS_MAX];
    struct backend_weight **field = row->field;
    int rc = find_parts(part, backend, file, row, err);
    if (rc) return rc;
    int64_t columns = 1;
    for (uint32_t i = 1; i < rank_of(row); i++) columns *= row->shape[i];
    if (rank_of(row) > 2)
        columns = (columns + WEIGHT_COLUMNS - 1) / WEIGHT_COLUMNS * WEIGHT_COLUMNS;
    rc = backend_weight_new(backend, field, part, parts_count(row), columns, row->dtype, err);
    if (!rc) weights->bytes += (*field)->bytes;
    return rc ? err_wrap(err, "tensor %s", row->name[0]) : 0;
}

static int load_stored(struct backend *backend, const struct safetensors *file,
                       const struct weight_row *row, struct err *err)
{
    struct tensor part[WEIGHT_PARTS_MAX];
    const struct tensor *field = row->field;
    CHECK(parts_count(row) == 1);
    const int rc = find_parts(part, backend, file, row, err);
    if (!rc) backend_write(backend, field->data, part[0].data, tensor_bytes(field));
    return rc;
}

int weights_load(struct weights *weights, struct backend *backend, const struct safetensors *file,
                 const struct weight_table *table, struct err *err)
{
    size_t f32_bytes = 0;
    *weights = (struct weights){0};
    int rc = check_all(weights, file, table, &f32_bytes, err);
    if (rc) return rc;
    safetensors_prefetch(file);
    if (weights->bytes) {
        weights->memory = backend_alloc(backend, weights->bytes);
        if (!weights->memory)
            return err_set(err, ERR_LIMIT, "out of memory for %zu bytes of weights",
                           weights->bytes);
    }
    if (weights->memory) {
        place_fields(table, WEIGHT_F32, weights->memory);
        place_fields(table, WEIGHT_STORED, (char *)weights->memory + f32_bytes);
    }
    rc = load_f32(weights, backend, file, table, f32_bytes, err);
    for (uint32_t i = 0; !rc && i < table->count; i++) {
        const struct weight_row *row = &table->row[i];
        if (row->kind == WEIGHT_MATRIX) rc = load_matrix(weights, backend, file, row, err);
        if (row->kind == WEIGHT_STORED) rc = load_stored(backend, file, row, err);
        if (!rc) release_parts(file, row);
    }
    if (!rc) rc = safetensors_unchanged(file, err);
    return rc ? rc : backend_sync(backend, err); /* the map may go */
}

void weights_free(struct weights *weights, struct backend *backend,
                  const struct weight_table *table)
{
    for (uint32_t i = 0; i < table->count; i++)
        if (table->row[i].kind == WEIGHT_MATRIX) {
            struct backend_weight **field = table->row[i].field;
            backend_weight_free(backend, *field);
            *field = NULL;
        }
    backend_free(backend, weights->memory);
    *weights = (struct weights){0};
}
