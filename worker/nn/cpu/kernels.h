/* kernels.h - the functions that are compiled once for each instruction set, and their choice.
 *
 * A kernel is a function CPU_NAME(x) in a file kernel_*.c of this folder, written against simd.h.
 * It is declared in kernel_set.h and has its field in struct cpu_kernels, which kernel_set.c fills.
 * All else that such a file defines is static. The rest of the backend is common code, compiled for
 * every processor, and calls kernels through the table. */
#ifndef NN_CPU_KERNELS_H
#define NN_CPU_KERNELS_H

#include "common/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Names of the sets, as VLMQ_CPU takes them: macros of the compiler's command line. */
#ifndef CPU_SET
#define CPU_SET portable
#endif
#define CPU_JOIN(name, set)  name##_##set
#define CPU_NAME_(name, set) CPU_JOIN(name, set)
#define CPU_NAME(name)       CPU_NAME_(name, CPU_SET)

struct linear_job;
struct linear_pack_job;
struct linear_scratch;

/* Of the ops that kernel_rows.c computes: op is a struct op_X, the range one of rows of out (of
 * numbers for map). */
typedef void cpu_rows_kernel(const void *op, size_t first, size_t count);

struct attention_task;
struct attention_scratch;

struct cpu_kernels {
    const char *name;    /* "avx2" */
    bool has_quads;      /* i8 weights as LINEAR_I8_QUADS */
    bool has_bf16_pairs; /* bf16 weights as LINEAR_BF16_PAIRS */
    void (*linear_block)(const struct linear_job *job, uint32_t task,
                         struct linear_scratch *scratch);
    void (*linear_quantize)(const struct linear_job *job, size_t row);
    void (*linear_pack)(const struct linear_pack_job *job, uint32_t panel);
    cpu_rows_kernel *norm, *patches, *vision_tokens, *embed, *rows, *pool, *unit, *map;
    void (*attention)(const struct attention_task *task, const struct attention_scratch *scratch);
};

/* The best set that this machine can run, or the one that VLMQ_CPU names. ERR_INVALID: there is no
 * such set, or not on this machine. */
CHECKED int cpu_dispatch(const struct cpu_kernels **kernels, struct err *err);
/* Set number i of this build, best last; NULL behind the last. is_usable (may be NULL): by this
 * machine. */
const struct cpu_kernels *cpu_kernels_at(unsigned i, bool *is_usable);

#endif
