/* cuda_emulated.c - the CUDA runtime's calls on the host; see cuda_emulated.h.
 *
 * The device is as small as any that the backend is built for: kernels that run here fit the
 * shared memory of all of them. */
#include "tests/support/cuda_emulated.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ALIGNMENT    256 /* of cudaMalloc */
#define THREADS_MAX  1024
#define GRID_MAX     0x7fffffffu
#define SHARED_BYTES ((size_t)48 << 10) /* of any kernel */
#define SHARED_BYTES_MAX                                                    \
    ((size_t)99 << 10) /* of one that asked: compute capability 8.6 and 8.9 \
                        */
#define KERNELS_MAX 256

static struct {
    int after; /* < 0: never */
    cudaError_t error;
} failing[CUDA_EMULATED_CALLS_COUNT] = {{-1, 0}, {-1, 0}, {-1, 0}, {-1, 0}, {-1, 0}};

static cudaError_t last, poison;
static atomic_size_t used_bytes; /* as the heap rounds them */

static struct {
    const void *kernel;
    size_t shared_bytes;
} asked[KERNELS_MAX];
static int asked_count;

/* What a graph gives again; it and what was made of it share the list. */
struct work {
    void (*run)(void *argument);
    void (*drop)(void *argument);
    void *argument;
};

struct works {
    int owners;
    size_t count, room;
    struct work *work;
};

struct cuda_emulated_graph {
    struct works *works;
};

struct cuda_emulated_exec {
    struct works *works;
};

struct cuda_emulated_event {
    struct timespec at;
};

static struct {
    cudaStream_t stream; /* NULL: nothing is recorded */
    struct works *works;
    bool is_spoilt;
} recording;
static uint64_t graphs;

/* Those after which a context gives nothing else. */
static int is_poison(cudaError_t error)
{
    return error == cudaErrorIllegalAddress || error == cudaErrorLaunchTimeout ||
           error == cudaErrorLaunchFailure || error == cudaErrorECCUncorrectable;
}

static cudaError_t told(cudaError_t error)
{
    if (error) last = error;
    return error;
}

/* What a call of a kind gives before it does anything. */
static cudaError_t begin(enum cuda_emulated_call call)
{
    if (poison) return told(poison);
    if (failing[call].after < 0) return cudaSuccess;
    if (failing[call].after > 0) {
        failing[call].after--;
        return cudaSuccess;
    }
    if (is_poison(failing[call].error)) poison = failing[call].error;
    return told(failing[call].error);
}

void cuda_emulated_fail(enum cuda_emulated_call call, int after, cudaError_t error)
{
    failing[call].after = after;
    failing[call].error = error;
    poison = last = cudaSuccess;
}

/* Of CUDA_EMULATED_LOST, once. */
static void read_environment(void)
{
    static int is_read;
    const char *kernels = getenv("CUDA_EMULATED_LOST");
    if (is_read || !kernels) return;
    is_read = 1;
    cuda_emulated_fail(CUDA_EMULATED_LAUNCH, (int)strtol(kernels, NULL, 10),
                       cudaErrorIllegalAddress);
}

cudaError_t cuda_emulated_launch(const void *kernel, size_t shared_bytes, uint64_t blocks,
                                 uint64_t threads)
{
    size_t most = SHARED_BYTES;
    read_environment();
    const cudaError_t error = recording.stream ? poison : begin(CUDA_EMULATED_LAUNCH);
    if (error) return told(error);
    for (int i = 0; i < asked_count; i++)
        if (asked[i].kernel == kernel) most = asked[i].shared_bytes;
    if (shared_bytes > most || threads < 1 || threads > THREADS_MAX || blocks < 1 ||
        blocks > GRID_MAX)
        return told(cudaErrorInvalidValue);
    return cudaSuccess;
}

bool cuda_emulated_is_recording(cudaStream_t stream)
{
    return recording.stream && recording.stream == stream;
}

static void *grown(void *data, size_t bytes)
{
    void *more = realloc(data, bytes);
    if (more) return more;
    fprintf(stderr, "cuda_emulated: out of memory\n");
    abort();
}

void cuda_emulated_record(void (*run)(void *argument), void (*drop)(void *argument), void *argument)
{
    struct works *works = recording.works;
    if (works->count == works->room) {
        works->room = works->room ? 2 * works->room : 64;
        works->work = grown(works->work, works->room * sizeof *works->work);
    }
    works->work[works->count++] = (struct work){run, drop, argument};
}

uint64_t cuda_emulated_graphs(void)
{
    return graphs;
}

static void disown(struct works *works)
{
    if (--works->owners) return;
    for (size_t i = 0; i < works->count; i++) works->work[i].drop(works->work[i].argument);
    free(works->work);
    free(works);
}

/* For calls that a recording does not survive. */
static cudaError_t spoil(void)
{
    if (!recording.stream) return cudaSuccess;
    recording.is_spoilt = true;
    return told(cudaErrorStreamCaptureUnsupported);
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    (void)mode;
    if (poison) return told(poison);
    if (!stream || recording.stream) return told(cudaErrorStreamCaptureUnsupported);
    recording.stream = stream;
    recording.is_spoilt = false;
    recording.works = grown(NULL, sizeof *recording.works);
    *recording.works = (struct works){.owners = 1};
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    struct works *works = recording.works;
    *graph = NULL;
    if (!recording.stream || recording.stream != stream) return told(cudaErrorInvalidValue);
    recording.stream = NULL;
    if (recording.is_spoilt || poison) {
        disown(works);
        return told(poison ? poison : cudaErrorStreamCaptureInvalidated);
    }
    *graph = grown(NULL, sizeof **graph);
    (*graph)->works = works;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *exec, cudaGraph_t graph,
                                          unsigned long long flags)
{
    const cudaError_t error = begin(CUDA_EMULATED_GRAPH);
    (void)flags;
    *exec = NULL;
    if (error) return error;
    *exec = grown(NULL, sizeof **exec);
    (*exec)->works = graph->works;
    graph->works->owners++;
    return cudaSuccess;
}

/* A kernel that fails is one of the device, told wherever it is looked at next. */
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
    (void)stream;
    if (poison) return told(poison);
    if (recording.stream) return spoil();
    graphs++;
    for (size_t i = 0; i < exec->works->count; i++) {
        const cudaError_t error = begin(CUDA_EMULATED_LAUNCH);
        if (error) return is_poison(error) ? cudaSuccess : error;
        exec->works->work[i].run(exec->works->work[i].argument);
    }
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    disown(graph->works);
    free(graph);
    return poison ? told(poison) : cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    disown(exec->works);
    free(exec);
    return poison ? told(poison) : cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void *kernel, enum cudaFuncAttribute attribute, int value)
{
    if (poison) return told(poison);
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
        (size_t)value > SHARED_BYTES_MAX)
        return told(cudaErrorInvalidValue);
    for (int i = 0; i < asked_count; i++)
        if (asked[i].kernel == kernel) {
            asked[i].shared_bytes = (size_t)value;
            return cudaSuccess;
        }
    if (asked_count == KERNELS_MAX) {
        fprintf(stderr, "cuda_emulated: more than %d kernels\n", KERNELS_MAX);
        abort();
    }
    asked[asked_count].kernel = kernel;
    asked[asked_count++].shared_bytes = (size_t)value;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *count)
{
    const char *text = getenv("CUDA_EMULATED_DEVICES");
    *count = text ? (int)strtol(text, NULL, 10) : 1;
    return *count < 0 ? told(cudaErrorInsufficientDriver)
           : *count   ? cudaSuccess
                      : told(cudaErrorNoDevice);
}

static cudaError_t check_device(int device)
{
    int count;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error) return error;
    return device >= 0 && device < count ? cudaSuccess : told(cudaErrorInvalidDevice);
}

cudaError_t cudaSetDevice(int device)
{
    if (poison) return told(poison);
    return check_device(device);
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device)
{
    const cudaError_t error = check_device(device);
    if (error) return error;
    *properties = (struct cudaDeviceProp){.name = "emulated",
                                          .totalGlobalMem = (size_t)8 << 30,
                                          .major = 8,
                                          .minor = 6,
                                          .multiProcessorCount = 4};
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device)
{
    struct cudaDeviceProp properties;
    const cudaError_t error = cudaGetDeviceProperties(&properties, device);
    if (error) return error;
    switch (attribute) {
    case cudaDevAttrMultiProcessorCount:
        *value = properties.multiProcessorCount;
        return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
        *value = properties.major;
        return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
        *value = properties.minor;
        return cudaSuccess;
    }
    return told(cudaErrorInvalidValue);
}

static size_t memory_bytes(void)
{
    const char *text = getenv("CUDA_EMULATED_MEMORY");
    return text ? (size_t)strtoull(text, NULL, 10) : (size_t)8 << 30;
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes)
{
    if (poison) return told(poison);
    *total_bytes = memory_bytes();
    *free_bytes = *total_bytes - atomic_load(&used_bytes);
    return cudaSuccess;
}

static cudaError_t allocate(void **data, size_t bytes)
{
    const cudaError_t error = begin(CUDA_EMULATED_MALLOC);
    *data = NULL;
    if (error || bytes == 0) return error;
    if (bytes > SIZE_MAX / 2 || posix_memalign(data, ALIGNMENT, bytes)) {
        *data = NULL;
        return told(cudaErrorMemoryAllocation);
    }
    return cudaSuccess;
}

/* Full of NaN, as nobody may expect zeros. */
cudaError_t cudaMalloc(void **data, size_t bytes)
{
    *data = NULL;
    if (recording.stream) return spoil();
    if (bytes > memory_bytes() - atomic_load(&used_bytes)) return told(cudaErrorMemoryAllocation);
    const cudaError_t error = allocate(data, bytes);
    if (!*data) return error;
    atomic_fetch_add(&used_bytes, malloc_usable_size(*data));
    memset(*data, 0xff, bytes);
    return error;
}

cudaError_t cudaHostAlloc(void **data, size_t bytes, unsigned flags)
{
    (void)flags;
    return allocate(data, bytes);
}

cudaError_t cudaFreeHost(void *data)
{
    free(data);
    return poison ? told(poison) : cudaSuccess;
}

cudaError_t cudaFree(void *data)
{
    if (data && recording.stream) return spoil();
    if (data) atomic_fetch_sub(&used_bytes, malloc_usable_size(data));
    return cudaFreeHost(data);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    return cudaMemcpy2DAsync(to, bytes, from, bytes, bytes, 1, kind, stream);
}

cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                              size_t width, size_t height, enum cudaMemcpyKind kind,
                              cudaStream_t stream)
{
    const cudaError_t error = recording.stream ? spoil() : begin(CUDA_EMULATED_COPY);
    (void)kind;
    (void)stream;
    if (error) return error;
    if (width > to_pitch || width > from_pitch) return told(cudaErrorInvalidValue);
    for (size_t i = 0; width && i < height; i++)
        memcpy((char *)to + i * to_pitch, (const char *)from + i * from_pitch, width);
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *data, int value, size_t bytes, cudaStream_t stream)
{
    const cudaError_t error = recording.stream ? spoil() : begin(CUDA_EMULATED_COPY);
    (void)stream;
    if (error) return error;
    if (bytes) memset(data, value, bytes);
    return cudaSuccess;
}

/* Streams and events are blocks of memory only, so that one that is not destroyed is a leak. */
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    (void)flags;
    *stream = NULL;
    if (poison) return told(poison);
    *stream = malloc(1);
    return *stream ? cudaSuccess : told(cudaErrorMemoryAllocation);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    free(stream);
    return poison ? told(poison) : cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    if (cuda_emulated_is_recording(stream)) return spoil();
    return poison ? told(poison) : cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    if (cuda_emulated_is_recording(stream)) return spoil();
    return begin(CUDA_EMULATED_SYNC);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags)
{
    (void)stream;
    (void)event;
    (void)flags;
    return poison ? told(poison) : cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    (void)flags;
    *event = NULL;
    if (poison) return told(poison);
    *event = calloc(1, sizeof **event);
    return *event ? cudaSuccess : told(cudaErrorMemoryAllocation);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    free(event);
    return poison ? told(poison) : cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    (void)stream;
    (void)clock_gettime(CLOCK_MONOTONIC, &event->at);
    return poison ? told(poison) : cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    (void)event;
    return poison ? told(poison) : cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    (void)event;
    return begin(CUDA_EMULATED_SYNC);
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end)
{
    *ms = (float)(end->at.tv_sec - start->at.tv_sec) * 1e3F +
          (float)(end->at.tv_nsec - start->at.tv_nsec) * 1e-6F;
    return poison ? told(poison) : cudaSuccess;
}

cudaError_t cudaGetLastError(void)
{
    const cudaError_t error = last;
    last = poison; /* an error of the context stays */
    return error;
}

cudaError_t cudaPeekAtLastError(void)
{
    return last;
}

static const struct {
    cudaError_t error;
    const char *name, *text;
} texts[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
     "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorECCUncorrectable, "cudaErrorECCUncorrectable", "uncorrectable ECC error encountered"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress",
     "an illegal memory access was encountered"},
    {cudaErrorLaunchOutOfResources, "cudaErrorLaunchOutOfResources",
     "too many resources requested for launch"},
    {cudaErrorLaunchTimeout, "cudaErrorLaunchTimeout", "the launch timed out and was terminated"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
};

const char *cudaGetErrorName(cudaError_t error)
{
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (texts[i].error == error) return texts[i].name;
    return "unrecognized error code";
}

const char *cudaGetErrorString(cudaError_t error)
{
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (texts[i].error == error) return texts[i].text;
    return "unrecognized error code";
}
