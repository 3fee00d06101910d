/* cpu.h - what the files of the cpu backend share. */
#ifndef NN_CPU_CPU_H
#define NN_CPU_CPU_H

#include "worker/nn/backend.h"
#include "worker/nn/cpu/kernels.h"
#include "worker/nn/cpu/linear.h"
#include "worker/nn/cpu/pool.h"

/* Kept for the ops that come. */
struct cpu_memory {
    void *data;
    size_t bytes;
};

struct cpu_backend {
    struct backend base; /* arithmetic: the name of the kernels */
    const struct cpu_kernels *kernels;
    struct cpu_pool *pool;          /* base.threads of them */
    struct linear_scratch *scratch; /* for each thread */
    struct cpu_memory levels;       /* of linear with i8 weights: x, rounded */
    struct cpu_memory attention;    /* of attention.c: packed keys and values, scores */
};

/* At least so many bytes; what was there is lost. NULL: there are not so many. */
void *cpu_memory(struct cpu_memory *memory, size_t bytes);

/* linear.c */
int cpu_weight_new(struct backend *backend, struct backend_weight **weight,
                   const struct tensor *parts, uint32_t parts_count, int64_t columns,
                   enum dtype dtype, struct err *err);
void cpu_weight_free(struct backend *backend, struct backend_weight *weight);
void cpu_linear(struct backend *backend, const struct op_linear *op);

#endif
