/* reply.h - a function's reply as a tree of values, and what of it goes into a state_call.
 *
 * The tree is filled by redis.c, in the arena of the commit; its texts are terminated. Nothing in
 * it is trusted: lengths, types, numbers and texts are checked on the way out. */
#ifndef STATE_REPLY_H
#define STATE_REPLY_H

#include "broker/state/state.h"

enum reply_type { REPLY_NIL, REPLY_INTEGER, REPLY_TEXT, REPLY_ARRAY };

struct reply {
    enum reply_type type;
    int64_t integer;
    char *text; /* bytes long, and a zero */
    size_t bytes;
    struct reply *item;
    size_t count;
};

/* Fills the call's out fields. A reply that is not what the function gives is ERR_CORRUPT in
 * call->err; a full arena is ERR_LIMIT there. */
void reply_read(struct state_call *call, const struct reply *reply, struct arena *arena);

#endif
