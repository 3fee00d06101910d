/* fake_sock.h - proto/wire/sock.h for one program under a fuzzer: its connection, its clock and
 * its network are this script.
 *
 * Defines the functions of sock.h that a link uses, and clock_real; included by the targets for
 * which the real ones are not linked. sock_poll, where the program would sleep, plays the next
 * steps of the script instead. */
#ifndef TESTS_FUZZ_FAKE_SOCK_H
#define TESTS_FUZZ_FAKE_SOCK_H

#include "common/base/buf.h"
#include "proto/wire/envelope.h"
#include "proto/wire/sock.h"
#include "tests/fuzz/input.h"

#define FAKE_ASKED 64 /* requests that are remembered, the newest */

struct fake {
    struct input input;
    struct arena arena;
    int64_t now_ms;
    enum sock_state state;
    uint32_t connections;
    bool full;        /* the transport takes nothing */
    struct buf frame; /* that sock_recv will give */
    bool has_frame;
    struct { /* what the program has asked */
        uint64_t id;
        Vlmq__Type type;
    } asked[FAKE_ASKED];
    uint32_t asked_count;
    uint64_t sent; /* messages of the program */
    /* One step that is the target's own, and what happens when the script is over; or NULL. */
    void (*step)(uint32_t choice);
    void (*idle)(uint32_t choice);
};

extern struct fake fake;

void fake_begin(const uint8_t *data, size_t bytes);
void fake_end(void);
/* Plays a step of the script; false: it is over. */
bool fake_play(void);

#endif
