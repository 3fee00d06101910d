/* spec_fuzz.c - any bytes as a spec, and any text as an option with its value.
 *
 * The first byte chooses the kind. What unpacks packs again; what spec_set takes is a spec that
 * unpacks. */
#include "common/base/check.h"
#include "common/base/limits.h"
#include "proto/wire/spec.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void pack_again(const char *kind, const ProtobufCMessage *spec, struct arena *arena)
{
    struct err err;
    struct buf json;
    ProtobufCBinaryData packed;
    ProtobufCMessage *again;
    buf_init(&json, 0);
    spec_json(&json, spec);
    CHECK(!buf_failed(&json));
    if (!spec_pack(&packed, spec, arena, &err))
        CHECK(!spec_unpack(&again, kind, packed.data, packed.len, arena, &err));
    buf_deinit(&json);
}

static void set_option(const char *kind, const uint8_t *data, size_t bytes, struct arena *arena)
{
    struct err err = {0};
    const char *text = arena_text(arena, (const char *)data, bytes);
    if (!text) return;
    const size_t name_bytes = strlen(text);
    const char *value = name_bytes < bytes ? text + name_bytes + 1 : NULL;
    ProtobufCMessage *spec = spec_new(kind, arena);
    const int rc = spec_set(spec, text, value, arena, &err);
    CHECK(rc == 0 || err.msg[0]);
    if (rc == 0) pack_again(kind, spec, arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 1 || bytes > SPEC_BYTES_MAX) return 0;
    uint32_t kinds = 0;
    while (spec_kind(kinds)) kinds++;
    const char *kind = spec_kind(data[0] % kinds);
    struct err err = {0};
    struct arena arena;
    ProtobufCMessage *spec;
    arena_init(&arena, 64 * 1024 * 1024);
    const int rc = spec_unpack(&spec, kind, data + 1, bytes - 1, &arena, &err);
    CHECK(rc == 0 || err.msg[0]);
    if (rc == 0) pack_again(kind, spec, &arena);
    arena_reset(&arena);
    set_option(kind, data + 1, bytes - 1, &arena);
    arena_deinit(&arena);
    return 0;
}
