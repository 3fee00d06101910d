/* backend_plugin.h - a driver in a library of its own, opened when its device is asked for.
 *
 * The library libvlmq-NAME.so exports one symbol, vlmq_backend_plugin, a struct backend_plugin. It
 * is looked for where the environment's VLMQ_NAME_PLUGIN says (NAME in capitals), or else beside
 * the program and in ../lib/vlmq from there. It must be built from the same sources as the program:
 * backend.h is no stable interface. */
#ifndef NN_BACKEND_PLUGIN_H
#define NN_BACKEND_PLUGIN_H

#include "worker/nn/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Changes with every change of the structs of backend.h and tensor.h. */
#define BACKEND_INTERFACE 4u

struct backend_plugin {
    uint32_t interface;  /* BACKEND_INTERFACE */
    const char *version; /* VLMQ_VERSION */
    const struct backend_driver *driver;
};

/* The driver of the plugin, which then stays in memory. ERR_NOT_FOUND: there is no plugin, or it
 * cannot be loaded; ERR_VERSION: it is of another release. */
CHECKED int backend_plugin_find(const struct backend_driver **driver, const char *name,
                                struct err *err);

#ifdef __cplusplus
}
#endif
#endif
