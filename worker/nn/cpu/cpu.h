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
    void *attention;       /* memory of attention.c, freed as the backend closes */
    size_t attention_bytes;
};

#endif
