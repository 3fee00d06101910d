/* cpu.h - what the files of the cpu backend share. */
#ifndef NN_CPU_CPU_H
#define NN_CPU_CPU_H

#include "worker/nn/backend.h"
#include "worker/nn/cpu/kernels.h"
#include "worker/nn/cpu/pool.h"

struct cpu_backend {
    struct backend base; /* arithmetic: the name of the kernels */
    const struct cpu_kernels *kernels;
    struct cpu_pool *pool; /* base.threads of them */
    void *scratch;         /* of the op that runs: see cpu_scratch */
    size_t scratch_bytes;
};

/* Memory for the op that runs, not cleared, aligned to BACKEND_ALIGNMENT. It is kept for the ops
 * that come, and is gone when one asks for more. NULL: there is no more, and the op must end: the
 * backend has failed. */
void *cpu_scratch(struct cpu_backend *cpu, size_t bytes);
void cpu_scratch_free(struct cpu_backend *cpu); /* when the backend closes */

#endif
