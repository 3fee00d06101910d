/* message.h - a message of any type from a fuzzer's bytes, mostly within its rules.
 *
 * Built field by field along the tables of proto/wire/codec.h, so that a new message or field needs
 * nothing here. Plain bytes rarely get past the rules of a message; these do, and now and then
 * break one of them. */
#ifndef TESTS_FUZZ_MESSAGE_H
#define TESTS_FUZZ_MESSAGE_H

#include "common/base/mem.h"
#include "proto/wire/codec.h"
#include "proto/wire/envelope.h"
#include "tests/fuzz/input.h"

/* Texts to choose from: what has been said in this run. NULL or "": nothing to offer. */
typedef const char *message_text(void *ctx, const char *field, enum codec_form form,
                                 uint32_t choice);

/* The i-th type that there is; TYPE_UNSPECIFIED past the last. */
Vlmq__Type message_type(uint32_t i);
uint32_t message_types(void);
ProtobufCMessage *message_make(Vlmq__Type type, struct input *input, struct arena *arena,
                               message_text *text, void *ctx);
/* The target's first words: chance begins anew, so that an input runs the same each time. */
void message_chance(void);
/* FUZZ_TALK=1 shows what the program under test says: how to read a script. */
void message_talk(const char *who, const struct envelope *envelope);

#endif
