/* problem.c - operands and their inputs, and the way through a backend. */
#include "tests/nn/problem.h"

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/rng.h"

#include <float.h>
#include <math.h>
#include <string.h>

const char *op_name(enum op_kind kind)
{
    static const char *const names[] = {
        [OP_LINEAR] = "linear",
        [OP_NORM] = "norm",
        [OP_ATTENTION] = "attention",
        [OP_PATCHES] = "patches",
        [OP_VISION_TOKENS] = "vision_tokens",
        [OP_EMBED] = "embed",
        [OP_ROWS] = "rows",
        [OP_POOL] = "pool",
        [OP_UNIT] = "unit",
        [OP_MAP] = "map",
    };
    return names[kind];
}

const char *type_name(enum dtype dtype)
{
    switch ((int)dtype) {
    case DTYPE_F32:
        return "f32";
    case DTYPE_BF16:
        return "bf16";
    case DTYPE_F16:
        return "f16";
    case DTYPE_I8:
        return "i8";
    default:
        return dtype_name(dtype);
    }
}

static double random_normal(struct rng *rng)
{
    const double radius = sqrt(-2 * log(1 - rng_unit(rng)));
    return radius * cos(6.283185307179586 * rng_unit(rng));
}

/* Of row `row`: each row of edges has a size of its own, which the type has room for. */
static double edge(struct rng *rng, enum dtype dtype, int64_t row, int64_t column)
{
    const double normal = random_normal(rng);
    const bool narrow = dtype == DTYPE_F16;
    switch (row % 6) {
    case 1:
        return normal * (narrow ? 400 : 1e12);
    case 2:
        return normal * (narrow ? 1e-3 : 1e-12);
    case 3:
        return 0;
    case 4:
        return column % 3 == 0 ? 0 : column % 3 == 1 ? normal * (narrow ? 1e-6 : 1e-40) : normal;
    case 5:
        return normal * (narrow ? 1e-6 : 1e-40);
    default:
        return normal;
    }
}

static double infinite(struct rng *rng, int64_t row, int64_t column, int64_t columns)
{
    const double normal = random_normal(rng);
    if (row % 3 == 1 && column == columns / 2) return row % 2 ? INFINITY : -INFINITY;
    return normal;
}

/* 2^-151 to 2^128 with a few digits each, either sign; the special numbers that every function of
 * one number has a value for; and where activations bend, -20 to 20. */
static double sweep(struct rng *rng, int64_t at)
{
    static const double special[] = {0.0,      -0.0,    INFINITY, NAN,    FLT_MAX,
                                     -FLT_MAX, FLT_MIN, -FLT_MIN, 65504,  -65504,
                                     65519,    65520,   88.72,    -88.73, -103.98};
    const int64_t specials = sizeof special / sizeof special[0];
    if (at < specials) return special[at];
    if (at % 2) return (rng_unit(rng) - 0.5) * 40;
    return ldexp(1 + rng_unit(rng), (int)(at % 279) - 151) * (at % 4 ? 1 : -1);
}

static void fill_real(struct tensor *tensor, enum fill fill, struct rng *rng)
{
    const int64_t count = tensor_count(tensor);
    const int64_t columns = tensor->shape[tensor->rank - 1];
    for (int64_t i = 0; i < count; i++) {
        const int64_t row = i / columns, column = i % columns;
        double value = 0;
        if (fill == FILL_NORMAL) value = random_normal(rng);
        if (fill == FILL_EDGES) value = edge(rng, tensor->dtype, row, column);
        if (fill == FILL_INFINITE) value = infinite(rng, row, column, columns);
        if (fill == FILL_SWEEP) value = sweep(rng, i);
        const float number = (float)value;
        char *to = (char *)tensor->data + (size_t)i * dtype_bytes(tensor->dtype);
        dtype_narrow(to, tensor->dtype, &number, 1);
    }
}

static uint64_t seed_of(const char *name, enum slot slot)
{
    uint64_t seed = 14695981039346656037u + slot; /* FNV-1a */
    for (; *name; name++) seed = (seed ^ (uint8_t)*name) * 1099511628211u;
    return seed;
}

static struct operand *operand_new(struct problem *problem, enum slot slot, enum dtype dtype,
                                   const int64_t *shape, uint32_t rank)
{
    struct operand *operand = &problem->operand[slot];
    struct err err;
    CHECK(problem->name[0]);
    CHECK(tensor_init(&operand->tensor, dtype, shape, rank, NULL, &err) == 0);
    operand->same_as = SLOT_NONE;
    return operand;
}

void problem_operand(struct problem *problem, enum slot slot, enum dtype dtype,
                     const int64_t *shape, uint32_t rank, bool batched, enum fill fill)
{
    struct operand *operand = operand_new(problem, slot, dtype, shape, rank);
    struct tensor *tensor = &operand->tensor;
    struct rng rng;
    rng_seed(&rng, seed_of(problem->name, slot));
    operand->batched = batched;
    tensor->data = mem_new(tensor_bytes(tensor));
    if (dtype == DTYPE_U8) {
        uint8_t *level = tensor->data;
        for (int64_t i = 0; i < tensor_count(tensor); i++) level[i] = (uint8_t)rng_below(&rng, 256);
    } else if (dtype != DTYPE_U32) {
        fill_real(tensor, fill, &rng);
    }
}

void problem_out(struct problem *problem, enum slot slot, enum dtype dtype, const int64_t *shape,
                 uint32_t rank)
{
    struct operand *operand = operand_new(problem, slot, dtype, shape, rank);
    operand->batched = true;
    operand->is_out = true;
}

void problem_free(struct problem *problem)
{
    for (int slot = 0; slot < SLOTS_COUNT; slot++) mem_free(problem->operand[slot].tensor.data);
    mem_free(problem->per_item);
    *problem = (struct problem){0};
}

static bool is_on_host(const struct problem *problem, int slot)
{
    return problem->kind == OP_LINEAR && slot == SLOT_WEIGHT;
}

/* The weight's rows in as many parts as the problem says, as q, k and v are stacked. */
static int open_weight(struct run *run, struct err *err)
{
    const struct problem *problem = run->problem;
    const struct tensor *all = &problem->operand[SLOT_WEIGHT].tensor;
    struct tensor parts[4];
    const int64_t count = problem->weight_parts, rows = all->shape[0];
    CHECK(count >= 1);
    CHECK(count <= 4);
    for (int64_t i = 0; i < count; i++)
        parts[i] = tensor_rows(all, rows * i / count, rows * (i + 1) / count - rows * i / count);
    return backend_weight_new(run->backend, &run->weight, parts, (uint32_t)count, problem->columns,
                              problem->weight_dtype, err);
}

static int no_memory(struct run *run, struct err *err)
{
    run_close(run);
    return err_set(err, ERR_LIMIT, "%s: no memory on the device", run->problem->name);
}

int run_open(struct run *run, const struct problem *problem, struct backend *backend,
             struct err *err)
{
    *run = (struct run){.problem = problem, .backend = backend};
    for (int slot = 0; slot < SLOTS_COUNT; slot++) {
        const struct operand *operand = &problem->operand[slot];
        if (operand->tensor.rank == 0 || is_on_host(problem, slot)) continue;
        if (operand->same_as != SLOT_NONE) continue;
        run->data[slot] = backend_alloc(backend, tensor_bytes(&operand->tensor));
        if (!run->data[slot]) return no_memory(run, err);
    }
    if (problem->per_item) {
        const size_t bytes = (size_t)problem->items * sizeof *run->per_item;
        run->per_item = backend_alloc(backend, bytes);
        if (!run->per_item) return no_memory(run, err);
        backend_write(backend, run->per_item, problem->per_item, bytes);
    }
    for (int slot = 0; slot < SLOTS_COUNT; slot++)
        if (problem->operand[slot].tensor.rank && problem->operand[slot].same_as != SLOT_NONE)
            run->data[slot] = run->data[problem->operand[slot].same_as];
    int rc = problem->kind == OP_LINEAR ? open_weight(run, err) : 0;
    if (rc) run_close(run);
    return rc;
}

void run_close(struct run *run)
{
    for (int slot = 0; slot < SLOTS_COUNT; slot++)
        if (run->problem->operand[slot].same_as == SLOT_NONE)
            backend_free(run->backend, run->data[slot]);
    backend_free(run->backend, run->per_item);
    backend_weight_free(run->backend, run->weight);
    memset(run->data, 0, sizeof run->data);
    run->per_item = NULL;
    run->weight = NULL;
}

void run_reset(struct run *run)
{
    struct err err;
    for (int slot = 0; slot < SLOTS_COUNT; slot++) {
        const struct operand *operand = &run->problem->operand[slot];
        const size_t bytes = tensor_bytes(&operand->tensor);
        if (!run->data[slot] || operand->tensor.data) continue;
        void *pattern = mem_new(bytes);
        memset(pattern, 0x5a, bytes);
        backend_write(run->backend, run->data[slot], pattern, bytes);
        CHECK(backend_sync(run->backend, &err) == 0);
        mem_free(pattern);
    }
    for (int slot = 0; slot < SLOTS_COUNT; slot++) {
        const struct tensor *tensor = &run->problem->operand[slot].tensor;
        if (run->data[slot] && tensor->data)
            backend_write(run->backend, run->data[slot], tensor->data, tensor_bytes(tensor));
    }
    CHECK(backend_sync(run->backend, &err) == 0);
}

static struct tensor view(const struct run *run, enum slot slot, int64_t first, int64_t count)
{
    const struct operand *operand = &run->problem->operand[slot];
    struct tensor tensor = operand->tensor;
    tensor.data = run->data[slot];
    return operand->batched && tensor.rank ? tensor_rows(&tensor, first, count) : tensor;
}

static void run_attention(struct run *run, int64_t first, int64_t count)
{
    const struct problem *problem = run->problem;
    struct op_attention op = problem->attention;
    op.q = view(run, SLOT_X, first, count).data;
    op.k = view(run, SLOT_K, first, count).data;
    op.v = view(run, SLOT_V, first, count).data;
    op.out = view(run, SLOT_OUT, first, count).data;
    op.sequences = (uint32_t)count;
    op.lengths = run->per_item ? run->per_item + first : NULL;
    op_attention(run->backend, &op);
}

void run_items(struct run *run, int64_t first, int64_t count)
{
    const struct problem *problem = run->problem;
    struct backend *backend = run->backend;
    const struct tensor x = view(run, SLOT_X, first, count);
    const struct tensor out = view(run, SLOT_OUT, first, count);
    const struct tensor bias = view(run, SLOT_BIAS, first, count);
    const struct tensor residual = view(run, SLOT_RESIDUAL, first, count);
    const struct tensor sum = view(run, SLOT_SUM, first, count);
    const struct tensor weight = view(run, SLOT_WEIGHT, first, count);
    const struct tensor table = view(run, SLOT_TABLE, first, count);
    const struct tensor position = view(run, SLOT_POSITION, first, count);
    switch (problem->kind) {
    case OP_LINEAR:
        op_linear(backend,
                  &(struct op_linear){x, out, bias, residual, run->weight, problem->activation});
        return;
    case OP_NORM:
        op_norm(backend, &(struct op_norm){problem->norm, x, out, weight, bias, residual, sum,
                                           problem->eps});
        return;
    case OP_ATTENTION:
        run_attention(run, first, count);
        return;
    case OP_PATCHES:
        op_patches(backend, &(struct op_patches){x, table, out, problem->patch});
        return;
    case OP_VISION_TOKENS:
        op_vision_tokens(backend, &(struct op_vision_tokens){x, weight, position, out});
        return;
    case OP_EMBED:
        op_embed(backend, &(struct op_embed){x, table, position, out});
        return;
    case OP_ROWS:
        op_rows(backend, &(struct op_rows){x, out, run->per_item + first});
        return;
    case OP_POOL:
        op_pool(backend, &(struct op_pool){x, out, problem->grid, problem->window});
        return;
    case OP_UNIT:
        op_unit(backend, &(struct op_unit){x, out});
        return;
    case OP_MAP:
        op_map(backend, &(struct op_map){x, out, problem->activation});
        return;
    case OPS_COUNT:
        break;
    }
    CHECK(false);
}

int run_answer(struct run *run, struct answer *answer, struct err *err)
{
    *answer = (struct answer){{0}};
    for (int slot = 0; slot < SLOTS_COUNT; slot++) {
        const struct operand *operand = &run->problem->operand[slot];
        if (!operand->is_out) continue;
        const size_t bytes = tensor_bytes(&operand->tensor);
        answer->data[slot] = mem_new(bytes);
        backend_read(run->backend, answer->data[slot], run->data[slot], bytes);
    }
    int rc = backend_sync(run->backend, err);
    if (rc) answer_free(answer);
    return rc ? err_wrap(err, "%s", run->problem->name) : 0;
}

void answer_free(struct answer *answer)
{
    for (int slot = 0; slot < SLOTS_COUNT; slot++) mem_free(answer->data[slot]);
    *answer = (struct answer){{0}};
}
