/* args.h - the arguments of one Redis command, binary safe.
 *
 * What is added stays the caller's and must live as long as the arguments; what has to be made
 * (digits, packed messages) lies in the arena. After the arena was full once, nothing is added and
 * failed is true. */
#ifndef STATE_ARGS_H
#define STATE_ARGS_H

#include "common/base/mem.h"

#include <protobuf-c/protobuf-c.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct args {
    struct arena *arena;
    const char **arg;
    size_t *arg_bytes;
    size_t count, room;
    bool failed;
};

void args_bytes(struct args *args, const void *data, size_t bytes);
void args_text(struct args *args, const char *text); /* NULL is empty */
/* Text that was made in the arena: NULL is a failure. */
void args_made(struct args *args, const char *text);
void args_i64(struct args *args, int64_t value);
void args_u32(struct args *args, uint32_t value);
void args_flag(struct args *args, bool value);
/* Text of a person or a program: cut to bytes_max at the end of a character, made valid UTF-8. */
void args_clean(struct args *args, const char *text, size_t bytes_max);
/* A packed message; NULL is empty. */
void args_message(struct args *args, const ProtobufCMessage *message);

#endif
