/* rows.c - the ops that kernel_rows.c computes row by row, spread over the threads. */
#include "common/base/check.h"
#include "worker/nn/cpu/cpu.h"
#include "worker/nn/cpu/ops.h"

/* Bytes that are read and written for a task: enough to be worth a thread's turn. */
#define TASK_BYTES 65536

struct spread {
    cpu_rows_kernel *kernel;
    const void *op;
    size_t rows, step;
};

static void run_task(void *arg, uint32_t task, uint32_t thread)
{
    const struct spread *spread = arg;
    const size_t first = task * spread->step, left = spread->rows - first;
    (void)thread;
    spread->kernel(spread->op, first, left < spread->step ? left : spread->step);
}

/* work: bytes of the op's largest operand, which tell its time. */
static void run_rows(struct backend *backend, cpu_rows_kernel *kernel, const void *op,
                     const struct tensor *out, size_t work)
{
    const struct cpu_backend *cpu = (const struct cpu_backend *)backend;
    const size_t columns = (size_t)out->shape[out->rank - 1];
    struct spread spread = {.kernel = kernel, .op = op};
    spread.rows = (size_t)tensor_count(out) / columns;
    const size_t row_work = work / spread.rows + 1;
    spread.step = row_work < TASK_BYTES ? TASK_BYTES / row_work : 1;
    const size_t tasks = (spread.rows + spread.step - 1) / spread.step;
    CHECK(tasks <= UINT32_MAX);
    cpu_pool_run(cpu->pool, (uint32_t)tasks, run_task, &spread);
}

static const struct cpu_kernels *kernels_of(const struct backend *backend)
{
    return ((const struct cpu_backend *)backend)->kernels;
}

void cpu_op_norm(struct backend *backend, const struct op_norm *op)
{
    run_rows(backend, kernels_of(backend)->norm, op, &op->out, tensor_bytes(&op->out));
}

void cpu_op_patches(struct backend *backend, const struct op_patches *op)
{
    run_rows(backend, kernels_of(backend)->patches, op, &op->out, tensor_bytes(&op->out));
}

void cpu_op_vision_tokens(struct backend *backend, const struct op_vision_tokens *op)
{
    run_rows(backend, kernels_of(backend)->vision_tokens, op, &op->out, tensor_bytes(&op->out));
}

void cpu_op_embed(struct backend *backend, const struct op_embed *op)
{
    run_rows(backend, kernels_of(backend)->embed, op, &op->out, tensor_bytes(&op->out));
}

void cpu_op_rows(struct backend *backend, const struct op_rows *op)
{
    const int64_t columns = op->out.shape[op->out.rank - 1];
    for (int64_t i = 0; i < tensor_count(&op->out) / columns; i++)
        CHECK(op->index[i] < tensor_count(&op->x) / columns);
    run_rows(backend, kernels_of(backend)->rows, op, &op->out, tensor_bytes(&op->out));
}

void cpu_op_pool(struct backend *backend, const struct op_pool *op)
{
    run_rows(backend, kernels_of(backend)->pool, op, &op->out, tensor_bytes(&op->x));
}

void cpu_op_unit(struct backend *backend, const struct op_unit *op)
{
    run_rows(backend, kernels_of(backend)->unit, op, &op->out, tensor_bytes(&op->out));
}

/* The numbers as rows of one. */
void cpu_op_map(struct backend *backend, const struct op_map *op)
{
    const struct tensor flat = tensor_reshaped(&op->out, (int64_t[]){tensor_count(&op->out), 1}, 2);
    run_rows(backend, kernels_of(backend)->map, op, &flat, tensor_bytes(&flat));
}
