/* cpu.c - the driver "cpu": kernels for this machine's processor, on all threads it may use. */
#include "worker/nn/cpu/cpu.h"

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/thread.h"
#include "worker/nn/cpu/ops.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define THREADS_MAX    1024u
#define PAGE_BYTES_BIG ((size_t)2 << 20)

/* What is large is asked for in large pages: fewer faults as it is filled, fewer misses of the
 * table of pages as it is read. */
static void *cpu_alloc(struct backend *backend, size_t bytes)
{
    void *data = NULL;
    const bool is_large = bytes >= PAGE_BYTES_BIG;
    (void)backend;
    if (posix_memalign(&data, is_large ? PAGE_BYTES_BIG : BACKEND_ALIGNMENT, bytes ? bytes : 1))
        return NULL;
    if (is_large) (void)madvise(data, bytes, MADV_HUGEPAGE); /* where the system has them */
    return data;
}

static void cpu_free(struct backend *backend, void *data)
{
    (void)backend;
    free(data);
}

void *cpu_memory(struct cpu_memory *memory, size_t bytes)
{
    if (bytes > memory->bytes) {
        cpu_free(NULL, memory->data);
        memory->data = cpu_alloc(NULL, bytes);
        memory->bytes = memory->data ? bytes : 0;
    }
    return memory->data;
}

static void cpu_copy(struct backend *backend, void *dst, const void *src, size_t bytes)
{
    (void)backend;
    if (bytes) memcpy(dst, src, bytes);
}

static void cpu_sync(struct backend *backend)
{
    (void)backend; /* ops are done when they return */
}

static void cpu_close(struct backend *base)
{
    struct cpu_backend *backend = (struct cpu_backend *)base;
    cpu_pool_close(backend->pool);
    cpu_free(base, backend->scratch);
    cpu_free(base, backend->levels.data);
    cpu_free(base, backend->attention.data);
    mem_free(backend);
}

extern const struct backend_driver backend_cpu;

static int cpu_open(struct backend **out, const char *device, uint32_t threads, struct err *err)
{
    const struct cpu_kernels *kernels;
    int rc = cpu_dispatch(&kernels, err);
    (void)device;
    if (rc) return rc;
    if (!threads) threads = (uint32_t)thread_cpus();
    if (threads > THREADS_MAX) threads = THREADS_MAX;
    struct cpu_backend *backend = mem_new(sizeof *backend);
    backend->base.driver = &backend_cpu;
    backend->base.arithmetic = kernels->name;
    backend->base.threads = threads;
    backend->kernels = kernels;
    backend->scratch = cpu_alloc(&backend->base, threads * sizeof *backend->scratch);
    if (backend->scratch)
        rc = cpu_pool_open(&backend->pool, threads, err);
    else
        rc = err_set(err, ERR_LIMIT, "no memory for %u threads", threads);
    if (rc)
        cpu_close(&backend->base);
    else
        *out = &backend->base;
    return rc;
}

const struct backend_driver backend_cpu = {
    .name = "cpu",
    .open = cpu_open,
    .close = cpu_close,
    .alloc = cpu_alloc,
    .free = cpu_free,
    .write = cpu_copy,
    .write_ahead = cpu_copy,
    .read = cpu_copy,
    .sync = cpu_sync,
    .weight_new = cpu_weight_new,
    .weight_free = cpu_weight_free,
    .linear = cpu_linear,
    .norm = cpu_op_norm,
    .attention = cpu_op_attention,
    .patches = cpu_op_patches,
    .vision_tokens = cpu_op_vision_tokens,
    .embed = cpu_op_embed,
    .rows = cpu_op_rows,
    .pool = cpu_op_pool,
    .unit = cpu_op_unit,
    .map = cpu_op_map,
};
