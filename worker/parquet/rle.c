/* rle.c - see rle.h. A run that claims more values than bytes are left is cut short by them. */
#include "worker/parquet/rle.h"

#include "worker/parquet/bits.h"
#include "worker/parquet/thrift.h"

bool rle_init(struct rle *rle, const uint8_t *data, size_t bytes, unsigned width)
{
    *rle = (struct rle){.data = data, .bytes = bytes, .width = width};
    return width <= 32;
}

/* Behind a packed run stands the next one, eight values at a time; a run that is cut short by the
 * end of the bytes is the last. */
static void leave_run(struct rle *rle)
{
    if (!rle->packed) return;
    const uint64_t bytes = (rle->bit + 7) / 8;
    rle->pos = bytes < rle->bytes - rle->pos ? rle->pos + (size_t)bytes : rle->bytes;
    rle->packed = false;
}

static bool next_run(struct rle *rle)
{
    leave_run(rle);
    struct thrift head = {.data = rle->data, .bytes = rle->bytes, .pos = rle->pos};
    const uint64_t length = thrift_varint(&head);
    if (head.failed || length > UINT32_MAX) return false;
    rle->pos = head.pos;
    rle->packed = length & 1;
    rle->bit = 0;
    rle->run_left = rle->packed ? (length >> 1) * 8 : length >> 1;
    if (rle->packed) return true;
    const unsigned bytes = (rle->width + 7) / 8;
    if (bytes > rle->bytes - rle->pos) return false;
    rle->value = (uint32_t)bits_get(rle->data + rle->pos, 0, bytes * 8);
    rle->pos += bytes;
    return rle->width == 32 || rle->value >> rle->width == 0;
}

bool rle_next(struct rle *rle, uint32_t *value)
{
    while (rle->run_left == 0)
        if (!next_run(rle)) return false;
    *value = rle->value;
    if (rle->packed) {
        if (rle->bit + rle->width > (uint64_t)(rle->bytes - rle->pos) * 8) return false;
        *value = (uint32_t)bits_get(rle->data + rle->pos, rle->bit, rle->width);
        rle->bit += rle->width;
    }
    rle->run_left--;
    return true;
}
