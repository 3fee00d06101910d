/* resize_avx2.h - both passes of resizing for processors with AVX2; inside pipe only.
 *
 * The same integer sums as in resize.c, two taps at a time: a weight of 22 fractional bits is
 * split into its low 15 bits and the rest, both of which fit the 16-bit multiplier
 * (vpmaddwd); 2^15 times the one sum plus the other is the sum, modulo 2^32, and the sum itself
 * fits 32 bits. */
#ifndef PIPE_RESIZE_AVX2_H
#define PIPE_RESIZE_AVX2_H

#include "worker/pipe/image.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RESIZE_FRACTION_BITS 22 /* 32 less 8 for the sample and 2 for weights outside 0..1 */

/* The taps of every output sample along one axis: output i is the sum of count[i] input samples
 * from first[i] on, with the weights in row i of weight, which has width columns. */
struct taps {
    uint32_t *first, *count;
    int32_t *weight;
    size_t width;
    uint32_t outputs;
    void *memory; /* that holds them all */
};

/* Narrower pictures are for the plain code: a load takes more than a row of theirs. */
#define RESIZE_AVX2_WIDTH_MIN 8

/* Does this processor have what it needs, and does VLMQ_CPU=portable in the environment not forbid
 * it? Call the others only then. */
bool resize_avx2_works(void);
/* The horizontal pass for three channels: makes all rows of dst from as many of src, from row src_y
 * on, which is RESIZE_AVX2_WIDTH_MIN wide or wider. False: out of memory. */
bool resize_avx2_width(struct image *dst, const struct image *src, uint32_t src_y,
                       const struct taps *taps);
/* The vertical pass for any channels: all rows of dst; row 0 of src is row src_y of the picture
 * that the taps tell of. */
void resize_avx2_height(struct image *dst, const struct image *src, uint32_t src_y,
                        const struct taps *taps);

#endif
