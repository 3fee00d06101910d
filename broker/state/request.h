/* request.h - a state_call as the arguments of one Redis function call.
 *
 * Knows nothing of the connection. Everything that comes from outside is checked here, before
 * anything is sent; the functions check what only Redis knows. */
#ifndef STATE_REQUEST_H
#define STATE_REQUEST_H

#include "broker/state/args.h"
#include "broker/state/state.h"

/* Builds the FCALL of a call. ERR_INVALID: the call cannot be sent; ERR_LIMIT: out of memory. */
CHECKED int request_build(struct args *args, const struct state_call *call, struct arena *arena,
                          struct err *err);

#endif
