/* graph.c - passes that come again become CUDA graphs (NVIDIA's "CUDA C++ Programming Guide", "CUDA
 * Graphs"), which the host gives with one call: where kernels are short, it is the host that a pass
 * waits for.
 *
 * A pass is run as it is when it comes first: its kernels get loaded, its scratch memory allocated
 * and its products chosen. When it comes again it is recorded and becomes a graph, and from then on
 * it is the graph that runs. What cannot be recorded is run as it is, for ever; its errors are
 * those of ops. Graphs hold addresses, so that when memory is freed (or scratch moves) none of them
 * counts any more. VLMQ_CUDA_GRAPHS=off in the environment turns them off. */
#include "common/base/check.h"
#include "common/base/mem.h"
#include "worker/nn/cuda/cuda.h"

#include <stdlib.h>
#include <string.h>

bool cuda_graphs_are_on(void)
{
    const char *wish = getenv("VLMQ_CUDA_GRAPHS");
    return !wish || strcmp(wish, "off") != 0;
}

static void forget(struct cuda_graph *graph)
{
    if (graph->exec) (void)cudaGraphExecDestroy(graph->exec);
    *graph = (struct cuda_graph){0};
}

void cuda_graphs_forget(struct cuda_backend *cuda)
{
    CHECK(!cuda->is_recording);
    for (int i = 0; i < CUDA_GRAPHS; i++) forget(&cuda->graph[i]);
}

/* That of this pass, or in its place a new one in the place of the one not used for longest. */
static struct cuda_graph *find(struct cuda_backend *cuda, const void *owner, const uint32_t *shape)
{
    struct cuda_graph *oldest = &cuda->graph[0];
    for (int i = 0; i < CUDA_GRAPHS; i++) {
        struct cuda_graph *graph = &cuda->graph[i];
        if (graph->owner == owner && !memcmp(graph->shape, shape, sizeof graph->shape))
            return graph;
        if (graph->used < oldest->used) oldest = graph;
    }
    forget(oldest);
    oldest->owner = owner;
    memcpy(oldest->shape, shape, sizeof oldest->shape);
    return oldest;
}

/* The ops as a graph; NULL: they cannot be. */
static cudaGraph_t record(struct cuda_backend *cuda, void (*ops)(void *context), void *context)
{
    cudaGraph_t recorded = NULL;
    /* What other threads ask of their devices is no part of it, and allowed. */
    if (cudaStreamBeginCapture(cuda->stream, cudaStreamCaptureModeThreadLocal)) return NULL;
    cuda->is_recording = true;
    ops(context);
    cuda->is_recording = false;
    const cudaError_t error = cudaStreamEndCapture(cuda->stream, &recorded);
    if (!error && !cuda->base.err.code) return recorded;
    if (recorded) (void)cudaGraphDestroy(recorded);
    return NULL;
}

static void make(struct cuda_backend *cuda, struct cuda_graph *graph, void (*ops)(void *context),
                 void *context)
{
    const cudaGraph_t recorded = record(cuda, ops, context);
    if (recorded) {
        if (cudaGraphInstantiateWithFlags(&graph->exec, recorded, 0)) graph->exec = NULL;
        (void)cudaGraphDestroy(recorded);
    }
    graph->is_refused = !graph->exec;
    /* Nothing has run yet, so that nothing can have failed; what fails for good does so again. */
    cuda->base.err = (struct err){0};
    (void)cudaGetLastError();
}

void cuda_graph_run(struct cuda_backend *cuda, const void *owner, const uint32_t *shape,
                    void (*ops)(void *context), void *context)
{
    if (!cuda->has_graphs || !owner) {
        ops(context);
        return;
    }
    struct cuda_graph *graph = find(cuda, owner, shape);
    if (graph->used && !graph->exec && !graph->is_refused) make(cuda, graph, ops, context);
    if (graph->exec) {
        cuda->latest = "pass";
        if (!cuda_failed(cuda, cudaGraphLaunch(graph->exec, cuda->stream))) cuda->base.replayed++;
    } else {
        ops(context);
        graph = find(cuda, owner, shape); /* if scratch moved, all of them are forgotten */
    }
    graph->used = cuda->base.passes;
}
