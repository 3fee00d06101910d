/* kernels.h - the functions that are compiled once for each instruction set, and their choice.
 *
 * A kernel is a function CPU_NAME(x) in a file kernel*.c of this folder, written against simd.h,
 * declared by CPU_KERNEL below and given its field in struct cpu_kernels by kernel_set.c. Such
 * files call nothing of their own but each other and inline functions: what else they define must
 * be static. The rest of the backend is common code and calls kernels through the table. */
#ifndef NN_CPU_KERNELS_H
#define NN_CPU_KERNELS_H

#include "common/base/err.h"

#include <stdbool.h>
#include <stddef.h>

/* Names of the sets, as VLMQ_CPU takes them: macros of the compiler's command line. */
#ifndef CPU_SET
#define CPU_SET portable
#endif
#define CPU_JOIN(name, set)  name##_##set
#define CPU_NAME_(name, set) CPU_JOIN(name, set)
#define CPU_NAME(name)       CPU_NAME_(name, CPU_SET)

/* Of the ops that kernel_rows.c computes: op is a struct op_X, the range one of rows of out (of
 * numbers for map). */
typedef void cpu_rows_kernel(const void *op, size_t first, size_t count);

struct attention_task;
struct attention_scratch;
typedef void cpu_attention_kernel(const struct attention_task *task,
                                  const struct attention_scratch *scratch);

struct cpu_kernels {
    const char *name; /* "avx2" */
    cpu_rows_kernel *norm, *patches, *vision_tokens, *embed, *rows, *pool, *unit, *map;
    cpu_attention_kernel *attention;
};

extern cpu_rows_kernel CPU_NAME(kernel_norm), CPU_NAME(kernel_patches),
    CPU_NAME(kernel_vision_tokens), CPU_NAME(kernel_embed), CPU_NAME(kernel_rows),
    CPU_NAME(kernel_pool), CPU_NAME(kernel_unit), CPU_NAME(kernel_map);
extern cpu_attention_kernel CPU_NAME(kernel_attention);

/* The best set that this machine can run, or the one that VLMQ_CPU names. ERR_INVALID: there is no
 * such set, or not on this machine. */
CHECKED int cpu_dispatch(const struct cpu_kernels **kernels, struct err *err);
/* Set number i of this build, best last; NULL behind the last. is_usable (may be NULL): by this
 * machine. */
const struct cpu_kernels *cpu_kernels_at(unsigned i, bool *is_usable);

#endif
