/* input.h - the bytes of a fuzzer, taken one after the other; behind their end there are zeroes. */
#ifndef TESTS_FUZZ_INPUT_H
#define TESTS_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct input {
    const uint8_t *data;
    size_t bytes;
};

/* A number of so many bytes. */
static inline uint64_t input_take(struct input *input, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++) {
        value <<= 8;
        if (!input->bytes) continue;
        value |= *input->data++;
        input->bytes--;
    }
    return value;
}

/* The next bytes, at most `bytes`; returns how many. */
static inline size_t input_bytes(struct input *input, const uint8_t **data, size_t bytes)
{
    if (bytes > input->bytes) bytes = input->bytes;
    *data = input->data;
    if (bytes) input->data += bytes;
    input->bytes -= bytes;
    return bytes;
}

#endif
