/* reference.h - the backend `reference`: every op as its definition in backend.h reads.
 *
 * It is the oracle of the others: plain loops, sums in double, a result rounded once when it is
 * stored. It is written to be read, not to be fast, and uses one thread. */
#ifndef NN_REFERENCE_REFERENCE_H
#define NN_REFERENCE_REFERENCE_H

#include "worker/nn/backend.h"

/* A weight as numbers: rounded to its type, for i8 the integers, each row with its scale. */
struct reference_weight {
    struct backend_weight base;
    float *scale;  /* [rows]; 1 for the real types */
    float *number; /* [rows, columns] */
};

/* Element i of an array of a real type, and its rounding to that type. */
double reference_get(enum dtype dtype, const void *data, int64_t i);
void reference_put(enum dtype dtype, void *data, int64_t i, double value);
double reference_activation(enum activation activation, double x);
/* Rounds a row times 127 / max |x|, as f32, to integers, ties to even, and returns what one of them
 * stands for: max |x| / 127. A row whose numbers are all below 2^-100 counts as zeros. These are
 * the f32 steps of every backend, so that integers agree. x and level may be the same. */
float reference_round_i8(float *level, const float *x, int64_t count);

int reference_weight_new(struct backend *backend, struct backend_weight **weight,
                         const struct tensor *parts, uint32_t parts_count, int64_t columns,
                         enum dtype dtype, struct err *err);
void reference_weight_free(struct backend *backend, struct backend_weight *weight);
void reference_linear(struct backend *backend, const struct op_linear *op);
void reference_norm(struct backend *backend, const struct op_norm *op);
void reference_attention(struct backend *backend, const struct op_attention *op);
void reference_patches(struct backend *backend, const struct op_patches *op);
void reference_vision_tokens(struct backend *backend, const struct op_vision_tokens *op);
void reference_embed(struct backend *backend, const struct op_embed *op);
void reference_rows(struct backend *backend, const struct op_rows *op);
void reference_pool(struct backend *backend, const struct op_pool *op);
void reference_unit(struct backend *backend, const struct op_unit *op);
void reference_map(struct backend *backend, const struct op_map *op);

#endif
