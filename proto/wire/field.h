/* field.h - fields of any message, by their descriptors. */
#ifndef WIRE_FIELD_H
#define WIRE_FIELD_H

#include <protobuf-c/protobuf-c.h>

#include <stdbool.h>
#include <stddef.h>

/* option is the field's name with - or _; NULL: no such field. */
const ProtobufCFieldDescriptor *field_find(const ProtobufCMessageDescriptor *descriptor,
                                           const char *option);
/* Bytes of one value in memory. */
size_t field_value_bytes(const ProtobufCFieldDescriptor *field);
bool field_is_signed(const ProtobufCFieldDescriptor *field);
/* DOWNLOAD_RESIZE_CENTER_CROP as center_crop: without what all values of the enum begin with. */
void field_enum_word(char *dst, size_t room, const ProtobufCEnumDescriptor *words,
                     const ProtobufCEnumValue *value);

/* Drops the fields that this version does not know, in the message and its parts: protobuf-c keeps
 * them and would pack them again, malformed ones too. */
void field_drop_unknown(ProtobufCMessage *message);

#endif
