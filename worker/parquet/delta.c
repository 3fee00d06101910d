/* delta.c - see delta.h. The sums wrap around, as the format wants it. */
#include "worker/parquet/delta.h"

#include "worker/parquet/bits.h"
#include "worker/parquet/thrift.h"

bool delta_init(struct delta *delta, const uint8_t *data, size_t bytes)
{
    struct thrift head = {.data = data, .bytes = bytes};
    *delta = (struct delta){.data = data, .bytes = bytes, .has_value = true};
    const uint64_t block = thrift_varint(&head);
    const uint64_t minis = thrift_varint(&head);
    delta->left = thrift_varint(&head);
    delta->value = (uint64_t)thrift_int(&head);
    delta->pos = head.pos;
    if (head.failed || block == 0 || block > DELTA_BLOCK_VALUES_MAX) return false;
    if (minis == 0 || minis > block || block % minis || block / minis % 8) return false;
    delta->minis = (uint32_t)minis;
    delta->values = (uint32_t)(block / minis);
    delta->mini = delta->minis; /* the first difference begins a block */
    delta->given = delta->values;
    return true;
}

static bool next_block(struct delta *delta)
{
    struct thrift head = {.data = delta->data, .bytes = delta->bytes, .pos = delta->pos};
    delta->lowest = (uint64_t)thrift_int(&head);
    if (head.failed || delta->minis > head.bytes - head.pos) return false;
    delta->widths = head.pos;
    delta->pos = head.pos + delta->minis;
    delta->mini = 0;
    return true;
}

/* Behind the miniblock that was read. Only those that hold values stand in the bytes. */
static bool next_mini(struct delta *delta)
{
    if (delta->mini < delta->minis) delta->mini++;
    if (delta->mini >= delta->minis && !next_block(delta)) return false;
    const unsigned width = delta->data[delta->widths + delta->mini];
    const uint64_t bytes = (uint64_t)width * delta->values / 8;
    if (width > 64 || bytes > delta->bytes - delta->pos) return false;
    delta->pos += (size_t)bytes;
    delta->given = 0;
    return true;
}

bool delta_next(struct delta *delta, int64_t *value)
{
    if (delta->left == 0) return false;
    if (!delta->has_value) {
        if (delta->given == delta->values && !next_mini(delta)) return false;
        const unsigned width = delta->data[delta->widths + delta->mini];
        const uint8_t *packed = delta->data + delta->pos - (size_t)width * delta->values / 8;
        delta->value += delta->lowest + bits_get(packed, (uint64_t)delta->given * width, width);
        delta->given++;
    }
    delta->has_value = false;
    delta->left--;
    *value = (int64_t)delta->value;
    return true;
}

bool delta_end(struct delta *delta)
{
    while (delta->left) {
        uint64_t take = 1;
        if (!delta->has_value) {
            if (delta->given == delta->values && !next_mini(delta)) return false;
            const uint32_t room = delta->values - delta->given;
            take = room < delta->left ? room : delta->left;
            delta->given += (uint32_t)take;
        }
        delta->has_value = false;
        delta->left -= take;
    }
    return true;
}
