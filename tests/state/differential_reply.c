/* differential_reply.c - everything that a call gave as text, and how two texts differ. Messages
 * are printed by their descriptors, so that a new field is compared without a line here. */
#include "common/base/check.h"
#include "tests/state/differential.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- messages --------------------------------------------------------------------------------- */

static void print_bytes(struct buf *out, const void *data, size_t len)
{
    const uint8_t *byte = data;
    buf_byte(out, '"');
    for (size_t i = 0; i < len; i++) {
        if (byte[i] >= 0x20 && byte[i] < 0x7f) {
            buf_byte(out, (char)byte[i]);
        } else {
            buf_printf(out, "\\x%02x", byte[i]);
        }
    }
    buf_byte(out, '"');
}

static void print_fields(const ProtobufCMessage *message, const char *path, struct buf *out);

static void print_value(const ProtobufCFieldDescriptor *field, const void *value, const char *path,
                        struct buf *out)
{
    const ProtobufCBinaryData *bytes = value;
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_ENUM:
        if (*(const int32_t *)value) buf_printf(out, "%s %d\n", path, *(const int32_t *)value);
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
        if (*(const int64_t *)value) {
            buf_printf(out, "%s %" PRId64 "\n", path, *(const int64_t *)value);
        }
        break;
    case PROTOBUF_C_TYPE_BOOL:
        if (*(const protobuf_c_boolean *)value) buf_printf(out, "%s yes\n", path);
        break;
    case PROTOBUF_C_TYPE_STRING: {
        const char *text = *(const char *const *)value;
        if (!text || !*text) break;
        buf_printf(out, "%s ", path);
        print_bytes(out, text, strlen(text));
        buf_byte(out, '\n');
        break;
    }
    case PROTOBUF_C_TYPE_BYTES:
        if (!bytes->len) break;
        buf_printf(out, "%s ", path);
        print_bytes(out, bytes->data, bytes->len);
        buf_byte(out, '\n');
        break;
    case PROTOBUF_C_TYPE_MESSAGE: {
        const ProtobufCMessage *inner = *(const ProtobufCMessage *const *)value;
        if (inner) print_fields(inner, path, out);
        break;
    }
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_DOUBLE:
    default:
        abort(); /* the schema has none */
    }
}

/* The name alone keeps paths of nested messages apart well enough. */
static void print_fields(const ProtobufCMessage *message, const char *path, struct buf *out)
{
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        const char *at = (const char *)message + field->offset;
        char name[128];
        (void)snprintf(name, sizeof name, "%s.%s", path, field->name);
        if (field->label != PROTOBUF_C_LABEL_REPEATED) {
            print_value(field, at, name, out);
            continue;
        }
        size_t count = 0;
        memcpy(&count, (const char *)message + field->quantifier_offset, sizeof count);
        CHECK(field->type == PROTOBUF_C_TYPE_MESSAGE || field->type == PROTOBUF_C_TYPE_STRING);
        const char *array = *(const char *const *)at;
        for (size_t k = 0; k < count; k++)
            print_value(field, array + k * sizeof(void *), name, out);
    }
}

/* --- calls ------------------------------------------------------------------------------------ */

static int counter_compare(const void *left, const void *right)
{
    const Vlmq__Counter *const *a = left, *const *b = right;
    return strcmp((*a)->name, (*b)->name);
}

/* Counters are in no order. */
static void print_job(const Vlmq__Job *job, struct buf *out)
{
    if (job->n_counters) {
        qsort(job->counters, job->n_counters, sizeof *job->counters, counter_compare);
    }
    print_fields(&job->base, "job", out);
}

static void print_grants(const struct state_call *call, struct buf *out)
{
    for (uint32_t i = 0; i < call->out.take.count; i++) {
        const struct state_grant *grant = &call->out.take.grant[i];
        buf_printf(out, "grant %u attempt %u added %u dead %u phase %d alone %d name %s lease %s",
                   grant->index, grant->attempt, grant->added, grant->tasks_dead, (int)grant->phase,
                   (int)grant->alone, grant->name, grant->lease);
        buf_text(out, " payload ");
        print_bytes(out, grant->payload.data, grant->payload.len);
        buf_text(out, " cursor ");
        print_bytes(out, grant->cursor.data, grant->cursor.len);
        buf_byte(out, '\n');
    }
}

static void print_made(const struct state_call *call, struct buf *out)
{
    buf_printf(out, "shards %u\n", call->out.made.total);
    for (uint32_t i = 0; i < call->out.made.count; i++) {
        const struct state_made *made = &call->out.made.made[i];
        buf_printf(out, "shard %u %s ", made->index, made->name);
        print_bytes(out, made->digest, sizeof made->digest);
        buf_byte(out, '\n');
    }
}

static void print_rows(const struct state_call *call, struct buf *out)
{
    switch ((int)call->op) {
    case STATE_TAKE:
        print_grants(call, out);
        break;
    case STATE_TASKS:
        buf_printf(out, "page %s\n", call->out.tasks.page);
        for (uint32_t i = 0; i < call->out.tasks.count; i++) {
            print_fields(&call->out.tasks.task[i]->base, "task", out);
        }
        break;
    case STATE_EVENTS:
        buf_printf(out, "after %s\n", call->out.events.after);
        for (uint32_t i = 0; i < call->out.events.count; i++) {
            print_fields(&call->out.events.event[i]->base, "event", out);
        }
        break;
    case STATE_MADE:
        print_made(call, out);
        break;
    case STATE_LIST:
    case STATE_ACTIVE:
    case STATE_FEED:
        buf_printf(out, "page %s\n", call->out.ids.page);
        for (uint32_t i = 0; i < call->out.ids.count; i++) {
            buf_printf(out, "id %s\n", call->out.ids.id[i]);
        }
        break;
    case STATE_WORKERS:
        for (uint32_t i = 0; i < call->out.workers.count; i++) {
            print_fields(&call->out.workers.worker[i]->base, "worker", out);
        }
        break;
    default:
        break;
    }
}

void reply_print(const struct state_call *call, struct buf *out)
{
    buf_printf(out, "err %s: %s\n", err_name(call->err.code), call->err.code ? call->err.msg : "");
    buf_printf(out, "count %u drain %d\n", call->count, (int)call->drain);
    if (call->job) print_job(call->job, out);
    if (!call->err.code) print_rows(call, out);
}

/* --- differences ------------------------------------------------------------------------------ */

#define LINES_SHOWN 12

static bool has_line(const char *text, const char *line, size_t len)
{
    for (const char *at = text; *at; at = strchr(at, '\n') + 1) {
        if (strncmp(at, line, len + 1) == 0) return true;
        if (!strchr(at, '\n')) return false;
    }
    return false;
}

static uint32_t print_lacking(const char *text, const char *other, const char *whose,
                              struct buf *out)
{
    uint32_t shown = 0;
    for (const char *at = text; *at && shown < LINES_SHOWN;) {
        const char *end = strchr(at, '\n');
        const size_t len = end ? (size_t)(end - at) : strlen(at);
        if (!has_line(other, at, len)) {
            buf_printf(out, "  %s: ", whose);
            buf_add(out, at, len < 1000 ? len : 1000);
            buf_byte(out, '\n');
            shown++;
        }
        at = end ? end + 1 : at + len;
    }
    return shown;
}

void difference_print(const char *redis, const char *model, struct buf *out)
{
    const uint32_t shown =
        print_lacking(redis, model, "Redis", out) + print_lacking(model, redis, "model", out);
    if (!shown) buf_text(out, "  the same lines in another order or number\n");
}
