/* tail.h - the last lines of a file, and on as it grows. */
#ifndef CLIENT_LOGS_TAIL_H
#define CLIENT_LOGS_TAIL_H

#include "client/exit.h"

#include <stdbool.h>
#include <stdint.h>

struct tail {
    int64_t lines;
    bool follow; /* until a signal; a file that is rotated away is followed to its new one */
};
/* To stdout, cleaned of control characters. Sets *status when a signal ended it. */
CHECKED int tail_print(const struct tail *tail, const char *path, enum exit_status *status,
                       struct err *err);
/* Where the last lines of the file begin. */
CHECKED int tail_offset(int64_t *offset, int fd, int64_t lines, const char *path, struct err *err);

#endif
