/* linear.c - weights, and how a product and what is behind it are shared out.
 *
 * The product itself can add a bias and a residual of its own type. So the ways, quickest first:
 *   - all of it in the product, where there is no activation;
 *   - the product with its bias in out, then the activation in place: what goes into it has been
 *     rounded to out's type;
 *   - the product alone as f32 in scratch memory, and one kernel for all the rest: where the
 *     types are unlike, an activation has a residual behind it, or there is no such product.
 * Which way is taken depends on the op's types and operands, not on the number of rows. */
#include "common/base/check.h"
#include "common/base/mem.h"
#include "worker/nn/cuda/cuda.h"
#include "worker/nn/cuda/kernels.h"

#include <string.h>

#define CHUNK_BYTES ((size_t)1 << 20) /* of a weight as f32, at once */

/* Rows [first, first + count) of a part as dtype, each with zeros up to `columns`. row: scratch. */
static void convert(char *dst, float *row, const struct tensor *part, int64_t first, int64_t count,
                    int64_t columns, enum dtype dtype)
{
    const int64_t own = tensor_count(part) / part->shape[0];
    const size_t row_bytes = (size_t)columns * dtype_bytes(dtype);
    for (int64_t i = 0; i < count; i++) {
        const size_t at = (size_t)((first + i) * own) * dtype_bytes(part->dtype);
        dtype_widen(row, (const char *)part->data + at, part->dtype, (size_t)own);
        dtype_narrow(dst + (size_t)i * row_bytes, dtype, row, (size_t)columns);
    }
}

/* One part to its rows of the weight, from `at` on. */
static int write_part(struct cuda_backend *cuda, char *at, const struct tensor *part,
                      int64_t columns, enum dtype dtype, struct err *err)
{
    const size_t row_bytes = (size_t)columns * dtype_bytes(dtype);
    const int64_t rows = part->shape[0], fit = (int64_t)(CHUNK_BYTES / row_bytes);
    const int64_t step = fit < 1 ? 1 : fit < rows ? fit : rows;
    float *row = mem_try((size_t)columns * sizeof *row); /* its zeros stay */
    char *chunk = mem_try((size_t)step * row_bytes);
    int rc = 0;
    if (!row || !chunk) rc = err_set(err, ERR_LIMIT, "no memory to convert a weight");
    for (int64_t first = 0; !rc && first < rows; first += step) {
        const int64_t count = rows - first < step ? rows - first : step;
        convert(chunk, row, part, first, count, columns, dtype);
        cuda_write(cuda, at + (size_t)first * row_bytes, chunk, (size_t)count * row_bytes);
    }
    mem_free(row);
    mem_free(chunk);
    return rc;
}

int cuda_weight_new(struct backend *backend, struct backend_weight **weight,
                    const struct tensor *parts, uint32_t parts_count, int64_t columns,
                    enum dtype dtype, struct err *err)
{
    struct cuda_backend *cuda = (struct cuda_backend *)backend;
    int64_t rows = 0;
    int rc = 0;
    if (!dtype_is_real(dtype))
        return err_set(err, ERR_INVALID,
                       "weights of %s are for the cpu; on cuda take bf16, f16 or f32",
                       dtype_name(dtype));
    for (uint32_t p = 0; p < parts_count; p++) rows += parts[p].shape[0];
    const size_t row_bytes = (size_t)columns * dtype_bytes(dtype);
    const size_t bytes = (size_t)rows * row_bytes;
    struct cuda_weight *new = mem_new(sizeof *new);
    new->base = (struct backend_weight){rows, columns, dtype, bytes};
    new->data = cuda_alloc(backend, bytes);
    cuda->latest = "weight";
    if (!new->data && !cuda->base.err.code)
        rc = err_set(err, ERR_LIMIT, "a weight of %zu bytes does not fit in the device's memory",
                     bytes);
    char *at = new->data;
    for (uint32_t p = 0; !rc && !cuda->base.err.code && p < parts_count; p++) {
        rc = write_part(cuda, at, &parts[p], columns, dtype, err);
        at += (size_t)parts[p].shape[0] * row_bytes;
    }
    if (!rc && cuda->base.err.code)
        rc = err_set(err, cuda->base.err.code, "%s", cuda->base.err.msg);
    if (rc)
        cuda_weight_free(backend, &new->base);
    else
        *weight = &new->base;
    return rc;
}

void cuda_weight_free(struct backend *backend, struct backend_weight *weight)
{
    struct cuda_weight *own = (struct cuda_weight *)weight;
    if (own->data) cuda_free(backend, own->data);
    mem_free(own);
}

static bool is_aligned(const void *data, int64_t columns, enum dtype dtype)
{
    const size_t alignment = matmul_alignment((size_t)columns * dtype_bytes(dtype));
    return (uintptr_t)data % alignment == 0;
}

/* x in the weight's type and aligned; NULL: an error was kept. */
static const void *ready_x(struct cuda_backend *cuda, const struct op_linear *op)
{
    const enum dtype dtype = op->weight->dtype;
    struct tensor ready = op->x;
    if (op->x.dtype == dtype && is_aligned(op->x.data, op->weight->columns, dtype))
        return op->x.data;
    ready.dtype = dtype;
    ready.data = cuda_scratch(cuda, &cuda->x, tensor_bytes(&ready));
    if (!ready.data) return NULL;
    cuda_map(&(struct op_map){op->x, ready, ACTIVATION_NONE}, cuda->stream);
    return ready.data;
}

/* The bias in out's type; NULL: an error was kept. */
static const void *ready_bias(struct cuda_backend *cuda, const struct op_linear *op)
{
    struct tensor ready = op->bias;
    if (op->out.dtype == DTYPE_F32 && (uintptr_t)op->bias.data % 16 == 0) return op->bias.data;
    ready.dtype = op->out.dtype;
    ready.data = cuda_scratch(cuda, &cuda->bias, tensor_bytes(&ready));
    if (!ready.data) return NULL;
    cuda_map(&(struct op_map){op->bias, ready, ACTIVATION_NONE}, cuda->stream);
    return ready.data;
}

/* Whether the product can be stored as out is, with the residual, where there is one. */
static bool fits_out(const struct op_linear *op)
{
    const struct tensor *out = &op->out, *residual = &op->residual;
    const int64_t columns = op->weight->rows;
    if (out->dtype != op->weight->dtype && out->dtype != DTYPE_F32) return false;
    if (!is_aligned(out->data, columns, out->dtype)) return false;
    if (!residual->data) return true;
    return op->activation == ACTIVATION_NONE && residual->dtype == out->dtype &&
           is_aligned(residual->data, columns, residual->dtype);
}

/* false: there is no such product, and nothing was done. */
static bool run_whole(struct cuda_backend *cuda, const struct op_linear *op, struct matmul_job job)
{
    struct err err;
    job.out_dtype = op->out.dtype;
    job.out = op->out.data;
    job.residual = op->residual.data;
    if (op->bias.data) {
        job.bias = ready_bias(cuda, op);
        if (!job.bias) return true;
    }
    const int rc = matmul_run(cuda->matmul, &job, &err);
    if (rc == ERR_NOT_FOUND) return false;
    if (rc)
        cuda_library_failed(cuda, &err);
    else if (op->activation != ACTIVATION_NONE)
        cuda_map(&(struct op_map){op->out, op->out, op->activation}, cuda->stream);
    return true;
}

static void run_parts(struct cuda_backend *cuda, const struct op_linear *op, struct matmul_job job)
{
    struct tensor product = op->out;
    struct err err;
    product.dtype = job.out_dtype = DTYPE_F32;
    product.data = job.out = cuda_scratch(cuda, &cuda->product, tensor_bytes(&product));
    if (!product.data) return;
    if (matmul_run(cuda->matmul, &job, &err))
        cuda_library_failed(cuda, &err);
    else
        cuda_epilogue(&(struct epilogue){product, op->out, op->bias, op->residual, op->activation},
                      cuda->stream);
}

void cuda_linear(struct backend *backend, const struct op_linear *op)
{
    struct cuda_backend *cuda = (struct cuda_backend *)backend;
    const struct cuda_weight *weight = (const struct cuda_weight *)op->weight;
    struct matmul_job job = {.dtype = weight->base.dtype,
                             .width = weight->base.rows,
                             .depth = weight->base.columns,
                             .weight = weight->data};
    if (!cuda_enter(cuda, "linear")) return;
    job.rows = tensor_count(&op->x) / job.depth;
    job.x = ready_x(cuda, op);
    if (!job.x) return;
    if (!fits_out(op) || !run_whole(cuda, op, job)) run_parts(cuda, op, job);
    (void)cuda_failed(cuda, cudaGetLastError());
}
