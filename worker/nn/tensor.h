/* tensor.h - a block of numbers with a type and a shape.
 *
 * Row-major and dense: the last dimension is the one whose elements stand side by side. A tensor
 * is a small value that is copied freely; it never owns its data, which lives in an arena, a
 * mapped file or on a device. A dimension may be 0, and rank 0 is one number. All that tensor_init
 * accepted has a count and a size in bytes that fit size_t and int64_t, so that nobody downstream
 * checks for overflow again; whoever fills the struct by hand keeps to that.
 *
 * Errors: ERR_INVALID with a sentence. No state, any thread. */
#ifndef NN_TENSOR_H
#define NN_TENSOR_H

#include "common/base/err.h"
#include "worker/nn/dtype.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Our models need 4, a convolution's weight; files of others may hold more beside it. */
#define TENSOR_RANK_MAX 8
/* Of tensor_shape_text: eight dimensions of 19 digits, ", " between them, brackets, zero. */
#define TENSOR_SHAPE_BYTES (TENSOR_RANK_MAX * 21 + 3)

struct tensor {
    enum dtype dtype;
    uint32_t rank;
    int64_t shape[TENSOR_RANK_MAX]; /* 0 behind the rank */
    void *data;                     /* NULL: a description only */
};

/* Checks type, rank and shape, which come from outside. data may be NULL. */
CHECKED int tensor_init(struct tensor *tensor, enum dtype dtype, const int64_t *shape,
                        uint32_t rank, void *data, struct err *err);
/* The same for a shape of our own, which must fit. */
struct tensor tensor_over(void *data, enum dtype dtype, const int64_t *shape, uint32_t rank);
/* Elements and bytes. */
int64_t tensor_count(const struct tensor *tensor);
size_t tensor_bytes(const struct tensor *tensor);
bool tensor_has_shape(const struct tensor *tensor, const int64_t *shape, uint32_t rank);
/* "[1024, 3, 14, 14]"; returns dst. */
char *tensor_shape_text(char dst[TENSOR_SHAPE_BYTES], const struct tensor *tensor);
/* Views of the same data; they check as CHECK does, for shapes come from our own code. The first:
 * the same elements in another shape of equal count. The second: rows [first, first + count) of the
 * first dimension, of a tensor of rank 1 or more whose data is in host memory or NULL. */
struct tensor tensor_reshaped(const struct tensor *tensor, const int64_t *shape, uint32_t rank);
struct tensor tensor_rows(const struct tensor *tensor, int64_t first, int64_t count);

#ifdef __cplusplus
}
#endif
#endif
