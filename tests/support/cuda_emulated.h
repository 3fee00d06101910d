/* cuda_emulated.h - what the CUDA backend calls of the CUDA runtime, on the host's memory.
 *
 * Streams queue. Kernels, copies, fills and launches of graphs that are put into one are kept, with
 * the arguments that they were given, and done as late as correct synchronisation allows:
 *   - cudaStreamSynchronize does what was put into the stream before, cudaEventSynchronize what was
 *     put before the event's record, and both of other streams what that waits for;
 *   - cudaFree does all, as on a device; cudaFreeHost does nothing, and ends the program if a copy
 *     still needs the memory;
 *   - cudaStreamDestroy does nothing; what was put into the stream is still to be done;
 *   - cudaStreamQuery and cudaEventQuery do one work when they give cudaErrorNotReady, so that who
 *     asks again gets on;
 *   - a stream holds 1024 works; a call that puts one more does its first, as it waits for room.
 * So a copy reads and writes pinned memory when it is done, not at the call, and a stream finds
 * what another was to bring only if it waits for it. What comes too soon is found with streams that
 * are early: they do at once all that waits for nobody, while the others stay late. The default
 * stream is always early. With n streams there are 2^n such orders, few enough to test them all.
 *
 * In a stream that is recorded for a graph, kernels are kept for the graph. All else there ends the
 * recording, also copies and events, which a device would record. Streams wait for each other by
 * events alone, as those of cudaStreamNonBlocking do. With a sentence end the program: streams of
 * other kinds, copies from host to host, and those of pageable memory (a device would stage it) or
 * of memory that cudaMalloc did not give. Memory of the device is exact blocks of the host's heap:
 * AddressSanitizer sees what is outside, and what is never freed.
 *
 * Errors: a kernel whose launch is refused (cudaGetLastError), and those that a test asks for with
 * cuda_emulated_fail. One thread at a time. Semantics: NVIDIA's "CUDA Runtime API" reference.
 *
 * Of the environment: CUDA_EMULATED_DEVICES, how many there are (default 1; -1: the driver is too
 * old, -2: it does not start); CUDA_EMULATED_BARE, no product has a bias; CUDA_EMULATED_ORDER,
 * "reverse" to run a block's threads from the last to the first; CUDA_EMULATED_EARLY, which streams
 * are early, 1 the first one that is made, 2 the next, 4 and so on, or the sum of some (default 0);
 * CUDA_EMULATED_LOST, after how many kernels the device is lost by an illegal address;
 * CUDA_EMULATED_MEMORY, the device's memory in bytes (default 8 GiB), of which all that is not
 * allocated is free. */
#ifndef TESTS_SUPPORT_CUDA_EMULATED_H
#define TESTS_SUPPORT_CUDA_EMULATED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The names are given by what is emulated. NOLINTBEGIN(bugprone-reserved-identifier,cert-*) */
typedef enum cudaError {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInitializationError = 3,
    cudaErrorInsufficientDriver = 35,
    cudaErrorNoDevice = 100,
    cudaErrorInvalidDevice = 101,
    cudaErrorECCUncorrectable = 214,
    cudaErrorNotReady = 600,
    cudaErrorIllegalAddress = 700,
    cudaErrorLaunchOutOfResources = 701,
    cudaErrorLaunchTimeout = 702,
    cudaErrorLaunchFailure = 719,
    cudaErrorStreamCaptureUnsupported = 900,
    cudaErrorStreamCaptureInvalidated = 901
} cudaError_t;

enum cudaMemcpyKind {
    cudaMemcpyHostToHost,
    cudaMemcpyHostToDevice,
    cudaMemcpyDeviceToHost,
    cudaMemcpyDeviceToDevice,
    cudaMemcpyDefault
};
enum cudaStreamCaptureMode {
    cudaStreamCaptureModeGlobal,
    cudaStreamCaptureModeThreadLocal,
    cudaStreamCaptureModeRelaxed
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
enum cudaDeviceAttr {
    cudaDevAttrMultiProcessorCount = 16,
    cudaDevAttrComputeCapabilityMajor = 75,
    cudaDevAttrComputeCapabilityMinor = 76
};

typedef struct cuda_emulated_stream *cudaStream_t;
typedef struct cuda_emulated_event *cudaEvent_t;
typedef struct cuda_emulated_graph *cudaGraph_t;
typedef struct cuda_emulated_exec *cudaGraphExec_t;

#define cudaStreamNonBlocking  1u
#define cudaEventDefault       0u
#define cudaEventBlockingSync  1u
#define cudaEventDisableTiming 2u
#define cudaHostAllocDefault   0u

#define cudaDeviceScheduleBlockingSync 4u

struct cudaDeviceProp {
    char name[256];
    size_t totalGlobalMem;
    int major, minor, multiProcessorCount;
};

cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaSetDeviceFlags(unsigned flags);
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device);
cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device);
cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes);
cudaError_t cudaMalloc(void **data, size_t bytes);
cudaError_t cudaFree(void *data);
cudaError_t cudaHostAlloc(void **data, size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void *data);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                              size_t width, size_t height, enum cudaMemcpyKind kind,
                              cudaStream_t stream);
cudaError_t cudaMemsetAsync(void *data, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamQuery(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end);
cudaError_t cudaFuncSetAttribute(const void *kernel, enum cudaFuncAttribute attribute, int value);
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph);
cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *exec, cudaGraph_t graph,
                                          unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);
cudaError_t cudaGetLastError(void);
cudaError_t cudaPeekAtLastError(void);
const char *cudaGetErrorName(cudaError_t error);
const char *cudaGetErrorString(cudaError_t error);
/* NOLINTEND(bugprone-reserved-identifier,cert-*) */

/* Where a call fails that a test wants to. */
enum cuda_emulated_call {
    CUDA_EMULATED_MALLOC,
    CUDA_EMULATED_LAUNCH,
    CUDA_EMULATED_COPY,
    CUDA_EMULATED_SYNC,
    CUDA_EMULATED_GRAPH,   /* to make one */
    CUDA_EMULATED_PRODUCT, /* of cuda_matmul.c: told by the call */
    CUDA_EMULATED_CALLS_COUNT
};
/* Lets `after` calls pass; all that follow fail with error, until it is called with after < 0. An
 * error that poisons a context, as an illegal address does, throws away all that is not done yet,
 * and comes out of every call of any kind. That of a kernel or a copy comes when it is done, so it
 * is those that `after` counts; any other of a kernel refuses its launch. */
void cuda_emulated_fail(enum cuda_emulated_call call, int after, cudaError_t error);
/* For cuda_fibers.h: what the launch of a kernel with so much shared memory gives. */
cudaError_t cuda_emulated_launch(const void *kernel, size_t shared_bytes, uint64_t grid_blocks,
                                 uint64_t threads, cudaStream_t stream);
/* A kernel, into a stream or the graph that is recorded of it: run gets argument, and drop frees
 * it when it will not be run again. */
void cuda_emulated_put(cudaStream_t stream, void (*run)(void *argument),
                       void (*drop)(void *argument), void *argument);
/* How many graphs were launched. */
uint64_t cuda_emulated_graphs(void);

#ifdef __cplusplus
}
#endif
#endif
