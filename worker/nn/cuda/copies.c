/* copies.c - between host and device, through pinned memory, so that nobody waits for them. */
#include "worker/nn/cuda/cuda.h"

#include <string.h>

int cuda_copies_open(struct cuda_backend *cuda, struct err *err)
{
    for (int i = 0; i < CUDA_SLOTS; i++) {
        struct cuda_slot *slot = &cuda->slot[i];
        cudaError_t error = cudaHostAlloc(&slot->data, CUDA_SLOT_BYTES, cudaHostAllocDefault);
        if (!error) error = cudaEventCreateWithFlags(&slot->event, cudaEventDisableTiming);
        if (error)
            return err_set(err, ERR_LIMIT, "no pinned memory for copies: %s",
                           cudaGetErrorString(error));
    }
    return 0;
}

void cuda_copies_close(struct cuda_backend *cuda)
{
    for (int i = 0; i < CUDA_SLOTS; i++) {
        struct cuda_slot *slot = &cuda->slot[i];
        if (slot->event) (void)cudaEventDestroy(slot->event);
        if (slot->data) (void)cudaFreeHost(slot->data);
        *slot = (struct cuda_slot){0};
    }
}

static void hand_over(struct cuda_slot *slot)
{
    if (slot->to) memcpy(slot->to, slot->data, slot->bytes);
    slot->to = NULL;
}

void cuda_hand_over(struct cuda_backend *cuda)
{
    for (uint32_t i = 0; i < CUDA_SLOTS; i++)
        hand_over(&cuda->slot[(cuda->slot_next + i) % CUDA_SLOTS]);
}

/* The next slot, when all that it was used for is done. NULL: an error was kept. */
static struct cuda_slot *next_slot(struct cuda_backend *cuda)
{
    struct cuda_slot *slot = &cuda->slot[cuda->slot_next];
    cuda->slot_next = (cuda->slot_next + 1) % CUDA_SLOTS;
    if (cuda_failed(cuda, cudaEventSynchronize(slot->event))) return NULL;
    hand_over(slot);
    return slot;
}

static bool copied(struct cuda_backend *cuda, struct cuda_slot *slot, void *dst, const void *src,
                   size_t bytes, enum cudaMemcpyKind kind)
{
    return !cuda_failed(cuda, cudaMemcpyAsync(dst, src, bytes, kind, cuda->stream)) &&
           !cuda_failed(cuda, cudaEventRecord(slot->event, cuda->stream));
}

void cuda_write(struct cuda_backend *cuda, void *dst, const void *src, size_t bytes)
{
    for (size_t at = 0; at < bytes;) {
        const size_t left = bytes - at, some = left < CUDA_SLOT_BYTES ? left : CUDA_SLOT_BYTES;
        struct cuda_slot *slot = next_slot(cuda);
        if (!slot) return;
        memcpy(slot->data, (const char *)src + at, some);
        if (!copied(cuda, slot, (char *)dst + at, slot->data, some, cudaMemcpyHostToDevice)) return;
        at += some;
    }
}

void cuda_read(struct cuda_backend *cuda, void *dst, const void *src, size_t bytes)
{
    for (size_t at = 0; at < bytes;) {
        const size_t left = bytes - at, some = left < CUDA_SLOT_BYTES ? left : CUDA_SLOT_BYTES;
        struct cuda_slot *slot = next_slot(cuda);
        if (!slot) return;
        if (!copied(cuda, slot, slot->data, (const char *)src + at, some, cudaMemcpyDeviceToHost))
            return;
        slot->to = (char *)dst + at;
        slot->bytes = some;
        at += some;
    }
}
