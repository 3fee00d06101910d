/* old_plugin.c - a plugin of another release, which must not be taken. */
#include "worker/nn/backend_plugin.h"

extern const struct backend_plugin vlmq_backend_plugin;
const struct backend_plugin vlmq_backend_plugin = {.interface = 0, .version = "0.0.0"};
