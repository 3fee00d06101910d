/* expect.h - tasks that the calls of this round will make ready.
 *
 * A task would else be taken one commit later, and each commit waits for the disk. Calls on a job
 * take effect in their order, so what a round expects is offered in the same commit; where it does
 * not come true, the take finds nothing. A job that is submitted in this round stands in the table
 * until Redis tells of it. */
#ifndef BROKER_EXPECT_H
#define BROKER_EXPECT_H

#include "broker/broker.h"

/* A submit of this job is the call of this number. */
void expect_job(struct broker *broker, const Vlmq__Job *job, uint32_t call);
/* An attempt of the job adds so many tasks, in a call of this round. */
void expect_tasks(struct broker *broker, const char *job_id, size_t count);
/* An attempt of the job ends well, in a call of this round. */
void expect_close(struct broker *broker, const char *job_id);
/* After the commit, or without one: nothing is expected any more. */
void expect_end(struct broker *broker);

#endif
