/* tensor.c - shapes, sizes and views. */
#include "worker/nn/tensor.h"

#include "common/base/check.h"

#include <inttypes.h>
#include <stdio.h>

/* The product of the dimensions other than 0, times the bytes of an element, must fit: a 0 among
 * them would hide that a view of the others does not. */
static bool size_fits(enum dtype dtype, const int64_t *shape, uint32_t rank)
{
    int64_t bytes = (int64_t)dtype_bytes(dtype);
    for (uint32_t i = 0; i < rank; i++) {
        if (shape[i] == 0) continue;
        if (__builtin_mul_overflow(bytes, shape[i], &bytes)) return false;
    }
    return (uint64_t)bytes <= PTRDIFF_MAX;
}

int tensor_init(struct tensor *tensor, enum dtype dtype, const int64_t *shape, uint32_t rank,
                void *data, struct err *err)
{
    *tensor = (struct tensor){.dtype = dtype, .data = data};
    CHECK(dtype < DTYPES_COUNT);
    if (rank > TENSOR_RANK_MAX)
        return err_set(err, ERR_INVALID, "a tensor has %" PRIu32 " dimensions; at most %d are read",
                       rank, TENSOR_RANK_MAX);
    for (uint32_t i = 0; i < rank; i++)
        if (shape[i] < 0)
            return err_set(err, ERR_INVALID,
                           "a tensor has the dimension %" PRId64 "; none is less "
                           "than 0",
                           shape[i]);
    if (!size_fits(dtype, shape, rank))
        return err_set(err, ERR_INVALID,
                       "a tensor's shape has more bytes than there can be memory");
    tensor->rank = rank;
    for (uint32_t i = 0; i < rank; i++) tensor->shape[i] = shape[i];
    return 0;
}

struct tensor tensor_over(void *data, enum dtype dtype, const int64_t *shape, uint32_t rank)
{
    struct tensor tensor;
    CHECK(tensor_init(&tensor, dtype, shape, rank, data, NULL) == 0);
    return tensor;
}

int64_t tensor_count(const struct tensor *tensor)
{
    int64_t count = 1;
    CHECK(tensor->rank <= TENSOR_RANK_MAX);
    for (uint32_t i = 0; i < tensor->rank; i++) count *= tensor->shape[i];
    return count;
}

size_t tensor_bytes(const struct tensor *tensor)
{
    return (size_t)tensor_count(tensor) * dtype_bytes(tensor->dtype);
}

bool tensor_has_shape(const struct tensor *tensor, const int64_t *shape, uint32_t rank)
{
    if (tensor->rank != rank) return false;
    for (uint32_t i = 0; i < rank; i++)
        if (tensor->shape[i] != shape[i]) return false;
    return true;
}

char *tensor_shape_text(char dst[TENSOR_SHAPE_BYTES], const struct tensor *tensor)
{
    size_t used = 1;
    dst[0] = '[';
    for (uint32_t i = 0; i < tensor->rank; i++)
        used += (size_t)snprintf(dst + used, TENSOR_SHAPE_BYTES - used, "%s%" PRId64, i ? ", " : "",
                                 tensor->shape[i]);
    dst[used] = ']';
    dst[used + 1] = 0;
    return dst;
}

struct tensor tensor_reshaped(const struct tensor *tensor, const int64_t *shape, uint32_t rank)
{
    const struct tensor view = tensor_over(tensor->data, tensor->dtype, shape, rank);
    CHECK(tensor_count(&view) == tensor_count(tensor));
    return view;
}

struct tensor tensor_rows(const struct tensor *tensor, int64_t first, int64_t count)
{
    struct tensor view = *tensor;
    CHECK(tensor->rank >= 1);
    CHECK(first >= 0);
    CHECK(count >= 0);
    CHECK(first <= tensor->shape[0]);
    CHECK(count <= tensor->shape[0] - first);
    view.shape[0] = first;
    const size_t before = tensor_bytes(&view);
    if (view.data) view.data = (char *)view.data + before;
    view.shape[0] = count;
    return view;
}
