/* queue_model_text.c - texts, growing arrays and stream ids of the model. */
#include "common/base/check.h"
#include "common/base/str.h"
#include "tests/state/queue_model_parts.h"

#include <string.h>

void model_text_set(struct model_text *text, const void *data, size_t len)
{
    char *copy = NULL;
    if (len) {
        copy = mem_new(len + 1);
        memcpy(copy, data, len);
    }
    mem_free(text->data);
    *text = (struct model_text){copy, len};
}

void model_text_copy(struct model_text *to, const struct model_text *from)
{
    model_text_set(to, from->data, from->len);
}

bool model_text_eq(const struct model_text *a, const struct model_text *b)
{
    return a->len == b->len && (!a->len || memcmp(a->data, b->data, a->len) == 0);
}

const char *model_text_str(const struct model_text *text)
{
    return text->data ? text->data : "";
}

void model_text_clean(struct model_text *text, const char *from, size_t bytes_max)
{
    size_t len = from ? strlen(from) : 0;
    if (len > bytes_max) {
        for (len = bytes_max; len && ((uint8_t)from[len] & 0xC0) == 0x80;) len--;
    }
    struct buf clean;
    buf_init(&clean, 0);
    if (len) str_utf8_clean(&clean, from, len);
    model_text_set(text, clean.data, clean.len);
    buf_deinit(&clean);
}

void model_text_message(struct model_text *text, const ProtobufCMessage *message)
{
    const size_t len = message ? protobuf_c_message_get_packed_size(message) : 0;
    uint8_t *packed = mem_new(len + 1);
    if (len) (void)protobuf_c_message_pack(message, packed);
    model_text_set(text, packed, len);
    mem_free(packed);
}

char *model_text_give(const struct model_text *text, struct arena *arena)
{
    char *given = arena_text(arena, text->data, text->len);
    CHECK(given);
    return given;
}

static void *unpack_alloc(void *arena, size_t bytes)
{
    return arena_try(arena, bytes);
}

static void unpack_keep(void *arena, void *block)
{
    (void)arena, (void)block; /* dropped with the arena */
}

void *model_unpack(const ProtobufCMessageDescriptor *type, const struct model_text *packed,
                   struct arena *arena)
{
    ProtobufCAllocator allocator = {unpack_alloc, unpack_keep, arena};
    void *message = protobuf_c_message_unpack(type, &allocator, packed->len,
                                              (const uint8_t *)model_text_str(packed));
    CHECK(message);
    return message;
}

void *model_grow(void *array, uint32_t count, uint32_t *room, size_t bytes)
{
    if (count < *room) return array;
    const uint32_t more = *room ? 2 * *room : 8;
    uint8_t *grown = mem_resize(array, more * bytes);
    CHECK(grown);
    memset(grown + *room * bytes, 0, (more - *room) * bytes);
    *room = more;
    return grown;
}

void model_stream_next(int64_t *ms, int64_t *seq, int64_t now_ms)
{
    if (now_ms > *ms) {
        *ms = now_ms;
        *seq = 0;
    } else {
        (*seq)++;
    }
}

bool model_stream_read(int64_t *ms, int64_t *seq, const char *id)
{
    const char *dash = strchr(id, '-');
    char digits[32] = "";
    if (!dash || (size_t)(dash - id) >= sizeof digits) return false;
    memcpy(digits, id, (size_t)(dash - id));
    return str_to_int(ms, digits, 0, INT64_MAX, "ms", NULL) == 0 &&
           str_to_int(seq, dash + 1, 0, INT64_MAX, "seq", NULL) == 0;
}
