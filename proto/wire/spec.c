/* spec.c - the kinds' messages, and options into their fields; see spec.h.
 *
 * proto/jobs.def names the kinds, the build collects their generated headers in jobs_all.h, and
 * everything else is read from the descriptors. */
#include "proto/wire/spec.h"

#include "common/base/check.h"
#include "common/base/limits.h"
#include "common/base/str.h"
#include "proto/schema/jobs_all.h"
#include "proto/wire/envelope.h"
#include "proto/wire/field.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Options longer than any of ours are no misspelling of one. */
#define OPTION_BYTES_MAX 48
/* Values in one repeated field: columns of a list, not its rows. */
#define VALUES_MAX 256

static const struct {
    const char *kind;
    const ProtobufCMessageDescriptor *descriptor;
} kinds[] = {
#define JOB(name) {#name, &vlmq__jobs__##name##__descriptor},
#include "proto/jobs.def"
#undef JOB
};

const char *spec_kind(uint32_t i)
{
    return i < sizeof kinds / sizeof *kinds ? kinds[i].kind : NULL;
}

const ProtobufCMessageDescriptor *spec_descriptor(const char *kind)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (str_eq(kinds[i].kind, kind)) return kinds[i].descriptor;
    return NULL;
}

ProtobufCMessage *spec_new(const char *kind, struct arena *arena)
{
    const ProtobufCMessageDescriptor *descriptor = spec_descriptor(kind);
    CHECK(descriptor != NULL);
    ProtobufCMessage *spec = arena_new(arena, descriptor->sizeof_message);
    protobuf_c_message_init(descriptor, spec);
    return spec;
}

/* Options. */

static void field_name(char dst[OPTION_BYTES_MAX], const char *option)
{
    if (!str_copy(dst, OPTION_BYTES_MAX, option)) dst[0] = 0;
    for (char *c = dst; *c; c++)
        if (*c == '-') *c = '_';
}

/* How many letters must change to make b of a (Wagner and Fischer 1974, one row). */
static uint32_t distance(const char *a, const char *b)
{
    uint32_t row[OPTION_BYTES_MAX];
    const size_t columns = strlen(b);
    CHECK(columns < OPTION_BYTES_MAX);
    for (uint32_t j = 0; j <= columns; j++) row[j] = j;
    for (uint32_t i = 0; a[i]; i++) {
        uint32_t diagonal = row[0];
        row[0] = i + 1;
        for (uint32_t j = 0; j < columns; j++) {
            const uint32_t replaced = diagonal + (a[i] != b[j]);
            const uint32_t added = (row[j] < row[j + 1] ? row[j] : row[j + 1]) + 1;
            diagonal = row[j + 1];
            row[j + 1] = replaced < added ? replaced : added;
        }
    }
    return row[columns];
}

static int no_such_option(const ProtobufCMessageDescriptor *descriptor, const char *option,
                          struct err *err)
{
    char name[OPTION_BYTES_MAX];
    const char *nearest = NULL;
    uint32_t least = 4; /* as many wrong letters are another word */
    field_name(name, option);
    for (unsigned int i = 0; i < descriptor->n_fields && name[0]; i++) {
        const uint32_t letters = distance(name, descriptor->fields[i].name);
        if (letters >= least || letters >= strlen(name)) continue;
        least = letters;
        nearest = descriptor->fields[i].name;
    }
    if (!nearest) return err_set(err, ERR_NOT_FOUND, "there is no option --%.60s", option);
    char suggestion[OPTION_BYTES_MAX];
    if (!str_copy(suggestion, sizeof suggestion, nearest)) suggestion[0] = 0;
    for (char *c = suggestion; *c; c++)
        if (*c == '_') *c = '-';
    return err_set(err, ERR_NOT_FOUND, "there is no option --%.60s; did you mean --%s?", option,
                   suggestion);
}

static int set_bool(protobuf_c_boolean *out, const char *value, const char *what, struct err *err)
{
    const bool yes = !value || str_eq(value, "true");
    if (!yes && !str_eq(value, "false"))
        return err_set(err, ERR_INVALID, "%s is %.60s, but must be true or false", what, value);
    *out = yes;
    return 0;
}

static int set_enum(int *out, const ProtobufCEnumDescriptor *words, const char *value,
                    const char *what, struct err *err)
{
    char name[OPTION_BYTES_MAX], word[OPTION_BYTES_MAX], known[160] = "";
    field_name(name, value);
    for (unsigned int i = 0; i < words->n_values; i++) {
        field_enum_word(word, sizeof word, words, &words->values[i]);
        if (str_eq(word, name) || str_eq(words->values[i].name, name)) {
            *out = words->values[i].value;
            return 0;
        }
        const size_t used = strlen(known);
        (void)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", word);
    }
    return err_set(err, ERR_INVALID, "%s is %.40s, but must be one of %s", what, value, known);
}

static int set_text(char **out, const char *value, const char *what, struct arena *arena,
                    struct err *err)
{
    const size_t bytes = strlen(value);
    if (str_utf8_valid(value, bytes) != bytes)
        return err_set(err, ERR_INVALID, "%s is not valid UTF-8", what);
    for (const char *c = value; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return err_set(err, ERR_INVALID, "%s has control characters", what);
    *out = arena_text(arena, value, bytes);
    return *out ? 0 : err_set(err, ERR_LIMIT, "%s: out of memory", what);
}

/* "2M" in powers of 1000: pixels and the like. */
static int to_thousands(int64_t *out, const char *text, const char *what, struct err *err)
{
    static const char suffixes[] = "kKmMgGtT"; /* two letters for each power */
    char digits[32];
    const size_t bytes = strlen(text);
    const char *suffix = bytes ? strchr(suffixes, text[bytes - 1]) : NULL;
    if (!suffix || bytes < 2 || bytes >= sizeof digits)
        return str_to_int(out, text, INT64_MIN, INT64_MAX, what, err);
    memcpy(digits, text, bytes - 1);
    digits[bytes - 1] = 0;
    int rc = str_to_int(out, digits, INT64_MIN, INT64_MAX, what, err);
    for (int64_t power = (suffix - suffixes) / 2; power >= 0 && !rc; power--)
        if (__builtin_mul_overflow(*out, (int64_t)1000, out))
            rc = err_set(err, ERR_INVALID, "%s is %s, which is too large", what, text);
    return rc;
}

static bool ends_in(const char *name, const char *unit)
{
    return str_has_suffix(name, unit) &&
           (strlen(name) == strlen(unit) || name[strlen(name) - strlen(unit) - 1] == '_');
}

static int to_number(int64_t *out, const ProtobufCFieldDescriptor *field, const char *value,
                     const char *what, struct err *err)
{
    const bool plain = value[0] && value[strspn(value, "-0123456789")] == 0;
    if (!plain && ends_in(field->name, "bytes")) return str_to_bytes(out, value, what, err);
    if (!plain && ends_in(field->name, "pixels")) return to_thousands(out, value, what, err);
    if (!plain && ends_in(field->name, "ms")) return str_to_ms(out, value, what, err);
    return str_to_int(out, value, INT64_MIN, INT64_MAX, what, err);
}

static int set_number(void *member, const ProtobufCFieldDescriptor *field, const char *value,
                      const char *what, struct err *err)
{
    int64_t number = 0, min = 0, max = INT64_MAX;
    int rc = to_number(&number, field, value, what, err);
    if (rc) return rc;
    const size_t bytes = field_value_bytes(field);
    if (field_is_signed(field)) min = bytes == sizeof(int32_t) ? INT32_MIN : INT64_MIN;
    if (bytes == sizeof(int32_t)) max = field_is_signed(field) ? INT32_MAX : UINT32_MAX;
    if (number < min || number > max)
        return err_set(err, ERR_INVALID, "%s is %s, but must be between %" PRId64 " and %" PRId64,
                       what, value, min, max);
    if (bytes == sizeof(int32_t)) {
        const uint32_t half = (uint32_t)number;
        memcpy(member, &half, sizeof half);
    } else {
        memcpy(member, &number, sizeof number);
    }
    return 0;
}

static int set_real(void *member, const ProtobufCFieldDescriptor *field, const char *value,
                    const char *what, struct err *err)
{
    double number;
    const int rc = str_to_double(&number, value, -1e300, 1e300, what, err);
    if (rc) return rc;
    if (field->type == PROTOBUF_C_TYPE_FLOAT)
        *(float *)member = (float)number;
    else
        *(double *)member = number;
    return 0;
}

static int set_value(void *member, const ProtobufCFieldDescriptor *field, const char *value,
                     struct arena *arena, struct err *err)
{
    char what[OPTION_BYTES_MAX + 2];
    (void)snprintf(what, sizeof what, "--%s", field->name);
    for (char *c = what; *c; c++)
        if (*c == '_') *c = '-';
    if (field->type == PROTOBUF_C_TYPE_BOOL) return set_bool(member, value, what, err);
    if (!value) return err_set(err, ERR_INVALID, "%s needs a value", what);
    if (field->type == PROTOBUF_C_TYPE_ENUM)
        return set_enum(member, field->descriptor, value, what, err);
    if (field->type == PROTOBUF_C_TYPE_STRING) return set_text(member, value, what, arena, err);
    if (field->type == PROTOBUF_C_TYPE_FLOAT || field->type == PROTOBUF_C_TYPE_DOUBLE)
        return set_real(member, field, value, what, err);
    if (field->type == PROTOBUF_C_TYPE_BYTES || field->type == PROTOBUF_C_TYPE_MESSAGE)
        return err_set(err, ERR_INVALID, "%s cannot be given as text", what);
    return set_number(member, field, value, what, err);
}

/* Appends one value: the array moves to a larger place of the arena. */
static int append_value(ProtobufCMessage *spec, const ProtobufCFieldDescriptor *field,
                        const char *value, struct arena *arena, struct err *err)
{
    char *base = (char *)spec;
    size_t *count = (size_t *)(void *)(base + field->quantifier_offset);
    void **values = (void **)(void *)(base + field->offset);
    const size_t bytes = field_value_bytes(field);
    if (*count == VALUES_MAX)
        return err_set(err, ERR_LIMIT, "--%s has more than %d values", field->name, VALUES_MAX);
    char *grown = arena_try(arena, (*count + 1) * bytes);
    if (!grown) return err_set(err, ERR_LIMIT, "--%s: out of memory", field->name);
    if (*count) memcpy(grown, *values, *count * bytes);
    const int rc = set_value(grown + *count * bytes, field, value, arena, err);
    if (rc) return rc;
    *values = grown;
    ++*count;
    return 0;
}

int spec_set(ProtobufCMessage *spec, const char *option, const char *value, struct arena *arena,
             struct err *err)
{
    const ProtobufCFieldDescriptor *field = field_find(spec->descriptor, option);
    if (!field) return no_such_option(spec->descriptor, option, err);
    if (field->label != PROTOBUF_C_LABEL_REPEATED)
        return set_value((char *)spec + field->offset, field, value, arena, err);
    if (!value) return err_set(err, ERR_INVALID, "--%.60s needs a value", option);
    for (;;) {
        const size_t bytes = strcspn(value, ",");
        const char *part = arena_text(arena, value, bytes);
        if (!part) return err_set(err, ERR_LIMIT, "--%.60s: out of memory", option);
        const int rc = bytes ? append_value(spec, field, part, arena, err) : 0;
        if (rc) return rc;
        if (!value[bytes]) return 0;
        value += bytes + 1;
    }
}

const char *spec_text(const ProtobufCMessage *spec, const char *name)
{
    const ProtobufCFieldDescriptor *field = field_find(spec->descriptor, name);
    if (!field || field->type != PROTOBUF_C_TYPE_STRING ||
        field->label == PROTOBUF_C_LABEL_REPEATED)
        return NULL;
    return *(const char *const *)(const void *)((const char *)spec + field->offset);
}

bool spec_has_field(const ProtobufCMessage *spec, const char *field)
{
    return field_find(spec->descriptor, field) != NULL;
}

bool spec_is_flag(const ProtobufCMessage *spec, const char *option)
{
    const ProtobufCFieldDescriptor *field = field_find(spec->descriptor, option);
    return field && field->type == PROTOBUF_C_TYPE_BOOL &&
           field->label != PROTOBUF_C_LABEL_REPEATED;
}

/* Bytes. */

int spec_pack(ProtobufCBinaryData *packed, const ProtobufCMessage *spec, struct arena *arena,
              struct err *err)
{
    const size_t bytes = protobuf_c_message_get_packed_size(spec);
    if (bytes > SPEC_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "the options need %zu bytes; at most %d are allowed", bytes,
                       SPEC_BYTES_MAX);
    uint8_t *data = arena_try(arena, bytes);
    if (!data) return err_set(err, ERR_LIMIT, "out of memory for the options");
    protobuf_c_message_pack(spec, data);
    *packed = (ProtobufCBinaryData){.len = bytes, .data = data};
    return 0;
}

static int check_string(const char *text, const char *name, struct err *err)
{
    const size_t bytes = strlen(text);
    if (str_utf8_valid(text, bytes) != bytes)
        return err_set(err, ERR_INVALID, "%s is not valid UTF-8", name);
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return err_set(err, ERR_INVALID, "%s has control characters", name);
    return 0;
}

static int check_field(const ProtobufCMessage *spec, const ProtobufCFieldDescriptor *field,
                       struct err *err)
{
    const bool repeated = field->label == PROTOBUF_C_LABEL_REPEATED;
    const char *base = (const char *)spec;
    const size_t count =
        repeated ? *(const size_t *)(const void *)(base + field->quantifier_offset) : 1;
    const char *values = repeated ? *(const char *const *)(const void *)(base + field->offset)
                                  : base + field->offset;
    if (repeated && count > VALUES_MAX)
        return err_set(err, ERR_INVALID, "%s has %zu values; at most %d are allowed", field->name,
                       count, VALUES_MAX);
    int rc = 0;
    for (size_t i = 0; i < count && !rc; i++) {
        const void *value = values + i * field_value_bytes(field);
        if (field->type == PROTOBUF_C_TYPE_STRING)
            rc = check_string(*(const char *const *)value, field->name, err);
        if (field->type == PROTOBUF_C_TYPE_ENUM &&
            !protobuf_c_enum_descriptor_get_value(field->descriptor, *(const int *)value))
            rc = err_set(err, ERR_INVALID, "%s has a value that this version does not know",
                         field->name);
    }
    return rc;
}

int spec_unpack(ProtobufCMessage **out, const char *kind, const void *data, size_t bytes,
                struct arena *arena, struct err *err)
{
    const ProtobufCMessageDescriptor *descriptor = spec_descriptor(kind);
    if (!descriptor) return err_set(err, ERR_NOT_FOUND, "there is no kind %.60s", kind);
    if (bytes > SPEC_BYTES_MAX)
        return err_set(err, ERR_LIMIT, "the spec has %zu bytes; at most %d are allowed", bytes,
                       SPEC_BYTES_MAX);
    ProtobufCAllocator allocator = envelope_allocator(arena);
    ProtobufCMessage *spec = protobuf_c_message_unpack(descriptor, &allocator, bytes, data);
    if (!spec) return err_set(err, ERR_INVALID, "the spec is no message of the kind %s", kind);
    field_drop_unknown(spec);
    for (unsigned int i = 0; i < descriptor->n_fields; i++) {
        const int rc = check_field(spec, &descriptor->fields[i], err);
        if (rc) return rc;
    }
    *out = spec;
    return 0;
}
