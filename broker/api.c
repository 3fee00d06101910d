/* api.c - the way of a request: who may ask, which row of the tables serves it. */
#include "broker/api.h"

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/str.h"

#include <string.h>

static void answer_error(struct broker *b, struct request *r, enum err_code code, const char *msg)
{
    char text[ERR_MSG_BYTES];
    (void)str_copy(text, sizeof text, msg);
    Vlmq__Error answer;
    vlmq__error__init(&answer);
    answer.code = (Vlmq__Code)(code == ERR_TIMEOUT ? ERR_UNAVAILABLE : code);
    answer.message = text;
    if (answer.code == VLMQ__CODE__CODE_UNAVAILABLE) answer.retry_after_ms = RETRY_AFTER_MS;
    if (answer.code == VLMQ__CODE__CODE_LIMIT) answer.retry_after_ms = RETRY_LATER_MS;
    b->metrics.refused++;
    r->open = false;
    broker_answer(b, &r->from, VLMQ__TYPE__ERROR, r->envelope.request_id, &answer.base);
}

void api_error(struct broker *b, struct request *r, const struct err *err)
{
    answer_error(b, r, err->code, err->msg);
}

bool api_answer(struct broker *b, struct request *r, Vlmq__Type type, const ProtobufCMessage *body)
{
    struct err err;
    buf_clear(&b->out);
    if (envelope_pack(&b->out, type, r->envelope.request_id, 0, body, &err)) {
        if (err.code == ERR_LIMIT) return false;
        log_error("message.unsent", "type=%s msg=%s", envelope_type_name(type), log_quote(err.msg));
        answer_error(b, r, ERR_INTERNAL, err.msg);
        return true;
    }
    broker_post(b, &r->from, b->out.data, b->out.len);
    r->open = false;
    return true;
}

static const struct api_row *row_in(const struct api_row *rows, Vlmq__Type type)
{
    for (; rows->type != VLMQ__TYPE__TYPE_UNSPECIFIED; rows++) {
        if (rows->type == type) return rows;
    }
    return NULL;
}

static const struct api_row *row_of(Vlmq__Type type)
{
    const struct api_row *row = row_in(api_worker_rows, type);
    return row ? row : row_in(api_client_rows, type);
}

static bool allowed(const struct api_row *row, enum sock_role role)
{
    switch (role) {
    case SOCK_ROLE_ADMIN:
        return true;
    case SOCK_ROLE_WORKER:
        return row->worker;
    case SOCK_ROLE_CLIENT:
        return row->client;
    case SOCK_ROLE_NONE:
        return false;
    }
    return false;
}

bool api_plan(struct broker *b, struct request *r)
{
    struct err err;
    const struct api_row *row = row_of(r->envelope.type);
    if (!row) {
        (void)err_set(&err, ERR_INVALID, "%s is not a request",
                      envelope_type_name(r->envelope.type));
        api_error(b, r, &err);
        return true;
    }
    if (!allowed(row, r->from.role)) {
        (void)err_set(&err, ERR_DENIED, "this key's role (%s) may not send %s",
                      sock_role_name(r->from.role), envelope_type_name(r->envelope.type));
        api_error(b, r, &err);
        return true;
    }
    return row->plan(b, r);
}

void api_finish(struct broker *b, struct request *r)
{
    const struct api_row *row = row_of(r->envelope.type);
    CHECK(row != NULL); /* it was planned */
    row->finish(b, r);
}

/* A page of a listing is one call, but keeps Redis busy for as long as many others do. */
static uint32_t page_weight(uint32_t rows)
{
    if (!rows) rows = ROWS_DEFAULT;
    if (rows > PAGE_ROWS_MAX) rows = PAGE_ROWS_MAX;
    return CALL_WEIGHT + rows / ROWS_PER_CALL;
}

uint32_t api_weight(const struct request *r)
{
    switch ((int)r->envelope.type) {
    case VLMQ__TYPE__LIST:
        return LIST_ROWS_MAX;
    case VLMQ__TYPE__TASKS: {
        const Vlmq__Tasks *tasks = (const Vlmq__Tasks *)(const void *)r->envelope.body;
        /* One with a state looks through many that it does not show. */
        return page_weight(tasks->state ? PAGE_ROWS_MAX : tasks->rows);
    }
    case VLMQ__TYPE__EVENTS:
        return page_weight(((const Vlmq__Events *)(const void *)r->envelope.body)->rows);
    case VLMQ__TYPE__WORKERS:
        return page_weight(PAGE_ROWS_MAX);
    case VLMQ__TYPE__RENEW:
        return (uint32_t)((const Vlmq__Renew *)(const void *)r->envelope.body)->n_renewals;
    default:
        return CALL_WEIGHT;
    }
}
