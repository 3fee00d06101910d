/* chan.h - a bounded queue of pointers between threads.
 *
 * A pointer in the channel is owned by the channel. chan_send takes it only when it
 * returns true; chan_recv gives it away. Full means the sender waits: that is the only
 * back-pressure in the worker. After chan_close no send succeeds, and receivers drain what
 * is left and then get NULL. */
#ifndef BASE_CHAN_H
#define BASE_CHAN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct chan;

struct chan *chan_new(uint32_t capacity); /* capacity >= 1 */
/* The channel must be closed and its users joined; what is left inside is the caller's bug. */
void chan_free(struct chan *chan);
void chan_close(struct chan *chan);
bool chan_send(struct chan *chan, void *item);
bool chan_try_send(struct chan *chan, void *item);
void *chan_recv(struct chan *chan);     /* waits; NULL: closed and empty */
void *chan_try_recv(struct chan *chan); /* NULL: nothing now */
/* Waits up to wait_ms; NULL: nothing in time, or closed and empty. */
void *chan_recv_for(struct chan *chan, int64_t wait_ms);
uint32_t chan_depth(struct chan *chan);
uint32_t chan_capacity(const struct chan *chan);

/* A wake-up for a thread that sleeps in poll(): an eventfd, written only on the change from
 * quiet to raised. */
struct wake {
    int fd; /* poll for POLLIN; -1 when closed */
    atomic_bool raised;
};
int wake_open(struct wake *wake); /* 0 or -1 */
void wake_close(struct wake *wake);
void wake_raise(struct wake *wake); /* any thread, also in a signal handler */
/* The poller's thread only, and before it looks at what the raisers left for it. */
void wake_clear(struct wake *wake);

#endif
