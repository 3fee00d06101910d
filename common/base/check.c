/* check.c - how a failed assertion ends the program. */
#include "common/base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void check_failed(const char *file, int line, const char *expression)
{
    char text[512];
    int bytes = snprintf(text, sizeof text, "%s:%d: check failed: %s\n", file, line, expression);
    if (bytes > (int)sizeof text - 1) bytes = (int)sizeof text - 1;
    /* Straight to the descriptor: stdio may be what is broken. */
    if (bytes > 0 && write(STDERR_FILENO, text, (size_t)bytes) < 0) _Exit(134);
    abort();
}
