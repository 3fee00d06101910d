/* linear.c - weights and the linear op of the cpu backend: what is allocated and how work is cut.
 * linear.h says how it is computed. */
#include "worker/nn/cpu/linear.h"

#include "common/base/check.h"
#include "common/base/mem.h"
#include "worker/nn/cpu/cpu.h"

#include <string.h>

#define ROWS_OF_LEVELS  2304 /* i8: rows of x that are rounded at a time */
#define TASKS_OF_THREAD 8
#define PANELS_MIN      8 /* of a task, for each puts its rows into the buffer anew */
/* i8 sums are 32-bit: 127 * 127 * K. */
#define COLUMNS_MAX_I8 131072

static size_t rounded_up(size_t count, size_t unit)
{
    return (count + unit - 1) / unit * unit;
}

static enum linear_form form_of(const struct cpu_backend *backend, enum dtype dtype)
{
    if (dtype == DTYPE_F32) return LINEAR_F32;
    if (dtype == DTYPE_F16) return LINEAR_F16;
    if (dtype == DTYPE_BF16)
        return backend->kernels->has_bf16_pairs ? LINEAR_BF16_PAIRS : LINEAR_BF16;
    CHECK(dtype == DTYPE_I8);
    return backend->kernels->has_quads ? LINEAR_I8_QUADS : LINEAR_I8_PAIRS;
}

static void pack_panel(void *arg, uint32_t panel, uint32_t thread)
{
    const struct linear_pack_job *job = arg;
    (void)thread;
    job->kernels->linear_pack(job, panel);
}

/* The bytes of all, and in weight the shape of each. */
static size_t lay_out(struct cpu_weight *weight, size_t rows, size_t columns)
{
    const size_t elements = linear_packet_elements(weight->form);
    const size_t element_bytes = dtype_bytes(weight->base.dtype);
    weight->panels = (uint32_t)(rounded_up(rows, LINEAR_PANEL) / LINEAR_PANEL);
    weight->packets = rounded_up(columns, elements) / elements;
    weight->panel_bytes = weight->packets * elements * element_bytes * LINEAR_PANEL;
    const size_t data_bytes = weight->panels * weight->panel_bytes;
    const size_t of_column = (size_t)weight->panels * LINEAR_PANEL * 4;
    if (weight->base.dtype != DTYPE_I8) return data_bytes;
    return data_bytes + of_column * (weight->form == LINEAR_I8_QUADS ? 2 : 1);
}

int cpu_weight_new(struct backend *base, struct backend_weight **out, const struct tensor *parts,
                   uint32_t parts_count, int64_t columns, enum dtype dtype, struct err *err)
{
    struct cpu_backend *backend = (struct cpu_backend *)base;
    size_t rows = 0;
    *out = NULL;
    for (uint32_t i = 0; i < parts_count; i++) rows += (size_t)parts[i].shape[0];
    CHECK(rows && rows <= UINT32_MAX && columns > 0);
    if (dtype == DTYPE_I8 && columns > COLUMNS_MAX_I8)
        return err_set(err, ERR_LIMIT,
                       "i8 weights may have up to %d columns, and here are %lld: take bf16",
                       COLUMNS_MAX_I8, (long long)columns);
    struct cpu_weight *weight = mem_new(sizeof *weight);
    weight->base = (struct backend_weight){(int64_t)rows, columns, dtype, 0};
    weight->form = form_of(backend, dtype);
    weight->base.bytes = lay_out(weight, rows, (size_t)columns);
    weight->data = backend_alloc(base, weight->base.bytes);
    if (!weight->data) {
        const size_t bytes = weight->base.bytes;
        mem_free(weight);
        return err_set(err, ERR_LIMIT, "no memory for a weight of %zu bytes", bytes);
    }
    if (dtype == DTYPE_I8) {
        const size_t in_panels = (size_t)weight->panels * LINEAR_PANEL;
        weight->scale = (void *)(weight->data + weight->panels * weight->panel_bytes);
        if (weight->form == LINEAR_I8_QUADS) weight->offset = (void *)(weight->scale + in_panels);
    }
    struct linear_pack_job job = {.kernels = backend->kernels,
                                  .weight = weight,
                                  .parts = parts,
                                  .parts_count = parts_count,
                                  .columns = (size_t)(tensor_count(&parts[0]) / parts[0].shape[0])};
    cpu_pool_run(backend->pool, weight->panels, pack_panel, &job);
    *out = &weight->base;
    return 0;
}

void cpu_weight_free(struct backend *base, struct backend_weight *weight)
{
    if (!weight) return;
    backend_free(base, ((struct cpu_weight *)weight)->data);
    mem_free(weight);
}

struct product {
    struct cpu_backend *backend;
    struct linear_job job;
};

static void multiply(void *arg, uint32_t task, uint32_t thread)
{
    struct product *product = arg;
    product->backend->kernels->linear_block(&product->job, task,
                                            &product->backend->scratch[thread]);
}

#define QUANTIZE_ROWS 8 /* of a task */

static void quantize(void *arg, uint32_t task, uint32_t thread)
{
    struct product *product = arg;
    const size_t first = (size_t)task * QUANTIZE_ROWS, left = product->job.rows - first;
    (void)thread;
    for (size_t i = 0; i < (left < QUANTIZE_ROWS ? left : QUANTIZE_ROWS); i++)
        product->backend->kernels->linear_quantize(&product->job, first + i);
}

/* Blocks of even size, enough of them that threads end together. */
static void cut(struct linear_job *job, uint32_t threads)
{
    const uint32_t rows = (uint32_t)job->rows, panels = job->weight->panels;
    job->row_blocks = (rows + LINEAR_ROWS_MAX - 1) / LINEAR_ROWS_MAX;
    const uint32_t even = (rows + job->row_blocks - 1) / job->row_blocks;
    job->block_rows = (uint32_t)rounded_up(even, LINEAR_TILE_ROWS);
    job->row_blocks = (rows + job->block_rows - 1) / job->block_rows;
    uint32_t blocks = (panels + LINEAR_PANELS_MAX - 1) / LINEAR_PANELS_MAX;
    const uint32_t wanted = threads == 1 ? 1 : threads * TASKS_OF_THREAD;
    const uint32_t at_least = (wanted + job->row_blocks - 1) / job->row_blocks;
    if (blocks < at_least) blocks = at_least;
    job->block_panels = (uint32_t)rounded_up((panels + blocks - 1) / blocks, LINEAR_TILE_PANELS);
    if (job->block_panels < PANELS_MIN) job->block_panels = PANELS_MIN;
    job->column_blocks = (panels + job->block_panels - 1) / job->block_panels;
}

static void run(struct product *product)
{
    cut(&product->job, product->backend->base.threads);
    const uint32_t tasks = product->job.row_blocks * product->job.column_blocks;
    cpu_pool_run(product->backend->pool, tasks, multiply, product);
}

/* Rows of x as levels, for i8: so many at a time that the buffer stays small. */
static void run_levels(struct product *product, size_t rows)
{
    struct cpu_backend *backend = product->backend;
    struct linear_job *job = &product->job;
    const size_t turns = (rows + ROWS_OF_LEVELS - 1) / ROWS_OF_LEVELS;
    const size_t at_once = rounded_up((rows + turns - 1) / turns, LINEAR_TILE_ROWS);
    job->level_stride = rounded_up(job->columns, 64);
    const size_t bytes = at_once * (job->level_stride + sizeof *job->level_scale);
    job->levels = cpu_memory(&backend->levels, bytes);
    if (!job->levels) {
        backend_fail(&backend->base, ERR_LIMIT, "no memory for %zu rows of i8", at_once);
        return;
    }
    job->level_scale = (void *)(job->levels + at_once * job->level_stride);
    for (; job->first_row < rows; job->first_row += job->rows) {
        const size_t left = rows - job->first_row;
        job->rows = left < at_once ? left : at_once;
        const size_t tasks = (job->rows + QUANTIZE_ROWS - 1) / QUANTIZE_ROWS;
        cpu_pool_run(backend->pool, (uint32_t)tasks, quantize, product);
        run(product);
    }
}

void cpu_linear(struct backend *base, const struct op_linear *op)
{
    const struct cpu_weight *weight = (const struct cpu_weight *)op->weight;
    const size_t columns = (size_t)weight->base.columns;
    const size_t rows = (size_t)tensor_count(&op->x) / columns;
    struct product product = {
        .backend = (struct cpu_backend *)base,
        .job = {.op = op, .weight = weight, .rows = rows, .columns = columns},
    };
    CHECK(rows <= INT32_MAX);
    if (!rows) return;
    if (weight->scale)
        run_levels(&product, rows);
    else
        run(&product);
}
