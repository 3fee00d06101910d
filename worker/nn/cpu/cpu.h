/* cpu.h - what the files of the cpu backend share. */
#ifndef NN_CPU_CPU_H
#define NN_CPU_CPU_H

#include "worker/nn/backend.h"
#include "worker/nn/cpu/kernels.h"
#include "worker/nn/cpu/linear.h"
#include "worker/nn/cpu/pool.h"

struct cpu_backend {
    struct backend base; /* arithmetic: the name of the kernels */
    const struct cpu_kernels *kernels;
    struct cpu_pool *pool;                 /* base.threads of them */
    struct linear_scratch *linear_scratch; /* for each thread */
    void *scratch;                         /* of the op that runs: see cpu_scratch */
    size_t scratch_bytes;
};

/* Memory for the op that runs, not cleared, aligned to BACKEND_ALIGNMENT. It is kept for the ops
 * that come, and is gone when one asks for more. NULL: there is no more, and the op must end: the
 * backend has failed. */
void *cpu_scratch(struct cpu_backend *cpu, size_t bytes);
void cpu_scratch_free(struct cpu_backend *cpu); /* when the backend closes */

/* linear.c */
int cpu_weight_new(struct backend *backend, struct backend_weight **weight,
                   const struct tensor *parts, uint32_t parts_count, int64_t columns,
                   enum dtype dtype, struct err *err);
void cpu_weight_free(struct backend *backend, struct backend_weight *weight);
void cpu_linear(struct backend *backend, const struct op_linear *op);

#endif
