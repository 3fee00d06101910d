/* request.h - state_calls as the arguments of one Redis function call.
 *
 * Knows nothing of the connection. Everything that comes from outside is checked here, before
 * anything is sent; the functions check what only Redis knows. */
#ifndef STATE_REQUEST_H
#define STATE_REQUEST_H

#include "broker/state/args.h"
#include "broker/state/state.h"

/* Whether calls of these operations on one job may share a function call. */
bool request_shares(enum state_op one, enum state_op other);
/* Begins the FCALL of a call, and of those that share it. ERR_INVALID: it cannot be sent;
 * ERR_LIMIT: out of memory. */
CHECKED int request_begin(struct args *args, const struct state_call *call, struct arena *arena,
                          struct err *err);
/* Adds the call's arguments. The same errors; the args are then as before, and good for others. */
CHECKED int request_add(struct args *args, const struct state_call *call, struct err *err);

#endif
