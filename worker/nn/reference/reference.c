/* reference.c - the driver: memory is the host's, and every op is done when it returns. */
#include "worker/nn/reference/reference.h"

#include "common/base/mem.h"

#include <stdlib.h>
#include <string.h>

extern const struct backend_driver backend_reference;

static int reference_open(struct backend **backend, const char *device, uint32_t threads,
                          struct err *err)
{
    (void)threads;
    if (strcmp(device, "reference") != 0)
        return err_set(err, ERR_NOT_FOUND, "there is no device %s; it is called reference", device);
    *backend = mem_new(sizeof **backend);
    (*backend)->driver = &backend_reference;
    (*backend)->arithmetic = "double";
    (*backend)->threads = 1;
    return 0;
}

static void reference_close(struct backend *backend)
{
    mem_free(backend);
}

static void *reference_alloc(struct backend *backend, size_t bytes)
{
    (void)backend;
    if (bytes > SIZE_MAX - BACKEND_ALIGNMENT) return NULL;
    const size_t units = bytes / BACKEND_ALIGNMENT + 1;
    return aligned_alloc(BACKEND_ALIGNMENT, units * BACKEND_ALIGNMENT);
}

static void reference_free(struct backend *backend, void *data)
{
    (void)backend;
    free(data);
}

static void reference_write(struct backend *backend, void *dst, const void *src, size_t bytes)
{
    (void)backend;
    if (bytes) memcpy(dst, src, bytes);
}

static void reference_read(struct backend *backend, void *dst, const void *src, size_t bytes)
{
    (void)backend;
    if (bytes) memcpy(dst, src, bytes);
}

static void reference_sync(struct backend *backend)
{
    (void)backend;
}

const struct backend_driver backend_reference = {
    .name = "reference",
    .open = reference_open,
    .close = reference_close,
    .alloc = reference_alloc,
    .free = reference_free,
    .write = reference_write,
    .write_ahead = reference_write,
    .read = reference_read,
    .sync = reference_sync,
    .weight_new = reference_weight_new,
    .weight_free = reference_weight_free,
    .linear = reference_linear,
    .norm = reference_norm,
    .attention = reference_attention,
    .patches = reference_patches,
    .vision_tokens = reference_vision_tokens,
    .embed = reference_embed,
    .rows = reference_rows,
    .pool = reference_pool,
    .unit = reference_unit,
    .map = reference_map,
};
