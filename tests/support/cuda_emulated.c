/* cuda_emulated.c - devices, memory, copies and errors of the CUDA runtime; see cuda_emulated.h.
 *
 * The device is as small as any that the backend is built for: kernels that run here fit the
 * shared memory of all of them. */
#include "tests/support/cuda_streams.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
} failing[CUDA_EMULATED_CALLS_COUNT] = {{-1, 0}, {-1, 0}, {-1, 0}, {-1, 0}, {-1, 0}, {-1, 0}};

static cudaError_t last, poison;
static atomic_size_t used_bytes; /* as the heap rounds them */

static struct {
    const void *kernel;
    size_t shared_bytes;
} asked[KERNELS_MAX];
static int asked_count;

/* What cudaMalloc and cudaHostAlloc gave, with its address inverted: no pointer that hides a leak
 * from LeakSanitizer. */
static struct block {
    uintptr_t inverted;
    size_t bytes;
    bool is_pinned;
} * blocks;
static size_t blocks_count, blocks_room;

/* Those after which a context gives nothing else. */
static bool is_poison(cudaError_t error)
{
    return error == cudaErrorIllegalAddress || error == cudaErrorLaunchTimeout ||
           error == cudaErrorLaunchFailure || error == cudaErrorECCUncorrectable;
}

cudaError_t emulated_told(cudaError_t error)
{
    if (error) last = error;
    return error;
}

cudaError_t emulated_lost(void)
{
    return poison ? emulated_told(poison) : cudaSuccess;
}

static void lose(cudaError_t error)
{
    poison = last = error;
    emulated_streams_lose();
}

/* A kernel's or a copy's error that the device is lost by is met when it runs. */
static bool is_met_late(enum cuda_emulated_call call)
{
    return (call == CUDA_EMULATED_LAUNCH || call == CUDA_EMULATED_COPY) &&
           is_poison(failing[call].error);
}

/* Whether it is this one that fails. */
static bool fails(enum cuda_emulated_call call)
{
    if (failing[call].after > 0) {
        failing[call].after--;
        return false;
    }
    return failing[call].after == 0;
}

cudaError_t emulated_begin(enum cuda_emulated_call call)
{
    if (poison) return emulated_lost();
    if (is_met_late(call) || !fails(call)) return cudaSuccess;
    if (is_poison(failing[call].error)) lose(failing[call].error);
    return emulated_told(failing[call].error);
}

bool emulated_does(enum cuda_emulated_call call)
{
    if (!poison && is_met_late(call) && fails(call)) lose(failing[call].error);
    return !poison;
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

cudaError_t cuda_emulated_launch(const void *kernel, size_t shared_bytes, uint64_t grid_blocks,
                                 uint64_t threads, cudaStream_t stream)
{
    size_t most = SHARED_BYTES;
    read_environment();
    const cudaError_t error =
        emulated_is_recorded(stream) ? poison : emulated_begin(CUDA_EMULATED_LAUNCH);
    if (error) return emulated_told(error);
    for (int i = 0; i < asked_count; i++)
        if (asked[i].kernel == kernel) most = asked[i].shared_bytes;
    if (shared_bytes > most || threads < 1 || threads > THREADS_MAX || grid_blocks < 1 ||
        grid_blocks > GRID_MAX)
        return emulated_told(cudaErrorInvalidValue);
    return cudaSuccess;
}

void emulated_end(const char *sentence)
{
    fprintf(stderr, "cuda_emulated: %s\n", sentence);
    abort();
}

void *emulated_grown(void *data, size_t bytes)
{
    void *more = realloc(data, bytes);
    if (more) return more;
    emulated_end("out of memory");
}

cudaError_t cudaFuncSetAttribute(const void *kernel, enum cudaFuncAttribute attribute, int value)
{
    if (poison) return emulated_lost();
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
        (size_t)value > SHARED_BYTES_MAX)
        return emulated_told(cudaErrorInvalidValue);
    for (int i = 0; i < asked_count; i++)
        if (asked[i].kernel == kernel) {
            asked[i].shared_bytes = (size_t)value;
            return cudaSuccess;
        }
    if (asked_count == KERNELS_MAX) emulated_end("too many kernels: make KERNELS_MAX larger");
    asked[asked_count].kernel = kernel;
    asked[asked_count++].shared_bytes = (size_t)value;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *count)
{
    const char *text = getenv("CUDA_EMULATED_DEVICES");
    *count = text ? (int)strtol(text, NULL, 10) : 1;
    if (*count > 0) return cudaSuccess;
    return emulated_told(*count == 0    ? cudaErrorNoDevice
                         : *count == -1 ? cudaErrorInsufficientDriver
                                        : cudaErrorInitializationError);
}

static cudaError_t check_device(int device)
{
    int count;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error) return error;
    return device >= 0 && device < count ? cudaSuccess : emulated_told(cudaErrorInvalidDevice);
}

cudaError_t cudaSetDevice(int device)
{
    if (poison) return emulated_lost();
    return check_device(device);
}

cudaError_t cudaSetDeviceFlags(unsigned flags)
{
    if (poison) return emulated_lost();
    return flags == cudaDeviceScheduleBlockingSync ? cudaSuccess
                                                   : emulated_told(cudaErrorInvalidValue);
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
    return emulated_told(cudaErrorInvalidValue);
}

static size_t memory_bytes(void)
{
    const char *text = getenv("CUDA_EMULATED_MEMORY");
    return text ? (size_t)strtoull(text, NULL, 10) : (size_t)8 << 30;
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes)
{
    if (poison) return emulated_lost();
    *total_bytes = memory_bytes();
    *free_bytes = *total_bytes - atomic_load(&used_bytes);
    return cudaSuccess;
}

static void *start_of(const struct block *block)
{
    return block ? (void *)~block->inverted : NULL;
}

static struct block *block_of(const void *data)
{
    for (size_t i = 0; i < blocks_count; i++)
        if ((uintptr_t)data - ~blocks[i].inverted < blocks[i].bytes) return &blocks[i];
    return NULL;
}

static cudaError_t allocate(void **data, size_t bytes, bool is_pinned)
{
    const cudaError_t error = emulated_begin(CUDA_EMULATED_MALLOC);
    *data = NULL;
    if (error || bytes == 0) return error;
    if (bytes > SIZE_MAX / 2 || posix_memalign(data, ALIGNMENT, bytes)) {
        *data = NULL;
        return emulated_told(cudaErrorMemoryAllocation);
    }
    if (blocks_count == blocks_room) {
        blocks_room = blocks_room ? 2 * blocks_room : 64;
        blocks = emulated_grown(blocks, blocks_room * sizeof *blocks);
    }
    blocks[blocks_count++] = (struct block){~(uintptr_t)*data, bytes, is_pinned};
    return cudaSuccess;
}

static cudaError_t release(void *data, bool is_pinned)
{
    struct block *block = block_of(data);
    if (!block || (uintptr_t)data != ~block->inverted || block->is_pinned != is_pinned)
        return emulated_told(cudaErrorInvalidValue);
    *block = blocks[--blocks_count];
    free(data);
    return emulated_lost();
}

/* Full of NaN, as nobody may expect zeros. */
cudaError_t cudaMalloc(void **data, size_t bytes)
{
    *data = NULL;
    if (emulated_spoil()) return cudaErrorStreamCaptureUnsupported;
    if (bytes > memory_bytes() - atomic_load(&used_bytes))
        return emulated_told(cudaErrorMemoryAllocation);
    const cudaError_t error = allocate(data, bytes, false);
    if (!*data) return error;
    atomic_fetch_add(&used_bytes, malloc_usable_size(*data));
    memset(*data, 0xff, bytes);
    return error;
}

cudaError_t cudaFree(void *data)
{
    if (!data) return emulated_lost();
    if (emulated_spoil()) return cudaErrorStreamCaptureUnsupported;
    emulated_streams_wait();
    const struct block *block = block_of(data);
    if (block && !block->is_pinned) atomic_fetch_sub(&used_bytes, malloc_usable_size(data));
    return release(data, false);
}

cudaError_t cudaHostAlloc(void **data, size_t bytes, unsigned flags)
{
    (void)flags;
    return allocate(data, bytes, true);
}

cudaError_t cudaFreeHost(void *data)
{
    if (!data) return emulated_lost();
    if (emulated_streams_need(data))
        emulated_end("cudaFreeHost of memory that a copy still needs: wait for its stream first");
    return release(data, true);
}

/* Copies */

struct copy {
    void *to;
    const void *from; /* NULL: bytes of `value` */
    size_t to_pitch, from_pitch, width, height;
    int value;
};

static void run_copy(void *argument)
{
    const struct copy *copy = argument;
    for (size_t i = 0; i < copy->height; i++) {
        char *to = (char *)copy->to + i * copy->to_pitch;
        if (copy->from)
            memcpy(to, (const char *)copy->from + i * copy->from_pitch, copy->width);
        else
            memset(to, copy->value, copy->width);
    }
}

static void put_copy(cudaStream_t stream, const struct copy *copy, const void *pinned)
{
    struct copy *own = emulated_grown(NULL, sizeof *own);
    *own = *copy;
    emulated_put(stream, &(struct emulated_work){CUDA_EMULATED_COPY, run_copy, free, own, pinned});
}

/* The block that so many bytes lie in; NULL: they leave it. */
static const struct block *block_with(const void *data, size_t bytes, bool is_pinned)
{
    const struct block *block = block_of(data);
    if (!block || block->is_pinned != is_pinned)
        emulated_end(is_pinned ? "a copy's host memory is not of cudaHostAlloc: a device stages "
                                 "pageable memory, which is not emulated"
                               : "a copy's device memory is not of cudaMalloc");
    return bytes <= block->bytes - ((uintptr_t)data - ~block->inverted) ? block : NULL;
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
    const bool to_host = kind == cudaMemcpyDeviceToHost, from_host = kind == cudaMemcpyHostToDevice;
    const cudaError_t error =
        emulated_is_recorded(stream) ? emulated_spoil() : emulated_begin(CUDA_EMULATED_COPY);
    if (error) return error;
    if (width > to_pitch || width > from_pitch) return emulated_told(cudaErrorInvalidValue);
    if (kind == cudaMemcpyHostToHost || kind == cudaMemcpyDefault)
        emulated_end("copies from host to host, or of no direction, are not emulated");
    if (!width || !height) return cudaSuccess;
    const struct block *a = block_with(to, (height - 1) * to_pitch + width, to_host);
    const struct block *b = block_with(from, (height - 1) * from_pitch + width, from_host);
    if (!a || !b) return emulated_told(cudaErrorInvalidValue);
    put_copy(stream, &(struct copy){to, from, to_pitch, from_pitch, width, height, 0},
             start_of(to_host     ? a
                      : from_host ? b
                                  : NULL));
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *data, int value, size_t bytes, cudaStream_t stream)
{
    const cudaError_t error =
        emulated_is_recorded(stream) ? emulated_spoil() : emulated_begin(CUDA_EMULATED_COPY);
    if (error || !bytes) return error;
    if (!block_with(data, bytes, false)) return emulated_told(cudaErrorInvalidValue);
    put_copy(stream, &(struct copy){data, NULL, bytes, 0, bytes, 1, value}, NULL);
    return cudaSuccess;
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
    {cudaErrorInitializationError, "cudaErrorInitializationError", "initialization error"},
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
