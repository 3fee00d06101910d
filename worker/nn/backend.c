/* backend.c - drivers by name, and what is the same for all: the first error stays. */
#include "worker/nn/backend.h"

#include "common/base/check.h"
#include "common/base/clock.h"
#include "worker/nn/backend_plugin.h"

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

#define DRIVERS_COUNT (sizeof drivers / sizeof drivers[0])

/* "cuda:0" is a device of the driver "cuda". */
static bool is_of(const char *device, const char *driver)
{
    const size_t length = strlen(driver);
    return !strncmp(device, driver, length) && (!device[length] || device[length] == ':');
}

static int unknown(const char *device, struct err *err)
{
    char names[128] = "";
    size_t used = 0;
    for (size_t i = 0; i < DRIVERS_COUNT; i++) {
        const int count =
            snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", drivers[i]->name);
        CHECK(count > 0 && (size_t)count < sizeof names - used);
        used += (size_t)count;
    }
    return err_set(err, ERR_NOT_FOUND,
                   "there is no device %.40s: this build has %s, and cuda:0 with its plugin",
                   device, names);
}

static int find(const struct backend_driver **driver, const char *device, struct err *err)
{
    if (is_of(device, "cuda")) return backend_plugin_find(driver, "cuda", err);
    for (size_t i = 0; i < DRIVERS_COUNT; i++)
        if (is_of(device, drivers[i]->name)) {
            *driver = drivers[i];
            return 0;
        }
    return unknown(device, err);
}

int backend_open(struct backend **backend, const char *device, uint32_t threads, struct err *err)
{
    *backend = NULL;
    const struct backend_driver *driver = NULL;
    const int rc = find(&driver, device, err);
    return driver ? driver->open(backend, device, threads, err) : rc;
}

int backend_memory(const char *device, size_t *free_bytes, size_t *bytes, struct err *err)
{
    const struct backend_driver *driver = NULL;
    const int rc = find(&driver, device, err);
    *free_bytes = *bytes = 0;
    return driver && driver->memory ? driver->memory(device, free_bytes, bytes, err) : rc;
}

void backend_close(struct backend *backend)
{
    if (backend) backend->driver->close(backend);
}

void *backend_alloc(struct backend *backend, size_t bytes)
{
    CHECK(!backend->in_pass);
    return backend->driver->alloc(backend, bytes);
}

void backend_free(struct backend *backend, void *data)
{
    CHECK(!backend->in_pass);
    if (data) backend->driver->free(backend, data);
}

void backend_write(struct backend *backend, void *dst, const void *src, size_t bytes)
{
    CHECK(!backend->in_pass);
    if (!backend->err.code) backend->driver->write(backend, dst, src, bytes);
}

void backend_write_ahead(struct backend *backend, void *dst, const void *src, size_t bytes)
{
    CHECK(!backend->in_pass);
    if (!backend->err.code) backend->driver->write_ahead(backend, dst, src, bytes);
}

void backend_read(struct backend *backend, void *dst, const void *src, size_t bytes)
{
    CHECK(!backend->in_pass);
    if (!backend->err.code) backend->driver->read(backend, dst, src, bytes);
}

uint64_t backend_pass(struct backend *backend, const void *owner,
                      const uint32_t shape[BACKEND_PASS_SHAPE], void (*ops)(void *context),
                      void *context)
{
    const uint64_t number = ++backend->passes;
    CHECK(!backend->in_pass);
    if (backend->err.code) return number;
    backend->in_pass = true;
    if (backend->driver->pass) {
        backend->driver->pass(backend, owner, shape, ops, context);
    } else {
        const int64_t from_us = clock_mono_us();
        ops(context);
        backend->busy_ns += (clock_mono_us() - from_us) * 1000;
    }
    backend->in_pass = false;
    return number;
}

static void check_pass(const struct backend *backend, uint64_t pass)
{
    CHECK(!backend->in_pass);
    CHECK(pass > 0 && pass <= backend->passes);
}

bool backend_pass_ended(struct backend *backend, uint64_t pass)
{
    check_pass(backend, pass);
    return backend->err.code || !backend->driver->pass ||
           backend->driver->pass_ended(backend, pass);
}

void backend_pass_read(struct backend *backend, uint64_t pass, void *dst, const void *src,
                       size_t bytes)
{
    check_pass(backend, pass);
    if (backend->err.code) return;
    if (backend->driver->pass)
        backend->driver->pass_read(backend, pass, dst, src, bytes);
    else
        backend->driver->read(backend, dst, src, bytes);
}

int64_t backend_busy_ns(struct backend *backend)
{
    return backend->busy_ns;
}

int backend_error(const struct backend *backend, struct err *err)
{
    if (!backend->err.code) return 0;
    return err_set(err, backend->err.code, "%s", backend->err.msg);
}

int backend_sync(struct backend *backend, struct err *err)
{
    CHECK(!backend->in_pass);
    backend->driver->sync(backend);
    return backend_error(backend, err);
}

static void check_parts(const struct tensor *parts, uint32_t parts_count, int64_t columns)
{
    CHECK(parts_count > 0);
    for (uint32_t i = 0; i < parts_count; i++) {
        CHECK(dtype_is_real(parts[i].dtype));
        CHECK(parts[i].rank >= 1 && parts[i].shape[0] > 0);
        CHECK(parts[i].data);
        const int64_t part_columns = tensor_count(&parts[i]) / parts[i].shape[0];
        CHECK(part_columns > 0 && part_columns <= columns);
        CHECK(part_columns == tensor_count(&parts[0]) / parts[0].shape[0]);
    }
}

int backend_weight_new(struct backend *backend, struct backend_weight **weight,
                       const struct tensor *parts, uint32_t parts_count, int64_t columns,
                       enum dtype dtype, struct err *err)
{
    check_parts(parts, parts_count, columns);
    CHECK(!backend->in_pass);
    CHECK(dtype_is_real(dtype) || dtype == DTYPE_I8);
    return backend->driver->weight_new(backend, weight, parts, parts_count, columns, dtype, err);
}

void backend_weight_free(struct backend *backend, struct backend_weight *weight)
{
    CHECK(!backend->in_pass);
    if (weight) backend->driver->weight_free(backend, weight);
}
