/* state_reply_fuzz.c - any tree of values as the reply of a Redis function, and any text as INFO
 * or as an error of Redis.
 *
 * The first byte chooses the operation. The rest is the tree, value by value in the order of
 * writing: '*' count, '(' number of one byte, ':' number of eight bytes, '$' count of two bytes and
 * that text; any other byte is nil. What is read is used as the broker uses it: every text to its
 * end. */
#include "broker/state/reply.h"
#include "broker/state/server.h"
#include "common/base/check.h"
#include "common/base/str.h"

#include <string.h>

#define DEPTH_MAX 6 /* as redis.c has it */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

struct input {
    const uint8_t *data;
    size_t bytes;
};

static uint64_t take(struct input *input, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++) {
        value <<= 8;
        if (!input->bytes) continue;
        value |= *input->data++;
        input->bytes--;
    }
    return value;
}

static void read_value(struct reply *reply, struct input *input, struct arena *arena,
                       uint32_t depth)
{
    *reply = (struct reply){.type = REPLY_NIL};
    const char type = (char)take(input, 1);
    if (type == ':' || type == '(') {
        reply->type = REPLY_INTEGER;
        reply->integer = (int64_t)take(input, type == ':' ? 8 : 1);
    } else if (type == '$') {
        reply->type = REPLY_TEXT;
        reply->bytes = take(input, 2);
        if (reply->bytes > input->bytes) reply->bytes = input->bytes;
        reply->text = arena_text(arena, (const char *)input->data, reply->bytes);
        CHECK(reply->text != NULL);
        input->data += reply->bytes;
        input->bytes -= reply->bytes;
    } else if (type == '*' && depth < DEPTH_MAX) {
        reply->type = REPLY_ARRAY;
        reply->count = take(input, 1);
        if (reply->count > input->bytes) reply->count = input->bytes;
        reply->item = arena_new(arena, reply->count * sizeof *reply->item);
        for (size_t i = 0; i < reply->count; i++)
            read_value(&reply->item[i], input, arena, depth + 1);
    }
}

static size_t text_bytes(const char *text)
{
    CHECK(text != NULL);
    const size_t bytes = strlen(text);
    CHECK(str_utf8_valid(text, bytes) == bytes);
    return bytes;
}

static void use_job(const Vlmq__Job *job)
{
    CHECK(job->progress != NULL);
    CHECK(text_bytes(job->id) < JOB_ID_BYTES);
    (void)text_bytes(job->reason);
    CHECK(job->n_counters <= COUNTERS_MAX);
    for (size_t i = 0; i < job->n_counters; i++) (void)text_bytes(job->counters[i]->name);
    CHECK(protobuf_c_message_get_packed_size(&job->base) > 0);
}

static size_t use_rows(const struct state_call *call)
{
    size_t sum = 0;
    switch ((int)call->op) {
    case STATE_TAKE:
        for (uint32_t i = 0; i < call->out.take.count; i++)
            sum += text_bytes(call->out.take.grant[i].name) +
                   text_bytes(call->out.take.grant[i].lease);
        break;
    case STATE_TASKS:
        sum += text_bytes(call->out.tasks.page);
        for (uint32_t i = 0; i < call->out.tasks.count; i++)
            sum += protobuf_c_message_get_packed_size(&call->out.tasks.task[i]->base);
        break;
    case STATE_EVENTS:
        sum += text_bytes(call->out.events.after);
        for (uint32_t i = 0; i < call->out.events.count; i++)
            sum += protobuf_c_message_get_packed_size(&call->out.events.event[i]->base);
        break;
    case STATE_MADE:
        for (uint32_t i = 0; i < call->out.made.count; i++)
            sum += text_bytes(call->out.made.made[i].name);
        break;
    case STATE_LIST:
    case STATE_ACTIVE:
    case STATE_FEED:
        sum += text_bytes(call->out.ids.page);
        for (uint32_t i = 0; i < call->out.ids.count; i++) sum += text_bytes(call->out.ids.id[i]);
        break;
    case STATE_WORKERS:
        for (uint32_t i = 0; i < call->out.workers.count; i++)
            sum += protobuf_c_message_get_packed_size(&call->out.workers.worker[i]->base);
        break;
    default:
        break;
    }
    return sum;
}

static void as_reply(struct input input)
{
    struct arena arena;
    struct reply tree;
    struct state_call call = {.op = (enum state_op)(take(&input, 1) % (STATE_DRAIN + 1))};
    arena_init(&arena, 64 << 20);
    if (call.op == STATE_TAKE) call.in.take.count = 8;
    read_value(&tree, &input, &arena, 0);
    struct state_call *calls[] = {&call};
    reply_read(calls, 1, &tree, &arena);
    CHECK(call.err.code || !call.err.msg[0]);
    if (call.job) use_job(call.job);
    if (!call.err.code) CHECK(use_rows(&call) < (size_t)1 << 32);
    arena_deinit(&arena);
}

static void as_info(const uint8_t *data, size_t bytes)
{
    struct server_info info;
    struct err err = {0};
    char note[ERR_MSG_BYTES];
    char *text = mem_new(bytes + 1); /* of just this size: nothing may look behind its end */
    if (bytes) memcpy(text, data, bytes);
    server_info_read(&info, text, bytes);
    CHECK(info.bytes >= 0 && info.bytes_max >= 0 && info.version_major >= 0);
    const int rc = server_check(&info, "here", false, &err);
    CHECK((rc == 0) == !err.msg[0]);
    server_note(&info, note);
    (void)server_writable(&info);
    CHECK(server_error(&err, text, bytes) == (int)err.code && err.msg[0]);
    mem_free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    as_reply((struct input){data, bytes});
    as_info(data, bytes);
    return 0;
}
