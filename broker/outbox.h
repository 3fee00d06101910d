/* outbox.h - answers that wait until the next commit is under way.
 *
 * Sending an answer costs about what planning its request did, and Redis would wait for both. So
 * the answers of one commit go out while Redis carries out the next; if there is none, right after
 * the turn that finds it so. Order is kept. */
#ifndef BROKER_OUTBOX_H
#define BROKER_OUTBOX_H

#include "broker/front.h"
#include "common/base/buf.h"

struct outbox {
    struct buf bytes;
    struct outbox_entry *entry;
    uint32_t count, room;
};

/* Told of an answer that could not be sent; must not add to the outbox. */
typedef void outbox_unsent_fn(void *ctx, const struct sock_peer *to, const void *data,
                              size_t bytes);

void outbox_init(struct outbox *outbox);
void outbox_deinit(struct outbox *outbox);
/* Copies the message. False: it is full, or memory is out. */
CHECKED bool outbox_add(struct outbox *outbox, const struct sock_peer *to, const void *data,
                        size_t bytes);
/* Sends everything, and is empty then. */
void outbox_flush(struct outbox *outbox, struct front *front, outbox_unsent_fn *unsent, void *ctx);

#endif
