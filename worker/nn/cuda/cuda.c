/* cuda.c - the driver "cuda": an NVIDIA device, its memory and its queue of ops.
 *
 * Errors of the device come out wherever it is looked at next, so their sentence names the op at
 * which they were found; CUDA_LAUNCH_BLOCKING=1, which CUDA itself reads, finds them at once. */
#include "worker/nn/cuda/cuda.h"

#include "common/base/mem.h"
#include "worker/nn/backend_plugin.h"
#include "worker/nn/cuda/kernels.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CAPABILITY_MIN 8     /* tensor cores for bf16, cp.async */
#define ROWS_GOOD      16384 /* some tiles for each of its processors in every product */

extern const struct backend_driver backend_cuda;

bool cuda_enter(struct cuda_backend *cuda, const char *what)
{
    cuda->latest = what;
    return !cuda->base.err.code && !cuda_failed(cuda, cudaSetDevice(cuda->device));
}

/* An error that stays, whatever is asked of the device, for as long as the process lives. */
static cudaError_t loss(const struct cuda_backend *cuda)
{
    (void)cudaGetLastError();
    const cudaError_t error = cudaStreamQuery(cuda->stream);
    return error == cudaErrorNotReady ? cudaSuccess : error;
}

static void fail_lost(struct cuda_backend *cuda, cudaError_t error)
{
    backend_fail(&cuda->base, ERR_UNAVAILABLE,
                 "cuda:%d failed at %s or before and works no more in this process: %s (%s)",
                 cuda->device, cuda->latest, cudaGetErrorString(error), cudaGetErrorName(error));
}

bool cuda_failed(struct cuda_backend *cuda, cudaError_t error)
{
    if (!error) return false;
    if (loss(cuda))
        fail_lost(cuda, error);
    else
        backend_fail(&cuda->base, error == cudaErrorMemoryAllocation ? ERR_LIMIT : ERR_INTERNAL,
                     "cuda:%d, %s: %s (%s)", cuda->device, cuda->latest, cudaGetErrorString(error),
                     cudaGetErrorName(error));
    return true;
}

void cuda_library_failed(struct cuda_backend *cuda, const struct err *err)
{
    const cudaError_t error = loss(cuda);
    if (error)
        fail_lost(cuda, error);
    else
        backend_fail(&cuda->base, err->code == ERR_LIMIT ? ERR_LIMIT : ERR_INTERNAL,
                     "cuda:%d, %s: %s", cuda->device, cuda->latest, err->msg);
}

void *cuda_scratch(struct cuda_backend *cuda, struct cuda_scratch *scratch, size_t bytes)
{
    if (scratch->bytes >= bytes) return scratch->data;
    if (cuda->is_recording) {
        (void)cuda_failed(cuda, cudaErrorStreamCaptureUnsupported);
        return NULL;
    }
    cuda_graphs_forget(cuda);
    (void)cudaFree(scratch->data); /* when what uses it is done */
    *scratch = (struct cuda_scratch){0};
    if (cuda_failed(cuda, cudaMalloc(&scratch->data, bytes))) return NULL;
    scratch->bytes = bytes;
    return scratch->data;
}

void *cuda_alloc(struct backend *backend, size_t bytes)
{
    struct cuda_backend *cuda = (struct cuda_backend *)backend;
    void *data = NULL;
    if (!cuda_enter(cuda, "alloc")) return NULL;
    const cudaError_t error = cudaMalloc(&data, bytes ? bytes : 1);
    if (error == cudaErrorMemoryAllocation) {
        (void)cudaGetLastError(); /* no error of an op */
        return NULL;
    }
    return cuda_failed(cuda, error) ? NULL : data;
}

void cuda_free(struct backend *backend, void *data)
{
    struct cuda_backend *cuda = (struct cuda_backend *)backend;
    (void)cudaSetDevice(cuda->device);
    cuda_graphs_forget(cuda);
    (void)cudaFree(data); /* also of a lost device */
}

static void cuda_op_write(struct backend *backend, void *dst, const void *src, size_t bytes)
{
    struct cuda_backend *cuda = (struct cuda_backend *)backend;
    if (cuda_enter(cuda, "write")) cuda_write(cuda, dst, src, bytes);
}

static void cuda_op_write_ahead(struct backend *backend, void *dst, const void *src, size_t bytes)
{
    struct cuda_backend *cuda = (struct cuda_backend *)backend;
    if (cuda_enter(cuda, "write_ahead")) cuda_write_ahead(cuda, dst, src, bytes);
}

static void cuda_op_read(struct backend *backend, void *dst, const void *src, size_t bytes)
{
    struct cuda_backend *cuda = (struct cuda_backend *)backend;
    if (cuda_enter(cuda, "read")) cuda_read(cuda, dst, src, bytes);
}

static void cuda_sync(struct backend *backend)
{
    struct cuda_backend *cuda = (struct cuda_backend *)backend;
    (void)cudaSetDevice(cuda->device);
    if (cuda_failed(cuda, cudaStreamSynchronize(cuda->stream))) return;
    cuda_hand_over(cuda);
    if (!cuda->base.err.code) cuda_passes_ended(cuda);
}

static void cuda_close(struct backend *backend)
{
    struct cuda_backend *cuda = (struct cuda_backend *)backend;
    (void)cudaSetDevice(cuda->device);
    if (cuda->stream) (void)cudaStreamSynchronize(cuda->stream);
    cuda_graphs_forget(cuda);
    matmul_close(cuda->matmul);
    cuda_copies_close(cuda);
    cuda_passes_close(cuda);
    (void)cudaFree(cuda->x.data);
    (void)cudaFree(cuda->product.data);
    (void)cudaFree(cuda->bias.data);
    if (cuda->stream) (void)cudaStreamDestroy(cuda->stream);
    mem_free(cuda);
}

/* "cuda" is "cuda:0". */
static int parse_device(int *number, const char *device, struct err *err)
{
    const char *text = strchr(device, ':');
    char *end;
    *number = 0;
    if (!text) return 0;
    errno = 0;
    const long value = strtol(text + 1, &end, 10);
    if (text[1] < '0' || text[1] > '9' || *end || errno || value > 999)
        return err_set(err, ERR_INVALID,
                       "device %.40s: after cuda: stands its number, as in cuda:0", device);
    *number = (int)value;
    return 0;
}

/* Is it there, and can it compute as we do? */
static int check_device(int number, char *arithmetic, size_t size, struct err *err)
{
    struct cudaDeviceProp properties;
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    (void)cudaGetLastError();
    if (error == cudaErrorNoDevice || error == cudaErrorInsufficientDriver)
        return err_set(err, ERR_NOT_FOUND, "there is no CUDA device here: %s",
                       cudaGetErrorString(error));
    if (error)
        return err_set(err, ERR_UNAVAILABLE, "CUDA does not work here: %s (%s)",
                       cudaGetErrorString(error), cudaGetErrorName(error));
    if (number >= count)
        return err_set(err, ERR_NOT_FOUND, "there is no device cuda:%d: the last one is cuda:%d",
                       number, count - 1);
    const cudaError_t other = cudaGetDeviceProperties(&properties, number);
    if (other)
        return err_set(err, ERR_UNAVAILABLE, "cuda:%d: %s", number, cudaGetErrorString(other));
    if (properties.major < CAPABILITY_MIN)
        return err_set(err, ERR_NOT_FOUND,
                       "cuda:%d, %.60s, is of compute capability %d.%d; %d.0 is the least", number,
                       properties.name, properties.major, properties.minor, CAPABILITY_MIN);
    (void)snprintf(arithmetic, size, "sm_%d%d", properties.major, properties.minor);
    return 0;
}

static int cuda_memory(const char *device, size_t *free_bytes, size_t *bytes, struct err *err)
{
    int number;
    const int rc = parse_device(&number, device, err);
    if (rc) return rc;
    cudaError_t error = cudaSetDevice(number);
    if (!error) error = cudaMemGetInfo(free_bytes, bytes);
    if (!error) return 0;
    (void)cudaGetLastError(); /* no error of an op */
    *free_bytes = *bytes = 0;
    return err_set(err, ERR_UNAVAILABLE, "cuda:%d: %s", number, cudaGetErrorString(error));
}

static int open_parts(struct cuda_backend *cuda, struct err *err)
{
    cudaError_t error = cudaSetDevice(cuda->device);
    /* Who waits for the device leaves its processor to those who decode. */
    if (!error) error = cudaSetDeviceFlags(cudaDeviceScheduleBlockingSync);
    if (!error) error = cudaStreamCreateWithFlags(&cuda->stream, cudaStreamNonBlocking);
    if (error)
        return err_set(err, error == cudaErrorMemoryAllocation ? ERR_LIMIT : ERR_UNAVAILABLE,
                       "cuda:%d: %s (%s)", cuda->device, cudaGetErrorString(error),
                       cudaGetErrorName(error));
    int rc = cuda_copies_open(cuda, err);
    if (!rc) rc = cuda_passes_open(cuda, err);
    if (!rc) rc = matmul_open(&cuda->matmul, cuda->stream, err);
    return rc ? err_wrap(err, "cuda:%d", cuda->device) : 0;
}

static int cuda_open(struct backend **out, const char *device, uint32_t threads, struct err *err)
{
    char arithmetic[16];
    int number;
    int rc = parse_device(&number, device, err);
    (void)threads; /* the host only waits */
    if (!rc) rc = check_device(number, arithmetic, sizeof arithmetic, err);
    if (rc) return rc;
    struct cuda_backend *cuda = mem_new(sizeof *cuda);
    cuda->base.driver = &backend_cuda;
    cuda->base.arithmetic = cuda->arithmetic;
    cuda->base.threads = 1;
    cuda->base.rows_good = ROWS_GOOD;
    cuda->device = number;
    cuda->has_graphs = cuda_graphs_are_on();
    cuda->latest = "open";
    rc = open_parts(cuda, err);
    if (rc) {
        cuda_close(&cuda->base);
        return rc;
    }
    (void)snprintf(cuda->arithmetic, sizeof cuda->arithmetic, "%s %s", arithmetic,
                   matmul_name(cuda->matmul));
    *out = &cuda->base;
    return 0;
}

/* The ops that are one call of kernels.h. */
#define OP(name)                                                                    \
    static void cuda_op_##name(struct backend *backend, const struct op_##name *op) \
    {                                                                               \
        struct cuda_backend *cuda = (struct cuda_backend *)backend;                 \
        if (!cuda_enter(cuda, #name)) return;                                       \
        cuda_##name(op, cuda->stream);                                              \
        (void)cuda_failed(cuda, cudaGetLastError());                                \
    }
OP(norm)
OP(attention)
OP(patches)
OP(vision_tokens)
OP(embed)
OP(rows)
OP(pool)
OP(unit)
OP(map)

const struct backend_driver backend_cuda = {
    .name = "cuda",
    .open = cuda_open,
    .memory = cuda_memory,
    .close = cuda_close,
    .alloc = cuda_alloc,
    .free = cuda_free,
    .write = cuda_op_write,
    .write_ahead = cuda_op_write_ahead,
    .read = cuda_op_read,
    .pass = cuda_pass,
    .pass_ended = cuda_pass_ended,
    .pass_read = cuda_pass_read,
    .sync = cuda_sync,
    .weight_new = cuda_weight_new,
    .weight_free = cuda_weight_free,
    .linear = cuda_linear,
    .norm = cuda_op_norm,
    .attention = cuda_op_attention,
    .patches = cuda_op_patches,
    .vision_tokens = cuda_op_vision_tokens,
    .embed = cuda_op_embed,
    .rows = cuda_op_rows,
    .pool = cuda_op_pool,
    .unit = cuda_op_unit,
    .map = cuda_op_map,
};

extern const struct backend_plugin vlmq_backend_plugin;
__attribute__((visibility("default"))) const struct backend_plugin vlmq_backend_plugin = {
    .interface = BACKEND_INTERFACE,
    .version = VLMQ_VERSION,
    .driver = &backend_cuda,
};
