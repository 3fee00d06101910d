/* envelope.c - packing, and opening what a stranger sent.
 *
 * The order of the checks: size, envelope, version, type, body's size, body, rules. Unpacking is
 * bounded by a budget beside the arena's own limit; its depth is that of the schemas, which do not
 * nest into themselves (a test walks them). */
#include "proto/wire/envelope.h"

#include "common/base/check.h"
#include "common/base/limits.h"
#include "common/base/str.h"
#include "proto/wire/codec.h"
#include "proto/wire/field.h"

#include <string.h>

#define SAME_CODE(name) \
    _Static_assert((int)ERR_##name == VLMQ__CODE__CODE_##name, "proto and base agree")
SAME_CODE(OK);
SAME_CODE(INVALID);
SAME_CODE(NOT_FOUND);
SAME_CODE(STALE);
SAME_CODE(CANCELLED);
SAME_CODE(LIMIT);
SAME_CODE(CORRUPT);
SAME_CODE(UNAVAILABLE);
SAME_CODE(TIMEOUT);
SAME_CODE(DENIED);
SAME_CODE(VERSION);
SAME_CODE(INTERNAL);
SAME_CODE(FULL);
_Static_assert(ERR_CODES_COUNT == VLMQ__CODE__CODE_FULL + 1, "base has no code of its own");

static void *arena_allocate(void *arena, size_t bytes)
{
    return arena_try(arena, bytes);
}

static void keep(void *unused, void *place)
{
    (void)unused;
    (void)place;
}

ProtobufCAllocator envelope_allocator(struct arena *arena)
{
    return (ProtobufCAllocator){.alloc = arena_allocate, .free = keep, .allocator_data = arena};
}

struct budget {
    struct arena *arena;
    size_t left;
    bool exhausted;
};

static void *budget_allocate(void *data, size_t bytes)
{
    struct budget *budget = data;
    void *place = bytes <= budget->left ? arena_try(budget->arena, bytes) : NULL;
    if (!place) {
        budget->exhausted = true;
        return NULL;
    }
    budget->left -= bytes;
    return place;
}

static int unpack(ProtobufCMessage **message, const ProtobufCMessageDescriptor *descriptor,
                  const void *data, size_t bytes, struct budget *budget, const char *name,
                  struct err *err)
{
    ProtobufCAllocator allocator = {
        .alloc = budget_allocate, .free = keep, .allocator_data = budget};
    *message = protobuf_c_message_unpack(descriptor, &allocator, bytes, data);
    if (*message) {
        field_drop_unknown(*message);
        return 0;
    }
    if (budget->exhausted)
        return err_set(err, ERR_LIMIT, "%s needs too much memory when unpacked", name);
    return err_set(err, ERR_INVALID, "%s is malformed", name);
}

/* Whether the type is pushed, and so answers no request. */
static bool is_push(Vlmq__Type type)
{
    return type == VLMQ__TYPE__WATCH_UPDATE || type == VLMQ__TYPE__NOTICE;
}

static int open_body(struct envelope *envelope, const ProtobufCBinaryData *body,
                     struct budget *budget, struct err *err)
{
    const struct codec_type *type = codec_type(envelope->type);
    if (!type)
        return err_set(err, ERR_INVALID, "message type %d is unknown to protocol version %d",
                       (int)envelope->type, PROTOCOL_VERSION);
    if (body->len > MESSAGE_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "%s has %zu bytes; at most %d are allowed", type->name,
                       body->len, MESSAGE_BYTES_MAX);
    /* An error may answer what had no readable id. */
    if (is_push(type->type) ? envelope->request_id != 0
                            : !envelope->request_id && type->type != VLMQ__TYPE__ERROR)
        return err_set(err, ERR_INVALID, "%s %s", type->name,
                       envelope->request_id ? "has a request id" : "has no request id");
    int rc = unpack(&envelope->body, type->table->descriptor, body->data, body->len, budget,
                    type->name, err);
    if (!rc) rc = codec_check(type, envelope->body, err);
    if (rc) envelope->body = NULL;
    return rc;
}

int envelope_open(struct envelope *envelope, const void *data, size_t bytes, struct arena *arena,
                  struct err *err)
{
    struct budget budget = {.arena = arena, .left = ENVELOPE_MEMORY_MAX};
    ProtobufCMessage *message = NULL;
    *envelope = (struct envelope){0};
    if (bytes > MESSAGE_BYTES_MAX + ENVELOPE_HEAD_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "a message of %zu bytes; at most %d are allowed", bytes,
                       MESSAGE_BYTES_MAX + ENVELOPE_HEAD_BYTES_MAX);
    int rc =
        unpack(&message, &vlmq__envelope__descriptor, data, bytes, &budget, "the envelope", err);
    if (rc) return rc;
    const Vlmq__Envelope *outer = (const Vlmq__Envelope *)message;
    envelope->version = outer->version;
    envelope->type = outer->type;
    envelope->request_id = outer->request_id;
    envelope->timeout_ms = outer->timeout_ms;
    if (outer->version != PROTOCOL_VERSION)
        return err_set(err, ERR_VERSION,
                       "the message has protocol version %u, this program speaks version %d: "
                       "upgrade the older side",
                       outer->version, PROTOCOL_VERSION);
    return open_body(envelope, &outer->body, &budget, err);
}

int envelope_pack(struct buf *out, Vlmq__Type type, uint64_t request_id, uint32_t timeout_ms,
                  const ProtobufCMessage *body, struct err *err)
{
    const struct codec_type *row = codec_type(type);
    CHECK(row != NULL);
    CHECK(body->descriptor == row->table->descriptor);
    int rc = codec_check(row, body, err);
    if (rc) return rc;
    const size_t body_bytes = protobuf_c_message_get_packed_size(body);
    if (body_bytes > MESSAGE_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "%s has %zu bytes; at most %d are allowed", row->name,
                       body_bytes, MESSAGE_BYTES_MAX);
    struct buf packed;
    buf_init(&packed, 0);
    uint8_t *place = (uint8_t *)buf_reserve(&packed, body_bytes);
    if (!place) {
        rc = err_set(err, ERR_LIMIT, "no memory for %s of %zu bytes", row->name, body_bytes);
    } else {
        protobuf_c_message_pack(body, place);
        rc = envelope_pack_body(out, type, request_id, timeout_ms, place, body_bytes, err);
    }
    buf_deinit(&packed);
    return rc;
}

int envelope_pack_body(struct buf *out, Vlmq__Type type, uint64_t request_id, uint32_t timeout_ms,
                       uint8_t *body, size_t bytes, struct err *err)
{
    Vlmq__Envelope envelope = VLMQ__ENVELOPE__INIT;
    envelope.version = PROTOCOL_VERSION;
    envelope.type = type;
    envelope.request_id = request_id;
    envelope.timeout_ms = timeout_ms;
    envelope.body = (ProtobufCBinaryData){.len = bytes, .data = body};
    const size_t all = vlmq__envelope__get_packed_size(&envelope);
    char *place = buf_reserve(out, all);
    if (!place) return err_set(err, ERR_LIMIT, "no memory for a message of %zu bytes", all);
    vlmq__envelope__pack(&envelope, (uint8_t *)place);
    buf_commit(out, all);
    return 0;
}

Vlmq__Type envelope_answer_type(Vlmq__Type request)
{
    const struct codec_type *row = codec_type(request);
    return row ? row->answer : VLMQ__TYPE__TYPE_UNSPECIFIED;
}

const ProtobufCMessageDescriptor *envelope_descriptor(Vlmq__Type type)
{
    const struct codec_type *row = codec_type(type);
    return row ? row->table->descriptor : NULL;
}

const char *envelope_type_name(Vlmq__Type type)
{
    const struct codec_type *row = codec_type(type);
    return row ? row->name : "unknown";
}

enum err_code envelope_code(Vlmq__Code code)
{
    return (uint32_t)code < ERR_CODES_COUNT ? (enum err_code)code : ERR_INTERNAL;
}

/* A byte that no character starts with. */
static bool inside_character(char byte)
{
    return ((unsigned char)byte & 0xc0) == 0x80;
}

const char *envelope_text(struct arena *arena, const char *text, size_t bytes, size_t bytes_max,
                          bool keep_end)
{
    struct buf clean;
    /* A replaced byte grows to three, so no more of the source than this can be needed. */
    if (bytes > bytes_max && keep_end) {
        text += bytes - bytes_max;
        for (bytes = bytes_max; bytes && inside_character(*text); bytes--) text++;
    } else if (bytes > bytes_max) {
        for (bytes = bytes_max; bytes && inside_character(text[bytes]);) bytes--;
    }
    buf_init(&clean, 0);
    str_utf8_clean(&clean, text, bytes);
    const char *start = buf_str(&clean), *end = start + clean.len;
    if (clean.len > bytes_max && keep_end) {
        start = end - bytes_max;
        while (start < end && inside_character(*start)) start++;
    } else if (clean.len > bytes_max) {
        end = start + bytes_max;
        while (end > start && inside_character(*end)) end--;
    }
    char *copy = arena_text(arena, start, (size_t)(end - start));
    buf_deinit(&clean);
    for (char *c = copy; c && *c; c++)
        if (((unsigned char)*c < 0x20 && *c != '\n' && *c != '\t') || *c == 0x7f) *c = '?';
    return copy ? copy : "";
}
