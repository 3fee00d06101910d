/* spec_help.c - help texts from the comments of the schemas, collected at build time. */
#include "common/base/str.h"
#include "proto/schema/jobs_help.h"
#include "proto/wire/field.h"
#include "proto/wire/spec.h"

#include <string.h>

#define EXAMPLE    "example:"
#define WORD_BYTES 48

/* The comment as it stands in the schema, lines separated by line feeds; NULL: none. */
static const char *comment_of(const char *kind, const char *field)
{
    const ProtobufCMessageDescriptor *descriptor = spec_descriptor(kind);
    for (const struct spec_help_line *line = spec_help_lines; descriptor && line->message; line++)
        if (str_eq(line->message, descriptor->short_name) &&
            str_eq(line->field, field ? field : ""))
            return line->text;
    return NULL;
}

static const char *kept(struct buf *text, struct arena *arena)
{
    const char *copy = buf_failed(text) ? NULL : arena_text(arena, buf_str(text), text->len);
    buf_deinit(text);
    return copy ? copy : "";
}

const char *spec_help(const char *kind, const char *field, struct arena *arena)
{
    struct buf text;
    const char *line = comment_of(kind, field);
    buf_init(&text, 0);
    while (line && *line) {
        const size_t bytes = strcspn(line, "\n");
        if (!str_has_prefix(line, EXAMPLE)) {
            if (text.len && bytes) buf_byte(&text, ' ');
            buf_add(&text, line, bytes);
        }
        line += bytes + (line[bytes] == '\n');
    }
    return kept(&text, arena);
}

const char *spec_example(const char *kind, struct arena *arena)
{
    const char *line = comment_of(kind, NULL);
    while (line && *line) {
        const size_t bytes = strcspn(line, "\n");
        if (str_has_prefix(line, EXAMPLE)) {
            const size_t skip = strlen(EXAMPLE) + strspn(line + strlen(EXAMPLE), " ");
            const char *copy = arena_text(arena, line + skip, bytes - skip);
            return copy ? copy : "";
        }
        line += bytes + (line[bytes] == '\n');
    }
    return "";
}

const char *spec_values(const char *kind, const char *option, struct arena *arena)
{
    const ProtobufCMessageDescriptor *descriptor = spec_descriptor(kind);
    const ProtobufCFieldDescriptor *field = descriptor ? field_find(descriptor, option) : NULL;
    if (!field || field->type != PROTOBUF_C_TYPE_ENUM) return "";
    const ProtobufCEnumDescriptor *words = field->descriptor;
    struct buf text;
    buf_init(&text, 0);
    for (unsigned int i = 0; i < words->n_values; i++) {
        char word[WORD_BYTES];
        field_enum_word(word, sizeof word, words, &words->values[i]);
        buf_printf(&text, "%s%s", i ? " " : "", word);
    }
    return kept(&text, arena);
}
