/* envelope.h - one message = one ZeroMQ frame = one packed vlmq.Envelope.
 *
 * docs/protocol.md describes the exchange; bytes from a peer are never trusted: size, version,
 * type, body and every text's length are checked here, before anything else sees the message
 * (envelope_open), so that the programs may rely on the bounds of common/base/limits.h. */
#ifndef WIRE_ENVELOPE_H
#define WIRE_ENVELOPE_H

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/mem.h"
#include "proto/schema/client.pb-c.h"
#include "proto/schema/common.pb-c.h"
#include "proto/schema/worker.pb-c.h"

#include <stdbool.h>
#include <stdint.h>

#define PROTOCOL_VERSION 1

struct envelope {
    uint32_t version;
    Vlmq__Type type;
    uint64_t request_id;
    uint32_t timeout_ms;
    ProtobufCMessage *body; /* of the type's message; in the arena */
};

/* Packs; body's descriptor must be the one of type (checked). Appends to out. */
CHECKED int envelope_pack(struct buf *out, Vlmq__Type type, uint64_t request_id,
                          uint32_t timeout_ms, const ProtobufCMessage *body, struct err *err);
/* Unpacks and validates into the arena. ERR_VERSION (with request_id set, so that it can be
 * answered; the sentence names both versions), ERR_INVALID for anything malformed (request_id is
 * set where it could be read), ERR_LIMIT for too much. */
CHECKED int envelope_open(struct envelope *envelope, const void *data, size_t bytes,
                          struct arena *arena, struct err *err);
/* The answer type of a request type, or TYPE_UNSPECIFIED. */
Vlmq__Type envelope_answer_type(Vlmq__Type request);
/* The descriptor of a type's message; NULL for unknown types. */
const ProtobufCMessageDescriptor *envelope_descriptor(Vlmq__Type type);
/* "SUBMIT", for logs. */
const char *envelope_type_name(Vlmq__Type type);
/* Codes are the same numbers (asserted at compile time). */
enum err_code envelope_code(Vlmq__Code code); /* unknown ones become ERR_INTERNAL */
/* An allocator over an arena, for protobuf-c's unpack functions; free does nothing. */
ProtobufCAllocator envelope_allocator(struct arena *arena);

#endif
