/* placeholder.c - cosines with a few vectors. */
#include "worker/jobs/encode/placeholder.h"

#include "common/base/check.h"
#include "common/base/mem.h"

#include <math.h>
#include <stddef.h>

/* 0: no direction. */
static double length_of(const float *vector, uint32_t columns)
{
    double squares = 0;
    for (uint32_t i = 0; i < columns; i++) {
        const double square = (double)vector[i] * (double)vector[i];
        squares += square;
    }
    return isfinite(squares) ? sqrt(squares) : 0;
}

int placeholder_init(struct placeholder *placeholder, const float *vector, uint32_t count,
                     uint32_t columns, float threshold, struct err *err)
{
    CHECK(count > 0 && columns > 0);
    *placeholder = (struct placeholder){.count = count, .columns = columns, .threshold = threshold};
    placeholder->unit = mem_try((size_t)count * columns * sizeof(double));
    if (!placeholder->unit) return err_set(err, ERR_LIMIT, "no memory for %u pictures", count);
    for (uint32_t r = 0; r < count; r++) {
        const float *from = vector + (size_t)r * columns;
        const double length = length_of(from, columns);
        if (!(length > 0)) {
            placeholder_deinit(placeholder);
            return err_set(
                err, ERR_CORRUPT,
                "the model gives no direction for placeholder %u: are its weights whole?", r + 1);
        }
        for (uint32_t i = 0; i < columns; i++)
            placeholder->unit[(size_t)r * columns + i] = (double)from[i] / length;
    }
    return 0;
}

void placeholder_deinit(struct placeholder *placeholder)
{
    mem_free(placeholder->unit);
    *placeholder = (struct placeholder){0};
}

bool placeholder_cosine(const struct placeholder *placeholder, float *cosine, const float *vector)
{
    const double length = length_of(vector, placeholder->columns);
    double best = -1;
    *cosine = 0;
    if (!(length > 0)) return false;
    for (uint32_t r = 0; r < placeholder->count; r++) {
        const double *unit = placeholder->unit + (size_t)r * placeholder->columns;
        double sum = 0;
        for (uint32_t i = 0; i < placeholder->columns; i++) {
            const double product = unit[i] * (double)vector[i];
            sum += product;
        }
        if (sum / length > best) best = sum / length;
    }
    *cosine = (float)(best > 1 ? 1 : best);
    return true;
}

bool placeholder_drops(const struct placeholder *placeholder, float cosine)
{
    return cosine >= placeholder->threshold;
}
