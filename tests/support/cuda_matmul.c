/* cuda_matmul.c - the products of the CUDA backend where there is no device: the cpu backend.
 *
 * It takes and rounds what cuBLASLt does, so that the ways through linear.c are those of a device:
 * bias and residual are of out's type. With CUDA_EMULATED_BARE in the environment there are no
 * products with a bias. */
#include "common/base/check.h"
#include "common/base/mem.h"
#include "tests/support/cuda_streams.h"
#include "worker/nn/backend.h"
#include "worker/nn/cuda/matmul.h"

#include <stdlib.h>

struct matmul {
    struct backend *cpu;
    cudaStream_t stream;
};

/* What a stream or a graph keeps. */
struct kept {
    struct matmul *matmul;
    struct matmul_job job;
};

int matmul_open(struct matmul **matmul, cudaStream_t stream, struct err *err)
{
    struct matmul *new = mem_new(sizeof *new);
    const int rc = backend_open(&new->cpu, "cpu", 1, err);
    new->stream = stream;
    if (rc)
        mem_free(new);
    else
        *matmul = new;
    return rc;
}

void matmul_close(struct matmul *matmul)
{
    if (!matmul) return;
    backend_close(matmul->cpu);
    mem_free(matmul);
}

const char *matmul_name(const struct matmul *matmul)
{
    return matmul->cpu->arithmetic;
}

static struct tensor matrix(const void *data, enum dtype dtype, int64_t rows, int64_t columns)
{
    return tensor_over((void *)(uintptr_t)data, dtype, (int64_t[]){rows, columns}, 2);
}

static void check_aligned(const void *data, int64_t columns, enum dtype dtype)
{
    const size_t alignment = matmul_alignment((size_t)columns * dtype_bytes(dtype));
    CHECK((uintptr_t)data % alignment == 0);
}

static void check(const struct matmul_job *job)
{
    CHECK(dtype_is_real(job->dtype));
    CHECK(job->out_dtype == job->dtype || job->out_dtype == DTYPE_F32);
    check_aligned(job->x, job->depth, job->dtype);
    check_aligned(job->weight, job->depth, job->dtype);
    check_aligned(job->out, job->width, job->out_dtype);
    check_aligned(job->residual, job->width, job->out_dtype);
    CHECK((uintptr_t)job->bias % 16 == 0);
}

static int run(struct matmul *matmul, const struct matmul_job *job, struct err *err)
{
    const struct tensor weight = matrix(job->weight, job->dtype, job->width, job->depth);
    struct op_linear op = {.x = matrix(job->x, job->dtype, job->rows, job->depth),
                           .out = matrix(job->out, job->out_dtype, job->rows, job->width),
                           .activation = ACTIVATION_NONE};
    struct backend_weight *packed;
    float *bias = NULL;
    int rc = backend_weight_new(matmul->cpu, &packed, &weight, 1, job->depth, job->dtype, err);
    if (rc) return rc;
    if (job->bias) {
        bias = mem_new((size_t)job->width * sizeof *bias);
        dtype_widen(bias, job->bias, job->out_dtype, (size_t)job->width);
        op.bias = tensor_over(bias, DTYPE_F32, &job->width, 1);
    }
    if (job->residual) op.residual = matrix(job->residual, job->out_dtype, job->rows, job->width);
    op.weight = packed;
    matmul->cpu->driver->linear(matmul->cpu, &op);
    rc = backend_sync(matmul->cpu, err);
    backend_weight_free(matmul->cpu, packed);
    mem_free(bias);
    return rc;
}

static void run_kept(void *argument)
{
    const struct kept *kept = argument;
    struct err err;
    CHECK(run(kept->matmul, &kept->job, &err) == 0);
}

int matmul_run(struct matmul *matmul, const struct matmul_job *job, struct err *err)
{
    check(job);
    if (job->bias && getenv("CUDA_EMULATED_BARE"))
        return err_set(err, ERR_NOT_FOUND, "there is no product with a bias");
    const cudaError_t error = emulated_begin(CUDA_EMULATED_PRODUCT);
    if (error)
        return err_set(err, ERR_INTERNAL, "the product failed: %s", cudaGetErrorString(error));
    struct kept *kept = mem_new(sizeof *kept);
    *kept = (struct kept){matmul, *job};
    cuda_emulated_put(matmul->stream, run_kept, mem_free, kept);
    return 0;
}
