/* kernel_set.c - the table of one instruction set's kernels. */
#include "worker/nn/cpu/kernel_set.h"

#include "worker/nn/cpu/simd.h"

#define CPU_TEXT_(set) #set
#define CPU_TEXT(set)  CPU_TEXT_(set)

const struct cpu_kernels CPU_NAME(cpu_kernels) = {
    .name = CPU_TEXT(CPU_SET),
#ifdef VECI_HAS_QUADS
    .has_quads = true,
#endif
#ifdef VEC_HAS_BF16_PAIRS
    .has_bf16_pairs = true,
#endif
    .linear_block = CPU_NAME(linear_block),
    .linear_quantize = CPU_NAME(linear_quantize),
    .linear_pack = CPU_NAME(linear_pack),
    .norm = CPU_NAME(kernel_norm),
    .patches = CPU_NAME(kernel_patches),
    .vision_tokens = CPU_NAME(kernel_vision_tokens),
    .embed = CPU_NAME(kernel_embed),
    .rows = CPU_NAME(kernel_rows),
    .pool = CPU_NAME(kernel_pool),
    .unit = CPU_NAME(kernel_unit),
    .map = CPU_NAME(kernel_map),
    .attention = CPU_NAME(kernel_attention),
};
