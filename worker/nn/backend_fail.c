/* backend_fail.c - the first error stays; apart from backend.c, so that a plugin has it without all
 * the drivers. */
#include "worker/nn/backend.h"

#include <stdarg.h>
#include <stdio.h>

void backend_fail(struct backend *backend, enum err_code code, const char *fmt, ...)
{
    if (backend->err.code) return;
    char text[ERR_MSG_BYTES];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    (void)err_set(&backend->err, code, "%s", text);
}
