/* thrift.c - see thrift.h. */
#include "worker/parquet/thrift.h"

static uint8_t byte(struct thrift *thrift)
{
    if (thrift->failed || thrift->pos == thrift->bytes) {
        thrift->failed = true;
        return 0;
    }
    return thrift->data[thrift->pos++];
}

static void pass(struct thrift *thrift, uint64_t bytes)
{
    if (thrift->failed || bytes > thrift->bytes - thrift->pos)
        thrift->failed = true;
    else
        thrift->pos += (size_t)bytes;
}

uint64_t thrift_varint(struct thrift *thrift)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        const uint8_t next = byte(thrift);
        value |= (uint64_t)(next & 0x7f) << shift;
        if (!(next & 0x80)) return value;
    }
    thrift->failed = true;
    return 0;
}

int64_t thrift_int(struct thrift *thrift)
{
    const uint64_t value = thrift_varint(thrift);
    return (int64_t)(value >> 1 ^ (0 - (value & 1)));
}

bool thrift_next(struct thrift *thrift, struct thrift_field *field)
{
    const uint8_t head = byte(thrift);
    if ((head & 0x0f) == THRIFT_STOP) return false;
    const int64_t id = head >> 4 ? field->id + (head >> 4) : thrift_int(thrift);
    if (id < INT16_MIN || id > INT16_MAX || (head & 0x0f) > THRIFT_STRUCT) thrift->failed = true;
    if (thrift->failed) return false;
    field->id = (int32_t)id;
    field->type = (enum thrift_type)(head & 0x0f);
    return true;
}

/* The head of a list or set: a count that the bytes left can hold, as no element is empty. */
static uint32_t list_head(struct thrift *thrift, uint8_t *type)
{
    const uint8_t head = byte(thrift);
    const uint64_t count = head >> 4 == 15 ? thrift_varint(thrift) : head >> 4;
    *type = head & 0x0f;
    if (count > thrift->bytes - thrift->pos || count > UINT32_MAX) thrift->failed = true;
    return thrift->failed ? 0 : (uint32_t)count;
}

static void skip_deep(struct thrift *thrift, uint8_t type, int depth);

/* An element of a list, set or map: booleans have a byte of their own there. */
static void skip_element(struct thrift *thrift, uint8_t type, int depth)
{
    if (type == THRIFT_TRUE || type == THRIFT_FALSE)
        pass(thrift, 1);
    else
        skip_deep(thrift, type, depth);
}

static void skip_list(struct thrift *thrift, int depth)
{
    uint8_t type;
    const uint32_t count = list_head(thrift, &type);
    for (uint32_t i = 0; i < count && !thrift->failed; i++) skip_element(thrift, type, depth);
}

static void skip_map(struct thrift *thrift, int depth)
{
    const uint64_t count = thrift_varint(thrift);
    if (count == 0) return;
    const uint8_t types = byte(thrift);
    for (uint64_t i = 0; i < count && !thrift->failed; i++) {
        skip_element(thrift, types >> 4, depth);
        skip_element(thrift, types & 0x0f, depth);
    }
}

static void skip_deep(struct thrift *thrift, uint8_t type, int depth)
{
    struct thrift_field field = {0};
    if (depth == THRIFT_DEPTH_MAX) thrift->failed = true;
    if (thrift->failed) return;
    switch (type) {
    case THRIFT_TRUE:
    case THRIFT_FALSE:
        break;
    case THRIFT_BYTE:
        pass(thrift, 1);
        break;
    case THRIFT_I16:
    case THRIFT_I32:
    case THRIFT_I64:
        (void)thrift_varint(thrift);
        break;
    case THRIFT_DOUBLE:
        pass(thrift, 8);
        break;
    case THRIFT_BINARY:
        pass(thrift, thrift_varint(thrift));
        break;
    case THRIFT_LIST:
    case THRIFT_SET:
        skip_list(thrift, depth + 1);
        break;
    case THRIFT_MAP:
        skip_map(thrift, depth + 1);
        break;
    case THRIFT_STRUCT:
        while (thrift_next(thrift, &field)) skip_deep(thrift, (uint8_t)field.type, depth + 1);
        break;
    default:
        thrift->failed = true;
    }
}

void thrift_skip(struct thrift *thrift, enum thrift_type type)
{
    skip_deep(thrift, (uint8_t)type, 0);
}

int64_t thrift_field_int(struct thrift *thrift, const struct thrift_field *field)
{
    if (field->type == THRIFT_I16 || field->type == THRIFT_I32 || field->type == THRIFT_I64)
        return thrift_int(thrift);
    thrift_skip(thrift, field->type);
    return 0;
}

const uint8_t *thrift_field_binary(struct thrift *thrift, const struct thrift_field *field,
                                   size_t *bytes)
{
    *bytes = 0;
    if (field->type != THRIFT_BINARY) {
        thrift_skip(thrift, field->type);
        return thrift->data;
    }
    const uint64_t want = thrift_varint(thrift);
    const uint8_t *data = thrift->data + thrift->pos;
    pass(thrift, want);
    if (!thrift->failed) *bytes = (size_t)want;
    return data;
}

uint32_t thrift_field_list(struct thrift *thrift, const struct thrift_field *field,
                           enum thrift_type type)
{
    uint8_t found;
    if (field->type != THRIFT_LIST) {
        thrift_skip(thrift, field->type);
        return 0;
    }
    const uint32_t count = list_head(thrift, &found);
    if (count && found != type) thrift->failed = true;
    return thrift->failed ? 0 : count;
}

bool thrift_field_struct(struct thrift *thrift, const struct thrift_field *field)
{
    if (field->type == THRIFT_STRUCT) return !thrift->failed;
    thrift_skip(thrift, field->type);
    return false;
}
