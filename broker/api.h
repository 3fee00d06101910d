/* api.h - requests: what each needs from Redis, and how it is answered.
 *
 * api_plan appends the calls of a request's next step. It returns false when the round has no
 * room for them: the request is planned again in the next one. A request that needs no call is
 * answered in api_plan. After the commit api_finish answers it or moves it to its next step. */
#ifndef BROKER_API_H
#define BROKER_API_H

#include "broker/broker.h"

bool api_plan(struct broker *broker, struct request *request);
void api_finish(struct broker *broker, struct request *request);
/* Answers with an error and ends the request. */
void api_error(struct broker *broker, struct request *request, const struct err *err);
/* Answers and ends the request. True: sent, or not for the answer's fault. False: the answer is
 * too large, and the request is still open. */
bool api_answer(struct broker *broker, struct request *request, Vlmq__Type type,
                const ProtobufCMessage *body);
/* How many calls the request may need at most in one step, or what keeps Redis busy for as long:
 * bounds what a turn takes in. */
uint32_t api_weight(const struct request *request);

/* One row for each type of request. */
struct api_row {
    Vlmq__Type type;
    bool worker, client; /* which roles may; an admin may all */
    bool (*plan)(struct broker *broker, struct request *request);
    void (*finish)(struct broker *broker, struct request *request);
};
extern const struct api_row api_client_rows[]; /* type 0 ends them */
extern const struct api_row api_worker_rows[];

#endif
