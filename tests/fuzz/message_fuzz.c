/* message_fuzz.c - messages of every type, built along their rules: what the sender's check takes
 * the receiver takes, and gives back byte for byte; what it refuses the receiver refuses too.
 *
 * The first byte chooses the type, the rest the fields. */
#include "common/base/limits.h"
#include "proto/wire/envelope.h"
#include "proto/wire/spec.h"
#include "tests/fuzz/message.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* The frame as a peer without our checks would send it. */
static void pack_unchecked(struct buf *frame, Vlmq__Type type, const ProtobufCMessage *body)
{
    const bool pushed = type == VLMQ__TYPE__WATCH_UPDATE || type == VLMQ__TYPE__NOTICE;
    const size_t bytes = protobuf_c_message_get_packed_size(body);
    uint8_t *packed = mem_new(bytes + 1);
    (void)protobuf_c_message_pack(body, packed);
    CHECK(!envelope_pack_body(frame, type, pushed ? 0 : 1, 5, packed, bytes, NULL));
    mem_free(packed);
}

static void open_again(const struct buf *frame, bool fits, struct arena *arena)
{
    struct envelope envelope;
    struct err err = {0};
    struct buf second, json;
    const int rc = envelope_open(&envelope, frame->data, frame->len, arena, &err);
    CHECK(fits == (rc == 0));
    if (rc) {
        CHECK(err.msg[0] && !envelope.body);
        return;
    }
    buf_init(&second, 0);
    buf_init(&json, 0);
    CHECK(!envelope_pack(&second, envelope.type, envelope.request_id, envelope.timeout_ms,
                         envelope.body, &err));
    CHECK(second.len == frame->len && memcmp(second.data, frame->data, frame->len) == 0);
    spec_message_json(&json, envelope.body);
    CHECK(!buf_failed(&json));
    buf_deinit(&second);
    buf_deinit(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct input input = {data, bytes};
    struct arena arena;
    struct buf frame;
    struct err err = {0};
    arena_init(&arena, 0);
    buf_init(&frame, 0);
    const Vlmq__Type type = message_type((uint32_t)input_take(&input, 1) % message_types());
    const ProtobufCMessage *body = message_make(type, &input, &arena, NULL, NULL);
    const int rc = codec_check(codec_type(type), body, &err);
    CHECK(rc == 0 || (rc == ERR_INVALID && err.msg[0]));
    if (protobuf_c_message_get_packed_size(body) <= MESSAGE_BYTES_MAX) {
        pack_unchecked(&frame, type, body);
        open_again(&frame, rc == 0, &arena);
    }
    buf_deinit(&frame);
    arena_deinit(&arena);
    return 0;
}
