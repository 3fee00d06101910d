/* reply.h - a function's reply as a tree of values, and what of it goes into its state_calls.
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

/* Fills the out fields of the calls that one function call was made for; they share the job. A
 * reply that is not what the function gives is ERR_CORRUPT in call->err; a full arena is ERR_LIMIT
 * there. */
void reply_read(struct state_call *const *call, uint32_t count, const struct reply *reply,
                struct arena *arena);

#endif
