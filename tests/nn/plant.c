/* plant.c - a driver that calls the real one and then spoils the last number of the answer. */
#include "tests/nn/plant.h"

#include "common/base/check.h"

#include <math.h>

static struct {
    const struct backend_driver *real;
    struct backend_driver driver;
    enum op_kind kind;
    enum plant_fault fault;
    uint32_t calls;
} planted;

static bool is_due(enum op_kind kind, int64_t items)
{
    if (kind != planted.kind) return false;
    if (planted.fault == PLANT_REPEAT) return planted.calls++ % 2;
    return planted.fault != PLANT_BATCH || items == 1;
}

static void spoil(struct backend *backend, enum op_kind kind, int64_t items, enum dtype dtype,
                  char *number)
{
    uint32_t bits = 0;
    struct err err;
    if (!is_due(kind, items)) return;
    backend_read(backend, &bits, number, dtype_bytes(dtype));
    CHECK(backend_sync(backend, &err) == 0);
    if (planted.fault == PLANT_NUMBER) {
        float value;
        dtype_widen(&value, &bits, dtype, 1);
        value += 0.05f * (fabsf(value) + 1);
        dtype_narrow(&bits, dtype, &value, 1);
    } else {
        bits ^= 1;
    }
    backend_write(backend, number, &bits, dtype_bytes(dtype));
    CHECK(backend_sync(backend, &err) == 0);
}

static void spoil_tensor(struct backend *backend, enum op_kind kind, const struct tensor *out)
{
    const size_t last = tensor_bytes(out) - dtype_bytes(out->dtype);
    spoil(backend, kind, out->shape[0], out->dtype, (char *)out->data + last);
}

#define PLANTED(kind, op)                                                      \
    static void planted_##op(struct backend *backend, const struct op_##op *o) \
    {                                                                          \
        planted.real->op(backend, o);                                          \
        spoil_tensor(backend, kind, &o->out);                                  \
    }
PLANTED(OP_LINEAR, linear)
PLANTED(OP_NORM, norm)
PLANTED(OP_PATCHES, patches)
PLANTED(OP_VISION_TOKENS, vision_tokens)
PLANTED(OP_EMBED, embed)
PLANTED(OP_ROWS, rows)
PLANTED(OP_POOL, pool)
PLANTED(OP_UNIT, unit)
PLANTED(OP_MAP, map)

static void planted_attention(struct backend *backend, const struct op_attention *op)
{
    const int64_t token = (int64_t)op->q_tokens - 1; /* of the first sequence, which is whole */
    const int64_t last = token * op->out_stride + (int64_t)op->heads * op->head_dim - 1;
    planted.real->attention(backend, op);
    spoil(backend, OP_ATTENTION, op->sequences, op->dtype,
          (char *)op->out + (size_t)last * dtype_bytes(op->dtype));
}

void plant(struct backend *backend, enum op_kind kind, enum plant_fault fault)
{
    struct backend_driver *driver = &planted.driver;
    plant_remove(backend);
    planted.real = backend->driver;
    *driver = *planted.real;
    driver->linear = planted_linear;
    driver->norm = planted_norm;
    driver->attention = planted_attention;
    driver->patches = planted_patches;
    driver->vision_tokens = planted_vision_tokens;
    driver->embed = planted_embed;
    driver->rows = planted_rows;
    driver->pool = planted_pool;
    driver->unit = planted_unit;
    driver->map = planted_map;
    backend->driver = driver;
    planted.kind = kind;
    planted.fault = fault;
    planted.calls = 0;
}

void plant_remove(struct backend *backend)
{
    if (backend->driver == &planted.driver) backend->driver = planted.real;
}
