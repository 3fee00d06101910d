/* backend_plugin.c - finds and loads a driver's library. */
#include "worker/nn/backend_plugin.h"

#include <ctype.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES 4096

/* The folder that the program is in. */
static int own_folder(char folder[PATH_BYTES], struct err *err)
{
    const ssize_t length = readlink("/proc/self/exe", folder, PATH_BYTES - 1);
    if (length <= 0) return err_set(err, ERR_INTERNAL, "the program does not know where it is");
    folder[length] = '\0';
    char *slash = strrchr(folder, '/');
    if (slash) *slash = '\0';
    return 0;
}

/* VLMQ_CUDA_PLUGIN, or NULL. */
static const char *named(char variable[64], const char *name)
{
    (void)snprintf(variable, 64, "VLMQ_%s_PLUGIN", name);
    for (char *c = variable; *c; c++) *c = (char)toupper((unsigned char)*c);
    const char *path = getenv(variable);
    return path && *path ? path : NULL;
}

static int find(char path[PATH_BYTES], const char *name, struct err *err)
{
    static const char *const places[] = {"", "../lib/vlmq/"};
    char folder[PATH_BYTES], variable[64];
    const char *given = named(variable, name);
    if (given) {
        if ((size_t)snprintf(path, PATH_BYTES, "%s", given) >= PATH_BYTES)
            return err_set(err, ERR_INVALID, "%s: a path of %zu bytes", variable, strlen(given));
        return 0;
    }
    int rc = own_folder(folder, err);
    if (rc) return rc;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        const int length =
            snprintf(path, PATH_BYTES, "%s/%slibvlmq-%s.so", folder, places[i], name);
        if (length > 0 && length < PATH_BYTES && !access(path, F_OK)) return 0;
    }
    return err_set(err, ERR_NOT_FOUND,
                   "this machine has no %s plugin: libvlmq-%s.so is neither beside the program, in "
                   "%.60s, nor in ../lib/vlmq; %s may name it",
                   name, name, folder, variable);
}

/* NULL: *rc and err tell why. */
static const struct backend_plugin *load(const char *path, int *rc, struct err *err)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        *rc = err_set(err, ERR_NOT_FOUND, "the plugin does not load: %s", dlerror());
        return NULL;
    }
    const struct backend_plugin *plugin = dlsym(library, "vlmq_backend_plugin");
    if (!plugin)
        *rc = err_set(err, ERR_VERSION, "%.150s is no plugin of vlmq", path);
    else if (plugin->interface == BACKEND_INTERFACE && !strcmp(plugin->version, VLMQ_VERSION))
        /* cppcheck-suppress resourceLeak ; it stays as long as the process */
        return plugin;
    else
        *rc = err_set(err, ERR_VERSION,
                      "%.100s is of vlmq %.20s (interface %u), this program of %s (%u): install "
                      "both from one build",
                      path, plugin->version, plugin->interface, VLMQ_VERSION, BACKEND_INTERFACE);
    (void)dlclose(library);
    return NULL;
}

int backend_plugin_find(const struct backend_driver **driver, const char *name, struct err *err)
{
    char path[PATH_BYTES];
    int rc = find(path, name, err);
    if (rc) return rc;
    const struct backend_plugin *plugin = load(path, &rc, err);
    if (plugin) *driver = plugin->driver;
    return rc;
}
