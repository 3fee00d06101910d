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
#include <stddef.h>
#include <stdint.h>

#define PROTOCOL_VERSION 1
/* Leases in one Renew, and slots of each sort in one Take: a worker has a few slots per processor.
 */
#define ENVELOPE_RENEWALS_MAX 256
#define ENVELOPE_GRANTS_MAX   256
/* What the fields around a body need at most. */
#define ENVELOPE_HEAD_BYTES_MAX 64
/* Unpacking one message takes at most this much of an arena, whatever its bytes say: an empty
 * repeated message is 2 bytes on the wire and a hundred in memory. The largest messages that pass
 * the checks (1,000 jobs, 4,096 tasks) take about a fifth. */
#define ENVELOPE_MEMORY_MAX ((size_t)16 * 1024 * 1024)

struct envelope {
    uint32_t version;
    Vlmq__Type type;
    uint64_t request_id;
    uint32_t timeout_ms;
    ProtobufCMessage *body; /* of the type's message; in the arena */
};

/* Packs; body's descriptor must be the one of type (checked). Appends to out. The body is held to
 * the same rules as a received one: ERR_INVALID names the field, ERR_LIMIT says that it is too
 * large. */
CHECKED int envelope_pack(struct buf *out, Vlmq__Type type, uint64_t request_id,
                          uint32_t timeout_ms, const ProtobufCMessage *body, struct err *err);
/* As envelope_pack, for a body that is packed already (and was checked then). */
CHECKED int envelope_pack_body(struct buf *out, Vlmq__Type type, uint64_t request_id,
                               uint32_t timeout_ms, uint8_t *body, size_t bytes, struct err *err);
/* Unpacks and validates into the arena (data need not live on). ERR_VERSION (with request_id set,
 * so that it can be answered; the sentence names both versions), ERR_INVALID for anything malformed
 * (request_id is set where it could be read), ERR_LIMIT for too much. */
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
/* text (bytes of it) as a field of at most bytes_max bytes may hold it: valid UTF-8, control
 * characters but line feed and tab replaced; when it is too long, its end is kept if keep_end is
 * set, else its start. In the arena; "" when memory is out. For reasons, log tails and titles. */
const char *envelope_text(struct arena *arena, const char *text, size_t bytes, size_t bytes_max,
                          bool keep_end);
/* An allocator over an arena, for protobuf-c's unpack functions; free does nothing. */
ProtobufCAllocator envelope_allocator(struct arena *arena);

#endif
