/* spec_json.c - messages as JSON, and the words of enums. */
#include "common/base/check.h"
#include "common/base/str.h"
#include "proto/wire/field.h"
#include "proto/wire/spec.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define WORD_BYTES 48

static void add_enum(struct buf *out, const ProtobufCEnumDescriptor *words, int number)
{
    char word[WORD_BYTES];
    const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(words, number);
    if (!value) {
        buf_printf(out, "%d", number);
        return;
    }
    field_enum_word(word, sizeof word, words, value);
    str_json(out, word, strlen(word));
}

static void add_real(struct buf *out, double number, int digits)
{
    if (isfinite(number))
        buf_printf(out, "%.*g", digits, number);
    else
        buf_text(out, "null");
}

static void add_bytes(struct buf *out, const ProtobufCBinaryData *data)
{
    buf_byte(out, '"');
    for (size_t i = 0; i < data->len; i++) buf_printf(out, "%02x", data->data[i]);
    buf_byte(out, '"');
}

static void add_message(struct buf *out, const ProtobufCMessage *message, bool all);

static void add_value(struct buf *out, const ProtobufCFieldDescriptor *field, const void *member,
                      bool all)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_BOOL:
        buf_text(out, *(const protobuf_c_boolean *)member ? "true" : "false");
        break;
    case PROTOBUF_C_TYPE_ENUM:
        add_enum(out, field->descriptor, *(const int *)member);
        break;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        buf_printf(out, "%" PRId32, *(const int32_t *)member);
        break;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        buf_printf(out, "%" PRIu32, *(const uint32_t *)member);
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        buf_printf(out, "%" PRId64, *(const int64_t *)member);
        break;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        buf_printf(out, "%" PRIu64, *(const uint64_t *)member);
        break;
    case PROTOBUF_C_TYPE_FLOAT:
        add_real(out, (double)*(const float *)member, 9);
        break;
    case PROTOBUF_C_TYPE_DOUBLE:
        add_real(out, *(const double *)member, 17);
        break;
    case PROTOBUF_C_TYPE_STRING: {
        const char *text = *(const char *const *)member;
        str_json(out, text ? text : "", text ? strlen(text) : 0);
        break;
    }
    case PROTOBUF_C_TYPE_BYTES:
        add_bytes(out, member);
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        if (*(const ProtobufCMessage *const *)member)
            add_message(out, *(const ProtobufCMessage *const *)member, all);
        else
            buf_text(out, "null");
        break;
    }
}

/* Whether a plain field differs from what an absent one reads as. */
static bool is_set(const ProtobufCFieldDescriptor *field, const void *member)
{
    static const char zero[sizeof(ProtobufCBinaryData)];
    if (field->type == PROTOBUF_C_TYPE_STRING) {
        const char *text = *(const char *const *)member;
        return text && *text;
    }
    if (field->type == PROTOBUF_C_TYPE_BYTES)
        return ((const ProtobufCBinaryData *)member)->len != 0;
    return memcmp(member, zero, field_value_bytes(field)) != 0;
}

static void add_array(struct buf *out, const ProtobufCFieldDescriptor *field, const char *values,
                      size_t count, bool all)
{
    buf_byte(out, '[');
    for (size_t i = 0; i < count; i++) {
        if (i) buf_byte(out, ',');
        add_value(out, field, values + i * field_value_bytes(field), all);
    }
    buf_byte(out, ']');
}

/* The nesting is that of the schemas. */
static void add_message(struct buf *out, const ProtobufCMessage *message, bool all)
{
    const ProtobufCMessageDescriptor *descriptor = message->descriptor;
    const char *base = (const char *)message;
    bool first = true;
    buf_byte(out, '{');
    for (unsigned int i = 0; i < descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
        const void *member = base + field->offset;
        const bool repeated = field->label == PROTOBUF_C_LABEL_REPEATED;
        const size_t count =
            repeated ? *(const size_t *)(const void *)(base + field->quantifier_offset) : 0;
        if (!all && (repeated ? count == 0 : !is_set(field, member))) continue;
        if (!first) buf_byte(out, ',');
        first = false;
        str_json(out, field->name, strlen(field->name));
        buf_byte(out, ':');
        if (repeated)
            add_array(out, field, *(const char *const *)member, count, all);
        else
            add_value(out, field, member, all);
    }
    buf_byte(out, '}');
}

void spec_json(struct buf *out, const ProtobufCMessage *spec)
{
    add_message(out, spec, false);
}

void spec_message_json(struct buf *out, const ProtobufCMessage *message)
{
    add_message(out, message, true);
}
