/* server.h - what a Redis server says of itself, and whether vlmq may trust its state to it. */
#ifndef STATE_SERVER_H
#define STATE_SERVER_H

#include "common/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct server_info {
    char version[24], policy[24];
    int64_t version_major, bytes, bytes_max;
    bool append_only, append_ok, loading, replica;
    bool functions_lost; /* set by the connection when a function was not found */
};

/* Reads the text of INFO. */
void server_info_read(struct server_info *info, const char *text, size_t bytes);
/* ERR_INVALID with a sentence that says which setting to change; ERR_UNAVAILABLE while it loads. */
CHECKED int server_check(const struct server_info *info, const char *address, bool allow_volatile,
                         struct err *err);
bool server_writable(const struct server_info *info);
/* A standing warning, or "". */
void server_note(const struct server_info *info, char note[ERR_MSG_BYTES]);
/* An error reply of Redis as a code and a sentence; returns the code. */
int server_error(struct err *err, const char *text, size_t bytes);
bool server_lacks_functions(const char *error);

#endif
