/* care.h - what a broker does without being asked: it reaps what is due, follows the feed of the
 * other brokers, sweeps over all active jobs, releases held jobs, feeds chained ones. */
#ifndef BROKER_CARE_H
#define BROKER_CARE_H

#include "broker/broker.h"

void care_plan(struct broker *broker);
/* After the commit of a round; appends what follows to the next one through turn.follow. */
void care_finish(struct broker *broker);
/* The second step of this turn: looks at the ids that the first one found. */
void care_follow(struct broker *broker);
/* Redis is (again) there: read all, trust no deadline. */
void care_restart(struct broker *broker);
/* A lease to hand back: its grant could not be delivered. */
void care_give_back(struct broker *broker, const char *job, uint32_t index, const char *lease);
int64_t care_next(const struct broker *broker);
/* The duty's call, tagged. */
struct state_call *care_call(struct broker *broker, enum care_tag tag, enum state_op op,
                             const char *job_id, const char *for_job);

/* chain.c: jobs that wait for, or live on, another job. */
void chain_plan(struct broker *broker, struct job *job);
void chain_finish(struct broker *broker, const struct duty *duty);
void chain_follow(struct broker *broker);

#endif
