/* kernel_set.c - the table of one instruction set's kernels. */
#include "worker/nn/cpu/kernels.h"

#define CPU_TEXT_(set) #set
#define CPU_TEXT(set)  CPU_TEXT_(set)

extern const struct cpu_kernels CPU_NAME(cpu_kernels);
const struct cpu_kernels CPU_NAME(cpu_kernels) = {
    .name = CPU_TEXT(CPU_SET),
};
