/* copies.c - between host and device, through pinned memory, so that nobody waits for them. */
#include "worker/nn/cuda/cuda.h"

#include <string.h>

static cudaError_t slots_open(struct cuda_slots *slots)
{
    cudaError_t error = cudaSuccess;
    for (int i = 0; i < CUDA_SLOTS && !error; i++) {
        struct cuda_slot *slot = &slots->slot[i];
        error = cudaHostAlloc(&slot->data, CUDA_SLOT_BYTES, cudaHostAllocDefault);
        if (!error)
            error = cudaEventCreateWithFlags(&slot->event,
                                             cudaEventDisableTiming | cudaEventBlockingSync);
    }
    return error;
}

static void slots_close(struct cuda_slots *slots)
{
    for (int i = 0; i < CUDA_SLOTS; i++) {
        struct cuda_slot *slot = &slots->slot[i];
        if (slot->event) (void)cudaEventDestroy(slot->event);
        if (slot->data) (void)cudaFreeHost(slot->data);
        *slot = (struct cuda_slot){0};
    }
}

int cuda_copies_open(struct cuda_backend *cuda, struct err *err)
{
    cudaError_t error = slots_open(&cuda->slots);
    if (!error) error = slots_open(&cuda->ahead_slots);
    if (!error) error = slots_open(&cuda->read_slots);
    if (!error) error = cudaStreamCreateWithFlags(&cuda->ahead_stream, cudaStreamNonBlocking);
    if (!error) error = cudaStreamCreateWithFlags(&cuda->read_stream, cudaStreamNonBlocking);
    if (!error) error = cudaEventCreateWithFlags(&cuda->ahead_event, cudaEventDisableTiming);
    return error ? err_set(err, ERR_LIMIT, "no pinned memory for copies: %s",
                           cudaGetErrorString(error))
                 : 0;
}

static void stream_close(cudaStream_t stream)
{
    if (!stream) return;
    (void)cudaStreamSynchronize(stream);
    (void)cudaStreamDestroy(stream);
}

void cuda_copies_close(struct cuda_backend *cuda)
{
    stream_close(cuda->ahead_stream);
    stream_close(cuda->read_stream);
    if (cuda->ahead_event) (void)cudaEventDestroy(cuda->ahead_event);
    slots_close(&cuda->slots);
    slots_close(&cuda->ahead_slots);
    slots_close(&cuda->read_slots);
}

static void hand_over(struct cuda_slot *slot)
{
    if (slot->to) memcpy(slot->to, slot->data, slot->bytes);
    slot->to = NULL;
}

static void hand_over_all(struct cuda_slots *slots)
{
    for (uint32_t i = 0; i < CUDA_SLOTS; i++)
        hand_over(&slots->slot[(slots->next + i) % CUDA_SLOTS]);
}

void cuda_hand_over(struct cuda_backend *cuda)
{
    hand_over_all(&cuda->slots);
}

/* The next slot, when all that it was used for is done. NULL: an error was kept. */
static struct cuda_slot *next_slot(struct cuda_backend *cuda, struct cuda_slots *slots)
{
    struct cuda_slot *slot = &slots->slot[slots->next];
    slots->next = (slots->next + 1) % CUDA_SLOTS;
    if (cuda_failed(cuda, cudaEventSynchronize(slot->event))) return NULL;
    hand_over(slot);
    return slot;
}

/* The slot's data to the device, or the device's data to the slot. */
static bool copied(struct cuda_backend *cuda, struct cuda_slot *slot, void *dst, const void *src,
                   size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream)
{
    return !cuda_failed(cuda, cudaMemcpyAsync(dst, src, bytes, kind, stream)) &&
           !cuda_failed(cuda, cudaEventRecord(slot->event, stream));
}

/* The slot of the last piece; NULL: an error was kept, or there are no bytes. */
static struct cuda_slot *write_through(struct cuda_backend *cuda, struct cuda_slots *slots,
                                       cudaStream_t stream, void *dst, const void *src,
                                       size_t bytes)
{
    struct cuda_slot *slot = NULL;
    for (size_t at = 0; at < bytes;) {
        const size_t left = bytes - at, some = left < CUDA_SLOT_BYTES ? left : CUDA_SLOT_BYTES;
        slot = next_slot(cuda, slots);
        if (!slot) return NULL;
        memcpy(slot->data, (const char *)src + at, some);
        if (!copied(cuda, slot, (char *)dst + at, slot->data, some, cudaMemcpyHostToDevice, stream))
            return NULL;
        at += some;
    }
    return slot;
}

void cuda_write(struct cuda_backend *cuda, void *dst, const void *src, size_t bytes)
{
    (void)write_through(cuda, &cuda->slots, cuda->stream, dst, src, bytes);
}

void cuda_write_ahead(struct cuda_backend *cuda, void *dst, const void *src, size_t bytes)
{
    /* The event stands where the call before left it; then it is put behind the ops up to now. */
    if (cuda_failed(cuda, cudaStreamWaitEvent(cuda->ahead_stream, cuda->ahead_event, 0)) ||
        cuda_failed(cuda, cudaEventRecord(cuda->ahead_event, cuda->stream)))
        return;
    const struct cuda_slot *slot =
        write_through(cuda, &cuda->ahead_slots, cuda->ahead_stream, dst, src, bytes);
    if (slot) (void)cuda_failed(cuda, cudaStreamWaitEvent(cuda->stream, slot->event, 0));
}

/* It is handed over when its slot is needed again, or by who waits for all. */
static void read_through(struct cuda_backend *cuda, struct cuda_slots *slots, cudaStream_t stream,
                         void *dst, const void *src, size_t bytes)
{
    for (size_t at = 0; at < bytes;) {
        const size_t left = bytes - at, some = left < CUDA_SLOT_BYTES ? left : CUDA_SLOT_BYTES;
        struct cuda_slot *slot = next_slot(cuda, slots);
        if (!slot) return;
        if (!copied(cuda, slot, slot->data, (const char *)src + at, some, cudaMemcpyDeviceToHost,
                    stream))
            return;
        slot->to = (char *)dst + at;
        slot->bytes = some;
        at += some;
    }
}

void cuda_read(struct cuda_backend *cuda, void *dst, const void *src, size_t bytes)
{
    read_through(cuda, &cuda->slots, cuda->stream, dst, src, bytes);
}

void cuda_read_behind(struct cuda_backend *cuda, cudaEvent_t event, void *dst, const void *src,
                      size_t bytes)
{
    if (event && cuda_failed(cuda, cudaStreamWaitEvent(cuda->read_stream, event, 0))) return;
    read_through(cuda, &cuda->read_slots, cuda->read_stream, dst, src, bytes);
    if (cuda->base.err.code) return;
    if (cuda_failed(cuda, cudaStreamSynchronize(cuda->read_stream))) return;
    hand_over_all(&cuda->read_slots);
}
