/* codec.c - checks a message against its table. The descriptors say where a field lies and of which
 * type it is, the table what it may hold; nothing here knows a message by name.
 *
 * Texts end at their first zero byte: protobuf-c hands out C strings. */
#include "proto/wire/codec.h"

#include "common/base/check.h"
#include "common/base/id.h"
#include "common/base/str.h"
#include "proto/wire/field.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PATH_BYTES 160

/* Where in the message the check is: "renewals[3].attempt.lease". */
struct place {
    const struct place *outer; /* NULL: the message itself */
    const char *field;
    size_t index;
    bool repeated;
};

static void place_text(char *dst, size_t room, const struct place *place)
{
    if (!place) return;
    place_text(dst, room, place->outer);
    size_t used = strlen(dst);
    (void)snprintf(dst + used, room - used, "%s%s", used ? "." : "", place->field);
    used = strlen(dst);
    if (place->repeated) (void)snprintf(dst + used, room - used, "[%zu]", place->index);
}

static int wrong(struct err *err, const struct place *place, const char *what)
{
    char path[PATH_BYTES] = "";
    place_text(path, sizeof path, place);
    return err_set(err, ERR_INVALID, "%s %s", path, what);
}

static int wrong_length(struct err *err, const struct place *place, const struct codec_rule *rule,
                        size_t bytes)
{
    char what[96];
    if (bytes == 0)
        (void)snprintf(what, sizeof what, "is missing");
    else if (rule->min == rule->max)
        (void)snprintf(what, sizeof what, "has %zu bytes, not %" PRId64, bytes, rule->max);
    else
        (void)snprintf(what, sizeof what, "has %zu bytes; at most %" PRId64 " are allowed", bytes,
                       rule->max);
    return wrong(err, place, what);
}

static bool has_control(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f) return true;
    return false;
}

#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

/* NULL, or what is wrong with a text that is not empty. */
static const char *text_wrong(const char *text, size_t bytes, enum codec_form form)
{
    if (str_utf8_valid(text, bytes) != bytes) return "is not valid UTF-8";
    switch (form) {
    case CODEC_NAME:
        return has_control(text) ? "has control characters" : NULL;
    case CODEC_JOB:
        return id_job_valid(text) ? NULL : "is no job id ([a-z0-9][a-z0-9-]{0,39})";
    case CODEC_LEASE:
        return id_lease_valid(text) ? NULL : "is no lease id (32 hexadecimal digits)";
    case CODEC_KIND:
        return strchr(LOWER, text[0]) && text[strspn(text, LOWER DIGITS "_")] == 0
                   ? NULL
                   : "is no name of a kind ([a-z][a-z0-9_]*)";
    case CODEC_TASK_NAME:
        return text[strspn(text, LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ" DIGITS "._-")] == 0
                   ? NULL
                   : "is no task name ([A-Za-z0-9._-]*)";
    case CODEC_COUNTER:
        return text[strspn(text, LOWER DIGITS "_.")] == 0 ? NULL
                                                          : "is no counter name ([a-z0-9_.]*)";
    case CODEC_DEVICE:
        return str_eq(text, "cpu") || str_eq(text, "cuda") ? NULL : "is neither cpu nor cuda";
    case CODEC_TEXT:
        return NULL;
    case CODEC_ANY:
    case CODEC_NUMBER:
    case CODEC_BYTES:
    case CODEC_MESSAGE:
        break;
    }
    return "is checked by a rule for something else";
}

static int check_text(const char *text, const struct codec_rule *rule, const struct place *place,
                      struct err *err)
{
    const size_t bytes = text ? strlen(text) : 0;
    if (bytes > (size_t)rule->max || bytes < (size_t)rule->min)
        return wrong_length(err, place, rule, bytes);
    const char *what = bytes ? text_wrong(text, bytes, rule->form) : NULL;
    return what ? wrong(err, place, what) : 0;
}

static int64_t number_of(const ProtobufCFieldDescriptor *field, const void *member)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return *(const int64_t *)member;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64: {
        const uint64_t value = *(const uint64_t *)member;
        return value > INT64_MAX ? INT64_MAX : (int64_t)value;
    }
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        return *(const uint32_t *)member;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_ENUM:
    case PROTOBUF_C_TYPE_BOOL:
        return *(const int32_t *)member;
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_DOUBLE:
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        break;
    }
    CHECK(false); /* a number of a type that no message of ours has */
    return 0;
}

static int check_number(const ProtobufCFieldDescriptor *field, const void *member,
                        const struct codec_rule *rule, const struct place *place, struct err *err)
{
    const int64_t value = number_of(field, member);
    if (rule->form == CODEC_ANY) return 0;
    if (field->type == PROTOBUF_C_TYPE_ENUM) {
        const int number = (int)value;
        if (value == 0 && rule->min > 0) return wrong(err, place, "is missing");
        if (!protobuf_c_enum_descriptor_get_value(field->descriptor, number))
            return wrong(err, place, "has a value that this version does not know");
    }
    if (value < rule->min || value > rule->max) {
        char what[96];
        (void)snprintf(what, sizeof what,
                       "is %" PRId64 ", but must be between %" PRId64 " and %" PRId64, value,
                       rule->min, rule->max);
        return wrong(err, place, what);
    }
    return 0;
}

static int check_message(const ProtobufCMessage *message, const struct codec_table *table,
                         const struct place *outer, struct err *err);

/* One value: of a plain field, or one of a repeated one. */
static int check_value(const ProtobufCFieldDescriptor *field, const void *member,
                       const struct codec_rule *rule, const struct place *place, struct err *err)
{
    if (field->type == PROTOBUF_C_TYPE_STRING)
        return check_text(*(const char *const *)member, rule, place, err);
    if (field->type == PROTOBUF_C_TYPE_BYTES) {
        const ProtobufCBinaryData *data = member;
        if (data->len > (size_t)rule->max || data->len < (size_t)rule->min)
            return wrong_length(err, place, rule, data->len);
        return 0;
    }
    if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        const ProtobufCMessage *part = *(const ProtobufCMessage *const *)member;
        if (part) return check_message(part, rule->table, place, err);
        return rule->min ? wrong(err, place, "is missing") : 0;
    }
    return check_number(field, member, rule, place, err);
}

static int check_field(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field,
                       const struct codec_rule *rule, const struct place *outer, struct err *err)
{
    const char *base = (const char *)message;
    const void *member = base + field->offset;
    struct place place = {.outer = outer, .field = field->name};
    if (field->label != PROTOBUF_C_LABEL_REPEATED)
        return check_value(field, member, rule, &place, err);
    const size_t count = *(const size_t *)(const void *)(base + field->quantifier_offset);
    if (count > rule->count_max) {
        char what[96];
        (void)snprintf(what, sizeof what, "has %zu entries; at most %" PRIu32 " are allowed", count,
                       rule->count_max);
        return wrong(err, &place, what);
    }
    const char *values = *(const char *const *)member;
    place.repeated = true;
    for (place.index = 0; place.index < count; place.index++) {
        const void *value = values + place.index * field_value_bytes(field);
        const int rc = check_value(field, value, rule, &place, err);
        if (rc) return rc;
    }
    return 0;
}

/* The nesting is that of the tables, three or four deep. */
static int check_message(const ProtobufCMessage *message, const struct codec_table *table,
                         const struct place *outer, struct err *err)
{
    const ProtobufCMessageDescriptor *descriptor = table->descriptor;
    CHECK(message->descriptor == descriptor);
    CHECK(descriptor->n_fields == table->count);
    for (uint32_t i = 0; i < table->count; i++) {
        const int rc = check_field(message, &descriptor->fields[i], &table->rule[i], outer, err);
        if (rc) return rc;
    }
    return 0;
}

int codec_check(const struct codec_type *type, const ProtobufCMessage *message, struct err *err)
{
    if (check_message(message, type->table, NULL, err)) return err_wrap(err, "%s", type->name);
    return 0;
}
