/* pass.c - passes in the stream: where each begins and ends, how long it took, and what it left. */
#include "common/base/check.h"
#include "worker/nn/cuda/cuda.h"

int cuda_passes_open(struct cuda_backend *cuda, struct err *err)
{
    cudaError_t error = cudaSuccess;
    for (int i = 0; i < BACKEND_PASSES && !error; i++) {
        error = cudaEventCreateWithFlags(&cuda->pass[i].from, cudaEventBlockingSync);
        if (!error) error = cudaEventCreateWithFlags(&cuda->pass[i].to, cudaEventBlockingSync);
    }
    return error ? err_set(err, ERR_LIMIT, "no events: %s", cudaGetErrorString(error)) : 0;
}

void cuda_passes_close(struct cuda_backend *cuda)
{
    for (int i = 0; i < BACKEND_PASSES; i++) {
        if (cuda->pass[i].from) (void)cudaEventDestroy(cuda->pass[i].from);
        if (cuda->pass[i].to) (void)cudaEventDestroy(cuda->pass[i].to);
    }
}

static struct cuda_pass *pass_of(struct cuda_backend *cuda, uint64_t number)
{
    return &cuda->pass[number % BACKEND_PASSES];
}

/* All up to this number have ended. */
static void add_times(struct cuda_backend *cuda, uint64_t number)
{
    while (cuda->passes_timed < number) {
        const struct cuda_pass *pass = pass_of(cuda, ++cuda->passes_timed);
        float ms = 0;
        if (cuda_failed(cuda, cudaEventElapsedTime(&ms, pass->from, pass->to))) return;
        cuda->base.busy_ns += (int64_t)((double)ms * 1e6);
    }
}

void cuda_passes_ended(struct cuda_backend *cuda)
{
    add_times(cuda, cuda->base.passes);
}

/* Waits for the pass whose place a new one takes, so that no more are under way than there are
 * places. */
static bool make_room(struct cuda_backend *cuda)
{
    const uint64_t number = cuda->base.passes;
    if (number <= BACKEND_PASSES || cuda->passes_timed + BACKEND_PASSES >= number) return true;
    if (cuda_failed(cuda, cudaEventSynchronize(pass_of(cuda, number)->to))) return false;
    add_times(cuda, number - BACKEND_PASSES);
    return !cuda->base.err.code;
}

void cuda_pass(struct backend *backend, const void *owner, const uint32_t *shape,
               void (*ops)(void *context), void *context)
{
    struct cuda_backend *cuda = (struct cuda_backend *)backend;
    const struct cuda_pass *pass = pass_of(cuda, backend->passes);
    if (!cuda_enter(cuda, "pass") || !make_room(cuda)) return;
    if (cuda_failed(cuda, cudaEventRecord(pass->from, cuda->stream))) return;
    cuda_graph_run(cuda, owner, shape, ops, context);
    if (backend->err.code) return;
    (void)cuda_failed(cuda, cudaEventRecord(pass->to, cuda->stream));
}

bool cuda_pass_ended(struct backend *backend, uint64_t pass)
{
    struct cuda_backend *cuda = (struct cuda_backend *)backend;
    if (pass <= cuda->passes_timed) return true;
    if (!cuda_enter(cuda, "pass")) return true;
    const cudaError_t error = cudaEventQuery(pass_of(cuda, pass)->to);
    if (error == cudaErrorNotReady) {
        (void)cudaGetLastError(); /* no error of an op */
        return false;
    }
    if (!cuda_failed(cuda, error)) add_times(cuda, pass);
    return true;
}

void cuda_pass_read(struct backend *backend, uint64_t pass, void *dst, const void *src,
                    size_t bytes)
{
    struct cuda_backend *cuda = (struct cuda_backend *)backend;
    if (!cuda_enter(cuda, "read")) return;
    /* The place of one that has ended may be another's. */
    const bool has_ended = pass <= cuda->passes_timed;
    cuda_read_behind(cuda, has_ended ? NULL : pass_of(cuda, pass)->to, dst, src, bytes);
    if (!backend->err.code) add_times(cuda, pass);
}
