/* attention.c - attention cut into tasks: some queries of one head of one sequence.
 *
 * A task packs the keys and values of its head for itself: that is less than a hundredth of its
 * work, and threads need not wait for each other. */
#include "worker/nn/cpu/attention.h"

#include "common/base/check.h"
#include "worker/nn/cpu/cpu.h"
#include "worker/nn/cpu/ops.h"

#include <string.h>

/* Scores of a block of queries that stay in a core's own cache. */
#define SCORE_BYTES (64 * 1024)
#define ROWS_MAX    (4 * ATTENTION_ROWS_UNIT)
/* Queries for which it pays to pack a head's keys once more. */
#define TASK_QUERIES_MIN 96

struct plan {
    const struct op_attention *op;
    const struct cpu_kernels *kernels;
    size_t rows;         /* queries at a time */
    size_t stride, wide; /* k_tokens and head_dim, rounded up to ATTENTION_KEYS_UNIT */
    size_t parts;        /* tasks that a head is cut into */
    size_t key, value, query, score, sum, total; /* where they begin in a thread's memory */
    size_t thread_floats;
    float *memory; /* of all threads */
};

static size_t round_up(size_t count, size_t unit)
{
    return (count + unit - 1) / unit * unit;
}

static void plan_shape(struct plan *plan)
{
    plan->stride = round_up(plan->op->k_tokens, ATTENTION_KEYS_UNIT);
    plan->rows = SCORE_BYTES / sizeof(float) / plan->stride;
    plan->rows = plan->rows / ATTENTION_ROWS_UNIT * ATTENTION_ROWS_UNIT;
    if (plan->rows < ATTENTION_ROWS_UNIT) plan->rows = ATTENTION_ROWS_UNIT;
    if (plan->rows > ROWS_MAX) plan->rows = ROWS_MAX;
}

/* About four tasks for each thread, where there are queries enough. */
static void plan_parts(struct plan *plan, size_t threads)
{
    const size_t heads = (size_t)plan->op->sequences * plan->op->heads;
    const size_t most = plan->op->q_tokens / TASK_QUERIES_MIN;
    plan->parts = threads > 1 ? (4 * threads + heads - 1) / heads : 1;
    if (plan->parts > most) plan->parts = most;
    if (plan->parts < 1) plan->parts = 1;
}

/* Where the next part of a thread's memory begins: at a cache line. */
static size_t carve(size_t *used, size_t floats)
{
    const size_t at = *used;
    *used += round_up(floats, BACKEND_ALIGNMENT / sizeof(float));
    return at;
}

static void plan_memory(struct plan *plan)
{
    const size_t dim = plan->op->head_dim;
    plan->wide = round_up(dim, ATTENTION_KEYS_UNIT);
    plan->key = carve(&plan->thread_floats, plan->stride * dim);
    plan->value = carve(&plan->thread_floats, plan->op->k_tokens * plan->wide);
    plan->query = carve(&plan->thread_floats, plan->rows * dim);
    plan->score = carve(&plan->thread_floats, plan->rows * plan->stride);
    plan->sum = carve(&plan->thread_floats, plan->rows * plan->wide);
    plan->total = carve(&plan->thread_floats, plan->rows);
}

static void clear_rows(const struct op_attention *op, size_t sequence, size_t head, size_t first,
                       size_t last)
{
    const size_t bytes = dtype_bytes(op->dtype);
    for (size_t row = first; row < last; row++) {
        const size_t token = sequence * op->q_tokens + row;
        const size_t at = token * (size_t)op->out_stride + head * op->head_dim;
        memset((char *)op->out + at * bytes, 0, op->head_dim * bytes);
    }
}

static void run_task(void *arg, uint32_t number, uint32_t thread)
{
    const struct plan *plan = arg;
    const struct op_attention *op = plan->op;
    const size_t head = number / plan->parts, part = number % plan->parts;
    const size_t step = round_up((op->q_tokens + plan->parts - 1) / plan->parts, plan->rows);
    struct attention_task task = {.op = op, .sequence = head / op->heads, .head = head % op->heads};
    float *memory = plan->memory + thread * plan->thread_floats;
    const struct attention_scratch scratch = {.rows = plan->rows,
                                              .score_stride = plan->stride,
                                              .key = memory + plan->key,
                                              .value = memory + plan->value,
                                              .query = memory + plan->query,
                                              .score = memory + plan->score,
                                              .sum_stride = plan->wide,
                                              .sum = memory + plan->sum,
                                              .total = memory + plan->total};
    const size_t tokens = op->lengths ? op->lengths[task.sequence] : op->q_tokens;
    CHECK(tokens <= op->q_tokens);
    size_t last = (part + 1) * step < op->q_tokens ? (part + 1) * step : op->q_tokens;
    task.first = part * step;
    task.keys = op->lengths ? tokens : op->k_tokens;
    if (last > tokens) {
        const size_t from = task.first > tokens ? task.first : tokens;
        clear_rows(op, task.sequence, task.head, from, last);
        last = tokens;
    }
    if (task.first >= last) return;
    task.count = last - task.first;
    plan->kernels->attention(&task, &scratch);
}

void cpu_op_attention(struct backend *backend, const struct op_attention *op)
{
    struct cpu_backend *cpu = (struct cpu_backend *)backend;
    struct plan plan = {.op = op, .kernels = cpu->kernels};
    plan_shape(&plan);
    plan_parts(&plan, backend->threads);
    plan_memory(&plan);
    const size_t bytes = backend->threads * plan.thread_floats * sizeof(float);
    plan.memory = cpu_memory(&cpu->attention, bytes);
    if (!plan.memory) {
        backend_fail(backend, ERR_LIMIT, "no memory for %zu bytes of keys, values and scores",
                     bytes);
        return;
    }
    const size_t tasks = (size_t)op->sequences * op->heads * plan.parts;
    CHECK(tasks <= UINT32_MAX);
    cpu_pool_run(cpu->pool, (uint32_t)tasks, run_task, &plan);
}
