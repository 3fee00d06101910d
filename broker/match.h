/* match.h - hands ready tasks to parked takes. */
#ifndef BROKER_MATCH_H
#define BROKER_MATCH_H

#include "broker/broker.h"

/* Parks a take (a worker's request), or answers a repeat as before. */
void match_park(struct broker *broker, struct request *request);
/* Answers the peer's parked take, if it has one: nobody will ask on its behalf any more. */
void match_unpark(struct broker *broker, struct peer *peer);
/* Appends TAKE calls for what the policy chose. */
void match_plan(struct broker *broker);
/* After the commit: answers the takes that got something. */
void match_finish(struct broker *broker);
/* An answer to a take could not be sent: its grants go back. */
void match_unsent(struct broker *broker, const struct sock_peer *to,
                  const struct envelope *envelope);
/* Answers takes whose time is over; all of them: everyone's. */
void match_expire(struct broker *broker, bool all);
/* The earliest end of a parked take, or a moment to match again; INT64_MAX: none. */
int64_t match_next(const struct broker *broker);

#endif
