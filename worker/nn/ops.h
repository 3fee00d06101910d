/* ops.h - the ops of backend.h as models call them: shapes and types checked, then done.
 *
 * A wrong shape is our own bug: CHECK. Data from outside never decides a shape before it was
 * checked against the configuration. */
#ifndef NN_OPS_H
#define NN_OPS_H

#include "worker/nn/backend.h"

void op_linear(struct backend *backend, const struct op_linear *op);
void op_norm(struct backend *backend, const struct op_norm *op);
void op_attention(struct backend *backend, const struct op_attention *op);
void op_patches(struct backend *backend, const struct op_patches *op);
void op_vision_tokens(struct backend *backend, const struct op_vision_tokens *op);
void op_embed(struct backend *backend, const struct op_embed *op);
void op_rows(struct backend *backend, const struct op_rows *op);
void op_pool(struct backend *backend, const struct op_pool *op);
void op_unit(struct backend *backend, const struct op_unit *op);
void op_map(struct backend *backend, const struct op_map *op);

#endif
