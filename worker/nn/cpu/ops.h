/* ops.h - the ops other than linear, as the cpu backend's driver has them. */
#ifndef NN_CPU_OPS_H
#define NN_CPU_OPS_H

#include "worker/nn/backend.h"

void cpu_op_norm(struct backend *backend, const struct op_norm *op);
void cpu_op_attention(struct backend *backend, const struct op_attention *op);
void cpu_op_patches(struct backend *backend, const struct op_patches *op);
void cpu_op_vision_tokens(struct backend *backend, const struct op_vision_tokens *op);
void cpu_op_embed(struct backend *backend, const struct op_embed *op);
void cpu_op_rows(struct backend *backend, const struct op_rows *op);
void cpu_op_pool(struct backend *backend, const struct op_pool *op);
void cpu_op_unit(struct backend *backend, const struct op_unit *op);
void cpu_op_map(struct backend *backend, const struct op_map *op);

#endif
