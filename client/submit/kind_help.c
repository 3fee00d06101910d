/* kind_help.c - the options of a kind, as its schema describes them. */
#include "client/submit/args.h"
#include "common/base/str.h"
#include "proto/wire/spec.h"

#include <stdio.h>
#include <string.h>

#define WIDTH  80
#define COLUMN 30

static void wrapped(struct buf *out, const char *text, size_t indent)
{
    size_t at = indent;
    bool first = true;
    while (*(text += strspn(text, " "))) {
        const size_t bytes = strcspn(text, " ");
        if (!first && at + 1 + bytes >= WIDTH) {
            buf_printf(out, "\n%*s", (int)indent, "");
            at = indent;
        } else if (!first) {
            buf_byte(out, ' ');
            at++;
        }
        buf_add(out, text, bytes);
        at += bytes;
        text += bytes;
        first = false;
    }
    buf_byte(out, '\n');
}

static const char *metavar(const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_BOOL:
        return "";
    case PROTOBUF_C_TYPE_ENUM:
        return " WORD";
    case PROTOBUF_C_TYPE_STRING:
        return field->label == PROTOBUF_C_LABEL_REPEATED ? " LIST" : " TEXT";
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_DOUBLE:
        return " N";
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        break;
    }
    return " TEXT";
}

void args_kind_help(struct buf *out, const char *kind, struct arena *arena)
{
    const ProtobufCMessageDescriptor *descriptor = spec_descriptor(kind);
    buf_printf(out, "\nOptions of %s:\n", kind);
    for (unsigned i = 0; descriptor && i < descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
        char left[96];
        (void)snprintf(left, sizeof left, "      --%s%s", field->name, metavar(field));
        for (char *at = left; *at; at++)
            if (*at == '_') *at = '-';
        const size_t bytes = strlen(left);
        buf_text(out, left);
        if (bytes + 2 > COLUMN)
            buf_printf(out, "\n%*s", COLUMN, "");
        else
            buf_printf(out, "%*s", (int)(COLUMN - bytes), "");
        wrapped(out, spec_help(kind, field->name, arena), COLUMN);
    }
}

void args_kinds_help(struct buf *out, struct arena *arena)
{
    const char *kind;
    buf_text(out, "\nKinds:\n");
    for (uint32_t i = 0; (kind = spec_kind(i)); i++) {
        buf_printf(out, "  %-12s", kind);
        const size_t bytes = strlen(kind);
        if (bytes > 12) buf_printf(out, "\n%14s", "");
        wrapped(out, spec_help(kind, NULL, arena), 14);
    }
    buf_text(out, "\nvlmq run KIND --help lists the options of a kind.\n");
}
