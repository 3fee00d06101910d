/* args.c - grows the arrays by doubling in the arena. */
#include "broker/state/args.h"

#include "common/base/buf.h"
#include "common/base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool grow(struct args *args)
{
    if (args->count < args->room) return true;
    const size_t room = args->room ? 2 * args->room : 16;
    const char **arg = arena_try(args->arena, room * sizeof *arg);
    size_t *arg_bytes = arena_try(args->arena, room * sizeof *arg_bytes);
    if (!arg || !arg_bytes) {
        args->failed = true;
        return false;
    }
    if (args->count) {
        memcpy(arg, args->arg, args->count * sizeof *arg);
        memcpy(arg_bytes, args->arg_bytes, args->count * sizeof *arg_bytes);
    }
    args->arg = arg;
    args->arg_bytes = arg_bytes;
    args->room = room;
    return true;
}

void args_bytes(struct args *args, const void *data, size_t bytes)
{
    if (args->failed || !grow(args)) return;
    args->arg[args->count] = bytes ? data : "";
    args->arg_bytes[args->count++] = bytes;
}

void args_text(struct args *args, const char *text)
{
    args_bytes(args, text, text ? strlen(text) : 0);
}

void args_i64(struct args *args, int64_t value)
{
    char digits[24];
    const int bytes = snprintf(digits, sizeof digits, "%" PRId64, value);
    const char *kept = arena_copy(args->arena, digits, (size_t)bytes);
    if (!kept) args->failed = true;
    args_bytes(args, kept, (size_t)bytes);
}

void args_flag(struct args *args, bool value)
{
    args_text(args, value ? "1" : "0");
}

/* Text of a person or a program, cut to bytes_max at a character's end and made valid UTF-8. */
void args_clean(struct args *args, const char *text, size_t bytes_max)
{
    size_t bytes = text ? strlen(text) : 0;
    if (bytes > bytes_max) {
        bytes = bytes_max;
        while (bytes && ((unsigned char)text[bytes] & 0xC0) == 0x80) bytes--;
    }
    if (!bytes || str_utf8_valid(text, bytes) == bytes) {
        args_bytes(args, text, bytes);
        return;
    }
    struct buf clean;
    buf_init(&clean, 0);
    str_utf8_clean(&clean, text, bytes);
    const char *kept = buf_failed(&clean) ? NULL : arena_copy(args->arena, clean.data, clean.len);
    if (!kept) args->failed = true;
    args_bytes(args, kept, clean.len);
    buf_deinit(&clean);
}

/* A packed message, or nothing. */
void args_message(struct args *args, const ProtobufCMessage *message)
{
    const size_t bytes = message ? protobuf_c_message_get_packed_size(message) : 0;
    uint8_t *packed = bytes ? arena_try(args->arena, bytes) : NULL;
    if (bytes && !packed) {
        args->failed = true;
        return;
    }
    if (bytes) (void)protobuf_c_message_pack(message, packed);
    args_bytes(args, packed, bytes);
}

void args_u32(struct args *args, uint32_t value)
{
    args_i64(args, (int64_t)value);
}

void args_made(struct args *args, const char *text)
{
    if (!text) args->failed = true;
    args_text(args, text);
}
