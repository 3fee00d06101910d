/* tar_header.h - a ustar header block as POSIX lays it out; for the writer and the reader. All
 * fields are characters, so the struct is the format, without padding or byte order. */
#ifndef PIPE_TAR_HEADER_H
#define PIPE_TAR_HEADER_H

#include "worker/pipe/tar.h"

#include <stddef.h>
#include <stdint.h>

struct tar_header {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8];
    char type, link[100], magic[8], user[32], group[32], device_major[8], device_minor[8];
    char prefix[155], unused[12];
};
_Static_assert(sizeof(struct tar_header) == TAR_BLOCK_BYTES, "a header is one block");

/* The sum of all bytes, the sum's own field taken as spaces. */
static inline uint32_t tar_header_sum(const struct tar_header *header)
{
    const uint8_t *bytes = (const uint8_t *)header;
    const size_t first = offsetof(struct tar_header, sum);
    uint32_t sum = 0;
    for (size_t i = 0; i < sizeof *header; i++)
        sum += i >= first && i < first + sizeof header->sum ? (uint32_t)' ' : bytes[i];
    return sum;
}

/* Bytes from the end of a member's data to the next header. */
static inline size_t tar_padding(uint64_t bytes)
{
    return (size_t)((TAR_BLOCK_BYTES - bytes % TAR_BLOCK_BYTES) % TAR_BLOCK_BYTES);
}

#endif
