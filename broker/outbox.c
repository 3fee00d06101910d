/* outbox.c - answers that wait: one buffer with the messages, one list of where each ends. */
#include "broker/outbox.h"

#include "broker/limits.h"
#include "common/base/mem.h"

#include <string.h>

struct outbox_entry {
    struct sock_peer to;
    size_t at, bytes;
};

void outbox_init(struct outbox *outbox)
{
    *outbox = (struct outbox){0};
    buf_init(&outbox->bytes, 0);
}

void outbox_deinit(struct outbox *outbox)
{
    buf_deinit(&outbox->bytes);
    mem_free(outbox->entry);
}

bool outbox_add(struct outbox *outbox, const struct sock_peer *to, const void *data, size_t bytes)
{
    if (outbox->count && outbox->bytes.len + bytes > OUTBOX_BYTES_MAX) return false;
    if (outbox->count == outbox->room) {
        const uint32_t room = outbox->room ? 2 * outbox->room : 64;
        struct outbox_entry *entry = mem_resize(outbox->entry, room * sizeof *entry);
        if (!entry) return false;
        outbox->entry = entry;
        outbox->room = room;
    }
    char *place = buf_reserve(&outbox->bytes, bytes);
    if (!place) return false;
    memcpy(place, data, bytes);
    outbox->entry[outbox->count++] = (struct outbox_entry){*to, outbox->bytes.len, bytes};
    buf_commit(&outbox->bytes, bytes);
    return true;
}

void outbox_flush(struct outbox *outbox, struct front *front, outbox_unsent_fn *unsent, void *ctx)
{
    for (uint32_t i = 0; i < outbox->count; i++) {
        const struct outbox_entry *e = &outbox->entry[i];
        const char *data = outbox->bytes.data + e->at;
        if (!front_send(front, &e->to, data, e->bytes)) unsent(ctx, &e->to, data, e->bytes);
    }
    outbox->count = 0;
    buf_clear(&outbox->bytes);
}
