/* push.h - reads watched jobs and sends updates to their watchers. */
#ifndef BROKER_PUSH_H
#define BROKER_PUSH_H

#include "broker/broker.h"

void push_plan(struct broker *broker);
void push_finish(struct broker *broker);
/* Forgets watches whose lease is over. */
void push_expire(struct broker *broker);

#endif
