/* plan.h - where a model's intermediate results lie: sizes first, then one allocation.
 *
 * Each buffer has a first and a last step in which it is needed; those that do not live at the same
 * time share memory. plan_place puts the largest first, each at the lowest place that is free
 * during its life (best known as greedy by size); offsets are multiples of BACKEND_ALIGNMENT. */
#ifndef NN_PLAN_H
#define NN_PLAN_H

#include "common/base/err.h"
#include "worker/nn/dtype.h"

#include <stddef.h>
#include <stdint.h>

#define PLAN_BUFFERS_MAX 64
#define PLAN_BYTES_MAX   ((size_t)1 << 44) /* of one: the sum of all stays far from SIZE_MAX */

struct plan {
    uint32_t count;
    struct {
        size_t bytes, offset;
        uint32_t first, last;
    } buffer[PLAN_BUFFERS_MAX];
};

/* The size of a buffer of rows x columns numbers; ERR_LIMIT above PLAN_BYTES_MAX. */
CHECKED int plan_bytes(size_t *bytes, enum dtype dtype, int64_t rows, int64_t columns,
                       struct err *err);
/* Its number. */
uint32_t plan_add(struct plan *plan, size_t bytes, uint32_t first, uint32_t last);
/* The bytes of all together. */
size_t plan_place(struct plan *plan);
void *plan_at(const struct plan *plan, uint32_t buffer, void *memory);

#endif
