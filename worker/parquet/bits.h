/* bits.h - numbers out of bytes: little-endian, and packed from the lowest bit on. */
#ifndef PARQUET_BITS_H
#define PARQUET_BITS_H

#include <stddef.h>
#include <stdint.h>

static inline uint32_t bits_le32(const uint8_t *data)
{
    return (uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 |
           (uint32_t)data[3] << 24;
}

static inline uint64_t bits_le64(const uint8_t *data)
{
    return bits_le32(data) | (uint64_t)bits_le32(data + 4) << 32;
}

/* width (at most 64) bits from the at-th on. The caller has seen that they are there. */
static inline uint64_t bits_get(const uint8_t *data, uint64_t at, unsigned width)
{
    uint64_t value = 0;
    unsigned got = 0;
    while (got < width) {
        const unsigned skip = (unsigned)(at & 7);
        const unsigned take = 8 - skip < width - got ? 8 - skip : width - got;
        const uint64_t piece = (uint64_t)(data[at >> 3] >> skip) & ((1U << take) - 1);
        value |= piece << got;
        got += take;
        at += take;
    }
    return value;
}

#endif
