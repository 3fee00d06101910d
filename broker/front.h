/* front.h - the broker's side of the network: messages in from peers, messages out to them.
 *
 * A thin layer over proto/wire/sock.h, so that a simulator can link another implementation. It
 * also rereads the key file when it changes, so that keys are added and taken away without a
 * restart. One thread. */
#ifndef BROKER_FRONT_H
#define BROKER_FRONT_H

#include "common/base/err.h"
#include "proto/wire/sock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct front_options {
    const char *const *listen;
    uint32_t listen_count;
    const char *key_file; /* NULL: no encryption */
    bool insecure;        /* listen beyond loopback without keys */
};

struct front;

CHECKED int front_open(struct front **front, const struct front_options *options, struct err *err);
void front_close(struct front *front);
/* The real address of the i-th binding. */
const char *front_address(const struct front *front, uint32_t i);
/* The next message; valid until the next call. False: none now. Never waits. */
bool front_recv(struct front *front, struct sock_peer *peer, const void **data, size_t *bytes);
/* False: the peer is gone or its queue is full. Never waits. */
bool front_send(struct front *front, const struct sock_peer *peer, const void *data, size_t bytes);
/* Waits for a message or for one of the fds (fd < 0: skipped), at most wait_ms. */
void front_wait(struct front *front, const int *fds, uint32_t fds_count, int64_t wait_ms);
/* Rereads a changed key file; cheap, call it every second or so. */
void front_refresh(struct front *front);

#endif
