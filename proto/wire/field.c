/* field.c - see field.h. */
#include "proto/wire/field.h"

#include "common/base/str.h"

#include <stdint.h>
#include <string.h>

size_t field_value_bytes(const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return sizeof(uint64_t);
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_BOOL:
    case PROTOBUF_C_TYPE_ENUM:
        break;
    }
    return sizeof(uint32_t);
}

bool field_is_signed(const ProtobufCFieldDescriptor *field)
{
    return field->type == PROTOBUF_C_TYPE_INT32 || field->type == PROTOBUF_C_TYPE_SINT32 ||
           field->type == PROTOBUF_C_TYPE_SFIXED32 || field->type == PROTOBUF_C_TYPE_INT64 ||
           field->type == PROTOBUF_C_TYPE_SINT64 || field->type == PROTOBUF_C_TYPE_SFIXED64;
}

/* Letters that all names share, up to and with an underscore that ends no name. */
static size_t common_prefix(const ProtobufCEnumDescriptor *words)
{
    const char *first = words->values[0].name;
    size_t shared = strlen(first) - 1;
    for (unsigned int i = 1; i < words->n_values; i++) {
        size_t same = 0;
        while (same < shared && words->values[i].name[same] == first[same]) same++;
        shared = same;
    }
    while (shared && first[shared - 1] != '_') shared--;
    return shared;
}

void field_enum_word(char *dst, size_t room, const ProtobufCEnumDescriptor *words,
                     const ProtobufCEnumValue *value)
{
    (void)str_copy(dst, room, value->name + common_prefix(words));
    for (char *c = dst; *c; c++)
        if (*c >= 'A' && *c <= 'Z') *c = (char)(*c - 'A' + 'a');
}

/* "image-size" is "image_size". */
static bool same_name(const char *name, const char *option)
{
    for (; *name && (*name == *option || (*name == '_' && *option == '-')); name++) option++;
    return !*name && !*option;
}

const ProtobufCFieldDescriptor *field_find(const ProtobufCMessageDescriptor *descriptor,
                                           const char *option)
{
    for (unsigned int i = 0; i < descriptor->n_fields; i++)
        if (same_name(descriptor->fields[i].name, option)) return &descriptor->fields[i];
    return NULL;
}

/* The nesting is that of the schemas. */
void field_drop_unknown(ProtobufCMessage *message)
{
    const ProtobufCMessageDescriptor *descriptor = message->descriptor;
    char *base = (char *)message;
    message->n_unknown_fields = 0;
    message->unknown_fields = NULL;
    for (unsigned int i = 0; i < descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
        void *member = base + field->offset;
        if (field->type != PROTOBUF_C_TYPE_MESSAGE) continue;
        if (field->label != PROTOBUF_C_LABEL_REPEATED) {
            ProtobufCMessage *part = *(ProtobufCMessage **)member;
            if (part) field_drop_unknown(part);
            continue;
        }
        ProtobufCMessage **parts = *(ProtobufCMessage ***)member;
        const size_t count = *(const size_t *)(const void *)(base + field->quantifier_offset);
        for (size_t j = 0; j < count; j++) field_drop_unknown(parts[j]);
    }
}
