/* backend.c - finds a backend by its device's name, keeps its first error, and passes calls on. */
#include "worker/nn/backend.h"

#include "common/base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BACKEND(name) extern const struct backend_driver backend_##name;
#include "worker/nn/backends.def"
#undef BACKEND

static const struct backend_driver *const drivers[] = {
#define BACKEND(name) &backend_##name,
#include "worker/nn/backends.def"
#undef BACKEND
};

int backend_open(struct backend **backend, const char *device, uint32_t threads, struct err *err)
{
    const size_t name = strcspn(device, ":");
    *backend = NULL;
    for (size_t i = 0; i < sizeof drivers / sizeof drivers[0]; i++)
        if (strlen(drivers[i]->name) == name && memcmp(drivers[i]->name, device, name) == 0)
            return drivers[i]->open(backend, device, threads, err);
    return err_set(err, ERR_NOT_FOUND, "there is no device %s", device);
}

void backend_close(struct backend *backend)
{
    if (backend) backend->driver->close(backend);
}

void *backend_alloc(struct backend *backend, size_t bytes)
{
    return backend->driver->alloc(backend, bytes);
}

void backend_free(struct backend *backend, void *data)
{
    if (data) backend->driver->free(backend, data);
}

void backend_write(struct backend *backend, void *dst, const void *src, size_t bytes)
{
    if (backend->err.code == ERR_OK) backend->driver->write(backend, dst, src, bytes);
}

void backend_read(struct backend *backend, void *dst, const void *src, size_t bytes)
{
    if (backend->err.code == ERR_OK) backend->driver->read(backend, dst, src, bytes);
}

int backend_sync(struct backend *backend, struct err *err)
{
    backend->driver->sync(backend);
    if (backend->err.code == ERR_OK) return 0;
    return err_set(err, backend->err.code, "%s", backend->err.msg);
}

void backend_fail(struct backend *backend, enum err_code code, const char *fmt, ...)
{
    va_list arguments;
    CHECK(code != ERR_OK);
    if (backend->err.code != ERR_OK) return;
    backend->err.code = code;
    va_start(arguments, fmt);
    vsnprintf(backend->err.msg, sizeof backend->err.msg, fmt, arguments);
    va_end(arguments);
}

int backend_weight_new(struct backend *backend, struct backend_weight **weight,
                       const struct tensor *parts, uint32_t parts_count, int64_t columns,
                       enum dtype dtype, struct err *err)
{
    *weight = NULL;
    CHECK(parts_count >= 1);
    return backend->driver->weight_new(backend, weight, parts, parts_count, columns, dtype, err);
}

void backend_weight_free(struct backend *backend, struct backend_weight *weight)
{
    if (weight) backend->driver->weight_free(backend, weight);
}
