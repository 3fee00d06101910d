/* message.c - see message.h; included by the targets that use it, as each is one source file. */
#include "tests/fuzz/message.h"

#include "common/base/check.h"
#include "common/base/rng.h"
#include "proto/wire/envelope.h"
#include "proto/wire/field.h"
#include "proto/wire/spec.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* Bytes that choose what is out of the ordinary. */
#define RARE       0xf0
#define LONG_BYTES 4200 /* more than most texts may have */
#define TYPES_MAX  128

/* ---- chance, and what is shown ---- */

static struct rng chance;

void message_chance(void)
{
    rng_seed(&chance, 1);
}

/* In place of the system's: ids and leases are the same whenever an input is run. */
ssize_t getrandom(void *dst, size_t bytes, unsigned int flags)
{
    (void)flags;
    for (size_t i = 0; i < bytes; i++) ((uint8_t *)dst)[i] = (uint8_t)rng_next(&chance);
    return (ssize_t)bytes;
}

void message_talk(const char *who, const struct envelope *envelope)
{
    struct buf text;
    if (!getenv("FUZZ_TALK")) return;
    buf_init(&text, 0);
    spec_message_json(&text, envelope->body);
    (void)fprintf(stderr, "%s: %s #%" PRIu64 " %.200s\n", who, envelope_type_name(envelope->type),
                  envelope->request_id, buf_str(&text));
    buf_deinit(&text);
}

/* ---- messages ---- */

struct making {
    struct input *input;
    struct arena *arena;
    message_text *text;
    void *ctx;
};

static Vlmq__Type known[TYPES_MAX]; /* all types that there are, found once */
static uint32_t known_count;

uint32_t message_types(void)
{
    const ProtobufCEnumDescriptor *types = &vlmq__type__descriptor;
    if (known_count) return known_count;
    for (uint32_t i = 0; i < types->n_values; i++) {
        const Vlmq__Type type = (Vlmq__Type)types->values[i].value;
        if (!codec_type(type)) continue;
        CHECK(known_count < TYPES_MAX);
        known[known_count++] = type;
    }
    return known_count;
}

Vlmq__Type message_type(uint32_t i)
{
    return i < message_types() ? known[i] : VLMQ__TYPE__TYPE_UNSPECIFIED;
}

static char *bytes_copy(const struct making *m, size_t bytes)
{
    const uint8_t *data;
    bytes = input_bytes(m->input, &data, bytes);
    char *copy = arena_text(m->arena, (const char *)data, bytes);
    CHECK(copy != NULL);
    return copy;
}

static char *long_text(const struct making *m)
{
    char *text = arena_new(m->arena, LONG_BYTES + 1);
    memset(text, 'a', LONG_BYTES);
    return text;
}

static char *plain_text(const struct making *m, const struct codec_rule *rule)
{
    const char *text = "";
    if (rule->form == CODEC_JOB || rule->form == CODEC_TASK_NAME) text = "a";
    if (rule->form == CODEC_KIND) text = "probe";
    if (rule->form == CODEC_LEASE) text = "00112233445566778899aabbccddeeff";
    if (rule->form == CODEC_NAME || rule->form == CODEC_TEXT) text = rule->min ? "a" : "";
    if (rule->form == CODEC_COUNTER) text = "c";
    if (rule->form == CODEC_DEVICE) text = "cpu";
    char *copy = arena_text(m->arena, text, strlen(text));
    CHECK(copy != NULL);
    return copy;
}

static char *make_text(const struct making *m, const struct codec_rule *rule)
{
    const uint32_t choice = (uint32_t)input_take(m->input, 1);
    if (choice == 0xff) return long_text(m);
    if (choice >= RARE) return bytes_copy(m, choice - RARE);
    if (choice >= RARE / 2 && rule->min == 0) return arena_text(m->arena, NULL, 0);
    const char *text = m->text ? m->text(m->ctx, rule->field, rule->form, choice) : NULL;
    if (!text || !*text) return plain_text(m, rule);
    return arena_text(m->arena, text, strlen(text));
}

static ProtobufCBinaryData make_bytes(const struct making *m, const struct codec_rule *rule)
{
    const uint32_t choice = (uint32_t)input_take(m->input, 1);
    size_t bytes = rule->min ? (size_t)rule->min : choice % 8;
    if (choice >= RARE) bytes = choice == 0xff ? (size_t)rule->max + 1 : choice - RARE;
    uint8_t *data = arena_new(m->arena, bytes + 1);
    const uint8_t *from;
    const size_t got = input_bytes(m->input, &from, bytes < 32 ? bytes : 32);
    if (got) memcpy(data, from, got);
    return (ProtobufCBinaryData){.len = bytes, .data = data};
}

static int64_t make_number(const struct making *m, const struct codec_rule *rule)
{
    const int64_t choice = (int64_t)input_take(m->input, 1);
    const int64_t min = rule->form == CODEC_ANY ? 0 : rule->min;
    const int64_t max = rule->form == CODEC_ANY ? INT64_MAX : rule->max;
    if (choice == 0xff) return (int64_t)input_take(m->input, 8);
    if (choice == 0xfe) return max;
    if (choice == 0xfd) return max == INT64_MAX ? max : max + 1;
    if (choice == 0xfc) return min - 1;
    if (choice >= RARE) return (int64_t)input_take(m->input, 2);
    const int64_t value = min <= 0 && choice < RARE / 2 ? choice : min + choice;
    return value < min ? min : value > max ? max : value;
}

static int make_enum(const struct making *m, const ProtobufCFieldDescriptor *field)
{
    const ProtobufCEnumDescriptor *values = field->descriptor;
    const uint32_t choice = (uint32_t)input_take(m->input, 1);
    if (choice >= RARE) return (int)choice;
    return values->values[choice % values->n_values].value;
}

static ProtobufCMessage *make_table(const struct making *m, const struct codec_table *table);

static void make_value(const struct making *m, void *member, const ProtobufCFieldDescriptor *field,
                       const struct codec_rule *rule)
{
    if (field->type == PROTOBUF_C_TYPE_STRING) {
        *(char **)member = make_text(m, rule);
        CHECK(*(char **)member != NULL);
    } else if (field->type == PROTOBUF_C_TYPE_BYTES) {
        *(ProtobufCBinaryData *)member = make_bytes(m, rule);
    } else if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        *(ProtobufCMessage **)member =
            rule->min || input_take(m->input, 1) % 2 ? make_table(m, rule->table) : NULL;
    } else if (field->type == PROTOBUF_C_TYPE_ENUM) {
        *(int *)member = make_enum(m, field);
    } else if (field->type == PROTOBUF_C_TYPE_BOOL) {
        *(protobuf_c_boolean *)member = input_take(m->input, 1) % 2 != 0;
    } else if (field_value_bytes(field) == 8) {
        *(int64_t *)member = make_number(m, rule);
    } else {
        *(int32_t *)member = (int32_t)make_number(m, rule);
    }
}

static void make_values(const struct making *m, ProtobufCMessage *message,
                        const ProtobufCFieldDescriptor *field, const struct codec_rule *rule)
{
    char *base = (char *)message;
    const uint32_t choice = (uint32_t)input_take(m->input, 1);
    size_t count = choice >= RARE ? (choice - RARE) * 8 : choice % 4;
    const size_t value_bytes = field_value_bytes(field);
    char *values = arena_new(m->arena, (count + 1) * value_bytes);
    for (size_t i = 0; i < count; i++) make_value(m, values + i * value_bytes, field, rule);
    *(size_t *)(void *)(base + field->quantifier_offset) = count;
    *(char **)(void *)(base + field->offset) = values;
}

static ProtobufCMessage *make_table(const struct making *m, const struct codec_table *table)
{
    const ProtobufCMessageDescriptor *descriptor = table->descriptor;
    ProtobufCMessage *message = arena_new(m->arena, descriptor->sizeof_message);
    protobuf_c_message_init(descriptor, message);
    for (uint32_t i = 0; i < table->count; i++) {
        const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
        if (field->label == PROTOBUF_C_LABEL_REPEATED)
            make_values(m, message, field, &table->rule[i]);
        else
            make_value(m, (char *)message + field->offset, field, &table->rule[i]);
    }
    return message;
}

ProtobufCMessage *message_make(Vlmq__Type type, struct input *input, struct arena *arena,
                               message_text *text, void *ctx)
{
    const struct making making = {.input = input, .arena = arena, .text = text, .ctx = ctx};
    const struct codec_type *row = codec_type(type);
    CHECK(row != NULL);
    return make_table(&making, row->table);
}
