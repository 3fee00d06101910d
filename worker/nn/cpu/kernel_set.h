/* kernel_set.h - the kernels of one instruction set; only for the files that are compiled for it.
 */
#ifndef NN_CPU_KERNEL_SET_H
#define NN_CPU_KERNEL_SET_H

#include "worker/nn/cpu/kernels.h"

extern const struct cpu_kernels CPU_NAME(cpu_kernels);

void CPU_NAME(linear_block)(const struct linear_job *job, uint32_t task,
                            struct linear_scratch *scratch);
void CPU_NAME(linear_quantize)(const struct linear_job *job, size_t row);
void CPU_NAME(linear_pack)(const struct linear_pack_job *job, uint32_t panel);

cpu_rows_kernel CPU_NAME(kernel_norm), CPU_NAME(kernel_patches), CPU_NAME(kernel_vision_tokens),
    CPU_NAME(kernel_embed), CPU_NAME(kernel_rows), CPU_NAME(kernel_pool), CPU_NAME(kernel_unit),
    CPU_NAME(kernel_map);
void CPU_NAME(kernel_attention)(const struct attention_task *task,
                                const struct attention_scratch *scratch);

#endif
