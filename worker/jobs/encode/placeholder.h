/* placeholder.h - pictures that stand for missing ones ("image not available").
 *
 * Each picture is compared with reference pictures by the cosine of two vectors of one space; which
 * space is the caller's choice. TinyVLM, whose filter this is, takes the raw CLS token behind the
 * last layer (no norm, no projection) and drops a picture at 0.3 and more. Vectors need not be of
 * length 1; the nearest reference counts. Sums are in double, in order: the same bits everywhere.
 */
#ifndef ENCODE_PLACEHOLDER_H
#define ENCODE_PLACEHOLDER_H

#include "common/base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define PLACEHOLDER_THRESHOLD 0.3f

struct placeholder {
    double *unit; /* [count, columns], of length 1 */
    uint32_t count, columns;
    float threshold;
};

/* vector: [count, columns], copied. ERR_CORRUPT: a reference has no direction; ERR_LIMIT. */
CHECKED int placeholder_init(struct placeholder *placeholder, const float *vector, uint32_t count,
                             uint32_t columns, float threshold, struct err *err);
void placeholder_deinit(struct placeholder *placeholder); /* accepts a zeroed struct */
/* Of a picture's vector with the nearest reference: -1 to 1. false: the vector has no direction
 * (zeros, or no numbers); *cosine is then 0. */
bool placeholder_cosine(const struct placeholder *placeholder, float *cosine, const float *vector);
/* Whether a picture with this cosine is dropped: from the threshold on. */
bool placeholder_drops(const struct placeholder *placeholder, float cosine);

#endif
