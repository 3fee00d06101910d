/* envelope_fuzz.c - any bytes as a message: opened and packed again, or refused with a sentence.
 *
 * What opens passes the sender's checks too, and opens again to the same bytes. */
#include "common/base/check.h"
#include "common/base/limits.h"
#include "proto/wire/envelope.h"
#include "proto/wire/spec.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void pack_again(const struct envelope *envelope, struct arena *arena)
{
    struct err err;
    struct buf first, second, json;
    struct envelope again;
    buf_init(&first, 0);
    buf_init(&second, 0);
    buf_init(&json, 0);
    CHECK(!envelope_pack(&first, envelope->type, envelope->request_id, envelope->timeout_ms,
                         envelope->body, &err));
    CHECK(!envelope_open(&again, first.data, first.len, arena, &err));
    CHECK(
        !envelope_pack(&second, again.type, again.request_id, again.timeout_ms, again.body, &err));
    CHECK(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
    spec_message_json(&json, envelope->body);
    CHECK(!buf_failed(&json));
    buf_deinit(&first);
    buf_deinit(&second);
    buf_deinit(&json);
}

static void open_one(const uint8_t *data, size_t bytes)
{
    struct err err = {0};
    struct arena arena;
    struct envelope envelope;
    arena_init(&arena, 3 * ENVELOPE_MEMORY_MAX);
    const int rc = envelope_open(&envelope, data, bytes, &arena, &err);
    CHECK(arena.bytes <= ENVELOPE_MEMORY_MAX + bytes + 4096);
    if (rc)
        CHECK(err.code == (enum err_code)rc && err.msg[0] && !envelope.body);
    else
        pack_again(&envelope, &arena);
    arena_deinit(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    open_one(data, bytes);
    /* The same bytes as the body of a type, past the envelope. */
    if (bytes < 1 || bytes > MESSAGE_BYTES_MAX) return 0;
    struct buf frame;
    buf_init(&frame, 0);
    uint8_t *body = mem_new(bytes);
    memcpy(body, data + 1, bytes - 1);
    const Vlmq__Type type = (Vlmq__Type)(data[0] & 0x3f);
    const bool pushed = type == VLMQ__TYPE__WATCH_UPDATE || type == VLMQ__TYPE__NOTICE;
    CHECK(!envelope_pack_body(&frame, type, pushed ? 0 : 1, 0, body, bytes - 1, NULL));
    open_one((const uint8_t *)frame.data, frame.len);
    buf_deinit(&frame);
    mem_free(body);
    return 0;
}
